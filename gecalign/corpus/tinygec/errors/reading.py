"""Reading an analysed sentence: what stands around a token, and which form of a word would fit."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from gecalign.corpus.tinygec.lexicon.entries import inflect
from gecalign.corpus.tinygec.lexicon.tokens import Token

BE = {
    ("1s", "VBP"): "am", ("3s", "VBZ"): "is", ("pl", "VBP"): "are",
    ("1s", "VBD"): "was", ("3s", "VBD"): "was", ("pl", "VBD"): "were",
}  # fmt: skip
INSIDE_NOUN_PHRASE = frozenset({"ADJ", "NUM", "ADV"})


@cache
def confusions(table: str) -> dict[str, Any]:
    """Return a table of `confusions.toml`: what is right to what is written instead."""
    return dict(_confusions()[table])


@cache
def first_words(table: str) -> frozenset[str]:
    """Return the first word of every key of a table of `confusions.toml`."""
    return frozenset(key.partition(" ")[0] for key in confusions(table))


@cache
def _confusions() -> dict[str, Any]:
    text = resources.files("gecalign.corpus.tinygec.errors").joinpath("confusions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def agreement(token: Token) -> str:
    """Return what a finite verb agrees with: "1s", "3s" or "pl"; "" where it is not finite."""
    for feature in token.features:
        if feature.startswith("agreement:"):
            return feature[10:]
    return ""


def cue(token: Token) -> str:
    """Return the time that the sentence shows apart from its finite verb `token`: "past", ...; or ""."""
    for feature in token.features:
        if feature.startswith("cue:"):
            return feature[4:]
    return ""


@cache
def conjugated(lemma: str, tense: str, agrees: str) -> str:
    """Return the finite form for a tense ("present" or "past") and an agreement ("1s", "3s", "pl")."""
    tag = "VBD" if tense == "past" else "VBZ" if agrees == "3s" else "VBP"
    if lemma == "be":
        return BE[agrees, tag]
    return lemma if tag == "VBP" else inflect(lemma, tag)


def same_form(lemma: str, token: Token) -> str:
    """Return `lemma` in the form in which `token` stands."""
    if "finite" in token.features and token.tag in ("VBZ", "VBP", "VBD"):
        return conjugated(lemma, "past" if token.tag == "VBD" else "present", agreement(token) or "pl")
    return inflect(lemma, token.tag) if token.tag in ("VBZ", "VBD", "VBG", "VBN", "NNS") else lemma


def is_full(tokens: Sequence[Token], index: int) -> bool:
    """Say whether a token is a whole word: no "'s", no "do" of "don't"."""
    if tokens[index].glued:
        return False
    return index + 1 == len(tokens) or not tokens[index + 1].glued or tokens[index + 1].pos == "PUNCT"


def head_noun(tokens: Sequence[Token], index: int) -> int | None:
    """Return where the noun of the phrase is that starts at or after `index`, or None."""
    for place in range(index, min(index + 5, len(tokens))):
        if tokens[place].pos in ("NOUN", "PROPN"):
            while place + 1 < len(tokens) and tokens[place + 1].pos == "NOUN" and not tokens[place + 1].glued:
                place += 1
            return place
        if tokens[place].pos not in INSIDE_NOUN_PHRASE:
            return None
    return None


def starts_noun_phrase(tokens: Sequence[Token], index: int) -> bool:
    """Say whether a noun phrase without a determiner starts at `index`."""
    if tokens[index].pos not in ("ADJ", "NOUN", "PROPN"):
        return False
    before = tokens[index - 1] if index else None
    if before is None or before.tag in ("PRP$", "POS", "CD", "NNP", "NN", "NNS", "JJ", "JJR", "JJS", "WP$"):
        return before is None
    return before.pos not in ("DET", "ADV", "CCONJ") and "quantifier" not in before.features


def before(tokens: Sequence[Token], index: int, reach: int = 5) -> Iterator[int]:
    """Yield the places of up to `reach` tokens to the left, nearest first, within the clause."""
    for place in range(index - 1, max(-1, index - 1 - reach), -1):
        if tokens[place].pos == "PUNCT":
            return
        yield place


def subject_before(tokens: Sequence[Token], index: int) -> int | None:
    """Return where the subject of the verb at `index` is: to its left, or in a question to its right."""
    for place in before(tokens, index, reach=12):
        if "subject" in tokens[place].features:
            return place
    for place in range(index + 1, min(index + 5, len(tokens))):
        if "subject" in tokens[place].features:
            return place
    return None


def selector(tokens: Sequence[Token], index: int) -> int | None:
    """Return where the verb is, or the "to", on which the form of the verb at `index` depends."""
    for place in before(tokens, index):
        token = tokens[place]
        selects = token.pos in ("VERB", "AUX", "PART", "ADP") and token.tag != "POS"
        if selects and "negation" not in token.features:
            return place
    return None


def lower(tokens: Sequence[Token], start: int, end: int) -> str:
    """Return some tokens as they are written in lower case, a space before each that is not glued."""
    return "".join(t.text if t.glued else " " + t.text for t in tokens[start:end]).strip().lower()
