"""A face's place in a picture, and how it is cut out: upright, of the pixels that are there, in grey."""

import cv2
import numpy as np
import pytest
from conftest import draw_images
from scenes import SyntheticFace, draw_scene

from emotorch.data.faces import Box, Face, brightened, cut_face, cut_out, without_overlaps
from emotorch.data.images import resize, to_grey

PLACES = [SyntheticFace(40, 60, 150), SyntheticFace(250, 200, 180), SyntheticFace(470, 40, 120)]


def test_what_overlaps_is_measured_as_intersection_over_union() -> None:
    box = Box(10, 10, 20, 20)
    assert box.overlap(box) == 1
    assert box.overlap(Box(10, 20, 20, 20)) == pytest.approx(200 / 600)
    assert box.overlap(Box(15, 15, 10, 10)) == pytest.approx(100 / 400)
    for apart in (Box(30, 10, 20, 20), Box(10, 30, 20, 20), Box(15, 40, 5, 5), Box(40, 15, 5, 5), Box(100, 100, 5, 5)):
        assert box.overlap(apart) == apart.overlap(box) == 0


def test_overlapping_boxes_are_one_face_the_surest_one() -> None:
    face, shifted = Face(Box(100, 100, 80, 80), 0.9), Face(Box(110, 95, 80, 80), 0.8)
    within, beside = Face(Box(120, 120, 30, 30), 0.7), Face(Box(170, 100, 80, 80), 0.6)
    assert without_overlaps([within, beside, shifted, face]) == [face, beside]
    assert not face.box.is_same_face(Box(140, 100, 80, 80))  # they share just half


def test_the_part_of_a_box_that_is_in_a_picture() -> None:
    assert Box(10, 20, 30, 40).within(100, 100) == Box(10, 20, 30, 40)
    assert Box(-5, -6, 30, 40).within(100, 100) == Box(0, 0, 25, 34)
    assert Box(90, 80, 30, 40).within(100, 110) == Box(90, 80, 10, 30)
    beyond = Box(120, 10, 30, 40).within(100, 100), Box(-40, 10, 30, 40).within(100, 100)
    assert [box.area for box in beyond] == [0, 0]
    assert [box.width for box in beyond] == [0, 0]


@pytest.mark.parametrize("colours", [False, True])
def test_a_face_in_the_dark_is_cut_out_as_bright_as_any_other(colours: bool) -> None:
    scene = draw_scene(PLACES)
    picture = cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB) if colours else scene
    box = Box(40, 60, 150, 150)
    face = cut_face(picture, box).astype(float)
    for light in (0.2, 0.08):
        dark = cut_face((picture * light).astype(np.uint8), box)
        assert np.percentile(dark, 99) > 240
        assert np.corrcoef(dark.ravel(), face.ravel())[0, 1] > 0.99
    dusk = (picture * 0.5).astype(np.uint8)
    assert np.array_equal(brightened(dusk), dusk)
    assert not brightened(np.zeros((5, 4), np.uint8)).any()


def test_a_face_is_cut_out_by_its_box_and_nothing_else() -> None:
    scene = draw_scene(PLACES)
    assert np.array_equal(cut_face(scene, Box(40, 60, 48, 48)), scene[60:108, 40:88])
    assert np.array_equal(cut_face(scene, Box(40, 60, 150, 150)), resize(scene[60:210, 40:190]))
    assert np.array_equal(cut_face(scene, None), resize(scene))


