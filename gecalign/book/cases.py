"""Case studies: sentences that a rule chooses, shown side by side, and what such a choice can show.

Whoever picks the sentences on which a run did worst picks its bad luck along with its weaknesses, and any other run
looks like a repair: regression to the mean. The way out is to choose with one seed and to measure with another, of
both systems. Here a choice is a weight for each seed and sentence, so that the seeds take turns in choosing, and the
mean over the chosen sentences is a score like any other: `gecalign.statistics.seeds` gives it its interval.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from gecalign import metrics
from gecalign.book import comparison
from gecalign.corpus.examples import Example
from gecalign.metrics.behaviour import Behaviour
from gecalign.metrics.edit_score import corrected_by_type, precision_recall_f, recall
from gecalign.report import markup
from gecalign.statistics import seeds
from gecalign.statistics.compare import Difference, Interval
from gecalign.statistics.resampling import Array, ScoreFunction
from gecalign.study.results import Results
from gecalign.systems import CONTROL, LABELS

Flags = npt.NDArray[np.bool_]
Chosen = npt.NDArray[np.int64]

BY = ("same seed", "other seeds")  # whose scores choose the sentences that a run is measured on
LEAST_ERRORS = 20  # a handful of errors says little about a rate
EDIT_SCORES: dict[str, ScoreFunction] = {
    "edit precision": lambda totals: precision_recall_f(totals).precision,
    "edit recall": lambda totals: precision_recall_f(totals).recall,
}
SHOWN_BEYOND = 60  # characters by which an output that is shown in full may exceed its source: a loop goes on and on


# ---- choosing


def worst(scores: npt.ArrayLike, k: int) -> Chosen:
    """Return which k sentences score lowest, the lowest first, ties in the order of the test set; scores (n,).

    >>> worst([30, 10, 20, 10], 3).tolist()
    [1, 3, 2]

    Raises:
        ValueError: there are fewer than k sentences, or k is below 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not 1 <= k <= len(values):
        raise ValueError(f"k is {k}; expected a number of sentences from 1 to the {len(values)} that there are.")
    return np.argsort(values, kind="stable")[:k]


def weights(scores: npt.ArrayLike, k: int, by: str) -> Array:
    """Return how much each sentence counts for each seed if the worst k count, shape (seeds, n); rows sum to k.

    Args:
        scores: of sentences, (seeds, n).
        by: "same seed": a seed is measured on its own worst sentences. "other seeds": on those of the other seeds; a
            sentence counts by the share of them that have it among their worst k.

    Raises:
        ValueError: `by` is neither, there is only one seed, or k is out of range.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if by not in BY:
        raise ValueError(f'by is {by!r}; expected "same seed" or "other seeds".')
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"scores have shape {rows.shape}; expected (seeds, n), with two or more seeds.")
    among = np.zeros_like(rows)
    for own, values in zip(among, rows, strict=True):
        own[worst(values, k)] = 1
    return among if by == "same seed" else (among.sum(axis=0) - among) / (len(rows) - 1)


def favoured(results: Results, system: str, baseline: str, k: int, but: int) -> Chosen:
    """Return the k sentences on which a system beats a baseline most, by mean sentence BLEU over all seeds but one.

    Show the outputs of the seed that had no say: what was chosen for its size comes out smaller there.

    Raises:
        ValueError: the study does not have the seed, or has no other; k is out of range.
    """
    if but not in results.seeds or len(results.seeds) < 2:
        raise ValueError(f"expected one of two or more seeds to be left out; got {but} of {results.seeds}.")
    others = [i for i, seed in enumerate(results.seeds) if seed != but]
    gain = sentence_bleu(results, system)[others] - sentence_bleu(results, baseline)[others]
    return worst(-gain.mean(axis=0), k)


def most_often(shown: Flags, k: int) -> Chosen:
    """Return up to k sentences that show a behaviour, those with the most seeds first, ties in order; (seeds, n)."""
    times = np.asarray(shown).sum(axis=0)
    return np.argsort(-times, kind="stable")[: min(k, int((times > 0).sum()))]


# ---- measuring


def sentence_bleu(results: Results, system: str) -> Array:
    """Return BLEU of every test sentence, 0-100, with every seed, shape (seeds, n)."""
    return metrics.bleu.sentence_score(results.statistics(metrics.bleu, system))


def on_worst(results: Results, choosing: str, k: int, by: str, system: str) -> Array:
    """Return the statistics of a system's mean sentence BLEU on the worst k of another, shape (seeds, n, 2)."""
    return weighted(sentence_bleu(results, system), weights(sentence_bleu(results, choosing), k, by))


def weighted(values: npt.ArrayLike, counted: Array) -> Array:
    """Return statistics whose score, by `mean`, is the weighted mean of the values: (..., n) to (..., n, 2)."""
    return np.stack([counted * np.asarray(values, dtype=np.float64), counted], axis=-1)


