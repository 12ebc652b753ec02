"""The whole study with several seeds: every system, every control, one command.

Seeds are independent, so they can run side by side, a process each. On two cores that is faster than one after the
other with both (1.27 times, `bench/parallel.py`), and is done by default where there is no GPU. Everything is a stage:
what exists is loaded, what was cut off is resumed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, redirect_stderr
from multiprocessing import Manager, active_children, get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gecalign import config
from gecalign.runtime import bars, processes, store
from gecalign.runtime.console import duration
from gecalign.settings import settings_digest
from gecalign.study import Study, results
from gecalign.systems import LABELS, RECORDED

ENOUGH = 5  # seeds; with two, a nominal 5 % of false findings can be 13 % (tests/statistics/test_seeds.py)

# Told a study and the number of seeds: how many seconds each system of each seed still takes, evaluations included.
Expected = Callable[[Study, int], Mapping[tuple[int, str], float]]
Report = Callable[[str], None]  # is told the label of each system that is finished


def study(profile: str | config.Profile, seeds: int, jobs: int | None = None, expected: Expected | None = None) -> Path:
    """Make every system with the seeds 0 to `seeds` - 1, and return the folder of their `results`.

    Args:
        jobs: how many seeds run side by side, sharing the cores; None: one a core without a GPU, else one.
        expected: tells how long it will take (`gecalign.plan.by_system`); None: nothing is foretold.

    Raises:
        ValueError: fewer than two seeds, or fewer than one job.
    """
    check(seeds, jobs)
    studies = [Study(profile, seed) for seed in range(seeds)]
    first = studies[0]
    first.corpus  # noqa: B018 - shared by all, so made before they start
    spec = {"profile": settings_digest(first.profile), "data": first.corpus.content, "seeds": seeds,
            "systems": list(RECORDED), "tables": list(results.TABLES)}  # fmt: skip

    def make(folder: Path) -> dict[str, Any]:
        start = time.perf_counter()
        if seeds < ENOUGH:
            processes.say(f"[study] with fewer than {ENOUGH} seeds, intervals over seeds are not to be relied on")
        _run_all(studies, min(jobs or _side_by_side(), seeds), expected)
        results.collect(studies, folder)
        processes.say(f"[study] {seeds} seeds in {duration(time.perf_counter() - start)}")
        return {}

    return store.obtain(first.root, "results", spec, make).folder


def check(seeds: int, jobs: int | None = None) -> None:
    """Raise ValueError where there are fewer than two seeds, or what is no number of them, or fewer than one job."""
    config.check_seeds(seeds, 2, ": one run says nothing about seeds")
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs is {jobs}; expected at least 1.")
    if processes.count() > 1 and jobs not in (None, 1):
        raise ValueError(f"{processes.count()} processes share every seed; --jobs starts more of them. Leave it out.")


def obtain(profile: str, seeds: int = 2, jobs: int | None = None) -> results.Results:
    """Return the committed results of a profile, and where it has none, those of a study that is made now by `jobs`.

    Raises:
        ValueError: there are committed results of other settings.
    """
    folder = store.project_folder() / "results" / profile
    return results.load(folder if folder.exists() else study(profile, seeds, jobs), config.profile(profile))


def publish(folder: Path, to: Path) -> None:
    """Copy the files of results to where a repository keeps them, all of them or none, in place of older ones."""
    if processes.is_main():
        with results.renewing(to) as new:
            for name in results.FILES:
                shutil.copyfile(folder / name, new / name)
    processes.wait()


def run_seed(study: Study, report: Report) -> None:
    """Make everything that the results need of one seed."""
    for system in RECORDED:
        for split, name in results.evaluations(system):
            study.evaluation(system, split, results.decoding(study.profile, name))
        report(system)
    for table in results.TABLES.values():  # some are of samples of their own
        table(study)


def _run_all(studies: Sequence[Study], jobs: int, expected: Expected | None) -> None:
    seconds = dict.fromkeys([(one.seed, system) for one in studies for system in RECORDED], 1.0)
    seconds |= expected(studies[0], len(studies)) if expected else {}
    total = sum(seconds.values())
    about = f": about {duration(total / jobs)}; " if expected else "; "
    console = Console(stderr=True, quiet=not processes.is_main())
    console.print(
        f"[study] {len(studies)} seeds of {len(RECORDED)} systems, {jobs} at a time{about}what is finished is kept. "
        "`gecalign plan` shows more.",
        markup=False, highlight=False,
    )  # fmt: skip
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    shown = bars.watched() and console.is_terminal  # in notebooks lines: Rich's bars want a package there
    with Progress(*columns, console=console, disable=not shown) as progress:
        task = progress.add_task("study (seconds of work)", total=round(total))

        def told(seed: int, system: str) -> None:
            progress.advance(task, seconds[seed, system])
            if not shown:
                processes.say(f"[study] seed {seed}: {LABELS[system]}")

        if jobs == 1:
            for one in reversed(studies):  # of seed 0 others may be making something, such as the book
                run_seed(one, lambda system, seed=one.seed: told(seed, system))  # type: ignore[misc]
        else:
            _run_side_by_side(studies, jobs, told)


def _run_side_by_side(studies: Sequence[Study], jobs: int, told: Callable[[int, str], None]) -> None:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with Manager() as manager, _threads(threads), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        queue, others = manager.Queue(), set(active_children())
        running = {pool.submit(_run_in_process, one.profile, one.seed, one.root.parent, queue) for one in studies}
        try:
            while running:
                while not queue.empty():
                    told(*queue.get())
                for finished in [future for future in running if future.done()]:
                    running.remove(finished)
                    finished.result()
                time.sleep(0.2)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _run_in_process(profile: config.Profile, seed: int, runs: Path, queue: Any) -> None:
    """Run one seed in a process of its own; what it prints goes to a file beside its products."""
    one = Study(profile, seed, runs)
    one.folder.mkdir(parents=True, exist_ok=True)
    with (one.folder / "study.log").open("a", encoding="utf-8") as log, redirect_stderr(log):
        run_seed(one, lambda system: queue.put((seed, system)))


def _threads(count: int) -> AbstractContextManager[None]:
    """Let processes that are started now compute with so many threads."""
    from accelerate.utils import patch_environment

    return patch_environment(OMP_NUM_THREADS=count, MKL_NUM_THREADS=count)  # PyTorch follows MKL's where that is set


def _side_by_side() -> int:
    import torch

    return 1 if torch.cuda.is_available() or processes.count() > 1 else max(1, os.cpu_count() or 1)
