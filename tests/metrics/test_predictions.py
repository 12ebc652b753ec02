import csv
import gzip
import io
import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

from gecalign.metrics.predictions import Prediction, read, read_parallel
from gecalign.runtime import files

ROWS = [
    {"id": "a", "source": "She go.", "reference": "She goes.", "hypothesis": "She goes."},
    {"id": "b", "source": "He sit, now.", "reference": "He sits now.", "hypothesis": ""},
    {"id": "c", "source": 'It "is.', "reference": "It is.", "hypothesis": "It is."},
]
SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1c", "\x1d", "\x1e"]


def file(path: Path, rows: list[dict], columns: tuple[str, ...] | None = None) -> Path:
    """Write rows as the suffix of `path` says: JSONL, CSV, or one sentence a line."""
    kept = [{name: row[name] for name in columns or row} for row in rows]
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    else:
        path.write_text("".join(next(iter(row.values())) + "\n" for row in kept), encoding="utf-8")
    return path


def refused(*arguments) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the callers check the words
        read_parallel(*arguments)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_one_file_may_hold_everything(tmp_path, suffix):
    texts = read_parallel(file(tmp_path / f"all{suffix}", ROWS), None, [])
    assert texts.hypotheses == ["She goes.", "", "It is."]
    assert texts.sources == ["She go.", "He sit, now.", 'It "is.']
    assert texts.references == [("She goes.",), ("He sits now.",), ("It is.",)]
    assert texts.truncated is None


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_three_files_of_any_kind_give_the_same_texts(tmp_path, suffix):
    expected = read_parallel(file(tmp_path / "all.jsonl", ROWS), None, [])

    def one(column: str) -> Path:
        return file(tmp_path / f"{column}{suffix}", ROWS, (column,) if suffix == ".txt" else ("id", column))

    assert read_parallel(one("hypothesis"), one("source"), [one("reference")]) == expected


def test_several_references_stay_with_their_sentence(tmp_path):
    second = [{"reference": f"other {i}"} for i in range(3)]
    references = [file(tmp_path / "r1.txt", ROWS, ("reference",)), file(tmp_path / "r2.txt", second)]
    texts = read_parallel(file(tmp_path / "all.jsonl", ROWS), None, references)
    assert texts.references == [("She goes.", "other 0"), ("He sits now.", "other 1"), ("It is.", "other 2")]


def test_our_own_predictions_are_read_back_with_what_was_cut_off(tmp_path):
    predictions = [
        Prediction("1", "a", "b", "c" + "".join(SEPARATORS) + "d", 3, True),
        Prediction("2", "d", "e", ""),
    ]
    files.write_jsonl(predictions, tmp_path / "p.jsonl")
    assert read(tmp_path / "p.jsonl") == tuple(predictions)
    texts = read_parallel(tmp_path / "p.jsonl", None, [])
    assert texts.truncated == [True, False]
    assert texts.hypotheses == [p.hypothesis for p in predictions]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
@pytest.mark.parametrize("separator", SEPARATORS)
def test_unusual_separators_inside_a_sentence_do_not_end_it(tmp_path, suffix, separator):
    rows = [{"hypothesis": f"a{separator}b"}, {"hypothesis": "c"}]
    hypotheses = file(tmp_path / f"h{suffix}", rows)
    texts = read_parallel(hypotheses, file(tmp_path / "s.txt", rows), [file(tmp_path / "r.txt", rows)])
    assert texts.hypotheses == [f"a{separator}b", "c"]


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path):
    hypotheses = tmp_path / "h.txt"
    hypotheses.write_bytes(b"\xef\xbb\xbfShe goes.\r\n\r\nIt is.\r\n")
    texts = read_parallel(
        hypotheses,
        file(tmp_path / "s.txt", ROWS, ("source",)),
        [file(tmp_path / "r.txt", ROWS, ("reference",))],
    )
    assert texts.hypotheses == ["She goes.", "", "It is."]


