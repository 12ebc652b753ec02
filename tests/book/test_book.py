"""The build as a whole: what is run and what is kept, what a failure costs, what an interruption leaves."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from project import PROJECT
from rich.console import Console
from small_book import chapter_text, counting, needing, ran, with_site, write_chapter

from gecalign.book import builder, chapters, execution, planning, site, tasks
from gecalign.study import Study


@pytest.fixture
def rendered(clone, monkeypatch):
    """No site is built; this says for each that would have been whether it was strict."""
    seen: list[bool] = []

    def render(root: Path, *, strict: bool) -> Path:
        seen.append(strict)
        return site.first_page(root)

    monkeypatch.setattr(site, "render", render)
    monkeypatch.setattr(builder, "_first_site", lambda *_: (step for step in ()))
    return seen


def build(clone: Path, **options) -> str:
    """Build a book of small chapters; return what was printed."""
    said = io.StringIO()
    request = planning.Request(**{"profile": "smoke", "jobs": 1, **options})
    try:
        builder.build(request, clone, Console(file=said, width=160))
    finally:
        printed = said.getvalue()
    return printed


# --- What is run, and what is kept ----------------------------------------------------------------


def test_an_unknown_profile_is_refused_before_anything_runs(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)"))
    with pytest.raises(ValueError, match="unknown profile 'tinny'"):
        builder.build(planning.Request("tinny"), clone)
    assert not chapter.executed.exists()


def test_a_chapter_is_run_once_and_again_only_when_something_changed(clone, rendered):
    for name in ("00-good", "01-other"):
        write_chapter(clone, name, counting(clone, name))
    first = build(clone)
    assert ran(clone) == ["00-good", "01-other"]
    assert "2 chapters: 2 to run, 0 kept" in first
    assert re.search(r"^chapter 00-good +\d+\.\d s$", first, re.MULTILINE)
    assert "2 chapters: 0 to run, 2 kept" in build(clone)
    assert ran(clone) == []
    write_chapter(clone, "01-other", counting(clone, "01-other", "print(2)"))
    build(clone)
    assert ran(clone) == ["01-other"]
    assert rendered == [True, True, True]


def test_again_runs_what_nothing_has_changed_for(clone, rendered):
    write_chapter(clone, "00-good", counting(clone, "00-good"))
    build(clone)
    build(clone, again=True)
    assert ran(clone) == ["00-good", "00-good"]


def test_another_seed_runs_chapters_again(clone, rendered):
    write_chapter(clone, "00-good", counting(clone, "00-good"))
    build(clone)
    build(clone, seed=1)
    assert ran(clone) == ["00-good", "00-good"]


def test_one_chapter_alone_leaves_the_others_and_says_so(clone, rendered):
    for name in ("00-good", "01-other"):
        write_chapter(clone, name, counting(clone, name))
    assert "Not run yet: 00-good." in build(clone, only=["01"])
    assert ran(clone) == ["01-other"]
    assert rendered == [False]


def test_a_page_does_not_outlive_its_source(clone, rendered):
    write_chapter(clone, "00-good", chapter_text("1"))
    stale = clone / "book" / "chapters" / "09-gone.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    build(clone)
    assert not stale.exists()


def test_products_that_no_chapter_to_run_needs_are_not_made(clone):
    write_chapter(clone, "00-good", chapter_text("1", needing("dpo")))
    write_chapter(clone, "01-other", chapter_text("1", needing("base")))
    study = Study("smoke", 0, clone / "runs")
    plan = planning.make_plan(clone, study, planning.Request(only=["00"], jobs=1))
    made = ["product data", "product sft", "product pairs", "product dpo"]
    assert [task.label for task in plan.tasks] == [*made, "chapter 00-good"]
    assert plan.tasks[-1].needs == ("product dpo",)


def test_a_product_that_is_there_is_not_made_again(clone):
    write_chapter(clone, "00-good", chapter_text("1", needing("data")))
    study = Study("smoke", 0, clone / "runs")
    study.folder.mkdir(parents=True)
    study.corpus  # noqa: B018 - made by asking for it
    plan = planning.make_plan(clone, Study("smoke", 0, clone / "runs"), planning.Request(jobs=1))
    assert [task.label for task in plan.tasks] == ["chapter 00-good"]
    assert plan.made == 1


@pytest.mark.parametrize("committed", [False, True])
def test_a_study_of_several_seeds_is_made_only_where_none_is_committed(clone, committed):
    write_chapter(clone, "00-good", chapter_text("1", needing("study")))
    if committed:
        (clone / "results" / "smoke").mkdir(parents=True)
    plan = planning.make_plan(clone, Study("smoke", 0, clone / "runs"), planning.Request(jobs=1))
    made = [] if committed else ["product data", "product study"]
    assert [task.label for task in plan.tasks] == [*made, "chapter 00-good"]
    assert plan.tasks[-1].needs == (() if committed else ("product study",))


@pytest.mark.parametrize(
    ("variable", "asked", "found"),
    [(None, 1, (1, "8")), (None, 4, (4, "2")), (None, None, (4, "2")), ("4", None, (2, "4")), ("16", None, (1, "16"))],
)
def test_tasks_share_the_cores(monkeypatch, variable, asked, found):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert planning.side_by_side(asked, gpu=False) == found


def test_a_gpu_takes_one_task_at_a_time_unless_told_otherwise():
    assert planning.side_by_side(None, gpu=True)[0] == 1
    assert planning.side_by_side(3, gpu=True)[0] == 3
    with pytest.raises(ValueError, match="--jobs is 0; expected at least 1"):
        planning.side_by_side(0, gpu=True)


@pytest.mark.parametrize("gpu", [False, True])
def test_whether_there_is_a_gpu_is_asked_only_where_something_is_to_be_run(clone, monkeypatch, gpu):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    asked = []
    monkeypatch.setattr(planning, "_has_gpu", lambda: asked.append(1) or gpu)
    chapter = write_chapter(clone, "00-good", chapter_text("1"))
    study = Study("smoke", 0, clone / "runs")
    plan = planning.make_plan(clone, study, planning.Request())
    assert (plan.jobs, plan.threads) == ((1, "4") if gpu else (4, "1"))
    assert asked
    asked.clear()
    executed = execution.unrun(chapter.source, clone)
    chapters.write(executed, chapter.executed, status="whole", key=json.loads(plan.tasks[0].work)["key"])
    assert planning.make_plan(clone, study, planning.Request()).tasks == ()
    assert not asked


NOTHING_TO_RUN = """
import sys
from pathlib import Path
from gecalign.book import builder, planning, site
site.render = lambda root, strict: site.first_page(root)
builder.build(planning.Request("smoke"), Path(sys.argv[1]))
assert "torch" not in sys.modules
"""


def test_a_build_with_nothing_to_run_does_not_import_torch(clone):
    write_chapter(clone, "00-good", chapter_text("1"))
    command = [sys.executable, "-c", NOTHING_TO_RUN, str(clone)]
    first, second = (subprocess.run(command, env=tasks.environment(), capture_output=True, text=True) for _ in "12")
    assert "1 to run" in first.stdout
    assert "AssertionError" in first.stderr  # where there is something, torch is asked for a GPU
    assert "1 kept" in second.stdout
    assert second.returncode == 0, second.stderr


def test_where_the_site_fails_too_the_chapters_that_failed_are_named_all_the_same(clone, rendered, monkeypatch):
    def render(*_, **__):
        raise builder.BookError("the site was not built")

    write_chapter(clone, "00-good", chapter_text("1 / 0"))
    monkeypatch.setattr(site, "render", render)
    with pytest.raises(builder.BookError, match=r"(?s)ZeroDivisionError.*the site was not built"):
        build(clone)


# --- What a failure costs -------------------------------------------------------------------------


def test_a_failed_chapter_costs_only_itself_and_is_alone_run_again(clone, rendered):
    for name, code in (("00-good", ""), ("01-bad", "1 / 0"), ("02-good", "")):
        write_chapter(clone, name, counting(clone, name, code))
    with pytest.raises(builder.BookError) as error:
        build(clone)
    assert ran(clone) == ["00-good", "01-bad", "02-good"]
    assert rendered == [False]
    for words in ("chapter 01-bad: failed in its code cell [3]: ZeroDivisionError", "file://", "book.log", "again"):
        assert words in str(error.value)
    write_chapter(clone, "01-bad", counting(clone, "01-bad"))
    build(clone)
    assert ran(clone) == ["01-bad"]
    assert rendered == [False, True]


def test_a_chapter_whose_product_cannot_be_made_gets_its_text_under_the_cause(clone, rendered):
    study = Study("smoke", 0, clone / "runs")
    (study.corpus.folder / "stage.json").write_text("{}")
    chapter = write_chapter(clone, "00-good", counting(clone, "00-good"))
    write_chapter(clone, "01-data", counting(clone, "01-data", header=needing("data")))
    with pytest.raises(
        builder.BookError, match=r"it needs data, which could not be made: .* has no readable stage\.json"
    ):
        build(clone)
    assert ran(clone) == ["00-good"]
    assert chapters.is_whole(chapter)
    page = nbformat.read(clone / "book" / "chapters" / "01-data.ipynb", as_version=4)
    assert "it needs data" in page.cells[0].source


def test_output_of_tasks_goes_to_the_log(clone, rendered):
    write_chapter(clone, "00-good", chapter_text("1 / 0"))
    with pytest.raises(builder.BookError):
        build(clone)
    log = (clone / "runs" / "smoke" / "seed-0" / "book.log").read_text(encoding="utf-8")
    assert "== chapter 00-good" in log
    assert "ZeroDivisionError" in log


# --- What an interruption leaves ------------------------------------------------------------------

INTERRUPTED = """
import sys
from pathlib import Path
from gecalign.book import builder, planning
builder.build(planning.Request("smoke", jobs=1), Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_keeps_what_is_done_and_leaves_no_process(clone, number):
    with_site(clone, "book/chapters/00-good", "book/chapters/01-slow")
    done = write_chapter(clone, "00-good", chapter_text("1"))
    pid_file = clone / "kernel"
    slow = f"import os, pathlib, time\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    write_chapter(clone, "01-slow", chapter_text(slow))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(clone)], env=tasks.environment(), stdout=subprocess.PIPE, text=True
    )
    while not (pid_file.is_file() and pid_file.read_text()):
        assert process.poll() is None
        time.sleep(0.2)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode
    assert "Made and kept: chapter 00-good. The same command goes on" in said
    assert chapters.is_whole(done)
    assert int(pid_file.read_text()) in {child.pid for child in started}
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


