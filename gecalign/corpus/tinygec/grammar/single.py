"""Sentences of one clause: statements, questions, passives, comparisons, lists, requests."""

from __future__ import annotations

from dataclasses import replace

from gecalign.corpus.tinygec.chance import choose, happens, shuffled
from gecalign.corpus.tinygec.grammar.clauses import (
    Draft,
    Frame,
    Situation,
    frames,
    group_of,
    head,
    join,
    passives,
    question,
    situate,
    statement,
    subject_of,
    subordinate,
    things,
    time,
    verbal,
)
from gecalign.corpus.tinygec.grammar.phrases import (
    Phrase,
    Scene,
    kin,
    name,
    noun_phrase,
    possessive,
    pronoun,
    write,
)
from gecalign.corpus.tinygec.grammar.subjects import person, subject_for
from gecalign.corpus.tinygec.lexicon.entries import Noun, compares_by_ending, lexicon, nouns, words
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import (
    EXCLAMATION_MARK,
    QUESTION_MARK,
    STOP,
    THE,
    comma,
    series,
    word,
)


def simple(scene: Scene) -> Draft:
    """One clause: "My sister has already cleaned the kitchen." """
    frame = choose(scene.rng, frames())
    subject = subject_for(scene, frame)
    situation = situate(scene, frame)
    tokens = statement(scene, subject, frame, situation)
    if situation.tense == "used_to" and happens(scene.rng, 0.7):
        scene.back = subject.back
        childhood = subordinate(scene, choose(scene.rng, lexicon()["clauses"]["moments_past"]), "past")
        return join(scene, "when", tokens, childhood, front=False), STOP
    if "V" in frame.flags and not situation.negated and not any("fronted" in token.features for token in tokens):
        tokens = _unlucky(scene, tokens)
    return [*tokens, *tail_of(scene, frame, situation, subject)], STOP


def _unlucky(scene: Scene, tokens: list[Token]) -> list[Token]:
    opening: list[Token] = []
    write(choose(scene.rng, lexicon()["matrices"]["bad_luck"]), scene, opening)
    return [*opening, comma("fronted"), *tokens]


def tail_of(scene: Scene, frame: Frame, situation: Situation, subject: Phrase) -> list[Token]:
    """Return a reason or a concession that goes with the clause, in most of the cases where one would."""
    tense = _TENSE_BESIDE.get(situation.tense)
    if "A" not in frame.flags or situation.negated or tense is None or happens(scene.rng, 0.25):
        return []
    scene.back = subject.back
    if tense == "past" and happens(scene.rng, 0.3):
        pattern = choose(scene.rng, lexicon()["clauses"]["concessions"])
        return [word("although", "SC"), *subordinate(scene, pattern, tense)]
    return [
        word("because", "SC"),
        *subordinate(scene, choose(scene.rng, lexicon()["frames"][frame.topic]["reasons"]), tense),
    ]


_TENSE_BESIDE = {
    **dict.fromkeys(("past", "past_progressive", "used_to"), "past"),
    **dict.fromkeys(("present", "progressive", "future", "going", "should", "can", "might", "have_to"), "present"),
}


def about_things(scene: Scene) -> Draft:
    """A clause about things or animals: "The train to Rome leaves from platform two." """
    frame = choose(scene.rng, things())
    subject = subject_of(frame.subject, scene)
    kinds = [kind for kind, flags in _THING_KINDS.items() if frame.flags & set(flags)]
    situation = situate(scene, frame, choose(scene.rng, kinds))
    if situation.tense == "present":
        adverb = "usually" if situation.adverb in ("never", "rarely") else situation.adverb
        situation = replace(situation, negated="", adverb=adverb)
    return statement(scene, subject, frame, situation), STOP


_THING_KINDS = {"past": "EV", "habit": "dwy", "now": "G", "future": "E", "state": "S"}


def passive(scene: Scene) -> Draft:
    """A clause in the passive: "The museum was built in 2010." """
    frame = choose(scene.rng, passives())
    scene.back = "it"
    subject = subject_of(frame.subject, scene)
    situation = _passive_situation(scene, frame)
    return statement(scene, subject, frame, situation), STOP


def _passive_situation(scene: Scene, frame: Frame) -> Situation:
    if "s" in frame.flags:
        return Situation("present", "", passive=True)
    if "Y" in frame.flags:
        return Situation("past", "past", passive=True)
    kind = choose(scene.rng, [kind for kind, flags in _PASSIVE_KINDS.items() if frame.flags & set(flags)])
    return replace(situate(scene, frame, kind), passive=True)


_PASSIVE_KINDS = {"past": "EL", "habit": "dwy", "future": "E", "perfect": "E"}


