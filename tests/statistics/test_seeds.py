"""Comparisons over seeds and sentences against closed forms, loops, and the errors they make in simulated studies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from closed_forms import mean, plausible, with_ones
from scipy import stats

from gecalign import metrics
from gecalign.statistics import compare, resampling, seeds
from gecalign.statistics.resampling import Resampling

LEVEL = 0.05
STUDIES = 4000  # in a simulation: 5 % of them is known to 0.35 %


def drawn(rng, studies: int, of_seeds: float, of_sentences: float, of_both: float, runs: int = 5, n: int = 40):
    """Differences without any true difference, (studies, runs, n), from variances *of their mean*."""
    return (
        rng.normal(0, math.sqrt(runs * of_seeds), (studies, runs, 1))
        + rng.normal(0, math.sqrt(n * of_sentences), (studies, 1, n))
        + rng.normal(0, math.sqrt(runs * n * of_both), (studies, runs, n))
    )


def against_zero(values: np.ndarray, how: Resampling = seeds.BY_T) -> list[compare.Difference]:
    """Compare each study's differences, (studies, runs, n), with a baseline of zeros."""
    zeros = with_ones(np.zeros(values.shape[1:]))
    return list(
        seeds.paired_differences({str(i): with_ones(one) for i, one in enumerate(values)}, zeros, mean, how).values()
    )


def false_positives(values: np.ndarray) -> int:
    return sum(found.p_value <= LEVEL for found in against_zero(values))


def bleu_counts(rng, quality: np.ndarray) -> np.ndarray:
    """BLEU's counts of sentences whose words are right with these probabilities: their shape + (10,)."""
    reference = rng.integers(6, 17, quality.shape)
    hypothesis = reference + rng.integers(-1, 2, quality.shape)
    possible = np.stack([hypothesis - order for order in range(4)], axis=-1)
    matched = rng.binomial(possible, quality[..., None] ** np.arange(1, 5))
    return np.concatenate([hypothesis[..., None], reference[..., None], matched, possible], axis=-1).astype(float)


def bleu_studies(rng, studies: int, seed_sd: float, runs: int = 5, n: int = 40):
    """Two equally good systems in each of many studies, (studies, runs, n, 10): hard sentences are hard for both."""
    hard = rng.normal(0, 0.06, (studies, 1, n))
    return tuple(
        bleu_counts(rng, np.clip(0.85 + hard + rng.normal(0, seed_sd, (studies, runs, 1)), 0.3, 0.99)) for _ in "ab"
    )


# Closed forms


def test_without_sentences_it_is_the_t_test_of_the_seeds():
    # In a run all sentences are alike: only the scores of the runs are left.
    scores = np.array([0.3, 1.1, -0.2, 0.9, 0.6])
    (found,) = against_zero(np.repeat(scores[:, None], 30, axis=1)[None])
    expected = stats.ttest_1samp(scores, 0)
    limits = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx((limits.low, limits.high))
    assert (found.df, found.seeds, found.n) == (pytest.approx(4), 5, 30)
    assert found.per_seed == pytest.approx(scores)


def test_without_seeds_it_is_the_paired_t_test_of_the_sentences():
    # All runs wrote the same: they are one run.
    a, b = np.random.default_rng(0).normal(0.3, 1, (2, 50))
    found = seeds.paired_differences({"a": with_ones(np.tile(a, (5, 1)))}, with_ones(np.tile(b, (5, 1))), mean)["a"]
    expected = stats.ttest_rel(a, b)
    limits = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx((limits.low, limits.high))
    assert found.df == pytest.approx(49)


def test_variances_are_those_of_the_table_of_a_two_way_layout():
    values = drawn(np.random.default_rng(1), 1, 0.8, 0.8, 0.1, runs=4, n=7)[0]
    runs, n = values.shape
    of_seeds = of_sentences = of_both = 0.0
    grand = values.mean()
    for i in range(runs):
        of_seeds += n * (values[i].mean() - grand) ** 2 / (runs - 1)
        for j in range(n):
            left = values[i, j] - values[i].mean() - values[:, j].mean() + grand
            of_both += left**2 / ((runs - 1) * (n - 1))
    for j in range(n):
        of_sentences += runs * (values[:, j].mean() - grand) ** 2 / (n - 1)
    found = seeds.spread(with_ones(values), with_ones(np.zeros_like(values)), mean)
    expected = np.array([of_seeds, of_sentences, of_both]) / (runs * n)
    assert (found.seeds, found.sentences, found.both) == pytest.approx(tuple(expected))
    assert found.standard_error == pytest.approx(math.sqrt(expected[0] + expected[1] - expected[2]))


