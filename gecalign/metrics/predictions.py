"""What a system wrote, one `Prediction` a sentence, and the files that hold such texts.

Our own files are JSONL with the keys of `Prediction`. `read_parallel` also takes what others have: tables with such
columns, or plain text with one sentence a line, for hypotheses, sources and references alike (`corpus.rowfiles` says
how a file is read, `gecalign.corpus.cells` an id and a flag, `gecalign.corpus.sentences` a sentence).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gecalign.corpus import cells, rowfiles, sentences
from gecalign.corpus.rowfiles import Row
from gecalign.corpus.textfiles import unnamed
from gecalign.corpus.texts import Reference, as_reference

SHOWN = 200  # characters of a cell that is no text
COLUMNS = ("hypothesis", "source", "reference")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a system made of one example. `tokens` counts what was generated, EOS included."""

    id: str
    source: str
    reference: Reference
    hypothesis: str
    tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file, and the file."""

    path: Path
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class ParallelTexts:
    """Texts in the same order; `references` has the references of each sentence."""

    hypotheses: list[str]
    sources: list[str]
    references: list[tuple[str, ...]]
    truncated: list[bool] | None
    notes: tuple[str, ...] = ()  # what was changed in the texts, and what looks wrong with them, in sentences


def read(path: Path) -> tuple[Prediction, ...]:
    """Read predictions that were written as JSONL."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return tuple(Prediction(**row | {"reference": as_reference(row["reference"])}) for row in rows)


def read_parallel(hypotheses: Path, sources: Path | None, references: Sequence[Path]) -> ParallelTexts:
    """Read hypotheses, sources and references; the last two may stand in the file of the hypotheses.

    Raises:
        ValueError: a file is missing, empty, of another kind than it says, in another encoding or malformed, lacks the
            column, repeats an id, has another number of sentences than the others, a flag that is none, half of a
            character, or an empty source or reference.
    """
    check_read_once([hypotheses, *([sources] if sources else []), *references])
    return parallel(
        read_table(hypotheses, "hypothesis"),
        read_table(sources, "source") if sources else None,
        [read_table(path, "reference") for path in references],
    )


def parallel(hypotheses: Table, sources: Table | None, references: Sequence[Table]) -> ParallelTexts:
    """Return the texts of tables that are read; raises what `read_parallel` does."""
    original = sources or hypotheses
    check_aligned([hypotheses, original, *references])
    for other in (hypotheses, *references):
        _check_sources(other, original)
    notes: list[str] = []
    columns = {
        "hypotheses": _texts(hypotheses, "hypothesis", notes),
        "sources": _texts(original, "source", notes),
        **{f"references{f' {number}' if number > 1 else ''}": _texts(table, "reference", notes)
           for number, table in enumerate(references or [hypotheses], start=1)},
    }  # fmt: skip
    found, asked, *corrections = columns.values()
    return ParallelTexts(
        hypotheses=found,
        sources=asked,
        references=list(zip(*corrections, strict=True)),
        truncated=_flags(hypotheses),
        notes=(
            *notes, *sentences.around(found, [asked, *corrections], f"{hypotheses.path}, hypothesis"),
            *sentences.unlike_tokens(columns), *sentences.unchanged(asked, corrections[0]),
        ),
    )  # fmt: skip


def read_table(path: Path, column: str) -> Table:
    """Read a file as rows; in plain text, each line is a row with `column` alone."""
    rows = [_with_id(row) for row in rowfiles.read(path, COLUMNS, column)]
    if not rows:
        raise ValueError(f"{path} is empty or holds no row: it should hold one sentence a line, or JSONL or CSV rows.")
    ids = Counter(name for row in rows if (name := _id(row)) is not None)
    if repeated := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"{path} has the id {repeated[0]!r} {ids[repeated[0]]} times; ids must be unique.")
    return Table(path, rows)


def check_read_once(paths: Sequence[Path]) -> None:
    """Raise `ValueError` where standard input or one pipe is asked for twice: it can be read only once."""
    names = ["standard input" if str(path) in ("-", "/dev/stdin", "/dev/fd/0") else str(path) for path in paths
             if unnamed(path) and str(path) != "/dev/null"]  # fmt: skip
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} can be read only once, and is given {names.count(twice[0])} times. Use files.")