def existential(scene: Scene) -> Draft:
    """What there is: "There are three letters on the desk." """
    container, contents = choose(scene.rng, lexicon()["existence"]["where"])
    thing = choose(scene.rng, nouns(contents))
    past = happens(scene.rng, 0.4)
    negated = choose(scene.rng, ("short", "full")) if happens(scene.rng, 0.15) else ""
    scene.nonassertive = bool(negated)
    out: list[Token] = []
    noun_phrase(scene, thing, choose(scene.rng, ("a", "many")), out)
    head_ = next(token for token in out if token.pos == "NOUN" and token.lemma != "lot")
    plural = head_.tag == "NNS"
    there = Phrase((word("there", "EX"),), "pl" if plural else "3s", "it")
    situation = Situation("past" if past else "present", "past" if past else "", negated=negated)
    tokens = head(scene, there, group_of(Frame("be", "", frozenset()), situation, there), situation) + out
    write(container, scene, tokens)
    if past:
        tokens += time(scene, choose(scene.rng, ("yesterday", "last week", "this/DT morning")))
    return tokens, STOP


def yes_no(scene: Scene) -> Draft:
    """A yes/no question: "Did you write the report yesterday?" """
    frame = choose(scene.rng, frames())
    subject = subject_for(scene, frame, full=0.4)
    if subject.back == "I":
        subject = pronoun("you")
    situation = situate(scene, frame)
    while situation.adverb in ("never", "rarely", "recently", "just") or situation.tense in (
        "used_to",
        "might",
        "must",
    ):
        situation = situate(scene, frame)
    if situation.time == "yet" or (situation.negated and happens(scene.rng, 0.7)):
        situation = replace(situation, negated="")
    return question(
        scene, subject, frame, replace(situation, negated="short" if situation.negated else "")
    ), QUESTION_MARK


def wh_question(scene: Scene) -> Draft:
    """A question with a question word: "Where did your parents have lunch yesterday?" """
    kind = choose(scene.rng, ("where", "when", "why", "how often", "how long", "who"))
    required = {"where": "EL", "when": "EL", "why": "ELdwy", "how often": "dwy", "how long": "D", "who": "E"}[kind]
    frame = choose(scene.rng, frames(required, barred="S"))
    if kind == "where" and not frame.places:
        kind = "why"
    situation = _SITUATION_OF_QUESTION[kind](scene, frame)
    asked = [
        word(kind.split()[0], "WP" if kind == "who" else "WRB"),
        *(word(w, "RB") for w in kind.split()[1:]),
    ]
    if kind == "who":
        who = Phrase((asked[0],), "3s", "they")
        return statement(scene, who, frame, replace(situation, negated=""), front=0), QUESTION_MARK
    subject = subject_for(scene, frame, full=0.4)
    if subject.back == "I":
        subject = pronoun("you")
    return [*asked, *question(scene, subject, frame, situation)], QUESTION_MARK


def _asked_past(scene: Scene, frame: Frame) -> Situation:
    return replace(situate(scene, frame, "past"), negated="")


def _asked_when(scene: Scene, frame: Frame) -> Situation:
    return Situation(choose(scene.rng, ("past", "future")), "")


def _asked_often(scene: Scene, frame: Frame) -> Situation:
    return Situation("present", "habit")


def _asked_long(scene: Scene, frame: Frame) -> Situation:
    return Situation("perfect_progressive" if "G" in frame.flags else "perfect", "since")


_SITUATION_OF_QUESTION = {
    "where": _asked_past, "when": _asked_when, "why": _asked_past, "how often": _asked_often,
    "how long": _asked_long,
    "who": _asked_past,
}  # fmt: skip


def comparison(scene: Scene) -> Draft:
    """Comparatives, superlatives, equality: "Chess is more difficult than tennis." """
    group_ = choose(scene.rng, tuple(lexicon()["comparisons"]))
    adjective = choose(scene.rng, words("comparisons", group_))
    first, second = _compared(scene, group_)
    shape = choose(scene.rng, ("than", "than", "than", "as", "not as", "most"))
    negated = "short" if shape == "not as" else ""
    copula = head(
        scene,
        first,
        group_of(Frame("be", "", frozenset()), Situation("present", negated=negated), first),
        Situation("present"),
    )
    if shape == "than":
        much = [word("much", "RB", "degree")] if happens(scene.rng, 0.2) else []
        return [
            *copula,
            *much,
            *_comparative(adjective),
            word("than", "IN", "governed"),
            *second.tokens,
        ], STOP
    if shape == "most" and group_ in _SUPERLATIVE:
        return [*copula, *_superlative(scene, adjective, group_)], STOP
    as_ = word("as", "RB", "degree")
    return [*copula, as_, word(adjective, "JJ"), word("as", "IN", "governed"), *second.tokens], STOP


def _comparative(adjective: str) -> list[Token]:
    if compares_by_ending(adjective):
        return [word(adjective, "JJR", "comparative")]
    return [word("more", "RBR", "comparative"), word(adjective, "JJ", "comparative")]


