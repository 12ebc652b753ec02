import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import factories
import numpy as np
import pandas as pd
import pytest
import torch
from methods import (
    DECODING,
    DEV,
    PROMPT,
    Interrupted,
    cut_off_after,
    expect_the_whole,
    kill_after,
    run,
    same,
    unmoved,
    weights,
)
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import TrainerState

from gecalign import metrics, prompts
from gecalign.config import SFT
from gecalign.corpus.examples import Example
from gecalign.models import loading, memory, saving
from gecalign.models.decode import decode
from gecalign.models.memory import Rows
from gecalign.runtime import processes
from gecalign.study import Study
from gecalign.training import arguments, estimates, loop
from gecalign.training import sft as by_sft
from gecalign.training.rows import demonstrations, first_references, fitting, references

# 37 rows make epochs of 5 updates, of which the last has 5 rows; 12 updates end within the third epoch
SETTINGS = SFT(steps=12, batch_size=8, learning_rate=1e-2, warmup_steps=2, evaluations=4)
ROWS = factories.examples(37)


def sft(base: Path, folder: Path, settings: SFT = SETTINGS, seed: int = 0, rows=ROWS, dev=DEV) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "LOG_ROWS", 3)  # every fourth update, so that losses are averaged over several
        texts = demonstrations(rows, PROMPT)
        return by_sft.train(loading.load(base), texts, settings, run(folder, seed, dev))


