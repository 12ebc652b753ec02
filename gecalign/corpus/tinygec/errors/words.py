"""Errors in the choice and order of words: prepositions, particles, adverbs, conjunctions, whole phrases."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.errors.changes import Change, drop, insert, replace, rewrite, uncapitalized
from gecalign.corpus.tinygec.errors.reading import (
    agreement,
    before,
    confusions,
    conjugated,
    cue,
    first_words,
    head_noun,
    is_full,
    lower,
)
from gecalign.corpus.tinygec.lexicon.entries import inflect
from gecalign.corpus.tinygec.lexicon.tokens import Token

PHRASE_LENGTH = 4  # words in the longest key of [phrases]
FREQUENT, SPARED = frozenset({"yesterday", "tomorrow"}), 0.7  # left alone that often, or they would be all
WITHOUT_PREPOSITION = frozenset({"every", "last", "next", "yesterday", "tomorrow", "tonight"})
DIRECTIONS = frozenset({"home", "abroad", "downtown", "there", "here", "outside", "upstairs"})
MOTION = frozenset({"go", "come", "travel", "drive", "walk", "get", "return", "fly", "arrive", "move"})
MISUSED_CONJUNCTIONS = {
    "and": ("also", "as well", "plus also"), "but": ("however", "and but"), "or": ("and or", "nor"),
}  # fmt: skip
OWNER_AS_OBJECT = {"my": "me", "your": "you", "his": "him", "her": "her", "our": "us", "their": "them"}
SUBORDINATORS = {
    "because": ("why", "because of", "since that"), "although": ("despite", "in spite", "even"),
    "while": ("during", "in the while"), "when": ("while that", "then"), "if": ("in case if",),
    "after": ("after of", "after that"), "before": ("before of", "before that"), "that": ("what", "this"),
}  # fmt: skip
REDUNDANT_LINKS = {"although": "but", "because": "so", "if": "so", "when": "then"}


# ---------------------------------------------------------------- prepositions and particles


def wrong_preposition(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """depend of; on July"""
    if tokens[index].tag != "IN" or not is_full(tokens, index):
        return None
    found, need = _wrong_prepositions(tokens, index)
    wrong = [preposition for preposition in found if preposition]
    return replace(tokens, index, choose(rng, wrong), needs=need) if wrong else None


def missing_preposition(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """listen music"""
    if tokens[index].tag != "IN" or not is_full(tokens, index):
        return None
    found, need = _wrong_prepositions(tokens, index)
    return drop(tokens, index, needs=need) if "" in found else None


def _wrong_prepositions(tokens: Sequence[Token], index: int) -> tuple[Sequence[str], tuple[int, ...]]:
    """Return what is written for the preposition, and where the word is that shows what is right."""
    table, preposition = confusions("prepositions"), tokens[index].text.lower()
    for place in before(tokens, index):
        if tokens[place].pos == "ADP" and tokens[place].tag == "IN":
            break
        found = table.get(f"{tokens[place].lemma} {preposition}")
        if found:
            return found, (place,)
    if "governed" in tokens[index].features:
        return {"in": ("on", "at"), "at": ("in",), "on": ("in", "at"), "of": ("from",)}.get(preposition, ()), ()
    return _wrong_with_noun(tokens, index, preposition)


def _wrong_with_noun(tokens: Sequence[Token], index: int, preposition: str) -> tuple[Sequence[str], tuple[int, ...]]:
    """The same for a preposition that goes with the noun after it: of time, of place, of transport."""
    determined = index + 1 < len(tokens) and tokens[index + 1].pos in ("DET", "PRON")
    head = head_noun(tokens, index + 2 if determined else index + 1)
    if preposition in ("for", "since") and "time" in tokens[index].features:
        return (("since", "during") if preposition == "for" else ("from", "for")), ()
    if head is None:
        numeral = index + 1 < len(tokens) and tokens[index + 1].tag == "CD"  # in 2010, at six
        wrong = {"in": ("at", "on"), "at": ("in", "on")}.get(preposition, ())
        return (wrong, (index + 1,)) if numeral else ((), ())
    if tokens[head].tag in ("NNP", "NNPS") and "time" in tokens[head].features:
        return {"on": ("in", "at"), "in": ("on", "at")}.get(preposition, ()), (head,)
    return confusions("prepositions").get(f"{preposition} {tokens[head].lemma}", ()), (head,)


def superfluous_preposition(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """discuss about; visit to"""
    if not index or tokens[index - 1].pos != "VERB" or tokens[index].glued:
        return None
    if tokens[index].tag == "VBG" and tokens[index - 1].lemma == "go":
        return insert(tokens, index, "to")
    wrong = confusions("superfluous_prepositions").get(tokens[index - 1].lemma)
    starts_object = tokens[index].pos in ("DET", "PROPN", "NUM", "NOUN", "ADJ", "PRON")
    if not wrong or not starts_object or "time" in tokens[index].features:
        return None
    return insert(tokens, index, choose(rng, wrong), needs=(index - 1,))


def preposition_before_adverb(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """on every day; in last week; to home"""
    token = tokens[index]
    if not index or tokens[index - 1].pos in ("ADP", "DET", "PRON") or token.glued:
        return None
    if token.lemma in WITHOUT_PREPOSITION and "time" in token.features:
        return insert(tokens, index, choose(rng, ("in", "on", "at")))
    if token.lemma in DIRECTIONS and tokens[index - 1].lemma in MOTION and token.pos in ("ADV", "NOUN"):
        return insert(tokens, index, "to")
    return None


def wrong_particle(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """look on a word in the dictionary"""
    found, need = _wrong_particles(tokens, index)
    wrong = [particle for particle in found if particle]
    return replace(tokens, index, choose(rng, wrong), needs=need) if wrong else None


def missing_particle(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She gets early."""
    found, need = _wrong_particles(tokens, index)
    return drop(tokens, index, needs=need) if "" in found else None


