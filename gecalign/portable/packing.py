"""Everything that a run needs, in parts that are easy to carry: the package, packages, the base model, sentences.

The target has PyTorch, and perhaps more: `pip freeze` there says what. A package is left out if the target has a
version that everything which needs it can work with; all others go along as wheels for the target's Python.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from gecalign import config
from gecalign.corpus import corpora, jfleg
from gecalign.models import loading, smollm2
from gecalign.runtime import files, processes, store

PART = 55 * 2**20  # bytes
WITH_TORCH = ("torch", "triton")  # and all that they need: there, whatever a list says


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that a run is packed for.

    Attributes:
        python: its version, such as "3.12".
        platform: as wheels name it.
        has: versions of the packages that it has, by name.
        carried: packages that go along whatever it has.
    """

    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    platform: str = "manylinux_2_28_x86_64"
    has: Mapping[str, str] | None = None
    carried: Collection[str] = ()


def frozen(path: Path) -> dict[str, str]:
    """Return what `pip freeze` wrote: versions by name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==", 1) for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): version.partition("+")[0].strip() for name, version in pairs}


def pack(profile: config.Profile, to: Path, target: Target) -> list[Path]:
    """Write the parts, their index and `start.py` into a folder; return all of them.

    Raises:
        ValueError: the folder is in use; the model or the sentences are not here; a wheel cannot be had.
    """
    files.check_replaced(to, "the parts")
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty. Give a folder that does not exist yet.")
    with files.replacing(to) as parts_folder, tempfile.TemporaryDirectory() as scratch:
        content = Path(scratch) / "content"
        _package(content / "package")
        _sources(profile, content / "runs")
        _wheels(content / "wheels", target)
        whole = Path(scratch) / "content.tar"
        with tarfile.open(whole, "w") as archive:
            for path in sorted(content.rglob("*")):
                archive.add(path, path.relative_to(content), recursive=False)
        parts = {path.name: store.file_digest(path) for path in _cut(whole, parts_folder)}
        index = {"profile": profile.name, "digest": store.file_digest(whole), "parts": parts}
        store.write_text(parts_folder / "parts.json", json.dumps(index, indent=1) + "\n")
        shutil.copyfile(Path(__file__).with_name("start.py"), parts_folder / "start.py")
    return [to / "start.py", to / "parts.json", *(to / name for name in parts)]


def needed(target: Target) -> dict[str, str]:
    """Return what has to go along: the versions that are installed here, by name, of what the target lacks.

    The requirements of gecalign are followed as far as they are carried: what the target has brings its own.
    """
    has = {canonicalize_name(name): version for name, version in (target.has or {}).items()}
    wanted: dict[str, SpecifierSet] = defaultdict(SpecifierSet)
    found: dict[str, str] = {}
    waiting = list(_requirements("gecalign", target))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in WITH_TORCH or name.startswith("nvidia-"):
            continue
        wanted[name] &= requirement.specifier
        there = has.get(name)
        fits = there is not None and wanted[name].contains(there, prereleases=True)
        if name in found or (fits and name not in target.carried):
            continue
        found[name] = importlib.metadata.version(name)
        waiting += _requirements(name, target)
    return dict(sorted(found.items()))


def _requirements(name: str, target: Target) -> Iterator[Requirement]:
    environment: dict[str, Any] = {**default_environment(), "python_version": target.python, "extra": ""}
    environment["python_full_version"] = f"{target.python}.0"
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def _package(to: Path) -> None:
    source = Path(__file__).parents[1]
    shutil.copytree(source, to / "gecalign", ignore=shutil.ignore_patterns("__pycache__"))
    with suppress(importlib.metadata.PackageNotFoundError):  # its version is known there, too
        version = importlib.metadata.version("gecalign")
        info = to / f"gecalign-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gecalign\nVersion: {version}\n", encoding="utf-8")


def _sources(profile: config.Profile, to: Path) -> None:
    """Copy the base model and the sentences as they lie here under `runs/`, or refuse where they are elsewhere."""
    if profile.model.name == smollm2.NAME:
        _copy(smollm2.fetch(), to / "fetched" / smollm2.path().name)
    elif profile.model.name != "tiny-base":
        raise ValueError(f"only {smollm2.NAME} and tiny-base can be packed, and model__name is {profile.model.name}.")
    if profile.data.source == jfleg.NAME:
        shutil.copytree(corpora.local_path(profile.data), to / "fetched" / jfleg.NAME / "splits")
    elif profile.data.source != "tinygec":
        raise ValueError(f"only {jfleg.NAME} and tinygec can be packed, and data__source is {profile.data.source}.")
    loading.local_folder(profile.model)  # that it can be read is known before it is carried


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _wheels(to: Path, target: Target) -> None:
    to.mkdir(parents=True)
    packages = needed(target)
    processes.say(f"{len(packages)} packages go along: {', '.join(packages)}")
    if not packages:
        return
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(to)]
    options += ["--python-version", target.python, "--platform", target.platform, "--platform", "any"]
    exact = [f"{name}=={version}" for name, version in packages.items()]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options, *exact], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
        raise ValueError(
            f"pip could not get all wheels for Python {target.python} on {target.platform} ({errors[0]}). Go "
            "online, or say what the target has (--freeze)."
        )


def _cut(whole: Path, to: Path) -> Iterator[Path]:
    with whole.open("rb") as file:
        number = 0
        while raw := file.read(PART):
            part = to / f"part-{number:02}"
            part.write_bytes(raw)
            number += 1
            yield part


def describe(parts: Collection[Path]) -> str:
    """Return what was packed, and what to do with it, in words."""
    megabytes = sum(path.stat().st_size for path in parts) / 2**20
    largest = max(path.stat().st_size for path in parts) / 2**20
    return (
        f"{len(parts)} files, {megabytes:.0f} MB, none above {largest:.0f} MB. Carry all of them into one folder "
        "there, and run: python start.py --minutes 8 --to OUT"
    )
