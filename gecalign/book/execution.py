"""One chapter executed by papermill: cleaned where it went well, and with a box at its top where it did not.

A chapter that fails keeps the cells that ran and the error in its place, so that its page says what happened. Its
notebook says in its metadata that it is not whole, so that no later build takes it for finished.
"""

from __future__ import annotations

import os
import re
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from gecalign.book import chapters
from gecalign.book.chapters import BookError
from gecalign.runtime.store import runs_folder

TRACEBACK_LINES = 12  # of a failing cell: enough to see the call that failed, few enough to read in a terminal
OTHERS = "Every other chapter without a box like this one is whole."
DIED = "the Python process of the chapter died, most often because memory ran out."

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def execute(source: Path, parameters: Mapping[str, Any], output: Path, root: Path, key: str = "") -> None:
    """Run the text notebook `source` with `parameters` and write the cleaned, executed notebook to `output`.

    The kernel works in `root`. Where a cell fails, `output` gets what ran until there, under a box that says so.

    Args:
        key: what the notebook is found by later, see `chapters.key`.

    Raises:
        ValueError: an unknown parameter, or a header that papermill cannot use; nothing was written.
        BookError: a cell failed, or the kernel died; the first line of the message is the reason.
    """
    with tempfile.TemporaryDirectory(prefix="book-") as folder:
        text, ran = Path(folder, "text.ipynb"), Path(folder, "ran.ipynb")
        nbformat.write(chapters.read(source), text)
        check_parameters(text, parameters, source.stem)
        try:
            _run(text, ran, parameters, source.stem, root)
        except BookError as error:
            left = nbformat.read(ran if ran.is_file() else text, as_version=4)
            write_failed(clean(left, root), output, str(error).splitlines()[0])
            raise
        chapters.write(clean(nbformat.read(ran, as_version=4), root), output, status="whole", key=key)


def check_parameters(notebook: Path, parameters: Mapping[str, Any], name: str) -> None:
    """Refuse a parameter that the chapter does not have; papermill itself would only mention it.

    Raises:
        ValueError: the message names the unknown parameters and those that exist.
    """
    import papermill

    known = sorted(papermill.inspect_notebook(str(notebook)))
    if not known:
        raise ValueError(f"chapter {name} has no cell tagged `parameters`; add one that sets PROFILE and SEED")
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"chapter {name} has no parameter {', '.join(unknown)}; it has: {', '.join(known)}.")


def _run(text: Path, ran: Path, parameters: Mapping[str, Any], name: str, root: Path) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

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
            **({"kernel_manager_class": _with_sockets_in(ran.parent)} if os.name == "posix" else {}),
        )
    except PapermillExecutionError as error:
        raise BookError(_explain(error, name, root)) from None
    except DeadKernelError:
        raise BookError(
            f"chapter {name} failed in its code cell [{_reached(ran)}]: {DIED}\n"
            "Close other programs or take a smaller profile, then run it again; finished stages are kept."
        ) from None


def _with_sockets_in(folder: Path) -> type:
    """Return a kernel manager whose kernels are reached by files in a folder.

    Ports are chosen before a kernel takes them: of two that start at the same time, one may take the other's. (The
    names are short because systems limit the length of such a file's path, macOS to 103 bytes.)
    """
    import traitlets
    from jupyter_client.manager import AsyncKernelManager

    class InFolder(AsyncKernelManager):
        @traitlets.default("transport")
        def _files(self) -> str:
            return "ipc"

        @traitlets.default("connection_file")
        def _in_folder(self) -> str:
            return str(folder / "k.json")

    return InFolder


def _explain(error: Any, name: str, root: Path) -> str:
    traceback = _plain("\n".join(error.traceback), _folders(root)).splitlines()
    cause = _plain(f"{error.ename}: {error.evalue}", _folders(root)).splitlines()[0]
    return "\n".join(
        [
            f"chapter {name} failed in its code cell [{error.exec_count}]: {cause}",
            *(f"    {line}" for line in error.source.splitlines()),
            "",
            "the last lines of the traceback:",
            *(f"    {line}" for line in traceback[-TRACEBACK_LINES:]),
        ]
    )


