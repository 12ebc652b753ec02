"""What a study will take, before it is begun: the work of each step, and how fast this machine does such work.

Two kinds of work are all that counts: rows that a loss is computed on, and samples that a model writes. Both rates are
measured on a few rows of the profile's own model and data.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gecalign import prompts, results
from gecalign.systems import SYSTEMS

if TYPE_CHECKING:
    from gecalign.study import Study

ROWS = 32  # in a measurement


@dataclass(frozen=True, slots=True)
class Work:
    """Work of a step: rows trained on (forward and backward), and samples written."""

    rows: int = 0
    samples: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.rows + other.rows, self.samples + other.samples)


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds that this machine takes, in one process, for a row trained on and for a sample written."""

    row: float
    sample: float

    def seconds(self, work: Work) -> float:
        """Return how long some work takes."""
        return self.row * work.rows + self.sample * work.samples


def work(study: Study) -> dict[str, Work]:
    """Return the work behind each system with one seed: training, sampling, and all its evaluations."""
    profile, size = study.profile, {split: len(study.examples(split)) for split in ("dev", "test")}
    grpo, pairs, dpo = profile.grpo, profile.pairs, profile.dpo
    prompted = min(pairs.prompts or size_of(study, pairs.split), size_of(study, pairs.split))
    sampling = Work(samples=prompted * pairs.samples)
    supervised = Work(profile.sft.steps * profile.sft.batch_size, (profile.sft.evaluations + 3) * size["dev"])
    again = Work(grpo.steps * profile.sft.batch_size, profile.continued.evaluations * size["dev"])
    # of a pair both texts are trained on, and asked once from the reference
    preferring = Work(dpo.epochs * min(pairs.count, prompted) * 3, dpo.evaluations * size["dev"])
    rewarded = Work(grpo.steps * grpo.batch_size, grpo.steps * grpo.batch_size + grpo.evaluations * size["dev"])
    trained = {
        "sft": supervised, "sft-unmasked": supervised, "sft-continued": again, "sft-fresh": again, "sft-careful": again,
        "random-of-k": again + sampling, "raft": again, "dpo": preferring, "dpo-reference": preferring,
        "dpo-two-temperatures": preferring + sampling, "grpo-4": rewarded, "grpo": rewarded, "grpo-16": rewarded,
        "grpo-shuffled": rewarded,
    }  # fmt: skip
    found = {}
    for system in SYSTEMS:
        written = sum(size[split] for split, _ in results.evaluations(system))
        if system == "best-of-n":
            written *= profile.reward_check.samples
        found[system] = trained.get(system, Work()) + Work(samples=written if system != "copy" else 0)
    return found


def size_of(study: Study, split: str) -> int:
    """Return the number of rows of a split."""
    return len(study.examples(split))


def measure(study: Study) -> Rates:
    """Measure both rates with the profile's base model on a few of its rows; takes seconds on `tiny`."""
    import torch

    model, tokenizer = study.model("base")
    rows = study.examples("dev")[:ROWS]
    asked = [prompts.render(study.profile.prompt, row.source) for row in rows]
    texts = [ask + prompts.completion(row.reference) for ask, row in zip(asked, rows, strict=True)]
    batch = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
    start = time.perf_counter()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    row = (time.perf_counter() - start) / len(rows)
    model.zero_grad()
    length = max(len(ids) for ids in tokenizer([row.reference for row in rows])["input_ids"])
    inputs = tokenizer(asked, padding=True, padding_side="left", return_tensors="pt").to(model.device)
    start = time.perf_counter()
    with torch.inference_mode():
        model.generate(**inputs, do_sample=False, min_new_tokens=length, max_new_tokens=length,
                       pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    return Rates(row, (time.perf_counter() - start) / len(rows))
