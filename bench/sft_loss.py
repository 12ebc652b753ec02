"""Side by side: an SFT update with TRL's own loss (in tiles) and with the model's, on this machine.

    python bench/sft_loss.py

Prints the median seconds of forward and backward pass on the same batches of the profile `tiny`, in turn, and
the largest difference between the two losses.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import Trainer
from trl import SFTTrainer

from gecalign import models, train
from gecalign.study import Study

BATCHES = 12


def main() -> None:
    """Measure and print."""
    study = Study("tiny", seed=0)
    model, tokenizer = models.load(study.profile.model)
    rows = train.demonstrations(study.examples("train")[:2000], study.profile.prompt)
    trainer = train.sft_trainer(model, tokenizer, rows, rows[:8], study.profile.sft, 0, Path(tempfile.mkdtemp()))
    batches = [batch for batch, _ in zip(trainer.get_train_dataloader(), range(BATCHES), strict=False)]
    times: dict[str, list[float]] = {"TRL's": [], "the model's": []}
    gap = 0.0
    for batch in batches:
        losses = []
        for name, owner in (("TRL's", SFTTrainer), ("the model's", Trainer)):
            start = time.perf_counter()
            loss = owner.compute_loss(trainer, model, dict(batch))
            loss.backward()
            times[name].append(time.perf_counter() - start)
            losses.append(loss.item())
            model.zero_grad()
        gap = max(gap, abs(losses[0] - losses[1]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name + ' loss':<18}{seconds:.3f} s a batch of {study.profile.sft.batch_size} rows")
    trl, own = medians.values()
    print(f"ratio             {trl / own:.2f}")
    print(f"largest difference of the losses: {gap:.1e} nats ({torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
