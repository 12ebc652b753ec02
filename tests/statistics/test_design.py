"""What a comparison can show: power, effects and the luck of choosing, against closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from closed_forms import mean, with_ones
from scipy import stats

from gecalign.metrics.scores import bleu
from gecalign.statistics import compare, design, seeds

# Power


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


@pytest.mark.parametrize("effect", [0.05, 0.2, 0.35])
def test_power_is_the_share_of_z_tests_that_find_the_right_sign(effect):
    n, sd, studies = 60, 1.0, 100_000
    means = np.random.default_rng(7).normal(effect, sd / math.sqrt(n), studies)
    found = np.mean(means * math.sqrt(n) / sd >= 1.959964)
    # a share of 100,000 is known to 0.16 %, four of those; a test that finds the wrong sign does not count
    assert design.power(effect, n, sd) == pytest.approx(found, abs=0.0064)


def test_power_predicted_for_bleu_is_the_share_of_significant_tests(bleu_pair):
    # The true difference is that of a large corpus; each study draws 100 sentences of it.
    system, baseline = bleu_pair
    effect = float(bleu.score(system.sum(axis=0)) - bleu.score(baseline.sum(axis=0)))
    power = design.power(effect, 100, compare.paired_sd(system, baseline, bleu.score))
    assert 0.3 < power < 0.9
    rng, studies, found = np.random.default_rng(8), 600, 0
    for i in range(studies):
        drawn = rng.integers(len(system), size=100)
        found += compare.randomization_p(system[drawn], baseline[drawn], bleu.score, 199, i) <= 0.05
    # 600 tests know it to 0.02, three of those
    assert found / studies == pytest.approx(power, abs=0.06)


@pytest.fixture(scope="module")
def bleu_pair() -> tuple[np.ndarray, np.ndarray]:
    """BLEU's counts of two systems on the same 4,000 sentences; the second gets fewer n-grams right."""
    rng = np.random.default_rng(9)
    length = rng.integers(6, 17, 4000)
    possible = np.stack([length - order for order in range(4)], axis=-1)
    matched = rng.binomial(possible, 0.85 ** np.arange(1, 5))
    worse = np.maximum(matched - (rng.random((4000, 1)) < 0.25) * rng.integers(-2, 4, (4000, 1)), 0)
    return tuple(
        np.concatenate([length[:, None], length[:, None], np.minimum(hits, possible), possible], axis=1).astype(float)
        for hits in (matched, worse)
    )


# Over seeds


def scattered(error: float, df: float) -> compare.Difference:
    interval = compare.Interval(0, 0, 0, "t", 100, 0, 0.95)
    return compare.Difference(0.0, interval, 1.0, "", error, df, 1.0, 100, (0.0,) * 5)


def test_effect_visible_over_seeds_is_that_of_sentences_where_these_are_many():
    many = scattered(7.8 / math.sqrt(2000), 1e7)
    assert seeds.visible_over_seeds(many) == pytest.approx(design.smallest_visible_effect(2000, 7.8), rel=1e-5)
    assert seeds.visible_over_seeds(scattered(0, 4)) == 0


def test_effect_visible_over_five_seeds_is_a_third_larger():
    # Bloom's (1995) multiplier with 4 degrees of freedom, from tables of t: 2.776 + 0.941
    assert seeds.visible_over_seeds(scattered(1, 4)) == pytest.approx(2.776445 + 0.940965, rel=1e-5)
    assert seeds.visible_over_seeds(scattered(2, 4), power=0.9, alpha=0.1) == pytest.approx(2 * (2.131847 + 1.533206))


@pytest.mark.parametrize("df", [4, 5, 8, 30])
def test_effect_visible_over_seeds_is_found_with_its_power(df):
    # exactly, by the noncentral t
    effect = seeds.visible_over_seeds(scattered(1, df))
    assert stats.nct.sf(stats.t.ppf(0.975, df), df, effect) == pytest.approx(0.8, abs=0.01)


