"""How a sentence is written, where that is not what is to be measured: blanks around it, forms of letters, tokens.

The rules for files that are scored and compared (what a study is trained on has its own, in `gecalign.corpus.data`):

- blanks around a sentence, of any kind, and byte order marks are taken off: no reader sees them, and a copied sentence
  with one would not be copied;
- letters are brought into Unicode's form NFC: "é" can be written in two ways that look the same, and would count as
  two words;
- nothing else is changed: blanks inside, quotes and dashes may be what a system corrects;
- characters that cannot be seen, letters that were read in another encoding, signs as HTML or tokenizers write them,
  and words for what is missing (nan) stay, and are told;
- tokenised texts ("do n't go .") and others are told apart, where some of the columns are and some are not;
- hypotheses that have more around the sentence than the sentence (a label in front, an explanation below) are told.

Whatever is changed or looks wrong is counted, in a sentence a kind.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from gecalign.corpus import cells

BLANKS = "".join(char for char in map(chr, range(0x3001)) if char.isspace()) + "\ufeff"
# Control and direction characters, fillers, private use, what is no character; joiners only among Latin letters, since
# other scripts and emoji need them.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff]"
    "|(?<=[ -\u024f])[\u200c\u200d]"
)
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|nbsp);")
# What marks the ends of texts and pieces of words, and is taken out where those are put together again.
PIECES = re.compile(r"</?s>|<(?:pad|unk)>|<\|\w+\|>|\[(?:CLS|SEP|PAD|MASK|UNK)\]|\w@@(?: |$)|[\u2581\u0120]|(?<= )##\w")
# What UTF-8 becomes when it is read as Windows-1252 or Latin-1: letters with accents, quotes and dashes.
_SECOND = "".join(bytes(range(0x80, 0xC0)).decode(name, errors="ignore") for name in ("cp1252", "latin1"))
MISREAD = re.compile(f"[\u00c2\u00c3][{_SECOND}]|\u00e2[\u20ac\u0080][{_SECOND}]")
TOKENISED = re.compile(r"\w [.,;:!?](?= |$)| n't\b|\w '(?:s|re|ve|ll|d|m)\b")
NOT_TOKENISED = re.compile(r"\w[.,;:!?](?= |$)|\wn't\b|\w'(?:s|re|ve|ll|d|m)\b")
TELLING = 3  # sentences that it takes to say how a column is tokenised
ALL_ALIKE = 5  # ... and that something is so in all of them
SHOWN = 20  # characters behind a beginning that a note shows


def half_of_a_character(text: str) -> str | None:
    """Return the first half of a surrogate pair without its other half, which JSON can spell, or None."""
    found = re.search("[\ud800-\udfff]", text)
    return found[0] if found else None


def normal(text: str) -> str:
    """Return a sentence without blanks around it, in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text.strip(BLANKS))


