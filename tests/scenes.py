"""Synthetic faces in larger pictures and in videos, for tests of what finds and reads them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.data.synthetic import IN_THE_LABORATORY, Identity, draw_face

HEIGHT, WIDTH = 480, 640


@dataclass(frozen=True)
class SyntheticFace:
    """Where a synthetic face stands in a scene: its upper left corner and side, pixels; and whose it is."""

    x: int
    y: int
    side: int
    emotion: str = "neutral"
    seed: int = 3

    def holds(self, box: Box) -> bool:
        """Whether the box is of this face."""
        middle = (
            abs(box.x + box.width / 2 - self.x - self.side / 2),
            abs(box.y + box.height / 2 - self.y - self.side / 2),
        )
        return max(middle) < 0.2 * self.side and 0.5 * self.side < box.width < 1.1 * self.side


def draw_scene(faces: Iterable[SyntheticFace], height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """(height, width) grey: a smooth background with the faces on it."""
    scene = np.add.outer(np.linspace(60, 110, height), np.linspace(0, 40, width)).astype(np.uint8)
    for face in faces:
        rng = np.random.default_rng(face.seed)
        pixels = draw_face(face.emotion, Identity(rng), rng, IN_THE_LABORATORY)
        enlarged = cv2.resize(pixels, (face.side, face.side), interpolation=cv2.INTER_CUBIC)
        scene[face.y : face.y + face.side, face.x : face.x + face.side] = enlarged
    return scene


def write_clip(path: Path, frames: Sequence[Iterable[SyntheticFace]], rate: float = 25) -> Path:
    """A video file of scenes, Motion JPEG in AVI or MPEG-4 in MP4."""
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for faces in frames:
        writer.write(cv2.cvtColor(draw_scene(faces), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path
