"""Corpora that bring their own splits, and sentences with several references."""

import json

import factories
import pytest

from gecalign.config import Data
from gecalign.corpus import corpora, data
from gecalign.corpus.texts import several

SIZES = {"dev_rows": 5, "test_rows": 6, "preference_rows": 4}


def corpus(folder, **changes) -> data.Corpus:
    return data.build(Data(source=str(folder), **SIZES | changes))


def rows(count: int, seed: int) -> list[dict[str, str]]:
    return [{"src": source, "tgt": target} for source, target in factories.pairs(count, seed)]


@pytest.fixture
def folder(tmp_path):
    for seed, (name, count) in enumerate({"train": 30, "preference": 4, "dev": 5, "test": 6, "validation": 3}.items()):
        factories.write_jsonl(tmp_path / f"{name}.jsonl", rows(count, seed))
    return tmp_path


def test_each_split_is_its_own_files_rows(folder):
    found = corpus(folder)
    for seed, name in enumerate(("train", "preference", "dev", "test", "validation")):
        own = dict(factories.pairs(len(getattr(found, name)), seed))
        assert {e.source: e.reference for e in getattr(found, name)} == own
    assert [len(getattr(found, name)) for name in data.SPLITS] == [30, 4, 5, 6, 3]
    assert not found.dropped


@pytest.mark.parametrize("name", ["preference", "dev", "test"])
def test_a_split_without_a_file_is_cut_from_train(folder, name):
    (folder / f"{name}.jsonl").unlink()
    found, size = corpus(folder), SIZES[f"{name}_rows"]
    assert len(getattr(found, name)) == size
    assert len(found.train) == 30 - size


def test_more_rows_than_asked_for_are_counted_and_which_are_taken_does_not_depend_on_their_order(folder):
    few = corpus(folder, dev_rows=2)
    sources = [example.source for example in few.dev]
    lines = (folder / "dev.jsonl").read_text().splitlines()
    (folder / "dev.jsonl").write_text("\n".join(reversed(lines)))
    assert [example.source for example in corpus(folder, dev_rows=2).dev] == sources
    assert (len(few.dev), few.dropped) == (2, {"more than data__dev_rows asks for": 3})


def test_sentences_that_stand_in_two_files_are_dropped_from_the_one_that_is_learnt_from(folder):
    shared = rows(6, seed=3)[0]  # of test
    for name, seed, count in (("train", 0, 30), ("dev", 2, 5)):
        factories.write_jsonl(folder / f"{name}.jsonl", [*rows(count, seed), shared])
    found = corpus(folder, dev_rows=6)
    assert shared["src"] in {e.source for e in found.test}
    assert shared["src"] not in {e.source for e in (*found.dev, *found.train)}
    assert found.dropped == {"source or reference stands in another split": 2}


def test_a_corpus_whose_test_set_is_its_training_set_is_refused(folder):
    (folder / "train.jsonl").write_text((folder / "test.jsonl").read_text())
    with pytest.raises(ValueError, match=r"no usable rows for train.*stands in another split': 6"):
        corpus(folder)


SEVERAL = ("He likes it.", "He likes that.")


def written_list(folder):
    (folder / "test.jsonl").write_text(json.dumps({"src": "He like it.", "tgt": list(SEVERAL)}) + "\n")


def written_columns(folder):
    (folder / "test.jsonl").unlink()
    (folder / "test.csv").write_text("src,tgt,tgt2,tgt10\n" + ",".join(("He like it.", *SEVERAL, "")) + "\n")


def written_parquet(folder):
    (folder / "test.jsonl").unlink()
    factories.write_parquet(folder / "test.parquet", [{"src": "He like it.", "tgt": list(SEVERAL)}])


def written_m2(folder):
    (folder / "test.jsonl").unlink()
    edit = "A {} {}|||R|||{}|||REQUIRED|||-NONE-|||{}\n".format
    lines = ["S He like it .\n", edit(1, 2, "likes", 0), edit(1, 2, "likes", 1), edit(2, 3, "that", 1)]
    (folder / "test.m2").write_text("".join(lines))


