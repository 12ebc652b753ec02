"""What models are trained on: rows of prompt and completion, and how many tokens they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from gecalign import config, prompts
from gecalign.corpus.examples import Example
from gecalign.corpus.texts import several


def demonstrations(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the annotator demonstrated: exactly these two columns.

    A `text` column beside them would make TRL put the EOS there, and the model would never learn to stop.
    """
    return [_row(prompt, example.source, example.demonstration) for example in examples]


def references(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the sentences should be, a row a reference."""
    return [_row(prompt, example.source, text) for example in examples for text in several(example.reference)]


def first_references(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of one correct text a sentence: for a loss on dev, several would only cost more."""
    return [_row(prompt, example.source, several(example.reference)[0]) for example in examples]


def _row(prompt: config.Prompt, source: str, target: str) -> dict[str, str]:
    return {"prompt": prompts.render(prompt, source), "completion": prompts.completion(target)}


def fitting(
    rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[dict[str, str]]:
    """Return the rows whose prompt, completion and EOS fit into `max_length` tokens.

    Raises:
        ValueError: none does.
    """
    kept = [row for row, length in zip(rows, lengths(rows, tokenizer), strict=True) if length <= max_length]
    if not kept:
        raise ValueError(
            f"none of the {len(rows)} rows fits into {max_length} tokens, prompt and completion together. "
            "Raise sft__max_length, or shorten the texts."
        )
    return kept


def lengths(rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens of each row, prompt, completion and EOS, or what stands in a column `text` alone."""
    texts = [row["prompt"] + row["completion"] if "prompt" in row else row["text"] for row in rows]
    return [len(ids) + 1 for ids in tokenizer(texts)["input_ids"]]


def prompted(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, Any]]:
    """Return the prompts, and the columns that the reward is computed from."""
    return [
        {"prompt": prompts.render(prompt, e.source), "reference": e.reference, "source": e.source} for e in examples
    ]
