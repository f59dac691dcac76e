"""A run becomes a model that ships: whole or not at all, without a face, under a plain name; all in a folder of the
test's own, never among the models that do ship."""

import hashlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import TRAINED_WITH, draw_images, refusal, tree
from forks import killed_before
from published import published_state
from running import (
    MODELS,
    PREDICT,
    Trained,
    accept,
    call_script,
    copy_root,
    copy_trained,
    error_line,
    replace_weights,
    train,
)

from emotorch import files, paths, replacing
from emotorch.errors import UsageError
from emotorch.files import hash_file, write_json
from emotorch.inference import shipping
from emotorch.inference.onnx_export import Export
from emotorch.inference.onnx_reader import OnnxReader
from emotorch.inference.reader import open_reader
from emotorch.inference.shipping import publish, ship
from emotorch.inference.torch_reader import TorchReader
from emotorch.paths import Paths
from emotorch.runs.findings import carry_over, read_findings
from emotorch.runs.folder import Run, weights_file
from emotorch.runs.record import fer_usage_of
from emotorch.training import checkpoints

pytestmark = pytest.mark.slow

SHIP, PUBLISH = f"{MODELS}/ship_model.py", f"{MODELS}/publish_model.py"
REAL = paths.SHIPPED_MODELS
NAME = "compact"
OLD = {"model.pth": b"the weights before", "README.md": b"the card before", "scores/findings.json": b"{}"}


@pytest.fixture(scope="module")
def unseen(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run that has not seen the test rows; not to be changed."""
    root = copy_root(prepared, tmp_path_factory.mktemp("unseen") / "root")
    return Trained(root, train(root, *TRAINED_WITH, "--fer-usage", "training"))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where models ship from in this test, with an older one that has the name; the real place stays as it is."""
    before = real_models()
    folder = tmp_path / "shipped"
    for name, content in OLD.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "demo.py").write_text("a script")
    (folder / "__pycache__").mkdir()
    monkeypatch.setattr(paths, "SHIPPED_MODELS", folder)
    yield folder
    assert real_models() == before


def real_models() -> dict[Path, str]:
    """The models that do ship, by the hashes of their files."""
    return {path: hash_file(path) for path in REAL.glob("*/*") if path.is_file() and path.parent.name != "__pycache__"}


def quick_export(weights: Path) -> Export:
    """Stands in for the real one, which takes seconds."""
    weights.with_suffix(".onnx").write_bytes(b"a graph")
    return Export(weights.with_suffix(".onnx"), 0.0, 1)


def write_texts(shipped: Run) -> None:
    files.write_text(shipped.folder / "README.md", f"the card of {shipped.name}\n")


def findings(folder: Path, analysis: str, weights: str, *names: str) -> None:
    """What an analysis left in a run's folder."""
    for name in names:
        files.write_text(folder / analysis / name, "{}" if name.endswith("json") else name)
    write_json(folder / analysis / "stage.json", {"made_from": {"weights": weights}, "files": len(names)})


def test_a_run_ships_whole_and_the_shipped_folder_predicts(unseen: Trained, models: Path, tmp_path: Path) -> None:
    ours = copy_trained(unseen, tmp_path / "root")
    before = tree(ours.folder)
    done = call_script(ours.paths, SHIP, ours.folder.name, NAME)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(models / NAME / "README.md")
    assert sorted(path.name for path in models.iterdir() if not path.name.endswith(".lock")) == [
        "__pycache__",
        NAME,
        "demo.py",
    ]
    shipped = Run(models / NAME)
    assert not list(shipped.folder.glob(".*"))
    assert tree(ours.folder) == before
    # The files are of each other.
    record = shipped.record
    assert record["weights_sha256"] == hash_file(shipped.folder / "model.pth")
    assert record["onnx_sha256"] == hash_file(shipped.folder / "model.onnx")
    text = (shipped.folder / "model_parameters.txt").read_text()
    assert f"weights_sha256: {record['weights_sha256']}\n" in text
    assert "parameters: 6964\n" in text
    card = (shipped.folder / "README.md").read_text()
    assert f"# {NAME} (emotorch)" in card
    assert ".partial" not in card + text
    assert read_findings(shipped, "scores", shipped.folder / "model.pth")
    state = torch.load(shipped.folder / "model.pth", weights_only=True)
    assert "optimizer_state_dict" not in state
    # It predicts as the run does.
    reader = open_reader(shipped.folder / "model.pth")
    assert isinstance(reader, OnnxReader)
    assert reader.metadata.model == NAME
    cv2.imwrite(str(tmp_path / "face.png"), draw_images(1, seed=3)[0])
    said = []
    for model in (shipped.folder, ours.folder):
        done = call_script(ours.paths, PREDICT, tmp_path / "face.png", "--model", model, "--json")
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout)["faces"][0]["probabilities"])
    assert said[0] == pytest.approx(said[1], abs=1e-4)


