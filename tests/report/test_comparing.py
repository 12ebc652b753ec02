"""A report: its numbers are those of the library's parts, its verdicts follow from them, its forms tell all of it."""

import json
from dataclasses import asdict, fields

import pytest
from reports import HALF, REFERENCES, RESAMPLES, SOURCES, SYSTEMS, TRUNCATED, WRONG, N, build, fixing

from gecalign import metrics, report
from gecalign.statistics import compare, design
from gecalign.statistics.resampling import Resampling


@pytest.fixture(scope="module")
def made() -> report.Report:
    return build(truncated=TRUNCATED)


# --- Numbers ----------------------------------------------------------------------------------------


def test_a_metric_that_sees_nothing_of_outputs_that_differ_shows_no_equivalence():
    short, wrong = ["She goes.", "He sits."] * 20, ["She go.", "He sit."] * 20  # no 4-gram, so no BLEU
    settings = report.Settings(resamples=100)
    made = report.build(report.Inputs({"a": short, "b": wrong}, wrong, short), settings)
    assert made.verdicts["b"].kind == "unclear"
    assert "cannot be told apart by BLEU, which is the same whatever sentence is left out" in made.verdicts["b"].text
    assert not made.equivalence["b"].equivalent
    same = report.build(report.Inputs({"a": short, "b": list(short)}, wrong, short), settings)
    assert same.verdicts["b"].kind == "equivalent"


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_scores_and_differences_are_those_of_compare(made, metric):
    texts = {report.COPY: SOURCES, **SYSTEMS}
    rows = {name: metric.statistics(hypotheses, REFERENCES, SOURCES) for name, hypotheses in texts.items()}
    others = {name: found for name, found in rows.items() if name != "half"}
    signature = metric.corpus(SYSTEMS["all"], REFERENCES, SOURCES).signature
    how = Resampling(RESAMPLES)
    assert made.signatures[metric.name] == signature
    assert made.scores[metric.name] == compare.intervals(rows, metric.score, how, signature)
    expected = compare.paired_differences(others, rows["half"], metric.score, how, signature)
    assert made.differences[metric.name] == expected


def test_p_values_are_corrected_over_the_systems_and_doing_nothing_is_not_one_of_them(made):
    p = {name: one.p_value for name, one in made.differences["BLEU"].items()}
    nothing = p.pop(report.COPY)
    assert made.p_holm["BLEU"] == {report.COPY: nothing, **compare.holm(p)}
    assert made.p_holm["BLEU"]["all"] == pytest.approx(5 * p["all"])


def test_the_smallest_visible_difference_is_that_of_the_first_of_five_tests(made):
    rows = [metrics.bleu.statistics(SYSTEMS[name], REFERENCES) for name in ("all", "half")]
    sd = compare.paired_sd(*rows, metrics.bleu.score)
    assert made.visible["BLEU"]["all"] == design.smallest_visible_effect(N, sd, alpha=0.05 / 5)
    alone = build({name: SYSTEMS[name] for name in ("half", "all")})
    assert alone.visible["BLEU"]["all"] == design.smallest_visible_effect(N, sd)


def test_behaviour_and_edit_scores_are_those_of_evaluate(made):
    for name, hypotheses in SYSTEMS.items():
        alone = metrics.evaluate(hypotheses, REFERENCES, SOURCES, TRUNCATED.get(name))
        assert repr(made.rates[name]) == repr(alone.rates)  # repr: NaN is what it is
        assert made.edits[name] == {"precision": alone.edit_precision, "recall": alone.edit_recall}
    assert made.changed["all"] == pytest.approx(len(WRONG[1::2]) / N)
    assert made.changed["same"] == 0


def test_equivalence_is_that_of_compare(made):
    found = {name: compare.equivalence(one, 1.0) for name, one in made.differences["BLEU"].items()}
    assert made.equivalence == found
    p = {name: one.p_value for name, one in found.items() if name != report.COPY}
    assert made.equivalence_p_holm == {report.COPY: found[report.COPY].p_value, **compare.holm(p)}


