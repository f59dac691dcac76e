import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import draw_images, refusal
from numpy.typing import NDArray
from published import LABELS, published_state
from running import EXPORT_ONNX, PREDICT, Trained, call_script, copy_trained, error_line, read_table
from scenes import SyntheticFace, write_clip
from torch import Tensor, nn

from emotorch.data.images import Pixels
from emotorch.errors import UsageError
from emotorch.evaluation.evaluate import predict
from emotorch.evaluation.sets import EvaluationSet
from emotorch.files import hash_file, write_json
from emotorch.inference import onnx_export
from emotorch.inference.onnx_reader import OnnxReader
from emotorch.inference.reader import open_reader
from emotorch.inference.torch_reader import TorchReader
from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run
from emotorch.runs.record import sealed_graph
from emotorch.training import checkpoints
from emotorch.training.loop import LabelledPixels, Trainer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
# Both compute in float32, in another order.
CLOSE = 1e-5


@pytest.fixture(scope="module")
def seven_exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `exported`, with seven classes."""
    scheme, recipe = get_scheme("seven"), get_recipe("compact")
    torch.manual_seed(3)
    network = create_network(recipe.network, checkpoints.network_config(recipe, scheme.labels))
    with torch.no_grad():
        network.fc.weight.mul_(20)
    state = {**checkpoints.describe(recipe, scheme), "model_state_dict": network.state_dict(), "temperature": 0.5}
    weights = tmp_path_factory.mktemp("seven") / "model.pth"
    checkpoints.save(weights, state)
    onnx_export.export(weights)
    return weights


def copied(exported: Path, folder: Path) -> Path:
    """The two files in a folder of the test's own."""
    for path in (exported, exported.with_suffix(".onnx")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / exported.name


def alone(exported: Path, folder: Path) -> Path:
    """The weights without the ONNX file."""
    weights = copied(exported, folder)
    weights.with_suffix(".onnx").unlink()
    return weights


def rewrite(path: Path, **metadata: str | None) -> None:
    """An ONNX file with other metadata; None takes a key away."""
    model = onnx.load(path)
    stated = {entry.key: entry.value for entry in model.metadata_props} | {"sha256": None} | metadata
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: value for key, value in stated.items() if value is not None})
    onnx.save(model, path)


def test_the_onnx_file_beside_the_weights_predicts_and_as_pytorch_does(exported: Path, tmp_path: Path) -> None:
    faces = draw_images(150, seed=1)
    ours, theirs = open_reader(exported), open_reader(alone(exported, tmp_path))
    assert (type(ours), type(theirs)) == (OnnxReader, TorchReader)
    assert (ours.weights, theirs.weights) == (exported.with_suffix(".onnx"), tmp_path / "model.pth")
    assert ours.labels == theirs.labels == LABELS
    for reader in (ours, theirs):
        probabilities = reader.probabilities(faces)
        assert (probabilities.shape, probabilities.dtype) == ((150, 4), np.float32)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(ours.probabilities(faces), theirs.probabilities(faces), atol=CLOSE)
    assert len(set(ours.probabilities(faces).argmax(1))) == 4


