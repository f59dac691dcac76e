"""Frames of a video drawn with their predictions, and a video file of them. Without Matplotlib."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.figures.colours import GREY, ORANGE, SKY
from emotorch.files import write_atomically
from emotorch.inference.predictions import Prediction
from emotorch.inference.video import Frame, FramePredictions, opencv_name

# What OpenCV's own encoders write into each kind of file.
VIDEO_CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}


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
