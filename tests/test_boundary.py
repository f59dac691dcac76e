"""Whatever the bytes of a file from outside: its one reader gives a value, or an error that names the file.

More examples than a test has time for: EMOTORCH_EXAMPLES=5000 python -m pytest tests/test_boundary.py
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from published import published_state
from running import Trained
from scenes import SyntheticFace, write_clip

from emotorch.analyses.attributes import read_attributes
from emotorch.analyses.comparison import measure_runs
from emotorch.analyses.distance import Weights
from emotorch.data.images import decode_photo, read_face
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.files import STAMP_NAME, StageBuild, read_stamp, write_csv, write_json
from emotorch.inference.onnx_reader import OnnxReader
from emotorch.inference.video import Video
from emotorch.labels import get_scheme, read_scheme
from emotorch.model_audit.foreign import open_foreign
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run, write_parameters
from emotorch.runs.history import training_curves
from emotorch.runs.private_test import private_scorings
from emotorch.runs.record import RECORD_NAME, read_record
from emotorch.runs.scores import read_validation
from emotorch.runs.usage import TrainingImages
from emotorch.sweep.folder import read_about, read_plan, read_results
from emotorch.sweep.plan import Design, draw_plan
from emotorch.training import checkpoints

pytestmark = pytest.mark.slow

# The same examples in every run, and few: each format has many ways to be read.
whatever = settings(
    max_examples=int(os.environ.get("EMOTORCH_EXAMPLES", "25")),
    derandomize="EMOTORCH_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
VALUES = st.sampled_from(
    [
        *(None, True, 0, -1, 3, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "x", "\x1b[2J\ud800", "9" * 5000),
        *([], [[]], [1, "a"], {}, {"": None}, {"name": []}),
    ]
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes changed, cut out, put in or twice there; or another file altogether."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        end = draw(st.one_of(st.integers(start, min(start + 8, len(changed))), st.just(len(changed))))
        changed[start:end] = draw(st.one_of(st.binary(max_size=8), st.just(changed[start:end] * 2)))
    return draw(st.one_of(*[st.just(bytes(changed))] * 7, st.binary(max_size=40)))


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """One value within plain values replaced, or taken away."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    copied = value.copy()
    key = draw(st.sampled_from(sorted(copied) if isinstance(copied, dict) else range(len(copied))))
    if draw(st.integers(0, 5)) == 0:
        del copied[key]
    else:
        copied[key] = draw(altered(copied[key]))
    return copied


def value_or_error(read: Callable[[], object], *names: str) -> None:
    try:
        read()
    except EmoTorchError as error:
        assert any(name in str(error) for name in names), error  # noqa: PT017 - which other exception there is, shows


