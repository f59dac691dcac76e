import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawing import assert_legible, texts
from PIL import Image
from running import (
    EVALUATE_USAGE,
    Trained,
    accept,
    call_script,
    error_line,
    last_line,
    read_counts,
    read_table,
)
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from emotorch.data import variants as augmented
from emotorch.data.dataset import create
from emotorch.data.images import read_face
from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.evaluation.evaluate import Evaluation, score
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import evaluate_validation
from emotorch.evaluation.sets import EvaluationSet
from emotorch.figures.confusion import ConfusionPanel, scores_figure
from emotorch.files import hash_file, read_stamp, write_csv, write_stamp
from emotorch.labels import get_scheme
from emotorch.metrics.confusion import row_proportions
from emotorch.paths import STAGE_2, Paths
from emotorch.runs.folder import Run
from emotorch.runs.usage import write_image_usage
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import InputForm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

PARTS = {"fer_validation": "fer_val", "ckp_validation": "ckp_val", "training": "training"}


def usage(model: Trained) -> list[dict[str, str]]:
    return read_table(model.folder / "image_usage.csv")


def evaluate(model: Trained) -> tuple[list[str], Path]:
    """What it says, and its folder."""
    done = call_script(model.paths, EVALUATE_USAGE, "--model", model.folder.name, "--threads", 1)
    folder = Path(last_line(done))
    assert folder.parent == model.folder
    return done.stdout.splitlines()[:-1], folder


def scores(said: list[str]) -> list[str]:
    return [line for line in said if "images, accuracy" in line and "without them" not in line]


def write_usage(model: Trained, rows: list[dict[str, str]]) -> None:
    write_csv(model.folder / "image_usage.csv", list(rows[0]), [list(row.values()) for row in rows])
    accept(model.folder)


def misclassifications(folder: Path) -> list[dict[str, str]]:
    return [row for path in sorted(folder.glob("misclassifications_*.csv")) for row in read_table(path)]


def renumber(paths: Paths) -> None:
    """The same images under other numbers, as if stage 2 had found them in another order; stage 3 anew."""
    manifest = paths.originals / "manifest.csv"
    rows = read_table(manifest)
    numbers = {row["file"]: str(Path(row["file"]).with_name(f"{1000 - place}.png")) for place, row in enumerate(rows)}
    for old, new in numbers.items():
        (paths.originals / old).rename(paths.originals / new)
    table = [[numbers[row["file"]], *list(row.values())[1:]] for row in rows]
    manifest.unlink()
    write_csv(manifest, list(rows[0]), table)
    write_stamp(paths.originals, read_stamp(paths.originals, STAGE_2))
    augmented.create(paths, seed=42, workers=1, force=True)


def expected_counts(model: Trained, rows: list[dict[str, str]]) -> np.ndarray:
    pixels = np.stack([read_face(model.paths.root / row["image_path"]) for row in rows])
    network = load_model(model.folder / "model.pth").network
    outputs = network_outputs(network, torch.from_numpy(pixels).unsqueeze(1), InputForm())
    return confusion_matrix([int(row["label_index"]) for row in rows], outputs.argmax(1), labels=range(4))


def expected_of(model: Trained, part: str) -> np.ndarray:
    return expected_counts(model, [row for row in usage(model) if row["usage"] == part])


@pytest.mark.drawn
def test_each_part_of_image_usage_is_scored_under_its_own_title(lively: Trained) -> None:
    said, folder = evaluate(lively)
    tables = ("confusion_counts_{}.csv", "confusion_matrix_{}.csv", "misclassifications_{}.csv")
    kinds = ("classification_report_{}.txt", "confusion_matrix_{}.png", *tables)
    held_out = ("misclassified_images_{}", "reliability_{}.csv", "reliability_{}.png")
    assert {path.name for path in folder.iterdir()} == {
        "confusion_matrices.png",
        *(kind.format(name) for name in PARTS.values() for kind in kinds),
        *(kind.format(name) for name in ("fer_val", "ckp_val") for kind in held_out),
    }
    scored = scores(said)
    for line, (part, name) in zip(scored, PARTS.items(), strict=True):
        rows = [row for row in usage(lively) if row["usage"] == part]
        matrix = read_counts(folder, name)
        assert (matrix == expected_of(lively, part)).all()
        assert f"{len(rows)} images, accuracy {100 * np.trace(matrix) / len(rows):.2f}%" in line
        report = (folder / f"classification_report_{name}.txt").read_text()
        assert line in report
        assert "precision    recall  f1-score" in report
        assert report.splitlines()[-1].startswith("loss -0.")
        assert report in "\n".join(said) + "\n"
        wrong = read_table(folder / f"misclassifications_{name}.csv")
        assert len(wrong) == matrix.sum() - np.trace(matrix)
        files = [row["image_path"] for row in rows]
        assert all(files[int(row["image_index"])] == row["image_path"] for row in wrong)
    assert "held out" in scored[0]
    assert "CK+" in scored[1]
    assert "trained on" in scored[2]
    copies = sorted((folder / "misclassified_images_fer_val").iterdir())
    for row, copy in zip(read_table(folder / "misclassifications_fer_val.csv"), copies, strict=True):
        assert copy.name.endswith(f"_true_{row['true_emotion']}_pred_{row['predicted_emotion']}.png")
        assert (read_face(copy) == read_face(lively.paths.root / row["image_path"])).all()
    with Image.open(folder / "confusion_matrices.png") as picture:
        picture.load()
        assert picture.width > picture.height


