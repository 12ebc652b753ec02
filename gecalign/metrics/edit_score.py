"""Which corrections were made: edit precision, recall and F0.5, and recall by error type.

The edits of a text are the differences of its words from the source's, without a tagger and without a spaCy
model. ERRANT (Bryant et al. 2017, https://aclanthology.org/P17-1074) differs in two ways: it splits and
merges edits by linguistic rules, and it chooses among references by the running total, which depends on the
order of the sentences. Here the choice is made sentence by sentence, so that sentences can be resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Indel, Levenshtein

from gecalign.corpus.edits import Edit, apply_edits
from gecalign.corpus.texts import check_length, check_strings, words

Array = npt.NDArray[np.float64]
WordEdit = tuple[int, int, tuple[str, ...]]  # replace source words start..end by these

BETA = 0.5  # a wrong correction annoys more than a missed one: precision counts twice (Ng et al. 2014)


class PrecisionRecallF(NamedTuple):
    """Each 0-100, of the shape of the totals without their last axis."""

    precision: Array
    recall: Array
    f05: Array


def word_edits(source: Sequence[str], target: Sequence[str]) -> frozenset[WordEdit]:
    """Return the edits that turn the words of `source` into those of `target`; touching ones are one edit.

    >>> word_edits("she go to school".split(), "she goes to the school".split()) == {
    ...     (1, 2, ("goes",)),
    ...     (3, 3, ("the",)),
    ... }
    True
    """
    edits: list[WordEdit] = []
    for operation in Levenshtein.opcodes(source, target):
        if operation.tag == "equal":
            continue
        start, replacement = operation.src_start, tuple(target[operation.dest_start : operation.dest_end])
        if edits and edits[-1][1] == start:
            previous = edits.pop()
            start, replacement = previous[0], previous[2] + replacement
        edits.append((start, operation.src_end, replacement))
    return frozenset(edits)


def edit_statistics(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    sources: Sequence[str],
    split: Callable[[str], list[str]] = words,
) -> Array:
    """Return the counts of true positive, false positive and false negative edits, shape (n, 3).

    With several references the one with the highest F0.5 counts; among equals, the one with more true
    positives, then with fewer false positives, then with fewer false negatives (ERRANT's order).
    """
    rows = [
        best_of_references(
            word_edits(split(source), split(hypothesis)),
            [_gold_edits(source, reference, split) for reference in several],
        )
        for hypothesis, several, source in zip(hypotheses, references, sources, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def best_of_references(made: frozenset[WordEdit], needed: Sequence[frozenset[WordEdit]]) -> tuple[int, int, int]:
    """Return the counts of the edits made against those of the reference that suits them best, as above."""
    counts = [_counts(made, one) for one in needed]
    if len(counts) == 1:  # the choice costs more than the counting
        return counts[0]
    return max(counts, key=lambda c: (edit_f05(c).item(), c[0], -c[1], -c[2]))


def edit_counts(hypothesis: str, reference: str, source: str) -> tuple[int, int, int]:
    """Return the counts of one sentence, as in `edit_statistics`; the edits of the reference are cached."""
    return _counts(word_edits(words(source), words(hypothesis)), _gold_edits(source, reference))


@lru_cache(1 << 16)
def _gold_edits(source: str, reference: str, split: Callable[[str], list[str]] = words) -> frozenset[WordEdit]:
    return word_edits(split(source), split(reference))


def precision_recall_f(totals: npt.ArrayLike) -> PrecisionRecallF:
    """Return precision, recall and F0.5 from totals of shape (..., 3).

    0/0 follows ERRANT's `computeFScore`: precision is 100 where nothing was wrongly changed, recall is 100
    where nothing was missed, and F is 0 where both are 0. So a copied source has precision 100, recall 0
    and F 0, and a clean sentence left alone has F 100.

    >>> precision_recall_f([2, 1, 2]).recall.item()
    50.0
    """
    totals = np.asarray(totals, dtype=np.float64)
    true_positive, false_positive, false_negative = np.moveaxis(totals, -1, 0)
    precision = _share(true_positive, true_positive + false_positive, where=false_positive > 0)
    recall = _share(true_positive, true_positive + false_negative, where=false_negative > 0)
    weighted = BETA**2 * precision + recall
    f05 = np.divide((1 + BETA**2) * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0)
    return PrecisionRecallF(100 * precision, 100 * recall, 100 * f05)


def edit_f05(totals: npt.ArrayLike) -> Array:
    """Return F0.5, 0-100, from totals of shape (..., 3)."""
    return precision_recall_f(totals).f05


def corrected_by_type(
    hypotheses: Sequence[str], sources: Sequence[str], edits: Sequence[Iterable[Edit] | None]
) -> dict[str, Array]:
    """Return for each error type, sorted, the (corrected, total) of each sentence, shape (n, 2).

    These are sufficient statistics of `recall`: for an interval, pass the two to `compare.interval`.

    Args:
        edits: the gold edits of each source; applying all of them gives the reference.

    Raises:
        ValueError: the lists differ in length, or the edits of a sentence are not known.
    """
    hypotheses, sources = check_strings("hypotheses", hypotheses), check_strings("sources", sources)
    check_length("sources", len(sources), len(hypotheses))
    check_length("edits", len(edits), len(hypotheses))
    counts: dict[str, Array] = {}
    for i, (hypothesis, source, gold) in enumerate(zip(hypotheses, sources, edits, strict=True)):
        gold = _known(i, gold)
        for edit, corrected in zip(gold, corrections_made(hypothesis, source, gold), strict=True):
            counts.setdefault(edit.type, np.zeros((len(hypotheses), 2)))[i] += (corrected, 1)
    return dict(sorted(counts.items()))


def recall(totals: npt.ArrayLike) -> Array:
    """Return the recall, 0-100, from (corrected, total) in the last axis; NaN where the total is 0."""
    corrected, total = np.moveaxis(np.asarray(totals, dtype=np.float64), -1, 0)
    return 100 * np.divide(corrected, total, out=np.full_like(total, np.nan), where=total > 0)


def corrections_made(hypothesis: str, source: str, edits: Sequence[Edit]) -> list[bool]:
    """Return for each gold edit whether the hypothesis has exactly its replacement, case included.

    Edits that touch can be aligned in several ways, so no alignment is looked at. Let R be the reference
    and S the reference without this one edit. The hypothesis made the edit when every step from S to R
    brings it closer: distance(hypothesis, S) = distance(hypothesis, R) + distance(R, S), in words inserted
    and removed, or in characters where the edit changes spaces only. A third wording at that place is as
    far from R as from S and does not count. A word that had to go counts as removed only where a neighbour,
    or another word in its place, is still there: else a truncated output would earn all the deletions
    behind its end.
    """
    reference = apply_edits(source, edits)
    return [_made(hypothesis, reference, _without(source, edits, i)) for i in range(len(edits))]


def _without(source: str, edits: Sequence[Edit], index: int) -> str:
    return apply_edits(source, [*edits[:index], *edits[index + 1 :]])


def _made(hypothesis: str, reference: str, uncorrected: str) -> bool:
    got, right, wrong = words(hypothesis), words(reference), words(uncorrected)
    if right == wrong:
        got, right, wrong = list(hypothesis), list(reference), list(uncorrected)
    # Indel, not Levenshtein: a word left in beside the edit must not pass for a substitution of its word.
    gain = Indel.distance(got, wrong) - Indel.distance(got, right)
    return gain == Indel.distance(right, wrong) and not _swallowed(got, right, wrong)


def _swallowed(got: Sequence[str], right: Sequence[str], wrong: Sequence[str]) -> bool:
    """Tell whether words that had to go went together with both their neighbours."""
    gaps = [start for start, end, _ in word_edits(right, wrong) if start == end]
    if not gaps:
        return False
    blocks = Levenshtein.opcodes(right, got)
    lost = {i for block in blocks if block.tag == "delete" for i in range(block.src_start, block.src_end)}
    lost |= {-1, len(right)}  # no neighbour at all
    return any(gap in lost and gap - 1 in lost for gap in gaps)


def _known(index: int, gold: Iterable[Edit] | None) -> list[Edit]:
    if gold is None:
        raise ValueError(
            f"edits[{index}] is None: the edits of this sentence are not known. Scores by error type need a "
            "corpus that records its edits, such as TinyGEC."
        )
    return list(gold)


def _counts(made: frozenset[WordEdit], gold: frozenset[WordEdit]) -> tuple[int, int, int]:
    return len(made & gold), len(made - gold), len(gold - made)


def _share(part: Array, whole: Array, where: npt.NDArray[np.bool_]) -> Array:
    return np.divide(part, whole, out=np.ones_like(whole), where=where)
