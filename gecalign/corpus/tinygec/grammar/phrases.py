"""Noun phrases, people, and the patterns of `lexicon.toml` written out as tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.lexicon.entries import Noun, countability, lexicon, nouns, tags, words
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import THE, TO, A, word

# subject, object, possessive, reflexive form and agreement of each pronoun
PRONOUNS = {
    "I": ("I", "me", "my", "myself", "1s"),
    "you": ("you", "you", "your", "yourself", "pl"),
    "he": ("he", "him", "his", "himself", "3s"),
    "she": ("she", "her", "her", "herself", "3s"),
    "it": ("it", "it", "its", "itself", "3s"),
    "we": ("we", "us", "our", "ourselves", "pl"),
    "they": ("they", "them", "their", "themselves", "pl"),
}
FIRST_PERSON = frozenset({"I", "we"})
COUNTABILITY = {"count": "countable", "mass": "uncountable", "plural": "plural-only", "pairs": "countable"}


@dataclass(slots=True)
class Scene:
    """What a phrase must know of the clause around it."""

    rng: Random
    back: str = "they"  # the pronoun that refers to the subject
    nonassertive: bool = False  # negated or asked: "any" for "some", "much" for "a lot of"
    habitual: bool = False  # bare plurals are at home: "She reads novels."


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase that can be a subject: what agrees with it and what refers back to it."""

    tokens: tuple[Token, ...]
    agreement: str  # "1s", "3s", "pl"
    back: str  # key of PRONOUNS
    pronoun: bool = False


OF_EACH = frozenset({"belongings", "clothes", "schoolthing", "body"})  # "their tickets", but "their house"

Writer = Callable[[Scene, list[Token]], None]  # appends the tokens of one piece of a pattern


def pronoun(back: str) -> Phrase:
    """Return the subject pronoun that refers back."""
    token = word(back, "PRP", "subject", f"refers:{back}")
    return Phrase((token,), PRONOUNS[back][4], back, pronoun=True)


def object_pronoun(back: str) -> Token:
    """Return the object form: "them"."""
    return word(PRONOUNS[back][1], "PRP", "object", f"refers:{back}")


def possessive(back: str) -> Token:
    """Return the possessive form: "their"."""
    return word(PRONOUNS[back][2], "PRP$", f"refers:{back}")


# ---------------------------------------------------------------- people


def name(scene: Scene, features: tuple[str, ...] = ("subject",)) -> Phrase:
    """Return a first name that the pronoun `scene.back` does not refer to."""
    back = choose(scene.rng, ("she", "he"))
    return Phrase((word(choose(scene.rng, words("names", back)), "NNP", "person", *features),), "3s", back)


def kin(scene: Scene, owner: str, features: tuple[str, ...] = ("subject",)) -> Phrase:
    """Return a relative or an acquaintance of `owner`: "her brother", "my dentist"."""
    key = choose(scene.rng, ("she_kin", "he_kin", "any_kin", "acquaintance"))
    back = {"she_kin": "she", "he_kin": "he"}.get(key) or choose(scene.rng, ("she", "he"))
    head = word(choose(scene.rng, words("people", key)), "NN", "countable", "person", *features)
    adjectives = lexicon()["people"]["kin_adjectives"].get(head.lemma)
    graded = (word(choose(scene.rng, adjectives.split()), "JJ"),) if adjectives and happens(scene.rng, 0.3) else ()
    return Phrase((possessive(owner), *graded, head), "3s", back)


def kin_group(scene: Scene, owner: str, features: tuple[str, ...] = ("subject",)) -> Phrase:
    """Return a group of `owner`'s relatives: "their parents"."""
    lemma = choose(scene.rng, words("people", "kin_groups"))
    head = word(lemma, "NNS", "countable", "person", *features)
    return Phrase((possessive(owner), head), "pl", "they")


