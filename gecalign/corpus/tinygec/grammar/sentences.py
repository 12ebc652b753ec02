"""The probabilistic grammar of TinyGEC: clean English sentences together with their analysis.

`sentence` draws a kind of sentence by weight, and each kind draws its parts from the lexicon: `single` writes
sentences of one clause, `joined` of two side by side, `embedded` of a verb in another's complement.

Features of tokens say what an error model needs to know besides lemma and tag:

    subject, object           head of a subject; person as an object
    finite                    finite verb, always with agreement:1s, agreement:3s or agreement:pl
    cue:WHAT                  on the finite verb: what licenses its tense. The form or an adverbial:
                              past, habit, now, then, future, since, perfect, used; the other clause:
                              parallel, earlier, interrupted, condition; modal, able, relative. Or nothing.
    contraction               "'s", "'ll" and the like, glued to a pronoun
    negation                  "not" and "n't"
    countable, uncountable, plural-only, bare      nouns; bare ones take no article (tennis, English, Paris)
    class:NAME, person        the noun's class in the lexicon; a human being
    article                   a, an, the
    quantifier                some, any, many, a few, a lot of, pair of, every, numbers that count things
    refers:WHOM               pronouns: the subject form they belong to (I, you, he, she, it, we, they)
    indefinite                everybody, nobody, something (PRON with tag NN)
    governed                  preposition (tag IN) or "to" that the word before it selects
    governed-form             infinitive or gerund that the word before it selects
    time, place               on each word of an adverbial of time; on the preposition of a place
    frequency, manner, degree adverbs, by what they say
    comparative, superlative  "more", "most", and adjectives compared
    coordinated               second verb of a shared subject
    relative                  relative pronoun; comma of a relative clause that does not identify
    fronted, list, clause, tag    commas: after what stands in front, in lists, before and, but, "please"

Tags are the Penn Treebank's, with IN for the preposition "to" and TO for the infinitive's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from random import Random

from gecalign.corpus.tinygec.chance import choose, draw, happens
from gecalign.corpus.tinygec.grammar.clauses import (
    Draft,
    subordinate,
)
from gecalign.corpus.tinygec.grammar.embedded import (
    causative,
    control,
    degree,
    evaluation,
    indirect,
    known,
    purpose,
    reported,
)
from gecalign.corpus.tinygec.grammar.joined import although, condition, contrasted, coordinated, when
from gecalign.corpus.tinygec.grammar.phrases import (
    Scene,
    write,
)
from gecalign.corpus.tinygec.grammar.single import (
    about_things,
    comparison,
    existential,
    imperative,
    listing,
    passive,
    simple,
    wh_question,
    yes_no,
)
from gecalign.corpus.tinygec.lexicon.entries import lexicon
from gecalign.corpus.tinygec.lexicon.tokens import Token, detokenize
from gecalign.corpus.tinygec.lexicon.words import (
    comma,
    finish,
    word,
)

Kind = Callable[[Scene], Draft]

__all__ = ["Token", "detokenize", "sentence"]


def sentence(rng: Random) -> tuple[Token, ...]:
    """Draw one clean sentence with its analysis."""
    while True:
        kind = draw(rng, _KINDS, _CUMULATIVE)
        tokens, mark = kind(Scene(rng))
        if kind in _WIDENED:
            tokens = _widened(rng, kind, tokens)
        if not _repetitive(tokens):
            return finish(tokens, mark)


def _widened(rng: Random, kind: Kind, tokens: list[Token]) -> list[Token]:
    """Put a short clause into a longer frame now and then: "In my opinion, ...", "I am sure that ..."."""
    if len(tokens) > 10 or any("fronted" in token.features for token in tokens) or not happens(rng, 0.7):
        return tokens
    speaker = "I" if tokens[0].lemma in ("I", "we") else choose(rng, ("I", "I", "we", "he", "she", "they"))
    scene = Scene(rng, speaker)
    if kind in _OPINIONS and happens(rng, 0.35):
        opening: list[Token] = []
        write(choose(rng, lexicon()["matrices"]["opinion"]), scene, opening)
        return [*opening, comma("fronted"), *tokens]
    matrix = subordinate(scene, choose(rng, lexicon()["matrices"]["that"]), "present", cue="")
    return [*matrix, word("that", "SC"), *tokens]


def _repetitive(tokens: list[Token]) -> bool:
    """Whether a noun or a name comes twice, as in "The teacher talked to the teacher"."""
    named = [token.lemma for token in tokens if token.pos in ("NOUN", "PROPN")]
    done = {token.lemma for token in tokens if token.pos == "VERB"}  # nor "She planted four plants"
    return len(set(named)) < len(named) or not done.isdisjoint(named)


_WEIGHTS: dict[Kind, float] = {
    # one clause
    simple: 22, about_things: 4, passive: 5, existential: 3, yes_no: 4, wh_question: 4, comparison: 4,
    listing: 5, imperative: 3,
    # two clauses
    although: 5, condition: 9, when: 17, coordinated: 14, contrasted: 8,
    # a verb inside another's complement
    purpose: 7, degree: 4, control: 7, causative: 5, reported: 3, known: 7, indirect: 6, evaluation: 2,
}  # fmt: skip

# kinds that come out short
_WIDENED = frozenset({simple, listing, control, existential, comparison, degree, evaluation, about_things, passive})

# kinds that one can disagree about
_OPINIONS = frozenset({comparison, degree, evaluation})

_KINDS, _CUMULATIVE = tuple(_WEIGHTS), tuple(accumulate(_WEIGHTS.values()))
