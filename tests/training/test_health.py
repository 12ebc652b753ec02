"""Trainings that break are stopped and leave nothing; those that teach nothing, or destroy the model, say so."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import factories
import pandas as pd
import pytest
import test_train
import test_train_dpo
import test_train_grpo
import torch
from methods import PROMPT, cut_off_after, run

from gecalign import settings
from gecalign.config import LoRA
from gecalign.models import loading, saving
from gecalign.runtime import processes, store
from gecalign.study import Study
from gecalign.training import grpo as by_grpo
from gecalign.training import health, loop
from gecalign.training import sft as by_sft
from gecalign.training.rows import demonstrations

SFT = replace(test_train.SETTINGS, warmup_steps=0)
DPO, GRPO = test_train_dpo.SETTINGS, test_train_grpo.SETTINGS


def sft(base: Path, folder: Path, settings=SFT, evaluate_early: bool = True, **more) -> dict:
    texts = demonstrations(test_train.ROWS, PROMPT)
    return by_sft.train(loading.load(base), texts, settings, run(folder, **more), evaluate_early)


def dpo(base: Path, folder: Path, settings=DPO) -> dict:
    return test_train_dpo.train_it(base, folder, settings)


def grpo(base: Path, folder: Path, settings=GRPO, **more) -> dict:
    rows, how = test_train_grpo.ROWS, run(folder, **more)
    return by_grpo.train(loading.load(base), loading.load(base)[0], rows, settings, how)


METHODS = {"sft": (sft, SFT), "dpo": (dpo, DPO), "grpo": (grpo, GRPO)}


def obtain(folder: Path, make, name: str = "dpo") -> store.Stage:
    return store.obtain(folder, name, {"seed": 0}, make, shared=True)


def left(folder: Path) -> list[str]:
    """Return what a stage left behind; locks are hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# ---- trainings that break


@pytest.mark.parametrize("rate", [1e10, 1e20, 1e300])
@pytest.mark.parametrize("method", METHODS)
def test_a_rate_that_breaks_a_training_stops_it_with_step_and_remedy_and_nothing_is_left(base, tmp_path, method, rate):
    train_it, settings = METHODS[method]
    broken = replace(settings, learning_rate=rate)
    with pytest.raises(RuntimeError) as error:
        obtain(tmp_path, lambda folder: train_it(base, folder, broken), method)
    words = str(error.value)
    assert isinstance(error.value, store.Spoiled)
    assert words.startswith(f"{method}-{store.digest_of({'seed': 0})} broke after update "), words
    assert f"Lower {method}__learning_rate, which is {rate:g} (profiles have " in words
    assert left(tmp_path) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["weight", "gradient", "loss"])
def test_what_is_no_number_is_found_where_it_arises_whatever_the_rate(base, tmp_path, monkeypatch, method, where):
    """At the last update before an evaluation, so that no later loss tells; NaN in one of the three alone."""
    train_it, settings = METHODS[method]
    at, ordinary = {"sft": 3, "dpo": 2, "grpo": 2}[method], health.Watch.on_step_end

    def spoil(self, args, state, control, model=None, **kwargs):
        if state.global_step == at:
            next(iter(model.parameters())).data[3, 3] = math.nan
        return ordinary(self, args, state, control, model=model, **kwargs)

    if where == "weight":
        monkeypatch.setattr(health.Watch, "on_step_end", spoil)
        expected = r"after update \d+ of \d+: 1 of \d+ weights hold numbers that are not finite, such as "
    else:
        name = {"gradient": "grad_norm", "loss": "loss"}[where]
        logged = health.Watch.on_log

        def spoiled(self, args, state, control, logs=None, **kwargs):
            if state.global_step == at and name in logs:
                logs[name] = math.inf
            logged(self, args, state, control, logs=logs, **kwargs)

        monkeypatch.setattr(health.Watch, "on_log", spoiled)
        expected = rf"after update {at} of \d+: {health.LOGGED[name]} is inf"
    with pytest.raises(store.Spoiled, match=expected):
        train_it(base, tmp_path, replace(settings, learning_rate=1e-3))
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "checkpoints").exists()


