"""What `report.build` takes, and how it is read from files: what systems are called, and that they fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gecalign.corpus.textfiles import stem, unnamed
from gecalign.corpus.texts import References
from gecalign.metrics.predictions import Table, check_aligned, check_read_once, parallel, read_table, same_cell
from gecalign.report import markup
from gecalign.systems import LABELS

COPY = LABELS["copy"]  # the control that is always there: a system that does nothing


@dataclass(frozen=True)
class Inputs:
    """Outputs of systems on the same sentences, a string a sentence."""

    systems: Mapping[str, Sequence[str]]  # by name
    sources: Sequence[str]
    references: References  # a string per sentence, or several
    truncated: Mapping[str, Sequence[bool]] = field(default_factory=dict)  # of the systems that tell: cut off, or not
    notes: Sequence[str] = ()  # what was changed in the texts, and what looks wrong with them, in sentences


def named(files: Sequence[Path]) -> dict[str, Path]:
    """Return files by names of systems: their stems, with as much of the folder as it takes to tell them apart.

    Raises:
        ValueError: fewer than two files, or one of them twice.
    """
    if len(files) < 2:
        raise ValueError(f"compare takes two or more files, and {len(files)} came. For one: gecalign score FILE.")
    real = [path if unnamed(path) else path.resolve() for path in files]
    if twice := [path for path, found in zip(files, real, strict=True) if real.count(found) > 1]:
        raise ValueError(f"{twice[-1]} is given twice: a system cannot be compared with itself.")
    for name in (stem, lambda p: f"{p.parent.name}/{stem(p)}", lambda p: f"{p.parent.name}/{p.name}", str):
        names = [markup.visible(name(path)) for path in real]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, files, strict=True))


def find(name: str, files: Mapping[str, Path]) -> str:
    """Return which of the named files is meant by its name, its file name or its path; `COPY` is always there.

    Raises:
        ValueError: none of them, or more than one.
    """
    found = [one for one, path in files.items() if name in (one, path.name, str(path))]
    if len(found) > 1:
        raise ValueError(f"--baseline {name!r} may be any of {len(found)} systems. Give its name: {', '.join(found)}.")
    if not found and name != COPY:
        raise ValueError(f"--baseline {name!r} is none of the systems: {', '.join([*files, COPY])}.")
    return found[0] if found else COPY


def read(files: Mapping[str, Path], sources: Path | None, references: Sequence[Path]) -> Inputs:
    """Read what systems wrote, by their names; sources and references may stand in their files.

    Raises:
        ValueError: whatever `predictions.read_parallel` raises, or the files are not of the same sentences in the same
            order, as far as the ids, sources and references in them tell.
    """
    check_read_once([*files.values(), *([sources] if sources else []), *references])
    tables = {name: read_table(path, "hypothesis") for name, path in files.items()}
    first, *others = tables.values()
    keys = ["id", *([] if sources else ["source"]), *([] if references else ["reference"])]
    for other in others:
        _check_same(first, other, keys)
    given = read_table(sources, "source") if sources else None
    corrections = [read_table(path, "reference") for path in references]
    check_aligned([*tables.values(), *([given] if given else []), *corrections])
    texts = {name: parallel(table, given, corrections) for name, table in tables.items()}
    one = next(iter(texts.values()))
    return Inputs(
        systems={name: found.hypotheses for name, found in texts.items()},
        sources=one.sources,
        references=one.references,
        truncated={name: found.truncated for name, found in texts.items() if found.truncated is not None},
        notes=_told_apart({name: found.notes for name, found in texts.items()}),
    )


def _told_apart(notes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what is said of several systems once, and before what is said of the hypotheses of one whose they are."""
    lines = [f"{name}: {note}" if note.startswith("hypotheses ") else note for name, said in notes.items()
             for note in said]  # fmt: skip
    return tuple(dict.fromkeys(lines))


def _check_same(first: Table, second: Table, keys: Sequence[str]) -> None:
    if len(first.rows) != len(second.rows):
        raise ValueError(
            f"{first.path} has {len(first.rows)} sentences and {second.path} has {len(second.rows)}: they must be of "
            "the same sentences, in the same order. Check that no line was dropped, and that an empty output is still "
            "an empty line."
        )
    for number, (row, other) in enumerate(zip(first.rows, second.rows, strict=True), start=1):
        for key in keys:
            if key in row and key in other and not same_cell(key, row[key], other[key]):
                raise ValueError(
                    f"row {number} has the {key} {str(row[key])!r} in {first.path}, but {str(other[key])!r} in "
                    f"{second.path}: they must be of the same sentences, in the same order."
                )
