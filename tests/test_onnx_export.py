import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import refusal
from published import published_state
from running import EXPORT_ONNX, Trained, call_script, copy_trained, error_line

from emotorch import __version__
from emotorch.files import hash_file
from emotorch.inference import onnx_export
from emotorch.inference.onnx_export import export, synthetic_faces
from emotorch.inference.onnx_reader import OnnxReader
from emotorch.inference.reader import open_reader
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, Paths
from emotorch.runs.folder import Run

pytestmark = pytest.mark.slow


def test_the_file_says_what_it_is_and_nothing_of_the_machine(exported: Path) -> None:
    path = exported.with_suffix(".onnx")
    assert sorted(exported.parent.iterdir()) == [path, exported]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    stated = {entry.key: entry.value for entry in model.metadata_props}
    scheme = get_scheme("emotorch4")
    assert json.loads(stated.pop("labels")) == list(scheme.labels)
    assert json.loads(stated.pop("scheme")) == scheme.as_dict()
    assert stated.pop("sha256").startswith("emotorch sha256 ")
    assert stated == {
        "model": exported.parent.name,
        "temperature": "0.5",
        "weights_sha256": hash_file(exported),
        "emotorch_version": __version__,
    }
    (shape,) = (value.type.tensor_type for value in model.graph.input)
    assert shape.elem_type == onnx.TensorProto.UINT8
    assert [dimension.dim_value or dimension.dim_param for dimension in shape.shape.dim] == ["faces", 1, 48, 48]
    content = path.read_bytes()
    for word in (str(REPOSITORY), str(exported.parents[1]), "site-packages", ".py"):
        assert word.encode() not in content


def test_a_name_that_is_no_text_is_refused(exported: Path, tmp_path: Path) -> None:
    content = exported.with_suffix(".onnx").read_bytes()
    path = tmp_path / "model.onnx"
    # Under another mark its own SHA-256 is none, as in files of others.
    for right, wrong in ((b"emotorch sha256", b"emotorch sha255"), (b"emotorch_version", b"emotorch_versi\xf7n")):
        assert right in content
        content = content.replace(right, wrong)
    path.write_bytes(content)
    with refusal(f"{path}: damaged: a name or a property in it is not UTF-8"):
        OnnxReader.open(path)


def test_the_same_model_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = tmp_path / exported.parent.name / exported.name
    again.parent.mkdir()
    shutil.copy(exported, again)
    assert export(again).path.read_bytes() == exported.with_suffix(".onnx").read_bytes()


def test_predictions_that_differ_from_pytorch_s_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.pth"
    torch.save(published_state(), weights)
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with refusal(f"{weights} is not exported: a probability differs from PyTorch's by "):
        export(weights)
    assert list(tmp_path.iterdir()) == [weights]


def test_a_network_that_computes_no_numbers_is_refused(tmp_path: Path) -> None:
    state = published_state()
    state["model_state_dict"]["fc.bias"][0] = float("nan")
    torch.save(state, tmp_path / "model.pth")
    with refusal(f"{tmp_path / 'model.pth'}: some of its weights are no finite numbers"):
        export(tmp_path / "model.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_kill_between_the_file_and_the_record_makes_nothing_look_damaged(
    exported_run: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_trained(exported_run, tmp_path / "root").folder
    before = (folder / "model.onnx").read_bytes()

    def killed(self: Run, **changes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_export, "__version__", "9.9")
    monkeypatch.setattr(Run, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        export(folder / "model.pth")
    assert (folder / "model.onnx").read_bytes() != before
    assert "onnx_sha256" not in Run(folder).record
    assert isinstance(open_reader(folder / "model.pth"), OnnxReader)
    damaged = bytearray((folder / "model.onnx").read_bytes())
    damaged[-1] ^= 1
    (folder / "model.onnx").write_bytes(damaged)
    with refusal(f"{folder / 'model.onnx'}: damaged or replaced, its SHA-256 is not the one that it ends with"):
        open_reader(folder / "model.pth")


def test_synthetic_faces_are_always_the_same_and_of_many_kinds() -> None:
    faces = synthetic_faces(14)
    assert (faces.shape, faces.dtype) == ((14, 48, 48), np.uint8)
    assert (faces == synthetic_faces(14)).all()
    assert len({face.tobytes() for face in faces}) == 14


def test_the_script_writes_the_file_says_the_difference_and_records_the_hash(ours: Trained) -> None:
    done = call_script(ours.paths, EXPORT_ONNX, ours.folder.name)
    assert (done.returncode, done.stderr) == (0, "")
    said, path = done.stdout.splitlines()
    assert path == str(ours.folder / "model.onnx")
    found = re.fullmatch(
        r"largest difference of a probability to PyTorch: (\S+) \(at most 0\.0001 is taken\), "
        r"on 100 synthetic faces in batches of 1, 2, 7, 100",
        said,
    )
    assert found is not None, said
    assert 0 <= float(found[1]) <= 1e-4
    assert Run(ours.folder).record["onnx_sha256"] == hash_file(ours.folder / "model.onnx")


def test_what_cannot_be_exported_is_named_in_one_line(paths: Paths) -> None:
    assert "no model folder 'model_00042'" in error_line(call_script(paths, EXPORT_ONNX, "model_00042"), 2)
    broken = paths.root / "broken.pth"
    broken.write_bytes(b"no model")
    assert "broken.pth" in error_line(call_script(paths, EXPORT_ONNX, broken))
