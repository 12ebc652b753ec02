"""The stages after SFT, on a model that is small and really trained: who starts from whom, and what is stored."""

import json
from dataclasses import replace

import factories
import numpy as np
import pandas as pd
import pytest

from gecalign import prompts
from gecalign.checks import texts
from gecalign.checks.patient import Patient
from gecalign.config import Pairs
from gecalign.preferences import pairs, rewards
from gecalign.study import Study, designs, sweep, trials
from gecalign.training import groups, grpo, sampling


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("preferences")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    return Study(factories.preference_profile(factories.base_folder(folder / "base"), corpus), 0, folder / "runs")


# ---- samples and pairs


def test_samples_are_drawn_for_the_prompts_that_sft_has_not_seen(study):
    drawn = pairs.read_sampled(study.samples().folder / "samples.jsonl")
    assert [p.id for p in drawn] == [example.id for example in study.examples("preference")]
    assert {len(p.samples) for p in drawn} == {4}
    assert {sample.temperature for p in drawn for sample in p.samples} == {1.0}
    assert not {p.source for p in drawn} & {example.source for example in study.examples("train")}


def test_the_pairs_are_what_the_samples_give_and_the_held_out_ones_are_others(study):
    stage = study.pairs()
    drawn = pairs.read_sampled(study.samples().folder / "samples.jsonl")
    found, funnel = pairs.build(drawn, study.profile.pairs, rewards.objective("bleu"), study.profile.prompt)
    kept, held_out = (pairs.read(stage.folder / f"{name}.jsonl") for name in ("pairs", "held_out"))
    assert [*kept, *held_out] == found[:12]
    assert (len(kept), len(held_out)) == (8, 4)
    assert stage.facts["funnel"]["dropped"] == funnel.dropped
    assert not {p.id for p in kept} & {p.id for p in held_out}


def test_ranking_anew_draws_no_new_samples(study, monkeypatch):
    study.samples()
    monkeypatch.setattr(sampling, "draw", lambda *_: pytest.fail("drawn again"))
    other = study.variant(study.profile.variant(pairs__reward="length", pairs__count=3))
    assert other.pairs().folder != study.pairs().folder
    assert other.pairs().record["spec"]["samples"] == study.pairs().record["spec"]["samples"]


def test_two_temperatures_share_the_samples(study):
    settings = Pairs(samples=4, temperature=0.5, second_temperature=1.5)
    examples = study.examples("preference")[:3]
    drawn = sampling.draw(study.model("sft"), examples, settings, study.asking)
    assert [[s.temperature for s in p.samples] for p in drawn] == [[0.5, 1.5, 0.5, 1.5]] * 3
    with pytest.raises(ValueError, match="their number must be even"):
        sampling.draw(study.model("sft"), examples, replace(settings, samples=3), study.asking)


def test_without_a_preference_split_the_settings_are_named(study):
    none = study.variant(study.profile.variant(data__preference_rows=0))
    with pytest.raises(ValueError, match=r"no preference rows.*data__preference_rows"):
        none.samples()


# ---- the reward check


def test_the_check_scores_both_ways_of_sampling_and_leaves_the_policy_as_it_was(study):
    check = study.reward_check()
    assert check.direct.shape == check.trainer.shape == (6, 4)
    assert check.greedy.shape == (6,)
    assert check.agree
    assert ((check.trainer >= 0) & (check.trainer <= 1)).all()
    assert not np.array_equal(check.direct, check.trainer)


def test_the_trainers_rewards_are_in_the_order_of_the_prompts(study, tmp_path):
    policy, (reference, _) = study.model("sft"), study.model("sft")
    examples = study.examples("preference")[:4]
    settings = replace(study.profile.grpo, learning_rate=0.0, group_size=2)
    written = {}
    ordinary = rewards.for_trl

    def recording(reward):
        score = ordinary(reward)

        def watching(completions, reference, source, **rest):
            values = score(completions, reference, source, **rest)
            for text, value in zip(source, values, strict=True):
                written.setdefault(text, []).append(value)
            return values

        watching.__name__ = score.__name__
        return watching

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewards, "for_trl", recording)
        found = sampling.frozen_rewards(policy, reference, examples, settings, study.run(tmp_path))
    assert found == pytest.approx(np.array([written[example.source] for example in examples]), abs=1e-6)


