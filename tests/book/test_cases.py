"""Case studies: what a rule chooses, and that a choice by other seeds undoes regression to the mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gecalign import metrics
from gecalign.book import cases
from gecalign.corpus.edits import Edit
from gecalign.corpus.examples import Example
from gecalign.statistics import seeds
from gecalign.statistics.compare import Interval
from gecalign.study.results import Results

REFERENCE = "She goes to school every day with her friends."
SOURCE = "She go to school every day with her friends."
LOOP = "She go to to to to to to school."


def results_of(written: dict[str, list[list[str]]], sources: list[str], references: list[str]) -> Results:
    """Results with these hypotheses, by system and seed; nothing but the test set."""
    n = len(sources)
    sentences = pd.DataFrame({"split": "test", "id": map(str, range(n)), "source": sources, "reference": references})
    predictions = [
        pd.DataFrame({"system": system, "seed": seed, "split": "test", "decoding": "greedy", "hypothesis": texts,
                      "tokens": 1, "truncated": False})
        for system, by_seed in written.items()
        for seed, texts in enumerate(by_seed)
    ]  # fmt: skip
    runs = len(next(iter(written.values())))
    record = {"seeds": list(range(runs)), "systems": list(written), "signatures": {}}
    return Results(record, sentences, pd.concat(predictions, ignore_index=True), scores=pd.DataFrame(), tables={})


def degraded(words_kept: list[int]) -> list[str]:
    """Hypotheses that are the better the more words of the reference they keep."""
    words = REFERENCE.split()
    return [" ".join(words[:k] + ["x"] * (len(words) - k)) for k in words_kept]


@pytest.fixture
def small() -> Results:
    written = {
        "sft": [degraded([4, 9, 6, 7]), degraded([8, 5, 9, 6])],
        "dpo": [degraded([9, 6, 5, 9]), degraded([6] * 4)],
    }
    return results_of(written, [SOURCE] * 4, [REFERENCE] * 4)


# Choosing


def test_the_lowest_come_first_and_ties_in_order():
    assert cases.worst([3.0, 1.0, 2.0, 1.0, 0.5], 4).tolist() == [4, 1, 3, 2]


def test_weights_are_those_of_the_seed_itself_or_the_share_of_the_others():
    scores = [[0, 1, 2, 3], [3, 0, 1, 2], [0, 3, 1, 2]]
    own = cases.weights(scores, 2, "same seed")
    assert own.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0]]
    others = cases.weights(scores, 2, "other seeds")
    assert others.tolist() == [[0.5, 0.5, 1, 0], [1, 0.5, 0.5, 0], [0.5, 1, 0.5, 0]]


@pytest.mark.parametrize("by", cases.BY)
def test_all_sentences_are_the_plain_mean(by):
    scores = np.random.default_rng(0).normal(size=(3, 50))
    counted = cases.weights(scores, 50, by)
    np.testing.assert_allclose(cases.mean(cases.weighted(scores, counted).sum(axis=1)), scores.mean(axis=1))


def test_pure_luck_goes_all_the_way_back_to_the_mean():
    scores = np.random.default_rng(1).normal(60, 10, (4, 4000))
    ranks = stats.rankdata(scores, axis=1) / 4000
    own, others = (cases.weights(scores, 100, by) for by in cases.BY)
    assert (own * ranks).sum(axis=1).max() / 100 < 0.02
    assert (others * ranks).sum(axis=1) / 100 == pytest.approx([0.5] * 4, abs=4 * 0.29 / np.sqrt(300))
    assert (others * scores).sum(axis=1) / 100 == pytest.approx([60] * 4, abs=4 * 10 / np.sqrt(300))


def test_difficulty_stays_and_luck_goes_by_the_share_of_its_variance():
    rng = np.random.default_rng(2)
    scores = rng.normal(60, 20, 20_000) + rng.normal(0, 10, (4, 20_000))  # four fifths are difficulty
    own, others = ((cases.weights(scores, 500, by) * scores).sum() / 2000 for by in cases.BY)
    assert (60 - others) / (60 - own) == pytest.approx(0.8, abs=0.02)


def test_chosen_by_the_same_seed_equal_systems_differ_and_by_other_seeds_they_do_not():
    rng, found = np.random.default_rng(3), dict.fromkeys(cases.BY, 0)
    studies = 200
    for _ in range(studies):
        hard = rng.normal(60, 15, 200)
        a, b = (hard + rng.normal(0, 1, (5, 1)) + rng.normal(0, 10, (5, 200)) for _ in "ab")
        for by in cases.BY:
            counted = cases.weights(a, 20, by)
            pair = {"b": cases.weighted(b, counted)}
            found[by] += seeds.paired_differences(pair, cases.weighted(a, counted), cases.mean)["b"].p_value <= 0.05
    assert found["same seed"] > 0.9 * studies
    assert found["other seeds"] <= stats.binom.ppf(0.999, studies, 0.06)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cases.worst([1.0, 2.0], 3), "k is 3; expected a number of sentences from 1 to the 2"),
        (lambda: cases.worst([1.0, 2.0], 0), "k is 0"),
        (lambda: cases.weights([[1.0, 2.0]] * 2, 1, "chance"), "by is 'chance'; expected \"same seed\" or"),
        (lambda: cases.weights([[1.0, 2.0]], 1, "same seed"), r"shape \(1, 2\); expected \(seeds, n\), with two"),
        (lambda: cases.weights([1.0, 2.0], 1, "same seed"), r"shape \(2,\)"),
        (lambda: cases.weights([[1.0, 2.0]] * 2, 3, "other seeds"), "k is 3"),
        (
            lambda: cases.turnover(np.zeros((2, 3)), np.zeros((2, 4))),
            r"shapes \(2, 3\) and \(2, 4\); expected the same",
        ),
        (lambda: cases.turnover(np.zeros(3), np.zeros(3)), r"expected the same, \(seeds, n\)"),
        (lambda: cases.turnover(np.zeros((1, 3)), np.zeros((1, 3)), "other seeds"), "with 1 seeds"),
        (lambda: cases.turnover(np.zeros((2, 3)), np.zeros((2, 3)), "any"), "by is 'any'"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_seed_that_is_shown_has_no_say_in_what_it_shows():
    base = degraded([5, 5, 5, 5])
    # by the mean of the last two it is sentence 2, by the best of them sentence 3
    system = [degraded([9, 5, 5, 5]), degraded([5, 5, 8, 9]), degraded([5, 4, 8, 5])]
    found = results_of({"sft-continued": [base] * 3, "dpo": system}, [SOURCE] * 4, [REFERENCE] * 4)
    assert cases.favoured(found, "dpo", "sft-continued", 2, but=0).tolist() == [2, 3]
    assert cases.favoured(found, "dpo", "sft-continued", 1, but=1).tolist() == [0]
    assert cases.favoured(found, "sft-continued", "dpo", 1, but=0).tolist() == [1]
    with pytest.raises(ValueError, match=r"got 3 of \[0, 1, 2\]"):
        cases.favoured(found, "dpo", "sft-continued", 1, but=3)
    alone = results_of({"sft-continued": [base], "dpo": system[:1]}, [SOURCE] * 4, [REFERENCE] * 4)
    with pytest.raises(ValueError, match=r"two or more seeds to be left out; got 0 of \[0\]"):
        cases.favoured(alone, "dpo", "sft-continued", 1, but=0)


def test_the_behaviour_of_most_seeds_comes_first_and_what_never_shows_not_at_all():
    shown = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 0]], dtype=bool)
    assert cases.most_often(shown, 5).tolist() == [3, 4, 1]
    assert cases.most_often(shown, 1).tolist() == [3]


# Measuring


def test_means_on_the_worst_are_those_of_the_sentences_that_were_chosen(small):
    sft, dpo = (cases.sentence_bleu(small, name) for name in ("sft", "dpo"))
    expected = {  # sft's two worst: 0 and 2 with seed 0, 1 and 3 with seed 1
        "as chosen": (sft[0, [0, 2]].mean() + sft[1, [1, 3]].mean()) / 2,
        "another seed": (sft[0, [1, 3]].mean() + sft[1, [0, 2]].mean()) / 2,
        "dpo": (dpo[0, [0, 2]].mean() + dpo[1, [1, 3]].mean()) / 2,
        "dpo, other seed": (dpo[0, [1, 3]].mean() + dpo[1, [0, 2]].mean()) / 2,
    }
    rows = {"as chosen": ("sft", "same seed"), "another seed": ("sft", "other seeds"),
            "dpo": ("dpo", "same seed"), "dpo, other seed": ("dpo", "other seeds")}  # fmt: skip
    found = cases.worst_means(small, "sft", [2, 4], rows)
    assert found.loc[2].to_dict() == pytest.approx(expected)
    assert found.loc[4, "as chosen"] == pytest.approx(sft.mean())
    difference = cases.worst_difference(small, "sft", 2, ("dpo", "other seeds"), ("sft", "same seed"))
    assert difference.estimate == pytest.approx(expected["dpo, other seed"] - expected["as chosen"])
    assert difference.seeds == 2


def test_turnover_counts_kept_gone_and_new_for_each_pair_of_seeds():
    before = np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=bool)
    after = np.array([[1, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]], dtype=bool)
    assert cases.turnover(before, after) == (0.5, 1.5, 2.5)
    assert cases.turnover(before, after, "other seeds") == (0.5, 1.5, 2.5)
    assert cases.turnover(before, before, "other seeds") == (1, 1, 1)
    table = cases.turnover_table({"again": cases.turnover(before, before)})
    assert table.loc["again"].to_dict() == {"still there": "2.0", "gone": "0.0", "new": "0.0"}


def test_flags_are_those_of_each_seed():
    found = results_of({"sft": [[SOURCE, LOOP], [LOOP, LOOP]]}, [SOURCE] * 2, [REFERENCE] * 2)
    assert cases.flags(found, "sft", lambda b: b.looped).tolist() == [[False, True], [True, True]]


def test_a_difference_of_rates_is_in_points_of_the_sentences_asked_about():
    before, after = np.zeros((2, 10), dtype=bool), np.zeros((2, 10), dtype=bool)
    after[0, :3], after[1, :1], before[:, 9] = True, True, True
    assert cases.rate_difference(after, before).estimate == pytest.approx(10)
    asked = np.arange(10) < 5
    found = cases.rate_difference(after, before, np.array([asked, asked]))
    assert found.per_seed == pytest.approx((60, 20))


def test_shares_stand_with_their_intervals():
    rows = {"sft": Interval(0, 2.4, 1.0, "t", 10, 0, 0.95), "dpo": Interval(97.5, 100, 99.25, "t", 10, 0, 0.95)}
    assert cases.rate_table({"loops": rows}).to_dict() == {
        "loops": {"SFT": "1.0 (0.0 to 2.4)", "DPO": "99.2 (97.5 to 100.0)"}
    }


# Errors


def edited(i: int) -> Example:
    """One or two errors: agreement in each sentence, a full stop in every second."""
    source = f"She go to school {i} times" + ("" if i % 2 else ".")
    edits = (Edit(4, 6, "goes", "VERB:SVA"), *([Edit(len(source), len(source), ".", "PUNCT")] if i % 2 else []))
    reference = f"She goes to school {i} times."
    return Example(str(i), source, reference, reference, edits)


@pytest.fixture
def typed() -> tuple[Results, list[Example]]:
    examples = [edited(i) for i in range(40)]
    sources = [example.source for example in examples]
    stopped = [source.rstrip(".") + "." for source in sources]  # what corrects full stops only
    dpo = [stopped, [*stopped[:38], *sources[38:]]]
    written = {"sft-continued": [sources] * 2, "dpo": dpo}
    return results_of(written, sources, [example.reference for example in examples]), examples


def test_shares_corrected_by_type(typed):
    found, examples = typed
    made = cases.corrected(found, "dpo", examples)
    assert {kind: rows.sum(axis=1).tolist() for kind, rows in made.items()} == {
        "PUNCT": [[20, 20], [19, 20]],
        "VERB:SVA": [[0, 40], [0, 40]],
    }
    base = cases.corrected(found, "sft-continued", examples)
    differences = cases.type_differences(made, base)
    assert differences["PUNCT"].per_seed == pytest.approx((100, 95))
    assert differences["PUNCT"].n == 20
    assert differences["VERB:SVA"].p_value == 1
    assert list(cases.type_differences(made, base, least=21)) == ["VERB:SVA"]
    assert cases.type_differences(made, base, least=41) == {}


def test_the_table_of_types_has_stars_where_a_difference_is_found(typed):
    found, examples = typed
    base = cases.corrected(found, "sft-continued", examples)
    by_system = {"DPO": cases.type_differences(cases.corrected(found, "dpo", examples), base)}
    assert cases.significant(by_system) == {("DPO", "PUNCT")}
    table = cases.type_table(base, by_system)
    assert list(table.index) == ["PUNCT", "VERB:SVA"]
    assert table.loc["PUNCT"].to_dict() == {"errors": "20", "SFT continued": "0 %", "DPO": "+97.5*"}
    assert table.loc["VERB:SVA", "DPO"] == "+0.0"


def test_a_star_needs_the_p_value_corrected_for_all_in_the_table(typed):
    found, examples = typed
    base, made = (cases.corrected(found, name, examples) for name in ("sft-continued", "dpo"))
    differences = cases.type_differences(made, base)
    p = differences["PUNCT"].p_value
    many = {str(i): differences for i in range(int(0.05 / p / 2) + 1)}
    assert p < 0.05
    assert not cases.significant(many)


def test_no_type_with_enough_errors_makes_an_empty_table(typed):
    found, examples = typed
    base = cases.corrected(found, "sft-continued", examples)
    assert cases.type_table(base, {"DPO": {}, "GRPO": {}}).empty


def test_edits_that_are_not_known_are_refused(typed):
    found, examples = typed
    examples[3] = replace(examples[3], edits=None)
    with pytest.raises(ValueError, match=r"edits\[3\] is None"):
        cases.corrected(found, "dpo", examples)


def test_examples_in_another_order_are_refused(typed):
    found, examples = typed
    with pytest.raises(ValueError, match="these 40 examples are not the 40 test sentences of the results"):
        cases.corrected(found, "dpo", examples[::-1])


def test_precision_and_recall_are_the_means_of_the_seeds(typed):
    found, _ = typed
    parts = cases.precision_and_recall(found, ["sft-continued", "dpo"])
    expected = [found.outputs("dpo", seed).scores for seed in (0, 1)]
    assert parts["edit precision"]["dpo"].estimate == pytest.approx(np.mean([s.edit_precision for s in expected]))
    assert parts["edit recall"]["dpo"].estimate == pytest.approx(np.mean([s.edit_recall for s in expected]))
    assert parts["edit recall"]["sft-continued"].estimate == 0


def test_differences_of_edits_are_paired_by_seed(typed):
    found, _ = typed
    parts = cases.edit_differences(found, "dpo", "sft-continued")
    recalls = [[found.outputs(name, seed).scores.edit_recall for seed in (0, 1)] for name in ("dpo", "sft-continued")]
    assert parts["edit recall"].per_seed == pytest.approx(tuple(np.subtract(*recalls)))
    assert set(parts) == {"edit precision", "edit recall"}


# Showing


def test_sentences_side_by_side():
    hostile = "She go <script>alert(1)</script> & home."
    written = {"sft": [[hostile, SOURCE], [SOURCE, SOURCE]], "dpo": [[REFERENCE, REFERENCE], [SOURCE, "x " * 200]]}
    found = results_of(written, [hostile, SOURCE], [REFERENCE, "She goes <b>home</b>."])
    page = cases.side_by_side(found, [0, 1], ["sft", "dpo"], 0)
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<tr>") == 1 + 2 * 4
    assert page.count("<tbody>") == 2
    score = metrics.bleu.sentence([REFERENCE], [REFERENCE])[0]
    assert f"<td>DPO</td><td>{score:.0f}</td>" in page
    assert "<del>go</del><ins>goes</ins>" in page
    other = cases.side_by_side(found, [0], ["dpo"], 1)
    assert f"<td>DPO</td><td>{metrics.bleu.sentence([SOURCE], [REFERENCE])[0]:.0f}</td>" in other


def test_of_a_loop_the_rest_is_counted():
    loop = "She " + "go " * 100 + "END"
    found = results_of({"sft": [[loop], [SOURCE]]}, [SOURCE], [REFERENCE])
    page = cases.side_by_side(found, [0], ["sft"], 0)
    shown = len(SOURCE) + cases.SHOWN_BEYOND
    assert f"… and {len(loop) - shown} more characters" in page
    assert "END" not in page
    assert "more characters" not in cases.side_by_side(found, [0], ["sft"], 1)


def test_a_seed_that_the_study_does_not_have_cannot_be_shown(small):
    with pytest.raises(ValueError, match="no outputs of 'sft' with seed 5"):
        cases.side_by_side(small, [0], ["sft"], 5)
