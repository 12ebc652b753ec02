"""Figures show the data that they are given, with titles and units."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
from gecalign.report import plots  # after the backend is chosen
from gecalign.statistics.compare import Interval

ROW = Interval(70.0, 74.0, 72.0, "percentile", 100, 1000, 0.95)
LOG = pd.DataFrame(
    {
        "step": [0, 10, 20, 30],
        "loss": [None, 2.0, 1.5, 1.2],
        "eval_loss": [3.0, None, 1.6, 1.4],
        "eval_bleu": [5.0, None, 60.0, 70.0],
    }
)
TYPES = pd.DataFrame(
    {"errors": [10, 20], "recall": [80.0, 40.0], "low": [70.0, 30.0], "high": [90.0, 50.0]},
    index=["DET", "PREP"],
)
SHARES = pd.DataFrame({"real": [19.4, 10.4], "made": [20.0, 9.0]}, index=["PUNCT", "DET"])

CHECKPOINTS = pd.DataFrame(
    {"group size": [4, 4, 8, 8], "step": [10, 20, 10, 20], "BLEU": [70.0, 71.0, 69.0, 73.0], "design": "equal steps"}
)
GAINS = pd.DataFrame({"0%": [-1.0, np.nan], "60%": [5.0, 0.5]}, index=[200, 600])

DRAWN = {
    "intervals": lambda ax: plots.intervals(ax, {"copy": ROW, "SFT": ROW}, "BLEU", "Results"),
    "lines": lambda ax: plots.lines(ax, SHARES, "type", "share (%)", "Lines"),
    "visible_effect": lambda ax: plots.visible_effect(
        ax, pd.DataFrame({"40 %": [2.0, 0.2]}, index=[100, 10_000]), {"a study": (485, 0.4)}, "Visible"
    ),
    "loss_and_bleu": lambda ax: plots.loss_and_bleu(ax, LOG, chosen_step=30),
    "recall_by_type": lambda ax: plots.recall_by_type(ax, TYPES, "recall (%)", "Types"),
    "funnel": lambda ax: plots.funnel(ax, {"prompts": 100, "without ties": 40}, "Funnel"),
    "histogram": lambda ax: plots.histogram(ax, [0.1, 0.5, 1.0], {"mean": 0.53}, "reward", "samples", "Rewards"),
    "training": lambda ax: plots.training(ax, LOG, {"loss": "training", "eval_bleu": "dev"}, "BLEU", "Log", 30),
    "checkpoints": lambda ax: plots.checkpoints(ax, CHECKPOINTS, 70.5, "Checkpoints"),
    "heatmap": lambda ax: plots.heatmap(ax, GAINS, GAINS.map("{:.1f}".format), "left", "updates", "Map", 8),
    "shares": lambda ax: plots.shares(ax, SHARES, "share (%)", "Shares"),
}


@pytest.fixture
def ax():
    made, (axes,) = plots.figure()
    yield axes
    plots.plt.close(made)


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_returns_its_axes_with_a_title_and_a_labelled_axis(name, ax):
    assert DRAWN[name](ax) is ax
    assert ax.get_title(loc="left") or ax.get_title()
    assert ax.get_xlabel()


def test_intervals_draw_each_row_beside_its_name_the_first_on_top(ax):
    rows = {"copy": ROW, "SFT": Interval(80.0, 84.0, 82.0, "percentile", 100, 1000, 0.95)}
    plots.intervals(ax, rows, "BLEU", "Results")
    names = {label.get_position()[1]: label.get_text() for label in ax.get_yticklabels()}
    points = {names[line.get_ydata()[0]]: line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "o"}
    assert points == {"copy": 72.0, "SFT": 82.0}
    assert names[max(names)] == "copy"


def test_loss_and_bleu_are_drawn_at_the_steps_where_they_were_measured(ax):
    DRAWN["loss_and_bleu"](ax)
    drawn = {line.get_label(): line for axes in ax.figure.axes for line in axes.get_lines()}
    np.testing.assert_allclose(drawn["dev loss"].get_xydata(), [[0, 3.0], [20, 1.6], [30, 1.4]])
    np.testing.assert_allclose(drawn["dev BLEU (right)"].get_xydata(), [[0, 5.0], [20, 60.0], [30, 70.0]])


def test_recall_is_drawn_as_an_interval_around_the_estimate(ax):
    DRAWN["recall_by_type"](ax)
    (bars,) = ax.collections
    assert [tuple(segment[:, 0]) for segment in bars.get_segments()] == [(70.0, 90.0), (30.0, 50.0)]
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), [80.0, 40.0])


def test_no_two_series_share_both_colour_and_marker(ax):
    DRAWN["shares"](ax)
    styles = [(line.get_color(), line.get_marker()) for line in ax.get_lines()]
    assert len(styles) == len(set(styles)) == 2


def test_the_funnel_says_how_many_are_left(ax):
    plots.funnel(ax, {"prompts": 200, "without ties": 50}, "Funnel")
    assert [text.get_text() for text in ax.texts] == ["200 (100%)", "50 (25%)"]
    assert [patch.get_width() for patch in ax.patches] == [200, 50]


def test_the_best_checkpoint_of_all_is_circled(ax):
    plots.checkpoints(ax, CHECKPOINTS, 70.5, "Checkpoints")
    (circle,) = [line for line in ax.lines if line.get_label() == "best of all"]
    assert circle.get_ydata()[0] == 73.0
    assert round(circle.get_xdata()[0]) == 1  # in the column of the second group size


def test_a_cell_of_the_map_without_a_trial_stays_empty(ax):
    plots.heatmap(ax, GAINS, GAINS.map("{:.1f}".format), "left", "updates", "Map", 8)
    assert sorted(text.get_text() for text in ax.texts) == ["-1.0", "0.5", "5.0"]


def test_marks_stand_at_their_values(ax):
    plots.histogram(ax, [0.1, 0.5, 1.0], {"mean": 0.53, "best": 0.9}, "reward", "samples", "Rewards")
    assert [line.get_xdata()[0] for line in ax.lines] == [0.53, 0.9]


def test_figures_are_saved_in_the_project(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    made, _ = plots.figure()
    plots.save(made, "a.png")
    plots.plt.close(made)
    assert (tmp_path / "images" / "a.png").stat().st_size > 0
