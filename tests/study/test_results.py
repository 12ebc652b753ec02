"""Results: what is stored is what was measured, and everything else follows from the predictions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gecalign import config, metrics
from gecalign.corpus import data
from gecalign.settings import settings_digest
from gecalign.study import multiseed, results
from gecalign.systems import RECORDED, UNTRAINED

COMMITTED = Path(__file__).resolve().parents[2] / "results"
STUDIES = [path.parent.name for path in sorted(COMMITTED.glob("*/study.json"))]


@pytest.fixture(scope="module")
def loaded(small_study) -> results.Results:
    return results.load(small_study.folder, small_study.profile)


def test_every_system_is_there_with_every_seed_as_it_was_evaluated(small_study, loaded):
    assert loaded.seeds == [0, 1]
    for seed in loaded.seeds:
        for system in RECORDED:
            for split, name in results.evaluations(system):
                asked = results.decoding(small_study.profile, name)
                expected = small_study.of_seed(seed).evaluation(system, split, asked)
                assert loaded.outputs(system, seed, split, name).predictions == expected.predictions


def test_sampled_outputs_are_not_the_greedy_ones(loaded):
    greedy, sampled = (loaded.outputs("sft", 0, "dev", name).hypotheses for name in ("greedy", "sampled"))
    assert greedy != sampled


def test_statistics_are_those_of_the_texts_seed_by_seed(loaded):
    for metric in metrics.METRICS:
        rows = loaded.statistics(metric, "dpo")
        assert rows.shape[:2] == (2, 12)
        for seed, found in zip(loaded.seeds, rows, strict=True):
            outputs = loaded.outputs("dpo", seed)
            expected = metric.statistics(outputs.hypotheses, outputs.references, outputs.sources)
            np.testing.assert_array_equal(found, expected)


def test_the_budget_is_what_the_stages_report(small_study, loaded):
    budget = loaded.budget.set_index(["system", "seed"])
    study = small_study.of_seed(1)
    assert len(budget) == 2 * len([name for name in RECORDED if name not in UNTRAINED])
    grpo, samples = study.grpo(), study.samples()
    assert budget.loc[("grpo", 1)].to_dict() == {
        "prompts": grpo.facts["prompts_in_all"], "sampled tokens": grpo.facts["sampled_tokens"],
        "trained tokens": grpo.facts["tokens"], "updates": 8, "seconds": grpo.record["seconds"],
    }  # fmt: skip
    for system in ("dpo", "dpo-reference", "raft", "random-of-k"):
        assert budget.loc[(system, 1), "sampled tokens"] == samples.facts["tokens"]
        assert budget.loc[(system, 1), "prompts"] == 16
    assert budget.loc[("sft-continued", 1), "sampled tokens"] == 0
    assert budget.loc[("sft-continued", 1), "prompts"] == 8 * 8
    both = study.dpo().record["seconds"] + samples.record["seconds"]
    assert budget.loc[("dpo", 1), "seconds"] == pytest.approx(both)


def test_checkpoints_mark_the_one_that_was_chosen(small_study, loaded):
    rows = loaded.tables["checkpoints"].query("system == 'sft' and seed == 0")
    assert rows["step"].is_monotonic_increasing
    assert rows.loc[rows["chosen"], "step"].tolist() == [small_study.of_seed(0).sft().facts["chosen_step"]]
    assert rows.loc[rows["chosen"], "BLEU"].tolist() == [rows["BLEU"].max()]


def test_what_the_study_did_not_ask_is_answered_with_what_it_did(loaded):
    with pytest.raises(ValueError, match=r"no outputs of 'stf' with seed 0 on test, greedy. Systems: copy, base, sft"):
        loaded.outputs("stf", 0)
    with pytest.raises(ValueError, match="with seed 7"):
        loaded.outputs("sft", 7)


def test_a_model_of_the_record_is_known_as_one_of_it_and_any_other_as_one_more_draw(small_study, loaded):
    assert "the record's of seed 1, byte for byte" in loaded.kinship(small_study.of_seed(1), "dpo")
    models = loaded.record["models"] | {"dpo 1": "of another processor"}
    elsewhere = replace(loaded, record=loaded.record | {"models": models})
    assert elsewhere.kinship(small_study.of_seed(1), "dpo").startswith("the record has seed 1, too")
    fewer = replace(loaded, record=loaded.record | {"models": {}, "seeds": [0]})
    assert fewer.kinship(small_study.of_seed(1), "dpo").startswith("this model is none of the record's")


@pytest.fixture(scope="module")
def without_texts(small_study, tmp_path_factory):
    """The same study as if its corpus were one whose texts may not be passed on."""
    folder = tmp_path_factory.mktemp("without-texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "WITHOUT_TEXTS", (small_study.profile.data.source,))
        patch.setenv("GECALIGN_RUNS", str(small_study.runs))
        results.collect([small_study.of_seed(seed) for seed in (0, 1)], folder)
    return folder


def test_without_texts_every_statistic_is_still_there(small_study, loaded, without_texts):
    counts = results.load(without_texts, small_study.profile)
    for metric in metrics.METRICS:
        for split, name in results.evaluations("dpo"):
            expected = loaded.statistics(metric, "dpo", split, name)
            assert np.allclose(counts.statistics(metric, "dpo", split, name), expected)
    assert counts.scores.equals(loaded.scores)
    flags = counts.predictions.query("system == 'sft' and seed == 1 and split == 'test' and decoding == 'greedy'")
    assert flags["copied"].tolist() == loaded.outputs("sft", 1).behaviour.copied.tolist()


def test_without_texts_no_sentence_can_be_read(small_study, without_texts):
    counts = results.load(without_texts, small_study.profile)
    with pytest.raises(ValueError, match="hold no texts: those of its corpus may not be passed on"):
        counts.outputs("sft", 0)
    with pytest.raises(ValueError, match="hold no texts"):
        counts.texts()
    sentences = {e.source for e in small_study.of_seed(0).examples("test")}
    for path in without_texts.iterdir():
        raw = path.read_bytes()
        assert not any(sentence.encode() in raw for sentence in sentences), path.name
    assert list(counts.sentences) == ["split", "id"]


def test_results_of_other_settings_are_not_loaded(small_study):
    with pytest.raises(ValueError, match="made with other settings"):
        results.load(small_study.folder, small_study.profile.variant(dpo__beta=0.2))


def test_a_missing_file_is_named(small_study, tmp_path):
    shutil.copytree(small_study.folder, tmp_path / "results")
    (tmp_path / "results" / "budget.csv").unlink()
    with pytest.raises(ValueError, match=r"has no budget.csv. `gecalign study"):
        results.load(tmp_path / "results", small_study.profile)


# ---- what is committed


def test_a_study_of_tiny_is_committed():
    assert "tiny" in STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_the_recorded_numbers_follow_from_the_recorded_predictions(name):
    found = results.load(COMMITTED / name, config.profile(name))
    assert len(found.seeds) >= 5
    for system in RECORDED:
        for split, decoding in results.evaluations(system):
            rows = found.scores.query("system == @system and split == @split and decoding == @decoding")
            assert rows["seed"].tolist() == found.seeds
            for metric in metrics.METRICS:
                scores = metric.score(found.statistics(metric, system, split, decoding).sum(axis=1))
                np.testing.assert_allclose(rows[metric.name], scores, atol=1e-6)


@pytest.mark.parametrize("name", STUDIES)
def test_recorded_rates_and_tokens_follow_from_the_predictions(name):
    found = results.load(COMMITTED / name, config.profile(name))
    for system in ("copy", "sft", "grpo"):
        for seed in found.seeds:
            row = found.scores.query("system == @system and seed == @seed and split == 'test'").iloc[0]
            outputs = found.outputs(system, seed)
            assert len(outputs.predictions) == found.record["profile"]["data"]["test_rows"]
            for rate, value in outputs.scores.row().items():
                assert row[rate] == pytest.approx(value, abs=1e-6)
            chosen = found.tables["checkpoints"].query("system == @system and seed == @seed and chosen")["BLEU"]
            dev = found.outputs(system, seed, "dev")
            for bleu in chosen:
                assert bleu == pytest.approx(dev.scores.scores["BLEU"].value, abs=1e-3)


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_sentences_are_those_of_the_corpus(name):
    found = results.load(COMMITTED / name, config.profile(name))
    made = data.build(config.profile(name).data)
    for split in ("dev", "test"):
        sources, references = found.texts(split)
        assert [(e.source, e.reference) for e in getattr(made, split)] == list(zip(sources, references, strict=True))


@pytest.mark.parametrize("name", STUDIES)
def test_a_repository_can_hold_them(name):
    files = list((COMMITTED / name).iterdir())
    assert {path.name for path in files} == set(results.FILES)
    assert sum(path.stat().st_size for path in files) < 20e6
    record = json.loads((COMMITTED / name / "study.json").read_text(encoding="utf-8"))
    assert not [commit for commit in record["commits"] if "dirty" in commit or commit == "unknown"]
    assert pd.read_csv(COMMITTED / name / "budget.csv")["seconds"].gt(0).all()


@pytest.mark.parametrize(
    ("changes", "seeds", "words"),
    [
        (None, 2, ""),
        (None, 3, ""),
        (None, None, ""),
        (None, 1, "of 2 seeds, and --seeds is 1"),
        ({}, 2, ""),
        ({"sft__steps": 7}, 2, "of other settings"),
        ({"sft__steps": 7}, None, "of other settings"),
    ],
)
def test_results_are_not_replaced_by_what_was_tried_or_has_fewer_seeds(tmp_path, changes, seeds, words):
    chosen = config.profile("smoke")
    results.check_replaced(tmp_path, chosen.variant(sft__steps=7), 1)  # there is nothing yet
    record = {"settings": settings_digest(chosen), "seeds": [0, 1]}
    (tmp_path / "study.json").write_text(json.dumps(record))
    tried = None if changes is None else chosen.variant(**changes)
    if words:
        with pytest.raises(ValueError, match=f"^{tmp_path} holds results {words}, and would be replaced"):
            results.check_replaced(tmp_path, tried, seeds)
    else:
        results.check_replaced(tmp_path, tried, seeds)


def test_results_are_published_as_a_whole_or_not_at_all(small_study, tmp_path, monkeypatch):
    """Else tables of one study could stand under the record of another."""
    kept = tmp_path / "results"
    kept.mkdir()
    for name in results.FILES:
        (kept / name).write_text("old")
    (kept / "notes.md").write_text("mine")
    ordinary = shutil.copyfile

    def full(source: Path | str, to: Path | str, **options: bool) -> None:
        if Path(source) == small_study.folder / results.FILES[3]:
            raise OSError(28, "No space left on device", str(to))
        ordinary(source, to, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            multiseed.publish(small_study.folder, kept)
    assert {path.read_text() for path in kept.iterdir()} == {"old", "mine"}
    multiseed.publish(small_study.folder, kept)
    assert all((kept / n).read_bytes() == (small_study.folder / n).read_bytes() for n in results.FILES)
    assert (kept / "notes.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
