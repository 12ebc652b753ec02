"""A ledger of predictions: written down before anything is scored on test, judged afterwards by one rule.

`predictions.csv` holds a row a prediction: how two systems differ in a metric on the test set, where the difference is
expected, and the smallest difference that would matter. What came of it is one of three:

- *reproduced*: of a difference, that it is found (two-sided, corrected by Holm over all that are predicted) on the side
  that was predicted, and may be as large as what matters; of no difference, that it is shown to be smaller than what
  matters (two one-sided tests, `compare.equivalence`)
- *not here*: the opposite is shown: a difference on the other side, or none that matters; where none was predicted, a
  difference
- *cannot be seen*: neither
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from gecalign import metrics
from gecalign.statistics import compare, seeds
from gecalign.statistics.compare import Difference
from gecalign.statistics.design import ALPHA
from gecalign.study.results import Results
from gecalign.systems import LABELS

Verdict = Literal["reproduced", "not here", "cannot be seen"]
NUMBERS = ("low", "high", "margin", "visible")
METRICS = {metric.name: metric for metric in metrics.METRICS}


@dataclass(frozen=True, slots=True)
class Expectation:
    """How the score of a system is expected to differ from that of another, on the test set, greedy, over seeds.

    Args:
        name: what it is called, in one or two words.
        claim: what is predicted, in a sentence.
        system: whose difference to `against` it is; both as in `gecalign.systems`.
        metric: its name as in `metrics.METRICS`.
        low: where the difference is expected, in points of the metric, from here
        high: to here. If 0 lies between them, what is predicted is no difference.
        margin: the smallest difference that matters, above 0.
        visible: the smallest true difference that the test set would show, with a power of 80 %, by how outputs on
            dev differed in a pilot; other seeds come on top.
        why: where the expectation comes from.
    """

    name: str
    claim: str
    system: str
    against: str
    metric: str
    low: float
    high: float
    margin: float
    visible: float
    why: str

    def __post_init__(self) -> None:
        if unknown := [name for name in (self.system, self.against) if name not in LABELS]:
            raise ValueError(f"{unknown[0]!r} is no system. Systems: {', '.join(LABELS)}.")
        if self.metric not in METRICS:
            raise ValueError(f"{self.metric!r} is no metric. Metrics: {', '.join(METRICS)}.")
        if not self.low <= self.high:
            raise ValueError(f"expected from {self.low} to {self.high}: the first is to be the lower one.")
        if not self.margin > 0:
            raise ValueError(f"the margin is {self.margin}; expected the smallest difference that matters, above 0.")
        if self.side == 0 and max(-self.low, self.high) > self.margin:
            raise ValueError(
                f"expected from {self.low} to {self.high}, with a margin of {self.margin}: where no difference is "
                "predicted, none that matters can be expected."
            )

    @property
    def side(self) -> int:
        """1 where more is predicted than of the other system, -1 where less, 0 where no difference is."""
        return 1 if self.low >= 0 < self.high else -1 if self.high <= 0 > self.low else 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a prediction."""

    expectation: Expectation
    found: Difference
    p_value: float  # of the difference; where one was predicted, corrected for their number
    verdict: Verdict

    @property
    def as_large_as_expected(self) -> bool:
        """Whether the difference that was found lies where it was expected."""
        return self.expectation.low <= self.found.estimate <= self.expectation.high


def read(path: Path) -> list[Expectation]:
    """Read predictions from a table.

    Raises:
        ValueError: a column is missing, a row is no expectation, or two have one name.
    """
    columns = [field.name for field in fields(Expectation)]
    predictions: dict[str, Expectation] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{path} has no column {missing[0]!r}; expected {', '.join(columns)}.")
        for number, row in enumerate(reader, start=1):
            try:
                numbers = {name: float(row[name]) for name in NUMBERS}
                words = {name: row[name] for name in columns if name not in numbers}
                found = Expectation(**words, **numbers)  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, prediction {number} ({row['name']}): {error}") from None
            if found.name in predictions:
                raise ValueError(f"{path}, prediction {number}: another is called {found.name!r}, too.")
            predictions[found.name] = found
    return list(predictions.values())


def differences(predictions: Sequence[Expectation], results: Results) -> dict[str, Difference]:
    """Return what the results say to each prediction, by its name; those whose systems were not run are left out."""
    there = set(results.record["systems"])
    return {
        p.name: seeds.paired_differences(
            {p.system: results.statistics(METRICS[p.metric], p.system)},
            results.statistics(METRICS[p.metric], p.against),
            METRICS[p.metric].score,
        )[p.system]
        for p in predictions
        if {p.system, p.against} <= there
    }


def judge(predictions: Sequence[Expectation], results: Results) -> list[Judgement]:
    """Return what came of each prediction whose systems were run."""
    found = differences(predictions, results)
    run = [p for p in predictions if p.name in found]
    p_values = {name: one.p_value for name, one in found.items()}
    p_values |= compare.holm({p.name: p_values[p.name] for p in run if p.side})
    return [Judgement(p, found[p.name], p_values[p.name], verdict(p, found[p.name], p_values[p.name])) for p in run]


def verdict(expectation: Expectation, found: Difference, p_value: float) -> Verdict:
    """Return what a difference says of a prediction.

    Args:
        p_value: of the difference, corrected for the number of differences that are predicted.
    """
    matters_not = compare.equivalence(found, expectation.margin).equivalent
    shown = p_value <= ALPHA
    if expectation.side == 0:
        return "reproduced" if matters_not else "not here" if shown else "cannot be seen"
    if matters_not:
        return "not here"
    if not shown:
        return "cannot be seen"
    return "reproduced" if found.estimate * expectation.side > 0 else "not here"
