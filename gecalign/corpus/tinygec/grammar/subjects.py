"""Who a sentence is about: names, relatives, roles, groups, and people identified by a relative clause."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from gecalign.corpus.tinygec.chance import choose, draw, happens
from gecalign.corpus.tinygec.grammar.clauses import (
    Frame,
    Situation,
    group_of,
    head,
)
from gecalign.corpus.tinygec.grammar.phrases import (
    Phrase,
    Scene,
    group,
    kin,
    kin_group,
    name,
    pronoun,
    role,
    write,
)
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.words import (
    THE,
    comma,
    word,
)

YOUNG = frozenset({"child", "boy", "girl", "student"})

_PRONOUN_WEIGHTS = {"I": 22, "you": 3, "he": 20, "she": 20, "we": 15, "they": 14}

_PRONOUNS, _PRONOUN_SUMS = tuple(_PRONOUN_WEIGHTS), tuple(accumulate(_PRONOUN_WEIGHTS.values()))


def person(scene: Scene, adult: bool = False, full: float = 0.66) -> Phrase:
    """Draw who the sentence is about; no pronoun with probability `full`."""
    if not happens(scene.rng, full):
        return pronoun(draw(scene.rng, _PRONOUNS, _PRONOUN_SUMS))
    phrase = draw(scene.rng, _PEOPLE, _PEOPLE_SUMS)(scene)
    if adult and any(token.lemma in YOUNG for token in phrase.tokens):
        return name(scene)
    return phrase


def _kin(scene: Scene) -> Phrase:
    return kin(scene, choose(scene.rng, ("I", "I", "I", "I", "he", "she", "we")))


def _kin_group(scene: Scene) -> Phrase:
    return kin_group(scene, choose(scene.rng, ("I", "I", "he", "she", "we")))


def _pair(scene: Scene) -> Phrase:
    """Return "Tom and his sister", "my uncle and I", "Anna and Ben"."""
    first = name(scene) if happens(scene.rng, 0.6) else kin(scene, "I")
    draw_ = scene.rng.random()
    if draw_ < 0.3:
        return Phrase((*first.tokens, word("and", "CC"), *pronoun("I").tokens), "pl", "we")
    second = kin(scene, first.back) if draw_ < 0.7 else name(scene)
    if second.tokens == first.tokens:
        return first
    return Phrase((*first.tokens, word("and", "CC"), *second.tokens), "pl", "they")


def _everybody(scene: Scene) -> Phrase:
    key = choose(scene.rng, ("every", "each", "most", "all", "many"))
    lemma = choose(scene.rng, ("student", "child", "worker", "teacher", "nurse", "farmer"))
    if key in ("every", "each"):
        return Phrase(
            (word(key, "DT", "quantifier"), word(lemma, "NN", "countable", "person", "subject")), "3s", "they"
        )
    head_ = word(lemma, "NNS", "countable", "person", "subject")
    if key == "all":
        return Phrase((word("all", "PDT", "quantifier"), THE, head_), "pl", "they")
    return Phrase((word(key, "JJ", "quantifier"), head_), "pl", "they")


def _identified(scene: Scene) -> Phrase:
    """Return "the woman who lives next door", "my brother, who works in Rome,"."""
    familiar = happens(scene.rng, 0.3)
    phrase = (name(scene) if happens(scene.rng, 0.5) else kin(scene, "I")) if familiar else role(scene)
    tense = "present" if familiar else choose(scene.rng, ("present", "past"))
    pattern = choose(scene.rng, lexicon()["identifying"][tense])
    verb, _, complement = pattern.partition(" ")
    relative = Phrase((word("who", "WP", "relative"),), phrase.agreement, phrase.back)
    inner = Scene(scene.rng, phrase.back)
    situation = Situation(tense, "relative")
    clause = head(inner, relative, group_of(Frame(verb, complement, frozenset()), situation, relative), situation)
    write(complement, inner, clause)
    if familiar:
        clause = [comma("relative"), *clause, comma("relative")]
    return Phrase((*phrase.tokens, *clause), phrase.agreement, phrase.back)


_PEOPLE_WEIGHTS: dict[Callable[[Scene], Phrase], float] = {
    name: 28, _kin: 28, role: 12, group: 8, _kin_group: 7, _pair: 8, _everybody: 4, _identified: 10,
}  # fmt: skip

_PEOPLE, _PEOPLE_SUMS = tuple(_PEOPLE_WEIGHTS), tuple(accumulate(_PEOPLE_WEIGHTS.values()))


def subject_for(scene: Scene, frame: Frame, full: float = 0.66) -> Phrase:
    """Draw a person who can do what the frame says."""
    return person(scene, adult="X" in frame.flags, full=full)
