"""Clauses: a subject, a verb frame of the lexicon, and a situation that fixes tense and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate

from gecalign.corpus.tinygec.chance import choose, draw, happens
from gecalign.corpus.tinygec.grammar.phrases import Phrase, Scene, kin, name, other_person, pronoun, write
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.verbs import VerbGroup, reduced, verb_group
from gecalign.corpus.tinygec.lexicon.words import THE, comma, marked, word

Draft = tuple[list[Token], Token]  # the words of a sentence and the mark at its end


@dataclass(frozen=True, slots=True)
class Frame:
    """A verb with what follows it, and how it can be used (flags: head of lexicon.toml)."""

    verb: str
    complement: str
    flags: frozenset[str]
    manners: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    topic: str = ""
    subject: str = ""  # pattern of the subject, where it is not a person


@dataclass(frozen=True, slots=True)
class Situation:
    """When and how something happens: the tense and what licenses it."""

    tense: str
    cue: str = ""  # "past", "habit", ...: the feature "cue:..." on the finite verb
    time: str = ""  # pattern of the adverbial of time
    adverb: str = ""  # before the verb: "often", "already"
    negated: str = ""  # as in verb_group
    passive: bool = False
    reducible: bool = True


def parse_frame(line: str, topic: str = "") -> Frame:
    """Read one line of the lexicon: "[subject |] verb complement ; flags ; places"."""
    body, flags, places = (part.strip() for part in f"{line} ; ; ".split(";")[:3])
    subject, _, predicate = body.rpartition("|")
    verb, _, complement = predicate.strip().partition(" ")
    marks = flags.split()
    manners = next((tuple(mark[2:].split(",")) for mark in marks if mark.startswith("q=")), ())
    return Frame(verb, complement, frozenset(marks), manners, tuple(places.split()), topic, subject.strip())


@cache
def frames(required: str = "", barred: str = "", topic: str = "") -> tuple[Frame, ...]:
    """Return the frames that have one of the flags `required` and none of `barred`."""
    tables = lexicon()["frames"]
    found = [parse_frame(line, key) for key in ([topic] if topic else tables) for line in tables[key]["frames"]]
    return tuple(
        frame for frame in found if (not required or frame.flags & set(required)) and not frame.flags & set(barred)
    )


@cache
def things() -> tuple[Frame, ...]:
    """Return the frames of things and animals."""
    return tuple(parse_frame(line, "things") for line in lexicon()["things"]["clauses"])


@cache
def passives() -> tuple[Frame, ...]:
    """Return the passive frames."""
    return tuple(parse_frame(line, "passives") for line in lexicon()["passives"]["clauses"])


# ---------------------------------------------------------------- situations

# situation: the flags one of which it needs, and its weight
SITUATIONS = {
    "habit": ("dwy", 22), "past": ("ELV", 26), "now": ("G", 9), "future": ("EL", 14), "modal": ("EK", 10),
    "perfect": ("E", 8), "since": ("D", 7), "then": ("G", 3), "able": ("K", 4), "used": ("d", 2),
    "state": ("S", 40),
}  # fmt: skip
FREQUENCY = ("often", "usually", "always", "sometimes", "never", "rarely")
MODALS = ("should", "must", "can", "might", "have_to", "should", "have_to")


@cache
def _situations(flags: frozenset[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    fitting = {name: weight for name, (needed, weight) in SITUATIONS.items() if flags & set(needed)}
    return tuple(fitting), tuple(accumulate(fitting.values()))


def situate(scene: Scene, frame: Frame, kind: str = "") -> Situation:
    """Draw a situation that fits the frame; `kind` asks for one of `SITUATIONS`."""
    kind = kind or draw(scene.rng, *_situations(frame.flags))
    negated = choose(scene.rng, ("short", "short", "full")) if happens(scene.rng, 0.12) else ""
    situation = _SITUATORS[kind](scene, frame)
    if negated and not situation.adverb and not situation.time.endswith("ago") and situation.tense != "used_to":
        situation = replace(situation, negated=negated)
    return situation


def time_of(scene: Scene, key: str) -> str:
    """Draw the pattern of an adverbial from one of the lists under [time]."""
    return choose(scene.rng, lexicon()["time"][key])


def _habit(scene: Scene, frame: Frame) -> Situation:
    if happens(scene.rng, 0.4):
        adverb = choose(scene.rng, FREQUENCY)
        return Situation("present", "habit", "", adverb)
    key = (
        "neutral"
        if "t" in frame.flags
        else "daily"
        if "d" in frame.flags
        else "weekly"
        if "w" in frame.flags
        else "yearly"
    )
    return Situation("present", "habit", time_of(scene, key))


def _long(scene: Scene, frame: Frame) -> str:
    if "L" not in frame.flags:
        return ""
    return "_long" if "E" not in frame.flags or happens(scene.rng, 0.5) else ""


def _past(scene: Scene, frame: Frame) -> Situation:
    return Situation("past", "past", time_of(scene, "past" + _long(scene, frame)))


def _now(scene: Scene, frame: Frame) -> Situation:
    return Situation("progressive", "now", time_of(scene, "now"))


def _future(scene: Scene, frame: Frame) -> Situation:
    tense = choose(scene.rng, ("future", "future", "going"))
    return Situation(tense, "future", time_of(scene, "future" + _long(scene, frame)))


def _modal(scene: Scene, frame: Frame) -> Situation:
    tense = choose(scene.rng, MODALS)
    time = time_of(scene, "future" + _long(scene, frame)) if happens(scene.rng, 0.5) else ""
    return Situation(tense, "modal", time)


def _perfect(scene: Scene, frame: Frame) -> Situation:
    draw_ = scene.rng.random()
    if draw_ < 0.25:
        return Situation("perfect", "perfect", "yet", negated=choose(scene.rng, ("short", "full")))
    return Situation("perfect", "perfect", "", choose(scene.rng, ("already", "just", "already", "recently")))


def _since(scene: Scene, frame: Frame) -> Situation:
    if "S" in frame.flags or ("L" not in frame.flags and happens(scene.rng, 0.2)):
        return Situation("perfect", "since", time_of(scene, "since"), reducible=False)
    key = "since" if "L" in frame.flags or happens(scene.rng, 0.5) else "since_short"
    lasting = key == "since" and frame.verb in ("live", "work", "study", "teach", "play", "earn")
    tense = "perfect" if lasting and happens(scene.rng, 0.5) else "perfect_progressive"
    return Situation(tense if "G" in frame.flags else "perfect", "since", time_of(scene, key))


def _then(scene: Scene, frame: Frame) -> Situation:
    return Situation("past_progressive", "then", time_of(scene, "point_past"))


def _able(scene: Scene, frame: Frame) -> Situation:
    return Situation("can", "able")


def _used(scene: Scene, frame: Frame) -> Situation:
    return Situation("used_to", "used")


def _state(scene: Scene, frame: Frame) -> Situation:
    return Situation("present", "")


_SITUATORS = {
    "habit": _habit, "past": _past, "now": _now, "future": _future, "modal": _modal, "perfect": _perfect,
    "since": _since, "then": _then, "able": _able, "used": _used, "state": _state,
}  # fmt: skip


# ---------------------------------------------------------------- clauses


def group_of(frame: Frame, situation: Situation, subject: Phrase, inverted: bool = False) -> VerbGroup:
    """Return the verb group of a frame in a situation, agreeing with the subject."""
    return verb_group(
        frame.verb,
        situation.tense,
        subject.agreement,
        situation.negated,
        inverted,
        situation.passive,
        situation.cue,
    )


def place(scene: Scene, frame: Frame, out: list[Token], probability: float = 0.4) -> None:
    """Append where it happens: "in the library", "at home"."""
    if frame.places and happens(scene.rng, probability):
        out.extend(_place(choose(scene.rng, frame.places)))


@cache
def _place(noun_: str) -> tuple[Token, ...]:
    bare = lexicon()["places_bare"].get(noun_)
    if bare:
        out: list[Token] = []
        write(bare, Scene(rng=None), out)  # type: ignore[arg-type]  # a literal pattern draws nothing
        return tuple(marked(token, "place") if token.tag == "IN" else token for token in out)
    for preposition in ("in", "at", "on"):
        if noun_ in lexicon()["places"][preposition].split():
            return (word(preposition, "IN", "place"), THE, word(noun_, "NN", "countable", "class:place"))
    raise ValueError(f"no preposition is known for the place {noun_!r}: add it to [places] in lexicon.toml.")


def time(scene: Scene, pattern: str) -> list[Token]:
    """Write an adverbial of time."""
    out: list[Token] = []
    write(pattern, scene, out)
    return [marked(token, "time") for token in out]


_MANNERED = frozenset({"present", "past", "progressive", "past_progressive", "can", "going", "should"})


def predicate(scene: Scene, frame: Frame, situation: Situation) -> list[Token]:
    """Return what follows the verb group: complement, manner, place."""
    scene.nonassertive = bool(situation.negated)
    scene.habitual = situation.cue == "habit" or situation.adverb in FREQUENCY
    out: list[Token] = []
    write(frame.complement, scene, out)
    if frame.manners and not situation.negated and situation.tense in _MANNERED and happens(scene.rng, 0.35):
        out.append(word(choose(scene.rng, frame.manners), "RB", "manner"))
    if "A" in frame.flags and frame.places and "[" not in frame.complement and happens(scene.rng, 0.2):
        out.append(word("with", "IN"))
        out.extend(other_person(scene).tokens)
    place(scene, frame, out)
    return out


def statement(scene: Scene, subject: Phrase, frame: Frame, situation: Situation, front: float = 0.2) -> list[Token]:
    """Return a declarative clause; its adverbial of time stands in front with probability `front`."""
    scene.back = subject.back
    fronted = situation.time and situation.time != "yet" and happens(scene.rng, front)
    adverbial = time(scene, situation.time) if situation.time else []
    rest = predicate(scene, frame, situation)
    if adverbial and not fronted and any(token.tag in ("VBD", "VBZ") for token in rest):
        fronted = situation.time != "yet" and front > 0  # not "the book that Tom wrote tomorrow"
        adverbial = adverbial if fronted else []
    if not fronted:
        rest += adverbial
    body = head(scene, subject, group_of(frame, situation, subject), situation) + rest
    return [*adverbial, comma("fronted"), *body] if fronted else body


def head(scene: Scene, subject: Phrase, group: VerbGroup, situation: Situation) -> list[Token]:
    """Return subject and verb group, the adverb of frequency in its place, contracted now and then."""
    adverb = [word(situation.adverb, "RB", "frequency")] if situation.adverb else []
    finite = group.finite
    if subject.pronoun and group.rest and not group.negation and happens(scene.rng, 0.25):
        finite = reduced(finite) or finite
    if group.auxiliary:
        return [*subject.tokens, finite, *group.negation, *adverb, *group.rest]
    return [*subject.tokens, *adverb, finite, *group.rest]


def question(scene: Scene, subject: Phrase, frame: Frame, situation: Situation) -> list[Token]:
    """Return auxiliary, negation, subject and the rest, as in a question."""
    scene.back = subject.back
    adverbial = time(scene, situation.time) if situation.time else []
    group = group_of(frame, situation, subject, inverted=True)
    out: list[Token] = []
    scene.nonassertive, scene.habitual = situation.cue != "habit", situation.cue == "habit"
    write(frame.complement, scene, out)
    adverb = [word(situation.adverb, "RB", "frequency")] if situation.adverb else []
    return [group.finite, *group.negation, *subject.tokens, *adverb, *group.rest, *out, *adverbial]


def subject_of(pattern: str, scene: Scene) -> Phrase:
    """Return the subject that a clause pattern names: "they" is the main subject's pronoun."""
    if pattern == "they":
        return pronoun(scene.back)
    if pattern == "[person]":
        return other_person(scene, subject=True)
    if "/PRN" in pattern:
        return Phrase(_indefinite_pronoun(pattern), "3s", "they")
    if pattern == "[one]":
        return name(scene) if happens(scene.rng, 0.5) else kin(scene, "I")
    if pattern == "it":
        return pronoun("it")
    if pattern == "there":
        return Phrase((word("there", "EX", "subject"),), "3s", "it")
    out: list[Token] = []
    write(pattern, scene, out)
    last = next(place for place in range(len(out)) if out[place].tag in ("NN", "NNS", "NNP"))
    plural = out[last].tag == "NNS" and out[last].lemma != "news"
    out[last] = marked(out[last], "subject")
    return Phrase(tuple(out), "pl" if plural else "3s", "they" if plural else "it")


