import json
import random
from collections import Counter

import factories
import hub
import pytest

from gecalign.config import Data
from gecalign.corpus import corpora, data
from gecalign.corpus.examples import Example

ROW = {"src": "Fix grammar: She go.", "tgt": "She goes."}


def local(path, **changes) -> Data:
    return Data(source=str(path), **({"task": "gec", "dev_rows": 2, "test_rows": 3} | changes))


def cleaned(rows, **changes) -> tuple[list[Example], Counter]:
    dropped: Counter = Counter()
    return list(data.clean(rows, Data(**({"task": "gec"} | changes)), dropped)), dropped


# ---- reading


@pytest.mark.parametrize("write", [factories.write_jsonl, factories.write_csv, factories.write_parquet])
def test_every_kind_of_file_gives_the_same_corpus(tmp_path, write):
    rows = factories.coedit_rows(20)
    kind = write.__name__.removeprefix("write_")
    expected = data.build(local(factories.write_jsonl(tmp_path / "reference.jsonl", rows)))
    assert data.build(local(write(tmp_path / f"corpus.{kind}", rows))) == expected
    assert (len(expected.train), len(expected.dev), len(expected.test)) == (15, 2, 3)


def test_a_folder_gives_its_own_validation_split(tmp_path):
    factories.write_jsonl(tmp_path / "train.jsonl", factories.coedit_rows(20))
    factories.write_csv(tmp_path / "validation.csv", factories.coedit_rows(4, seed=1))
    assert len(data.build(local(tmp_path)).validation) == 4


ODD = [
    ({"src": "She go &quot;home&quot;."}, "corpus.jsonl, train, src: 20 of 20 sentences hold signs as HTML"),
    ({"tgt": "caf\u00c3\u00a9"}, "corpus.jsonl, train, tgt: 20 of 20 sentences hold letters that were read in another"),
    (
        {"src": "a\x1b[31mb"},
        "train, src: 20 of 20 sentences hold characters that cannot be seen (the first: row 1, U+001B",
    ),
    ({"src": "cafe\u0301"}, "train, src: letters of 20 of 20 sentences are not in Unicode's form NFC"),
    ({"src": "She go , he do n't ."}, "src look tokenised"),
]


@pytest.mark.parametrize(("changes", "words"), ODD)
def test_what_looks_wrong_in_a_corpus_is_told_and_stays(tmp_path, capsys, changes, words):
    rows = [row | {name: f"{text} {row[name]}" for name, text in changes.items()}
            for row in ({"src": f"He, who go {i}.", "tgt": f"He, who goes {i}."} for i in range(20))]  # fmt: skip
    corpus = data.build(local(factories.write_jsonl(tmp_path / "corpus.jsonl", rows), task=None))
    assert words in capsys.readouterr().err
    assert all(example.source in {row["src"] for row in rows} for example in corpus.train)


def test_a_corpus_without_corrections_is_told(tmp_path, capsys):
    rows = [{"src": f"a {i}", "tgt": f"a {i}"} for i in range(20)]
    data.build(local(factories.write_jsonl(tmp_path / "corpus.jsonl", rows), task=None))
    assert "all references are their sources" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"src": "She go."}, {"tgt": "She goes."}])
def test_a_split_of_which_nothing_is_left_is_refused(tmp_path, changes):
    rows = [{"src": f"a {i}", "tgt": f"b {i}"} | changes for i in range(20)]
    path = factories.write_jsonl(tmp_path / "train.jsonl", rows)
    with pytest.raises(
        ValueError, match=r"no usable rows for .*(dev|train).*Dropped.*stands in another split"
    ) as error:
        data.build(local(path, task=None))
    assert str(path) in str(error.value)
    factories.write_jsonl(tmp_path / "validation.jsonl", [{"src": f"a {i}", "tgt": f"b {i}"} for i in range(20)])
    factories.write_jsonl(path, [{"src": f"a {i}", "tgt": f"b {i}"} for i in range(20)])
    with pytest.raises(ValueError, match=r"no usable rows for .*train"):
        data.build(local(tmp_path, task=None))


