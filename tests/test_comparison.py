import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from published import ACCURACIES, CKP, FER, Matrix, write_matrix, write_run
from running import COMPARE, call_script, error_line, last_line, read_table

from emotorch.analyses.comparison import Comparison, describe, write_comparison
from emotorch.analyses.distance import Weights, distance_to_original, never_predicted
from emotorch.analyses.ranking import varied
from emotorch.analyses.watched import rankings
from emotorch.errors import EmoTorchError
from emotorch.paths import REPOSITORY, Paths
from emotorch.runs import confusion
from emotorch.runs.folder import Run

ORIGINAL_FER = ((0.66, 0.16, 0.10, 0.09), (0.31, 0.32, 0.11, 0.26), (0.31, 0.17, 0.43, 0.09), (0.07, 0.10, 0.03, 0.80))
ORIGINAL_CKP = ((0.60, 0.13, 0.23, 0.05), (0.48, 0.26, 0.16, 0.11), (0.22, 0.26, 0.62, 0.08), (0.16, 0.09, 0.06, 0.69))
# Always the first label.
ONE_CLASS = ((1.0, 0.0, 0.0, 0.0),) * 4


def compare(paths: Paths, accuracy_weight: float = 0.0, matrix_weight: float = 1.0) -> Comparison:
    return write_comparison(paths, Weights(accuracy_weight, matrix_weight))


def add(paths: Paths, name: str, fer: Matrix | None = FER, ckp: Matrix | None = CKP, **accuracies: str) -> Path:
    return write_run(paths.models / name, {**ACCURACIES, **accuracies}, fer, ckp)


def rows(comparison: Comparison) -> list[dict[str, str]]:
    return read_table(comparison.file)


def moved(matrix: Matrix, by: float) -> Matrix:
    """Some of each row's first proportion given to its last: further off in every row."""
    return [[row[0] - by, *row[1:-1], row[-1] + by] for row in matrix]


def test_the_published_recreation_has_its_published_distance(paths: Paths) -> None:
    add(paths, "model_00224_final")
    (row,) = rows(compare(paths))
    assert row["model"] == "model_00224_final"
    assert float(row["fer_cm_mse"]) == pytest.approx(0.00475, abs=5e-6)
    assert float(row["ckp_cm_mse"]) == pytest.approx(0.01540, abs=5e-6)
    assert float(row["combined_score"]) == pytest.approx(0.02016, abs=5e-6)
    assert float(row["combined_score"]) == float(row["fer_cm_mse"]) + float(row["ckp_cm_mse"])
    assert row["note"] == ""


def test_the_original_itself_has_distance_0(paths: Paths) -> None:
    original = {"Training Accuracy": "60.64", "Combined Validation Accuracy": "56.37"}
    write_run(paths.models / "model_00001", original, ORIGINAL_FER, ORIGINAL_CKP)
    (row,) = rows(compare(paths, accuracy_weight=1))
    assert float(row["combined_score"]) == 0.0


def test_matrix_error_is_the_mean_over_all_16_shares(paths: Paths) -> None:
    add(paths, "model_00001", fer=moved(ORIGINAL_FER, 0.04), ckp=ORIGINAL_CKP)
    (row,) = rows(compare(paths))
    assert float(row["fer_cm_mse"]) == pytest.approx(8 * 0.04**2 / 16)
    assert float(row["ckp_cm_mse"]) == 0.0


def test_differences_are_model_minus_original_with_their_sign(paths: Paths) -> None:
    add(paths, "model_00001", **{"Training Accuracy": "62.14", "Combined Validation Accuracy": "53.87"})
    (row,) = rows(compare(paths))
    assert float(row["training_accuracy"]) == 62.14
    assert float(row["training_accuracy_diff"]) == pytest.approx(1.5)
    assert float(row["combined_validation_accuracy"]) == 53.87
    assert float(row["combined_validation_accuracy_diff"]) == pytest.approx(-2.5)
    assert float(row["accuracy_mse"]) == pytest.approx((1.5**2 + 2.5**2) / 2)


