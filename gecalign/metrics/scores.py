"""Scores of corrections, 0-100: BLEU, chrF, GLEU and edit F0.5, from sufficient statistics.

Every metric is a row of counts per sentence and a vectorised function of summed counts:

    corpus score       metric.score(statistics.sum(axis=0))
    bootstrap scores   metric.score(weights @ statistics)       no text is scored twice
    sentence scores    metric.sentence_score(statistics)

The two score functions differ only in what they do with counts of zero, which are rare in a corpus and
common in a sentence. A score always comes with its signature: scores with different signatures must not be
compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from gecalign.corpus.texts import WORDS_VERSION, References, at_blanks, check_parallel
from gecalign.metrics.behaviour import Rates, behaviour, rates
from gecalign.metrics.edit_score import edit_f05 as edit_f05_score
from gecalign.metrics.edit_score import edit_statistics, precision_recall_f
from gecalign.metrics.ngram_score import (
    ORDER,
    Several,
    bleu_score,
    bleu_statistics,
    chrf_score,
    chrf_statistics,
    gleu_score,
    gleu_statistics,
    sacre_bleu,
    sacre_chrf,
    sentence_ngram_score,
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A corpus score and what it takes to compare it with another."""

    name: str
    value: float  # 0-100
    signature: str
    n: int  # sentences


@dataclass(frozen=True)
class Metric:
    """A metric as statistics and a function of their sum; k columns, whose meaning is the metric's own."""

    name: str
    count: Callable[[Sequence[str], Several, Sequence[str]], Array] = field(repr=False)  # -> (n, k)
    score: Callable[[npt.ArrayLike], Array] = field(repr=False)  # (..., k) -> (...), 0-100
    sentence_score: Callable[[npt.ArrayLike], Array] = field(repr=False)  # the same, with a sentence's zeros
    signature: Callable[[int | None], str] = field(repr=False)  # references per sentence, None where it varies
    needs_sources: bool = False

    def statistics(
        self, hypotheses: Sequence[str], references: References, sources: Sequence[str] | None = None
    ) -> Array:
        """Return the counts of each sentence, shape (n, k).

        Args:
            references: a string per sentence, or several strings per sentence.
            sources: what was to be corrected; GLEU and edit F0.5 need it.

        Raises:
            ValueError: see `texts.check_parallel`; or the metric needs the sources and they are not given.
        """
        return self.count(*self._checked(hypotheses, references, sources))

    def corpus(self, hypotheses: Sequence[str], references: References, sources: Sequence[str] | None = None) -> Score:
        """Return the score of all sentences together.

        >>> bleu.corpus(["She goes home now."], ["She goes home now."]).signature
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0'
        """
        checked = self._checked(hypotheses, references, sources)
        value = float(self.score(self.count(*checked).sum(axis=0)))
        return Score(self.name, value, self.signature(_references_per_sentence(checked[1])), len(checked[0]))

    def sentence(
        self, hypotheses: Sequence[str], references: References, sources: Sequence[str] | None = None
    ) -> Array:
        """Return the score of each sentence by itself, shape (n,)."""
        return self.sentence_score(self.statistics(hypotheses, references, sources))

    def _checked(
        self, hypotheses: Sequence[str], references: References, sources: Sequence[str] | None
    ) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
        if sources is None and self.needs_sources:
            raise ValueError(
                f"{self.name} compares the hypotheses with what was to be corrected, and no sources came: "
                "pass sources=, one string per hypothesis."
            )
        return check_parallel(hypotheses, references, hypotheses if sources is None else sources)


@dataclass(frozen=True)
class Evaluation:
    """Everything that is measured on the outputs of one system."""

    scores: dict[str, Score]  # by the name of the metric
    edit_precision: float  # 0-100
    edit_recall: float  # 0-100
    rates: Rates
    n: int  # sentences

    def row(self) -> dict[str, float | None]:
        """Return all numbers as one flat row of a table, None for those that are not defined."""
        values = {name: score.value for name, score in self.scores.items()}
        values |= {"edit precision": self.edit_precision, "edit recall": self.edit_recall} | asdict(self.rates)
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    def signatures(self) -> dict[str, str]:
        """Return the signature of each score."""
        return {name: score.signature for name, score in self.scores.items()}