def test_the_best_of_several_is_a_warning_where_there_are_three(made):
    rows = {name: metrics.bleu.statistics(hypotheses, REFERENCES) for name, hypotheses in SYSTEMS.items()}
    assert made.luck == compare.luck_of_choosing(rows, metrics.bleu.score, RESAMPLES)
    assert "best of these 6" in report.luck_words(made)
    two = build({name: SYSTEMS[name] for name in ("half", "all")})
    assert two.luck is None
    assert "THE BEST OF" not in report.to_text(two)


def test_another_metric_can_lead_and_another_system_be_the_baseline():
    found = build(metric="Edit f0.5", baseline="all")
    assert next(iter(found.scores)) == found.metric == "edit F0.5"
    assert found.verdicts["half"].kind == "worse"
    assert "edit F0.5" in found.verdicts["half"].text
    assert build(baseline=report.COPY).verdicts["few"].kind == "better"


# --- Words ------------------------------------------------------------------------------------------


def test_each_kind_of_verdict_is_reached_by_the_numbers(made):
    kinds = {name: one.kind for name, one in made.verdicts.items()}
    assert kinds == {
        report.COPY: "worse", "all": "better", "few": "worse", "other half": "unclear", "but one": "equivalent",
        "same": "equivalent",
    }  # fmt: skip
    one = made.differences["BLEU"]["all"]
    numbers = f"{one.estimate:+.2f} BLEU, 95 % interval {one.interval.low:+.2f} to {one.interval.high:+.2f}"
    assert made.verdicts["all"].text.startswith(f"all is better than half: {numbers}, p = ")
    assert made.verdicts["other half"].text.startswith("other half and half cannot be told apart by these 200")
    visible = made.visible["BLEU"]["other half"]
    assert made.verdicts["other half"].text.endswith(
        f"; a difference of {visible:.2f} BLEU would have been seen with 80 % power."
    )
    assert made.verdicts["but one"].text.startswith("but one is equivalent to half within 1 BLEU: -")
    assert made.verdicts["same"].text == "same is equivalent to half: BLEU sees no difference in any sentence."


def test_a_difference_that_is_there_and_does_not_matter_is_called_both():
    found = build({name: SYSTEMS[name] for name in ("half", "all")}, margin=50.0).verdicts["all"]
    assert found.kind == "better"
    assert "better than half, though by less than the margin of 50:" in found.text


def test_a_small_p_alone_makes_nothing_better_where_it_is_one_of_many():
    slightly = fixing(HALF | set(WRONG[1:15:2]))
    alone = build({"half": SYSTEMS["half"], "more": slightly}, margin=0.01)
    assert alone.verdicts["more"].kind == "better"
    crowd = {f"other {i}": fixing(set(WRONG[i % 2 :: 2]) - {WRONG[i]}) for i in range(9)}
    p = alone.differences["BLEU"]["more"].p_value
    many = build({"half": SYSTEMS["half"], "more": slightly, **crowd}, margin=0.01)
    assert many.differences["BLEU"]["more"].p_value == p
    assert many.p_holm["BLEU"]["more"] > 0.05 >= p
    assert many.verdicts["more"].kind == "unclear"


def test_metrics_that_disagree_about_a_sign_are_named():
    loud = [f"{text} Oh yes, it is so, indeed." for text in SYSTEMS["all"]]  # corrects everything, and talks on
    found = build({"loud": loud, "few": SYSTEMS["few"]}, baseline=report.COPY)
    signs = {name: one["loud"].estimate > 0 for name, one in found.differences.items()}
    assert (signs["BLEU"], signs["edit F0.5"]) == (False, True)
    words = found.disagreements["loud"]
    above, below = words.split(", but below it by ")
    assert {name for name in signs if name in above} == {name for name, up in signs.items() if up}
    assert {name for name in signs if name in below.split(";")[0]} == {name for name, up in signs.items() if not up}
    assert f"edit F0.5 {found.differences['edit F0.5']['loud'].estimate:+.2f}" in above
    assert words.endswith("exclude 0.")
    assert set(found.disagreements) == {"loud"}
    assert words in report.to_text(found)