# --- With a site ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_readers_get_a_first_version_then_one_with_the_failure_then_the_whole_site(clone):
    with_site(clone, "book/chapters/00-good", "book/chapters/01-bad", "book/glossary", "book/bibliography")
    page = clone / "_build" / "html" / "book" / "chapters" / "01-bad.html"
    write_chapter(clone, "00-good", counting(clone, "00-good"))
    seen = clone / "seen.html"
    look = f"import pathlib, shutil, time\npage = pathlib.Path({str(page)!r})\n"
    look += f"while not page.exists():\n    time.sleep(0.2)\nshutil.copy(page, {str(seen)!r})\ntime.sleep(2)\n1 / 0"
    write_chapter(clone, "01-bad", counting(clone, "01-bad", look))
    with pytest.raises(builder.BookError):
        build(clone)
    assert "This chapter is still being run" in seen.read_text(encoding="utf-8")
    failed = page.read_text(encoding="utf-8")
    assert "still being run" not in failed
    assert "This chapter could not be run to its end" in failed
    assert "ZeroDivisionError" in failed
    write_chapter(clone, "01-bad", counting(clone, "01-bad"))
    said = build(clone)
    assert "Open in a browser: file://" in said
    assert "admonition error" not in page.read_text(encoding="utf-8")
    assert ran(clone) == ["00-good", "01-bad", "01-bad"]
    assert sorted(p.name for p in (clone / "_build").iterdir()) == ["html"]


# --- The book itself ------------------------------------------------------------------------------


def toc_files() -> list[str]:
    toc = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def test_every_chapter_stands_in_the_table_of_contents_once():
    listed = [Path(f).name for f in toc_files() if f.startswith("book/chapters/")]
    assert sorted(listed) == [chapter.name for chapter in chapters.every(PROJECT)]


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
    inner = PROJECT / "gecalign" / "corpus" / "tinygec"  # of which the page has the modules that one calls
    paths = [path for path in PROJECT.glob("gecalign/**/*.py") if inner not in path.parents and path.stem[0] != "_"]
    modules = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths]
    missing = [module for module in modules if f"automodule:: {module}\n" not in page]
    assert not missing
