"""Predictions for the frames of a video or a camera, each face followed under one number."""

import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotorch.data.detectors import Detector
from emotorch.data.face_search import find_face_near, find_faces
from emotorch.data.faces import Box, Face
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError
from emotorch.inference.predictions import PicturePredictions, Prediction, predict_faces
from emotorch.inference.reader import FaceReader

# For files and cameras that do not say it.
_USUAL_RATE = 25.0
# A header's count of frames may be an estimate; a file that misses a larger part is damaged.
_COUNT_TOLERANCE = 0.05
# The whole frame is searched every so many frames; while a face is lost more often, at most every few.
_FULL_SEARCH_EVERY = 10
_FULL_SEARCH_AT_MOST_EVERY = 3
# Two boxes that overlap more are one face.
_SAME_FACE = 0.3
# A person out of sight for at most so many seconds keeps their number when they come back near where they were (within
# half of the face's side, and some more for every frame, up to so many sides) and about as large.
_REMEMBERED_S = 2.0
_NEARBY, _NEARBY_PER_FRAME, _NEARBY_AT_MOST = 0.5, 0.1, 2.0
_MOST_GROWTH = 1.6


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
        numbers: Of each face's person, from 1; they keep it in sight and through short gaps.
        faces: Left to right.
        detector: How they were found, or `none`.
    """

    input: str
    time: float
    numbers: Sequence[int]
    faces: Sequence[Prediction]
    detector: str | None = None

    def abstaining_below(self, confidence: float) -> "FramePredictions":
        return replace(self, faces=[face.abstaining_below(confidence) for face in self.faces])

    def to_dict(self) -> dict[str, Any]:
        """Plain values: each face with its person's number."""
        faces = zip(self.numbers, self.faces, strict=True)
        return {"time": self.time, "faces": [{"person": number, **face.to_dict()} for number, face in faces]}

    def as_dict(self, model: str) -> dict[str, Any]:
        """The object that `--json` prints for a frame: a picture's, its time in seconds, and the faces' numbers."""
        picture = PicturePredictions(self.input, None, self.faces, None, self.detector).as_dict(model)
        return {**picture, "time": self.time, "numbers": list(self.numbers)}


