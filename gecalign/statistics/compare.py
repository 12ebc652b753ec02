"""How far to trust a score: intervals, paired differences, tests, equivalence.

Everything works on the statistics of `gecalign.metrics.scores`, a row of counts per sentence, and on a score that
maps summed rows to a number; no text is scored again. Scores of corpora are not means of sentence scores,
so there is no textbook formula: sentences are resampled instead (Koehn 2004,
https://aclanthology.org/W04-3250), or swapped between two systems (Riezler & Maxwell 2005,
https://aclanthology.org/W05-0908).

All this speaks of other *sentences*, with these same trained models. What another training seed would give is
another question: see `gecalign.statistics.seeds`. What a comparison can show at all: `gecalign.statistics.design`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign.statistics.design import ALPHA, check_probability

Array = npt.NDArray[np.float64]
ScoreFunction = Callable[[npt.ArrayLike], Array]  # (..., k) totals -> (...)

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 1 << 20  # entries of a weight matrix in memory at a time: 8 MB


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a corpus score, or of a difference of two."""

    low: float
    high: float
    estimate: float
    method: str
    n: int  # sentences
    resamples: int  # 0 where none were drawn
    level: float
    seeds: int = 1  # training runs that the estimate is the mean of
    signature: str = ""  # of the metric