def test_losses_that_are_no_numbers_reach_the_log_of_the_trainer(base, tmp_path):
    trainer, _ = test_train.prepared(base, tmp_path, SFT)
    assert trainer.args.logging_nan_inf_filter is False


def test_adapters_are_looked_at_as_well(base, tmp_path):
    broken = replace(SFT, learning_rate=1e20)
    with pytest.raises(store.Spoiled, match="broke after update"):
        sft(base, tmp_path, broken, lora=LoRA(rank=4))


def test_the_controls_name_their_own_rate(base, tmp_path):
    with pytest.raises(store.Spoiled, match=r"Lower continued__learning_rate, which is 1e\+20"):
        sft(base, tmp_path, replace(SFT, learning_rate=1e20), evaluate_early=False)


def test_a_start_that_is_broken_is_said_to_be(base, tmp_path):
    model, tokenizer = loading.load(base)
    model.get_input_embeddings().weight.data.fill_(math.nan)
    texts = demonstrations(test_train.ROWS, PROMPT)
    with pytest.raises(store.Spoiled, match=r"after update 0 of 12: .*It starts from a model that is broken"):
        by_sft.train((model, tokenizer), texts, SFT, run(tmp_path))


def test_with_fp16_gradients_may_overflow_and_losses_may_not():
    args = SimpleNamespace(fp16=True, output_dir="a/sft-0.partial/checkpoints", max_steps=9, learning_rate=1e-3)
    watch, state = health.Watch([], "sft"), SimpleNamespace(global_step=1, log_history=[])
    watch.on_log(args, state, None, logs={"loss": 1.0, "grad_norm": math.inf})
    with pytest.raises(store.Spoiled, match=r"the loss is nan\. .*or set engine__precision to bf16 or fp32"):
        watch.on_log(args, state, None, logs={"loss": math.nan, "grad_norm": math.inf})
    args.fp16 = False
    with pytest.raises(store.Spoiled, match="the norm of the gradient is inf"):
        watch.on_log(args, state, None, logs={"loss": 1.0, "grad_norm": math.inf})


def test_a_fault_in_another_process_stops_this_one(monkeypatch):
    args = SimpleNamespace(fp16=False, output_dir="a/sft-0.partial/checkpoints", max_steps=9, learning_rate=1e-3)
    monkeypatch.setattr(processes, "gather", lambda mine: [*mine, "the loss is nan"])
    with pytest.raises(store.Spoiled, match="sft-0 broke after update 1 of 9: the loss is nan"):
        health.Watch([], "sft").stop_if("", args, 1)


def test_after_a_break_the_same_training_starts_anew_and_not_from_a_checkpoint(base, tmp_path, monkeypatch):
    """As where the cause lay in what the digest does not cover: the precision, a GPU."""
    ordinary = loop.measured
    with monkeypatch.context() as patch:
        patch.setattr(health, "not_finite", lambda model: "a weight is nan" if seen.append(1) or len(seen) > 2 else "")
        seen: list[int] = []
        with pytest.raises(store.Spoiled):
            obtain(tmp_path, lambda folder: sft(base, folder), "sft")
    assert len(seen) == 3  # two checkpoints had been written
    assert left(tmp_path) == []
    stage = obtain(tmp_path, lambda folder: sft(base, folder), "sft")
    assert not stage.record["resumed"]
    assert loop.measured is ordinary
    assert "warning" not in stage.facts