def _reached(ran: Path) -> int:
    """The number of the cell in which a kernel died, by the times that papermill notes where a cell begins."""
    cells = nbformat.read(ran, as_version=4).cells if ran.is_file() else []
    code = [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]
    return max(1, len([cell for cell in code if cell.metadata.get("papermill", {}).get("start_time")]))


# ---- a page that says what is missing


def write_failed(notebook: NotebookNode, output: Path, reason: str) -> None:
    """Write what there is of a chapter that failed, under a box with the reason."""
    words = f"What was not run has no output below. {OTHERS} The next `make book` tries this one again."
    boxed = with_box(notebook, "This chapter could not be run to its end", words, reason, "error")
    chapters.write(boxed, output, status="failed", reason=reason)


def unrun(source: Path, root: Path) -> NotebookNode:
    """A chapter's text as a notebook that a page can be made of, without outputs."""
    return clean(chapters.read(source), root)


def with_box(notebook: NotebookNode, title: str, words: str, literal: str = "", kind: str = "note") -> NotebookNode:
    """The notebook with a box below its title.

    Args:
        literal: a text of others, which is shown as it is.
    """
    fence = "`" * 8  # longer than any in a message
    shown = f"\n{fence}text\n{literal}\n{fence}\n" if literal else ""
    box = f"::::::{{admonition}} {title}\n:class: {kind}\n\n{words}\n{shown}::::::\n"
    first = notebook.cells[0] if notebook.cells else None
    heading = re.search(r"^# .*$", first.source, re.MULTILINE) if first and first.cell_type == "markdown" else None
    if first and heading:
        first.source = f"{first.source[: heading.end()]}\n\n{box}{first.source[heading.end() :]}"
    else:
        cell = new_markdown_cell(box)
        cell.pop("id", None)
        notebook.cells.insert(0, cell)
    return notebook


# ---- what an executed notebook must not carry into the book

_NOTEBOOK_METADATA_KEPT = ("kernelspec", "language_info", "mystnb", "title", "description")
_CELL_METADATA_DROPPED = ("papermill", "execution", "ExecuteTime", "collapsed")
_WIDGET_MIME = "application/vnd.jupyter.widget"
_ERROR_MARK = "papermill-error-cell-tag"  # cells that papermill adds where one failed; the box says it better


def clean(notebook: NotebookNode, root: Path) -> NotebookNode:
    """The executed notebook without what differs from machine to machine or distracts a reader.

    Goes: standard error, timings, cell ids, widget state, absolute paths (`root`, the runs, the home folder), all but
    the end of a traceback. The cell that papermill injected is tagged `remove-cell`: the notebook says what it ran
    with, the page does not show it.
    """
    names = _folders(root)
    notebook.metadata = NotebookNode({k: v for k, v in notebook.metadata.items() if k in _NOTEBOOK_METADATA_KEPT})
    notebook.nbformat_minor = 4  # the last version without cell ids, which are random
    notebook.cells = [cell for cell in notebook.cells if _ERROR_MARK not in cell.metadata.get("tags", [])]
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
    if output.output_type == "error":
        output.ename, output.evalue = (_plain(text, names) for text in (output.ename, output.evalue))
        output.traceback = _plain("\n".join(output.traceback), names).splitlines()[-TRACEBACK_LINES:]
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


def _plain(text: str, names: Mapping[Path, str]) -> str:
    return shorten_paths(ANSI.sub("", text), names)


def _folders(root: Path) -> dict[Path, str]:
    """Short names for the folders of this machine; those inside others come first."""
    inside = {Path(sysconfig.get_path("purelib")): "site-packages", Path(sysconfig.get_path("stdlib")): "python"}
    library = Path(__file__).resolve().parents[2]
    return {**inside, runs_folder(): "runs", root: ".", library: ".", Path.home(): "~"}