def mean(totals: npt.ArrayLike) -> Array:
    """Return the mean from (weighted sum, sum of the weights) in the last axis."""
    total, weight = np.moveaxis(np.asarray(totals, dtype=np.float64), -1, 0)
    return total / weight


def worst_means(
    results: Results, choosing: str, ks: Iterable[int], rows: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """Return mean sentence BLEU on the worst k of a system, over seeds: a row for each k, a column for each of `rows`.

    Args:
        rows: (system, by) by the name of the column; see `weights`.
    """
    found = {
        name: [float(mean(on_worst(results, choosing, k, by, system).sum(axis=1)).mean()) for k in ks]
        for name, (system, by) in rows.items()
    }
    return pd.DataFrame(found, index=list(ks))


def worst_difference(
    results: Results, choosing: str, k: int, system: tuple[str, str], baseline: tuple[str, str]
) -> Difference:
    """Return the difference of two (system, by) in mean sentence BLEU on the worst k of a third, over seeds.

    Raises:
        ValueError: k is below 2 or above the number of sentences, or the study has no such system.
    """
    first, second = (on_worst(results, choosing, k, by, name) for name, by in (system, baseline))
    return _difference(first, second, mean)


# ---- behaviour


class Turnover(NamedTuple):
    """Sentences a run, means over seeds: those that show a behaviour before and after, before only, after only."""

    kept: float
    gone: float
    new: float


def flags(results: Results, system: str, flag: Callable[[Behaviour], npt.NDArray]) -> Flags:
    """Return which test sentences show a behaviour with which seed, shape (seeds, n)."""
    return np.array([flag(results.outputs(system, seed).behaviour) for seed in results.seeds], dtype=bool)


def turnover(before: Flags, after: Flags, by: str = "same seed") -> Turnover:
    """Return what becomes of the sentences that show a behaviour when another system, or seed, takes over.

    Args:
        before: (seeds, n).
        after: the same shape; with "other seeds", every seed of `before` meets every *other* seed of `after`.

    >>> loops = np.array([[True, False, False], [False, True, False]])
    >>> turnover(loops, loops, "other seeds")
    Turnover(kept=0.0, gone=1.0, new=1.0)

    Raises:
        ValueError: the shapes differ, or `by` is unknown or needs a second seed.
    """
    before, after = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"flags have shapes {before.shape} and {after.shape}; expected the same, (seeds, n).")
    if by not in BY or (by == "other seeds" and len(before) < 2):
        raise ValueError(f'by is {by!r} with {len(before)} seeds; expected "same seed", or "other seeds" with two.')
    met = np.eye(len(before)) if by == "same seed" else 1 - np.eye(len(before))

    def sentences(a: Flags, b: Flags) -> float:
        return float((met * (a.astype(float) @ b.astype(float).T)).sum() / met.sum())

    return Turnover(sentences(before, after), sentences(before, ~after), sentences(~before, after))


def turnover_table(rows: Mapping[str, Turnover]) -> pd.DataFrame:
    """Return turnovers as a table, a row each; the first two columns sum to the number before."""
    columns = {"still there": 0, "gone": 1, "new": 2}
    return pd.DataFrame({name: {c: f"{row[i]:.1f}" for c, i in columns.items()} for name, row in rows.items()}).T


def rate_difference(after: Flags, before: Flags, among: Flags | None = None) -> Difference:
    """Return the difference of two shares of sentences, in percentage points, over seeds and sentences.

    Args:
        after: (seeds, n); before: the same shape.
        among: the sentences that are asked about, (seeds, n); None: all.
    """
    asked = np.ones(np.shape(after)) if among is None else np.asarray(among, dtype=np.float64)
    first, second = (weighted(100.0 * np.asarray(shown), asked) for shown in (after, before))
    return _difference(first, second, mean)


def rate_table(found: Mapping[str, Mapping[str, Interval]], digits: int = 1) -> pd.DataFrame:
    """Return shares (per cent) with their intervals: a row a system, a column a behaviour.

    Args:
        found: by behaviour, then by system, as `comparison.rate_intervals` gives them.
    """

    def text(one: Interval) -> str:
        return f"{one.estimate:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"

    columns = {name: {LABELS[s]: text(one) for s, one in rows.items()} for name, rows in found.items()}
    return pd.DataFrame(columns)


# ---- edits


def corrected(results: Results, system: str, examples: Sequence[Example]) -> dict[str, Array]:
    """Return for each error type the (corrected, total) of each seed and test sentence, shape (seeds, n, 2).

    Args:
        examples: the test examples, which know their edits.

    Raises:
        ValueError: they are not the sentences of the results, or the edits of one are not known.
    """
    sources, _ = results.texts()
    if [example.source for example in examples] != sources:
        raise ValueError(
            f"these {len(examples)} examples are not the {len(sources)} test sentences of the results, in their order. "
            "Take those of the profile that made the results."
        )
    edits = [example.edits for example in examples]
    by_seed = [corrected_by_type(results.outputs(system, seed).hypotheses, sources, edits) for seed in results.seeds]
    return {kind: np.stack([found[kind] for found in by_seed]) for kind in by_seed[0]}


