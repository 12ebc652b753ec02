"""A study in pieces: packed, run in the time there is, collected; processes stand for the machines."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys

import pytest
from commandline import call

from gecalign import config
from gecalign.portable import packing, running
from gecalign.portable.packing import Target
from gecalign.study import pieces

EVERYTHING = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
HERE = Target(has=EVERYTHING)


# ---- what goes along


def test_nothing_goes_along_where_all_is_there():
    assert packing.needed(HERE) == {}


def test_what_the_target_lacks_goes_along_with_what_that_needs():
    few = {name: version for name, version in EVERYTHING.items() if name.lower() not in ("sacrebleu", "portalocker")}
    assert set(packing.needed(Target(has=few))) == {"sacrebleu", "portalocker"}


def test_torch_stays_where_it_is_whatever_the_list_says():
    found = packing.needed(Target(has={}))
    assert not [name for name in found if name in ("torch", "triton") or name.startswith("nvidia")]
    assert {"transformers", "trl", "numpy", "sacrebleu"} <= set(found)


def test_a_version_that_does_not_fit_is_replaced_and_one_that_is_asked_for_carried():
    old = {name: version for name, version in EVERYTHING.items() if name != "transformers"}
    old |= {name: "0.1.0" for name in old if name in ("huggingface_hub", "huggingface-hub")}
    assert set(packing.needed(Target(has=old))) == {"huggingface-hub", "transformers"}  # the latter needs a newer one
    assert set(packing.needed(Target(has=EVERYTHING, carried=("trl",)))) == {"trl"}


def test_a_freeze_is_read_as_pip_writes_it(tmp_path):
    path = tmp_path / "freeze.txt"
    path.write_text("# comment\ntorch==2.11.0+cu128\nHuggingface_Hub==1.2\n-e git+https://x\nlocal @ file:///x\n")
    assert packing.frozen(path) == {"torch": "2.11.0", "huggingface-hub": "1.2"}


# ---- parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The smoke profile packed for a machine like this one, in small parts."""
    to = tmp_path_factory.mktemp("packed") / "parts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PART", 2**20)
        packing.pack(config.profile("smoke"), to, HERE)
    return to


def test_parts_are_small_and_their_digests_known(parts):
    index = json.loads((parts / "parts.json").read_text())
    assert len(index["parts"]) > 1
    for name, digest in index["parts"].items():
        raw = (parts / name).read_bytes()
        assert len(raw) <= 2**20
        assert hashlib.sha256(raw).hexdigest() == digest
    assert (parts / "start.py").exists()


def test_a_folder_in_use_and_what_is_not_here_are_refused(parts, tmp_path):
    with pytest.raises(ValueError, match="is not empty"):
        packing.pack(config.profile("smoke"), parts, HERE)
    foreign = config.profile("smoke").variant(model__name=str(tmp_path))
    with pytest.raises(ValueError, match="only smollm2 and tiny-base can be packed"):
        packing.pack(foreign, tmp_path / "x", HERE)


def started(parts, *arguments, **options):
    """Run `start.py` as another machine would: elsewhere, and without this project in sight."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GECALIGN_RUNS")}
    command = [sys.executable, str(parts / "start.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd="/", env=kept | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, **options
    )


def test_a_part_that_is_missing_or_damaged_is_named(parts, tmp_path):
    import shutil

    other = shutil.copytree(parts, tmp_path / "parts")
    (other / "part-01").write_bytes(b"damaged")
    assert "part-01 was damaged on the way" in started(other, "--to", tmp_path / "out").stderr
    (other / "part-01").unlink()
    assert "part-01 is missing" in started(other, "--to", tmp_path / "out").stderr


# ---- running and collecting


@pytest.mark.slow
def test_two_machines_share_a_study_and_home_puts_it_together(parts, tmp_path, monkeypatch):
    out, machine = tmp_path / "out", tmp_path / "machine"
    first = started(parts, "--to", out, "--seeds", 1, "--systems", "copy,sft", "--work", machine)
    assert first.returncode == 0, first.stderr[-2000:]
    assert "left: nothing" in first.stdout
    assert {piece.key for piece in pieces.read(out)} == {("copy", 0), ("sft", 0)}
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "second" / "runs"))
    second = running.run(config.profile("smoke"), [1], tmp_path / "second" / "out", systems=["sft"])
    assert second == ([(1, "sft")], [])
    said = call("portable", "collect", out, tmp_path / "second" / "out", "--to", tmp_path / "home")
    assert said.startswith("3 new, 0 known already, 3 in all")
    assert pieces.assemble(tmp_path / "home", ("copy", "sft")).seeds == [0, 1]


def test_when_the_time_is_over_it_stops_by_itself_and_says_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    found = running.run(config.profile("smoke"), [0], tmp_path / "out", minutes=0.001, systems=["copy", "dpo"])
    assert found == ([], [(0, "copy"), (0, "dpo")])
    assert running.in_words(found) == "made: nothing\nleft: copy (seed 0), dpo (seed 0)"


def test_an_unknown_system_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"'dop' is no system of a piece. Systems: copy, base, sft"):
        running.run(config.profile("smoke"), [0], tmp_path, systems=["dop"])


def test_a_run_that_breaks_says_where_and_keeps_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    ill = config.profile("smoke").variant(sft__learning_rate=1e30)
    with pytest.raises(RuntimeError, match=r"the run broke off .*pieces are missing, the first: sft \(seed 0\)"):
        running.run(ill, [0], tmp_path / "out")
    assert [piece.key for piece in pieces.read(tmp_path / "out")] == [("base", 0), ("copy", 0)]


def test_a_disk_that_is_full_ends_the_work_in_a_line(tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "out/seed-0/copy")

    monkeypatch.setattr(pieces, "write", full)
    with pytest.raises(SystemExit) as ended:
        running._work(config.profile("smoke"), [(0, "copy")], tmp_path / "out", tmp_path / "runs")
    assert ended.value.code == 1
    assert "copy (seed 0): out/seed-0/copy: no space left on device. Free some space" in capsys.readouterr().err


def test_a_folder_with_pieces_of_other_settings_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    place = pieces.place(tmp_path / "out", 0, "copy")
    place.mkdir(parents=True)
    (place / pieces.RECORD).write_text(json.dumps({"system": "copy", "seed": 0, "settings": "other", "files": {}}))
    with pytest.raises(ValueError, match="is of other settings than smoke has now"):
        running.run(config.profile("smoke"), [0], tmp_path / "out")
