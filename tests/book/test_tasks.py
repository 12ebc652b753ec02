"""The order of tasks, what fails with what, and that nothing is left running."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from gecalign.book import tasks
from gecalign.book.tasks import Task
from gecalign.study import Study


def labels(found) -> list[str]:
    return [task.label for task in found]


def test_the_longest_path_comes_first():
    given = [Task("short", seconds=5), Task("b", ("a",), 10), Task("a", seconds=1), Task("long", seconds=8)]
    assert labels(tasks.in_order(given)) == ["a", "b", "long", "short"]


def test_an_urgent_task_comes_before_longer_ones():
    assert labels(tasks.in_order([Task("long", seconds=99), Task("first", urgent=True)])) == ["first", "long"]


def test_equal_tasks_stay_in_the_order_given():
    assert labels(tasks.in_order([Task("a"), Task("b"), Task("c")])) == ["a", "b", "c"]


def test_sft_is_trained_before_what_does_not_wait_for_it():
    made = tasks.product_tasks(Study("smoke"), tasks.with_what_they_need(["base", "dpo", "grpo"]))
    order = labels(tasks.in_order(made))
    assert order[:2] == ["product data", "product sft"]
    assert order[-1] == "product base"


def test_products_come_with_all_that_they_are_made_from_and_nothing_else():
    assert tasks.with_what_they_need(["dpo"]) == ["data", "sft", "pairs", "dpo"]
    assert tasks.with_what_they_need([]) == []


def test_a_study_is_begun_first_and_waits_for_nothing_but_the_corpus():
    made = tasks.product_tasks(Study("smoke"), tasks.with_what_they_need(["study", "dpo", "grpo"]))
    assert labels(tasks.in_order(made))[:3] == ["product data", "product study", "product sft"]


def test_every_product_is_made_of_products():
    for product in tasks.PRODUCTS.values():
        assert set(product.needs) <= set(tasks.PRODUCTS)


def test_what_exists_already_is_not_waited_for():
    (task,) = tasks.product_tasks(Study("smoke"), ["dpo"])
    assert task.needs == ()


WORKER = """
import json, os, pathlib, subprocess, sys, time
task = json.loads(sys.argv[1])
time.sleep(task.get("sleep", 0))
if task.get("child"):
    pathlib.Path(task["child"]).write_text(str(subprocess.Popen(["sleep", "60"], start_new_session=True).pid))
    time.sleep(60)
if task.get("die"):
    os.kill(os.getpid(), 9)
if task.get("fail"):
    pathlib.Path(sys.argv[2]).write_text(task["fail"])
    sys.exit(1)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run tasks by a worker that does as told, at once and without any library."""
    package = tmp_path / "fake" / "gecalign" / "book"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "worker.py").write_text(WORKER)
    fake = {**os.environ, "PYTHONPATH": str(tmp_path / "fake")}
    monkeypatch.setattr(tasks, "environment", lambda **changes: {**fake, **changes})
    with (tmp_path / "log").open("wb") as log:
        yield lambda *given, jobs=2: tasks.run(given, jobs, log, "1", tmp_path / "runs", tmp_path)


def fake(label: str, *needs: str, **work) -> Task:
    return Task(label, needs, work=json.dumps(work))


def outcome(events) -> dict[str, str | None]:
    return {event.task.label: event.reason for event in events if event and event.seconds is not None}


def test_what_needs_a_failed_task_fails_with_its_cause_and_the_rest_runs(run):
    given = fake("product sft", fail="no memory\ndetails"), fake("product dpo", "product sft"), fake("product base")
    last = fake("chapter 04", "product dpo")
    found = outcome(run(*given, last))
    cause = "it needs sft, which could not be made: no memory"
    assert found == {
        "product sft": "no memory\ndetails", "product dpo": cause, "chapter 04": cause, "product base": None,
    }  # fmt: skip


def test_a_process_that_dies_is_one_failed_task(run):
    found = outcome(run(fake("product sft", die=True), fake("product base")))
    assert found["product base"] is None
    assert "its process died (signal 9, SIGKILL)" in found["product sft"]


def test_never_more_tasks_run_than_jobs_and_none_before_what_it_needs(run):
    running, most, order = 0, 0, []
    for event in run(fake("a", sleep=0.3), fake("b", sleep=0.3), fake("c", "a", sleep=0.1), fake("d", sleep=0.3)):
        if event is not None:
            running += 1 if event.seconds is None else -1
            most = max(most, running)
            order.append((event.task.label, event.seconds is None))
    assert most == 2
    assert order.index(("c", True)) > order.index(("a", False))


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_closing_ends_tasks_with_all_that_they_started(run, tmp_path):
    child = tmp_path / "child"
    with closing(run(fake("a", child=str(child)))) as events:
        for _ in events:
            if child.is_file() and child.read_text():
                break
    pid = int(child.read_text())
    deadline = time.time() + 10
    while alive(pid) and time.time() < deadline:
        time.sleep(0.1)
    assert not alive(pid)


def test_the_library_of_a_process_is_the_one_that_runs_here():
    first = tasks.environment()["PYTHONPATH"].split(os.pathsep)[0]
    assert Path(first) == Path(tasks.__file__).resolve().parents[2]
