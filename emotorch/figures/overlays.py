"""Maps over faces: the more important a pixel, the more opaque the colour on it; tiles of them as one picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from emotorch.figures.canvas import new_figure

# From a dark purple, which shows on white faces, to a yellow that shows on dark ones.
_COLOURS = colormaps["inferno"](np.linspace(0.3, 0.95, 256))[:, :3]
_MOST_OPAQUE, _OPACITY_POWER = 0.85, 0.7
_FACE_CONTRAST = 0.75  # of the face below the colours, about the middle grey
_TILE, _GAP = 0.95, 4  # inches; pixels of a face between tiles

Colours = NDArray[np.float64]


def overlay(faces: ArrayLike, maps: ArrayLike) -> Colours:
    """Faces, 0-255, (…, H, W) or (…, H, W, 3), under maps (…, H, W), 0-1, as colours (…, H, W, 3), 0-1.

    Below a map faces are grey, so that its colours are the only ones; where it is 0 the face shows.
    """
    importance = np.asarray(maps)
    values = np.asarray(faces, float)
    values = values[..., None] if values.ndim == importance.ndim else values.mean(axis=-1, keepdims=True)
    grey = 0.5 + _FACE_CONTRAST * (values / 255 - 0.5)
    colour = _COLOURS[np.rint(255 * importance).astype(int)]
    opacity = _MOST_OPAQUE * importance[..., None] ** _OPACITY_POWER
    return np.asarray((1 - opacity) * grey + opacity * colour)


def without_map(faces: ArrayLike, *, colour: bool) -> Colours:
    """(…, H, W) grey faces, or (…, H, W, 3) of colour, 0-255, as colours 0-1, for tiles beside overlays."""
    values = np.asarray(faces, float) / 255
    return values if colour else np.repeat(values[..., None], 3, axis=-1)


def mosaic_figure(tiles: Colours, rows: Sequence[str], columns: Sequence[str], title: str, colour_label: str) -> Figure:
    """Draws (R, C, H, H, 3) tiles, 0-1, as one picture, with words for rows and columns, and the colours' bar."""
    size = tiles.shape[2]
    step = size + _GAP
    height, width = len(rows) * step - _GAP, len(columns) * step - _GAP
    sheet = np.ones((height, width, 3))
    for row, column in np.ndindex(len(rows), len(columns)):
        sheet[row * step : row * step + size, column * step : column * step + size] = tiles[row, column]
    figure = new_figure(len(columns) * _TILE + 2.0, len(rows) * _TILE + 1.7, title, compress=True)
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest", vmin=0, vmax=1)
    middles = np.arange(max(len(rows), len(columns))) * step + (size - 1) / 2
    axes.set_xticks(middles[: len(columns)], columns, fontsize=9)
    axes.set_yticks(middles[: len(rows)], rows, fontsize=8, parse_math=False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    _draw_bar(figure, axes, colour_label)
    return figure


def _draw_bar(figure: Figure, axes: Axes, label: str) -> None:
    """The colours as they show on a middle grey."""
    steps = np.linspace(0, 1, 256, dtype=np.float32)
    colours = ListedColormap(overlay(np.full((1, 256), 127.5), steps[None])[0])
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), colours), ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
