"""What the tests of checks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from examining import planning, study_in_order

from gecalign.study import Study


@pytest.fixture(scope="module")
def study(together: Path) -> Study:
    return study_in_order(together)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable:
    return planning(monkeypatch)
