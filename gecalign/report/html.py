"""A `Report` as one page: no script, no request to anywhere, light and dark, readable on a telephone.

Names of systems and sentences come from files, so everything goes through `html.escape` before it is markup.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
import pandas as pd

from gecalign import report
from gecalign.report import markup, plots
from gecalign.report.comparing import COPY, Contrast, Report
from gecalign.statistics.compare import Interval

MARKS = {"better": "▲", "worse": "▼", "equivalent": "≈", "unclear": "?"}
NAME_WIDTH = 18  # characters of a name that a figure has room for
# What figures are drawn in, and what the page makes of it: they follow its colour scheme.
COLOURS = {plots.BLACK: "ink", "#ffffff": "page", "#dddddd": "line", plots.GREY: "muted", plots.BLUE: "accent"}

CSS = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1d2530; --muted: #5c6673; --line: #dce1e7; --soft: #f5f7f9; --accent: #0b5c7d;
  --better: #0a6b4a; --worse: #a33a12; --added: #dcf3e6; --removed: #fbe3da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --ink: #d9dfe6; --muted: #a0abb8; --line: #333c47; --soft: #1b2129; --accent: #7cc4e4;
    --better: #6fd3a8; --worse: #f0a080; --added: #163d2b; --removed: #4a2418;
  }
}
* { box-sizing: border-box; }
body {
  background: var(--page); color: var(--ink); line-height: 1.6; margin: 0 auto; max-width: 54rem;
  overflow-wrap: anywhere; padding: 2rem 1.25rem 5rem;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
h1, h2, h3 { letter-spacing: -0.015em; line-height: 1.25; text-wrap: balance; }
h1 { font-size: 1.9rem; margin: 0 0 0.25rem; }
h2 { border-top: 1px solid var(--line); font-size: 1.3rem; margin: 3rem 0 0.5rem; padding-top: 1.25rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 0.25rem; }
p { margin: 0.5rem 0; max-width: 44rem; text-wrap: pretty; }
.note, footer { color: var(--muted); font-size: 0.9rem; }
.verdicts { display: grid; gap: 0.6rem; list-style: none; margin: 1rem 0; padding: 0; }
.verdicts li {
  background: var(--soft); border-left: 4px solid var(--muted); border-radius: 0.35rem; padding: 0.6rem 0.9rem 0.7rem;
}
.verdicts .better { border-color: var(--better); }
.verdicts .worse { border-color: var(--worse); }
.verdicts .equivalent { border-color: var(--accent); }
.kind { color: var(--muted); display: block; font-size: 0.8rem; font-weight: 600; }
.better .kind { color: var(--better); }
.worse .kind { color: var(--worse); }
.equivalent .kind { color: var(--accent); }
.scroll { margin: 0.75rem 0; overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { border-bottom: 1px solid var(--line); padding: 0.4rem 0.75rem; text-align: right; vertical-align: top; }
thead th, thead td { border-bottom-color: var(--muted); font-weight: 600; vertical-align: bottom; }
tbody th, thead th:first-child { font-weight: 500; padding-left: 0; text-align: left; }
tbody th { max-width: 14rem; min-width: 6rem; overflow-wrap: anywhere; }
.figures { display: grid; gap: 1rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0.5rem 0; }
figure svg { display: block; height: auto; max-width: 30rem; width: 100%; }
figure svg text { font-family: inherit; }
details { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; font-weight: 600; padding: 0.6rem 0; }
.example { margin: 0 0 1.25rem; }
.example .note { margin: 0.5rem 0 0.1rem; }
.example dl { display: grid; gap: 0.15rem 1rem; grid-template-columns: minmax(5rem, 9rem) 1fr; margin: 0; }
.example dt { color: var(--muted); font-size: 0.9rem; }
.example dd { margin: 0; }
ins, del { border-radius: 0.2rem; padding: 0 0.15em; }
ins { background: var(--added); text-decoration: underline; text-underline-offset: 0.18em; }
del { background: var(--removed); }
footer li { margin: 0.4rem 0; }
footer code { font-size: 0.85rem; }
@media (max-width: 32rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  table { font-size: 0.82rem; }
  th, td { padding: 0.35rem 0.4rem; }
  tbody th { min-width: 4.5rem; }
  .example dl { gap: 0; grid-template-columns: 1fr; }
  .example dd { margin-bottom: 0.35rem; }
}
@media print { body { max-width: none; padding: 0; } details, figure, .verdicts li { break-inside: avoid; } }
"""


