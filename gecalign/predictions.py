"""What a system wrote, one `Prediction` a sentence, and the files that hold such texts.

Our own files are JSONL with the keys of `Prediction`. `read_parallel` also takes what others have: CSV with
such columns, or plain text with one sentence a line, for hypotheses, sources and references alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gecalign.textfiles import Row, csv_rows, json_rows, read_utf8

COLUMNS = ("hypothesis", "source", "reference")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a system made of one example. `tokens` counts what was generated, EOS included."""

    id: str
    source: str
    reference: str
    hypothesis: str
    tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ParallelTexts:
    """Texts in the same order; `references` has the references of each sentence."""

    hypotheses: list[str]
    sources: list[str]
    references: list[tuple[str, ...]]
    truncated: list[bool] | None


def write(predictions: Sequence[Prediction], path: Path) -> None:
    """Write predictions as JSONL."""
    lines = [json.dumps(asdict(prediction), ensure_ascii=False) + "\n" for prediction in predictions]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read(path: Path) -> tuple[Prediction, ...]:
    """Read what `write` wrote."""
    with path.open(encoding="utf-8") as file:
        return tuple(Prediction(**json.loads(line)) for line in file)


def read_parallel(hypotheses: Path, sources: Path | None, references: Sequence[Path]) -> ParallelTexts:
    """Read hypotheses, sources and references; the last two may stand in the file of the hypotheses.

    Raises:
        ValueError: a file is missing, empty, not UTF-8 or malformed, lacks the column, repeats an id, has
            another number of sentences than the others, or an empty source or reference.
    """
    rows = read_rows(hypotheses, "hypothesis")
    source_rows = read_rows(sources, "source") if sources else rows
    reference_rows = [read_rows(path, "reference") for path in references] or [rows]
    for path, others in ((sources, source_rows), *zip(references, reference_rows, strict=False)):
        _check_aligned(hypotheses, rows, path or hypotheses, others)
    column = [
        _column(found, "reference", path)
        for found, path in zip(reference_rows, references or [hypotheses], strict=True)
    ]
    return ParallelTexts(
        hypotheses=_column(rows, "hypothesis", hypotheses),
        sources=_column(source_rows, "source", sources or hypotheses),
        references=list(zip(*column, strict=True)),
        truncated=[bool(row["truncated"]) for row in rows] if all("truncated" in row for row in rows) else None,
    )


def read_rows(path: Path, column: str) -> list[Row]:
    """Read a file as rows; in plain text, each line is a row with `column` alone."""
    if not read_utf8(path).strip():
        raise ValueError(f"{path} is empty: it should hold one sentence a line, or JSONL or CSV rows.")
    rows = _parse(path, column)
    ids = Counter(str(row["id"]) for row in rows if "id" in row)
    if repeated := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"{path} has the id {repeated[0]!r} {ids[repeated[0]]} times; ids must be unique.")
    return rows


def _parse(path: Path, column: str) -> list[Row]:
    if path.suffix == ".csv":
        return csv_rows(path)
    if path.suffix in (".jsonl", ".json"):
        return json_rows(path, ", ".join(COLUMNS))
    return [{column: line} for line in read_utf8(path).removesuffix("\n").split("\n")]


def _check_aligned(first: Path, rows: Sequence[dict], second: Path, others: Sequence[dict]) -> None:
    if len(rows) != len(others):
        raise ValueError(
            f"{first} has {len(rows)} sentences and {second} has {len(others)}: they must be parallel, in the same "
            "order. Check that no line was dropped, and that an empty output is still an empty line."
        )
    for number, (row, other) in enumerate(zip(rows, others, strict=True), start=1):
        if "id" in row and "id" in other and str(row["id"]) != str(other["id"]):
            raise ValueError(f"row {number} is {row['id']!r} in {first}, but {other['id']!r} in {second}.")


def _column(rows: Sequence[Row], column: str, path: Path) -> list[str]:
    if not rows:
        raise ValueError(f"{path} holds no row.")
    for number, row in enumerate(rows, start=1):
        if column not in row:
            hint = "" if column == "hypothesis" else f" Give the file that has it: --{column}s FILE."
            raise ValueError(f"row {number} of {path} has no {column!r}; its columns: {', '.join(row)}.{hint}")
        if not isinstance(row[column], str):
            raise ValueError(f"row {number} of {path} has {row[column]!r} as its {column}; expected a string.")
        if column != "hypothesis" and not str(row[column]).strip():
            raise ValueError(f"row {number} of {path} has an empty {column}. Remove the sentence from all files.")
    return [str(row[column]) for row in rows]