def test_a_person_of_ckp_is_in_one_half_of_the_cross_fit(lively: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {}

    def spy(loaded: LoadedRun, images: EvaluationSet, title: str, **given: Any) -> Evaluation:
        sources[images.name] = dict(zip(images.files, given["sources"].tolist(), strict=True))
        return score(loaded, images, title, **given)

    monkeypatch.setattr("emotorch.evaluation.own_images.score", spy)
    evaluate_validation(LoadedRun.load(lively.paths, lively.folder.name, device="cpu", threads=1))
    rows = read_table(lively.paths.originals / "manifest.csv")
    told = {f"FER-Original-Dataset/{row['file']}": row["subject"] or row["hash"] for row in rows}
    for name in ("ckp_val", "fer_val"):
        originals = {file: source for file, source in sources[name].items() if file in told}
        assert originals
        assert originals == {file: told[file] for file in originals}


def test_the_combined_picture_shows_both_datasets_and_no_training_image() -> None:
    counts = np.array([[5, 1, 0, 0], [2, 7, 1, 0], [0, 0, 0, 0], [0, 3, 0, 11]])
    panels = [ConfusionPanel(f"{name} validation", row_proportions(counts), counts) for name in ("FER", "CK+")]
    figure = scores_figure(panels, ("anger", "fear", "calm", "surprise"), "model_00001")
    said = texts(figure)
    assert {"FER validation", "CK+ validation", "83.3%\n5", "Precision", "Recall", "F1"} <= set(said)
    precision, recall, f1, _ = precision_recall_fscore_support(
        np.repeat(np.arange(4), counts.sum(1)),
        np.concatenate([np.repeat(np.arange(4), row) for row in counts]),
        labels=range(4),
        zero_division=0.0,
    )
    for values in (precision, recall, f1):
        assert {f"{100 * value:.0f}" for value in values if value} <= set(said)
    assert_legible(figure)


def test_a_trained_model_scores_what_its_own_files_say(ours: Trained) -> None:
    _, folder = evaluate(ours)
    for name in ("fer_val", "ckp_val"):
        for kind in ("counts", "matrix"):
            file = f"confusion_{kind}_{name}.csv"
            assert (folder / file).read_bytes() == (ours.folder / file).read_bytes()


def test_images_that_are_gone_or_others_are_counted_and_left_out(lively: Trained) -> None:
    held_out = [row for row in usage(lively) if row["usage"] == "fer_validation"]
    originals = [row for row in held_out if "Augmented" not in row["image_path"]]
    (lively.paths.root / originals[0]["image_path"]).unlink()
    changed = lively.paths.root / originals[1]["image_path"]
    changed.unlink()
    shutil.copy(lively.paths.root / originals[2]["image_path"], changed)
    said, folder = evaluate(lively)
    assert f"{len(held_out) - 2} images" in said[0]
    assert said[1].strip().startswith("2 more are named in image_usage.csv")
    rest = [row for row in held_out if row not in originals[:2]]
    assert (read_counts(folder, "fer_val") == expected_counts(lively, rest)).all()


def test_a_part_without_any_image_is_left_out_and_named(lively: Trained) -> None:
    shutil.rmtree(lively.paths.originals / "CKP")
    shutil.rmtree(lively.paths.augmented / "CKP")
    said, folder = evaluate(lively)
    assert len(scores(said)) == 2
    assert [line for line in said if "CK+ validation is here: not scored" in line]
    assert not (folder / "confusion_matrix_ckp_val.csv").exists()


def test_a_published_image_usage_does(lively: Trained) -> None:
    columns = ["image_path", "usage", "emotion", "label_index", "dataset_index"]
    rows = [",".join(row[column] for column in columns) for row in usage(lively)]
    before = expected_of(lively, "fer_validation")
    (lively.folder / "image_usage.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")
    accept(lively.folder)
    said, folder = evaluate(lively)
    assert (read_counts(folder, "fer_val") == before).all()
    assert f"{before.sum()} are known by their file names alone" in said[1]


# --- Images that are elsewhere now --------------------------------------------------------------------------


def test_a_dataset_that_was_numbered_anew_gives_the_same_scores(lively: Trained) -> None:
    before = {name: expected_of(lively, part) for part, name in PARTS.items()}
    renumber(lively.paths)
    said, folder = evaluate(lively)
    for name, counts in before.items():
        assert (read_counts(folder, name) == counts).all()
    assert not [line for line in said if "more are named" in line]
    assert all((lively.paths.root / row["image_path"]).is_file() for row in misclassifications(folder))


def test_images_of_another_root_are_known_by_their_hashes(lively: Trained) -> None:
    before = expected_of(lively, "fer_validation")
    rows = usage(lively)
    for row in rows:
        row["image_path"] = "/another/machine/" + row["image_path"]
    write_usage(lively, rows)
    _, folder = evaluate(lively)
    assert (read_counts(folder, "fer_val") == before).all()
    for row in rows:
        row["source_hash"] = ""
    write_usage(lively, rows)
    said, folder = evaluate(lively)
    assert (read_counts(folder, "fer_val") == before).all()
    assert "known by their file names alone" in said[1]


def test_originals_in_another_scheme_s_folder_are_found(lively: Trained) -> None:
    rows = [row for row in usage(lively) if "Augmented" not in row["image_path"]]
    write_usage(lively, rows)
    expected = expected_of(lively, "fer_validation")
    create(lively.paths, get_scheme("seven"), workers=1, force=False)
    shutil.rmtree(lively.paths.originals)
    said, folder = evaluate(lively)
    assert (read_counts(folder, "fer_val") == expected).all()
    assert not [line for line in said if "more are named" in line]
    assert all("FER-Original-Dataset-seven/" in row["image_path"] for row in misclassifications(folder))


def test_variants_of_another_dataset_are_not_taken_for_those_of_this_one(lively: Trained) -> None:
    stamp = lively.paths.augmented / "stage.json"
    text = stamp.read_text().replace(hash_file(lively.paths.originals / "manifest.csv"), "another")
    stamp.unlink()
    stamp.write_text(text)
    held_out = [row for row in usage(lively) if row["usage"] == "fer_validation"]
    variants = [row for row in held_out if "Augmented" in row["image_path"]]
    assert variants, "there is no variant to tell of"
    said, _ = evaluate(lively)
    assert f"{len(held_out) - len(variants)} images" in said[0]
    assert said[1].strip().startswith(f"{len(variants)} more are named")


def test_validation_images_that_share_their_source_with_training_are_counted(lively: Trained) -> None:
    """As in the published baseline."""
    rows = usage(lively)
    held_out = [row for row in rows if row["usage"] == "fer_validation"]
    leaked = [{**row, "usage": "training"} for row in held_out[:3]]
    write_usage(lively, [*rows, *leaked])
    sources = {row["source_hash"] for row in leaked}
    shared = [row for row in held_out if row["source_hash"] in sources]
    said, _ = evaluate(lively)
    assert said[1].strip() == f"† all {len(held_out)} chose the epoch: not quite unseen"
    assert said[2].strip().startswith(f"{len(shared)} share their source with a training image; without them: ")
    rest = [row for row in held_out if row["source_hash"] not in sources]
    matrix = expected_counts(lively, rest)
    assert f"{len(rest)} images, accuracy {100 * np.trace(matrix) / len(rest):.2f}%" in said[2]


# --- Official images in place of those that cannot be told ---------------------------------------------------


def test_without_image_usage_the_official_test_images_stand_in(lively: Trained) -> None:
    (lively.folder / "image_usage.csv").unlink()
    accept(lively.folder)
    said, folder = evaluate(lively)
    rows = read_table(lively.paths.originals / "manifest.csv")
    for name, of in (("fer-public", "PublicTest"), ("fer-private", "PrivateTest")):
        number = sum(row["usage"] == of for row in rows)
        assert read_counts(folder, name).sum() == number
        line = next(place for place, text in enumerate(said) if f"on FER {of} (stands in): {number} images" in text)
        assert f"FER {of} stands in" in said[line + 1]
        assert "no image_usage.csv" in said[line + 1]
        assert "which of these images it was trained on is unknown" in said[line + 2]
    assert read_counts(folder, "ckp").sum() == sum(row["dataset"] == "CKP" for row in rows)
    assert not (folder / "confusion_matrix_fer_val.csv").exists()
    assert len(Run(lively.folder).record["private_scorings"]) == 1, "a look at PrivateTest is recorded"


def without_validation_images(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """As if FER's validation images were of a dataset that is not here."""
    return [
        {**row, "source_hash": f"{number:064x}"} if row["usage"] == "fer_validation" else row
        for number, row in enumerate(rows)
    ]


def test_when_no_validation_image_is_here_the_official_ones_stand_in(lively: Trained) -> None:
    index = DatasetIndex.load(lively.paths, get_scheme("emotorch4"))
    chosen = select(index, Factors(), fer_usage="training", seed=42)
    write_image_usage(lively.folder / "image_usage.csv", chosen)
    write_usage(lively, without_validation_images(usage(lively)))
    said, folder = evaluate(lively)
    assert "FER PublicTest stands in" in "\n".join(said)
    assert not (folder / "confusion_matrix_fer_val.csv").exists()
    assert read_counts(folder, "fer-public").sum() == len(index.originals_of("FER", "PublicTest"))
    assert read_counts(folder, "ckp_val").sum() > 0, "what is here is scored all the same"


@pytest.mark.drawn
def test_what_a_run_was_not_validated_on_is_scored_beside_the_rest(lively: Trained) -> None:
    rows = usage(lively)
    write_usage(lively, [row for row in rows if row["usage"] != "ckp_validation"])
    said, folder = evaluate(lively)
    before, ckp, training = scores(said)
    assert "on FER validation (held out)" in before
    assert "on CK+ (unseen): 12 images" in ckp
    assert said[said.index(ckp) + 1].strip() == "the run was not validated on any of it"
    assert read_counts(folder, "ckp").sum() == 12
    assert "training images" in training
    with Image.open(folder / "confusion_matrices.png") as both, Image.open(folder / "confusion_matrix_ckp.png") as one:
        assert both.width > 1.7 * one.width
    # As of one that was trained on CK+: FER-2013 stands beside it, whole.
    write_usage(lively, [row for row in rows if row["usage"] == "ckp_validation"])
    said, folder = evaluate(lively)
    manifest = read_table(lively.paths.originals / "manifest.csv")
    assert read_counts(folder, "fer").sum() == sum(row["dataset"] == "FER" for row in manifest)
    assert (folder / "confusion_counts_ckp_val.csv").is_file()


def test_images_that_were_trained_on_do_not_stand_in(lively: Trained) -> None:
    write_usage(lively, without_validation_images(usage(lively)))
    said, folder = evaluate(lively)
    assert "was trained on every image of fer-public" in "\n".join(said)
    assert not list(folder.glob("*fer-public*"))
    assert read_counts(folder, "ckp_val").sum() > 0


def test_what_cannot_be_scored_is_named_in_one_line_and_leaves_nothing_behind(lively: Trained) -> None:
    def fails(*options: object, status: int = 1) -> str:
        return error_line(call_script(lively.paths, EVALUATE_USAGE, *options), status)

    ours = ("--model", lively.folder.name)
    assert "no model folder 'model_00042'" in fails("--model", "model_00042", status=2)
    row = "FER-Original-Dataset/FER/anger/1.png,training,joy,0,0"
    header = "image_path,usage,emotion,label_index,dataset_index"
    (lively.folder / "image_usage.csv").write_text(f"{header}\n{row}\n")
    accept(lively.folder)
    assert "'joy'" in fails(*ours)
    (lively.folder / "image_usage.csv").write_text(f"{header}\nFER/none.png,training,fear,1,0\n")
    accept(lively.folder)
    assert "run stages 1-3" in fails(*ours)
    (lively.folder / "image_usage.csv").write_text("path,use\nx,y\n")
    assert "image_usage.csv" in fails(*ours)
    (lively.folder / "image_usage.csv").unlink()
    assert "image_usage.csv is gone" in fails(*ours)
    accept(lively.folder)
    originals = lively.paths.originals
    originals.rename(originals.with_name("elsewhere"))
    assert "no image_usage.csv" in fails(*ours)
    (lively.folder / "model.pth").unlink()
    assert "model.pth does not exist" in fails(*ours)
    assert not [path for path in lively.folder.iterdir() if "evaluation" in path.name]