def test_the_onnx_file_itself_may_be_named(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.onnx"
    path.write_bytes(exported.with_suffix(".onnx").read_bytes())
    faces = draw_images(3, seed=1)
    assert (open_reader(path).probabilities(faces) == open_reader(exported).probabilities(faces)).all()


def test_a_face_s_prediction_is_the_same_whatever_faces_come_with_it(exported: Path) -> None:
    reader = open_reader(exported)
    faces = draw_images(150, seed=2)
    together = reader.probabilities(faces)
    for place in (0, 63, 64, 149):
        np.testing.assert_allclose(reader.probabilities(faces[place : place + 1])[0], together[place], atol=CLOSE)


def test_an_onnx_file_of_other_weights_is_not_used_and_that_is_said(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = copied(exported, tmp_path)
    checkpoints.save(weights, {**published_state(), "temperature": 3.0})
    with caplog.at_level(logging.INFO, logger="emotorch"):
        reader = open_reader(weights)
    (line,) = caplog.messages
    assert line.startswith(f"{weights.with_suffix('.onnx')} is of other weights than model.pth")
    assert isinstance(reader, TorchReader)
    faces = draw_images(1, seed=1)
    onnx_export.export(weights)
    assert isinstance(open_reader(weights), OnnxReader)
    np.testing.assert_allclose(open_reader(weights).probabilities(faces), reader.probabilities(faces), atol=CLOSE)


def test_read_as_another_scheme_the_other_classes_are_dropped_before_the_softmax(
    seven_exported: Path, tmp_path: Path
) -> None:
    faces = draw_images(20, seed=1)
    whole = open_reader(seven_exported).probabilities(faces)
    kept = whole[:, [0, 2, 6, 5]]  # angry, fear, neutral, surprise of FER-2013's order
    for weights in (seven_exported, alone(seven_exported, tmp_path)):
        reader = open_reader(weights, "emotorch4")
        assert reader.labels == ("anger", "fear", "calm", "surprise")
        expected = kept / kept.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(reader.probabilities(faces), expected, atol=1e-5)


@pytest.mark.parametrize("has_onnx", [True, False])
def test_a_scheme_that_the_model_has_not_the_labels_for_is_wrong_usage(
    exported: Path, tmp_path: Path, has_onnx: bool
) -> None:
    weights = copied(exported, tmp_path) if has_onnx else alone(exported, tmp_path)
    with pytest.raises(UsageError, match="emotorch4 cannot be read as seven"):
        open_reader(weights, "seven")
    with pytest.raises(UsageError, match="unknown label scheme 'eight'"):
        open_reader(weights, "eight")


@pytest.mark.parametrize("name", ["model.pth", "model.onnx"])
def test_a_flipped_bit_in_a_file_of_a_run_is_named(exported_run: Trained, tmp_path: Path, name: str) -> None:
    """Neither PyTorch nor ONNX Runtime notices when it is in the weights."""
    folder = copy_trained(exported_run, tmp_path / "root").folder
    record = Run(folder).record
    assert record["weights_sha256"] == hash_file(folder / "model.pth")
    assert record["onnx_sha256"] == hash_file(folder / "model.onnx")
    damaged = bytearray((folder / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / name).write_bytes(damaged)
    with refusal(f"{folder / name}: damaged or replaced"):
        open_reader(folder / "model.pth")
    if name == "model.pth":
        with refusal(f"{folder / name}: "):
            checkpoints.load_model(folder / name)
        assert open_reader(folder / "model.onnx").labels == LABELS


def test_weights_that_no_record_states_a_hash_of_are_taken(exported: Path, tmp_path: Path) -> None:
    weights = alone(exported, tmp_path)
    write_json(tmp_path / "run.json", {"status": "finished"})
    assert open_reader(weights).labels == LABELS


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a", None], ids=["empty", "text", "bytes", "cut"])
def test_a_damaged_onnx_file_is_named(exported: Path, tmp_path: Path, content: bytes | None) -> None:
    weights = copied(exported, tmp_path)
    path = weights.with_suffix(".onnx")
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    for named in (weights, path):
        with refusal(f"{path}: not an ONNX file, or a damaged one"):
            open_reader(named)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"scheme": None}, "no scheme in its metadata: not a file that export_onnx.py wrote"),
        ({"scheme": "{"}, "its metadata is damaged"),
        ({"scheme": json.dumps(get_scheme("seven").as_dict())}, "its labels are not those of its scheme"),
        ({"scheme": json.dumps(get_scheme("seven").as_dict()), "labels": None}, "7 labels for 4 outputs"),
        ({"temperature": "warm"}, "its metadata is damaged"),
        ({"temperature": "nan"}, "temperature nan is no number above 0"),
        ({"weights_sha256": None}, "no weights_sha256 in its metadata"),
    ],
)
def test_metadata_that_is_not_right_is_named(
    exported: Path, tmp_path: Path, metadata: dict[str, str | None], message: str
) -> None:
    path = copied(exported, tmp_path).with_suffix(".onnx")
    rewrite(path, **metadata)
    with refusal(f"{path}: {message}"):
        open_reader(path)