def tidied(texts: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """Return sentences by the rules above, and what is to be said of them.

    >>> tidied(["She goes. ", "It is."], "out.txt, hypothesis")
    (['She goes.', 'It is.'], ['out.txt, hypothesis: blanks around 1 of 2 sentences were taken off (row 1).'])
    """
    notes = [
        _note(texts, where, "blanks around {} were taken off", lambda text: text != text.strip(BLANKS)),
        _note(texts, where, "letters of {} were brought into Unicode's form NFC", _not_nfc),
    ]
    found = [normal(text) for text in texts]
    return found, [note for note in notes if note] + strange(found, where)


def strange(texts: Sequence[str], where: str) -> list[str]:
    """Return what is to be said of sentences that stay as they are, and look wrong."""
    notes = [
        _note(texts, where, "letters of {} are not in Unicode's form NFC", _not_nfc),
        _note(texts, where, "{} hold characters that cannot be seen", lambda text: bool(_unseen(text)), _unseen),
        _note(texts, where, "{} hold letters that were read in another encoding, such as Windows-1252 instead of UTF-8",
              lambda text: bool(MISREAD.search(text))),
        _note(texts, where, "{} hold signs as HTML or Moses write them, such as &quot;",
              lambda text: bool(ENTITY.search(text))),
        _note(texts, where, "{} hold signs as tokenizers write them, such as </s> or @@",
              lambda text: bool(PIECES.search(text))),
        _note(texts, where, "{} are words that programs write where there is nothing, such as nan",
              lambda text: bool(text.strip()) and cells.identity(text) is None),
    ]  # fmt: skip
    return [note for note in notes if note]


def around(hypotheses: Sequence[str], others: Sequence[Sequence[str]], where: str) -> list[str]:
    """Return what is to be said of hypotheses that hold more than a sentence, beside sources and references.

    >>> around([f"{i}. It is {word}." for i, word in enumerate("abcde")], [[f"It is {word}" for word in "abcde"]], "f")
    ["f: all 5 sentences begin as '0. It is a.' does, and others do not. Take off what is no part of them."]
    """
    most = [max(map(_lines, texts)) for texts in zip(*others, strict=True)]
    further = [f"{_lines(text) > lines}" for text, lines in zip(hypotheses, most, strict=True)]
    words = "{} go over more lines than sources and references do"
    notes = [_beginning(hypotheses, others, where), _note(further, where, words, lambda text: text == "True")]
    return [note for note in notes if note]


def _beginning(hypotheses: Sequence[str], others: Sequence[Sequence[str]], where: str) -> str:
    filled = [_without_numbers(text) for text in hypotheses if text]
    begin = os.path.commonprefix(filled)  # noqa: RUF071 - of texts
    shared = (sum(_without_numbers(text).startswith(begin) for text in texts) > len(texts) / 2 for texts in others)
    if len(filled) < ALL_ALIKE or not begin or any(shared):
        return ""
    first = next(text for text in hypotheses if text)[: len(begin) + SHOWN]
    return (
        f"{where}: all {len(filled):,} sentences begin as {first!r} does, and others do not. Take off what is no "
        "part of them."
    )


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def unchanged(sources: Sequence[str], references: Sequence[str]) -> list[str]:
    """Return what is to be said where all references are their sources."""
    same = len(sources) >= ALL_ALIKE and list(map(normal, sources)) == list(map(normal, references))
    return (
        ["all references are their sources: there is nothing to correct. Is one file given for both?"] if same else []
    )


def _lines(text: str) -> int:
    return len(re.findall(r"[\r\n]+", text.strip(BLANKS)))


def unlike_tokens(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is to be said where some columns are tokenised and others are not, or all are."""
    shares = {name: share for name, texts in columns.items() if (share := _share_tokenised(texts)) is not None}
    tokenised = [name for name, share in shares.items() if share > 0.5]
    others = [name for name in shares if name not in tokenised]
    if tokenised and others:
        return [
            f'{_listed(tokenised)} look tokenised ("do n\'t go ."), {_listed(others)} do not: measures that compare '
            "them count tokens, not corrections. Write all of them alike."
        ]
    return [
        "all texts look tokenised (\"do n't go .\"): the scores are not comparable with those of texts as people write "
        "them."
    ] if tokenised else []  # fmt: skip


def _share_tokenised(texts: Sequence[str]) -> float | None:
    """Return the share of the sentences that are tokenised, of those that tell; None where too few do."""
    telling = [bool(TOKENISED.search(text)) for text in texts if TOKENISED.search(text) or NOT_TOKENISED.search(text)]
    return sum(telling) / len(telling) if len(telling) >= TELLING else None


def _note(
    texts: Sequence[str], where: str, words: str, concerns: Callable[[str], bool],
    detail: Callable[[str], str] = lambda _: "",
) -> str:  # fmt: skip
    rows = [number for number, text in enumerate(texts, start=1) if concerns(text)]
    if not rows:
        return ""
    counted = words.format(f"{len(rows):,} of {len(texts):,} sentences")
    first = "row" if len(rows) == 1 else "the first: row"
    return f"{where}: {counted} ({first} {rows[0]}{detail(texts[rows[0] - 1])})."


def _not_nfc(text: str) -> bool:
    return not unicodedata.is_normalized("NFC", text.strip(BLANKS))


def _unseen(text: str) -> str:
    found = UNSEEN.search(text.strip(BLANKS))
    return f", U+{ord(found[0]):04X}" if found else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
