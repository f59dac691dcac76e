"""Predictions for the frames of a video or a camera, each face followed under one number."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotorch.data.faces import Box, find_face_near, find_faces
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.inference.predictions import PicturePredictions, Prediction, predict_faces
from emotorch.inference.reader import FaceReader

# Where a file does not say it, as some cameras.
_USUAL_RATE = 25.0
# A header's count of frames may be an estimate; what misses more is cut short.
_COUNT_TOLERANCE = 0.05
# The whole frame is searched every so many frames, and no more often when a face is lost than every few.
_FULL_SEARCH_EVERY = 10
_FULL_SEARCH_AT_MOST_EVERY = 3
# Two boxes that overlap more are one face.
_SAME_FACE = 0.3
# A face that is found again where it was so many frames ago keeps its number.
_REMEMBERED_FRAMES = 30


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
class FramePredictions:
    """What a model predicts for the faces of a frame.

    Attributes:
        input: The video, as it was named.
        time: Seconds from the video's start.
        numbers: Of each face; a person keeps theirs while they are in sight. From 1.
        faces: Left to right; none where none was found.
    """

    input: str
    time: float
    numbers: Sequence[int]
    faces: Sequence[Prediction]

    def abstaining_below(self, confidence: float) -> "FramePredictions":
        return replace(self, faces=[face.abstaining_below(confidence) for face in self.faces])

    def as_dict(self, model: str) -> dict[str, Any]:
        """The object that `--json` prints for a frame: a picture's, and its time in seconds."""
        return {**PicturePredictions(self.input, None, self.faces, None).as_dict(model), "time": self.time}


class Video:
    """A video file or a camera, opened; iterate over its frames once.

    Attributes:
        name: As it was named.
        rate: Frames per second.
        count: How many frames its header promises; 0 for a camera.
        error: Why the frames, or their predictions, ended too early, once they have.
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


@dataclass(frozen=True)
class _Seen:
    box: Box
    frame: int


class FaceTracker:
    """Finds the faces of one video, frame after frame."""

    def __init__(self, detector: str) -> None:
        """`detector`: see `find_faces`."""
        self._detector = detector
        self._frame = -1
        self._last_full_search = -_FULL_SEARCH_EVERY
        self._seen: dict[int, _Seen] = {}
        self._numbers = 0

    def update(self, pixels: Pixels) -> dict[int, Box]:
        """The faces in the next frame, (H, W) grey values, by their number (from 1), left to right.

        Raises:
            EmoTorchError: see `find_faces`.
        """
        self._frame += 1
        before = {number: seen.box for number, seen in self._seen.items() if seen.frame == self._frame - 1}
        boxes: dict[int, Box] = {}
        for number, known in before.items():
            box = find_face_near(pixels, known, self._detector)
            # Two that close in on one face: the one known longer stays.
            if box is not None and all(box.overlap(other) < _SAME_FACE for other in boxes.values()):
                boxes[number] = box
        since = self._frame - self._last_full_search
        is_incomplete = not boxes or len(boxes) < len(before)
        if since >= (_FULL_SEARCH_AT_MOST_EVERY if is_incomplete else _FULL_SEARCH_EVERY):
            self._last_full_search = self._frame
            for box in find_faces(pixels, self._detector):
                boxes[self._number_of(box, boxes)] = box
        self._seen = {n: seen for n, seen in self._seen.items() if self._frame - seen.frame < _REMEMBERED_FRAMES}
        self._seen |= {number: _Seen(box, self._frame) for number, box in sorted(boxes.items())}
        return dict(sorted(boxes.items(), key=lambda item: (item[1].x, item[1].y)))

    def _number_of(self, box: Box, present: dict[int, Box]) -> int:
        """The number of the face that was there, in this frame or not long ago; else the next one."""
        places = {number: seen.box for number, seen in self._seen.items()} | present
        best = max(places, key=lambda number: box.overlap(places[number]), default=None)
        if best is not None and box.overlap(places[best]) > _SAME_FACE:
            return best
        self._numbers += 1
        return self._numbers


def predict_video(reader: FaceReader, video: Video, detector: str) -> Iterator[tuple[Frame, FramePredictions]]:
    """Each frame with its predictions, as they come; they end, with the video's `error`, where the model has none.

    Raises:
        EmoTorchError: see `Video` and `find_faces`.
    """
    tracker = FaceTracker(detector)
    for frame in video:
        grey = np.asarray(cv2.cvtColor(frame.colours, cv2.COLOR_BGR2GRAY), np.uint8)
        boxes: dict[int, Box] | dict[int, None] = {1: None} if detector == "none" else tracker.update(grey)
        try:
            faces = predict_faces(reader, grey, [*boxes.values()])
        except EmoTorchError as error:
            video.error = f"at {frame.time:.2f} s: {error}"
            return
        yield frame, FramePredictions(video.name, frame.time, tuple(boxes), faces)