def page(made: Report) -> str:
    """Return the report as a whole HTML page."""
    base, metric = made.baseline, made.metric
    sections = [
        _section("What these sentences can show", _p(report.visible_words(made)),
                 _scrolling(report.visible_table(made), "smallest visible differences")),
        _section("Verdict", _verdicts(made), *_warnings(made)),
        *([_section("About the texts", *map(_p, made.notes))] if made.notes else []),
        _section(f"Differences to {base}", *_differences(made)),
        _section("Scores", _p(f"0-100, with {100 * made.level:.0f} % intervals.", "note"),
                 _scrolling(report.score_table(made), "scores")),
        _section(f"Equivalent within {made.margin:g} {metric}?",
                 _p("That no difference was found does not show that there is none. Here the burden is turned round: "
                    "the interval must lie within the margin.", "note"),
                 _scrolling(report.equivalence_table(made), "equivalence")),
        _section("What systems do", _scrolling(report.behaviour_table(made), "behaviour")),
        _section(f"Where they differ from {base}", _p(
            f"The sentences that add most to the difference in {metric}, for the system and against it. Marked is what "
            "each changed of the source.", "note"),
            *(_examples(made, name, shown, not i) for i, (name, shown) in enumerate(made.examples.items()))),
    ]  # fmt: skip
    names = [name for name in made.systems if name not in (base, COPY)]
    title = f"{f'{len(names)} systems' if len(names) > 3 else ', '.join(names) or COPY} against {base}"
    lead = f"{made.n:,} sentences; {metric} leads; every system beside doing nothing."
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_p(lead, 'note')}\n" + "\n".join(sections) + f"\n</main>\n{_footer(made)}\n"
        "</body>\n</html>\n"
    )


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _verdicts(made: Report) -> str:
    words = {"unclear": "cannot be told apart"}
    items = (
        f'<li class="{one.kind}"><span class="kind"><span aria-hidden="true">{MARKS[one.kind]}</span> '
        f"{words.get(one.kind, one.kind)}</span>{escape(_typeset(one.text))}</li>"
        for one in made.verdicts.values()
    )
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _warnings(made: Report) -> list[str]:
    disagreements = [_p(_typeset(words)) for words in made.disagreements.values()]
    luck = report.luck_words(made)
    return [
        *(["<h3>Where metrics disagree</h3>", *disagreements] if disagreements else []),
        *(["<h3>The best of several</h3>", _p(luck)] if luck else []),
    ]


def _differences(made: Report) -> list[str]:
    figures, tables = [], []
    for metric, found in made.differences.items():
        drawn = _forest({name: one.interval for name, one in found.items()}, metric, made.baseline)
        figures.append(f"<figure>{drawn}</figure>")
        table = report.difference_table(made, metric).drop(columns="score").drop(index=made.baseline)
        tables += [f"<h3>{escape(metric)}</h3>", _scrolling(table, f"differences in {metric}")]
    about = (
        f"Points are differences, lines their {100 * made.level:.0f} % intervals; hollow and dashed where the interval "
        "contains 0."
    )
    return [_p(about, "note"), f'<div class="figures">{"".join(figures)}</div>', *tables]


