"""The chapters as text: which there are, what each needs, and what decides how it comes out.

A chapter that was executed whole is not executed again while nothing that decides it has changed. Jupyter Book's own
cache hashes the cells and not the library that they import, so that a change of the library leaves stale results
in the book. The key here covers all that a chapter can see: its text, the parameters, every file of the library and
of `results/`, the versions of the packages, and the variables of the environment that change arithmetic. What a
chapter reads besides are products of the study, and these follow from the same things.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from gecalign.runtime import store

KERNELSPEC_HEADER = """\
kernelspec:
  display_name: Python 3
  language: python
  name: python3"""

ARITHMETIC = ("OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES")
PACKAGES = (*store.VERSIONED_PACKAGES, "matplotlib", "pandas", "peft", "rapidfuzz", "scipy")


class BookError(RuntimeError):
    """A chapter or the site could not be built; the message is written for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter: its name (`"02-sft"`), its text, and where its executed notebook goes."""

    name: str
    source: Path
    executed: Path


def project_root(start: Path | None = None) -> Path:
    """The clone that holds `_toc.yml` and `notebooks/`: here, above here, or where the package comes from.

    Raises:
        ValueError: there is none; the book is not part of the installed package.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise ValueError(
        f"expected a clone of gecalign (with _toc.yml and notebooks/) at or above {here}, and found none. "
        "Change into the clone and run the command again."
    )


def every(root: Path) -> list[Chapter]:
    """Every chapter of the book in reading order: 00-welcome, 01-task, ..., A1-tinygec."""
    sources = sorted((root / "notebooks").glob("*.md"))
    return [Chapter(s.stem, s, root / "book" / "chapters" / f"{s.stem}.ipynb") for s in sources]


def select(available: Sequence[Chapter], only: Sequence[str]) -> list[Chapter]:
    """The chapters named in `only`, by name ("02-sft") or number ("02"); all of them when `only` is empty."""
    chosen = []
    for wanted in only:
        found = [chapter for chapter in available if wanted in (chapter.name, chapter.name.split("-")[0])]
        if not found:
            raise ValueError(f"no chapter {wanted!r}; there are: {', '.join(c.name for c in available)}.")
        chosen += found
    return chosen or list(available)


def read(source: Path) -> NotebookNode:
    """A MyST text notebook as a notebook without outputs."""
    notebook = jupytext.read(source, fmt="md:myst")
    if not notebook.metadata.get("kernelspec", {}).get("language"):
        raise ValueError(
            f"{source} has no kernelspec with a language in its header, which papermill needs. Add:\n"
            f"{KERNELSPEC_HEADER}"
        )
    return notebook


def needs(source: Path, products: Sequence[str]) -> tuple[str, ...]:
    """The products of the study that a chapter asks for in its header, as `gecalign: {needs: [sft, dpo]}`.

    Raises:
        ValueError: one of them is not in `products`.
    """
    named = tuple(read(source).metadata.get("gecalign", {}).get("needs") or ())
    if unknown := [name for name in named if name not in products]:
        raise ValueError(f"{source} needs {', '.join(unknown)} by its header; products are: {', '.join(products)}.")
    return named


# ---- what decides a chapter


def surroundings(root: Path, parameters: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """All that decides how chapters come out, but for their text."""
    results = root / "results"
    return {
        "parameters": dict(parameters),
        "library": library_digest(Path(__file__).parents[1]),
        "results": store.file_digests(results) if results.is_dir() else {},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "environment": {name: environment.get(name) for name in ARITHMETIC},
    }


def library_digest(package: Path) -> str:
    """A digest of every file of the library, shipped data included; not of what Python compiles them to."""
    files = [path for path in sorted(package.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return store.digest_of({path.relative_to(package).as_posix(): store.file_digest(path) for path in files})


def key(chapter: Chapter, around: Mapping[str, Any]) -> str:
    """What tells whether a chapter would come out as before."""
    return store.digest_of({"text": store.file_digest(chapter.source), **around})


def record(executed: Path) -> Mapping[str, Any]:
    """What an executed notebook says about itself: `status` ("whole" or "failed"), and its `key` or the `reason`."""
    try:
        return json.loads(executed.read_text(encoding="utf-8")).get("metadata", {}).get("gecalign", {})
    except (OSError, ValueError, AttributeError):  # there is none, or it is no notebook
        return {}


def is_whole(chapter: Chapter) -> bool:
    """Whether the chapter was executed to its end, by whatever settings."""
    return record(chapter.executed).get("status") == "whole"


def is_kept(chapter: Chapter, wanted: str) -> bool:
    """Whether the chapter was executed to its end, and nothing has changed since that decides it."""
    found = record(chapter.executed)
    return found.get("status") == "whole" and found.get("key") == wanted


def write(notebook: NotebookNode, executed: Path, **about: str) -> None:
    """Write an executed notebook so that it is there whole or not at all, with what it says about itself."""
    notebook.metadata["gecalign"] = about
    executed.parent.mkdir(parents=True, exist_ok=True)
    partial = executed.with_name(executed.name + ".part")
    nbformat.write(notebook, partial)
    os.replace(partial, executed)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
