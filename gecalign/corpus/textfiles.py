"""What stands in a file of text: its bytes, its letters, its lines. Every error names the file and the way out.

The rules, for all files that are read here:

- A file may be compressed by gzip, whatever it is called. `-` is standard input; pipes are read as files are.
- It is UTF-8, or UTF-16 or UTF-32 that says so by its byte order mark. Anything else is refused with the encoding
  that it is likely in: to guess in silence is to score other texts than were written.
- A line ends with a line feed, after any number of carriage returns: Windows writes one, and Python there two, if
  `newline=""` was forgotten. A file without any line feed has its lines ended by carriage returns, as on old Macs.
  No other character ends a line: a carriage return inside one is a blank like others.
"""

from __future__ import annotations

import codecs
import gzip
import re
import sys
import zlib
from pathlib import Path

STANDARD_INPUT = Path("-")
# The longer marks first: that of UTF-16 is the beginning of that of UTF-32.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
NO_TEXT = {  # how files begin that hold no text, what they are, and what to do with them
    b"PAR1": ("a Parquet file", "Call it name.parquet."),
    b"PK\x03\x04": ("an Excel workbook or a ZIP archive", "Save the sheet as CSV in UTF-8, or unpack it."),
    b"\xd0\xcf\x11\xe0": ("an old Office file", "Save it as CSV in UTF-8, or as plain text."),
    b"%PDF-": ("a PDF", "Save its sentences as plain text, one a line."),
    b"BZh91AY&SY": ("compressed by bzip2", "Unpack it: bunzip2."),
    b"\xfd7zXZ\x00": ("compressed by xz", "Unpack it: unxz."),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "Unpack it: unzstd."),
    b"ARROW1": ("an Arrow file", "Save it as Parquet or as JSONL."),
    b"{\\rtf": ("a rich text document", "Save it as plain text in UTF-8."),
    b"\x1f\x9d": ("compressed by compress", "Unpack it: uncompress."),
    b"\x1f\x8b": ("compressed by gzip", "Unpack it: gunzip."),
    b"7z\xbc\xaf\x27\x1c": ("compressed by 7-Zip", "Unpack it."),
    b"version https://git-lfs": ("a pointer of Git LFS to it", "Fetch the file: git lfs pull."),
}
TAR = slice(257, 262), b"ustar"  # where an archive of tar says that it is one
WESTERN = ["cp1252", "mac_roman"]
ENCODINGS = ["cp1251", "koi8_r", "cp1250", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", *WESTERN]
LONG_RUN = 1.5  # bytes outside ASCII in a row, on average: in Latin letters they stand alone
NEW_LINE = b"\n"
HALF_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
LOOKED_AT = 1 << 16  # bytes that an encoding is guessed from


def unnamed(path: Path) -> bool:
    """Return whether `path` is standard input or a pipe: no name tells what kind of file it is, or can be changed."""
    return path == STANDARD_INPUT or path.is_relative_to("/dev") or path.is_fifo()


def suffix(path: Path) -> str:
    """Return the suffix that tells the kind of a file: in small letters, and that before `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def stem(path: Path) -> str:
    """Return the name of a file without the suffix that tells its kind, and without `.gz`."""
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark, its lines ended as they are.

    Raises:
        ValueError: there is no such file, it is no text, or it is in another encoding.
    """
    return decoded(path, read_bytes(path))


def decoded(path: Path, raw: bytes) -> str:
    """Return the text that the bytes of a file hold; raises what `read_text` does."""
    check_is_text(f"{path}", raw, path)
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(_not_decoded(path, raw, encoding, error)) from None


def lines(text: str) -> list[str]:
    """Return the lines of a text without their ends; one end after the last line is no line of its own.

    >>> lines("She goes.\\r\\n\\r\\nIt is.\\r\\n")
    ['She goes.', '', 'It is.']
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where gzip has compressed them.

    Raises:
        ValueError: there is no such file, it is a folder, or it is damaged.
    """
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise ValueError("there is no standard input. Give a file.")
        raw = sys.stdin.buffer.read()
    else:
        check_is_file(path)
        raw = path.read_bytes()
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is compressed by gzip and cannot be unpacked: {error}. Copy it again.") from None


def check_is_file(path: Path) -> None:
    """Raise ValueError where no file is called so: nothing, a folder, or a link to nothing."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder. Give a file in it.")
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{path} is a link to {path.readlink()}, which is not there.")
    if not path.exists():
        raise ValueError(f"there is no file {path}.")


def check_is_text(where: str, raw: bytes, path: Path) -> None:
    """Raise ValueError where bytes, the first ones of a file or all, are those of something else than text.

    Args:
        where: what is named in the error: the file, or one of its lines.
        path: the file, for the way out.
    """
    for start, (what, way_out) in NO_TEXT.items():
        if raw.startswith(start):
            raise ValueError(f"{where} is not text but {what}. {way_out}")
    if raw[TAR[0]] == TAR[1]:
        raise ValueError(f"{where} is not text but an archive of tar. Unpack it: tar -xf.")
    position = raw.find(b"\0")
    if position < 0 or raw.startswith(tuple(mark for mark in MARKS if mark != codecs.BOM_UTF8)):
        return
    even, odd = raw[:LOOKED_AT:2].count(0), raw[1:LOOKED_AT:2].count(0)
    if 4 * max(even, odd) < len(raw[:LOOKED_AT]):  # less than half of every other byte
        raise ValueError(f"{where} is not text: byte {position} is NUL. Write its sentences into a file in UTF-8.")
    likely = "utf-16le" if odd > even else "utf-16be"
    raise ValueError(f"{where} is not UTF-8 but, by its NUL bytes, {likely} without a byte order mark. "
                     f"{_conversion(path, likely)}")  # fmt: skip


def _not_decoded(path: Path, raw: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
    byte = f"byte {error.object[error.start]:#04x} at position {error.start}"
    if name != "UTF-8":
        return f"{path} is not {name}: {byte}. Its byte order mark says that it is. Was it cut off? Write it again."
    found = f"{path} is not UTF-8: {byte}, in line {raw.count(NEW_LINE, 0, error.start) + 1}."
    if advice := mostly_utf_8(raw):
        return f"{found} {advice}"
    likely = likely_encoding(raw)
    return f"{found} It is likely {likely}. {_conversion(path, likely)} Then look at words with accents and at quotes."


def mostly_utf_8(raw: bytes) -> str:
    """Return what to do with bytes that are UTF-8 but for some, where another encoding would spoil the rest; or ""."""
    text = raw.decode("utf-8", errors="surrogateescape")
    wrong = sum("\udc80" <= char <= "\udcff" for char in text)
    right = sum(char > "\x7f" for char in text) - wrong
    if HALF_BYTES.search(raw) and _is_utf_8(HALF_BYTES.sub(b"", raw)):
        return "It has halves of characters in it, as some databases and Java write them (CESU-8). Write it in UTF-8."
    if right <= wrong:
        return ""
    return (
        f"The rest is: {right:,} letters outside ASCII are UTF-8, and {wrong:,} bytes are not. Was it cut off, or put "
        "together from files in two encodings? Write that part in UTF-8, and look at what stands there."
    )


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def likely_encoding(raw: bytes) -> str:
    """Return which encoding bytes that are not UTF-8 are likely in, by a name that iconv and Python know.

    Latin-1 is never the answer: Windows-1252 has the same letters, and quotes where Latin-1 has control characters.
    """
    import charset_normalizer

    telling = [line for line in raw.split(b"\n") if not line.isascii()]  # wherever in the file they stand
    sample = b"\n".join(telling)[:LOOKED_AT]
    runs = re.findall(rb"[\x80-\xff]+", sample)
    accents = sum(map(len, runs)) < LONG_RUN * len(runs)  # and quotes, among Latin letters
    best = charset_normalizer.from_bytes(sample, cp_isolation=WESTERN if accents else ENCODINGS).best()
    name = best.encoding if best else "cp1252"
    return {"cp1252": "windows-1252", "cp1251": "windows-1251", "cp1250": "windows-1250",
            "mac_roman": "macintosh"}.get(name, name.replace("_", "-"))  # fmt: skip


def _conversion(path: Path, encoding: str) -> str:
    name = "FILE" if unnamed(path) else path.name
    return f"Convert it, for example with: iconv -f {encoding} -t utf-8 {name} > utf8-{name}"
