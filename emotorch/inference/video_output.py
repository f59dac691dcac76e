"""What is drawn of a video: frames with their predictions, a video file of them, and a timeline."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.figures.canvas import BLUE, GREY, ORANGE, PALE, SKY, new_figure, save, tidy
from emotorch.files import write_atomically
from emotorch.inference.predictions import Prediction
from emotorch.inference.video import Frame, FramePredictions, opencv_name

# What OpenCV's own encoders write into each kind of file.
VIDEO_CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}

# Of a timeline: people who are shown, and the height of a row in inches.
_MOST_PEOPLE = 12
_ROW = 0.42


# Frames.


def draw_predictions(frame: Frame, prediction: FramePredictions) -> Pixels:
    """The frame (H, W, 3), blue, green, red, with each face's box and emotion, and bars where there is room."""
    image = Image.fromarray(frame.colours[:, :, ::-1])
    draw = ImageDraw.Draw(image, "RGBA")
    # Legible at any resolution: 14 points for 480 lines.
    points = max(9, round(min(image.size) / 34))
    taken = [face.box for face in prediction.faces if face.box]
    for number, face in zip(prediction.numbers, prediction.faces, strict=True):
        _draw_box(draw, image.size, face, number, points)
        place = _free_place(face.box, taken, image.size, _panel_size(draw, face, points))
        if place is not None:
            _draw_bars(draw, face, place, points)
            taken.append(place)
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _draw_box(draw: ImageDraw.ImageDraw, size: tuple[int, int], face: Prediction, number: int, points: int) -> None:
    box = face.box or Box(0, 0, *size)
    name = f"{face.shown} {face.confidence:.0%}"
    if face.box:
        name = f"{number} {name}"
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        thick = max(2, points // 6)
        draw.rectangle(corners, outline="black", width=thick + 2)
        draw.rectangle((corners[0] + 1, corners[1] + 1, corners[2] - 1, corners[3] - 1), outline=ORANGE, width=thick)
    line, width = _line(points), draw.textlength(name, _font(points)) + points
    x = min(box.x, max(size[0] - width, 0))
    y = box.y - line if box.y >= line else box.y  # above the box, unless that is outside the picture
    draw.rectangle((x, y, x + width, y + line), fill=ORANGE)
    draw.text((x + points / 2, y + line / 2), name, "black", _font(points), anchor="lm")


def _panel_size(draw: ImageDraw.ImageDraw, face: Prediction, points: int) -> tuple[int, int]:
    words = max(draw.textlength(label, _font(points)) for label in face.probabilities)
    return round(words + 8.5 * points), _line(points) * len(face.probabilities) + points // 2


def _free_place(box: Box | None, taken: list[Box], size: tuple[int, int], panel: tuple[int, int]) -> Box | None:
    """Where bars hide no face and no other bars: right of the box, left of it, below; or None."""
    width, height = panel
    if box is None:
        return Box(0, size[1] - height, width, height)
    places = (box.x + box.width, box.y), (box.x - width, box.y), (box.x, box.y + box.height)
    for x, y in places:
        place = Box(x, y, width, height)
        is_inside = x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]
        if is_inside and not any(place.overlap(other) for other in taken):
            return place
    return None


def _draw_bars(draw: ImageDraw.ImageDraw, face: Prediction, panel: Box, points: int) -> None:
    right = panel.x + panel.width
    draw.rectangle((panel.x, panel.y, right, panel.y + panel.height), fill=(0, 0, 0, 150))
    left, half = right - 7 * points, 0.35 * points
    for row, (label, probability) in enumerate(face.probabilities.items()):
        middle = panel.y + points // 4 + (row + 0.5) * _line(points)
        draw.text((panel.x + points / 2, middle), label, "white", _font(points), anchor="lm")
        draw.rectangle((left, middle - half, left + 4 * points, middle + half), outline=GREY)
        colour = SKY if label == face.emotion else GREY
        draw.rectangle((left, middle - half, left + 4 * points * probability, middle + half), fill=colour)
        draw.text((right - points / 3, middle), f"{probability:.0%}", "white", _font(points), anchor="rm")


def _line(points: int) -> int:
    return round(1.3 * points)


@lru_cache(maxsize=8)
def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points)