def test_the_file_has_the_published_columns_and_the_most_similar_first(paths: Paths) -> None:
    for name, distance in (("model_00001", 0.3), ("model_00002", 0.0), ("model_00010_final", 0.1)):
        add(paths, name, fer=moved(ORIGINAL_FER, distance))
    comparison = compare(paths)
    assert comparison.file.parent == paths.models
    header = comparison.file.read_text().splitlines()[0]
    assert header.startswith(
        "model,combined_score,accuracy_mse,fer_cm_mse,ckp_cm_mse,training_accuracy,training_accuracy_diff,"
        "combined_validation_accuracy,combined_validation_accuracy_diff"
    )
    assert [row["model"] for row in rows(comparison)] == ["model_00002", "model_00010_final", "model_00001"]
    scores = [float(row["combined_score"]) for row in rows(comparison)]
    assert scores == sorted(scores)


def test_weights_weigh_accuracies_against_matrices(paths: Paths) -> None:
    add(paths, "model_00001", fer=moved(FER, 0.3), **{"Training Accuracy": "60.64"})
    add(paths, "model_00002", **{"Training Accuracy": "40.64"})
    by_matrix, by_accuracy = compare(paths), compare(paths, accuracy_weight=0.5, matrix_weight=0)
    assert [distance.model for distance in by_matrix.distances] == ["model_00002", "model_00001"]
    assert [distance.model for distance in by_accuracy.distances] == ["model_00001", "model_00002"]
    both = compare(paths, accuracy_weight=0.5, matrix_weight=2).distances
    for distance in both:
        assert distance.combined == pytest.approx(0.5 * distance.accuracy + 2 * (distance.fer + distance.ckp))


def test_runs_without_ckp_stand_below_the_complete_ones_marked_and_ranked_on_fer(paths: Paths) -> None:
    add(paths, "model_00001", fer=ORIGINAL_FER, ckp=None)
    add(paths, "model_00002", fer=moved(ORIGINAL_FER, 0.02), ckp=None)
    add(paths, "model_00003", fer=moved(FER, 0.3))
    table = rows(compare(paths))
    assert [row["model"] for row in table] == ["model_00003", "model_00001", "model_00002"]
    assert [row["ckp_cm_mse"] == "NaN" for row in table] == [False, True, True]
    assert ["no CK+" in row["note"] for row in table] == [False, True, True]
    assert float(table[1]["combined_score"]) == float(table[1]["fer_cm_mse"]) == 0.0


def test_a_class_that_is_hardly_ever_predicted_is_not_never_predicted() -> None:
    matrix = confusion.Matrix(("a", "b"), [[1.0, 0.0], [1.0, 0.0]], [[5000, 2], [4000, 1]])
    assert never_predicted([matrix]) == ()
    assert never_predicted([replace(matrix, counts=None)]) == ("b",)


def test_a_collapsed_run_is_marked_and_a_label_that_is_never_predicted_named(paths: Paths) -> None:
    add(paths, "model_00001", fer=ONE_CLASS, ckp=ONE_CLASS)
    add(paths, "model_00002", fer=ONE_CLASS)
    add(paths, "model_00003", fer=((0.5, 0.5, 0, 0),) * 4, ckp=ONE_CLASS)
    notes = {row["model"]: row["note"] for row in rows(compare(paths))}
    assert "collapsed to one class" in notes["model_00001"]
    assert notes["model_00002"] == ""
    assert "never predicts calm, surprise" in notes["model_00003"]


def count_images(folder: Path, images: int = 500) -> Path:
    """Writes the counts that so many images of each class, predicted as the matrices say, would give."""
    for path in folder.glob("confusion_matrix_*_val.csv"):
        header, *lines = path.read_text().splitlines()
        labels, *columns = zip(*(line.split(",") for line in lines), strict=True)
        counts = [[round(images * float(share)) for share in row] for row in zip(*columns, strict=True)]
        write_matrix(folder / path.name.replace("matrix", "counts"), counts, labels)
        assert header == "," + ",".join(labels)
    return folder