MALFORMED = [
    ("x.jsonl", b"", ["is empty", "src and tgt"]),
    ("x.jsonl", b"\n \n", ["is empty"]),
    ("x.csv", b"", ["is empty"]),
    ("x.csv", b"src,tgt\n", ["is empty"]),
    ("x.jsonl", b'{"src": "a"}\n', ["row 1", "no column tgt", "its columns: src"]),
    (
        "x.jsonl",
        b'{"src": "a", "tgt": "b"}\n{"source": "a", "tgt": "b"}\n',
        ["row 2", "no column src", "must be called"],
    ),
    ("x.csv", b"source,target\na,b\n", ["no column src and no tgt", "source, target"]),
    ("x.jsonl", b'{"src": "a", "tgt": "b"}\n\n{"src": "a", \n', ["line 3", "is not JSON"]),
    ("x.jsonl", b'["a", "b"]\n', ["line 1", "not a JSON object", "src, tgt"]),
    ("x.json", b'[{"src": "a", "tgt": "b"}, 5]', ["element 2", "not a JSON object", "src, tgt"]),
    ("x.json", b'[{"src": "a", "tgt": "b"},]', ["is not JSON", "a list of objects"]),
    (
        "x.jsonl",
        '{"src": "caf\u00e9", "tgt": "b"}\n'.encode("latin1"),
        ["not UTF-8", "0xe9 at position 12", "iconv"],
    ),
    ("x.csv", "src,tgt\ncaf\u00e9,b\n".encode("latin1"), ["not UTF-8", "0xe9 at position 11", "iconv"]),
    ("x.jsonl", '{"src": "a", "tgt": "b"}\n'.encode("utf-16-le"), ["not UTF-8", "utf-16le", "iconv -f utf-16le"]),
    ("x.csv", b"src,tgt\nWell, I go,Well I go\n", ["line 2", "not CSV", "2 cells", "must stand in quotes"]),
    ("x.csv", b"src,tgt\na,b\nc\n", ["line 3", "not CSV", "2 cells"]),
    ("x.csv", b'src,tgt\n"a,b\nc,d\n', ["not CSV", "must stand in quotes"]),
    ("x.parquet", b"not parquet", ["is not a Parquet file"]),
    ("x.parquet", b"", ["is not a Parquet file"]),
    ("x.txt", b"a\tb\n", ["of no kind that can be read", ".jsonl"]),
]


@pytest.mark.parametrize(("name", "content", "words"), MALFORMED)
def test_a_file_that_cannot_be_used_is_refused_in_words_that_help(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are checked below
        data.build(local(tmp_path / name))
    assert all(word in str(error.value) for word in (*words, str(tmp_path / name))), error.value


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*absent.jsonl"):
        data.build(local(tmp_path / "absent.jsonl"))


def test_a_parquet_file_without_the_columns_is_refused(tmp_path):
    path = factories.write_parquet(tmp_path / "x.parquet", [{"source": "a", "tgt": "b"}])
    with pytest.raises(ValueError, match=r"row 1 of .* has no column src; its columns: source, tgt"):
        data.build(local(path))


def test_a_folder_without_training_rows_says_what_it_found(tmp_path):
    factories.write_jsonl(tmp_path / "validation.jsonl", [ROW])
    with pytest.raises(ValueError, match=r"holds no train.jsonl.*found: \['validation'\]"):
        data.build(local(tmp_path))


def test_too_few_rows_are_counted_and_the_settings_named(tmp_path):
    path = factories.write_jsonl(tmp_path / "x.jsonl", [*factories.coedit_rows(5), ROW | {"task": "gec", "tgt": ""}])
    words = (
        r"5 usable rows.*test \(3\), dev \(2\) and preference \(0\) need 5.*data__test_rows.*'reference is empty': 1"
    )
    with pytest.raises(ValueError, match=words):
        data.build(local(path))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path, name):
    rows = factories.coedit_rows(20)
    write = factories.write_csv if name.endswith("csv") else factories.write_jsonl
    expected = data.build(local(write(tmp_path / name, rows)))
    windows = (tmp_path / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + windows)
    assert data.build(local(tmp_path / name)) == expected


SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1c", "\x1e"]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("write", [factories.write_jsonl, factories.write_csv])
def test_unusual_separators_inside_a_sentence_do_not_end_a_row(tmp_path, separator, write):
    rows = [row | {"src": row["src"] + f"{separator}x"} for row in factories.coedit_rows(20)]
    corpus = data.build(local(write(tmp_path / f"x.{write.__name__.removeprefix('write_')}", rows)))
    examples = (*corpus.train, *corpus.dev, *corpus.test)
    assert len(examples) == 20
    assert all(example.source.endswith(". x") for example in examples)


def test_a_quoted_cell_may_hold_commas_quotes_and_line_ends(tmp_path):
    path = factories.write_csv(tmp_path / "x.csv", [{"src": 'He say, "a\nb"', "tgt": 'He says, "a b"'}])
    assert corpora.read_file(path) == [{"src": 'He say, "a\nb"', "tgt": 'He says, "a b"'}]


# ---- the hub


def test_a_hub_name_needs_a_revision():
    with pytest.raises(ValueError, match=r"neither 'tinygec' nor a local.*pinned revision \(data__revision\)"):
        data.build(Data(source="grammarly/coedit"))


def test_an_unreachable_hub_is_answered_with_three_ways_out():
    with pytest.raises(
        ValueError, match=r"could not be had from the hub.*Three ways out: go online.*data__source.*tiny"
    ):
        data.build(Data(source="nobody/nothing", revision="0" * 40))


def from_hub(folder, **splits) -> data.Corpus:
    revision = "0" * 40
    hub.save_coedit(folder / "set" / revision, splits)
    with hub.serving({("datasets", "some/set"): folder / "set"}, folder / "cache"):
        return data.build(Data(source="some/set", revision=revision, task="gec", dev_rows=2, test_rows=3))


def test_a_hub_set_gives_the_same_corpus_as_its_file(tmp_path):
    rows = factories.coedit_rows(20)
    expected = data.build(local(factories.write_jsonl(tmp_path / "x.jsonl", rows)))
    assert from_hub(tmp_path, train=rows) == expected


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (
            {"train": [{"source": "a"}]},
            "split train of some/set has no column src and no tgt; its columns: source",
        ),
        ({"test": [ROW]}, "has no split train; it has: test"),
    ],
)
def test_a_hub_set_of_another_shape_is_refused(tmp_path, splits, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        from_hub(tmp_path, **splits)


# ---- instructions


def test_there_are_the_27_instructions_of_the_published_set():
    assert len(set(data.INSTRUCTIONS)) == 27


@pytest.mark.parametrize("instruction", data.INSTRUCTIONS)
def test_every_instruction_is_stripped_once(instruction):
    assert data.strip_instruction(f"{instruction}: He say: go.") == "He say: go."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Please mend this: She go.", "She go."),  # an instruction nobody has listed
        ("Please mend: One: two: three.", "One: two: three."),
        ("She go home.", "She go home."),
        ("At 10:30 she go.", "At 10:30 she go."),  # a colon without a blank is no instruction
        ("She say:", "She say:"),
        ("Fix grammar:", ""),
        ("Fix grammar: ", ""),
        ("Fix grammar: Fix grammar: x", "Fix grammar: x"),
        ("", ""),
    ],
)
def test_what_precedes_the_first_colon_is_the_instruction(source, expected):
    assert data.strip_instruction(source) == expected


