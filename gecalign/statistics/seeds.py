"""Several seeds: what holds of a method, not only of the one model that a training run left behind.

A method's score varies with the training seed and with the sentences of the test set, and another study would draw
both anew. Systems here are arrays of shape (seeds, n, k): row i is sentence i for every seed, and two systems
with the same seed are a pair (they start from the same SFT model).

The standard error takes both sources together (two-way clustering, Cameron, Gelbach & Miller 2011,
https://doi.org/10.1198/jbes.2010.07136): the variance of the mean over seeds, plus that over sentences, minus what
both contain. With few seeds it is itself uncertain, so Student's t takes the place of the normal distribution, with
degrees of freedom after Satterthwaite (1946). In simulated null comparisons (`tests/statistics/test_seeds.py`) a
nominal 5 % is between 2 % and 6 % with five seeds; with three it can be 8 % and with two 13 %, where seeds matter more
than sentences.
The other way is to resample seeds and sentences together (`Resampling(method="percentile")`): no formula, but with five
seeds it is too sure of itself where seeds matter, since five values cannot show how far a sixth may lie.

What no method can see from five runs is what happens in one of ten, such as a training that collapses: the t-test needs
seeds that scatter about evenly. And "other seeds" are other runs on the *same* training data and base model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign.statistics.compare import Difference, Interval
from gecalign.statistics.design import ALPHA, POWER, check_probability
from gecalign.statistics.resampling import Array, Resampling, ScoreFunction, check_rows, chunks, influences

BY_T = Resampling(method="t")
METHODS = ("t", "percentile")


@dataclass(frozen=True)
class Spread:
    """Where the uncertainty of a mean over seeds comes from: variances of the mean, in squared units of the score."""

    seeds: float
    sentences: float
    both: float  # contained in each of the two

    @property
    def standard_error(self) -> float:
        """The standard error; neither source makes a mean surer than the other alone would leave it."""
        return math.sqrt(max(self.seeds + self.sentences - self.both, self.seeds, self.sentences))


def interval(statistics: npt.ArrayLike, score: ScoreFunction, how: Resampling = BY_T, signature: str = "") -> Interval:
    """Return the interval of a method's mean score over seeds, for other seeds and other sentences.

    What no run did on any sentence, such as a rate of 0, gets an interval without width: that is no evidence that other
    sentences never show it. From 0 of n, up to about 3 / n would be no surprise.

    Args:
        statistics: shape (seeds, n, k).

    Raises:
        ValueError: fewer than two seeds or sentences, a score that is not a number, or an unknown method.
    """
    rows = _seeds("statistics", statistics)
    per_seed, pulls = _scores_and_pulls("statistics", rows, score)
    return _interval(per_seed, pulls, [rows], score, how, signature)


def paired_differences(
    systems: Mapping[str, npt.ArrayLike],
    baseline: npt.ArrayLike,
    score: ScoreFunction,
    how: Resampling = BY_T,
    signature: str = "",
) -> dict[str, Difference]:
    """Compare methods with a baseline, seed by seed and sentence by sentence.

    The p-value is that of the t-test, whatever the interval's method; two systems with the same outputs have p = 1.
    `Difference.per_seed` has the difference of each pair of runs. Not corrected for being several: see `compare.holm`.

    Args:
        systems: statistics by name, each of shape (seeds, n, k).
        baseline: the same for the baseline, with the same seeds in the same order.

    Raises:
        ValueError: shapes differ, and whatever `interval` raises.
    """
    base = _seeds("baseline", baseline)
    base_scores, base_pulls = _scores_and_pulls("baseline", base, score)
    found = {}
    for name, statistics in systems.items():
        rows = _seeds(name, statistics)
        if rows.shape != base.shape:
            raise ValueError(
                f"{name} has statistics of shape {rows.shape} and baseline of {base.shape}: expected the same metric, "
                "the same seeds and the same sentences, in the same order."
            )
        scores, pulls = _scores_and_pulls(name, rows, score)
        per_seed, both = scores - base_scores, pulls - base_pulls
        error, df = _error(per_seed, both)
        estimate = float(per_seed.mean())
        found[name] = Difference(
            estimate=estimate,
            interval=_interval(per_seed, both, [rows, base], score, how, signature),
            p_value=_p_value(estimate, error, df),
            test="t, seeds and sentences",
            standard_error=error,
            df=df,
            share_changed=float((rows != base).any(axis=2).mean()),
            n=rows.shape[1],
            per_seed=tuple(per_seed.tolist()),
        )
    return found


def spread(system: npt.ArrayLike, baseline: npt.ArrayLike, score: ScoreFunction) -> Spread:
    """Return how much of the uncertainty of a difference comes from seeds, and how much from sentences."""
    (a, pull_a), (b, pull_b) = (
        _scores_and_pulls(n, _seeds(n, s), score) for n, s in (("system", system), ("baseline", baseline))
    )
    return _spread(a - b, pull_a - pull_b)


def visible_over_seeds(difference: Difference, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true difference that would be found with this power, given how this one scattered.

    (t[1 - alpha/2] + t[power]) * standard error, with Student's quantiles for its degrees of freedom: with five seeds
    they are what makes the difference to `design.smallest_visible_effect`. Works for one seed as well. It is as
    uncertain as the standard error, whose true value may be 0.6 to 2.9 times as large where it comes from the scatter
    of five seeds.
    """
    from scipy import stats

    t = stats.t(difference.df)
    return float(
        (t.ppf(1 - check_probability("alpha", alpha) / 2) + t.ppf(check_probability("power", power)))
        * difference.standard_error
    )


