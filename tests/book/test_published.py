"""Published figures: each says where it comes from; and one's own runs stand beside them without being made."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from project import PROJECT

from gecalign import config, metrics
from gecalign.book import published
from gecalign.runtime import store
from gecalign.systems import LABELS


@pytest.fixture(scope="module")
def figures() -> pd.DataFrame:
    return published.figures(PROJECT / "results" / "published.csv")


@pytest.fixture(scope="module")
def tested(small_study):
    """The profile and runs of a study of two seeds, with the evaluations that `gecalign run all` makes."""
    for seed in (0, 1):
        for system in published.SYSTEMS:
            small_study.of_seed(seed).evaluation(system, "test")
    return small_study.profile, small_study.runs


# ---- what others published


def test_every_figure_has_a_source_and_says_that_it_was_not_measured_here(figures):
    assert len(figures) > 20
    assert not figures[["study", "label", "metric", "stated", "standing", "source"]].eq("").any(axis=None)
    assert figures["standing"].str.contains(r"not (?:measured|run) here").all()
    addresses = figures.loc[figures["source"].str.startswith("http"), "source"]
    assert addresses.str.fullmatch(r"https://github\.com/[\w/.-]+/blob/[0-9a-f]{40}/[\w/.-]+").all()


def test_figures_are_on_our_scale_and_equal_what_the_source_writes(figures):
    known = figures.dropna(subset=["value"])
    assert known["value"].between(0, 100).all()
    for row in known.itertuples():
        scale = 100 if row.stated.startswith("0.") else 1
        assert row.value == pytest.approx(scale * float(row.stated))
    ranges = figures[figures["value"].isna()]
    assert (ranges["low"] < ranges["high"]).all()
    assert set(figures["system"]) - {""} <= set(LABELS)


def test_the_final_table_of_the_published_study_is_there(figures):
    final = figures[(figures["study"] == "published study") & (figures["prompt"] == "Fix grammar: {source}")]
    assert dict(zip(final["system"], final["value"], strict=True)) == {"sft": 46.77, "dpo": 47.16, "grpo": 47.12}
    assert final["rows"].eq(485).all()


def test_outside_a_clone_the_missing_figures_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"published\.csv, which does not exist. Work in a clone"):
        published.figures(tmp_path / "published.csv")


# ---- one's own runs


def test_own_runs_give_what_their_evaluations_score(tested, small_study):
    profile, runs = tested
    table = published.own([profile], runs).set_index(["system", "split"])
    assert list(table.index) == [(system, "test") for system in published.SYSTEMS]
    for system in published.SYSTEMS:
        row = table.loc[(system, "test")]
        both = [small_study.of_seed(seed).evaluation(system, "test").scores.row() for seed in (0, 1)]
        for metric in metrics.METRICS:
            assert row[metric.name] == pytest.approx(np.mean([scores[metric.name] for scores in both]))
        assert (row["seeds"], row["rows"], row["prompt"]) == (2, 12, "its own")
        assert row["low"] <= row["BLEU"] <= row["high"]


def test_one_seed_is_enough(tested, small_study, tmp_path):
    profile, runs = tested
    shutil.copytree(runs, tmp_path / "runs", ignore=shutil.ignore_patterns("seed-1", "results-*"))
    row = published.own([profile], tmp_path / "runs").set_index("system").loc["dpo"]
    assert row["seeds"] == 1
    assert row["BLEU"] == pytest.approx(small_study.of_seed(0).evaluation("dpo", "test").scores.scores["BLEU"].value)


def test_nothing_is_made_where_nothing_is(tmp_path):
    assert published.own(["smollm-135m", "as-published"], tmp_path).empty
    assert list(tmp_path.iterdir()) == []
    assert "`gecalign run all --profile smollm-135m`" in published.to_run("smollm-135m", runs=tmp_path)
    table = published.beside("as-published", runs=tmp_path)
    assert table["yours"].eq("").all()
    assert table.loc["SFT", "theirs, not measured here"] == "48.0"
    assert table.loc["SFT, another prompt", "theirs, not measured here"] == "46.8"


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"sft__steps": 61}, {"sft", "sft-continued", "dpo", "grpo"}),
        ({"dpo__beta": 0.2}, {"dpo"}),
        ({"pairs__temperature": 1.1}, {"dpo"}),
        ({"grpo__steps": 4}, {"sft-continued", "grpo"}),
        ({"data__dev_rows": 9}, set(published.SYSTEMS)),
        ({"decoding__max_new_tokens": 25}, set(published.SYSTEMS)),
        ({"prompt__template": "Mend: {source}\nCorrected:"}, set(published.SYSTEMS)),
    ],
)
def test_products_of_other_settings_are_left_out(tested, change, gone):
    profile, runs = tested
    found = published.own([profile.variant(**change)], runs)
    assert set(found["system"]) == set(published.SYSTEMS) - gone


def test_products_of_another_base_model_are_left_out(tested, tmp_path):
    profile, runs = tested
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    found = published.own([profile.variant(model__name=str(tmp_path / "other"))], runs)
    assert set(found["system"]) == {"copy"}


def test_a_second_prompt_has_rows_of_its_own(tested, small_study):
    profile, runs = tested
    other = config.Prompt("Fix: {source}\nNow:")
    asked = small_study.of_seed(0).evaluation("sft", "test", prompt=other, allow_other_prompt=True)
    table = published.beside(dataclasses.replace(profile, mismatched_prompt=other), "test", runs)
    assert table.loc["SFT, another prompt", "yours"] == f"{asked.scores.scores['BLEU'].value:.1f}"
    assert table.loc["DPO, another prompt", "yours"] == ""
    assert table.loc["DPO", "yours"] != ""


def test_what_is_missing_is_said(tested, tmp_path):
    profile, runs = tested
    assert published.to_run(profile, "test", runs) == f"every row of {profile.name} was measured by a run of yours"
    shutil.copytree(runs, tmp_path / "runs", ignore=shutil.ignore_patterns("grpo-test-*"))
    assert published.to_run(profile, "test", tmp_path / "runs").startswith(
        "not run here yet on test: GRPO: `gecalign run"
    )


def test_a_damaged_record_is_named(tested, tmp_path):
    profile, runs = tested
    shutil.copytree(runs, tmp_path / "runs")
    next((tmp_path / "runs" / profile.name / "seed-0").glob("dpo-test-*/stage.json")).write_text("{")
    with pytest.raises(store.StageError, match=r"has no readable stage\.json"):
        published.own([profile], tmp_path / "runs")


def test_committed_results_come_first(monkeypatch):
    monkeypatch.chdir(PROJECT)
    record = json.loads((PROJECT / "results" / "tiny" / "study.json").read_text(encoding="utf-8"))
    found = {run.system: run for run in published.find("tiny", PROJECT / "nowhere")}
    assert list(found) == list(published.SYSTEMS)
    assert list(found["grpo"].outputs) == record["seeds"]
    scores = pd.read_csv(PROJECT / "results" / "tiny" / "metrics.csv").query("system == 'grpo' and split == 'test'")
    assert found["grpo"].row()["BLEU"] == pytest.approx(scores["BLEU"].mean(), abs=1e-4)
