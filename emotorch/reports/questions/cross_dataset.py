"""Every model on every dataset: a heat map, tables, and what was left out."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from emotorch.analysis.cross_dataset import Cell, CrossDataset
from emotorch.analysis.paired import Difference
from emotorch.analysis.results import write_findings
from emotorch.files import write_csv, write_text
from emotorch.reports.canvas import ORANGE, PALE, new_figure, save, wrap
from emotorch.reports.tables import text_table
from emotorch.runs import new_folder

_STEM = "cross_dataset"
_COLUMNS = (
    "model",
    "trained_on",
    "dataset",
    "own_dataset",
    "images",
    "left_out_seen",
    "seen_unknown",
    "chose_the_epoch",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "macro_f1",
    "macro_f1_low",
    "macro_f1_high",
    "accuracy_drop",
    "accuracy_drop_low",
    "accuracy_drop_high",
    "macro_f1_drop",
    "macro_f1_drop_low",
    "macro_f1_drop_high",
)
_UNKNOWN = Difference(math.nan, math.nan, math.nan)
_CHOSE = "†"
_DARK = 58  # percent from where the colour wants white letters


def write_cross_dataset(models: Path, found: CrossDataset) -> Path:
    """Writes `cross_dataset_<time>/` into a folder, whole or not at all; returns it."""
    with new_folder(models, _STEM) as new:
        write_text(new.prepared / "matrix.txt", describe(found) + "\n")
        write_csv(new.prepared / "matrix.csv", _COLUMNS, _rows(found))
        write_csv(new.prepared / "classes.csv", ("dataset", "class", "images", "compared"), _class_rows(found))
        _plot(new.prepared / "matrix.png", found)
        write_findings(new.prepared, _findings(found))
    return new.final


def _findings(found: CrossDataset) -> dict[str, object]:
    rows = [{name: None if v == "NaN" else v for name, v in zip(_COLUMNS, r, strict=True)} for r in _rows(found)]
    counts = {row[0].model: {cell.dataset: cell.counts.tolist() for cell in row} for row in found.cells}
    return {
        "labels": list(found.labels),
        "datasets": list(found.datasets),
        "notes": list(found.notes),
        "synthetic": found.synthetic,
        "cells": rows,
        "counts": counts,
        "left_out": {name: dict(tested.left_out) for name, tested in found.sets.items()},
        "pictures": {"matrix": "matrix.png"},
        "tables": {"matrix": "matrix.csv", "classes": "classes.csv", "text": "matrix.txt"},
    }


def _title(found: CrossDataset) -> str:
    synthetic = " (synthetic faces)" if found.synthetic else ""
    return f"Trained on one dataset, tested on others: {', '.join(found.labels)}{synthetic}"


# --- Text and tables ----------------------------------------------------------------------------------------


def describe(found: CrossDataset) -> str:
    """The matrix, and everything that was left out of it, for a terminal."""
    header = ("model", "trained on", "tested on", "images", "accuracy", "macro-F1", "drop", "macro-F1 drop", "left out")
    rows: list[Sequence[str]] = [header]
    for entrant, row in zip(found.entrants, found.cells, strict=True):
        for cell in row:
            own = ("own", "own") if cell.own else (_signed(cell.drop), _signed(cell.f1_drop))
            scores = (_interval(cell.accuracy), _interval(cell.macro_f1))
            images = f"{cell.images:,}{_CHOSE if cell.chose else ''}"
            left_out = "unknown" if cell.seen_unknown else f"{cell.seen:,}"
            rows.append((cell.model, entrant.trained_on or "?", cell.dataset, images, *scores, *own, left_out))
    table = text_table(rows, left=("model", "trained on", "tested on"))
    return "\n".join([_title(found), *found.notes, "", table, "", *_footnotes(found)])


def _footnotes(found: CrossDataset) -> Iterator[str]:
    for name, tested in found.sets.items():
        if tested.left_out:
            classes = ", ".join(f"{label} {count:,}" for label, count in tested.left_out.items())
            yield f"{name}: {sum(tested.left_out.values()):,} images of classes that not all share: {classes}"
    yield "left out: images that the model was trained on, or a variant or an exact twin of which"
    yield "percent, with 95% intervals; macro-F1 over the classes that a dataset has; drop: points below its own"
    if any(cell.chose for row in found.cells for cell in row):
        yield f"{_CHOSE} images that chose the model's epoch, to which they are not quite unseen: {_chose(found)}"


def _chose(found: CrossDataset) -> str:
    cells = (cell for row in found.cells for cell in row if cell.chose)
    return ", ".join(f"{cell.model} on {cell.dataset} {cell.chose:,}" for cell in cells)


def _interval(value: Difference) -> str:
    return "-" if math.isnan(value.value) else f"{value.value:.2f} ({value.low:.2f}–{value.high:.2f})"


def _signed(value: Difference | None) -> str:
    return "?" if value is None else f"{value.value:+.2f} ({value.low:+.2f} to {value.high:+.2f})"


def _rows(found: CrossDataset) -> Iterator[tuple[object, ...]]:
    for entrant, row in zip(found.entrants, found.cells, strict=True):
        for cell in row:
            values = (cell.accuracy, cell.macro_f1, cell.drop or _UNKNOWN, cell.f1_drop or _UNKNOWN)
            parts = (part for value in values for part in (value.value, value.low, value.high))
            figures = ("NaN" if math.isnan(part) else round(part, 4) for part in parts)
            seen = ("NaN" if cell.seen_unknown else cell.seen, cell.seen_unknown, cell.chose)
            yield (cell.model, entrant.trained_on or "", cell.dataset, cell.own, cell.images, *seen, *figures)


def _class_rows(found: CrossDataset) -> Iterator[tuple[object, ...]]:
    for name, tested in found.sets.items():
        counts = np.bincount(tested.images.labels, minlength=len(found.labels)).tolist()
        for label, count in zip(found.labels, counts, strict=True):
            yield name, label, count, True
        for label, count in tested.left_out.items():
            yield name, label, count, False


# --- Picture ------------------------------------------------------------------------------------------------


def _plot(path: Path, found: CrossDataset) -> Path:
    """Accuracy and macro-F1 side by side, on one colour scale."""
    rows, columns = len(found.entrants), len(found.datasets)
    names = [f"{entrant.name}\ntrained on {entrant.trained_on or '?'}" for entrant in found.entrants]
    longest = max(len(line) for name in names for line in name.split("\n"))
    width = max(2 * columns * 1.45 + longest * 0.085 + 1.6, 7.5)
    note = wrap(
        "orange: the dataset that the model was trained on, other images of it; drop: points below that; "
        f"{_CHOSE} some of the images chose the model's epoch",
        width,
        9,
    )
    figure = new_figure(width, rows * 1.15 + 1.6 + 0.17 * note.count("\n"), _title(found), compress=True)
    axes = figure.subplots(1, 2, sharey=True)
    image = _draw(axes[0], found, [[(c.accuracy, c.drop) for c in row] for row in found.cells], "Accuracy")
    _draw(axes[1], found, [[(c.macro_f1, c.f1_drop) for c in row] for row in found.cells], "Macro-F1")
    axes[0].set_yticks(range(rows), names, parse_math=False)
    bar = figure.colorbar(image, ax=list(axes), pad=0.02)
    bar.set_label("Percent")
    bar.outline.set_visible(False)
    figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    return save(figure, path)


def _draw(
    axes: Axes, found: CrossDataset, values: Sequence[Sequence[tuple[Difference, Difference | None]]], title: str
) -> AxesImage:
    scores = np.array([[score.value for score, _ in row] for row in values])
    colours = colormaps["Blues"].with_extremes(bad=PALE)
    image = axes.imshow(scores, cmap=colours, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(scores):
        cell = found.cells[row][column]
        ink = "white" if value > _DARK else "black"
        lines = _cell_lines(cell, *values[row][column])
        for place, (text, points) in enumerate(zip(lines, (12, 8, 8, 8), strict=False)):
            axes.text(column, row - 0.3 + 0.2 * place, text, ha="center", va="center", fontsize=points, color=ink)
        if cell.own:
            frame = Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=ORANGE, linewidth=3)
            axes.add_patch(frame)
    axes.set_xticks(range(len(found.datasets)), [f"on {name}" for name in found.datasets], parse_math=False)
    axes.set_title(title, fontsize=11)
    axes.set_xticks(np.arange(len(found.datasets) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(values) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


def _cell_lines(cell: Cell, score: Difference, drop: Difference | None) -> list[str]:
    if math.isnan(score.value):
        return ["–", "no image left"]
    fall = "own dataset" if cell.own else "drop unknown" if drop is None else f"drop {drop.value:+.1f}"
    images = f"n = {cell.images:,}{_CHOSE if cell.chose else ''}"
    return [f"{score.value:.1f}", f"{score.low:.1f}–{score.high:.1f}", fall, images]
