"""Figures: `(ax, data) -> ax`. They draw what they are given and compute nothing.

Colours are Okabe and Ito's, which survive colour blindness; a second channel (marker, line style, position)
says the same, for print.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gecalign.report.beside import Beside
from gecalign.runtime.store import project_folder, writing
from gecalign.statistics.compare import Difference, Interval

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#767676"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY)  # of several things in one figure, in this order
SHADE, BAND = "#b4b4b4", "#dcdcdc"  # what stands behind

STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.hashsalt": "gecalign",  # the same figure gives the same bytes
}


def figure(width: float = 7.0, height: float = 3.6, columns: int = 1, rows: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure in the book's style, which it sets for this process, and its axes row by row; sizes in inches."""
    plt.rcParams.update(STYLE)  # an rc_context would also undo what notebooks need to show a second figure
    made, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    return made, list(axes.ravel())


def _rows(ax: Axes, names: Iterable[object]) -> range:
    """Give each name a row, the first on top; return where they are."""
    labels = [str(name) for name in names]
    positions = range(len(labels) - 1, -1, -1)
    ax.set_yticks(positions, labels)
    return positions


def intervals(ax: Axes, rows: Mapping[str, Interval], xlabel: str, title: str) -> Axes:
    """Draw an estimate with its interval for each row, the first row on top."""
    for y, row in zip(_rows(ax, rows), rows.values(), strict=True):
        ax.plot([row.low, row.high], [y, y], color=BLUE, linewidth=2, solid_capstyle="butt")
        ax.plot([row.estimate], [y], "o", color=BLUE, markersize=7)
        ax.annotate(f"{row.estimate:.1f}", (row.estimate, y), (0, 9), textcoords="offset points", ha="center")
    ax.set_ylim(-0.5, len(rows) - 0.3)
    ax.set(xlabel=xlabel, title=title)
    return ax


def lines(ax: Axes, table: pd.DataFrame, xlabel: str, ylabel: str, title: str, markers: str = "osD^vP") -> Axes:
    """Draw a line for each column of `table` over its index, named at its right end."""
    for (name, column), colour, marker in zip(table.items(), COLOURS, markers, strict=False):
        known = column.dropna()
        ax.plot(known.index, known, marker=marker, markersize=4, color=colour, label=str(name))
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(frameon=False)
    return ax


def visible_effect(ax: Axes, table: pd.DataFrame, marks: Mapping[str, tuple[float, float]], title: str) -> Axes:
    """Draw the smallest visible effect (BLEU) against the number of sentences, both on log scales.

    Args:
        table: index sentences, a column for each share of changed outputs.
        marks: points (sentences, BLEU) to name in the figure.
    """
    lines(ax, table, "sentences in the test set", "smallest visible difference (BLEU)", title, markers=" " * 6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis, ticks in (
        (ax.xaxis, (100, 200, 500, 1000, 2000, 5000, 10_000)),
        (ax.yaxis, (0.1, 0.2, 0.5, 1, 2, 5)),
    ):
        axis.set_major_locator(plt.FixedLocator(ticks))
        axis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(plt.NullLocator())
    for name, (x, y) in marks.items():
        ax.plot([x], [y], "o", color=BLACK, zorder=3)
        ax.annotate(name, (x, y), (-8, -14), textcoords="offset points", ha="right")
    return ax


def runs_behind(ax: Axes, curves: pd.DataFrame, label: str = "runs of the record") -> Axes:
    """Draw a thin grey line for each column of `curves` over its index, behind everything else."""
    for i, (_, column) in enumerate(curves.items()):
        known = column.dropna()
        ax.plot(known.index, known, color=SHADE, linewidth=1.2, zorder=1, label=label if i == 0 else None)
    return ax


def beside(ax: Axes, rows: Mapping[str, Beside], xlabel: str, title: str) -> Axes:
    """Draw one run beside the record: a dot a seed, a band where one more run is expected, a diamond for this one."""
    for y, one in zip(_rows(ax, rows), rows.values(), strict=True):
        low, high = one.expected
        ax.fill_betweenx([y - 0.3, y + 0.3], low, high, color=BAND, linewidth=0)
        ax.plot(one.record, np.full(len(one.record), y), ".", color=ORANGE, markersize=8)
        ax.plot([one.here], [y], "D", color=BLUE, markersize=8, markerfacecolor="none", markeredgewidth=2)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.plot([], [], ".", color=ORANGE, markersize=8, label="the record, a dot a seed")
    ax.plot([], [], "s", color=BAND, markersize=10, label="expected of one more run (95 %)")
    ax.plot([], [], "D", color=BLUE, markerfacecolor="none", markeredgewidth=2, label="this run")
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.28), ncols=3)
    ax.set(xlabel=xlabel, title=title)
    return ax


