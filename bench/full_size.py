"""What the study costs at full size: the width and depth of SmolLM-135M, rows as long as CoEdIT's, on this machine.

    python bench/full_size.py                    # settings of `smollm-135m`; for a GPU
    python bench/full_size.py --quick            # small batches, an update or two; for two CPU cores
    python bench/full_size.py --only sft,grpo-8  # of: sft, dpo, grpo-4, grpo-8, grpo-16, sampling, evaluation

The numbers say what a run will take before it is started (updates times seconds), whether it fits into memory, and
what batched decoding and the choice of micro-batches are worth. They say nothing about quality: weights are random,
and `stand_in` says what else is not real. Everything is measured in two ways: "gecalign", with this library's
functions; and "trl", as a tutorial has it: TRL's defaults (micro-batches of 8, gradient checkpointing, on a GPU bf16)
and prompts decoded one at a time, as in the published study. Batches and the lengths of rows are the same in both, but
that SFT's rows are grouped by length in the first and in random order in the second. A measurement has a process of
its own, so that peak memory is its own. Run it while nothing else runs.

A row each is appended to `results/full-size.csv`:

    date, way, what, group_size    "gecalign" or "trl"; what is measured; c, for GRPO
    unit, batch, micro_batch       seconds are of an "update", a batch of rows (DPO: pairs; GRPO: completions), or of a
                                   "prompt" with all its completions: `batch` of them, `micro_batch` prompts a call
    timed, seconds, seconds_low, seconds_high    how many updates or calls; the median, least and most of them
    trained_tokens, sampled_tokens      in a unit, without padding: prompts count where they are trained on; EOS counts
    trained_per_second             tokens, in the time that is not generation
    sampled_per_second             tokens, in the time that is
    generation_share               the share of an update's time in which completions are generated
    once_seconds                   spent once, before the first update, for the rows of one (DPO's reference model)
    memory_gb, memory_of           peak, 10^9 bytes: allocated on the "gpu", or held by the "process", Python included
    precision, checkpointing       of the arithmetic, weights are 32-bit; whether activations are computed twice
    device, threads, parameters, layers, hidden, vocabulary, quick, profile    what it ran on, and what was run
    torch, transformers, trl, accelerate, commit    versions
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import meter as metering
import numpy as np
import stand_in
import torch
from datasets import Dataset
from sacrebleu.metrics import BLEU
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from gecalign import config, prompts
from gecalign.corpus.examples import Example
from gecalign.models import loading, memory
from gecalign.models.decode import decode
from gecalign.runtime import store
from gecalign.training import dpo, grpo, sampling, sft
from gecalign.training.rows import demonstrations, fitting, prompted
from gecalign.training.setup import Asking, Run

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "results" / "full-size.csv"
PROFILE = config.SMOLLM_135M
MEASUREMENTS = ("sft", "dpo", "grpo-4", "grpo-8", "grpo-16", "sampling", "evaluation")
WAYS = ("gecalign", "trl")
TUTORIALS_MICRO_BATCH = 8  # TRL's default
GROUPED = 50  # batches that are sorted by length at a time (`transformers.trainer_pt_utils`)
COLUMNS = (
    "date", "way", "what", "group_size", "unit", "batch", "micro_batch", "timed", "seconds", "seconds_low",
    "seconds_high", "trained_tokens", "sampled_tokens", "trained_per_second", "sampled_per_second", "generation_share",
    "once_seconds", "memory_gb", "memory_of", "precision", "checkpointing", "device", "threads", "parameters",
    "layers", "hidden", "vocabulary", "quick", "profile", "torch", "transformers", "trl", "accelerate", "commit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; a batch of None is the profile's."""

    sft_batch: int | None = None
    dpo_batch: int | None = None
    grpo_batch: int | None = None
    warm_up: int = 5  # updates before the timed ones
    updates: int = 20
    grpo_updates: int = 20
    longest: bool = True  # whether the first update has a row as long as they get, so that peak memory covers it
    together: int = 512  # prompts of a call of the library's decoder
    calls: int = 3
    alone: int = 50  # prompts decoded one at a time


FULL = Sizes()
QUICK = Sizes(4, 2, 16, warm_up=1, updates=3, grpo_updates=2, longest=False, together=8, calls=2, alone=4)


def profile_of(base: Path, sizes: Sizes, group_size: int = 8) -> config.Profile:
    """Return what is measured: the settings of the profile, but for model, batches, and checkpoints on the way."""
    batches = {"sft": sizes.sft_batch, "dpo": sizes.dpo_batch, "grpo": sizes.grpo_batch}
    return PROFILE.variant(
        model__name=str(base), grpo__group_size=group_size, dpo__epochs=1,
        sft__evaluations=1, dpo__evaluations=1, grpo__evaluations=1,
        **{f"{part}__batch_size": batch for part, batch in batches.items() if batch},
    )  # fmt: skip


