"""Sentences with a verb inside another's complement: purposes, results, control, reported clauses."""

from __future__ import annotations

from dataclasses import replace

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.grammar.clauses import (
    Draft,
    Frame,
    Situation,
    frames,
    group_of,
    head,
    predicate,
    situate,
    statement,
    subject_of,
    subordinate,
    time,
    time_of,
    verbal,
)
from gecalign.corpus.tinygec.grammar.phrases import (
    Scene,
    kin,
    kin_group,
    pronoun,
    write,
)
from gecalign.corpus.tinygec.grammar.single import tail_of
from gecalign.corpus.tinygec.grammar.subjects import person, subject_for
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import (
    QUESTION_MARK,
    STOP,
    comma,
    word,
)


def purpose(scene: Scene) -> Draft:
    """Going somewhere to do something: "Anna went to the library to borrow some books." """
    where = choose(scene.rng, tuple(lexicon()["purposes"]))
    what = choose(scene.rng, lexicon()["purposes"][where])
    frame = Frame(
        choose(scene.rng, ("go", "go", "go", "run", "come")) if "{" not in where else "go",
        where,
        frozenset("Ew"),
    )
    subject = person(scene)
    situation = situate(scene, frame, choose(scene.rng, ("past", "past", "future", "habit", "modal")))
    situation = replace(situation, negated="")
    scene.back = subject.back
    adverbial = time(scene, situation.time) if situation.time else []
    body = predicate(scene, frame, situation)
    verb, _, complement = what.partition(" ")
    aim = [
        word("to", "TO", "governed"),
        *verbal(scene, Frame(verb.partition("/")[0], complement, frozenset()), "VB"),
    ]
    body = head(scene, subject, group_of(frame, situation, subject), situation) + body + aim
    if adverbial and happens(scene.rng, 0.6):
        return [*adverbial, comma("fronted"), *body], STOP
    return [*body, *adverbial], STOP


def degree(scene: Scene) -> Draft:
    """Degree and result: "The box was so heavy that they could not carry it." """
    shape = choose(scene.rng, ("too", "enough", "so"))
    parts = [part.strip() for part in choose(scene.rng, lexicon()["degrees"][shape]).split("|")]
    main = person(scene)
    scene.back = main.back
    subject = main if parts[0] == "they" else subject_of(parts[0], scene)
    tense = "past" if shape == "so" else choose(scene.rng, ("present", "past"))
    situation = Situation(tense, "parallel" if shape == "so" else "")
    copula = head(scene, subject, group_of(Frame("be", "", frozenset()), situation, subject), situation)
    adjective: list[Token] = []
    write(parts[1] if "/" in parts[1] else f"{parts[1]}/JJ", scene, adjective)
    if shape == "so":
        result = f"{parts[2]}|{parts[3]}"
        if parts[0] != "they" and parts[2] == "they":
            other = subordinate(scene, result, tense, subject=main)
        else:
            other = subordinate(scene, result, tense)
        return [*copula, word("so", "RB", "degree"), *adjective, word("that", "SC"), *other], STOP
    verb, _, complement = parts[2].partition(" ")
    aim = [word("to", "TO", "governed"), *verbal(scene, Frame(verb, complement, frozenset()), "VB")]
    degree_ = word(shape, "RB", "degree")
    return [*copula, *([degree_, *adjective] if shape == "too" else [*adjective, degree_]), *aim], STOP


def control(scene: Scene) -> Draft:
    """A verb that governs another: "Anna decided to learn Spanish.", "We enjoy playing chess." """
    event = happens(scene.rng, 0.5)
    entry, form = choose(scene.rng, lexicon()["control"]["events" if event else "stative"]).split()
    verb, *particles = entry.split("_")
    able = verb in ("succeed", "manage") or (particles and particles[0] in ("good", "bad"))
    frame = choose(scene.rng, frames("K" if able else "A", "S"))
    subject = subject_for(scene, frame)
    outer = Frame(verb, "", frozenset("EL" if event else "S"))
    situation = situate(scene, outer, "past" if event else "state")
    if event:
        situation = replace(situation, time=time_of(scene, "past"))
    scene.back = subject.back
    body = head(scene, subject, group_of(outer, situation, subject), situation)
    body += [_selected(particle) for particle in particles]
    body += [word("to", "TO", "governed")] if form == "to" else []
    body += verbal(scene, frame, "VB" if form == "to" else "VBG", habitual=not event)
    if event and happens(scene.rng, 0.5):
        return [*time(scene, situation.time), comma("fronted"), *body], STOP
    tail = tail_of(scene, frame, situation, subject) if event else []
    return [*body, *tail], STOP


def _selected(particle: str) -> Token:
    if particle in ("interested", "good", "bad", "tired", "afraid", "used"):
        return word(particle, "JJ")
    return word(particle, "RB") if particle == "forward" else word(particle, "IN", "governed")


