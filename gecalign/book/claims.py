"""Sentences of the book that are checked, and what each of them rests on.

A sentence rests on one of three things, and says which:

- the **record**: `results/`, several seeds, recomputed from stored outputs. It is the same on every machine, so a false
  sentence is a fault of the book, and stops its build;
- **arithmetic**: a formula, a count of the corpus, what the code guarantees. The same;
- the **run** at hand: a model that was trained a minute ago on the reader's machine, one draw. Another processor is as
  good as another seed. So it is asked for evidence, an interval, and the reader is told what that shows: the sentence,
  that it is not shown, or its opposite. None of these stops anything.

In a notebook a claim is a line with a mark; what it says stands as data in the metadata of that output (`KEY`), for
`gecalign elsewhere`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from gecalign.statistics.compare import Difference, Interval
from gecalign.statistics.resampling import LEVEL

if TYPE_CHECKING:
    from gecalign.study.results import Inside, Results

CHECKED_PROFILE = "tiny"  # the prose is about its record
KEY = "gecalign.claim"  # of the metadata of an output

Basis = Literal["record", "arithmetic", "run"]
Outcome = Literal["shown", "not shown", "contradicted"]
MARKS: dict[Outcome, str] = {"shown": "✓", "not shown": "○", "contradicted": "✗"}
FORMS: dict[Outcome, str] = {
    "shown": "{}",
    "not shown": "Not shown by this run, either way: {}",
    "contradicted": "This run says the opposite of: {}",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, what it rests on, what came of it, and the evidence where that is an interval."""

    sentence: str
    basis: Basis
    outcome: Outcome
    source: str  # in words, behind the sentence
    estimate: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The line that a reader sees."""
        return f"{MARKS[self.outcome]} {self._words} [{self.source}]"

    @property
    def html(self) -> str:
        """The same for a page."""
        kind = self.outcome.replace(" ", "-")
        return (
            f'<p class="claim {kind}"><span class="outcome">{MARKS[self.outcome]}</span> {escape(self._words)} '
            f'<span class="basis">{escape(self.source)}</span></p>'
        )

    @property
    def _words(self) -> str:
        return FORMS[self.outcome].format(self.sentence)


def record(sentence: str, holds: bool, results: Results | Inside | str) -> None:
    """Show a sentence about the record of several seeds.

    Args:
        results: what it was computed from: results, or only their `inside`; or, for a table of `results/` such as the
            experiment log, its name.

    Raises:
        AssertionError: it does not hold, and the record is the one that the book is about.
    """
    from gecalign.study.results import Inside

    if isinstance(results, str):
        name, source = CHECKED_PROFILE, f"record: {results}"
    else:
        name = results.profile
        kind = "record, inside" if isinstance(results, Inside) else "record"
        source = f"{kind}: {len(results.seeds)} seeds" + ("" if name == CHECKED_PROFILE else f" of {name}")
    if not holds and name == CHECKED_PROFILE:
        raise AssertionError(f"the book says: {sentence} The record says otherwise: mend the text, or the record.")
    _show(Claim(sentence, "record", "shown" if holds else "contradicted", source))


def arithmetic(sentence: str, holds: bool, profile: str = CHECKED_PROFILE) -> None:
    """Show a sentence that follows from formulas, the corpus, or the code.

    Raises:
        AssertionError: it does not hold on the profile that the prose is about.
    """
    if not holds and profile == CHECKED_PROFILE:
        raise AssertionError(f"the book says: {sentence} That is not so: mend the text, or the code.")
    _show(Claim(sentence, "arithmetic", "shown" if holds else "contradicted", "arithmetic"))


def formula(sentence: str, by_hand: float, library: float, tolerance: float) -> None:
    """Show that a formula of the book and a library compute the same, also of a run: rounding is all that may differ.

    Raises:
        AssertionError: they lie further apart than the tolerance.
    """
    if not abs(by_hand - library) <= tolerance:
        raise AssertionError(f"the book says: {sentence} By hand it is {by_hand}, by the library {library}.")
    _show(Claim(sentence, "arithmetic", "shown", f"arithmetic, within {tolerance:g}"))


def run(sentence: str, evidence: Difference | Interval, above: float | None = None, below: float | None = None) -> None:
    """Show what the run at hand says of a sentence: that something lies above a bound, or below one.

    Shown: the whole interval lies there. Contradicted: the whole interval lies on the other side. Nothing is raised,
    whatever the evidence; what is not a number shows nothing.

    Raises:
        ValueError: not exactly one bound.
    """
    _show(_of_run(sentence, evidence.interval if isinstance(evidence, Difference) else evidence, above, below))


def _of_run(sentence: str, interval: Interval, above: float | None = None, below: float | None = None) -> Claim:
    if (above is None) == (below is None):
        raise ValueError("a claim about a run says what its evidence lies above, or below: give one of the two.")
    low, high = interval.low, interval.high
    beyond, short = (low > above, high < above) if above is not None else (high < below, low > below)  # type: ignore[operator]
    outcome: Outcome = "shown" if beyond else "contradicted" if short else "not shown"
    shown = [f"{value:.{_digits(high - low)}f}" for value in (interval.estimate, low, high)]
    source = f"this run: {shown[0]}, {LEVEL:.0%} interval {shown[1]} to {shown[2]}"
    return Claim(sentence, "run", outcome, source, interval.estimate, low, high)


def examples(sentence: str) -> None:
    """Show what the three outcomes of a sentence look like. Nothing is claimed, so nothing is kept for counting."""
    for low, high in ((0.4, 1.9), (-0.5, 1.6), (-1.8, -0.2)):
        evidence = Interval(low, high, (low + high) / 2, "example", 0, 0, LEVEL)
        _show(_of_run(sentence, evidence, above=0), kept=False)


def share(hits: Sequence[bool] | Any) -> Interval:
    """Return the share of `hits` that are true, in per cent, with its interval (Wilson): evidence for `run`."""
    from scipy import stats

    count, n = sum(map(bool, hits)), len(hits)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, "Wilson", 0, 0, LEVEL)
    bounds = stats.binomtest(count, n).proportion_ci(LEVEL, "wilson")
    return Interval(100 * float(bounds.low), 100 * float(bounds.high), 100 * count / n, "Wilson", n, 0, LEVEL)


def mean(values: Sequence[float] | Any) -> Interval:
    """Return the mean of independent values with its interval by Student's t: evidence for `run`."""
    import numpy as np
    from scipy import stats

    row = np.asarray(values, dtype=float)
    n, middle = len(row), float(row.mean()) if len(row) else math.nan
    error = float(row.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error if n > 1 else math.nan
    return Interval(middle - half, middle + half, middle, "t", n, 0, LEVEL)


def _digits(width: float) -> int:
    """Return how many digits behind the point tell two of an interval's width."""
    return max(0, 1 - math.floor(math.log10(width))) if 0 < width < math.inf else 1


def _show(claim: Claim, kept: bool = True) -> None:
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(claim.text)
        return
    metadata = {KEY: asdict(claim)} if kept else {}
    display({"text/plain": claim.text, "text/html": claim.html}, metadata=metadata, raw=True)