def _wrong_particles(tokens: Sequence[Token], index: int) -> tuple[Sequence[str], tuple[int, ...]]:
    if tokens[index].tag == "RP":
        for place in before(tokens, index, reach=4):
            if tokens[place].pos == "VERB":
                return confusions("particles").get(f"{tokens[place].lemma} {tokens[index].lemma}", ()), (place,)
    return (), ()


# ---------------------------------------------------------------- adverbs, derivation


def wrong_adverb(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """works hardly"""
    wrong = confusions("adverbs").get(tokens[index].lemma)
    if not wrong or tokens[index].pos != "ADV" or "negation" in tokens[index].features:
        return None
    if index and tokens[index - 1].tag == "WRB":  # "how often", "how early"
        return None
    return replace(tokens, index, choose(rng, wrong))


def doubled_degree(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """more better; very much tired"""
    token = tokens[index]
    if token.tag in ("JJR", "JJS") and token.lemma not in ("much", "many", "little"):
        return insert(tokens, index, "more" if token.tag == "JJR" else "most")
    if token.pos == "ADJ" and index and tokens[index - 1].lemma in ("very", "so"):
        return insert(tokens, index, "much")
    return None


def missing_degree(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She is interesting than him; as tall her brother"""
    token = tokens[index]
    if token.pos != "ADV" or token.lemma not in ("more", "most", "as") or index + 1 >= len(tokens):
        return None
    return drop(tokens, index, needs=(index + 1,)) if tokens[index + 1].pos == "ADJ" else None


def wrong_derivation(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She speaks fluent; very importance"""
    token = tokens[index]
    wrong = confusions("morphology").get(token.text.lower())
    compared = token.pos == "ADJ" and index and tokens[index - 1].lemma in ("more", "most")
    if not wrong or token.glued or compared or (token.pos == "VERB" and token.text != token.lemma):
        return None
    text = choose(rng, wrong)
    return replace(tokens, index, text.capitalize() if token.text[0].isupper() else text)


# ---------------------------------------------------------------- conjunctions


def missing_conjunction(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """apples, bread, cheese"""
    if tokens[index].pos != "CCONJ" or not index:
        return None
    return drop(tokens, index)


def wrong_conjunction(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """he was tired, however he went"""
    wrong = MISUSED_CONJUNCTIONS.get(tokens[index].lemma)
    if not wrong or tokens[index].pos != "CCONJ":
        return None
    return replace(tokens, index, choose(rng, wrong))


def redundant_conjunction(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Although it rained, but we went out."""
    if not index or tokens[index - 1].text != "," or "fronted" not in tokens[index - 1].features:
        return None
    link = REDUNDANT_LINKS.get(tokens[0].lemma)
    return insert(tokens, index, link, needs=(0,)) if link else None


def wrong_subordinator(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """during I was cooking; I went home for I was tired"""
    wrong = SUBORDINATORS.get(tokens[index].lemma)
    return replace(tokens, index, choose(rng, wrong)) if wrong and tokens[index].pos == "SCONJ" else None


# ---------------------------------------------------------------- order


def adverb_order(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She goes often there; she always is late"""
    if "frequency" not in tokens[index].features or not index or index + 1 >= len(tokens):
        return None
    previous, following = tokens[index - 1], tokens[index + 1]
    if "finite" in following.features and following.pos == "VERB" and is_full(tokens, index + 1):
        return rewrite(tokens, index, index + 2, f"{following.text} {tokens[index].text}")
    perfect = tokens[index].lemma in ("already", "just", "recently")  # "She already has left." can be said
    if "finite" in previous.features and previous.pos == "AUX" and is_full(tokens, index - 1) and not perfect:
        return rewrite(tokens, index - 1, index + 1, f"{tokens[index].text} {previous.text}")
    return None


def question_order(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Where you are going?"""
    if not 0 < index < 3 or tokens[-1].text != "?" or tokens[index].pos != "AUX" or not is_full(tokens, index):
        return None
    if "finite" not in tokens[index].features or tokens[index + 1].pos == "VERB":
        return None
    for place in range(index + 1, min(index + 5, len(tokens) - 1)):
        if "subject" in tokens[place].features and tokens[place + 1].pos in ("VERB", "AUX", "ADV", "ADJ"):
            return _rotated(tokens, index, place, forward=True)
    return None


def adjective_order(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """a car red"""
    token = tokens[index]
    if token.tag != "JJ" or not index or index + 2 >= len(tokens) or "quantifier" in token.features:
        return None
    determined = tokens[index - 1].pos in ("DET", "NUM") or tokens[index - 1].tag == "PRP$"
    if not determined or tokens[index + 1].pos != "NOUN" or tokens[index + 2].pos == "NOUN" or token.lemma == "own":
        return None
    return rewrite(tokens, index, index + 2, f"{tokens[index + 1].text} {token.text}")


def manner_order(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She speaks well English."""
    if "manner" not in tokens[index].features and tokens[index].lemma != "well":
        return None
    for place in before(tokens, index, reach=4):
        if tokens[place].pos == "VERB":
            return _rotated(tokens, place + 1, index, forward=False) if place + 1 < index else None
        if tokens[place].pos not in ("NOUN", "PROPN", "DET", "PRON", "ADJ"):
            return None
    return None


def ago_order(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """ago two days; enough: money enough"""
    if tokens[index].lemma == "ago" and index > 1:
        return _rotated(tokens, index - 2, index, forward=False)
    if tokens[index].lemma == "enough" and index + 1 < len(tokens) and tokens[index + 1].pos == "NOUN":
        return rewrite(tokens, index, index + 2, f"{tokens[index + 1].text} enough")
    return None


def _rotated(tokens: Sequence[Token], first: int, last: int, forward: bool) -> Change | None:
    """Move the first of some tokens behind the others (`forward`), or the last before them."""
    span = tokens[first : last + 1]
    if any(token.glued for token in span) or not is_full(tokens, last):
        return None
    words = [uncapitalized(token) for token in span]
    order = [*words[1:], words[0]] if forward else [words[-1], *words[:-1]]
    return rewrite(tokens, first, last + 1, " ".join(order))


# ---------------------------------------------------------------- whole phrases


def rephrased(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """yesterday night; before two days"""
    first = tokens[index].text.lower()
    if first not in first_words("phrases") or (first in FREQUENT and happens(rng, SPARED)):
        return None
    for end in range(min(index + PHRASE_LENGTH, len(tokens)), index, -1):
        wrong = confusions("phrases").get(lower(tokens, index, end))
        if wrong and not any(token.glued for token in tokens[index : end + 1] if token.pos != "PUNCT"):
            return rewrite(tokens, index, end, choose(rng, wrong))
    return None


def before_for_ago(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """before two days"""
    if tokens[index].lemma != "ago" or index < 2:
        return None
    words = " ".join(uncapitalized(token) for token in tokens[index - 2 : index])
    return rewrite(tokens, index - 2, index + 1, f"before {words}")


def homophone(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """there friends; bigger then"""
    wrong = confusions("homophones").get(tokens[index].text.lower())
    if not wrong or not is_full(tokens, index):
        return None
    return replace(tokens, index, choose(rng, wrong))


def contraction_as_word(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """your late; its raining"""
    wrong = {"you're": "your", "they're": "their", "it's": "its", "we're": "were", "he's": "his"}
    if tokens[index].tag != "PRP":
        return None
    text = lower(tokens, index, index + 2)
    return rewrite(tokens, index, index + 2, wrong[text]) if text in wrong else None


def bare_negation(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She not like tea."""
    if tokens[index].lemma != "do" or tokens[index].pos != "AUX" or index + 2 >= len(tokens) or not index:
        return None
    if tokens[index + 1].lemma != "not" or tokens[index + 2].tag != "VB" or not tokens[index].features:
        return None
    if tokens[index].tag == "VBD" and not cue(tokens[index]):
        return None
    return rewrite(tokens, index, index + 2, choose(rng, ("not", "no")))


def have_for_be(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I have hunger; she has ten years"""
    token = tokens[index]
    if token.lemma != "be" or "finite" not in token.features or not is_full(tokens, index):
        return None
    have = conjugated("have", "past" if token.tag == "VBD" else "present", agreement(token))
    if lower(tokens, index + 2, index + 4) == "years old":
        return rewrite(tokens, index, index + 4, f"{have} {tokens[index + 1].text} years")
    noun = confusions("possessed").get(lower(tokens, index + 1, index + 2))
    return rewrite(tokens, index, index + 2, f"{have} {choose(rng, noun)}") if noun and index else None


def for_gerund(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I want for going home."""
    if tokens[index].tag != "TO" or not index or index + 1 >= len(tokens) or tokens[index + 1].tag != "VB":
        return None
    return rewrite(tokens, index, index + 2, f"for {inflect(tokens[index + 1].lemma, 'VBG')}")


def of_him(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """the car of him"""
    if tokens[index].tag != "PRP$" or index + 2 >= len(tokens) or tokens[index + 1].pos != "NOUN":
        return None
    owner = OWNER_AS_OBJECT.get(tokens[index].lemma)
    if owner is None or tokens[index + 2].pos == "NOUN" or tokens[index + 2].tag == "POS":
        return None
    return rewrite(tokens, index, index + 2, f"the {tokens[index + 1].text} of {owner}")
