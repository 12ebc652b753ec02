"""DPO: the loss is the formula's, the reference is the SFT model, and an interruption changes nothing."""

import math
from pathlib import Path

import factories
import numpy as np
import pandas as pd
import pytest
import torch
from methods import (
    PROMPT,
    cut_off_after,
    expect_the_whole,
    kill_after,
    log_probability,
    run,
    unmoved,
)
from trl import DPOTrainer

from gecalign import prompts
from gecalign.config import DPO
from gecalign.models import loading
from gecalign.preferences.pairs import PreferencePair
from gecalign.training import dpo

# 20 pairs make epochs of 5 updates; 10 updates, evaluated after 2, 4, 6, 8, 10
SETTINGS = DPO(epochs=2, batch_size=4, learning_rate=3e-3, warmup_steps=0, evaluations=5, beta=0.3)


def pair(index: int, source: str, reference: str) -> PreferencePair:
    rendered = prompts.render(PROMPT, source)
    return PreferencePair(
        str(index),
        rendered,
        f" {reference}",
        f" {source}x",
        source,
        reference,
        1.0,
        0.5,
        1.0,
        1.0,
        "bleu",
        "best-worst",
    )


PAIRS = [pair(i, *texts) for i, texts in enumerate(factories.pairs(20, seed=3))]
HELD_OUT = [pair(i, *texts) for i, texts in enumerate(factories.pairs(6, seed=4))]


def train_it(base: Path, folder: Path, settings: DPO = SETTINGS, pairs=PAIRS, held_out=HELD_OUT) -> dict:
    return dpo.train(loading.load(base), loading.load(base)[0], pairs, held_out, settings, run(folder))


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, train_it(base, folder)


def trainer_of(base: Path, folder: Path, reference=None):
    model, tokenizer = loading.load(base)
    reference = reference or loading.load(base)[0]
    return dpo.trainer((model, tokenizer), reference, PAIRS, HELD_OUT, SETTINGS, run(folder)), tokenizer


def formula(policy, reference, tokenizer, rows, beta: float) -> float:
    """Return equation 7 of Rafailov et al. (2023), a pair at a time."""
    losses = []
    for row in rows:
        ratios = [
            log_probability(policy, tokenizer, row.source, text)
            - log_probability(reference, tokenizer, row.source, text)
            for text in (row.chosen, row.rejected)
        ]
        losses.append(math.log1p(math.exp(-beta * (ratios[0] - ratios[1]))))
    return float(np.mean(losses))


def test_every_parameter_moves_and_the_log_has_what_is_plotted(base, whole):
    folder, facts = whole
    assert unmoved(base, folder) == []
    log = pd.read_csv(folder / "log.csv").set_index("step")
    columns = ["loss", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"]
    for column in columns:
        assert np.isfinite(log[column].dropna()).all()
        assert log[column].notna().sum() == 10
        assert log[f"eval_{column}"].notna().sum() == 6
    assert log["eval_bleu"].dropna().index.tolist() == [0, 2, 4, 6, 8, 10]
    assert (facts["pairs"], facts["held_out"], facts["updates"]) == (20, 6, 10)
    assert facts["chosen_step"] == log["eval_bleu"].iloc[1:].idxmax()


def test_before_training_the_loss_is_log_2_and_afterwards_the_formulas(base, whole):
    folder, facts = whole
    log = pd.read_csv(folder / "log.csv").set_index("step")
    assert log.loc[0, "eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
    (policy, tokenizer), (reference, _) = loading.load(folder / "model"), loading.load(base)
    expected = formula(policy, reference, tokenizer, HELD_OUT, SETTINGS.beta)
    assert abs(expected - math.log(2)) > 1e-3
    # the mean over batches of 4 and 2, each counting as one batch of its rows
    assert log.loc[facts["chosen_step"], "eval_loss"] == pytest.approx(expected, rel=1e-3)


def test_training_prefers_what_was_chosen(whole):
    log = pd.read_csv(whole[0] / "log.csv").set_index("step")
    assert log["rewards/margins"].iloc[-1] > 0.1
    assert log["rewards/accuracies"].iloc[-1] > 0.9


def test_the_reference_is_the_model_that_is_passed_and_not_the_one_on_the_models_recorded_path(base, tmp_path):
    # as after SFT: the weights have moved on from what stands at the path that the model remembers
    torch.manual_seed(0)
    tuned = loading.load(base)[0]
    for weight in tuned.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    trainer, tokenizer = trainer_of(base, tmp_path, reference=tuned)
    untuned = loading.load(base)[0]
    stored = trainer.train_dataset["ref_chosen_logps"][:5]
    expected = [log_probability(tuned, tokenizer, row.source, row.chosen) for row in PAIRS[:5]]
    wrong = [log_probability(untuned, tokenizer, row.source, row.chosen) for row in PAIRS[:5]]
    assert stored == pytest.approx(expected, rel=1e-4)
    assert abs(stored[0] - wrong[0]) > 0.1


def test_the_references_log_probabilities_are_computed_once(base, tmp_path, monkeypatch):
    trainer, _ = trainer_of(base, tmp_path)
    trainer.dev_scores = lambda _: {"bleu": 0.0}
    monkeypatch.setattr(DPOTrainer, "compute_ref_log_probs", lambda *_: pytest.fail("computed again"))
    trainer.train()
    assert trainer.state.global_step == 10


def test_both_completions_end_in_eos_and_begin_with_the_token_of_their_first_word(base, tmp_path):
    trainer, tokenizer = trainer_of(base, tmp_path)
    for row, source in zip(trainer.train_dataset, PAIRS, strict=True):
        assert tokenizer.decode(row["prompt_ids"]) == source.prompt
        for name in ("chosen", "rejected"):
            assert row[f"{name}_ids"][-1] == tokenizer.eos_token_id
            assert tokenizer.decode(row[f"{name}_ids"][:-1]) == getattr(source, name)


def test_without_pairs_the_settings_that_give_some_are_named(base, tmp_path):
    with pytest.raises(ValueError, match=r"no preference pair.*pairs__samples"):
        train_it(base, tmp_path, pairs=[])


def test_without_held_out_pairs_only_bleu_is_evaluated(base, tmp_path):
    train_it(base, tmp_path, DPO(epochs=1, batch_size=10, warmup_steps=0, evaluations=1), held_out=[])
    log = pd.read_csv(tmp_path / "log.csv")
    assert [column for column in log if column.startswith("eval_")] == ["eval_bleu"]


@pytest.mark.parametrize("step", [4, 7])  # within the first epoch, within the second
def test_training_that_is_cut_off_goes_on_to_the_same_weights_and_log(base, whole, tmp_path, step):
    with cut_off_after(step):
        train_it(base, tmp_path)
    expect_the_whole(train_it(base, tmp_path), tmp_path, whole)


@pytest.mark.slow
def test_training_that_is_killed_goes_on_to_the_same_weights(base, whole, tmp_path):
    kill_after(5, "test_train_dpo", base, tmp_path)
    assert list(tmp_path.glob("checkpoints/checkpoint-4"))
    expect_the_whole(train_it(base, tmp_path), tmp_path, whole)
