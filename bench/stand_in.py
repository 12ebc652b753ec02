"""What stands in for SmolLM-135M and CoEdIT where no hub is: of the same sizes and lengths, and without meaning.

A word is a token. A sentence has as many of them as CoEdIT's have SmolLM tokens. A completion is made to end when it
is as long as its source, because random weights never end one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import lognorm
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor, PreTrainedTokenizerFast, set_seed

from gecalign import prompts
from gecalign.config import Prompt
from gecalign.corpus.examples import Example
from gecalign.models import generation
from gecalign.preferences.pairs import PreferencePair

# Log-normal: of CoEdIT's sentences 4 % are longer than 128 SmolLM tokens, and next to none than 240.
MEAN, SPREAD, LONGEST = 60, 0.506, 240  # tokens a side
WRONG = 0.25  # of the words of a source
END, PAD = 0, 1
SPECIAL = ("<|endoftext|>", "<|pad|>")
WORDS_FROM = 100  # below are special tokens and the prompt's words


@dataclass(frozen=True, slots=True)
class Model:
    """The sizes of SmolLM-135M, a Llama; other widths keep its proportions."""

    layers: int = 30
    hidden: int = 576
    vocabulary: int = 49_152


def save(model: Model, prompt: Prompt, folder: Path) -> None:
    """Save random weights, and a tokenizer that knows the words of the prompt, as the hub has them."""
    heads = max(1, model.hidden // 64)
    set_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=model.vocabulary, hidden_size=model.hidden, num_hidden_layers=model.layers,
            num_attention_heads=heads, num_key_value_heads=max(1, heads // 3), tie_word_embeddings=True,
            intermediate_size=model.hidden * 8 // 3, max_position_embeddings=2048,
            bos_token_id=END, eos_token_id=END, pad_token_id=PAD,
        )
    ).save_pretrained(folder)  # fmt: skip
    known = [*SPECIAL, *prompts.render(prompt, "").split()]
    words = known + [f"w{i}" for i in range(len(known), model.vocabulary)]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("eos_token", "pad_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=2048, **names).save_pretrained(folder)


def lengths(count: int) -> list[int]:
    """Return the tokens of that many sentences: CoEdIT's distribution, whatever their number.

    >>> lengths(4)
    [30, 45, 62, 94]
    """
    middle = (np.arange(count) + 0.5) / count
    drawn = lognorm.ppf(middle, SPREAD, scale=MEAN / np.exp(SPREAD**2 / 2))
    return drawn.round().clip(1, LONGEST).astype(int).tolist()


def corpus(lengths: list[int], vocabulary: int, seed: int = 0) -> list[Example]:
    """Return an example for each length, in random order."""
    rng = random.Random(seed)

    def word() -> str:
        return f"w{rng.randrange(WORDS_FROM, vocabulary)}"

    found = []
    for number, length in enumerate(rng.sample(lengths, len(lengths))):
        right = [word() for _ in range(length)]
        source = " ".join(word() if rng.random() < WRONG else kept for kept in right)
        found.append(Example(f"{seed}/{number}", source, " ".join(right), " ".join(right)))
    return found


def preferences(examples: list[Example], prompt: Prompt) -> list[PreferencePair]:
    """Return a pair for each example: its reference, and its source as what should not have been written."""
    return [
        PreferencePair(
            e.id, prompts.render(prompt, e.source), prompts.completion(e.reference), prompts.completion(e.source),
            e.source, e.reference, 1.0, 0.5, 0.7, 0.7, "bleu", "best-worst",
        )
        for e in examples
    ]  # fmt: skip


class AsLongAsTheSource(LogitsProcessor):
    """Lets a completion end when it is as long as the source in its prompt, and no earlier."""

    def __init__(self, prompt: Prompt):
        self.around = len(prompts.render(prompt, "").split())  # tokens of the prompt beside the source
        self.tokens: torch.Tensor | None = None  # of the completions, EOS included, (B,)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Called by `generate` before each token: ids (B, T), scores (B, V)."""
        if self.tokens is None:
            self.start, self.tokens = input_ids.shape[1], (input_ids != PAD).sum(dim=1) - self.around + 1
        ending = (input_ids.shape[1] - self.start + 1 >= self.tokens).unsqueeze(1)
        end = torch.arange(scores.shape[1], device=scores.device) == END
        return scores.masked_fill(ending != end, float("-inf"))


@contextmanager
def endings(prompt: Prompt) -> Iterator[None]:
    """Make every model end its completions so, whoever writes: Transformers' `generate`, or ours."""
    plain, own = LlamaForCausalLM.generate, generation.generate
    around = len(prompts.render(prompt, "").split())

    def generate(self: LlamaForCausalLM, *args: Any, **kwargs: Any) -> torch.Tensor:
        others = kwargs.pop("logits_processor", None) or []
        return plain(self, *args, logits_processor=[*others, AsLongAsTheSource(prompt)], **kwargs)

    def ours(model: Any, prompt_ids: Any, config: Any, end: int, keys: Any, adjust: Any = None) -> Any:
        left = [len(ids) - around + 1 for ids, own in zip(prompt_ids, keys, strict=True) for _ in own]  # EOS included

        def ending(rows: Any, written: Any, logits: torch.Tensor) -> torch.Tensor:
            for row, tokens in zip(rows, written, strict=True):
                left[row] -= len(tokens)
            last = torch.tensor([[left[row] <= 1] for row in rows], device=logits.device)
            return logits.masked_fill(last != (torch.arange(logits.shape[1], device=logits.device) == END), -torch.inf)

        return own(model, prompt_ids, config, end, keys, ending)

    with patch.object(LlamaForCausalLM, "generate", generate), patch.object(generation, "generate", ours):
        yield
