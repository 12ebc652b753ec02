"""Sentences drawn again, swapped between two systems, or left out one at a time: how far a score moves.

What `gecalign.statistics.compare` and `gecalign.statistics.seeds` ask rests on this. Statistics are rows of counts, one
a sentence, (n, k); a score maps summed rows to a number, so that no text is scored again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign.statistics.design import check_probability

Array = npt.NDArray[np.float64]
ScoreFunction = Callable[[npt.ArrayLike], Array]  # (..., k) totals -> (...)

RESAMPLES = 10_000
LEVEL = 0.95
METHODS = {"percentile": "percentile", "bca": "BCa"}  # ours and SciPy's names
CHUNK = 1 << 20  # entries of a weight matrix in memory at a time: 8 MB


@dataclass(frozen=True, slots=True)
class Resampling:
    """How an interval is found: what is drawn, how often, and what is read off.

    Attributes:
        resamples: how many are drawn, for the interval and for the p-value.
        seed: of what is drawn.
        level: of the interval, 0-1.
        method: "percentile" takes quantiles of the resampled scores; "bca" also corrects them for bias and skewness
            (Efron 1987, https://doi.org/10.2307/2289144) and is the better one for small test sets and scores near 0 or
            100; "t", of `gecalign.statistics.seeds` alone, draws nothing.

    Raises:
        ValueError: fewer than one resample, or a level that is no probability.
    """

    resamples: int = RESAMPLES
    seed: int = 0
    level: float = LEVEL
    method: str = "percentile"

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(
                f"resamples is {self.resamples}; expected at least 1, and thousands for a stable interval."
            )
        check_probability("level", self.level)


USUAL = Resampling()


def check_rows(name: str, statistics: npt.ArrayLike) -> Array:
    """Return statistics as an array of shape (n, k).

    Raises:
        ValueError: they are of another shape, or of fewer than two sentences.
    """
    rows = np.asarray(statistics, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(
            f"{name} has shape {rows.shape}; expected (n, k), a row of counts for each of two or more "
            "sentences. Pass metric.statistics(...), not their sum and not a score."
        )
    return rows


@dataclass(frozen=True)
class Resampled:
    """A value on all sentences, the limits of its interval, and what it was on each resample."""

    estimate: float
    low: float
    high: float
    scores: Array  # (resamples,)


def stack(systems: Mapping[str, npt.ArrayLike]) -> Array:
    """Return the statistics of systems on the same sentences side by side, (n, systems, k)."""
    rows = {name: check_rows(name, statistics) for name, statistics in systems.items()}
    (first, expected), *others = ((name, array.shape) for name, array in rows.items())
    for name, shape in others:
        if shape != expected:
            raise ValueError(
                f"{first} has statistics of shape {expected} and {name} of {shape}: expected the same metric "
                "on the same sentences, row by row. Score both systems on one test set."
            )
    return np.stack(list(rows.values()), axis=1)


def influences(statistics: npt.ArrayLike, score: ScoreFunction) -> Array:
    """Return how much each sentence pulls the corpus score, shape (n,), mean 0, in units of the score.

    By the jackknife: leave the sentence out and see what changes, times n - 1. To first order the score is
    the mean of these values (plus a constant), so std(influences, ddof=1) / sqrt(n) is its standard error.
    For a score that is a mean, the influences are the deviations from it.
    """
    rows = check_rows("statistics", statistics)
    left_out = score(rows.sum(axis=0) - rows)
    return (len(rows) - 1) * (left_out.mean() - left_out)


def bootstrap(
    stacked: Array, combine: Callable[[Array], Array], score: ScoreFunction, how: Resampling
) -> list[Resampled]:
    """Return estimate, limits and resampled values of `combine(scores)`, by SciPy's bootstrap.

    Given the columns themselves SciPy would copy each of them for each resample. It is given the *numbers* of the
    sentences: they become counts of how often a sentence was drawn, and one matrix product gives the totals of all
    systems.

    Args:
        stacked: (n, systems, k).
        combine: scores of the systems, (systems, ...), to the values that are wanted, (values, ...).

    Raises:
        ValueError: a score that is not a number, or a method that is not one of `METHODS`.
    """
    from scipy import stats  # takes a second to load

    if how.method not in METHODS:
        raise ValueError(f'method is {how.method!r}; expected "percentile" or "bca".')
    n, systems, k = stacked.shape
    flat = stacked.reshape(n, systems * k)

    def values_of_drawn(drawn: npt.NDArray[np.int64], axis: int = -1) -> Array:
        totals = _counts(drawn.reshape(-1, drawn.shape[-1]), n) @ flat
        scores = score(totals.reshape(-1, systems, k)).T  # (systems, resamples)
        return combine(scores).reshape(-1, *drawn.shape[:-1])

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # NaN is dealt with below
        found = stats.bootstrap(
            (np.arange(n),),
            values_of_drawn,
            n_resamples=how.resamples,
            batch=max(1, CHUNK // n),
            vectorized=True,
            confidence_level=how.level,
            method=METHODS[how.method],
            rng=np.random.default_rng(how.seed),
        )
    estimates = combine(score(stacked.sum(axis=0)))
    limits = found.confidence_interval
    return [
        _resampled(*one) for one in zip(estimates, limits.low, limits.high, found.bootstrap_distribution, strict=True)
    ]


def _resampled(estimate: float, low: float, high: float, scores: Array) -> Resampled:
    undefined = int(np.isnan(scores).sum())
    if undefined or math.isnan(estimate):
        raise ValueError(
            f"the score is not a number on {undefined} of {len(scores)} resamples, and {estimate} on all "
            "sentences: too few of them have what is counted. Keep only those that have some."
        )
    if np.ptp(scores) == 0:  # nothing varies: SciPy's BCa divides by zero here
        low = high = estimate
    if math.isnan(low) or math.isnan(high):
        raise ValueError('the "bca" interval is not defined on these statistics. Use method="percentile".')
    return Resampled(float(estimate), float(low), float(high), scores)


def randomization(stacked: Array, score: ScoreFunction, how: Resampling) -> Array:
    """Return the p-value of each system but the last against the last, shape (systems - 1,)."""
    n, systems, k = stacked.shape
    gap = (stacked[:, -1:] - stacked[:, :-1]).reshape(n, -1)  # what a swap adds to a system and takes from the baseline
    totals = stacked.sum(axis=0)
    with np.errstate(invalid="ignore"):  # NaN is dealt with below
        observed = np.abs(score(totals[:-1]) - score(totals[-1]))
    rng, count, undefined = np.random.default_rng(how.seed), np.zeros(systems - 1, dtype=int), np.isnan(observed)
    for size in chunks(how.resamples, n):
        coins = rng.integers(2, size=(size, n), dtype=np.int8).astype(np.float64)
        moved = (coins @ gap).reshape(size, systems - 1, k)
        with np.errstate(invalid="ignore"):
            swapped = np.abs(score(totals[:-1] + moved) - score(totals[-1] - moved))
        count += (swapped >= observed - 1e-9).sum(axis=0)  # 1e-9: equal but for rounding is a tie
        undefined |= np.isnan(swapped).any(axis=0)
    if undefined.any():  # NaN is never at least as large: every p-value would be as small as can be
        raise ValueError(
            "the score is not a number on all sentences or on swapped ones: too few of them have what is counted. Keep "
            "only those that have some."
        )
    return (count + 1) / (how.resamples + 1)


def _counts(drawn: npt.NDArray[np.int64], n: int) -> Array:
    """Return how often each of `n` sentences was drawn, (resamples, n), from (resamples, drawn)."""
    resample = np.arange(len(drawn))[:, None]
    counts = np.bincount((drawn + resample * n).ravel(), minlength=len(drawn) * n)
    return counts.reshape(-1, n).astype(np.float64)


def chunks(resamples: int, n: int) -> Iterator[int]:
    """Yield how many resamples of `n` sentences to draw at a time."""
    size = max(1, CHUNK // max(n, 1))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
