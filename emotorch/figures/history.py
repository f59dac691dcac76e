"""Pictures of a training: loss and accuracy over the epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emotorch.figures.canvas import add_legend, new_figure, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION


@dataclass(frozen=True)
class Curve:
    """What one set of images scored: (E,) numbers, one per epoch, NaN where unknown; the accuracy in percent."""

    loss: Sequence[float]
    accuracy: Sequence[float]


# Fixed by name, so that a set looks the same in every run, whichever other sets are missing.
_CURVE_STYLES: dict[str, dict[str, str]] = {
    "Training": {"color": BLACK, "linestyle": "-", "marker": "o"},
    "FER validation": {"color": BLUE, "linestyle": "--", "marker": "s"},
    "CK+ validation": {"color": VERMILLION, "linestyle": "-.", "marker": "^"},
    "Combined validation": {"color": PURPLE, "linestyle": ":", "marker": "D"},
}
_OTHER_CURVE_STYLES = (
    {"color": GREEN, "linestyle": "--", "marker": "v"},
    {"color": ORANGE, "linestyle": "-.", "marker": "P"},
)


def history_figure(history: Mapping[str, Curve], title: str, best_epoch: int | None) -> Figure:
    """Draws loss and accuracy over the epochs.

    Args:
        history: At least one curve, all of the same epochs, by the name that the legend gives it: "Training", "FER
            validation", "CK+ validation", "Combined validation", or another set's.
        best_epoch: The epoch whose weights were kept, counted from 1; None draws no line.
    """
    epochs = len(next(iter(history.values())).loss)
    figure = new_figure(10, 4.4, title)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    others = [name for name in history if name not in _CURVE_STYLES]
    for name, curve in history.items():
        style = _CURVE_STYLES.get(name) or _OTHER_CURVE_STYLES[others.index(name) % len(_OTHER_CURVE_STYLES)]
        # Hollow markers: sets that score the same (without CK+, FER and combined) both stay visible.
        look: dict[str, Any] = {"markerfacecolor": "white", "markersize": 5 if epochs <= 20 else 3.5, **style}
        for axes, values in ((loss_axes, curve.loss), (accuracy_axes, curve.accuracy)):
            axes.plot(range(1, epochs + 1), values, label=name, linewidth=1.8, **look)
    for axes, quantity in ((loss_axes, "Loss"), (accuracy_axes, "Accuracy (%)")):
        axes.set(xlabel="Epoch", ylabel=quantity, xlim=(0.5, epochs + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        tidy(axes)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GREY, linewidth=1.5, zorder=0)
            # Near an end the words stay inside the panel.
            place = (best_epoch - 0.5) / epochs
            side = "left" if place < 0.15 else "right" if place > 0.85 else "center"
            above: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "fontsize": 9}
            axes.annotate(f"best epoch: {best_epoch}", (best_epoch, 1), textcoords="offset points", ha=side, **above)
    add_legend(figure, [loss_axes], handlelength=3.5)
    return figure