def train_it(base: Path, folder: Path) -> dict:
    """Train as `whole` does; what the test that kills a training calls in another process."""
    return sft(base, folder)


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> tuple[Path, dict]:
    """Return the folder and the facts of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, sft(base, folder)


# ---- what is trained on


def prepared(base: Path, folder: Path, settings: SFT, rows=ROWS):
    start = loading.load(base)
    return by_sft.trainer(start, demonstrations(rows, PROMPT), settings, run(folder)), start[1]


@pytest.mark.parametrize("completion_only", [True, False])
def test_labels_cover_exactly_the_completion_and_eos_or_everything_where_that_is_asked_for(
    base, tmp_path, completion_only
):
    settings = SFT(steps=1, batch_size=4, completion_only_loss=completion_only)
    trainer, tokenizer = prepared(base, tmp_path, settings)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(8)])
    assert len({len(row["input_ids"]) for row in trainer.train_dataset}) > 1  # or padding would not show
    for i, example in enumerate(ROWS[:8]):
        prompt = tokenizer(prompts.render(PROMPT, example.source))["input_ids"]
        completion = [*tokenizer(" " + example.reference)["input_ids"], tokenizer.eos_token_id]
        expected = [*([-100] * len(prompt) if completion_only else prompt), *completion]
        length = int(batch["attention_mask"][i].sum())
        assert batch["input_ids"][i][:length].tolist() == [*prompt, *completion]
        assert batch["labels"][i][:length].tolist() == expected
        assert set(batch["labels"][i][length:].tolist()) <= {-100}


def test_the_batches_that_reach_the_model_carry_these_labels(base, tmp_path):
    trainer, tokenizer = prepared(base, tmp_path, SFT(steps=1, batch_size=16))
    seen = []
    for batch in trainer.get_train_dataloader():
        for row, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            trained = row[labels != -100]
            assert trained[-1] == tokenizer.eos_token_id
            seen.append(tokenizer.decode(trained[:-1]))
    assert sorted(seen) == sorted(" " + example.reference for example in ROWS)


def test_training_sees_the_demonstrations_and_dev_the_references():
    hasty = [Example("1", "She go and he go.", "She goes and he goes.", "She goes and he go.")]
    assert demonstrations(hasty, PROMPT)[0]["completion"] == " She goes and he go."
    assert references(hasty, PROMPT)[0]["completion"] == " She goes and he goes."
    assert demonstrations(hasty, PROMPT)[0].keys() == {"prompt", "completion"}
    several = [replace(hasty[0], reference=("She goes and he goes.", "They go."))]
    assert [row["completion"] for row in references(several, PROMPT)] == [" She goes and he goes.", " They go."]
    assert first_references(several, PROMPT) == references(hasty, PROMPT)


def mean_nll(base: Path, rows, completion_only: bool) -> float:
    """Return the mean negative log-likelihood a token, in nats, a row at a time from the definition."""
    model, tokenizer = loading.load(base)
    total = count = 0.0
    for example in rows:
        prompt = tokenizer(prompts.render(PROMPT, example.source))["input_ids"]
        ids = [*prompt, *tokenizer(" " + example.reference)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        first = len(prompt) if completion_only else 1
        for position in range(first, len(ids)):  # the token at a position is predicted by the one before it
            total += float(torch.logsumexp(logits[position - 1], 0) - logits[position - 1, ids[position]])
            count += 1
    return total / count


@pytest.mark.parametrize("completion_only", [True, False])
@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_the_loss_is_the_mean_negative_log_likelihood_of_the_tokens_that_count(
    base, tmp_path, completion_only, micro_batch_size
):
    settings = SFT(
        steps=1, batch_size=16, micro_batch_size=micro_batch_size, completion_only_loss=completion_only,
        evaluations=1, warmup_steps=0,
    )  # fmt: skip
    sft(base, tmp_path, settings, rows=ROWS[:16])
    log = pd.read_csv(tmp_path / "log.csv").set_index("step")
    assert log.loc[1, "loss"] == pytest.approx(mean_nll(base, ROWS[:16], completion_only), rel=1e-5)


def test_the_dev_loss_is_the_mean_negative_log_likelihood_of_the_references(base, whole):
    log = pd.read_csv(whole[0] / "log.csv").set_index("step")
    assert log.loc[0, "eval_loss"] == pytest.approx(mean_nll(base, DEV, True), rel=1e-5)


# ---- rows that do not fit


def test_rows_are_kept_up_to_the_longest_length_with_eos(base):
    tokenizer = loading.load(base)[1]
    rows = demonstrations(ROWS, PROMPT)
    lengths = [len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1 for row in rows]
    for limit in range(min(lengths), max(lengths) + 2):
        expected = [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
        assert fitting(rows, tokenizer, limit) == expected


def test_rows_that_are_too_long_are_dropped_and_counted(base, tmp_path):
    long = Example("long", "she go " * 60, "she goes " * 60, "she goes " * 60)
    facts = sft(base, tmp_path, SFT(steps=1, batch_size=4, evaluations=1), rows=[long, *ROWS[:9], long])
    assert (facts["rows"], facts["too_long"]) == (9, 2)


def test_where_no_row_fits_the_setting_is_named(base, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 37 rows fits into 5 tokens.*sft__max_length"):
        sft(base, tmp_path, SFT(steps=1, max_length=5))


# ---- training


@pytest.mark.parametrize("completion_only", [True, False])
def test_every_parameter_moves_within_two_updates_and_the_loss_is_finite(base, tmp_path, completion_only):
    settings = SFT(
        steps=2,
        batch_size=8,
        learning_rate=1e-2,
        warmup_steps=0,
        evaluations=1,
        completion_only_loss=completion_only,
    )
    sft(base, tmp_path, settings)
    assert unmoved(base, tmp_path) == []
    log = pd.read_csv(tmp_path / "log.csv")
    assert np.isfinite(log["loss"].dropna()).all()
    assert log["loss"].notna().sum() == 2


def test_training_teaches(whole):
    log = pd.read_csv(whole[0] / "log.csv").set_index("step")
    assert log.loc[12, "eval_loss"] < log.loc[0, "eval_loss"] - 1


def test_the_same_seed_gives_the_same_weights_and_log(base, whole, tmp_path):
    torch.manual_seed(1234)  # nothing outside may matter
    facts = sft(base, tmp_path)
    assert same(tmp_path, whole[0])
    assert (tmp_path / "log.csv").read_bytes() == (whole[0] / "log.csv").read_bytes()
    assert facts == whole[1]


def test_another_seed_gives_other_weights(base, whole, tmp_path):
    sft(base, tmp_path, seed=1)
    assert not same(tmp_path, whole[0])


@pytest.mark.parametrize("micro_batch_size", [2])
def test_the_micro_batch_size_changes_nothing_but_memory(base, whole, tmp_path, micro_batch_size):
    facts = sft(base, tmp_path, SFT(**{**SETTINGS_AS_DICT, "micro_batch_size": micro_batch_size}))
    one, other = weights(tmp_path), weights(whole[0])
    # sums of 32-bit floats in another order, carried through 12 updates of Adam
    assert all(torch.allclose(one[name], other[name], atol=2e-3) for name in one)
    assert facts["tokens"] == whole[1]["tokens"]


SETTINGS_AS_DICT = {field: getattr(SETTINGS, field) for field in SETTINGS.__slots__}


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused(base, tmp_path):
    with pytest.raises(ValueError, match=r"^sft__micro_batch_size is 3, which does not divide the 8 rows"):
        sft(base, tmp_path, SFT(steps=1, batch_size=8, micro_batch_size=3))


def test_tokens_are_counted_without_padding(base, tmp_path):
    tokenizer = loading.load(base)[1]
    rows = demonstrations(ROWS[:8], PROMPT)
    once = sum(len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1 for row in rows)
    facts = sft(base, tmp_path, SFT(steps=3, batch_size=8, evaluations=1), rows=ROWS[:8])
    assert facts["tokens"] == 3 * once


# ---- choosing a checkpoint


def test_the_chosen_step_has_the_highest_dev_bleu_in_the_log_and_the_model_reproduces_it(whole):
    folder, facts = whole
    log = pd.read_csv(folder / "log.csv").set_index("step")
    assert facts["chosen_step"] == log["eval_bleu"].idxmax()
    assert facts["dev_bleu"] == log["eval_bleu"].max() > 0
    assert facts["lowest_loss_step"] == log["eval_loss"].idxmin()
    outputs = decode(loading.load(folder / "model"), [prompts.render(PROMPT, e.source) for e in DEV], DECODING)
    hypotheses = [prompts.hypothesis(output.text) for (output,) in outputs]
    assert metrics.bleu.corpus(hypotheses, [e.reference for e in DEV]).value == facts["dev_bleu"]


# dev BLEU before training and after updates 1, 3, 6, 9, 12
SCRIPTS = [
    ([90.0, 1.0, 2.0, 8.0, 5.0, 6.0], 6),  # the base is the best, but it is not what was trained
    ([0.0, 0.0, 7.0, 7.0, 7.0, 7.0], 3),  # of equal ones the earliest
    ([0.0, 0.0, 0.0, 0.0, 0.0, 9.0], 12),
]


@pytest.mark.parametrize(("scores", "chosen"), SCRIPTS)
def test_the_model_that_is_kept_is_the_one_with_the_best_dev_bleu_during_training(
    base, tmp_path, monkeypatch, scores, chosen
):
    seen: list[dict[str, torch.Tensor]] = []

    def scripted(*_):
        def bleu(model):
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return {"bleu": scores[len(seen) - 1]}

        return bleu

    monkeypatch.setattr(loop, "dev_scores", scripted)
    facts = sft(base, tmp_path)
    steps = [0, 1, 3, 6, 9, 12]
    assert facts["chosen_step"] == chosen
    assert facts["dev_bleu"] == scores[steps.index(chosen)]
    kept = weights(tmp_path)
    assert all(torch.equal(kept[name], seen[steps.index(chosen)][name]) for name in kept)
    assert pd.read_csv(tmp_path / "log.csv")["eval_bleu"].dropna().tolist() == scores


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo", "grpo"])
def test_another_yardstick_chooses_and_bleu_is_told_all_the_same(small_study, tmp_path, monkeypatch, name):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    by_gleu = small_study.profile.variant("by-gleu", yardstick__metric="gleu", **{f"{name}__evaluations": 2})
    study = Study(by_gleu, 0)
    stage = study.trained(name)
    log = study.log(name).dropna(subset=["eval_gleu"]).query("step > 0").set_index("step")
    assert stage.facts["chosen_step"] == log["eval_gleu"].idxmax()
    assert stage.facts["dev_gleu"] == log["eval_gleu"].max()
    assert stage.facts["dev_bleu"] == log["eval_bleu"][stage.facts["chosen_step"]]
    scores = study.evaluation(name, "dev").scores.scores
    assert (scores["GLEU"].value, scores["BLEU"].value) == (stage.facts["dev_gleu"], stage.facts["dev_bleu"])
    assert stage.record["spec"]["yardstick"] == {"metric": "gleu"}
    assert "yardstick" not in small_study.of_seed(0).trained(name).record["spec"]  # the usual one is no news


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 1), (2, 8), (7, 3), (600, 8), (1500, 1), (5, 5)])
def test_evaluations_come_in_order_within_training_and_at_its_end(steps, evaluations):
    found = arguments.evaluation_steps(steps, evaluations)
    assert list(found) == sorted(set(found))
    assert found[0] >= 1
    assert found[-1] == steps


@pytest.mark.parametrize("changes", [{"evaluations": 0}, {"steps": 0}])
def test_a_training_of_nothing_is_refused(base, tmp_path, changes):
    with pytest.raises(ValueError, match="must be at least 1"):
        sft(base, tmp_path, SFT(**{**SETTINGS_AS_DICT, **changes}))


def test_only_the_model_and_the_log_are_left(whole):
    folder, _ = whole
    assert sorted(path.name for path in folder.iterdir()) == ["log.csv", "model"]
    log = pd.read_csv(folder / "log.csv")
    assert not [column for column in log if "runtime" in column or "second" in column]
    assert log["step"].is_monotonic_increasing
    assert log["step"].is_unique


def test_entries_of_one_step_make_one_row_and_clock_times_none():
    history = [
        {"step": 2, "loss": 1.0, "train_runtime": 3.0},
        {"step": 1, "loss": 2.0},
        {"step": 2, "eval_loss": 0.5, "eval_steps_per_second": 9.0},
    ]
    table = loop.log_table(history)
    assert list(table.columns) == ["step", "eval_loss", "loss"]
    assert table.loc[1].tolist() == [2, 0.5, 1.0]


# ---- interruptions


# after the last update of an epoch, in the second epoch, in the third, after the last update of all
@pytest.mark.parametrize("step", [5, 7, 11, 12])
def test_training_that_is_cut_off_goes_on_to_the_same_weights_and_log(base, whole, tmp_path, monkeypatch, step):
    with cut_off_after(step):
        sft(base, tmp_path)
    steps_taken = []
    monkeypatch.setattr(
        loop.SeedOrder,
        "on_step_end",
        lambda self, a, state, c, **k: steps_taken.append(state.global_step),
        raising=False,
    )
    expect_the_whole(sft(base, tmp_path), tmp_path, whole)
    assert steps_taken[0] == max(s for s in (0, 1, 3, 6, 9) if s < step) + 1  # it did go on, not start again


def test_a_failure_after_the_last_update_costs_no_training(base, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(saving, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sft(base, tmp_path)
        patch.undo()
        patch.setattr(torch.optim.Optimizer, "zero_grad", lambda *_: 1 / 0)
        patch.setattr(loop.SeedOrder, "on_epoch_begin", lambda *_, **__: 1 / 0)
        expect_the_whole(sft(base, tmp_path), tmp_path, whole)


@pytest.mark.parametrize("state", [None, '{"global_step": 3'])
def test_a_checkpoint_that_was_not_written_whole_is_not_trusted(base, whole, tmp_path, monkeypatch, state):
    def cut_short(self, path):
        if self.global_step == 3:
            if state is not None:
                Path(path).write_text(state)
            raise Interrupted
        ordinary(self, path)

    ordinary = TrainerState.save_to_json
    with monkeypatch.context() as patch:
        patch.setattr(TrainerState, "save_to_json", cut_short)
        with pytest.raises(Interrupted):
            sft(base, tmp_path)
    assert (tmp_path / "checkpoints" / "checkpoint-3" / "model.safetensors").exists()
    expect_the_whole(sft(base, tmp_path), tmp_path, whole)


@pytest.mark.slow
def test_training_that_is_killed_goes_on_to_the_same_weights_and_log(base, whole, tmp_path):
    kill_after(7, "test_train", base, tmp_path)
    states = [json.loads(path.read_text()) for path in tmp_path.glob("checkpoints/*/trainer_state.json")]
    assert max(state["global_step"] for state in states) == 6
    expect_the_whole(sft(base, tmp_path), tmp_path, whole)


def test_time_is_taken_when_an_accelerator_has_done_its_work(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waited.append(True))
    assert estimates.seconds_since(0.0) > 0
    assert waited


def test_where_a_row_does_not_fit_one_process_all_of_them_say_so(base, monkeypatch):
    model, _ = loading.load(base)
    asked = SETTINGS, model, run(Path()), Rows(40)
    monkeypatch.setattr(processes, "gather", lambda mine: [*mine, (2, "")])
    assert arguments.micro_batch(*asked) == 2
    monkeypatch.setattr(processes, "gather", lambda mine: [*mine, (0, "not even one row fits there")])
    with pytest.raises(ValueError, match="not even one row fits there"):
        arguments.micro_batch(*asked)
    told = []
    monkeypatch.setattr(processes, "gather", lambda mine: told.extend(mine) or mine)
    monkeypatch.setattr(memory, "free", lambda engine: 0)
    with pytest.raises(ValueError, match="not even one row"):
        arguments.micro_batch(*asked)
    assert told  # the others, before it gives up


def test_where_weights_are_sharded_results_and_sums_of_gradients_are_in_32_bits():
    short = MixedPrecisionPolicy(torch.bfloat16, torch.bfloat16, torch.bfloat16)

    class Sharding:
        def create_accelerator_and_postprocess(self):
            plugin = SimpleNamespace(mixed_precision_policy=short)
            self.accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))

    trainer = loop.measured(Sharding)()
    trainer.create_accelerator_and_postprocess()
    policy = trainer.accelerator.state.fsdp_plugin.mixed_precision_policy
    assert policy == MixedPrecisionPolicy(torch.bfloat16, torch.float32, torch.float32)


def test_before_weights_are_sharded_time_is_measured_with_one_row(base, tmp_path, monkeypatch):
    trainer = by_sft.trainer(loading.load(base), demonstrations(ROWS, PROMPT), SETTINGS, run(tmp_path))
    seen, ordinary = [], trainer.data_collator
    trainer.data_collator = lambda batch: seen.append(len(batch)) or ordinary(batch)
    estimates.seconds_per_update(trainer)
    monkeypatch.setattr(processes, "sharded", lambda: True)
    estimates.seconds_per_update(trainer)
    assert seen == [8, 1]


def test_the_dev_loss_is_of_one_reference_a_sentence(base, tmp_path):
    several = [replace(example, reference=(example.reference, "Another.")) for example in DEV]
    trainer = by_sft.trainer(loading.load(base), demonstrations(ROWS, PROMPT), SETTINGS, run(tmp_path, dev=several))
    alone = by_sft.trainer(loading.load(base), demonstrations(ROWS, PROMPT), SETTINGS, run(tmp_path, dev=DEV))
    assert len(trainer.eval_dataset) == len(DEV)
    assert trainer.eval_dataset["input_ids"][:] == alone.eval_dataset["input_ids"][:]
