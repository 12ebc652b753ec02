"""Errors in verbs: tense, form, agreement, inflection, choice."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.errors.changes import Change, drop, insert, replace, rewrite
from gecalign.corpus.tinygec.errors.reading import (
    agreement,
    before,
    confusions,
    conjugated,
    cue,
    is_full,
    same_form,
    selector,
    subject_before,
)
from gecalign.corpus.tinygec.lexicon.entries import inflect
from gecalign.corpus.tinygec.lexicon.tokens import Token

# What shows that a verb stands in the past although its own form does not say so (see grammar.py).
PAST_CUES = frozenset({"past", "then", "parallel", "interrupted", "earlier"})
TAKES_TO_OR_ING = frozenset({"like", "love", "hate", "start", "begin", "continue", "prefer", "stop", "try", "forget"})
NO_REGULAR_PAST = frozenset({"be", "have", "do", "will", "can", "read", "put", "cut", "hurt", "set", "cost", "let"})
OTHER_PERSON = {
    "am": ("is", "are"), "is": ("are", "am"), "are": ("is", "am"), "was": ("were",), "were": ("was",),
}  # fmt: skip


def _is_finite(token: Token) -> bool:
    return "finite" in token.features and token.tag != "MD" and "contraction" not in token.features


def _opens_verb_group(tokens: Sequence[Token], index: int) -> bool:
    """Say whether a finite verb is a whole word with more after it."""
    return _is_finite(tokens[index]) and is_full(tokens, index) and index + 1 < len(tokens)


def _other_past_verbs(tokens: Sequence[Token], index: int) -> tuple[int, ...]:
    """Return where the other finite verbs in the past are: they show the time too."""
    return tuple(
        place
        for place, token in enumerate(tokens)
        if place != index and token.tag == "VBD" and "finite" in token.features
    )


def _invariable(token: Token) -> bool:
    """Say whether a subject does not show its number ("the sheep"), so that both verb forms fit."""
    return token.pos == "NOUN" and token.tag != "NNP" and token.lemma in ("sheep", "fish", "deer", "police")


# ---------------------------------------------------------------- agreement


def subject_verb_agreement(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """she go; we was"""
    token = tokens[index]
    if not _is_finite(token) or (token.tag == "VBD" and token.lemma != "be"):
        return None
    subject = subject_before(tokens, index)
    if subject is not None and _invariable(tokens[subject]):
        return None
    return replace(tokens, index, _other_number(tokens, index, rng), () if subject is None else (subject,))


def _other_number(tokens: Sequence[Token], index: int, rng: Random) -> str:
    token = tokens[index]
    if token.lemma != "be":
        return conjugated(token.lemma, "present", "pl" if token.tag == "VBZ" else "3s")
    fused = index + 1 < len(tokens) and tokens[index + 1].text == "n't"  # there is no "amn't"
    return choose(rng, [form for form in OTHER_PERSON[token.text.lower()] if not (fused and form == "am")])


# ---------------------------------------------------------------- tense


def present_for_past(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Yesterday she goes home."""
    token = tokens[index]
    if token.tag != "VBD" or not _is_finite(token) or cue(token) not in PAST_CUES:
        return None
    needs = _other_past_verbs(tokens, index)
    return replace(tokens, index, conjugated(token.lemma, "present", agreement(token)), needs)


