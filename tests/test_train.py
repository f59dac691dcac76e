import math
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TRAINED_WITH, Script, prepare, write_small_fer
from PIL import Image
from published import LABELS, METRICS, published_state
from running import (
    COMPARE,
    TRAIN,
    Trained,
    call_script,
    copy_root,
    error_line,
    last_line,
    read_counts,
    read_table,
    train,
)
from sklearn.metrics import accuracy_score, f1_score

from emotorch.data.images import hash_pixels, read_face
from emotorch.data.selection import DatasetIndex
from emotorch.datasets import FER_USAGES
from emotorch.files import hash_file
from emotorch.labels import get_scheme
from emotorch.paths import Paths
from emotorch.runs.folder import Run, list_runs
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs

TABLES_OF_EVERY_RUN = {
    "confusion_counts_fer_val.csv",
    "confusion_matrix_fer_val.csv",
    "final_accuracies.csv",
    "image_usage.csv",
    "training_history_combined.csv",
    "training_history_fer.csv",
    "usage_summary.csv",
}
TEXTS = {"classification_report.txt", "model_parameters.txt", "run.json", "training_history.json"}
PICTURES_OF_EVERY_RUN = {
    "confusion_matrices_fer_vs_ckp.png",
    "confusion_matrix_fer_val.png",
    "training_history.png",
    "validation_samples_fer.png",
}
FILES_OF_CKP = {
    "confusion_counts_ckp_val.csv",
    "confusion_matrix_ckp_val.csv",
    "confusion_matrix_ckp_val.png",
    "training_history_ckp.csv",
    "validation_samples_ckp.png",
}
FILES_OF_EVERY_RUN = TABLES_OF_EVERY_RUN | TEXTS | PICTURES_OF_EVERY_RUN | {"model.pth", "model_last.pth"}
SUMMARY_ROWS = {"Training": "training", "FER_Validation": "fer_validation", "CKP_Validation": "ckp_validation"}

pytestmark = pytest.mark.usefixtures("undrawn")


def lines(path: Path) -> list[str]:
    text = path.read_bytes().decode()
    assert "\r" not in text
    assert text.endswith("\n")
    return text.splitlines()


def accuracies(folder: Path) -> dict[str, str]:
    return {row["Metric"]: row["Value"] for row in read_table(folder / "final_accuracies.csv")}


def record(folder: Path) -> dict[str, object]:
    return Run(folder).record


def visible_files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def test_a_run_has_every_file_and_no_other(trained: Trained) -> None:
    assert visible_files(trained.folder) == FILES_OF_EVERY_RUN | FILES_OF_CKP
    assert [path.name for path in trained.paths.models.iterdir()] == [trained.folder.name]


def test_pictures_are_pictures(trained: Trained) -> None:
    for name in PICTURES_OF_EVERY_RUN:
        with Image.open(trained.folder / name) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_final_accuracies_are_the_published_rows_in_order_and_format(trained: Trained) -> None:
    assert lines(trained.folder / "final_accuracies.csv")[0] == "Metric,Value"
    values = accuracies(trained.folder)
    assert tuple(values)[: len(METRICS)] == METRICS
    formats = {"Accuracy": r"\d{1,3}\.\d\d", "Loss": r"-?\d\.\d{4}", "F1": r"\d{1,3}\.\d\d"}
    for metric, value in values.items():
        assert re.fullmatch(formats.get(re.split("[ -]", metric)[-1], r"\d+"), value), (metric, value)
    assert values["Epochs Completed"] == "2"