def test_a_policy_that_is_to_stand_still_must_have_learning_rate_0(study, tmp_path):
    policy, (reference, _) = study.model("sft"), study.model("sft")
    asked, settings = study.examples("preference"), study.profile.grpo
    with pytest.raises(ValueError, match="a frozen policy has 0"):
        sampling.frozen_rewards(policy, reference, asked, settings, study.run(tmp_path))


def test_a_policy_that_moves_all_the_same_is_noticed(study, tmp_path, monkeypatch):
    policy, (reference, _) = study.model("sft"), study.model("sft")
    frozen = replace(study.profile.grpo, learning_rate=0.0, group_size=4)
    ordinary = grpo.trainer

    def moving(*arguments):
        trainer = ordinary(*arguments)
        trainer.args.learning_rate = 1e-2
        return trainer

    monkeypatch.setattr(grpo, "trainer", moving)
    with pytest.raises(RuntimeError, match="was to stand still"):
        sampling.frozen_rewards(policy, reference, study.examples("preference"), frozen, study.run(tmp_path))


# ---- sweeps and the experiment log


def test_every_design_is_trained_at_every_size_and_all_checkpoints_are_in_the_table(study, tmp_path):
    table = sweep.checkpoints(study)
    assert len(table) == 3 * 3 * 2
    assert table.groupby(["design", "group size"])["step"].apply(list).tolist() == [[4, 8]] * 9
    rows = sweep.summary(study, table)
    prompted = {pair: rows.loc[pair, ["prompts", "samples"]].tolist() for pair in rows.index}
    assert [prompted["equal steps", c] for c in (4, 8, 16)] == [[32, 128], [16, 128], [8, 128]]
    assert [prompted["equal samples", c] for c in (4, 8, 16)] == [[32, 128], [16, 128], [8, 128]]
    assert [prompted["equal prompts", c] for c in (4, 8, 16)] == [[8, 32], [8, 64], [8, 128]]
    assert rows.loc["equal steps", "updates a generation"].tolist() == [1, 2, 4]
    best = table.groupby(["design", "group size"], sort=False)["BLEU"].max()
    assert rows["best"].tolist() == best.tolist()
    same = sweep.studies(study)
    assert same["equal steps", 4].grpo().folder == same["equal samples", 4].grpo().folder  # one training for both

    for _ in range(2):  # what is written down is not trained, nor written, again
        sweep.record(study, tmp_path / "sizes.csv")
    log = sweep.read(tmp_path / "sizes.csv")
    assert len(log) == 18
    for design in designs.DESIGNS:
        again = sweep.recorded(log, study, design)
        made = table[table["design"] == design].reset_index(drop=True)
        pd.testing.assert_frame_equal(again, made, atol=1e-3, rtol=0)
    assert sweep.recorded(log, study.variant(study.profile.variant(grpo__steps=12)), "equal steps").empty
    over = sweep.over_seeds(log, study.profile)
    last = table[table["step"] == 8].set_index(["design", "group size"])["BLEU"] - study.sft().facts["dev_bleu"]
    assert over["gain"].tolist() == pytest.approx(last.tolist(), abs=2e-3)


def test_the_published_numbers_of_prompts_follow_from_the_published_settings():
    from gecalign.config import profile

    plans = [groups.plan(designs.variant(profile("as-published"), "equal steps", c).grpo) for c in (4, 8, 16)]
    assert [plan["prompts_in_all"] for plan in plans] == [1000, 500, 250]
    assert {plan["updates"] for plan in plans} == {1000}
    assert designs.possible(profile("as-published")) == ["equal steps"]
    assert designs.possible(profile("tiny")) == list(designs.DESIGNS)
    with pytest.raises(ValueError, match="no whole groups of 16"):
        designs.variant(profile("as-published"), "equal samples", 16)
    with pytest.raises(ValueError, match="Designs: equal steps"):
        designs.variant(profile("tiny"), "equal luck", 4)


