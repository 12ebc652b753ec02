"""Rows of JSONL and CSV files; every error names the file, the line and what to do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

Row = dict[str, object]
LARGEST_CELL = 2**31 - 1  # a cell may hold a whole document; the limit is a C long, which has 32 bits on Windows


def read_utf8(path: Path) -> str:
    """Return the text of a file, without a byte order mark, every line end as a line feed.

    Raises:
        ValueError: there is no such file, or it is not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}. Convert it, for "
            f"example with: iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}"
        ) from None


def json_rows(path: Path, keys: str) -> list[Row]:
    """Return the objects of a JSONL file, blank lines left out; `keys` says in errors what they should hold."""
    # not splitlines: in a sentence there may be separators that it takes for line ends, such as U+2028
    lines = enumerate(read_utf8(path).split("\n"), start=1)
    return [_json_row(path, number, line, keys) for number, line in lines if line.strip()]


def _json_row(path: Path, number: int, line: str, keys: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} of {path} is not JSON: {error}. Each line must be an object.") from None
    if not isinstance(row, dict):
        raise ValueError(f"line {number} of {path} is not a JSON object with the keys {keys}.")
    return row


def csv_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file under the names in its first line."""
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.DictReader(io.StringIO(read_utf8(path)), strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise csv.Error(f"it should have {len(reader.fieldnames or ())} cells, as the first line has")
            rows.append(row)
    except csv.Error as error:
        raise ValueError(
            f"the row that ends in line {reader.line_num} of {path} is not CSV: {error}. A cell that holds a comma, "
            'a quote or a line end must stand in quotes, and a quote inside it twice: "He said ""yes"", then left."'
        ) from None
    return rows
