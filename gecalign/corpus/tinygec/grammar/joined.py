"""Sentences of two clauses side by side: reasons, concessions, conditions, times, coordination."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.grammar.clauses import (
    Draft,
    Frame,
    Situation,
    frames,
    join,
    predicate,
    situate,
    statement,
    subordinate,
    time,
    verbal,
)
from gecalign.corpus.tinygec.grammar.phrases import (
    Phrase,
    Scene,
    name,
    pronoun,
)
from gecalign.corpus.tinygec.grammar.single import simple
from gecalign.corpus.tinygec.grammar.subjects import subject_for
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import (
    STOP,
    comma,
    word,
)

TOPICS = ("food", "home", "study", "sport", "travel", "work", "shopping", "social", "hobby", "health")


def although(scene: Scene) -> Draft:
    """A concession: "Although it was raining, Tom went for a run." """
    frame = choose(scene.rng, frames("A", "SL"))
    subject = subject_for(scene, frame)
    front = happens(scene.rng, 0.5)
    situation = replace(situate(scene, frame, "past"), negated="")
    pattern = choose(scene.rng, lexicon()["clauses"]["concessions"])
    return _two(scene, "although", pattern, "past", Main(subject, frame, situation), front), STOP


class Main(NamedTuple):
    """What a main clause says: of whom, what, and when."""

    subject: Phrase
    frame: Frame
    situation: Situation


def _two(scene: Scene, conjunction: str, pattern: str, tense: str, main: Main, front: bool) -> list[Token]:
    """Join a main clause and a pattern's clause; whichever comes first has the full subject."""
    subject, frame, situation = main
    if subject.agreement == "3s" and subject.back == "they":  # "every nurse": hard to refer back to
        subject = name(scene)
    scene.back = subject.back
    leads = front and pattern.startswith("they")
    other = subordinate(scene, pattern, tense)
    if leads:
        other = [*subject.tokens, *_rest_after_subject(scene, pattern, tense, subject)]
    stated = statement(scene, pronoun(subject.back) if leads else subject, frame, situation, front=0)
    return join(scene, conjunction, stated, other, front)


def _rest_after_subject(scene: Scene, pattern: str, tense: str, subject: Phrase) -> list[Token]:
    named = Phrase((), subject.agreement, subject.back)
    return subordinate(scene, pattern, tense, subject=named)


def condition(scene: Scene) -> Draft:
    """Conditions, real and imagined: "If it rains tomorrow, we will stay at home." """
    topic = choose(scene.rng, TOPICS)
    patterns = (
        lexicon()["frames"][topic]["conditions"] if happens(scene.rng, 0.8) else lexicon()["clauses"]["conditions"]
    )
    tense, main_tense, cue = choose(scene.rng, _CONDITIONALS)
    if tense == "subjunctive":
        topic = choose(scene.rng, _DREAMS)
        patterns = lexicon()["clauses"]["dreams"]
    frame = choose(scene.rng, frames("A", "S" if topic == "travel" else "SL", topic))
    subject = subject_for(scene, frame)
    situation = Situation(main_tense, cue)
    return _two(
        scene, "if", choose(scene.rng, patterns), tense, Main(subject, frame, situation), happens(scene.rng, 0.65)
    ), STOP


_DREAMS = ("study", "sport", "travel", "shopping", "social", "hobby")

_CONDITIONALS = (
    ("present", "future", "condition"), ("present", "future", "condition"), ("present", "can", "condition"),
    ("subjunctive", "would", "condition"), ("subjunctive", "would", "condition"),
    ("past_perfect", "would_have", "condition"),
)  # fmt: skip


def when(scene: Scene) -> Draft:
    """Two things in time: "They were having dinner when the telephone rang." """
    return choose(scene.rng, (_interrupted, _whenever, _as_soon_as, _before_doing, _while, _earlier, _once))(
        scene
    ), STOP


def _interrupted(scene: Scene) -> list[Token]:
    frame = choose(scene.rng, frames("G", "SL"))
    subject = subject_for(scene, frame)
    pattern = choose(scene.rng, lexicon()["clauses"]["interruptions"])
    return _two(
        scene, "when", pattern, "past", Main(subject, frame, Situation("past_progressive", "interrupted")), False
    )


def _whenever(scene: Scene) -> list[Token]:
    frame = choose(scene.rng, frames("dw", "SX"))
    subject = subject_for(scene, frame)
    situation = Situation("present", "habit", adverb=choose(scene.rng, ("usually", "often", "always", "never", "")))
    pattern = choose(scene.rng, lexicon()["clauses"]["whenever"])
    return _two(scene, "when", pattern, "present", Main(subject, frame, situation), happens(scene.rng, 0.6))


def _as_soon_as(scene: Scene) -> list[Token]:
    frame = choose(scene.rng, frames("E", "S"))
    subject = subject_for(scene, frame)
    conjunction = choose(scene.rng, ("when", "after", "before"))
    moments = "moments_before" if conjunction == "before" else "moments"
    pattern = choose(scene.rng, lexicon()["clauses"][moments])
    tense, main = choose(scene.rng, (("present", "future"), ("past", "past"), ("past", "past")))
    return _two(
        scene,
        conjunction,
        pattern,
        tense,
        Main(subject, frame, Situation(main, "parallel")),
        happens(scene.rng, 0.5),
    )


