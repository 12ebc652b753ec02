"""Corrections made visible: what was taken out and what was put in, for terminal and page.

Text comes from data, so it is escaped before it becomes markup, in either form.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from gecalign.texts import WORD


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
    return "".join(tags[piece.kind].format(html.escape(piece.text)) for piece in difference(source, hypothesis))


def to_terminal(source: str, hypothesis: str, colour: bool = True) -> str:
    """Return the difference for a terminal: red struck through and green, or `[-…-]` and `{+…+}`."""
    styles = {"kept": "{}", "removed": "\033[9;31m{}\033[0m", "added": "\033[32m{}\033[0m"}
    plain = {"kept": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    chosen = styles if colour else plain
    return "".join(chosen[p.kind].format(printable(p.text)) for p in difference(source, hypothesis))


def tokens(texts: Sequence[str], marked: Sequence[bool]) -> str:
    """Return tokens as boxes, some of them marked, as HTML; blanks and line ends are made visible."""
    visible = [html.escape(text.replace(" ", "\u2423").replace("\n", "\u21b5")) for text in texts]
    boxes = (
        f"<mark>{text}</mark>" if counted else f"<span>{text}</span>"
        for text, counted in zip(visible, marked, strict=True)
    )
    return f'<p class="tokens">{" ".join(boxes)}</p>'


def table(rows: Sequence[tuple[str, str, str]], headings: tuple[str, str, str] = ("", "source", "what changed")) -> str:
    """Return an HTML table of (label, source, hypothesis) rows: label, source, marked-up hypothesis."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    body = "".join(
        f"<tr><td>{html.escape(label)}</td><td>{html.escape(source)}</td><td>{to_html(source, hypothesis)}</td></tr>"
        for label, source, hypothesis in rows
    )
    return f'<table class="corrections"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def printable(text: str) -> str:
    """Return a text that a terminal shows and does not obey: control characters from data could drive it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


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
