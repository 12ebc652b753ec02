"""Checked sentences: what stops a build, what never does, and what a reader sees."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from scipy import stats

from gecalign.book import claims
from gecalign.statistics.compare import Difference, Interval

NAN = math.nan


def interval(low: float, high: float) -> Interval:
    return Interval(low, high, (low + high) / 2, "percentile", 100, 1000, 0.95)


def difference(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, interval(low, high), 0.5, "test", 1.0, 9.0, 0.5, 100, (1.0,))


def results(name: str):
    return SimpleNamespace(profile=name, seeds=[0, 1, 2])


# ---- the record, and arithmetic: false sentences stop the build


def test_a_true_sentence_says_what_it_rests_on(capsys):
    claims.record("Water is wet.", True, results("tiny"))
    claims.record("Fire is hot.", True, "experiment log")
    claims.arithmetic("Two is even.", True)
    assert capsys.readouterr().out.splitlines() == [
        "✓ Water is wet. [record: 3 seeds]",
        "✓ Fire is hot. [record: experiment log]",
        "✓ Two is even. [arithmetic]",
    ]


@pytest.mark.parametrize("of", [results("tiny"), "experiment log"])
def test_a_sentence_that_the_record_belies_stops_the_build(of):
    with pytest.raises(AssertionError, match=r"Water is dry\. The record says otherwise"):
        claims.record("Water is dry.", False, of)


def test_a_false_sentence_of_arithmetic_stops_the_build():
    with pytest.raises(AssertionError, match="Three is even"):
        claims.arithmetic("Three is even.", False)


def test_results_of_another_profile_are_marked_and_stop_nothing(capsys):
    claims.record("Water is dry.", False, results("smoke"))
    claims.arithmetic("Three is even.", False, "smoke")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("✗")
    assert "of smoke" in first
    assert second.startswith("✗")


def test_a_formula_is_held_to_its_tolerance_and_not_to_the_last_digit():
    claims.formula("Both are the same.", 0.62557, 0.62561, 1e-4)
    for library in (0.6258, NAN):
        with pytest.raises(AssertionError, match=r"By hand it is 0\.62557"):
            claims.formula("Both are the same.", 0.62557, library, 1e-4)


# ---- the run at hand: three outcomes, and none of them stops anything


@pytest.mark.parametrize(
    ("low", "high", "bounds", "outcome"),
    [
        (0.1, 2, {"above": 0}, "shown"),
        (-1, 2, {"above": 0}, "not shown"),
        (0, 2, {"above": 0}, "not shown"),  # an end on the bound does not lie above it
        (-2, -0.1, {"above": 0}, "contradicted"),
        (51, 60, {"above": 50}, "shown"),
        (40, 49, {"above": 50}, "contradicted"),
        (-2, -0.1, {"below": 0}, "shown"),
        (0.1, 2, {"below": 0}, "contradicted"),
        (-1, 1, {"below": 0}, "not shown"),
        (NAN, NAN, {"above": 0}, "not shown"),
        (NAN, NAN, {"below": 0}, "not shown"),
        (-math.inf, math.inf, {"above": 0}, "not shown"),
    ],
)
@pytest.mark.parametrize("evidence", [interval, difference])
def test_a_run_shows_a_sentence_or_does_not_or_says_the_opposite(low, high, bounds, outcome, evidence, capsys):
    claims.run("DPO gains.", evidence(low, high), **bounds)
    line = capsys.readouterr().out.strip()
    assert line.startswith(claims.MARKS[outcome])
    assert claims.FORMS[outcome].format("DPO gains.") in line
    assert "[this run: " in line


def test_no_evidence_whatever_stops_a_build(capsys):
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, high = np.sort(rng.normal(0, 10, 2))
        claims.run("DPO gains.", interval(low, high), above=0)
    counts = [capsys.readouterr().out.count(mark) for mark in ("\n",)]
    assert counts == [200]


@pytest.mark.parametrize("bounds", [{}, {"above": 0, "below": 1}])
def test_a_sentence_about_a_run_has_one_bound(bounds):
    with pytest.raises(ValueError, match="give one of the two"):
        claims.run("DPO gains.", interval(0, 1), **bounds)


# ---- evidence


def test_the_interval_of_a_share_is_wilsons():
    found = claims.share([True] * 7 + [False] * 13)
    p, z, n = 7 / 20, stats.norm.ppf(0.975), 20
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (found.low, found.high) == pytest.approx((100 * (middle - half), 100 * (middle + half)))
    assert (found.estimate, found.n) == (35, 20)


def test_the_interval_of_a_mean_is_students():
    values = [0.3, 1.1, -0.4, 2.0]
    found = claims.mean(values)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    )


@pytest.mark.parametrize("evidence", [claims.share([]), claims.mean([]), claims.mean([1.0])])
def test_too_little_to_tell_anything_is_evidence_of_nothing(evidence, capsys):
    claims.run("DPO gains.", evidence, above=0)
    assert capsys.readouterr().out.startswith("○")


# ---- what a notebook holds


def in_notebook(sentence: str, evidence: Interval) -> tuple[dict, dict]:
    shell = InteractiveShell.instance()
    try:
        with capture_output() as captured:
            claims.run(sentence, evidence, above=0)
        return captured.outputs[0].data, captured.outputs[0].metadata[claims.KEY]
    finally:
        shell.clear_instance()


def test_in_a_notebook_a_claim_is_there_for_people_and_as_data():
    found, data = in_notebook("A < B & C.", interval(1, 2))
    assert found["text/plain"].startswith("✓ A < B & C.")
    assert "A &lt; B &amp; C." in found["text/html"]
    assert 'class="claim shown"' in found["text/html"]
    expected = claims.Claim("A < B & C.", "run", "shown", data["source"], 1.5, 1, 2)
    assert data == {name: getattr(expected, name) for name in claims.Claim.__slots__}


def test_outcomes_differ_for_those_who_see_no_colour():
    shown = claims.Claim("A.", "run", "shown", "this run")
    texts = {replace(shown, outcome=outcome).html for outcome in claims.MARKS}
    assert len(texts) == 3
    assert all(mark in "".join(texts) for mark in claims.MARKS.values())


def test_examples_show_every_outcome_and_are_no_claims(capsys):
    claims.examples("A is better.")
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == list(claims.MARKS.values())
    shell = InteractiveShell.instance()
    try:
        with capture_output() as captured:
            claims.examples("A is better.")
        assert [claims.KEY in output.metadata for output in captured.outputs] == [False] * 3
    finally:
        shell.clear_instance()
