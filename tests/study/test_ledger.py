"""Predictions: what each is judged by, and what cannot be one."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gecalign import metrics
from gecalign.statistics import compare, seeds
from gecalign.statistics.compare import Difference, Interval
from gecalign.study import ledger, results
from gecalign.study.ledger import Expectation

MORE = Expectation("dpo", "DPO gains.", "dpo", "sft-continued", "GLEU", 1.0, 5.0, 1.0, 1.5, "as on tiny")
LESS = replace(MORE, low=-5.0, high=-1.0)
SAME = replace(MORE, low=-0.5, high=0.5)


def difference(estimate: float, error: float, df: float = 50.0) -> Difference:
    """Return a difference with a t-test of that standard error."""
    half = float(stats.t(df).ppf(0.975)) * error
    return Difference(
        estimate, Interval(estimate, estimate - half, estimate + half, 0.95, "t", 0, 747, ""),
        p_value=float(2 * stats.t(df).sf(abs(estimate) / error)), test="t", standard_error=error, df=df,
        share_changed=0.5, n=747, per_seed=(estimate, estimate),
    )  # fmt: skip


VERDICTS = [
    # predicted, estimate, standard error, verdict
    (MORE, 3.0, 0.5, "reproduced"),
    (MORE, 9.0, 0.5, "reproduced"),  # larger than expected, and on the right side
    (MORE, 1.0, 0.4, "reproduced"),  # found, and perhaps as large as what matters
    (MORE, 0.5, 0.1, "not here"),  # found, and shown to be too small to matter
    (MORE, 0.0, 0.1, "not here"),
    (MORE, -3.0, 0.5, "not here"),
    (MORE, -0.5, 1.0, "cannot be seen"),
    (MORE, 1.5, 1.0, "cannot be seen"),
    (LESS, -3.0, 0.5, "reproduced"),
    (LESS, 3.0, 0.5, "not here"),
    (LESS, -1.5, 1.0, "cannot be seen"),
    (SAME, 0.0, 0.2, "reproduced"),
    (SAME, 0.4, 0.1, "reproduced"),  # a difference that does not matter
    (SAME, 3.0, 0.5, "not here"),
    (SAME, -3.0, 0.5, "not here"),
    (SAME, 0.0, 1.0, "cannot be seen"),
    (SAME, 1.5, 1.0, "cannot be seen"),
]


@pytest.mark.parametrize(("predicted", "estimate", "error", "verdict"), VERDICTS)
def test_what_a_difference_says_of_a_prediction(predicted, estimate, error, verdict):
    found = difference(estimate, error)
    assert ledger.verdict(predicted, found, found.p_value) == verdict


def test_a_difference_that_its_correction_takes_away_is_not_seen():
    found = difference(3.0, 1.2)
    assert ledger.verdict(MORE, found, found.p_value) == "reproduced"
    assert ledger.verdict(MORE, found, min(1.0, 5 * found.p_value)) == "cannot be seen"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": "dqo"}, "'dqo' is no system"),
        ({"against": "nothing"}, "'nothing' is no system"),
        ({"metric": "gleu"}, "'gleu' is no metric. Metrics: BLEU, GLEU"),
        ({"low": 6.0}, "the lower one"),
        ({"margin": 0.0}, "the margin is 0.0"),
        ({"low": -3.0, "high": 3.0}, "none that matters can be expected"),
    ],
)
def test_what_is_no_prediction_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(MORE, **changes)


def test_the_side_is_where_the_difference_is_expected():
    assert [one.side for one in (MORE, LESS, SAME)] == [1, -1, 0]
    assert replace(MORE, low=0.0, high=2.0).side == 1
    assert replace(MORE, low=-2.0, high=0.0).side == -1
    assert replace(MORE, low=0.0, high=0.0).side == 0


def write(path: Path, *predictions: Expectation, **changes: str) -> Path:
    rows = [{name: str(value) for name, value in asdict(one).items()} | changes for one in predictions]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_predictions_are_read_as_they_were_written(tmp_path):
    others = [replace(LESS, name="less", claim='It says "less", or so.'), replace(SAME, name="same")]
    assert ledger.read(write(tmp_path / "predictions.csv", MORE, *others)) == [MORE, *others]


def test_a_row_that_is_no_prediction_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"prediction 1 \(dpo\): could not convert string to float: 'much'"):
        ledger.read(write(tmp_path / "p.csv", MORE, low="much"))
    with pytest.raises(ValueError, match="prediction 2: another is called 'dpo', too"):
        ledger.read(write(tmp_path / "p.csv", MORE, LESS))
    (tmp_path / "p.csv").write_text("name,claim\na,b\n")
    with pytest.raises(ValueError, match="no column 'system'"):
        ledger.read(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text(",".join(field.name for field in fields(Expectation)) + "\nshort,row\n")
    with pytest.raises(ValueError, match=r"prediction 1 \(short\)"):
        ledger.read(tmp_path / "p.csv")


def test_predictions_are_judged_over_seeds_with_what_was_run(small_study):
    found = results.load(small_study.folder, small_study.profile)
    other = replace(MORE, name="copy", system="copy", against="sft", metric="BLEU")
    not_run = replace(MORE, name="rloo", system="rloo")
    judged = {one.expectation.name: one for one in ledger.judge([MORE, other, not_run], found)}
    assert list(judged) == ["dpo", "copy"]
    scored = [found.statistics(metrics.gleu, system) for system in ("dpo", "sft-continued")]
    own = seeds.paired_differences({"dpo": scored[0]}, scored[1], metrics.gleu.score)["dpo"]
    assert judged["dpo"].found.estimate == own.estimate
    assert judged["copy"].found.estimate == pytest.approx(
        np.mean([np.subtract(*(metrics.bleu.score(found.statistics(metrics.bleu, s)[i].sum(axis=0))
                               for s in ("copy", "sft"))) for i in (0, 1)])
    )  # fmt: skip


def test_differences_that_are_predicted_are_corrected_for_their_number(small_study):
    found = results.load(small_study.folder, small_study.profile)
    predictions = [MORE, replace(LESS, name="grpo", system="grpo"), replace(SAME, name="same", system="raft")]
    raw = {name: one.p_value for name, one in ledger.differences(predictions, found).items()}
    judged = {one.expectation.name: one.p_value for one in ledger.judge(predictions, found)}
    assert judged["same"] == raw["same"]  # none was predicted
    assert {name: judged[name] for name in ("dpo", "grpo")} == compare.holm({n: raw[n] for n in ("dpo", "grpo")})


def test_the_size_is_looked_at_apart_from_the_side():
    assert ledger.Judgement(MORE, difference(3.0, 0.5), 0.0, "reproduced").as_large_as_expected
    assert not ledger.Judgement(MORE, difference(9.0, 0.5), 0.0, "reproduced").as_large_as_expected
