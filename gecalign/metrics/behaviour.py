"""What a system does, whatever its score: it copies, loops, runs on, changes what was right.

Two systems with the same BLEU can behave very differently. Each behaviour is an array with an entry per
sentence, so that the sentences behind a rate can be shown, and the rate be given an interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign.corpus.texts import References, check_length, check_parallel, words

Flags = npt.NDArray[np.bool_]

LOOP_TIMES = 3  # "very very good" is English, three times in a row hardly ever is
LOOP_LONGEST = 8  # words; longer loops run into the length limit before their third time


@dataclass(frozen=True, eq=False)
class Behaviour:
    """One entry per sentence, shape (n,). Texts are compared character by character."""

    copied: Flags  # the hypothesis is the source
    exact: Flags  # the hypothesis is a reference
    empty: Flags  # the hypothesis has no words
    looped: Flags  # the hypothesis repeats itself, see `repetition_loops`
    clean: Flags  # the source is a reference: nothing to correct
    over_corrected: Flags  # clean, and yet changed
    truncated: Flags | None  # decoding stopped at the length limit; None where that is not known
    length_ratio: npt.NDArray[np.float64]  # words of the hypothesis over words of the reference (mean of several)


@dataclass(frozen=True)
class Rates:
    """Shares of the sentences, 0-1, and the mean length ratio; NaN where a share has no denominator."""

    copied: float
    exact: float
    empty: float
    looped: float
    clean: float
    over_corrected: float  # share of the *clean* sentences
    truncated: float  # NaN where the decoder's flags were not given
    length_ratio: float


def behaviour(
    hypotheses: Sequence[str],
    references: References,
    sources: Sequence[str],
    truncated: Sequence[bool] | None = None,
) -> Behaviour:
    """Return what the hypotheses do, sentence by sentence.

    Args:
        truncated: whether decoding stopped at the length limit; only the decoder knows.

    Raises:
        ValueError: the lists are empty, differ in length, or hold something that is not a string.
    """
    hypotheses, several, sources = check_parallel(hypotheses, references, sources)
    if truncated is not None:
        check_length("truncated", len(truncated), len(hypotheses))
    rows = list(zip(hypotheses, several, sources, strict=True))
    copied = _flags(hypothesis == source for hypothesis, _, source in rows)
    clean = _flags(source in references for _, references, source in rows)
    return Behaviour(
        copied=copied,
        exact=_flags(hypothesis in references for hypothesis, references, _ in rows),
        empty=_flags(not hypothesis.strip() for hypothesis in hypotheses),
        looped=_flags(bool(repetition_loops(hypothesis) - repetition_loops(source)) for hypothesis, _, source in rows),
        clean=clean,
        over_corrected=clean & ~copied,
        truncated=None if truncated is None else np.asarray(truncated, dtype=bool),
        length_ratio=np.array([_length_ratio(hypothesis, references) for hypothesis, references, _ in rows]),
    )


def rates(measured: Behaviour) -> Rates:
    """Return the shares of the sentences that show each behaviour."""
    return Rates(
        copied=_share(measured.copied),
        exact=_share(measured.exact),
        empty=_share(measured.empty),
        looped=_share(measured.looped),
        clean=_share(measured.clean),
        over_corrected=_share(measured.over_corrected[measured.clean]),
        truncated=np.nan if measured.truncated is None else _share(measured.truncated),
        length_ratio=float(measured.length_ratio.mean()),
    )


def repetition_loops(text: str) -> set[tuple[str, ...]]:
    """Return the n-grams of up to 8 words that follow each other three times or more.

    Runs of mere punctuation ("...") are no loops. A loop is named by its alphabetically first rotation, so
    that "a b a b a b" and "b a b a b a" are the same.

    >>> repetition_loops("I like to like to like to sing.")
    {('like', 'to')}
    """
    tokens = words(text)
    if max(Counter(tokens).values(), default=0) < LOOP_TIMES:
        return set()
    loops = {loop for size in range(1, LOOP_LONGEST + 1) for loop in _loops_of_size(tokens, size)}
    return {loop for loop in loops if any(token[0].isalnum() for token in loop)}


def _loops_of_size(tokens: Sequence[str], size: int) -> set[tuple[str, ...]]:
    loops, run = set(), 0
    for i in range(len(tokens) - size):
        run = run + 1 if tokens[i] == tokens[i + size] else 0
        if run >= (LOOP_TIMES - 1) * size:
            loops.add(_first_rotation(tokens[i + 1 : i + 1 + size]))
    return loops


def _first_rotation(loop: Sequence[str]) -> tuple[str, ...]:
    return min(tuple(loop[i:]) + tuple(loop[:i]) for i in range(len(loop)))


def _length_ratio(hypothesis: str, references: Sequence[str]) -> float:
    return len(words(hypothesis)) / float(np.mean([len(words(reference)) for reference in references]))


def _flags(values: Iterable[bool]) -> Flags:
    return np.fromiter(values, dtype=bool)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if flags.size else np.nan
