"""Faces in pictures: where one is, and how it is cut out: the same way for a dataset's scene and for a user's photo."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to

# Two boxes that share more than this part of the smaller one are of one face.
_SAME_FACE = 0.5
# A face that leans more than this, in degrees, is turned upright: networks are trained on faces that lean less.
_LARGEST_TILT = 25.0
# A picture whose 99th percentile is darker than this is very dark.
_DARK = 64

Point = tuple[float, float]
Eyes = tuple[Point, Point]


@dataclass(frozen=True)
class Box:
    """A face's place in a picture, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    def cut(self, pixels: Pixels) -> Pixels:
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]

    def within(self, width: int, height: int) -> "Box":
        """The part of it that is in a picture of so many pixels; without width or height where none is."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        return Box(left, top, max(right - left, 0), max(bottom - top, 0))

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0-1."""
        shared = self._shared(other)
        return shared / (self.area + other.area - shared)

    def is_same_face(self, other: "Box") -> bool:
        """Whether the two share more than half of the smaller one: nobody's face is within another's."""
        return self._shared(other) > _SAME_FACE * min(self.area, other.area)

    def _shared(self, other: "Box") -> int:
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: A square, in the picture's pixels.
        score: How sure the detector is, 0-1; not to be compared between detectors.
        eyes: The left and the right one as an upright face shows them, x and y in pixels; None where the detector
            does not know them.
        quarter_turns: By how many quarter turns, counter-clockwise, the picture was turned to find it: 0-3.
    """

    box: Box
    score: float
    eyes: Eyes | None = None
    quarter_turns: int = 0

    @property
    def turn(self) -> float:
        """By how many degrees, counter-clockwise, the face must be turned to be upright; 0 when it leans little."""
        if self.eyes is None:
            return 90.0 * self.quarter_turns
        (left_x, left_y), (right_x, right_y) = self.eyes
        tilt = math.degrees(math.atan2(right_y - left_y, right_x - left_x))
        return tilt if abs(tilt) > _LARGEST_TILT else 0.0

    def moved(self, x: int, y: int) -> "Face":
        """The same in a picture of which this one is a part that begins at x, y."""
        box = replace(self.box, x=self.box.x + x, y=self.box.y + y)
        return replace(self, box=box, eyes=each_eye(self.eyes, lambda eye_x, eye_y: (eye_x + x, eye_y + y)))

    def turned_back(self, quarter_turns: int, height: int, width: int) -> "Face":
        """A face that was found in `np.rot90(picture, quarter_turns)`, placed in the picture (height, width) itself."""
        face = self
        for turns in range(quarter_turns, 0, -1):
            # The width of the picture that is turned once less.
            face = face._turned_back_once(width if turns % 2 else height)
        return replace(face, quarter_turns=quarter_turns)

    def _turned_back_once(self, width: int) -> "Face":
        box = Box(width - self.box.y - self.box.height, self.box.x, self.box.height, self.box.width)
        return replace(self, box=box, eyes=each_eye(self.eyes, lambda x, y: (width - 1 - y, x)))


def each_eye(eyes: Eyes | None, move: Callable[[float, float], Point]) -> Eyes | None:
    """Both moved, where they are known."""
    return None if eyes is None else (move(*eyes[0]), move(*eyes[1]))


def cut_face(pixels: Pixels, box: Box | None, turn: float = 0.0, form: PixelForm = GREY_FACE) -> Pixels:
    """The face as networks are trained on it.

    Args:
        pixels: (H, W) grey values, or (H, W, 3) red, green, blue.
        box: Just this is cut out, as detected; None takes all of a picture.
        turn: By so many degrees, counter-clockwise, the face is turned around the box's middle.
        form: That the network reads.
    """
    return bring_to(brightened(pixels if box is None else cut_out(pixels, box, turn)), form)


def brightened(pixels: Pixels) -> Pixels:
    """A very dark picture with its brightest percent at 255; any other as it is.

    (H, W) grey values, or (H, W, 3) red, green, blue: of networks that find faces, or read them, none was trained on
    pictures so dark.
    """
    # The green of every fourth pixel is enough. np.percentile would take 30 ms to import what it needs.
    some = np.sort((pixels if pixels.ndim == 2 else pixels[:, :, 1])[::4, ::4], axis=None)
    bright = int(some[int(0.99 * (some.size - 1))])
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / max(bright, 1)), np.uint8) if bright < _DARK else pixels


def cut_out(pixels: Pixels, box: Box, turn: float = 0.0) -> Pixels:
    """The face with its size and colours; see `cut_face`."""
    return _cut_turned(pixels, box, turn) if turn % 90 else np.rot90(box.cut(pixels), round(turn / 90))


def _cut_turned(pixels: Pixels, box: Box, turn: float) -> Pixels:
    """A square as large as the box, which leans as the face does; beyond the picture its edge goes on."""
    # Its corners lie within half a side of the box. OpenCV turns no picture of over 32,767 pixels a side.
    left, top = max(box.x - box.width // 2, 0), max(box.y - box.height // 2, 0)
    around = pixels[top : box.y + 3 * box.height // 2 + 1, left : box.x + 3 * box.width // 2 + 1]
    x, y = box.x - left, box.y - top
    matrix = cv2.getRotationMatrix2D((x + (box.width - 1) / 2, y + (box.height - 1) / 2), turn, 1.0)
    matrix[:, 2] -= x, y
    size = box.width, box.height
    turned = cv2.warpAffine(around, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def without_overlaps(faces: Iterable[Face]) -> list[Face]:
    """One face for each place, the one with the highest score, left to right."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if not any(face.box.is_same_face(other.box) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: (face.box.x, face.box.y))
