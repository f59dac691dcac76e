import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import assert_legible, texts
from PIL import Image
from published import published_state
from running import EVALUATE, MODELS, Trained, call_script, last_line, read_counts, read_table
from sklearn.metrics import accuracy_score, f1_score, recall_score

from emotorch.analyses.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.analyses.reference import Reference, find_reference
from emotorch.analyses.robustness import Robustness, measure, scores_table
from emotorch.analyses.robustness_figure import robustness_figure
from emotorch.data.images import write_png
from emotorch.data.synthetic import Identity, draw_face
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation, predict
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import held_out
from emotorch.evaluation.sets import EvaluationSet
from emotorch.labels import get_scheme
from emotorch.metrics.intervals import wilson_interval
from emotorch.runs import folder as runs
from emotorch.runs.folder import Run
from emotorch.runs.usage import TrainingImages
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.loop import network_outputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

MEASURE = f"{MODELS}/measure_robustness.py"
LABELS = ("anger", "fear", "calm", "surprise")
CPU = torch.device("cpu")
ROWS = 1 + len(CORRUPTIONS) * len(SEVERITIES)


@pytest.fixture
def faces(lively: Trained) -> Path:
    """A dataset of 40 synthetic faces, as class folders; two of them are twins."""
    folder = lively.paths.root / "drawn"
    for label, emotion in zip(LABELS, ("angry", "fear", "neutral", "surprise"), strict=True):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            rng = generator("faces to measure on", label, max(number, 1))
            write_png(folder / label / f"{number}.png", draw_face(emotion, Identity(rng), rng))
    return folder


@pytest.fixture
def other(lively: Trained) -> Path:
    """Another model in the same root, without image_usage.csv."""
    folder = lively.paths.models / "model_other"
    folder.mkdir()
    state = published_state()
    for key, value in state["model_state_dict"].items():
        value += 0.02 * torch.from_numpy(generator("another model", key).standard_normal(value.shape)).float()
    torch.save(state, folder / "model.pth")
    return folder


def load(model: Trained, faces: Path) -> tuple[Model, Evaluation]:
    weights = model.folder / "model.pth"
    loaded = load_model(weights)
    return loaded, held_out(LoadedRun(model.paths, Run(model.folder), weights, loaded, CPU), str(faces))


def score(model: Model, held_out: Evaluation, reference: Reference | None, threads: int = 1) -> Robustness:
    return measure(model, held_out, held_out.images.hashes, reference, CPU, threads=threads)


def analyse(model: Trained, *options: object) -> tuple[str, dict]:
    done = call_script(model.paths, MEASURE, model.folder.name, *options, "--threads", 1)
    folder = Path(last_line(done))
    assert folder == model.folder / "robustness"
    return done.stdout, json.loads((folder / "findings.json").read_text())


def table(model: Trained) -> list[dict[str, str]]:
    return read_table(model.folder / "robustness" / "robustness.csv")


# --- Scores -------------------------------------------------------------------------------------------------


def test_the_clean_row_is_what_evaluation_says(lively: Trained, faces: Path) -> None:
    _, findings = analyse(lively, faces)
    evaluation = Path(last_line(call_script(lively.paths, EVALUATE, lively.folder.name, faces, "--threads", 1)))
    counts = read_counts(evaluation, "drawn")
    clean = table(lively)[0]
    assert (clean["corruption"], clean["severity"], clean["strength"]) == ("clean", "0", "")
    right, images = int(np.trace(counts)), int(counts.sum())
    assert findings["images"] == images == 40
    assert clean["accuracy"] == f"{100 * right / images:.2f}"
    low, high = wilson_interval(right, images)
    assert (clean["accuracy_low"], clean["accuracy_high"]) == (f"{low:.2f}", f"{high:.2f}")
    for place, label in enumerate(LABELS):
        assert clean[f"recall_{label}"] == f"{100 * counts[place, place] / counts[place].sum():.2f}"
    assert {value for key, value in clean.items() if "change" in key} == {"0.00"}


