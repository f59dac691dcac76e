import json
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images, prepare, write_small_fer
from published import LABELS, published_state, write_run
from running import (
    COMPARE,
    EVALUATE,
    Trained,
    accept,
    call_script,
    error_line,
    last_line,
    read_counts,
    read_table,
    replace_weights,
)

from emotorch.data.images import read_face, read_picture, resize
from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.evaluation.official_tests import shows_private_test
from emotorch.labels import get_scheme
from emotorch.metrics.intervals import wilson_interval
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.runs.private_test import record_private_scoring
from emotorch.runs.usage import write_image_usage
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import InputForm

pytestmark = pytest.mark.usefixtures("undrawn")

COLUMNS = [
    "image_path",
    "image_index",
    "true_emotion",
    "predicted_emotion",
    "true_label_idx",
    "pred_label_idx",
    "confidence",
]


@dataclass(frozen=True)
class Result:
    """What an evaluation printed, and its folder's tables."""

    name: str
    said: str
    folder: Path

    @property
    def images(self) -> int:
        return int(re.search(r"(\d+) images, accuracy", self.said)[1])

    @property
    def counts(self) -> np.ndarray:
        return read_counts(self.folder, self.name)

    @property
    def wrong(self) -> list[dict[str, str]]:
        return read_table(self.folder / f"misclassifications_{self.name}.csv")


@pytest.fixture
def officially(lively: Trained) -> Trained:
    """As if it had been trained on the official Training rows alone."""
    index = DatasetIndex.load(lively.paths, get_scheme("emotorch4"))
    chosen = select(index, Factors(fer_aug=0.05), fer_usage="training", seed=42)
    write_image_usage(lively.folder / "image_usage.csv", chosen)
    accept(lively.folder)
    return lively


def evaluate(model: Trained, dataset: object, name: str | None = None) -> Result:
    done = call_script(model.paths, EVALUATE, model.folder.name, dataset, "--threads", 1)
    folder = Path(last_line(done))
    assert folder.parent == model.folder
    return Result(name or str(dataset), done.stdout + done.stderr, folder)


def manifest(paths: Paths, dataset: str, usage: str | None = None) -> list[dict[str, str]]:
    rows = read_table(paths.originals / "manifest.csv")
    return [row for row in rows if row["dataset"] == dataset and usage in (None, row["usage"])]


def trained_originals(model: Trained) -> set[str]:
    """Below the dataset folder: those that were trained on, or a variant of which was."""
    usage = [row for row in read_table(model.folder / "image_usage.csv") if row["usage"] == "training"]
    files = ("/".join(Path(row["image_path"]).parts[1:]) for row in usage)
    return {re.sub(r"_\w+\.png$", ".png", file) for file in files}


def predictions(model: Trained, files: Mapping[str, Path]) -> dict[str, str]:
    """Of the network itself, by the file's name in the tables."""
    network = load_model(model.folder / "model.pth").network
    pixels = np.stack([resize(read_picture(path)) for path in files.values()])
    outputs = network_outputs(network, torch.from_numpy(pixels).unsqueeze(1), InputForm())
    return {file: LABELS[prediction] for file, prediction in zip(files, outputs.argmax(1).tolist(), strict=True)}


