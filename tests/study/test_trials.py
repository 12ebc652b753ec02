"""The experiment log: settings in full, the map read back from it."""

import csv
import io

import pandas as pd
import pytest

from gecalign.config import profile
from gecalign.settings import settings_digest
from gecalign.study import Study, trials

TINY = profile("tiny")


def row(system: str, gain: float, seed: int = 0, **changes: object) -> dict[str, object]:
    changed = TINY.variant(**changes)
    return dict.fromkeys(trials.COLUMNS, "") | trials.settings(changed) | {
        "profile": "tiny", "digest": settings_digest(changed), "seed": seed, "system": system,
        "gain": gain, "metric": "bleu", "greedy": 70.0,
    }  # fmt: skip


def numbers(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Return rows as a table, as reading them from a file would give it."""
    buffer = io.StringIO(pd.DataFrame(rows).to_csv(index=False))
    return pd.read_csv(buffer)


@pytest.fixture
def log(tmp_path):
    rows = [
        row("dpo", 5.0, data__miss=0.6, sft__steps=600), row("dpo", -1.0, data__miss=0.0, sft__steps=200),
        row("grpo", 9.0, data__miss=0.6, sft__steps=600), row("dpo", 7.0, seed=1, data__miss=0.6, sft__steps=600),
        row("dpo", 99.0, data__miss=0.6, sft__steps=600, dpo__learning_rate=1e-3),  # another question
        row("dpo", 98.0, data__miss=0.33, sft__steps=600),  # not on the map
    ]  # fmt: skip
    path = tmp_path / "trials.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, trials.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_map_holds_the_trials_with_the_profiles_own_settings_and_no_others(log):
    found = trials.map_table(trials.read(log), TINY, "dpo")
    assert found.index.tolist() == [200, 600]
    assert found.columns.tolist() == [0.0, 0.6]
    assert found.loc[600, 0.6] == 5.0
    assert found.loc[200, 0.0] == -1.0
    assert pd.isna(found.loc[200, 0.6])
    assert trials.map_table(trials.read(log), TINY, "dpo", seed=1).loc[600, 0.6] == 7.0


def test_quick_trials_and_those_by_another_metric_are_not_among_the_others():
    rows = [
        row("dpo", 5.0), row("dpo", 9.0, dpo__beta=0.2) | {"gain": ""},
        row("dpo", 9.0, dpo__beta=0.3) | {"metric": "gleu"},
    ]  # fmt: skip
    assert trials.varying(numbers(rows), TINY, "dpo", "dpo.beta")["gain"].tolist() == [5.0]
    in_gleu = TINY.variant(yardstick__metric="gleu")
    assert trials.varying(numbers(rows), in_gleu, "dpo", "dpo.beta")["gain"].tolist() == [9.0]
    tried = [row("dpo", 0, data__miss=0.6, sft__steps=600) | {"last": 50.0, "metric": m} for m in ("bleu", "gleu")]
    assert len(trials.attempts(numbers(tried), 0.6, 600)) == 1


def test_a_star_marks_an_interval_without_zero():
    rows = [
        row("dpo", 2.0, data__miss=miss) | {"gain_low": low, "gain_high": high}
        for miss, low, high in ((0.0, 1.0, 3.0), (0.3, -1.0, 3.0), (0.6, -3.0, -1.0))
    ]
    found = trials.map_texts(numbers(rows), TINY, "dpo")
    assert found.iloc[0].tolist() == ["+2.0*", "+2.0", "+2.0*"]


def test_a_setting_that_is_none_is_empty_in_the_log():
    written = trials.settings(TINY)
    assert written["pairs.second_temperature"] == ""
    assert written["grpo.group_size"] == str(TINY.grpo.group_size)
    assert set(written) == set(trials.SETTINGS)


def test_the_log_that_is_committed_has_a_complete_map_of_the_books_settings():
    from project import PROJECT

    committed = trials.read(PROJECT / "results" / "trials.csv")
    assert list(committed.columns) == list(trials.COLUMNS)
    for system in trials.MAP_SYSTEMS:
        found = trials.map_table(committed, TINY, system)
        assert found.index.tolist() == list(trials.MAP_STEPS)
        assert found.columns.tolist() == list(trials.MAP_MISS)
        assert found.notna().all(axis=None)
    assert committed[committed["system"] == "dpo"]["gain"].min() < -10  # what failed is kept


def test_the_effect_of_a_setting_is_shown_with_all_others_as_in_the_profile():
    bleu = {"greedy": 77.0, "last": 43.0, "gain": 2.8, "gain_low": 0.5, "gain_high": 4.9}
    bleu |= {"sampled_gain": -1, "sampled_gain_low": -3, "sampled_gain_high": 1}
    rows = [
        row("dpo", 0, dpo__learning_rate=3e-4) | bleu,
        row("dpo", 0) | bleu | {"last": 76.9},
        row("dpo", 0, dpo__learning_rate=3e-4, dpo__beta=0.3) | bleu | {"greedy": 99.0},
        row("dpo", 0, data__miss=0.0) | bleu | {"greedy": 98.0},
        row("grpo", 0) | bleu | {"greedy": 97.0},
    ]
    found = trials.effect_of("dpo.learning_rate", numbers(rows), TINY, "dpo")
    assert found.index.tolist() == ["0.0001", "0.0003"]
    assert found["end"].tolist() == ["76.9", "43.0"]
    assert found["chosen"].tolist() == ["77.0", "77.0"]
    assert found.loc["0.0001", "95 % interval"] == "+0.5 to +4.9"
    assert found.loc["0.0001", "sampled gain"] == "-1.0"
    assert found.loc["0.0001", "its interval"] == "-3.0 to +1.0"


def test_attempts_are_listed_from_the_worst_with_what_was_set():
    bleu = {"data__miss": 0.6, "sft__steps": 600}
    rows = [
        row("dpo", 0, **bleu) | {"greedy": 77.0, "last": 76.5},
        row("dpo", 0, **bleu, dpo__learning_rate=1e-3) | {"greedy": 80.0, "last": 51.1},
        row("grpo", 0, **bleu) | {"greedy": 75.9, "last": 75.5},
        row("grpo", 0, data__miss=0.3, sft__steps=600) | {"last": 99.0},
        row("grpo", 0, seed=1, **bleu) | {"last": 98.0},
        row("sft", 0, **bleu) | {"last": 97.0},
    ]
    found = trials.attempts(numbers(rows), 0.6, 600)
    assert found["method"].tolist() == ["DPO", "GRPO", "DPO"]
    assert found["end"].tolist() == ["51.1", "75.5", "76.5"]
    assert found["best"].tolist() == ["80.0", "75.9", "77.0"]
    assert "rate 0.001, beta 0.1, 2000 x 4 samples at 0.7" in found["what was set"].tolist()[0]
    assert "c = 8, 80 x 64 samples at 0.7" in found["what was set"].tolist()[1]


def test_of_several_processes_one_writes_into_the_log(tmp_path, monkeypatch):
    log = tmp_path / "trials.csv"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        trials._append(row("dpo", 5.0), log)
    assert len(trials.read_rows(log)) == 1


def test_a_system_that_is_asked_for_twice_is_one_row(tmp_path, monkeypatch):
    measured = dict.fromkeys(trials.RESULTS, 1)
    monkeypatch.setattr(trials, "measure", lambda *_: measured)
    study, log = Study("smoke", 0, tmp_path / "runs"), tmp_path / "log.csv"
    assert len(trials.record(study, ["sft", "dpo", "sft"], log)) == 2
    assert [row["system"] for row in trials.read_rows(log)] == ["sft", "dpo"]


def test_all_scores_take_the_place_of_greedy_ones_and_what_is_known_is_said(tmp_path, monkeypatch, capsys):
    full = dict.fromkeys(trials.RESULTS, 1.0)
    greedy = full | dict.fromkeys(("gain", "sampled", "gain_low", "sampled_gain"), "")
    monkeypatch.setattr(trials, "measure", lambda study, system, greedy_only: greedy if greedy_only else full)
    study, log = Study("smoke", 0, tmp_path / "runs"), tmp_path / "log.csv"
    assert len(trials.record(study, ["dpo"], log, greedy_only=True)) == 1
    assert trials.record(study, ["dpo"], log, greedy_only=True) == []
    assert f"dpo: these settings are in {log} already." in capsys.readouterr().err
    assert len(trials.record(study, ["dpo"], log)) == 1
    assert [row["gain"] for row in trials.read_rows(log)] == ["1.0"]
    assert trials.read(log)["gain"].tolist() == [1.0]
    assert trials.record(study, ["dpo"], log, greedy_only=True) == []  # these are among the known ones
    assert trials.record(study, ["dpo"], log) == []
