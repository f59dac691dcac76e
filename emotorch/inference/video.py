"""Answers for the frames of a video or a camera."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.inference.predictor import Answer, FaceAnswer, answer_faces
from emotorch.inference.reader import FaceReader
from emotorch.inference.tracking import FaceTracker

# Where a file does not say it, as some cameras.
_USUAL_RATE = 25.0
# A header's count of frames may be an estimate; what misses more is cut short.
_COUNT_TOLERANCE = 0.05


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        time: Seconds from the first one.
        colours: (H, W, 3) uint8, blue, green, red.
    """

    time: float
    colours: Pixels


@dataclass(frozen=True)
class FrameAnswer:
    """What a model says of a frame.

    Attributes:
        time: Seconds from the video's start.
        numbers: Of each face; a person keeps theirs while they are in sight. From 1.
        faces: Left to right; none where none was found.
    """

    time: float
    numbers: Sequence[int]
    faces: Sequence[FaceAnswer]

    def abstaining_below(self, confidence: float) -> "FrameAnswer":
        return replace(self, faces=[face.abstaining_below(confidence) for face in self.faces])

    def as_dict(self, name: str, model: str) -> dict[str, Any]:
        """The object that `--json` prints for a frame: an input's, and its time in seconds."""
        return {**Answer(name, None, self.faces, None).as_dict(model), "time": self.time}


class Video:
    """A video file or a camera, opened; iterate over its frames once.

    Attributes:
        name: As it was named.
        rate: Frames per second.
        count: How many frames its header promises; 0 for a camera.
        error: Why the frames, or their answers, ended too early, once they have.
    """

    def __init__(self, source: str) -> None:
        """Opens it.

        Args:
            source: A file, or the number of a camera.

        Raises:
            EmoTorchError: it cannot be opened.
        """
        self.name = source
        self.error: str | None = None
        self._is_camera = source.isdecimal()
        if not self._is_camera and not Path(source).is_file():
            raise EmoTorchError(f"{source}: no such file")
        # What ffmpeg and OpenCV print about a broken file says less than our one line.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(int(source)) if self._is_camera else cv2.VideoCapture(source, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            what = "no camera of this number, or another program uses it"
            raise EmoTorchError(f"{source}: {what if self._is_camera else 'not a video that can be read, or damaged'}")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate < 1000 else _USUAL_RATE
        self.count = 0 if self._is_camera else max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)

    def __iter__(self) -> Iterator[Frame]:
        """All that can be read; then `error` tells whether there should have been more."""
        started, number = time.monotonic(), 0
        while True:
            done, colours = self._capture.read()
            if not done:
                break
            # A file without time stamps gives 0 for every frame.
            stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000 or number / self.rate
            yield Frame(time.monotonic() - started if self._is_camera else stamp, np.asarray(colours, np.uint8))
            number += 1
        if self._is_camera:
            self.error = "the camera gives no more pictures"
        elif not number or number < self.count * (1 - _COUNT_TOLERANCE):
            self.error = f"damaged after {number} of {self.count} frames"

    def close(self) -> None:
        self._capture.release()


def answer_video(reader: FaceReader, video: Video, detector: str) -> Iterator[tuple[Frame, FrameAnswer]]:
    """Each frame with its answer, as they come; they end, with the video's `error`, where the model has none.

    Raises:
        EmoTorchError: see `Video` and `find_faces`.
    """
    tracker = FaceTracker(detector)
    for frame in video:
        grey = np.asarray(cv2.cvtColor(frame.colours, cv2.COLOR_BGR2GRAY), np.uint8)
        boxes: dict[int, Box] | dict[int, None] = {1: None} if detector == "none" else tracker.update(grey)
        try:
            faces = answer_faces(reader, grey, [*boxes.values()])
        except EmoTorchError as error:
            video.error = f"at {frame.time:.2f} s: {error}"
            return
        yield frame, FrameAnswer(frame.time, tuple(boxes), faces)
