"""BLEU, GLEU and chrF as counts per sentence, and as functions of summed counts.

The counts of BLEU and chrF are sacreBLEU's own (Post 2018, https://aclanthology.org/W18-6319). Its score
functions take one total at a time; here they are written for arrays of totals, because a bootstrap needs
ten thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from gecalign.corpus.texts import words

Array = npt.NDArray[np.float64]
Several = Sequence[Sequence[str]]  # the references of each sentence
Split = Callable[[str], list[str]]  # a text to its words

CACHED_TEXTS = 1 << 16  # whose n-grams are kept: a reward asks about the same references again and again
ORDER = 4  # longest n-gram of BLEU and GLEU
CHRF_BETA = 2  # chrF2: recall counts twice


def sacre_bleu(tokenized: bool = False) -> BLEU:
    """Return sacreBLEU's default BLEU: 13a tokens, or of tokenised texts these; case kept, exponential smoothing."""
    # force: learner corpora often come tokenised, and sacreBLEU would warn each time; `corpus.sentences` does, once
    return BLEU(force=True, tokenize="none" if tokenized else "13a")


def sacre_chrf(word_order: int) -> CHRF:
    """Return sacreBLEU's chrF2, or chrF2++ with a word order of 2."""
    return CHRF(word_order=word_order, beta=CHRF_BETA)


def reference_streams(references: Several) -> list[Sequence[str]]:
    """Return the references as sacreBLEU takes them: a list per reference set, filled up with None."""
    return list(zip_longest(*references))


def bleu_statistics(hypotheses: Sequence[str], references: Several, tokenized: bool = False) -> Array:
    """Return sacreBLEU's counts: hypothesis and reference length, 4 matched, 4 possible; shape (n, 10)."""
    return _sacre_statistics(sacre_bleu(tokenized), hypotheses, references)


def gleu_statistics(
    hypotheses: Sequence[str], references: Several, sources: Sequence[str], split: Split = words
) -> Array:
    """Return GLEU's counts, in the columns of BLEU's: shape (n, 10); several references are averaged.

    GLEU (Napoles et al. 2015, https://aclanthology.org/P15-2097, in the form of 2016,
    https://arxiv.org/abs/1605.02592) is BLEU with a penalty: n-grams of the hypothesis that were in the
    source and should have gone are subtracted from those that match the reference. The authors draw one
    reference per sentence many times and average the scores; averaging the counts needs no draws. It is not
    "google_bleu".
    """
    rows = [
        np.mean([gleu_counts(hypothesis, reference, source, split) for reference in several], axis=0)
        for hypothesis, several, source in zip(hypotheses, references, sources, strict=True)
    ]
    return np.array(rows)


def chrf_statistics(hypotheses: Sequence[str], references: Several, word_order: int = 0) -> Array:
    """Return sacreBLEU's counts for chrF: n-grams of hypothesis, reference, both; shape (n, 3 * orders).

    Of several references the one with the best chrF counts, sentence by sentence.
    """
    return _sacre_statistics(sacre_chrf(word_order), hypotheses, references)


def ngram_score(totals: npt.ArrayLike, smooth: bool, effective_order: bool) -> Array:
    """Return brevity penalty times geometric mean of n-gram precisions, 0-100, from totals (..., 10).

    This is sacreBLEU's `compute_bleu` for many totals at once (Papineni et al. 2002,
    https://aclanthology.org/P02-1040). Without any match the score is 0.

    Args:
        smooth: the i-th order without a match counts as 1 / 2^i of a match ("exp"); else the score is 0.
        effective_order: orders longer than the hypothesis are left out; else they make the score 0.
    """
    totals = np.asarray(totals, dtype=np.float64)
    matched, possible = totals[..., 2 : 2 + ORDER], totals[..., 2 + ORDER :]
    used = possible > 0
    if smooth:
        missed = used & (matched == 0)
        counted = np.where(missed, 0.5 ** missed.cumsum(axis=-1), matched)
    else:
        counted = matched
    precision = np.divide(counted, possible, out=np.zeros_like(possible), where=used)
    orders = np.maximum(used.sum(axis=-1), 1) if effective_order else ORDER
    with np.errstate(divide="ignore"):  # log(0) = -inf makes the score 0, as it should
        logs = np.log(np.where(used, precision, 1.0 if effective_order else 0.0))
    score = 100 * _brevity_penalty(totals[..., 0], totals[..., 1]) * np.exp(logs.sum(axis=-1) / orders)
    return np.where(matched.any(axis=-1), score, 0.0)


def bleu_score(totals: npt.ArrayLike) -> Array:
    """Return corpus BLEU, as sacreBLEU's default computes it."""
    return ngram_score(totals, smooth=True, effective_order=False)


