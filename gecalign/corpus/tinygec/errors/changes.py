"""What an error does to a sentence: some of its tokens are written as other words, or not at all.

A `Change` is an error before it is written down: it speaks of token positions in the clean sentence.
`write` turns a sentence and its changes into the learner's text, and into the edits that undo them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gecalign.corpus.edits import Edit
from gecalign.corpus.tinygec.lexicon.tokens import Token
from gecalign.corpus.tinygec.lexicon.words import capitalized, takes_an

Word = tuple[str, bool]  # a word of the learner's sentence, and whether it is glued to the one before it
PROPER_TAGS = frozenset({"NNP", "NNPS"})
TIGHT = frozenset(",.;:?!")  # marks that are written without a space before them


@dataclass(frozen=True, slots=True)
class Change:
    """Write `words` in place of the clean tokens `start` to `end` (exclusive).

    `needs` are the positions of tokens from which a reader can tell what was meant: no other error may
    touch them. `words` is empty for a missing word, and `start == end` for an unnecessary one.
    """

    start: int
    end: int
    words: tuple[Word, ...]
    needs: tuple[int, ...] = ()


# One way of going wrong at one token; None where it does not apply.
Rule = Callable[[Sequence[Token], int, Random], Change | None]


def replace(tokens: Sequence[Token], index: int, text: str, needs: tuple[int, ...] = ()) -> Change | None:
    """Write `text` (one word or several) in place of a token; None where that would change nothing."""
    return rewrite(tokens, index, index + 1, text, needs)


def drop(tokens: Sequence[Token], index: int, needs: tuple[int, ...] = ()) -> Change | None:
    """Leave a token out."""
    return rewrite(tokens, index, index + 1, "", needs)


def insert(tokens: Sequence[Token], index: int, text: str, needs: tuple[int, ...] = ()) -> Change | None:
    """Write `text` before a token."""
    return rewrite(tokens, index, index, text, needs)


def rewrite(tokens: Sequence[Token], start: int, end: int, text: str, needs: tuple[int, ...] = ()) -> Change | None:
    """Write `text`, given as in the middle of a sentence, in place of the tokens `start` to `end`.

    At the beginning of a sentence the capital moves to whatever word now comes first, which may take the
    next token into the change. None where the change would change nothing, or would leave a glued token
    ("n't") without the word that it hangs on.
    """
    words = text.split()
    if start == 0 and tokens[0].text[:1].isupper():
        if start == end or not words:
            if end >= len(tokens) or tokens[end].glued:
                return None
            words.append(uncapitalized(tokens[end]))
            end += 1
        words[0] = capitalized(words[0])
    elif not words and end < len(tokens) and tokens[end].glued and tokens[end].pos != "PUNCT":
        return None
    if words == [token.text for token in tokens[start:end]]:
        return None
    glued = start < end and tokens[start].glued
    spaced = tuple((word, word in TIGHT or (glued and not place)) for place, word in enumerate(words))
    return Change(start, end, spaced, needs)


def uncapitalized(token: Token) -> str:
    """Return a token's text as it stands in the middle of a sentence."""
    if token.text == "I" or token.tag in PROPER_TAGS or "proper" in token.features:
        return token.text
    return token.text[:1].lower() + token.text[1:]


def spoils_article(tokens: Sequence[Token], change: Change) -> bool:
    """Say whether a change leaves an "a" before it that should now be "an", or the other way round."""
    if not change.start or tokens[change.start - 1].text.lower() not in ("a", "an"):
        return False
    before = tokens[change.start].text
    after = change.words[0][0] if change.words else tokens[change.end].text
    return takes_an(before) != takes_an(after)


def clashes(change: Change, other: Change) -> bool:
    """Say whether two changes may not stand in one sentence.

    A token that stays as it is must lie between them, so that each can be seen, counted and undone by
    itself; and neither may touch a word that tells what was meant by the other.
    """
    if change.start <= other.end and other.start <= change.end:
        return True
    return any(other.start <= need < other.end for need in change.needs) or any(
        change.start <= need < change.end for need in other.needs
    )


def write(tokens: Sequence[Token], changes: Sequence[tuple[str, Change]]) -> tuple[str, tuple[Edit, ...]]:
    """Write a sentence with its errors, given as (type, change), and the edits that undo them.

    >>> tokens = [Token("He", "he", "PRON", "PRP"), Token("goes", "go", "VERB", "VBZ")]
    >>> write(tokens, [("VERB:SVA", Change(1, 2, (("go", False),)))])
    ('He go', (Edit(start=3, end=5, replacement='goes', type='VERB:SVA'),))
    """
    source, edits, position = "", [], 0
    for error_type, change in sorted(changes, key=lambda typed: typed[1].start):
        source += _text(tokens[position : change.start], at_start=position == 0)
        wrong = _spaced(change.words, at_start=change.start == 0)
        right = _text(tokens[change.start : change.end], at_start=change.start == 0)
        space = int(wrong[:1] == right[:1] == " ")
        edits.append(Edit(len(source) + space, len(source) + len(wrong), right[space:], error_type))
        source += wrong
        position = change.end
    return source + _text(tokens[position:], at_start=position == 0), tuple(edits)


def _text(tokens: Sequence[Token], at_start: bool) -> str:
    return _spaced([(token.text, token.glued) for token in tokens], at_start)


def _spaced(words: Sequence[Word], at_start: bool) -> str:
    text = "".join(word if glued else f" {word}" for word, glued in words)
    return text[1:] if at_start and text[:1] == " " else text
