"""Tables of results, as every chapter shows them: a row a system, the numbers with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING

import pandas as pd

from gecalign import metrics
from gecalign.metrics.edit_score import corrected_by_type, recall
from gecalign.statistics import compare
from gecalign.systems import LABELS

if TYPE_CHECKING:
    from gecalign.corpus.examples import Example
    from gecalign.statistics.compare import Interval
    from gecalign.study.evaluation import SystemEvaluation


def bleu_intervals(evaluations: Sequence[SystemEvaluation]) -> dict[str, Interval]:
    """Return corpus BLEU with its 95 % bootstrap interval, by the readers' name of the system."""
    return {LABELS[e.system]: compare.interval(bleu_statistics(e), metrics.bleu.score) for e in evaluations}


def bleu_statistics(evaluation: SystemEvaluation) -> metrics.Array:
    """Return the sentence statistics of BLEU, shape (n, k)."""
    return metrics.bleu.statistics(evaluation.hypotheses, evaluation.references)


def results(evaluations: Sequence[SystemEvaluation]) -> pd.DataFrame:
    """Return the table of scores (0-100) of systems on one split, BLEU with its 95 % interval."""
    table = scores({LABELS[e.system]: e.scores for e in evaluations})
    bounds = [f"{bleu.low:.1f} to {bleu.high:.1f}" for bleu in bleu_intervals(evaluations).values()]
    table.insert(1, "95 % interval", bounds)
    return table


def scores(rows: Mapping[str, metrics.Evaluation]) -> pd.DataFrame:
    """Return a table of scores, 0-100, a row a system, by every yardstick."""
    columns = {"BLEU": "BLEU", "GLEU": "GLEU", "chrF": "chrF2", "edit P": "edit precision", "edit R": "edit recall",
               "edit F0.5": "edit F0.5"}  # fmt: skip
    values = {name: evaluation.row() for name, evaluation in rows.items()}
    return _table({name: {c: _number(row[key]) for c, key in columns.items()} for name, row in values.items()})


def behaviour(evaluations: Sequence[SystemEvaluation]) -> pd.DataFrame:
    """Return what systems do, in per cent of the sentences, and their length ratio."""
    rows = {}
    for evaluation in evaluations:
        rates = evaluation.scores.rates
        rows[LABELS[evaluation.system]] = {
            "exactly right": _per_cent(rates.exact),
            "copied": _per_cent(rates.copied),
            "over-corrected": _per_cent(rates.over_corrected),
            "loops": _per_cent(rates.looped),
            "cut off": _per_cent(rates.truncated),
            "length ratio": f"{rates.length_ratio:.2f}",
        }
    return _table(rows)


def gains(systems: Sequence[SystemEvaluation], control: SystemEvaluation) -> pd.DataFrame:
    """Return what each system's BLEU is, and by how much it exceeds the control's, paired, with a 95 % interval.

    The last column is the share of the outputs that differ from the control's.
    """
    rows = {}
    for system in systems:
        found = compare.paired_difference(bleu_statistics(system), bleu_statistics(control), metrics.bleu.score)
        rows[LABELS[system.system]] = {
            "BLEU": _number(system.scores.scores["BLEU"].value),
            "gain": f"{found.estimate:+.1f}",
            "95 % interval": f"{found.interval.low:+.1f} to {found.interval.high:+.1f}",
            "differ": _per_cent(found.share_changed),
        }
    return _table(rows)


def recall_by_type(evaluation: SystemEvaluation, examples: Sequence[Example]) -> pd.DataFrame:
    """Return for each error type the share of its errors that were corrected, 0-100, with a 95 % interval.

    Columns: errors (count), recall, low, high; sorted by recall. A type that one sentence has gets no interval.
    """
    edits = [example.edits for example in examples]
    rows = {}
    for kind, counts in corrected_by_type(evaluation.hypotheses, evaluation.sources, edits).items():
        having = counts[counts[:, 1] > 0]
        total, share = int(having[:, 1].sum()), float(recall(having.sum(axis=0)))
        bounds = compare.interval(having, recall) if len(having) > 1 else None
        rows[kind] = (total, share, bounds.low, bounds.high) if bounds else (total, share, nan, nan)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["errors", "recall", "low", "high"])
    return table.sort_values("recall", ascending=False)


def errors_corrected(evaluation: SystemEvaluation, examples: Sequence[Example]) -> float:
    """Return the share of all errors that a system corrected, 0-100.

    Raises:
        ValueError: the errors of a sentence are not recorded.
    """
    by_type = corrected_by_type(evaluation.hypotheses, evaluation.sources, [example.edits for example in examples])
    return float(recall(sum(counts.sum(axis=0) for counts in by_type.values())))


def in_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of words in Markdown, which sets them from the left; bars in cells are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _table(rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=list(rows))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _per_cent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f} %"
