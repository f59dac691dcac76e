import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images, refusal
from drawing import assert_legible, texts
from published import published_state
from running import EVALUATE, MODELS, Done, Trained, call_script, copy_root, error_line, last_line, read_table
from sklearn.metrics import f1_score

from emotorch.analyses import cross_dataset
from emotorch.analyses.candidates import load_candidates
from emotorch.analyses.shared_classes import load_test_set, shared_scheme
from emotorch.data.images import read_face
from emotorch.errors import UsageError
from emotorch.evaluation.sets import load_set
from emotorch.labels import LabelScheme, get_scheme
from emotorch.metrics import paired
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.paths import Paths
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs

pytestmark = pytest.mark.usefixtures("undrawn")

CROSS = f"{MODELS}/evaluate_cross_dataset.py"
FOUR, SEVEN, MOOD = (get_scheme(name) for name in ("emotorch4", "seven", "mood4"))


def cross(paths: Paths, *options: object) -> Done:
    return call_script(paths, CROSS, *options, "--threads", 1)


def matrix(done: Done) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of matrix.csv by model and dataset."""
    rows = read_table(Path(last_line(done)) / "matrix.csv")
    return {(row["model"], row["dataset"]): row for row in rows}


def write_untrained(paths: Paths, name: str, scheme: LabelScheme) -> Path:
    """A model of a scheme, of whose training nothing is known; its outputs are alive."""
    torch.manual_seed(0)
    network = EmoTorchCNN(48, 1, len(scheme.labels))
    with torch.no_grad():
        network.fc.bias.fill_(2.0)
        network.fc.weight.mul_(3.0)
    config = {"image_size": 48, "channels": 1, "num_classes": len(scheme.labels), "filters": 10, "kernel_size": 4}
    state = {"model_state_dict": network.state_dict(), "model_config": config, "scheme": scheme.as_dict()}
    folder = paths.models / name
    folder.mkdir(parents=True)
    torch.save({**state, "labels": list(scheme.labels)}, folder / "model.pth")
    return folder


# --- Label schemes ------------------------------------------------------------------------------------------


def test_models_of_one_scheme_keep_it() -> None:
    assert shared_scheme([FOUR, FOUR]) is FOUR


def test_shared_classes_stand_for_the_same_emotions_and_are_called_as_in_the_first_scheme() -> None:
    shared = shared_scheme([FOUR, SEVEN])
    assert shared.labels == FOUR.labels
    assert shared.sources["FER"] == FOUR.sources["FER"]
    # CK+'s happy is calm in one, and happy in the other: it is neither.
    assert shared.sources["CKP"] == {"anger": "anger", "fear": "fear", "surprise": "surprise"}
    assert set(shared_scheme([SEVEN, FOUR]).labels) == {"angry", "fear", "neutral", "surprise"}
    assert shared_scheme([FOUR, SEVEN, MOOD]).labels == ("calm", "surprise")


def test_a_class_that_another_scheme_divides_is_not_shared() -> None:
    merged = {"angry": "bad", "fear": "bad", "neutral": "calm", "surprise": "surprise"}
    own = LabelScheme("own", ("bad", "calm", "surprise"), {"FER": merged, "CKP": {}, "RAF": {}})
    assert shared_scheme([own, FOUR]).labels == ("calm", "surprise")
    positive = {"happy": "good", "angry": "bad", "sad": "bad"}
    apart = LabelScheme("apart", ("good", "bad"), {"FER": positive, "CKP": {}, "RAF": {}})
    with refusal("apart, emotorch4 share 0 classes"):
        shared_scheme([apart, FOUR])


def test_images_of_other_classes_are_counted(seven: Paths) -> None:
    shared = shared_scheme([MOOD, SEVEN])
    tested = load_test_set(seven, "fer", [MOOD, SEVEN], shared)
    rows = read_table(seven.for_scheme("seven").originals / "manifest.csv")
    counts = Counter(row["emotion"] for row in rows)
    assert tested.left_out == {name: counts[name] for name in ("angry", "disgust", "fear")}
    labelled = Counter(shared.labels[label] for label in tested.images.labels)
    assert labelled == {name: counts[name] for name in ("happy", "neutral", "sad", "surprise")}
    for place in (0, -1):
        assert (tested.images.pixels[place] == read_face(seven.root / tested.images.files[place])).all()
        assert Path(tested.images.files[place]).parent.name == shared.labels[tested.images.labels[place]]


def test_ckplus_classes_that_schemes_read_differently_are_left_out_and_persons_count_once(trained: Trained) -> None:
    both = load_test_set(trained.paths, "ckp", [FOUR], FOUR)
    assert len(both.images.labels) == 12
    assert len(np.unique(both.sources)) == 2
    alone = replace(FOUR, name="alone", sources={**FOUR.sources, "CKP": {"surprise": "surprise"}})
    tested = load_test_set(trained.paths, "ckp", [FOUR], shared_scheme([FOUR, alone]))
    assert tested.left_out == {"anger": 6}
    assert set(tested.images.labels) == {FOUR.index("surprise")}


# --- Scores -------------------------------------------------------------------------------------------------


def test_the_matrix_says_what_an_evaluation_of_each_dataset_says(lively: Trained) -> None:
    done = cross(lively.paths, "--models", lively.folder.name, "--datasets", "fer", "ckp")
    cells = matrix(done)
    run = lively.folder.name
    for dataset in ("fer", "ckp"):
        cell = cells[run, dataset]
        images = load_set(lively.paths, dataset, FOUR)
        usage = read_table(lively.folder / "image_usage.csv")
        seen = {row["source_hash"] for row in usage if row["usage"] == "training"}
        unseen = np.array([pixels not in seen for pixels in images.hashes])
        assert int(cell["left_out_seen"]) == int((~unseen).sum())
        assert int(cell["images"]) == int(unseen.sum()) > 0
        model = load_model(lively.folder / "model.pth")
        pixels = torch.from_numpy(images.pixels[unseen]).unsqueeze(1)
        predictions = network_outputs(model.network, pixels, model.form).argmax(1).numpy()
        truths = images.labels[unseen]
        assert float(cell["accuracy"]) == pytest.approx(100 * (predictions == truths).mean(), abs=1e-3)
        present = np.unique(truths)
        expected = f1_score(truths, predictions, labels=present, average="macro", zero_division=0.0)
        assert float(cell["macro_f1"]) == pytest.approx(100 * expected, abs=1e-3)
        for name in ("accuracy", "macro_f1"):
            assert float(cell[f"{name}_low"]) <= float(cell[name]) <= float(cell[f"{name}_high"])
    assert int(cells[run, "ckp"]["left_out_seen"]) == 0
    said = call_script(lively.paths, EVALUATE, run, "ckp", "--threads", 1).stdout
    assert f"accuracy {float(cells[run, 'ckp']['accuracy']):.2f}%" in said


def test_the_drop_is_against_the_dataset_that_was_trained_on(lively: Trained) -> None:
    run = lively.folder.name
    done = cross(lively.paths, "--models", run, "--datasets", "ckp")
    assert "added, because a model was trained on it: fer" in done.stdout
    cells = matrix(done)
    own, other = cells[run, "fer"], cells[run, "ckp"]
    assert (own["own_dataset"], other["own_dataset"]) == ("True", "False")
    assert own["accuracy_drop"] == "NaN"
    drop = float(own["accuracy"]) - float(other["accuracy"])
    assert float(other["accuracy_drop"]) == pytest.approx(drop, abs=1e-3)
    assert float(other["accuracy_drop_low"]) < drop < float(other["accuracy_drop_high"])
    # Stage 4 validates on CK+: it has a say in the epoch.
    assert 0 < int(other["chose_the_epoch"]) <= int(other["images"])
    assert "†" in done.stdout


def test_without_datasets_all_that_are_here_are_scored_and_the_missing_named(lively: Trained) -> None:
    done = cross(lively.paths, "--models", lively.folder.name)
    assert {dataset for _, dataset in matrix(done)} == {"fer", "ckp", "fer-public"}
    assert "not here, so not scored: raf" in done.stdout
    assert "private_scorings" not in json.loads((lively.folder / "run.json").read_text())


def test_models_of_different_schemes_are_scored_on_the_shared_classes_and_the_rest_is_listed(
    seven: Paths, tmp_path: Path
) -> None:
    paths = copy_root(seven, tmp_path / "root")
    write_untrained(paths, "model_00001", SEVEN)
    write_untrained(paths, "model_00002", MOOD)
    done = cross(paths, "--models", "model_00001", "model_00002", "--datasets", "fer", "fer-public")
    folder = Path(last_line(done))
    assert {path.name for path in folder.iterdir()} == {
        "matrix.txt",
        "matrix.csv",
        "classes.csv",
        "matrix.png",
        "findings.json",
    }
    assert (folder / "matrix.txt").read_text() in done.stdout
    assert "seven's angry, disgust, fear" in done.stdout
    assert "model_00001 was trained on an unknown dataset: its drops are unknown" in done.stdout
    classes = read_table(folder / "classes.csv")
    rows = read_table(paths.for_scheme("seven").originals / "manifest.csv")
    counts = Counter(row["emotion"] for row in rows)
    assert {row["class"]: int(row["images"]) for row in classes if row["dataset"] == "fer"} == counts
    assert {row["class"] for row in classes if row["compared"] == "False"} == {"angry", "disgust", "fear"}
    cells = matrix(done)
    for cell in cells.values():
        assert cell["seen_unknown"] == "True"
        assert cell["left_out_seen"] == "NaN"
        assert cell["accuracy_drop"] == "NaN"
    model = load_model(paths.models / "model_00001" / "model.pth")
    images = load_set(paths, "fer", SEVEN)
    shared = np.isin(images.labels, [SEVEN.index(label) for label in MOOD.labels])
    outputs = network_outputs(model.network, torch.from_numpy(images.pixels[shared]).unsqueeze(1), model.form)
    order = [SEVEN.index(label) for label in MOOD.labels]
    predictions = np.array(order)[outputs[:, order].argmax(1).numpy()]
    assert float(cells["model_00001", "fer"]["accuracy"]) == pytest.approx(
        100 * (predictions == images.labels[shared]).mean(), abs=1e-3
    )
    findings = json.loads((folder / "findings.json").read_text())
    assert findings["labels"] == ["happy", "sad", "surprise", "neutral"]  # in the first scheme's order
    assert [cell["accuracy_drop"] for cell in findings["cells"]] == [None] * 4
    assert np.sum(findings["counts"]["model_00001"]["fer"]) == shared.sum()


def test_a_folder_s_other_classes_are_counted_and_its_images_known_by_their_pixels(
    lively: Trained, tmp_path: Path
) -> None:
    usage = read_table(lively.folder / "image_usage.csv")
    originals = lively.paths.originals.name
    seen = [row["image_path"] for row in usage if row["usage"] == "training"]
    seen = [path for path in seen if path.startswith(f"{originals}/")][:5]
    folder = tmp_path / "faces"
    for number, path in enumerate(seen):
        target = folder / Path(path).parent.name / f"seen{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lively.paths.root / path, target)
    for name, count in (("Surprised", 7), ("disgust", 3), ("cats", 2)):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(draw_images(count, seed=count)):
            cv2.imwrite(str(folder / name / f"{number}.png"), image)
    done = cross(lively.paths, "--models", lively.folder.name, "--datasets", folder)
    cell = matrix(done)[lively.folder.name, "faces"]
    assert (cell["images"], cell["left_out_seen"]) == ("7", str(len(seen)))
    assert "faces: 5 images of classes that not all share: cats 2, disgust 3" in done.stdout


def test_all_right_is_no_certainty() -> None:
    counts = np.diag([3, 4]).astype(np.int64)
    found = cross_dataset._accuracy_interval(counts, np.full(2000, 100.0))
    assert (found.value, found.high) == (100, 100)
    assert found.low == pytest.approx(64.57, abs=0.01)


def test_the_drop_s_interval_holds_the_true_drop_as_often_as_it_says() -> None:
    """Simulated models of known accuracy, 80% at home and 65% elsewhere."""
    rng = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        resampled = []
        for share, images in ((0.8, 150), (0.65, 120)):
            right = (rng.random(images) < share).astype(int)
            draws = paired.resampled_counts(
                np.where(right, 0, 1)[None], 4, np.arange(images), np.random.default_rng([number, images])
            )[0].reshape(-1, 2, 2)
            resampled.append(100 * draws[:, 0, 0] / images)
        found = paired.percentile_interval(resampled[0] - resampled[1])
        covered += found.low <= 15 <= found.high
    assert 0.91 <= covered / 200 <= 0.985


# --- Refusals and pictures ----------------------------------------------------------------------------------


def test_what_cannot_be_compared_is_named_in_one_line_and_leaves_nothing_behind(lively: Trained) -> None:
    run = lively.folder.name
    before = {path.name for path in lively.paths.models.iterdir()}
    for options, words, status in (
        (["--models", run, "--datasets", "mars"], "'mars' is neither a folder nor one of", 2),
        (["--models", run, "--datasets", "raf"], "no RAF images", 1),
        (["--models", run, run], "is named twice", 2),
        (["--models", run, "--datasets", "fer", "fer"], "two datasets are called fer", 2),
        (["--models", "model_00099"], "no model folder 'model_00099'", 2),
    ):
        assert words in error_line(cross(lively.paths, *options), status)
    assert {path.name for path in lively.paths.models.iterdir()} == before
    with pytest.raises(UsageError):
        load_candidates(lively.paths, [run, str(lively.folder)], device="cpu", threads=1)


def test_a_model_that_has_seen_a_whole_dataset_has_no_score_there(lively: Trained, tmp_path: Path) -> None:
    usage = read_table(lively.folder / "image_usage.csv")
    prefix = f"{lively.paths.originals.name}/"
    paths = [r["image_path"] for r in usage if r["usage"] == "training" and r["image_path"].startswith(prefix)]
    for number, path in enumerate(paths[:3]):
        target = tmp_path / "faces" / Path(path).parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lively.paths.root / path, target)
    cell = matrix(cross(lively.paths, "--models", lively.folder.name, "--datasets", tmp_path / "faces"))[
        lively.folder.name, "faces"
    ]
    assert (cell["images"], cell["left_out_seen"]) == ("0", "3")
    assert math.isnan(float(cell["accuracy"]))


def test_the_picture_has_every_score_and_says_what_colours_mean(
    lively: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(published_state(), lively.folder / "model.pth")
    candidates = load_candidates(lively.paths, [lively.folder.name], device="cpu", threads=1)
    found = cross_dataset.score(candidates, ["fer", "ckp"])
    figures = []
    monkeypatch.setattr(cross_dataset, "save", lambda figure, path: figures.append(figure) or path)
    cross_dataset._plot(Path("matrix.png"), found)
    shown = texts(figures[0])
    for cell in found.cells:
        assert f"{cell['accuracy']:.1f}" in shown
        assert f"{cell['macro_f1']:.1f}" in shown
        assert sum(f"{cell['accuracy_low']:.1f}–{cell['accuracy_high']:.1f}" in text for text in shown)
    assert {"Accuracy", "Macro-F1", "Percent", "on fer", "on ckp"} <= set(shown)
    assert sum("own dataset" in text for text in shown) == 2
    assert_legible(figures[0])
