"""Checks of the machine: packages, devices, memory and disk."""

from __future__ import annotations

import types

import pytest
import torch
from examining import assert_found, patient

from gecalign.checks import machine
from gecalign.checks.patient import Patient
from gecalign.models import loading
from gecalign.runtime import processes


def test_versions(study, monkeypatch, tmp_path):
    assert_found(machine.versions(Patient(study)), "pass", r"trl 1\.\d+.*as in requirements.txt")
    monkeypatch.setattr(machine, "PINS", tmp_path / "absent.txt")
    assert "requirements.txt" not in machine.versions(Patient(study)).words
    (tmp_path / "pins.txt").write_text("# a comment\n\nnumpy==1.0.0  # old\nno-such-package==1\n")
    monkeypatch.setattr(machine, "PINS", tmp_path / "pins.txt")
    assert_found(machine.versions(Patient(study)), "warn", r"numpy \S+ \(==1.0.0 is pinned\)")


@pytest.mark.parametrize(
    ("changes", "installed", "words"),
    [
        ({}, {"trl": "1.10.0"}, "trl 1.10.0 is installed, and the code needs >=1.16,<2"),
        ({}, {"trl": None}, "trl is not installed"),
        ({"lora__rank": 8}, {"peft": None}, "peft is not installed, and lora__rank asks for it .TRL takes peft>="),
        ({"engine__sampler": "vllm-colocate"}, {"vllm": None}, "vllm is not installed, and engine__sampler"),
        ({"engine__sampler": "vllm-server"}, {"vllm": "0.10.0"}, "vllm 0.10.0 is installed, and TRL takes vllm.*0.22"),
        ({"engine__report_to": "tensorboard,wandb"}, {"wandb": None}, "wandb is not installed, and engine__report_to"),
    ],
)
def test_packages_that_are_missing_or_of_another_version(study, monkeypatch, changes, installed, words):
    ordinary = machine._installed
    there = {"tensorboard": "2.20.0"} | installed
    monkeypatch.setattr(machine, "_installed", lambda name: there[name] if name in there else ordinary(name))
    assert_found(machine.versions(patient(study, **changes)), "fail", words)


def test_extras_that_are_there(study, monkeypatch, tmp_path):
    ordinary = machine._installed
    there = {"peft": "0.19.0", "vllm": "0.25.0", "trackio": "1.0"}
    monkeypatch.setattr(machine, "_installed", lambda name: there.get(name) or ordinary(name))
    monkeypatch.setattr(machine, "PINS", tmp_path / "absent.txt")
    asking = patient(study, lora__rank=8, engine__sampler="vllm-colocate", engine__report_to="trackio")
    assert machine.versions(asking).status == "pass"


@pytest.mark.parametrize(
    ("needs", "status", "words"),
    [
        ({"disk": 2 * 10**9}, "pass", r"^disk: about 2.0 GB of 10.0 GB that are free. RAM: at the most 1 MB of 4.0 GB"),
        ({"disk": 11 * 10**9}, "fail", "11.0 GB of 10.0 GB that are free: too little. .*GECALIGN_RUNS"),
        ({"disk": 9 * 10**9}, "warn", "9.0 GB of 10.0 GB that are free: tight"),
        ({"memory": 5 * 10**9}, "fail", r"5.0 GB of 4.0 GB \(sft\): too little. .*gradient_checkpointing"),
        ({"micro_batch": None}, "fail", "not even one row of sft fits"),
    ],
)
def test_room(study, planned, monkeypatch, needs, status, words):
    planned(**needs)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=10e9))
    assert_found(machine.room(Patient(study)), status, words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "pass", "^0 M parameters on cpu, computing in fp32.$"),
        ({"engine__precision": "fp16"}, "fail", "fp16 is for GPUs"),
        ({"engine__sampler": "vllm-colocate"}, "fail", "needs a GPU"),
        ({"engine__sampler": "vllm-server", "engine__vllm_url": "http://127.0.0.1:9"}, "fail", "No server .* at http"),
        (
            {"model__name": "HuggingFaceTB/SmolLM-135M"},
            "warn",
            "^135 M .*Without a GPU the whole study takes about 3 hours",
        ),
    ],
)
def test_a_device_that_does_not_suit(study, planned, changes, status, words):
    planned(seconds=3 * 3600)
    assert_found(machine.device(patient(study, **changes)), status, words)


def test_bf16_that_is_emulated(study, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert_found(machine.device(patient(study, engine__precision="bf16")), "warn", "CPU has no bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert machine._precision("bf16", gpu=True)[0][0] == "fail"
    assert machine._precision("fp16", gpu=True) == []


def test_gpus_that_lie_idle_or_are_shared(study, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert_found(machine.device(Patient(study)), "warn", "2 GPUs are there, and 1 are used: .*torchrun")
    monkeypatch.setattr(processes, "count", lambda: 4)
    monkeypatch.setattr(loading, "device", lambda: torch.device("cpu"))
    assert_found(machine.device(Patient(study)), "fail", "4 processes share 2 GPUs")
