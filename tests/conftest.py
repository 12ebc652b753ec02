"""What several test files share: the settings of a test run, and one book built on the smoke profile."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports a Hugging Face library: nothing in a test may need a hub.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class SmokeBook:
    """The whole book, executed and rendered on the smoke profile in a folder of its own."""

    root: Path
    page: Path  # the first page of the site
    runs: Path


def copy_book_sources(root: Path) -> Path:
    """Copy what the book is built from to `root`, without anything that was built from it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(PROJECT / name, root)
    generated = shutil.ignore_patterns("chapters", "__pycache__", ".ipynb_checkpoints")
    for name in ("book", "notebooks", "results"):
        shutil.copytree(PROJECT / name, root / name, ignore=generated)
    return root


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory: pytest.TempPathFactory):
    """Build the book once for all tests; its products go to a folder of their own as well."""
    from gecalign import book

    folder = tmp_path_factory.mktemp("smoke-book")
    root, runs = copy_book_sources(folder / "clone"), folder / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GECALIGN_RUNS", str(runs))
        page = book.build("smoke", 0, root=root)
        yield SmokeBook(root, page, runs)
