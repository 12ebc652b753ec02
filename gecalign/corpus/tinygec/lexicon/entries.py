"""The words of TinyGEC: classes of lemmas from `lexicon.toml`, and their inflected forms.

Forms come from lemminflect (https://lemminflect.readthedocs.io), American spelling first, with the
data file's overrides where the library is wrong or undecided.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

UNINFLECTED = frozenset({"NN", "VB", "JJ", "RB", "NNP"})
KINDS = ("count", "mass", "plural", "pairs", "bare", "the", "their")


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun and how it takes determiners: its kind is one of `KINDS`."""

    lemma: str
    kind: str
    adjectives: tuple[str, ...]
    own: bool  # one's own rather than anybody's: "their jacket" is as likely as "a jacket"
    proper: bool
    group: str  # the class that it belongs to


@cache
def lexicon() -> dict[str, Any]:
    """Return the data file: tables of word classes, verb frames and overrides."""
    text = resources.files("gecalign.corpus.tinygec.lexicon").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def nouns(group: str) -> tuple[Noun, ...]:
    """Return the nouns of a class, or of several ("fruit+snack").

    Raises:
        ValueError: there is no such class.
    """
    if "+" in group:
        return tuple(noun for part in group.split("+") for noun in nouns(part))
    table = lexicon()["nouns"].get(group)
    if table is None:
        raise ValueError(f"no noun class {group!r}: expected one of {', '.join(lexicon()['nouns'])}.")
    adjectives = tuple(table.get("adjectives", "").split())
    own, proper = table.get("own", False), table.get("proper", False)
    return tuple(
        Noun(lemma, kind, adjectives, own, proper, group) for kind in KINDS for lemma in table.get(kind, "").split()
    )


@cache
def words(table: str, key: str) -> tuple[str, ...]:
    """Return the words in the string `key` of `table`."""
    return tuple(lexicon()[table][key].split())


@cache
def tags() -> dict[str, str]:
    """Return the Penn tag of every word that patterns may use without naming it."""
    found: dict[str, str] = {}
    for table in lexicon()["nouns"].values():
        tag = "NNP" if table.get("proper") else "NN"
        for kind in KINDS:
            found.update((lemma, tag) for lemma in table.get(kind, "").split())
        found.update((lemma, "JJ") for lemma in table.get("adjectives", "").split())
    for key in ("role", "job", "any_kin", "acquaintance"):
        found.update((lemma, "NN") for lemma in words("people", key))
    for tag, listed in lexicon()["words"].items():
        found.update((lemma, tag.split()[0]) for lemma in listed.split())
    return found


@cache
def countability(lemma: str) -> str:
    """Return "countable" or "uncountable" for a noun that patterns name."""
    return "uncountable" if lemma in words("words", "NN mass") else "countable"


@cache
def compares_by_ending(adjective: str) -> bool:
    """Whether the adjective compares by -er and -est rather than by "more" and "most".

    >>> compares_by_ending("happy"), compares_by_ending("useful")
    (True, False)
    """
    return adjective in words("adjectives", "by_ending")


@cache
def inflect(lemma: str, tag: str) -> str:
    """Return the form of `lemma` that the Penn tag names.

    Adjectives that compare with "more" have no form of their own: ask `compares_by_ending` first.

    >>> inflect("stop", "VBG"), inflect("child", "NNS"), inflect("good", "JJR")
    ('stopping', 'children', 'better')

    Raises:
        ValueError: the lemma has no such form.
    """
    override = lexicon()["forms"].get(lemma, {}).get(tag)
    if override:
        return str(override)
    if tag in UNINFLECTED:
        return lemma
    from lemminflect import getInflection  # costs 0.2 s, and only TinyGEC needs it

    forms = getInflection(lemma, tag)
    if not forms:
        raise ValueError(
            f"no form {tag} of {lemma!r} is known: expected a Penn tag that fits the word "
            f"(NNS, VBZ, VBP, VBD, VBG, VBN, JJR, JJS, ...). Add one under [forms] in lexicon.toml."
        )
    return str(forms[0])