def test_accuracies_are_what_the_confusion_counts_say(trained: Trained) -> None:
    values = accuracies(trained.folder)
    everything = []
    for name in ("fer", "ckp"):
        matrix = read_counts(trained.folder, f"{name}_val")
        pairs = [
            (truth, prediction)
            for truth in range(4)
            for prediction in range(4)
            for _ in range(matrix[truth, prediction])
        ]
        truths, predictions = zip(*pairs, strict=True)
        assert values[f"{name.upper()} Validation Accuracy"] == f"{100 * accuracy_score(truths, predictions):.2f}"
        macro = f1_score(truths, predictions, labels=range(4), average="macro", zero_division=0)
        assert values[f"{name.upper()} Validation Macro-F1"] == f"{100 * macro:.2f}"
        everything += pairs
    truths, predictions = zip(*everything, strict=True)
    assert values["Combined Validation Accuracy"] == f"{100 * accuracy_score(truths, predictions):.2f}"
    assert values["Total Validation Images"] == str(len(everything))


def test_the_model_file_gives_the_stated_accuracies_again(trained: Trained) -> None:
    """The best epoch is what was saved, and every score was taken of it."""
    model = load_model(trained.folder / "model.pth")
    values = accuracies(trained.folder)
    usage = read_table(trained.folder / "image_usage.csv")
    sets = {
        "Training": [row for row in usage if row["usage"] == "training"],
        "FER Validation": [row for row in usage if row["usage"] == "fer_validation"],
        "CKP Validation": [row for row in usage if row["usage"] == "ckp_validation"],
    }
    for title, rows in sets.items():
        pixels = np.stack([read_face(trained.paths.root / row["image_path"]) for row in rows])
        outputs = network_outputs(model.network, torch.from_numpy(pixels).unsqueeze(1), model.form)
        truths = torch.tensor([int(row["label_index"]) for row in rows])
        correct = (outputs.argmax(1) == truths).double().mean().item()
        cosine = outputs[torch.arange(len(rows)), truths] / outputs.norm(dim=1).clamp_min(1e-8)
        assert values[f"{title} Accuracy"] == f"{100 * correct:.2f}"
        assert float(values[f"{title} Loss"]) == pytest.approx(-cosine.mean().item(), abs=2e-4)


def test_best_epoch_is_the_one_with_the_lowest_combined_loss(trained: Trained) -> None:
    history = read_table(trained.folder / "training_history_combined.csv")
    losses = [float(row["combined_val_loss"]) for row in history]
    best = losses.index(min(losses))
    assert record(trained.folder)["best_epoch"] == best + 1
    assert float(accuracies(trained.folder)["Combined Validation Loss"]) == pytest.approx(losses[best], abs=5e-5)


@pytest.mark.parametrize("name", ["fer", "ckp"])
def test_matrices_are_row_proportions_with_3_decimals_and_all_labels(trained: Trained, name: str) -> None:
    header, *rows = lines(trained.folder / f"confusion_matrix_{name}_val.csv")
    assert header == ",anger,fear,calm,surprise"
    assert lines(trained.folder / f"confusion_counts_{name}_val.csv")[0] == header
    for label, row, numbers in zip(LABELS, rows, read_counts(trained.folder, f"{name}_val"), strict=True):
        first, *proportions = row.split(",")
        assert first == label
        assert all(re.fullmatch(r"[01]\.\d{3}", value) for value in proportions)
        expected = numbers / numbers.sum() if numbers.sum() else numbers
        assert [float(value) for value in proportions] == pytest.approx(expected.tolist(), abs=5.1e-4)
    assert read_counts(trained.folder, f"{name}_val").sum() == record(trained.folder)["counts"][name]


def test_histories_have_a_row_per_epoch_in_the_published_columns(trained: Trained) -> None:
    for name in ("fer", "ckp", "combined"):
        header, *rows = lines(trained.folder / f"training_history_{name}.csv")
        assert header == f"epoch,train_loss,train_accuracy,{name}_val_loss,{name}_val_accuracy"
        assert [row.split(",")[0] for row in rows] == ["1", "2"]
        assert all(math.isfinite(float(value)) for row in rows for value in row.split(","))