def test_another_program_s_onnx_file_is_refused(exported: Path, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with refusal(f"{path}: no model in its metadata: not a file that export_onnx.py wrote"):
        open_reader(path)
    ours = onnx.load(exported.with_suffix(".onnx"))
    rewrite(path, **{entry.key: entry.value for entry in ours.metadata_props})
    with refusal(f"{path}: it does not take 'pixels' and give 'outputs'"):
        open_reader(path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("model.pth", "model.onnx"):
        with refusal(f"{tmp_path / name} does not exist"):
            open_reader(tmp_path / name)


@contextmanager
def inputs_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """What the network is given meanwhile."""
    seen: list[Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    yield seen
    handle.remove()


def sorted_rows(images: Tensor) -> NDArray[np.float32]:
    rows = images.contiguous().flatten(1).numpy()
    return rows[np.lexsort(rows.T[::-1])]


def train_and_save(pixels: Pixels, weights: Path) -> Tensor:
    """One epoch of a network that takes larger, coloured, normalised images; returns what it was given."""
    recipe = replace(
        get_recipe("emotorch"),
        network="emotion_cnn",
        network_config={"image_size": 64, "channels": 3},
        normalization="imagenet",
        epochs=1,
    )
    scheme = get_scheme("emotorch4")
    torch.manual_seed(1)
    network = create_network(recipe.network, checkpoints.network_config(recipe, scheme.labels))
    images = LabelledPixels.of(pixels, np.arange(len(pixels)) % 4, CPU)
    trainer = Trainer(network, recipe, images, {}, classes=4, seed=1)
    with inputs_of(network) as seen:
        trainer.run(lambda _: None)
    state = {**checkpoints.describe(recipe, scheme), **trainer.state(), "temperature": 2.0}
    checkpoints.save(weights, state)
    return torch.cat(seen)


def test_training_evaluation_and_both_predictions_see_the_same_in_the_same_pixels(tmp_path: Path) -> None:
    pixels = draw_images(24, seed=5)
    weights = tmp_path / "model.pth"
    trained_on = train_and_save(pixels, weights)

    model = checkpoints.load_model(weights)
    truths = np.arange(24) % 4
    images = EvaluationSet("drawn", [""] * 24, pixels, truths, np.array([""] * 24))
    with inputs_of(model.network) as seen:
        evaluated = predict(model, images, CPU)
    by_torch = open_reader(weights)
    assert isinstance(by_torch, TorchReader)
    with inputs_of(by_torch.model.network) as predicted_on:
        predicted = by_torch.probabilities(pixels)
    assert torch.equal(torch.cat(seen), torch.cat(predicted_on))
    assert trained_on.shape == (24, 3, 64, 64)
    assert (sorted_rows(trained_on) == sorted_rows(torch.cat(seen))).all()

    onnx_export.export(weights)
    by_onnx = open_reader(weights)
    assert isinstance(by_onnx, OnnxReader)
    np.testing.assert_allclose(by_onnx.probabilities(pixels), predicted, atol=CLOSE)
    assert (predicted.argmax(1) == evaluated.classes).all()
    assert (by_onnx.probabilities(pixels).argmax(1) == evaluated.classes).all()
    np.testing.assert_allclose(evaluated.confidences, predicted.max(axis=1), atol=1e-7)


# Runs the script as a user does, and tells at its end what is imported by then.
_TELLING = """
import atexit, runpy, sys
heavy = {"torch", "torchvision", "pandas", "matplotlib", "scipy", "sklearn", "timm", "onnx", "seaborn", "jinja2"}
heavy |= {"filelock", "safetensors", "markupsafe", "captum", "optuna", "ray", "fastapi"}
atexit.register(lambda: print("imported", sorted(heavy & set(sys.modules))))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def imported_by(root: Path, *arguments: object) -> list[str]:
    """What of the heavy packages a prediction imports in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _TELLING, str(REPOSITORY / PREDICT), *map(str, arguments)],
        env={**os.environ, "EMOTORCH_ROOT": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "face.png" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("imported "), done.stderr
    found: list[str] = json.loads(last.removeprefix("imported ").replace("'", '"'))
    return found


def test_a_prediction_by_the_onnx_file_imports_nothing_heavy_and_matplotlib_only_to_draw(
    exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "noise.png"), cv2.resize(draw_images(1, seed=1)[0], (200, 160)))
    cv2.imwrite(str(folder / "face.png"), draw_images(1, seed=1)[0])
    clip = write_clip(tmp_path / "clip.avi", [[SyntheticFace(100, 100, 160)]] * 2)
    for call in (
        (folder, "--csv", tmp_path / "predictions.csv"),  # a table
        (folder / "face.png", folder / "noise.png", clip),  # at length, with an error, and a video
        (folder / "face.png", clip, "--json", "--detector", "none", "--scheme", "emotorch4"),
    ):
        assert imported_by(tmp_path, *call, "--model", exported) == []
    drawn = tmp_path / "prediction.png"
    assert imported_by(tmp_path, folder / "face.png", "--model", exported, "--save", drawn) == ["matplotlib"]
    assert drawn.is_file()


# Found before the installed ONNX Runtime: tells what the variable is while it is being imported, and then is it.
_STUB = """
import os, sys
print("while imported", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.path.remove(os.path.dirname(__file__))
del sys.modules["onnxruntime"]
import onnxruntime
"""
_OPENING = """
import os, sys
from pathlib import Path
from emotorch.inference.reader import open_reader
print(type(open_reader(Path(sys.argv[1]))).__name__, os.environ.get("ORT_DISABLE_TELEMETRY"))
"""


@pytest.mark.parametrize("before", [None, "0"])
def test_onnx_runtime_is_told_to_send_nothing_before_it_is_imported(
    exported: Path, tmp_path: Path, before: str | None
) -> None:
    (tmp_path / "onnxruntime.py").write_text(_STUB)
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if before is not None:
        environment["ORT_DISABLE_TELEMETRY"] = before
    search = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", _OPENING, str(exported)],
        env={**environment, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.splitlines() == ["while imported 1", "OnnxReader 1"], done.stderr


def test_onnx_runtime_is_imported_in_one_place_only() -> None:
    folders = ("emotorch", "baseline_model", "develop_baseline_model", "benchmarks")
    importing = [
        f"{path.relative_to(REPOSITORY).as_posix()}: {line.strip()}"
        for folder in folders
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(import|from) onnxruntime\b", line)
    ]
    assert importing == ["emotorch/inference/onnx_reader.py: import onnxruntime  # type: ignore[import-untyped]"]


def test_the_script_predicts_alike_by_either_file(exported: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    weights = alone(exported, tmp_path)
    crop = tmp_path / "face.png"
    cv2.imwrite(str(crop), draw_images(1, seed=1)[0])

    def probabilities(model: Path) -> dict[str, float]:
        done = call_script(paths, PREDICT, crop, model, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        said = json.loads(done.stdout)
        assert said["model"] == str(model)
        found: dict[str, float] = said["faces"][0]["probabilities"]
        return found

    before = probabilities(weights)
    assert call_script(paths, EXPORT_ONNX, weights).returncode == 0
    assert probabilities(weights) == pytest.approx(before, abs=CLOSE)
    assert probabilities(weights) == probabilities(weights.with_suffix(".onnx"))


def overflowing(exported: Path, folder: Path, suffix: str, value: float) -> Path:
    """A model with one filter's weights so, by either reader: with large ones, all but black faces overflow."""
    weights = copied(exported, folder)
    if suffix == ".onnx":
        path = weights.with_suffix(".onnx")
        model = onnx.load(path)
        (lazy,) = (one for one in model.graph.initializer if one.name == "network.conv1.weight")
        values = onnx.numpy_helper.to_array(lazy).copy()
        values[0] = value
        lazy.CopyFrom(onnx.numpy_helper.from_array(values, lazy.name))
        onnx.save(model, path)
        rewrite(path)
        path.write_bytes(sealed_graph(path.read_bytes()))
        weights.unlink()
        return path
    weights.with_suffix(".onnx").unlink()
    state = {**published_state(), "temperature": 0.5}
    state["model_state_dict"]["conv1.weight"][0] = value
    checkpoints.save(weights, state)
    return weights


NOT_FINITE = "the model's outputs for this input are no finite numbers"


@pytest.mark.parametrize(
    ("value", "suffix"), [(float("nan"), ".onnx"), (float("inf"), ".onnx"), (3e38, ".onnx"), (3e38, ".pth")]
)
def test_what_a_model_computes_no_numbers_for_is_an_error_and_no_emotion(
    exported: Path, tmp_path: Path, suffix: str, value: float
) -> None:
    paths = Paths(tmp_path)
    model = overflowing(exported, tmp_path, suffix, value)
    for name, pixels in (("bright", np.full((48, 48), 200)), ("black", np.zeros((48, 48)))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels.astype(np.uint8))
    done = call_script(paths, PREDICT, "bright.png", "black.png", "--model", model, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    bright, black = map(json.loads, done.stdout.splitlines())
    assert bright["faces"] == []
    assert bright["error"].startswith(NOT_FINITE)
    assert str(model) in bright["error"]
    if value == 3e38:
        assert (black["error"], len(black["faces"])) == (None, 1)
    else:
        assert (black["error"], black["faces"]) == (bright["error"], [])
    done = call_script(paths, PREDICT, "bright.png", "--model", model, "--csv", "predictions.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: bright.png: {bright['error']}\n"
    (row,) = read_table(tmp_path / "predictions.csv")
    assert (row["emotion"], row["confidence"], row["error"]) == ("", "", bright["error"])


@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
def test_a_video_ends_at_the_frame_that_the_model_computes_no_numbers_for(
    exported: Path, tmp_path: Path, suffix: str
) -> None:
    model = overflowing(exported, tmp_path, suffix, 3e38)
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96))
    for grey in (0, 0, 0, 255, 255):
        writer.write(np.full((96, 96, 3), grey, np.uint8))
    writer.release()
    crop = tmp_path / "black.png"
    cv2.imwrite(str(crop), np.zeros((48, 48), np.uint8))
    options = ("--model", model, "--detector", "none")
    done = call_script(Paths(tmp_path), PREDICT, "clip.avi", crop, *options, "--json")
    assert done.returncode == 1, done.stderr
    *frames, failed, picture = map(json.loads, done.stdout.splitlines())
    assert [(len(frame["faces"]), frame["error"]) for frame in frames] == [(1, None)] * 3
    assert failed["faces"] == []
    assert failed["error"].startswith(f"at 0.12 s: {NOT_FINITE}")
    assert (len(picture["faces"]), picture["error"]) == (1, None)
    done = call_script(Paths(tmp_path), PREDICT, "clip.avi", *options, "--save", tmp_path / "copy.mp4")
    assert f"clip.avi: at 0.12 s: {NOT_FINITE}" in error_line(done)
    assert (tmp_path / "copy.mp4").is_file()