@pytest.mark.parametrize(
    ("source", "reference", "expected"),
    [
        ("My list: apple.", "My list: apples.", "My list: apple."),
        ("My lists: apple.", "My list: apples.", "My lists: apple."),
        ("He say: go!", "He said: go!", "He say: go!"),
        ("Fix this: My list: apple.", "My list: apples.", "My list: apple."),
        ("Fix grammar: My list: apple.", "My list: apples.", "My list: apple."),
        ("Correct the sentence: The sentence are long.", "The sentence is long.", "The sentence are long."),
        ("Please mend this: She go.", "She goes.", "She go."),
    ],
)
def test_what_stands_in_front_of_the_reference_too_is_no_instruction(source, reference, expected):
    examples, dropped = cleaned([{"task": "gec", "src": source, "tgt": reference}])
    assert ([example.source for example in examples], dropped) == ([expected], {})


@pytest.mark.parametrize("instruction", data.INSTRUCTIONS)
def test_a_rewording_of_an_instruction_is_one_for_any_reference(instruction):
    for _, reference in factories.pairs(50):
        assert data.strip_instruction(f"Please {instruction.lower()}: {reference}", reference) == reference


def test_sources_are_left_alone_where_no_task_is_asked_for():
    examples, _ = cleaned([{"src": "He say: go.", "tgt": "He says: go."}], task=None)
    assert examples[0].source == "He say: go."


# ---- cleaning: every drop is counted

DROPS = [
    ([{"src": "Fix grammar: ", "tgt": "x"}], "source is empty"),
    ([{"src": "Fix grammar: \u00a0\n", "tgt": "x"}], "source is empty"),
    ([{"src": None, "tgt": "x"}], "source is empty"),
    ([{"src": "Fix grammar: x", "tgt": " "}], "reference is empty"),
    ([{"src": "Fix grammar: x", "tgt": None}], "reference is empty"),
    ([{"src": "Fix grammar: x", "tgt": 7}], "reference is not a text"),
    ([{"src": "Fix grammar: " + "x" * 100_000, "tgt": "x"}], "longer than 1000 characters"),
    ([{"src": "Fix grammar: x", "tgt": "x" * 1001}], "longer than 1000 characters"),
    ([{"src": "Fix grammar: x", "tgt": "\ud83d"}], "not valid Unicode"),
    ([{**ROW, "_id": "1"}, {"_id": 1, "src": "Fix grammar: b", "tgt": "c"}], "id occurred before"),
    (
        [{**ROW, "_id": "1"}, {**ROW, "_id": "2", "src": "Grammar improvements:  She\tgo. "}],
        "pair occurred before",
    ),
]


@pytest.mark.parametrize(("rows", "reason"), DROPS)
def test_a_row_that_cannot_be_used_is_dropped_and_counted_by_its_reason(rows, reason):
    examples, dropped = cleaned([row | {"task": "gec"} for row in rows])
    assert dropped == {reason: 1}
    assert len(examples) == len(rows) - 1


def test_a_row_of_exactly_the_longest_length_is_kept():
    examples, dropped = cleaned([{"task": "gec", "src": "Fix grammar: " + "x" * 1000, "tgt": "x" * 1000}])
    assert (len(examples), dropped) == (1, {})


def test_a_100_000_character_line_is_counted_and_the_rest_is_used(tmp_path):
    rows = [*factories.coedit_rows(10), {"_id": "long", "task": "gec", "src": "x" * 100_000, "tgt": "x"}]
    for path in (
        factories.write_jsonl(tmp_path / "x.jsonl", rows),
        factories.write_csv(tmp_path / "x.csv", rows),
    ):
        corpus = data.build(local(path))
        assert corpus.dropped == {"longer than 1000 characters": 1}
        assert len(corpus.train) == 5


def test_other_tasks_are_filtered_and_counted():
    tasks = ["gec", "neutralize", "gec", "x", None, ""]
    rows = [row | {"task": task} for row, task in zip(factories.coedit_rows(6), tasks, strict=True)]
    examples, dropped = cleaned(rows)
    assert [example.id for example in examples] == ["0", "2"]
    assert dropped == {"task is not gec": 4}