@pytest.mark.parametrize(("of_seeds", "of_sentences"), [(0.1, 2.0), (2.0, 0.1)])
def test_neither_source_makes_a_mean_surer_than_the_other(of_seeds, of_sentences):
    # Less variance than what both contain is possible in a sample, never in truth.
    found = seeds.Spread(seeds=of_seeds, sentences=of_sentences, both=0.5)
    assert found.standard_error == pytest.approx(math.sqrt(2))


def test_degrees_of_freedom_lie_between_those_of_seeds_and_of_sentences():
    rng = np.random.default_rng(2)
    few = against_zero(drawn(rng, 1, 1, 0.01, 0.001))[0].df
    between = against_zero(drawn(rng, 1, 0.3, 1, 0.01))[0].df
    assert 4 <= few < 5
    assert few < between < 39
    # Satterthwaite: for sums of independent variances, by hand
    values = drawn(rng, 1, 0.5, 1, 0)
    found = against_zero(values)[0]
    a, b = values[0].mean(axis=1).var(ddof=1) / 5, values[0].mean(axis=0).var(ddof=1) / 40
    assert found.df == pytest.approx((a + b) ** 2 / (a**2 / 4 + b**2 / 39))


def test_interval_and_p_value_agree_on_what_is_significant():
    for found in against_zero(drawn(np.random.default_rng(3), 300, 1, 1, 0.2)):
        assert (found.p_value <= LEVEL) == (not found.interval.low <= 0 <= found.interval.high)


def test_interval_of_one_method_is_that_of_its_difference_to_nothing():
    values = drawn(np.random.default_rng(4), 1, 1, 1, 0.2)
    one, difference = seeds.interval(with_ones(values[0]), mean), against_zero(values)[0].interval
    assert (one.low, one.high) == pytest.approx((difference.low, difference.high))
    assert (one.method, one.seeds, one.n, one.resamples) == ("t", 5, 40, 0)


def test_systems_that_wrote_the_same_have_p_of_exactly_one():
    rng = np.random.default_rng(5)
    same, _ = bleu_studies(rng, 1, 0.02)
    found = seeds.paired_differences({"same": same[0]}, same[0], metrics.bleu.score)["same"]
    assert (found.p_value, found.estimate, found.interval.low, found.interval.high) == (1, 0, 0, 0)
    assert found.share_changed == 0


def test_swapping_the_systems_turns_the_sign_alone():
    (a,), (b,) = bleu_studies(np.random.default_rng(6), 1, 0.02)
    one = seeds.paired_differences({"x": a}, b, metrics.bleu.score)["x"]
    other = seeds.paired_differences({"x": b}, a, metrics.bleu.score)["x"]
    assert other.estimate == pytest.approx(-one.estimate)
    assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low))
    assert other.p_value == pytest.approx(one.p_value)


# What it does in simulated studies


@pytest.mark.parametrize(
    ("of_seeds", "of_sentences", "of_both"),
    [(0, 1, 0), (0.1, 1, 0.2), (0.5, 1, 0.2), (1, 1, 0.2), (1, 0, 0)],
    ids=["sentences alone", "seeds a little", "seeds half", "seeds as much", "seeds alone"],
)
def test_five_seeds_find_what_is_not_there_in_one_of_twenty_studies(of_seeds, of_sentences, of_both):
    low, high = plausible(STUDIES)
    values = drawn(np.random.default_rng(7), STUDIES, of_seeds, of_sentences, of_both)
    assert low <= false_positives(values) <= high


def test_what_seeds_and_sentences_share_makes_it_careful():
    # True variances of 0 are estimated as a little more, never as less: fewer false findings than promised, about 2 %.
    values = drawn(np.random.default_rng(8), STUDIES, 0, 0, 1)
    assert 0 < false_positives(values) < plausible(STUDIES)[0]