def loss_and_bleu(ax: Axes, log: pd.DataFrame, chosen_step: int) -> Axes:
    """Draw dev loss (left axis) and dev BLEU (right axis) over the updates, and mark the chosen one."""
    evaluated = log.dropna(subset=["eval_bleu"])
    trained = log.dropna(subset=["loss"])
    ax.plot(trained["step"], trained["loss"], color=SKY, linewidth=1, label="training loss")
    ax.plot(evaluated["step"], evaluated["eval_loss"], "s-", color=VERMILION, markersize=4, label="dev loss")
    ax.set(xlabel="updates", ylabel="loss (nats a token)", title="Loss and BLEU during fine-tuning")
    right = ax.twinx()
    right.plot(evaluated["step"], evaluated["eval_bleu"], "o--", color=BLUE, markersize=5, label="dev BLEU (right)")
    right.axvline(chosen_step, color=GREY, linewidth=1, linestyle=":")
    right.set_ylabel("BLEU")
    right.grid(False)
    right.spines["right"].set_visible(True)
    handles = [*ax.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    ax.legend(handles, [str(handle.get_label()) for handle in handles], frameon=False, loc="center right")
    return ax


def recall_by_type(ax: Axes, table: pd.DataFrame, xlabel: str, title: str) -> Axes:
    """Draw recall with its interval for each error type; `table` as `tables.recall_by_type` gives it."""
    positions = _rows(ax, (f"{kind} ({errors})" for kind, errors in table["errors"].items()))
    ax.hlines(positions, table["low"], table["high"], color=SKY, linewidth=4)
    ax.plot(table["recall"], positions, "o", color=BLUE, markersize=5)
    ax.set(xlabel=xlabel, title=title, xlim=(-2, 102))
    return ax


def shares(ax: Axes, table: pd.DataFrame, xlabel: str, title: str) -> Axes:
    """Draw each row of `table` as a line of points, one a column: for comparing shares by category."""
    positions = _rows(ax, table.index)
    ax.hlines(positions, table.min(axis=1), table.max(axis=1), color=GREY, linewidth=1)
    for column, colour, marker in zip(table.columns, COLOURS, "oDs", strict=False):
        ax.plot(table[column], positions, marker, color=colour, markersize=6, label=str(column))
    ax.set(xlabel=xlabel, title=title)
    ax.legend(frameon=False, loc="lower right")
    return ax


def funnel(ax: Axes, stages: Mapping[str, int], title: str) -> Axes:
    """Draw how many prompts are left after each filter, the first stage on top."""
    counts = list(stages.values())
    bars = ax.barh(_rows(ax, stages), counts, color=SKY, height=0.6)
    ax.bar_label(bars, [f"{count:,} ({count / counts[0]:.0%})" for count in counts], padding=4)
    ax.set(xlabel="prompts", title=title, xlim=(0, 1.25 * counts[0]))
    ax.grid(axis="y", visible=False)
    return ax


def histogram(
    ax: Axes, values: Sequence[float], marks: Mapping[str, float], xlabel: str, ylabel: str, title: str
) -> Axes:
    """Draw the distribution of `values`, and a named vertical line for each mark."""
    ax.hist(values, bins=40, range=(0, 1), color=SKY, edgecolor="white", linewidth=0.4)
    for (name, x), colour, style in zip(marks.items(), COLOURS, ("-", "--", ":"), strict=False):
        ax.axvline(x, color=colour, linestyle=style, linewidth=2, label=f"{name}: {x:.3f}")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if marks:
        ax.legend(frameon=False, loc="upper left")
    return ax


def training(
    ax: Axes, log: pd.DataFrame, columns: Mapping[str, str], ylabel: str, title: str, chosen_step: int | None = None
) -> Axes:
    """Draw columns of a training log over the updates, under the names that `columns` gives them.

    Columns of evaluations, which have few values, are drawn with markers; the others as lines.
    """
    for (column, name), colour, marker in zip(columns.items(), COLOURS, "osD^vP", strict=False):
        known = log.dropna(subset=[column])
        few = column.startswith("eval_")
        ax.plot(known["step"], known[column], ("--" if few else "-") + (marker if few else ""), color=colour,
                markersize=5, linewidth=1.5, label=name)  # fmt: skip
    if chosen_step is not None:
        ax.axvline(chosen_step, color=GREY, linewidth=1, linestyle=":")
    ax.set(xlabel="updates", ylabel=ylabel, title=title)
    ax.legend(frameon=False)
    return ax


def checkpoints(ax: Axes, table: pd.DataFrame, start: float, title: str) -> Axes:
    """Draw dev BLEU of every checkpoint by group size, with mean and deviation, and mark the best of all.

    Args:
        table: columns "group size", "step", "BLEU", as `sweep.checkpoints` gives them, of one design.
        start: BLEU of the model that training started from, drawn as a line.
    """
    sizes = sorted(set(table["group size"].tolist()))
    ax.axhline(start, color=GREY, linestyle="--", linewidth=1, label="SFT, the start")
    best = (0.0, float("-inf"))
    for position, (size, colour) in enumerate(zip(sizes, COLOURS, strict=False)):
        rows = table.loc[table["group size"] == size].sort_values("step")
        steps, bleu = rows["step"].tolist(), rows["BLEU"].tolist()
        across = [position - 0.18 + 0.12 * i for i in range(len(bleu))]
        ax.plot(across, bleu, "o", color=colour, markersize=7)
        for x, y, step in zip(across, bleu, steps, strict=True):
            ax.annotate(f"{step}", (x, y), (0, 9), textcoords="offset points", ha="center", fontsize=8, color=GREY)
        ax.errorbar([position + 0.34], [rows["BLEU"].mean()], [rows["BLEU"].std()], fmt="D", color=colour,
                    capsize=4, markersize=5)  # fmt: skip
        best = max([best, *zip(across, bleu, strict=True)], key=lambda point: point[1])
    ax.plot(*best, "o", markersize=14, markerfacecolor="none", markeredgecolor=BLACK, label="best of all")
    ax.set_xticks(range(len(sizes)), [f"c = {size}" for size in sizes])
    ax.set(xlabel="group size (small numbers: updates; diamonds: mean and deviation)", ylabel="dev BLEU", title=title)
    ax.margins(y=0.2)
    ax.legend(frameon=False, fontsize=9)
    return ax


def heatmap(
    ax: Axes, table: pd.DataFrame, texts: pd.DataFrame, xlabel: str, ylabel: str, title: str, limit: float
) -> Axes:
    """Draw a table of differences as colours around zero, with a text in each cell; `limit` is where colours end.

    Seven arguments, as three of them are the words without which nobody can read a figure.
    """
    values = table.to_numpy(dtype=float)
    ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        colour = "white" if abs(value) > 0.6 * limit else BLACK
        ax.text(j, i, str(texts.iat[i, j]), ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(range(len(table.columns)), [str(name) for name in table.columns])
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(visible=False)
    return ax


def differences(ax: Axes, rows: Mapping[str, Difference], marked: Collection[str], xlabel: str, title: str) -> Axes:
    """Draw differences to a baseline with their intervals, the first row on top, and a small dot for each seed.

    Rows in `marked` are drawn in colour and with round points, the others in grey and with squares.
    """
    for y, (name, row) in zip(_rows(ax, rows), rows.items(), strict=True):
        colour, marker = (BLUE, "o") if name in marked else (GREY, "s")
        ax.plot([row.interval.low, row.interval.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
        ax.plot(row.per_seed, np.full(row.seeds, y - 0.28), ".", color=ORANGE, markersize=5)
        ax.plot([row.estimate], [y], marker, color=colour, markersize=7)
        ax.annotate(f"{row.estimate:+.1f}", (row.estimate, y), (0, 7), textcoords="offset points", ha="center",
                    fontsize=9)  # fmt: skip
    ax.axvline(0, color=BLACK, linewidth=1)
    ax.set_ylim(-0.6, len(rows) - 0.3)
    ax.set(xlabel=xlabel, title=title)
    return ax


def points(
    ax: Axes, groups: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str
) -> Axes:
    """Draw points (x, y) by group, and the diagonal on which both are equal."""
    for (name, (x, y)), colour, marker in zip(groups.items(), COLOURS, "osD^vPX", strict=False):
        ax.plot(x, y, marker, color=colour, markersize=6, label=name)
    ends = [*ax.get_xlim(), *ax.get_ylim()]
    ax.plot([min(ends), max(ends)], [min(ends), max(ends)], color=GREY, linewidth=1, linestyle="--", label="equal")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(frameon=False, fontsize=9)
    return ax


def strips(ax: Axes, rows: Mapping[str, Sequence[float]], xlabel: str, title: str) -> Axes:
    """Draw the values of each row as dots and their mean as a bar, the first row on top."""
    for y, values in zip(_rows(ax, rows), rows.values(), strict=True):
        ax.plot(values, np.full(len(values), y), "o", color=BLUE, markersize=5, alpha=0.5)
        ax.plot([np.mean(values)] * 2, [y - 0.28, y + 0.28], color=VERMILION, linewidth=2.5)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set(xlabel=xlabel, title=title)
    return ax


def clouds(
    ax: Axes,
    record: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    here: Mapping[str, tuple[float, float]],
    xlabel: str,
    ylabel: str,
    title: str,
) -> Axes:
    """Draw for each name a small point a run of the record, and a diamond for this run."""
    for (name, (x, y)), colour, marker in zip(record.items(), COLOURS, "osv^Ph", strict=False):
        ax.plot(x, y, marker, color=colour, markersize=4, linestyle="none")
        ax.plot(*([value] for value in here[name]), "D", color=colour, markersize=9, markerfacecolor="none",
                markeredgewidth=2)  # fmt: skip
        ax.annotate(name, here[name], (9, 6), textcoords="offset points", color=colour)
    ax.margins(x=0.15, y=0.15)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax


def forest(ax: Axes, rows: Mapping[str, Interval], xlabel: str, title: str) -> Axes:
    """Draw intervals of differences around a line at zero, the first row on top.

    A full line and a filled point: the interval does not contain 0. A dashed line and a hollow point: it does.
    """
    ax.axvline(0, color=BLACK, linewidth=1)
    for y, row in zip(_rows(ax, rows), rows.values(), strict=True):
        clear = row.low > 0 or row.high < 0
        colour, face = (BLUE, BLUE) if clear else (GREY, "white")
        ax.plot([row.low, row.high], [y, y], "-" if clear else "--", color=colour, linewidth=2)
        ax.plot([row.estimate], [y], "o", color=colour, markerfacecolor=face, markersize=7, markeredgewidth=1.5)
        ax.annotate(f"{row.estimate:+.2f}", (row.estimate, y), (0, 8), textcoords="offset points", ha="center",
                    fontsize=9)  # fmt: skip
    ax.set_ylim(-0.5, len(rows) - 0.3)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=xlabel, title=title)
    return ax


def save(made: Figure, name: str) -> None:
    """Write a figure to `images/` in the project that one works in, under the published study's name for it."""
    folder = project_folder() / "images"
    folder.mkdir(exist_ok=True)
    with writing(folder / name) as beside:
        made.savefig(beside, dpi=150)
