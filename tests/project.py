"""Where the project lies, and copies of what a book is built from."""

from __future__ import annotations

import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def copy_book_sources(root: Path) -> Path:
    """Copy what the book is built from to `root`, without anything that was built from it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(PROJECT / name, root)
    generated = shutil.ignore_patterns("chapters", "__pycache__", ".ipynb_checkpoints")
    for name in ("book", "notebooks", "results"):
        shutil.copytree(PROJECT / name, root / name, ignore=generated)
    return root
