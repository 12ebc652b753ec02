"""Prompts to completions, in tokens: a prompt is read once for all its samples, and who has finished leaves the batch.

Transformers' `generate` reads a prompt once a sample, and goes on computing rows that have ended until the last one
has (bench/side_by_side.py compares). Each completion is drawn by its own random numbers, so that it does not depend on
which others are in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule
from transformers import DynamicCache, PreTrainedModel, TopPLogitsWarper

from gecalign.config import Decoding

Adjust = Callable[[Sequence[int], Sequence[Sequence[int]], torch.Tensor], torch.Tensor]

LEAVE = 1 / 8  # ended rows are taken out when they are so many of the batch: it costs a copy of the cache
DECODING, TRAINING = 1, 2  # end the keys of draws: those of one use are not those of another
NO_PROBABILITIES = "the probabilities that samples are drawn with are no finite numbers"


def generate(
    model: PreTrainedModel,
    prompt_ids: Sequence[Sequence[int]],
    config: Decoding,
    end: int,
    keys: Sequence[Sequence[Sequence[int]]],
    adjust: Adjust | None = None,
) -> list[list[list[int]]]:
    """Return the tokens of as many completions of each prompt as it has keys, EOS included where one was written.

    To be called without gradients, with a model that is set to evaluation. Where processes hold parts of the weights
    each, all call it at once, and each goes on until the last one has finished.

    Args:
        end: the token that ends a completion.
        keys: for each prompt, for each of its completions, the numbers (of at least 0) that its draws depend on;
            greedy ones draw nothing.
        adjust: called before each token with completions, numbered through, what each wrote since the last call (one
            token, or none yet), and their logits; returns these, changed.

    Raises:
        RuntimeError: probabilities to draw from are no finite numbers.
    """
    owners = [number for number, own in enumerate(keys) for _ in own]
    draws = _draws([key for own in keys for key in own], config)
    written: list[list[int]] = [[] for _ in owners]
    batch = _Batch(model, prompt_ids)
    batch.take(owners)
    rows = list(range(len(owners)))  # of the batch: which completion each is
    for turn in range(config.max_new_tokens):
        logits = batch.logits
        if adjust:
            logits = adjust(rows, [written[row][-1:] for row in rows], logits)
        tokens = _drawn(logits, config, draws[rows, turn]) if config.temperature else logits.argmax(dim=-1)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if written[row][-1:] != [end]:
                written[row].append(token)
        busy = [at for at, row in enumerate(rows) if written[row][-1] != end]
        if turn + 1 == config.max_new_tokens or not _anybody(bool(busy), model):
            break
        if len(rows) - len(busy) >= LEAVE * len(rows):
            staying = busy or [0]  # others are still busy, and cannot compute without this process
            batch.take(staying)
            rows, tokens = [rows[at] for at in staying], tokens[staying]
        batch.write(tokens)
    completions = iter(written)
    return [[next(completions) for _ in own] for own in keys]


class _Batch:
    """Texts that a model is writing, and what it knows of them: keys and values of their tokens, logits of the next."""

    logits: torch.Tensor  # (rows, vocabulary)
    positions: torch.Tensor  # (rows, 1), of the next token

    def __init__(self, model: PreTrainedModel, prompt_ids: Sequence[Sequence[int]]):
        self.model = model
        length = max(map(len, prompt_ids))
        pads = [length - len(ids) for ids in prompt_ids]
        ids = [[0] * pad + list(ids) for pad, ids in zip(pads, prompt_ids, strict=True)]
        mask = torch.tensor([[0] * pad + [1] * (length - pad) for pad in pads], device=model.device)
        self.mask, self.cache = mask, DynamicCache(config=model.config)
        self._read(torch.tensor(ids, device=model.device), (mask.cumsum(1) - 1).clamp(min=0))

    def take(self, rows: Sequence[int]) -> None:
        """Keep these rows, some perhaps several times."""
        index = torch.tensor(rows, device=self.mask.device)
        self.mask, self.positions, self.logits = self.mask[index], self.positions[index], self.logits[index]
        self.cache.reorder_cache(index)  # of layers of any kind, and to any number of rows

    def write(self, tokens: torch.Tensor) -> None:
        """Append a token to each row, (rows,), and read on."""
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        self._read(tokens[:, None], self.positions)

    def _read(self, ids: torch.Tensor, positions: torch.Tensor) -> None:
        output = self.model(
            input_ids=ids, attention_mask=self.mask, position_ids=positions, past_key_values=self.cache,
            use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        self.logits, self.positions = output.logits[:, -1].float(), positions[:, -1:] + 1


def _draws(keys: Sequence[Sequence[int]], config: Decoding) -> np.ndarray:
    """Return for each completion, for each of its tokens, a number above 0 and up to 1."""
    if not config.temperature:
        return np.empty(0)
    return 1 - np.array([np.random.default_rng(key).random(config.max_new_tokens) for key in keys])


def _drawn(logits: torch.Tensor, config: Decoding, draws: np.ndarray) -> torch.Tensor:
    """Return for each row the token at which the probabilities, added up one after the other, reach its number."""
    logits = logits / config.temperature
    if config.top_p < 1:
        logits = TopPLogitsWarper(config.top_p)(None, logits)
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # of which that device has none
    summed = logits.to(exact).softmax(dim=-1).cumsum(dim=-1)
    if not torch.isfinite(summed[:, -1]).all():
        raise RuntimeError(NO_PROBABILITIES)
    reached = torch.tensor(draws, dtype=exact, device=logits.device)[:, None] * summed[:, -1:]
    return (summed < reached).sum(dim=-1)


def _anybody(busy: bool, model: PreTrainedModel) -> bool:
    if not isinstance(model, FSDPModule):
        return busy
    somebody = torch.tensor(float(busy), device=model.device)
    torch.distributed.all_reduce(somebody, torch.distributed.ReduceOp.MAX)
    return bool(somebody)
