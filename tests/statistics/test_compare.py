"""Intervals, tests and equivalence against closed forms, loops, SciPy, sacreBLEU and simulation."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from closed_forms import mean, plausible, with_ones
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest, _bootstrap_resample, estimate_ci
from scipy import stats

from gecalign import metrics
from gecalign.statistics import compare, design, resampling
from gecalign.statistics.resampling import Resampling


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


def bootstrap_scores(rows: np.ndarray, score, resamples: int = resampling.RESAMPLES) -> np.ndarray:
    how = Resampling(resamples)
    return resampling.bootstrap(resampling.stack({"one": rows}), lambda scores: scores, score, how)[0].scores


@pytest.fixture(scope="module")
def two_systems() -> tuple[np.ndarray, np.ndarray]:
    references, first, second = bleu_corpus(400, seed=1)
    return metrics.bleu.statistics(first, references), metrics.bleu.statistics(second, references)


# Intervals


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    scores = bootstrap_scores(with_ones(values), mean)
    assert scores.mean() == pytest.approx(values.mean(), abs=0.01)
    # plug-in standard error; 10,000 resamples know it to 0.7 % (1 / sqrt(2 * 10,000)), 3 % is four of those
    assert scores.std() == pytest.approx(values.std() / math.sqrt(400), rel=0.03)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_of_a_mean_is_the_normal_one(method):
    values = np.random.default_rng(1).normal(0, 1, size=1000)
    found = compare.interval(with_ones(values), mean, Resampling(level=0.9, method=method))
    half = 1.6449 * values.std() / math.sqrt(1000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert (found.estimate, found.n, found.level) == (pytest.approx(values.mean()), 1000, 0.9)


@pytest.mark.parametrize(("method", "scipys"), [("percentile", "percentile"), ("bca", "BCa")])
def test_interval_is_that_of_scipy_on_the_values_themselves(method, scipys):
    values = np.random.default_rng(2).exponential(size=40)  # skewed: the two methods differ
    found = compare.interval(with_ones(values), mean, Resampling(method=method))
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=scipys, rng=5).confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_bca_moves_the_interval_towards_the_long_tail():
    values = with_ones(np.random.default_rng(2).exponential(size=40))
    percentile, bca = (compare.interval(values, mean, Resampling(method=method)) for method in ("percentile", "bca"))
    assert bca.low > percentile.low
    assert bca.high > percentile.high


def test_bca_interval_of_bleu_is_that_of_its_formula(two_systems):
    # Efron (1987), by hand: quantiles moved by the bias z0 and the acceleration a, from loops
    rows = two_systems[0][:60]
    found = compare.interval(rows, metrics.bleu.score, Resampling(method="bca"))
    rng = np.random.default_rng(3)
    resampled = np.array([metrics.bleu.score(rows[rng.integers(60, size=60)].sum(axis=0)) for _ in range(20_000)])
    left_out = np.array([metrics.bleu.score(np.delete(rows, i, axis=0).sum(axis=0)) for i in range(60)])
    pull = left_out.mean() - left_out
    z0, a = stats.norm.ppf(np.mean(resampled < found.estimate)), (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    moved = [z0 + (z0 + z) / (1 - a * (z0 + z)) for z in (-1.959964, 1.959964)]
    low, high = np.quantile(resampled, stats.norm.cdf(moved))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.04 * (high - low))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_several_systems_at_once_have_the_intervals_that_each_has_alone(two_systems, method):
    systems = {"better": two_systems[0][:90], "worse": two_systems[1][:90], "third": two_systems[0][90:180]}
    found = compare.intervals(systems, metrics.bleu.score, Resampling(400, method=method))
    assert list(found) == list(systems)
    for name, rows in systems.items():
        alone = compare.interval(rows, metrics.bleu.score, Resampling(400, method=method))
        assert (found[name].low, found[name].high) == pytest.approx((alone.low, alone.high))
        assert found[name].estimate == pytest.approx(alone.estimate)
    compared = compare.paired_differences(
        systems, two_systems[1][180:270], metrics.bleu.score, Resampling(400, method=method)
    )
    for name, rows in systems.items():
        alone = compare.paired_difference(
            rows, two_systems[1][180:270], metrics.bleu.score, Resampling(400, method=method)
        )
        assert (compared[name].estimate, compared[name].p_value) == pytest.approx((alone.estimate, alone.p_value))
        limits = (alone.interval.low, alone.interval.high)
        assert (compared[name].interval.low, compared[name].interval.high) == pytest.approx(limits)


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
        compare.interval(with_ones(rng.normal(5, 1, size=50)), mean, Resampling(500, seed=i)) for i in range(400)
    ]
    covered = np.mean([found.low <= 5 <= found.high for found in intervals])
    # At n = 50 the percentile interval of a mean is a little short: z * sqrt(49/50) against t covers 0.94.
    # 400 simulations know that to 0.012; three of those on either side.
    assert 0.90 < covered < 0.98


def test_same_seed_same_interval_another_seed_another(two_systems):
    rows, _ = two_systems
    one, same, other = (compare.interval(rows, metrics.bleu.score, Resampling(300, seed=s)) for s in (0, 0, 1))
    assert one == same
    assert one != other


def test_resamples_do_not_depend_on_how_they_are_cut_for_memory(two_systems, monkeypatch):
    rows, _ = two_systems
    whole = bootstrap_scores(rows, metrics.bleu.score, 100)
    monkeypatch.setattr(resampling, "CHUNK", 7 * len(rows))
    np.testing.assert_allclose(bootstrap_scores(rows, metrics.bleu.score, 100), whole)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_statistics_that_do_not_vary_give_a_point(method):
    found = compare.interval(np.ones((10, 2)), mean, Resampling(method=method))
    assert (found.low, found.high) == (1, 1)


# Two systems


def test_identical_systems_have_no_difference_and_p_of_exactly_one(two_systems):
    rows, _ = two_systems
    found = compare.paired_difference(rows, rows, metrics.bleu.score, Resampling(200))
    assert (found.estimate, found.interval.low, found.interval.high) == (0, 0, 0)
    assert found.p_value == 1
    assert found.share_changed == 0


def test_difference_is_that_of_the_scores_and_positive_for_the_better_system(two_systems):
    better, worse = two_systems
    found = compare.paired_difference(better, worse, metrics.bleu.score, Resampling(500))
    scores = [metrics.bleu.score(rows.sum(axis=0)) for rows in two_systems]
    assert found.estimate == pytest.approx(scores[0] - scores[1])
    assert 0 < found.interval.low < found.estimate < found.interval.high
    assert found.p_value == pytest.approx(1 / 501)  # never 0
    assert found.share_changed == pytest.approx((better != worse).any(axis=1).mean())
    assert (found.n, found.interval.n) == (400, 400)


def test_swapping_the_systems_turns_the_sign_alone(two_systems):
    better, worse = two_systems
    one = compare.paired_difference(better, worse, metrics.bleu.score, Resampling(500))
    other = compare.paired_difference(worse, better, metrics.bleu.score, Resampling(500))
    assert other.estimate == -one.estimate
    assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low), rel=0.02)
    assert other.p_value == one.p_value


@pytest.mark.parametrize(
    "differences",
    # the last: its ties are equal but for rounding
    [[1, 1, 1, 1, 1, 0], [3, -1, 2, 2, -1, 1, 0, 0], [1, -1], [0.1, 0.1, 0.1, 0.3, -0.3]],
)
def test_randomization_p_is_that_of_all_sign_flips(differences):
    # The exact p-value, by enumeration: swapping sentence i flips the sign of its difference.
    signs = 1 - 2 * ((np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1)
    sums = np.abs(signs @ differences)
    exact = np.mean(sums >= abs(sum(differences)) - 1e-12)
    found = compare.randomization_p(with_ones(differences), with_ones(np.zeros(len(differences))), mean)
    assert found == pytest.approx(exact, abs=0.02)  # four standard errors at 10,000 swaps


def test_randomization_p_is_that_of_scipy():
    a, b = np.random.default_rng(4).normal(size=(2, 60))
    expected = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", rng=0, n_resamples=4000
    )
    assert compare.randomization_p(with_ones(a), with_ones(b), mean) == pytest.approx(expected.pvalue, abs=0.03)


def sacrebleus_p(references: list[str], systems: list[list[str]]) -> float:
    named = list(zip(("baseline", "system"), systems, strict=True))
    return PairedTest(named, {"BLEU": BLEU(references=[references])}, None, "ar", n_samples=3000)()[1]["BLEU"][
        1
    ].p_value


def test_randomization_p_is_sacrebleus():
    references, first, second = bleu_corpus(150, seed=5)
    pairs = [pair if i % 2 else pair[::-1] for i, pair in enumerate(zip(first, second, strict=True))]  # nearly as good
    systems = [list(outputs) for outputs in zip(*pairs, strict=True)]
    found = compare.randomization_p(*(metrics.bleu.statistics(s, references) for s in systems), metrics.bleu.score)
    assert 0.05 < found < 0.95
    assert found == pytest.approx(sacrebleus_p(references, systems), abs=0.035)  # 3,000 trials know it to 0.01


def test_ties_count_unlike_in_sacrebleu():
    # Three sentences count, all for the worse: of 8 ways to swap them 2 are as extreme, none is more so.
    references, *systems = bleu_corpus(150, seed=5, changed=0.03)
    better, worse = (metrics.bleu.statistics(hypotheses, references) for hypotheses in systems)
    assert (better != worse).any(axis=1).sum() == 3
    found = compare.randomization_p(better, worse, metrics.bleu.score)
    assert found == pytest.approx(2 / 8, abs=0.02)
    assert sacrebleus_p(references, systems) < 0.001


def test_p_is_uniform_where_nothing_differs():
    rng, studies = np.random.default_rng(5), 2000
    # 199 swaps: p <= 0.05 for exactly 10 of 200 ranks
    p = np.array([
        compare.randomization_p(*(with_ones(rng.normal(size=30)) for _ in "ab"), mean, 199, seed)
        for seed in range(studies)
    ])  # fmt: skip
    for level in (0.01, 0.05, 0.2, 0.5):
        low, high = plausible(studies, level)
        assert low <= np.sum(p <= level + 1e-9) <= high


def test_bleu_differs_significantly_in_one_of_twenty_where_nothing_differs():
    # Two systems that err alike, on the same hard and easy sentences: counts of n-grams by chance
    rng, studies, found = np.random.default_rng(6), 1500, 0
    for seed in range(studies):
        length, right = rng.integers(6, 17, 40), np.clip(rng.normal(0.85, 0.08, 40), 0.4, 0.99)
        both = []
        for _ in "ab":
            possible = (length + rng.integers(-1, 2, 40))[:, None] - np.arange(4)
            matched = rng.binomial(possible, right[:, None] ** np.arange(1, 5))
            both.append(np.column_stack([possible[:, 0], length, matched, possible]).astype(float))
        found += compare.randomization_p(*both, metrics.bleu.score, 199, seed) <= 0.05
    low, high = plausible(studies)
    assert low <= found <= high


def test_level_is_nearly_kept_where_systems_are_equally_good_but_not_interchangeable():
    # One changes half of the sentences, gains much on few and loses little on many: skewed, of mean 0. Swapping assumes
    # more than equal scores, and 200 sentences make up for it.
    rng, studies = np.random.default_rng(7), 1500
    zeros, found = with_ones(np.zeros(200)), 0
    for seed in range(studies):
        differences = (rng.random(200) < 0.5) * (rng.exponential(size=200) - 1)
        found += compare.randomization_p(with_ones(differences), zeros, mean, 199, seed) <= 0.05
    low, high = plausible(studies)
    assert low <= found <= high


def test_few_changed_sentences_can_never_be_significant():
    # Four changes, all for the better: one of 2^3 swaps is as good. A t-test would already call it significant.
    differences = np.zeros(500)
    differences[:4] = 1
    found = compare.paired_difference(with_ones(differences), with_ones(np.zeros(500)), mean)
    assert found.p_value == pytest.approx(1 / 8, abs=0.015)
    assert stats.ttest_1samp(differences, 0).pvalue < 0.05


def test_pairing_sees_what_two_intervals_do_not():
    references, *systems = bleu_corpus(400, seed=2, changed=0.1)
    better, worse = (metrics.bleu.statistics(hypotheses, references) for hypotheses in systems)
    separate = [compare.interval(rows, metrics.bleu.score, Resampling(500)) for rows in (better, worse)]
    paired = compare.paired_difference(better, worse, metrics.bleu.score, Resampling(500)).interval
    assert separate[0].low < separate[1].high  # they overlap
    assert paired.low > 0
    assert paired.high - paired.low < 0.6 * (separate[0].high - separate[0].low)


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_the_closed_test_of_bonferroni(seed):
    # By definition of closed testing: the largest Bonferroni p of all sets of hypotheses that contain this one.
    p_values = dict(enumerate(np.random.default_rng(seed).beta(0.3, 1.5, 5).round(seed % 4 + 1)))  # with ties
    sets = [chosen for size in range(1, 6) for chosen in itertools.combinations(p_values, size)]
    expected = {
        name: min(1, max(len(chosen) * min(p_values[other] for other in chosen) for chosen in sets if name in chosen))
        for name in p_values
    }
    found = compare.holm(p_values)
    assert found == pytest.approx(expected)
    assert list(found) == list(p_values)


def test_holm_keeps_the_chance_of_any_false_finding_also_where_some_are_true():
    rng, studies, uncorrected, corrected = np.random.default_rng(8), 4000, 0, 0
    for row in stats.norm.sf(rng.normal(4.0 * (np.arange(10) < 3), 1, (studies, 10))).tolist():
        p_values = dict(enumerate(row))
        adjusted = compare.holm(p_values)
        uncorrected += min(row[3:]) <= 0.05
        corrected += min(adjusted[i] for i in range(3, 10)) <= 0.05
    assert uncorrected > 0.25 * studies  # 1 - 0.95^7 is 0.30
    assert 0.02 * studies < corrected <= plausible(studies)[1]


def test_holm_of_one_changes_nothing_and_of_none_is_none():
    assert compare.holm({"a": 0.04}) == {"a": 0.04}
    assert compare.holm({}) == {}
    assert compare.holm({"a": 0.9, "b": 0.8}) == {"a": 1, "b": 1}


# Equivalence


@pytest.mark.parametrize(("shift", "margin"), [(0.0, 0.5), (0.2, 0.5), (-0.2, 0.5), (0.6, 0.5), (0.1, 0.2)])
def test_equivalence_is_two_t_tests_against_the_margins(shift, margin):
    values = np.random.default_rng(9).normal(shift, 1, 60)
    found = compare.equivalence(
        compare.paired_difference(with_ones(values), with_ones(np.zeros(60)), mean, Resampling(100)), margin
    )
    above = stats.ttest_1samp(values, -margin, alternative="greater")
    below = stats.ttest_1samp(values, margin, alternative="less")
    limits = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert found.p_value == pytest.approx(max(above.pvalue, below.pvalue))
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert found.equivalent == (found.p_value <= 0.05) == (-margin < limits.low and limits.high < margin)


@pytest.mark.parametrize("side", [-1, 1])
def test_equivalence_is_claimed_at_the_margin_as_often_as_alpha_says(side):
    rng, studies, margin, claimed = np.random.default_rng(10), 1500, 0.6, 0
    zeros = with_ones(np.zeros(40))
    for _ in range(studies):
        difference = compare.paired_difference(with_ones(rng.normal(side * margin, 1, 40)), zeros, mean, Resampling(2))
        claimed += compare.equivalence(difference, margin).equivalent
    low, high = plausible(studies)
    assert low <= claimed <= high


def test_a_small_test_set_shows_neither_a_difference_nor_that_there_is_none(two_systems):
    rng = np.random.default_rng(11)
    values = rng.normal(0, 1, 1000)
    few, many = (
        compare.paired_difference(with_ones(values[:n]), with_ones(np.zeros(n)), mean, Resampling(500))
        for n in (8, 1000)
    )
    assert few.p_value > 0.05
    assert not compare.equivalence(few, 0.2).equivalent
    assert compare.equivalence(many, 0.2).equivalent


def test_equivalence_without_any_scatter_asks_the_estimate_alone():
    one = compare.paired_difference(np.ones((5, 2)) * [3, 1], np.ones((5, 2)), mean, Resampling(10))
    assert (one.estimate, one.standard_error) == (2, 0)
    assert compare.equivalence(one, 2.1) == compare.Equivalence(True, 2.1, 0.0, 2.0, 2.0, 0.05)
    assert not compare.equivalence(one, 2).equivalent
    blind = compare.paired_difference(np.ones((5, 2)), np.ones((5, 2)) * 2, mean, Resampling(10))
    assert (blind.estimate, blind.standard_error, blind.share_changed) == (0, 0, 1)
    assert compare.equivalence(blind, 0.5) == compare.Equivalence(False, 0.5, 1.0, 0.0, 0.0, 0.05)


# The luck of choosing


def test_luck_of_choosing_among_independent_systems_is_the_expected_maximum():
    systems = {str(i): with_ones(one) for i, one in enumerate(np.random.default_rng(12).normal(size=(8, 500)))}
    luck = compare.luck_of_choosing(systems, mean)
    assert luck == pytest.approx(design.expected_maximum(8, 1 / math.sqrt(500)), rel=0.1)


def test_luck_of_choosing_is_less_where_systems_err_alike():
    rng = np.random.default_rng(13)
    shared, own = rng.normal(size=500), rng.normal(size=(8, 500))
    systems = {str(i): with_ones(math.sqrt(0.8) * shared + math.sqrt(0.2) * one) for i, one in enumerate(own)}
    expected = design.expected_maximum(8, 1 / math.sqrt(500), correlation=0.8)
    assert compare.luck_of_choosing(systems, mean) == pytest.approx(expected, rel=0.1)


def test_there_is_no_luck_in_choosing_one_or_among_the_same(two_systems):
    rows, _ = two_systems
    assert compare.luck_of_choosing({"a": rows}, metrics.bleu.score, 300) == pytest.approx(0, abs=1e-9)
    assert compare.luck_of_choosing({"a": rows, "b": rows}, metrics.bleu.score, 300) == pytest.approx(0, abs=1e-9)


def test_luck_of_choosing_does_not_depend_on_which_system_is_better():
    values = np.random.default_rng(14).normal(size=(3, 200))
    alike, apart = (
        compare.luck_of_choosing({str(i): with_ones(one + i * gap) for i, one in enumerate(values)}, mean, 500)
        for gap in (0, 5)
    )
    assert alike == pytest.approx(apart)


# What a test set can show


def test_influences_of_a_mean_are_its_deviations():
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(resampling.influences(with_ones(values), mean), values - values.mean(), atol=1e-12)


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda m: m.name)
def test_paired_sd_agrees_with_the_bootstrap(metric):
    references, first, second = bleu_corpus(400, seed=1)
    sources = second[::-1]
    a, b = (metric.statistics(hypotheses, references, sources) for hypotheses in (first, second))
    found = compare.paired_difference(a, b, metric.score)
    # a 95 % interval is 2 * 1.96 standard errors wide, to first order
    expected = (found.interval.high - found.interval.low) / (2 * 1.96) * math.sqrt(found.n)
    assert compare.paired_sd(a, b, metric.score) == pytest.approx(expected, rel=0.05)


# Input


ROWS = np.ones((4, 2))
FIRST, SECOND = np.repeat(np.eye(4)[:2, :, None], 2, axis=2)  # only one sentence counts: swapped, none is left


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare.interval(ROWS.sum(axis=0), mean), r"statistics has shape \(2,\).*metric.statistics"),
        (lambda: compare.interval(ROWS[:1], mean), "two or more sentences"),
        (lambda: compare.interval(ROWS, mean, Resampling(level=95)), "level is 95"),
        (lambda: compare.interval(ROWS, mean, Resampling(0)), "resamples is 0"),
        (lambda: compare.interval(ROWS, mean, Resampling(method="normal")), "method is 'normal'"),
        (
            lambda: compare.interval(ROWS, lambda totals: totals[..., 0] * np.nan),
            "not a number on 10000 of 10000",
        ),
        (lambda: compare.paired_difference(ROWS, ROWS[:3], mean), r"\(4, 2\) and baseline of \(3, 2\)"),
        (lambda: compare.randomization_p(ROWS, ROWS, mean, resamples=0), "resamples is 0"),
        (
            lambda: compare.randomization_p(np.ones((60, 2)), np.zeros((60, 2)), mean),
            "not a number on all sentences or on swapped",
        ),
        (lambda: compare.randomization_p(FIRST, SECOND, mean), "not a number on all sentences or on swapped"),
        (lambda: compare.luck_of_choosing({"a": ROWS}, mean, resamples=0), "resamples is 0"),
        (lambda: compare.equivalence(compare.paired_difference(ROWS, ROWS, mean), 0), "margin is 0"),
        (lambda: compare.equivalence(compare.paired_difference(ROWS, ROWS, mean), 1, alpha=5), "alpha is 5"),
    ],
)
def test_bad_input_is_reported_in_the_callers_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
