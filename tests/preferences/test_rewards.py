"""Rewards: each against its definition or an independent implementation; combinations; the adapter to TRL."""

import math

import numpy as np
import pytest
import sacrebleu

from gecalign import metrics
from gecalign.metrics import ngram_score
from gecalign.preferences import rewards
from gecalign.preferences.rewards import Reward, objective

SOURCES = ["She go to the school yesterday .", "He like it .", "I am here .", "It rain"]
REFERENCES = ["She went to school yesterday .", "He likes it .", "I am here .", "It is raining ."]
HYPOTHESES = ["She went to the school yesterday .", "He likes it .", "I was here .", ""]


def test_bleu_is_sacrebleus_sentence_bleu_with_effective_order():
    for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True):
        expected = sacrebleu.sentence_bleu(hypothesis, [reference], use_effective_order=True).score / 100
        assert rewards.bleu(hypothesis, reference) == pytest.approx(expected, abs=1e-9)


def test_chrf_is_sacrebleus_sentence_chrf():
    for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True):
        expected = sacrebleu.sentence_chrf(hypothesis, [reference]).score / 100
        assert rewards.chrf(hypothesis, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "metric"),
    [("bleu", metrics.bleu), ("gleu", metrics.gleu), ("chrf", metrics.chrf), ("edit", metrics.edit_f05)],
)
def test_a_reward_is_the_metrics_own_sentence_score(name, metric):
    expected = metric.sentence(HYPOTHESES, REFERENCES, SOURCES) / 100
    assert objective(name)(HYPOTHESES, REFERENCES, SOURCES) == pytest.approx(expected, abs=1e-12)


def test_gleu_charges_for_an_error_left_in_place_and_bleu_does_not_look_at_the_source():
    copied, reworded = "He like it .", "He liked it ."
    assert rewards.gleu(copied, "He likes it .", copied) < rewards.gleu(reworded, "He likes it .", copied)
    assert rewards.bleu(copied, "He likes it .", copied) == rewards.bleu(reworded, "He likes it .", copied)


@pytest.mark.parametrize(
    ("reward", "hypothesis", "reference", "source", "expected"),
    [
        (rewards.exact_match, "A b.", "A b.", "", 1.0),
        (rewards.exact_match, "A b", "A b.", "", 0.0),
        (rewards.length, "one two", "one two three four", "", 0.5),
        (rewards.length, "one two three four", "one two", "", 0.5),
        (rewards.length, "", "one", "", 0.0),
        (rewards.no_repetition, "He is very happy .", "", "", 1.0),
        (rewards.no_repetition, "no no no no", "", "", 0.25),
        (rewards.no_repetition, "no no no no", "", "no no no", 1.0),  # the loop was there before
        (rewards.well_formed, "He said: “Yes.”", "", "", 1.0),
        (rewards.well_formed, "He said yes", "", "", 0.0),
        (rewards.well_formed, "One.\nTwo.", "", "", 0.0),
        (rewards.well_formed, "", "", "", 0.0),
        (rewards.well_formed, "...", "", "", 0.0),
    ],
)
def test_a_reward_has_the_value_that_its_definition_says(reward, hypothesis, reference, source, expected):
    assert reward(hypothesis, reference, source) == pytest.approx(expected)


@pytest.mark.parametrize("name", rewards.REWARDS)
def test_every_reward_gives_the_reference_itself_the_full_value_and_nothing_leaves_the_range(name):
    reward = objective(name)
    assert reward(REFERENCES, REFERENCES, SOURCES) == pytest.approx(np.ones(4))
    odd = ["", " ", "a", "no no no no no", "x" * 500, *HYPOTHESES, *SOURCES]
    values = reward(odd, ["She went home ."] * len(odd), ["She go home ."] * len(odd))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


# ---- combinations


def test_a_weighted_sum_is_the_sum_of_weighted_rewards():
    combined = objective("0.75*bleu + 0.25*length")
    parts = [objective(name)(HYPOTHESES, REFERENCES, SOURCES) for name in ("bleu", "length")]
    assert combined(HYPOTHESES, REFERENCES, SOURCES) == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])


def test_in_a_geometric_mean_nothing_pays_for_an_objective_at_zero():
    combined = objective("bleu^0.8 * format^0.2")
    values = combined(["He likes it .", "He likes it"], ["He likes it ."] * 2, ["He like it"] * 2)
    assert values[0] == pytest.approx(1.0)
    assert values[1] == 0.0
    assert objective("0.8*bleu + 0.2*format")(["He likes it"], ["He likes it ."], ["He like it"])[0] > 0.5
    mixed = objective("bleu^0.8 * length^0.2")(["He like it ."], ["He likes it ."], [""])
    assert mixed[0] == pytest.approx(rewards.bleu("He like it .", "He likes it .") ** 0.8)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("blue", "unknown reward 'blue'.*Rewards: bleu, gleu"),
        ("0.5*bleu", "must be above 0 and sum to 1"),
        ("0.5*bleu + 0.5*bleu", "each reward must stand there once"),
        ("1.5*bleu + -0.5*length", "of neither form"),
        ("bleu^1.0 * length^0.0", "must be above 0"),
        ("bleu length", "of neither form"),
        ("", "of neither form"),
    ],
)
def test_an_expression_that_cannot_be_is_refused_with_the_forms_that_can(expression, words):
    with pytest.raises(ValueError, match=words):
        objective(expression)