def assert_consistent(result: Result, root: Path, predicted: Mapping[str, str]) -> None:
    """All files of an evaluation tell of the same images and predictions."""
    name = result.name
    pictures = result.folder / f"misclassified_images_{name}"
    assert {path.name for path in result.folder.iterdir()} == {
        f"classification_report_{name}.txt",
        f"confusion_counts_{name}.csv",
        f"confusion_matrix_{name}.csv",
        f"confusion_matrix_{name}.png",
        f"misclassifications_{name}.csv",
        f"reliability_{name}.csv",
        f"reliability_{name}.png",
        pictures.name,
    }
    truths = {file: Path(file).parent.name for file in predicted}
    expected = np.zeros((4, 4), int)
    for file, prediction in predicted.items():
        expected[LABELS.index(truths[file]), LABELS.index(prediction)] += 1
    assert (result.counts == expected).all()
    assert result.counts.sum() == result.images == len(predicted)
    assert len(set(predicted.values())) == 4, "the model predicts too few classes to test anything"

    correct = int(np.trace(expected))
    low, high = wilson_interval(correct, len(predicted))
    line = f"accuracy {100 * correct / len(predicted):.2f}% (95% interval {low:.2f}–{high:.2f})"
    assert line in result.said
    assert line in (result.folder / f"classification_report_{name}.txt").read_text()

    assert list(result.wrong[0]) == COLUMNS
    assert {row["image_path"]: row["predicted_emotion"] for row in result.wrong} == {
        file: prediction for file, prediction in predicted.items() if prediction != truths[file]
    }
    copies = sorted(pictures.iterdir())
    assert len(copies) == len(result.wrong)
    for number, (row, copy) in enumerate(zip(result.wrong, copies, strict=True), start=1):
        assert row["true_emotion"] == truths[row["image_path"]] == LABELS[int(row["true_label_idx"])]
        assert row["predicted_emotion"] == LABELS[int(row["pred_label_idx"])]
        assert list(predicted)[int(row["image_index"])] == row["image_path"]
        assert 0.25 <= float(row["confidence"]) <= 1
        assert copy.name == f"{number:03d}_true_{row['true_emotion']}_pred_{row['predicted_emotion']}.png"
        assert (read_face(copy) == resize(read_picture(root / row["image_path"]))).all()


def test_training_images_are_left_out_of_fer_s_score_and_scored_apart(lively: Trained) -> None:
    result = evaluate(lively, "fer")
    seen = trained_originals(lively)
    files = [row["file"] for row in manifest(lively.paths, "FER")]
    unseen = {f"FER-Original-Dataset/{file}": lively.paths.originals / file for file in files if file not in seen}
    assert 0 < len(unseen) < len(files)
    assert_consistent(result, lively.paths.root, predictions(lively, unseen))
    apart = re.search(r"left out, because it was trained on them: (\d+) images", result.said)
    assert int(apart[1]) == len(files) - len(unseen)


def test_ckp_is_scored_whole_because_nothing_of_it_is_trained_on(lively: Trained) -> None:
    result = evaluate(lively, "ckp")
    files = [row["file"] for row in manifest(lively.paths, "CKP")]
    predicted = predictions(lively, {f"FER-Original-Dataset/{file}": lively.paths.originals / file for file in files})
    assert (result.counts.sum(axis=1) == [6, 0, 0, 6]).all()
    assert result.images == len(predicted) == 12
    assert "left out" not in result.said
    shares = (result.folder / "confusion_matrix_ckp.csv").read_text().splitlines()
    assert shares[2] == "fear,0.000,0.000,0.000,0.000"


@pytest.mark.parametrize(("dataset", "usage"), [("fer-public", "PublicTest"), ("fer-private", "PrivateTest")])
def test_official_test_rows_are_scored_whole_and_twins_of_training_counted(
    officially: Trained, dataset: str, usage: str
) -> None:
    result = evaluate(officially, dataset)
    rows = manifest(officially.paths, "FER", usage)
    assert result.images == len(rows)
    assert "left out" not in result.said
    seen = trained_originals(officially)
    hashes = {row["hash"] for row in manifest(officially.paths, "FER") if row["file"] in seen}
    twins = [row for row in rows if row["hash"] in hashes]
    assert twins, "there is no twin to count"
    said = re.search(
        r"(\d+) have an exact twin in training; without them: (\d+) images, accuracy ([\d.]+)%", result.said
    )
    assert (int(said[1]), int(said[2])) == (len(twins), len(rows) - len(twins))
    rest = {row["file"]: officially.paths.originals / row["file"] for row in rows if row["hash"] not in hashes}
    right = [Path(file).parent.name == prediction for file, prediction in predictions(officially, rest).items()]
    assert float(said[3]) == pytest.approx(100 * np.mean(right), abs=0.005)


def test_each_scoring_on_the_private_test_is_recorded(officially: Trained) -> None:
    before = Run(officially.folder).record
    results = [evaluate(officially, "fer-private") for _ in range(2)]
    evaluate(officially, "fer-public")
    after = Run(officially.folder).record
    scorings = after.pop("private_scorings")
    assert after == before
    assert [scoring["images"] for scoring in scorings] == [result.images for result in results]
    assert [scoring["correct"] for scoring in scorings] == [int(np.trace(result.counts)) for result in results]
    assert all(scoring["time"] >= before["finished"] for scoring in scorings)
    assert results[0].folder != results[1].folder


