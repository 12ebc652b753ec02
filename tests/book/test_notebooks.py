"""The executed chapters: the same cells as their text, clean, and the same again when they are run again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from project import PROJECT

from gecalign.book import chapters

pytestmark = pytest.mark.slow

CHAPTERS = chapters.every(PROJECT)
NBVAL = ("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "-q", "-p", "no:cacheprovider")


def executed(smoke_book, chapter: chapters.Chapter) -> nbformat.NotebookNode:
    return nbformat.read(smoke_book.root / "book" / "chapters" / chapter.executed.name, as_version=4)


def injected(cell: nbformat.NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_the_recorded_cells_equal_their_source(chapter, smoke_book):
    written = [(cell.cell_type, cell.source) for cell in chapters.read(chapter.source).cells]
    recorded = [(c.cell_type, c.source) for c in executed(smoke_book, chapter).cells if not injected(c)]
    assert recorded == written


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_every_code_cell_was_executed_with_the_parameters_of_the_run(chapter, smoke_book):
    code = [cell for cell in executed(smoke_book, chapter).cells if cell.cell_type == "code" and cell.source]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell.source for cell in code if injected(cell)] == ['# Parameters\nPROFILE = "smoke"\nSEED = 0\n']


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_an_executed_chapter_says_nothing_about_the_machine(chapter, smoke_book):
    text = nbformat.writes(executed(smoke_book, chapter))
    assert str(smoke_book.root) not in text
    assert str(smoke_book.runs) not in text
    assert str(PROJECT) not in text
    assert not re.search(r'"name": "stderr"|"papermill"|vnd\.jupyter\.widget', text)


def test_a_second_run_passes_nbval_and_gives_the_checked_outputs_again(smoke_book):
    folder = smoke_book.root / "book" / "chapters"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *NBVAL, f"--rootdir={folder}", str(folder)],
        cwd=folder,
        env=os.environ | {"GECALIGN_RUNS": str(smoke_book.runs)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)


@pytest.mark.parametrize("system", ["sft-continued", "dpo", "grpo", "sft-careful"])
def test_the_smoke_run_trains_for_real(smoke_book, system):
    from safetensors.torch import load_file

    from gecalign.study import Study

    study = Study("smoke", 0, smoke_book.runs)
    start, trained = (load_file(study.trained(name).folder / "model" / "model.safetensors") for name in ("sft", system))
    assert [name for name in start if (start[name] == trained[name]).all()] == []
    log = study.log(system)
    rewards = {"dpo": "rewards/margins", "grpo": "rewards/bleu/mean"}.get(system, "loss")
    assert log[["loss", rewards]].dropna().map(lambda value: abs(value) < 1e6).all(axis=None)
    assert log[rewards].notna().sum() >= 4
    assert log["eval_bleu"].notna().sum() >= 2


def test_some_outputs_are_checked():
    # Without a tagged cell nbval-lax compares nothing, and the test above could not fail for a changed result
    checked = [c.name for c in CHAPTERS if "nbval-check-output" in Path(c.source).read_text(encoding="utf-8")]
    assert checked