def test_combined_history_is_the_mean_over_all_validation_images(trained: Trained) -> None:
    sizes = record(trained.folder)["counts"]
    fer, ckp, combined = (
        read_table(trained.folder / f"training_history_{name}.csv") for name in ("fer", "ckp", "combined")
    )
    for row in range(2):
        weighted = float(fer[row]["fer_val_loss"]) * sizes["fer"] + float(ckp[row]["ckp_val_loss"]) * sizes["ckp"]
        assert float(combined[row]["combined_val_loss"]) == pytest.approx(weighted / (sizes["fer"] + sizes["ckp"]))


def test_image_usage_names_every_image_that_is_there_with_its_source(trained: Trained) -> None:
    path = trained.folder / "image_usage.csv"
    assert lines(path)[0] == "image_path,usage,emotion,label_index,dataset_index,source_hash,fer_usage"
    rows = read_table(path)
    positions: dict[str, int] = {}
    for row in rows:
        file = Path(row["image_path"])
        assert not file.is_absolute()
        assert "\\" not in row["image_path"]
        assert (trained.paths.root / file).is_file()
        assert file.parts[-2] == row["emotion"] == LABELS[int(row["label_index"])]
        assert int(row["dataset_index"]) == positions.setdefault(row["usage"], 0)
        positions[row["usage"]] += 1
        if "_" not in file.stem:
            assert hash_pixels(read_face(trained.paths.root / file)) == row["source_hash"]
        assert row["fer_usage"] in ([""] if row["usage"] == "ckp_validation" else FER_USAGES)
    assert set(positions) == {"training", "fer_validation", "ckp_validation"}
    assert len({row["image_path"] for row in rows}) == len(rows)
    assert any("Augmented" in row["image_path"] for row in rows)


def test_usage_summary_counts_what_image_usage_lists(trained: Trained) -> None:
    path = trained.folder / "usage_summary.csv"
    assert lines(path)[0] == "Usage Type,Total Images,Anger,Fear,Calm,Surprise"
    summary = read_table(path)
    assert [row["Usage Type"] for row in summary] == list(SUMMARY_ROWS)
    usage = read_table(trained.folder / "image_usage.csv")
    for row in summary:
        listed = [image["emotion"] for image in usage if image["usage"] == SUMMARY_ROWS[row["Usage Type"]]]
        assert row["Total Images"] == str(len(listed))
        assert [row[label.capitalize()] for label in LABELS] == [str(listed.count(label)) for label in LABELS]
    assert summary[0]["Total Images"] == accuracies(trained.folder)["Total Training Images"]


def test_no_source_is_both_trained_on_and_validated_on(trained: Trained) -> None:
    sources: dict[str, set[str]] = {}
    for row in read_table(trained.folder / "image_usage.csv"):
        sources.setdefault(row["usage"], set()).add(row["source_hash"])
    assert not sources["training"] & sources["fer_validation"]


def test_the_model_file_has_the_published_keys_and_says_what_it_is(trained: Trained) -> None:
    state = torch.load(trained.folder / "model.pth", weights_only=True)
    published = published_state()
    assert state.keys() >= published.keys()
    for key in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
        assert list(state[key]) == list(published[key]), key
    assert state["model_config"] == {**published["model_config"], "image_size": 48, "kernel_size": 4}
    assert state["labels"] == list(LABELS)
    assert state["recipe"]["name"] == "emotorch"
    assert state["temperature"] == record(trained.folder)["temperature"]
    assert state["epoch"] == record(trained.folder)["best_epoch"]


def test_the_record_states_everything_that_made_the_run(trained: Trained) -> None:
    known = record(trained.folder)
    assert known["status"] == "finished"
    assert known["seed"] == known["settings"]["seed"] == 4
    assert known["factors"] == {"fer": 1.0, "fer_aug": 0.01, "ckp": 1.0, "ckp_aug": 0.01}
    assert known["settings"]["recipe"]["learning_rate"] == 0.003
    assert known["settings"]["threads"] == 1
    assert known["parameters"] == 6964
    assert known["device"] in ("cpu", "cuda", "mps")
    assert {"emotorch", "code", "python", "torch", "numpy"} <= known["versions"].keys()
    assert set(known["timings_s"]) == {"reading", "training", "results"}
    assert known["weights_sha256"] == hash_file(trained.folder / "model.pth")
    assert known["dataset"]["ckp"] is True
    assert known["dataset"]["synthetic"] is False