@pytest.mark.parametrize(("runs", "rate"), [(2, 0.126), (3, 0.078), (5, 0.057)])
def test_level_is_nearly_kept_by_five_seeds_and_not_by_two_or_three(runs, rate):
    # The worst case: seeds matter much more than sentences, and the degrees of freedom come out too high by chance.
    # The rates come from 400,000 draws of the three variances as chi-squared; they stand in the module.
    low, high = plausible(STUDIES, rate)
    values = drawn(np.random.default_rng(9), STUDIES, 10, 1, 0.1, runs=runs)
    assert low <= false_positives(values) <= high


@pytest.mark.parametrize("seed_sd", [0, 0.01, 0.04])
def test_bleu_keeps_its_level_too(seed_sd):
    studies = 1000
    low, high = plausible(studies)
    rng = np.random.default_rng(10)
    found = [
        seeds.paired_differences({"a": a}, b, metrics.bleu.score)["a"]
        for a, b in zip(*bleu_studies(rng, studies, seed_sd), strict=True)
    ]
    significant = sum(one.p_value <= LEVEL for one in found)
    assert significant <= high
    if seed_sd:  # with no true variance of seeds it is careful
        assert low <= significant
        squared = np.mean([one.standard_error**2 for one in found])
        # the variance of 1,000 estimates is known to 4.5 %
        assert squared == pytest.approx(np.var([one.estimate for one in found], ddof=1), rel=0.15)


def test_intervals_of_bleu_cover_the_score_of_all_seeds_and_sentences():
    # the truth: the score of very many of both
    rng, studies = np.random.default_rng(11), 1000
    (many, _) = bleu_studies(rng, 1, 0.03, runs=400, n=1000)
    truth = metrics.bleu.score(many[0].sum(axis=1)).mean()
    found = [seeds.interval(one, metrics.bleu.score) for one in bleu_studies(rng, studies, 0.03)[0]]
    missed = sum(not one.low <= truth <= one.high for one in found)
    assert plausible(studies)[0] <= missed <= plausible(studies, 0.06)[1]


def test_a_true_difference_is_found_with_the_power_that_its_error_promises():
    # by the noncentral t: seeds alone, so 4 degrees of freedom
    effect, error = 3.5, 1.0
    power = stats.nct.sf(stats.t.ppf(1 - LEVEL / 2, 4), 4, effect / error)
    values = effect + drawn(np.random.default_rng(12), STUDIES, error**2, 0, 0)
    low, high = plausible(STUDIES, power)
    assert low <= false_positives(values) <= high


def test_equivalence_is_not_claimed_at_the_margin_more_often_than_alpha():
    studies, margin = 1500, 4.0
    for of_seeds, of_sentences in ((0.2, 0.8), (0.8, 0.2)):
        values = margin + drawn(np.random.default_rng(13), studies, of_seeds, of_sentences, 0.05)
        claimed = sum(compare.equivalence(one, margin).equivalent for one in against_zero(values))
        assert 0 < claimed <= plausible(studies)[1]


def test_holm_over_methods_that_share_a_control_keeps_the_chance_of_any_false_finding():
    # Six methods and a control over the same seeds and sentences: their comparisons are correlated by 1/2.
    rng, studies, any_found, any_corrected = np.random.default_rng(14), 600, 0, 0
    everything = drawn(rng, studies * 7, 0.3, 0.7, 0.1).reshape(studies, 7, 5, 40)
    for systems in everything:
        named = {str(i): with_ones(one) for i, one in enumerate(systems[1:])}
        found = seeds.paired_differences(named, with_ones(systems[0]), mean)
        p_values = {name: one.p_value for name, one in found.items()}
        any_found += min(p_values.values()) <= LEVEL
        any_corrected += min(compare.holm(p_values).values()) <= LEVEL
    assert any_found > 3 * LEVEL * studies
    assert any_corrected <= plausible(studies)[1]


def test_one_run_in_ten_that_collapses_is_not_seen_by_five():
    # A method that gains 1 in nine runs and loses 9 in the tenth gains nothing, and five seeds call it better in more
    # than half of all studies. Nothing computed from five values can tell; looking at runs can.
    rng, studies = np.random.default_rng(15), 400
    scores = np.where(rng.random((studies, 5)) < 0.1, -9, 1) + rng.normal(0, 0.3, (studies, 5))
    assert scores.mean() == pytest.approx(0, abs=0.4)
    found = against_zero(np.repeat(scores[..., None], 3, axis=2))
    assert sum(one.p_value <= LEVEL and one.estimate > 0 for one in found) > 0.5 * studies