@pytest.mark.parametrize("name", ["..", ".", "", "/", "a/b", "../escape", ".hidden", "a b", "a\\b", "a\n", "é", "a:b"])
def test_a_name_that_is_no_plain_one_is_wrong_usage_and_nothing_is_touched(
    unseen: Trained, models: Path, name: str
) -> None:
    before = tree(models.parent)
    error_line(call_script(unseen.paths, SHIP, unseen.folder.name, name), 2)
    assert tree(models.parent) == before
    with pytest.raises(UsageError, match="is no plain name"):
        ship(Run(unseen.folder), name, models, write_texts)
    assert tree(models.parent) == before


def test_a_path_or_what_is_no_model_does_not_give_way(unseen: Trained, models: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for name in (str(tmp_path / "elsewhere"), str(models), "demo.py", "__pycache__"):
        error_line(call_script(unseen.paths, SHIP, unseen.folder.name, name), 2)
        assert {file: held for file, held in tree(tmp_path).items() if not file.endswith(".lock")} == before
    assert (models / "__pycache__").is_dir()


def test_only_what_is_known_to_hold_no_face_ships(
    unseen: Trained, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_trained(unseen, tmp_path / "root").folder
    monkeypatch.setattr(shipping, "export", quick_export)
    for name in ("faces.png", "people.jpg", "report.html", "notes.txt", "subjects.csv", "evaluation_x/face.png"):
        files.write_text(folder / name, "faces")
    assert list(folder.glob("validation_samples_*.png"))
    pictures = [folder / name for name in ("training_history.png", "confusion_matrix_fer_val.png")]
    for picture in pictures:  # nothing vouches for a run's pictures
        picture.write_bytes(picture.read_bytes() + b"damaged")
    own = hash_file(folder / "model.pth")
    shutil.rmtree(folder / "scores", ignore_errors=True)
    findings(folder, "robustness", own, "findings.json", "robustness.csv", "robustness_curves.png", "corruptions.png")
    files.write_text(folder / "robustness" / "faces.png", "faces")
    findings(folder, "scores", "0" * 64, "findings.json", "reliability_fer_val.csv")
    ship(Run(folder), NAME, models, write_texts)
    shipped = tree(models / NAME)
    assert set(shipped) == {
        *("README.md", "model.pth", "model.onnx", "run.json", "model_parameters.txt", "classification_report.txt"),
        *("final_accuracies.csv", "usage_summary.csv", "image_usage.csv", "training_history.json"),
        *("training_history.png", "confusion_matrices_fer_vs_ckp.png"),
        *(f"training_history_{name}.csv" for name in ("fer", "ckp", "combined")),
        *(f"confusion_{kind}_{name}_val.csv" for kind in ("matrix", "counts") for name in ("fer", "ckp")),
        *(f"confusion_matrix_{name}_val.png" for name in ("fer", "ckp")),
        *(f"robustness/{name}" for name in ("findings.json", "robustness.csv", "robustness_curves.png", "stage.json")),
    }
    assert all(shipped[picture.name].endswith(b"IEND\xaeB`\x82") for picture in pictures)
    # Findings about the same network hold for the smaller file too; those about another one do not ship.
    assert json.loads(shipped["robustness/stage.json"]) == {
        "made_from": {"weights": hash_file(models / NAME / "model.pth")},
        "files": 3,
        "sha256": {
            name: hash_file(models / NAME / "robustness" / name)
            for name in ("findings.json", "robustness.csv", "robustness_curves.png")
        },
    }


def test_findings_that_were_changed_do_not_ship(tmp_path: Path) -> None:
    folder = tmp_path / "robustness"
    findings(folder.parent, folder.name, "0" * 64, "findings.json", "robustness.csv")
    files.write_stamp(folder, {"weights": "0" * 64})
    carry_over(folder, tmp_path / "whole", ("*.csv",), "0" * 64, "1" * 64)
    assert (tmp_path / "whole" / "robustness.csv").read_text() == "robustness.csv"
    files.write_text(folder / "robustness.csv", "other figures")
    with refusal(f"{folder / 'robustness.csv'}: damaged, or changed by hand"):
        carry_over(folder, tmp_path / "changed", ("*.csv",), "0" * 64, "1" * 64)


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("it ended here")


@pytest.mark.parametrize("step", ["_copy", "carry_over", "checkpoints.save", "export", "check_folder"])
def test_a_step_that_fails_leaves_the_model_that_was_there(
    unseen: Trained, models: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(shipping, "export", quick_export)
    monkeypatch.setattr(f"emotorch.inference.shipping.{step}", fail)
    with pytest.raises(RuntimeError, match="it ended here"):
        ship(Run(unseen.folder), NAME, models, write_texts)
    assert left_of(models) == OLD


def test_a_card_that_cannot_be_written_leaves_the_model_that_was_there(
    unseen: Trained, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "export", quick_export)
    with pytest.raises(RuntimeError, match="it ended here"):
        ship(Run(unseen.folder), NAME, models, fail)
    assert left_of(models) == OLD


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_model_that_was_there(
    models: Path, failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "_exchange", lambda *_: False)
    new = tmp_path / "new"
    new.mkdir()
    renames = 0
    rename = Path.rename

    def rename_or_fail(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == failing:
            raise OSError("no rename")
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", rename_or_fail)
        with pytest.raises(OSError, match="no rename"):
            replacing.replace_folder(new, models / NAME)
    assert left_of(models) == OLD


def left_of(models: Path) -> dict[str, bytes]:
    """The model; nothing else but its lock and what was there before may be left beside it."""
    beside = {path.name for path in models.iterdir()} - {f".{NAME}.lock"}
    assert beside == {NAME, "demo.py", "__pycache__"}
    return tree(models / NAME)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that it forked")


@pytest.fixture(params=[True, False], ids=["in one step", "by two renames"])
def exchanges(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether two folders change names in one step in this test."""
    if request.param:
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        if not replacing._exchange(*folders):
            pytest.skip("this system or file system cannot")
    else:
        monkeypatch.setattr(replacing, "_exchange", lambda *_: False)
    return bool(request.param)


@forks
def test_a_kill_at_any_moment_of_a_swap_leaves_the_old_folder_or_the_new_one(
    models: Path, tmp_path: Path, exchanges: bool
) -> None:
    shutil.copytree(models / NAME, tmp_path / "old")
    prepared, final, found = tmp_path / "new", models / NAME, []
    for change in itertools.count():
        for folder in (prepared, final, replacing.previous_of(final)):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "old", final)
        prepared.mkdir()
        killed = killed_before(change, lambda: replacing.replace_folder(prepared, final))
        if not exchanges:
            replacing.finish_replacing(final, "shipping")  # what the next reader does, and the next call
        found.append(tree(final))
        if not killed:
            break
    swapped = found.index({})
    assert found == [OLD] * swapped + [{}] * (len(found) - swapped)
    assert left_of(models) == {}


@forks
def test_a_kill_at_any_moment_leaves_the_old_model_or_the_new_one(
    unseen: Trained, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "few_files"  # fewer moments
    folder.mkdir()
    for name in ("run.json", "model.pth", "final_accuracies.csv"):
        shutil.copy(unseen.folder / name, folder)
    accept(folder)
    findings(folder, "scores", hash_file(folder / "model.pth"), "findings.json")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        fresh.submit(ship_killed_at_every_change, folder, models).result()


def ship_killed_at_every_change(folder: Path, models: Path) -> None:
    """To be called in a fresh process: one that has run tests is slow to fork."""
    paths.SHIPPED_MODELS = models
    shipping.export, shipping.draw_pictures = quick_export, lambda *_: None
    names = {
        *("run.json", "model.pth", "model.onnx", "README.md", "final_accuracies.csv"),
        *("scores/findings.json", "scores/stage.json"),
    }

    def work() -> None:
        ship(Run(folder), NAME, models, write_texts)

    def is_new(found: dict[str, bytes]) -> bool:
        """PyTorch's files of the same weights differ by their temporary names."""
        return found.keys() == names and (
            json.loads(found["run.json"])["weights_sha256"] == hashlib.sha256(found["model.pth"]).hexdigest()
        )

    old = folder.with_name("old")
    shutil.copytree(models / NAME, old)
    change, after = 0, []
    while killed_before(change, work):
        found = tree(models / NAME)
        assert found == OLD or is_new(found), f"killed at change {change}"
        after.append(found != OLD)
        shutil.rmtree(models / NAME)
        shutil.copytree(old, models / NAME)
        change += 1
    assert change > 20
    assert after == sorted(after), "old before the swap, new from then on"
    assert is_new(left_of(models))


def test_the_next_call_brings_back_what_a_kill_between_the_renames_took_away(
    unseen: Trained, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / NAME).rename(models / f".{NAME}.previous")
    monkeypatch.setattr(shipping, "export", fail)
    with pytest.raises(RuntimeError, match="it ended here"):
        ship(Run(unseen.folder), NAME, models, write_texts)
    assert left_of(models) == OLD


def test_the_next_reader_brings_it_back_too(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emotorch.runs.folder.SHIPPED_MODELS", models)
    (models / NAME).rename(models / f".{NAME}.previous")
    assert weights_file(Paths(models.parent), NAME) == models / NAME / "model.pth"
    assert left_of(models) == OLD


def test_a_run_that_may_not_ship_is_named_with_the_reason(
    trained: Trained, unseen: Trained, models: Path, tmp_path: Path
) -> None:
    with refusal(f"{trained.folder.name} was trained on FER-2013's test rows too"):
        ship(Run(trained.folder), NAME, models, write_texts)
    record = Run(trained.folder).record
    assert fer_usage_of(record) == "all"
    assert fer_usage_of({**record, "settings": {**record["settings"], "train_on": "RAF"}}) is None
    folder = copy_trained(unseen, tmp_path / "root").folder
    Run(folder).update(status="interrupted")
    with refusal(f"{folder.name} is not finished"):
        ship(Run(folder), NAME, models, write_texts)
    dataset = Run(folder).record["dataset"]
    Run(folder).update(status="finished", dataset={**dataset, "synthetic": True})
    with refusal(f"{folder.name} was trained on synthetic faces"):
        ship(Run(folder), NAME, models, write_texts)
    Run(folder).update(dataset=dataset, weights_sha256="0" * 64)
    with refusal(f"{folder / 'model.pth'}: damaged or replaced"):
        ship(Run(folder), NAME, models, write_texts)
    (folder / "run.json").unlink()
    with refusal(f"{folder} has no record of how it was trained"):
        ship(Run(folder), NAME, models, write_texts)
    assert left_of(models) == OLD


def test_weights_that_compute_no_numbers_do_not_ship(unseen: Trained, models: Path, tmp_path: Path) -> None:
    ours = copy_trained(unseen, tmp_path / "root")
    state = published_state()
    state["model_state_dict"]["fc.bias"][0] = float("nan")
    replace_weights(ours.folder, state)
    said = error_line(call_script(ours.paths, SHIP, ours.folder.name, NAME))
    assert f"{ours.folder / 'model.pth'}: some of its weights are no finite numbers" in said
    assert left_of(models) == OLD


def test_a_published_folder_is_what_a_hub_takes_and_reads_back(unseen: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "my-model"
    done = call_script(unseen.paths, PUBLISH, unseen.folder.name, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(folder)
    found = {path.name for path in folder.iterdir()}
    assert found >= {"model.safetensors", "config.json", "model.onnx", "README.md", "run.json", "image_usage.csv"}
    assert not {name for name in found if name[0] == "." or name.endswith(".pth")}
    record = Run(folder).record
    assert record["safetensors_sha256"] == hash_file(folder / "model.safetensors")
    assert "weights_sha256" not in record
    config = json.loads((folder / "config.json").read_text())
    assert config["labels"] == ["anger", "fear", "calm", "surprise"]
    # By its ONNX file, and by PyTorch where that is gone: as the run itself.
    faces = draw_images(3, seed=8)
    expected = open_reader(unseen.folder / "model.pth").probabilities(faces)
    by_onnx = open_reader(weights_file(unseen.paths, str(folder)))
    assert isinstance(by_onnx, OnnxReader)
    np.testing.assert_allclose(by_onnx.probabilities(faces), expected, atol=1e-5)
    evaluated = call_script(unseen.paths, f"{MODELS}/evaluate_model.py", folder, "fer-public")
    assert "accuracy" in evaluated.stdout, evaluated.stderr
    (folder / "model.onnx").unlink()
    by_torch = open_reader(weights_file(unseen.paths, str(folder)))
    assert isinstance(by_torch, TorchReader)
    assert (by_torch.probabilities(faces) == expected).all()


def test_the_published_card_has_metadata_that_the_hub_s_own_library_reads(unseen: Trained, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "my-model"
    assert call_script(unseen.paths, PUBLISH, unseen.folder, folder).returncode == 0
    card = hub.ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("mit", "image-classification")
    assert "model.safetensors" in card.text
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card.text):
        assert (folder / picture).is_file()


def test_what_is_not_to_be_published_is_named(unseen: Trained, tmp_path: Path) -> None:
    weights = unseen.folder / "model.pth"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="taken is there already"):
        publish(Run(unseen.folder), weights, tmp_path / "taken", write_texts)
    ours = copy_trained(unseen, tmp_path / "root").folder
    Run(ours).update(status="interrupted")
    with refusal(f"{ours.name} is not finished"):
        publish(Run(ours), ours / "model.pth", tmp_path / "new", write_texts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "taken"]


def test_safetensors_without_their_description_are_named(unseen: Trained, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    checkpoints.save(weights, checkpoints.read(unseen.folder / "model.pth"))
    (tmp_path / "config.json").write_text("[]")
    with refusal(f"{tmp_path / 'config.json'}: not the description of a model"):
        checkpoints.load_model(weights)
    (tmp_path / "config.json").unlink()
    with refusal(f"{tmp_path / 'config.json'}: No such file"):
        checkpoints.load_model(weights)