def test_the_parameters_for_a_person_say_what_the_record_says(trained: Trained) -> None:
    """Every value of run.json stands on a line of its own name."""
    text = lines(trained.folder / "model_parameters.txt")

    def check(value: object, name: str, depth: int) -> None:
        if isinstance(value, dict):
            assert f"{'  ' * depth}{name}:" in text
            for key, inner in value.items():
                check(inner, key, depth + 1)
        else:
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            assert f"{'  ' * depth}{name}: {said}" in text

    for key, value in record(trained.folder).items():
        check(value, key, 0)


def test_the_report_covers_each_set_with_all_labels_and_the_loss(trained: Trained) -> None:
    report = (trained.folder / "classification_report.txt").read_text()
    scores = record(trained.folder)["scores"]
    titles = {"fer": "FER validation", "ckp": "CK+ validation", "training": "training"}
    titles |= {f"{name}_reference": f"{title} held-out originals" for name, title in (("fer", "FER"), ("ckp", "CK+"))}
    sections = report.split(f"{trained.folder.name}: ")[1:]
    for (name, title), section in zip(titles.items(), sections, strict=True):
        assert section.splitlines()[0] == f"{title}, {scores[name]['images']} images"
        assert all(word in section for word in (*LABELS, "macro-F1", "micro-F1"))
        assert section.splitlines()[-1 if name == "ckp_reference" else -2] == f"loss {scores[name]['loss']:.4f}"


def without_times(folder: Path) -> dict[str, object]:
    times = ("started", "finished", "timings_s")
    return {key: value for key, value in record(folder).items() if key not in times}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_in_another_process_and_root(
    trained: Trained, root: Paths, script: Script
) -> None:
    done = script(root, TRAIN, "--epochs", 2, "--threads", 1, *TRAINED_WITH)
    again = Path(last_line(done))
    assert again == root.models / trained.folder.name
    assert visible_files(again) == visible_files(trained.folder)
    for name in visible_files(again):
        if name not in ("run.json", "model_parameters.txt"):  # which say when, and how long it took
            assert (again / name).read_bytes() == (trained.folder / name).read_bytes(), name
    assert without_times(again) == without_times(trained.folder)


def test_another_seed_or_factor_draws_otherwise_but_is_scored_on_the_same_references(
    trained: Trained, tmp_path: Path
) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    other = train(paths, "--fer", 0.5, "--fer-aug", 0, "--ckp", 0.5, "--ckp-aug", 0, "--seed", 9)
    assert other.name == "model_00002"
    ours, theirs = accuracies(other), accuracies(trained.folder)
    for name, dataset in (("FER", "fer_validation"), ("CKP", "ckp_validation")):
        assert ours[f"{name} Reference Images"] == theirs[f"{name} Reference Images"]
        drawn = [row for row in read_table(other / "image_usage.csv") if row["usage"] == dataset]
        assert 0 < len(drawn) < 0.7 * int(ours[f"{name} Reference Images"])
    assert int(ours["Total Training Images"]) < 0.6 * int(theirs["Total Training Images"])

    index = DatasetIndex.load(paths, get_scheme("emotorch4"))
    ckp = index.originals_of("CKP")
    model = load_model(other / "model.pth")
    outputs = network_outputs(model.network, torch.from_numpy(ckp.read()).unsqueeze(1), model.form)
    expected = 100 * accuracy_score(ckp.labels, outputs.argmax(1))
    assert ours["CKP Reference Accuracy"] == f"{expected:.2f}"
    assert int(ours["CKP Reference Images"]) == len(ckp) == 12


