"""What the tests of checks share: a small study in order, and ways to make it ill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import factories
import pytest
from filelock import FileLock

from gecalign import plan
from gecalign.study import Study


@pytest.fixture(scope="session")
def study(together: Path) -> Study:
    """A study in order; what is made of it, all processes of a test run share."""
    folder = together / "doctor-study"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
            factories.base_folder(folder / "base")
    profile = factories.preference_profile(folder / "base", folder / "corpus.jsonl")
    return Study(profile, 0, folder / "runs")


@pytest.fixture
def planned(monkeypatch) -> Callable:
    """Return a function that sets what the plan says of the training of SFT, and of DPO after it."""

    def planning(seconds: float = 60.0, disk: int = 10**6, memory: int = 10**6, micro_batch: int | None = 8) -> None:
        machine = plan.Machine("a machine", False, "fp32", free=4 * 10**9)
        steps = (
            plan.Step("sft", "sft", 0, 60, disk=disk, memory=memory, micro_batch=micro_batch, seconds=seconds / 2),
            plan.Step("samples", "random-of-k", 0, seconds=seconds / 4),
            plan.Step("dpo", "dpo", 0, 60, micro_batch=8, seconds=seconds / 4),
        )
        monkeypatch.setattr(plan, "make", lambda study, rates: plan.Plan("a profile", 1, machine, steps, 0, ()))

    return planning
