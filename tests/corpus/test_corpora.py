import gzip
import json

import factories
import pytest

from gecalign.config import Data
from gecalign.corpus import corpora, data

ROWS = factories.coedit_rows(20)
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


def local(path, **changes) -> Data:
    return Data(source=str(path), **({"task": "gec", "dev_rows": 2, "test_rows": 3} | changes))


@pytest.fixture
def folder(tmp_path):
    factories.write_jsonl(tmp_path / "train.jsonl", ROWS)
    return tmp_path


@pytest.mark.parametrize("name", ["train.JSONL", "Train.jsonl", "train.json", "train.ndjson", "train.jsonl.gz"])
def test_a_split_is_found_by_its_name_whatever_its_kind_and_case(tmp_path, name):
    raw = JSONL.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith("gz") else raw)
    expected = data.build(local(factories.write_jsonl(tmp_path / "all.jsonl", ROWS)))
    assert data.build(local(tmp_path)) == expected


@pytest.mark.parametrize(("first", "second"), [("train.jsonl", "train.csv"), ("train.jsonl", "Train.JSON"),
                                               ("validation.csv", "validation.csv.gz")])  # fmt: skip
def test_two_files_for_one_split_are_refused(folder, first, second):
    for name in (first, second):
        (folder / name).write_text(JSONL)
    with pytest.raises(ValueError, match="has two files for ") as error:
        corpora.read_rows(local(folder))
    assert first in str(error.value)
    assert second in str(error.value)


OTHERS = ["dataset_infos.json", "README.md", "thumb.png", "test.src", "development.jsonl", "notes.csv", "valid.jsonl"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_read_changes_nothing_and_is_said(folder, capsys, name):
    expected = data.build(local(folder))
    assert not capsys.readouterr().err
    (folder / name).write_bytes(b"\x89PNG no rows at all")
    assert data.build(local(folder)) == expected
    said = capsys.readouterr().err
    assert said.strip() == (f"{folder}: read are the splits train, preference, dev, test, validation. Not read: {name}")


def test_hidden_files_are_none_of_the_corpus(folder, capsys):
    for name in (".DS_Store", "._train.jsonl", ".gitattributes"):
        (folder / name).write_bytes(b"\0")
    data.build(local(folder))
    assert not capsys.readouterr().err


def test_many_other_files_are_counted(folder, capsys):
    for number in range(20):
        (folder / f"thumb{number:02}.png").touch()
    data.build(local(folder))
    assert capsys.readouterr().err.strip().endswith("thumb07.png and 12 more")


def test_a_folder_without_train_says_what_it_holds(tmp_path):
    for name in ("train-00000-of-00001.parquet", "README.md"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds no train.jsonl.*README.md.*train-00000"):
        corpora.read_rows(local(tmp_path))
