"""Progress bars: on a terminal and in notebooks, and nowhere else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import factories
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from gecalign.runtime import bars

STUDY = """
import sys
from pathlib import Path
tests, base, corpus, runs = sys.argv[1:]
sys.path.insert(0, tests)
import factories
from gecalign.study import Study

profile = factories.preference_profile(Path(base), Path(corpus), sft__steps=20)
study = Study(profile, 0, Path(runs))
study.trained("dpo")  # and so the corpus, SFT, its samples, and the pairs
study.evaluation("dpo", "dev")
"""
STAGES = ("data", "sft", "samples", "pairs", "dpo", "dpo-dev")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(60))
    base = factories.base_folder(tmp_path / "base")
    return [sys.executable, "-c", STUDY, str(Path(__file__).parents[1]), str(base), str(corpus), str(tmp_path / "runs")]


def on_terminal(command: list[str]) -> str:
    """Run a command with standard error on a terminal, and return what it wrote there."""
    import termios

    ours, its = os.openpty()
    termios.tcsetwinsize(its, (24, 100))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its) as running:
        os.close(its)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # how Linux says that nobody can write any more
            pass
    os.close(ours)
    assert running.returncode == 0, written.decode()
    return written.decode()


@pytest.mark.slow
def test_a_log_has_the_lines_of_the_stages_and_no_bar(command, tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=file, check=True)
    text = log.read_bytes().decode()
    assert "\r" not in text
    assert "it/s" not in text
    lines = text.splitlines()
    for stage in STAGES:
        assert len([line for line in lines if line.startswith(f"[{stage}] making")]) == 1
        assert len([line for line in lines if line.startswith(f"[{stage}] done in")]) == 1
    assert "progress bar" not in text  # none is announced that does not come
    assert len(lines) <= 3 * len(STAGES)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_has_the_bars_of_training_and_decoding(command):
    text = on_terminal(command)
    assert "a progress bar follows" in text
    assert "/20 [" in text  # the updates of SFT; a bar is drawn only now and then, so its last state may be missing
    assert "decoding dpo:" in text
    assert "reference log probs" in text  # a bar of TRL
    assert "Loading weights" in text  # one of Transformers


@pytest.mark.slow
def test_a_notebook_has_bars():
    cell = new_code_cell("import gecalign.runtime.bars; print(gecalign.runtime.bars.watched())")
    done = NotebookClient(new_notebook(cells=[cell]), kernel_name="python3").execute()
    assert done.cells[0].outputs == [nbformat.v4.new_output("stream", name="stdout", text="True\n")]


def test_somebody_watches_a_terminal_and_nobody_a_file(monkeypatch):
    assert bars.watched(Terminal())
    assert not bars.watched(io.StringIO())
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert bars.watched()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not bars.watched()  # the main process shows one for all


def test_a_bar_is_hidden_whatever_it_was_told_and_shown_again_afterwards():
    from datasets.utils import tqdm as of_datasets
    from tqdm.auto import tqdm
    from transformers.utils.logging import tqdm as of_transformers

    def written(kind) -> str:
        stream = Terminal()
        list(kind(range(3), file=stream, disable=False))
        return stream.getvalue()

    for kind in (tqdm, of_datasets, of_transformers):
        with bars.hidden():
            assert written(kind) == ""
        assert "3/3" in written(kind)


def test_bars_come_back_after_an_error():
    from tqdm import tqdm

    ordinary = tqdm.__dict__["__init__"]
    with pytest.raises(KeyError), bars.hidden():
        raise KeyError
    assert tqdm.__dict__["__init__"] is ordinary


def test_only_where_nobody_watches_bars_are_hidden(monkeypatch):
    from tqdm import tqdm

    ordinary = tqdm.__dict__["__init__"]
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with bars.where_watched():
            assert (tqdm.__dict__["__init__"] is ordinary) == shown
