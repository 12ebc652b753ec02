"""Books of a few small chapters, for the tests of what executes and renders them."""

from __future__ import annotations

from pathlib import Path

from project import copy_book_sources

from gecalign.book import chapters

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
HEADER = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
PARAMETERS = """
```{code-cell} ipython3
:tags: [parameters]

PROFILE = "tiny"
SEED = 0
```
"""


def chapter_text(code: str, header: str = HEADER, parameters: str = PARAMETERS) -> str:
    return f"{header}\n# A chapter\n{parameters}\n```{{code-cell}} ipython3\n{code}\n```\n"


def needing(*products: str) -> str:
    return HEADER.replace("---\n", f"---\ngecalign:\n  needs: [{', '.join(products)}]\n", 1)


def counting(folder: Path, name: str, code: str = "", header: str = HEADER) -> str:
    """The text of a chapter that leaves a line in a file whenever it is executed."""
    leave = f"with open({str(folder / 'ran.txt')!r}, 'a') as ran:\n    ran.write('{name}\\n')\n"
    return chapter_text(leave + code, header)


def ran(folder: Path) -> list[str]:
    """The chapters that were executed, in order, since this was asked before."""
    path = folder / "ran.txt"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def write_chapter(clone: Path, name: str, text: str) -> chapters.Chapter:
    (clone / "notebooks" / f"{name}.md").write_text(text, encoding="utf-8")
    return next(chapter for chapter in chapters.every(clone) if chapter.name == name)


def with_site(clone: Path, root: str, *others: str) -> Path:
    """Give a clone all that a site is made of, with these pages."""
    copy_book_sources(clone / "source")
    for name in ("_config.yml", "book"):
        (clone / "source" / name).rename(clone / name)
    pages = ", ".join(f"{{file: {page}}}" for page in others)
    toc = f"format: jb-book\nroot: {root}\nparts: [{{caption: Pages, chapters: [{pages}]}}]\n"
    (clone / "_toc.yml").write_text(toc)
    return clone