def _once(scene: Scene) -> list[Token]:
    frame = choose(scene.rng, frames("d", "SX"))
    subject = subject_for(scene, frame)
    pattern = choose(scene.rng, lexicon()["clauses"]["moments_past"])
    situation = Situation("past", "parallel", adverb=choose(scene.rng, ("often", "always", "never")))
    return _two(scene, "when", pattern, "past", Main(subject, frame, situation), happens(scene.rng, 0.6))


def _earlier(scene: Scene) -> list[Token]:
    frame = choose(scene.rng, frames("E", "S"))
    subject = subject_for(scene, frame)
    pattern = choose(
        scene.rng, ("[person] | arrive", "[person] | call them", "the meeting | start", "it | start to rain")
    )
    situation = Situation("past_perfect", "earlier", adverb="already")
    return _two(scene, "when", pattern, "past", Main(subject, frame, situation), happens(scene.rng, 0.4))


def _while(scene: Scene) -> list[Token]:
    topic = choose(scene.rng, ("food", "home", "study", "hobby", "social"))
    one, two = choose(scene.rng, frames("G", "SL", topic)), choose(scene.rng, frames("G", "SL", topic))
    if one.verb == two.verb:
        return _interrupted(scene)
    first, second = subject_for(scene, one), name(scene)
    if first.back == second.back:
        first = pronoun("I")
    situation = Situation("past_progressive", "parallel")
    return join(
        scene,
        "while",
        statement(scene, first, one, situation),
        statement(scene, second, two, situation),
        happens(scene.rng, 0.4),
    )


def _before_doing(scene: Scene) -> list[Token]:
    """Return "Anna brushed her teeth before going to bed"."""
    topic = choose(scene.rng, TOPICS)
    frame, other = choose(scene.rng, frames("A", "SL", topic)), choose(scene.rng, frames("A", "SLX", topic))
    if frame.verb == other.verb:
        return _interrupted(scene)
    subject = subject_for(scene, frame)
    situation = replace(situate(scene, frame, "past"), negated="", time="")
    preposition = word(choose(scene.rng, ("before", "after")), "SC", pos="SCONJ")
    scene.back = subject.back
    phrase = [preposition, *verbal(scene, other, "VBG")]
    front = happens(scene.rng, 0.4)
    if front:
        return [*phrase, comma("fronted"), *statement(scene, subject, frame, situation, front=0)]
    return [*statement(scene, subject, frame, situation, front=0), *phrase]


def coordinated(scene: Scene) -> Draft:
    """Two clauses or predicates side by side: "He went to the market and bought some bread." """
    topic = choose(scene.rng, TOPICS)
    one, two = choose(scene.rng, frames("A", "SL", topic)), choose(scene.rng, frames("A", "SL", topic))
    if one.verb == two.verb:
        return contrasted(scene)
    subject = subject_for(scene, one if "X" in one.flags else two)
    kind = choose(scene.rng, ("past", "past", "future"))
    situation = replace(situate(scene, one, kind), negated="")
    if kind == "future":
        situation = replace(situation, tense="future")
    first = statement(scene, subject, one, replace(situation, time=""), front=0)
    if happens(scene.rng, 0.45) and kind == "past":
        contrast = subordinate(scene, choose(scene.rng, lexicon()["clauses"]["contrasts"]), "past")
        return [*_opening(scene, situation), *first, comma("clause"), word("but", "CC"), *contrast], STOP
    form = "VBD" if kind == "past" else "VB"
    verb = word(
        two.verb,
        form,
        "coordinated",
        *(["finite", f"agreement:{subject.agreement}", "cue:parallel"] if form == "VBD" else []),
    )
    rest = [*predicate(scene, two, situation), *time(scene, situation.time)]
    return [*first, word("and", "CC"), verb, *rest], STOP


def contrasted(scene: Scene) -> Draft:
    """Two people: "My sister plays the piano, but Tom prefers football." """
    kind, required = choose(scene.rng, (("habit", "dw"), ("past", "A"), ("state", "S"), ("now", "G")))
    barred = "L" if kind == "state" else "SL"
    topic = "state" if kind == "state" else choose(scene.rng, TOPICS)
    one, two = (
        choose(scene.rng, frames(required, barred, topic)),
        choose(scene.rng, frames(required, barred, topic)),
    )
    if kind == "state" or happens(scene.rng, 0.3):
        two = one  # the same verb of two people: "I like tea, but Tom likes coffee."
    first, second = subject_for(scene, one), name(scene)
    if "{" not in two.complement or first.back == second.back:
        return simple(scene)
    situation = replace(situate(scene, one, kind), negated="")
    other = replace(situation, time="", adverb="")
    link = choose(scene.rng, ("and", "but", "but"))
    joint = [comma("clause"), word(link, "CC")]
    return [
        *statement(scene, first, one, situation, front=1),
        *joint,
        *statement(scene, second, two, other),
    ], STOP


def _opening(scene: Scene, situation: Situation) -> list[Token]:
    return [*time(scene, situation.time), comma("fronted")]