def evaluate(
    hypotheses: Sequence[str],
    references: References,
    sources: Sequence[str],
    truncated: Sequence[bool] | None = None,
    tokenized: bool = False,
) -> Evaluation:
    """Measure the outputs of a system by every yardstick of the study (chapters 1 and 7).

    Args:
        references: a string per sentence, or several strings per sentence.
        truncated: whether decoding stopped at the length limit; only the decoder knows.
        tokenized: whether texts are tokens with blanks between them, and are split there alone.

    Raises:
        ValueError: the lists are empty, differ in length, or hold something that is not a string.
    """
    measured = behaviour(hypotheses, references, sources, truncated)
    used = {metric.name: metric for metric in metrics_of(tokenized)}
    edits = precision_recall_f(used[edit_f05.name].statistics(hypotheses, references, sources).sum(axis=0))
    return Evaluation(
        scores={name: metric.corpus(hypotheses, references, sources) for name, metric in used.items()},
        edit_precision=float(edits.precision),
        edit_recall=float(edits.recall),
        rates=rates(measured),
        n=len(measured.copied),
    )


def _references_per_sentence(references: Several) -> int | None:
    counts = {len(several) for several in references}
    return counts.pop() if len(counts) == 1 else None


def _sacre_signature(sacre: BLEU | CHRF, nrefs: int | None) -> str:
    sacre.num_refs = -1 if nrefs is None else nrefs  # -1: sacreBLEU's mark for "varies"
    return str(sacre.get_signature())


def _own_signature(settings: str, tok: str = f"gecalign-{WORDS_VERSION}") -> Callable[[int | None], str]:
    return lambda nrefs: f"nrefs:{nrefs or 'var'}|case:mixed|tok:{tok}|{settings}|version:gecalign-1"


GLEU_SETTINGS = f"order:{ORDER}|refs:mean|smooth:none"
EDIT_SETTINGS = "align:levenshtein|merge:adjacent|refs:best"

bleu = Metric(
    "BLEU",
    count=lambda hypotheses, references, _: bleu_statistics(hypotheses, references),
    score=bleu_score,
    sentence_score=sentence_ngram_score,
    signature=lambda nrefs: _sacre_signature(sacre_bleu(), nrefs),
)
gleu = Metric(
    "GLEU",
    count=gleu_statistics,
    score=gleu_score,
    sentence_score=sentence_ngram_score,
    signature=_own_signature(GLEU_SETTINGS),
    needs_sources=True,
)
edit_f05 = Metric(
    "edit F0.5",
    count=edit_statistics,
    score=edit_f05_score,
    sentence_score=edit_f05_score,
    signature=_own_signature(EDIT_SETTINGS),
    needs_sources=True,
)
chrf = Metric(
    "chrF2",
    count=lambda hypotheses, references, _: chrf_statistics(hypotheses, references),
    score=chrf_score,
    sentence_score=chrf_score,
    signature=lambda nrefs: _sacre_signature(sacre_chrf(word_order=0), nrefs),
)
chrf_plus_plus = Metric(
    "chrF2++",
    count=lambda hypotheses, references, _: chrf_statistics(hypotheses, references, word_order=2),
    score=chrf_score,
    sentence_score=chrf_score,
    signature=lambda nrefs: _sacre_signature(sacre_chrf(word_order=2), nrefs),
)

METRICS = (bleu, gleu, edit_f05, chrf)  # the columns of the study's tables
# The same for texts that are tokenised already, as the field's corpora are: split at blanks, and nowhere else.
TOKENIZED = (
    replace(
        bleu,
        count=lambda hypotheses, references, _: bleu_statistics(hypotheses, references, tokenized=True),
        signature=lambda nrefs: _sacre_signature(sacre_bleu(tokenized=True), nrefs),
    ),
    replace(gleu, count=partial(gleu_statistics, split=at_blanks), signature=_own_signature(GLEU_SETTINGS, "blanks")),
    replace(
        edit_f05, count=partial(edit_statistics, split=at_blanks), signature=_own_signature(EDIT_SETTINGS, "blanks")
    ),
    chrf,  # blanks do not count in it
)


def metrics_of(tokenized: bool) -> tuple[Metric, ...]:
    """Return the metrics of the study's tables, for ordinary or for tokenised texts; the names are the same."""
    return TOKENIZED if tokenized else METRICS