def _forest(found: Mapping[str, Interval], metric: str, base: str) -> str:
    """Draw the differences as inline SVG in the colours of the page, with a text for those who cannot see it."""
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the layout has no letters for; the browser has
        made, (ax,) = plots.figure(width=4.8, height=1.1 + 0.45 * len(found))
        plt.rcParams["svg.fonttype"] = "none"
        plots.forest(
            ax,
            dict(zip(_labels(list(found)), found.values(), strict=True)),
            f"difference to {_short(base)} ({metric})",
            metric,
        )
        file = io.StringIO()
        made.savefig(file, format="svg", transparent=True)
        plt.close(made)
    drawing = file.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.S)
    drawing = re.sub(r' (?:xmlns(?::xlink)?="[^"]*"|id="[a-z_]+_\d+")', "", drawing)  # the page has several of them
    for colour, name in COLOURS.items():
        drawing = re.sub(colour, f"var(--{name})", drawing, flags=re.I)
    drawing = re.sub(r">-(?=\d)", ">\N{MINUS SIGN}", drawing)
    drawing = drawing.replace("<text ", '<text fill="var(--ink)" ')
    shown = "; ".join(f"{name} {one.estimate:+.2f} ({one.low:+.2f} to {one.high:+.2f})" for name, one in found.items())
    words = f"Intervals around a line at zero, a row a system. Difference to {base} in {metric}: {shown}."
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)


def _labels(names: Sequence[str]) -> list[str]:
    """Return names as a figure has room for them, all different."""
    short = [_short(name) for name in names]
    return short if len(set(short)) == len(short) else [f"{i}. {name}" for i, name in enumerate(short, start=1)]


def _short(name: str) -> str:
    half = NAME_WIDTH // 2
    short = name if len(name) <= NAME_WIDTH else f"{name[:half]}…{name[1 - half :]}"
    return short.replace("$", r"\$")  # no formula


def _examples(made: Report, name: str, shown: Sequence[Contrast], is_open: bool) -> str:
    if not shown:
        return _p(f"{name} and {made.baseline}: no sentence that adds to the difference.")
    items = "".join(_example(made, name, one) for one in shown)
    return f"<details{' open' if is_open else ''}><summary>{escape(name)}</summary>{items}</details>"


def _example(made: Report, name: str, one: Contrast) -> str:
    rows = [("source", markup.text(one.source)), *(("reference", markup.text(text)) for text in one.references)]
    if made.baseline != COPY:
        rows.append((made.baseline, markup.to_html(one.source, one.baseline)))
    rows.append((name, markup.to_html(one.source, one.system)))
    listed = "".join(f"<dt>{escape(label)}</dt><dd>{text}</dd>" for label, text in rows)
    about = f"sentence {one.number:,}: {_typeset(f'{one.pull:+.2f}')} {made.metric}"
    return f'<div class="example">{_p(about, "note")}<dl>{listed}</dl></div>'


def _scrolling(table: pd.DataFrame, label: str) -> str:
    """Return a table that scrolls by itself where it is too wide, by keyboard too; long cells may break before "("."""
    words = table.map(lambda text: re.sub(r"(?<! \() (?!\()", "\N{NO-BREAK SPACE}", _typeset(text)))
    shown = words.to_html(border=0, escape=True).replace("<th></th>", "<td></td>", 1)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">{shown}</div>'


def _footer(made: Report) -> str:
    lines = "".join(f"<li>{escape(words)}</li>" for words in report.method_words(made))
    signatures = "".join(
        f"<li>{escape(name)}: <code>{escape(signature)}</code></li>" for name, signature in made.signatures.items()
    )
    return (
        f"<footer>\n<h2>How the numbers were made</h2>\n<ul>{lines}</ul>\n<h3>Signatures</h3>\n"
        f"<p>Scores with different signatures must not be compared.</p>\n<ul>{signatures}</ul>\n</footer>"
    )


def _typeset(text: str) -> str:
    with_minus = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(
        r"(?<=\bp) ([<=]) (?=\d)|(?<=\d) (?=%)", lambda m: m[0].replace(" ", "\N{NO-BREAK SPACE}"), with_minus
    )