def type_differences(
    system: Mapping[str, Array], baseline: Mapping[str, Array], least: int = LEAST_ERRORS
) -> dict[str, Difference]:
    """Compare the shares of errors corrected, by type: percentage points, over seeds and sentences.

    Only sentences that have such an error count. The p-values are not corrected for being several.

    Args:
        system: as `corrected` gives it; baseline: the same.
        least: types with fewer errors are left out, as are those that only one sentence has.
    """
    found = {}
    for kind, rows in system.items():
        having = rows[0, :, 1] > 0
        if rows[0, :, 1].sum() >= least and having.sum() > 1:
            found[kind] = _difference(rows[:, having], baseline[kind][:, having], recall)
    return found


def type_table(control: Mapping[str, Array], found: Mapping[str, Mapping[str, Difference]]) -> pd.DataFrame:
    """Return shares of errors corrected by type: errors, the control's share (per cent), and each system's difference.

    Types are in the order of the first system's differences, the largest first. A star: the p-value, corrected by Holm
    for all differences of the table, is at most 0.05.

    Args:
        found: `type_differences` by the system's label, all with the same types.
    """
    holm = significant(found)
    first = next(iter(found.values()))
    rows = {}
    for kind in sorted(first, key=lambda kind: -first[kind].estimate):
        share = recall(control[kind].sum(axis=1)).mean()
        row = {"errors": f"{control[kind][0, :, 1].sum():.0f}", LABELS[CONTROL]: f"{share:.0f} %"}
        for name, by_type in found.items():
            row[name] = f"{by_type[kind].estimate:+.1f}{'*' if (name, kind) in holm else ''}"
        rows[kind] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def significant(found: Mapping[str, Mapping[str, Difference]]) -> set[tuple[str, str]]:
    """Return the (system, type) whose differences are found at 5 %, corrected by Holm for all of them."""
    flat = {f"{name}\t{kind}": one for name, rows in found.items() for kind, one in rows.items()}
    return {(name, kind) for name, kind in (key.split("\t") for key in comparison.significant(flat))}


def precision_and_recall(results: Results, systems: Sequence[str]) -> dict[str, dict[str, Interval]]:
    """Return edit precision and recall, 0-100, means over seeds with 95 % intervals: by name, then by system."""
    rows = {name: results.statistics(metrics.edit_f05, name) for name in systems}
    return {
        label: {name: seeds.interval(one, score) for name, one in rows.items()} for label, score in EDIT_SCORES.items()
    }


def edit_differences(results: Results, system: str, baseline: str) -> dict[str, Difference]:
    """Return the differences of two systems in edit precision and recall, in points, over seeds and sentences."""
    first, second = (results.statistics(metrics.edit_f05, name) for name in (system, baseline))
    return {label: _difference(first, second, score) for label, score in EDIT_SCORES.items()}


def _difference(system: Array, baseline: Array, score: ScoreFunction) -> Difference:
    return seeds.paired_differences({"": system}, baseline, score)[""]


# ---- showing


def side_by_side(results: Results, chosen: Iterable[int], systems: Sequence[str], seed: int) -> str:
    """Return test sentences with what several systems made of them, as an HTML table; all text is escaped.

    A line for the source, the reference and each system: sentence BLEU, and the text with the changes to the source
    marked up. Of an output that is far longer than its source the rest is counted, not shown.

    Args:
        chosen: numbers of test sentences.

    Raises:
        ValueError: the study has no such system or seed.
    """
    hypotheses = {name: results.outputs(name, seed).hypotheses for name in systems}
    scores = {name: sentence_bleu(results, name)[results.seeds.index(seed)] for name in systems}
    sources, references = results.texts()
    bodies = []
    for i in chosen:
        lines = [("source", "", markup.text(sources[i])), ("reference", "", markup.to_html(sources[i], references[i]))]
        lines += [(LABELS[n], f"{scores[n][i]:.0f}", _marked(sources[i], hypotheses[n][i])) for n in systems]
        bodies.append("".join(_line(*line) for line in lines))
    head = "<tr><th></th><th>BLEU</th><th>text, and what was changed in the source</th></tr>"
    inner = "".join(f"<tbody>{body}</tbody>" for body in bodies)
    return f'<table class="corrections"><thead>{head}</thead>{inner}</table>'


def _line(label: str, score: str, text: str) -> str:
    return f'<tr><td>{html.escape(label)}</td><td>{score}</td><td style="overflow-wrap: anywhere">{text}</td></tr>'


def _marked(source: str, hypothesis: str) -> str:
    longest = len(source) + SHOWN_BEYOND
    if len(hypothesis) <= longest:
        return markup.to_html(source, hypothesis)
    return f"{markup.to_html(source, hypothesis[:longest])} <em>… and {len(hypothesis) - longest} more characters</em>"