def perfect_for_past(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She has gone there yesterday."""
    token = tokens[index]
    if token.tag != "VBD" or token.pos != "VERB" or cue(token) != "past" or not _is_finite(token):
        return None
    auxiliary = conjugated("have", "present", agreement(token))
    participle = inflect(token.lemma, "VBN")
    if participle == token.text:
        return insert(tokens, index, auxiliary)
    return replace(tokens, index, f"{auxiliary} {participle}")


def present_for_perfect(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I live here since 2010."""
    token = tokens[index]
    if token.lemma != "have" or cue(token) != "since" or not _opens_verb_group(tokens, index):
        return None
    following = tokens[index + 1]
    agrees = agreement(token)
    if following.lemma == "be" and following.tag == "VBN" and following.pos == "AUX":
        return rewrite(tokens, index, index + 2, conjugated("be", "present", agrees))
    if following.tag != "VBN":
        return None
    wrong = conjugated(following.lemma, "present", agrees)
    if following.lemma != "be" and happens(rng, 0.3):
        wrong = f"{conjugated('be', 'present', agrees)} {inflect(following.lemma, 'VBG')}"
    return rewrite(tokens, index, index + 2, wrong)


def simple_for_progressive(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She reads right now."""
    token = tokens[index]
    if token.lemma != "be" or cue(token) not in ("now", "then") or not _opens_verb_group(tokens, index):
        return None
    if tokens[index + 1].tag != "VBG":
        return None
    tense = "past" if token.tag == "VBD" else "present"
    return rewrite(tokens, index, index + 2, conjugated(tokens[index + 1].lemma, tense, agreement(token)))


def progressive_for_habit(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She is going there every day."""
    token = tokens[index]
    if cue(token) != "habit" or token.pos != "VERB" or not _is_finite(token) or tokens[index - 1].pos == "ADV":
        return None
    be = conjugated("be", "present", agreement(token))
    return replace(tokens, index, f"{be} {inflect(token.lemma, 'VBG')}")


def past_for_future(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Tomorrow she went there."""
    token = tokens[index]
    if token.lemma != "will" or cue(token) != "future" or "contraction" in token.features:
        return None
    if tokens[index + 1].tag != "VB" or not is_full(tokens, index):
        return None
    return rewrite(tokens, index, index + 2, inflect(tokens[index + 1].lemma, "VBD"))


def missing_will(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Tomorrow she go there."""
    token = tokens[index]
    if token.lemma != "will" or agreement(token) != "3s" or not is_full(tokens, index):
        return None
    return drop(tokens, index) if tokens[index + 1].tag == "VB" else None


def will_in_condition(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """if she will have time"""
    token = tokens[index]
    if not _is_finite(token) or not is_full(tokens, index) or (token.tag != "VBP" and token.tag != "VBZ"):
        return None
    if not any(tokens[place].lemma == "if" for place in before(tokens, index, reach=6)):
        return None
    if token.text == token.lemma:
        return insert(tokens, index, "will")
    return replace(tokens, index, f"will {token.lemma}")


def other_modal(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """If I were rich, I will travel."""
    token = tokens[index]
    wrong = {"will": "would", "would": "will"}.get(token.text.lower())
    return replace(tokens, index, wrong) if wrong and cue(token) in ("condition", "future") else None


def missing_auxiliary(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """she reading now; the house built in 2010; I never seen it"""
    token = tokens[index]
    if token.pos != "AUX" or not _opens_verb_group(tokens, index):
        return None
    following = next((t for t in tokens[index + 1 : index + 4] if t.pos in ("VERB", "AUX")), None)
    if following is None:
        return None
    form = {"be": ("VBG", "VBN"), "have": ("VBN",), "do": ("VB",)}.get(token.lemma, ())
    unmistakable = token.lemma != "have" or following.text != inflect(following.lemma, "VBD")
    return drop(tokens, index) if following.tag in form and unmistakable else None


def superfluous_auxiliary(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Yesterday she was went home."""
    token = tokens[index]
    if token.tag != "VBD" or token.pos != "VERB" or not _is_finite(token) or cue(token) not in PAST_CUES:
        return None
    return insert(tokens, index, choose(rng, ("did", conjugated("be", "past", agreement(token)))))


# ---------------------------------------------------------------- form


def wrong_form(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """to goes; can went; has ate; is go; interested in learn"""
    token = tokens[index]
    if token.tag not in ("VB", "VBG", "VBN") or token.lemma == "be" or token.glued:
        return None
    place = selector(tokens, index)
    if place is None:
        return None
    wrong = [form for form in _wrong_forms(token, tokens[place]) if form != token.text]
    return replace(tokens, index, choose(rng, wrong), needs=(place,)) if wrong else None


def _wrong_forms(token: Token, selecting: Token) -> tuple[str, ...]:
    """Return forms of a verb that cannot stand with what selects its form."""
    lemma = token.lemma
    past, third, ing = inflect(lemma, "VBD"), inflect(lemma, "VBZ"), inflect(lemma, "VBG")
    if token.tag == "VB":
        if selecting.lemma == "to":
            return (third, past, ing)
        return (past, past, ing) if selecting.text == "did" else (third, third, past, ing)
    if token.tag == "VBN":
        return (lemma, past, ing) if selecting.lemma == "be" else (lemma, past, third)
    if selecting.lemma == "be":
        return (lemma, third)
    return (lemma, third) if selecting.pos == "ADP" else (lemma,)


def infinitive_for_gerund(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """enjoy to swim; before to go"""
    token = tokens[index]
    if token.tag != "VBG" or not index:
        return None
    previous = tokens[index - 1]
    verb = previous.pos == "VERB" and previous.lemma not in TAKES_TO_OR_ING and previous.lemma != "go"
    if verb or previous.pos in ("ADP", "SCONJ"):
        return replace(tokens, index, f"to {token.lemma}", needs=(index - 1,))
    return None


def gerund_for_infinitive(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """want going"""
    if not _is_infinitive(tokens, index) or tokens[index - 1].lemma in TAKES_TO_OR_ING:
        return None
    if tokens[index - 1].pos == "ADJ":  # "It is nice going there." can be said
        return None
    return rewrite(tokens, index, index + 2, inflect(tokens[index + 1].lemma, "VBG"), needs=(index - 1,))


def missing_to(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """want go"""
    if not _is_infinitive(tokens, index) or any(tokens[place].lemma == "help" for place in before(tokens, index)):
        return None
    return drop(tokens, index, needs=(index - 1,))


def superfluous_to(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """can to go; let him to go"""
    if tokens[index].tag != "VB" or not index or tokens[index].glued:
        return None
    place = selector(tokens, index)
    if place is None or not (tokens[place].tag == "MD" or tokens[place].lemma in ("make", "let")):
        return None
    return insert(tokens, index, "to", needs=(place,))


def _is_infinitive(tokens: Sequence[Token], index: int) -> bool:
    if tokens[index].tag != "TO" or not index or index + 1 >= len(tokens):
        return False
    return tokens[index + 1].tag == "VB" and tokens[index - 1].pos in ("VERB", "ADJ", "PRON", "NOUN", "PROPN")


def regular_past(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """goed; teached"""
    token = tokens[index]
    if token.tag not in ("VBD", "VBN") or token.lemma in NO_REGULAR_PAST or token.text.endswith("ed"):
        return None
    return replace(tokens, index, token.lemma + ("d" if token.lemma.endswith("e") else "ed"))


# ---------------------------------------------------------------- choice


def wrong_verb(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """do a decision"""
    token = tokens[index]
    if (token.pos != "VERB" and token.lemma != "be") or "contraction" in token.features:
        return None
    for place in range(index + 1, min(index + 6, len(tokens))):
        wrong = confusions("collocations").get(f"{token.lemma} {tokens[place].lemma}")
        if wrong:
            return replace(tokens, index, same_form(choose(rng, wrong), token), needs=(place,))
        if tokens[place].pos in ("PUNCT", "VERB", "SCONJ"):
            return None
    return None


def missing_be(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She very tired."""
    token = tokens[index]
    if token.lemma != "be" or not is_full(tokens, index) or index + 1 >= len(tokens) or not index:
        return None
    if tokens[index + 1].pos not in ("ADJ", "ADP", "DET", "ADV", "NUM") or "contraction" in token.features:
        return None
    if any(t.tag in ("VBG", "VBN") for t in tokens[index + 1 : index + 3]):
        return None
    if token.tag == "VBD" and cue(token) not in PAST_CUES:
        return None
    return drop(tokens, index, _other_past_verbs(tokens, index) if token.tag == "VBD" else ())


def superfluous_be(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I am agree."""
    token = tokens[index]
    if token.pos != "VERB" or not _is_finite(token) or token.tag == "VBD" or token.lemma == "be":
        return None
    return insert(tokens, index, conjugated("be", "present", agreement(token)))