def record(folder: Path, **content: object) -> Path:
    (folder / "run.json").write_text(json.dumps({"status": "finished", **content}))
    return folder


def garble(folder: Path, what: str) -> None:
    accuracies, matrix, counts, run_json = (
        folder / name
        for name in ("final_accuracies.csv", "confusion_matrix_fer_val.csv", "confusion_counts_fer_val.csv", "run.json")
    )
    match what:
        case "failed":
            run_json.write_text('{"status": "failed", "error": "disk full"}')
        case "killed":
            run_json.write_text('{"status": "running"}')
        case "record cut short":
            run_json.write_text('{"status": "fin')
        case "record of another kind":
            run_json.write_text("[1]")
        case "no accuracies":
            accuracies.unlink()
        case "accuracies cut short":
            accuracies.write_text("Metric,Value\nTraining Acc")
        case "accuracies in binary":
            accuracies.write_bytes(bytes(range(256)))
        case "no matrix":
            matrix.unlink()
        case "matrix cut short":
            matrix.write_text(matrix.read_text()[:60])
        case "matrix with an empty line":
            matrix.write_text(matrix.read_text() + "\n")
        case "empty matrix":
            matrix.write_text("")
        case "words in the matrix":
            matrix.write_text(matrix.read_text().replace("0.661", "high"))
        case "matrix in binary":
            matrix.write_bytes(bytes(range(256)))
        case "unknown proportions":
            write_matrix(matrix, ((float("nan"),) * 4, *FER[1:]))
        case "trained on CK+":
            record(folder, settings={"train_on": "CKP", "scheme": {"name": "emotorch4"}})
        case "other scheme":
            record(folder, settings={"train_on": "FER", "scheme": {"name": "mine"}})
        case "factors of another kind":
            record(folder, factors=[1, 2])
        case "fewer than no images":
            counts.write_text(count_images(folder).joinpath(counts.name).read_text().replace(",330", ",-330"))
        case "counts that are proportions":
            write_matrix(counts, FER)
        case "counts of other classes":
            write_matrix(counts, ((1,) * 4,) * 4, ("anger", "fear", "happy", "surprise"))
        case "other classes":
            write_matrix(matrix, FER, ("anger", "fear", "happy", "surprise"))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("failed", "failed"),
        ("killed", "interrupted"),
        ("record cut short", "run.json"),
        ("record of another kind", "run.json"),
        ("no accuracies", "final_accuracies.csv does not exist"),
        ("accuracies cut short", "final_accuracies.csv, line 2"),
        ("accuracies in binary", "final_accuracies.csv"),
        ("no matrix", "no FER confusion matrix"),
        ("matrix cut short", "confusion_matrix_fer_val.csv"),
        ("empty matrix", "confusion_matrix_fer_val.csv"),
        ("words in the matrix", "'high'"),
        ("matrix in binary", "confusion_matrix_fer_val.csv"),
        ("unknown proportions", "a proportion that is no number"),
        ("other classes", "its classes are anger, fear, happy, surprise"),
        ("trained on CK+", "trained on CKP, and only runs trained on FER are compared"),
        ("other scheme", "its label scheme is mine, the original's emotorch4"),
        ("factors of another kind", "factors is [1, 2], not a table"),
        ("fewer than no images", "confusion_counts_fer_val.csv: -330 is not a number of images"),
        ("counts that are proportions", "confusion_counts_fer_val.csv: invalid literal"),
        ("counts of other classes", "its labels are anger, fear, happy, surprise, the matrix's anger, fear, calm"),
    ],
)
def test_a_folder_that_cannot_be_compared_is_left_out_with_the_reason(paths: Paths, what: str, reason: str) -> None:
    add(paths, "model_00001")
    garble(add(paths, "model_00002"), what)
    comparison = compare(paths)
    assert [distance.model for distance in comparison.distances] == ["model_00001"]
    assert [row["model"] for row in rows(comparison)] == ["model_00001"]
    ((name, why),) = comparison.left_out
    assert name == "model_00002"
    assert reason in why


