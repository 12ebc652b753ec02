import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gecalign.config import Data
from gecalign.runtime import store
from gecalign.runtime.store import StageError

SPEC = {"steps": 3, "of": "test"}


def writer(text: str, calls: list | None = None):
    def make(folder: Path) -> dict:
        if calls is not None:
            calls.append(sorted(path.name for path in folder.iterdir()))
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "product.txt").write_text(text)
        return {"length": len(text)}

    return make


def never(folder: Path) -> dict:
    raise AssertionError("made again")


def test_a_stage_is_made_once_and_then_loaded(tmp_path):
    made = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    loaded = store.obtain(tmp_path, "stage", SPEC, never)
    assert loaded == made
    assert (made.folder / "sub" / "product.txt").read_text() == "x"
    assert made.folder == tmp_path / f"stage-{store.digest_of(SPEC)}"
    assert made.facts == {"length": 1}
    assert made.record["spec"] == SPEC


def test_the_order_of_keys_in_a_spec_does_not_matter(tmp_path):
    store.obtain(tmp_path, "stage", SPEC, writer("x"))
    store.obtain(tmp_path, "stage", dict(reversed(SPEC.items())), never)


def test_facts_survive_json_as_they_will_be_read(tmp_path):
    made = store.obtain(tmp_path, "stage", SPEC, lambda folder: {"rows": {10: (1, 2), 9: 0.1}})
    assert made.facts == {"rows": {"10": [1, 2], "9": 0.1}}


def test_another_spec_gets_another_folder_and_nothing_is_lost(tmp_path):
    first = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    second = store.obtain(tmp_path, "stage", SPEC | {"steps": 4}, writer("y"))
    assert first.folder != second.folder
    assert (first.folder / "sub" / "product.txt").read_text() == "x"
    assert store.obtain(tmp_path, "stage", SPEC, never).content != second.content


def test_content_is_equal_exactly_for_equal_files(tmp_path):
    stages = [store.obtain(tmp_path, f"s{i}", SPEC, writer(text)) for i, text in enumerate("aab")]
    assert stages[0].content == stages[1].content != stages[2].content


def test_what_an_exception_left_is_handed_back(tmp_path):
    seen: list = []

    def fail(folder: Path) -> dict:
        (folder / "half.txt").write_text("half")
        raise KeyError("boom")

    with pytest.raises(KeyError):
        store.obtain(tmp_path, "stage", SPEC, fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [
        f"stage-{store.digest_of(SPEC)}.partial"
    ]
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x", seen))
    assert seen == [["half.txt"]]
    assert stage.record["resumed"] is True
    assert not list(tmp_path.glob("*.partial"))


def test_a_finished_stage_survives_the_failure_of_the_next(tmp_path):
    store.obtain(tmp_path, "first", SPEC, writer("x"))
    with pytest.raises(ZeroDivisionError):
        store.obtain(tmp_path, "second", SPEC, lambda folder: {"x": 1 / 0})
    store.obtain(tmp_path, "first", SPEC, never)


COUNTING = """
import os, signal, sys
from pathlib import Path
from gecalign.runtime import store
def make(folder):
    for i in range(6):
        path = folder / f"{i}.txt"
        if not path.exists():
            store.write_text(path, str(i))
        if i == 3 and sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    return {"files": 6}
print(store.obtain(Path(sys.argv[1]), "stage", {"a": 1}, make).content)
"""


def run_counting(root: Path, how: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", COUNTING, str(root), how], capture_output=True, text=True)


def test_a_killed_stage_is_completed_by_the_next_call_to_the_same_content(tmp_path):
    killed = run_counting(tmp_path / "killed", "kill")
    assert killed.returncode == -signal.SIGKILL
    (partial,) = (tmp_path / "killed").glob("*.partial")
    assert len(list(partial.glob("*.txt"))) == 4
    resumed, whole = run_counting(tmp_path / "killed", "on"), run_counting(tmp_path / "whole", "on")
    assert "resuming" in resumed.stderr
    assert resumed.stdout == whole.stdout != ""


def test_a_kill_between_writing_and_naming_a_file_leaves_nothing_in_the_product(tmp_path, monkeypatch):
    def killed(self, target):
        raise KeyboardInterrupt  # not an Exception, as a kill is not

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store.obtain(tmp_path, "stage", SPEC, writer("x"))
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    assert set(stage.record["files"]) == {"sub/product.txt"}
    store.load(stage.folder)


def tamper_file(folder: Path) -> None:
    (folder / "sub" / "product.txt").write_text("y")


def remove_file(folder: Path) -> None:
    (folder / "sub" / "product.txt").unlink()


def add_file(folder: Path) -> None:
    (folder / "sub" / "stage.json").write_text("{}")


def remove_record(folder: Path) -> None:
    (folder / "stage.json").unlink()


def edit_record(**changes: object):
    def edit(folder: Path) -> None:
        record = json.loads((folder / "stage.json").read_text())
        (folder / "stage.json").write_text(json.dumps(record | changes))

    return edit


def write_record(text: str):
    return lambda folder: (folder / "stage.json").write_text(text)


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (tamper_file, "was changed after it was made (sub/product.txt)"),
        (remove_file, "was changed after it was made (sub/product.txt)"),
        (add_file, "was changed after it was made (sub/stage.json)"),
        (remove_record, "has no readable stage.json"),
        (write_record(""), "has no readable stage.json"),
        (write_record("{"), "has no readable stage.json"),
        (write_record("{}"), "has no readable stage.json"),
        (write_record("[]"), "has no readable stage.json"),
        (write_record("null"), "has no readable stage.json"),
        (edit_record(facts={"length": 2}), "stage.json was changed"),
        (edit_record(spec={"steps": 4}), "stage.json was changed"),
        (edit_record(files={}), "stage.json was changed"),
    ],
)
def test_a_product_that_was_changed_is_refused_with_the_remedy(tmp_path, tamper, words):
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    tamper(stage.folder)
    with pytest.raises(StageError) as error:
        store.obtain(tmp_path, "stage", SPEC, never)
    assert words in str(error.value)
    assert f"Delete or rename {stage.folder} to have it made again." in str(error.value)


