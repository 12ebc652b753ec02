"""One run beside the runs of the record: what the reader's own training gave, and where others of its kind lie.

A model that was trained a minute ago is one draw. The record (`study.results`) holds several, of several seeds.
Shown together, they say what a single number cannot: whether this one is anything special.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gecalign.statistics.resampling import LEVEL


@dataclass(frozen=True, slots=True)
class Beside:
    """A quantity in each run of the record, and in the run at hand."""

    record: tuple[float, ...]  # a value a seed
    here: float
    within: tuple[float, float] = (-math.inf, math.inf)  # where the quantity lies by what it is, such as 0 to 100

    @property
    def expected(self) -> tuple[float, float]:
        """Where 95 of 100 further runs are expected, by Student's t.

        The values of the seeds are taken for draws of one normal distribution: mean +- t * sd * sqrt(1 + 1 / S).
        """
        from scipy import stats

        values = np.array(self.record)
        if len(values) < 2:
            return math.nan, math.nan
        t = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
        half = t * float(values.std(ddof=1)) * math.sqrt(1 + 1 / len(values))
        least, most = self.within
        return max(least, float(values.mean()) - half), min(most, float(values.mean()) + half)

    def words(self, digits: int = 1) -> str:
        """Return both in words.

        >>> Beside((73.1, 74.4), 73.9).words()
        'in the record 73.1 to 74.4 over 2 seeds, here 73.9'
        """
        low, high = min(self.record), max(self.record)
        seeds = len(self.record)
        return f"in the record {low:.{digits}f} to {high:.{digits}f} over {seeds} seeds, here {self.here:.{digits}f}"


def of(record: Sequence[float] | np.ndarray, here: float) -> Beside:
    """Return values of the record, one a seed, beside that of the run at hand."""
    return Beside(tuple(float(value) for value in record), float(here))


def share(record: Sequence[float] | np.ndarray, here: float) -> Beside:
    """Return the same for a share in per cent, which lies between 0 and 100."""
    return replace(of(record, here), within=(0.0, 100.0))


def table(rows: Mapping[str, Beside], digits: int = 1) -> pd.DataFrame:
    """Return a row a quantity: mean and range over the record's seeds, where one more run is expected, this run."""

    def between(low: float, high: float) -> str:
        return f"{low:.{digits}f} to {high:.{digits}f}"

    return pd.DataFrame.from_dict(
        {
            name: {
                "record, mean": f"{np.mean(one.record):.{digits}f}",
                "record, range": between(min(one.record), max(one.record)),
                "expected of one more run": between(*one.expected),
                "this run": f"{one.here:.{digits}f}",
            }
            for name, one in rows.items()
        },
        orient="index",
    )
