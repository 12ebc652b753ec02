"""Checks of what training starts from and does, on a study in order and on one made wrong on purpose."""

from __future__ import annotations

import re

import pytest
import torch
from examining import assert_found, patient

from gecalign.checks import training
from gecalign.checks.patient import Patient
from gecalign.runtime import processes
from gecalign.study import Study

SAME = r"a loss of 0\.6931 .* of 0\.0000 nats"
FOUND = [
    (training.weights, {}, "pass", r"^float32; .* 100% by SFT \(rate 0.01\), 100% by DPO .*bfloat16: 100%"),
    (training.weights, {"grpo__learning_rate": 1e-12}, "warn", "raise them"),
    # of a fresh pair of matrices only one has a gradient, and that one is 0: it moves in any precision
    (training.weights, {"lora__rank": 4}, "pass", r"100% by GRPO .*bfloat16: 100%, 100%, 100%"),
    (training.reference, {}, "pass", SAME),
    (training.reference, {"lora__rank": 4}, "pass", SAME),
    (training.reference, {"grpo__beta": 0.1}, "pass", SAME),
    (training.batches, {}, "pass",
     "SFT: 60 updates of 8 rows, 20.0 passes over 24 .*DPO: 2 updates of 4 pairs.*128 samples in all"),
    (training.batches, {"grpo__group_size": 3}, "fail", "no multiple of grpo__group_size, 3"),
    (training.batches, {"grpo__updates_per_generation": 2}, "warn", "moved on"),
    (training.batches, {"grpo__batch_size": 400}, "fail", "takes 100 prompts, and the split preference has 16"),
    (training.batches, {"sft__micro_batch_size": 3}, "fail",
     "SFT: the batch .* is 8, no multiple of sft__micro_batch_size, 3"),
    (training.batches, {"dpo__warmup_steps": 2}, "warn",
     "DPO: .*warm-up takes 2, so the learning rate is never reached"),
]  # fmt: skip


@pytest.mark.parametrize(("look", "changes", "status", "words"), FOUND)
def test_what_a_check_says_of_settings(study, look, changes, status, words):
    assert_found(look(patient(study, **changes)), status, words)


def test_weights_in_16_bits_hardly_move(study, monkeypatch):
    ill = patient(study, dpo__learning_rate=5e-6, grpo__learning_rate=1e-5)
    model, tokenizer = study.model("base")
    ill.base = (model.to(torch.bfloat16), tokenizer)
    found = training.weights(ill)
    assert_found(found, "fail", r"^bfloat16; .* by DPO \(rate 5e-06\).*Load weights in 32 bits")
    assert int(re.search(r"(\d+)% by DPO", found.words)[1]) < 20


@pytest.mark.parametrize("method", ["DPO", "GRPO"])
def test_a_reference_model_that_is_the_base(study, monkeypatch, method):
    ill, loaded = Patient(study), []

    def reloading(system: str):
        loaded.append(system)  # policy and reference of DPO, then those of GRPO
        return Study.model(study, "base" if len(loaded) == {"DPO": 2, "GRPO": 4}[method] else system)

    monkeypatch.setattr(ill.study, "model", reloading, raising=False)
    found = training.reference(ill)
    assert_found(found, "fail", "another model than the one that training starts from")
    loss, divergence = re.search(r"loss of ([\d.]+) .* model of ([\d.]+) nats", found.words).groups()
    assert (abs(float(loss) - 0.6931) > 0.01) == (method == "DPO")
    assert (float(divergence) > 0.01) == (method == "GRPO")


def test_a_reference_model_that_trl_loads_itself(study, monkeypatch):
    """With beta above 0 it does so from the path that the model remembers."""
    ill = patient(study, grpo__beta=0.1)

    def forgetful(system: str):
        model, tokenizer = Study.model(study, system)
        model.config._name_or_path = study.profile.model.name
        return model, tokenizer

    monkeypatch.setattr(ill.study, "model", forgetful, raising=False)
    found = training.reference(ill)
    assert_found(found, "fail", r"a loss of 0\.6931 .*which may be the base")


def test_batches_that_processes_cannot_share(study, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert_found(training.batches(Patient(study)), "pass", "8 rows.*, 4 in each of 2 processes")
    monkeypatch.setattr(processes, "count", lambda: 3)
    assert_found(training.batches(Patient(study)), "fail", "SFT: .*3 processes cannot share evenly")
