"""Whatever a program of three systems writes comes back as the same sentences, up to what `sentences.normal` says."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from hypothesis import assume, given
from hypothesis import strategies as st

from gecalign.config import Data
from gecalign.corpus import corpora, data
from gecalign.corpus.rowfiles import looks_like
from gecalign.corpus.sentences import normal
from gecalign.metrics.predictions import ParallelTexts, read_parallel

COLUMNS = ["hypothesis", "source", "reference"]
# Any character that a file in UTF-8 can hold, those often that files of tables and lines have trouble with.
CHARS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00") | st.sampled_from(
    [*" ,;\t\"'\\\r\n{}[]:|#=-", "\u2028", "\x85", "\x0b", "\u00a0", "\ufeff", "é", "e\u0301", "’", "nan", "NULL"]
)
TEXTS = st.lists(CHARS, max_size=12).map("".join)
FILLED = TEXTS.filter(lambda text: bool(normal(text)))
ROWS = st.lists(st.tuples(TEXTS, FILLED, FILLED), min_size=1, max_size=5)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
ENDS = st.sampled_from(["\n", "\r\n"])


def expected(rows: list[tuple[str, ...]]) -> tuple[list[str], ...]:
    return tuple([normal(text) for text in column] for column in zip(*rows, strict=True))


def found(texts: ParallelTexts) -> tuple[list[str], ...]:
    return texts.hypotheses, texts.sources, [one for (one,) in texts.references]


def read_one(name: str, write: Callable[[Path], object]) -> tuple[list[str], ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return found(read_parallel(path, None, []))


@given(ROWS, st.booleans(), ENDS, ENCODINGS, st.sampled_from(["h.jsonl", "h.JSONL", "h.ndjson"]))
def test_what_json_writes_line_by_line(rows, ascii_only, end, encoding, name):
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=ascii_only) + end for row in rows]
    assert read_one(name, lambda path: path.write_bytes("".join(lines).encode(encoding))) == expected(rows)


@given(ROWS, st.sampled_from([None, 2]), st.booleans())
def test_what_json_writes_as_a_list(rows, indent, packed):
    text = json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=indent)
    name, pack = ("h.json.gz", gzip.compress) if packed else ("h.json", bytes)
    assert read_one(name, lambda path: path.write_bytes(pack(text.encode()))) == expected(rows)


@given(
    ROWS,
    st.sampled_from([("h.csv", ","), ("h.csv", ";"), ("h.CSV", "\t"), ("h.tsv", "\t"), ("h.tab", "\t")]),
    ENDS,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ENCODINGS,
    st.permutations(COLUMNS),
)
def test_what_csv_and_programs_like_excel_write(rows, kind, end, quoting, encoding, order):
    (name, separator), out = kind, io.StringIO(newline="")
    # a carriage return alone must stand in quotes; Python's writer forgets that where it ends lines by a line feed
    quoting = csv.QUOTE_ALL if end == "\n" and any("\r" in text for row in rows for text in row) else quoting
    assume(not any("\n" in text and separator in text for row in rows for text in row))  # which looks like two rows
    writer = csv.DictWriter(out, order, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(dict(zip(COLUMNS, row, strict=True)) for row in rows)
    assert read_one(name, lambda path: path.write_bytes(out.getvalue().encode(encoding))) == expected(rows)


@given(ROWS, ENCODINGS, st.sampled_from([",", ";", "\t"]), st.booleans())
def test_what_pandas_writes(rows, encoding, separator, index):
    frame = pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    name = "h.tsv.gz" if separator == "\t" else "h.csv"

    def write(path: Path) -> None:
        frame.to_csv(path, sep=separator, index=index, encoding=encoding, quoting=csv.QUOTE_ALL)

    assert read_one(name, write) == expected(rows)
    assert read_one("h.jsonl", lambda path: frame.to_json(path, orient="records", lines=True)) == expected(rows)
    assert read_one("h.json", lambda path: frame.to_json(path, orient="records")) == expected(rows)
    assert read_one("h.parquet", lambda path: frame.to_parquet(path, index=index)) == expected(rows)


@given(ROWS, st.sampled_from([",", ";", "\t"]))
def test_what_pandas_writes_by_default_is_the_same_or_refused_with_its_line(rows, separator):
    frame = pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    assume(not any("\n" in text and separator in text for row in rows for text in row))  # which looks like two rows
    refusal, read = "", None
    try:
        read = read_one("h.csv", lambda path: frame.to_csv(path, sep=separator))
    except ValueError as error:
        refusal = str(error)
    # pandas does not put a carriage return in quotes
    assert ("the row that ends in line" in refusal and "\r" in "".join(map("".join, rows))) or read == expected(rows)


@given(
    st.lists(TEXTS.filter(lambda text: not set("\r\n") & set(text)), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"]),
    st.booleans(),
    ENCODINGS,
)
def test_what_text_editors_write_on_three_systems(texts, end, last, encoding):
    texts[-1] = texts[-1] or "x"  # a last line that is empty and has no end is no line
    content = end.join(texts) + end * last
    assume(looks_like(content.lstrip("\ufeff")) is None and content.strip())
    assume(not (encoding == "utf-8" and content.startswith("\ufeff")))
    rows = [(text, "s", "r") for text in texts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "h.txt").write_bytes(content.encode(encoding))
        for other, letter in (("s", "s"), ("r", "r")):
            (folder / other).write_text(f"{letter}\n" * len(texts))
        assert found(read_parallel(folder / "h.txt", folder / "s", [folder / "r"])) == expected(rows)


def as_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL)


def as_jsonl(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True)


def as_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path)


@given(
    st.sampled_from([("x.CSV", as_csv), ("x.jsonl.gz", as_jsonl), ("x.parquet", as_parquet)]),
    st.lists(st.tuples(FILLED, FILLED), min_size=1, max_size=6, unique=True),
    st.data(),
)
def test_a_corpus_comes_back_from_every_kind_and_no_row_gets_lost_by_its_id(kind, rows, ids):
    name, write = kind
    some = st.sampled_from([None, "", "0", "1", "2", "nan"])
    given_ids = ids.draw(st.lists(some, min_size=len(rows), max_size=len(rows)))
    named = [one for one in given_ids if one in ("0", "1", "2")]
    assume(len(set(named)) == len(named))
    frame = pd.DataFrame(
        [{"_id": one, "src": src, "tgt": tgt} for one, (src, tgt) in zip(given_ids, rows, strict=True)]
    )
    with tempfile.TemporaryDirectory() as folder:
        write(frame, Path(folder) / name)
        read = corpora.read_file(Path(folder) / name)
    dropped: Counter[str] = Counter()
    examples = list(data.clean(read, Data(task=None), dropped))
    pairs = [(data._text(src), data._text(tgt)) for src, tgt in rows]
    assert [(one.source, one.reference) for one in examples] == list(dict.fromkeys(p for p in pairs if all(p)))
    assert not dropped["id occurred before"]
    assert len({one.id for one in examples}) == len(examples)
