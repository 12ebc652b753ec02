from types import SimpleNamespace

import pytest

from gecalign import metrics
from gecalign.corpus.edits import Edit
from gecalign.corpus.examples import Example
from gecalign.study import tables

SOURCES = ["She go home now .", "He likes a tea very much .", "We are here today ."]
REFERENCES = ["She goes home now .", "He likes tea very much .", "We are here today ."]
EDITS = [(Edit(4, 6, "goes", "VERB:SVA"),), (Edit(9, 11, "", "DET"),), ()]


def evaluation(system: str, hypotheses: list[str]) -> SimpleNamespace:
    return SimpleNamespace(
        system=system,
        hypotheses=hypotheses,
        references=REFERENCES,
        sources=SOURCES,
        scores=metrics.evaluate(hypotheses, REFERENCES, SOURCES),
    )


COPY, PERFECT = evaluation("copy", SOURCES), evaluation("sft", REFERENCES)


def test_results_name_the_systems_as_readers_know_them_in_the_order_given():
    assert list(tables.results([COPY, PERFECT]).index) == ["copy the input", "SFT"]


def test_results_show_the_corpus_scores_of_the_metrics():
    table = tables.results([COPY, PERFECT])
    assert table.loc["SFT", "BLEU"] == "100.0"
    assert table.loc["copy the input", "BLEU"] == f"{metrics.bleu.corpus(SOURCES, REFERENCES).value:.1f}"
    assert table.loc["copy the input", "edit F0.5"] == "0.0"


def test_the_interval_contains_the_estimate():
    bounds = tables.bleu_intervals([COPY])["copy the input"]
    assert bounds.low <= bounds.estimate <= bounds.high


def test_behaviour_is_in_per_cent_and_blank_where_it_is_not_known():
    table = tables.behaviour([COPY])
    assert table.loc["copy the input", "copied"] == "100.0 %"
    assert table.loc["copy the input", "exactly right"] == "33.3 %"
    assert table.loc["copy the input", "cut off"] == ""


@pytest.mark.parametrize(("system", "expected"), [(COPY, 0), (PERFECT, 100)])
def test_copying_corrects_no_error_and_the_reference_all_of_them(system, expected):
    examples = [Example(str(i), s, r, r, e) for i, (s, r, e) in enumerate(zip(SOURCES, REFERENCES, EDITS, strict=True))]
    assert tables.errors_corrected(system, examples) == expected


@pytest.mark.parametrize(("system", "expected"), [(COPY, 0), (PERFECT, 100)])
def test_recall_by_type_of_copying_is_zero_and_of_the_reference_complete(system, expected):
    examples = [Example(str(i), s, r, r, e) for i, (s, r, e) in enumerate(zip(SOURCES, REFERENCES, EDITS, strict=True))]
    table = tables.recall_by_type(system, examples)
    assert set(table.index) == {"VERB:SVA", "DET"}
    assert (table["errors"] == 1).all()
    assert (table["recall"] == expected).all()


def test_a_table_of_words_escapes_the_bars_in_its_cells():
    made = tables.in_markdown(["name", "signature"], [["BLEU", "nrefs:1|case:mixed"]])
    assert made.splitlines() == ["| name | signature |", "| --- | --- |", r"| BLEU | nrefs:1\|case:mixed |"]
