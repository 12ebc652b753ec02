"""Corrections made visible: what was taken out and what was put in, for terminal and page.

Text comes from data, so it is escaped before it becomes markup, in either form, and what cannot be seen in it (control
and direction characters, blanks that are no blank) is made visible: it could drive a terminal, or turn a line round.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from gecalign.corpus.texts import WORD

JOINERS = "\u200c\u200d"


class Piece(NamedTuple):
    """A stretch of text that was kept, removed from the source, or added by the hypothesis."""

    kind: Literal["kept", "removed", "added"]
    text: str


def difference(source: str, hypothesis: str) -> list[Piece]:
    """Return the pieces of both texts in reading order, what was removed before what was added.

    The pieces without the added ones spell the source, those without the removed ones the hypothesis,
    up to white space at the seams.

    >>> difference("She go home.", "She goes home.")
    [Piece(kind='kept', text='She '), Piece(kind='removed', text='go'), Piece(kind='added', text='goes'), \
Piece(kind='kept', text=' home.')]
    """
    before, after = _words_and_blanks(source), _words_and_blanks(hypothesis)
    pieces: list[Piece] = []
    for step in Levenshtein.opcodes(before, after):
        removed = "".join(before[step.src_start : step.src_end])
        added = "".join(after[step.dest_start : step.dest_end])
        if step.tag == "equal":
            pieces.append(Piece("kept", removed))
        else:
            pieces += [piece for piece in (Piece("removed", removed), Piece("added", added)) if piece.text]
    return _grouped(_merged(pieces))


def to_html(source: str, hypothesis: str) -> str:
    """Return the difference as HTML, `<del>` and `<ins>`, everything else escaped."""
    tags = {"kept": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return "".join(tags[piece.kind].format(text(piece.text)) for piece in difference(source, hypothesis))


def text(data: str) -> str:
    """Return text from data as HTML: escaped, and visible."""
    return html.escape(visible(data))


def visible(data: str) -> str:
    """Return text with a sign for each character that cannot be seen: ␛, or its number in brackets.

    Joiners stay: letters of some scripts, and emoji, are made with them.

    >>> visible("a\u202eb")
    'a⟨U+202E⟩b'
    """
    return "".join(char if char.isprintable() or char in JOINERS else _sign(char) for char in data)


def _sign(char: str) -> str:
    code = ord(char)
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def to_terminal(source: str, hypothesis: str, colour: bool = True) -> str:
    """Return the difference for a terminal: red struck through and green, or `[-…-]` and `{+…+}`."""
    styles = {"kept": "{}", "removed": "\033[9;31m{}\033[0m", "added": "\033[32m{}\033[0m"}
    plain = {"kept": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    chosen = styles if colour else plain
    return "".join(chosen[p.kind].format(visible(p.text)) for p in difference(source, hypothesis))


def tokens(texts: Sequence[str], marked: Sequence[bool]) -> str:
    """Return tokens as boxes, some of them marked, as HTML; blanks and line ends are made visible."""
    shown = [text(one.replace(" ", "\u2423").replace("\n", "\u21b5")) for one in texts]
    boxes = (
        f"<mark>{one}</mark>" if counted else f"<span>{one}</span>" for one, counted in zip(shown, marked, strict=True)
    )
    return f'<p class="tokens">{" ".join(boxes)}</p>'


def table(rows: Sequence[tuple[str, str, str]], headings: tuple[str, str, str] = ("", "source", "what changed")) -> str:
    """Return an HTML table of (label, source, hypothesis) rows: label, source, marked-up hypothesis."""
    head = "".join(f"<th>{text(one)}</th>" for one in headings)
    body = "".join(
        f"<tr><td>{text(label)}</td><td>{text(source)}</td><td>{to_html(source, hypothesis)}</td></tr>"
        for label, source, hypothesis in rows
    )
    return f'<table class="corrections"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _words_and_blanks(text: str) -> list[str]:
    return re.findall(rf"{WORD.pattern}|\s+", text)


def _grouped(pieces: Sequence[Piece]) -> list[Piece]:
    """Join changes with only blanks between them: first all that was removed, then all that was added."""
    grouped: list[Piece] = []
    removed = added = ""
    for position, piece in enumerate(pieces):
        following = pieces[position + 1] if position + 1 < len(pieces) else piece
        seam = piece.kind == "kept" and piece.text.isspace() and bool(removed + added) and following.kind != "kept"
        removed += piece.text if piece.kind == "removed" or seam else ""
        added += piece.text if piece.kind == "added" or seam else ""
        if piece.kind == "kept" and not seam:
            grouped += [*_changes(removed, added), piece]
            removed = added = ""
    return grouped + _changes(removed, added)


def _changes(removed: str, added: str) -> list[Piece]:
    return [piece for piece in (Piece("removed", removed), Piece("added", added)) if piece.text]


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].kind == piece.kind:
            merged[-1] = Piece(piece.kind, merged[-1].text + piece.text)
        else:
            merged.append(piece)
    return merged
