"""Rows of JSONL, JSON, CSV, TSV, Parquet and plain text; every error names the file, the place and what to do.

What a file is says its suffix, in letters of any case, and before `.gz`:

- `.jsonl`, `.ndjson`: an object a line, empty lines left out; `.json`: the same, or one list of objects;
- `.csv`, `.tsv`, `.tab`: names in the first line, which also tells what separates cells: comma, semicolon or tab
  (Excel's `sep=;` in front of it is read); quotes as CSV has them, blanks before one left out. Between tabs they are
  that only if the file has them as programs write them (`_quotes_are_letters`): whoever puts columns side by side with
  `paste` quotes nothing, and a sentence may begin with a quote. An empty line is no row, but in a file of one column it
  is an empty cell;
- `.parquet`: columns;
- any other: plain text, one sentence a line, where the caller takes that. If it looks like a table, like JSON, like
  markup (XML, HTML), or like M2, it is not plain text that came, and the answer is a question. What has no name
  (standard input, a pipe) is read as what it looks like, if that can be read.

Names of columns that are known are known in letters of any case, with or without blanks around. A name that stands
twice, among columns or in an object, is refused: one of the two would be lost. So is a row that has the names
once more, however they are written: two files were put together.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from gecalign.corpus.textfiles import check_is_text, decoded, lines, read_bytes, read_text, suffix, unnamed

Row = dict[str, object]

KINDS = {
    ".jsonl": "JSON", ".ndjson": "JSON", ".json": "JSON", ".csv": "table", ".tsv": "table", ".tab": "table",
    ".parquet": "Parquet", ".m2": "M2",
}  # fmt: skip
TABLE_SUFFIXES = frozenset(name for name, kind in KINDS.items() if kind != "M2")
SEPARATORS = (",", ";", "\t")
BAR = "|"  # of tables that are seen for what they are, and not read
LARGEST_CELL = 2**31 - 1  # a cell may hold a whole document; the limit is a C long, which has 32 bits on Windows
OFTEN = frozenset({  # what columns are called, in small letters
    "id", "_id", "truncated", "hypothesis", "source", "reference", "src", "tgt", "trg", "text", "sentence", "input",
    "output", "target", "prediction", "correction", "corrected", "original", "hyp", "ref",
})  # fmt: skip
ALWAYS = ("id", "_id", "task", "truncated")  # names that are looked for wherever they stand
LONG_NAME, MANY_NAMES = 40, 20  # characters of a name, and names, that an error shows
QUOTED = re.compile('"(?:[^"]|"")*"')
M2 = re.compile(r"^S .*\n(?:A -?\d+ -?\d+\|\|\|)", re.MULTILINE)
NOT_READ = {
    "M2": (
        "is M2: tokens and edits, no sentences. Give the sentences, one a line: sources with "
        "`grep '^S ' FILE | cut -c3-`, corrections as the tool that came with the corpus writes them, such as "
        "corr_from_m2.py of BEA-2019; then hypotheses have to be tokenised alike."
    ),
    "markup": (
        "holds markup, such as XML or HTML. Take the sentences out, one a line, for example with: "
        "sed 's/<[^>]*>//g' FILE. Where these are the sentences, write them as JSONL."
    ),
}


def read(path: Path, keys: Sequence[str], column: str | None = None) -> list[Row]:
    """Return the rows of a file.

    Args:
        keys: the names that are looked for: in errors, and to tell what separates cells.
        column: what a line of plain text is; None: plain text is not taken.

    Raises:
        ValueError: there is no such file, it is not well formed, or not what its name says; see above.
    """
    kind, raw = KINDS.get(suffix(path)), read_bytes(path)
    if kind == "Parquet" or (kind is None and unnamed(path) and raw.startswith(b"PAR1")):
        return _parquet(path, raw, keys)
    text = decoded(path, raw)
    if kind is None and (kind := looks_like(text)) and not unnamed(path) and kind not in NOT_READ:
        raise ValueError(_question(path, kind))
    if kind in NOT_READ:
        raise ValueError(f"{path} {NOT_READ[kind]}")
    if not text.strip() and (kind or column is None or not text):
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
    """Return what a text is that has no name to tell: "JSON", "markup", "table", "M2", or None for plain text."""
    start = text.lstrip("\ufeff \t\r\n")
    if M2.search(start[:100_000].replace("\r\n", "\n")):
        return "M2"
    found = lines(start)
    if start[:1] in ("[", "{", '"') and _is_json(start, found):
        return "JSON"
    if re.match("<[?!]?[a-zA-Z]", start) and start.rstrip().endswith(">"):
        return "markup"
    return "table" if _is_header(found[0]) or _are_cells(found) else None


def _are_cells(found: Sequence[str]) -> bool:
    """Return whether more than half of several lines hold a tab; not all of them, as an output may be empty."""
    filled = [line for line in found if line]
    return len(filled) > 1 and 2 * sum("\t" in line for line in filled) > len(filled)


def _is_json(text: str, found: Sequence[str]) -> bool:
    """Return whether a text holds objects, a list of anything, or several lists or strings, a line each; no more."""
    if text[0] == "{":  # which may be one over several lines
        return found[0].strip() == "{" or isinstance(_json_or_none(found[0]), dict)
    if text[0] == "[" and (text[1:].lstrip()[:1] == "{" or isinstance(_json_or_none(text), list)):
        return True
    filled = [line for line in found if line.strip()]
    return len(filled) > 1 and all(isinstance(_json_or_none(line), str | list) for line in filled)


def _json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_header(line: str) -> bool:
    for separator in (*SEPARATORS, BAR):
        cells = [cell.strip("\"' ") for cell in line.split(separator)]
        known = sum(cell.lower() in OFTEN for cell in cells)
        if known > 1 or (known and f"{separator} " not in line):  # a sentence has a blank after its comma
            return True
    return line.lower().startswith("sep=")


def _question(path: Path, kind: str) -> str:
    named = "name.csv or name.tsv, with the names of its columns in the first line"
    names = "name.jsonl" if kind == "JSON" else f"{named}, and commas, semicolons or tabs between them"
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
        many = "a number of too many digits. Write ids and the like as strings." if "digits" in str(error) else error
        raise ValueError(f"{where} has {many}") from None


def _distinct(pairs: list[tuple[str, object]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object. Remove one, or give it another name.")
    return found


def _object(where: str, found: object, keys: Sequence[str]) -> Row:
    if not isinstance(found, dict):
        hint = " A list of objects is read from a file that is called name.json." if isinstance(found, list) else ""
        raise ValueError(f"{where} is not a JSON object with the keys {', '.join(keys)}.{hint}")
    known = [_known(name, keys) for name in found]
    if twice := [name for name in known if known.count(name) > 1]:
        raise ValueError(f"{where} has the key {twice[0]!r} in two spellings. Remove one, or give it another name.")
    return dict(zip(known, found.values(), strict=True))


def _known(name: str, keys: Collection[str]) -> str:
    """Return the name of a column as it is known, whatever its letters' case, or else as it stands without blanks."""
    plain = name.strip().lstrip("\ufeff")  # a second byte order mark
    return {key.lower(): key for key in (*keys, *ALWAYS)}.get(plain.lower(), plain)