@pytest.mark.parametrize(
    "absent", [{}, {"_id": None}, {"_id": ""}, {"_id": float("nan")}, {"_id": "NaN"}, {"_id": " "}]
)
def test_rows_without_an_id_get_their_number(absent):
    rows = [{"task": "gec", "src": row["src"], "tgt": row["tgt"]} | absent for row in factories.coedit_rows(3)]
    examples, dropped = cleaned(rows)
    assert ([example.id for example in examples], dropped) == (["0", "1", "2"], {})


def test_a_row_without_an_id_does_not_take_that_of_another():
    rows = factories.coedit_rows(4)
    names = [None, "0", "3", float("nan")]
    examples, dropped = cleaned([row | {"_id": name} for row, name in zip(rows, names, strict=True)])
    assert ([example.id for example in examples], dropped) == (["row 0", "0", "3", "row 3"], {})


def test_the_same_source_may_have_two_references():
    examples, dropped = cleaned([{"task": "gec", "src": "Fix grammar: a", "tgt": tgt} for tgt in "xy"])
    assert (len(examples), dropped) == (2, {})


def test_white_space_of_every_kind_becomes_one_blank():
    examples, _ = cleaned([{"task": "gec", "src": "Fix grammar:\r\n a\u2028 \tb ", "tgt": " a\u00a0b\n"}])
    assert (examples[0].source, examples[0].reference) == ("a b", "a b")


# ---- splits


def colliding(rng: random.Random, count: int) -> list[Example]:
    """Return examples of which many share a source, a reference, or both with another."""
    pool = count // 3
    pairs = {(f"s{rng.randrange(pool)}", f"r{rng.randrange(pool)}") for _ in range(count)}
    return [Example(str(i), *pair, pair[1]) for i, pair in enumerate(sorted(pairs))]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_splits_share_a_source_or_a_reference(seed):
    rng = random.Random(seed)
    rows, validation = colliding(rng, 200), colliding(rng, 30)
    dropped: Counter = Counter()
    corpus = data.split(
        {"train": rows, "validation": validation}, Data(test_rows=40, dev_rows=30, preference_rows=20), dropped
    )
    splits = (corpus.train, corpus.preference, corpus.dev, corpus.test, corpus.validation)
    assert all(splits)
    for attribute in ("source", "reference"):
        values = [{getattr(example, attribute) for example in split} for split in splits]
        assert len(set.union(*values)) == sum(map(len, values))
    lost = len(rows) - sum(map(len, splits[:-1]))
    assert dropped == {"source or reference stands in another split": lost}
    assert len(corpus.validation) == len(validation)  # the second test set is never cut


@pytest.mark.parametrize("seed", range(5))
def test_the_split_does_not_depend_on_the_order_of_the_rows(seed):
    rng = random.Random(seed)
    rows = colliding(rng, 200)
    shuffled = rng.sample(rows, len(rows))
    settings = Data(test_rows=40, dev_rows=30)
    assert data.split({"train": rows}, settings, Counter()) == data.split({"train": shuffled}, settings, Counter())


@pytest.mark.parametrize(
    "change", [{"train_rows": 3}, {"train_rows": 50}, {"preference_rows": 9}, {"miss": 0.5}, {"seed": 4}]
)
def test_dev_and_test_stay_the_same_when_something_else_is_changed(tmp_path, change):
    path = factories.write_jsonl(tmp_path / "x.jsonl", factories.coedit_rows(60))
    before, after = data.build(local(path)), data.build(local(path, **change))
    assert (before.dev, before.test) == (after.dev, after.test)
    if "train_rows" in change:
        assert after.train == before.train[: change["train_rows"]]


def test_a_longer_corpus_moves_few_rows_of_the_test_set(tmp_path):
    # rows are taken by the hash of their source, so a new row displaces at most one old one
    short = data.split({"train": factories.examples(200)}, Data(test_rows=50, dev_rows=20), Counter())
    longer = data.split({"train": factories.examples(204)}, Data(test_rows=50, dev_rows=20), Counter())
    kept = {example.source for example in short.test} & {example.source for example in longer.test}
    assert len(kept) >= 46


