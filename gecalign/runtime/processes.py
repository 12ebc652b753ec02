"""Several processes: how many there are, which one this is, and what they do together.

`torchrun` and `accelerate launch` start the same command several times and number the processes by environment
variables; Accelerate's `PartialState` connects them (gloo on CPUs, NCCL on GPUs). With one process every function
here does nothing or the obvious, and torch is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")

# How long processes wait for one another: the main one alone may clean a corpus, or build pairs.
PATIENCE = timedelta(hours=2)


def count() -> int:
    """Return the number of processes, the world size.

    Raises:
        ValueError: the environment says no such number.
    """
    return _variable("WORLD_SIZE", "1", 1)


def index() -> int:
    """Return the number of this process, its rank: 0 is the main one.

    Raises:
        ValueError: the environment says no such number, or there are not so many processes.
    """
    rank = _variable("RANK", "0", 0)
    if rank >= count():
        raise ValueError(
            f"RANK is {rank}, and WORLD_SIZE, the number of processes, is {count()}. torchrun and accelerate set both "
            "for the processes that they start; without them unset both."
        )
    return rank


def _variable(name: str, usual: str, least: int) -> int:
    value = os.environ.get(name, usual)
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        raise ValueError(
            f"the environment variable {name} is {value!r}; expected a whole number of at least {least}, as torchrun "
            "and accelerate set it for the processes that they start. Without them unset it."
        )
    return int(value)


def is_main() -> bool:
    """Whether this process writes files and speaks."""
    return index() == 0


def sharded() -> bool:
    """Whether each process holds only its part of the weights (FSDP, as `accelerate launch` sets it)."""
    return count() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


_phrase: ContextVar[Callable[[str], str]] = ContextVar("phrase", default=str)


@contextmanager
def phrased(by: Callable[[str], str]) -> Iterator[None]:
    """Within this, what is said is put otherwise first."""
    before = _phrase.set(by)
    try:
        yield
    finally:
        _phrase.reset(before)


def say(text: str) -> None:
    """Print on standard error, once for all processes."""
    if is_main():
        print(_phrase.get()(text), file=sys.stderr)


def wait() -> None:
    """Wait until all processes are here."""
    if count() > 1:
        state().wait_for_everyone()


def from_main(value: Callable[[], T]) -> T:
    """Return to every process what `value` gives in the main one; the others do not call it."""
    if count() == 1:
        return value()
    from accelerate.utils import broadcast_object_list

    state()
    box: list[Any] = [value() if is_main() else None]
    return broadcast_object_list(box)[0]


def gather(values: list[T]) -> list[T]:
    """Return to every process the values of all, in the order of the processes."""
    if count() == 1:
        return values
    from accelerate.utils import gather_object

    state()
    return gather_object(values)


def state() -> PartialState:
    """Return Accelerate's connection between the processes, made by the first call.

    Raises:
        RuntimeError: fewer processes were connected than were started.
    """
    import torch
    from accelerate import PartialState

    connected = PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)
    if connected.num_processes != count():
        raise RuntimeError(
            f"{count()} processes were started and {connected.num_processes} are connected. Start them by "
            "`torchrun --nproc_per_node N -m gecalign ...`; on CPUs `accelerate launch --cpu` starts only one."
        )
    return connected


def leave() -> None:
    """Part from the other processes, at the end of a program."""
    if count() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