def test_reference_images_are_originals_that_no_run_trains_on(trained: Trained) -> None:
    usage = read_table(trained.folder / "image_usage.csv")
    held_out = [row for row in usage if row["usage"] == "fer_validation" and "Augmented" not in row["image_path"]]
    assert accuracies(trained.folder)["FER Reference Images"] == str(len(held_out))


def test_without_ckp_the_run_says_so_and_states_nothing_of_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_small_fer(paths)
    prepare(paths, variants=False)
    done = call_script(paths, TRAIN, "--epochs", 1, "--threads", 1, "--fer-aug", 0, "--ckp-aug", 0)
    folder = Path(last_line(done))
    assert sum("no CK+" in line for line in done.stderr.splitlines()) == 1
    assert visible_files(folder) == FILES_OF_EVERY_RUN
    values = accuracies(folder)
    assert tuple(values)[: len(METRICS)] == METRICS
    assert values["CKP Validation Accuracy"] == values["CKP Validation Loss"] == "NaN"
    assert values["CKP Reference Accuracy"] == "NaN"
    assert values["Combined Validation Accuracy"] == values["FER Validation Accuracy"] != "NaN"
    assert values["Total Validation Images"] == values["FER Reference Images"]
    assert read_table(folder / "usage_summary.csv")[2]["Total Images"] == "0"
    assert {row["usage"] for row in read_table(folder / "image_usage.csv")} == {"training", "fer_validation"}
    assert record(folder)["dataset"]["ckp"] is False
    assert "CK+" not in (folder / "classification_report.txt").read_text()
    compared = Path(last_line(call_script(paths, COMPARE)))
    assert "no CK+" in read_table(compared)[0]["note"]


def test_factors_of_0_leave_validation_sets_empty_and_the_run_goes_on(trained: Trained, tmp_path: Path) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    folder = train(paths, "--fer", 0, "--fer-aug", 0.02, "--ckp", 0, "--ckp-aug", 0, "--epochs", 1)
    values = accuracies(folder)
    assert values["CKP Validation Accuracy"] == "NaN"
    assert values["CKP Reference Images"] == "12"
    assert not list(folder.glob("*ckp_val*"))


def test_a_dead_network_is_marked_as_collapsed_and_in_the_comparison(trained: Trained, tmp_path: Path) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    dead = train(paths, "--epochs", 1, "--set", "learning_rate=100")
    assert record(dead)["collapsed"] is True
    assert len(record(dead)["never_answered"]) == 3
    assert np.count_nonzero((read_counts(dead, "fer_val") + read_counts(dead, "ckp_val")).sum(axis=0)) == 1
    notes = {row["model"]: row["note"] for row in read_table(Path(last_line(call_script(paths, COMPARE))))}
    assert "collapsed to one class" in notes[dead.name]


