"""What groups of c of n samples would see: exact expectations against enumeration and simulation."""

import itertools
import re

import numpy as np
import pytest
from scipy import stats

from gecalign.preferences import reward_check
from gecalign.preferences.reward_check import RewardCheck, by_group_size, verdict

RNG = np.random.default_rng(0)
# six samples a prompt: rewards with ties, one prompt without spread
REWARDS = np.array([[0.1, 0.1, 0.4, 0.9, 0.9, 0.9], [0.5] * 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]])


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_the_expectations_are_those_over_all_groups(size):
    groups = [[row[list(chosen)] for chosen in itertools.combinations(range(6), size)] for row in REWARDS]
    row = by_group_size(REWARDS, (size,)).loc[size]
    assert row["best"] == pytest.approx(np.mean([[g.max() for g in each] for each in groups]))
    assert row["silent"] == pytest.approx(np.mean([[np.ptp(g) == 0 for g in each] for each in groups]))
    assert row["mean"] == pytest.approx(REWARDS.mean())
    assert row["headroom"] == pytest.approx(row["best"] - row["mean"])


def test_larger_groups_are_silent_less_often_and_see_a_better_best():
    rewards = RNG.choice([0.0, 0.5, 1.0], size=(50, 16), p=[0.1, 0.2, 0.7])
    table = by_group_size(rewards)
    assert list(table.index) == [2, 4, 8, 16]
    assert table["silent"].is_monotonic_decreasing
    assert table["best"].is_monotonic_increasing


def test_group_sizes_beyond_the_samples_are_left_out():
    assert list(by_group_size(REWARDS).index) == [2, 4]


def test_the_deviation_is_that_of_groups_that_have_some():
    rewards = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert by_group_size(rewards, (2,))["deviation"].tolist() == [pytest.approx(np.std([0, 1], ddof=1))]


def test_rewards_that_differ_by_rounding_only_are_equal():
    assert by_group_size([[0.3, 0.1 + 0.2]], (2,))["silent"].tolist() == [1.0]


def spread_share(share: float, height: float = 0.5, prompts: int = 100) -> np.ndarray:
    """Return groups of 8 of which a share has one sample that earns more."""
    rewards = np.zeros((prompts, 8))
    rewards[: int(share * prompts), 0] = height
    return rewards


@pytest.mark.parametrize(
    ("rewards", "status", "words"),
    [
        (spread_share(0.8), "pass", "20 % of groups of 8 have no spread.*There is something to learn"),
        (spread_share(0.5), "pass", "50 %"),  # at the threshold
        (spread_share(0.3), "warn", "70 % of groups of 8.*Most samples will be thrown away"),
        (spread_share(0.05), "fail", "95 % of groups of 8.*next to nothing to learn"),
        (spread_share(1.0, height=0.001), "fail", "headroom below 0.01"),
    ],
)
def test_the_verdict_follows_from_its_thresholds_and_says_so(rewards, status, words):
    found = verdict(rewards, 8)
    assert found.status == status
    assert re.search(words, found.words)


@pytest.mark.parametrize("bad", [[0.1, 0.2], [[0.1], [0.2]], np.zeros((0, 4))])
def test_what_is_no_table_of_groups_is_refused(bad):
    with pytest.raises(ValueError, match=r"expected \(prompts, n\)"):
        by_group_size(bad)


def test_rewards_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        by_group_size([[0.1, np.nan]])


def test_a_verdict_on_groups_larger_than_the_samples_is_refused():
    with pytest.raises(ValueError, match="6 samples a prompt, too few for groups of 8"):
        verdict(REWARDS, 8)


def check(shift: float) -> RewardCheck:
    direct = RNG.uniform(0.2, 0.8, size=(100, 8))
    trainer = RNG.uniform(0.2, 0.8, size=(100, 8)) + shift
    return RewardCheck(direct, trainer, direct[:, 0], "bleu")


def test_two_ways_of_sampling_one_policy_agree_and_a_shifted_one_does_not():
    assert check(0.0).agree
    assert not check(0.05).agree
    same = np.full((5, 4), 0.5)
    assert RewardCheck(same, same, same[:, 0], "bleu").agree  # no spread at all


def test_few_prompts_disagree_by_chance_as_seldom_as_many():
    # six prompts, as in the tests of the study: by the limit of many prompts, 3.29, about 2 % would disagree
    rng = np.random.default_rng(0)
    checks = [RewardCheck(*rng.normal(0.5, 0.1, size=(2, 6, 4)), np.zeros(6), "bleu") for _ in range(2000)]
    assert sum(not one.agree for one in checks) <= stats.binom.ppf(0.999, 2000, reward_check.AGREEMENT_LEVEL)


def test_a_check_is_read_as_it_was_written(tmp_path):
    made = check(0.0)
    reward_check.write(made, tmp_path / "x.json")
    again = reward_check.read(tmp_path / "x.json")
    assert again.reward == "bleu"
    for name in ("direct", "trainer", "greedy"):
        assert np.allclose(getattr(again, name), getattr(made, name), atol=1e-6)