def gleu_score(totals: npt.ArrayLike) -> Array:
    """Return corpus GLEU: not smoothed, so 0 if any order has no match, as in the authors' script."""
    return ngram_score(totals, smooth=False, effective_order=False)


def sentence_ngram_score(totals: npt.ArrayLike) -> Array:
    """Return BLEU or GLEU of single sentences: smoothed, orders longer than the hypothesis left out.

    For BLEU this is sacreBLEU's `BLEU(effective_order=True)`. The authors' script for GLEU replaces counts
    of zero by one instead, which gives a single wrong word the score of a right one.
    """
    return ngram_score(totals, smooth=True, effective_order=True)


def chrf_score(totals: npt.ArrayLike) -> Array:
    """Return chrF from totals of shape (..., 3 * orders); the columns are those of `chrf_statistics`.

    Precision and recall are averaged over the orders that both texts have (sacreBLEU's default), then
    combined to F2 (Popović 2015, https://aclanthology.org/W15-3049).
    """
    totals = np.asarray(totals, dtype=np.float64)
    hypothesis, reference, matched = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 3), -1, 0)
    used = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.divide(matched, hypothesis, out=np.zeros_like(matched), where=used).sum(axis=-1) / orders
    recall = np.divide(matched, reference, out=np.zeros_like(matched), where=used).sum(axis=-1) / orders
    weighted = CHRF_BETA**2 * precision + recall
    product = (1 + CHRF_BETA**2) * precision * recall
    return 100 * np.divide(product, weighted, out=np.zeros_like(weighted), where=weighted > 0)


def bleu_counts(hypothesis: str, *references: str) -> list[int]:
    """Return sacreBLEU's counts of one sentence, as in `bleu_statistics`; the references' n-grams are cached."""
    return _sacre_counts(_BLEU, hypothesis, references)


def chrf_counts(hypothesis: str, *references: str) -> list[int]:
    """Return sacreBLEU's counts for chrF of one sentence, as in `chrf_statistics`; the references' are cached."""
    return _sacre_counts(_CHRF, hypothesis, references)


def gleu_counts(hypothesis: str, reference: str, source: str, split: Split = words) -> list[int]:
    """Return GLEU's counts of one sentence, as in `gleu_statistics`; n-grams of reference and source are cached."""
    written = _all_ngrams.__wrapped__(hypothesis, split)  # each hypothesis comes once, and would only fill the cache
    known = [_all_ngrams(text, split) for text in (reference, source)]
    matched = [_gleu_matches(*same_order) for same_order in zip(written, *known, strict=True)]
    return [
        written[0].total(),
        known[0][0].total(),
        *matched,
        *(ngrams.total() for ngrams in written),
    ]


def _gleu_matches(hypothesis: Counter, reference: Counter, source: Counter) -> int:
    matches = 0
    for ngram, count in hypothesis.items():
        if ngram in reference:
            matches += min(count, reference[ngram])
        elif ngram in source:  # it should have gone
            matches -= min(count, source[ngram])
    return max(matches, 0)


@lru_cache(CACHED_TEXTS)
def _all_ngrams(text: str, split: Split) -> tuple[Counter, ...]:
    tokens = split(text)
    return tuple(Counter(zip(*(tokens[i:] for i in range(n)), strict=False)) for n in range(1, ORDER + 1))


def _brevity_penalty(hypothesis_length: Array, reference_length: Array) -> Array:
    some = hypothesis_length > 0
    ratio = np.divide(reference_length, hypothesis_length, out=np.full_like(hypothesis_length, np.inf), where=some)
    return np.exp(np.minimum(0.0, 1.0 - ratio))


def _sacre_statistics(sacre: BLEU | CHRF, hypotheses: Sequence[str], references: Several) -> Array:
    # A private method, but the one that sacrebleu.significance resamples; the version is pinned.
    return np.array(sacre._extract_corpus_statistics(hypotheses, reference_streams(references)), dtype=np.float64)


# Private methods, as above; what is public would count the reference's n-grams anew for each hypothesis.
_BLEU, _CHRF = sacre_bleu(), sacre_chrf(word_order=0)


def _sacre_counts(sacre: BLEU | CHRF, hypothesis: str, references: tuple[str, ...]) -> list[int]:
    return sacre._compute_segment_statistics(sacre._preprocess_segment(hypothesis), _sacre_reference(sacre, references))


@lru_cache(2 * CACHED_TEXTS)
def _sacre_reference(sacre: BLEU | CHRF, references: tuple[str, ...]) -> dict[str, Any]:
    return sacre._extract_reference_info([sacre._preprocess_segment(reference) for reference in references])
