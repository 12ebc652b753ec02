"""Verdicts: what the numbers of a system say of it beside the baseline, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gecalign.statistics.compare import Difference, Equivalence, Interval
from gecalign.statistics.design import ALPHA, POWER

Kind = Literal["better", "worse", "equivalent", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """What the leading metric says of a system against the baseline."""

    kind: Kind
    text: str  # a sentence


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers that a verdict rests on: of one system against the baseline, by the leading metric."""

    difference: Difference
    p_holm: float
    visible: float  # the smallest true difference that would be found with 80 % power
    equivalence: Equivalence
    equivalence_p_holm: float


def verdict(name: str, base: str, metric: str, evidence: Evidence) -> Verdict:
    """Return what the evidence says of the system `name` against `base`."""
    found, same = evidence.difference, evidence.equivalence
    estimate, interval = f"{found.estimate:+.2f} {metric}", _interval(found.interval.level, found.interval)
    if found.share_changed == 0:
        return Verdict("equivalent", f"{name} is equivalent to {base}: {metric} sees no difference in any sentence.")
    if evidence.visible == 0 and found.estimate == 0:
        return Verdict(
            "unclear",
            f"{name} and {base} cannot be told apart by {metric}, which is the same whatever sentence is left out, "
            "though what is counted for it differs. Let another metric lead.",
        )
    small, p = evidence.equivalence_p_holm <= same.alpha, _equals(evidence.p_holm)
    if evidence.p_holm <= ALPHA and _clear(found.interval):
        kind: Kind = "better" if found.interval.low > 0 else "worse"
        aside = f", though by less than the margin of {same.margin:g}" if small else ""
        return Verdict(kind, f"{name} is {kind} than {base}{aside}: {estimate}, {interval}, {p}.")
    if small:
        inner = f"{_interval(1 - 2 * same.alpha, same)}, {_equals(evidence.equivalence_p_holm)}"
        return Verdict(
            "equivalent", f"{name} is equivalent to {base} within {same.margin:g} {metric}: {estimate}, {inner}."
        )
    return Verdict(
        "unclear",
        f"{name} and {base} cannot be told apart by these {found.n:,} sentences: {estimate}, {interval}, {p}; a "
        f"difference of {evidence.visible:.2f} {metric} would have been seen with {whole_per_cent(POWER)} power.",
    )


def disagreements(differences: Mapping[str, Mapping[str, Difference]], base: str) -> dict[str, str]:
    """Return a sentence for each system of whose difference to `base` the metrics do not agree about the sign."""
    words = {}
    for name in next(iter(differences.values())):
        by_metric = {metric: found[name] for metric, found in differences.items()}
        up = [metric for metric, one in by_metric.items() if one.estimate > 1e-9]  # 1e-9: rounding has a sign too
        down = [metric for metric, one in by_metric.items() if one.estimate < -1e-9]
        if not up or not down:
            continue
        better, worse = (
            _listed([f"{metric} {by_metric[metric].estimate:+.2f}" for metric in side]) for side in (up, down)
        )
        sure = [metric for metric in (*up, *down) if _clear(by_metric[metric].interval)]
        which = f"the interval{'s' * (len(sure) > 1)} of {_listed(sure)}" if sure else "no interval"
        verb = "exclude" if len(sure) > 1 else "excludes"
        words[name] = f"{name} is above {base} by {better}, but below it by {worse}; {which} {verb} 0."
    return words


def p_text(p: float) -> str:
    """Return a p-value as one writes it.

    >>> p_text(0.0000123), p_text(0.034), p_text(0.5)
    ('< 0.001', '0.034', '0.50')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def whole_per_cent(value: float) -> str:
    """Return a share, 0-1, in per cent."""
    return f"{100 * value:.0f} %"


def _interval(level: float, ends: Interval | Equivalence) -> str:
    return f"{whole_per_cent(level)} interval {ends.low:+.2f} to {ends.high:+.2f}"


def _equals(p: float) -> str:
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def _clear(one: Interval) -> bool:
    return one.low > 0 or one.high < 0


def _listed(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
