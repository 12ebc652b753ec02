"""Prompts to hypotheses: the one decoder of evaluation, pairs and reward check.

Batched (`generation`), longest prompts first so that little is padded, and the first batch tells whether memory
suffices; results come back in the order of the prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.distributed.fsdp import FSDPModule
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerBase

from gecalign.config import Decoding, Engine
from gecalign.models import generation, loading
from gecalign.models.copying import AgainstCopying
from gecalign.models.loading import Loaded
from gecalign.runtime import bars, processes


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

    Several processes share the batches, and each gets all results, the same, to the bit, as those of one process. A
    sample depends on the seed, on which prompt it is of, and on which of that prompt's samples it is, and on nothing
    else but rounding; the random state of the caller stays as it was.

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
    # not in inference mode, in which autocast would convert all weights for every token anew
    with torch.no_grad(), loading.autocast(engine), loading.converted_once(model), tqdm(
        total=sum(map(len, mine)), desc=progress, unit="prompt", leave=False,
        disable=progress is None or not bars.watched(),
    ) as bar:  # fmt: skip
        try:
            for batch in mine:
                against = None
                if source_ids:
                    against = AgainstCopying([source_ids[i] for i in batch], config.against_copying)
                keys = [[(seed, i, sample, generation.DECODING) for sample in range(config.samples)] for i in batch]
                asked = [prompt_ids[i] for i in batch]
                groups = generation.generate(model, asked, config, tokenizer.eos_token_id, keys, against)
                written += zip(batch, ([completion(tokenizer, ids) for ids in group] for group in groups), strict=True)
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


def completion(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Completion:
    """Return what the new tokens of a completion say, up to the first EOS."""
    truncated = tokenizer.eos_token_id not in ids
    kept = ids if truncated else ids[: ids.index(tokenizer.eos_token_id)]
    return Completion(tokenizer.decode(kept, skip_special_tokens=True), len(kept) + (not truncated), truncated)