def test_the_published_study_runs_with_its_own_settings(study, tmp_path):
    from gecalign.config import profile

    own, small = profile("as-published"), study.profile
    keep = {"data": small.data, "model": small.model, "decoding": small.decoding}
    shortened = replace(
        own.variant(sft__steps=60, sft__learning_rate=1e-2, sft__batch_size=8, sft__warmup_steps=0, dpo__epochs=1,
                    dpo__micro_batch_size=None, grpo__steps=16, grpo__warmup_steps=0, reward_check__prompts=2), **keep
    )  # fmt: skip
    published = Study(shortened, 0, tmp_path)
    drawn = pairs.read_sampled(published.samples().folder / "samples.jsonl")
    assert {tuple(s.temperature for s in p.samples) for p in drawn} == {(0.7, 1.2)}
    assert {p.source for p in drawn} <= {example.source for example in published.examples("train")}
    assert published.pairs().facts["held_out"] == 0
    assert published.pairs().facts["pairs"] > 0
    table = sweep.checkpoints(published, ["equal steps"])
    assert table.groupby("group size")["step"].apply(list).to_dict() == {c: [4, 8, 12, 16] for c in (4, 8, 16)}
    assert published.evaluation("dpo", "dev").predictions
    assert texts.prompts_unseen(Patient(published)).status == "warn"


def test_a_trial_is_written_down_once_with_its_settings_and_its_gain_over_the_control(study, tmp_path):
    log = tmp_path / "trials.csv"
    rows = trials.record(study, ["sft-continued", "dpo"], log, "why")
    assert trials.record(study, ["dpo"], log, "again") == []
    table = trials.read(log)
    assert table["system"].tolist() == ["sft-continued", "dpo"]
    assert table["note"].tolist() == ["why", "why"]
    assert (table.loc[0, "gain"], table.loc[0, "gain_low"]) == (0, 0)
    dpo, control = (study.evaluation(system, "dev").scores.row()["BLEU"] for system in ("dpo", "sft-continued"))
    assert table.loc[1, "gain"] == pytest.approx(dpo - control, abs=2e-3)
    assert rows[1]["gain_low"] <= rows[1]["gain"] <= rows[1]["gain_high"]


def test_the_prompt_of_a_pair_is_the_one_that_every_stage_renders(study):
    row = json.loads((study.pairs().folder / "pairs.jsonl").read_text().splitlines()[0])
    assert row["prompt"] == prompts.render(study.profile.prompt, row["source"])
    digests = {study.trained(s).record["spec"]["prompt"] for s in ("sft", "dpo", "grpo", "sft-careful")}
    assert digests == {prompts.digest(study.profile.prompt)}


def test_the_check_through_the_trainer_needs_no_more_memory_than_the_training_of_adapters(study, monkeypatch):
    adapted, trained = study.variant(study.profile.variant(lora__rank=2)), []
    ordinary = grpo.trainer

    def watching(*arguments):
        trainer = ordinary(*arguments)
        trained.append({name for name, weight in trainer.model.named_parameters() if weight.requires_grad})
        return trainer

    monkeypatch.setattr(grpo, "trainer", watching)
    assert adapted.reward_check().agree
    assert trained[0]
    assert all("lora" in name for name in trained[0])


@pytest.mark.parametrize("digest", ["123456789012", "12e345678901", "000000000001"])
def test_a_digest_is_a_word_even_where_it_looks_like_a_number(tmp_path, digest):
    for name, columns, read in (("sizes.csv", sweep.COLUMNS, sweep.read), ("trials.csv", trials.COLUMNS, trials.read)):
        (tmp_path / name).write_text(
            ",".join(columns) + "\n" + ",".join(digest if c == "digest" else "1" for c in columns)
        )
        assert read(tmp_path / name)["digest"].tolist() == [digest]
