"""Faces in the frames of a video: found fast, and numbered so that a person keeps their number.

The whole frame is searched every tenth time. In between each face is looked for around its last place alone,
in a fraction of the time; when one is lost there, the whole frame is searched again at once, but not more often
than every third time. So a new face is seen after ten frames at the latest (three while there is none).
"""

from dataclasses import dataclass

from emotorch.data.faces import Box, find_face_near, find_faces
from emotorch.data.images import Pixels

_FULL_SEARCH_EVERY = 10
_FULL_SEARCH_AT_MOST_EVERY = 3
# Two boxes that overlap more are one face.
_SAME_FACE = 0.3
# A face that is found again where it was so many frames ago keeps its number.
_REMEMBERED_FRAMES = 30


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
