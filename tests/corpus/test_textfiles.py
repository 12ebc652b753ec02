import gzip
import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gecalign.corpus import textfiles
from gecalign.corpus.textfiles import likely_encoding, lines, read_text, stem, suffix, unnamed

ENGLISH = "“She goes home,” he said… It’s the café’s fault – naïve.\n"


def written(folder: Path, raw: bytes, name: str = "h.txt") -> Path:
    (folder / name).write_bytes(raw)
    return folder / name


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the callers check the words
        read_text(path)
    return str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["h.txt", "h.txt.gz", "h"])
def test_a_text_that_says_how_it_is_written_is_read(tmp_path, encoding, pack, name):
    assert read_text(written(tmp_path, pack(ENGLISH.encode(encoding)), name)) == ENGLISH


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_both_orders_of_utf_16_are_read(tmp_path, mark):
    encoding = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    assert read_text(written(tmp_path, mark + ENGLISH.encode(encoding))) == ENGLISH


@pytest.mark.parametrize(
    ("text", "written_in", "likely"),
    [
        (ENGLISH, "cp1252", "windows-1252"),
        ("plain English.\n" * 2000 + ENGLISH, "cp1252", "windows-1252"),  # far beyond the first lines
        ("café\n", "latin1", "windows-1252"),
        ("Er hat die Bücher über Größe gelesen.\n" * 3, "latin1", "windows-1252"),
        ("plain English.\n" * 3 + ENGLISH * 3, "mac_roman", "macintosh"),
        ("Она пошла домой вчера вечером и купила хлеб.\n" * 5, "koi8_r", "koi8-r"),
        ("彼女は昨日学校に行きました。\n" * 5, "shift_jis", "shift-jis"),
        ("她昨天去了学校,买了一本书。\n" * 5, "gb18030", "gb18030"),
    ],
)
def test_another_encoding_is_refused_with_the_one_that_it_is_likely_in(tmp_path, text, written_in, likely):
    raw = text.encode(written_in)
    assert likely_encoding(raw) == likely
    message = refused(written(tmp_path, raw))
    assert "is not UTF-8: byte 0x" in message
    assert f"iconv -f {likely} -t utf-8 h.txt > utf8-h.txt" in message


@pytest.mark.parametrize("written_in", ["cp1252", "latin1"])
def test_following_the_advice_gives_the_text(written_in):
    text = "café, naïve\n" if written_in == "latin1" else ENGLISH
    raw = text.encode(written_in)
    assert raw.decode(likely_encoding(raw)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_nuls(tmp_path, encoding):
    name = encoding.replace("-le", "le").replace("-be", "be")
    assert f"iconv -f {name} -t utf-8" in refused(written(tmp_path, "She goes home.\n".encode(encoding)))


@pytest.mark.parametrize(
    ("start", "what"), [(start, what) for start, (what, _) in textfiles.NO_TEXT.items() if "gzip" not in what]
)
def test_what_is_no_text_is_called_by_its_name_and_not_converted(tmp_path, start, what):
    message = refused(written(tmp_path, start + bytes(range(256))))
    assert f"is not text but {what}" in message
    assert "iconv" not in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (gzip.compress(b"She goes.\n", mtime=0)[:-4], "compressed by gzip and cannot be unpacked"),
        (b"\x1f\x8bno gzip", "compressed by gzip and cannot be unpacked"),
        (b"She\0goes.\n" + b"a" * 100, "byte 3 is NUL"),
        (b"\xff\xfea\0b", "is not UTF-16"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, raw, words):
    message = refused(written(tmp_path, raw))
    assert words in message
    assert str(tmp_path / "h.txt") in message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_as_three_systems_end_them(end, last):
    assert lines(end.join(["a", "", "b c"]) + end * last) == ["a", "", "b c"]


@pytest.mark.parametrize("inside", ["\r", "\u2028", "\x85", "\x0c", "\x0b", "\x1c"])
def test_no_other_character_ends_a_line(inside):
    assert lines(f"a{inside}b\nc\n") == [f"a{inside}b", "c"]


def test_standard_input_and_pipes_are_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(ENGLISH.encode())))
    assert read_text(Path("-")) == ENGLISH
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(ENGLISH.encode())
    path = Path(f"/dev/fd/{reading}")
    assert unnamed(path)
    assert read_text(path) == ENGLISH
    os.close(reading)


def test_the_kind_of_a_file_stands_before_gz_in_letters_of_any_case():
    assert [suffix(Path(name)) for name in ("a.CSV", "b.Jsonl.GZ", "c.gz", "d", "e.x.txt")] == [
        ".csv", ".jsonl", "", "", ".txt",
    ]  # fmt: skip
    assert [stem(Path(name)) for name in ("a.CSV", "b.Jsonl.GZ", "c.v1.txt")] == ["a", "b", "c.v1"]


HALF = b"\xed\xa0\xbd\xed\xb8\x80"  # an emoji as CESU-8 has it
SPOILT = [
    (ENGLISH.encode() * 3 + "café\n".encode("cp1252"), 4, "put together from files in two encodings"),
    (ENGLISH.encode()[:-25] + b"\xe2\x80", 1, "Was it cut off"),
    ("Она пошла.\n".encode() + b"caf\xe9\n", 2, "put together from files in two encodings"),
    (b"a\n" + HALF + b"\n", 2, "CESU-8"),
    ("café\n".encode() + HALF, 2, "CESU-8"),
]


@pytest.mark.parametrize(("raw", "line", "words"), SPOILT)
def test_what_is_mostly_utf_8_is_not_to_be_converted_as_a_whole(tmp_path, raw, line, words):
    message = refused(written(tmp_path, raw))
    assert f", in line {line}." in message
    assert words in message
    assert "iconv" not in message


def test_a_folder_and_a_link_to_nothing_are_called_so(tmp_path):
    (tmp_path / "x.csv").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    assert refused(tmp_path / "x.csv") == f"{tmp_path / 'x.csv'} is a folder. Give a file in it."
    assert refused(tmp_path / "link") == f"{tmp_path / 'link'} is a link to nowhere, which is not there."


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_archives_are_called_so_and_not_converted(tmp_path, pack):
    (tmp_path / "a.txt").write_text("She goes.\n")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.txt")
    message = refused(written(tmp_path, pack((tmp_path / "a.tar").read_bytes()), "a.tar.gz"))
    assert "an archive of tar" in message
    assert "iconv" not in message


def test_what_is_compressed_twice_is_told_so(tmp_path):
    raw = gzip.compress(gzip.compress(ENGLISH.encode()))
    assert "compressed by gzip. Unpack it: gunzip." in refused(written(tmp_path, raw, "h.txt.gz"))


def test_a_program_without_standard_input_is_told_so(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert refused(textfiles.STANDARD_INPUT) == "there is no standard input. Give a file."


def test_what_seven_zip_has_compressed_is_not_converted(tmp_path):
    assert "not text but compressed by 7-Zip" in refused(written(tmp_path, b"7z\xbc\xaf\x27\x1c\x04" + b"\xe9" * 100))
