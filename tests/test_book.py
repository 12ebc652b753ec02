"""The runner from text notebooks to the site: what it strips, what it refuses, what a failure leaves."""

from __future__ import annotations

import io
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import PROJECT, copy_book_sources
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from rich.console import Console

from gecalign import book

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
HEADER = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
PARAMETERS = """
```{code-cell} ipython3
:tags: [parameters]

PROFILE = "tiny"
SEED = 0
```
"""


def chapter_text(code: str, header: str = HEADER, parameters: str = PARAMETERS) -> str:
    return f"{header}\n# A chapter\n{parameters}\n```{{code-cell}} ipython3\n{code}\n```\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks like a clone, without chapters."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapters/00-good\n")
    return tmp_path


def write_chapter(clone: Path, name: str, text: str) -> book.Chapter:
    (clone / "notebooks" / f"{name}.md").write_text(text, encoding="utf-8")
    return next(chapter for chapter in book.chapters(clone) if chapter.name == name)


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
    text = nbformat.writes(book.clean(dirty_notebook(tmp_path), tmp_path))
    for foreign in (str(tmp_path), str(Path.home()), "duration", "iopub", "widget", "8/8", '"id"'):
        assert foreign not in text
    assert "saved to runs/smoke; cache in ~/.cache" in text
    assert "<Folder .>" in text
    assert "aWNvbg==" in text


def test_a_cleaned_notebook_is_valid(tmp_path):
    nbformat.validate(book.clean(dirty_notebook(tmp_path), tmp_path))


def test_the_injected_parameters_are_kept_in_the_notebook_and_hidden_on_the_page(tmp_path):
    cell = book.clean(dirty_notebook(tmp_path), tmp_path).cells[0]
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
    assert book.shorten_paths(text, names) == cleaned


# --- Refusing -------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_named_together_with_those_that_exist(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)"))
    with pytest.raises(ValueError, match=r"00-good has no parameter SEEED; it has: PROFILE, SEED"):
        book.execute(chapter.source, {"SEEED": 1}, chapter.executed, clone)
    assert not chapter.executed.exists()


def test_a_chapter_without_parameters_is_refused(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)", parameters=""))
    with pytest.raises(ValueError, match="no cell tagged `parameters`"):
        book.execute(chapter.source, {"SEED": 1}, chapter.executed, clone)


def test_a_chapter_without_kernelspec_is_refused_with_the_lines_to_add(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)", header=""))
    with pytest.raises(ValueError, match=r"language: python"):
        book.execute(chapter.source, {"SEED": 1}, chapter.executed, clone)


def test_an_unknown_profile_is_refused_before_anything_runs(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)"))
    with pytest.raises(ValueError, match="unknown profile 'tinny'"):
        book.build("tinny", root=clone)
    assert not chapter.executed.exists()


def test_chapters_are_selected_by_name_or_number(clone):
    for name in ("00-good", "01-task", "A1-tinygec"):
        write_chapter(clone, name, chapter_text("print(1)"))
    available = book.chapters(clone)
    assert [c.name for c in available] == ["00-good", "01-task", "A1-tinygec"]
    assert [c.name for c in book.select(available, ["A1", "01-task"])] == ["A1-tinygec", "01-task"]
    assert book.select(available, []) == available
    with pytest.raises(ValueError, match="no chapter '02'; there are: 00-good, 01-task, A1-tinygec"):
        book.select(available, ["02"])


def test_outside_a_clone_the_error_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "__file__", str(tmp_path / "site-packages" / "gecalign" / "book.py"))
    with pytest.raises(ValueError, match="Change into the clone"):
        book.project_root(tmp_path)


def test_the_project_is_found_from_a_folder_inside_it(clone):
    assert book.project_root(clone / "notebooks") == clone


# --- Failing --------------------------------------------------------------------------------------


@pytest.fixture
def failed(clone):
    """A book whose second chapter fails, after both were once fine; and what was said."""
    good = write_chapter(clone, "00-good", chapter_text("print(SEED)"))
    bad = write_chapter(clone, "01-bad", chapter_text("answer = 1\nanswer / (SEED - 7)"))
    book.execute(bad.source, {"SEED": 1}, bad.executed, clone)
    before = bad.executed.read_bytes()
    said = io.StringIO()
    with pytest.raises(book.BookError) as error:
        book.build("smoke", 7, root=clone, console=Console(file=said, width=120))
    return good, bad, before, str(error.value), said.getvalue()


def test_a_failing_chapter_leaves_no_trace_and_the_others_intact(failed):
    good, bad, before, _, said = failed
    assert [cell.outputs[0].text for cell in nbformat.read(good.executed, 4).cells if cell.get("outputs")] == ["7\n"]
    assert bad.executed.read_bytes() == before
    assert sorted(p.name for p in bad.executed.parent.iterdir()) == ["00-good.ipynb", "01-bad.ipynb"]
    assert "01-bad" in said
    assert "failed after" in said


def test_a_failure_names_chapter_cell_and_cause(failed):
    message = failed[3]
    assert "chapter 01-bad failed in its code cell [3]" in message
    assert "answer / (SEED - 7)" in message
    assert "ZeroDivisionError: division by zero" in message
    assert "\x1b[" not in message  # no terminal colours in a message that may go to a file


def test_a_page_does_not_outlive_its_source(clone):
    write_chapter(clone, "00-good", chapter_text("1 / 0"))
    stale = clone / "book" / "chapters" / "09-gone.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    with pytest.raises(book.BookError):
        book.build("smoke", root=clone)
    assert not stale.exists()