def _superlative(scene: Scene, adjective: str, group_: str) -> list[Token]:
    if compares_by_ending(adjective):
        graded = [word(adjective, "JJS", "superlative")]
    else:
        graded = [word("most", "RBS", "superlative"), word(adjective, "JJ", "superlative")]
    out = [THE, *graded]
    write(choose(scene.rng, _SUPERLATIVE[group_]), scene, out)
    return out


_SUPERLATIVE = {
    "city": ("city in* the world/NN", "city that I know:VBP", "city in* the country/NN"),
    "country": ("country/NN in* the world/NN", "country/NN that I know:VBP"),
    "subject": ("subject/NN at school",),
    "sport": ("sport/NN in* the world/NN", "sport/NN of all"),
    "language": ("language/NN in* the world/NN",),
    "people": ("person/NN in* the family/NN", "student in* the class/NN", "person/NN that I know:VBP"),
    "hobby": ("hobby/NN of all",),
}


def _compared(scene: Scene, group_: str) -> tuple[Phrase, Phrase]:
    if group_ == "people":
        first = person(scene, full=0.8)
        second = kin(scene, first.back if first.back != "they" else "I", ("object",))
        return first, second
    one, two = shuffled(scene.rng, nouns(group_))[:2]
    return _generic(scene, one), _generic(scene, two)


def _generic(scene: Scene, thing: Noun) -> Phrase:
    if thing.kind == "bare":
        return Phrase((word(thing.lemma, "NNP" if thing.proper else "NN", "bare", "subject"),), "3s", "it")
    if thing.kind == "the":
        return Phrase((THE, word(thing.lemma, "NN", "countable", "subject")), "3s", "it")
    if thing.kind in ("plural", "pairs"):
        return Phrase((word("these", "DT"), word(thing.lemma, "NNS", "countable", "subject")), "pl", "they")
    if thing.group == "animal":
        return Phrase((word(thing.lemma, "NNS", "countable", "subject"),), "pl", "they")
    determiner = choose(scene.rng, ("this", "the", "my", "this"))
    token = possessive("I") if determiner == "my" else THE if determiner == "the" else word(determiner, "DT")
    return Phrase((token, word(thing.lemma, "NN", "countable", "subject")), "3s", "it")


def listing(scene: Scene) -> Draft:
    """A list: "We bought apples, bread, and some cheese at the market." """
    verb, group_, place_, flags = choose(scene.rng, lexicon()["lists"]["of"])
    things_ = shuffled(scene.rng, nouns(group_))[: choose(scene.rng, (2, 3, 3, 3, 4))]
    subject = person(scene)
    frame = Frame(verb, "", frozenset(flags))
    situation = replace(
        situate(
            scene,
            frame,
            choose(scene.rng, ("past", "past", "future", "habit" if set("dwy") & set(flags) else "past")),
        ),
        negated="",
    )
    how = choose(scene.rng, ("pl", "pl", "a"))
    items: list[list[Token]] = []
    for thing in things_:
        item: list[Token] = []
        noun_phrase(scene, thing, how, item)
        items.append(item)
    scene.back = subject.back
    adverbial = time(scene, situation.time) if situation.time else []
    out = head(scene, subject, group_of(frame, situation, subject), situation) + series(items)
    write(place_, scene, out)
    return [*out, *adverbial], STOP


def imperative(scene: Scene) -> Draft:
    """An order or a request: "Don't forget to lock the door!" """
    scene.back = "you"
    verb, _, complement = choose(scene.rng, lexicon()["imperatives"]["requests"]).partition(" ")
    request = Frame(verb, complement, frozenset())
    draw_ = scene.rng.random()
    if draw_ < 0.35:
        out = [word("please", "UH"), *verbal(scene, request, "VB")]
    elif draw_ < 0.6:
        negation = word("not", "RB", "negation", text="n't", glued=True)
        out = [word("do", "VBP", pos="AUX"), negation, word("forget", "VB"), word("to", "TO", "governed")]
        out += verbal(scene, request, "VB")
    elif draw_ < 0.75:
        frame = choose(scene.rng, frames("A", "SLX"))
        out = [word("let", "VB"), word("us", "PRP", text="'s", glued=True)]
        out += verbal(Scene(scene.rng, "we"), frame, "VB")
    else:
        subject = pronoun("you")
        asked = choose(scene.rng, ("can", "could", "would", "will"))
        first = word(asked, "MD", "finite", "agreement:pl", pos="AUX")
        return [
            first,
            *subject.tokens,
            *verbal(scene, request, "VB"),
            comma("tag"),
            word("please", "UH"),
        ], QUESTION_MARK
    if happens(scene.rng, 0.5):
        out += [comma("tag"), *name(scene, ()).tokens]
    return out, choose(scene.rng, (STOP, STOP, EXCLAMATION_MARK))