@dataclass(frozen=True)
class Difference:
    """Score of a system minus score of a baseline on the same sentences, and with the same seeds."""

    estimate: float
    interval: Interval
    p_value: float  # two-sided
    test: str  # what the p-value comes from
    standard_error: float
    df: float  # degrees of freedom of the standard error
    share_changed: float  # sentences whose statistics differ, 0-1
    n: int  # sentences
    per_seed: tuple[float, ...]  # the difference of each pair of training runs

    @property
    def seeds(self) -> int:
        """The number of pairs of training runs."""
        return len(self.per_seed)


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference is shown to be smaller than a margin, in either direction."""

    equivalent: bool
    margin: float  # in units of the score
    p_value: float
    low: float  # the interval of level 1 - 2 alpha that must lie within the margin
    high: float
    alpha: float


def interval(
    statistics: npt.ArrayLike,
    score: ScoreFunction,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: str = "percentile",
    signature: str = "",
) -> Interval:
    """Return the bootstrap interval of `score(statistics.sum(axis=0))`.

    "percentile" takes quantiles of the resampled scores; "bca" also corrects them for bias and skewness
    (Efron 1987, https://doi.org/10.2307/2289144) and is the better one for small test sets and scores near 0
    or 100.

    Example:
        >>> hits = np.array([[1.0, 1.0]] * 80 + [[0.0, 1.0]] * 20)
        >>> found = interval(hits, lambda totals: 100 * totals[..., 0] / totals[..., 1])
        >>> found.estimate, found.low, found.high
        (80.0, 72.0, 88.0)

    Raises:
        ValueError: fewer than two sentences, a score that is not a number, or a setting out of range.
    """
    return intervals({"statistics": statistics}, score, resamples, seed, level, method, signature)["statistics"]


def intervals(
    systems: Mapping[str, npt.ArrayLike],
    score: ScoreFunction,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: str = "percentile",
    signature: str = "",
) -> dict[str, Interval]:
    """Return `interval` for several systems on the same sentences, whose resamples are drawn once for all."""
    stacked = _stack(systems)
    _check_settings(resamples, level, method)
    found = _bootstrap(stacked, lambda scores: scores, score, resamples, seed, level, method)
    return {name: _interval(one, len(stacked), method, resamples, level, signature)
            for name, one in zip(systems, found, strict=True)}  # fmt: skip


def bootstrap_scores(
    statistics: npt.ArrayLike, score: ScoreFunction, resamples: int = RESAMPLES, seed: int = 0
) -> Array:
    """Return the scores of test sets drawn with replacement from this one, shape (resamples,)."""
    check_resamples(resamples)
    stacked = _stack({"statistics": statistics})
    return _bootstrap(stacked, lambda scores: scores, score, resamples, seed)[0].scores


def paired_difference(
    system: npt.ArrayLike,
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: str = "percentile",
    signature: str = "",
) -> Difference:
    """Compare two systems on the same sentences: positive where `system` scores higher than `baseline`.

    The interval draws the same sentences for both. The p-value comes from `randomization_p`.

    Args:
        system: its statistics, shape (n, k), row i for sentence i.
        baseline: the same for the other system, of the same metric.

    Raises:
        ValueError: the two have different shapes, and whatever `interval` raises.
    """
    return paired_differences({"system": system}, baseline, score, resamples, seed, level, method, signature)["system"]


def paired_differences(
    systems: Mapping[str, npt.ArrayLike],
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: str = "percentile",
    signature: str = "",
) -> dict[str, Difference]:
    """Return `paired_difference` of several systems to one baseline; sentences and swaps are drawn once for all.

    The p-values are not corrected for being several: see `holm`.
    """
    stacked = _stack({**systems, "baseline": baseline})
    _check_settings(resamples, level, method)
    found = _bootstrap(stacked, lambda scores: scores[:-1] - scores[-1:], score, resamples, seed, level, method)
    p_values = _randomization(stacked, score, resamples, seed)
    differences = {}
    for i, name in enumerate(systems):
        pull = _influences(stacked[:, i], score) - _influences(stacked[:, -1], score)
        limits = _interval(found[i], len(stacked), method, resamples, level, signature)
        differences[name] = Difference(
            estimate=limits.estimate,
            interval=limits,
            p_value=float(p_values[i]),
            test="approximate randomization",
            standard_error=float(pull.std(ddof=1)) / math.sqrt(len(stacked)),
            df=len(stacked) - 1,
            share_changed=float((stacked[:, i] != stacked[:, -1]).any(axis=1).mean()),
            n=len(stacked),
            per_seed=(limits.estimate,),
        )
    return differences


def randomization_p(
    system: npt.ArrayLike,
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Return the two-sided p-value of approximate randomization (Riezler & Maxwell 2005).

    If the systems were interchangeable, so would be their outputs for each sentence: swap them by a coin,
    and count how often the difference is at least as large as the one seen. Ties count, so two identical
    systems have p = 1; p = (count + 1) / (resamples + 1), so p is never 0.

    Raises:
        ValueError: the two have different shapes, fewer than two sentences, a score that is not a number, or no
            resamples.
    """
    check_resamples(resamples)
    return float(_randomization(_stack({"system": system, "baseline": baseline}), score, resamples, seed)[0])


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number, by Holm's step-down method (Holm 1979).

    Whatever the truth is, the chance of any false finding among those with a corrected p of at most alpha is at
    most alpha.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    corrected, largest = {}, 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def equivalence(difference: Difference, margin: float, alpha: float = ALPHA) -> Equivalence:
    """Return whether two systems are shown to differ by less than `margin`: two one-sided t-tests (Schuirmann 1987).

    That no difference was found does not show that there is none: a small test set finds nothing. Here the burden is
    turned round, and the small test set shows nothing either.

    Args:
        margin: the largest difference that does not matter, in units of the score; to be stated before looking.

    Raises:
        ValueError: the margin is not above 0, or alpha is no probability.
    """
    from scipy import stats

    if not margin > 0:
        raise ValueError(f"margin is {margin}; expected the largest difference that does not matter, above 0.")
    check_probability("alpha", alpha)
    estimate, error = difference.estimate, difference.standard_error
    if error == 0:
        p_value = 0.0 if abs(estimate) < margin else 1.0
        return Equivalence(p_value == 0, margin, p_value, estimate, estimate, alpha)
    t = stats.t(difference.df)
    p_value = float(max(t.sf((estimate + margin) / error), t.cdf((estimate - margin) / error)))
    half = float(t.ppf(1 - alpha)) * error
    return Equivalence(p_value <= alpha, margin, p_value, estimate - half, estimate + half, alpha)


def luck_of_choosing(
    systems: Mapping[str, npt.ArrayLike], score: ScoreFunction, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Return by how much the best of these would beat its true score on average, were all of them equally good.

    As `design.expected_maximum`, but with the noise that these sentences have, and what candidates share of it.
    """
    stacked = _stack(systems)
    check_resamples(resamples)
    scores = np.array([one.scores for one in _bootstrap(stacked, lambda s: s, score, resamples, seed)])
    return float((scores - scores.mean(axis=1, keepdims=True)).max(axis=0).mean())


def influences(statistics: npt.ArrayLike, score: ScoreFunction) -> Array:
    """Return how much each sentence pulls the corpus score, shape (n,), mean 0, in units of the score.

    By the jackknife: leave the sentence out and see what changes, times n - 1. To first order the score is
    the mean of these values (plus a constant), so std(influences, ddof=1) / sqrt(n) is its standard error.
    For a score that is a mean, the influences are the deviations from it.
    """
    return _influences(check_rows("statistics", statistics), score)


def paired_sd(system: npt.ArrayLike, baseline: npt.ArrayLike, score: ScoreFunction) -> float:
    """Return the standard deviation over sentences of their influence on the difference of two systems.

    This is the `sd` of `design.smallest_visible_effect`, `design.power` and `design.sentences_needed`.
    """
    both = _stack({"system": system, "baseline": baseline})
    return float((_influences(both[:, 0], score) - _influences(both[:, 1], score)).std(ddof=1))


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
class _Resampled:
    estimate: float
    low: float
    high: float
    scores: Array  # (resamples,)


def _stack(systems: Mapping[str, npt.ArrayLike]) -> Array:
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


def _influences(rows: Array, score: ScoreFunction) -> Array:
    left_out = score(rows.sum(axis=0) - rows)
    return (len(rows) - 1) * (left_out.mean() - left_out)


def _bootstrap(
    stacked: Array,
    combine: Callable[[Array], Array],
    score: ScoreFunction,
    resamples: int,
    seed: int,
    level: float = LEVEL,
    method: str = "percentile",
) -> list[_Resampled]:
    """Return estimate, limits and resampled values of `combine(scores)`, by SciPy's bootstrap.

    Given the columns themselves SciPy would copy each of them for each resample. It is given the *numbers* of the
    sentences: they become counts of how often a sentence was drawn, and one matrix product gives the totals of all
    systems.

    Args:
        stacked: (n, systems, k).
        combine: scores of the systems, (systems, ...), to the values that are wanted, (values, ...).
    """
    from scipy import stats  # takes a second to load

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
            n_resamples=resamples,
            batch=max(1, CHUNK // n),
            vectorized=True,
            confidence_level=level,
            method={"percentile": "percentile", "bca": "BCa"}[method],
            rng=np.random.default_rng(seed),
        )
    estimates = combine(score(stacked.sum(axis=0)))
    limits = found.confidence_interval
    return [
        _resampled(*one) for one in zip(estimates, limits.low, limits.high, found.bootstrap_distribution, strict=True)
    ]


def _resampled(estimate: float, low: float, high: float, scores: Array) -> _Resampled:
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
    return _Resampled(float(estimate), float(low), float(high), scores)


def _interval(found: _Resampled, n: int, method: str, resamples: int, level: float, signature: str) -> Interval:
    return Interval(found.low, found.high, found.estimate, method, n, resamples, level, 1, signature)


def _randomization(stacked: Array, score: ScoreFunction, resamples: int, seed: int) -> Array:
    """Return the p-value of each system but the last against the last, shape (systems - 1,)."""
    n, systems, k = stacked.shape
    gap = (stacked[:, -1:] - stacked[:, :-1]).reshape(n, -1)  # what a swap adds to a system and takes from the baseline
    totals = stacked.sum(axis=0)
    with np.errstate(invalid="ignore"):  # NaN is dealt with below
        observed = np.abs(score(totals[:-1]) - score(totals[-1]))
    rng, count, undefined = np.random.default_rng(seed), np.zeros(systems - 1, dtype=int), np.isnan(observed)
    for size in _chunks(resamples, n):
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
    return (count + 1) / (resamples + 1)


def _counts(drawn: npt.NDArray[np.int64], n: int) -> Array:
    """Return how often each of `n` sentences was drawn, (resamples, n), from (resamples, drawn)."""
    resample = np.arange(len(drawn))[:, None]
    counts = np.bincount((drawn + resample * n).ravel(), minlength=len(drawn) * n)
    return counts.reshape(-1, n).astype(np.float64)


def _chunks(resamples: int, n: int) -> Iterator[int]:
    size = max(1, CHUNK // max(n, 1))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _check_settings(resamples: int, level: float, method: str) -> None:
    check_resamples(resamples)
    check_probability("level", level)
    if method not in ("percentile", "bca"):
        raise ValueError(f'method is {method!r}; expected "percentile" or "bca".')


def check_resamples(resamples: int) -> None:
    """Raise ValueError where the number of resamples is not at least 1."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; expected at least 1, and thousands for a stable interval.")
