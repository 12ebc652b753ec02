"""Tokenised text to ordinary text and back: how the field's corpora are written, and how people and models write.

Corpora of learners' English come in tokens as the Penn Treebank has them: "I do n't know , he said .". A language model
has read hardly any such text. These rules are few, and made for single English sentences:

- `detokenized` joins marks of punctuation, contractions and the inside of quotes and brackets;
- `tokenized` is its way back, for scripts that compare tokens. Of the 7,505 sentences and corrections of JFLEG all but
  some thirty come back as they were, but for the form of quotes.
"""

from __future__ import annotations

import re

CONTRACTIONS = r"(?:n['’]t|['’](?:s|S|re|ve|ll|d|m|RE|VE|LL|D|M))"
QUOTE = re.compile(r"``|''|\"")
TO_THE_LEFT = re.compile(rf" ([.,;:?!%)\]}}]|\.\.\.|{CONTRACTIONS})(?=[ \"]|$)")
TO_THE_RIGHT = re.compile(r"(^| )([(\[{$#]) ")
POSSESSIVE = re.compile(r"(\w*s) '(?= )")

MARK = re.compile(r"(\.\.\.|[;?!\"()\[\]{}]|(?<!\d)[,:]|[,:](?!\d)|(?<=\d)%|\$(?=\d))")
LAST_STOP = re.compile(r"(?<=[^\s.])\.(?=(?:\s*[\"'’”)\]])*\s*$)")  # one inside stays: it may be an abbreviation's
CONTRACTION = re.compile(rf"(?<=\w)({CONTRACTIONS})(?!\w)")
POSSESSIVE_END = re.compile(r"(?<=s)(')(?=\s|$)")


def detokenized(text: str) -> str:
    """Return a tokenised sentence as people write it.

    >>> detokenized("She said , `` I do n't know ( yet ) . ''")
    'She said, "I don\\'t know (yet)."'
    """
    text = _quotes_joined(" ".join(text.split()))
    text = TO_THE_RIGHT.sub(r"\1\2", POSSESSIVE.sub(r"\1'", text))
    while (joined := TO_THE_LEFT.sub(r"\1", text)) != text:
        text = joined
    return text


def tokenized(text: str) -> str:
    """Return an ordinary sentence as tokens with blanks between them; double quotes become `"`.

    >>> tokenized('She said, "I don\\'t know (yet)."')
    'She said , " I do n\\'t know ( yet ) . "'
    """
    for pattern, tokens in ((MARK, r" \1 "), (LAST_STOP, " . "), (CONTRACTION, r" \1"), (POSSESSIVE_END, r" \1")):
        text = pattern.sub(tokens, text)
    return " ".join(text.split())


def _quotes_joined(text: str) -> str:
    """Return the text with double quotes at what they enclose: every second one closes, if marks do not say which."""
    parts: list[str] = []
    end, opened = 0, False
    for found in QUOTE.finditer(text):
        closes = found[0] == "''" or (found[0] == '"' and opened)
        before = text[end : found.start()]
        parts += [before.rstrip() if closes else before, '"']
        end, opened = found.end(), not closes
        if not closes and text[end : end + 1] == " ":
            end += 1
    return "".join([*parts, text[end:]])
