"""What tests of statistics share: a score for which everything has a closed form, and how often chance finds things."""

from __future__ import annotations

import numpy as np
from scipy import stats


def mean(totals):
    """Score of the columns (value, 1): their mean."""
    return totals[..., 0] / totals[..., 1]


def with_ones(values) -> np.ndarray:
    """Statistics whose score is the mean of these values, (..., n)."""
    return np.stack([values, np.ones_like(values)], axis=-1)


def plausible(studies: int, rate: float = 0.05) -> tuple[int, int]:
    """The counts that 99 % of so many studies with this rate of findings have."""
    low, high = stats.binom.interval(0.99, studies, rate)
    return int(low), int(high)
