"""Finding faces in a picture.

Method: Viola and Jones, "Rapid object detection using a boosted cascade of simple features" (2001), with the
frontal-face cascade that ships with OpenCV.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError

# Of the picture's shorter side: a smaller face is hardly the subject, and costs most of the search.
_SMALLEST_FACE = 0.08
_SMALLEST_FACE_PIXELS = 30
# The cascade gains nothing from more pixels than this on the longer side.
_LONGEST_SIDE = 1000


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


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise EmoTorchError(f"{path}: OpenCV's face cascade cannot be read; reinstall opencv-python")
    return cascade


def find_faces(pixels: Pixels, *, neighbours: int = 5) -> list[Box]:
    """The faces in a grey picture (H, W), left to right.

    Args:
        pixels: Grey values.
        neighbours: How many overlapping detections make a face; lower finds more, and more that are none.
    """
    height, width = pixels.shape
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    if scale < 1.0:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    smallest = max(_SMALLEST_FACE_PIXELS, round(min(pixels.shape) * _SMALLEST_FACE))
    found = _cascade().detectMultiScale(
        cv2.equalizeHist(pixels), scaleFactor=1.1, minNeighbors=neighbours, minSize=(smallest, smallest)
    )
    boxes = [Box(*(round(float(value) / scale) for value in box)) for box in np.asarray(found).reshape(-1, 4)]
    return sorted(boxes, key=lambda box: (box.x, box.y))


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
