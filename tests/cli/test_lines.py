"""What goes in and out of `gecalign correct`, with a stand-in for the decoder; one test asks a real model."""

import gzip
import io
import json
import os
import tarfile
import threading
import time
from types import SimpleNamespace

import factories
import pytest
from typer.testing import CliRunner

from gecalign import cli
from gecalign.cli import lines, models
from gecalign.cli.lines import Corrected
from gecalign.config import Decoding, Prompt
from gecalign.models import decode
from gecalign.models.decode import Completion

PROMPT = "Fix: {source}\nCorrected:"


class Characters:
    """A tokenizer with a token a character."""

    def __call__(self, texts, verbose=True):
        return {"input_ids": [list(text) for text in texts]}


def asker(context: int = 100, **decoding: object) -> lines.Asker:
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=context))
    return lines.Asker(model, Characters(), Prompt(PROMPT), Decoding(**({"max_new_tokens": 10} | decoding)))


@pytest.fixture
def asked(monkeypatch) -> list[list[str]]:
    """Let a decoder write what is asked in capitals; return what it was asked, call by call."""
    seen: list[list[str]] = []

    def written(loaded, prompts, config, **_: object):
        seen.append([prompt.removeprefix("Fix: ").removesuffix("\nCorrected:") for prompt in prompts])
        return [[Completion(f" {text.upper().replace('|', chr(10))}\n", 1, "cut" in text)] for text in seen[-1]]

    monkeypatch.setattr(decode, "decode", written)
    return seen


def corrected(data: bytes, asking: lines.Asker | None = None) -> list[Corrected]:
    return list(lines.each(lines.read(io.BytesIO(data), "x"), lambda: asking or asker()))


# ---- one line out a line in

BOM = b"\xef\xbb\xbf"
INPUTS = [
    (b"", []),
    (b"\n", [""]),
    (b"a", ["A"]),
    (b"a\n", ["A"]),
    (b"a\nb", ["A", "B"]),
    (b"a\n\n\nb\n\n", ["A", "", "", "B", ""]),
    (b"a\r\n\r\nb\r\n", ["A", "", "B"]),
    (b"  \t \n\xc2\xa0\n", ["", ""]),
    (b" a  b\t\tc \n", ["A B C"]),
    (BOM + b"a\nb\n", ["A", "B"]),
    (BOM, [""]),
    (b"a\n" + BOM + b"b\n", ["A", "B"]),  # cat of two files
    ("a\u2028b\n".encode(), ["A B"]),
    ("a\x85b\x0cc\rd\n".encode(), ["A B C D"]),
    (b"a|b||c\n", ["A B C"]),  # outputs with line feeds
    (b"|\n", [""]),
]


@pytest.mark.parametrize(("data", "expected"), INPUTS)
def test_every_line_gives_one_line_in_order(asked, data, expected):
    found = corrected(data)
    assert [one.correction for one in found] == expected
    assert [one.number for one in found] == list(range(1, len(expected) + 1))
    assert all(len(one.correction.splitlines()) <= 1 for one in found)


def test_lines_are_cleaned_as_the_rows_of_a_corpus_are(asked):
    from collections import Counter

    from gecalign.config import Data
    from gecalign.corpus import data

    texts = [" She  go\thome. ", "A\u00a0b\u2003c", "tab\tend\t"]
    rows = [{"src": text, "tgt": "x"} for text in texts]
    trained = [example.source for example in data.clean(rows, Data(), Counter())]
    corrected("".join(f"{text}\n" for text in texts).encode())
    assert [text for call in asked for text in call] == trained


def test_an_empty_line_asks_no_model_and_without_a_line_none_is_loaded(asked):
    def never() -> lines.Asker:
        raise AssertionError

    assert list(lines.each(iter(()), never)) == []
    corrected(b"\n\n")
    assert [text for call in asked for text in call] == []


