"""Two annotators who correct the same sentence: one corrects every error, the other misses some.

The careful annotator's edits make the references, against which everything is judged. The hasty
annotator's edits make demonstrations that are worse than the judgements, as real demonstrations are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from gecalign.corpus.edits import Edit
from gecalign.corpus.tinygec.chance import happens
from gecalign.corpus.tinygec.errors.model import TYPES

Miss = float | Mapping[str, float]


def careful(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return every edit: the complete correction."""
    return tuple(edits)


def hasty(edits: Sequence[Edit], rng: Random, miss: Miss) -> tuple[Edit, ...]:
    """Return the edits that a hasty annotator makes; the others stay as errors in the sentence.

    `miss` is the probability (0-1) of leaving an edit out: one for all types, or one a type; a type
    that is not named is never missed. One number is drawn for each edit whatever `miss` is, so that a
    higher `miss` only takes edits away.

    >>> hasty([Edit(4, 6, "goes", "VERB:SVA")], Random(0), miss={"VERB:SVA": 1.0})
    ()

    Raises:
        ValueError: a probability lies outside 0-1, or a type is none of TinyGEC's.
    """
    check_miss(miss)
    return tuple(edit for edit in edits if not happens(rng, _probability(edit.type, miss)))


def check_miss(miss: Miss) -> None:
    """Raise ValueError unless `miss` is a probability, or a mapping from error types to probabilities."""
    by_type = miss if isinstance(miss, Mapping) else {"every type": miss}
    unknown = sorted(by_type.keys() - TYPES) if isinstance(miss, Mapping) else []
    if unknown:
        raise ValueError(f"miss names the unknown error types {unknown}. Choose from {sorted(TYPES)}.")
    for error_type, probability in by_type.items():
        if not 0 <= probability <= 1:
            raise ValueError(f"miss must be a probability between 0 and 1, and for {error_type} is {probability}.")


def _probability(error_type: str, miss: Miss) -> float:
    return miss.get(error_type, 0.0) if isinstance(miss, Mapping) else miss