def same_cell(key: str, one: object, other: object) -> bool:
    """Return whether two cells say the same: ids up to how they are written (a missing one says nothing), or texts."""
    if key == "id":
        names = cells.identity(one), cells.identity(other)
        return None in names or names[0] == names[1]
    return sentences.normal(str(one)) == sentences.normal(str(other))


def _with_id(row: Row) -> Row:
    return {"id": row["_id"], **row} if "_id" in row and "id" not in row else row  # as data sets of the hub call it


def _id(row: Row) -> str | None:
    return cells.identity(row["id"]) if "id" in row else None


def _flags(table: Table) -> list[bool] | None:
    has = ["truncated" in row for row in table.rows]
    if not any(has):
        return None
    if not all(has):
        raise ValueError(
            f"row {has.index(False) + 1} of {table.path} has no 'truncated', and row {has.index(True) + 1} has: "
            "expected it in every row or in none."
        )
    return [
        cells.flag(row["truncated"], f"row {number} of {table.path} has as truncated")
        for number, row in enumerate(table.rows, start=1)
    ]


def check_aligned(tables: Sequence[Table]) -> None:
    """Raise `ValueError` where tables have other numbers of rows, or any two of them another id in a row."""
    first = tables[0]
    for other in tables[1:]:
        if len(first.rows) != len(other.rows):
            raise ValueError(
                f"{first.path} has {len(first.rows)} sentences and {other.path} has {len(other.rows)}: they must be "
                "parallel, in the same order. Check that no line was dropped, and that an empty output is still an "
                f"empty line.{_empty_end(first, other)}"
            )
    for number, rows in enumerate(zip(*(table.rows for table in tables), strict=True), start=1):
        known = [(name, table.path) for row, table in zip(rows, tables, strict=True) if (name := _id(row)) is not None]
        if others := [(name, path) for name, path in known if name != known[0][0]]:
            (one, path), (same, second) = known[0], others[0]
            raise ValueError(
                f"row {number} is {one!r} in {path}, but {same!r} in {second}: they must be of the same "
                "sentences, in the same order."
            )


def _empty_end(*tables: Table) -> str:
    longer = max(tables, key=lambda table: len(table.rows))
    empty = not any(str(cell).strip() for cell in longer.rows[-1].values())
    return f" The last line of {longer.path} is an empty one." if empty else ""


def _check_sources(table: Table, given: Table) -> None:
    """Raise `ValueError` where a table has sources of its own, and they are others than those that were given."""
    for number, (row, other) in enumerate(zip(table.rows, given.rows, strict=True), start=1):
        own, wanted = row.get("source"), other.get("source")
        if isinstance(own, str) and isinstance(wanted, str) and own.strip() and not same_cell("source", own, wanted):
            raise ValueError(
                f"row {number} of {table.path} has the source {own[:SHOWN]!r}, but {given.path} {wanted[:SHOWN]!r}: "
                f"they must be of the same sentences, in the same order. Where those of {given.path} are meant, only "
                f"written in another way, take the column source out of {table.path}."
            )


def _texts(table: Table, column: str, notes: list[str]) -> list[str]:
    found = [_text(row, column, f"row {number} of {table.path}") for number, row in enumerate(table.rows, start=1)]
    tidied, said = sentences.tidied(found, f"{table.path}, {column}")
    if column != "hypothesis" and "" in tidied:
        row = tidied.index("") + 1
        raise ValueError(f"row {row} of {table.path} has an empty {column}. Remove the sentence from all files.")
    notes += said
    return tidied


def _text(row: Row, column: str, where: str) -> str:
    if column not in row:
        hint = "" if column == "hypothesis" else f" Give the file that has it: --{column}s FILE."
        raise ValueError(f"{where} has no {column!r}; its columns: {rowfiles.shown(row)}.{hint}")
    text = row[column]
    if not isinstance(text, str):
        shown = repr(text)[:SHOWN]
        several = " Several references stand in a file each." if isinstance(text, list) else ""
        empty = " An output without any text is the empty string." if column == "hypothesis" else ""
        raise ValueError(f"{where} has {shown} as its {column}; expected a string.{empty or several}")
    if half := sentences.half_of_a_character(text):
        raise ValueError(
            f"{where} has {half!r} in its {column}, half of a character, which no file can hold. The text was cut "
            "in the middle of a character: write it again, or remove that half."
        )
    return text
