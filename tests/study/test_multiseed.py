"""Many seeds: side by side as one by one, resumed where it was cut off, planned before and counted after."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from gecalign.runtime import store
from gecalign.study import Study, multiseed, results
from gecalign.systems import RECORDED


def test_seeds_that_run_side_by_side_give_what_one_gives_alone(small_study, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    try:
        alone = Study(small_study.profile, 1, tmp_path)
        assert alone.sft().content == small_study.of_seed(1).sft().content
        assert alone.trained("grpo-shuffled").content == small_study.of_seed(1).trained("grpo-shuffled").content
    finally:
        torch.set_num_threads(threads)


def test_processes_compute_with_as_many_threads_as_they_are_given(monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    command = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    with multiseed._threads(1):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
    assert os.environ["MKL_NUM_THREADS"] == "3"


def test_everything_is_made_once(small_study, monkeypatch):
    monkeypatch.setattr(store, "_make", lambda *_: pytest.fail("a stage was made again"))
    monkeypatch.setenv("GECALIGN_RUNS", str(small_study.runs))
    assert multiseed.study(small_study.profile, 2) == small_study.folder
    for seed in (0, 1):
        done: list[str] = []
        multiseed.run_seed(small_study.of_seed(seed), done.append)
        assert done == list(RECORDED)


def test_what_the_processes_print_is_kept_beside_the_products(small_study):
    log = (small_study.of_seed(0).folder / "study.log").read_text(encoding="utf-8")
    assert "[grpo-shuffled] making" in log


def test_a_study_that_was_cut_off_makes_only_what_is_missing(small_study, tmp_path, monkeypatch, capfd):
    runs = tmp_path / "runs"
    shutil.copytree(small_study.runs, runs)
    root = runs / small_study.profile.name
    shutil.rmtree(next(root.glob("results-*")))
    missing = Study(small_study.profile, 1, runs).evaluation("dpo", "test").stage.folder
    shutil.rmtree(missing)
    monkeypatch.setenv("GECALIGN_RUNS", str(runs))
    folder = multiseed.study(small_study.profile, 2, jobs=1)
    made = [line.split()[2].rstrip(".") for line in capfd.readouterr().err.splitlines() if "] making " in line]
    assert made == [folder.name, missing.name]
    same = {name for name in results.FILES if (folder / name).read_bytes() == (small_study.folder / name).read_bytes()}
    assert same == set(results.FILES)


def test_a_failure_in_a_process_stops_the_study_and_says_why(small_study, tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    broken = small_study.profile.variant(grpo__reward="nonsense")
    with pytest.raises(ValueError, match="unknown reward 'nonsense'"):
        multiseed.study(broken, 2, jobs=2)
    assert not list((tmp_path / broken.name).glob("results-????????????"))


@pytest.mark.parametrize(("seeds", "jobs", "words"), [(1, None, "--seeds is 1"), (2, 0, "--jobs is 0")])
def test_bad_numbers_are_refused_before_anything_is_made(small_study, tmp_path, monkeypatch, seeds, jobs, words):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    with pytest.raises(ValueError, match=words):
        multiseed.study(small_study.profile, seeds, jobs)
    assert not list(tmp_path.iterdir())


def test_published_results_are_preferred_and_must_be_of_the_same_settings(small_study, tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    multiseed.publish(small_study.folder, tmp_path / "results" / "smoke")
    monkeypatch.setattr(multiseed, "study", lambda *_: pytest.fail("made again"))
    with pytest.raises(ValueError, match="made with other settings than the profile smoke has now"):
        multiseed.obtain("smoke")
    assert {path.name for path in (tmp_path / "results" / "smoke").iterdir()} == set(results.FILES)
