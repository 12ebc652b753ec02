"""Figures: `(ax, data) -> ax`. They draw what they are given and compute nothing.

Colours are Okabe and Ito's, which survive colour blindness; a second channel (marker, line style, position)
says the same, for print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gecalign.compare import Interval

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#767676"

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


def figure(width: float = 7.0, height: float = 3.6, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure in the book's style, which it sets for this process, and its axes; sizes in inches."""
    plt.rcParams.update(STYLE)  # an rc_context would also undo what notebooks need to show a second figure
    made, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    return made, list(axes[0])


def intervals(ax: Axes, rows: Mapping[str, Interval], xlabel: str, title: str) -> Axes:
    """Draw an estimate with its interval for each row, the first row on top."""
    for position, row in enumerate(rows.values()):
        y = len(rows) - 1 - position
        ax.plot([row.low, row.high], [y, y], color=BLUE, linewidth=2, solid_capstyle="butt")
        ax.plot([row.estimate], [y], "o", color=BLUE, markersize=7)
        ax.annotate(f"{row.estimate:.1f}", (row.estimate, y), (0, 9), textcoords="offset points", ha="center")
    ax.set_yticks(range(len(rows) - 1, -1, -1), list(rows))
    ax.set_ylim(-0.5, len(rows) - 0.3)
    ax.set(xlabel=xlabel, title=title)
    return ax


def lines(ax: Axes, table: pd.DataFrame, xlabel: str, ylabel: str, title: str, markers: str = "osD^vP") -> Axes:
    """Draw a line for each column of `table` over its index, named at its right end."""
    colours = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
    for (name, column), colour, marker in zip(table.items(), colours, markers, strict=False):
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


def loss_and_bleu(ax: Axes, log: pd.DataFrame, chosen_step: int) -> Axes:
    """Draw dev loss (left axis) and dev BLEU (right axis) over the updates, and mark the chosen one."""
    evaluated = log.dropna(subset=["eval_bleu"])
    trained = log.dropna(subset=["loss"])
    ax.plot(trained["step"], trained["loss"], color=SKY, linewidth=1, label="training loss")
    ax.plot(evaluated["step"], evaluated["eval_loss"], "s-", color=VERMILION, markersize=4, label="dev loss")
    ax.set(xlabel="updates", ylabel="loss (nats a token)", title="Loss falls, BLEU rises: on dev, over training")
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
    positions = range(len(table) - 1, -1, -1)
    ax.hlines(positions, table["low"], table["high"], color=SKY, linewidth=4)
    ax.plot(table["recall"], positions, "o", color=BLUE, markersize=5)
    ax.set_yticks(positions, [f"{kind} ({errors})" for kind, errors in table["errors"].items()])
    ax.set(xlabel=xlabel, title=title, xlim=(-2, 102))
    return ax


def shares(ax: Axes, table: pd.DataFrame, xlabel: str, title: str) -> Axes:
    """Draw each row of `table` as a line of points, one a column: for comparing shares by category."""
    positions = range(len(table) - 1, -1, -1)
    ax.hlines(positions, table.min(axis=1), table.max(axis=1), color=GREY, linewidth=1)
    for column, colour, marker in zip(table.columns, (BLUE, VERMILION, GREEN), "oDs", strict=False):
        ax.plot(table[column], positions, marker, color=colour, markersize=6, label=str(column))
    ax.set_yticks(positions, [str(name) for name in table.index])
    ax.set(xlabel=xlabel, title=title)
    ax.legend(frameon=False, loc="lower right")
    return ax
