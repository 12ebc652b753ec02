import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from gecalign.corpus import rowfiles
from gecalign.corpus.rowfiles import looks_like

KEYS = ("hypothesis", "source", "reference")
ROWS = [
    {"id": "1", "hypothesis": "She goes, now.", "source": "She go; now."},
    {"id": "2", "hypothesis": 'He says "yes".', "source": "He say\t'yes'."},
    {"id": "3", "hypothesis": "", "source": "It is.\nReally."},
]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(path: Path) -> list[rowfiles.Row]:
    return rowfiles.read(path, KEYS, "hypothesis")


def refused(path: Path, column: str | None = "hypothesis") -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the callers check the words
        rowfiles.read(path, KEYS, column)
    return str(error.value)


def table(separator: str = ",", end: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
KINDS = [
    ("h.csv", table()), ("h.CSV", table()), ("h.Csv", table(quoting=csv.QUOTE_ALL)), ("h.csv", table(";")),
    ("h.csv", table("\t")), ("h.tsv", table("\t")), ("h.TSV", table("\t", "\n")), ("h.tab", table("\t")),
    ("h.tsv", table(",")), ("h.csv", "sep=;\r\n" + table(";")), ("h.csv.gz", gzip.compress(table().encode(), mtime=0)),
    ("h.csv", table(";").encode("utf-8-sig")), ("h.csv", table("\t").encode("utf-16")),
    ("h.jsonl", JSONL), ("h.JSONL", JSONL), ("h.ndjson", JSONL), ("h.json", JSONL),
    ("h.jsonl.GZ", gzip.compress(JSONL.encode(), mtime=0)),
    ("h.jsonl", JSONL.replace("\n", "\r\n")), ("h.jsonl", JSONL.replace("\n", "\n\n")),
    ("h.json", json.dumps(ROWS)), ("h.json", json.dumps(ROWS, indent=2)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content"), KINDS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, content):
    assert read(written(tmp_path, name, content)) == ROWS


@pytest.mark.parametrize("name", ["h.parquet", "h.PARQUET"])
def test_parquet_gives_the_same_rows(tmp_path, name):
    pd.DataFrame(ROWS).to_parquet(tmp_path / name)
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", ["h.txt", "h", "h.hyp", "h.en", "h.TXT.gz", "model.v2"])
def test_any_other_name_is_plain_text(tmp_path, name):
    content = b"She goes, now.\n\nText; more\n"
    path = written(tmp_path, name, gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    assert read(path) == [{"hypothesis": line} for line in ("She goes, now.", "", "Text; more")]


M2 = "S She go home .\nA 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0\n\nS It is .\nA -1 -1|||noop|||-NONE-|||0\n"
TABLES = [
    table("\t"), table(), table(";"), "hypothesis\nShe goes.\n", "id\thypothesis\n1\tShe goes.\n",
    "Hypothesis\r\na\r\n",
    "1\tShe goes.\n2\tIt is.\n", '"id","text"\n"1","She goes."\n', "sep=;\nid;hypothesis\n1;a\n", "src,tgt\na,b\n",
    "_id,Our best system\n1,a\n", "sentence,model output,source\na,b,c\n",
    "1\tShe goes.\n2\tIt\tis.\n3\n", "id|hypothesis\n1|a\n", "| id | hypothesis |\n|---|---|\n| 1 | a |\n",
]  # fmt: skip


@pytest.mark.parametrize("content", TABLES)
def test_a_table_that_is_called_a_text_is_questioned(tmp_path, content):
    message = refused(written(tmp_path, "h.txt", content))
    assert f"{tmp_path / 'h.txt'} looks like a table" in message
    assert "name.csv or name.tsv" in message


@pytest.mark.parametrize(
    "content", [JSONL, "\n" + JSONL, json.dumps(ROWS), json.dumps(ROWS, indent=1), "[\n {}]", '["a"]\n["b"]\n']
)
def test_json_that_is_called_a_text_is_questioned(tmp_path, content):
    message = refused(written(tmp_path, "h.txt", content))
    assert "holds JSON" in message
    assert "name.jsonl" in message


@pytest.mark.parametrize("name", ["h.m2", "h.M2", "h.txt", "h"])
def test_m2_is_refused_with_the_way_out(tmp_path, name):
    message = refused(written(tmp_path, name, M2))
    assert "is M2: tokens and edits" in message
    assert "one a line" in message


MARKUP = [
    '<?xml version="1.0"?>\n<doc>a</doc>\n', "<!DOCTYPE html>\n<p>a</p>\n",
    '<refset setid="x">\n<seg id="1">a</seg>\n</refset>',
    "<s>She goes.</s>\n<s>It is.</s>\n",
]  # fmt: skip


@pytest.mark.parametrize("content", MARKUP)
@pytest.mark.parametrize("name", ["h.txt", "h.sgm", "pipe"])
def test_markup_is_refused_with_the_way_out(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(rowfiles, "unnamed", lambda path: path.name == "pipe")
    message = refused(written(tmp_path, name, content))
    assert f"{tmp_path / name} holds markup" in message
    assert "sed 's/<" in message


SENTENCES = [
    "<3 and <unk> she say", "a|b",
    "[laughs] She go home.", "{She} goes home.", "Text, she said, is text.", "She goes; he stays, they sit.",
    "S is a letter.\nA 1 is a grade.", "Source of all trouble", "a\tb\nc", "The input, output and so on",
    '"Yes," he say.',     "Reference: none.", "Hello, world", "id est",
]  # fmt: skip


@pytest.mark.parametrize("content", SENTENCES)
def test_sentences_that_hold_such_words_and_marks_are_sentences(tmp_path, content):
    assert looks_like(content) is None
    assert read(written(tmp_path, "h.txt", content + "\n")) == [{"hypothesis": line} for line in content.split("\n")]


@pytest.mark.parametrize("content", [table("\t"), table(), JSONL, json.dumps(ROWS, indent=1), "a\n\nb\n"])
def test_what_has_no_name_is_read_as_what_it_looks_like(tmp_path, content, monkeypatch):
    monkeypatch.setattr(rowfiles, "unnamed", lambda _: True)
    expected = [{"hypothesis": "a"}, {"hypothesis": ""}, {"hypothesis": "b"}] if content.startswith("a") else ROWS
    assert read(written(tmp_path, "pipe", content)) == expected


def test_an_empty_line_in_a_file_of_one_column_is_an_empty_cell(tmp_path):
    for end in ("\n", "\r\n", "\r\r\n", "\r"):
        path = written(tmp_path, "h.csv", end.join(["hypothesis", "a", "", '"b, c"', '""', ""]))
        assert [row["hypothesis"] for row in read(path)] == ["a", "", "b, c", ""]


def test_an_empty_line_among_several_columns_is_no_row(tmp_path):
    assert read(written(tmp_path, "h.csv", table().replace("\r\n", "\r\n\r\n", 2))) == ROWS


def test_python_on_windows_without_newline_writes_the_same_rows(tmp_path):
    assert read(written(tmp_path, "h.csv", table().replace("\r\n", "\r\r\n"))) == ROWS


TWICE = [
    ("h.csv", "hypothesis,source,hypothesis\na,b,c\n", "two columns called 'hypothesis'"),
    ("h.csv", "hypothesis, hypothesis\na,b\n", "two columns called 'hypothesis'"),
    ("h.tsv", "id\tsource\tid\n1\ta\t2\n", "two columns called 'id'"),
    ("h.jsonl", '{"id": 1}\n{"hypothesis": "a", "hypothesis": "b"}\n', "line 2 of"),
    ("h.json", '[{"source": "a", "source": "a"}]', "the key 'source' twice"),
]


@pytest.mark.parametrize(("name", "content", "words"), TWICE)
def test_a_name_that_stands_twice_is_refused(tmp_path, name, content, words):
    message = refused(written(tmp_path, name, content))
    assert words in message
    assert str(tmp_path / name) in message
    assert "Remove one, or give it another name" in message


@pytest.mark.parametrize("again", ["\ufeffid,hypothesis", "ID,Hypothesis", " id , hypothesis", "hypothesis,id"])
def test_the_names_of_a_second_file_are_no_row(tmp_path, again):
    message = refused(written(tmp_path, "h.csv", f"id,hypothesis\n1,a\n{again}\n2,b\n"))
    assert f"{tmp_path / 'h.csv'} has the names of its columns a second time" in message
    rows = read(written(tmp_path, "h.csv", "id,hypothesis\n1,id\nid,b\n"))
    assert [row["hypothesis"] for row in rows] == ["id", "b"]


def test_a_list_in_a_file_of_lines_is_told_its_name(tmp_path):
    assert "called name.json." in refused(written(tmp_path, "h.jsonl", json.dumps(ROWS)))


@pytest.mark.parametrize("name", ["h.parquet", "h.jsonl", "h.csv", "h.txt"])
def test_a_pointer_of_git_lfs_is_not_the_file(tmp_path, name):
    message = refused(written(tmp_path, name, "version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 3\n"))
    assert message == f"{tmp_path / name} is not text but a pointer of Git LFS to it. Fetch the file: git lfs pull."


def test_parquet_that_is_damaged_is_named(tmp_path):
    pd.DataFrame(ROWS * 50).to_parquet(tmp_path / "h.parquet")
    raw = (tmp_path / "h.parquet").read_bytes()
    (tmp_path / "h.parquet").write_bytes(raw[:60] + b"\xff" * 100 + raw[160:])
    assert f"{tmp_path / 'h.parquet'} is not a Parquet file, or a damaged one" in refused(tmp_path / "h.parquet")


def test_columns_without_a_name_may_be_several(tmp_path):
    assert read(written(tmp_path, "h.csv", "hypothesis,,\na,,\n"))[0]["hypothesis"] == "a"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hypothesis;source\na;b;c\n", ["line 2", "2 cells", "a semicolon"]),
        ("sep=;\nhypothesis;source\na;b;c\n", ["line 3", "2 cells"]),
        ("hypothesis\tsource\na\n", ["line 2", "2 cells", "a tab"]),
        ("hypothesis,source\na,b\rc,d\ne,f\n", ["line 2", "new-line character"]),
    ],
)
def test_a_row_with_other_cells_is_refused_with_its_line(tmp_path, content, words):
    message = refused(written(tmp_path, "h.csv", content))
    assert all(word in message for word in words), message


def test_plain_text_is_refused_where_it_is_not_taken(tmp_path):
    assert "of no kind that can be read" in refused(written(tmp_path, "h.txt", "a\n"), None)


def test_empty_lines_in_front_of_the_names_are_no_names(tmp_path):
    assert read(written(tmp_path, "h.csv", "\n\r\n" + table())) == ROWS


def test_a_table_without_names_is_not_said_to_have_two_columns_of_one(tmp_path):
    assert read(written(tmp_path, "h.csv", "a,a\nb,c\n")) == [{"a": "c"}]  # the caller misses its column


def test_json_that_is_nested_without_end_is_refused_with_its_line(tmp_path):
    assert "line 1 of" in refused(written(tmp_path, "h.jsonl", "[" * 100_000))


TEXTS = ['"I go home.', 'He said it."', '"Yes."', '"Yes," he say.', 'He say "yes".', "It is.", '"', "a, b", '"a, b."']


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["h.tsv", "h.csv", "pipe"])
@pytest.mark.parametrize("first", range(len(TEXTS)))
def test_between_tabs_a_quote_that_no_program_wrote_is_a_letter(tmp_path, monkeypatch, end, name, first):
    monkeypatch.setattr(rowfiles, "unnamed", lambda path: path.name == "pipe")
    texts = TEXTS[first:] + TEXTS[:first]
    columns = {"id": [str(number) for number in range(len(texts))], "hypothesis": texts, "source": texts[::-1]}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    content = end.join("\t".join(cells) for cells in (columns, *(row.values() for row in rows))) + end
    assert read(written(tmp_path, name, content)) == rows


@pytest.mark.parametrize(
    "texts", [['"She goes.', 'He goes."', "It is."], ['"Yes."', "No."], ['He say "yes".', '"No," he.']]
)
def test_a_table_of_one_column_with_quotes_in_it_keeps_its_lines(tmp_path, texts):
    found = read(written(tmp_path, "h.tsv", "\n".join(["hypothesis", *texts, ""])))
    assert [row["hypothesis"] for row in found] == texts


PROGRAMS = [
    ('id\thypothesis\n1\t"He said ""yes""."\n2\tIt is.\n', ['He said "yes".', "It is."]),  # csv, pandas, R
    ('"id"\t"hypothesis"\n"1"\t"a"\n"2"\t"b"\n', ["a", "b"]),
    ('id\thypothesis\n1\t"a"\n2\t"b"\n', ["a", "b"]),  # texts only, without their names
    ('id\thypothesis\r\n1\t"She goes, now."\r\n2\tIt is.\r\n', ["She goes, now.", "It is."]),  # Excel
    ('id\thypothesis\n1\t"a\tb"\n2\t"c\nd"\n', ["a\tb", "c\nd"]),
    ('id\thypothesis\n1\t""\n2\tb\n', ["", "b"]),
]


@pytest.mark.parametrize(("content", "texts"), PROGRAMS)
def test_between_tabs_quotes_that_a_program_wrote_are_none_of_the_text(tmp_path, content, texts):
    assert [row["hypothesis"] for row in read(written(tmp_path, "h.tsv", content))] == texts


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("cells", [("1", '"I go.', "x", "2", 'He."', "y"), ("1", "x", '"I go.', "2", "y", 'He."')])
def test_a_quote_that_swallows_the_next_row_is_refused_with_its_row(tmp_path, separator, cells):
    rows = [("id", "hypothesis", "source"), cells[:3], cells[3:], ("3", "a", "b")]
    message = refused(written(tmp_path, "h.csv", "".join(f"{separator.join(row)}\n" for row in rows)))
    assert f"row 1 of {tmp_path / 'h.csv'} has a cell that goes on in the next line" in message
    assert '"""Yes"", he said."' in message


@pytest.mark.parametrize(
    "content", ['hypothesis, source\n"a, b", "c"\n', '"hypothesis" ; "source"\n"a, b"; "c"\n'.replace('" ;', '";')]
)
def test_quotes_after_a_blank_are_quotes(tmp_path, content):
    assert read(written(tmp_path, "h.csv", content)) == [{"hypothesis": "a, b", "source": "c"}]


NAMES = ["Hypothesis", "HYPOTHESIS", " hypothesis ", "\ufeffhypothesis"]


@pytest.mark.parametrize("name", NAMES)
def test_a_known_name_is_known_in_letters_of_any_case(tmp_path, name):
    row = {"Id": "1", name: "a", "TRUNCATED": "no", "Mine": "x"}
    expected = [{"id": "1", "hypothesis": "a", "truncated": "no", "Mine": "x"}]
    table = "\ufeff" + ",".join(row) + "\n" + ",".join(row.values()) + "\n"
    assert read(written(tmp_path, "h.csv", table)) == expected
    assert read(written(tmp_path, "h.jsonl", json.dumps(row))) == expected
    pd.DataFrame([row]).to_parquet(tmp_path / "h.parquet")
    assert read(tmp_path / "h.parquet") == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("h.csv", "hypothesis,Hypothesis\na,b\n"),
        ("h.jsonl", '{"id": 1, "ID": 2}'),
        ("h.tsv", "id\tID\tsource\n1\t2\ta\n"),
    ],
)
def test_one_name_in_two_spellings_is_refused(tmp_path, name, content):
    assert "Remove one, or give it another name" in refused(written(tmp_path, name, content))


