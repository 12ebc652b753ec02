"""Rewards: pure functions on strings, 0-1, their combinations, and one adapter to TRL.

A reward is named in a profile by an expression, in one of two forms whose weights sum to 1:

    0.8*bleu + 0.2*format          a weighted sum: one objective can pay for another
    bleu^0.8 * format^0.2          a weighted geometric mean: an objective at 0 makes all of it 0

Each scores one hypothesis against its reference, and the source where it needs it. Where a sentence has several
references, each follows its field's rule: BLEU takes clipped maxima and the closest length, GLEU the mean of the
counts, the others the reference that suits the hypothesis best. What is counted on a reference is cached, because a
group of GRPO asks about the same one many times, and a hypothesis that occurs several times is scored once. Explained
in chapters 3 and 5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gecalign import prompts
from gecalign.corpus.texts import Reference, References, as_reference, check_parallel, several, words
from gecalign.metrics.behaviour import repetition_loops
from gecalign.metrics.edit_score import edit_counts, edit_f05
from gecalign.metrics.ngram_score import bleu_counts, chrf_counts, chrf_score, gleu_counts, sentence_ngram_score

Array = npt.NDArray[np.float64]
Scorer = Callable[[str, Reference, str], float]  # hypothesis, reference or several, source -> 0-1


def bleu(hypothesis: str, reference: Reference, source: str = "") -> float:
    """Return sentence BLEU, smoothed, orders longer than the hypothesis left out (sacreBLEU's `effective_order`).

    Unsmoothed it would be 0 for every hypothesis without a matching 4-gram, and tell such hypotheses not apart.

    >>> bleu("She goes home.", "She goes home.")
    1.0
    """
    return float(sentence_ngram_score(bleu_counts(hypothesis, *several(reference)))) / 100


def gleu(hypothesis: str, reference: Reference, source: str) -> float:
    """Return sentence GLEU: BLEU that is charged for what should have gone from the source (chapter 1)."""
    counts = [gleu_counts(hypothesis, one, source) for one in several(reference)]
    return float(sentence_ngram_score(np.mean(counts, axis=0))) / 100


def chrf(hypothesis: str, reference: Reference, source: str = "") -> float:
    """Return sentence chrF2, on n-grams of characters."""
    return float(chrf_score(chrf_counts(hypothesis, *several(reference)))) / 100


def edit_f_score(hypothesis: str, reference: Reference, source: str) -> float:
    """Return F0.5 of the edits made against those needed; 1 where none was needed and none made."""
    return max(float(edit_f05(edit_counts(hypothesis, one, source))) for one in several(reference)) / 100


def exact_match(hypothesis: str, reference: Reference, source: str = "") -> float:
    """Return 1 where the hypothesis is a reference, character by character, else 0."""
    return float(hypothesis in several(reference))


def length(hypothesis: str, reference: Reference, source: str = "") -> float:
    """Return the shorter length over the longer one, in words, of hypothesis and reference.

    >>> length("She goes", "She goes home every day")
    0.4
    """
    return max(_ratio(len(words(hypothesis)), len(words(one))) for one in several(reference))


def no_repetition(hypothesis: str, reference: Reference = "", source: str = "") -> float:
    """Return the share of distinct words where the hypothesis loops and the source does not, else 1.

    >>> no_repetition("I like to like to like to sing.")
    0.625
    """
    if not repetition_loops(hypothesis) - repetition_loops(source):
        return 1.0
    tokens = words(hypothesis)
    return len(set(tokens)) / len(tokens)


def well_formed(hypothesis: str, reference: Reference = "", source: str = "") -> float:
    """Return 1 for what can be a sentence: one line, not empty, that ends in a mark of punctuation; else 0."""
    return float(bool(re.fullmatch(r".*\w.*[.!?…][\"'”’)\]]*", hypothesis)))


REWARDS: dict[str, Scorer] = {
    "bleu": bleu,
    "gleu": gleu,
    "chrf": chrf,
    "edit": edit_f_score,
    "exact": exact_match,
    "length": length,
    "repetition": no_repetition,
    "format": well_formed,
}


@dataclass(frozen=True)
class Reward:
    """A function of strings with a name, and a check on every value that it gives."""

    name: str
    score: Scorer

    def __call__(self, hypotheses: Sequence[str], references: References, sources: Sequence[str]) -> Array:
        """Return the reward of each hypothesis, shape (n,), 0-1; equal triples are scored once.

        Raises:
            ValueError: the lists differ in length or hold something that is not a string, or a value is not
                finite or lies outside 0-1.
        """
        check_parallel(hypotheses, references, sources)
        triples = list(zip(hypotheses, map(as_reference, references), sources, strict=True))
        scored = {triple: self._checked(triple) for triple in dict.fromkeys(triples)}
        return np.array([scored[triple] for triple in triples], dtype=np.float64)

    def _checked(self, triple: tuple[str, Reference, str]) -> float:
        value = float(self.score(*triple))
        if not (math.isfinite(value) and -1e-9 <= value <= 1 + 1e-9):  # but for rounding
            raise ValueError(
                f"the reward {self.name!r} gave {value} for the hypothesis {triple[0]!r}; rewards must be finite and "
                "lie between 0 and 1. Scale it, or mend the function: such a value would spoil a whole group."
            )
        return min(max(value, 0.0), 1.0)


@dataclass(frozen=True)
class Objective:
    """What is maximised: a weighted sum of rewards. A single reward has weight 1."""

    expression: str
    rewards: tuple[Reward, ...]
    weights: tuple[float, ...]

    def __call__(self, hypotheses: Sequence[str], references: References, sources: Sequence[str]) -> Array:
        """Return the objective's value for each hypothesis, shape (n,), 0-1; errors as in `Reward`."""
        values = [reward(hypotheses, references, sources) for reward in self.rewards]
        return np.einsum("r,rn->n", self.weights, values)


def _ratio(one: int, other: int) -> float:
    return min(one, other) / max(one, other) if one or other else 1.0


_TERM = re.compile(r"(?:(?P<weight>\d+\.?\d*|\.\d+)\s*\*\s*)?(?P<name>[A-Za-z]+)")
_FACTOR = re.compile(r"(?P<name>[A-Za-z]+)\s*\^\s*(?P<weight>\d+\.?\d*|\.\d+)")


def objective(expression: str) -> Objective:
    """Return the objective that an expression names.

    >>> objective("0.8*bleu + 0.2*format").weights
    (0.8, 0.2)

    Raises:
        ValueError: it is not of either form, names an unknown reward, or its weights do not sum to 1.
    """
    if "^" in expression:
        factors = _parts(_FACTOR, expression.split("*"), expression)
        return Objective(expression, (Reward(expression, _geometric_mean(factors)),), (1.0,))
    terms = _parts(_TERM, expression.split("+"), expression)
    return Objective(expression, tuple(Reward(name, REWARDS[name]) for name in terms), tuple(terms.values()))


def for_trl(reward: Reward) -> Callable[..., list[float]]:
    """Return the reward as TRL calls it: completions, and the columns `reference` and `source` of the data set."""

    def score(completions: list[str], reference: list[str | list[str]], source: list[str], **_: object) -> list[float]:
        hypotheses, references = [prompts.hypothesis(text) for text in completions], [*map(as_reference, reference)]
        return reward(hypotheses, references, source).tolist()

    score.__name__ = reward.name  # what TRL calls it in its log
    return score


def _parts(form: re.Pattern[str], texts: Sequence[str], expression: str) -> dict[str, float]:
    matches = [form.fullmatch(text.strip()) for text in texts]
    if not all(matches):
        raise ValueError(
            f"the reward {expression!r} is of neither form: a weighted sum such as '0.8*bleu + 0.2*format', or a "
            "weighted geometric mean such as 'bleu^0.8 * format^0.2'."
        )
    named = [(match["name"], float(match["weight"] or 1)) for match in matches if match]
    parts = dict(named)
    if unknown := [name for name in parts if name not in REWARDS]:
        raise ValueError(f"unknown reward {unknown[0]!r} in {expression!r}. Rewards: {', '.join(REWARDS)}.")
    if len(parts) < len(named) or not math.isclose(sum(parts.values()), 1) or min(parts.values()) <= 0:
        raise ValueError(
            f"in the reward {expression!r} the weights are {[weight for _, weight in named]}: each reward must stand "
            "there once, and the weights must be above 0 and sum to 1, so that the whole lies between 0 and 1."
        )
    return parts


def _geometric_mean(weights: dict[str, float]) -> Scorer:
    def score(hypothesis: str, reference: Reference, source: str) -> float:
        return math.prod(REWARDS[name](hypothesis, reference, source) ** weight for name, weight in weights.items())

    return score