@pytest.mark.parametrize(("text", "last"), [("a\nb\nc", "c"), ("a\nb\nc\n", "c"), ("a\nb\n\n", "")])
def test_the_last_line_may_end_without_a_line_end_and_an_empty_last_output_is_an_empty_line(tmp_path, text, last):
    hypotheses = tmp_path / "h.txt"
    hypotheses.write_text(text)
    texts = read_parallel(
        hypotheses,
        file(tmp_path / "s.txt", ROWS, ("source",)),
        [file(tmp_path / "r.txt", ROWS, ("reference",))],
    )
    assert texts.hypotheses == ["a", "b", last]


def test_counts_that_differ_name_both_files_and_counts(tmp_path):
    message = refused(file(tmp_path / "h.txt", ROWS[:2], ("source",)), file(tmp_path / "s.txt", ROWS, ("source",)), [])
    assert "h.txt has 2 sentences" in message
    assert "s.txt has 3" in message
    assert "empty output is still an empty line" in message


def test_counts_of_the_second_reference_file_are_checked_too(tmp_path):
    references = [
        file(tmp_path / "r1.txt", ROWS, ("reference",)),
        file(tmp_path / "r2.txt", ROWS[:2], ("reference",)),
    ]
    assert "r2.txt has 2" in refused(file(tmp_path / "all.jsonl", ROWS), None, references)


def test_duplicate_ids_are_named_with_their_count(tmp_path):
    message = refused(file(tmp_path / "all.jsonl", [*ROWS, ROWS[0]]), None, [])
    assert "the id 'a' 2 times" in message


def test_rows_in_another_order_are_noticed_by_their_ids(tmp_path):
    hypotheses = file(tmp_path / "h.jsonl", ROWS, ("id", "hypothesis"))
    sources = file(tmp_path / "s.jsonl", [ROWS[0], ROWS[2], ROWS[1]], ("id", "source"))
    message = refused(hypotheses, sources, [file(tmp_path / "r.txt", ROWS, ("reference",))])
    assert (
        message
        == f"row 2 is 'b' in {hypotheses}, but 'c' in {sources}: they must be of the same sentences, in the same order."
    )


