"""The error model: writes a clean sentence as a learner of English might have written it.

How many errors, and of which types, follows the development set of the BEA-2019 shared task (Bryant et
al. 2019, https://aclanthology.org/W19-4406). Each error is one of the rules in `RULES`; `errors.toml`
says how large a share of all errors each rule should make, and `weights.toml` how often it has to be
tried for that. Not every sentence offers every error, so the two differ: `gecalign.corpus.tinygec.calibrate` fits
the weights to the shares. What rules write comes from `confusions.toml`.

What differs from the real distribution, by design:

- OTHER, a mixed bag of rephrasings that takes 12.8 % of the real edits, takes less here: only errors
  that a reader can undo are worth writing.
- Types outside the published table (8.3 % together) are listed one by one: ADJ, ADV, CONJ, ...
- Sentences are shorter than real ones, so that 1.7 edits a sentence are more edits a word.
- The rest of the sentence nearly always shows what was meant; real text does not.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import accumulate
from random import Random
from typing import Any

from gecalign.corpus.edits import Edit
from gecalign.corpus.tinygec.chance import choose, draw, happens
from gecalign.corpus.tinygec.errors import nouns, surface, verbs, words
from gecalign.corpus.tinygec.errors.changes import Change, Rule, clashes, spoils_article, write
from gecalign.corpus.tinygec.lexicon.tokens import Token

# Percent of the 7,632 edits in BEA-2019 dev, by type: the published ones, 91.7 % of all.
REAL_SHARES = {
    "PUNCT": 19.4,
    "OTHER": 12.8,
    "DET": 10.4,
    "PREP": 9.7,
    "VERB:TENSE": 6.2,
    "VERB": 5.3,
    "SPELL": 5.1,
    "ORTH": 4.6,
    "NOUN": 4.3,
    "NOUN:NUM": 3.3,
    "VERB:FORM": 3.1,
    "PRON": 2.3,
    "MORPH": 2.1,
    "VERB:SVA": 1.9,
    "WO": 1.2,
}
REAL_OPERATIONS = {"replacement": 61.0, "missing": 26.0, "unnecessary": 12.0}  # percent, the same edits
REAL_EDITS_PER_SENTENCE = 1.74
REAL_CLEAN_SHARE = 0.35

# How many errors a sentence gets: none with the probability that a negative binomial has for it, else one
# and a geometric number more. Fitted: 20,000 sentences come out at the two figures above.
ERRORS_PER_WORD = 0.26  # before the limit below cuts off the tail
DISPERSION = 0.59  # lower: more clean sentences, and more errors in the others
WORDS_PER_ERROR = 2  # at least: a sentence that is all errors could not be read
ATTEMPTS = 200  # rules drawn before giving up on a sentence that has no room for another error


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("gecalign.corpus.tinygec.errors").joinpath(name).read_text(encoding="utf-8"))


SHARES: dict[str, dict[str, float]] = _table("errors.toml")  # by type, then by rule
TYPES = frozenset(SHARES)
TYPE_OF = {rule: error_type for error_type, rules in SHARES.items() for rule in rules}
_TOTAL = sum(share for rules in SHARES.values() for share in rules.values())
TARGET_SHARES = {error_type: 100 * sum(rules.values()) / _TOTAL for error_type, rules in SHARES.items()}
RULES: dict[str, Rule] = {
    name: vars(module)[name] for module in (surface, nouns, verbs, words) for name in TYPE_OF if name in vars(module)
}


@cache
def weights() -> dict[str, float]:
    """Return how often each rule is tried, relative to the others (fitted by `calibrate`)."""
    return dict(_table("weights.toml"))


def corrupt(tokens: Sequence[Token], rng: Random) -> tuple[str, tuple[Edit, ...]]:
    """Write a clean sentence as a learner might have: return it with the edits that correct it.

    `apply_edits(source, edits) == detokenize(tokens)`; a share of the sentences has no edits.
    """
    return write(tokens, [(TYPE_OF[rule], change) for rule, change in draw_changes(tokens, rng)])


def draw_changes(tokens: Sequence[Token], rng: Random) -> list[tuple[str, Change]]:
    """Draw the errors of a sentence: the name of the rule that makes each, and what it changes."""
    changes: list[tuple[str, Change]] = []
    hopeless: set[str] = set()  # rules that found no place; more errors leave less room, so they never will
    words = sum(token.pos != "PUNCT" for token in tokens)
    for _ in range(error_count(words, rng)):
        found = _another(tokens, changes, hopeless, rng)
        if found is None:
            break
        changes.append(found)
    return changes


def error_count(words: int, rng: Random) -> int:
    """Draw how many errors a sentence of `words` words gets."""
    mean = ERRORS_PER_WORD * words
    clean = (1 + mean / DISPERSION) ** -DISPERSION
    if happens(rng, clean):
        return 0
    more = mean / (1 - clean) - 1  # mean of the geometric part
    largest = max(1, words // WORDS_PER_ERROR)
    count = largest + 1
    while count > largest:
        count = 1
        while happens(rng, more / (1 + more)):
            count += 1
    return count


def operation(source: str, edit: Edit) -> str:
    """Return "missing", "unnecessary" or "replacement": what an edit does to the words of `source`.

    As in ERRANT, a last word that changes its case only does not count: "[Dog -> The dog] sleeps."
    """
    wrong, right = source[edit.start : edit.end].split(), edit.replacement.split()
    if len(wrong) != len(right) and wrong and right and wrong[-1].lower() == right[-1].lower():
        wrong, right = wrong[:-1], right[:-1]
    return "replacement" if wrong and right else "unnecessary" if wrong else "missing"


def _another(
    tokens: Sequence[Token], changes: Sequence[tuple[str, Change]], hopeless: set[str], rng: Random
) -> tuple[str, Change] | None:
    """Draw rules until one applies somewhere; return its name and the change it makes."""
    names, cumulative = wheel()
    for _ in range(ATTEMPTS):
        name = draw(rng, names, cumulative)
        if name in hopeless:
            continue
        rule = RULES[name]
        found = [change for index in range(len(tokens)) if (change := rule(tokens, index, rng))]
        fitting = [change for change in found if _fits(tokens, change, changes)]
        if fitting:
            return name, choose(rng, fitting)
        hopeless.add(name)
    return None


@cache
def wheel() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the rules and their cumulative weights."""
    return tuple(RULES), tuple(accumulate(weights()[name] for name in RULES))


def _fits(tokens: Sequence[Token], change: Change, changes: Sequence[tuple[str, Change]]) -> bool:
    return not spoils_article(tokens, change) and not any(clashes(change, other) for _, other in changes)
