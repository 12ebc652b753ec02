"""Mistakes of choosing and of reading scores, so that chapter 9 can measure what they do; nothing is trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign import metrics
from gecalign.statistics import compare
from gecalign.statistics.resampling import Array, Resampling, ScoreFunction


@dataclass(frozen=True, eq=False)
class Selection:
    """What the best of several candidates scores on the sentences it was chosen by, and on others: (repeats,) each."""

    reported: Array
    elsewhere: Array

    @property
    def optimism(self) -> float:
        """By how much the report exceeds what the chosen candidate scores elsewhere, on average."""
        return float((self.reported - self.elsewhere).mean())


def select_on_the_test_set(
    candidates: Sequence[Array], score: ScoreFunction, sentences: int, repeats: int = 1000
) -> Selection:
    """Choose the best candidate by a random part of the sentences, again and again, and score it on the rest.

    Reported and elsewhere are differences to the mean of all candidates on the same sentences, so that a part that
    happens to be easy does not matter.

    Args:
        candidates: statistics of each, shape (n, k).
        sentences: in the part that one chooses by.

    Raises:
        ValueError: the part leaves no sentence.
    """
    stacked = np.stack(candidates)
    n = stacked.shape[1]
    if not 0 < sentences < n:
        raise ValueError(f"sentences is {sentences}; expected at least 1, and fewer than the {n} that there are.")
    rng, total = np.random.default_rng(0), stacked.sum(axis=1)
    reported, elsewhere = np.empty(repeats), np.empty(repeats)
    for i in range(repeats):
        part = stacked[:, rng.choice(n, sentences, replace=False)].sum(axis=1)
        here, there = score(part), score(total - part)
        best = int(here.argmax())
        reported[i], elsewhere[i] = here[best] - here.mean(), there[best] - there.mean()
    return Selection(reported, elsewhere)


def single_runs(
    system: Array, baseline: Array, score: ScoreFunction, resamples: int = 2000
) -> list[tuple[float, float]]:
    """Return what studies with one run of each would have found: difference and p-value for every pair of seeds.

    Args:
        system: statistics, shape (seeds, n, k).
        baseline: the same for the baseline.
    """
    return [
        (one.estimate, one.p_value)
        for base in baseline
        for one in compare.paired_differences(dict(enumerate(system)), base, score, Resampling(resamples)).values()  # type: ignore[arg-type]
    ]


def is_zero(hypotheses: Sequence[str], references: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return where unsmoothed sentence BLEU is exactly 0: no n-gram of some order is right."""
    from sacrebleu.metrics.bleu import BLEU

    unsmoothed = BLEU(smooth_method="none", effective_order=False)
    scores = [unsmoothed.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)]
    return np.array(scores) == 0


def lazy(hypotheses: Sequence[str], sources: Sequence[str], share: float) -> list[str]:
    """Return the hypotheses of a system that does nothing on a random share of the sentences."""
    idle = np.random.default_rng(0).random(len(sources)) < share
    return [source if rest else text for text, source, rest in zip(hypotheses, sources, idle, strict=True)]


def scores_of_laziness(
    hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str], shares: Sequence[float]
) -> dict[str, list[float]]:
    """Return what each metric makes of a system that does nothing on a growing share of the sentences."""
    written = [lazy(hypotheses, sources, share) for share in shares]
    return {
        metric.name: [metric.corpus(texts, references, sources).value for texts in written]
        for metric in metrics.METRICS
    }