@pytest.mark.parametrize("column", ["source", "reference"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_source_or_reference_is_refused_with_its_row(tmp_path, column, blank):
    rows = [ROWS[0], ROWS[1] | {column: blank}, ROWS[2]]
    message = refused(file(tmp_path / "all.jsonl", rows), None, [])
    assert f"row 2 of {tmp_path / 'all.jsonl'} has an empty {column}" in message


@pytest.mark.parametrize(("missing", "hint"), [("source", "--sources FILE"), ("reference", "--references FILE")])
def test_a_missing_column_is_answered_with_the_option_that_gives_it(tmp_path, missing, hint):
    columns = tuple(name for name in ROWS[0] if name != missing)
    message = refused(file(tmp_path / "all.jsonl", ROWS, columns), None, [])
    assert f"has no {missing!r}; its columns: {', '.join(columns)}" in message
    assert hint in message


def test_plain_text_alone_asks_for_the_sources(tmp_path):
    references = [file(tmp_path / "r.txt", ROWS, ("reference",))]
    assert "--sources FILE" in refused(file(tmp_path / "h.txt", ROWS, ("source",)), None, references)


@pytest.mark.parametrize("value", [None, ["a", "b"], 5, {"text": "a"}])
@pytest.mark.parametrize("column", ["hypothesis", "reference"])
def test_a_value_that_is_no_string_is_refused_rather_than_scored_as_its_spelling(tmp_path, column, value):
    message = refused(file(tmp_path / "all.jsonl", [ROWS[0] | {column: value}]), None, [])
    assert f"row 1 of {tmp_path / 'all.jsonl'} has {value!r} as its {column}; expected a string" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("h.txt", b"", "is empty"),
        ("h.jsonl", b" \n\n", "is empty"),
        ("h.csv", b"hypothesis\n", "is empty or holds no row"),
        ("h.txt", "caf\u00e9\n".encode("latin1"), "not UTF-8: byte 0xe9 at position 3"),
        ("h.csv.gz", gzip.compress(b"hypothesis\n", mtime=0), "holds no row"),
        ("h.txt", b"a\tb\nc\td\n", "looks like a table"),
        ("h.jsonl", b'{"hypothesis": "a"}\n{"hypothesis": \n', "line 2 of"),
        ("h.jsonl", b'"a"\n', "not a JSON object with the keys hypothesis, source, reference"),
        ("h.csv", b"hypothesis,source,reference\na,b,c,d\n", "3 cells"),
        ("h.csv", b"hypothesis,source,reference\na,b\n", "3 cells"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words_that_help(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refused(tmp_path / name, None, [])


def test_a_missing_file_is_named(tmp_path):
    assert refused(tmp_path / "absent.txt", None, []) == f"there is no file {tmp_path / 'absent.txt'}."


def test_a_folder_is_not_taken_for_a_file(tmp_path):
    assert refused(tmp_path, None, []) == f"{tmp_path} is a folder. Give a file in it."


# ---- cells and sentences


def changed(**cells) -> list[dict]:
    return [row | {name: values[i] for name, values in cells.items()} for i, row in enumerate(ROWS)]


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".tsv", ".jsonl", ".parquet"])
def test_our_own_predictions_saved_by_pandas_are_cut_off_as_often_as_they_were(tmp_path, suffix):
    import pandas as pd

    predictions = [Prediction(str(i), f"s{i}", f"r{i}", f"r{i}", 3, i == 7) for i in range(50)]
    files.write_jsonl(predictions, tmp_path / "p.jsonl")
    frame, path = pd.read_json(tmp_path / "p.jsonl", lines=True), tmp_path / f"p2{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    assert read_parallel(path, None, []) == read_parallel(tmp_path / "p.jsonl", None, [])
    assert sum(read_parallel(path, None, []).truncated) == 1


@pytest.mark.parametrize("values", [("False", "0", "no"), ("false", "0.0", "NO"), (0, False, 0.0)])
def test_what_says_false_is_not_cut_off(tmp_path, values):
    for name in ("all.csv", "all.jsonl"):
        path = file(tmp_path / name, changed(truncated=values))
        assert read_parallel(path, None, []).truncated == [False] * 3


def test_a_flag_that_is_none_or_missing_in_one_row_is_refused_with_the_row(tmp_path):
    message = refused(file(tmp_path / "all.csv", changed(truncated=(True, "", False))), None, [])
    assert f"row 2 of {tmp_path / 'all.csv'} has as truncated ''" in message
    rows = [ROWS[0] | {"truncated": True}, *ROWS[1:]]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "row 2 of" in (message := refused(tmp_path / "some.jsonl", None, []))
    assert "has no 'truncated', and row 1 has" in message


@pytest.mark.parametrize("missing", [None, "", "nan", float("nan"), "NULL"])
def test_rows_without_an_id_are_not_the_same_row(tmp_path, missing):
    path = file(tmp_path / "all.jsonl", changed(id=(missing, missing, "c")))
    assert read_parallel(path, None, []).hypotheses == ["She goes.", "", "It is."]
    sources = file(tmp_path / "s.jsonl", ROWS, ("id", "source"))
    assert read_parallel(path, sources, []).sources == [row["source"] for row in ROWS]


@pytest.mark.parametrize("without", ["h", "s"])
def test_ids_of_any_two_files_are_compared_also_where_a_third_has_none(tmp_path, without):
    paths = []
    for name, column, rows in (("h", "hypothesis", ROWS), ("s", "source", ROWS), ("r", "reference", ROWS[::-1])):
        plain = name == without
        paths.append(file(tmp_path / f"{name}.{'txt' if plain else 'jsonl'}", rows, ("id", column)[plain:]))
    hypotheses, sources, references = paths
    message = refused(hypotheses, sources, [references])
    first = sources if without == "h" else hypotheses
    assert message.startswith(f"row 1 is 'a' in {first}, but 'c' in {references}: they must be of the same sentences")


def test_a_list_of_references_is_told_where_several_stand(tmp_path):
    rows = [row | {"reference": [row["reference"]]} for row in ROWS]
    assert "Several references stand in a file each" in refused(file(tmp_path / "all.jsonl", rows), None, [])


def test_ids_that_pandas_made_numbers_of_are_the_same_ids(tmp_path):
    path = file(tmp_path / "all.jsonl", changed(id=(1.0, 2, "3.0")))
    sources = file(tmp_path / "s.csv", changed(id=("1", "2", "3")), ("id", "source"))
    assert len(read_parallel(path, sources, []).sources) == 3
    wrong = file(tmp_path / "w.csv", changed(id=("1", "3", "2")), ("id", "source"))
    assert "row 2 is '2' in" in refused(path, wrong, [])


def test_one_id_written_in_two_ways_is_one_id_twice(tmp_path):
    assert "the id '1' 2 times" in refused(file(tmp_path / "all.jsonl", changed(id=(1, "1.0", 2))), None, [])


@pytest.mark.parametrize("column", ["hypothesis", "source", "reference"])
def test_half_of_a_character_is_refused_with_its_row(tmp_path, column):
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in changed(**{column: ("a", "b\ud83d", "c")})))
    message = refused(path, None, [])
    assert f"row 2 of {path} has '\\ud83d' in its {column}" in message
    assert "cut in the middle of a character" in message


