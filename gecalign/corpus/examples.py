"""One sentence of a corpus with its correction, the file it is stored in, and a corpus of such.

Examples are stored one JSON object a line (JSONL, UTF-8), in a fixed key order: the same examples
give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gecalign.corpus.edits import Edit
from gecalign.corpus.texts import Reference, as_reference


@dataclass(frozen=True, slots=True)
class Example:
    """A source sentence, what it should be, and what a model is shown as its correction.

    Attributes:
        id: unique within a corpus.
        source: the sentence as it was written.
        reference: its correction, which hypotheses are judged against; or several, by several people.
        demonstration: the correction that SFT learns from. It equals `reference` (the first) unless the
            annotator who wrote the demonstrations overlooked errors.
        edits: the typed edits that turn `source` into `reference`; None where nobody recorded them.
    """

    id: str
    source: str
    reference: Reference
    demonstration: str
    edits: tuple[Edit, ...] | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Examples by split, and how many rows were dropped for which reason.

    SFT learns from `train`; preference pairs and rewards ask about `preference`, which SFT has never seen (chapter
    3). `validation` holds the rows that the corpus itself sets apart, where it does: a second test set.
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    preference: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def cleaned(text: str) -> str:
    """Return a text as every example has it: on one line, white space of any kind as one blank, none at its ends.

    A byte order mark in front, which belongs to a file and not to the text, is removed. (Within a text U+FEFF stays.)

    >>> cleaned("\\ufeff She go\\r\\nhome.\\n")
    'She go home.'
    """
    # of any kind: line ends of any system included
    return re.sub(r"\s+", " ", text.lstrip("\ufeff")).strip()


def read_jsonl(path: Path) -> tuple[Example, ...]:
    """Read examples that were written as JSONL."""
    with path.open(encoding="utf-8") as file:
        return tuple(_example(json.loads(line)) for line in file)


def _example(row: dict) -> Example:
    edits = row.pop("edits")
    row["reference"] = as_reference(row["reference"])
    return Example(**row, edits=None if edits is None else tuple(Edit(**edit) for edit in edits))
