"""A report as tables, sentences, text for a terminal, and what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from gecalign.report.comparing import Report
from gecalign.report.inputs import COPY
from gecalign.report.verdicts import p_text, whole_per_cent


def difference_table(report: Report, metric: str) -> pd.DataFrame:
    """Return scores and differences to the baseline by one metric, with their intervals: a row a system."""
    rows = {}
    for name in report.systems:
        score = report.scores[metric][name]
        row = {"score": f"{score.estimate:.1f} ({score.low:.1f} to {score.high:.1f})"}
        if name != report.baseline:
            one = report.differences[metric][name]
            row |= {
                "difference": f"{one.estimate:+.2f} ({one.interval.low:+.2f} to {one.interval.high:+.2f})",
                "p": p_text(one.p_value),
                "p (Holm)": p_text(report.p_holm[metric][name]),
            }
        rows[name] = row
    return _table(rows)


def score_table(report: Report) -> pd.DataFrame:
    """Return the scores of all systems by every metric, with their intervals: a row a system."""
    return _table(
        {
            name: {m: f"{s[name].estimate:.1f} ({s[name].low:.1f} to {s[name].high:.1f})" for m, s in
                   report.scores.items()}
            for name in report.systems
        }
    )  # fmt: skip


def visible_table(report: Report) -> pd.DataFrame:
    """Return the smallest visible difference to the baseline: a row a system, a column a metric."""
    return _table(
        {
            name: {metric: f"{found[name]:.2f}" if found[name] else "-" for metric, found in report.visible.items()}
            for name in report.systems if name != report.baseline
        }
    )  # fmt: skip


def equivalence_table(report: Report) -> pd.DataFrame:
    """Return whether differences of the leading metric are shown to be smaller than the margin: a row a system."""
    return _table(
        {
            name: {
                f"{1 - 2 * report.alpha:.0%} interval".replace("%", " %"): f"{one.low:+.2f} to {one.high:+.2f}",
                "p (Holm)": p_text(report.equivalence_p_holm[name]),
                f"within ±{report.margin:g}": "yes" if report.equivalence_p_holm[name] <= report.alpha else "not shown",
            }
            for name, one in report.equivalence.items()
        }
    )


def behaviour_table(report: Report) -> pd.DataFrame:
    """Return what systems do, in per cent of the sentences, length ratio, edit precision and recall: a row a system."""
    rows = {}
    for name, found in report.rates.items():
        rows[name] = {
            f"unlike {report.baseline}": _per_cent(report.changed.get(name, math.nan)),
            "exactly right": _per_cent(found.exact),
            "copied": _per_cent(found.copied),
            "over-corrected": _per_cent(found.over_corrected),
            "loops": _per_cent(found.looped),
            "cut off": _per_cent(found.truncated),
            "length ratio": f"{found.length_ratio:.2f}",
            "edit P": f"{report.edits[name]['precision']:.1f}",
            "edit R": f"{report.edits[name]['recall']:.1f}",
        }
    table = _table(rows)
    return table.loc[:, (table != "").any()]  # a rate that is known of no system


def visible_words(report: Report) -> str:
    """Return what the smallest visible differences mean, in a sentence."""
    return (
        f"A true difference to {report.baseline} of this size is found by these {report.n:,} sentences four times in "
        "five; the smaller one is, the more often it is missed."
    )


def luck_words(report: Report) -> str:
    """Return the warning that belongs to the best of several, empty for fewer than three."""
    if report.luck is None:
        return ""
    count = len([name for name in report.systems if name != COPY])
    return (
        f"Whoever picks the best of these {count} and reports its score here would flatter it by {report.luck:.2f} "
        f"{report.metric} on average, were all of them equally good: choose on other sentences than you report."
    )


def method_words(report: Report) -> list[str]:
    """Return how each kind of number was made, a sentence a kind."""
    tests = len([name for name in report.differences[report.metric] if name != COPY])
    corrected = f"; corrected by Holm's method for {tests} systems, doing nothing not among them" if tests > 1 else ""
    level = whole_per_cent(report.level)
    return [
        f"Scores are 0-100. Intervals hold with {level} confidence for other sentences like these: percentile "
        f"bootstrap, {report.resamples:,} resamples of the {report.n:,} sentences, the same ones for every system.",
        f"p: approximate randomization, two-sided, {report.resamples:,} random swaps{corrected}. Better or worse: "
        f"p (Holm) is at most {report.alpha:g} and the {level} interval does not contain 0.",
        f"Equivalence: two one-sided t-tests at {whole_per_cent(report.alpha)} with the standard error of the "
        f"jackknife{corrected}.",
        f"Smallest visible difference: {whole_per_cent(report.power)} power at a two-sided level of "
        f"{whole_per_cent(report.alpha)}{f', divided by {tests} as there are {tests} tests' if tests > 1 else ''}.",
        f"Unlike {report.baseline}: share of the outputs that are another text. "
        "Over-corrected: share of the sentences without errors that were changed. Loops: words repeated three times or "
        "more in a row. Length ratio: words of an output over words of its reference, mean.",
        f"Random numbers from seed {report.seed}. Another training seed of the same systems may give another result: "
        "nothing here can tell.",
    ]  # fmt: skip


def to_dict(report: Report) -> dict[str, Any]:
    """Return everything as what JSON can hold; what is not defined is None."""
    return _plain(asdict(report))


def to_text(report: Report) -> str:
    """Return the report for a terminal, the verdicts last."""
    parts = [
        f"{report.n:,} sentences; baseline: {report.baseline}; leading metric: {report.metric}",
        f"SMALLEST VISIBLE DIFFERENCE\n{visible_words(report)}\n{_shown(visible_table(report))}",
        *(f"{metric}\n{_shown(difference_table(report, metric))}" for metric in report.scores),
        f"EQUIVALENCE: is the difference in {report.metric} smaller than {report.margin:g}?\n"
        + _shown(equivalence_table(report)),
        f"WHAT SYSTEMS DO\n{_shown(behaviour_table(report))}",
    ]
    if report.notes:
        parts.append("ABOUT THE TEXTS\n" + "\n".join(report.notes))
    if report.disagreements:
        parts.append("METRICS DISAGREE\n" + "\n".join(report.disagreements.values()))
    if report.luck is not None:
        parts.append(f"THE BEST OF SEVERAL\n{luck_words(report)}")
    parts.append("METHOD\n" + "\n".join(method_words(report)))
    parts.append("\n".join(f"{name}: {signature}" for name, signature in report.signatures.items()))
    parts.append("VERDICT\n" + "\n".join(one.text for one in report.verdicts.values()))
    return "\n\n".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=list(rows)).fillna("")


def _shown(table: pd.DataFrame) -> str:
    return table.to_string(line_width=120)


def _per_cent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"