def test_a_copy_is_a_copy_whatever_blanks_and_forms_of_letters(tmp_path):
    rows = [{"source": "She go caf\u00e9.", "reference": "She goes.", "hypothesis": "She go cafe\u0301. "}]
    texts = read_parallel(file(tmp_path / "all.jsonl", rows), None, [])
    assert texts.hypotheses == texts.sources
    assert [note.removeprefix(f"{tmp_path / 'all.jsonl'}, hypothesis: ") for note in texts.notes] == [
        "blanks around 1 of 1 sentences were taken off (row 1).",
        "letters of 1 of 1 sentences were brought into Unicode's form NFC (row 1).",
    ]


def test_a_carriage_return_inside_a_line_does_not_end_it(tmp_path):
    hypotheses = tmp_path / "h.txt"
    hypotheses.write_bytes(b"She\rgoes.\nHe sits.\r\nIt is.\n")
    texts = read_parallel(
        hypotheses, file(tmp_path / "s.txt", ROWS, ("source",)), [file(tmp_path / "r.txt", ROWS, ("reference",))]
    )
    assert texts.hypotheses == ["She\rgoes.", "He sits.", "It is."]


def test_texts_that_are_tokenised_in_one_file_and_not_in_another_are_told(tmp_path):
    rows = [{"hypothesis": "She doesn't go.", "source": "She do n't go .", "reference": "She does n't go ."}] * 4
    notes = read_parallel(file(tmp_path / "all.jsonl", rows), None, []).notes
    assert len(notes) == 1
    assert notes[0].startswith("sources and references look tokenised")


def test_ordinary_files_leave_nothing_to_say(tmp_path):
    assert read_parallel(file(tmp_path / "all.jsonl", ROWS), None, []).notes == ()


# ---- standard input and pipes


def test_standard_input_may_be_one_of_the_files(tmp_path, monkeypatch):
    content = file(tmp_path / "all.jsonl", ROWS).read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert read_parallel(Path("-"), None, []).sources == [row["source"] for row in ROWS]
    assert "standard input can be read only once, and is given 2 times" in refused(Path("-"), Path("/dev/stdin"), [])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_form_of_letters_does_not_matter_in_any_of_the_files(tmp_path, form):
    rows = [
        {"source": "na\u00efve", "reference": "na\u00efve", "hypothesis": unicodedata.normalize(form, "na\u00efve")}
    ]
    texts = read_parallel(file(tmp_path / "all.csv", rows), None, [])
    assert texts.hypotheses == texts.sources
    assert bool(texts.notes) is (form == "NFD")


# ---- which sentences they are

