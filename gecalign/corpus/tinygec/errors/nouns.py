"""Errors in noun phrases: determiners, nouns, number, possessives, pronouns, adjectives."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.errors.changes import Change, drop, insert, replace, rewrite
from gecalign.corpus.tinygec.errors.reading import (
    agreement,
    before,
    confusions,
    head_noun,
    is_full,
    starts_noun_phrase,
)
from gecalign.corpus.tinygec.grammar.phrases import PRONOUNS
from gecalign.corpus.tinygec.lexicon.entries import inflect, words
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import takes_an

SPARED = 0.7  # how often "last" and "next" are left alone: so frequent that nothing else would be hit
# Nouns that take no "a" and no plural although the lexicon lists them without their class.
UNCOUNTABLE = frozenset(
    {
        "homework",
        "housework",
        "laundry",
        "garbage",
        "traffic",
        "research",
        "weather",
        "health",
        "luck",
        "hair",
    }
)
WITHOUT_ARTICLE = frozenset(
    {"home", "school", "work", "bed", "university", "town", "church", "dinner", "breakfast", "lunch", "math"}
)
ONLY_ONE = frozenset({"same", "first", "second", "third", "last", "next", "only", "best", "worst", "other"})
NUMBER_OF_DETERMINERS = {"this": "these", "these": "this", "that": "those", "those": "that"}
OBJECT_FORMS = {forms[1]: forms[0] for forms in PRONOUNS.values() if forms[0] != forms[1]}
SUBJECT_FORMS = {forms[0]: forms[1] for forms in PRONOUNS.values() if forms[0] != forms[1]}
OWNERS = {"my": "me", "your": "you", "his": "he", "our": "us", "their": "them", "her": "she", "its": "it"}
REFLEXIVES = {
    "himself": ("hisself", "himselfs"), "herself": ("sheself", "herselfs"), "myself": ("meself", "me"),
    "themselves": ("themself", "theirselves"), "ourselves": ("ourself", "us"),
    "yourself": ("yourselfs", "you"),
}  # fmt: skip


# ---------------------------------------------------------------- determiners


def missing_indefinite(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She bought car."""
    if tokens[index].lemma != "a" or tokens[index].tag != "DT":
        return None
    head = head_noun(tokens, index + 1)
    if head is None:
        return None
    return None if tokens[index + 1].lemma in ("few", "little") else drop(tokens, index, needs=(head,))


