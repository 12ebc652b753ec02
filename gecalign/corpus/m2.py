"""M2, the format of the field's shared tasks: a tokenised sentence, and edits by one annotator or several.

    S She go home .
    A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0
    A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

Annotator 0 makes one edit, annotator 1 says that there is nothing to correct: two references. A sentence without a line
`A` is right as it stands. (Dahlmeier & Ng 2012, https://aclanthology.org/N12-1067)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gecalign.corpus.rowfiles import Row
from gecalign.corpus.textfiles import lines, read_text
from gecalign.corpus.tokens import detokenized

SUFFIX = ".m2"
EMPTY = "-NONE-"


class Change(NamedTuple):
    """An annotator replaces the tokens start..end."""

    start: int
    end: int
    tokens: tuple[str, ...]


def read(path: Path) -> list[Row]:
    """Return a row a sentence, detokenised: `src`, and as `tgt` what each annotator makes of it, by their numbers.

    Raises:
        ValueError: there is no such file, a line is not well formed, or edits overlap or lie outside the sentence.
    """
    return [_row(path, *block) for block in _blocks(path)]


def _blocks(path: Path) -> Iterator[tuple[list[str], dict[str, list[tuple[int, Change]]]]]:
    """Yield the tokens of each sentence, and by annotator the changes with the numbers of their lines."""
    tokens: list[str] | None = None
    changes: dict[str, list[tuple[int, Change]]] = defaultdict(list)
    for number, line in enumerate(lines(read_text(path)), start=1):
        where = f"line {number} of {path}"
        if line == "S" or line.startswith("S "):
            if tokens is not None:
                yield tokens, changes
            tokens, changes = line[1:].split(), defaultdict(list)
        elif line.startswith("A ") and tokens is not None:
            annotator, change = _change(where, line, len(tokens))
            if change:
                changes[annotator].append((number, change))
            else:
                changes[annotator] += []
        elif line.strip():
            raise ValueError(f"{where} is no M2: expected `S` and a sentence, or `A`, an edit of the one above it.")
    if tokens is not None:
        yield tokens, changes


def _change(where: str, line: str, length: int) -> tuple[str, Change | None]:
    """Return who made an edit, and the edit; None for "noop" and the like, which change nothing."""
    fields = line[2:].split("|||")
    try:
        start, end = map(int, fields[0].split())
        kind, correction, annotator = fields[1], fields[2], fields[5].strip()
    except (ValueError, IndexError):
        raise ValueError(
            f"{where} is no edit of M2: expected `A start end|||type|||correction|||REQUIRED|||-NONE-|||annotator`."
        ) from None
    if start == -1 or kind in ("noop", "UNK", "Um"):  # the latter two: seen, and not corrected
        return annotator, None
    if not 0 <= start <= end <= length:
        raise ValueError(f"{where} edits tokens {start} to {end} of a sentence that has {length}.")
    best = correction.split("||")[0]  # of alternatives the first
    return annotator, Change(start, end, () if best == EMPTY else tuple(best.split()))


def _row(path: Path, tokens: list[str], changes: dict[str, list[tuple[int, Change]]]) -> Row:
    annotators = sorted(changes, key=lambda name: (len(name), name)) or [""]
    corrected = [_corrected(path, tokens, changes.get(name, [])) for name in annotators]
    source = detokenized(" ".join(tokens))
    return {"src": source, "tgt": corrected if len(corrected) > 1 else corrected[0]}


def _corrected(path: Path, tokens: list[str], changes: list[tuple[int, Change]]) -> str:
    made, done = list[str](), 0
    for number, change in sorted(changes, key=lambda one: one[1][:2]):
        if change.start < done:
            raise ValueError(f"line {number} of {path} edits tokens that another edit of the same annotator has.")
        made += [*tokens[done : change.start], *change.tokens]
        done = change.end
    return detokenized(" ".join([*made, *tokens[done:]]))