def test_a_line_that_does_not_fit_goes_out_as_it_came_and_says_why(asked):
    long = "x" * 80
    found = corrected(f"a\n{long}\nb\n".encode())
    assert [one.correction for one in found] == ["A", long, "B"]
    assert [bool(one.skipped) for one in found] == [False, True, False]
    assert "96 tokens" in found[1].skipped
    assert "context of 100" in found[1].skipped
    assert found[1].row() == {"source": long, "correction": long, "truncated": False, "skipped": found[1].skipped}


@pytest.mark.parametrize(
    ("context", "decoding", "words"),
    [(20, {}, "decoding__max_new_tokens is 10.*no sentence fits"), (100, {"samples": 2}, "decoding__samples is 2")],
)
def test_settings_under_which_no_line_could_be_corrected_are_refused(asked, context, decoding, words):
    with pytest.raises(ValueError, match=words):
        corrected(b"a\n", asker(context, **decoding))


@pytest.mark.parametrize(("bad", "way"), [(b"caf\xe9", "windows-1252"), (b"\xff\xfea\x00", "utf-16")])
def test_a_line_in_another_encoding_is_named_after_those_before_it_went_out(asked, bad, way):
    found = lines.each(lines.read(io.BytesIO(b"a\nb\n" + bad + b"\nc\n"), "x"), asker)
    assert [next(found).correction for _ in range(2)] == ["A", "B"]
    with pytest.raises(ValueError, match=f"line 3 of x is not UTF-8.*iconv -f {way}"):
        next(found)


# ---- as it comes, and together where it can be


def test_a_line_goes_out_before_the_next_one_comes(asked):
    gate = threading.Semaphore(0)

    def typed():
        for text in ("a", "b", "c"):
            gate.acquire()
            yield text

    found = lines.each(typed(), asker)
    for expected in ("A", "B", "C"):
        gate.release()
        assert next(found).correction == expected


def test_lines_that_wait_are_corrected_together_up_to_a_limit(asked):
    taken = lines.waiting((str(i) for i in range(25)), at_once=10)
    time.sleep(0.3)  # the reader fills the queue
    sizes = [len(some) for some in taken]
    assert sum(sizes) == 25
    assert max(sizes) == sizes[0] == 10


def test_input_that_never_ends_is_read_only_as_far_as_it_is_needed(asked):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "a"

    found = lines.each(endless(), asker)
    for _ in range(3):
        next(found)
    time.sleep(0.2)
    assert read <= 3 * lines.AT_ONCE


def test_samples_are_drawn_line_by_line_with_a_seed_of_their_own(monkeypatch):
    seeds = []

    def drawn(loaded, prompts, config, *, seed, **_: object):
        seeds.append((len(prompts), seed))
        return [[Completion("x", 1, False)] for _ in prompts]

    monkeypatch.setattr(decode, "decode", drawn)
    corrected(b"a\nb\nc\n", asker(temperature=1.0))
    assert seeds == [(1, 1), (1, 2), (1, 3)]


# ---- from a shell


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(factories.base_folder(tmp_path_factory.mktemp("lines") / "model"))


@pytest.fixture
def shell(asked, monkeypatch):
    """Return a function that calls `correct` with the stand-in for a model, and gives its result."""
    monkeypatch.setattr(models, "_trained", lambda *_: lambda: asker())

    def call(*arguments: str, data: bytes = b""):
        return CliRunner().invoke(cli.app, ["correct", *arguments], input=data, catch_exceptions=False)

    return call


