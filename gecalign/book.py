"""From text to site: `notebooks/NN-name.md` to executed notebooks to a static book.

Jupyter Book can execute notebooks itself, but its cache hashes the cells and not the library that they
import, so that a change of the library leaves stale results in the book. Here papermill executes every
chapter on every build (the library's stages are what is cached), and Jupyter Book renders with its execution
switched off.

A chapter that fails leaves nothing behind: it runs in a temporary folder, and only a whole, cleaned notebook
is moved to `book/chapters/`. The site is likewise built beside the old one and then takes its place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gecalign import bars, config
from gecalign.store import runs_folder

KERNELSPEC_HEADER = """\
kernelspec:
  display_name: Python 3
  language: python
  name: python3"""

TRACEBACK_LINES = 12  # of a failing cell: enough to see the call that failed, few enough to read in a terminal

# It has no `python -m` form, and the script beside the interpreter breaks when an environment is moved.
_JUPYTER_BOOK = (sys.executable, "-c", "from jupyter_book.cli.main import main; main()")
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


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
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise ValueError(
        f"expected a clone of gecalign (with _toc.yml and notebooks/) at or above {here}, and found none. "
        "Change into the clone and run the command again."
    )


def chapters(root: Path | None = None) -> list[Chapter]:
    """Every chapter of the book in reading order: 00-welcome, 01-task, ..., A1-tinygec."""
    root = root or project_root()
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


def check_parameters(notebook: Path, parameters: Mapping[str, Any], name: str) -> None:
    """Refuse a parameter that the chapter does not have; papermill itself would only mention it.

    Raises:
        ValueError: the message names the unknown parameters and those that exist.
    """
    known = sorted(papermill.inspect_notebook(str(notebook)))
    if not known:
        raise ValueError(f"chapter {name} has no cell tagged `parameters`; add one that sets PROFILE and SEED")
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"chapter {name} has no parameter {', '.join(unknown)}; it has: {', '.join(known)}.")


def execute(source: Path, parameters: Mapping[str, Any], output: Path, root: Path | None = None) -> None:
    """Run the text notebook `source` with `parameters` and write the cleaned, executed notebook to `output`.

    The kernel works in `root`. `output` appears when everything succeeded, and is untouched otherwise.

    Raises:
        ValueError: an unknown parameter, or a header that papermill cannot use.
        BookError: a cell failed, or the kernel died.
    """
    root = root or project_root()
    with tempfile.TemporaryDirectory(prefix="gecalign-book-") as folder:
        text, ran = Path(folder, "text.ipynb"), Path(folder, "ran.ipynb")
        nbformat.write(read(source), text)
        check_parameters(text, parameters, source.stem)
        _run(text, ran, parameters, source.stem, root)
        notebook = clean(nbformat.read(ran, as_version=4), root)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".part")
    nbformat.write(notebook, partial)
    os.replace(partial, output)


def _run(text: Path, ran: Path, parameters: Mapping[str, Any], name: str, root: Path) -> None:
    # A kernel named python3 that the user installed elsewhere must not win over this environment's own.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    try:
        papermill.execute_notebook(
            str(text),
            str(ran),
            parameters=dict(parameters),
            cwd=str(root),
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        raise BookError(_explain(error, name)) from None
    except DeadKernelError:
        raise BookError(
            f"chapter {name}: the Python process of the chapter died, most often because memory ran out. "
            "Close other programs or take a smaller profile, then run it again; finished stages are kept."
        ) from None


def _explain(error: PapermillExecutionError, name: str) -> str:
    traceback = _ANSI_COLOUR.sub("", "\n".join(error.traceback)).splitlines()
    return "\n".join(
        [
            f"chapter {name} failed in its code cell [{error.exec_count}]:",
            *(f"    {line}" for line in error.source.splitlines()),
            "",
            "the last lines of the traceback:",
            *(f"    {line}" for line in traceback[-TRACEBACK_LINES:]),
            "",
            f"Nothing of {name} was written; the chapters before it are kept.",
        ]
    )


# What an executed notebook must not carry into the book: see `clean`.
_NOTEBOOK_METADATA_KEPT = ("kernelspec", "language_info", "mystnb", "title", "description")
_CELL_METADATA_DROPPED = ("papermill", "execution", "ExecuteTime", "collapsed")
_WIDGET_MIME = "application/vnd.jupyter.widget"


def clean(notebook: NotebookNode, root: Path) -> NotebookNode:
    """The executed notebook without what differs from machine to machine or distracts a reader.

    Goes: standard error, timings, cell ids, widget state, absolute paths (`root`, the runs, the home folder).
    The cell that papermill injected is tagged `remove-cell`: the notebook says what it ran with, the page
    does not show it.
    """
    names = {runs_folder(): "runs", root: ".", Path.home(): "~"}
    notebook.metadata = NotebookNode({k: v for k, v in notebook.metadata.items() if k in _NOTEBOOK_METADATA_KEPT})
    notebook.nbformat_minor = 4  # the last version without cell ids, which are random
    for cell in notebook.cells:
        cell.pop("id", None)
        for key in _CELL_METADATA_DROPPED:
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")
        if cell.cell_type == "code":
            cell.outputs = [clean_output(output, names) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def clean_output(output: NotebookNode, names: Mapping[Path, str]) -> NotebookNode:
    """One output of a cell without widget state, and with `names` for the folders of this machine."""
    if "text" in output:
        output.text = shorten_paths(output.text, names)
    if "data" in output:
        data = {mime: value for mime, value in output.data.items() if not mime.startswith(_WIDGET_MIME)}
        output.data = NotebookNode(
            {m: shorten_paths(v, names) if m.startswith("text/") else v for m, v in data.items()}
        )
    return output


def shorten_paths(text: str, names: Mapping[Path, str]) -> str:
    """`text` with short names for folders; what lies in the folder called `.` becomes relative.

    >>> shorten_paths("saved to /home/me/gecalign/runs/tiny", {Path("/home/me/gecalign"): "."})
    'saved to runs/tiny'
    """
    for folder, name in names.items():
        if folder == Path(folder.anchor):  # the home folder of some containers is /
            continue
        path = rf"(?<![\w.-]){re.escape(str(folder))}"  # not where a longer name begins or ends alike
        if name == ".":
            text = re.sub(path + "/", "", text)
        text = re.sub(path + r"(?!\w|[.-]\w)", name, text)
    return text


def build(
    profile: str = "tiny",
    seed: int = 0,
    only: Sequence[str] = (),
    root: Path | None = None,
    console: Console | None = None,
) -> Path:
    """Execute every chapter (or those in `only`) on `profile` with `seed`, and build the site.

    Prints what is under way, how long each chapter took and where to open the book; returns its first page.

    Raises:
        ValueError, BookError: as `execute` and `build_site`; the chapters that were finished before stay.
    """
    config.profile(profile)  # an unknown name is an error here, not in the middle of a chapter
    root, console = root or project_root(), console or Console()
    everything = chapters(root)
    chosen = select(everything, only)
    _forget_removed(everything, root)
    with _timed(console, "the whole book"):
        for position, chapter in enumerate(chosen, start=1):
            with _timed(console, f"chapter {position} of {len(chosen)}: {chapter.name}"):
                execute(chapter.source, {"PROFILE": profile, "SEED": seed}, chapter.executed, root)
        with _timed(console, "the site"):
            page = build_site(root)
    console.print(f"\nOpen in a browser: {page.as_uri()}", soft_wrap=True, highlight=False)
    return page


def _forget_removed(everything: Sequence[Chapter], root: Path) -> None:
    """Remove executed notebooks whose text is gone, so that no page outlives its source."""
    current = {chapter.executed for chapter in everything}
    for executed in (root / "book" / "chapters").glob("*.ipynb"):
        if executed not in current:
            executed.unlink()


@contextmanager
def _timed(console: Console, label: str) -> Iterator[None]:
    """A spinner with a running clock on a terminal; everywhere, one line that says how long it took."""
    started, outcome = time.perf_counter(), "failed after"
    shown = bars.watched(console.file) and console.is_terminal
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
            progress.add_task(label, total=None)
            yield
        outcome = ""
    finally:
        console.print(f"{label:<40}{outcome}{time.perf_counter() - started:8.1f} s", highlight=False)


def build_site(root: Path | None = None) -> Path:
    """Render the executed chapters and the prose pages to `_build/html`, with warnings as errors.

    Returns the first page.

    Raises:
        BookError: with Sphinx's warnings, or the chapters that are missing; the old site stays.
    """
    root = root or project_root()
    missing = [chapter.name for chapter in chapters(root) if not chapter.executed.is_file()]
    if missing:
        raise BookError(f"chapters not executed yet: {', '.join(missing)}; build the whole book once: `make book`")
    fresh = root / "_build" / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    strict = (
        "-W",
        "-n",
        "--keep-going",
    )  # warnings are errors, dead references are warnings, all are reported
    command = [*_JUPYTER_BOOK, "build", str(root), "--path-output", str(fresh), *strict]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise BookError(_complaints(done.stdout.decode("utf-8", errors="replace")))
    return _take_place(fresh, root)


def _complaints(log: str) -> str:
    lines = _ANSI_COLOUR.sub("", log).splitlines()
    warnings = [line for line in lines if "WARNING" in line or "ERROR" in line]
    return "the site was not built; Jupyter Book says:\n" + "\n".join(warnings or lines[-40:])


def _take_place(fresh: Path, root: Path) -> Path:
    site_folder, old = root / "_build" / "html", root / "_build" / "old"
    shutil.rmtree(old, ignore_errors=True)
    if site_folder.exists():
        os.replace(site_folder, old)
    os.replace(fresh / "_build" / "html", site_folder)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(fresh, ignore_errors=True)
    return site(root)


def site(root: Path | None = None) -> Path:
    """The first page of the built site: open it in a browser, no server is needed."""
    return (root or project_root()) / "_build" / "html" / "index.html"
