"""A small study for the tests of checks, ways to make it ill, and what is expected to be found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import factories
import pytest
from filelock import FileLock

from gecalign import plan
from gecalign.checks.patient import Check, Patient
from gecalign.study import Study


def study_in_order(together: Path) -> Study:
    """Return a study in which nothing is wrong; what is made of it, all processes of a test run share."""
    folder = together / "doctor-study"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
            factories.base_folder(folder / "base")
    profile = factories.preference_profile(folder / "base", folder / "corpus.jsonl")
    return Study(profile, 0, folder / "runs")


def patient(study: Study, **changes: object) -> Patient:
    return Patient(study.variant(study.profile.variant(**changes)))


def planning(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Return a function that sets what the plan says of the training of SFT, and of DPO after it."""

    def planned(seconds: float = 60.0, disk: int = 10**6, memory: int = 10**6, micro_batch: int | None = 8) -> None:
        machine = plan.Machine("a machine", False, "fp32", free=4 * 10**9)
        steps = (
            plan.Step("sft", "sft", 0, 60, disk=disk, memory=memory, micro_batch=micro_batch, seconds=seconds / 2),
            plan.Step("samples", "random-of-k", 0, seconds=seconds / 4),
            plan.Step("dpo", "dpo", 0, 60, micro_batch=8, seconds=seconds / 4),
        )
        monkeypatch.setattr(plan, "make", lambda study, rates: plan.Plan("a profile", 1, machine, steps, 0, ()))

    return planned


def assert_found(check: Check, status: str, words: str) -> None:
    assert check.status == status, check
    assert re.search(words, check.words), check.words
