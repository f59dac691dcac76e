"""The figure of a model's robustness: its scores over the severity of each corruption."""

import math

import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.analyses.corruptions import SEVERITIES
from emotorch.figures.canvas import add_legend, new_figure, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from emotorch.runs.findings import Findings

_COLUMNS = 4
_COLOURS = (VERMILLION, PURPLE, GREEN, ORANGE, SKY, BLUE, BLACK)
_MARKERS = "os^DvPX"
_STEPS = (0, *SEVERITIES)


def robustness_figure(findings: Findings, scores: pd.DataFrame) -> Figure:
    """For each corruption accuracy and macro-F1 over the severity, and below it every class's recall.

    The scores have a row for the clean images, then one for each corruption and severity.
    """
    names = list(findings["quantities"])
    bands = math.ceil(len(names) / _COLUMNS)
    figure = new_figure(11.5, 4.4 * bands + 1.2, f"{findings['title']}: robustness")
    grid = figure.subplots(2 * bands, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for place, name in enumerate(names):
        band, column = divmod(place, _COLUMNS)
        above, below = grid[2 * band : 2 * band + 2, column]
        found = pd.concat([scores[:1], scores[scores["corruption"] == name]])
        above.set_title(name.replace("_", " "), fontsize=11)
        _draw_accuracy(above, found)
        if reference := findings["reference"]:
            label = f"accuracy of {reference['reference']} ({reference['images']} images)"
            _draw(above, [100 - reference["clean"][1], *reference["reference_accuracies"][name]], label, BLACK, ":")
        for number, label in enumerate(findings["labels"]):
            place = number % len(_COLOURS)
            look = _COLOURS[place], "-" if number < len(_COLOURS) else ":", _MARKERS[place]
            _draw(below, found[f"recall_{label}"], f"recall of {label}", *look)
        for axes in (above, below):
            axes.set(xlim=(-0.2, _STEPS[-1] + 0.2), ylim=(0, 100), xticks=_STEPS)
            axes.tick_params(labelsize=8, labelbottom=True)
            axes.set_xlabel("Severity (0: clean)", fontsize=8)
            tidy(axes)
    for row, all_axes in enumerate(grid):
        all_axes[0].set_ylabel("Recall of a class (%)" if row % 2 else "Accuracy, macro-F1 (%)")
    add_legend(figure, grid[:2, 0], fontsize=9, handlelength=3)
    return figure


def _draw_accuracy(axes: Axes, found: pd.DataFrame) -> None:
    low, high = found["accuracy_low"], found["accuracy_high"]
    axes.fill_between(_STEPS, low, high, color=SKY, alpha=0.4, linewidth=0, label="accuracy, 95% interval")
    clean = float(found["accuracy"].iloc[0])
    axes.axhline(clean, color=GREY, linewidth=1, linestyle="--", label="accuracy of the clean images")
    _draw(axes, found["accuracy"], "accuracy", BLUE, marker="o")
    _draw(axes, found["macro_f1"], "macro-F1", ORANGE, "--", marker="s")


def _draw(axes: Axes, percents: npt.ArrayLike, label: str, colour: str, style: str = "-", marker: str = "") -> None:
    axes.plot(_STEPS, percents, color=colour, linestyle=style, marker=marker, markersize=4, label=label)