@contextmanager
def opencv_name(path: Path) -> Iterator[str]:
    """A name by which OpenCV opens a video file, valid within the context.

    OpenCV takes what stands before a colon for a protocol, unless the path is absolute, and crashes on a name that is
    no UTF-8: it gets a link to such a file.
    """
    absolute = str(path.absolute())
    if _is_utf8(absolute):
        yield absolute
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix if _is_utf8(path.suffix) else ''}"
        link.symlink_to(absolute)
        yield str(link)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Video:
    """A video file or a camera, opened; iterate over its frames once.

    Attributes:
        name: As it was named.
        rate: Frames per second.
        count: How many frames its header promises; 0 for a camera.
        error: Why the frames, or their predictions, ended too early; None until then.
    """

    def __init__(self, source: str) -> None:
        """Opens a file, or a camera by its number; raises EmoTorchError when that fails."""
        self.name = source
        self.error: str | None = None
        self._is_camera = source.isdecimal()
        if not self._is_camera and not Path(source).is_file():
            raise EmoTorchError(f"{source}: no such file")
        if self._is_camera and len(source) > 9:
            raise EmoTorchError(f"{source}: no camera of this number")
        # ffmpeg and OpenCV print less about a broken file than our one line says.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        if self._is_camera:
            self._capture = cv2.VideoCapture(int(source))
        else:
            with opencv_name(Path(source)) as name:
                self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            what = "no camera of this number, or another program uses it"
            raise EmoTorchError(f"{source}: {what if self._is_camera else 'not a video that can be read, or damaged'}")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate < 1000 else _USUAL_RATE
        self.count = 0 if self._is_camera else max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)

    def __iter__(self) -> Iterator[Frame]:
        """All frames that can be read; then `error` tells whether there should have been more."""
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

    def __init__(self, detector: Detector, rate: float = _USUAL_RATE) -> None:
        """`rate`: frames per second."""
        self._detector = detector
        self._remembered = round(_REMEMBERED_S * rate)
        self._frame = -1
        self._last_full_search = -_FULL_SEARCH_EVERY
        self._seen: dict[int, _Seen] = {}
        self._numbers = 0

    def update(self, pixels: Pixels) -> dict[int, Face]:
        """The faces in the next frame, (H, W) or (H, W, 3) red, green, blue, by their number (from 1), left to right.

        Raises:
            EmoTorchError: see `find_faces`.
        """
        self._frame += 1
        before = {number: seen.box for number, seen in self._seen.items() if seen.frame == self._frame - 1}
        faces: dict[int, Face] = {}
        for number, known in before.items():
            face = find_face_near(pixels, known, self._detector)
            # Of two boxes that meet on one face the one known longer stays.
            if face is not None and all(face.box.overlap(other.box) < _SAME_FACE for other in faces.values()):
                faces[number] = face
        since = self._frame - self._last_full_search
        is_incomplete = not faces or len(faces) < len(before)
        if since >= (_FULL_SEARCH_AT_MOST_EVERY if is_incomplete else _FULL_SEARCH_EVERY):
            self._last_full_search = self._frame
            faces |= self._number(find_faces(pixels, self._detector, thorough=False), faces)
        self._seen = {n: seen for n, seen in self._seen.items() if self._frame - seen.frame < self._remembered}
        self._seen |= {number: _Seen(face.box, self._frame) for number, face in sorted(faces.items())}
        return dict(sorted(faces.items(), key=lambda item: (item[1].box.x, item[1].box.y)))

    def _number(self, found: Sequence[Face], present: dict[int, Face]) -> dict[int, Face]:
        """Faces of a full search by number: of people who are present, or were not long ago; else a new one."""
        numbered: dict[int, Face] = {}
        others = list(found)
        places = {number: face.box for number, face in present.items()}
        distances = [(1 - face.box.overlap(box), number, face) for number, box in places.items() for face in found]
        distances = [entry for entry in distances if entry[0] < 1 - _SAME_FACE]
        away = {number: seen for number, seen in self._seen.items() if number not in present}
        # Those who are present come first, then those who were.
        distances += [
            (1 + self._distance(face.box, seen), number, face) for number, seen in away.items() for face in found
        ]
        for distance, number, face in sorted(distances, key=lambda entry: entry[:2]):
            if math.isfinite(distance) and number not in numbered and face in others:
                numbered[number] = face
                others.remove(face)
        for face in others:
            self._numbers += 1
            numbered[self._numbers] = face
        return numbered

    def _distance(self, box: Box, seen: _Seen) -> float:
        """From where a person was, in sides of the face; infinite when it is too far away, or of another size."""
        width, known = box.width, seen.box.width
        x, y = box.x + width / 2 - seen.box.x - known / 2, box.y + width / 2 - seen.box.y - known / 2
        sides = math.hypot(x, y) / max(width, known)
        gap = self._frame - seen.frame
        is_near = sides < min(_NEARBY + _NEARBY_PER_FRAME * gap, _NEARBY_AT_MOST)
        return sides if is_near and max(width, known) < _MOST_GROWTH * min(width, known) else math.inf


def predict_video(
    reader: FaceReader, video: Video, detector: Detector | None
) -> Iterator[tuple[Frame, FramePredictions]]:
    """Each frame with its predictions, one by one; they end, with the video's `error` set, where the model fails.

    Without a detector each frame is taken as a face.

    Raises:
        EmoTorchError: see `Video` and `find_faces`.
    """
    tracker = FaceTracker(detector, video.rate) if detector else None
    name = detector.name if detector else "none"
    for frame in video:
        colours = np.asarray(cv2.cvtColor(frame.colours, cv2.COLOR_BGR2RGB), np.uint8)
        found: dict[int, Face] | dict[int, None] = tracker.update(colours) if tracker else {1: None}
        try:
            faces = predict_faces(reader, colours, [*found.values()])
        except EmoTorchError as error:
            video.error = f"at {frame.time:.2f} s: {error}"
            return
        yield frame, FramePredictions(video.name, frame.time, tuple(found), faces, name)