@pytest.mark.parametrize("write", [written_list, written_columns, written_parquet, written_m2])
def test_every_kind_of_file_may_hold_several_references(folder, tmp_path_factory, write):
    write(folder)
    found = corpus(folder)
    (example,) = found.test
    assert (example.source, example.reference) == ("He like it.", SEVERAL)
    assert example.demonstration == SEVERAL[0]
    saved = tmp_path_factory.mktemp("saved")
    data.save(found, saved)
    assert data.load_split(saved, "test") == found.test


def test_the_number_of_references_may_differ_and_one_is_a_plain_text(folder):
    lines = [{"src": "He like it.", "tgt": ["He likes it.", " ", "He likes that."]}, {"src": "A b.", "tgt": ["A c."]}]
    factories.write_jsonl(folder / "test.jsonl", lines)
    found = {e.source: e.reference for e in corpus(folder).test}
    assert found == {"He like it.": SEVERAL, "A b.": "A c."}
    assert sorted(len(several(reference)) for reference in found.values()) == [1, 2]


def test_any_reference_of_a_guarded_split_keeps_a_sentence_out_of_training(folder):
    factories.write_jsonl(folder / "test.jsonl", [{"src": "He like it.", "tgt": list(SEVERAL)}])
    learnt = [{"src": "He liking that.", "tgt": SEVERAL[1]}, {"src": "He liked it.", "tgt": ["He did.", SEVERAL[0]]}]
    factories.write_jsonl(folder / "train.jsonl", [*rows(30, 0), *learnt])
    found = corpus(folder)
    assert len(found.train) == 30
    assert found.dropped["source or reference stands in another split"] == 2


M2_FAULTS = [
    ("A 1 2|||R|||x|||REQUIRED|||-NONE-|||0\n", "line 1 .* expected `S` and a sentence"),
    ("S a b\nA 1|||R|||x|||REQUIRED|||-NONE-|||0\n", "line 2 .* is no edit of M2"),
    ("S a b\nA 1 2|||R|||x\n", "line 2 .* is no edit of M2"),
    ("S a b\nA 1 3|||R|||x|||REQUIRED|||-NONE-|||0\n", "line 2 .* tokens 1 to 3 of a sentence that has 2"),
    ("S a b\nA 2 1|||R|||x|||REQUIRED|||-NONE-|||0\n", "line 2 .* tokens 2 to 1 of a sentence that has 2"),
    (
        "S a b\nA 0 2|||R|||x|||REQUIRED|||-NONE-|||0\nA 1 2|||R|||y|||REQUIRED|||-NONE-|||0\n",
        "line 3 .* tokens that another edit of the same annotator has",
    ),
    ("plain text\n", "line 1 .* is no M2"),
]


@pytest.mark.parametrize(("content", "words"), M2_FAULTS)
def test_a_fault_in_m2_is_named_with_its_line(tmp_path, content, words):
    path = tmp_path / "test.m2"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        corpora.read_file(path)


def test_m2_as_the_shared_tasks_have_it(tmp_path):
    path = tmp_path / "x.m2"
    path.write_text(
        "S This are a gramamtical sentence .\n"
        "A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0\n"
        "A 2 2|||M:ADV|||not||never|||REQUIRED|||-NONE-|||0\n"
        "A 3 4|||R:SPELL|||grammatical|||REQUIRED|||-NONE-|||0\n"
        "A 2 3|||U:DET||||||REQUIRED|||-NONE-|||1\n"
        "A 2 3|||U:DET|||-NONE-|||REQUIRED|||-NONE-|||10\n"
        "A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||2\n"
        "\nS It is .\n\nS He go .\nA 1 2|||R|||goes|||REQUIRED|||-NONE-|||1\n"
    )
    assert corpora.read_file(path) == [
        {
            "src": "This are a gramamtical sentence.",
            "tgt": [
                "This is not a grammatical sentence.",
                "This are gramamtical sentence.",
                "This are a gramamtical sentence.",
                "This are gramamtical sentence.",
            ],
        },
        {"src": "It is.", "tgt": "It is."},
        {"src": "He go.", "tgt": "He goes."},
    ]
