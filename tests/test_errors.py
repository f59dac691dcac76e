import json
from pathlib import Path

import numpy as np
import pytest
import torch
from running import MODELS, Trained, accept, call_script, error_line, last_line, read_table
from sklearn.metrics import confusion_matrix

from emotorch.analyses.errors import ANALYSIS, analyse_errors, confident_errors, confusions, suspected_label_errors
from emotorch.analyses.registry import Subject
from emotorch.evaluation.evaluate import Evaluation, Predictions
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import held_out
from emotorch.evaluation.sets import EvaluationSet
from emotorch.training.checkpoints import load_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

SHOW = f"{MODELS}/show_errors.py"
LABELS = ("anger", "fear", "calm", "surprise")


def draw_probabilities(number: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths, and a fair model's probabilities."""
    rng = np.random.default_rng(seed)
    truths = rng.integers(0, classes, number)
    logits = rng.normal(size=(number, classes)) + 1.2 * np.eye(classes)[truths]
    probabilities = np.exp(logits)
    return truths, probabilities / probabilities.sum(axis=1, keepdims=True)


# --- Confusions ---------------------------------------------------------------------------------------------


def test_confusions_are_those_of_the_matrix_fear_and_surprise_first() -> None:
    truths, probabilities = draw_probabilities(400, 4, 0)
    predictions = probabilities.argmax(axis=1)
    matrix = confusion_matrix(truths, predictions)
    found = confusions(truths, probabilities, LABELS)
    assert set(found[0].labels) == {"fear", "surprise"}
    totals = [sum(pair.counts) for pair in found]
    assert len(found) == 6
    assert totals[1:] == sorted(totals[1:], reverse=True)
    assert totals[0] < totals[1], "the data must not put them first by itself"
    for pair in found:
        one, other = (LABELS.index(label) for label in pair.labels)
        assert pair.counts == (matrix[one, other], matrix[other, one])
        assert pair.counts[0] >= pair.counts[1]
        assert pair.proportions == pytest.approx(
            (matrix[one, other] / matrix[one].sum(), pair.counts[1] / matrix[other].sum())
        )
        assert {(int(truths[k]), int(predictions[k])) for k in pair.images} <= {(one, other), (other, one)}
        assert len(pair.images) == sum(pair.counts)
        assert (np.diff(probabilities[pair.images].max(axis=1)) <= 0).all()


def test_without_fear_the_most_frequent_confusion_is_first() -> None:
    truths, probabilities = draw_probabilities(300, 3, 1)
    totals = [sum(pair.counts) for pair in confusions(truths, probabilities, ("happy", "sad", "surprise"))]
    assert totals == sorted(totals, reverse=True)


def test_what_is_never_confused_is_not_listed() -> None:
    truths = np.array([0, 0, 1, 2])
    probabilities = np.eye(3)[[0, 1, 1, 2]]
    (only,) = confusions(truths, probabilities, ("a", "b", "c"))
    assert (only.labels, only.counts, only.proportions, only.images.tolist()) == (("a", "b"), (1, 0), (0.5, 0.0), [1])


def test_confident_errors_are_all_wrong_predictions_the_most_confident_first() -> None:
    truths, probabilities = draw_probabilities(300, 4, 2)
    found = confident_errors(truths, probabilities)
    assert sorted(found) == np.flatnonzero(probabilities.argmax(axis=1) != truths).tolist()
    assert (np.diff(probabilities[found].max(axis=1)) <= 0).all()


# --- Confident learning -------------------------------------------------------------------------------------


def test_confident_learning_follows_its_definition_image_by_image() -> None:
    given, probabilities = draw_probabilities(250, 4, 3)
    found = suspected_label_errors(given, probabilities)
    thresholds = [np.mean([p[k] for p, g in zip(probabilities, given, strict=True) if g == k]) for k in range(4)]
    assert found.thresholds == pytest.approx(thresholds)
    joint, suspected = np.zeros((4, 4), int), {}
    for place, (p, g) in enumerate(zip(probabilities, given, strict=True)):
        confident = [k for k in range(4) if p[k] >= found.thresholds[k]]
        if confident:
            kind = max(confident, key=lambda k, p=p: p[k])
            joint[g, kind] += 1
            if kind != g:
                suspected[place] = kind
    assert (found.joint == joint).all()
    assert dict(zip(found.images.tolist(), found.classes.tolist(), strict=True)) == suspected
    margins = [probabilities[place, given[place]] - probabilities[place, kind] for place, kind in suspected.items()]
    assert probabilities[found.images, given[found.images]] - probabilities[
        found.images, found.classes
    ] == pytest.approx(np.sort(margins))


def test_labels_that_were_changed_are_found() -> None:
    """Of 3000 images 10% got a random other label; the model is a good one, trained on none of them."""
    rng = np.random.default_rng(4)
    truths = rng.integers(0, 5, 3000)
    logits = rng.normal(size=(3000, 5)) + 5.0 * np.eye(5)[truths]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    changed = rng.random(3000) < 0.1
    given = np.where(changed, (truths + rng.integers(1, 5, 3000)) % 5, truths)
    found = suspected_label_errors(given, probabilities)
    assert changed[found.images].mean() > 0.9
    assert np.isin(np.flatnonzero(changed), found.images).mean() > 0.9
    right = found.classes == truths[found.images]
    assert right.mean() > 0.9
    assert changed[found.images[:100]].all()


def test_a_class_without_images_is_suspected_nowhere() -> None:
    given = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    found = suspected_label_errors(given, probabilities)
    assert np.isnan(found.thresholds[2])
    assert (found.images.tolist(), found.classes.tolist()) == ([2], [0])


# --- The script ---------------------------------------------------------------------------------------------


def show(model: Trained, *options: object) -> tuple[str, Path, dict]:
    done = call_script(model.paths, SHOW, model.folder.name, *options, "--threads", 1)
    folder = Path(last_line(done))
    assert folder == model.folder / "errors"
    return done.stdout, folder, json.loads((folder / "findings.json").read_text())


def test_the_gallery_lists_every_error_of_the_held_out_images(lively: Trained) -> None:
    printed, folder, findings = show(lively, "ckp", "--tiles", 3, "--pairs", 2)
    model = load_model(lively.folder / "model.pth")
    errors = read_table(folder / "confident_errors.csv")
    assert list(errors[0]) == ["file", "truth", "prediction", "confidence"]
    confidences = [float(row["confidence"]) for row in errors]
    assert confidences == sorted(confidences, reverse=True)
    assert all(row["truth"] != row["prediction"] and Path(row["file"]).parent.name == row["truth"] for row in errors)
    assert findings["errors"] == len(errors) == round(findings["images"] * (1 - findings["accuracy"] / 100))
    confused = read_table(folder / "confused_images.csv")
    assert sorted(map(str, confused)) == sorted(map(str, errors))
    pairs = read_table(folder / "confusions.csv")
    assert sum(int(row["images"]) + int(row["other_way"]) for row in pairs) == len(errors)
    assert [pair["labels"] for pair in findings["confusions"]] == [[row["truth"], row["prediction"]] for row in pairs]
    assert all(len(tile) == 4 for pair in findings["confusions"] for tile in pair["tiles"])
    assert [tile["file"] for tile in findings["confident_errors"]["tiles"]] == [row["file"] for row in errors[:3]]
    suspected = read_table(folder / "suspected_label_errors.csv")
    assert findings["suspected_label_errors"]["images"] == len(suspected)
    assert np.shape(findings["suspected_label_errors"]["confident_joint"]) == (4, 4)
    pictures = [pair["picture"] for pair in findings["confusions"]]
    assert all(pictures[:2])
    assert not any(pictures[2:])
    named = {*pictures[:2], *(findings[part]["picture"] for part in ("confident_errors", "suspected_label_errors"))}
    assert {path.name for path in folder.glob("*.png")} == named - {None}
    assert f"{len(errors)} of {findings['images']} images are misclassified" in printed
    assert findings["labels"] == list(model.labels)


def test_findings_are_kept_until_data_or_options_change(lively: Trained) -> None:
    first, folder, _ = show(lively, "--tiles", 4)
    stamp = (folder / "stage.json").stat().st_mtime_ns
    again, _, _ = show(lively, "--tiles", 4)
    assert again == first
    assert (folder / "stage.json").stat().st_mtime_ns == stamp
    for options in (["--tiles", 5], ["ckp", "--tiles", 5], ["ckp", "--tiles", 5, "--force"]):
        show(lively, *options)
        stamp, before = (folder / "stage.json").stat().st_mtime_ns, stamp
        assert stamp != before


def test_by_default_the_images_are_the_run_s_own_held_out_originals(lively: Trained) -> None:
    printed, _, findings = show(lively)
    usage = read_table(lively.folder / "image_usage.csv")
    held_out = [row["image_path"] for row in usage if row["usage"] == "fer_validation"]
    originals = {file for file in held_out if "Augmented" not in file}
    files = {row["file"] for row in read_table(lively.folder / "errors" / "confident_errors.csv")}
    assert findings["images"] == len(originals)
    assert files <= originals
    if len(held_out) > len(originals):
        assert f"{len(held_out) - len(originals)} variants are left out" in printed
    assert f"† all {len(originals)} chose the epoch: not quite unseen" in printed


def test_a_held_out_original_whose_variant_was_trained_on_is_left_out(lively: Trained) -> None:
    loaded = LoadedRun.load(lively.paths, str(lively.folder), device="cpu", threads=1)
    before = held_out(loaded, None)
    leaked = before.images.files[0]
    usage = lively.folder / "image_usage.csv"
    (row,) = (line for line in usage.read_text().splitlines() if line.startswith(f"{leaked},"))
    variant = leaked.replace("-Dataset/", "-Dataset-Augmented/").replace(".png", "_flip.png")
    trained_on = row.replace(leaked, variant).replace("fer_validation", "training")
    usage.write_text(f"{usage.read_text()}{trained_on}\n")
    accept(lively.folder)
    after = held_out(LoadedRun.load(lively.paths, str(lively.folder), device="cpu", threads=1), None)
    assert list(after.images.files) == [file for file in before.images.files if file != leaked]
    assert any(line.startswith("1 originals are left out") for line in after.lines)
    assert after.images.fingerprint != before.images.fingerprint


def test_without_known_images_a_dataset_is_asked_for(lively: Trained) -> None:
    (lively.folder / "image_usage.csv").unlink()
    accept(lively.folder)
    assert "name a DATASET" in error_line(call_script(lively.paths, SHOW, lively.folder.name))
    assert not (lively.folder / "errors").exists()


def test_a_model_without_errors_has_empty_lists_and_no_sheets(lively: Trained) -> None:
    truths = np.array([0, 1, 2, 3] * 3)
    pixels = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    files = [f"FER/{LABELS[truth]}/{number}.png" for number, truth in enumerate(truths)]
    images = EvaluationSet("perfect", files, pixels, truths, np.array(files))
    predictions = Predictions(truths, np.ones(12, np.float32), 3 * np.eye(4, dtype=np.int64), torch.eye(4)[truths])
    perfect = Evaluation(images, predictions, "perfect", ["all right"])
    loaded = LoadedRun.load(lively.paths, str(lively.folder), device="cpu", threads=1)
    subject = Subject(loaded)
    vars(subject)["held_out"] = perfect
    findings = analyse_errors(subject, tiles=4, pairs=2)
    folder = ANALYSIS.folder(loaded)
    assert "0 of 12 images are misclassified" in ANALYSIS.lines(findings)
    assert not ANALYSIS.tables(findings)
    assert not list(folder.glob("*.png"))
    assert read_table(folder / "confident_errors.csv") == read_table(folder / "suspected_label_errors.csv") == []
