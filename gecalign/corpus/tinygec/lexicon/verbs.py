"""Verb groups: tense, aspect, modality, voice, negation, agreement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import NOT, word

V = ""  # where the verb itself goes
# Each tense is a chain of (lemma, form); the first is finite. "have_to" and "used_to" take do-support.
TENSES: dict[str, tuple[tuple[str, str], ...]] = {
    "present": ((V, "PRES"),),
    "past": ((V, "VBD"),),
    "progressive": (("be", "PRES"), (V, "VBG")),
    "past_progressive": (("be", "VBD"), (V, "VBG")),
    "perfect": (("have", "PRES"), (V, "VBN")),
    "subjunctive": ((V, "SUBJ"),),  # "if I were you"
    "past_perfect": (("have", "VBD"), (V, "VBN")),
    "perfect_progressive": (("have", "PRES"), ("be", "VBN"), (V, "VBG")),
    "future": (("will", "MD"), (V, "VB")),
    "going": (("be", "PRES"), ("go", "VBG"), ("to", "TO"), (V, "VB")),
    "would_have": (("would", "MD"), ("have", "VB"), (V, "VBN")),
    "have_to": (("have", "PRES"), ("to", "TO"), (V, "VB")),
    "had_to": (("have", "VBD"), ("to", "TO"), (V, "VB")),
    "used_to": (("use", "VBD"), ("to", "TO"), (V, "VB")),
    **{modal: ((modal, "MD"), (V, "VB")) for modal in ["can", "could", "should", "must", "might", "would", "may"]},
}
LEXICAL = frozenset({"have_to", "had_to", "used_to"})  # their first verb is no auxiliary
FUSED = {"can": "ca", "will": "wo"}  # ca|n't, wo|n't
UNFUSED = frozenset({"am", "might", "may"})  # no n't after these
REDUCED = {
    "am": "'m",
    "is": "'s",
    "are": "'re",
    "have": "'ve",
    "has": "'s",
    "had": "'d",
    "will": "'ll",
    "would": "'d",
}


@dataclass(frozen=True, slots=True)
class VerbGroup:
    """A verb group in the order finite, negation, rest; adverbs stand before `rest` or a lexical finite."""

    finite: Token
    negation: tuple[Token, ...]
    rest: tuple[Token, ...]
    auxiliary: bool  # the finite verb is an auxiliary or the copula: it inverts, adverbs follow it


@cache  # and so all that a group depends on is named one by one, as text
def verb_group(
    verb: str,
    tense: str,
    agreement: str,
    negated: str = "",
    inverted: bool = False,
    passive: bool = False,
    cue: str = "",
) -> VerbGroup:
    """Build a verb group.

    `agreement` is "1s", "3s" or "pl"; `negated` "" (not), "full" (not) or "short" (n't); `cue` names the
    time that the context licenses and becomes the feature "cue:..." of the finite verb.
    """
    chain = list(TENSES[tense])
    chain = [link for lemma, form in chain for link in _filled(lemma or verb, form, not lemma and passive)]
    auxiliary = (len(chain) > 1 or chain[0][0] == "be") and tense not in LEXICAL
    if not auxiliary and (negated or inverted):  # do-support
        lemma, form = chain[0]
        chain[:1] = [("do", form), (lemma, "VB")]
        auxiliary = True
    finite = _finite(*chain[0], agreement, cue, is_auxiliary=auxiliary and (len(chain) > 1))
    rest = tuple(_nonfinite(lemma, form, last=place == len(chain) - 2) for place, (lemma, form) in enumerate(chain[1:]))
    if tense in LEXICAL and auxiliary is False:
        finite = _finite(*chain[0], agreement, cue, is_auxiliary=False)
    return VerbGroup(*_negated(finite, negated), rest, auxiliary)


def _filled(verb: str, form: str, passive: bool) -> list[tuple[str, str]]:
    return [("be", form), (verb, "VBN")] if passive else [(verb, form)]


def _finite(lemma: str, form: str, agreement: str, cue: str, is_auxiliary: bool) -> Token:
    tag = {"PRES": "VBZ" if agreement == "3s" else "VBP", "SUBJ": "VBD"}.get(form, form)
    features = ["finite", *([f"cue:{cue}"] if cue else []), f"agreement:{agreement}"]
    pos = "AUX" if is_auxiliary or lemma == "be" or form == "MD" else "VERB"
    text = lemma if form == "MD" else ""
    if lemma == "be":
        plural, singular = ("are", {"1s": "am"}) if form == "PRES" else ("were", {"1s": "was"})
        text = (
            plural
            if agreement == "pl" or form == "SUBJ"
            else singular.get(agreement, "is" if form == "PRES" else "was")
        )
    return word(lemma, tag, *features, text=text, pos=pos)


def _nonfinite(lemma: str, form: str, last: bool) -> Token:
    if form == "TO":
        return word("to", "TO")
    return word(lemma, form, pos="VERB" if last and lemma != "be" else "AUX")


def _negated(finite: Token, negated: str) -> tuple[Token, tuple[Token, ...]]:
    if not negated:
        return finite, ()
    glued_not = word("not", "RB", "negation", glued=True)
    if negated == "full" or finite.text in UNFUSED:
        return finite, (glued_not if finite.text == "can" else NOT,)
    stem = FUSED.get(finite.text, finite.text)
    fused = Token(stem, finite.lemma, finite.pos, finite.tag, False, finite.features)
    return fused, (word("not", "RB", "negation", text="n't", glued=True),)


@cache
def reduced(finite: Token) -> Token | None:
    """Return the short form that leans on a pronoun ("'s" for "is"), or None where there is none."""
    text = REDUCED.get(finite.text)
    if text is None or finite.pos != "AUX":
        return None
    return Token(text, finite.lemma, finite.pos, finite.tag, True, finite.features | {"contraction"})