def causative(scene: Scene) -> Draft:
    """Making others do things: "The teacher asked us to write an essay." """
    verb, form = choose(scene.rng, lexicon()["control"]["causatives"]).split()
    frame = choose(scene.rng, frames("A", "SLX"))
    subject = person(scene)
    scene.back = subject.back
    outer = Frame(verb, "", frozenset("E"))
    situation = Situation("past", "past", time_of(scene, "past"))
    other = choose(scene.rng, (kin, kin_group))(scene, subject.back, ("object",))
    out = head(scene, subject, group_of(outer, situation, subject), situation) + list(other.tokens)
    scene.back = other.back
    link = {"to": [word("to", "TO", "governed")], "from": [word("from", "IN", "governed")], "bare": []}[form]
    out += [*link, *verbal(scene, frame, "VBG" if form == "from" else "VB")]
    return [*time(scene, situation.time), comma("fronted"), *out], STOP


def reported(scene: Scene) -> Draft:
    """What somebody thinks or says: "She said that the food was delicious." """
    subject = person(scene, full=0.6)
    scene.back = subject.back
    tense, verb = choose(
        scene.rng,
        (
            ("present", "think"),
            ("present", "believe"),
            ("past", "say"),
            ("past", "think"),
            ("past", "tell"),
            ("present", "know"),
            ("present", "hope"),
        ),
    )
    situation = Situation(tense, "")
    out = head(scene, subject, group_of(Frame(verb, "", frozenset()), situation, subject), situation)
    if verb == "tell":
        write("[person]", scene, out)
    if verb in ("say", "tell") or happens(scene.rng, 0.6):
        out.append(word("that", "SC"))
    pattern = choose(scene.rng, lexicon()["clauses"]["opinions"])
    return [*out, *subordinate(scene, pattern, tense)], STOP


def known(scene: Scene) -> Draft:
    """What somebody thinks of a whole clause: "I hope that my sister will pass the exam." """
    frame = choose(scene.rng, frames("AS"))
    subject = subject_for(scene, frame)
    situation = situate(scene, frame)
    clause = statement(scene, subject, frame, situation, front=0)
    scene.back = choose(scene.rng, ("I", "I", "we", "he", "she", "they"))
    if scene.back == subject.back and not subject.pronoun:
        scene.back = "I"
    matrix = subordinate(scene, choose(scene.rng, lexicon()["matrices"]["that"]), "present", cue="")
    that = [word("that", "SC")] if matrix[-1].pos != "VERB" or happens(scene.rng, 0.7) else []
    return [*matrix, *that, *clause], STOP


def indirect(scene: Scene) -> Draft:
    """A question inside a sentence: "Do you know where Anna bought the ring?" """
    asked = choose(scene.rng, ("where", "when", "why", "how often", "whether"))
    required = {"where": "A", "when": "EL", "why": "A", "how often": "dwy", "whether": "EL"}[asked]
    frame = choose(scene.rng, frames(required, barred="S"))
    subject = subject_for(scene, frame)
    tense = "present" if asked == "how often" else choose(scene.rng, ("past", "past", "future"))
    situation = Situation(tense, "habit" if asked == "how often" else "")
    if asked in ("why", "where", "whether"):
        situation = replace(situate(scene, frame, "past" if tense == "past" else "future"), negated="")
    link = (
        [word(asked, "SC")]
        if asked == "whether"
        else [word(asked.split()[0], "WRB"), *(word(w, "RB") for w in asked.split()[1:])]
    )
    bare = replace(frame, manners=(), places=() if asked == "where" else frame.places)
    clause = [*link, *statement(scene, subject, bare, situation, front=0)]
    if happens(scene.rng, 0.35):
        opening = choose(
            scene.rng, (("can", "tell", "me"), ("do", "know"), ("could", "tell", "us"), ("do", "remember"))
        )
        return [*_polite(opening), *clause], QUESTION_MARK
    scene.back = choose(scene.rng, ("I", "I", "we", "he", "she"))
    if scene.back == subject.back and not subject.pronoun:
        scene.back = "I"
    return [
        *subordinate(scene, choose(scene.rng, lexicon()["matrices"]["question"]), "present", cue=""),
        *clause,
    ], STOP


def _polite(opening: tuple[str, ...]) -> list[Token]:
    auxiliary, verb, *whom = opening
    first = word(auxiliary, "MD" if auxiliary != "do" else "VBP", "finite", "agreement:pl", pos="AUX")
    return [
        first,
        *pronoun("you").tokens,
        word(verb, "VB"),
        *(word(lemma, "PRP", "object") for lemma in whom),
    ]


def evaluation(scene: Scene) -> Draft:
    """A judgement: "It is important to sleep well.", "Learning Spanish is fun." """
    frame = choose(scene.rng, frames("A", "SX"))
    adjective = choose(scene.rng, lexicon()["control"]["evaluations"])
    scene.back = "you"
    tokens = [
        *_it_is(scene),
        word(adjective, "JJ"),
        word("to", "TO", "governed"),
        *verbal(scene, frame, "VB", habitual=True),
    ]
    return tokens, STOP


def _it_is(scene: Scene) -> list[Token]:
    it = pronoun("it")
    situation = Situation("present")
    return head(scene, it, group_of(Frame("be", "", frozenset()), situation, it), situation)
