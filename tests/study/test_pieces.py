"""Pieces of a study: what one system with one seed leaves, and results put together from them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gecalign import metrics
from gecalign.runtime import store
from gecalign.study import pieces, results

SYSTEMS = ("copy", "base", "sft", "sft-continued", "dpo", "grpo")


@pytest.fixture(scope="module")
def folder(small_study, tmp_path_factory):
    """Pieces of the small study: two seeds of the first part."""
    to = tmp_path_factory.mktemp("pieces")
    for seed, system in pieces.order([0, 1]):
        if system in SYSTEMS:
            pieces.write(small_study.of_seed(seed), system, to)
    return to


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "pieces")


def test_what_is_asked_first_is_made_first_for_all_seeds():
    order = pieces.order([3, 4])
    assert order[:4] == [(3, "copy"), (3, "base"), (3, "sft"), (3, "sft-continued")]
    assert order.index((4, "grpo")) < order.index((3, "raft"))
    assert (4, "copy") not in order  # it is the same whatever the seed
    assert len(order) == len(set(order))


def test_pieces_give_the_same_statistics_as_the_whole(small_study, folder):
    whole, found = results.load(small_study.folder, small_study.profile), pieces.assemble(folder)
    assert found.seeds == [0, 1]
    for metric in metrics.METRICS:
        for system in ("sft", "sft-continued", "dpo", "grpo"):
            for split, name in results.evaluations(system):
                expected = whole.statistics(metric, system, split, name)
                assert np.allclose(found.statistics(metric, system, split, name), expected)
    greedy = [whole.statistics(metrics.bleu, "copy")[0]] * 2
    assert np.allclose(found.statistics(metrics.bleu, "copy"), greedy)


def test_costs_logs_and_models_come_along(small_study, folder):
    whole, found = results.load(small_study.folder, small_study.profile), pieces.assemble(folder)
    expected = whole.budget[whole.budget["system"] == "dpo"].reset_index(drop=True)
    assert found.budget[found.budget["system"] == "dpo"].reset_index(drop=True)["trained tokens"].tolist() == (
        expected["trained tokens"].tolist()
    )
    curves = found.curves("sft", "eval_bleu")
    assert np.allclose(curves.to_numpy(), whole.curves("sft", "eval_bleu").to_numpy())
    assert found.record["models"]["dpo 1"] == small_study.of_seed(1).trained("dpo").content


def test_no_piece_holds_a_sentence(small_study, folder):
    sentences = [e.source for split in ("dev", "test") for e in small_study.of_seed(0).examples(split)]
    for path in folder.rglob("*.*"):
        if path.is_file():
            raw = path.read_bytes()
            assert not any(sentence.encode() in raw for sentence in sentences), path


def test_seeds_are_those_that_every_system_has(copied):
    shutil.rmtree(copied / "seed-1" / "grpo")
    assert pieces.assemble(copied).seeds == [0]
    assert pieces.assemble(copied, ("copy", "sft", "dpo")).seeds == [0, 1]
    shutil.rmtree(copied / "seed-0" / "grpo")
    with pytest.raises(ValueError, match=r"no seed with all of .*; missing: grpo"):
        pieces.assemble(copied)
    shutil.rmtree(copied / "seed-0" / "copy")
    with pytest.raises(ValueError, match=r"missing: copy"):
        pieces.assemble(copied, ("copy", "sft", "dpo"))


def test_pieces_of_several_machines_come_together(folder, tmp_path):
    one, other, home = tmp_path / "one", tmp_path / "other", tmp_path / "home"
    shutil.copytree(folder / "seed-0", one / "seed-0")
    shutil.copytree(folder / "seed-1", other / "seed-1")
    shutil.copytree(folder / "seed-0" / "sft", other / "seed-0" / "sft")
    found = pieces.merge([one, other], home)
    assert [piece.key for piece in found.known] == [("sft", 0)]
    assert len(found.new) == len(pieces.read(folder))
    assert pieces.assemble(home).seeds == [0, 1]
    again = pieces.merge([one], home)
    assert (again.new, again.other) == ([], [])
    assert [piece.key for piece in again.known] == [piece.key for piece in pieces.read(one)]


def test_another_result_of_the_same_seed_is_told_and_left_out(folder, copied, tmp_path):
    write_again(copied / "seed-0" / "dpo", "log.csv", "step,loss\n1,0.5\n")
    home = tmp_path / "home"
    pieces.merge([folder], home)
    found = pieces.merge([copied], home)
    assert [piece.key for piece in found.other] == [("dpo", 0)]
    assert ("dpo", 0) not in [piece.key for piece in found.known]
    assert (home / "seed-0" / "dpo" / "log.csv").read_bytes() == (folder / "seed-0" / "dpo" / "log.csv").read_bytes()


def write_again(piece: Path, name: str, text: str) -> None:
    """Write a file of a piece, as if it had been made so."""
    (piece / name).write_text(text)
    record = json.loads((piece / pieces.RECORD).read_text())
    record["files"][name] = store.file_digest(piece / name)
    (piece / pieces.RECORD).write_text(json.dumps(record))


def test_collecting_that_a_full_disk_cuts_off_leaves_no_piece_and_goes_on(folder, tmp_path, monkeypatch):
    home, ordinary = tmp_path / "home", shutil.copyfile

    def full(source: Path, to: Path) -> None:
        if "dpo" in source.parts and source.name == "log.csv":
            to.write_bytes(source.read_bytes()[:10])
            raise OSError(28, "No space left on device", str(to))
        ordinary(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left") as caught:
            pieces.merge([folder], home)
    assert caught.value.filename == str(home / "seed-0" / "dpo")
    assert ("dpo", 0) not in [piece.key for piece in pieces.read(home)]
    pieces.merge([folder], home)
    assert [piece.key for piece in pieces.read(home)] == [piece.key for piece in pieces.read(folder)]
    assert pieces.assemble(home).seeds == [0, 1]


@pytest.mark.parametrize(("name", "words"), [("settings", "other settings"), ("data", "other sentences")])
def test_what_cannot_be_compared_is_not_put_together(copied, tmp_path, name, words):
    path = copied / "seed-1" / "dpo" / pieces.RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: "another"}))
    with pytest.raises(ValueError, match=words):
        pieces.assemble(copied)
    with pytest.raises(ValueError, match=words):
        pieces.merge([copied], tmp_path / "home")


def test_a_piece_that_a_kill_left_half_written_is_none(copied):
    expected = [piece.key for piece in pieces.read(copied)]
    shutil.copytree(copied / "seed-1" / "dpo", copied / "seed-1" / ".raft.gecalign-x1" / "new")
    assert [piece.key for piece in pieces.read(copied)] == expected


@pytest.mark.parametrize("record", ["[]", "null", "{}", '{"system": "dpo", "seed": 1}'])
def test_what_is_no_record_of_a_piece_is_named(copied, record):
    (copied / "seed-1" / "dpo" / pieces.RECORD).write_text(record)
    with pytest.raises(ValueError, match=r"seed-1/dpo/piece.json is damaged"):
        pieces.read(copied)


def test_a_piece_whose_files_are_cut_off_is_named(copied):
    path = copied / "seed-1" / "dpo" / "outputs.parquet"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"damaged.*outputs.parquet is not what was written"):
        pieces.read(copied)
    path.unlink()
    with pytest.raises(ValueError, match=r"damaged.*outputs.parquet is not what was written"):
        pieces.read(copied)


def test_a_damaged_piece_is_named(copied):
    path = copied / "seed-1" / "dpo" / pieces.RECORD
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"seed-1/dpo/piece.json is damaged"):
        pieces.read(copied)
    with pytest.raises(ValueError, match="holds no pieces"):
        pieces.merge([copied / "nowhere"], copied / "home")
