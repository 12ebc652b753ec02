"""From text to site: the whole book, as a graph of tasks.

Products of the study and chapters are tasks (`tasks`) that run side by side. A chapter is executed by papermill
(`execution`) and kept while nothing changes that decides it (`chapters`); Jupyter Book renders (`site`) with its own
execution switched off. What fails costs its own page and nothing else, and what is finished is never made again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gecalign import config
from gecalign.book import chapters, execution, site, tasks
from gecalign.book.chapters import BookError, Chapter, project_root
from gecalign.book.tasks import Event, Task
from gecalign.runtime import store
from gecalign.runtime.store import NotMade, StageError, only_existing
from gecalign.study import Study

MOST_JOBS = 4  # there is not more to do at once


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build has to do.

    Attributes:
        chosen: the chapters that were asked for.
        run: those of them that are to be executed, by the label of their task.
        tasks: all that is to be made, products of the study first.
        made: how many products are needed and exist.
        jobs: how many tasks run at once.
        threads: how many threads each computes with.
    """

    chosen: tuple[Chapter, ...]
    run: Mapping[str, Chapter]
    tasks: tuple[Task, ...]
    made: int
    jobs: int
    threads: str


def build(
    profile: str = "tiny",
    seed: int = 0,
    only: Sequence[str] = (),
    root: Path | None = None,
    console: Console | None = None,
    jobs: int | None = None,
    again: bool = False,
    early: bool = True,
) -> Path:
    """Execute what has changed of the chapters (or of those in `only`) with `profile` and `seed`; build the site.

    Prints what is under way, how long each task took and where to open the book; returns its first page. Output of the
    tasks themselves goes to `runs/<profile>/seed-<n>/book.log`.

    Args:
        jobs: how many tasks run side by side; None: see `side_by_side`.
        again: whether chapters are executed that nothing has changed for, too.
        early: whether a first version of the site is built as soon as there is a first chapter.

    Raises:
        ValueError: an unknown profile, chapter or product, before anything runs.
        BookError: chapters failed; the message says which, why, and where the site is all the same. Or there is no
            site.
    """
    config.profile(profile)  # an unknown name is an error here, not in the middle of a chapter
    root, console, began = (root or project_root()).resolve(), console or Console(), time.perf_counter()
    study = Study(profile, seed, store.runs_folder(root).resolve())
    _forget_removed(root)
    plan = make_plan(root, study, only, jobs, again)
    console.print(_intention(plan), soft_wrap=True, highlight=False)
    study.folder.mkdir(parents=True, exist_ok=True)
    log = study.folder / "book.log"
    with log.open("ab") as file, _terminated_as_interrupted():
        failed = _run(plan, root, study.root.parent, console, file, early)
        page, missing = _site(root, console, failed, log), _not_whole(root)
    _print_time(console, "the whole book", time.perf_counter() - began)
    if failed:
        rest = f"The rest of the book is built all the same: {page.as_uri()}"
        raise BookError(_what_failed(failed, rest, log))
    if missing:
        console.print(f"Not run yet: {', '.join(missing)}. `make book` runs them.", soft_wrap=True, highlight=False)
    console.print(f"\nOpen in a browser: {page.as_uri()}", soft_wrap=True, highlight=False)
    return page