def test_scores_under_a_corruption_are_scikit_learn_s(lively: Trained, faces: Path) -> None:
    model, images = load(lively, faces)
    measured = score(model, images, None)
    assert [(found.corruption, found.severity) for found in measured.conditions] == [
        (name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    errors = []
    truths = images.images.labels
    for found in measured.conditions:
        pixels = corrupt(images.images.pixels, images.images.hashes.tolist(), found.corruption, found.severity)
        predictions = (
            network_outputs(model.network, torch.from_numpy(pixels).unsqueeze(1), model.form).argmax(1).numpy()
        )
        accuracy = 100 * accuracy_score(truths, predictions)
        errors.append(100 - accuracy)
        assert found.accuracy.value == pytest.approx(accuracy)
        assert found.accuracy.change.value == pytest.approx(accuracy - measured.clean.accuracy.value)
        f1 = f1_score(truths, predictions, labels=range(4), average="macro", zero_division=0.0)
        assert found.macro_f1.value == pytest.approx(100 * f1)
        recalls = recall_score(truths, predictions, labels=range(4), average=None)
        assert [recall.value for recall in found.recalls] == pytest.approx(100 * recalls)
        for metric in (found.accuracy, found.macro_f1, *found.recalls):
            assert metric.low <= metric.value + 1e-9
            assert metric.value <= metric.high + 1e-9
    assert measured.mean_error.value == pytest.approx(np.mean(errors))
    assert [error.value for error in measured.by_corruption.values()] == pytest.approx(
        np.mean(np.reshape(errors, (len(CORRUPTIONS), -1)), axis=1)
    )
    assert len({found.accuracy.value for found in measured.conditions}) > 3, "the model predicts too little to test"


def test_results_are_equal_for_any_batch_number_of_threads_and_order(
    lively: Trained, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = load(lively, faces)
    expected = score(model, images, None)
    for batch, threads in ((1, 1), (7, 3)):
        monkeypatch.setattr("emotorch.evaluation.evaluate._BATCH", batch)
        assert score(model, images, None, threads=threads) == expected
    given, order = images.images, np.arange(40)[::-1]
    files = [given.files[place] for place in order]
    backwards = EvaluationSet("T", files, given.pixels[order].copy(), given.labels[order], given.hashes[order])
    turned = score(model, Evaluation(backwards, predict(model, backwards, CPU), "T", []), None)
    assert turned.conditions == expected.conditions


# --- Errors beside a reference's ----------------------------------------------------------------------------


def test_a_model_beside_itself_has_an_mce_of_100(lively: Trained, faces: Path) -> None:
    model, images = load(lively, faces)
    errors = score(model, images, Reference("itself", model, "", None, lively.paths)).errors
    assert set(errors.ratios.values()) == {100.0}
    assert (errors.mce.value, errors.mce.low, errors.mce.high) == (100.0, 100.0, 100.0)
    assert (errors.images, errors.left_out) == (40, None)


def test_mce_is_the_mean_of_the_ratios_of_summed_errors(lively: Trained, other: Path, faces: Path) -> None:
    (model, images), against = load(lively, faces), load_model(other / "model.pth")
    errors = score(model, images, Reference("other", against, "", None, lively.paths)).errors
    theirs = Evaluation(images.images, predict(against, images.images, CPU), "T", [])
    both = [score(model, images, None), score(against, theirs, None)]
    ratios = []
    for name in CORRUPTIONS:
        found = [[c.accuracy for c in one.conditions if c.corruption == name] for one in both]
        ours, reference = (sum(100 - accuracy.value for accuracy in accuracies) for accuracies in found)
        ratios.append(100 * ours / reference)
        assert errors.errors[name] == pytest.approx((ours / 5, reference / 5))
        assert errors.ratios[name] == pytest.approx(ratios[-1])
        assert errors.reference_accuracies[name] == pytest.approx([accuracy.value for accuracy in found[1]])
        losses = [-sum(accuracy.change.value for accuracy in accuracies) for accuracies in found]
        relative = 100 * losses[0] / losses[1] if losses[1] > 0 else np.nan
        assert errors.relative[name] == pytest.approx(relative, nan_ok=True)
    assert errors.mce.value == pytest.approx(np.mean(ratios))
    assert errors.mce.low < errors.mce.value < errors.mce.high


def test_images_that_the_reference_was_trained_on_take_no_part_in_the_mce(lively: Trained, faces: Path) -> None:
    model, images = load(lively, faces)
    seen = images.images.hashes[5:15]
    training = TrainingImages({f"FER/anger/{number}.png": value for number, value in enumerate(seen.tolist())})
    reference = Reference("other", model, "", training, lively.paths)
    errors = score(model, images, reference).errors
    # Two of the faces are twins: of the ten, none or both.
    left = np.isin(images.images.hashes, seen)
    assert errors.left_out == int(left.sum()) >= 10
    assert errors.images == 40 - errors.left_out
    right = images.predictions.classes == images.images.labels
    assert errors.clean[0] == pytest.approx(100 * (1 - right[~left].mean()))
    everything = TrainingImages({str(n): value for n, value in enumerate(images.images.hashes.tolist())})
    with pytest.raises(EmoTorchError, match="trained on every one"):
        score(model, images, Reference("other", model, "", everything, lively.paths))


def test_the_baseline_that_ships_is_the_reference_where_it_has_the_labels(
    lively: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "emotorch").mkdir()
    shutil.copy(lively.folder / "model.pth", tmp_path / "emotorch")
    monkeypatch.setattr(runs, "SHIPPED_MODELS", tmp_path)
    model = load_model(lively.folder / "model.pth")
    other = tmp_path / "other.pth"
    other.write_bytes(b"of another model")

    def find(model: Model, weights: Path, named: str | None = None) -> Reference | str:
        return find_reference(LoadedRun(lively.paths, Run(lively.folder), weights, model, CPU), named)

    found = find(model, other)
    assert isinstance(found, Reference)
    assert (found.name, found.training) == ("emotorch", None)
    seven = Model(model.network, get_scheme("seven"), model.form)
    assert "the EmoTorch baseline has other labels" in str(find(seven, other))
    with pytest.raises(EmoTorchError, match="cannot be read as seven"):
        find(seven, other, str(lively.folder))
    with pytest.raises(EmoTorchError, match="no model folder 'model_99999'"):
        find(model, other, "model_99999")
    assert "this is the EmoTorch baseline" in str(find(model, lively.folder / "model.pth"))


# --- The script ---------------------------------------------------------------------------------------------


@pytest.mark.drawn
def test_the_folder_is_whole_and_kept_until_the_reference_changes(
    lively: Trained, other: Path, faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printed, findings = analyse(lively, faces, "--reference", other.name)
    folder = lively.folder / "robustness"
    named = {*findings["pictures"].values(), *findings["tables"].values()}
    assert {path.name for path in folder.iterdir()} == named | {"findings.json", "stage.json"}
    rows = table(lively)
    assert len(rows) == ROWS == 1 + len(findings["conditions"])
    for row, condition in zip(rows[1:], findings["conditions"], strict=True):
        assert (row["corruption"], int(row["severity"])) == (condition["corruption"], condition["severity"])
        assert float(row["strength"]) == condition["strength"]
        assert row["macro_f1_change_low"] == f"{condition['macro_f1']['change']['low']:.2f}"
    for picture in findings["pictures"].values():
        with Image.open(folder / picture) as image:
            image.load()
            assert min(image.size) > 500
    mce = findings["reference"]["mce"]["value"]
    last = read_table(folder / "corruption_errors.csv")[-1]
    assert (last["corruption"], last["corruption_error"]) == ("mean", f"{mce:.2f}")
    assert f"mCE {mce:.2f}" in printed
    assert "model_other has no image_usage.csv" in printed
    assert findings["reference_missing"] is None

    figure = robustness_figure(findings, scores_table(findings).frame)
    assert_legible(figure)
    found = set(texts(figure))
    assert {name.replace("_", " ") for name in CORRUPTIONS} <= found
    assert {f"recall of {label}" for label in LABELS} <= found
    assert "accuracy of model_other (40 images)" in found

    written = (folder / "stage.json").stat().st_mtime_ns
    assert analyse(lively, faces, "--reference", other.name) == (printed, findings)
    assert (folder / "stage.json").stat().st_mtime_ns == written
    monkeypatch.setattr(runs, "SHIPPED_MODELS", tmp_path / "nothing")
    printed, findings = analyse(lively, faces)
    assert (folder / "stage.json").stat().st_mtime_ns != written
    assert findings["reference"] is None


def test_what_is_unknown_is_said_to_be_missing(
    lively: Trained, faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(faces / "fear")
    monkeypatch.setattr(runs, "SHIPPED_MODELS", tmp_path / "nothing")
    printed, findings = analyse(lively, faces)
    assert "relative to a baseline: missing; no EmoTorch baseline ships" in printed
    assert "mCE" not in printed
    assert "no EmoTorch baseline" in findings["reference_missing"]
    rows = read_table(lively.folder / "robustness" / "corruption_errors.csv")
    assert {row["corruption_error"] for row in rows} == {"NaN"}
    assert rows[-1]["mean_error"] == f"{findings['mean_error']['value']:.2f}"
    row = table(lively)[1]
    assert row["recall_fear"] == row["recall_fear_change"] == "NaN"
    assert findings["conditions"][0]["recalls"][1]["value"] is None
    assert "NaN" not in (lively.folder / "robustness" / "findings.json").read_text()