def test_a_renamed_product_is_not_taken_for_another(tmp_path):
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    stage.folder.rename(tmp_path / f"stage-{store.digest_of({'steps': 99})}")
    with pytest.raises(StageError, match="another configuration"):
        store.obtain(tmp_path, "stage", {"steps": 99}, never)


def test_following_the_remedy_works(tmp_path):
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    tamper_file(stage.folder)
    stage.folder.rename(tmp_path / "set-aside")
    assert store.obtain(tmp_path, "stage", SPEC, writer("x")).content == stage.content


def test_hidden_files_in_a_product_are_ignored(tmp_path):
    stage = store.obtain(tmp_path, "stage", SPEC, writer("x"))
    (stage.folder / ".DS_Store").write_text("")
    (stage.folder / ".ipynb_checkpoints").mkdir()
    (stage.folder / ".ipynb_checkpoints" / "product.txt").write_text("")
    assert store.obtain(tmp_path, "stage", SPEC, never).content == stage.content


def hold(root: Path, ready, done) -> None:
    def make(folder: Path) -> dict:
        ready.set()
        done.wait(20)
        return {}

    store.obtain(root, "stage", SPEC, make)


def test_a_second_process_waits_for_a_stage_and_does_not_make_it_again(tmp_path, capsys):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    try:
        assert ready.wait(60)
        threading.Timer(0.5, done.set).start()
        store.obtain(tmp_path, "stage", SPEC, never)
    finally:
        done.set()
        other.join(20)
    assert capsys.readouterr().err == "[stage] another process is making it; waiting\n"


def test_the_stage_of_a_process_that_dies_is_made_by_the_one_that_waits(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(60)
    threading.Timer(0.5, other.kill).start()
    assert store.obtain(tmp_path, "stage", SPEC, writer("x")).record["resumed"]
    other.join(20)


FULL = (
    OSError(errno.ENOSPC, "in the words of another system"),
    OSError(errno.EDQUOT, "in the words of another system"),
    # the wording of safetensors 0.8 and of torch.save 2.13 on a full tmpfs
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
)


@pytest.mark.parametrize("error", FULL, ids=["system", "quota", "safetensors", "torch"])
def test_a_full_disk_is_named_and_the_same_call_goes_on_afterwards(tmp_path, error):
    def make(folder: Path) -> dict:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(StageError, match=r"disk is full: stage .*Free some space.*GECALIGN_RUNS.*goes on"):
        store.obtain(tmp_path, "stage", SPEC, make)
    seen: list = []
    store.obtain(tmp_path, "stage", SPEC, writer("x", seen))
    assert seen == [["half"]]


def test_another_error_is_not_taken_for_a_full_disk(tmp_path):
    def make(folder: Path) -> dict:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        store.obtain(tmp_path, "stage", SPEC, make)


def test_digests_tell_values_apart_and_do_not_depend_on_the_process():
    # echo -n '{"a": 1}' | sha256sum | cut -c1-12
    assert store.digest_of({"a": 1}) == "f9d86028c6e0"
    assert store.digest_of(Data()) != store.digest_of(Data(seed=1))


def test_products_are_kept_in_the_project_from_anywhere_inside(tmp_path, monkeypatch):
    monkeypatch.delenv("GECALIGN_RUNS", raising=False)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert store.runs_folder() == tmp_path / "runs"
    monkeypatch.setenv("GECALIGN_RUNS", "/elsewhere")
    assert store.runs_folder() == Path("/elsewhere")


def test_what_is_finished_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    made = store.obtain(runs, "stage", SPEC, writer("x"))
    ordinary = os.access  # whoever runs the tests may be root, to whom everything can be written
    monkeypatch.setattr(os, "access", lambda path, how: Path(path) != runs and ordinary(path, how))
    monkeypatch.setenv("GECALIGN_RUNS", str(runs))
    assert store.runs_folder() == runs
    assert store.obtain(runs, "stage", SPEC, writer("x")).content == made.content
    with pytest.raises(ValueError, match=f"the environment variable GECALIGN_RUNS: {runs} cannot be written by you"):
        store.obtain(runs, "other", SPEC, writer("x"))


def test_the_record_says_with_what_and_how_long(tmp_path):
    start = time.time()
    record = store.obtain(tmp_path, "stage", SPEC, writer("x")).record
    assert record["packages"]["sacrebleu"]
    assert record["machine"]["cores"] == os.cpu_count()
    assert 0 <= record["seconds"] <= time.time() - start + 0.1