def write_video(path: Path, frames: Iterable[Pixels], rate: float) -> int:
    """Writes pictures of one size as a video, whole or not at all, without sound.

    Args:
        path: `.mp4`, `.mov`, `.mkv` (MPEG-4), `.avi` (Motion JPEG) or `.webm` (VP8).
        frames: (H, W, 3), blue, green, red; read once, as they are written.
        rate: Frames per second.

    Returns:
        How many were written. Without any, no file is.

    Raises:
        EmoTorchError: it cannot be written.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        return 0
    count = 0

    def write(partial: Path) -> None:
        nonlocal count
        height, width = first.shape[:2]
        code = cv2.VideoWriter.fourcc(*VIDEO_CODECS[path.suffix.lower()])
        with opencv_name(partial) as name:
            writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, code, rate, (width, height))
            try:
                if not writer.isOpened():
                    raise EmoTorchError(f"cannot write {path}: OpenCV has no encoder for it here; try .avi")
                for pixels in chain([first], iterator):
                    writer.write(pixels)
                    count += 1
            finally:
                writer.release()
            # The writer says nothing of a full disk.
            written = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        if written.get(cv2.CAP_PROP_FRAME_COUNT) < count:
            raise EmoTorchError(f"cannot write {path}: the disk may be full")

    write_atomically(path, write)
    return count


# The timeline.


def plot_timeline(path: Path, frames: Sequence[FramePredictions], labels: Sequence[str], title: str) -> Path:
    """Draws a block for each person, of many those seen most, with a row for each label.

    A row's height is the label's probability, blue where it is the prediction; where the person is not in sight the row
    is empty.

    Args:
        path: The picture to write.
        frames: All of the video, in order.
        labels: The rows, from the top.
        title: Above all.
    """
    return save(_timeline_figure(frames, labels, title), path)


def _timeline_figure(frames: Sequence[FramePredictions], labels: Sequence[str], title: str) -> Figure:
    seen = Counter(number for frame in frames for number in frame.numbers)
    shown = sorted(number for number, _ in seen.most_common(_MOST_PEOPLE))
    figure = new_figure(10, (_ROW * len(labels) + 0.85) * len(shown) + 0.9, title)
    times = np.array([frame.time for frame in frames])
    end = max(2 * times[-1] - times[-2] if len(times) > 1 else 1.0, 1e-3)  # the last frame lasts, too
    blocks = figure.subfigures(max(len(shown), 1), 1, squeeze=False)[:, 0]
    for number, block in zip(shown, blocks, strict=False):
        probabilities, predicted = _of_person(frames, number, labels)
        block.suptitle(
            f"Person {number}: in sight in {seen[number]:,} of {len(frames):,} frames, "
            f"on average {labels[int(np.nanmean(probabilities, axis=0).argmax())]}",
            fontsize=10,
            parse_math=False,
        )
        rows = block.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, label) in enumerate(zip(rows, labels, strict=True)):
            _draw_row(axes, np.append(times, end), probabilities[:, index], predicted == index, label)
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        rows[-1].tick_params(labelbottom=True)
        rows[-1].set_xlabel("Time (s)")
    figure.supxlabel(_note(len(seen)), fontsize=9)
    return figure


def _of_person(frames: Sequence[FramePredictions], number: int, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(T, K) probabilities, NaN where it is not in sight; (T,) the predicted label's index, −1 without one."""
    probabilities = np.full((len(frames), len(labels)), np.nan)
    predicted = np.full(len(frames), -1)
    for index, frame in enumerate(frames):
        for seen, face in zip(frame.numbers, frame.faces, strict=True):
            if seen == number:
                probabilities[index] = [face.probabilities[label] for label in labels]
                # Where the model abstains, it predicts none of the labels.
                predicted[index] = labels.index(face.emotion) if face.emotion in labels else -1
    return probabilities, predicted


def _draw_row(axes: Axes, edges: np.ndarray, probabilities: np.ndarray, is_predicted: np.ndarray, label: str) -> None:
    """A step for each frame, from its time to the next one's."""
    axes.stairs(100 * probabilities, edges, fill=True, color=GREY)
    axes.stairs(np.where(is_predicted, 100 * probabilities, np.nan), edges, fill=True, color=BLUE)
    tidy(axes)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 100), yticks=(0, 50))
    axes.set_yticklabels(["", ""])
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, parse_math=False)
    axes.spines[["left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _note(people: int) -> str:
    note = "Height of a row: probability, 0-100%. Blue: the prediction."
    if people > _MOST_PEOPLE:
        note += f" The {_MOST_PEOPLE} people seen most, of {people}."
    return "No face was found." if people == 0 else note