def test_the_site_wants_every_chapter(clone):
    write_chapter(clone, "00-good", chapter_text("print(1)"))
    with pytest.raises(book.BookError, match="not executed yet: 00-good"):
        book.build_site(clone)


@pytest.fixture
def small_site(clone):
    """A book of two prose pages, and a site that an earlier build left."""
    copy_book_sources(clone / "source")
    for name in ("_config.yml", "book"):
        (clone / "source" / name).rename(clone / name)
    pages = "parts: [{caption: Pages, chapters: [{file: book/bibliography}]}]"
    (clone / "_toc.yml").write_text(f"format: jb-book\nroot: book/glossary\n{pages}\n")
    book.site(clone).parent.mkdir(parents=True)
    book.site(clone).write_text("the old site")
    return clone


@pytest.mark.slow
def test_a_warning_fails_the_site_and_leaves_the_old_one(small_site):
    with (small_site / "book" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\nSee {ref}`nowhere-at-all`.\n")
    with pytest.raises(book.BookError, match=r"glossary\.md:\d+: WARNING.*nowhere-at-all"):
        book.build_site(small_site)
    assert book.site(small_site).read_text() == "the old site"


@pytest.mark.slow
def test_a_built_site_takes_the_place_of_the_old_one(small_site):
    assert "the old site" not in book.build_site(small_site).read_text()
    assert sorted(p.name for p in (small_site / "_build").iterdir()) == ["html"]


REPOSITORY_BUTTONS = ("repository", "issues", "edit")


def buttons(page: Path) -> dict[str, str]:
    """Return where the buttons lead that need a repository."""
    parsed = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    found = {name: parsed.find("a", class_=f"btn-source-{name}-button") for name in REPOSITORY_BUTTONS}
    return {name: link["href"] for name, link in found.items() if link}


@pytest.mark.slow
def test_without_a_repository_no_button_leads_to_one(small_site):
    set_repository(small_site, "")
    assert buttons(book.build_site(small_site).with_name("book") / "glossary.html") == {}


@pytest.mark.slow
def test_with_a_repository_its_buttons_lead_there(small_site):
    executed = small_site / "book" / "chapters" / "02-sft.ipynb"
    executed.parent.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A chapter")], metadata={"kernelspec": KERNEL}), executed)
    with (small_site / "_toc.yml").open("a", encoding="utf-8") as toc:
        toc.write("- {caption: Chapters, chapters: [{file: book/chapters/02-sft}]}\n")
    set_repository(small_site, "https://github.com/somebody/gecalign/")
    site = book.build_site(small_site).parent
    page, chapter = buttons(site / "book" / "bibliography.html"), buttons(site / "book" / "chapters" / "02-sft.html")
    assert page["repository"] == "https://github.com/somebody/gecalign"
    assert page["issues"].startswith("https://github.com/somebody/gecalign/issues/new?")
    assert page["edit"] == "https://github.com/somebody/gecalign/edit/main/book/bibliography.md"
    assert chapter["edit"] == "https://github.com/somebody/gecalign/edit/main/notebooks/02-sft.md"  # not what is built


@pytest.mark.slow
def test_a_repository_that_no_button_can_lead_to_is_refused(small_site):
    set_repository(small_site, "git@example.org:gecalign")
    with pytest.raises(book.BookError, match=r"repository\.url in _config\.yml is 'git@example\.org:gecalign'"):
        book.build_site(small_site)


def set_repository(root: Path, address: str) -> None:
    text = (root / "_config.yml").read_text(encoding="utf-8")
    (root / "_config.yml").write_text(re.sub(r"(?m)^  url:.*$", f'  url: "{address}"', text), encoding="utf-8")


# --- The book itself ------------------------------------------------------------------------------


def toc_files() -> list[str]:
    toc = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def test_every_chapter_stands_in_the_table_of_contents_once():
    listed = [Path(f).name for f in toc_files() if f.startswith("book/chapters/")]
    assert sorted(listed) == [chapter.name for chapter in book.chapters(PROJECT)]


def test_a_chapter_has_the_number_that_the_navigation_gives_it():
    toc = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [entry["file"] for part in toc["parts"] if part.get("numbered") for entry in part["chapters"]]
    names = [Path(file).name for file in numbered]
    assert [name.split("-")[0] for name in names] == [f"{number:02}" for number in range(1, len(names) + 1)]
    unnumbered = {Path(file).name for file in toc_files()} - {*names, Path(toc["root"]).name}
    assert not [name for name in unnumbered if name[0].isdigit()]


def test_no_other_address_of_the_repository_is_told_than_the_one_in_the_settings():
    told = yaml.safe_load((PROJECT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"] or ""
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {citation[key] for key in ("repository-code", "url") if key in citation} <= {told}
    pages = [page for folder in ("", "book", "notebooks") for page in (PROJECT / folder).glob("*.md")]
    for page in (PROJECT / "pyproject.toml", *pages):
        found = re.findall(r"https://git(?:hub|lab)\.com/[\w.-]+/gecalign\b", page.read_text(encoding="utf-8"))
        assert set(found) <= {told}, page


def test_every_module_is_documented_on_the_page_of_the_library():
    page = (PROJECT / "book" / "api.md").read_text(encoding="utf-8")
    modules = [f"gecalign.{path.stem}" for path in PROJECT.glob("gecalign/*.py") if not path.stem.startswith("_")]
    missing = [module for module in modules if f"automodule:: {module}\n" not in page]
    assert not missing
