"""From text to site: the whole book, as a graph of tasks.

Products of the study and chapters are tasks (`planning`, `tasks`) that run side by side. A chapter is executed by
papermill (`execution`) and kept while nothing changes that decides it (`chapters`); Jupyter Book renders (`site`) with
its own execution switched off. What fails costs its own page and nothing else; what is finished is never made again.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gecalign import config
from gecalign.book import chapters, execution, site, tasks
from gecalign.book.chapters import BookError, project_root
from gecalign.book.planning import BuildPlan, Request, make_plan
from gecalign.book.tasks import Event
from gecalign.runtime import store
from gecalign.study import Study


def build(request: Request, root: Path | None = None, console: Console | None = None) -> Path:
    """Execute what has changed of the chapters that are asked for; build the site.

    Prints what is under way, how long each task took and where to open the book; returns its first page. Output of the
    tasks themselves goes to `runs/<profile>/seed-<n>/book.log`.

    Raises:
        ValueError: an unknown profile, chapter or product, before anything runs.
        BookError: chapters failed; the message says which, why, and where the site is all the same. Or there is no
            site.
    """
    config.profile(request.profile)  # an unknown name is an error here, not in the middle of a chapter
    root, began = (root or project_root()).resolve(), time.perf_counter()
    study = Study(request.profile, request.seed, store.runs_folder(root).resolve())
    place = _Place(root, study, console or Console())
    _forget_removed(root)
    plan = make_plan(root, study, request)
    place.say(_intention(plan))
    study.folder.mkdir(parents=True, exist_ok=True)
    with place.log.open("ab") as log, _terminated_as_interrupted():
        failed = _run(plan, place, log, request.early)
        page, missing = _site(place, failed), _not_whole(root)
    place.say_time("the whole book", time.perf_counter() - began)
    if failed:
        rest = f"The rest of the book is built all the same: {page.as_uri()}"
        raise BookError(_what_failed(failed, rest, place.log))
    if missing:
        place.say(f"Not run yet: {', '.join(missing)}. `make book` runs them.")
    place.say(f"\nOpen in a browser: {page.as_uri()}")
    return page


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a build works, and where it says so."""

    root: Path
    study: Study
    console: Console

    @property
    def log(self) -> Path:
        return self.study.folder / "book.log"

    def say(self, words: str) -> None:
        self.console.print(words, soft_wrap=True, highlight=False)

    def say_time(self, label: str, seconds: float, failed: bool = False) -> None:
        self.say(f"{label:<26}{'failed after' if failed else '':<12}{seconds:8.1f} s")

    def clocks(self) -> Progress:
        """A line with a clock for each running task on a terminal; nothing elsewhere."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)


def _intention(plan: BuildPlan) -> str:
    products = len(plan.tasks) - len(plan.run)
    return (
        f"{len(plan.chosen)} chapters: {len(plan.run)} to run, {len(plan.chosen) - len(plan.run)} kept; products of "
        f"the study that they need: {products} to make, {plan.made} kept. {plan.jobs} at a time."
    )


def _forget_removed(root: Path) -> None:
    """Remove executed notebooks whose text is gone, so that no page outlives its source."""
    current = {chapter.executed for chapter in chapters.every(root)}
    for executed in (root / "book" / "chapters").glob("*.ipynb"):
        if executed not in current:
            executed.unlink()


# ---- running


def _run(plan: BuildPlan, place: _Place, log: IO[bytes], early: bool) -> dict[str, str]:
    """Run all tasks and tell about them; return why each that failed did."""
    failed, clocks, ended = dict[str, str](), dict[str, Any](), set[str]()
    events = tasks.run(plan.tasks, plan.jobs, log, plan.threads, place.study.root.parent, place.root)
    first_site = _first_site(plan, place, ended, log) if early else (None for _ in ())
    try:
        with closing(events), closing(first_site) as first, place.clocks() as bars:
            next(first, None)
            for event in events:
                if event is None:
                    next(first, None)
                elif event.seconds is None:
                    clocks[event.task.label] = bars.add_task(event.task.label, total=None)
                else:
                    if event.task.label in clocks:
                        bars.remove_task(clocks[event.task.label])
                    _settle(event, plan, place.root, failed)
                    ended.add(event.task.label)
                    place.say_time(event.task.label, event.seconds, event.reason is not None)
    except KeyboardInterrupt:
        kept = ", ".join(task.label for task in plan.tasks if task.label in ended - set(failed)) or "nothing yet"
        place.say(f"Stopped. Made and kept: {kept}. The same command goes on from there.")
        raise
    return failed


def _settle(event: Event, plan: BuildPlan, root: Path, failed: dict[str, str]) -> None:
    """Note why a task failed, and give a chapter that left nothing the page of its text."""
    label, chapter = event.task.label, plan.run.get(event.task.label)
    if event.reason is None:
        return
    failed[label] = event.reason
    reason = event.reason.splitlines()[0]
    if chapter and chapters.record(chapter.executed).get("reason") != reason:
        execution.write_failed(execution.unrun(chapter.source, root), chapter.executed, reason)


def _first_site(plan: BuildPlan, place: _Place, ended: set[str], log: IO[bytes]) -> Generator[None]:
    """Build a first version of the site at the side, as soon as there is a first chapter; go on at every `next`."""
    root = place.root
    label, first = next((f"chapter {c.name}", c) for c in chapters.every(root))
    at_once = label not in plan.run and chapters.is_whole(first) and not site.first_page(root).exists()
    while not (label in ended or at_once):
        yield
    boxes = {chapter.name: site.RUNNING for one, chapter in plan.run.items() if one not in ended}
    if not boxes:
        return
    unrun = {c.name: site.NOT_RUN for c in chapters.every(root) if not c.executed.is_file()}
    folder = site.prepare(root, "draft", {**unrun, **boxes})
    process = site.start(folder, False, log)
    try:
        while process.poll() is None:
            yield
        if process.returncode == 0:
            address = site.take_place(folder, root).as_uri()
            place.say(f"The first chapter can be read: {address}; the others follow.")
        while True:
            yield
    finally:
        tasks.stop([process])
        shutil.rmtree(folder, ignore_errors=True)


def _site(place: _Place, failed: Mapping[str, str]) -> Path:
    began, label = time.perf_counter(), "the site"
    try:
        with place.clocks() as bars:
            bars.add_task(label, total=None)
            page = site.render(place.root, strict=not _not_whole(place.root))
    except BookError as error:
        if not failed:
            raise
        raise BookError(_what_failed(failed, str(error), place.log)) from None
    place.say_time(label, time.perf_counter() - began)
    return page


def _not_whole(root: Path) -> list[str]:
    return [chapter.name for chapter in chapters.every(root) if not chapters.is_whole(chapter)]


def _what_failed(failed: Mapping[str, str], site_said: str, log: Path) -> str:
    return "\n".join(
        [
            f"{len(failed)} of the tasks failed:",
            *(f"\n{label}: {reason.removeprefix(f'{label} ')}" for label, reason in failed.items()),
            "",
            site_said,
            f"What the tasks wrote is in {log}",
            "The same command again runs only what failed or was not run yet.",
        ]
    )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a build as Ctrl-C does, so that its processes end too."""
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
