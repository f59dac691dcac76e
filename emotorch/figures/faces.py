"""Pictures of faces with a model's predictions: a sheet of validation images, a photo with its probabilities."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emotorch.figures.canvas import CHARACTER_EM, DPI, TITLE_POINTS, PixelPage, Pixels, line_height, new_figure, wrap
from emotorch.figures.colours import BLACK, BLUE, GREY, ORANGE, VERMILLION

# x, y, width, height in pixels.
_Box = tuple[float, float, float, float]

_SHEET_COLUMNS = 8
_SHEET_POINTS = 8.0
_SHEET_IMAGE = 144
_SHEET_FRAME, _SHEET_GAP = 5, 14
_RIGHT, _WRONG = ("✓", BLUE), ("✗", VERMILLION)
_MOST_FACES = 6


def prediction_sheet(
    images: npt.ArrayLike,
    truths: Sequence[str],
    predictions: Sequence[str],
    confidences: Sequence[float],
    title: str,
    names: Sequence[str] | None = None,
    *,
    labels_suspected: bool = False,
) -> Figure:
    """Draws images with their true and predicted labels; frame and mark say whether these agree.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8; enlarged by a whole factor, so every pixel stays itself.
        truths, predictions: N labels each.
        confidences: N probabilities of the predictions, 0 to 1.
        names: N texts above what the images show, their files' names for example.
        labels_suspected: Whether it is the labels that are in doubt: then no prediction is called right or wrong.
    """
    pixels = np.asarray(images)
    number = len(pixels)
    right = [truth == prediction for truth, prediction in zip(truths, predictions, strict=True)]
    signs = [_RIGHT if is_right else _WRONG for is_right in right]
    truth_word = "label" if labels_suspected else "true"
    above = [[f"{truth_word}: {truth}"] for truth in truths]
    if names is not None:
        above = [[name, *lines] for name, lines in zip(names, above, strict=True)]
    said = [
        f"{mark} {label} {100 * confidence:.0f}%"
        for (mark, _), label, confidence in zip(signs, predictions, confidences, strict=True)
    ]

    line = line_height(_SHEET_POINTS)
    height, width = pixels.shape[1:3]
    factor = max(1, round(_SHEET_IMAGE / width))
    tile_height, tile_width = factor * height + 2 * _SHEET_FRAME, factor * width + 2 * _SHEET_FRAME
    longest = max(len(text) for lines in [*above, said] for text in lines)
    columns = min(_SHEET_COLUMNS, number)
    step_x = int(max(tile_width, longest * _SHEET_POINTS * DPI / 72 * CHARACTER_EM)) + _SHEET_GAP
    step_y = tile_height + int((1 + len(above[0])) * line) + 2 * _SHEET_GAP
    sheet_width = max(columns * step_x + _SHEET_GAP, 5 * DPI)
    wrapped = wrap(title, sheet_width / DPI, TITLE_POINTS)
    legend_y = 2 * _SHEET_GAP + (wrapped.count("\n") + 1) * line_height(TITLE_POINTS)
    top = int(legend_y + line) + _SHEET_GAP
    left = (sheet_width - columns * step_x + _SHEET_GAP) // 2

    page = PixelPage(sheet_width, top + math.ceil(number / columns) * step_y)
    page.write(sheet_width / 2, _SHEET_GAP, wrapped, TITLE_POINTS)
    for index, (_, colour) in enumerate(signs):
        x = left + index % columns * step_x + (step_x - _SHEET_GAP - tile_width) // 2
        y = top + index // columns * step_y
        page.place(x, y, pixels[index], factor, _SHEET_FRAME, colour)
        below = y + tile_height + 5
        for place, text in enumerate(above[index]):
            page.write(x + tile_width / 2, below + place * line, text, _SHEET_POINTS)
        page.write(x + tile_width / 2, below + len(above[index]) * line, said[index], _SHEET_POINTS, colour)
    agree, differ = ("as labelled", "otherwise") if labels_suspected else ("right", "wrong")
    # What the marks mean, and of how many images.
    legend = [
        (f"{_RIGHT[0]} {sum(right)} {agree}", _RIGHT[1], -1.7),
        (f"{_WRONG[0]} {number - sum(right)} {differ}", _WRONG[1], -0.7),
        ("percent: the model's confidence", BLACK, 1.1),
    ]
    for text, colour, inches in legend:
        page.write(sheet_width / 2 + inches * DPI, legend_y, text, _SHEET_POINTS, colour)
    return page.figure()


def probabilities_figure(
    image: npt.ArrayLike,
    boxes: Sequence[_Box | None],
    faces: Sequence[Mapping[str, float]],
    title: str,
    predictions: Sequence[str],
) -> Figure:
    """Draws a picture with its faces numbered, and each face's distribution over the emotions.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        boxes: For each face x, y, width, height in pixels; None when the whole picture was taken as the face.
        faces: One or more; of each the probability, 0 to 1, by label; bars for the first six, words for the others.
        predictions: For each face what it is said to show. It need not be the most probable label: one that is none
            of the labels leaves all bars grey.
    """
    pixels = np.asarray(image)
    shown = faces[:_MOST_FACES]
    aspect = pixels.shape[1] / pixels.shape[0]
    # A panorama stands above the bars, any other picture beside them.
    above = aspect > 1.9
    columns = min(len(shown), 3) if above else math.ceil(len(shown) / 3)
    rows = math.ceil(len(shown) / columns)
    panel = max(0.24 * len(face) + 0.75 for face in shown)
    longest = max(len(label) for face in shown for label in face)
    bars_width = columns * (2.2 + longest * 10 * CHARACTER_EM / 72)
    bars_height = rows * panel
    picture_height = min(max(bars_height, 3.6), 6.5, 7 / aspect)
    picture_width = max(picture_height * aspect, 1.2)
    if above:
        picture_width = max(8.0, bars_width)
        picture_height = max(picture_width / aspect, 0.5)
        figure = new_figure(picture_width, picture_height + bars_height + 0.8, title)
        outer = figure.add_gridspec(2, 1, height_ratios=[picture_height, bars_height])
    else:
        bars_height = max(bars_height, picture_height)
        figure = new_figure(max(picture_width + bars_width + 0.4, 5.0), bars_height + 0.6, title)
        outer = figure.add_gridspec(1, 2, width_ratios=[picture_width, bars_width])
    picture = figure.add_subplot(outer[0])
    _draw_picture(picture, pixels, boxes)
    # Empty rows above and below keep the bars at their thickness beside a tall picture.
    spare = max((bars_height - rows * panel) / 2, 0.01)
    grid = outer[1].subgridspec(rows + 2, columns, height_ratios=[spare, *[panel] * rows, spare])
    for index, face in enumerate(shown):
        axes = figure.add_subplot(grid[1 + index // columns, index % columns])
        name = "Whole picture" if boxes[index] is None else f"Face {index + 1}"
        _draw_distribution(axes, face, name, predictions[index])
    if len(faces) > len(shown):
        _write_rest(figure, predictions, faces)
    return figure


def _write_rest(figure: Figure, predictions: Sequence[str], faces: Sequence[Mapping[str, float]]) -> None:
    """What the faces without bars are said to show, in a note that makes the figure higher where it is long."""
    said = [
        f"{number} {word} {max(face.values()):.0%}"
        for number, (word, face) in enumerate(zip(predictions, faces, strict=True), start=1)
    ]
    note = f"Bars for the first {_MOST_FACES} of {len(faces)} faces; the others: {', '.join(said[_MOST_FACES:])}."
    note = wrap(note, figure.get_figwidth() - 0.4, 10)
    figure.set_figheight(figure.get_figheight() + note.count("\n") * line_height(10) / DPI)
    figure.supxlabel(note, fontsize=10, parse_math=False)


def _draw_picture(axes: Axes, pixels: Pixels, boxes: Sequence[_Box | None]) -> None:
    height, width = pixels.shape[:2]
    # Every n-th pixel of a large photo is more than the figure shows, and drawn in a fraction of the time.
    step = max(1, max(height, width) // 2000)
    extent = (0, width, height, 0)
    axes.imshow(pixels[::step, ::step], cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.set_axis_off()
    # A dark line around the bright one shows on any picture.
    outline = [patheffects.Stroke(linewidth=4, foreground="black"), patheffects.Normal()]
    for number, box in enumerate(boxes, start=1):
        if box is None:
            continue
        x, y, box_width, box_height = box
        frame = Rectangle((x, y), box_width, box_height, fill=False, edgecolor=ORANGE, linewidth=2)
        frame.set_path_effects(outline)
        axes.add_patch(frame)
        # Above the box, where it hides nothing of a small face, unless that is outside the picture.
        above = "top" if y < 0.08 * height else "bottom"
        label = {"facecolor": ORANGE, "edgecolor": "black", "pad": 1.5}
        axes.text(x, y, str(number), ha="left", va=above, fontsize=9, fontweight="bold", bbox=label)


def _draw_distribution(axes: Axes, face: Mapping[str, float], name: str, prediction: str) -> None:
    percent = 100 * np.asarray(list(face.values()), dtype=float)
    bars = axes.barh(range(len(face)), percent, color=[BLUE if label == prediction else GREY for label in face])
    axes.bar_label(bars, [f"{value:.1f}%" for value in percent], padding=3, fontsize=8)
    axes.set_yticks(range(len(face)), list(face), parse_math=False)
    if prediction in face:
        axes.get_yticklabels()[list(face).index(prediction)].set_fontweight("bold")
    axes.invert_yaxis()
    # Room for the number behind a full bar.
    axes.set(xlim=(0, 122), xticks=(0, 25, 50, 75, 100))
    axes.set_xlabel("Probability (%)", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{name}: {prediction}", fontsize=11, parse_math=False)
