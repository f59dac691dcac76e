"""Pictures of a dataset: its balance, how light and sharp its images are, samples, and what may be wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from emotorch.figures.canvas import (
    CHARACTER_EM,
    DPI,
    TITLE_POINTS,
    PixelPage,
    Pixels,
    line_height,
    new_figure,
    require,
    wrap,
)
from emotorch.figures.colours import BLUE, SKY

# Of sheets of images.
_TILE = 96  # pixels, about: enlarged by a whole factor, so that nothing is blurred
_GAP = 6
_MARGIN = 18
_ROW_POINTS = 9.0


def balance_figure(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """Draws the number of images of each class, one panel for each split; all have the same classes in one order."""
    require(len(counts) > 0, "a figure of the balance needs at least one split")
    labels = list(next(iter(counts.values())))
    require(all(list(classes) == labels for classes in counts.values()), "splits of different classes")
    columns = min(len(counts), 3)
    rows = math.ceil(len(counts) / columns)
    names = max(map(len, labels)) * 10 * CHARACTER_EM / 72
    panel = 0.3 * len(labels) + 1.1
    figure = new_figure(max(3.2 * columns + names + 0.4, 5.0), rows * panel + 0.6, title)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(counts) :]:
        axes.set_axis_off()
    for axes, (split, classes) in zip(grid.flat, counts.items(), strict=False):
        values = np.array(list(classes.values()))
        total = int(values.sum())
        bars = axes.barh(range(len(labels)), values, color=BLUE)
        percent = 100 * values / max(total, 1)
        texts = [f"{value:,} ({part:.1f}%)" for value, part in zip(values, percent, strict=True)]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
        # Room for the numbers behind the longest bar.
        axes.set_xlim(0, 1.55 * max(int(values.max()), 1))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.tick_params(axis="x", labelsize=8)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        axes.set_xlabel("Images", fontsize=9)
        axes.set_title(f"{split}: {total:,} images", fontsize=11, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].invert_yaxis()
    return figure


def distributions_figure(
    brightness: Mapping[str, npt.ArrayLike], sharpness: Mapping[str, npt.ArrayLike], title: str
) -> Figure:
    """Draws for each class how its images' brightness and sharpness are distributed.

    Args:
        brightness: By class the images' mean grey values, 0 to 255.
        sharpness: By class the variance of the Laplacian.
    """
    require(len(brightness) > 0 and list(brightness) == list(sharpness), "both panels need the same classes, 1 or more")
    figure = new_figure(10, 0.62 * len(brightness) + 1.7, title)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_violins(left, brightness, 0, 255)
    left.set_xlabel("Brightness: mean grey value (0 black, 255 white)")
    left.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 5, 10]))
    # The logarithm knows no zero: blank images stand at the left end.
    every = np.concatenate([np.asarray(values, dtype=float) for values in sharpness.values()])
    low, high = max(1.0, np.quantile(every, 0.001) / 1.5), max(10.0, 1.1 * every.max())
    right.set_xscale("log")
    _draw_violins(right, sharpness, low, high)
    right.set_xlabel("Sharpness: variance of the Laplacian (low: blurred)")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 500 else (1, 3)))
    right.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    right.tick_params(axis="x", labelsize=8)
    note = "Height: density of the class's images. Dashed lines: quartiles; number: the median."
    figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    return figure


def _draw_violins(axes: Axes, classes: Mapping[str, npt.ArrayLike], low: float, high: float) -> None:
    """A violin for each class; what is beyond the ends counts at them."""
    import seaborn as sns  # here, because it takes long to import, and most pictures do without

    names = list(classes)
    arrays = {name: np.asarray(values, dtype=float) for name, values in classes.items()}
    clipped = {name: values.clip(low, high) for name, values in arrays.items()}
    look: dict[str, Any] = {"inner": "quart", "density_norm": "width", "width": 0.75, "color": SKY, "linewidth": 1}
    sns.violinplot(clipped, order=names, orient="h", cut=0, ax=axes, **look)
    for row, values in enumerate(arrays.values()):
        if len(values):
            median = float(np.median(values))
            place: dict[str, Any] = {"xytext": (0, 1), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            axes.annotate(f"{median:,.0f}", (min(max(median, low), high), row - 0.38), fontsize=8, **place)
    axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.75))
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def sheet_figure(rows: Sequence[tuple[str, Pixels]], title: str, columns: int) -> Figure:
    """Draws groups of images, (N, H, W) or (N, H, W, 3) uint8, each below its caption in lines of at most `columns`."""
    require(bool(rows) and columns > 0, "a sheet needs rows and columns")
    for _, images in rows:
        require(
            images.ndim in (3, 4) and images.size > 0 and images.dtype == np.uint8,
            f"images of shape {images.shape}, {images.dtype}: (N, H, W) or (N, H, W, 3), uint8, is needed",
        )
    height, width = rows[0][1].shape[1:3]
    factor = max(1, round(_TILE / width))
    tile_height, tile_width = factor * height, factor * width
    most = min(columns, max(len(images) for _, images in rows))
    width = max(most * (tile_width + _GAP) - _GAP + 2 * _MARGIN, 5 * DPI)
    wrapped = wrap(title, width / DPI, TITLE_POINTS)
    y = _MARGIN + int((wrapped.count("\n") + 1) * line_height(TITLE_POINTS)) + _GAP
    captions: list[tuple[int, str]] = []
    tiles: list[tuple[int, int, Pixels]] = []
    for words, images in rows:
        if words:
            caption = wrap(words, (width - 2 * _MARGIN) / DPI, _ROW_POINTS)
            captions.append((y, caption))
            y += int((caption.count("\n") + 1) * line_height(_ROW_POINTS)) + _GAP
        for place, image in enumerate(images):
            x = _MARGIN + place % columns * (tile_width + _GAP)
            tiles.append((x, y + place // columns * (tile_height + _GAP), image))
        y += math.ceil(len(images) / columns) * (tile_height + _GAP) + _GAP
    page = PixelPage(width, y + _MARGIN)
    for x, top, image in tiles:
        # A line around each: a white picture on white paper is to be seen too.
        page.place(x - 1, top - 1, image, factor, 1, "#A0A0A0")
    page.write(width / 2, _MARGIN, wrapped, TITLE_POINTS)
    for top, caption in captions:
        page.write(_MARGIN, top, caption, _ROW_POINTS, align="left")
    return page.figure()
