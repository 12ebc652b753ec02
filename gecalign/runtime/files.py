"""Files of the user: paths as they are typed, writing that harms nothing, and what to say where the system refuses."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

WAYS_OUT = {
    errno.ENOENT: "Check the spelling, and the folder that you are in.",
    errno.ENOTDIR: "A part of this path is a file, where it should be a folder.",
    errno.EISDIR: "It is a folder: give a file in it.",
    errno.EEXIST: "Give another name, or move what is there.",
    errno.EACCES: "Give a place that is yours, or ask for the right to it.",
    errno.EPERM: "Give a place that is yours, or ask for the right to it.",
    errno.EROFS: "Give a place on a disk that can be written.",
    errno.ENOSPC: "Free some space, or give a place on another disk.",
    errno.EDQUOT: "Free some of what you are allowed to store, or give a place on another disk.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}


def path(text: str | os.PathLike[str]) -> Path:
    """Return a path as whoever typed it means it: `~` is the home folder, wherever the shell has left it.

    Every path of the command line and of the environment comes through here, and nowhere else is it expanded.

    Raises:
        ValueError: it is empty, or asks for the home folder of somebody who has none.
    """
    if not os.fspath(text).strip():
        raise ValueError("a path is empty; expected a file or a folder. Is it a variable that nobody has set?")
    meant = os.path.expanduser(text)  # noqa: PTH111 - of the text: to pathlib, ./~ is ~
    if meant.startswith("~"):
        raise ValueError(f"{meant!r}: there is no such home folder. A file that is called so is ./{meant}.")
    return Path(meant)


@contextmanager
def writing(to: Path) -> Iterator[Path]:
    """Give a path beside to write to, which takes the place of a file when all went well.

    So a file is there whole, or as it was before. It keeps its permissions, and a link to it stays a link.

    Raises:
        OSError: it cannot be written; the file that is named is the one that was asked for.
    """
    target = Path(os.path.realpath(to))
    # hidden: one that a kill leaves behind is no product; and with its suffix, by which some choose the format
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        if target.exists() and not os.access(target, os.W_OK):  # a rename would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        yield beside
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(to)) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give a folder beside to write into, which takes the place of a folder when all went well.

    So a folder is there whole, or as it was before, whoever else writes it meanwhile: the last one stays. It keeps its
    permissions. What a kill left half done is cleared away by the next one; a folder that it had already taken out of
    its place is put back.

    Raises:
        OSError: it cannot be written; the folder that is named is the one that was asked for. What could not be read
            for it keeps its name.
    """
    folder = Path(os.path.realpath(folder))
    beside = f".{folder.name}.gecalign-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in [path for path in folder.parent.iterdir() if path.name.startswith(beside) and path.is_dir()]:
            _clear_away(left, folder)
        work = Path(tempfile.mkdtemp(prefix=beside, dir=folder.parent))
        try:
            with FileLock(work / "lock"):
                (work / "new").mkdir()
                yield work / "new"
                _exchange(work, folder)
        finally:
            _put_back(work, folder)
    except OSError as error:
        # copying names the source, even where it is the disk of the target that is full
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if error.errno is None or not (full or str(folder.parent / beside) in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _exchange(work: Path, folder: Path) -> None:
    while True:
        if folder.exists():
            shutil.copymode(folder, work / "new")
            folder.rename(work / "old")
        try:
            (work / "new").rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(work / "old", ignore_errors=True)  # another one was faster; the last one stays


def _put_back(work: Path, folder: Path) -> None:
    if (work / "old").exists() and not folder.exists():
        (work / "old").rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def _clear_away(work: Path, folder: Path) -> None:
    """Finish what a kill left of `replacing`, unless somebody is at it."""
    try:
        with FileLock(work / "lock", timeout=0):
            _put_back(work, folder)
    except (OSError, Timeout):
        pass


def write_text(to: Path, text: str) -> None:
    """Write a file so that it is there whole or as it was, with the same line ends on every system."""
    with writing(to) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_jsonl(rows: Iterable[Any], to: Path) -> None:
    """Write dataclasses, a JSON object a line."""
    with to.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def append_text(to: Path, text: str, header: str = "") -> None:
    """Append to a file so that it holds all of the text or none; one that is new, or empty, begins with the header.

    Several processes may append to the same file.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(to.with_name(f".{to.name}.lock")):
        before = to.read_bytes().decode("utf-8") if to.exists() else ""
        ended = before if before.endswith("\n") or not before else before + "\n"
        write_text(to, (ended or header) + text)


def check_file(to: Path, what: str) -> None:
    """Raise ValueError where a file could not be written, before there is something to write.

    Args:
        what: is told in the message, such as the option that was given.
    """
    if to.is_dir():
        raise ValueError(f"{what}: {to} is a folder. Give the name of a file in it.")
    _check_place(to, what)
    _check_place(Path(os.path.realpath(to)).parent, what)  # it is written beside, and renamed


def check_folder(to: Path, what: str, writable: bool = True) -> None:
    """Raise ValueError where a folder could not be made or written into, before there is something to write.

    Args:
        writable: False where it is only to be read: then there must be no file in its place.
    """
    if to.exists() and not to.is_dir():
        raise ValueError(f"{what}: {to} is a file. Give a folder.")
    _check_place(to, what, writable)


def check_replaced(to: Path, what: str) -> None:
    """Raise ValueError where `replacing` could not put a folder in its place, before there is something to write."""
    check_folder(to, what)
    _check_place(Path(os.path.realpath(to)).parent, what)


def _check_place(to: Path, what: str, writable: bool = True) -> None:
    there = next(place for place in (to, *to.absolute().parents) if place.exists())
    if there != to and not there.is_dir():
        raise ValueError(f"{what}: {there} is a file, so that there can be no {to}. Give another place.")
    if writable and not os.access(there, os.W_OK):
        raise ValueError(f"{what}: {there} cannot be written by you. Give another place.")


def words(error: OSError) -> str:
    """Return what the system refuses, of which file, and what to do, in one line."""
    if error.errno is None or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}. {WAYS_OUT.get(error.errno, '')}".rstrip()
