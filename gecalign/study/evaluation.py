"""What a system wrote on a split, what that scores, and how often the test set was read.

Evaluations are stored with their predictions, and scored again whenever they are loaded, so that a stored number
never survives a change of the metrics.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, metrics, prompts
from gecalign.corpus.examples import Example
from gecalign.corpus.texts import Reference
from gecalign.metrics import predictions
from gecalign.metrics.behaviour import Behaviour, behaviour
from gecalign.metrics.predictions import Prediction
from gecalign.runtime import files, processes, store
from gecalign.runtime.store import Stage

if TYPE_CHECKING:
    from gecalign.models.decode import Completion


@dataclass(frozen=True)
class Outputs:
    """A system's predictions on a split, and what they score."""

    system: str
    split: str
    predictions: tuple[Prediction, ...]

    @property
    def sources(self) -> list[str]:
        """What was to be corrected, a string a prediction."""
        return [p.source for p in self.predictions]

    @property
    def references(self) -> list[Reference]:
        """The careful corrections, in the same order: a string a prediction, or several."""
        return [p.reference for p in self.predictions]

    @property
    def hypotheses(self) -> list[str]:
        """What the system wrote, in the same order."""
        return [p.hypothesis for p in self.predictions]

    @cached_property
    def scores(self) -> metrics.Evaluation:
        """What they score, by every yardstick."""
        return _score(self.predictions)

    @cached_property
    def behaviour(self) -> Behaviour:
        """What they do, sentence by sentence."""
        return behaviour(self.hypotheses, self.references, self.sources, [p.truncated for p in self.predictions])


@dataclass(frozen=True)
class SystemEvaluation(Outputs):
    """Outputs that a stage holds."""

    stage: Stage


def check_askable(examples: Sequence[Example], split: str, decoding: config.Decoding, prompt: config.Prompt) -> None:
    """Raise ValueError where a split cannot be evaluated: it is empty, or the prompt or decoding does not fit."""
    prompts.validate(prompt)
    if not examples:
        raise ValueError(f"this corpus has no {split} rows. Evaluate on another split.")
    if decoding.samples != 1:
        raise ValueError(
            f"an evaluation scores one hypothesis a sentence, and decoding__samples is {decoding.samples}. "
            "Set it to 1; for more samples call gecalign.models.decode.decode."
        )


def predicted(examples: Sequence[Example], outputs: Sequence[Sequence[Completion]]) -> list[Prediction]:
    """Return what a model wrote for examples, its first completion of each."""
    return [
        Prediction(e.id, e.source, e.reference, prompts.hypothesis(o.text), o.tokens, o.truncated)
        for e, (o, *_) in zip(examples, outputs, strict=True)
    ]


def write(written: Sequence[Prediction], folder: Path) -> dict[str, Any]:
    """Write predictions and their scores into a folder; return the facts worth recording."""
    files.write_jsonl(written, folder / "predictions.jsonl")
    scores = _score(written)
    record = {"n": scores.n, **scores.row(), "signatures": scores.signatures()}
    store.write_text(folder / "metrics.json", json.dumps(record, indent=1) + "\n")
    return {"tokens": sum(p.tokens for p in written)}


def load(system: str, split: str, stage: Stage) -> SystemEvaluation:
    """Read the predictions that `write` wrote; they are scored anew when somebody asks for their scores."""
    written = predictions.read(stage.folder / "predictions.jsonl")
    return SystemEvaluation(system, split, written, stage)


def count_test_reading(root: Path, system: str, seed: int) -> None:
    """Note in the profile's folder of runs that its test set was decoded, and print for which time."""
    if not processes.is_main():
        return
    path = root / "test-readings.txt"
    root.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{system} seed {seed}\n")
    count = len(path.read_text(encoding="utf-8").splitlines())
    processes.say(f"test set of {root.name}: reading {count} ({system}, seed {seed})")


def _score(written: Sequence[Prediction]) -> metrics.Evaluation:
    return metrics.evaluate(
        [p.hypothesis for p in written],
        [p.reference for p in written],
        [p.source for p in written],
        truncated=[p.truncated for p in written],
    )