def test_a_look_at_copies_of_the_private_test_is_recorded_too(officially: Trained, tmp_path: Path) -> None:
    for usage, looks in (("PublicTest", 0), ("PrivateTest", 1)):
        rows = [row for row in manifest(officially.paths, "FER") if row["usage"] == usage]
        others = {row["hash"] for row in manifest(officially.paths, "FER") if row["usage"] != usage}
        for row in rows:
            if row["hash"] not in others:
                copy = tmp_path / usage / row["file"].removeprefix("FER/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(officially.paths.originals / row["file"], copy)
        evaluate(officially, tmp_path / usage)
        scorings = Run(officially.folder).record.get("private_scorings", [])
        assert [scoring["dataset"] for scoring in scorings] == [usage] * looks


def test_an_image_that_other_usages_have_too_is_no_look_at_the_private_test(officially: Trained) -> None:
    rows = manifest(officially.paths, "FER")
    private = {row["hash"] for row in rows if row["usage"] == "PrivateTest"}
    shared = private & {row["hash"] for row in rows if row["usage"] != "PrivateTest"}
    assert shared
    scheme, run = get_scheme("emotorch4"), Run(officially.folder)
    assert not shows_private_test(officially.paths, scheme, run, "mine", shared)
    assert shows_private_test(officially.paths, scheme, run, "mine", private)


def test_looks_at_the_same_time_are_all_recorded(officially: Trained) -> None:
    run = Run(officially.folder)
    before = len(run.record.get("private_scorings", []))
    with ThreadPoolExecutor(4) as pool:
        looks = [
            pool.submit(record_private_scoring, run, run.folder / "model.pth", "fer-private", 2, 1) for _ in range(12)
        ]
    assert all(look.exception() is None for look in looks)
    assert len(run.record["private_scorings"]) == before + 12


def test_both_official_tests_are_one_dataset_and_a_look_at_privatetest(officially: Trained) -> None:
    result = evaluate(officially, "fer-test")
    rows = [row for row in manifest(officially.paths, "FER") if row["usage"] != "Training"]
    assert result.images == len(rows)
    counts = {usage: sum(row["usage"] == usage for row in rows) for usage in ("PublicTest", "PrivateTest")}
    said = ", ".join(f"{images} of {usage}" for usage, images in counts.items())
    assert f"fer-test is {said}\n" in result.said
    (scoring,) = json.loads((officially.folder / "run.json").read_text())["private_scorings"]
    assert (scoring["dataset"], scoring["images"]) == ("fer-test", len(rows))


def test_all_of_fer_is_a_look_at_privatetest_unless_it_was_trained_on(officially: Trained) -> None:
    result = evaluate(officially, "fer")
    run = Run(officially.folder)
    settings = run.record["settings"]
    assert "private_scorings" not in run.record, "its recipe trains on all of FER-2013"
    settings["recipe"]["fer_usage"] = "training"
    run.update(settings=settings)
    evaluate(officially, "FER", "fer")
    (scoring,) = run.record["private_scorings"]
    assert (scoring["dataset"], scoring["images"]) == ("fer", result.images)


def test_images_that_chose_the_epoch_are_counted_marked_and_left_out_of_a_second_score(officially: Trained) -> None:
    result = evaluate(officially, "fer")
    usage = read_table(officially.folder / "image_usage.csv")
    chose = {row["source_hash"] for row in usage if row["usage"] == "fer_validation"}
    seen = trained_originals(officially)
    left = [row for row in manifest(officially.paths, "FER") if row["file"] not in seen]
    chosen = sum(row["hash"] in chose for row in left)
    assert 0 < chosen < len(left) == result.images
    first = next(line for line in result.said.splitlines() if "on fer: " in line)
    assert first.endswith(") †")
    said = f"† {chosen} chose the epoch, or are exact twins of images that did: not quite unseen; without them: "
    assert f"{said}{len(left) - chosen} images, accuracy" in result.said
    assert "†" not in evaluate(officially, "fer-public").said


def test_the_report_is_printed_with_the_loss(lively: Trained) -> None:
    result = evaluate(lively, "ckp")
    files = [lively.paths.originals / row["file"] for row in manifest(lively.paths, "CKP")]
    network = load_model(lively.folder / "model.pth").network
    pixels = torch.from_numpy(np.stack([read_face(file) for file in files])).unsqueeze(1)
    outputs = network_outputs(network, pixels, InputForm())
    truths = torch.tensor([LABELS.index(file.parent.name) for file in files])
    loss = -torch.nn.functional.cosine_similarity(outputs, torch.eye(4)[truths]).mean()
    report = (result.folder / "classification_report_ckp.txt").read_text()
    assert report.splitlines()[-1] == f"loss {loss:.4f}"
    assert "precision    recall  f1-score" in report
    assert report in result.said


def write_class_folders(folder: Path) -> dict[str, Path]:
    """Class folders as other datasets have them: FER's names too, PNG and JPEG, grey and colour, any size."""
    images = iter(draw_images(40, seed=8))
    files: dict[str, Path] = {}
    for name, label in (("anger", "anger"), ("Fear", "fear"), ("neutral", "calm"), ("surprise", "surprise")):
        (folder / name).mkdir(parents=True)
        for number, (suffix, side) in enumerate(((".png", 48), (".jpg", 48), (".JPEG", 90), (".png", 30)) * 2):
            picture = cv2.resize(next(images), (side, side))
            path = folder / name / f"{number}{suffix}"
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if number % 3 == 0 else picture)
            files[f"{label}/{number}"] = path
    for unknown in ("disgust", "happy faces"):
        (folder / unknown).mkdir()
        cv2.imwrite(str(folder / unknown / "1.png"), next(images))
    (folder / ".DS_Store").write_text("")
    (folder / "notes.txt").write_text("where they are from")
    return files


