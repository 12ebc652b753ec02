"""What a comparison can show, asked before it is made: the smallest visible effect, power, and the luck of choosing.

The statistics behind the standard deviations are those of `gecalign.statistics.compare`.
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8  # the usual convention (Cohen 1988): four real differences in five are found
ALPHA = 0.05

# Standard deviation over sentences, in BLEU, of the effect of a changed output: fitted to what
# can be seen on the 485 CoEdIT validation rows, 0.7 where 20 % of the outputs change and 1.0 where 40 % do.
BLEU_SD_OF_A_CHANGE = 12.4

_NORMAL = NormalDist()


def sd_from_share_changed(share_changed: float, sd_of_a_change: float = BLEU_SD_OF_A_CHANGE) -> float:
    """Predict `compare.paired_sd` before any training from the share of outputs, 0-1, on which two systems differ.

    A sentence that both write alike has no influence on their difference; if the others have influences of
    mean 0 and standard deviation s, all have s * sqrt(share).
    """
    if not 0 <= share_changed <= 1:
        raise ValueError(f"share_changed is {share_changed}; expected a share of the sentences between 0 and 1.")
    return sd_of_a_change * math.sqrt(share_changed)


def smallest_visible_effect(n: int, sd: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true difference that a test on `n` sentences finds significant with this power.

    (z[1 - alpha/2] + z[power]) * sd / sqrt(n), with `sd` from `compare.paired_sd`, in units of the score.

    Example: 485 sentences, 40 % of the outputs changed.
        >>> round(smallest_visible_effect(485, sd_from_share_changed(0.4)), 1)
        1.0
    """
    _check_design(n=n, sd=sd)
    return _z_sum(power, alpha) * sd / math.sqrt(n)


def power(effect: float, n: int, sd: float, alpha: float = ALPHA) -> float:
    """Return how often a test on `n` sentences finds a true difference of `effect`, sign included, 0-1."""
    _check_design(n=n, sd=sd)
    threshold = _z(1 - check_probability("alpha", alpha) / 2)
    if sd == 0:
        return float(effect != 0)
    return _NORMAL.cdf(abs(effect) * math.sqrt(n) / sd - threshold)


def sentences_needed(effect: float, sd: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return how many sentences it takes to find a true difference of `effect` with this power."""
    _check_design(n=1, sd=sd)
    if not effect or not math.isfinite(effect):
        raise ValueError(f"effect is {effect}; expected a finite difference other than 0: no test set shows that one.")
    return max(1, math.ceil((_z_sum(power, alpha) * sd / effect) ** 2))


def expected_maximum(m: int, sd: float = 1.0, correlation: float = 0.0) -> float:
    """Return by how much the best of `m` equally good candidates exceeds its true score, on average.

    Candidates measured with a noise of standard deviation `sd` look different though they are not; whoever reports the
    best one reports this much luck: sd * sqrt(1 - correlation) * integral of m x phi(x) Phi(x)^(m-1), for normal
    noise that is equally correlated between candidates (they are measured on the same sentences).

    Example: twelve checkpoints, each known to within a standard error of 0.86.
        >>> round(expected_maximum(12, 0.86), 2)
        1.4

    Raises:
        ValueError: fewer than one candidate, a negative `sd`, or a correlation outside 0-1.
    """
    from scipy import integrate, stats

    if m < 1 or not sd >= 0 or not 0 <= correlation <= 1:
        raise ValueError(
            f"m is {m}, sd {sd}, correlation {correlation}; expected at least one candidate, a standard deviation that "
            "is not negative, and a correlation from 0 to 1."
        )
    maximum, _ = integrate.quad(lambda x: m * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** (m - 1), -12, 12)
    return sd * math.sqrt(1 - correlation) * maximum


def _z(probability: float) -> float:
    return _NORMAL.inv_cdf(probability)


def _z_sum(power: float, alpha: float) -> float:
    return _z(1 - check_probability("alpha", alpha) / 2) + _z(check_probability("power", power))


def check_probability(name: str, value: float) -> float:
    """Return the value; raise ValueError where it is not between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(
            f"{name} is {value}; expected a number between 0 and 1, such as 0.05 or 0.8, not a percentage."
        )
    return value


def _check_design(n: int, sd: float) -> None:
    if n < 1:
        raise ValueError(f"n is {n}; expected the number of sentences, at least 1.")
    if not sd >= 0 or not math.isfinite(sd):
        raise ValueError(f"sd is {sd}; expected a standard deviation over sentences, finite and not negative.")
