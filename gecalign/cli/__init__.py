"""The same functions from a shell: `gecalign --help`.

- `studies`, `models`, `scoring`, `sites`, `fetching`, `portable`: the commands; `app`: what they share
- `lines`: what `gecalign correct` does in a pipe

Everything heavy is imported inside the commands, so that `--help` answers at once. Errors that a user can
mend are printed as one line; GECALIGN_DEBUG=1 shows where they come from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gecalign import settings

from gecalign.cli import studies, models, scoring, sites, fetching, portable  # isort: skip - in the order of the help
from gecalign.cli.app import app
from gecalign.runtime import bars, console, files, processes

__all__ = ["app", "fetching", "main", "models", "portable", "scoring", "sites", "studies"]

INTERRUPTED = 130  # how typer ends where somebody has pressed Ctrl-C
RESUMED = ("run", "doctor", "trial", "map", "sweep", "study", "book", "elsewhere")  # go on where they stopped


def main() -> None:
    """Run the command line; print errors that a user can mend without a traceback."""
    console.prepare()
    try:
        if not processes.is_main():
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end; printed is once
        with bars.where_watched(), processes.phrased(settings.as_typed):
            app()
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("GECALIGN_DEBUG"):
            raise
        words = files.words(error) if isinstance(error, OSError) else str(error)
        console.tell(f"gecalign: {_readable(settings.as_typed(words))}", err=True)
        sys.exit(1)
    except SystemExit as end:  # how typer ends
        if end.code == INTERRUPTED and sys.argv[1:2] and sys.argv[1] in RESUMED:
            console.tell("\ninterrupted; what is finished is kept, and the same command goes on from there.", err=True)
        if not end.code:
            processes.leave()
        raise


def _readable(words: str) -> str:
    """Return what a message says with signs for what cannot be seen in it: names of files and columns are data, too."""
    from gecalign.report.markup import visible

    return "\n".join(map(visible, words.split("\n")))
