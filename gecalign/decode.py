"""Prompts to hypotheses: the one decoder of evaluation, pairs and reward check.

Batched, longest prompts first so that little is padded, and the first batch tells whether memory
suffices; results come back in the order of the prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from gecalign.config import Decoding


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote: its text, its length in tokens (EOS included), and whether the limit cut it off."""

    text: str
    tokens: int
    truncated: bool


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: Decoding,
    *,
    seed: int = 0,
    progress: str | None = None,
) -> list[list[Completion]]:
    """Return `config.samples` completions for each prompt, in the order of `prompts`.

    Sampling is seeded and leaves the random state of the caller as it was. Which samples come out
    depends on the composition of the batches, and so on `batch_tokens`.

    Args:
        progress: the label of a progress bar on stderr; None shows none.

    Raises:
        ValueError: a prompt and its completion would not fit into the model's context, or several samples
            are asked for at temperature 0.
    """
    if config.samples > 1 and config.temperature == 0:
        raise ValueError(
            f"at temperature 0 all {config.samples} samples would be the same. Set decoding__temperature above 0."
        )
    prompt_ids = tokenizer(list(prompts))["input_ids"] if prompts else []
    _check_fit(prompt_ids, model.config.max_position_embeddings, config)
    results: list[list[Completion]] = [[] for _ in prompts]
    training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.inference_mode(), tqdm(
        total=len(prompts), desc=progress, unit="prompt", disable=progress is None, leave=False
    ) as bar:  # fmt: skip
        torch.manual_seed(seed)
        try:
            for batch in _batches([len(ids) for ids in prompt_ids], config):
                outputs = _generate(model, tokenizer, [prompt_ids[i] for i in batch], config)
                for index, completions in zip(batch, outputs, strict=True):
                    results[index] = completions
                bar.update(len(batch))
        finally:
            model.train(training)
    return results


def generation_config(tokenizer: PreTrainedTokenizerBase, config: Decoding) -> GenerationConfig:
    """Translate our decoding settings into those of Transformers, naming every one that matters."""
    sampling = {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        num_return_sequences=config.samples,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **(sampling if config.temperature > 0 else {"do_sample": False}),
    )


def _check_fit(prompt_ids: Sequence[Sequence[int]], context: int, config: Decoding) -> None:
    longest = max(map(len, prompt_ids), default=0)
    if longest + config.max_new_tokens > context:
        raise ValueError(
            f"the longest prompt has {longest} tokens; with {config.max_new_tokens} new ones it does not fit into the "
            f"model's context of {context}. Shorten the text (one sentence a line), or lower decoding__max_new_tokens."
        )


def _batches(lengths: Sequence[int], config: Decoding) -> Iterator[list[int]]:
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        tokens = config.samples * (lengths[order[0]] + config.max_new_tokens)
        size = max(1, config.batch_tokens // tokens)
        yield order[:size]
        order = order[size:]


def _generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt_ids: list[list[int]], config: Decoding
) -> Iterator[list[Completion]]:
    inputs = tokenizer.pad({"input_ids": prompt_ids}, padding_side="left", return_tensors="pt").to(model.device)
    ids = model.generate(**inputs, generation_config=generation_config(tokenizer, config))  # (B * samples, T)
    rows = ids[:, inputs["input_ids"].shape[1] :].tolist()
    for start in range(0, len(rows), config.samples):
        yield [_completion(tokenizer, row) for row in rows[start : start + config.samples]]


def _completion(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Completion:
    truncated = tokenizer.eos_token_id not in ids
    kept = ids if truncated else ids[: ids.index(tokenizer.eos_token_id)]
    return Completion(tokenizer.decode(kept, skip_special_tokens=True), len(kept) + (not truncated), truncated)
