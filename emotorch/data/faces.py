"""Finding faces in a picture, and cutting them out: the same way for a dataset's scenes and for a user's photo.

Methods: `haar` is Viola and Jones, "Rapid object detection using a boosted cascade of simple features" (2001),
with the frontal-face cascade that ships with OpenCV. `yunet` is Wu, Peng and Yu, "YuNet: a tiny millisecond-level
face detector" (Machine Intelligence Research, 2023), whose ONNX file the user gives.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from emotorch.data.images import Pixels, resize
from emotorch.errors import EmoTorchError, UsageError

YUNET_VARIABLE = "EMOTORCH_YUNET"

# Of the picture's shorter side: a smaller face is hardly the subject, and costs most of the search.
_SMALLEST_FACE = 0.08
_SMALLEST_FACE_PIXELS = 30
# The cascade gains nothing from more pixels than this on the longer side.
_LONGEST_SIDE = 1000
# YuNet was made for faces of 10 to 300 pixels: at this size the smallest and the largest are within.
_YUNET_LONGEST_SIDE = 320
_YUNET_SCORE = 0.7

# Around a known face the search goes half its side further, for faces of about its size, with so many pixels
# that the cascade's window of 24 still fits twice. Where a face just was, less evidence is enough.
_NEAR_MARGIN = 0.5
_NEAR_SIZES = (0.75, 1.35)
_NEAR_PIXELS = 60
_NEAR_OVERLAP = 0.2
_NEAR_NEIGHBOURS = 3


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

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0-1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        shared = max(width, 0) * max(height, 0)
        return shared / (self.area + other.area - shared)


def cut_face(pixels: Pixels, box: Box | None) -> Pixels:
    """The (48, 48) face as networks are trained on it: just the box, as detected; None takes all of a picture."""
    return resize(pixels if box is None else box.cut(pixels))


def find_faces(pixels: Pixels, detector: str = "haar", *, neighbours: int = 5) -> list[Box]:
    """The faces in a grey picture (H, W), left to right.

    Args:
        pixels: Grey values.
        detector: `haar` or `yunet`, whose file `EMOTORCH_YUNET` names.
        neighbours: How many overlapping detections make a face for `haar`; lower finds more, and more that are
            none.

    Raises:
        EmoTorchError: YuNet's file is not named, not there, or another network's.
    """
    if detector == "yunet":
        return _ordered(_yunet_faces(pixels))
    smaller, scale = _shrunk(pixels, _LONGEST_SIDE)
    smallest = max(_SMALLEST_FACE_PIXELS, round(min(smaller.shape) * _SMALLEST_FACE))
    return _ordered(_scaled(box, 1 / scale) for box in _haar_faces(smaller, neighbours, smallest, 0))


def check_detector(detector: str) -> None:
    """Before any picture is read: whether the detector can be used.

    Raises:
        UsageError: `EMOTORCH_YUNET` does not name YuNet's file.
        EmoTorchError: the file is not there, or another network's.
    """
    if detector == "yunet":
        _yunet_faces(np.zeros((96, 96), np.uint8))


def find_face_near(pixels: Pixels, known: Box, detector: str = "haar") -> Box | None:
    """The face in a grey picture (H, W) that overlaps best with where one was in the frame before.

    It takes a small part of the time of `find_faces`; boxes may differ from its by some percent of their side.
    """
    height, width = pixels.shape
    margin_x, margin_y = round(known.width * _NEAR_MARGIN), round(known.height * _NEAR_MARGIN)
    left, top = max(known.x - margin_x, 0), max(known.y - margin_y, 0)
    right = min(known.x + known.width + margin_x, width)
    bottom = min(known.y + known.height + margin_y, height)
    region = pixels[top:bottom, left:right]
    if detector == "yunet":
        boxes = _yunet_faces(region)
    else:
        smaller, scale = _shrunk(region, round(max(region.shape) * min(1.0, _NEAR_PIXELS / known.width)))
        smallest, largest = (round(known.width * scale * factor) for factor in _NEAR_SIZES)
        boxes = [_scaled(box, 1 / scale) for box in _haar_faces(smaller, _NEAR_NEIGHBOURS, smallest, largest)]
    found = [Box(box.x + left, box.y + top, box.width, box.height) for box in boxes]
    best = max(found, key=known.overlap, default=None)
    return best if best is not None and best.overlap(known) > _NEAR_OVERLAP else None


def largest_face(pixels: Pixels) -> Box | None:
    """The largest face; looked for again with a laxer threshold when there is none at first."""
    for neighbours in (5, 2):
        faces = find_faces(pixels, neighbours=neighbours)
        if faces:
            return max(faces, key=lambda box: box.area)
    return None


def centre_square(pixels: Pixels) -> Box:
    """The largest centred square, for pictures in which no face is found."""
    height, width = pixels.shape
    side = min(height, width)
    return Box((width - side) // 2, (height - side) // 2, side, side)


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise EmoTorchError(f"{path}: OpenCV's face cascade cannot be read; reinstall opencv-python")
    return cascade


def _haar_faces(pixels: Pixels, neighbours: int, smallest: int, largest: int) -> list[Box]:
    """Sides from `smallest` to `largest` pixels; 0 for any."""
    found = _cascade().detectMultiScale(
        cv2.equalizeHist(pixels),
        scaleFactor=1.1,
        minNeighbors=neighbours,
        minSize=(smallest, smallest),
        maxSize=(largest, largest),
    )
    return [Box(*map(int, box)) for box in np.asarray(found).reshape(-1, 4)]


@lru_cache(maxsize=1)
def _yunet(path: str) -> cv2.FaceDetectorYN:
    if not path:
        raise UsageError(
            f"--detector yunet needs YuNet's ONNX file (face_detection_yunet_*.onnx of OpenCV's model zoo), which "
            f"does not ship here: set {YUNET_VARIABLE} to its path, or use --detector haar"
        )
    if not Path(path).is_file():
        raise EmoTorchError(f"{path}: no such file; {YUNET_VARIABLE} must name YuNet's ONNX file")
    try:
        return cv2.FaceDetectorYN.create(path, "", (32, 32), score_threshold=_YUNET_SCORE)
    except cv2.error as error:
        raise EmoTorchError(f"{path}: OpenCV cannot read it as YuNet's ONNX file ({error.err})") from error


def _yunet_faces(pixels: Pixels) -> list[Box]:
    path = os.environ.get(YUNET_VARIABLE, "")
    detector = _yunet(path)
    smaller, scale = _shrunk(pixels, _YUNET_LONGEST_SIDE)
    try:
        detector.setInputSize((smaller.shape[1], smaller.shape[0]))
        _, found = detector.detect(cv2.cvtColor(smaller, cv2.COLOR_GRAY2BGR))
    except cv2.error as error:
        raise EmoTorchError(f"{path}: not YuNet's network, or another version of it ({error.err})") from error
    return [] if found is None else [_square(face[:4] / scale, pixels.shape) for face in found]


def _square(face: np.ndarray, shape: tuple[int, ...]) -> Box:
    """The cascade's kind of box, a square of the face's height, moved into the picture.

    YuNet's own boxes are as narrow as the face; a face cut out by one would be stretched.
    """
    x, y, width, height = map(float, face)
    side = min(round(max(width, height)), *shape)
    left = round(x + width / 2 - side / 2)
    top = round(y + height / 2 - side / 2)
    return Box(min(max(left, 0), shape[1] - side), min(max(top, 0), shape[0] - side), side, side)


def _shrunk(pixels: Pixels, longest: int) -> tuple[Pixels, float]:
    """A picture whose longer side is `longest` at most, and the factor by which it is smaller."""
    scale = min(1.0, longest / max(pixels.shape))
    if scale == 1.0:
        return pixels, scale
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8), scale


def _scaled(box: Box, factor: float) -> Box:
    return Box(*(round(value * factor) for value in (box.x, box.y, box.width, box.height)))


def _ordered(boxes: Iterable[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: (box.x, box.y))
