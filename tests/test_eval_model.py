import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from published import published_state, write_run
from running import EVALUATE_USAGE, Trained, call_script, copy_trained, error_line, last_line, read_counts, read_table
from sklearn.metrics import confusion_matrix

from emotorch.data.images import read_face
from emotorch.training.checkpoints import load_model
from emotorch.training.inputs import InputForm
from emotorch.training.loop import network_outputs

PARTS = {"fer_validation": "fer_val", "ckp_validation": "ckp_val", "training": "training"}


def usage(model: Trained) -> list[dict[str, str]]:
    return read_table(model.folder / "image_usage.csv")


def evaluate(model: Trained) -> tuple[list[str], Path]:
    """What it says, and its folder."""
    done = call_script(model.paths, EVALUATE_USAGE, "--model", model.folder.name, "--threads", 1)
    folder = Path(last_line(done))
    assert folder.parent == model.folder
    return done.stdout.splitlines()[:-1], folder


def expected_counts(model: Trained, rows: list[dict[str, str]]) -> np.ndarray:
    pixels = np.stack([read_face(model.paths.root / row["image_path"]) for row in rows])
    network = load_model(model.folder / "model.pth").network
    outputs = network_outputs(network, torch.from_numpy(pixels).unsqueeze(1), InputForm())
    return confusion_matrix([int(row["label_index"]) for row in rows], outputs.argmax(1), labels=range(4))


def test_each_part_of_image_usage_is_scored_under_its_own_title(lively: Trained) -> None:
    said, folder = evaluate(lively)
    assert {path.name for path in folder.iterdir()} == {
        "classification_report.txt",
        "confusion_matrices.png",
        *(f"confusion_{kind}_{part}.csv" for kind in ("counts", "matrix") for part in PARTS.values()),
    }
    report = (folder / "classification_report.txt").read_text()
    for line, (part, name) in zip(said, PARTS.items(), strict=True):
        rows = [row for row in usage(lively) if row["usage"] == part]
        matrix = read_counts(folder, name)
        assert (matrix == expected_counts(lively, rows)).all()
        assert f"{len(rows)} images, accuracy {100 * np.trace(matrix) / len(rows):.2f}%" in line
        assert line in report
    assert "held out" in said[0]
    assert "CK+" in said[1]
    assert "trained on" in said[2]
    with Image.open(folder / "confusion_matrices.png") as picture:
        picture.load()
        assert picture.width > picture.height


def test_a_trained_model_scores_what_its_own_files_say(trained: Trained, tmp_path: Path) -> None:
    ours = copy_trained(trained, tmp_path / "root")
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
    assert len(said) == 3
    assert "CK+ validation is here: not scored" in said[-1]
    assert not (folder / "confusion_matrix_ckp_val.csv").exists()


def test_a_published_image_usage_does(lively: Trained) -> None:
    columns = ["image_path", "usage", "emotion", "label_index", "dataset_index"]
    rows = [",".join(row[column] for column in columns) for row in usage(lively)]
    before = read_counts(evaluate(lively)[1], "fer_val")
    (lively.folder / "image_usage.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")
    assert (read_counts(evaluate(lively)[1], "fer_val") == before).all()


def test_what_cannot_be_scored_is_named_in_one_line_and_leaves_nothing_behind(lively: Trained) -> None:
    def fails(*options: object) -> str:
        return error_line(call_script(lively.paths, EVALUATE_USAGE, *options))

    ours = ("--model", lively.folder.name)
    assert "no model folder 'model_00042'" in fails("--model", "model_00042")
    without_usage = write_run(lively.paths.models / "model_00224_final")
    torch.save(published_state(), without_usage / "model.pth")
    assert "no image_usage.csv" in fails("--model", "model_00224_final")
    row = "FER-Original-Dataset/FER/anger/1.png,training,joy,0,0"
    header = "image_path,usage,emotion,label_index,dataset_index"
    (lively.folder / "image_usage.csv").write_text(f"{header}\n{row}\n")
    assert "'joy'" in fails(*ours)
    (lively.folder / "image_usage.csv").write_text(f"{header}\nFER/none.png,training,fear,1,0\n")
    assert "run stages 1-3" in fails(*ours)
    (lively.folder / "image_usage.csv").write_text("path,use\nx,y\n")
    assert "image_usage.csv" in fails(*ours)
    (lively.folder / "model.pth").unlink()
    assert "model.pth does not exist" in fails(*ours)
    assert not [path for path in lively.folder.iterdir() if "evaluation" in path.name]
