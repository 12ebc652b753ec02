"""What a build has to do: chapters that have changed, products that these need, and how tasks share the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gecalign.book import chapters, tasks
from gecalign.book.chapters import Chapter
from gecalign.book.tasks import Task
from gecalign.runtime.store import NotMade, StageError, only_existing
from gecalign.study import Study

MOST_JOBS = 4  # there is not more to do at once


@dataclass(frozen=True, slots=True)
class Request:
    """What a build is asked for.

    Attributes:
        only: chapters, by name or number; none: all.
        jobs: how many tasks run side by side; None: see `side_by_side`.
        again: whether chapters are executed that nothing has changed for, too.
        early: whether a first version of the site is built as soon as there is a first chapter.
    """

    profile: str = "tiny"
    seed: int = 0
    only: Sequence[str] = ()
    jobs: int | None = None
    again: bool = False
    early: bool = True


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


def make_plan(root: Path, study: Study, request: Request) -> BuildPlan:
    """What is to be made: chapters that have changed, and products that these need and that do not exist.

    Raises:
        ValueError: no such chapter; a header that names no kernel, or a product that there is not.
    """
    everything = chapters.every(root)
    way = _way(root, study, request, chapters.select(everything, request.only))
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


def _way(root: Path, study: Study, request: Request, chosen: Sequence[Chapter]) -> _Way:
    """How tasks share the machine, and which chapters are to be run then.

    Whether there is a GPU is known to torch, whose import takes seconds. So it is not asked where every chapter is
    kept as it was executed the one way or the other.
    """
    ways = []
    for gpu in (False, True):
        at_once, threads = side_by_side(request.jobs, gpu)
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        around = chapters.surroundings(root, _parameters(study), environment)
        keys = {chapter: chapters.key(chapter, around) for chapter in chosen}
        run = {f"chapter {c.name}": c for c in keys if request.again or not chapters.is_kept(c, keys[c])}
        ways.append(_Way(at_once, threads, keys, run))
    nothing_to_run = next((way for way in ways if not way.run), None)
    return nothing_to_run or ways[request.jobs is None and _has_gpu()]


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