OTHER = [{**row, "source": f"{row['source']} x"} for row in ROWS]
ORDERS = [  # files of hypotheses, sources, references; which of them is named, and in which row
    (ROWS[::-1], ROWS, ROWS, "h", 1),
    (ROWS, [ROWS[0], ROWS[2], ROWS[1]], ROWS, "h", 2),
    (ROWS, None, ROWS[::-1], "r", 1),
    (ROWS, OTHER, None, "h", 1),
    (ROWS, ROWS, OTHER, "r", 1),
]


@pytest.mark.parametrize(("rows", "given", "corrections", "named", "number"), ORDERS)
def test_sources_that_stand_in_a_file_must_be_those_that_are_given(tmp_path, rows, given, corrections, named, number):
    hypotheses = file(tmp_path / "h.jsonl", rows, ("hypothesis", "source", "reference"))
    sources = given and file(tmp_path / "s.jsonl", given, ("source",))
    references = [file(tmp_path / "r.jsonl", corrections, ("source", "reference"))] if corrections else []
    message = refused(hypotheses, sources, references)
    assert f"row {number} of {tmp_path / named}.jsonl has the source" in message
    assert "the same sentences, in the same order" in message
    assert f"take the column source out of {tmp_path / named}.jsonl" in message


@pytest.mark.parametrize("own", [None, "", " ", "{} ", "{}\u2009"])
def test_a_source_that_says_nothing_else_is_no_other(tmp_path, own):
    rows = [row | {"source": own and own.format(row["source"])} for row in ROWS]
    sources = file(tmp_path / "s.txt", ROWS, ("source",))
    found = read_parallel(file(tmp_path / "h.jsonl", rows, ("hypothesis", "source", "reference")), sources, [])
    assert found.sources == [row["source"] for row in ROWS]


@pytest.mark.parametrize("name", ["_id", "ID", "Id", "_ID", " id "])
def test_ids_are_known_by_the_names_that_they_have(tmp_path, name):
    hypotheses = file(tmp_path / "h.jsonl", [row | {name: row["id"]} for row in ROWS], (name, "hypothesis"))
    message = refused(hypotheses, file(tmp_path / "s.jsonl", ROWS[::-1], ("id", "source")), [])
    assert message.startswith(f"row 1 is {ROWS[0]['id']!r} in {hypotheses}")


def test_a_column_id_goes_before_one_of_data_sets(tmp_path):
    rows = [row | {"_id": "same"} for row in ROWS]
    assert len(read_parallel(file(tmp_path / "h.jsonl", rows, tuple(rows[0])), None, []).sources) == len(ROWS)


def test_an_empty_line_at_the_end_is_named_where_counts_differ(tmp_path):
    hypotheses = file(tmp_path / "h.txt", ROWS, ("hypothesis",))
    sources = file(tmp_path / "s.txt", [*ROWS, {"source": ""}], ("source",))
    assert f"The last line of {sources} is an empty one." in refused(hypotheses, sources, [])


@pytest.mark.parametrize("value", [None, float("nan"), 1, True, ["a"]])
def test_what_stands_for_no_output_is_answered_with_the_empty_string(tmp_path, value):
    path = file(tmp_path / "h.jsonl", changed(hypothesis=[value] * len(ROWS)), ("hypothesis", "source", "reference"))
    assert "An output without any text is the empty string." in refused(path, None, [])


def test_what_hypotheses_hold_beside_the_sentence_is_told_with_the_file(tmp_path):
    rows = [
        {"source": f"She go {i}.", "reference": f"She goes {i}.", "hypothesis": f"Corrected: She goes {i}.\nDone."}
        for i in range(9)
    ]
    begins, lines = read_parallel(file(tmp_path / "all.jsonl", rows), None, []).notes
    assert begins.startswith(f"{tmp_path / 'all.jsonl'}, hypothesis: all 9 sentences begin as 'Corrected: She goes")
    assert lines.startswith(f"{tmp_path / 'all.jsonl'}, hypothesis: 9 of 9 sentences go over more lines")


def test_one_file_as_sources_and_references_is_told(tmp_path):
    texts = file(tmp_path / "s.txt", [{"source": f"She go {i}."} for i in range(9)])
    (note,) = read_parallel(texts, texts, [texts]).notes
    assert "all references are their sources" in note
