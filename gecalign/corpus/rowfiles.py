"""Rows of JSONL, JSON, CSV, TSV, Parquet and plain text; every error names the file, the place and what to do.

What a file is says its suffix, in letters of any case, and before `.gz`:

- `.jsonl`, `.ndjson`: an object a line, empty lines left out; `.json`: the same, or one list of objects;
- `.csv`, `.tsv`, `.tab`: names in the first line, which also tells what separates cells: comma, semicolon or tab
  (Excel's `sep=;` in front of it is read); quotes as CSV has them. An empty line is no row, but in a file of one column
  it is an empty cell;
- `.parquet`: columns;
- any other: plain text, one sentence a line, where the caller takes that. If it looks like a table, like JSON, or like
  M2, it is not plain text that came, and the answer is a question. What has no name (standard input, a pipe) is
  read as what it looks like.

A name that stands twice, among columns or in an object, is refused: one of the two would be lost.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from gecalign.corpus.textfiles import lines, read_text, suffix, unnamed

Row = dict[str, object]

KINDS = {
    ".jsonl": "JSON", ".ndjson": "JSON", ".json": "JSON", ".csv": "table", ".tsv": "table", ".tab": "table",
    ".parquet": "Parquet", ".m2": "M2",
}  # fmt: skip
TABLE_SUFFIXES = frozenset(name for name, kind in KINDS.items() if kind != "M2")
SEPARATORS = (",", ";", "\t")
LARGEST_CELL = 2**31 - 1  # a cell may hold a whole document; the limit is a C long, which has 32 bits on Windows
OFTEN = frozenset({  # what columns are called, in small letters
    "id", "_id", "truncated", "hypothesis", "source", "reference", "src", "tgt", "trg", "text", "sentence", "input",
    "output", "target", "prediction", "correction", "corrected", "original", "hyp", "ref",
})  # fmt: skip
M2 = re.compile(r"^S .*\n(?:A -?\d+ -?\d+\|\|\|)", re.MULTILINE)
ABOUT_M2 = (
    "{} is M2: tokens and edits, no sentences. Give the sentences, one a line: sources with "
    "`grep '^S ' FILE | cut -c3-`, corrections as the tool that came with the corpus writes them, such as "
    "corr_from_m2.py of BEA-2019; then hypotheses have to be tokenised alike."
)


def read(path: Path, keys: Sequence[str], column: str | None = None) -> list[Row]:
    """Return the rows of a file.

    Args:
        keys: the names that are looked for: in errors, and to tell what separates cells.
        column: what a line of plain text is; None: plain text is not taken.

    Raises:
        ValueError: there is no such file, it is not well formed, or not what its name says; see above.
    """
    kind = KINDS.get(suffix(path))
    if kind == "Parquet":
        return _parquet(path)
    text = read_text(path)
    if kind is None and (kind := looks_like(text)) and not unnamed(path) and kind != "M2":
        raise ValueError(_question(path, kind))
    if kind == "M2":
        raise ValueError(ABOUT_M2.format(path))
    if not text.strip():
        return []
    if kind is None and column is None:
        raise ValueError(f"{path} is of no kind that can be read. Kinds: {', '.join(sorted(TABLE_SUFFIXES))}.")
    readers = {"JSON": _json, "table": _table}
    return readers[kind](path, text, keys) if kind else [{column or "": line} for line in lines(text)]


def read_table(path: Path, keys: Sequence[str]) -> list[Row]:
    """Return the rows of a file that is a table whatever its name says; raises what `read` does."""
    text = read_text(path)
    return _table(path, text, keys) if text.strip() else []


def looks_like(text: str) -> str | None:
    """Return what a text is that has no name to tell: "JSON", "table", "M2", or None for plain text."""
    start = text.lstrip("\ufeff \t\r\n")
    if M2.search(start[:100_000].replace("\r\n", "\n")):
        return "M2"
    found = lines(start)
    if (start[:1] == "[" and start[1:].lstrip()[:1] == "{") or (start[:1] == "{" and _is_object(found[0])):
        return "JSON"
    tabs = {line.count("\t") for line in found if line}
    same_tabs = len(found) > 1 and len(tabs) == 1 and tabs != {0}
    return "table" if _is_header(found[0]) or same_tabs else None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return line.strip() == "{"  # an object over several lines


def _is_header(line: str) -> bool:
    for separator in SEPARATORS:
        cells = [cell.strip("\"' ") for cell in line.split(separator)]
        known = sum(cell.lower() in OFTEN for cell in cells)
        if known > 1 or (known and f"{separator} " not in line):  # a sentence has a blank after its comma
            return True
    return line.lower().startswith("sep=")


def _question(path: Path, kind: str) -> str:
    names = "name.jsonl" if kind == "JSON" else "name.csv or name.tsv, with the names of its columns in the first line"
    what = "holds JSON" if kind == "JSON" else "looks like a table"
    return (
        f"{path} {what}, but by its name it is plain text, a sentence a line. Call it {names}; for one column of a "
        "table: cut -f2 FILE. Where these are the sentences, write them as JSONL."
    )


def _json(path: Path, text: str, keys: Sequence[str]) -> list[Row]:
    if text.lstrip()[:1] == "[" and (suffix(path) == ".json" or unnamed(path)):
        found = _parsed(f"{path}", text, "It must be a list of objects, or an object a line.")
        return [_object(f"element {number} of {path}", one, keys) for number, one in enumerate(found, start=1)]
    rows = []
    for number, line in enumerate(lines(text), start=1):
        if line.strip():
            where = f"line {number} of {path}"
            rows.append(_object(where, _parsed(where, line, "Each line must be an object."), keys))
    return rows


def _parsed(where: str, text: str, expected: str) -> list:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}. {expected}") from None
    except ValueError as error:
        raise ValueError(f"{where} has {error}") from None


def _distinct(pairs: list[tuple[str, object]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object. Remove one, or give it another name.")
    return found


def _object(where: str, found: object, keys: Sequence[str]) -> Row:
    if not isinstance(found, dict):
        raise ValueError(f"{where} is not a JSON object with the keys {', '.join(keys)}.")
    return found


def _table(path: Path, text: str, keys: Sequence[str]) -> list[Row]:
    csv.field_size_limit(LARGEST_CELL)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    found = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]  # carriage returns stay: a cell may hold some
    declared = re.fullmatch(r"sep=(.)\s*", found[0], re.IGNORECASE)
    separator = declared[1] if declared else _separator(path, found[0], {*keys, *OFTEN})
    reader = csv.reader(itertools.islice(found, 1 if declared else 0, None), delimiter=separator, strict=True)
    try:
        return list(_cells(path, reader, keys))
    except csv.Error as error:
        raise ValueError(
            f"the row that ends in line {reader.line_num + bool(declared)} of {path} is not CSV: {error}. A cell that "
            f"holds {_NAMES.get(separator, separator)}, a quote or a line end must stand in quotes, and a quote inside "
            'it twice: "He said ""yes"", then left."'
        ) from None


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def _separator(path: Path, first: str, known: Collection[str]) -> str:
    """Return what separates the names in the first line: what gives most names that are known, or else most names."""

    def names(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=separator), [])
        return sum(cell.strip() in known for cell in cells), len(cells)

    usual = "," if suffix(path) == ".csv" else "\t"
    return max((usual, *SEPARATORS), key=names)  # of equals the first


def _cells(path: Path, reader: Iterator[list[str]], keys: Sequence[str]) -> Iterator[Row]:
    names = [name.strip() for name in next((cells for cells in reader if cells), [])]
    if set(keys) & set(names):  # else these are no names, and the caller says so
        _check_distinct(path, names)
    for cells in reader:
        if len(names) == 1 and not cells:
            cells = [""]
        if cells and len(cells) != len(names):
            raise csv.Error(f"it should have {len(names)} cells, as the first line has")
        if cells:
            yield dict(zip(names, cells, strict=True))


def _parquet(path: Path) -> list[Row]:
    import pyarrow.parquet

    if not path.exists() or path.is_dir():
        raise ValueError(f"there is no file {path}.")
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file: {error}.") from None
    _check_distinct(path, table.column_names)
    return table.to_pylist()


def _check_distinct(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"{path} has two columns called {twice[0]!r}. Remove one, or give it another name.")