@pytest.mark.parametrize("source", ["-", "--file"])
@pytest.mark.parametrize("form", ["--plain", "--json", None])
def test_every_form_has_one_line_a_line(shell, tmp_path, source, form):
    data = BOM + b"she  go\r\n\r\nTom|eat cut\n" + b"x" * 90 + b"\nlast"
    path = tmp_path / "in.txt"
    path.write_bytes(data)
    result = shell("-" if source == "-" else f"--file={path}", *([form] if form else []), data=data)
    out = result.stdout.split("\n")
    assert len(out) == 6
    assert out[-1] == ""
    if form == "--json":
        rows = [json.loads(line) for line in out[:-1]]
        assert rows[0] == {"source": "she go", "correction": "SHE GO", "truncated": False}
        assert rows[1] == {"source": "", "correction": "", "truncated": False}
        assert rows[2] == {"source": "Tom|eat cut", "correction": "TOM EAT CUT", "truncated": True}
        assert rows[3]["skipped"].startswith("too long")
    elif form == "--plain":
        assert out[:-1] == ["SHE GO", "", "TOM EAT CUT", "x" * 90, "LAST"]
    else:
        assert out[0] == "[-she go-]{+SHE GO+}"
        assert out[1] == ""
    said = result.stderr.splitlines()
    assert said[0] == "(line 3: cut off: the output reached the length limit)"
    assert said[1].startswith("(line 4: passed on unchanged, as it is too long")
    assert len(said) == 2


def test_a_sentence_is_cleaned_and_gives_one_line(shell):
    assert shell(" she\n go ", "--plain").stdout == "SHE GO\n"
    assert json.loads(shell("she go", "--json").stdout)["correction"] == "SHE GO"


def test_no_line_in_is_no_line_out(shell):
    result = shell("-")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected one thing to correct"),
        (["x", "--file", "in.txt"], "expected one thing to correct"),
        ([" \t"], "there is nothing to correct"),
        (["x", "--json", "--plain"], "--plain does not go with --json"),
        (["caf\udce9"], "is not UTF-8"),
        (["x" * 95], "too long.*Shorten the text"),
        (["--file", "rows.jsonl"], "--file takes plain text.*rows.jsonl"),
    ],
)
def test_what_cannot_be_corrected_is_said_with_the_way_out(shell, arguments, words):
    with pytest.raises(ValueError, match=words):
        shell(*arguments)


def test_a_missing_file_is_named(shell):
    with pytest.raises(ValueError, match=r"there is no file absent\.txt"):
        shell("--file", "absent.txt")


