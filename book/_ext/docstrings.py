"""Show the library's docstrings, which are plain text, on the page of the library.

In them a name stands in single backticks and an indented paragraph is an example, as in Markdown.
reStructuredText reads more into plain text than its author meant: a bar, a star or a plural after a name
becomes a warning, and a warning fails the build. So everything else is taken as it stands.
"""

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

CODE = re.compile(r"(`+[^`\n]+`+)")
SPECIAL = re.compile(r"(?<!^)[*|]|(?<=\w)_(?!\w)")  # a star that opens a line is a list


def literal(line: str) -> str:
    """One line of a docstring as reStructuredText: names as code, the rest as it stands."""
    if line.lstrip().startswith((">>>", "...")):
        return line
    pieces = CODE.split(line)
    pieces[::2] = [SPECIAL.sub(r"\\\g<0>", plain) for plain in pieces[::2]]
    pieces[1::2] = [f"``{name.strip('`')}``" for name in pieces[1::2]]
    for i in range(2, len(pieces), 2):  # the plural in `Example`s has to be told apart from the name
        if re.match(r"\w", pieces[i]):
            pieces[i] = "\\ " + pieces[i]
    return "".join(pieces)


def paragraphs(lines: list[str]) -> Iterator[str]:
    """The docstring's lines, with `::` before indented paragraphs; sections (`Raises:`) stay for napoleon."""
    inside = None  # "example" or "section" while lines are indented
    for before, line in zip(["", *lines], lines, strict=False):
        indented = line.startswith("    ")
        if line.strip() and not indented:
            inside = None
        elif indented and inside is None:
            inside = "section" if before.strip() else "example"
            if inside == "example":
                yield from ("::", "")
        yield line if inside == "example" else literal(line)


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = list(paragraphs(lines))
    if what in ("attribute", "property") and ": " in lines[0]:
        # Napoleon would take what stands before the colon for a type.
        lines[:1] = [part + ":" * (i == 0) for i, part in enumerate(lines[0].split(": ", 1))]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
