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
from gecalign.training import loop, train

BATCHES = 12


def trainers(study: Study) -> dict[str, Callable[[], Any]]:
    """Return a function that makes a trainer of each method, with a fresh model each time."""
    profile, folder = study.profile, Path(tempfile.mkdtemp())
    rows = train.demonstrations(study.examples("train")[:2000], profile.prompt)
    preferences = pairs.read(study.pairs().folder / "pairs.jsonl")
    prompted = study.examples("preference")

    def sft() -> Any:
        return train.sft_trainer(*study.model("sft"), rows, rows[:8], profile.sft, 0, folder)

    def dpo() -> Any:
        (model, tokenizer), (reference, _) = study.model("sft"), study.model("sft")
        return train.dpo_trainer(model, reference, tokenizer, preferences, [], profile.dpo, 0, folder)

    def grpo() -> Any:
        (model, tokenizer), (reference, _) = study.model("sft"), study.model("sft")
        settings = profile.grpo, profile.prompt, profile.decoding
        return train.grpo_trainer(model, reference, tokenizer, prompted, *settings, 0, folder)

    return {"SFT": sft, "DPO": dpo, "GRPO": grpo}


def with_trls_head(make: Callable[[], Any]) -> Any:
    """Return a trainer that keeps TRL's own head."""
    ours, theirs = loop.use_plain_head, train.use_plain_head
    loop.use_plain_head = train.use_plain_head = lambda *_: None
    try:
        return make()
    finally:
        loop.use_plain_head, train.use_plain_head = ours, theirs


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
