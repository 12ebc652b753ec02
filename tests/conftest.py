"""What several test files share: the settings of a test run, and one book built on the smoke profile."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports a Hugging Face library: nothing in a test may need a hub.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
if side_by_side := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // side_by_side)))

# A shell lets what it starts in the background ignore Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import factories
import hypothesis
from filelock import FileLock
from project import copy_book_sources

from gecalign.config import Profile
from gecalign.study import Study

# Generated examples are the same on every run, and few enough for the suite; a slow machine is no failure.
hypothesis.settings.register_profile("quick", max_examples=60, derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("quick")


@dataclass(frozen=True, slots=True)
class SmokeBook:
    """The whole book, executed and rendered on the smoke profile in a folder of its own."""

    root: Path
    page: Path  # the first page of the site
    runs: Path


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone, without chapters; its products stay in it."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapters/00-good\n")
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model and its tokenizer in a folder that no test changes."""
    return factories.base_folder(tmp_path_factory.mktemp("small") / "base")


@dataclass(frozen=True, slots=True)
class SmallStudy:
    """The whole study with two seeds, run side by side on a small random model: its profile, products and results."""

    profile: Profile
    runs: Path
    folder: Path  # of the results

    def of_seed(self, seed: int) -> Study:
        return Study(self.profile, seed, self.runs)


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of a test run share: what is slow to make is made by the first that needs it."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def small_study(together: Path) -> SmallStudy:
    """Run every system with two seeds, once for all tests."""
    from gecalign.study import multiseed

    folder = together / "small-study"
    with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            folder.mkdir()
            factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
            factories.base_folder(folder / "base")
        profile = factories.preference_profile(folder / "base", folder / "corpus.jsonl")
        patch.setenv("GECALIGN_RUNS", str(folder / "runs"))
        patch.setattr(os, "cpu_count", lambda: 2)  # a thread for each process, however many cores there are
        return SmallStudy(profile, folder / "runs", multiseed.study(profile, 2, jobs=2))


@pytest.fixture(scope="session")
def smoke_book(together: Path) -> SmokeBook:
    """Build the book once for all tests; its products go to a folder of their own as well."""
    from gecalign.book import builder, planning

    root, runs = together / "smoke-book" / "clone", together / "smoke-book" / "runs"
    page = root / "_build" / "html" / "index.html"
    with FileLock(f"{together / 'smoke-book'}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GECALIGN_RUNS", str(runs))
        if not page.exists():
            built = builder.build(planning.Request("smoke"), copy_book_sources(root))
            assert built == page
    return SmokeBook(root, page, runs)


@pytest.fixture
def message(capsys):
    """Return a function that calls `main`, as the console script does, and gives what it says on stderr."""

    from gecalign import cli

    def of(*arguments: object, code: int = 1) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["gecalign", *map(str, arguments)])
            with pytest.raises(SystemExit) as stop:
                cli.main()
        assert stop.value.code == code
        return capsys.readouterr().err

    return of
