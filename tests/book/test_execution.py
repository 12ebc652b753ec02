"""One chapter executed: what is stripped, what is refused, what a failure leaves."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from small_book import KERNEL, chapter_text, write_chapter

from gecalign.book import chapters, execution

# --- Cleaning -------------------------------------------------------------------------------------


def dirty_notebook(root: Path) -> nbformat.NotebookNode:
    """As papermill leaves it: timings, ids, a progress bar on standard error, a widget, absolute paths."""
    outputs = [
        new_output("stream", name="stderr", text="100%|######| 8/8\n"),
        new_output("stream", name="stdout", text=f"saved to {root}/runs/smoke; cache in {Path.home()}/.cache\n"),
        new_output(
            "display_data",
            data={
                "text/plain": f"<Folder {root}>",
                "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
                "image/png": "aWNvbg==",
            },
        ),
    ]
    cell = new_code_cell("SEED = 1", outputs=outputs, execution_count=1)
    cell.metadata.update(tags=["injected-parameters"], execution={"iopub.execute_input": "2026-01-01"})
    cell.metadata["papermill"] = {"duration": 1.5}
    notebook = new_notebook(cells=[cell])
    notebook.metadata.update(papermill={"duration": 2.0}, widgets={"state": {}}, kernelspec=KERNEL)
    return notebook


def test_cleaning_leaves_nothing_that_differs_between_machines(tmp_path):
    text = nbformat.writes(execution.clean(dirty_notebook(tmp_path), tmp_path))
    for foreign in (str(tmp_path), str(Path.home()), "duration", "iopub", "widget", "8/8", '"id"'):
        assert foreign not in text
    assert "saved to runs/smoke; cache in ~/.cache" in text
    assert "<Folder .>" in text
    assert "aWNvbg==" in text


def test_a_cleaned_notebook_is_valid(tmp_path):
    nbformat.validate(execution.clean(dirty_notebook(tmp_path), tmp_path))


def test_the_injected_parameters_are_kept_in_the_notebook_and_hidden_on_the_page(tmp_path):
    cell = execution.clean(dirty_notebook(tmp_path), tmp_path).cells[0]
    assert cell.source == "SEED = 1"
    assert "remove-cell" in cell.metadata.tags


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("/clone/runs/a", "runs/a"),
        ("in /clone.", "in .."),
        ("in /clone, then", "in ., then"),
        ("file:///clone/a and '/clone/b'", "file://a and 'b'"),
        (
            "/clone2/runs, /clone.bak, /clone-2",
            "/clone2/runs, /clone.bak, /clone-2",
        ),  # names that begin alike
        ("/elsewhere/sft and /home/me/x", "runs/sft and ~/x"),
        ("no path at all", "no path at all"),
    ],
)
def test_folders_of_this_machine_get_short_names_and_others_stay(text, cleaned):
    names = {Path("/elsewhere"): "runs", Path("/clone"): ".", Path("/home/me"): "~", Path("/"): "root"}
    assert execution.shorten_paths(text, names) == cleaned


# --- Refusing -------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_named_together_with_those_that_exist(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)"))
    with pytest.raises(ValueError, match=r"00-good has no parameter SEEED; it has: PROFILE, SEED"):
        execution.execute(chapter.source, {"SEEED": 1}, chapter.executed, clone)
    assert not chapter.executed.exists()


def test_a_chapter_without_parameters_is_refused(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)", parameters=""))
    with pytest.raises(ValueError, match="no cell tagged `parameters`"):
        execution.execute(chapter.source, {"SEED": 1}, chapter.executed, clone)


def test_a_chapter_without_kernelspec_is_refused_with_the_lines_to_add(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)", header=""))
    with pytest.raises(ValueError, match=r"language: python"):
        execution.execute(chapter.source, {"SEED": 1}, chapter.executed, clone)


# --- Failing --------------------------------------------------------------------------------------

BAD = "answer = 1\nanswer / (SEED - 7)\n```\n\n```{code-cell} ipython3\nprint('after')"


@pytest.fixture
def failed(clone):
    """A chapter that failed in its last cell but one, and what was said."""
    chapter = write_chapter(clone, "01-bad", chapter_text(BAD))
    with pytest.raises(chapters.BookError) as error:
        execution.execute(chapter.source, {"SEED": 7}, chapter.executed, clone)
    return chapter, str(error.value)


def test_a_failed_chapter_keeps_what_ran_and_the_error_in_its_place(failed):
    chapter, _ = failed
    text = nbformat.read(chapter.executed, as_version=4)
    nbformat.validate(text)
    *_, bad, after = [cell for cell in text.cells if cell.cell_type == "code"]
    assert [output.output_type for output in bad.outputs] == ["error"]
    assert bad.outputs[0].evalue == "division by zero"
    assert not after.outputs
    whole = nbformat.writes(text)
    assert "\\u001b" not in whole
    assert str(chapter.source.parents[1]) not in whole
    assert "papermill" not in whole


def test_a_failed_chapter_says_so_below_its_title_and_in_its_metadata(failed):
    chapter, message = failed
    first = nbformat.read(chapter.executed, as_version=4).cells[0].source
    assert first.startswith("# A chapter\n\n::::::{admonition}")
    assert ":class: error" in first
    reason = "chapter 01-bad failed in its code cell [3]: ZeroDivisionError: division by zero"
    assert reason in first
    assert chapters.record(chapter.executed) == {"status": "failed", "reason": reason}
    assert not chapters.is_whole(chapter)
    assert message.startswith(reason)


def test_a_failure_names_chapter_cell_and_cause(failed):
    message = failed[1]
    assert "chapter 01-bad failed in its code cell [3]" in message
    assert "answer / (SEED - 7)" in message
    assert "ZeroDivisionError: division by zero" in message
    assert "\x1b[" not in message  # no terminal colours in a message that may go to a file


def test_a_kernel_that_dies_is_a_failure_that_says_where(clone):
    code = "print('before')\n```\n\n```{code-cell} ipython3\nimport os\n\nos._exit(9)"
    chapter = write_chapter(clone, "01-bad", chapter_text(code))
    with pytest.raises(chapters.BookError, match=r"code cell \[4\]: the Python process of the chapter died"):
        execution.execute(chapter.source, {"SEED": 7}, chapter.executed, clone)
    cells = nbformat.read(chapter.executed, as_version=4).cells
    assert "died" in cells[0].source
    assert [o.text for cell in cells for o in cell.get("outputs", [])] == ["before\n"]


def test_only_the_end_of_a_long_traceback_is_kept_without_colours_or_folders(tmp_path):
    lines = [f"\x1b[31mline {i}\x1b[39m of {tmp_path}/file.py" for i in range(50)]
    cell = new_code_cell("x", outputs=[new_output("error", ename="E", evalue=f"in {tmp_path}", traceback=lines)])
    (output,) = execution.clean(new_notebook(cells=[cell]), tmp_path).cells[0].outputs
    assert output.evalue == "in ."
    assert output.traceback == [f"line {i} of file.py" for i in range(50 - execution.TRACEBACK_LINES, 50)]


def test_a_box_stands_below_the_title_or_first_where_there_is_none():
    titled = new_notebook(cells=[new_markdown_cell("(label)=\n# Title\n\ntext")])
    assert execution.with_box(titled, "T", "words").cells[0].source.startswith("(label)=\n# Title\n\n::::::{admon")
    plain = new_notebook(cells=[new_code_cell("1")])
    assert execution.with_box(plain, "T", "words").cells[0].source.startswith("::::::{admonition} T")


def test_a_chapter_that_went_well_is_whole_and_has_its_key(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(SEED)"))
    execution.execute(chapter.source, {"SEED": 7}, chapter.executed, clone, "the-key")
    assert chapters.record(chapter.executed) == {"status": "whole", "key": "the-key"}
    assert chapters.is_kept(chapter, "the-key")
    assert not chapters.is_kept(chapter, "another")