def test_a_broken_checkpoint_that_an_interruption_left_is_not_kept(base, tmp_path, monkeypatch):
    """As an older version left them: the last update was made, and only saving was cut off."""
    with cut_off_after(12):
        sft(base, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(saving, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sft(base, tmp_path)
    for checkpoint in (tmp_path / "checkpoints").glob("checkpoint-*"):
        model = loading.load(checkpoint)[0]
        model.get_input_embeddings().weight.data[0, 0] = math.nan
        model.save_pretrained(checkpoint)
    with pytest.raises(store.Spoiled, match="weights hold numbers that are not finite"):
        sft(base, tmp_path)
    assert left(tmp_path) == []


# ---- trainings that teach nothing, or destroy


def scripted(monkeypatch, scores: list[float]) -> None:
    left = iter(scores)
    monkeypatch.setattr(loop, "dev_scores", lambda *_: lambda model: {"bleu": next(left)})


# dev BLEU before training and after updates 1, 3, 6, 9, 12
SCRIPTS = {
    "destroyed": ([65.0, 0.0, 0.01, 0.02, 0.0, 0.0], r"the best checkpoint, after update 6, scores 0\.0 BLEU on dev"),
    "on the way": ([65.0, 66.0, 60.0, 30.0, 2.0, 1.0], r"3 of 5 checkpoints score far below 65\.0 .*after update 6"),
    "good": ([65.0, 66.0, 60.0, 33.0, 40.0, 67.0], None),
    "next to nothing to lose": ([5.0, 5.1, 0.0, 0.0, 0.0, 0.0], None),
    "worse": (
        [65.0, 40.0, 45.0, 44.0, 40.0, 41.0],
        r"made the model worse: .*after update 3, scores 45\.0 BLEU on dev",
    ),
    "no better": ([65.0, 60.5, 64.0, 63.0, 62.0, 61.0], r"no checkpoint scores above the start, 65\.0 BLEU on dev"),
    "as before": ([0.0] * 6, r"nothing was learnt that shows: after every one of 5 .* 0\.0 BLEU on dev.*warmup_steps"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_score_far_below_the_start_is_said_on_the_screen_and_in_the_record(base, tmp_path, monkeypatch, capsys, name):
    scores, expected = SCRIPTS[name]
    scripted(monkeypatch, scores)
    stage = obtain(tmp_path, lambda folder: sft(base, folder), "sft")
    shown = capsys.readouterr().err
    far = [value for value in scores[1:] if scores[0] - value > 5 and value < scores[0] / 2]
    assert shown.count("far below 65.0 at the start\n") == len(far)
    assert ("warning" in stage.facts) == (expected is not None)
    if expected:
        warning = json.loads((stage.folder / store.RECORD).read_text())["facts"]["warning"]
        assert pd.Series([warning]).str.contains(expected).all(), warning
        assert "sft__learning_rate, which is 0.01" in warning
        assert warning in shown


def test_a_resumed_training_still_knows_where_it_started(base, tmp_path, monkeypatch):
    scripted(monkeypatch, [65.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    with cut_off_after(7):
        sft(base, tmp_path)
    scripted(monkeypatch, [0.0] * 3)
    assert "far below 65.0 at the start" in sft(base, tmp_path)["warning"]


def test_grpo_which_does_not_measure_its_start_is_compared_with_the_score_that_is_known(base, tmp_path, monkeypatch):
    scripted(monkeypatch, [1.0, 2.0, 1.0])  # so each is measured once, also at the end of an epoch
    assert "scores 2.0 BLEU on dev, far below 65.0 at the start" in grpo(base, tmp_path, start_score=65.0)["warning"]


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_did_not_move_are_said_to_have_learnt_nothing(base, tmp_path, capsys, method):
    train_it, settings = METHODS[method]
    facts = train_it(base, tmp_path, replace(settings, learning_rate=1e-30))
    assert facts["warning"].startswith("nothing was learnt: ")
    assert f"{method}__learning_rate, which is 1e-30" in facts["warning"]
    assert facts["warning"] in capsys.readouterr().err


def test_adapters_that_did_not_move_have_learnt_nothing(base, tmp_path):
    facts = sft(base, tmp_path, replace(SFT, learning_rate=1e-30), lora=LoRA(rank=4))
    assert facts["warning"].startswith("nothing was learnt: ")


def test_rewards_that_never_differ_teach_nothing(base, tmp_path):
    facts = grpo(base, tmp_path, replace(GRPO, reward="exact"))
    assert facts["warning"].startswith("nothing was learnt: ")


def test_a_start_that_is_chosen_because_the_rest_was_destroyed_says_both():
    words = health.verdict(health.Course({1: 65.0, 4: 0.0, 8: 1.0}, 65.0, 1, False), "sft__learning_rate, which is 1")
    assert words.startswith("nothing was learnt: ")
    assert words.endswith("2 of 3 checkpoints score far below it: lower sft__learning_rate, which is 1.")


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_learns_has_no_warning(base, tmp_path, monkeypatch, method):
    scripted(monkeypatch, [float(i) for i in range(10)])  # what this base writes scores 0 however it is trained
    train_it, settings = METHODS[method]
    assert "warning" not in train_it(base, tmp_path, settings)


def test_one_weight_that_moves_is_enough(base):
    model, _ = loading.load(base)
    before = health.probe(model)
    assert not health.has_moved(before, model)
    list(model.parameters())[-1].data[0] += 1e-6
    assert health.has_moved(before, model)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_each_weight_is_looked_at_to_its_end(base, value):
    for i in range(len(list(loading.load(base)[0].parameters()))):
        model, _ = loading.load(base)
        assert health.not_finite(model) == ""
        name, weight = list(model.named_parameters())[i]
        weight.data.view(-1)[-1] = value
        assert name in health.not_finite(model)
        weight.requires_grad = False
        assert health.not_finite(model) == ""


def test_what_is_far_below_is_more_than_5_bleu_and_more_than_half():
    assert not health.is_far_below(0.0, None)
    assert not health.is_far_below(0.0, 5.0)
    assert health.is_far_below(0.9, 6.0)
    assert not health.is_far_below(35.0, 70.0)
    assert health.is_far_below(34.9, 70.0)
    assert not torch.isfinite(torch.tensor(math.nan))


def test_a_training_is_judged_by_the_yardstick_that_chose_its_checkpoint():
    log = [{"step": step, "eval_bleu": 80.0 + step, "eval_gleu": gleu} for step, gleu in ((0, 40.0), (3, 30.0))]
    words = health.of_log(log, "dpo", 1e-3, chosen=3)
    assert words.startswith("training made the model worse")
    assert "scores 30.0 GLEU on dev, and the start 40.0" in words
    assert health.of_log([{"step": e["step"], "eval_bleu": e["eval_bleu"]} for e in log], "dpo", 1e-3, chosen=3) == ""


def test_a_score_far_below_the_start_is_told_by_the_yardstick(capsys, tmp_path):
    args = SimpleNamespace(output_dir=str(tmp_path / "dpo-1" / "checkpoints"), fp16=False, metric_for_best_model="gleu")
    watch = health.Watch([], "dpo")
    watch.start = 40.0
    state = SimpleNamespace(global_step=3, log_history=[])
    watch.on_log(args, state, None, {"eval_bleu": 1.0, "eval_gleu": 39.0})
    assert not capsys.readouterr().err
    watch.on_log(args, state, None, {"eval_bleu": 80.0, "eval_gleu": 5.0})
    assert "the model scores 5.0 GLEU on dev, far below 40.0 at the start" in capsys.readouterr().err


def test_grpo_of_a_study_is_compared_with_sft(tmp_path, monkeypatch):
    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(60))
    study = Study(factories.preference_profile(factories.base_folder(tmp_path / "base"), corpus), 0, tmp_path / "runs")
    known = study.sft().facts["dev_bleu"]
    seen: list[float] = []
    monkeypatch.setattr(by_grpo, "train", lambda *given: seen.append(given[4].start_score) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study.grpo()
    assert seen == [known]


@pytest.mark.parametrize(
    ("method", "scored", "losses", "words"),
    [
        ("sft", {0: 0.0, 3: 0.8}, {0: 5.0, 3: 90.0}, "after update 3, has a loss of"),
        ("sft", {0: 0.0, 3: 0.8}, {0: 5.0, 3: 4.9}, ""),
        ("sft", {0: 20.0, 3: 20.0}, {0: 5.0, 3: 4.9}, "nothing was learnt that shows"),
        ("sft", {0: 20.0, 3: 19.0}, {0: 5.0, 3: 4.9}, "no checkpoint scores above the start"),
        ("sft", {0: 20.0, 3: 14.0}, {0: 5.0, 3: 4.9}, "made the model worse"),
        ("sft", {0: 20.0, 3: 9.0}, {0: 5.0, 3: 4.9}, "far below 20.0"),
        ("continued", {0: 60.0, 3: 59.0}, {0: 1.0, 3: 1.2}, ""),  # no better than SFT is what it may find
        ("dpo", {0: 60.0, 3: 59.0}, {0: 0.69, 3: 0.8}, ""),
        ("dpo", {0: 60.0, 3: 60.0}, {0: 0.69, 3: 0.69}, "nothing was learnt that shows"),
        ("dpo", {0: 65.0, 3: 40.0}, {0: 0.69, 3: 0.1}, "made the model worse"),
        ("grpo", {2: 30.0}, {}, ""),  # its start is not in its log
        ("grpo", {0: 60.0, 2: 3.0}, {}, "far below 60.0"),
    ],
)  # fmt: skip
def test_a_log_tells_what_became_of_a_training(tmp_path, method, scored, losses, words):
    """Whether the trainer tells it now, or the product of an older version is looked at."""
    log = [{"step": step, "eval_bleu": value} for step, value in scored.items()]
    log += [{"step": step, "eval_loss": value} for step, value in losses.items()]
    found = health.of_log(log, method, 0.5, max(scored))
    assert (words in found) if words else found == ""
    assert f"{method}__learning_rate, which is 0.5" in found or not words
    loop.log_table(log).to_csv(tmp_path / "log.csv", index=False)
    name = {"continued": "raft", "grpo": "grpo-shuffled"}.get(method, method)
    record = {"stage": name, "facts": {"chosen_step": max(scored)}, "spec": {"settings": {"learning_rate": 0.5}}}
    assert health.warning_of(store.Stage(tmp_path, record)) == found


def test_a_warning_on_record_is_not_made_anew(tmp_path):
    assert health.warning_of(store.Stage(tmp_path, {"facts": {"warning": "as it was said"}})) == "as it was said"
    assert health.warning_of(store.Stage(tmp_path, {"facts": {}})) == ""  # a corpus has no log


def test_fp16_that_skips_every_update_stops_before_the_end():
    args = SimpleNamespace(fp16=True, output_dir="a/sft-0.partial/checkpoints", max_steps=900, learning_rate=1e-3)
    watch, skipping = health.Watch([], "sft"), SimpleNamespace(step_was_skipped=True)
    for step in range(1, health.SKIPPED):
        watch.on_step_end(args, SimpleNamespace(global_step=step), None, optimizer=skipping)
    watch.on_step_end(args, SimpleNamespace(global_step=40), None, optimizer=SimpleNamespace(step_was_skipped=False))
    for step in range(1, health.SKIPPED):
        watch.on_step_end(args, SimpleNamespace(global_step=40 + step), None, optimizer=skipping)
    with pytest.raises(store.Spoiled, match=r"after update 80 of 900: the last 40 updates were skipped.*bf16 or fp32"):
        watch.on_step_end(args, SimpleNamespace(global_step=80), None, optimizer=skipping)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_product_with_weights_that_are_no_numbers_is_not_loaded(base, tmp_path, value):
    stage = obtain(tmp_path, lambda folder: sft(base, folder), "sft")
    model, tokenizer = loading.load(stage.folder / "model")
    next(reversed(list(model.parameters()))).data[-1] = value
    saving.save(model, tokenizer, stage.folder / "model")
    with pytest.raises(ValueError, match=rf"no finite numbers, such as .*Delete {stage.folder} to have it made again"):
        loading.load(stage.folder / "model")
    saving.save(model, tokenizer, tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no finite numbers.*copy or download the folder again"):
        loading.load(tmp_path / "elsewhere")


def test_in_a_shell_settings_are_said_as_they_are_typed(capsys):
    processes.say("Lower sft__learning_rate")
    with processes.phrased(settings.as_typed):
        processes.say("Lower sft__learning_rate")
    assert capsys.readouterr().err == "Lower sft__learning_rate\nLower sft.learning_rate\n"