@pytest.fixture(scope="module")
def run(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of this code that may be damaged, without what tells that a file is another."""
    folder = tmp_path_factory.mktemp("boundary") / "model_00001"
    shutil.copytree(trained.folder, folder)
    record = {key: value for key, value in read_record(folder).items() if "sha256" not in key}
    write_json(folder / RECORD_NAME, record)
    return Run(folder)


def read_all_of(run: Run) -> None:
    """What is read of a run for comparisons, its page, and to go on with it."""
    record = run.record
    if "settings" in record:
        Settings.from_record(record)
    write_parameters(run.folder / "parameters.txt", record)
    list(measure_runs([run], Weights()))
    read_validation(run)
    training_curves(run)
    TrainingImages.of(run)
    private_scorings(run, run.folder / "final_accuracies.csv")
    assert run.status()
    assert run.title


@pytest.fixture
def restored(run: Run) -> Iterator[Run]:
    """All its text files are as they were, afterwards."""
    before = {path: path.read_bytes() for path in run.folder.iterdir() if path.suffix in (".csv", ".json")}
    yield run
    for path, content in before.items():
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        *(RECORD_NAME, "final_accuracies.csv", "confusion_matrix_fer_val.csv", "confusion_counts_ckp_val.csv"),
        *("training_history_fer.csv", "image_usage.csv"),
    ],
)
def test_a_run_s_files(restored: Run, name: str) -> None:
    path = restored.folder / name
    content = path.read_bytes()

    @whatever
    @given(damaged(content))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(lambda: read_all_of(restored), name, RECORD_NAME)

    check()


def test_a_run_s_record_with_other_values(restored: Run) -> None:
    path = restored.folder / RECORD_NAME

    @whatever
    @given(altered(json.loads(path.read_text(encoding="utf-8"))))
    def check(record: object) -> None:
        path.write_text(json.dumps(record), encoding="utf-8")
        value_or_error(lambda: read_all_of(restored), RECORD_NAME)

    check()


@pytest.fixture
def sweep(run: Run, tmp_path: Path) -> Path:
    design = Design("random", 4, 42)
    settings_of_all = run.record["settings"]
    about = {"started": "2026-11-20", "design": design.as_dict(), "settings": settings_of_all, "dataset": "0"}
    write_json(tmp_path / "sweep.json", about)
    write_csv(tmp_path / "plan.csv", design.columns, map(design.row, draw_plan(design)))
    results = [(1, "model_00001", "finished", "1.0", "0.1", "false", "", 50.0, 40.0, 1.0)]
    columns = ("number", "model", "status", "seconds", "distance", "collapsed", "error", "accuracy", "macro_f1", "loss")
    write_csv(tmp_path / "results.csv", columns, results)
    return tmp_path


@pytest.mark.parametrize("name", ["sweep.json", "plan.csv", "results.csv"])
def test_a_sweep_s_files(sweep: Path, name: str) -> None:
    path = sweep / name

    def read() -> None:
        Settings.from_record(read_about(sweep))
        read_plan(sweep)
        Design("random", 4, 42).read(sweep / "plan.csv")
        read_results(sweep)

    read()

    @whatever
    @given(damaged(path.read_bytes()))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(read, name)

    check()


def saved(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_bytes_of_a_checkpoint(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    checkpoints.save(path, published_state())
    content = path.read_bytes() if suffix == ".safetensors" else saved(published_state())

    @whatever
    @given(damaged(content))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(lambda: checkpoints.load_model(path), path.name)
        value_or_error(lambda: open_foreign(path, network="emotorch_cnn", image_size=48), path.name, "network")

    check()


@pytest.mark.parametrize("name", ["model.pth", "config.json"])
def test_what_a_checkpoint_says_of_its_network(trained: Trained, tmp_path: Path, name: str) -> None:
    state = checkpoints.read(trained.folder / "model.pth")
    described = {key: state[key] for key in checkpoints.describe(get_recipe("emotorch"), get_scheme("emotorch4"))}
    path = tmp_path / ("model.pth" if name == "model.pth" else "model.safetensors")
    checkpoints.save(path, state)

    @whatever
    @given(altered(described))
    def check(changed: Any) -> None:
        if name == "config.json":
            (tmp_path / name).write_text(json.dumps(changed), encoding="utf-8")
        elif isinstance(changed, dict):
            path.write_bytes(saved({**changed, "model_state_dict": state["model_state_dict"]}))
        value_or_error(lambda: checkpoints.load_model(path), path.name, name)

    check()


@pytest.fixture
def onnx_file(exported: Path) -> Path:
    return exported.with_suffix(".onnx")


def predict_by(path: Path) -> None:
    reader = OnnxReader.open(path)
    size = reader.form
    reader.probabilities(np.zeros((2, *size.shape), np.uint8))


def test_the_bytes_of_a_graph(onnx_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"

    @whatever
    @given(damaged(onnx_file.read_bytes()))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(lambda: predict_by(path), path.name)
        value_or_error(lambda: open_foreign(path), path.name)

    check()


def test_what_a_graph_says_of_itself(onnx_file: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    ours = onnx.load(onnx_file)
    keys = [entry.key for entry in ours.metadata_props]
    texts = st.one_of(VALUES.map(json.dumps), st.text(max_size=20), st.just("[" * 100_000), st.just("1e999"))

    @whatever
    @given(st.sampled_from(keys), texts)
    def check(key: str, text: str) -> None:
        changed = onnx.ModelProto()
        changed.CopyFrom(ours)
        for entry in changed.metadata_props:
            if entry.key == key:
                entry.value = text.encode("utf-8", "replace").decode()
        onnx.save(changed, path)
        value_or_error(lambda: predict_by(path), path.name)

    check()


@pytest.mark.parametrize("rank", range(6))
def test_a_graph_of_any_rank_that_says_that_it_is_ours(onnx_file: Path, tmp_path: Path, rank: int) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    kinds = st.sampled_from([onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT, onnx.TensorProto.STRING])
    sides = st.lists(st.sampled_from([None, "n", 0, 1, 4, 48]), min_size=rank, max_size=rank)

    @whatever
    @given(kinds, sides, st.sampled_from(["Identity", "Flatten", "Softmax", "Shape", "Cast", "Reshape"]))
    def check(kind: int, shape: list[int | str | None], operator: str) -> None:
        taken = onnx.helper.make_tensor_value_info("pixels", kind, shape)
        given = onnx.helper.make_tensor_value_info("outputs", kind, shape if rank != 4 else ["n", 4])
        node = onnx.helper.make_node(operator, ["pixels"], ["outputs"], **({"to": kind} if operator == "Cast" else {}))
        opsets = [onnx.helper.make_opsetid("", 20)]
        graph = onnx.helper.make_graph([node], "g", [taken], [given])
        model = onnx.helper.make_model(graph, ir_version=10, opset_imports=opsets)
        model.metadata_props.extend(onnx.load(onnx_file).metadata_props)
        onnx.save(model, path)
        value_or_error(lambda: predict_by(path), path.name)

    check()


def test_a_label_scheme(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    content = b'labels = ["up", "down"]\nwithout_fer = ["up"]\n[sources.FER]\nhappy = "up"\nsad = "down"\n'

    @whatever
    @given(damaged(content))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(lambda: read_scheme(path), path.name)

    check()


@pytest.mark.parametrize("name", [MANIFEST, STAMP_NAME, ".journal.jsonl"])
def test_what_a_stage_keeps(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / MANIFEST, ("file", "hash"), [("a.png", "0"), ("ü.png", "1")])
    write_json(tmp_path / STAMP_NAME, {"made_from": {"input": "0"}, "files": 3})
    StageBuild(tmp_path).finish("first", [1, {"a": None}])

    def read() -> None:
        read_manifest(tmp_path, ("file", "hash"), "its stage")
        read_stamp(tmp_path, "its stage")
        StageBuild(tmp_path)

    read()
    path = tmp_path / name

    @whatever
    @given(damaged(path.read_bytes()))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(read, name)

    check()


def test_a_table_of_attributes(tmp_path: Path) -> None:
    path = tmp_path / "attributes.csv"

    @whatever
    @given(damaged('image_path,age,sex\na.png,20,f\n"b,ü.png",30,m\n'.encode()))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(lambda: read_attributes(path), path.name)

    check()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "ICO", "TGA", "hdr"])
def test_a_picture(tmp_path: Path, kind: str) -> None:
    pixels = draw_images(1, seed=2)[0]
    file = io.BytesIO()
    if kind == "hdr":
        file.write(cv2.imencode(".hdr", np.repeat(pixels[:, :, None], 3, 2).astype(np.float32))[1].tobytes())
    else:
        Image.fromarray(pixels).convert("RGB").save(file, kind)
    path = tmp_path / "picture.png"

    @whatever
    @given(damaged(file.getvalue()))
    def check(changed: bytes) -> None:
        value_or_error(lambda: decode_photo(changed, path, max_pixels=10**6), path.name)
        path.write_bytes(changed)
        value_or_error(lambda: read_face(path), path.name)

    check()


def test_a_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [[SyntheticFace(100, 100, 120)]] * 2)

    def read() -> None:
        with closing(Video(str(path))) as video:
            assert all(frame.colours.ndim == 3 for frame in video)

    read()

    @whatever
    @given(damaged(path.read_bytes()))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        value_or_error(read, path.name)

    check()