# ---- saving


def test_a_saved_corpus_is_read_back_as_it_was(tmp_path):
    corpus = data.build(local(factories.write_jsonl(tmp_path / "x.jsonl", factories.coedit_rows(20))))
    facts = data.save(corpus, tmp_path)
    assert {name: data.load_split(tmp_path, name) for name in data.SPLITS} == {
        name: getattr(corpus, name) for name in data.SPLITS
    }
    assert facts["rows"] == {"train": 15, "preference": 0, "dev": 2, "test": 3, "validation": 0}
    json.dumps(facts)


def test_unusual_separators_survive_saving(tmp_path):
    example = Example("1", "".join(SEPARATORS), "x", "x")
    data.save(data.Corpus((example,), (), ()), tmp_path)
    assert data.load_split(tmp_path, "train") == (example,)


def test_an_unknown_split_is_answered_with_the_splits(tmp_path):
    with pytest.raises(ValueError, match=r"unknown split 'valid'\. Splits: train, preference, dev, test, validation"):
        data.load_split(tmp_path, "valid")


def test_the_content_digest_follows_the_files(tmp_path):
    path = factories.write_jsonl(tmp_path / "x.jsonl", factories.coedit_rows(3))
    before = data.content_digest(local(path)), data.content_digest(local(tmp_path))
    factories.write_jsonl(path, factories.coedit_rows(4))
    after = data.content_digest(local(path)), data.content_digest(local(tmp_path))
    assert before[0] != after[0]
    assert before[1] != after[1]


PAIR = {"src": "She go.", "tgt": "She goes."}
DROPPED = [
    ({"src": 5, "tgt": "a"}, "source is not a text"),
    ({"src": "a", "tgt": ["a", 5]}, "reference is not a text"),
    ({"src": "a", "tgt": {"a": "b"}}, "reference is not a text"),
    ({"src": "a", "tgt": []}, "reference is empty"),
    ({"src": "a", "tgt": True}, "reference is not a text"),
    ({"src": "a", "tgt": None}, "reference is empty"),
    ({"src": "a", "tgt": float("nan")}, "reference is empty"),
    ({"src": "a", "tgt": "b", "_id": "x\ud83d"}, "not valid Unicode"),
]


@pytest.mark.parametrize(("row", "reason"), DROPPED)
def test_a_row_that_cannot_be_used_is_counted_under_what_is_wrong_with_it(row, reason, tmp_path):
    dropped = Counter()
    found = list(data.clean([PAIR, row], Data(task=None), dropped))
    assert [(one.source, one.reference) for one in found] == [tuple(PAIR.values())]
    assert dropped == {reason: 1}
    data.save(data.Corpus(tuple(found), (), ()), tmp_path)  # whatever is kept can be written


def test_rows_without_a_task_are_counted_as_such():
    dropped = Counter()
    assert not list(data.clean([PAIR, PAIR | {"task": "other"}], Data(task="gec"), dropped))
    assert dropped == {"no task, and data__task is gec": 1, "task is not gec": 1}


@pytest.mark.parametrize("ids", [["1", None, "row 1"], [None, "row 0", "0"], ["row row 2", "2", None, "row 2"]])
def test_a_row_without_an_id_gets_one_that_no_other_has(ids):
    rows = [{"_id": one, "src": f"a {number}", "tgt": f"b {number}"} for number, one in enumerate(ids)]
    dropped = Counter()
    found = list(data.clean(rows, Data(task=None), dropped))
    assert len({one.id for one in found}) == len(ids)
    assert not dropped


@pytest.mark.parametrize("source", ["/dev/stdin", "/dev/fd/63", "-"])
def test_a_corpus_from_a_pipe_is_refused_before_it_is_read(source):
    for use in (data.build, data.content_digest):
        with pytest.raises(ValueError, match=f"data__source is {source}: a corpus is read more than once"):
            use(Data(source=source))
