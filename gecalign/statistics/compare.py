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
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign.statistics.design import ALPHA, check_probability
from gecalign.statistics.resampling import (
    RESAMPLES,
    USUAL,
    Resampled,
    Resampling,
    ScoreFunction,
    bootstrap,
    influences,
    randomization,
    stack,
)


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
    how: Resampling = USUAL,
    signature: str = "",
) -> Interval:
    """Return the bootstrap interval of `score(statistics.sum(axis=0))`.

    Example:
        >>> hits = np.array([[1.0, 1.0]] * 80 + [[0.0, 1.0]] * 20)
        >>> found = interval(hits, lambda totals: 100 * totals[..., 0] / totals[..., 1])
        >>> found.estimate, found.low, found.high
        (80.0, 72.0, 88.0)

    Raises:
        ValueError: fewer than two sentences, a score that is not a number, or an unknown method.
    """
    return intervals({"statistics": statistics}, score, how, signature)["statistics"]


def intervals(
    systems: Mapping[str, npt.ArrayLike],
    score: ScoreFunction,
    how: Resampling = USUAL,
    signature: str = "",
) -> dict[str, Interval]:
    """Return `interval` for several systems on the same sentences, whose resamples are drawn once for all."""
    stacked = stack(systems)
    found = bootstrap(stacked, lambda scores: scores, score, how)
    return {name: _interval(one, len(stacked), how, signature) for name, one in zip(systems, found, strict=True)}


def paired_difference(
    system: npt.ArrayLike,
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    how: Resampling = USUAL,
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
    return paired_differences({"system": system}, baseline, score, how, signature)["system"]


def paired_differences(
    systems: Mapping[str, npt.ArrayLike],
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    how: Resampling = USUAL,
    signature: str = "",
) -> dict[str, Difference]:
    """Return `paired_difference` of several systems to one baseline; sentences and swaps are drawn once for all.

    The p-values are not corrected for being several: see `holm`.
    """
    stacked = stack({**systems, "baseline": baseline})
    found = bootstrap(stacked, lambda scores: scores[:-1] - scores[-1:], score, how)
    p_values = randomization(stacked, score, how)
    differences = {}
    for i, name in enumerate(systems):
        pull = influences(stacked[:, i], score) - influences(stacked[:, -1], score)
        limits = _interval(found[i], len(stacked), how, signature)
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
    stacked = stack({"system": system, "baseline": baseline})
    return float(randomization(stacked, score, Resampling(resamples, seed))[0])


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
    turned round, and the small test set shows nothing either. Neither does a score that is the same whatever is left
    out, of outputs that differ.

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
        blind = estimate == 0 and difference.share_changed > 0  # such as BLEU of sentences without any 4-gram
        p_value = 0.0 if abs(estimate) < margin and not blind else 1.0
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
    drawn = bootstrap(stack(systems), lambda scores: scores, score, Resampling(resamples, seed))
    scores = np.array([one.scores for one in drawn])
    return float((scores - scores.mean(axis=1, keepdims=True)).max(axis=0).mean())


def paired_sd(system: npt.ArrayLike, baseline: npt.ArrayLike, score: ScoreFunction) -> float:
    """Return the standard deviation over sentences of their influence on the difference of two systems.

    This is the `sd` of `design.smallest_visible_effect`, `design.power` and `design.sentences_needed`.
    """
    both = stack({"system": system, "baseline": baseline})
    return float((influences(both[:, 0], score) - influences(both[:, 1], score)).std(ddof=1))


def _interval(found: Resampled, n: int, how: Resampling, signature: str) -> Interval:
    return Interval(found.low, found.high, found.estimate, how.method, n, how.resamples, how.level, 1, signature)