def test_a_face_of_a_colour_picture_is_that_of_the_grey_one() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for box in (None, Box(10, 20, 90, 90), Box(0, 0, 48, 48)):
        assert np.array_equal(cut_face(colours, box), cut_face(to_grey(colours), box))


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_place_in_a_turned_picture_is_told_of_the_picture_itself(quarter_turns: int) -> None:
    picture = np.zeros((90, 160), np.uint8)
    picture[20:50, 100:140] = 9
    picture[25, 110] = picture[25, 130] = 200  # eyes
    turned = np.rot90(picture, quarter_turns)
    (top, left), (bottom, right) = (edge(np.argwhere(turned), axis=0).tolist() for edge in (np.min, np.max))
    first, second = (tuple(place[::-1].tolist()) for place in np.argwhere(turned == 200))
    found = Face(Box(left, top, right - left + 1, bottom - top + 1), 0.9, (first, second))
    face = found.turned_back(quarter_turns, *picture.shape)
    assert face.box == Box(100, 20, 40, 30)
    assert face.eyes is not None
    assert {*face.eyes} == {(110, 25), (130, 25)}


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_face_that_lies_on_its_side_is_cut_out_upright(quarter_turns: int) -> None:
    face = draw_images(1, seed=3)[0]
    picture = np.full((200, 300), 128, np.uint8)
    picture[40:88, 100:148] = face
    # Of the camera that was held sideways, to be turned back by so much.
    lying = np.rot90(picture, -quarter_turns)
    found = Face(Box(100, 40, 48, 48), 0.9).turned_back(quarter_turns, *lying.shape)
    assert found.turn == 90 * quarter_turns
    assert np.array_equal(cut_face(lying, found.box, found.turn), face)


@pytest.mark.parametrize("tilt", [-60, -30, 30, 60])
def test_a_face_that_leans_is_turned_upright_by_its_eyes(tilt: int) -> None:
    """Of what the turned picture shows, next to nothing is lost."""
    upright = draw_scene([SyntheticFace(200, 120, 200)])
    box = Box(200, 120, 200, 200)
    middle = 300 - 0.5, 220 - 0.5
    # OpenCV's angles run counter-clockwise: this face leans clockwise by the tilt.
    leaning = cv2.warpAffine(upright, cv2.getRotationMatrix2D(middle, -tilt, 1), upright.shape[::-1])
    across, down = 40 * np.cos(np.radians(tilt)), 40 * np.sin(np.radians(tilt))
    face = Face(box, 0.9, ((300 - across, 200 - down), (300 + across, 200 + down)))
    assert face.turn == pytest.approx(tilt)
    error = np.abs(cut_face(leaning, box, face.turn).astype(int) - cut_face(upright, box)).mean()
    assert error < 2 < np.abs(cut_face(leaning, box).astype(int) - cut_face(upright, box)).mean() / 4


@pytest.mark.parametrize("place", [(150, 90), (0, 0), (3, 5), (236, 176), (240, 0)])
@pytest.mark.parametrize("turn", [-130.0, -45.0, 30.0, 170.0])
def test_a_turned_face_is_that_of_the_whole_picture_turned(place: tuple[int, int], turn: float) -> None:
    """Only the part around the box is turned; at the picture's edge its last pixels go on."""
    picture = cv2.resize(draw_images(1, seed=4)[0], (300, 240), interpolation=cv2.INTER_CUBIC)
    (x, y), side = place, 60
    matrix = cv2.getRotationMatrix2D((x + (side - 1) / 2, y + (side - 1) / 2), turn, 1.0)
    matrix[:, 2] -= x, y
    whole = cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(cut_out(picture, Box(x, y, side, side), turn).astype(int) - whole).max() <= 2


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_quarter_turn_moves_pixels_and_mixes_none(quarter_turns: int) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (50, 70), dtype=np.uint8)
    turned = cut_out(picture, Box(10, 5, 30, 20), 90.0 * quarter_turns)
    assert np.array_equal(turned, np.rot90(picture[5:25, 10:40], quarter_turns))
    assert np.array_equal(cut_out(picture, Box(10, 5, 30, 20)), picture[5:25, 10:40])


@pytest.mark.parametrize("tilt", [-24, 0, 24])
def test_a_face_that_leans_little_is_left_as_it_is(tilt: int) -> None:
    down = 40 * np.tan(np.radians(tilt))
    assert Face(Box(0, 0, 100, 100), 0.9, ((20, 40), (60, 40 + down))).turn == 0
