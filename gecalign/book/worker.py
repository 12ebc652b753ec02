"""What a process of the build does: one task, told as JSON. `python -m gecalign.book.worker TASK FILE`.

Its output goes to the log of the build. Where it fails, FILE gets the reason, and the exit code is 1.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def work(task: Mapping[str, Any]) -> None:
    """Make a product of the study, or execute a chapter."""
    if "product" in task:
        from gecalign.book import tasks
        from gecalign.study import Study

        tasks.make_product(Study(task["profile"], task["seed"]), task["product"])
    else:
        from gecalign.book import execution

        execution.execute(
            Path(task["chapter"]), task["parameters"], Path(task["executed"]), Path(task["root"]), task["key"]
        )


def main(task: str, reason: str) -> int:
    """Do a task; return the exit code."""
    try:
        work(json.loads(task))
    except Exception as error:
        traceback.print_exc()
        words = str(error) if isinstance(error, ValueError | OSError | RuntimeError) else ""
        Path(reason).write_text(words or f"{type(error).__name__}: {error}", encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