def test_a_difference_of_the_visible_size_is_found_in_four_of_five_studies():
    studies, true_error = 1500, 0.3
    effect = seeds.visible_over_seeds(scattered(true_error, 4))
    scores = np.random.default_rng(10).normal(effect, true_error * math.sqrt(5), (studies, 5))
    systems = {str(i): with_ones(np.repeat(one[:, None], 3, axis=1)) for i, one in enumerate(scores)}
    found = seeds.paired_differences(systems, with_ones(np.zeros((5, 3))), mean)
    low, high = stats.binom.interval(0.99, studies, 0.79)
    assert low <= sum(one.p_value <= 0.05 for one in found.values()) <= high


def test_the_error_that_it_is_computed_from_is_as_uncertain_as_the_docstring_says():
    variances = np.random.default_rng(11).normal(size=(40_000, 5)).var(axis=1, ddof=1)
    truth_over_estimate = np.quantile(1 / np.sqrt(variances), [0.025, 0.975])
    assert truth_over_estimate == pytest.approx((0.6, 2.87), abs=0.06)
    assert "0.6 to 2.9 times" in " ".join(seeds.visible_over_seeds.__doc__.split())


# The luck of choosing


@pytest.mark.parametrize(
    ("m", "closed"),
    [
        (1, 0),
        (2, 1 / math.sqrt(math.pi)),
        (3, 3 / (2 * math.sqrt(math.pi))),
        (4, 3 / math.sqrt(math.pi) * (0.5 + math.asin(1 / 3) / math.pi)),
        (5, 5 / (4 * math.sqrt(math.pi)) * (1 + 6 / math.pi * math.asin(1 / 3))),
    ],
)
def test_expected_maximum_has_its_closed_forms(m, closed):
    assert design.expected_maximum(m) == pytest.approx(closed, abs=1e-9)
    assert design.expected_maximum(m, sd=0.86) == pytest.approx(0.86 * closed, abs=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_expected_maximum_of_correlated_candidates_is_that_of_simulation(correlation):
    rng = np.random.default_rng(12)
    shared, own = rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, 12))
    noise = 2 * (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)
    # the mean of 40,000 maxima is known to 0.01 at the most
    assert design.expected_maximum(12, 2, correlation) == pytest.approx(noise.max(axis=1).mean(), abs=0.04)


def test_expected_maximum_of_very_many_is_still_found():
    # Gumbel's approximation by the quantile, within a per cent for a million
    m, gamma = 10**6, 0.5772157
    low, high = (stats.norm.ppf(1 - share / m) for share in (1, 1 / math.e))
    assert design.expected_maximum(m) == pytest.approx((1 - gamma) * low + gamma * high, rel=0.01)


# Input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: design.sd_from_share_changed(40), "share_changed is 40"),
        (lambda: design.smallest_visible_effect(0, 1), "n is 0"),
        (lambda: design.smallest_visible_effect(10, -1), "sd is -1"),
        (lambda: design.smallest_visible_effect(10, 1, power=80), "power is 80"),
        (lambda: design.power(1, 10, 1, alpha=5), "alpha is 5"),
        (lambda: design.sentences_needed(0, 1), "effect is 0"),
        (lambda: design.power(1, 10, 0, alpha=5), "alpha is 5"),
        (lambda: design.sentences_needed(math.nan, 1), "effect is nan"),
        (lambda: design.sentences_needed(1, math.inf), "sd is inf"),
        (lambda: seeds.visible_over_seeds(scattered(1, 4), power=80), "power is 80"),
        (lambda: seeds.visible_over_seeds(scattered(1, 4), alpha=5), "alpha is 5"),
        (lambda: design.expected_maximum(0), "m is 0"),
        (lambda: design.expected_maximum(2, sd=-1), "sd -1"),
        (lambda: design.expected_maximum(2, correlation=1.5), "correlation 1.5"),
    ],
)
def test_bad_input_is_reported_in_the_callers_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
