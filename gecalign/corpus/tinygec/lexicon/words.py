"""Single words as tokens, and the finishing of a sentence: capitals, "a" or "an"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from gecalign.corpus.tinygec.lexicon.entries import inflect
from gecalign.corpus.tinygec.lexicon.tokens import Token

# Universal Dependencies category of each Penn tag that the grammar uses
CATEGORIES = {
    "NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "NNPS": "PROPN", "PRP": "PRON", "PRP$": "PRON", "EX": "PRON",
    "WDT": "PRON", "WP": "PRON", "DT": "DET", "PDT": "DET", "CD": "NUM",
    "JJ": "ADJ", "JJR": "ADJ", "JJS": "ADJ",
    "VB": "VERB", "VBZ": "VERB", "VBP": "VERB", "VBD": "VERB", "VBG": "VERB", "VBN": "VERB", "MD": "AUX",
    "RB": "ADV", "RBR": "ADV", "RBS": "ADV", "WRB": "ADV", "IN": "ADP", "RP": "ADP", "SC": "SCONJ",
    "TO": "PART",
    "POS": "PART", "CC": "CCONJ", "UH": "INTJ", ".": "PUNCT", ",": "PUNCT",
}  # fmt: skip
INFLECTED = frozenset({"NNS", "VBZ", "VBD", "VBG", "VBN", "JJR", "JJS"})
# Spelled with a vowel letter but said with a consonant, and the other way round.
CONSONANT_SOUND = re.compile(r"(uni|use|usu|eu|one\b|once)", re.IGNORECASE)
VOWEL_SOUND = re.compile(r"([aeio]|u|hour|honest|eight)", re.IGNORECASE)


@cache
def word(lemma: str, tag: str, *features: str, text: str = "", pos: str = "", glued: bool = False) -> Token:
    """Return the token of `lemma` in the form `tag`; `text` overrides the form, `pos` the category."""
    surface = text or (inflect(lemma, tag) if tag in INFLECTED else lemma)
    category = pos or CATEGORIES[tag]
    return Token(surface, lemma, category, "IN" if tag == "SC" else tag, glued, frozenset(features))


@cache
def marked(token: Token, *features: str) -> Token:
    """Return `token` with `features` added."""
    return Token(token.text, token.lemma, token.pos, token.tag, token.glued, token.features | frozenset(features))


@cache
def respelled(token: Token, text: str) -> Token:
    """Return `token` with another surface form."""
    return Token(text, token.lemma, token.pos, token.tag, token.glued, token.features)


A = word("a", "DT", "article")
THE = word("the", "DT", "article")
NOT = word("not", "RB", "negation")
TO = word("to", "TO")
STOP = word(".", ".", glued=True)
QUESTION_MARK = word("?", ".", glued=True)
EXCLAMATION_MARK = word("!", ".", glued=True)


@cache
def comma(kind: str) -> Token:
    """Return a comma; `kind` says why it stands there: fronted, list, clause, relative, tag."""
    return word(",", ",", kind, glued=True)


@cache
def takes_an(text: str) -> bool:
    """Whether a word that reads `text` is preceded by "an" rather than "a"."""
    return bool(VOWEL_SOUND.match(text)) and not CONSONANT_SOUND.match(text)


def finish(tokens: Iterable[Token], mark: Token = STOP) -> tuple[Token, ...]:
    """Return the sentence with "a" or "an" by sound, a capital at its start, and `mark` at its end."""
    sentence: list[Token] = [*tokens, mark]
    for position in range(len(sentence) - 1):
        token = sentence[position]
        if token.lemma == "a" and token.tag == "DT" and takes_an(sentence[position + 1].text):
            sentence[position] = respelled(token, "an")
    first = sentence[0]
    sentence[0] = respelled(first, capitalized(first.text))
    return tuple(sentence)


@cache
def capitalized(text: str) -> str:
    """Return `text` with its first letter in upper case and the rest as it was."""
    return text[0].upper() + text[1:]


def series(items: Sequence[Sequence[Token]], conjunction: str = "and") -> list[Token]:
    """Join phrases as a list: "a and b", "a, b, and c" (with the comma before "and" of American usage)."""
    joined: list[Token] = []
    for position, item in enumerate(items):
        if position and len(items) > 2:
            joined.append(comma("list"))
        if position and position == len(items) - 1:
            joined.append(word(conjunction, "CC"))
        joined.extend(item)
    return joined
