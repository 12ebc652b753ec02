"""Typed corrections of a sentence: the unit in which grammatical errors are counted.

An `Edit` says which characters of the source to replace by what. The types are ERRANT's
(Bryant et al. 2017, https://aclanthology.org/P17-1074), without the prefix that tells missing,
unnecessary and replaced words apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `source[start:end]` by `replacement`; offsets count characters of the source."""

    start: int
    end: int
    replacement: str
    type: str


def apply_edits(source: str, edits: Sequence[Edit]) -> str:
    """Return `source` with every edit applied.

    >>> apply_edits("She go home.", [Edit(4, 6, "goes", "VERB:SVA")])
    'She goes home.'

    Raises:
        ValueError: two edits overlap, or one reaches outside the source.
    """
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if not position <= edit.start <= edit.end <= len(source):
            raise ValueError(
                f"edit {edit} does not fit: the source has {len(source)} characters and the edits before it "
                f"end at {position}. Edits must lie inside the source and must not overlap."
            )
        pieces += [source[position : edit.start], edit.replacement]
        position = edit.end
    return "".join(pieces) + source[position:]
