"""Intervals, tests and power against closed forms, SciPy, sacreBLEU and simulation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import _bootstrap_resample, estimate_ci
from scipy import stats

from gecalign import compare, design, metrics


def mean(totals):
    """Score of the columns (value, 1): their mean, for which everything has a closed form."""
    return totals[..., 0] / totals[..., 1]


def with_ones(values) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


def bleu_corpus(n: int, seed: int, changed: float = 0.3) -> tuple[list[str], list[str], list[str]]:
    """References and the outputs of two systems; the second differs on a share of the sentences."""
    rng = random.Random(seed)
    lexicon = [f"w{i}" for i in range(50)]
    references = [" ".join(rng.choices(lexicon, k=rng.randint(6, 16))) for _ in range(n)]

    def noisy(text: str, share: float) -> str:
        tokens = text.split()
        if rng.random() < share:
            tokens[rng.randrange(len(tokens))] = rng.choice(lexicon)
        return " ".join(tokens)

    first = [noisy(noisy(reference, 0.8), 0.5) for reference in references]
    return references, first, [noisy(text, changed) for text in first]


@pytest.fixture(scope="module")
def two_systems() -> tuple[np.ndarray, np.ndarray]:
    references, first, second = bleu_corpus(400, seed=1)
    return metrics.bleu.statistics(first, references), metrics.bleu.statistics(second, references)


# Intervals


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    scores = compare.bootstrap_scores(with_ones(values), mean)
    assert scores.mean() == pytest.approx(values.mean(), abs=0.01)
    # plug-in standard error; 10,000 resamples know it to 0.7 % (1 / sqrt(2 * 10,000)), 3 % is four of those
    assert scores.std() == pytest.approx(values.std() / math.sqrt(400), rel=0.03)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_of_a_mean_is_the_normal_one(method):
    values = np.random.default_rng(1).normal(0, 1, size=1000)
    found = compare.interval(with_ones(values), mean, level=0.9, method=method)
    half = 1.6449 * values.std() / math.sqrt(1000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert (found.estimate, found.n, found.level) == (pytest.approx(values.mean()), 1000, 0.9)


@pytest.mark.parametrize(("method", "scipys"), [("percentile", "percentile"), ("bca", "BCa")])
def test_interval_is_that_of_scipy_on_the_values_themselves(method, scipys):
    values = np.random.default_rng(2).exponential(size=40)  # skewed: the two methods differ
    found = compare.interval(with_ones(values), mean, method=method)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=scipys, rng=5).confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_bca_moves_the_interval_towards_the_long_tail():
    values = with_ones(np.random.default_rng(2).exponential(size=40))
    percentile, bca = (compare.interval(values, mean, method=method) for method in ("percentile", "bca"))
    assert bca.low > percentile.low
    assert bca.high > percentile.high


def test_bleu_interval_is_sacrebleus(two_systems):
    rows, _ = two_systems
    found = compare.interval(rows, metrics.bleu.score)
    _, scores = _bootstrap_resample(rows.astype(int).tolist(), BLEU(), n_samples=2000)
    centre, half_width = estimate_ci([score.score for score in scores])
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.08)  # 2,000 resamples know it to 3 %
    assert (found.high + found.low) / 2 == pytest.approx(centre, abs=0.1 * half_width)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(7)
    intervals = [
        compare.interval(with_ones(rng.normal(5, 1, size=50)), mean, resamples=500, seed=i) for i in range(400)
    ]
    covered = np.mean([found.low <= 5 <= found.high for found in intervals])
    # At n = 50 the percentile interval of a mean is a little short: z * sqrt(49/50) against t covers 0.94.
    # 400 simulations know that to 0.012; three of those on either side.
    assert 0.90 < covered < 0.98


def test_same_seed_same_interval_another_seed_another(two_systems):
    rows, _ = two_systems
    one, same, other = (compare.interval(rows, metrics.bleu.score, resamples=300, seed=s) for s in (0, 0, 1))
    assert one == same
    assert one != other


def test_resamples_do_not_depend_on_how_they_are_cut_for_memory(two_systems, monkeypatch):
    rows, _ = two_systems
    whole = compare.bootstrap_scores(rows, metrics.bleu.score, resamples=100)
    monkeypatch.setattr(compare, "CHUNK", 7 * len(rows))
    np.testing.assert_allclose(compare.bootstrap_scores(rows, metrics.bleu.score, resamples=100), whole)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_statistics_that_do_not_vary_give_a_point(method):
    found = compare.interval(np.ones((10, 2)), mean, method=method)
    assert (found.low, found.high) == (1, 1)


# Two systems


def test_identical_systems_have_no_difference_and_p_of_exactly_one(two_systems):
    rows, _ = two_systems
    found = compare.paired_difference(rows, rows, metrics.bleu.score, resamples=200)
    assert (found.estimate, found.interval.low, found.interval.high) == (0, 0, 0)
    assert found.p_value == 1
    assert found.share_changed == 0


def test_difference_is_that_of_the_scores_and_positive_for_the_better_system(two_systems):
    better, worse = two_systems
    found = compare.paired_difference(better, worse, metrics.bleu.score, resamples=500)
    scores = [metrics.bleu.score(rows.sum(axis=0)) for rows in two_systems]
    assert found.estimate == pytest.approx(scores[0] - scores[1])
    assert 0 < found.interval.low < found.estimate < found.interval.high
    assert found.p_value == pytest.approx(1 / 501)  # never 0
    assert found.share_changed == pytest.approx((better != worse).any(axis=1).mean())
    assert (found.n, found.interval.n) == (400, 400)


def test_swapping_the_systems_turns_the_sign_alone(two_systems):
    better, worse = two_systems
    one = compare.paired_difference(better, worse, metrics.bleu.score, resamples=500)
    other = compare.paired_difference(worse, better, metrics.bleu.score, resamples=500)
    assert other.estimate == -one.estimate
    assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low), rel=0.02)
    assert other.p_value == one.p_value


@pytest.mark.parametrize("differences", [[1, 1, 1, 1, 1, 0], [3, -1, 2, 2, -1, 1, 0, 0], [1, -1]])
def test_randomization_p_is_that_of_all_sign_flips(differences):
    # The exact p-value, by enumeration: swapping sentence i flips the sign of its difference.
    signs = 1 - 2 * ((np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1)
    sums = np.abs(signs @ differences)
    exact = np.mean(sums >= abs(sum(differences)))
    found = compare.randomization_p(with_ones(differences), with_ones(np.zeros(len(differences))), mean)
    assert found == pytest.approx(exact, abs=0.02)  # four standard errors at 10,000 swaps


def test_randomization_p_is_that_of_scipy():
    a, b = np.random.default_rng(4).normal(size=(2, 60))
    expected = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", rng=0, n_resamples=4000
    )
    assert compare.randomization_p(with_ones(a), with_ones(b), mean) == pytest.approx(expected.pvalue, abs=0.03)


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(5)
    p = [
        compare.randomization_p(*(with_ones(rng.normal(size=30)) for _ in "ab"), mean, 200, seed) for seed in range(300)
    ]
    # 5 % of 300 is 15, standard deviation 3.8
    assert 4 <= np.sum(np.array(p) <= 0.05) <= 27
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_pairing_sees_what_two_intervals_do_not():
    references, *systems = bleu_corpus(400, seed=2, changed=0.1)
    better, worse = (metrics.bleu.statistics(hypotheses, references) for hypotheses in systems)
    separate = [compare.interval(rows, metrics.bleu.score, resamples=500) for rows in (better, worse)]
    paired = compare.paired_difference(better, worse, metrics.bleu.score, resamples=500).interval
    assert separate[0].low < separate[1].high  # they overlap
    assert paired.low > 0
    assert paired.high - paired.low < 0.6 * (separate[0].high - separate[0].low)


# What a test set can show


def test_influences_of_a_mean_are_its_deviations():
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(compare.influences(with_ones(values), mean), values - values.mean(), atol=1e-12)


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda m: m.name)
def test_paired_sd_agrees_with_the_bootstrap(metric):
    references, first, second = bleu_corpus(400, seed=1)
    sources = second[::-1]
    a, b = (metric.statistics(hypotheses, references, sources) for hypotheses in (first, second))
    found = compare.paired_difference(a, b, metric.score)
    # a 95 % interval is 2 * 1.96 standard errors wide, to first order
    expected = (found.interval.high - found.interval.low) / (2 * 1.96) * math.sqrt(found.n)
    assert compare.paired_sd(a, b, metric.score) == pytest.approx(expected, rel=0.05)


def test_power_effect_and_size_are_one_relation():
    effect = design.smallest_visible_effect(485, sd=7.8)
    assert effect == pytest.approx((1.959964 + 0.841621) * 7.8 / math.sqrt(485), rel=1e-6)
    assert design.power(effect, 485, sd=7.8) == pytest.approx(0.8)
    assert design.power(-effect, 485, sd=7.8) == pytest.approx(0.8)
    assert design.sentences_needed(effect * (1 + 1e-9), sd=7.8) == 485
    assert design.sentences_needed(effect / 2, sd=7.8) == pytest.approx(4 * 485, abs=1)


def test_what_485_sentences_of_coedit_can_show():
    # Measured on the CoEdIT validation rows: 0.7 BLEU where 20 % of the outputs change, 1.0 where 40 % do,
    # and about 3,100 sentences for 0.4.
    few, many = design.sd_from_share_changed(0.2), design.sd_from_share_changed(0.4)
    assert design.smallest_visible_effect(485, few) == pytest.approx(0.7, abs=0.05)
    assert design.smallest_visible_effect(485, many) == pytest.approx(1.0, abs=0.05)
    assert design.sentences_needed(0.4, many) == pytest.approx(3100, rel=0.05)


def test_sd_follows_the_root_of_the_share_changed():
    rng = np.random.default_rng(3)
    base = np.zeros(4000)
    for share in (0.1, 0.4, 1.0):
        changed = np.where(rng.random(4000) < share, rng.normal(0, 2, size=4000), 0)
        sd = compare.paired_sd(with_ones(changed), with_ones(base), mean)
        assert sd == pytest.approx(design.sd_from_share_changed(share, sd_of_a_change=2), rel=0.1)


def test_predicted_power_is_the_share_of_significant_tests():
    rng, n, sd, effect = np.random.default_rng(6), 80, 1.0, 0.3
    zeros = with_ones(np.zeros(n))
    p = [compare.randomization_p(with_ones(rng.normal(effect, sd, n)), zeros, mean, 300, i) for i in range(300)]
    # predicted 0.77; 300 tests know it to 0.024, three of those
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(design.power(effect, n, sd), abs=0.075)


def test_without_spread_every_difference_is_seen_and_none_is_needed():
    assert design.power(0.1, 10, sd=0) == 1
    assert design.power(0.0, 10, sd=0) == 0
    assert design.smallest_visible_effect(10, sd=0) == 0
    assert design.sentences_needed(0.1, sd=0) == 1


# Input


ROWS = np.ones((4, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare.interval(ROWS.sum(axis=0), mean), r"statistics has shape \(2,\).*metric.statistics"),
        (lambda: compare.interval(ROWS[:1], mean), "two or more sentences"),
        (lambda: compare.interval(ROWS, mean, level=95), "level is 95"),
        (lambda: compare.interval(ROWS, mean, resamples=0), "resamples is 0"),
        (lambda: compare.interval(ROWS, mean, method="normal"), "method is 'normal'"),
        (
            lambda: compare.interval(ROWS, lambda totals: totals[..., 0] * np.nan),
            "not a number on 10000 of 10000",
        ),
        (lambda: compare.bootstrap_scores(ROWS, mean, resamples=-1), "resamples is -1"),
        (lambda: compare.paired_difference(ROWS, ROWS[:3], mean), r"\(4, 2\) and baseline of \(3, 2\)"),
        (lambda: compare.randomization_p(ROWS, ROWS, mean, resamples=0), "resamples is 0"),
        (lambda: design.sd_from_share_changed(40), "share_changed is 40"),
        (lambda: design.smallest_visible_effect(0, 1), "n is 0"),
        (lambda: design.smallest_visible_effect(10, -1), "sd is -1"),
        (lambda: design.smallest_visible_effect(10, 1, power=80), "power is 80"),
        (lambda: design.power(1, 10, 1, alpha=5), "alpha is 5"),
        (lambda: design.sentences_needed(0, 1), "effect is 0"),
    ],
)
def test_bad_input_is_reported_in_the_callers_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