def _indefinite_pronoun(pattern: str) -> tuple[Token, ...]:
    return (word(pattern.partition("/")[0], "NN", "indefinite", "subject", pos="PRON"),)


@cache
def _clause_frame(pattern: str) -> tuple[Frame, bool, bool]:
    """Read "subject | [not] verb complement"; a verb written verb:PAST is earlier than the main clause."""
    subject, _, rest = pattern.partition("|")
    negative = rest.strip().startswith("not ")
    rest = rest.replace("not can ", "not can_")
    frame = parse_frame(f"{subject}|{rest.strip().removeprefix('not ')}")
    earlier = frame.verb.endswith(":PAST")
    return replace(frame, verb=frame.verb.removesuffix(":PAST")), negative, earlier


MODALS_OF = {("can", "present"): "can", ("can", "past"): "could"}


def subordinate(
    scene: Scene, pattern: str, tense: str, cue: str = "parallel", subject: Phrase | None = None
) -> list[Token]:
    """Write a clause pattern in `tense`; what it says of "they" is said of `scene.back`."""
    frame, negative, earlier = _clause_frame(pattern)
    if earlier:
        tense = "past_perfect" if tense == "past" else "past"
    subject = subject or subject_of(frame.subject, scene)
    negated = choose(scene.rng, ("short", "short", "full")) if negative else ""
    modal, _, verb = frame.verb.rpartition("_")
    situation = Situation(MODALS_OF[modal, tense] if modal else tense, cue, negated=negated)
    frame = replace(frame, verb=verb)
    scene.nonassertive, scene.habitual = negative, False
    out: list[Token] = []
    write(frame.complement, scene, out)
    return head(scene, subject, group_of(frame, situation, subject), situation) + out


def verbal(scene: Scene, frame: Frame, form: str, habitual: bool = False) -> list[Token]:
    """Return a verb without a subject of its own: "going to bed", "(to) write a letter"."""
    out = [word(frame.verb, form, "governed-form")]
    scene.nonassertive, scene.habitual = False, habitual
    write(frame.complement, scene, out)
    return out


def join(scene: Scene, conjunction: str, main: list[Token], other: list[Token], front: bool) -> list[Token]:
    """Join a main clause and a subordinate one; with `front` the subordinate leads and a comma follows it."""
    link = word(conjunction, "SC" if conjunction not in ("when",) else "WRB", pos="SCONJ")
    return [link, *other, comma("fronted"), *main] if front else [*main, link, *other]
