"""As many systems and seeds as the time allows, in a fixed order, each kept when it is finished."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from gecalign import config
from gecalign.runtime import files, processes, store
from gecalign.runtime.console import duration
from gecalign.settings import settings_digest
from gecalign.study import Study, pieces

SPARE = 10.0  # seconds before the end: for a piece that is just being written, and to say what is left


class Outcome(NamedTuple):
    """What a run has made, and what it has not: seed and system."""

    made: list[tuple[int, str]]
    left: list[tuple[int, str]]


def run(
    profile: config.Profile,
    seeds: Sequence[int],
    to: Path,
    minutes: float | None = None,
    systems: Sequence[str] = (),
) -> Outcome:
    """Make pieces in the order of `pieces.order`, until all are there or the time is over.

    What is there of these settings is not made again; a training that was cut off goes on where it was, if its products
    (`runs/`) are still there.

    Args:
        minutes: the time that there is; None: as long as it takes.
        systems: those that are wanted; none: all that `pieces.order` has.

    Raises:
        ValueError: `to` holds pieces of other settings, or a system is unknown.
        RuntimeError: the work ended by itself before everything was made.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    order = pieces.order(seeds)
    if unknown := [name for name in systems if name not in {system for _, system in order}]:
        raise ValueError(f"{unknown[0]!r} is no system of a piece. Systems: {', '.join(sum(pieces.PARTS, ()))}.")
    wanted = [key for key in order if not systems or key[1] in systems]
    before = _there(profile, to)
    worker = get_context("spawn").Process(target=_work, args=(profile, wanted, to, store.runs_folder()))
    worker.start()
    worker.join(None if deadline is None else max(0.0, deadline - SPARE - time.monotonic()))
    timed_out = worker.is_alive()
    if timed_out:
        worker.terminate()
        worker.join(SPARE / 2)
        worker.kill()
        worker.join()
    there = _there(profile, to)
    found = Outcome([key for key in wanted if key in there - before], [key for key in wanted if key not in there])
    if found.left and not timed_out:
        missing = f"{len(found.left)} of {len(wanted)} pieces are missing, the first: {_words(found.left[0])}"
        raise RuntimeError(
            f"the run broke off (exit status {worker.exitcode}): {missing}. What is finished is kept, and the same "
            "command goes on from there."
        )
    return found


def in_words(outcome: Outcome) -> str:
    """Return what was made and what is left, in lines."""
    made, left = (", ".join(map(_words, keys)) or "nothing" for keys in outcome)
    return f"made: {made}\nleft: {left}"


def _words(key: tuple[int, str]) -> str:
    return f"{key[1]} (seed {key[0]})"


def _there(profile: config.Profile, to: Path) -> set[tuple[int, str]]:
    found = pieces.read(to) if to.exists() else []
    for piece in found:
        if piece.record["settings"] != settings_digest(profile):
            raise ValueError(f"{piece.folder} is of other settings than {profile.name} has now. Give another folder.")
    return {(piece.record["seed"], piece.record["system"]) for piece in found}


def _work(profile: config.Profile, wanted: Sequence[tuple[int, str]], to: Path, runs: Path) -> None:
    there = _there(profile, to)
    for seed, system in wanted:
        if (seed, system) in there:
            continue
        start = time.monotonic()
        try:
            pieces.write(Study(profile, seed, runs), system, to)
        except (OSError, ValueError, store.StageError) as error:
            processes.say(f"{_words((seed, system))}: {files.words(error) if isinstance(error, OSError) else error}")
            sys.exit(1)
        processes.say(f"[piece] {_words((seed, system))} in {duration(time.monotonic() - start)}")
