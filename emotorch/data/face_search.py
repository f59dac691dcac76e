"""Finding all faces in a picture, with any detector: turned pictures, small faces, overlaps; and a known face again."""

import numpy as np

from emotorch.data.detectors import Detector
from emotorch.data.faces import Box, Face, without_overlaps
from emotorch.data.images import Pixels, shrink

# A face in a turned picture counts if its score exceeds that of any face in the upright one by this much.
_CLEARLY_BETTER = 0.03
# Pixels in the searched picture: if a face is smaller, or there is none, even smaller ones are looked for.
_SMALL_FACE = 40

# The search around a known face goes further by this part of its side.
_NEAR_MARGIN = 0.3
_NEAR_OVERLAP = 0.2


def find_faces(pixels: Pixels, detector: Detector, *, thorough: bool = True) -> list[Face]:
    """The faces in a picture, left to right.

    Args:
        pixels: (H, W) grey or (H, W, 3) red, green, blue.
        detector: What finds them.
        thorough: A picture in which none is found for sure is turned by quarters, as a camera held sideways does not
            always say so; and small faces are looked for in a large one, or one that fills it. A video's frames have no
            time for that.
    """
    faces = detector.find(pixels, detector.side)
    if not thorough:
        return _kept(faces, detector)
    turns = 0 if faces and _best(faces) >= detector.sure else _quarter_turns(pixels, detector, _best(faces))
    if turns:
        return _kept(_find_turned(pixels, detector, turns, detector.side), detector)
    longest = max(pixels.shape[:2])
    smallest = min((face.box.width for face in faces), default=0) * detector.side / longest
    if longest > detector.side < detector.larger_side and smallest < _SMALL_FACE:
        faces = faces + detector.find(pixels, detector.larger_side)
    kept = _kept(faces, detector)
    if not kept and longest > detector.turned_side and detector.side < detector.larger_side:
        # Networks miss a face that fills the picture, where that is searched with many pixels.
        kept = _kept(detector.find(pixels, detector.turned_side), detector)
    return kept


def _quarter_turns(pixels: Pixels, detector: Detector, best: float) -> int:
    """By how many the picture is upright, when its best face as it is has this score."""
    smaller = shrink(pixels, detector.turned_side)
    if smaller.shape != pixels.shape:
        # With fewer pixels a face that fills the picture is found better, also upside down.
        best = max(best, _best(detector.find(smaller, detector.turned_side)))
    turned = {turns: _best(_find_turned(smaller, detector, turns, detector.turned_side)) for turns in (1, 3, 2)}
    turns = max(turned, key=lambda turns: turned[turns])
    is_better = turned[turns] >= max(detector.turned_threshold, best + _CLEARLY_BETTER)
    return turns if is_better else 0


def find_face_near(pixels: Pixels, known: Box, detector: Detector) -> Face | None:
    """The face in a picture that overlaps best with where one was in the frame before.

    It takes a small part of the time of `find_faces`; boxes may differ from its by some percent of their side.
    """
    height, width = pixels.shape[:2]
    right, down = round(known.width * _NEAR_MARGIN), round(known.height * _NEAR_MARGIN)
    wider = Box(known.x - right, known.y - down, known.width + 2 * right, known.height + 2 * down)
    around = wider.within(width, height)
    found = [face.moved(around.x, around.y) for face in detector.find_near(around.cut(pixels), known.width)]
    best = max(found, key=lambda face: face.box.overlap(known), default=None)
    return best if best is not None and best.box.overlap(known) > _NEAR_OVERLAP else None


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _kept(faces: list[Face], detector: Detector) -> list[Face]:
    return without_overlaps(face for face in faces if face.score >= detector.threshold)


def _find_turned(pixels: Pixels, detector: Detector, turns: int, side: int) -> list[Face]:
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    height, width = pixels.shape[:2]
    return [face.turned_back(turns, height, width) for face in detector.find(turned, side)]
