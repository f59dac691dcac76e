"""A contact sheet: many pictures at a glance, each with the predictions for its faces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from emotorch.data.images import Pixels, to_colours
from emotorch.figures.canvas import CHARACTER_EM, DPI, LINE_EM, TITLE_POINTS, require, save, wrap
from emotorch.figures.colours import BLACK, GREY, ORANGE, VERMILLION
from emotorch.inference.predictions import PicturePredictions
from emotorch.screen import one_line

MOST_TILES = 120

_SIDE = 240  # pixels of a tile
_GAP = 18  # pixels between tiles
_COLUMNS = 6
_POINTS = 8.0
_LINES = 3  # of predictions below a picture
# matplotlib's colour as OpenCV takes it: red, green, blue.
_ORANGE = tuple(int(ORANGE[i : i + 2], 16) for i in (1, 3, 5))


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        pixels: (H, W, 3), red, green, blue, at most 240 pixels on a side, boxes drawn in; None when unreadable.
        name: Below it.
        lines: The predictions, or why there are none.
        failed: Whether there are none.
    """

    pixels: Pixels | None
    name: str
    lines: Sequence[str]
    failed: bool


def make_tile(prediction: PicturePredictions) -> Tile:
    """The tile of one input."""
    name = one_line(Path(prediction.input).name)
    pixels = None if prediction.picture is None else _thumbnail(prediction, to_colours(prediction.picture))
    if prediction.error:
        return Tile(pixels, name, [prediction.error.partition(";")[0]], True)
    several = len(prediction.faces) > 1
    lines = [
        f"{f'{number} ' if several else ''}{face.shown} {face.confidence:.0%}"
        for number, face in enumerate(prediction.faces, start=1)
    ]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [f"and {len(lines) - _LINES + 1} more faces"]
    return Tile(pixels, name, lines, False)


def _thumbnail(prediction: PicturePredictions, colours: Pixels) -> Pixels:
    scale = _SIDE / max(colours.shape[:2])
    size = (max(1, round(colours.shape[1] * scale)), max(1, round(colours.shape[0] * scale)))
    # A face of 48 pixels keeps its pixels; a photo is averaged.
    small = cv2.resize(colours, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for number, face in enumerate(prediction.faces, start=1):
        if face.box is None:
            continue
        box = face.box
        start = round(box.x * scale), round(box.y * scale)
        end = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
        cv2.rectangle(small, start, end, (0, 0, 0), 4)
        cv2.rectangle(small, start, end, _ORANGE, 2)
        if len(prediction.faces) > 1:
            _draw_number(small, number, start)
    return np.asarray(small, np.uint8)


def _draw_number(picture: cv2.typing.MatLike, number: int, corner: tuple[int, int]) -> None:
    (width, height), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    # Above the box, where it hides nothing of a small face, unless that is outside the picture.
    x, y = corner[0], max(corner[1] - height - 6, 0)
    cv2.rectangle(picture, (x, y), (x + width + 5, y + height + 6), _ORANGE, -1)
    cv2.putText(picture, str(number), (x + 3, y + height + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def plot_contact_sheet(path: Path, tiles: Sequence[Tile], pictures: int, title: str) -> Path:
    """Draws at most `MOST_TILES` tiles in rows of six into a PNG, JPEG, PDF or SVG.

    `pictures`: how many there are in all; the sheet says so where they are more.
    """
    return save(_sheet_figure(tiles, pictures, title), path)


def _sheet_figure(tiles: Sequence[Tile], pictures: int, title: str) -> Figure:
    require(0 < len(tiles) <= MOST_TILES, f"{len(tiles)} tiles: 1 to {MOST_TILES} are needed")
    point = DPI / 72
    line = _POINTS * point * LINE_EM
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    caption = 1 + max(len(tile.lines) for tile in tiles)
    step_x, step_y = _SIDE + _GAP, round(_SIDE + (caption + 0.5) * line + _GAP)
    width = max(columns * step_x + _GAP, 4 * DPI)
    if pictures > len(tiles):
        title = f"{title}: the first {len(tiles)} of {pictures:,}"
    wrapped = wrap(title, width / DPI, TITLE_POINTS)
    top = round(2 * _GAP + (wrapped.count("\n") + 1) * TITLE_POINTS * point * LINE_EM)
    height = top + rows * step_y
    left = (width - columns * step_x + _GAP) // 2
    characters = int(_SIDE / (_POINTS * point * CHARACTER_EM))

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(x: float, y: float, text: str, colour: str, points: float = _POINTS, weight: str = "normal") -> None:
        place = x / width, 1 - y / height
        figure.text(
            *place, text, fontsize=points, color=colour, ha="center", va="top", fontweight=weight, parse_math=False
        )

    sheet = np.full((height, width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        x, y = left + index % columns * step_x, top + index // columns * step_y
        square = sheet[y : y + _SIDE, x : x + _SIDE]
        square[:] = 236
        if tile.pixels is not None:
            inside_y, inside_x = (_SIDE - tile.pixels.shape[0]) // 2, (_SIDE - tile.pixels.shape[1]) // 2
            square[inside_y:, inside_x:][: tile.pixels.shape[0], : tile.pixels.shape[1]] = tile.pixels
        middle = x + _SIDE / 2
        if tile.pixels is None:
            write(middle, y + _SIDE / 2 - line / 2, "not readable", GREY)
        write(middle, y + _SIDE + 5, _shorten(tile.name, characters), BLACK)
        colour, weight = (VERMILLION, "normal") if tile.failed else (BLACK, "bold")
        for number, words in enumerate(tile.lines, start=1):
            write(middle, y + _SIDE + 5 + number * line, _cut(words, characters), colour, weight=weight)
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.imshow(sheet, interpolation="none", aspect="auto")
    axes.set_axis_off()
    write(width / 2, _GAP, wrapped, BLACK, TITLE_POINTS)
    return figure


def _shorten(name: str, characters: int) -> str:
    """A long file name without its middle: both ends tell files apart."""
    if len(name) <= characters:
        return name
    half = (characters - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _cut(words: str, characters: int) -> str:
    return words if len(words) <= characters else f"{words[: characters - 1]}…"
