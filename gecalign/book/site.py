"""From executed chapters and prose pages to a static site, which opens from a file.

Jupyter Book renders a copy of what the book is made of, in which chapters that have not been executed stand as text,
under a box that says so. A site takes the place of an older one when it is whole.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from gecalign.book import chapters, execution, tasks
from gecalign.book.chapters import BookError

# It has no `python -m` form, and the script beside the interpreter breaks when an environment is moved.
_JUPYTER_BOOK = (sys.executable, "-c", "from jupyter_book.cli.main import main; main()")
_STRICT = ("-W", "-n", "--keep-going")  # warnings are errors, dead references are warnings, all are reported

RUNNING = ("This chapter is still being run", "Come back in a few minutes and reload the page.")
NOT_RUN = ("This chapter has not been run yet", "What stands below is its text. `make book` runs it.")


def render(root: Path, *, strict: bool = True) -> Path:
    """Render what there is, with boxes for what there is not, and return the first page.

    Args:
        strict: whether warnings are errors; where chapters are not whole, some of what they show is missing.

    Raises:
        BookError: with Sphinx's warnings; the old site stays.
    """
    boxes = {chapter.name: NOT_RUN for chapter in chapters.every(root) if not chapter.executed.is_file()}
    folder = prepare(root, "fresh", boxes)
    process = start(folder, strict, subprocess.PIPE)
    try:
        log, _ = process.communicate()
    except BaseException:
        tasks.stop([process])
        raise
    if process.returncode:
        raise BookError(_complaints(log.decode("utf-8", errors="replace"), folder))
    return take_place(folder, root)


def prepare(root: Path, name: str, boxes: Mapping[str, tuple[str, str]]) -> Path:
    """Copy what the book is made of to `_build/NAME`, and return that folder.

    Args:
        boxes: title and words of a box, by the name of a chapter that is to be shown as text under it.
    """
    folder = root / "_build" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "book", folder / "book", ignore=shutil.ignore_patterns("__pycache__", "*.part"))
    for file in ("_config.yml", "_toc.yml"):
        shutil.copy(root / file, folder)
    for chapter in chapters.every(root):
        if chapter.name in boxes:
            page = execution.with_box(execution.unrun(chapter.source, root), *boxes[chapter.name], kind="warning")
            chapters.write(page, folder / chapter.executed.relative_to(root), status="draft")
    return folder


def start(folder: Path, strict: bool, output: int | IO[Any]) -> subprocess.Popen[bytes]:
    """Let Jupyter Book begin with a prepared folder, in a process of its own."""
    command = [*_JUPYTER_BOOK, "build", str(folder), *(_STRICT if strict else ())]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=tasks.environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def take_place(folder: Path, root: Path) -> Path:
    """Put the site that was built in a prepared folder in the place of the old one; return its first page."""
    site_folder, old = root / "_build" / "html", root / "_build" / "old"
    shutil.rmtree(old, ignore_errors=True)
    if site_folder.exists():
        os.replace(site_folder, old)
    os.replace(folder / "_build" / "html", site_folder)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    return first_page(root)


def first_page(root: Path) -> Path:
    """The first page of the built site: open it in a browser, no server is needed."""
    return root / "_build" / "html" / "index.html"


def _complaints(log: str, folder: Path) -> str:
    lines = execution.ANSI.sub("", log).replace(f"{folder}/", "").splitlines()
    warnings = [line for line in lines if "WARNING" in line or "ERROR" in line]
    return "the site was not built; Jupyter Book says:\n" + "\n".join(warnings or lines[-40:])