def test_examples_are_the_sentences_that_pull_most_and_both_differ_on(made):
    shown = made.examples["other half"]
    assert [one.pull > 0 for one in shown] == [True] * 3 + [False] * 3
    for one in shown:
        i = one.number - 1
        assert (one.source, one.references, one.system) == (SOURCES[i], (REFERENCES[i],), SYSTEMS["other half"][i])
        assert one.baseline == SYSTEMS["half"][i] != one.system
    assert made.examples["same"] == ()
    assert [one.number - 1 for one in made.examples["but one"]] == [WRONG[0]]


# --- Forms ------------------------------------------------------------------------------------------


def test_json_holds_every_field_and_no_nan(made):
    read = json.loads(json.dumps(report.to_dict(made), allow_nan=False))
    assert list(read) == [field.name for field in fields(report.Report)]
    assert read["differences"]["GLEU"]["few"] == asdict(made.differences["GLEU"]["few"]) | {
        "per_seed": list(made.differences["GLEU"]["few"].per_seed)
    }
    assert read["rates"]["half"]["truncated"] is None
    assert read["rates"]["all"]["truncated"] == 1 / N
    assert read["verdicts"]["all"] == {"kind": "better", "text": made.verdicts["all"].text}


def test_text_tells_everything_and_ends_with_the_verdicts(made):
    shown = report.to_text(made)
    for name in metrics.METRICS:
        score = made.scores[name.name]["few"]
        assert f"{score.estimate:.1f} ({score.low:.1f} to {score.high:.1f})" in shown
        one = made.differences[name.name]["few"]
        assert f"{one.estimate:+.2f} ({one.interval.low:+.2f} to {one.interval.high:+.2f})" in shown
        assert f"{name.name}: {made.signatures[name.name]}" in shown
    assert shown.splitlines()[-6:] == [one.text for one in made.verdicts.values()]
    assert shown.index("SMALLEST VISIBLE") < shown.index("\nBLEU\n") < shown.index("VERDICT")


def test_a_rate_that_nobody_knows_is_not_a_column(made):
    assert "cut off" in report.behaviour_table(made)
    assert "cut off" not in report.behaviour_table(build())


# --- Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"systems": {}}, "there is no system"),
        ({"systems": {report.COPY: SOURCES}}, "'copy the input' is the name of doing nothing"),
        ({"systems": {"a": SOURCES, "b": SOURCES[1:]}}, "b: hypotheses has 199|b: references has 200"),
        ({"systems": {"a": [None] * N}}, r"a: hypotheses\[0\] is None"),
        ({"baseline": "c"}, "the baseline 'c' is none of the systems: copy the input, half"),
        ({"truncated": {"c": [True] * N}}, "truncated is given for 'c'"),
        ({"truncated": {"all": [True]}}, "truncated has 1 entries"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"margin": float("inf")}, "margin is inf; expected the largest difference .* below 100"),
        ({"margin": 100}, "margin is 100"),
        ({"resamples": -1}, "resamples is -1; expected at least 119"),
        ({"resamples": -9}, "resamples is -9; expected at least 119"),
        ({"metric": "blue"}, "unknown metric 'blue'. Metrics: BLEU, GLEU, edit F0.5, chrF2"),
        ({"resamples": 50}, "resamples is 50; expected at least 119 for 6 comparisons"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(changes, words):
    with pytest.raises(ValueError, match=words):
        build(**changes)


def test_one_sentence_is_too_few():
    with pytest.raises(ValueError, match="there is one sentence; expected two or more"):
        report.build(report.Inputs({"a": ["x"]}, ["x"], ["x"]))