def shown(names: Iterable[str]) -> str:
    """Return names of columns for an error: each cut where it is long, as where a sentence stands for a name."""
    some = list(names)
    listed = [name if len(name) <= LONG_NAME else f"{name[:LONG_NAME]}..." for name in some[:MANY_NAMES]]
    return ", ".join(listed) + (f" and {len(some) - MANY_NAMES} more" if len(some) > MANY_NAMES else "")


def _table(path: Path, text: str, keys: Sequence[str]) -> list[Row]:
    csv.field_size_limit(LARGEST_CELL)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    found = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]  # carriage returns stay: a cell may hold some
    declared = re.fullmatch(r"sep=(.)\s*", found[0], re.IGNORECASE)
    separator = declared[1] if declared else _separator(path, found[0], {*keys, *OFTEN})
    body = found[1:] if declared else found
    letters = _quotes_are_letters(body, separator)
    if separator == "\t" and letters:
        reader = csv.reader(body, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(body, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = list(_cells(path, reader, keys))
    except csv.Error as error:
        raise ValueError(
            f"the row that ends in line {reader.line_num + bool(declared)} of {path} is not CSV: {error}. A cell that "
            f"holds {_NAMES.get(separator, separator)}, a quote or a line end must stand in quotes, and a quote inside "
            'it twice: "He said ""yes"", then left."'
        ) from None
    over_lines = (number for number, row in enumerate(rows, start=1) if any("\n" in str(cell) for cell in row.values()))
    if separator != "\t" and letters and separator in body[0] and (number := next(over_lines, 0)):
        raise ValueError(
            f"row {number} of {path} has a cell that goes on in the next line, where each line has as many cells as "
            "the first. Does a quote begin its sentence, and not the cell? Put the cell in quotes, and its own quotes "
            'twice: """Yes"", he said."'
        )
    return rows


def _quotes_are_letters(found: Sequence[str], separator: str) -> bool:
    """Return whether quotes in a table with tabs are letters: each line is a row, and no program writes them so.

    Programs put a cell in quotes where it holds a tab, a line end or a quote, which then stands twice; some do it to
    every cell of a column, Excel to every cell with a comma.
    """
    rows = [line.rstrip("\r\n").split(separator) for line in found if line.strip("\r\n")]
    if len({len(row) for row in rows}) != 1:
        return False  # a cell that holds a tab or a line end
    return any('"' in "".join(column) and not _as_programs_quote(*column) for column in zip(*rows, strict=True))


def _as_programs_quote(name: str, *cells: str) -> bool:
    quoted = [cell for cell in cells if QUOTED.fullmatch(cell)]
    others = [cell for cell in cells if cell and not QUOTED.fullmatch(cell)]
    if any('"' in cell for cell in others) or ('"' in name and not QUOTED.fullmatch(name)):
        return False
    needless = [cell for cell in quoted if '""' not in cell and "\r" not in cell]
    commas = all("," in cell for cell in needless) and not any("," in cell for cell in others)
    return not needless or not others or commas


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def _separator(path: Path, first: str, known: Collection[str]) -> str:
    """Return what separates the names in the first line: what gives most names that are known, or else most names."""

    def names(separator: str) -> tuple[int, int]:
        cells = first.rstrip("\r\n").split(separator)
        return sum(cell.strip(' "').lower() in known for cell in cells), len(cells)

    usual = "," if suffix(path) == ".csv" else "\t"
    return max((usual, *SEPARATORS), key=names)  # of equals the first


def _cells(path: Path, reader: Iterator[list[str]], keys: Sequence[str]) -> Iterator[Row]:
    first = next((cells for cells in reader if cells), [])
    names = [_known(name, keys) for name in first]
    are_names = bool(set(keys) & set(names))  # else the caller says what is missing
    if are_names:
        _check_distinct(path, names)
    for cells in reader:
        if len(names) == 1 and not cells:
            cells = [""]
        if cells and len(cells) != len(names):
            raise csv.Error(f"it should have {len(names)} cells, as the first line has")
        if are_names and cells[:1] and _known(cells[0], keys) in names and {*names} == {_known(c, keys) for c in cells}:
            raise ValueError(f"{path} has the names of its columns a second time. Were two files put together? Remove "
                             "that line.")  # fmt: skip
        if cells:
            yield dict(zip(names, cells, strict=True))


def _parquet(path: Path, raw: bytes, keys: Sequence[str]) -> list[Row]:
    import pyarrow.parquet

    if not raw.startswith(b"PAR1"):
        check_is_text(f"{path}", raw, path)  # which knows what else it may be
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(raw))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or a damaged one: {str(error).rstrip('.')}.") from None
    names = [_known(name, keys) for name in table.column_names]
    _check_distinct(path, names)
    return table.rename_columns(names).to_pylist()


def _check_distinct(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"{path} has two columns called {twice[0]!r}. Remove one, or give it another name.")
