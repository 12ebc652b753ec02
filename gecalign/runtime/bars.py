"""Progress bars: for whoever watches. A log gets none of them, and keeps the lines that a stage prints of itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from gecalign.runtime import processes


def watched(stream: IO[str] | None = None) -> bool:
    """Whether somebody sees a bar: this process speaks, and on a terminal or in a notebook.

    Args:
        stream: where the bar would go; None: standard error, as most do.
    """
    stream = sys.stderr if stream is None else stream
    # Jupyter draws a bar anew, too, though it is no terminal
    return processes.is_main() and (stream.isatty() or type(stream).__module__.startswith("ipykernel"))


@contextmanager
def where_watched() -> Iterator[None]:
    """Within this there are bars only where somebody sees them."""
    if watched():
        yield
        return
    with hidden():
        yield


@contextmanager
def hidden() -> Iterator[None]:
    """Within this no progress bar is shown: ours, and those of Transformers, TRL and Datasets.

    Their own switches miss some (Accelerate's, which TRL takes, has none) and would import the libraries. All of them
    are tqdm's underneath.
    """
    from tqdm.std import tqdm

    ordinary, kept = tqdm.__init__, tqdm.__dict__["__init__"]  # a method to call, and the descriptor it comes from

    def silent(self: tqdm, *args: Any, **kwargs: Any) -> None:
        ordinary(self, *args, **kwargs | {"disable": True})

    tqdm.__init__ = silent
    try:
        yield
    finally:
        tqdm.__init__ = kept
