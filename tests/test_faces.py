"""Faces are found and cut out alike in a dataset's scene and in a user's photo; what YuNet needs is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import refusal
from onnx import TensorProto, helper, numpy_helper
from scenes import SyntheticFace, draw_scene

from emotorch.data.faces import YUNET_VARIABLE, Box, check_detector, cut_face, find_face_near, find_faces
from emotorch.data.images import resize
from emotorch.errors import EmoTorchError, UsageError

PLACES = [SyntheticFace(40, 60, 150), SyntheticFace(250, 200, 180), SyntheticFace(470, 40, 120)]


def test_every_face_is_found_in_its_place_from_left_to_right() -> None:
    boxes = find_faces(draw_scene(PLACES))
    assert len(boxes) == 3
    for box, place in zip(boxes, PLACES, strict=True):
        assert place.holds(box)


def test_what_overlaps_is_measured_as_intersection_over_union() -> None:
    box = Box(10, 10, 20, 20)
    assert box.overlap(box) == 1
    assert box.overlap(Box(10, 20, 20, 20)) == pytest.approx(200 / 600)
    assert box.overlap(Box(15, 15, 10, 10)) == pytest.approx(100 / 400)
    assert box.overlap(Box(30, 10, 20, 20)) == box.overlap(Box(100, 100, 5, 5)) == 0


def test_a_face_is_cut_out_by_its_box_and_nothing_else() -> None:
    scene = draw_scene(PLACES)
    assert np.array_equal(cut_face(scene, Box(40, 60, 48, 48)), scene[60:108, 40:88])
    assert np.array_equal(cut_face(scene, Box(40, 60, 150, 150)), resize(scene[60:210, 40:190]))
    assert np.array_equal(cut_face(scene, None), resize(scene))


def test_the_search_near_a_known_face_finds_what_the_full_search_finds() -> None:
    """The whole scene's boxes and the neighbourhood's differ by some percent of their side."""
    overlaps = []
    for seed in range(12):
        place = SyntheticFace(200 + 10 * seed, 100, 60 + 20 * seed, seed=seed)
        scene = draw_scene([place])
        for box in find_faces(scene):
            moved = Box(box.x + box.width // 8, box.y - box.height // 10, box.width, box.height)
            near = find_face_near(scene, moved)
            assert near is not None
            overlaps.append(near.overlap(box))
    assert len(overlaps) >= 10
    assert np.mean(overlaps) > 0.9
    assert min(overlaps) > 0.75


def test_near_a_place_without_a_face_there_is_none() -> None:
    scene = draw_scene([SyntheticFace(40, 60, 150)])
    assert find_face_near(scene, Box(400, 250, 120, 120)) is None
    # Boxes at and beyond an edge, as of a face that leaves the picture.
    for box in (Box(600, 440, 40, 40), Box(0, 0, 30, 30), Box(580, 100, 100, 100)):
        assert find_face_near(scene, box) is None


# YuNet. Its file does not ship: this network has its inputs and outputs, and answers with fixed faces.


def write_network(path: Path, cells: dict[int, tuple[int, int, tuple[float, float]]], size: tuple[int, int]) -> Path:
    """A network like YuNet's, which finds a face for each stride's row, column and size, whatever the picture."""
    width, height = ((side + 31) // 32 * 32 for side in size)
    nodes, outputs = [], []
    for kind, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            columns = width // stride
            tensor = np.zeros((1, columns * (height // stride), values), np.float32)
            if stride in cells:
                row, column, (face_width, face_height) = cells[stride]
                encoded = (0, 0, np.log(face_width / stride), np.log(face_height / stride))
                tensor[0, row * columns + column] = 0.9 if values == 1 else encoded if values == 4 else 0
            name = f"{kind}_{stride}"
            nodes += [
                helper.make_node("Constant", [], [f"{name}_value"], value=numpy_helper.from_array(tensor)),
                # The network must depend on its picture, or OpenCV folds it away.
                helper.make_node("Add", [f"{name}_value", "zero"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, tensor.shape))
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
        *nodes,
    ]
    shape = (1, 3, height, width)
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "yunet", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)
    return path


@pytest.fixture
def yunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "yunet.onnx"
    monkeypatch.setenv(YUNET_VARIABLE, str(path))
    return path


def test_yunet_s_faces_become_squares_in_the_picture_s_own_pixels(yunet: Path) -> None:
    # A picture of 640×480 is searched at 320×240.
    write_network(yunet, {8: (10, 25, (30, 44)), 32: (2, 2, (64, 90))}, (320, 240))
    left, right = find_faces(np.full((480, 640), 90, np.uint8), "yunet")
    # Centres are twice the cell's corner, sides twice the larger one.
    assert (left.x + left.width / 2, left.y + left.height / 2) == pytest.approx((128, 128), abs=1)
    assert (left.width, left.height) == (180, 180)
    assert (right.x + right.width / 2, right.y + right.height / 2) == pytest.approx((400, 160), abs=1)
    assert (right.width, right.height) == (88, 88)


def test_yunet_s_face_at_the_edge_stays_inside_the_picture(yunet: Path) -> None:
    write_network(yunet, {16: (0, 0, (60, 80))}, (320, 240))
    assert find_faces(np.full((240, 320), 90, np.uint8), "yunet") == [Box(0, 0, 80, 80)]


def test_yunet_without_its_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(YUNET_VARIABLE, raising=False)
    with pytest.raises(UsageError, match=f"set {YUNET_VARIABLE} to its path, or use --detector haar"):
        check_detector("yunet")
    missing = tmp_path / "missing.onnx"
    monkeypatch.setenv(YUNET_VARIABLE, str(missing))
    with refusal(f"{missing}: no such file; {YUNET_VARIABLE} must name"):
        check_detector("yunet")
    check_detector("haar")
    check_detector("none")


def test_another_file_than_yunet_s_is_named(yunet: Path) -> None:
    yunet.write_bytes(b"no network")
    with refusal(f"{yunet}: OpenCV cannot read it as YuNet's ONNX file"):
        check_detector("yunet")


def test_another_network_than_yunet_s_is_named(yunet: Path) -> None:
    node = helper.make_node("Relu", ["input"], ["output"])
    shape = (1, 3, 32, 32)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph([node], "other", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), yunet)
    with pytest.raises(EmoTorchError, match="not YuNet's network"):
        check_detector("yunet")