def test_a_sentence_that_is_the_name_of_a_file_is_told_from_its_lines(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    result = shell("notes.txt", "--plain")
    assert result.stdout == "NOTES.TXT\n"
    assert "--file notes.txt" in result.stderr


def test_a_real_model_writes_for_a_pipe_what_it_writes_for_each_line(model):
    texts = ["she go home 1.", "", "Tom eat an apple 22."]
    options = ["--model", model, "--prompt", PROMPT, "--plain"]

    def call(*arguments: str, **given):
        return CliRunner().invoke(cli.app, ["correct", *arguments, *options], catch_exceptions=False, **given).stdout

    together = call("-", input="\n".join(texts))
    assert together.split("\n") == [call(text).strip("\n") if text else "" for text in texts] + [""]


# ---- files as people have them

LINES = ["She go “home”.", "", "It are."]
FILES = [
    *(end.join(LINES).encode() + end.encode() * last for end in ("\n", "\r\n", "\r\r\n", "\r") for last in (0, 1)),
    *("\n".join(LINES).encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-32")),
    gzip.compress("\n".join(LINES).encode(), mtime=0),
]


@pytest.mark.parametrize("raw", FILES)
def test_a_file_has_the_lines_that_other_commands_find_in_it(shell, tmp_path, raw):
    (tmp_path / "in.txt.gz").write_bytes(raw)
    result = shell(f"--file={tmp_path / 'in.txt.gz'}", "--plain")
    assert result.stdout.split("\n") == [line.upper() for line in LINES] + [""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_of_a_stream_end_as_those_of_files(asked, end, last):
    found = corrected((end.join(LINES) + end * last).encode())
    assert [one.correction for one in found] == [line.upper() for line in LINES]


def test_a_pipe_may_be_the_file_and_a_dash_standard_input(shell):
    assert shell("--file=-", "--plain", data=b"she\n\ngo\n").stdout == "SHE\n\nGO\n"
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(b"she\n\ngo\n")
    assert shell(f"--file=/dev/fd/{reading}", "--plain").stdout == "SHE\n\nGO\n"
    os.close(reading)


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        made.addfile(tarfile.TarInfo("a.txt"))
    return out.getvalue()


NOT_SENTENCES = [
    (b'{"source": "She go."}\n', "holds JSON.*jq -r .source"),
    (b'[{"source": "She go."}]\n', "holds JSON"),
    (b"id\tsource\n1\tShe go.\n", "looks like a table.*cut -f2"),
    (b"id,source\n1,She go.\n", "looks like a table"),
    (b"id|source\n1|She go.\n", "looks like a table"),
    (b"<doc>\n<s>She go.</s>\n", "holds markup.*sed"),
    (b"S She go .\nA 1 2|||R|||goes|||REQUIRED|||-NONE-|||0\n", "is M2.*grep"),
    (b"PAR1\x15\x04\n", "a Parquet file"),
    (b"%PDF-1.7\n", "a PDF"),
    (b"PK\x03\x04\n", "an Excel workbook"),
    (archive(), "an archive of tar"),
    ("She go.\n".encode("utf-16-le"), "utf-16le without a byte order mark"),
    (b"She\0go.\n" + b"a" * 100, "NUL"),
]


@pytest.mark.parametrize(("raw", "words"), NOT_SENTENCES)
@pytest.mark.parametrize("source", ["-", "--file"])
def test_what_is_no_text_of_sentences_is_refused_before_a_model_writes_something(
    shell, asked, tmp_path, raw, words, source
):
    (tmp_path / "in.txt").write_bytes(raw)
    with pytest.raises(ValueError, match=words) as error:
        shell("-" if source == "-" else f"--file={tmp_path / 'in.txt'}", data=raw)
    assert ("standard input" if source == "-" else str(tmp_path / "in.txt")) in str(error.value)
    assert sum(map(len, asked)) <= 1  # the line before the one that shows it


def test_a_compressed_stream_is_told_how_to_unpack_it(shell):
    with pytest.raises(
        ValueError, match=r"line 1 of standard input is not text but compressed by gzip. Unpack it: gunzip"
    ):
        shell("-", data=gzip.compress(b"she go\n"))


@pytest.mark.parametrize("name", ["rows.csv", "rows.TSV.gz", "rows.parquet", "rows.m2", "rows.json"])
def test_files_of_rows_are_refused_by_their_names(shell, name):
    with pytest.raises(ValueError, match=r"--file takes plain text.*Take out the column"):
        shell("--file", name)


SENTENCES = [b"text\n", b"Source\nShe go.\n", b'"Yes."\n"No."\n', b"[laughs] She go.\n", b"{She} go.\n",
             b"S is a letter.\n", b"Text, she say, is text.\n", b'"She go."\n']  # fmt: skip


@pytest.mark.parametrize("raw", SENTENCES)
@pytest.mark.parametrize("source", ["-", "--file"])
def test_sentences_that_look_a_little_like_that_are_corrected(shell, tmp_path, raw, source):
    (tmp_path / "in.txt").write_bytes(raw)
    result = shell("-" if source == "-" else f"--file={tmp_path / 'in.txt'}", "--plain", data=raw)
    assert result.stdout.encode() == raw.upper()


def test_an_empty_file_has_no_line(shell, tmp_path):
    for raw in (b"", BOM, gzip.compress(b"")):
        (tmp_path / "in.txt").write_bytes(raw)
        assert shell(f"--file={tmp_path / 'in.txt'}").stdout == ""


def test_a_folder_is_called_so(shell, tmp_path):
    with pytest.raises(ValueError, match=r"is a folder. Give a file in it"):
        shell(f"--file={tmp_path}")