def role(scene: Scene, features: tuple[str, ...] = ("subject",)) -> Phrase:
    """Return somebody by what they do: "the nurse"."""
    key = choose(scene.rng, ("role", "role", "she_role", "he_role"))
    back = {"she_role": "she", "he_role": "he"}.get(key) or choose(scene.rng, ("she", "he"))
    head = word(choose(scene.rng, words("people", key)), "NN", "countable", "person", *features)
    out: list[Token] = [THE, head]
    if happens(scene.rng, 0.3):
        out.insert(1, word(choose(scene.rng, words("people", "role_adjectives")), "JJ"))
    if happens(scene.rng, 0.25):
        write(choose(scene.rng, lexicon()["people"]["origins"]), scene, out)
    return Phrase(tuple(out), "3s", back)


def group(scene: Scene, features: tuple[str, ...] = ("subject",)) -> Phrase:
    """Return several people by what they do: "the guests", "many students", "three boys"."""
    head = word(choose(scene.rng, words("people", choose(scene.rng, ("young_groups", "groups")))), "NNS",
                "countable", "person", *features)  # fmt: skip
    draw = scene.rng.random()
    if draw < 0.6:
        return Phrase((THE, head), "pl", "they")
    if draw < 0.85:
        return Phrase((_plural_quantifier(scene), head), "pl", "they")
    return Phrase((word(choose(scene.rng, ("these", "those")), "DT"), head), "pl", "they")


def other_person(scene: Scene, subject: bool = False) -> Phrase:
    """Return somebody who is not the subject of the sentence, as an object or (`subject`) as a subject."""
    features = ("subject",) if subject else ("object",)
    draw = scene.rng.random()
    owner = scene.back if scene.back != "it" and happens(scene.rng, 0.75) else "I"
    if draw < 0.3:
        return name(scene, features)
    if draw < 0.68:
        return kin(scene, owner, features)
    if draw < 0.8:
        return kin_group(scene, owner, features)
    if subject or draw < 0.86:
        return role(scene, features)
    return _pronoun_object(scene)


def _pronoun_object(scene: Scene) -> Phrase:
    barred = FIRST_PERSON if scene.back in FIRST_PERSON else {scene.back}
    back = choose(scene.rng, [key for key in PRONOUNS if key not in barred and key != "it"])
    return Phrase((object_pronoun(back),), PRONOUNS[back][4], back, pronoun=True)


# ---------------------------------------------------------------- things


def _plural_quantifier(scene: Scene) -> Token:
    if scene.nonassertive:
        return word(choose(scene.rng, ("any", "any", "many")), "DT", "quantifier")
    quantifier = choose(scene.rng, ("some", "several", "number", "number"))
    if quantifier == "number":
        return word(choose(scene.rng, words("sets", "some")), "CD", "quantifier")
    return word(quantifier, "DT" if quantifier == "some" else "JJ", "quantifier")


def _quantified(scene: Scene, thing: Noun, out: list[Token], number: bool = False) -> None:
    """Append "three cups", "some bread", "a few cups", "not ... any bread"."""
    mass = thing.kind == "mass"
    draw = scene.rng.random()
    if mass and scene.nonassertive:
        out.append(word("any" if draw < 0.7 else "much", "DT" if draw < 0.7 else "JJ", "quantifier"))
    elif mass or thing.kind == "plural":
        out.append(word("some", "DT", "quantifier")) if draw < 0.8 or not mass else out.extend(_words("a little"))
    elif number and not scene.nonassertive and draw < 0.8:
        out.append(word(choose(scene.rng, words("sets", "some")), "CD", "quantifier"))
    elif not scene.nonassertive and draw < 0.25:
        out.extend(_words(choose(scene.rng, ("a few", "a few", "a lot of"))))
    else:
        out.append(_plural_quantifier(scene))
    _adjective(scene, thing, out, 0.15)
    out.append(_head(thing, singular=mass))