def _seeds(name: str, statistics: npt.ArrayLike) -> Array:
    rows = np.asarray(statistics, dtype=np.float64)
    if rows.ndim != 3 or len(rows) < 2:
        raise ValueError(
            f"{name} has shape {rows.shape}; expected (seeds, n, k) with two or more seeds: one run says nothing about "
            "seeds. For one run use gecalign.statistics.compare."
        )
    check_rows(name, rows[0])
    return rows


def _scores_and_pulls(name: str, rows: Array, score: ScoreFunction) -> tuple[Array, Array]:
    """Return the score of each seed, (seeds,), and the influences of its sentences, (seeds, n)."""
    with np.errstate(invalid="ignore"):  # dealt with below
        per_seed, pulls = score(rows.sum(axis=1)), np.array([influences(one, score) for one in rows])
    undefined = ~(np.isfinite(per_seed) & np.isfinite(pulls).all(axis=1))
    if undefined.any():
        raise ValueError(
            f"the score of {name} is not a number with seeds {np.flatnonzero(undefined).tolist()}, on all sentences or "
            "without one of them: too few have what is counted. Keep only what every seed has several of."
        )
    return per_seed, pulls


def _spread(per_seed: Array, pulls: Array) -> Spread:
    seeds, n = pulls.shape
    of_sentence = pulls.mean(axis=0)
    left = pulls - of_sentence  # rows have mean 0 already
    return Spread(
        seeds=float(per_seed.var(ddof=1)) / seeds,
        sentences=float(of_sentence.var(ddof=1)) / n,
        both=float((left**2).sum()) / ((seeds - 1) * (n - 1)) / (seeds * n),
    )


def _error(per_seed: Array, pulls: Array) -> tuple[float, float]:
    """Return the standard error of the mean over seeds, and its degrees of freedom."""
    seeds, n = pulls.shape
    found = _spread(per_seed, pulls)
    error = found.standard_error
    if error == 0:
        return 0.0, seeds - 1
    return error, error**4 / (found.seeds**2 / (seeds - 1) + found.sentences**2 / (n - 1))


def _interval(
    per_seed: Array,
    pulls: Array,
    systems: list[Array],
    score: ScoreFunction,
    how: Resampling,
    signature: str,
) -> Interval:
    from scipy import stats

    if how.method not in METHODS:
        raise ValueError(f'method is {how.method!r}; expected "t" or "percentile".')
    estimate, (error, df) = float(per_seed.mean()), _error(per_seed, pulls)
    if how.method == "t":
        half = float(stats.t.ppf((1 + how.level) / 2, df)) * error
        low, high, resamples = estimate - half, estimate + half, 0
    else:
        drawn, resamples = _resample(systems, score, how.resamples, how.seed), how.resamples
        low, high = np.quantile(drawn, [(1 - how.level) / 2, (1 + how.level) / 2]).tolist()
    return Interval(low, high, estimate, how.method, pulls.shape[1], resamples, how.level, len(per_seed), signature)


def _resample(systems: list[Array], score: ScoreFunction, resamples: int, seed: int) -> Array:
    """Return resampled means over seeds of the first system's score minus the second's, shape (resamples,).

    A resample draws sentences, the same for all seeds, and one seed fewer than there are: so drawn, few seeds vary
    as much as they should (Rao & Wu 1988). What seeds and sentences share is still counted too often, which errs on
    the safe side (Owen 2007).
    """
    seeds, n, k = systems[0].shape
    flat = np.concatenate(systems).transpose(1, 0, 2).reshape(n, -1)
    rng, drawn = np.random.default_rng(seed), []
    for size in chunks(resamples, n):
        sentences = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        runs = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=size) / (seeds - 1)
        scores = score((sentences @ flat).reshape(size, len(systems), seeds, k))
        means = np.einsum("rms,rs->rm", scores, runs)
        drawn.append(means[:, 0] - (means[:, 1] if len(systems) > 1 else 0))
    return np.concatenate(drawn)


def _p_value(estimate: float, error: float, df: float) -> float:
    from scipy import stats

    if error == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * stats.t.sf(abs(estimate) / error, df))
