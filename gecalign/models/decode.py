"""Prompts to hypotheses: the one decoder of evaluation, pairs and reward check.

Batched, longest prompts first so that little is padded, and the first batch tells whether memory
suffices; results come back in the order of the prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.distributed.fsdp import FSDPModule
from tqdm import tqdm
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase

from gecalign.config import Decoding, Engine
from gecalign.models import loading
from gecalign.models.copying import AgainstCopying
from gecalign.models.loading import Loaded
from gecalign.runtime import bars, processes

SEEDS_APART = 1_000_003  # between two processes, so that none draws what another draws under a seed nearby


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote: its text, its length in tokens (EOS included), and whether the limit cut it off."""

    text: str
    tokens: int
    truncated: bool


def decode(
    loaded: Loaded,
    prompts: Sequence[str],
    config: Decoding,
    *,
    seed: int = 0,
    progress: str | None = None,
    engine: Engine | None = None,
    sources: Sequence[str] | None = None,
) -> list[list[Completion]]:
    """Return `config.samples` completions for each prompt, in the order of `prompts`.

    Several processes share the batches, and each gets all results. Greedy results are the same then, to the bit, as
    those of one process. Sampling is seeded and leaves the random state of the caller as it was; which samples come
    out depends on the composition of the batches, and so on `batch_tokens`, and on the number of processes.

    Args:
        loaded: a model and its tokenizer.
        progress: the label of a progress bar on stderr, where somebody sees one; None shows none.
        sources: what is to be corrected, as completions would have it, a text a prompt; for `against_copying`. (The
            seventh argument: each is wanted by somebody, and no two travel together.)
        engine: tells the precision of the arithmetic; None: what suits the device.

    Raises:
        ValueError: a prompt and its completion would not fit into the model's context, or several samples
            are asked for at temperature 0.
    """
    _check(config, sources)
    model, tokenizer = loaded
    source_ids = tokenizer(list(sources))["input_ids"] if config.against_copying and sources else None
    prompt_ids = tokenizer(list(prompts))["input_ids"] if prompts else []
    _check_fit(prompt_ids, model.config.max_position_embeddings, config)
    mine = _share(list(_batches([len(ids) for ids in prompt_ids], config)), isinstance(model, FSDPModule))
    written: list[tuple[int, list[Completion]]] = []
    training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    # not in inference mode, in which autocast would convert all weights for every token anew
    with torch.random.fork_rng(devices), torch.no_grad(), loading.autocast(engine), loading.converted_once(model), tqdm(
        total=sum(map(len, mine)), desc=progress, unit="prompt", leave=False,
        disable=progress is None or not bars.watched(),
    ) as bar:  # fmt: skip
        torch.manual_seed(seed + SEEDS_APART * processes.index())
        try:
            for batch in mine:
                copied = [source_ids[i] for i in batch] if source_ids else None
                outputs = _generate(loaded, [prompt_ids[i] for i in batch], config, copied)
                written += zip(batch, outputs, strict=True)
                bar.update(len(batch))
        finally:
            model.train(training)
    everything = dict(processes.gather(written))
    return [everything[i] for i in range(len(prompts))]


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


def _check(config: Decoding, sources: Sequence[str] | None) -> None:
    if config.samples > 1 and config.temperature == 0:
        raise ValueError(
            f"at temperature 0 all {config.samples} samples would be the same. Ask for one, or a temperature above 0."
        )
    if config.against_copying and (sources is None or config.temperature > 0):
        raise ValueError(
            "decoding__against_copying is for greedy decoding of sentences that are known: set decoding__temperature "
            "to 0, and evaluate a system on a split."
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


def _share(batches: list[list[int]], together: bool) -> list[list[int]]:
    """Return this process's share of the batches.

    Where processes hold parts of the weights each, none can compute without the others, and so each gets as many
    batches: the last ones may have been given to another already.
    """
    mine = batches[processes.index() :: processes.count()]
    if together and batches and len(mine) < -(-len(batches) // processes.count()):
        mine.append(batches[-1])
    return mine


def _generate(
    loaded: Loaded, prompt_ids: list[list[int]], config: Decoding, source_ids: list[list[int]] | None = None
) -> Iterator[list[Completion]]:
    model, tokenizer = loaded
    inputs = tokenizer.pad({"input_ids": prompt_ids}, padding_side="left", return_tensors="pt").to(model.device)
    length = inputs["input_ids"].shape[1]
    against = [AgainstCopying(source_ids, config.against_copying, length)] if source_ids else []
    together = isinstance(model, FSDPModule)  # the length of what others write
    ids = model.generate(
        **inputs,
        generation_config=generation_config(tokenizer, config),
        logits_processor=LogitsProcessorList(against),
        synced_gpus=together,
    )  # (B * samples, T)
    rows = ids[:, length:].tolist()
    for start in range(0, len(rows), config.samples):
        yield [completion(tokenizer, row) for row in rows[start : start + config.samples]]


def completion(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Completion:
    """Return what the new tokens of a completion say, up to the first EOS."""
    truncated = tokenizer.eos_token_id not in ids
    kept = ids if truncated else ids[: ids.index(tokenizer.eos_token_id)]
    return Completion(tokenizer.decode(kept, skip_special_tokens=True), len(kept) + (not truncated), truncated)