def test_losses_that_are_no_numbers_fail_the_run_in_one_line(trained: Trained, tmp_path: Path) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    done = call_script(paths, TRAIN, "--epochs", 3, "--threads", 1, "--set", "learning_rate=1e38")
    assert "learning_rate" in error_line(done)
    failed = paths.models / "model_00002"
    assert record(failed)["status"] == "failed"
    assert not (failed / "model.pth").exists()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--fer", 1.5), 2, "argument --fer: 1.5 is outside 0-1"),
        (("--fer-aug", -0.1), 2, "-0.1 is outside 0-1"),
        (("--ckp", "all"), 2, "'all' is not a number"),
        (("--ckp-aug", "nan"), 2, "nan is outside 0-1"),
        (("--epochs", 0), 2, "0 is not a positive whole number"),
        (("--seed", -1), 2, "not a seed"),
        (("--device", "tpu"), 2, "device 'tpu' cannot be used here"),
        (("--device", "meta"), 2, "device 'meta' cannot be used here"),
        (("--resume", ""), 2, "an empty argument"),
        (("--threads", 99999999999), 2, "is not a positive whole number below 2147483648"),
        (("--recipe", "emopy"), 2, "unknown recipe 'emopy'"),
        (("--scheme", "nine"), 2, "unknown label scheme 'nine'"),
        (("--set", "epoch=3"), 2, "did you mean epochs?"),
        (("--set", "scheme=nine"), 2, "unknown label scheme 'nine'"),
        (("--set", "network=resnet"), 1, "unknown network 'resnet'"),
        pytest.param(
            ("--tensorboard",),
            2,
            "--tensorboard needs TensorBoard: in EmoTorch's folder, pip install",
            marks=pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed"),
        ),
        (("--fer", 0, "--fer-aug", 0), 1, "no image of class 'anger'"),
    ],
)
def test_a_wrong_option_ends_in_one_line_before_a_folder_is_claimed(
    trained: Trained, options: tuple[object, ...], status: int, message: str
) -> None:
    done = call_script(trained.paths, TRAIN, *options)
    assert message in error_line(done, status)
    assert [path.name for path in trained.paths.models.iterdir()] == [trained.folder.name]


def test_without_the_stages_before_the_one_that_is_missing_is_named(root: Paths, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "create_original_dataset.py" in error_line(call_script(Paths(tmp_path / "empty"), TRAIN))
    root.augmented.rename(tmp_path / "elsewhere")
    assert "augment_original_dataset.py" in error_line(call_script(root, TRAIN))
    assert not root.models.exists()


def test_a_damaged_image_is_named_before_a_folder_is_claimed(root: Paths) -> None:
    victim = root.originals / "FER" / "anger" / "1.png"
    victim.unlink()
    assert str(victim) in error_line(call_script(root, TRAIN))
    victim.write_text("no picture")
    assert str(victim) in error_line(call_script(root, TRAIN))
    other = (root.originals / "FER" / "anger" / "2.png").read_bytes()
    victim.write_bytes(other)
    assert f"{victim}: changed since it was written" in error_line(call_script(root, TRAIN))
    assert not root.models.exists()


def test_growing_images_for_a_network_of_one_size_are_refused_before_a_folder_is_claimed(prepared: Paths) -> None:
    before = list_runs(prepared.models)
    done = call_script(prepared, TRAIN, "--set", "first_size=16")
    assert "first_size: network emotorch_cnn takes images of one size only" in error_line(done, status=2)
    assert list_runs(prepared.models) == before


@pytest.mark.slow
def test_a_run_of_the_published_split_is_marked_left_out_of_comparisons_and_never_ships(root: Paths) -> None:
    folder = train(root, "--fer-usage", "training", "--fer-aug", 0.1, "--split", "published")
    assert folder.name == "model_00001_leaky"
    assert record(folder)["leaky"] is True
    assert torch.load(folder / "model.pth", weights_only=True)["recipe"]["split"] == "published"
    twins = int(accuracies(folder)["FER Validation Images With Twin In Training"])
    assert twins > 0.3 * int(accuracies(folder)["Total Validation Images"])
    assert "model_00001_leaky" in (folder / "classification_report.txt").read_text()

    honest = train(root, "--fer-usage", "training")
    assert honest.name == "model_00002"
    alone = call_script(root, COMPARE)
    assert [row["model"] for row in read_table(Path(last_line(alone)))] == ["model_00002"]
    assert "left out: model_00001_leaky (leaky: trained with the published split)" in alone.stdout
    asked = call_script(root, COMPARE, "--leaky")
    assert {row["model"] for row in read_table(Path(last_line(asked)))} == {"model_00001_leaky", "model_00002"}
    shipped = call_script(root, "develop_baseline_model/models/ship_model.py", folder.name, "leak")
    assert "model_00001_leaky is leaky" in error_line(shipped)
