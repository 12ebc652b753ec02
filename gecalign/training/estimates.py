"""How long a training will take, measured on its own first rows, without changing the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import Trainer

from gecalign import config, prompts
from gecalign.corpus.examples import Example
from gecalign.models import loading
from gecalign.models.decode import decode
from gecalign.runtime import processes
from gecalign.training import arguments, groups
from gecalign.training.setup import Asking


def announce(method: str, seconds: float, plan: str = "") -> None:
    """Print what a training is about to do and about how long it takes, on standard error."""
    about = f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    processes.say(f"[{method}] {plan}about {about} on this machine, plus what the evaluations take")


def seconds_per_update(trainer: Trainer) -> float:
    """Measure what one update takes: forward and backward pass on the first rows, without changing the model."""
    # weights are sharded later, and a micro-batch need not fit beside whole ones
    size = 1 if processes.sharded() else min(trainer.args.train_batch_size, len(trainer.train_dataset))
    rows = [trainer.train_dataset[i] for i in range(size)]
    batch = {name: column.to(trainer.model.device) for name, column in trainer.data_collator(rows).items()}
    trainer.model.train()  # else nothing is checkpointed
    times = []
    for _ in range(3):  # the first ones warm up
        start = time.perf_counter()
        with loading.autocast(config.Engine(precision=arguments.precision_of(trainer))):
            loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        times.append(seconds_since(start))
        trainer.model.zero_grad()
    for logged in getattr(trainer, "_metrics", {}).values():
        logged.clear()  # TRL notes what every loss was computed from, and would log these, too
    return min(times) * trainer.args.train_batch_size / size * trainer.args.gradient_accumulation_steps


def of_groups(trainer: Any, examples: Sequence[Example], settings: config.Online, asking: Asking) -> tuple[float, int]:
    """Estimate seconds and tokens of the whole training from one generation, and from learning from a part of it."""
    plan, engine = groups.plan(settings), asking.engine
    asked = [prompts.render(asking.prompt, example.source) for example in examples[: plan["prompts_a_generation"]]]
    sampling = replace(
        asking.decoding, temperature=settings.temperature, top_p=settings.top_p, samples=settings.group_size
    )
    start = time.perf_counter()
    written = decode((trainer.model, trainer.processing_class), asked, sampling, engine=engine)
    generating = seconds_since(start)
    tokenizer = trainer.processing_class
    texts = [(ask, ask + sample.text) for ask, group in zip(asked, written, strict=True) for sample in group]
    lengths = [len(ids) for ids in tokenizer([text for _, text in texts])["input_ids"]]
    size = 1 if processes.sharded() else trainer.args.train_batch_size  # see `seconds_per_update`
    batch = tokenizer([text for _, text in texts[:size]], padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, (ask, _) in enumerate(texts[:size]):
        labels[row, : len(tokenizer(ask)["input_ids"])] = -100
    batch = batch.to(trainer.model.device)
    trainer.model.train()  # else nothing is checkpointed
    start = time.perf_counter()
    with loading.autocast(engine):
        loss = trainer.model(**batch, labels=labels.to(trainer.model.device), fused_lm_head=True).loss
    loss.backward()
    updates = trainer.args.train_batch_size / size * trainer.args.gradient_accumulation_steps
    learning = seconds_since(start) * updates
    trainer.model.zero_grad()
    seconds = settings.steps * (generating / settings.updates_per_generation + learning)
    return seconds, round(plan["samples_in_all"] * sum(lengths) / len(lengths))


def seconds_since(start: float) -> float:
    """Return the seconds since `start`, of `time.perf_counter`, when the accelerator has done all it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start