def test_an_empty_line_at_the_end_of_a_matrix_does_no_harm(paths: Paths) -> None:
    garble(add(paths, "model_00001"), "matrix with an empty line")
    assert len(compare(paths).distances) == 1


def test_a_run_without_accuracies_is_ranked_by_matrices_but_not_by_accuracy(paths: Paths) -> None:
    write_run(paths.models / "model_00001", {})
    (row,) = rows(compare(paths))
    assert row["training_accuracy"] == row["accuracy_mse"] == "NaN"
    assert float(row["combined_score"]) == pytest.approx(0.02016, abs=5e-6)
    with pytest.raises(EmoTorchError, match="Training Accuracy"):
        compare(paths, accuracy_weight=1)


def test_the_script_prints_the_best_what_was_left_out_the_picture_and_the_table(paths: Paths) -> None:
    factors = {"fer": 0.984799, "fer_aug": 0.029835, "ckp": 0.931732, "ckp_aug": 0.077907}
    record(count_images(add(paths, "model_00001")), factors=factors)
    garble(add(paths, "model_00002"), "killed")
    add(paths, "model_00003", fer=ORIGINAL_FER)
    for number in range(4, 9):
        add(paths, f"model_{number:05d}", fer=ONE_CLASS, ckp=ONE_CLASS)
    done = call_script(paths, COMPARE)
    assert (done.returncode, done.stderr) == (0, "")
    _, header, first, second, *others = done.stdout.splitlines()
    scores = ("accuracy", "%", "macro-F1", "%")
    assert header.split() == ["#", "model", "distance", "95%", "interval", *scores, *factors, "note"]
    assert first.split() == ["1", "model_00003", "0.01540", "–", "53.88", *"–––––"]
    assert second.split()[:3] == ["2", "model_00001", "0.02016"]
    assert second.split()[4:] == ["53.88", "54.05", "0.9848", "0.02984", "0.9317", "0.07791"]
    assert [line.split()[1] for line in others[:3]] == ["model_00004", "model_00005", "model_00006"]
    assert others[3] == "model_00003 has no confusion counts: whether it is the best beyond chance is unknown"
    assert others[4] == "published recreation, on FER and CK+: 0.02016"
    unverified, more = others.pop(5).rsplit(" and ", 1)
    assert unverified.startswith("read unverified, without a run.json that states their SHA-256: model_0000")
    assert more == "6 more"  # all that were compared, of which no run.json names a recipe
    assert others[5] == "compared: 2, and 5 that collapsed to one class; left out: 1"
    assert others[6] == "left out: model_00002 (interrupted)"
    picture, table = Path(others[7].removeprefix("picture: ")), Path(others[8])
    assert table.is_file()
    assert table.name.startswith("comparison_results_")
    assert picture == table.with_name(table.stem.replace("_results", "") + ".png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    killed = json.loads((paths.models / "model_00002" / "run.json").read_text())
    assert killed["status"] == "running", "reading a run changed it"


def test_of_many_runs_left_out_ten_are_named(paths: Paths) -> None:
    add(paths, "model_00001")
    for number in range(2, 14):
        garble(add(paths, f"model_{number:05d}"), "failed")
    said = describe(compare(paths)).splitlines()
    assert said[-12] == "compared: 1, and 0 that collapsed to one class; left out: 12"
    assert said[-2:] == ["left out: model_00011 (failed)", "left out: … and 2 more"]


def test_intervals_and_factors_come_last_and_are_nan_where_unknown(paths: Paths) -> None:
    count_images(add(paths, "model_00001"))
    add(paths, "model_00002")
    only_fer = count_images(add(paths, "model_00003"))
    (only_fer / "confusion_counts_ckp_val.csv").unlink()
    count_images(add(paths, "model_00004", ckp=None))
    comparison = compare(paths)
    assert (
        comparison.file.read_text()
        .splitlines()[0]
        .endswith(",note,distance_low,distance_high,fer,fer_aug,ckp,ckp_aug,macro_f1")
    )
    table = {row["model"]: row for row in rows(comparison)}
    for model in ("model_00001", "model_00004"):
        low, distance, high = (
            float(table[model][f"{name}"]) for name in ("distance_low", "combined_score", "distance_high")
        )
        assert 0 < low < distance < high < 2 * distance
    for model in ("model_00002", "model_00003"):
        assert table[model]["distance_low"] == table[model]["distance_high"] == "NaN"


def test_an_interval_depends_on_the_run_alone_and_shrinks_with_images(paths: Paths) -> None:
    for number, images in enumerate((100, 10000, 100), start=1):
        count_images(add(paths, f"model_{number:05d}"), images)
    together = {distance.model: (distance.low, distance.high) for distance in compare(paths).distances}
    assert together["model_00001"] == together["model_00003"]
    few, many = (high - low for low, high in (together["model_00001"], together["model_00002"]))
    assert few / many == pytest.approx(10, rel=0.15)
    (paths.models / "model_00002").rename(paths.root / "away")
    (paths.models / "model_00003").rename(paths.root / "away too")
    (alone,) = compare(paths).distances
    assert (alone.low, alone.high) == together["model_00001"]


def test_the_weights_count_in_the_interval_too(paths: Paths) -> None:
    count_images(add(paths, "model_00001", **{"Combined Validation Accuracy": "54.1"}))
    (matrices,), (twice,), (accuracy,) = (
        compare(paths, *weights).distances for weights in ((0.0, 1.0), (0.0, 2.0), (1.0, 0.0))
    )
    assert (twice.low, twice.high) == pytest.approx((2 * matrices.low, 2 * matrices.high))
    assert accuracy.low < accuracy.combined < accuracy.high


def test_the_best_is_so_within_noise_where_intervals_overlap(paths: Paths) -> None:
    near, far = moved(ORIGINAL_FER, 0.06), moved(ORIGINAL_FER, 0.3)
    count_images(add(paths, "model_00001", fer=moved(ORIGINAL_FER, 0.05)))
    count_images(add(paths, "model_00002", fer=near))
    count_images(add(paths, "model_00003", fer=far))
    count_images(add(paths, "model_00004", fer=moved(ORIGINAL_FER, 0.05), ckp=None))
    add(paths, "model_00005", fer=near)
    comparison = compare(paths)
    assert [run.model for run in comparison.first.within_noise] == ["model_00001", "model_00002"]
    assert "model_00001 is the best only within noise: 1 run cannot be told from it, down to rank 2" in describe(
        comparison
    )
    (paths.models / "model_00002").rename(paths.root / "away")
    assert "model_00001 is the best beyond chance" in describe(compare(paths))


def test_of_one_run_nothing_is_said_of_chance(paths: Paths) -> None:
    count_images(add(paths, "model_00001"))
    assert "model_00001 is the only run" in describe(compare(paths))


def test_the_best_never_is_one_that_collapsed_unless_all_did(paths: Paths) -> None:
    add(paths, "model_00001", fer=ONE_CLASS, ckp=ONE_CLASS)
    assert compare(paths).first.best.model == "model_00001"
    add(paths, "model_00002", ckp=None)
    assert compare(paths).first.best.model == "model_00002"


def test_the_published_recreation_is_there_to_compare_with(paths: Paths) -> None:
    add(paths, "model_00224_final")
    comparison = compare(paths)
    assert comparison.recreation(complete=True) == comparison.distances[0].combined
    assert comparison.recreation(complete=False) == pytest.approx(0.00475, abs=5e-6)
    assert compare(paths, 1, 0).recreation(complete=True) == pytest.approx((3.56**2 + 2.49**2) / 2)


def test_the_distance_of_one_run_is_that_of_the_table(paths: Paths) -> None:
    run = Run(record(add(paths, "model_00001"), settings={"recipe": {"fer_usage": "official"}}))
    assert distance_to_original(run) == compare(paths).distances[0]
    garble(run.folder, "trained on CK+")
    with pytest.raises(EmoTorchError, match="trained on CKP"):
        distance_to_original(run)


def test_what_varies_are_factors_and_numbers_of_the_recipe(paths: Paths) -> None:
    for number, flip in enumerate((0.0, 0.5, 0.5), start=1):
        recipe = {"name": str(number), "epochs": 50, "augmentation": {"flip": flip}, "class_weights": number > 1}
        factors = {"fer": 0.9 + number / 100, "ckp": 1.0}
        record(
            add(paths, f"model_{number:05d}"), factors=factors, settings={"recipe": {**recipe, "batch_size": number}}
        )
    distances = compare(paths).distances
    assert varied(distances) == (["fer"], ["batch_size", "augmentation.flip"])
    assert varied(distances, most=1) == (["fer"], ["batch_size"])
    assert varied(distances[:1]) == ([], [])


def test_the_script_s_weights_reach_the_table(paths: Paths) -> None:
    add(paths, "model_00001")
    done = call_script(paths, COMPARE, "--accuracy-weight", 1, "--matrix-weight", 0)
    (row,) = read_table(Path(last_line(done)))
    assert float(row["combined_score"]) == pytest.approx((3.56**2 + 2.49**2) / 2)
    assert "-1 is not a weight" in error_line(call_script(paths, COMPARE, "--matrix-weight=-1"), status=2)


def test_a_comparison_loads_no_pytorch() -> None:
    code = "import sys, emotorch.analyses.comparison; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_without_any_model_one_line_says_so(paths: Paths) -> None:
    assert "no finished model in" in error_line(call_script(paths, COMPARE))
    garble(add(paths, "model_00001"), "failed")
    assert "model_00001: failed" in error_line(call_script(paths, COMPARE))
    assert not list(paths.models.glob("comparison_results_*"))


SEVEN = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def add_seven(paths: Paths, number: int, right: int, watch: str = "macro_f1", **recipe: object) -> Path:
    """A run of seven classes on FER-2013's official split: of 100 images of each class so many are right, and the
    others are taken for the next class."""
    folder = paths.models / f"model_{number:05d}"
    folder.mkdir(parents=True)
    counts = [[0] * 7 for _ in SEVEN]
    for place, row in enumerate(counts):
        row[place], row[(place + 1) % 7] = right, 100 - right
    write_matrix(folder / "confusion_counts_fer_val.csv", counts, SEVEN)
    write_matrix(folder / "confusion_matrix_fer_val.csv", [[n / 100 for n in row] for row in counts], SEVEN)
    accuracies = {"Training Accuracy": "70.5", "Combined Validation Accuracy": f"{right}.00"}
    accuracies["Combined Validation Loss"] = f"{2 - right / 100:.4f}"
    (folder / "final_accuracies.csv").write_text(
        "".join(f"{metric},{value}\n" for metric, value in {"Metric": "Value", **accuracies}.items())
    )
    stated = {"name": "shared_cnn", "watch": watch, "fer_usage": "official", "loss": "focal", **recipe}
    settings = {"train_on": "FER", "scheme": {"name": "seven"}, "recipe": stated}
    return record(folder, settings=settings, factors={"fer": 1.0, "fer_aug": 0.0, "ckp": 1.0, "ckp_aug": 0.0})


def test_runs_that_no_original_was_published_for_are_ranked_by_what_their_recipe_watches(paths: Paths) -> None:
    add_seven(paths, 1, 50, learning_rate=0.1)
    add_seven(paths, 2, 64, learning_rate=0.001)
    add_seven(paths, 3, 62, learning_rate=0.01)
    done = call_script(paths, COMPARE)
    first, header, *runs, noise, count, _, file = done.stdout.splitlines()
    title = "scheme seven, trained on FER (official)"
    assert first == f"no original was published for {title}: ranked by macro-F1 (the larger the better):"
    assert header.split() == [
        *("#", "model", "macro-F1", "%", "95%", "interval", "accuracy", "%", "learning_rate", "note")
    ]
    assert [line.split()[1] for line in runs] == ["model_00002", "model_00003", "model_00001"]
    assert runs[0].split()[2] == runs[0].split()[4] == "64.00"
    assert noise.startswith("model_00002 is the best only within noise: 1 run cannot be told from it, down to rank 2")
    assert noise.endswith("; the best of several is also the luckiest: score it on images that chose nothing")
    assert count == "compared: 3, and 0 that collapsed to one class; left out: 0"
    table = read_table(Path(file))
    assert [row["model"] for row in table] == ["model_00002", "model_00003", "model_00001"]
    assert table[0]["note"] == "ranked by macro-F1: its label scheme is seven, the original's emotorch4"
    assert (table[0]["combined_score"], table[0]["training_accuracy_diff"]) == ("NaN", "NaN")
    assert (table[0]["training_accuracy"], table[0]["combined_validation_accuracy"]) == ("70.5", "64.0")
    assert float(table[0]["macro_f1"]) == pytest.approx(64)


def test_they_come_after_those_that_are_compared_each_kind_by_itself(paths: Paths) -> None:
    add(paths, "model_00009")
    add_seven(paths, 1, 50)
    add_seven(paths, 2, 40, watch="loss")
    add_seven(paths, 3, 45, watch="loss")
    add_seven(paths, 4, 90, fer_usage="fold1")
    add_seven(paths, 5, 60, watch="loss", loss="cross_entropy")
    add_seven(paths, 6, 30, watch="loss", focal_gamma=3.0)
    comparison = compare(paths)
    assert [
        (ranking.criterion.name, [run.model for run in ranking.runs])
        for ranking in [*comparison.by_distance, *rankings(comparison.watched)]
    ] == [
        ("distance", ["model_00009"]),
        ("macro_f1", ["model_00004"]),
        ("macro_f1", ["model_00001"]),
        ("loss", ["model_00005"]),
        ("loss", ["model_00003", "model_00002"]),
        ("loss", ["model_00006"]),
    ]
    assert [row["model"][-1] for row in rows(comparison)] == list("9415326")
    said = describe(comparison)
    assert said.startswith("most like the original")
    assert "scheme seven, trained on FER (official), focal: ranked by loss (the smaller the better)" in said
    assert "scheme seven, trained on FER (official), focal of gamma 3: ranked by loss" in said
    assert "model_00003 has no interval" in said


def test_runs_that_ckp_validates_too_are_ranked_apart_from_those_without(paths: Paths) -> None:
    add_seven(paths, 1, 50)
    of_ckp = add_seven(paths, 2, 60)
    for kind in ("counts", "matrix"):
        shutil.copy(of_ckp / f"confusion_{kind}_fer_val.csv", of_ckp / f"confusion_{kind}_ckp_val.csv")
    assert [(ranking.title, len(ranking.runs)) for ranking in rankings(compare(paths).watched)] == [
        ("scheme seven, trained on FER (official)", 1),
        ("scheme seven, trained on FER (official), validated on CK+ too", 1),
    ]


def test_the_four_factors_stand_in_the_table(paths: Paths) -> None:
    factors = {"fer": 0.984799, "fer_aug": 0.029835, "ckp": 0.931732, "ckp_aug": 0.077907}
    record(count_images(add(paths, "model_00001")), factors=factors)
    (row,) = rows(compare(paths))
    assert {name: float(row[name]) for name in factors} == factors
    assert float(row["macro_f1"]) == pytest.approx(54.05, abs=0.005)


def test_the_published_original_is_no_run_to_compare(paths: Paths) -> None:
    write_run(paths.models / "model_original")
    add(paths, "model_00001")
    assert [distance.model for distance in compare(paths).distances] == ["model_00001"]


def test_what_a_kill_left_half_written_is_removed_later(paths: Paths) -> None:
    write_run(paths.models / "model_00224_final")
    old, new = (paths.models / f".comparison_20261126_02{part}-x.png" for part in ("0000", "3000"))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    done = call_script(paths, COMPARE)
    assert "read unverified, without a run.json that states their SHA-256: model_00224_final\n" in done.stdout
    assert (old.exists(), new.exists()) == (False, True), "another process may be writing that"