def side_by_side(jobs: int | None, gpu: bool) -> tuple[int, str]:
    """How many tasks run at once, and how many threads each computes with (`OMP_NUM_THREADS`).

    A GPU takes one task at a time. Else tasks share the cores: as the variable says, where the user has set it.

    Raises:
        ValueError: fewer than one job.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs is {jobs}; expected at least 1.")
    cores, threads = os.cpu_count() or 1, os.environ.get("OMP_NUM_THREADS")
    if jobs is None:
        shared = max(1, cores // int(threads)) if threads else min(MOST_JOBS, cores)
        jobs = 1 if gpu else shared
    return jobs, threads or str(max(1, cores // jobs))


def make_plan(root: Path, study: Study, only: Sequence[str], jobs: int | None, again: bool) -> BuildPlan:
    """What is to be made: chapters that have changed, and products that these need and that do not exist.

    Raises:
        ValueError: no such chapter; a header that names no kernel, or a product that there is not.
    """
    everything = chapters.every(root)
    way = _way(root, study, chapters.select(everything, only), jobs, again)
    given = {"study"} if (root / "results" / study.profile.name).exists() else set()  # committed: nothing to make
    needs = {
        label: [name for name in chapters.needs(chapter.source, tuple(tasks.PRODUCTS)) if name not in given]
        for label, chapter in way.run.items()
    }
    products = tasks.with_what_they_need(name for named in needs.values() for name in named)
    missing = [name for name in products if not _exists(study, name)]
    written = [
        Task(
            label,
            tuple(f"product {name}" for name in needs[label] if name in missing),
            work=json.dumps(_work(chapter, _parameters(study), root, way.keys[chapter])),
            urgent=chapter == everything[0],  # so that a reader has something to begin with
        )
        for label, chapter in way.run.items()
    ]
    made, make = len(products) - len(missing), tasks.product_tasks(study, missing)
    return BuildPlan(tuple(way.keys), way.run, (*make, *written), made, way.jobs, way.threads)


@dataclass(frozen=True, slots=True)
class _Way:
    jobs: int
    threads: str
    keys: Mapping[Chapter, str]
    run: Mapping[str, Chapter]


def _way(root: Path, study: Study, chosen: Sequence[Chapter], jobs: int | None, again: bool) -> _Way:
    """How tasks share the machine, and which chapters are to be run then.

    Whether there is a GPU is known to torch, whose import takes seconds. So it is not asked where every chapter is
    kept as it was executed the one way or the other.
    """
    ways = []
    for gpu in (False, True):
        at_once, threads = side_by_side(jobs, gpu)
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        around = chapters.surroundings(root, _parameters(study), environment)
        keys = {chapter: chapters.key(chapter, around) for chapter in chosen}
        run = {f"chapter {c.name}": c for c in keys if again or not chapters.is_kept(c, keys[c])}
        ways.append(_Way(at_once, threads, keys, run))
    nothing_to_run = next((way for way in ways if not way.run), None)
    return nothing_to_run or ways[jobs is None and _has_gpu()]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _parameters(study: Study) -> dict[str, Any]:
    return {"PROFILE": study.profile.name, "SEED": study.seed}


def _work(chapter: Chapter, parameters: Mapping[str, Any], root: Path, key: str) -> dict[str, Any]:
    paths = {"chapter": str(chapter.source), "executed": str(chapter.executed), "root": str(root)}
    return {**paths, "parameters": dict(parameters), "key": key}


def _exists(study: Study, product: str) -> bool:
    if not study.folder.exists():  # spares the import of torch
        return False
    try:
        with only_existing():
            tasks.make_product(study, product)
    except NotMade:
        return False
    except StageError:  # it was changed: its task says what to do
        return False
    return True


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


def _run(plan: BuildPlan, root: Path, runs: Path, console: Console, log: IO[bytes], early: bool) -> dict[str, str]:
    """Run all tasks and tell about them; return why each that failed did."""
    failed, clocks, ended = dict[str, str](), dict[str, Any](), set[str]()
    events = tasks.run(plan.tasks, plan.jobs, log, plan.threads, runs, root)
    first_site = _first_site(plan, root, ended, console, log) if early else (None for _ in ())
    try:
        with closing(events), closing(first_site) as first, _clocks(console) as bars:
            next(first, None)
            for event in events:
                if event is None:
                    next(first, None)
                elif event.seconds is None:
                    clocks[event.task.label] = bars.add_task(event.task.label, total=None)
                else:
                    if event.task.label in clocks:
                        bars.remove_task(clocks[event.task.label])
                    _settle(event, plan, root, failed)
                    ended.add(event.task.label)
                    _print_time(console, event.task.label, event.seconds, event.reason is not None)
    except KeyboardInterrupt:
        kept = ", ".join(task.label for task in plan.tasks if task.label in ended - set(failed)) or "nothing yet"
        console.print(
            f"Stopped. Made and kept: {kept}. The same command goes on from there.", soft_wrap=True, highlight=False
        )
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


def _first_site(plan: BuildPlan, root: Path, ended: set[str], console: Console, log: IO[bytes]) -> Generator[None]:
    """Build a first version of the site at the side, as soon as there is a first chapter; go on at every `next`."""
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
            console.print(
                f"The first chapter can be read: {address}; the others follow.", soft_wrap=True, highlight=False
            )
        while True:
            yield
    finally:
        tasks.stop([process])
        shutil.rmtree(folder, ignore_errors=True)


def _site(root: Path, console: Console, failed: Mapping[str, str], log: Path) -> Path:
    began, label = time.perf_counter(), "the site"
    try:
        with _clocks(console) as bars:
            bars.add_task(label, total=None)
            page = site.render(root, strict=not _not_whole(root))
    except BookError as error:
        if not failed:
            raise
        raise BookError(_what_failed(failed, str(error), log)) from None
    _print_time(console, label, time.perf_counter() - began)
    return page


def _not_whole(root: Path) -> list[str]:
    return [chapter.name for chapter in chapters.every(root) if not chapters.is_whole(chapter)]


# ---- what is printed


def _clocks(console: Console) -> Progress:
    """A line with a clock for each running task on a terminal; nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print_time(console: Console, label: str, seconds: float, failed: bool = False) -> None:
    console.print(f"{label:<26}{'failed after' if failed else '':<12}{seconds:8.1f} s", highlight=False)


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
