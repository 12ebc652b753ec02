"""Errors of writing rather than of grammar: spelling, capitals and spaces, punctuation, apostrophes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.errors.changes import Change, drop, insert, replace, rewrite
from gecalign.corpus.tinygec.errors.reading import confusions, first_words, is_full, lower
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.tokens import Token

SHORTEST_TYPO = 4  # letters: in shorter words a typo hides what was meant
VOWELS = {"a": "e", "e": "ai", "i": "ey", "o": "ua", "u": "oa"}  # what a vowel is mistaken for


# ---------------------------------------------------------------- spelling


def common_misspelling(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """becouse"""
    wrong = confusions("spelling").get(tokens[index].text.lower())
    return replace(tokens, index, _like(tokens[index], choose(rng, wrong))) if wrong else None


def typo(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """techaer"""
    text = tokens[index].text
    if len(text) < SHORTEST_TYPO or not text.isalpha() or not is_full(tokens, index):
        return None
    if tokens[index].pos == "PROPN":
        return None
    wrong = mistyped(text, rng)
    return None if wrong.lower() in _vocabulary() else replace(tokens, index, wrong)


def mistyped(text: str, rng: Random) -> str:
    """Return a word with two letters swapped, one dropped, one doubled, or one vowel for another."""
    place = 1 + int(rng.random() * (len(text) - 2))  # never the first letter
    head, letter, tail = text[:place], text[place], text[place + 1 :]
    draw = rng.random()
    if draw < 0.3:
        return head + tail[:1] + letter + tail[1:]
    if draw < 0.6 or letter not in VOWELS:
        return head + tail if happens(rng, 0.6) else head + letter + letter + tail
    return head + choose(rng, VOWELS[letter]) + tail


@cache
def _vocabulary() -> frozenset[str]:
    """Every word of the lexicon, in its basic form: what a typo must not turn out to be."""
    found: set[str] = set()
    tables = [lexicon()]
    while tables:
        for value in tables.pop().values():
            if isinstance(value, dict):
                tables.append(value)
            elif isinstance(value, str):
                found.update(value.lower().split())
    return frozenset(found)


def _like(token: Token, text: str) -> str:
    return text.capitalize() if token.text[0].isupper() else text


# ---------------------------------------------------------------- capitals and spaces


def lower_case(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """english; i"""
    token = tokens[index]
    if token.text != token.text.lower() and (token.text == "I" or token.pos == "PROPN"):
        return Change(index, index + 1, ((token.text.lower(), token.glued),))
    return None


def lower_case_start(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """she went home."""
    if index or tokens[0].pos == "PROPN" or tokens[0].text == "I":
        return None
    return Change(0, 1, ((tokens[0].text.lower(), False),))


def stray_capital(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """the Dog"""
    if not index or tokens[index].pos != "NOUN" or not tokens[index].text.islower():
        return None
    return replace(tokens, index, tokens[index].text.capitalize())


def wrong_spacing(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """alot; week end"""
    if tokens[index].text.lower() not in first_words("spacing"):
        return None
    for end in (index + 2, index + 1):
        wrong = confusions("spacing").get(lower(tokens, index, end))
        if wrong and end <= len(tokens):
            return rewrite(tokens, index, end, wrong)
    return None


def run_together(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """inthe"""
    if not index or index + 1 >= len(tokens) or not is_full(tokens, index) or tokens[index + 1].glued:
        return None
    if tokens[index].tag not in ("IN", "TO", "DT") or tokens[index + 1].tag not in ("DT", "NN", "VB", "PRP$"):
        return None
    return rewrite(tokens, index, index + 2, tokens[index].text + tokens[index + 1].text)


# ---------------------------------------------------------------- punctuation


def missing_comma(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """When I came home I slept."""
    return drop(tokens, index) if tokens[index].text == "," else None


def missing_final_mark(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I went home"""
    return drop(tokens, index) if index == len(tokens) - 1 else None


def unneeded_comma(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I know, that he is here; my brother, is tall"""
    if not index or tokens[index].glued or tokens[index - 1].pos == "PUNCT":
        return None
    previous = tokens[index - 1]
    before_clause = tokens[index].pos == "SCONJ" and tokens[index].lemma in ("that", "because", "if", "when")
    after_subject = previous.pos == "NOUN" and "subject" in previous.features
    before_time = tokens[index].lemma in ("every", "yesterday", "tomorrow", "last", "next")
    if before_clause or before_time or (after_subject and "finite" in tokens[index].features):
        return insert(tokens, index, ",")
    return None


def wrong_final_mark(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Where is he."""
    if index != len(tokens) - 1 or tokens[index].text == "!":
        return None
    return replace(tokens, index, "." if tokens[index].text == "?" else choose(rng, ",,;?"))


def wrong_mark(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """When I came home; I slept."""
    if tokens[index].text != ",":
        return None
    return replace(tokens, index, choose(rng, ".;:" if "list" not in tokens[index].features else ";:"))


def missing_apostrophe(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """dont"""
    text = tokens[index].text
    if not tokens[index].glued or "'" not in text or tokens[index].tag == "POS":
        return None
    return replace(tokens, index, text.replace("'", ""))


def misplaced_apostrophe(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """do'nt"""
    return replace(tokens, index, "'nt") if tokens[index].text == "n't" else None