@cache
def _words(text: str) -> tuple[Token, ...]:
    listed = {"a": "DT", "few": "JJ", "little": "JJ", "lot": "NN", "of": "IN", "pair": "NN"}
    return tuple(word(lemma, listed[lemma], "quantifier") for lemma in text.split())


def _head(thing: Noun, singular: bool = True) -> Token:
    singular = singular and thing.kind not in ("plural", "pairs")
    tag = "NNP" if thing.proper else "NN" if singular else "NNS"
    return word(thing.lemma, tag, COUNTABILITY.get(thing.kind, "bare"), f"class:{thing.group}")


def _adjective(scene: Scene, thing: Noun, out: list[Token], probability: float) -> None:
    if thing.adjectives and happens(scene.rng, probability):
        out.append(word(choose(scene.rng, thing.adjectives), "JJ"))


def noun_phrase(scene: Scene, thing: Noun, how: str, out: list[Token]) -> None:
    """Append a noun phrase with the determiner that `how` asks for (see the notation in lexicon.toml)."""
    if thing.kind == "bare" or how in ("bare", "one"):
        out.append(_head(thing))
    elif thing.kind == "the":
        out.extend((THE, _head(thing)))
    elif how in ("pl", "pl_n"):
        out.append(_head(thing, singular=thing.kind == "mass"))
    elif how == "their" or thing.kind == "their" or (how == "own" and happens(scene.rng, 0.5)):
        _owned(scene, thing, out)
    elif how == "the":
        _definite(scene, thing, out)
    elif how in ("some", "many"):
        _quantified(scene, thing, out, number=how == "many")
    elif how == "new":
        _new(scene, thing, out)
    elif how in ("a", "own"):
        _indefinite(scene, thing, out)
    else:
        _object(scene, thing, out)


def _owned(scene: Scene, thing: Noun, out: list[Token]) -> None:
    out.append(possessive(scene.back))
    _adjective(scene, thing, out, 0.25)
    several = scene.back in ("we", "they") and thing.group in OF_EACH
    out.append(_head(thing, singular=not several))


def _definite(scene: Scene, thing: Noun, out: list[Token]) -> None:
    """Append "the letter", mostly with what makes it the one: "the letter from his aunt"."""
    out.append(THE)
    _adjective(scene, thing, out, 0.2)
    out.append(_head(thing, singular=thing.kind == "mass" or happens(scene.rng, 0.75)))
    if happens(scene.rng, 0.45):
        postmodifier(scene, thing, out)


def postmodifier(scene: Scene, thing: Noun, out: list[Token]) -> None:
    """Append what makes a thing the one: "that Anna bought in Rome", "on the shelf"."""
    options = lexicon()["postmodifiers"].get(thing.group)
    if options:
        write(choose(scene.rng, options), scene, out)


def _new(scene: Scene, thing: Noun, out: list[Token]) -> None:
    """Append what did not exist for us before, so that "the" has nothing to refer to."""
    if scene.habitual and happens(scene.rng, 0.6):
        out.append(_head(thing, singular=thing.kind == "mass"))
    elif happens(scene.rng, 0.85):
        _indefinite(scene, thing, out)
    else:
        _quantified(scene, thing, out)


def _indefinite(scene: Scene, thing: Noun, out: list[Token]) -> None:
    if thing.kind == "mass":
        return _quantified(scene, thing, out)
    if thing.kind in ("plural", "pairs") and happens(scene.rng, 0.5):
        return out.append(_head(thing))
    out.extend((A, *(() if thing.kind == "count" else _words("pair of"))))
    _adjective(scene, thing, out, 0.4)
    out.append(_head(thing))
    return None


def _object(scene: Scene, thing: Noun, out: list[Token]) -> None:
    draw = scene.rng.random()
    if scene.habitual and draw < 0.4 and not thing.own:
        out.append(_head(thing, singular=thing.kind == "mass"))
    elif thing.own and draw < 0.3:
        _owned(scene, thing, out)
    elif draw < 0.62:
        _indefinite(scene, thing, out)
    elif draw < 0.87:
        _quantified(scene, thing, out)
    elif thing.group in lexicon()["postmodifiers"]:
        out.append(THE)
        out.append(_head(thing))
        postmodifier(scene, thing, out)
    else:
        _indefinite(scene, thing, out)


