"""Products of the study and chapters of the book, made side by side: what needs what, what comes first, who runs.

On two cores, two processes with a thread each do 1.27 times as much as one with two threads (`bench/parallel.py`), so
tasks run in processes of their own, a few at a time. A process a task: one that dies takes nothing with it, and what it
held of memory, a GPU's too, is free again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from gecalign.study import Study

POLL = 0.1  # seconds
CHAPTER_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Product:
    """What a product of the study is made from, and about how many seconds it takes on the profile `tiny`."""

    needs: tuple[str, ...]
    seconds: float


PRODUCTS = {
    "data": Product((), 3),
    "study": Product(("data",), 1600),
    "base": Product(("data",), 25),
    "sft": Product(("data",), 150),
    "pairs": Product(("sft",), 40),
    "reward-check": Product(("sft",), 30),
    "sft-continued": Product(("sft",), 60),
    "sft-careful": Product(("sft",), 60),
    "dpo": Product(("pairs",), 70),
    "grpo": Product(("sft",), 110),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One step of the build.

    Attributes:
        label: what it is called, such as "product sft" or "chapter 02-sft"; unique.
        needs: the labels of those that must be done before.
        seconds: about how long it takes; only the relation to others matters.
        work: what its process is told to do, as JSON; see `gecalign.book.worker`.
        urgent: whether it comes before all others that could begin.
    """

    label: str
    needs: tuple[str, ...] = ()
    seconds: float = CHAPTER_SECONDS
    work: str = "{}"
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a task: it began (`seconds` is None), or ended, well or for a `reason` not to."""

    task: Task
    seconds: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    reason: Path
    began: float


def with_what_they_need(products: Iterable[str]) -> list[str]:
    """These products and all that they are made from, in the order of `PRODUCTS`."""
    wanted, found = list(products), set()
    while wanted:
        found.add(name := wanted.pop())
        wanted += PRODUCTS[name].needs
    return [name for name in PRODUCTS if name in found]


def product_tasks(study: Study, products: Sequence[str]) -> list[Task]:
    """A task for each of these products; what is not among them is taken to be there already."""
    return [
        Task(
            f"product {name}",
            tuple(f"product {need}" for need in PRODUCTS[name].needs if need in products),
            PRODUCTS[name].seconds,
            json.dumps({"product": name, "profile": study.profile.name, "seed": study.seed}),
        )
        for name in products
    ]


def make_product(study: Study, name: str) -> None:
    """Make a product, and of a system also the evaluations that the chapters show."""
    from gecalign.study import multiseed, results

    if name == "data":
        study.corpus  # noqa: B018 - made by asking for it
    elif name == "pairs":
        study.pairs()
    elif name == "reward-check":
        study.reward_check()
    elif name == "study":
        multiseed.obtain(study.profile.name, jobs=1)
    else:
        for split, how in results.evaluations(name):
            study.evaluation(name, split, results.decoding(study.profile, how))


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order in which those that could begin do: first the one with the longest path behind it.

    >>> [task.label for task in in_order([Task("a"), Task("b", seconds=2), Task("c", ("b",))])]
    ['b', 'a', 'c']
    """

    def path(task: Task) -> float:
        behind = [path(other) for other in tasks if task.label in other.needs]
        return task.seconds + max(behind, default=0)

    return sorted(tasks, key=lambda task: (not task.urgent, -path(task)))


def run(
    tasks: Sequence[Task], jobs: int, log: IO[bytes], threads: str, runs: Path, root: Path
) -> Generator[Event | None]:
    """Run tasks, `jobs` at a time, in the folder `root`; yield what happens, and None whenever nothing does.

    A task of which something failed that it needs is not run, and fails for that reason. Closing the generator stops
    what runs.
    """
    waiting, running, done, failed = in_order(tasks), dict[Task, _Running](), set[str](), dict[str, str]()
    made_here = {task.label for task in tasks}
    with tempfile.TemporaryDirectory(prefix="gecalign-") as folder:
        try:
            while waiting or running:
                for task in [task for task in waiting if set(task.needs) & set(failed)]:
                    waiting.remove(task)
                    failed[task.label] = _because(task, failed)
                    yield Event(task, 0.0, failed[task.label])
                ready = [task for task in waiting if set(task.needs) & made_here <= done]
                for task in ready[: jobs - len(running)]:
                    waiting.remove(task)
                    reason = Path(folder, f"{len(made_here) - len(waiting)}.txt")
                    running[task] = _start(task, reason, log, threads, runs, root)
                    yield Event(task)
                for task in [task for task, one in running.items() if one.process.poll() is not None]:
                    one = running.pop(task)
                    if why := _why(one):
                        failed[task.label] = why
                    else:
                        done.add(task.label)
                    yield Event(task, time.perf_counter() - one.began, why)
                yield None
                time.sleep(POLL if running else 0)
        finally:
            stop([one.process for one in running.values()])


def _start(task: Task, reason: Path, log: IO[bytes], threads: str, runs: Path, root: Path) -> _Running:
    log.write(f"\n== {task.label}\n".encode())
    log.flush()
    process = subprocess.Popen(
        [sys.executable, "-m", "gecalign.book.worker", task.work, str(reason)],
        cwd=root,
        # what a process that is stopped leaves of temporary files goes with the folder of the reasons
        env=environment(OMP_NUM_THREADS=threads, GECALIGN_RUNS=str(runs), TMPDIR=str(reason.parent)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the build, which stops its processes in order
    )
    return _Running(process, reason, time.perf_counter())


def _why(ended: _Running) -> str | None:
    """Why a task failed; None where it did not."""
    if not (code := ended.process.returncode):
        return None
    if ended.reason.is_file():
        return ended.reason.read_text(encoding="utf-8")
    signalled = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"its process died ({signalled}), most often because memory ran out."


def _because(task: Task, failed: Mapping[str, str]) -> str:
    label = next(need for need in task.needs if need in failed)
    reason = failed[label].splitlines()[0]
    if reason.startswith("it needs "):
        return reason
    return f"it needs {label.split()[1]}, which could not be made: {reason}"


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes with all that they have started, kernels included, and wait until they are gone."""
    left: list[psutil.Process] = []
    for process in processes:
        if process.poll() is None:
            left += psutil.Process(process.pid).children(recursive=True)
            process.kill()  # first, or it would take the end of its kernel for a failure of the chapter
            process.wait()
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for one in left:
            with suppress(psutil.NoSuchProcess):
                end(one)
        _, left = psutil.wait_procs(left, timeout=5)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process that is to import the same library as this one."""
    found, library = {**os.environ, **changes}, Path(__file__).resolve().parents[2]
    if (library / "pyproject.toml").is_file():  # a clone; an installed package is found anyway
        found["PYTHONPATH"] = os.pathsep.join([str(library), *filter(None, [os.environ.get("PYTHONPATH")])])
    return found