# ---- the two ways


def our_trainer(what: str, profile: config.Profile, rows: list[Example], folder: Path) -> Any:
    """Return the library's trainer of a method."""
    start, run = loading.load(profile.model), Run(folder, Asking(profile.prompt, profile.decoding))
    if what == "sft":
        shown = fitting(demonstrations(rows, profile.prompt), start[1], profile.sft.max_length)
        trainer = sft.trainer(start, shown, profile.sft, run)
    else:
        reference, _ = loading.load(profile.model)
        if what == "dpo":
            pairs = stand_in.preferences(rows, profile.prompt)
            trainer = dpo.trainer(start, reference, pairs, [], profile.dpo, run)
        else:
            trainer = grpo.trainer(start, reference, rows, profile.grpo, run)
    trainer.dev_scores = lambda _: {"bleu": 0.0}
    return trainer


def tutorials_trainer(what: str, profile: config.Profile, rows: list[Example], folder: Path) -> Any:
    """Return TRL's trainer of a method with its defaults, on the same rows, with the same batch an update."""
    batch = getattr(profile, what).batch_size
    micro_batch = min(TUTORIALS_MICRO_BATCH, batch)
    shared: dict[str, Any] = {
        "output_dir": str(folder), "max_steps": 500, "report_to": "none", "save_strategy": "no",
        "per_device_train_batch_size": micro_batch, "gradient_accumulation_steps": batch // micro_batch,
        **({} if torch.cuda.is_available() else {"bf16": False}),
    }  # fmt: skip
    name = profile.model.name
    if what == "sft":
        shown = Dataset.from_list(demonstrations(rows, profile.prompt))
        return SFTTrainer(model=name, args=SFTConfig(**shared), train_dataset=shown)
    if what == "dpo":
        pairs = stand_in.preferences(rows, profile.prompt)
        shown = Dataset.from_list([{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs])
        return DPOTrainer(model=name, args=DPOConfig(**shared), train_dataset=shown)
    bleu = BLEU(effective_order=True)

    def reward(completions: list[str], reference: list[str], **_: Any) -> list[float]:
        both = zip(completions, reference, strict=True)
        return [bleu.sentence_score(text, [target]).score for text, target in both]

    shown = Dataset.from_list(prompted(rows, profile.prompt))
    settings = GRPOConfig(num_generations=profile.grpo.group_size, **shared)
    return GRPOTrainer(model=name, reward_funcs=reward, args=settings, train_dataset=shown)


def decode_together(what: str, profile: config.Profile, sizes: Sizes, meter: metering.Meter) -> str:
    """Decode many prompts by the library, several times; return the precision."""
    model, tokenizer = loading.load(profile.model)
    rows = stand_in.corpus(stand_in.lengths(sizes.together), model.config.vocab_size)

    def call(asked: list[Example]) -> None:
        if what == "sampling":
            sampling.draw((model, tokenizer), asked, profile.pairs, Asking(profile.prompt, profile.decoding))
        else:
            decode((model, tokenizer), [prompts.render(profile.prompt, e.source) for e in asked], profile.decoding)

    call(rows[: len(rows) // 8])  # warms up
    for _ in range(sizes.calls):
        meter.read()
        call(rows)
    meter.read()
    return loading.precision()


def decode_one_by_one(what: str, profile: config.Profile, sizes: Sizes, meter: metering.Meter) -> str:
    """Decode a prompt at a time, all its completions in one call; return the precision."""
    tokenizer = AutoTokenizer.from_pretrained(profile.model.name)
    model = AutoModelForCausalLM.from_pretrained(profile.model.name).to(loading.device())
    how: dict[str, Any] = {"do_sample": False}
    if what == "sampling":
        drawn = profile.pairs
        how = {"do_sample": True, "temperature": drawn.temperature, "num_return_sequences": drawn.samples}
    for example in stand_in.corpus(stand_in.lengths(sizes.alone + 1), model.config.vocab_size):
        inputs = tokenizer(prompts.render(profile.prompt, example.source), return_tensors="pt").to(model.device)
        ids = model.generate(**inputs, max_new_tokens=profile.decoding.max_new_tokens, **how)
        tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        meter.read()  # the first prompt warms up
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[model.dtype]


# ---- one measurement


def measure(name: str, way: str, base: Path, sizes: Sizes) -> dict[str, Any]:
    """Return what a measurement found: a row without what `stamp` adds. Its peak memory is that of the process."""
    what, _, group = name.partition("-")
    sizes = replace(sizes, updates=sizes.grpo_updates) if group else sizes
    profile, meter = profile_of(base, sizes, int(group or 8)), metering.Meter()
    with stand_in.endings(profile.prompt), meter.on_generation():
        about = (_decoding if what in ("sampling", "evaluation") else _training)(what, way, profile, sizes, meter)
    units = meter.units()
    seconds, trained, sampled, generating = (units / about.pop("units_a_reading")).T
    peak, where = metering.peak_memory()
    return {
        "way": way, "what": what, "group_size": int(group) if group else None, **about, "timed": len(units),
        "seconds": float(np.median(seconds)),
        "seconds_low": float(seconds.min()),
        "seconds_high": float(seconds.max()),
        "trained_tokens": float(trained.mean()) or None,
        "sampled_tokens": float(sampled.mean()) or None,
        "trained_per_second": float(trained.sum() / (seconds - generating).sum()) or None,
        "sampled_per_second": float(sampled.sum() / generating.sum()) if sampled.any() else None,
        "generation_share": float(generating.sum() / seconds.sum()) if group else None,
        "memory_gb": peak / 1e9, "memory_of": where,
    }  # fmt: skip


def _training(what: str, way: str, profile: config.Profile, sizes: Sizes, meter: metering.Meter) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, meter.on_references():
        make = our_trainer if way == "gecalign" else tutorials_trainer
        trainer = make(what, profile, training_rows(what, profile, sizes), Path(folder))
        _fix_order(trainer, sizes)
        metering.watch(trainer, meter, sizes.warm_up, sizes.updates)
    arguments = trainer.args
    return {
        "unit": "update", "units_a_reading": 1, "micro_batch": arguments.train_batch_size,
        "batch": arguments.train_batch_size * arguments.gradient_accumulation_steps,
        "once_seconds": meter.once / (sizes.warm_up + sizes.updates) or None,
        "precision": "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32",
        "checkpointing": bool(arguments.activation_checkpointing),
    }  # fmt: skip


def _decoding(what: str, way: str, profile: config.Profile, sizes: Sizes, meter: metering.Meter) -> dict[str, Any]:
    ours = way == "gecalign"
    precision = (decode_together if ours else decode_one_by_one)(what, profile, sizes, meter)
    at_once = sizes.together if ours else 1
    return {
        "unit": "prompt", "units_a_reading": at_once, "micro_batch": at_once, "precision": precision,
        "batch": profile.pairs.samples if what == "sampling" else 1, "once_seconds": None, "checkpointing": None,
    }  # fmt: skip


def training_rows(what: str, profile: config.Profile, sizes: Sizes) -> list[Example]:
    """Return what a method is trained on: DPO and GRPO get rows of the same lengths in every update.

    SFT gets as many as its order by length needs to look as it does with a whole corpus.
    """
    vocabulary = memory.shape(profile.model).vocabulary
    batch = getattr(profile, what).batch_size
    if what == "sft":
        return stand_in.corpus(stand_in.lengths(4 * GROUPED * batch), vocabulary)
    an_update = stand_in.lengths(batch if what == "dpo" else batch // profile.grpo.group_size)
    updates = [list(an_update) for _ in range(sizes.warm_up + sizes.updates)]
    if sizes.longest:
        updates[0][0] = stand_in.LONGEST
    return [row for seed, lengths in enumerate(updates) for row in stand_in.corpus(lengths, vocabulary, seed)]


def _fix_order(trainer: Any, sizes: Sizes) -> None:
    """Let a training take its rows in the order in which they stand; of SFT's batches some from all over its order.

    Where rows are grouped by length, batches come sorted, fifty at a time: the first are the longest, and no measure.
    """
    if isinstance(trainer, GRPOTrainer):
        trainer.shuffle_dataset = False
        return
    ordinary, size = (
        trainer._get_train_sampler,
        trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps,
    )
    updates = sizes.warm_up + sizes.updates

    def sampler(*args: Any) -> list[int]:
        if isinstance(trainer, DPOTrainer):
            return list(range(len(trainer.train_dataset)))
        order = list(ordinary(*args))
        longest = int(np.argmax([len(ids) for ids in trainer.train_dataset["input_ids"]]))
        order.insert(0, order.pop(order.index(longest)))
        batches = [order[i : i + size] for i in range(0, GROUPED * size, size)]
        places = ((np.arange(updates) + 0.5) / updates * GROUPED).astype(int).tolist()
        places[0] = 0 if sizes.longest else places[0]
        return [row for place in places for row in batches[place]]

    trainer._get_train_sampler = sampler


def stamp(base: Path, quick: bool) -> dict[str, Any]:
    """Return what made a row: date, device, model, versions, commit."""
    made, shape = store.provenance(), memory.shape(config.Model(str(base)))
    return {
        "date": datetime.date.today().isoformat(), "device": device_name(), "threads": torch.get_num_threads(),
        "parameters": shape.parameters, "layers": shape.layers, "hidden": shape.hidden, "vocabulary": shape.vocabulary,
        "quick": quick, "profile": PROFILE.name, "commit": made["commit"],
        **{name: made["packages"][name] for name in ("torch", "transformers", "trl", "accelerate")},
    }  # fmt: skip


def device_name() -> str:
    """Return the model of the GPU, or of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


# ---- all of them


def in_a_process(name: str, way: str, base: Path, quick: bool) -> dict[str, Any]:
    """Return the row of one measurement, made in a process of its own.

    Raises:
        RuntimeError: it failed; the message ends in what it printed last.
    """
    command = [sys.executable, __file__, "--measure", name, "--way", way, "--base", str(base)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command + ["--quick"] * quick, capture_output=True, text=True, env=offline, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} by {way} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def append(row: dict[str, Any], record: Path) -> None:
    """Append a row to the record, which gets its header with the first one.

    Raises:
        ValueError: the record has other columns.
    """
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    if lines and lines[0] != ",".join(COLUMNS):
        raise ValueError(f"{record} has other columns than are measured now: rename it, or add them to its rows.")
    with record.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not lines:
            writer.writeheader()
        writer.writerow({name: f"{v:.4g}" if isinstance(v, float) else v for name, v in row.items()})


FORM = "{:<11}{:<10}{:>9}{:>10}{:>17}{:>11}{:>11}{:>6}{:>7}"
HEAD = FORM.format("what", "way", "batch", "seconds", "range", "trained/s", "sampled/s", "gen.", "GB")


def line(row: dict[str, Any]) -> str:
    """Return a row as it is shown on the terminal."""

    def shown(name: str, form: str) -> str:
        return "" if row[name] is None else format(row[name], form)

    return FORM.format(
        f"{row['what']}-{row['group_size']}" if row["group_size"] else row["what"],
        row["way"], f"{row['batch']}/{row['micro_batch']}", shown("seconds", ".3g"),
        f"{row['seconds_low']:.3g} to {row['seconds_high']:.3g}",
        shown("trained_per_second", ",.0f"), shown("sampled_per_second", ",.0f"), shown("generation_share", ".0%"),
        shown("memory_gb", ".2f"),
    )  # fmt: skip


def chosen(only: str) -> list[str]:
    """Return the measurements in a list with commas; "grpo" is all of GRPO's, and nothing is everything.

    Raises:
        ValueError: there is no such measurement.
    """
    wanted = [name for name in only.split(",") if name]
    known = {*MEASUREMENTS, "grpo"}
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"there is no measurement {unknown[0]!r}. There are: {', '.join(MEASUREMENTS)}.")
    return [name for name in MEASUREMENTS if not wanted or {name, name.partition("-")[0]} & {*wanted}]


def main() -> None:
    """Measure, print a line for each measurement, and append them to the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small batches, an update or two")
    parser.add_argument("--only", default="", help="some measurements, with commas between them")
    full = stand_in.Model()
    parser.add_argument("--layers", type=int, default=full.layers, help="of a smaller model, to try this out")
    parser.add_argument("--hidden", type=int, default=full.hidden)
    parser.add_argument("--vocabulary", type=int, default=full.vocabulary)
    parser.add_argument("--output", type=Path, help="the record; for the full model results/full-size.csv")
    for internal in ("--measure", "--way", "--base"):  # how it starts itself, a process a measurement
        parser.add_argument(internal, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        base = Path(asked.base)
        row = measure(asked.measure, asked.way, base, QUICK if asked.quick else FULL)
        print(json.dumps({**row, **stamp(base, asked.quick)}))
        return
    try:
        names = chosen(asked.only)
    except ValueError as error:
        parser.error(str(error))
    model = stand_in.Model(asked.layers, asked.hidden, asked.vocabulary)
    record = asked.output or (RECORD if model == full else None)
    with tempfile.TemporaryDirectory() as base:
        stand_in.save(model, PROFILE.prompt, Path(base))
        print(HEAD, flush=True)
        for name in names:
            for way in WAYS:
                row = in_a_process(name, way, Path(base), asked.quick)
                print(line(row), flush=True)
                if record:
                    append(row, record)
    print("seconds: the median of an update, or of a prompt decoded (sampling, evaluation); tokens without padding")
    print(f"recorded in {record}" if record else "not recorded: not the full model, and no --output")


if __name__ == "__main__":
    main()