# ---------------------------------------------------------------- patterns


def write(pattern: str, scene: Scene, out: list[Token]) -> None:
    """Append the tokens of a pattern (notation: head of lexicon.toml)."""
    for writer in compiled(pattern):
        writer(scene, out)


@cache
def compiled(pattern: str) -> tuple[Writer, ...]:
    """Return the writers of a pattern, one a word."""
    return tuple(_writer(piece) for piece in pattern.split())


def _writer(piece: str) -> Writer:
    if piece.startswith("{"):
        return _class_writer(*piece[1:-1].partition(":")[::2])
    if piece.startswith("[who]"):
        return lambda scene, out: out.extend(other_person(scene, subject=True).tokens)
    if piece.startswith("[person]"):
        return _person_writer(owner=piece.endswith("'s"))
    coreferent = {"they": 0, "them": 1, "their": 2, "themselves": 3}.get(piece)
    if coreferent is not None:
        return _coreferent_writer(coreferent)
    tokens = _literal(piece)
    return lambda scene, out: out.extend(tokens)


def _literal(piece: str) -> tuple[Token, ...]:
    if piece == "o'clock":
        return (word("o'clock", "RB"),)
    if piece == "to":
        return (TO,)
    if piece[-1] in "*^":
        return (word(piece[:-1], "IN", "governed") if piece[-1] == "*" else word(piece[:-1], "RP"),)
    lemma, _, tag = piece.replace("/", ":").partition(":")
    if tag == "PRN":
        return (word(lemma, "NN", "indefinite", pos="PRON"),)
    tag = tag or tags().get(lemma) or _unknown(piece)
    features = {"NN": (countability(lemma),), "NNS": ("countable",), "DT": ("article",)}.get(tag, ())
    if tag == "DT" and lemma not in ("a", "an", "the"):
        features = ()
    return (word("a" if lemma == "an" else lemma, tag, *features),)


def _unknown(piece: str) -> str:
    raise ValueError(f"the tag of {piece!r} in a pattern of lexicon.toml is not known: write it as {piece}/TAG.")


def _class_writer(name: str, how: str) -> Writer:
    if name in lexicon()["sets"]:
        listed = words("sets", name)
        tag = {"weekday": "NNP", "weekdays": "NNPS", "month": "NNP", "season": "NN"}.get(name, "CD")
        tokens = [word(lemma, tag) for lemma in listed]
        return lambda scene, out: out.append(choose(scene.rng, tokens))
    if name in ("job", "medic"):
        how = "one" if name == "medic" else how
        jobs = [word(lemma, "NN", "countable", "person") for lemma in words("people", name)]
        article = () if how == "one" else (A,)
        plural = {job: word(job.lemma, "NNS", "countable", "person") for job in jobs}

        def write_job(scene: Scene, out: list[Token]) -> None:
            job = choose(scene.rng, jobs)
            several = not how and scene.back in ("we", "they")
            out.extend((plural[job],) if several else (*article, job))

        return write_job
    things = nouns(name)
    return lambda scene, out: noun_phrase(scene, choose(scene.rng, things), how, out)


def _person_writer(owner: bool) -> Writer:
    def write_person(scene: Scene, out: list[Token]) -> None:
        if owner:
            out.extend((*other_person(scene, subject=True).tokens, word("'s", "POS", glued=True)))
        else:
            out.extend(other_person(scene).tokens)

    return write_person


def _coreferent_writer(form: int) -> Writer:
    tag = "PRP$" if form == 2 else "PRP"
    tokens = {back: word(forms[form], tag, f"refers:{back}") for back, forms in PRONOUNS.items()}
    return lambda scene, out: out.append(tokens[scene.back])
