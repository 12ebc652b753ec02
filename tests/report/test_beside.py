"""One run beside the runs of the record."""

import numpy as np
import pytest
from scipy import stats

from gecalign.report import beside


def test_about_95_of_100_further_runs_lie_where_they_are_expected():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        *record, another = rng.normal(70, 3, 7)
        low, high = beside.of(record, another).expected
        inside.append(low <= another <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_the_expected_range_is_students_for_one_more_value():
    values = [73.1, 74.4, 73.8]
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) * np.sqrt(1 + 1 / 3)
    assert beside.of(values, 0).expected == pytest.approx((np.mean(values) - half, np.mean(values) + half))


def test_one_run_tells_nothing_about_another():
    assert np.isnan(beside.of([73.1], 74).expected).all()


def test_words_and_table_hold_range_seeds_and_this_run():
    one = beside.of([73.14, 74.41, 73.0], 73.96)
    assert one.words() == "in the record 73.0 to 74.4 over 3 seeds, here 74.0"
    row = beside.table({"BLEU": one}).loc["BLEU"]
    assert row["record, range"] == "73.0 to 74.4"
    assert row["record, mean"] == "73.5"
    assert row["this run"] == "74.0"


def test_a_share_is_expected_between_0_and_100():
    low, high = beside.share([0.1, 3.0, 0.2], 1).expected
    assert low == 0
    assert high == beside.of([0.1, 3.0, 0.2], 1).expected[1]
    assert beside.share([99, 90, 98], 1).expected[1] == 100