def missing_definite(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She went to park."""
    head = head_noun(tokens, index + 1) if tokens[index].lemma == "the" else None
    if head is None or (index and tokens[index - 1].lemma == "that"):  # "I know that man is here."
        return None
    chosen = tokens[index + 1].lemma in ONLY_ONE or tokens[index + 1].tag == "JJS"
    singular = tokens[head].tag == "NN" and "uncountable" not in tokens[head].features
    return drop(tokens, index, needs=(head,)) if chosen or singular else None


def unneeded_definite(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She speaks the English."""
    token = tokens[index]
    if token.tag == "PRP$":
        return insert(tokens, index, "the") if index and tokens[index - 1].pos in ("VERB", "ADP") else None
    if token.lemma in ("last", "next") and index + 1 < len(tokens) and tokens[index - 1].pos != "DET":
        return insert(tokens, index, "the")
    if not starts_noun_phrase(tokens, index) or (token.glued or not is_full(tokens, index)):
        return None
    if "bare" in token.features or token.tag == "NNP" or token.lemma in WITHOUT_ARTICLE:
        return insert(tokens, index, "the")
    return None


def unneeded_indefinite(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She gave me a good advice."""
    if not starts_noun_phrase(tokens, index) or tokens[index - 1].tag == "TO":
        return None
    head = head_noun(tokens, index)
    if head is None:
        return None
    if _is_mass(tokens[head]):
        return insert(tokens, index, "an" if takes_an(tokens[index].text) else "a", needs=(head,))
    return None


def article_sound(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """a apple"""
    if tokens[index].lemma != "a" or tokens[index].tag != "DT":
        return None
    return replace(tokens, index, "a" if tokens[index].text.lower() == "an" else "an")


def wrong_article(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """a best film; works as the teacher"""
    if tokens[index].tag != "DT" or index + 1 >= len(tokens):
        return None
    following = tokens[index + 1]
    if tokens[index].lemma == "the" and (following.lemma in ONLY_ONE or following.tag == "JJS"):
        return replace(tokens, index, "an" if takes_an(following.text) else "a")
    head = head_noun(tokens, index + 1)
    if tokens[index].lemma != "a" or head is None or not index:
        return None
    fixed = tokens[index - 1].lemma in ("once", "twice", "as", "become")
    return replace(tokens, index, "the", needs=(head,)) if fixed else None


def _is_mass(token: Token) -> bool:
    """Say whether a noun takes no "a" and no plural, whatever it means in the sentence."""
    stuff = "uncountable" in token.features and any(feature.startswith("class:") for feature in token.features)
    return token.tag == "NN" and (stuff or token.lemma in UNCOUNTABLE)


def determiner_number(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """this books"""
    wrong = NUMBER_OF_DETERMINERS.get(tokens[index].lemma) if tokens[index].tag == "DT" else None
    head = head_noun(tokens, index + 1) if wrong else None
    if wrong is None or head is None:
        return None
    return replace(tokens, index, wrong, needs=(head,))


def some_for_any(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She does not have some money."""
    if tokens[index].lemma != "any":
        return None
    negated = [place for place in before(tokens, index) if "negation" in tokens[place].features]
    return replace(tokens, index, "some", needs=tuple(negated)) if negated else None


def owner_form(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """me brother"""
    if tokens[index].tag != "PRP$":
        return None
    return replace(tokens, index, OWNERS[tokens[index].lemma])


# ---------------------------------------------------------------- number, possessives


def plural_lost(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """two book"""
    token = tokens[index]
    if token.tag != "NNS" or "plural-only" in token.features or token.lemma == token.text:
        return None
    licence = _plural_licence(tokens, index)
    literal = "literal" in token.features and tokens[index - 1].pos not in ("DET", "PRON")
    if licence is None and not literal:
        return None
    return replace(tokens, index, _with_capital(token, token.lemma), needs=() if licence is None else (licence,))


def _plural_licence(tokens: Sequence[Token], index: int) -> int | None:
    """Return where the numeral or quantifier is that asks for a plural at `index`, or None."""
    for place in before(tokens, index, reach=3):
        token = tokens[place]
        if token.lemma in ("many", "several", "few", "these", "those", "of", "both") or token.pos == "NUM":
            plural_of = token.lemma != "of" or tokens[place - 1].lemma in ("lot", "pair", "one")
            return place if token.lemma != "one" and plural_of else None
        if token.pos != "ADJ":
            return None
    return None


def plural_gained(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """every days; a dogs"""
    token = tokens[index]
    if token.tag != "NN" or "uncountable" in token.features or "bare" in token.features:
        return None
    for place in before(tokens, index, reach=2):
        if tokens[place].lemma in ("a", "every", "each", "one", "another"):
            return replace(tokens, index, _plural(token.lemma), needs=(place,))
        if tokens[place].pos != "ADJ":
            return None
    return None


def regular_plural(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """childs; informations"""
    token = tokens[index]
    irregular = token.tag == "NNS" and "plural-only" not in token.features and token.text != _add_s(token.lemma)
    if not _is_mass(token) and not irregular:
        return None
    return replace(tokens, index, _with_capital(token, _add_s(token.lemma)))


def missing_possessive(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """my brother car"""
    return drop(tokens, index) if tokens[index].tag == "POS" else None


def possessive_as_plural(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """my brothers car"""
    if tokens[index].tag != "POS" or tokens[index].text != "'s":
        return None
    return rewrite(tokens, index - 1, index + 1, tokens[index - 1].text + "s")


def _plural(lemma: str) -> str:
    try:
        return inflect(lemma, "NNS")
    except ValueError:
        return _add_s(lemma)


def _add_s(lemma: str) -> str:
    if lemma.endswith("y") and lemma[-2] not in "aeiou":
        return lemma[:-1] + "ies"
    return lemma + ("es" if lemma.endswith(("s", "x", "z", "ch", "sh")) else "s")


def _with_capital(token: Token, text: str) -> str:
    return text.capitalize() if token.text[0].isupper() else text


# ---------------------------------------------------------------- nouns and adjectives


def wrong_noun(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """make a fault"""
    token = tokens[index]
    if token.pos != "NOUN":
        return None
    found, needs = _wrong_nouns(tokens, index)
    if not found:
        return None
    lemma = choose(rng, found)
    text = _plural(lemma) if token.tag == "NNS" else lemma
    return replace(tokens, index, _with_capital(token, text), needs)


def _wrong_nouns(tokens: Sequence[Token], index: int) -> tuple[Sequence[str], tuple[int, ...]]:
    """Return what is written for a noun, and where the word is that shows what is right."""
    found = confusions("nouns").get(tokens[index].lemma)
    if found:
        return found, ()
    for place in before(tokens, index):
        found = confusions("nouns").get(f"{tokens[place].lemma} {tokens[index].lemma}")
        if found:
            return found, (place,)
    return (), ()


def wrong_adjective(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """past week; a high man"""
    token = tokens[index]
    wrong = confusions("adjectives").get(token.lemma)
    if not wrong or token.tag != "JJ":
        return None
    if token.lemma in ("last", "next") and ("time" not in token.features or happens(rng, SPARED)):
        return None
    return replace(tokens, index, _with_capital(token, choose(rng, wrong)))


def much_many(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """much books"""
    wrong = {"many": "much", "much": "many", "few": "little"}.get(tokens[index].lemma)
    if wrong is None or tokens[index].pos != "ADJ":
        return None
    return replace(tokens, index, wrong, needs=(index + 1,))


def periphrastic_degree(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """more tall; the most tall"""
    token = tokens[index]
    if token.tag not in ("JJR", "JJS") or token.lemma in ("much", "many", "little"):
        return None
    return replace(tokens, index, f"{'more' if token.tag == 'JJR' else 'most'} {token.lemma}")


def plain_degree(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """She is tall than her brother."""
    token = tokens[index]
    if token.tag != "JJR" or token.lemma in ("much", "many", "little"):
        return None
    than = [place for place in range(index + 1, min(index + 4, len(tokens))) if tokens[place].lemma == "than"]
    return replace(tokens, index, token.lemma, needs=tuple(than)) if than else None


# ---------------------------------------------------------------- pronouns


def subject_for_object(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """with I"""
    token = tokens[index]
    if token.tag != "PRP" or not index or tokens[index - 1].pos not in ("VERB", "ADP"):
        return None
    wrong = OBJECT_FORMS.get(token.text)
    return replace(tokens, index, wrong) if wrong and "subject" not in token.features else None


def object_for_subject(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """Him is tall."""
    token = tokens[index]
    if "subject" not in token.features or token.tag != "PRP" or not is_full(tokens, index):
        return None
    wrong = SUBJECT_FORMS.get(token.lemma)
    return replace(tokens, index, wrong) if wrong else None


def missing_pronoun(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """because was tired; is raining"""
    token = tokens[index]
    if token.tag != "PRP" or "subject" not in token.features or not is_full(tokens, index):
        return None
    referred = any(token.features & other.features for other in tokens[:index] if other.tag in ("PRP", "PRP$"))
    clause = index and tokens[index - 1].pos in ("SCONJ", "PUNCT")
    return drop(tokens, index) if token.lemma == "it" or (clause and referred) else None


def doubled_subject(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """My brother he likes tea."""
    if not index or "finite" not in tokens[index].features or tokens[index].glued:
        return None
    head = tokens[index - 1]
    if "subject" not in head.features or head.pos not in ("NOUN", "PROPN"):
        return None
    return insert(tokens, index, _pronoun_for(head, agreement(tokens[index]), rng))


def _pronoun_for(head: Token, agrees: str, rng: Random) -> str:
    if agrees == "pl":
        return "they"
    if "person" not in head.features:
        return "it"
    for back, key in (("she", "she_kin"), ("he", "he_kin"), ("she", "she_role"), ("he", "he_role")):
        if head.lemma in words("people", key) or head.lemma in words("names", back):
            return back
    return choose(rng, ("he", "she"))


def who_which(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """the man which"""
    wrong = {"who": "which", "which": "who"}.get(tokens[index].lemma)
    if wrong is None or not index or tokens[index - 1].pos not in ("NOUN", "PROPN", "PUNCT"):
        return None
    return replace(tokens, index, wrong)


def missing_relative(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """I have a friend lives in Rome."""
    if tokens[index].lemma not in ("who", "which", "that") or index + 1 >= len(tokens) or not index:
        return None
    if tokens[index - 1].pos != "NOUN" or "finite" not in tokens[index + 1].features:
        return None
    return drop(tokens, index)


def wrong_reflexive(tokens: Sequence[Token], index: int, rng: Random) -> Change | None:
    """They enjoyed themself."""
    wrong = REFLEXIVES.get(tokens[index].text)
    return replace(tokens, index, choose(rng, wrong)) if wrong else None
