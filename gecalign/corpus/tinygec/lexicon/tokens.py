"""A sentence with its analysis: the tokens that the grammar writes and the error model reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """One word or mark as it stands in the sentence, with what an error model needs to know about it.

    `pos` is the Universal Dependencies category, `tag` the Penn Treebank tag. The features are listed
    in `gecalign.corpus.tinygec.grammar.sentences`.
    """

    text: str
    lemma: str
    pos: str
    tag: str
    glued: bool = False  # no space before it: punctuation, "n't", "'s"
    features: frozenset[str] = frozenset()


def detokenize(tokens: Iterable[Token]) -> str:
    """Write the tokens out as text.

    >>> detokenize([Token("Go", "go", "VERB", "VB"), Token("!", "!", "PUNCT", ".", glued=True)])
    'Go!'
    """
    return "".join(token.text if token.glued else f" {token.text}" for token in tokens).lstrip()
