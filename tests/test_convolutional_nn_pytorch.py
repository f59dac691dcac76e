"""Stage 4: every recipe, label scheme and dataset to train on goes through the same scripts as the baseline."""

import json
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from running import (
    EVALUATE,
    EVALUATE_USAGE,
    PLOT_CONFUSION,
    PLOT_HISTORY,
    PREDICT,
    TRAIN,
    Trained,
    call_script,
    copy_root,
    error_line,
    interrupt,
    last_line,
    read_counts,
    read_table,
    train,
)
from test_train import FILES_OF_EVERY_RUN, visible_files

from emotorch.data.images import read_face, write_png
from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.errors import UsageError
from emotorch.labels import get_scheme
from emotorch.metrics.calibration import predicted_classes
from emotorch.metrics.confusion import confusion_counts
from emotorch.paths import Paths
from emotorch.recipes import RECIPES, Recipe, get_recipe
from emotorch.runs.folder import Run
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

# Of the recipes whose own sizes take long: what is tested is that the parts fit, not what is learned.
SMALL = {
    # With a small backbone by its name in timm; tests/test_promises.py trains the recipe's own.
    "resnet50v2_cbam": ("--set", "network=timm:test_resnet", "--set", "network_config.image_size=48"),
    "shared_cnn": ("--set", "network_config.image_size=32"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_to_a_finished_folder_resumes_and_predicts(
    name: str, prepared: Paths, seven: Paths, tmp_path: Path
) -> None:
    recipe = get_recipe(name)
    paths = copy_root(prepared if recipe.scheme == "emotorch4" else seven, tmp_path / "root")
    labels = get_scheme(recipe.scheme).labels
    folder = train(paths, "--recipe", name, "--epochs", 1, "--fer", 0.4, *SMALL.get(name, ()))
    assert_whole(folder, labels, epochs=1)

    interrupt(folder, epochs=2)
    resumed = Path(last_line(call_script(paths, TRAIN, "--resume", folder.name)))
    assert resumed == folder
    assert_whole(folder, labels, epochs=2)

    usage = [row for row in read_table(folder / "image_usage.csv") if row["usage"] == "fer_validation"]
    model = load_model(folder / "model.pth")
    pixels = torch.from_numpy(np.stack([read_face(paths.root / row["image_path"]) for row in usage]))[:, None]
    outputs = network_outputs(model.network, pixels, model.form)
    counts = confusion_counts(
        np.array([int(row["label_index"]) for row in usage]), predicted_classes(outputs), len(labels)
    )
    assert (counts == read_counts(folder, "fer_val")).all()
    face = paths.root / usage[0]["image_path"]
    done = call_script(paths, PREDICT, face, "--model", folder, "--detector", "none", "--json")
    probabilities = json.loads(last_line(done))["faces"][0]["probabilities"]
    expected = torch.softmax(outputs[0] / model.temperature, 0).tolist()
    assert probabilities == pytest.approx(dict(zip(labels, expected, strict=True)), abs=1e-3)


def assert_whole(folder: Path, labels: Sequence[str], epochs: int) -> None:
    """It has what every run of any recipe writes, and all of it is of this many epochs and these labels."""
    record = Run(folder).record
    assert (record["status"], record["epochs_completed"]) == ("finished", epochs)
    assert visible_files(folder) >= FILES_OF_EVERY_RUN
    header = (folder / "confusion_matrix_fer_val.csv").read_text().splitlines()[0]
    assert header == "," + ",".join(labels)
    history = read_table(folder / "training_history_fer.csv")
    assert [int(row["epoch"]) for row in history] == list(range(1, epochs + 1))
    values = {row["Metric"]: row["Value"] for row in read_table(folder / "final_accuracies.csv")}
    assert values["Epochs Completed"] == str(epochs)
    counts = read_counts(folder, "fer_val")
    assert values["FER Validation Accuracy"] == f"{100 * counts.trace() / counts.sum():.2f}"
    assert_split(read_table(folder / "image_usage.csv"), values, record["settings"]["recipe"]["fer_usage"])


def assert_split(usage: Sequence[Mapping[str, str]], values: Mapping[str, str], fer_usage: str) -> None:
    """An official split keeps FER-2013's twins, and the run says how many; in any other no image has one."""
    training = [row for row in usage if row["usage"] == "training"]
    validation = [row for row in usage if row["usage"] == "fer_validation"]
    hashes = {row["source_hash"] for row in training}
    twins = sum(row["source_hash"] in hashes for row in validation)
    if fer_usage == "official":
        assert {row["fer_usage"] for row in training} == {"Training"}
        assert {row["fer_usage"] for row in validation} == {"PublicTest"}
    else:
        assert twins == 0
    assert int(values.get("FER Validation Images With Twin In Training", 0)) == twins
    assert ("FER Validation Accuracy Without Them" in values) == (twins > 0)


@pytest.mark.parametrize("scheme", ["emotorch4", "seven", "mood4"])
def test_outputs_stand_for_the_labels_in_the_scheme_s_order(scheme: str, paths: Paths) -> None:
    """From the raw pixels of each class to the checkpoint: a class list that is permuted anywhere shows here.

    Every class has a bright square in a place of its own, so that a short training tells them apart.
    """
    orders = {
        "emotorch4": {"angry": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
        "seven": {name: name for name in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")},
        "mood4": {name: name for name in ("happy", "neutral", "sad", "surprise")},
    }
    for number, emotion in enumerate(orders[scheme]):
        for image in range(40):
            write_grey(paths.raw / "SQUARES" / emotion / f"{image}.png", square(number, image))
    write_fer2013_csv(paths.fer_csv, rows=70, seed=1)
    stage_1_and_2(paths, scheme)
    folder = train(
        paths, "--train-on", "SQUARES", "--scheme", scheme, "--recipe", "emotion_classifier", "--epochs", 10,
        "--set", "augmentation.flip=0", "--set", "augmentation.shift=0", "--set", "batch_size=16",
        "--set", "network_config.image_size=24",
    )  # fmt: skip
    model = load_model(folder / "model.pth")
    for number, label in enumerate(orders[scheme].values()):
        images = torch.from_numpy(np.stack([square(number, image) for image in range(40, 50)]))[:, None]
        predictions = network_outputs(model.network, images, model.form).argmax(1).tolist()
        assert [model.labels[prediction] for prediction in predictions].count(label) >= 8, label


def square(number: int, image: int) -> np.ndarray:
    """Noise with a bright square in the number-th of nine places."""
    pixels = np.random.default_rng([number, image]).integers(0, 120, (48, 48)).astype(np.uint8)
    row, column = divmod(number, 3)
    pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] += 130
    return pixels


def write_grey(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)


def stage_1_and_2(paths: Paths, scheme: str) -> None:
    for script, *options in (
        ("develop_baseline_model/helpers/FER_csv_to_img.py",),
        ("develop_baseline_model/helpers/create_original_dataset.py", "--scheme", scheme),
    ):
        done = call_script(paths, script, *options)
        assert done.returncode == 0, done.stderr


def test_a_folder_trains_by_its_own_splits_and_its_test_images_take_no_part(seven: Paths, tmp_path: Path) -> None:
    paths = copy_root(seven, tmp_path / "root")
    for split, count in (("train", 6), ("val", 3), ("test", 2)):
        for emotion in get_scheme("seven").labels:
            for number in range(count):
                pixels = np.random.default_rng([count, number, len(emotion)]).integers(0, 256, (48, 48), np.uint8)
                write_grey(paths.raw / "MINE" / split / emotion / f"{number}.png", pixels)
    stage_1_and_2(paths, "seven")
    folder = train(paths, "--train-on", "MINE", "--recipe", "shared_cnn", "--epochs", 1)
    usage = read_table(folder / "image_usage.csv")
    counts = {name: sum(row["usage"] == name for row in usage) for name in ("training", "mine_validation")}
    assert counts == {"training": 42, "mine_validation": 21}
    assert len(usage) == 63
    assert {"confusion_matrix_mine_val.png", "confusion_matrices.png"} <= {path.name for path in folder.iterdir()}
    assert not [path.name for path in folder.iterdir() if "fer" in path.name or "ckp" in path.name]
    assert last_line(call_script(paths, PLOT_CONFUSION, folder.name)) == str(folder / "confusion_matrices.png")
    assert [row["Usage Type"] for row in read_table(folder / "usage_summary.csv")] == ["Training", "MINE_Validation"]
    values = {row["Metric"]: row["Value"] for row in read_table(folder / "final_accuracies.csv")}
    assert not [metric for metric in values if metric.startswith(("FER", "CKP"))]
    assert values["MINE Validation Accuracy"] == values["Combined Validation Accuracy"] != "NaN"
    by_name = call_script(paths, EVALUATE, folder.name, "MINE").stdout.splitlines()[0]
    assert by_name.startswith(f"{folder.name} on MINE: ")
    shutil.rmtree(paths.for_scheme("seven").originals / "FER")  # without FER-2013, what it was trained on
    assert call_script(paths, EVALUATE, folder.name).stdout.splitlines()[0] == by_name


def test_an_unknown_dataset_to_train_on_is_named_with_those_that_there_are(seven: Paths) -> None:
    line = error_line(call_script(seven, TRAIN, "--recipe", "shared_cnn", "--train-on", "RAF"), 2)
    assert "there are no RAF images" in line
    assert "it has FER" in line


def test_a_shown_recipe_is_toml_that_gives_it_back_and_then_its_layers(seven: Paths) -> None:
    shown = call_script(seven, TRAIN, "--show-recipe", "emotion_classifier", "--set", "epochs=3").stdout
    toml, table = re.split(r"\n(?=layer +type)", shown)
    recipe = Recipe.from_dict(tomllib.loads(toml))
    assert recipe.epochs == 3
    assert recipe.augmentation == get_recipe("emotion_classifier").augmentation
    assert "1,572,551" in table.splitlines()[-1]
    assert re.search(r"fc1 +Linear +512 +1,180,160 +1,179,648", table)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="an extra: pip install 'emotorch[tensorboard]'")
def test_tensorboard_logs_every_epoch_of_every_set(seven: Paths, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train(copy_root(seven, tmp_path / "root"), "--recipe", "emotion_cnn", "--tensorboard")
    logged = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"learning_rate", "loss/training", "accuracy/fer", "macro_f1/fer"} <= set(logged.Tags()["scalars"])
    assert [scalar.step for scalar in logged.Scalars("accuracy/fer")] == [1, 2]


@pytest.fixture(scope="module")
def seven_as_four(seven: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A seven-class model in a root that has the datasets of four emotions too."""
    paths = copy_root(seven, tmp_path_factory.mktemp("seven_as_four") / "root")
    folder = train(paths, "--recipe", "shared_cnn", "--epochs", 1, "--fer", 0.5)
    stage_1_and_2(paths, "emotorch4")
    return Trained(paths, folder)


def test_a_seven_class_model_read_as_four_emotions_drops_the_others_and_renormalises(seven_as_four: Trained) -> None:
    paths, folder = seven_as_four.paths, seven_as_four.folder
    face = next((paths.raw / "FER2013img" / "surprise").glob("*.png"))

    def probabilities(*options: object) -> dict[str, float]:
        done = call_script(paths, PREDICT, face, "--model", folder, "--json", *options)
        return dict(json.loads(last_line(done))["faces"][0]["probabilities"])

    whole, read = probabilities(), probabilities("--scheme", "emotorch4")
    names = {"anger": "angry", "fear": "fear", "calm": "neutral", "surprise": "surprise"}
    kept = sum(whole[name] for name in names.values())
    assert read == pytest.approx({label: whole[name] / kept for label, name in names.items()}, abs=1e-3)
    done = call_script(paths, EVALUATE, folder, "fer-public", "--scheme", "emotorch4")
    assert "read as emotorch4" in done.stdout
    assert (Path(last_line(done)) / "confusion_matrix_fer-public.csv").read_text().startswith(",anger,fear,calm,")
    line = error_line(call_script(paths, PREDICT, face, "--model", folder, "--scheme", "nine"), 2)
    assert "unknown label scheme" in line


def test_training_images_are_known_again_when_a_model_is_read_as_another_scheme(seven_as_four: Trained) -> None:
    paths, folder = seven_as_four.paths, seven_as_four.folder
    done = call_script(paths, EVALUATE, folder, "fer", "--scheme", "emotorch4")
    usage = read_table(folder / "image_usage.csv")
    four = {"angry", "fear", "neutral", "surprise"}
    trained_on = {row["source_hash"] for row in usage if row["usage"] == "training" and row["emotion"] in four}
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("left out"))
    assert int(re.search(r"(\d+) images", line)[1]) >= len(trained_on)


def test_a_seven_class_model_is_evaluated_on_its_own_images_and_on_the_public_test(seven_as_four: Trained) -> None:
    paths, folder = seven_as_four.paths, seven_as_four.folder
    evaluated = call_script(paths, EVALUATE, folder.name, "fer-public")
    values = {row["Metric"]: row["Value"] for row in read_table(folder / "final_accuracies.csv")}
    assert f"accuracy {values['FER Reference Accuracy']}%" in evaluated.stdout
    assert last_line(call_script(paths, EVALUATE_USAGE, "--model", folder))
    for script in (PLOT_CONFUSION, PLOT_HISTORY):
        assert last_line(call_script(paths, script, folder.name)).endswith(".png")


def test_a_model_without_all_labels_of_a_scheme_cannot_be_read_as_it() -> None:
    with pytest.raises(UsageError, match="mood4 cannot be read as emotorch4: it has no one class that is 'anger'"):
        get_scheme("mood4").read_as(get_scheme("emotorch4"))
    assert get_scheme("seven").read_as(get_scheme("emotorch4")) == [0, 2, 6, 5]
    assert get_scheme("seven").read_as(get_scheme("mood4")) == [3, 6, 4, 5]