@pytest.mark.parametrize("content", ['["She go.", "It is."]', '"She go."\n"It \\"is\\"."\n', "[]", "[1, 2]"])
def test_strings_of_json_that_are_called_a_text_are_questioned(tmp_path, content):
    assert "holds JSON" in refused(written(tmp_path, "h.txt", content))


@pytest.mark.parametrize("content", ['"Yes," he say.\n"No."\n', '"Yes."\n', "[She] goes.\n", '"Yes."\nNo.\n'])
def test_sentences_in_quotes_or_brackets_are_sentences(tmp_path, content):
    assert [row["hypothesis"] for row in read(written(tmp_path, "h.txt", content))] == content.splitlines()


@pytest.mark.parametrize(("content", "count"), [("\n", 1), ("\n\n\n", 3), (" \n\t\n", 2)])
def test_a_system_that_wrote_nothing_wrote_empty_lines(tmp_path, content, count):
    assert len(read(written(tmp_path, "h.txt", content))) == count


def test_two_tables_put_together_are_refused(tmp_path):
    message = refused(written(tmp_path, "h.csv", table() * 2))
    assert f"{tmp_path / 'h.csv'} has the names of its columns a second time" in message


def test_parquet_may_be_compressed_or_come_from_a_pipe(tmp_path, monkeypatch):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "h.parquet")
    raw = (tmp_path / "h.parquet").read_bytes()
    assert read(written(tmp_path, "h.parquet.gz", gzip.compress(raw))) == ROWS
    monkeypatch.setattr(rowfiles, "unnamed", lambda _: True)
    assert read(written(tmp_path, "pipe", raw)) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("h.csv", 'hypothesis,source\r"a",b\r"d\ne",f\r', "is not CSV"),  # two systems in one file
        ("h.csv", '"hypothesis,source\na,b\n', "is not CSV"),
        ("h.jsonl", '{"id": ' + "1" * 5000 + "}", "line 1 of"),
        ("h.parquet", "", "is not a Parquet file"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(tmp_path, name, content, words):
    message = refused(written(tmp_path, name, content))
    assert words in message
    assert str(tmp_path / name) in message


def test_names_in_errors_are_cut_where_they_are_sentences():
    assert rowfiles.shown(["a", "b" * 100]) == f"a, {'b' * 40}..."
    assert rowfiles.shown(map(str, range(25))).endswith("18, 19 and 5 more")