def test_a_folder_of_class_folders_is_scored_with_unknown_folders_named(lively: Trained, tmp_path: Path) -> None:
    files = write_class_folders(tmp_path / "my faces")
    result = evaluate(lively, tmp_path / "my faces", "my faces")
    assert "left out: disgust, happy faces" in result.said
    predicted = {str(files[file]): prediction for file, prediction in predictions(lively, files).items()}
    assert result.images == len(predicted) == 32
    truths = {str(path): file.split("/")[0] for file, path in files.items()}
    wrong = {file: prediction for file, prediction in predicted.items() if prediction != truths[file]}
    assert {row["image_path"]: row["predicted_emotion"] for row in result.wrong} == wrong
    assert {row["image_path"]: row["true_emotion"] for row in result.wrong} == {file: truths[file] for file in wrong}


@pytest.mark.parametrize("name", ["faces", "fer"])
def test_images_of_a_folder_that_were_trained_on_are_known_by_their_pixels(
    lively: Trained, tmp_path: Path, name: str
) -> None:
    """Whatever the folder and the files in it are called."""
    seen = sorted(trained_originals(lively))[:10]
    for number, file in enumerate(seen):
        target = tmp_path / name / Path(file).parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lively.paths.originals / file, target)
    (tmp_path / name / "calm").mkdir(exist_ok=True)
    for number, image in enumerate(draw_images(6, seed=9), start=1):
        cv2.imwrite(str(tmp_path / name / "calm" / f"{number}.png"), image)
    result = evaluate(lively, tmp_path / name, name)
    assert result.images == 6
    assert "trained on them: 10 images" in result.said


def test_variants_of_training_images_are_known_in_the_augmented_folder(lively: Trained) -> None:
    seen = trained_originals(lively)
    folder = lively.paths.augmented / "FER"
    variants = [f"FER/{path.parent.name}/{path.stem.split('_')[0]}.png" for path in folder.rglob("*.png")]
    unseen = [original for original in variants if original not in seen]
    result = evaluate(lively, folder, "FER")
    assert 0 < result.images == len(unseen) < len(variants)


