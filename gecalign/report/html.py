"""A `Report` as one page: no script, no request to anywhere, light and dark, readable on a telephone.

What the page says and looks like stands in `page.html.jinja`. Names of systems and sentences come from files: the
template escapes all it is given, but for what is `Markup` already.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gecalign import report
from gecalign.report import markup, plots
from gecalign.report.comparing import Report
from gecalign.report.inputs import COPY
from gecalign.report.verdicts import whole_per_cent

MARKS = {"better": "▲", "worse": "▼", "equivalent": "≈", "unclear": "?"}
NAME_WIDTH = 18  # characters of a name that a figure has room for
# What figures are drawn in, and what the page makes of it: they follow its colour scheme.
COLOURS = {plots.BLACK: "ink", "#ffffff": "page", "#dddddd": "line", plots.GREY: "muted", plots.BLUE: "accent"}


def page(made: Report) -> str:
    """Return the report as a whole HTML page."""
    folder = FileSystemLoader(Path(__file__).parent)
    pages = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    names = [name for name in made.systems if name not in (made.baseline, COPY)]
    return pages.get_template("page.html.jinja").render(
        made=made,
        report=report,
        title=f"{f'{len(names)} systems' if len(names) > 3 else ', '.join(names) or COPY} against {made.baseline}",
        level=whole_per_cent(made.level),
        marks=MARKS,
        copy=COPY,
        typeset=_typeset,
        visible=markup.visible,
        changes=lambda source, text: Markup(markup.to_html(source, text)),
        cells=_cells,
        forest=_forest,
    )


def _forest(made: Report, metric: str) -> Markup:
    """Draw the differences by a metric as inline SVG, with a text for those who cannot see it."""
    found = {name: one.interval for name, one in made.differences[metric].items()}
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the layout has no letters for; the browser has
        figure, (ax,) = plots.figure(width=4.8, height=1.1 + 0.45 * len(found))
        plt.rcParams["svg.fonttype"] = "none"
        rows = dict(zip(_labels(list(found)), found.values(), strict=True))
        plots.forest(ax, rows, f"difference to {_short(made.baseline)} ({metric})", metric)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
        plt.close(figure)
    shown = "; ".join(f"{name} {one.estimate:+.2f} ({one.low:+.2f} to {one.high:+.2f})" for name, one in found.items())
    words = f"Intervals around a line at zero, a row a system. Difference to {made.baseline} in {metric}: {shown}."
    drawing = _as_of_the_page(file.getvalue())
    return Markup(drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1))


def _as_of_the_page(drawing: str) -> str:
    """Return an SVG file as a part of a page that has several: in the page's colours, without ids and declarations."""
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.S)
    drawing = re.sub(r' (?:xmlns(?::xlink)?="[^"]*"|id="[a-z_]+_\d+")', "", drawing)
    for colour, name in COLOURS.items():
        drawing = re.sub(colour, f"var(--{name})", drawing, flags=re.I)
    drawing = re.sub(r">-(?=\d)", ">\N{MINUS SIGN}", drawing)
    return drawing.replace("<text ", '<text fill="var(--ink)" ')


def _labels(names: Sequence[str]) -> list[str]:
    """Return names as a figure has room for them, all different."""
    short = [_short(name) for name in names]
    return short if len(set(short)) == len(short) else [f"{i}. {name}" for i, name in enumerate(short, start=1)]


def _short(name: str) -> str:
    half = NAME_WIDTH // 2
    short = name if len(name) <= NAME_WIDTH else f"{name[:half]}…{name[1 - half :]}"
    return short.replace("$", r"\$")  # no formula


def _cells(table: pd.DataFrame) -> Markup:
    """Return a table as HTML; long cells may break before "(" only."""
    words = table.map(lambda text: re.sub(r"(?<! \() (?!\()", "\N{NO-BREAK SPACE}", _typeset(text)))
    return Markup(words.to_html(border=0, escape=True).replace("<th></th>", "<td></td>", 1))


def _typeset(text: str) -> str:
    with_minus = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(
        r"(?<=\bp) ([<=]) (?=\d)|(?<=\d) (?=%)", lambda m: m[0].replace(" ", "\N{NO-BREAK SPACE}"), with_minus
    )
