"""Files of corrections as a report reads them: their names, their kinds, and that they are of the same sentences."""

import json
import os
from pathlib import Path

import factories
import pandas as pd
import pytest
from reports import REFERENCES, SOURCES, SYSTEMS, N

from gecalign import report
from gecalign.report import html


def rows_of(name: str) -> list[dict[str, str]]:
    return [
        {"id": str(i), "source": source, "reference": reference, "hypothesis": hypothesis}
        for i, (source, reference, hypothesis) in enumerate(zip(SOURCES, REFERENCES, SYSTEMS[name], strict=True))
    ]


def lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def test_every_format_is_read_and_they_can_be_mixed(tmp_path):
    sources, references = lines(tmp_path / "s.txt", SOURCES), lines(tmp_path / "r.txt", REFERENCES)
    files = [
        factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half")),
        factories.write_csv(tmp_path / "all.csv", rows_of("all")),
        lines(tmp_path / "few.txt", SYSTEMS["few"]),
    ]
    read = report.read(report.named(files), sources, [references])
    assert read.systems == {name: SYSTEMS[name] for name in ("half", "all", "few")}
    assert (read.sources, read.references) == (SOURCES, [(text,) for text in REFERENCES])
    assert report.read(report.named(files[:2]), None, []).sources == SOURCES  # they stand in the files


def test_the_flags_of_the_decoder_are_read_where_the_file_has_them(tmp_path):
    rows = [{**row, "truncated": i == 3} for i, row in enumerate(rows_of("all"))]
    files = [
        factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half")),
        factories.write_jsonl(tmp_path / "all.jsonl", rows),
    ]
    assert report.read(report.named(files), None, []).truncated == {"all": [i == 3 for i in range(N)]}


def test_systems_are_named_by_as_little_of_the_path_as_tells_them_apart():
    def names(*paths):
        return list(report.named([Path(path) for path in paths]))

    assert names("a/x.txt", "b/y.txt") == ["x", "y"]
    assert names("a/x.txt", "b/x.txt") == ["a/x", "b/x"]
    assert names("a/x.txt", "a/x.csv") == ["a/x.txt", "a/x.csv"]
    assert names("/0/a/x.txt", "/1/a/x.txt") == ["/0/a/x.txt", "/1/a/x.txt"]


def test_a_baseline_is_found_by_name_file_name_or_path():
    files = report.named([Path("a/x.txt"), Path("b/y.txt")])
    assert [report.find(name, files) for name in ("y", "y.txt", "b/y.txt", report.COPY)] == ["y", "y", "y", report.COPY]
    with pytest.raises(ValueError, match="--baseline 'z' is none of the systems: x, y, copy the input"):
        report.find("z", files)


def test_files_of_other_sentences_or_another_order_are_refused(tmp_path):
    rows = rows_of("all")
    half = factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half"))
    swapped = factories.write_jsonl(tmp_path / "all.jsonl", [rows[1], rows[0], *rows[2:]])
    sources, references = lines(tmp_path / "s.txt", SOURCES), lines(tmp_path / "r.txt", REFERENCES)
    with pytest.raises(ValueError, match=r"row 1 has the id '0' in .*half.jsonl, but '1' in .*all.jsonl"):
        report.read(report.named([half, swapped]), sources, [references])
    anonymous = [{key: row[key] for key in ("source", "reference", "hypothesis")} for row in (rows[1], rows[0])]
    factories.write_jsonl(swapped, [*anonymous, *rows[2:]])
    with pytest.raises(ValueError, match="row 1 has the source"):
        report.read(report.named([half, swapped]), None, [])


@pytest.mark.parametrize("name", ["all.CSV", "all.tsv", "all.jsonl.gz", "all.parquet"])
def test_a_file_of_another_kind_gives_the_same_inputs(tmp_path, name):
    rows = [row | {"id": float(row["id"]), "truncated": row["id"] == "3"} for row in rows_of("all")]
    half = factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half"))
    expected = report.read(report.named([half, factories.write_jsonl(tmp_path / "all.jsonl", rows)]), None, [])
    frame, path = pd.DataFrame(rows), tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("gz"):
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="\t" if name.endswith("tsv") else ";", index=False)
    assert report.read(report.named([half, path]), None, []) == expected
    assert sum(expected.truncated["all"]) == 1


def test_files_that_differ_in_blanks_and_forms_of_letters_are_of_the_same_sentences(tmp_path):
    rows = [row | {"source": f"caf\u00e9 {row['source']}"} for row in rows_of("half")]
    other = [row | {"source": f"cafe\u0301 {row['source'][5:]} ", "id": f"{row['id']}.0"} for row in rows]
    files = [factories.write_jsonl(tmp_path / "a.jsonl", rows), factories.write_csv(tmp_path / "b.csv", other)]
    read = report.read(report.named(files), None, [])
    assert read.sources == [row["source"] for row in rows]
    assert [note.split(", ")[1].split(":")[0] for note in read.notes] == ["source", "source"]


def test_a_tokenised_system_is_called_by_its_name(tmp_path):
    plain = [row | {"hypothesis": "She doesn't go.", "source": "a.", "reference": "b."} for row in rows_of("half")]
    tokens = [row | {"hypothesis": "She does n't go ."} for row in plain]
    files = [
        factories.write_jsonl(tmp_path / "plain.jsonl", plain),
        factories.write_jsonl(tmp_path / "odd.jsonl", tokens),
    ]
    (note,) = [note for note in report.read(report.named(files), None, []).notes if "look tokenised" in note]
    assert note.startswith("odd: hypotheses look tokenised")


NAMES = [
    "a\nb.txt",
    "\x1b[31mr.txt",
    "x\u202ey.txt",
    "<b>x.txt",
    "[red]x.txt",
    "a\u200bb.txt",
    os.fsdecode(b"caf\xe9.txt"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_seen_in_the_name_of_a_file_is_made_visible_wherever_it_is_shown(tmp_path, name):
    rows = {name: ["She goes.", "It is."], "s.txt": ["She go.", "It are."], "r.txt": ["She goes.", "It is."]}
    for one, lines in rows.items():
        (tmp_path / one).write_text("".join(f"{line} \n" for line in lines))
    files = report.named([tmp_path / name, tmp_path / "s.txt"])
    assert report.find(name, files) == next(iter(files))
    read = report.read(files, tmp_path / "s.txt", [tmp_path / "r.txt"])
    made = report.build(read, report.Settings(resamples=100))
    shown = [report.to_text(made), html.page(made), json.dumps(report.to_dict(made), ensure_ascii=False)]
    for text in shown:
        assert text.encode()
        assert not {"\x1b", "\u202e", "\u200b"} & set(text)
    assert "<b>x" not in shown[1]


def test_systems_in_another_order_are_noticed_also_where_the_first_has_no_ids(tmp_path):
    rows = [{"id": str(i), "hypothesis": text} for i, text in enumerate(SOURCES)]
    for name, texts in (("first", SOURCES), ("s", SOURCES), ("r", REFERENCES)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts))
    second = factories.write_jsonl(tmp_path / "second.jsonl", rows)
    third = factories.write_jsonl(tmp_path / "third.jsonl", rows[::-1])
    with pytest.raises(
        ValueError, match=f"row 1 is '0' in {second}, but '{N - 1}' in {third}: they must be of the same"
    ):
        report.read(report.named([tmp_path / "first.txt", second, third]), tmp_path / "s.txt", [tmp_path / "r.txt"])