# Resampling both


def test_resampled_interval_is_that_of_a_loop():
    rng = np.random.default_rng(16)
    (a,), (b,) = bleu_studies(rng, 1, 0.03)
    found = seeds.paired_differences({"a": a}, b, metrics.bleu.score, Resampling(method="percentile"))["a"].interval
    differences = []
    for _ in range(4000):
        sentences, runs = rng.integers(40, size=40), rng.integers(5, size=4)
        differences.append(
            np.mean([
                metrics.bleu.score(a[run][sentences].sum(axis=0)) - metrics.bleu.score(b[run][sentences].sum(axis=0))
                for run in runs
            ])
        )  # fmt: skip
    low, high = np.quantile(differences, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    assert (found.method, found.resamples) == ("percentile", resampling.RESAMPLES)


def test_one_run_fewer_is_drawn_so_that_few_vary_as_much_as_they_should():
    scores = np.array([0.0, 0.5, 1.0, 2.0, 4.0])  # sentences do not vary: the variance of the mean is s^2 / 5
    resampled = seeds._resample([with_ones(np.repeat(scores[:, None], 3, axis=1))], mean, 20_000, seed=0)
    assert resampled.std() == pytest.approx(scores.std(ddof=1) / math.sqrt(5), rel=0.03)


def test_resamples_are_the_same_however_they_are_cut_for_memory(monkeypatch):
    (a,), (b,) = bleu_studies(np.random.default_rng(17), 1, 0.03)
    spread = []
    for chunk in (resampling.CHUNK, 7 * 40):
        monkeypatch.setattr(resampling, "CHUNK", chunk)
        resampled = seeds._resample([a, b], metrics.bleu.score, 3000, seed=0)
        assert resampled.shape == (3000,)
        spread.append(resampled.std())
    assert spread[0] == pytest.approx(spread[1], rel=0.1)


def test_resampling_five_seeds_is_too_sure_of_itself_and_so_t_is_the_default():
    studies = 1000
    # A few sentences suffice where they hardly vary.
    values = drawn(np.random.default_rng(18), studies, 1, 0.02, 0.01, n=6)
    found = against_zero(values, Resampling(400, method="percentile"))
    outside = sum(not one.interval.low <= 0 <= one.interval.high for one in found)
    by_t = sum(one.p_value <= LEVEL for one in found)
    assert outside > 2 * LEVEL * studies
    assert by_t <= plausible(studies, 0.058)[1]
    assert seeds.interval(with_ones(values[0]), mean).method == "t"


def test_resampling_counts_what_seeds_and_sentences_share_too_often():
    # Owen (2007): of a variance that both share alone, about three times as much; never less than there is.
    values = drawn(np.random.default_rng(19), 40, 0, 0, 1)
    resampled = [seeds._resample([with_ones(one)], mean, 500, seed=0).var() for one in values]
    assert 2 < np.mean(resampled) < 4


# Input

ROWS = np.random.default_rng(20).random((3, 4, 2)) + 1
UNDEFINED = np.ones((2, 4, 2)) * [[[1, 1]], [[0, 0]]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: seeds.interval(ROWS[0], mean),
            r"statistics has shape \(4, 2\).*two or more seeds.*gecalign.statistics.compare",
        ),
        (lambda: seeds.interval(ROWS[:1], mean), "two or more seeds"),
        (lambda: seeds.interval(ROWS[:, :1], mean), "two or more sentences"),
        (lambda: seeds.interval(ROWS, mean, Resampling(level=95)), "level is 95"),
        (lambda: seeds.interval(ROWS, mean, Resampling(method="bca")), "method is 'bca'"),
        (lambda: seeds.interval(ROWS, mean, Resampling(0)), "resamples is 0"),
        (lambda: seeds.interval(UNDEFINED, mean), r"score of statistics is not a number with seeds \[1\]"),
        (lambda: seeds.paired_differences({"raft": ROWS[:2]}, ROWS, mean), r"raft has .*\(2, 4, 2\) and .*\(3, 4, 2\)"),
        (lambda: seeds.paired_differences({"raft": UNDEFINED}, ROWS[:2], mean), "score of raft is not a number"),
    ],
)
def test_bad_input_is_reported_in_the_callers_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
