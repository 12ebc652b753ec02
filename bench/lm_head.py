"""Side by side: an update of each method with TRL's own head (in tiles) and with ours, on this machine.

    python bench/lm_head.py

Prints the median seconds of forward and backward pass on the same batches of the profile `tiny`, in turn, and the
largest difference between the two losses. GRPO's batches hold samples that were drawn beforehand.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gecalign.preferences import pairs
from gecalign.study import Study
from gecalign.training import dpo, grpo, loop, online, sft
from gecalign.training.rows import demonstrations

BATCHES = 12


def trainers(study: Study) -> dict[str, Callable[[], Any]]:
    """Return a function that makes a trainer of each method, with a fresh model each time."""
    profile, run = study.profile, study.run(Path(tempfile.mkdtemp()))
    rows = demonstrations(study.examples("train")[:2000], profile.prompt)
    preferences = pairs.read(study.pairs().folder / "pairs.jsonl")
    prompted = study.examples("preference")

    def of_sft() -> Any:
        return sft.trainer(study.model("sft"), rows, profile.sft, run)

    def of_dpo() -> Any:
        return dpo.trainer(study.model("sft"), study.model("sft")[0], preferences, [], profile.dpo, run)

    def of_grpo() -> Any:
        return grpo.trainer(study.model("sft"), study.model("sft")[0], prompted, profile.grpo, run)

    return {"SFT": of_sft, "DPO": of_dpo, "GRPO": of_grpo}


def with_trls_head(make: Callable[[], Any]) -> Any:
    """Return a trainer that keeps TRL's own head."""
    ours, theirs = loop.use_plain_head, online.use_plain_head
    loop.use_plain_head = online.use_plain_head = lambda *_: None
    try:
        return make()
    finally:
        loop.use_plain_head, online.use_plain_head = ours, theirs


def compare(make: Callable[[], Any]) -> tuple[dict[str, float], float]:
    """Return the median seconds of an update with either head, and the largest difference of their losses."""
    both = {"TRL's": with_trls_head(make), "ours": make()}
    loader = both["ours"].get_train_dataloader()
    batches = [both["ours"]._prepare_inputs(batch) for batch, _ in zip(loader, range(BATCHES), strict=False)]
    times: dict[str, list[float]] = {name: [] for name in both}
    gap = 0.0
    for batch in batches:
        losses = []
        for name, trainer in both.items():
            start = time.perf_counter()
            loss = trainer.compute_loss(trainer.model, dict(batch))
            loss.backward()
            times[name].append(time.perf_counter() - start)
            losses.append(loss.item())
            trainer.model.zero_grad()
        gap = max(gap, abs(losses[0] - losses[1]))
    return {name: statistics.median(values) for name, values in times.items()}, gap


def main() -> None:
    """Measure and print."""
    for method, make in trainers(Study("tiny", seed=0)).items():
        medians, gap = compare(make)
        seconds = "   ".join(f"{name} {value:.3f} s" for name, value in medians.items())
        ratio = medians["TRL's"] / medians["ours"]
        print(
            f"{method:<5} {seconds}   ratio {ratio:.2f}   largest difference of the losses {gap:.1e} nats", flush=True
        )
    print(f"medians of {BATCHES} updates, forward and backward pass, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
