"""The one prompt: training, sampling, reward and evaluation all render the same template.

A published comparison once trained with one instruction and evaluated with another, and the
difference was larger than the effect it reported (chapter 9). So the template is an object, its
digest is stored in every product, and `check_same` compares the two before a trained model is evaluated.
"""

from __future__ import annotations

from gecalign.config import Prompt
from gecalign.runtime.store import digest_of


def render(prompt: Prompt, source: str) -> str:
    """Return the text that the model is asked to continue.

    >>> render(Prompt("Fix grammar: {source}\\nCorrected:"), "She go home.")
    'Fix grammar: She go home.\\nCorrected:'
    """
    return prompt.template.replace("{source}", source)


def completion(text: str) -> str:
    """Return `text` as it stands in a completion: after one space, which belongs to its first token."""
    return " " + text


def hypothesis(completion: str) -> str:
    """Return the sentence that a completion holds; the inverse of `completion`."""
    return completion.strip()


def validate(prompt: Prompt) -> None:
    """Raise ValueError where a template cannot work: no place for the source, no real line feed, a blank at its end."""
    if prompt.template.count("{source}") != 1:
        raise ValueError(f"the prompt template must contain {{source}} exactly once, but is {prompt.template!r}.")
    if "{{source}}" in prompt.template:
        raise ValueError(
            f"the prompt template {prompt.template!r} has {{source}} in doubled braces, and one of them would stand on "
            "each side of the sentence. Write them once."
        )
    if "\\n" in prompt.template:
        raise ValueError(
            f"the prompt template {prompt.template!r} holds a backslash and an n, where a line feed is meant. "
            "In a shell it is written $'Fix grammar: {source}\\nCorrected:'."
        )
    if prompt.template != prompt.template.rstrip():
        raise ValueError(
            f"the prompt template {prompt.template!r} ends in white space, which tokenizers attach to the next word: "
            "the model would be trained on one token sequence and asked for another. Remove it."
        )


def digest(prompt: Prompt) -> str:
    """Return the prompt's digest, as it is stored in every product."""
    return digest_of(prompt)


def check_same(trained: str, asked: str) -> None:
    """Raise ValueError where a model was trained with another prompt than it is now asked with."""
    if trained != asked:
        raise ValueError(
            f"this model was trained with prompt {trained} and would be evaluated with prompt {asked}. Scores under "
            "another prompt say more about the prompt than about the model. Use the training prompt, or pass "
            "allow_other_prompt=True where the mismatch is what you want to measure."
        )
