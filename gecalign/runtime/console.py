"""What is written on a console: in its own encoding, whatever that can show."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import IO, Any

import typer

# What stands for a sign that an encoding lacks; what is not here is shown by its number, and so nothing is lost.
INSTEAD = {
    "±": "+/-", "…": "...", "–": "-", "—": "-", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "×": "x",
    "\N{NO-BREAK SPACE}": " ", "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip


def _degrade(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(INSTEAD.get(sign) or _number(sign) for sign in signs), error.end


def _number(sign: str) -> str:
    return sign.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error("gecalign", _degrade)


def prepare() -> None:
    """Let standard output and error take every text: what their encoding lacks is shown by other signs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gecalign")


def prepare_texts() -> None:
    """Let standard output pass on texts (see `encoding_of_texts`)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding_of_texts(sys.stdout), errors="gecalign")


def bytes_in() -> IO[bytes]:
    """Return standard input as bytes, by a reader of its own.

    A thread may wait for the next line when the program ends; Python would then wait for the lock of `sys.stdin`, and
    abort.
    """
    try:
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:  # no file of the system's, as in tests
        return sys.stdin.buffer


def tell(text: str, err: bool = False) -> None:
    """Print a text and flush it."""
    encoding = _encoding(sys.stderr if err else sys.stdout)
    typer.echo(text.encode(encoding, "gecalign").decode(encoding), err=err)


def tell_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON: as it is read, or by escapes where the console lacks signs, which is the same JSON."""
    tell(json.dumps(value, indent=indent, ensure_ascii=not _encoding(sys.stdout).lower().startswith("utf")))


def encoding_of_texts(stream: IO[str]) -> str:
    """Return how texts pass through a stream: a terminal has its own encoding, files and pipes have UTF-8.

    So what comes as UTF-8, as all files of this library do, leaves as UTF-8 on every system. PYTHONIOENCODING decides
    otherwise.
    """
    return _encoding(stream) if stream.isatty() or "PYTHONIOENCODING" in os.environ else "utf-8"


def _encoding(stream: IO[str]) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> duration(75), duration(5400), duration(3 * 86_400)
    ('75 s', '90 min', '3.0 d')
    """
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds / size < most:
            return f"{seconds / size:.0f} {unit}" if unit != "h" else f"{seconds / size:.1f} h"
    return f"{seconds / 86_400:.1f} d"