def test_a_folder_named_from_where_one_stands_is_found_again_by_the_table(
    lively: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(lively.paths.root / "inside")
    result = evaluate(lively, "inside")
    assert all(row["image_path"].startswith("inside/") for row in result.wrong)
    write_class_folders(tmp_path / "outside")
    result = evaluate(lively, "../outside", "outside")
    assert all(Path(row["image_path"]).is_absolute() for row in result.wrong)
    assert all(Path(row["image_path"]).is_file() for row in result.wrong)


def test_equal_names_of_another_dataset_are_not_taken_for_training_images(lively: Trained, tmp_path: Path) -> None:
    other = Paths(tmp_path / "other")
    write_small_fer(other, seed=77)
    prepare(other, variants=False)
    shutil.copytree(lively.folder, other.models / lively.folder.name)
    result = evaluate(Trained(other, other.models / lively.folder.name), "fer")
    assert result.images == len(manifest(other, "FER"))
    assert "left out" not in result.said


def test_a_published_folder_is_scored_and_what_it_was_trained_on_is_unknown(ours: Trained) -> None:
    folder = write_run(ours.paths.models / "model_00224_final")
    torch.save(published_state(), folder / "model.pth")
    published = Trained(ours.paths, folder)
    result = evaluate(published, "fer")
    assert "which of these images it was trained on is unknown" in result.said
    files = [row["file"] for row in manifest(ours.paths, "FER")]
    predicted = predictions(published, {f"FER-Original-Dataset/{file}": ours.paths.originals / file for file in files})
    assert_consistent(result, ours.paths.root, predicted)
    evaluate(published, "fer-private")
    assert "model_00224_final" in call_script(ours.paths, COMPARE).stdout, "a recorded scoring hides it"


def test_a_published_image_usage_without_hashes_tells_by_names(lively: Trained) -> None:
    rows = read_table(lively.folder / "image_usage.csv")
    columns = ["image_path", "usage", "emotion", "label_index", "dataset_index"]
    lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
    (lively.folder / "image_usage.csv").write_text("\n".join(lines) + "\n")
    accept(lively.folder)
    apart = re.search(r"trained on them: (\d+) images", evaluate(lively, "fer").said)
    assert int(apart[1]) == len(trained_originals(lively))


def test_a_dataset_that_was_trained_on_whole_leaves_nothing_to_score(lively: Trained, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(trained_originals(lively))[:3]):
        target = tmp_path / "faces" / Path(file).parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lively.paths.originals / file, target)
    done = call_script(lively.paths, EVALUATE, lively.folder.name, tmp_path / "faces")
    assert "was trained on every image" in error_line(done)


def test_what_cannot_be_scored_is_named_in_one_line_and_leaves_nothing_behind(lively: Trained, tmp_path: Path) -> None:
    def fails(model: object, dataset: object, *words: str, status: int = 1) -> None:
        line = error_line(call_script(lively.paths, EVALUATE, model, dataset), status)
        for word in words:
            assert word in line

    ours = lively.folder.name
    fails("model_00042", "fer", "no model folder 'model_00042'", ours, status=2)
    fails("model_original", "fer", "model_original/model.pth does not exist")
    fails(
        ours,
        "fer2013",
        "'fer2013' is neither a folder nor one of fer, ckp, raf, affectnet, jaffe, kdef, expw, fer-public",
        status=2,
    )
    fails(ours, "raf", "has no RAF images")
    (tmp_path / "empty").mkdir()
    fails(ours, tmp_path / "empty", "empty", "no images in class folders")
    write_class_folders(tmp_path / "faces")
    (tmp_path / "faces" / "anger" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    fails(ours, tmp_path / "faces", "anger/broken.png")
    (tmp_path / "faces" / "anger" / "broken.png").rename(tmp_path / "faces" / "anger" / "broken.txt")
    fails(ours, tmp_path / "faces", "anger/broken.txt")
    (lively.folder / "image_usage.csv").write_text("path,use\nx,y\n")
    fails(ours, "fer", "image_usage.csv")
    (lively.folder / "model.pth").write_bytes(b"weights")
    fails(ours, "fer", "model.pth")
    (lively.folder / "model.pth").rename(lively.folder / "model.onnx")
    fails(ours, "fer", "model.onnx is for prediction alone: this needs model.pth beside it")
    shutil.rmtree(lively.paths.originals)
    assert not [path for path in lively.folder.iterdir() if "evaluation" in path.name]


def test_a_model_whose_labels_are_not_its_scheme_s_is_refused(lively: Trained) -> None:
    """Its second output would be read as another emotion than it means."""
    state = {**published_state(), "labels": list(LABELS[::-1]), "scheme": "emotorch4"}
    replace_weights(lively.folder, state)
    line = error_line(call_script(lively.paths, EVALUATE, lively.folder.name, "ckp"))
    assert "surprise, calm, fear, anger" in line