# ---- several references


HYPOTHESIS, SOURCE = "He likes the cat very much .", "He like the cat much ."
SEVERAL = ("He likes the cat .", "He is very much in love with the cat .", "He likes a cat very much .")


def test_bleu_of_several_references_is_sacrebleus():
    expected = sacrebleu.sentence_bleu(HYPOTHESIS, list(SEVERAL), use_effective_order=True).score / 100
    assert rewards.bleu(HYPOTHESIS, SEVERAL) == pytest.approx(expected, abs=1e-9)
    assert rewards.bleu(HYPOTHESIS, SEVERAL) > max(rewards.bleu(HYPOTHESIS, one) for one in SEVERAL)  # clipped maxima
    expected = sacrebleu.sentence_chrf(HYPOTHESIS, list(SEVERAL)).score / 100
    assert rewards.chrf(HYPOTHESIS, SEVERAL) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(rewards.REWARDS))
def test_a_reward_of_one_reference_is_that_of_a_list_of_one(name):
    for reference in SEVERAL:
        assert rewards.REWARDS[name](HYPOTHESIS, reference, SOURCE) == rewards.REWARDS[name](
            HYPOTHESIS, (reference,), SOURCE
        )


@pytest.mark.parametrize("name", ["bleu", "gleu", "edit", "chrf"])
def test_a_reward_of_several_references_is_the_metric_of_the_sentence(name):
    metric = {"bleu": metrics.bleu, "gleu": metrics.gleu, "edit": metrics.edit_f05, "chrf": metrics.chrf}[name]
    expected = metric.sentence([HYPOTHESIS], [SEVERAL], [SOURCE])[0] / 100
    assert rewards.REWARDS[name](HYPOTHESIS, SEVERAL, SOURCE) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["edit", "exact", "length"])
def test_the_reference_that_suits_best_counts(name):
    score = rewards.REWARDS[name]
    assert score(HYPOTHESIS, SEVERAL, SOURCE) == max(score(HYPOTHESIS, one, SOURCE) for one in SEVERAL)


def test_trl_gets_the_same_from_lists_as_the_corpus_has_in_tuples():
    reward = objective("gleu").rewards[0]
    expected = reward([HYPOTHESIS], [SEVERAL], [SOURCE]).tolist()
    assert (
        rewards.for_trl(reward)(completions=[f" {HYPOTHESIS}"], reference=[list(SEVERAL)], source=[SOURCE]) == expected
    )


# ---- guards, and what is counted once


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_a_value_that_is_not_finite_or_out_of_range_raises_and_names_the_hypothesis(value):
    with pytest.raises(ValueError, match=r"the reward 'mine' gave .* for the hypothesis 'A b.'"):
        Reward("mine", lambda *_: value)(["A b."], ["A b."], ["A b."])


@pytest.mark.parametrize(("references", "words"), [(["a"], "references has 1 entries"), (["a", None], "holds None")])
def test_lists_that_do_not_fit_are_refused(references, words):
    with pytest.raises(ValueError, match=words):
        objective("bleu")(["a", "b"], references, ["a", "b"])


def test_equal_outputs_are_scored_once():
    asked = []
    reward = Reward("counting", lambda *triple: asked.append(triple) or 0.5)
    values = reward(["a", "b", "a", "a"], ["r", "r", "r", "s"], ["x"] * 4)
    assert values.tolist() == [0.5] * 4
    assert asked == [("a", "r", "x"), ("b", "r", "x"), ("a", "s", "x")]


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_the_references_ngrams_are_counted_once_for_a_group(name, monkeypatch):
    sacre = {"bleu": ngram_score._BLEU, "chrf": ngram_score._CHRF}[name]
    counted = []
    ordinary = type(sacre)._extract_reference_info
    monkeypatch.setattr(
        type(sacre), "_extract_reference_info", lambda self, refs: counted.append(refs) or ordinary(self, refs)
    )
    objective(name)([f"hypothesis {i} ." for i in range(16)], [f"a {name} reference nobody used ."] * 16, [""] * 16)
    assert len(counted) == 1


# ---- the adapter


def test_the_adapter_takes_what_trl_gives_and_scores_the_sentence_without_the_blank_in_front():
    score = rewards.for_trl(objective("bleu").rewards[0])
    values = score(
        prompts=["p"] * 4, completions=[" " + text for text in HYPOTHESES], completion_ids=[[0]] * 4,
        reference=REFERENCES, source=SOURCES, trainer_state=None, log_extra=None, log_metric=None,
    )  # fmt: skip
    assert values == objective("bleu")(HYPOTHESES, REFERENCES, SOURCES).tolist()
    assert score.__name__ == "bleu"
