import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refusal
from published import LABELS, published_state
from running import Trained, accept, call_script, error_line, last_line, read_table, replace_weights
from scipy import stats

from emotorch.analyses.candidates import Candidate
from emotorch.analyses.candidates import load_candidates as load
from emotorch.analyses.run_comparison import ACCURACY, compare, describe
from emotorch.evaluation.sets import load_set
from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import InputForm

pytestmark = pytest.mark.slow

COMPARE_RUNS = "develop_baseline_model/models/compare_runs.py"
FILES = {"comparison.txt", "runs.csv", "groups.csv", "differences.csv", "differences.png"}


def add_run(of: Trained, name: str, *, seed: int, weights: int, **recipe: object) -> Path:
    """A copy of a run as another seed, or another recipe, would have made it."""
    folder = of.folder.parent / name
    shutil.copytree(of.folder, folder)
    record = Run(folder).record
    record["settings"]["seed"] = record["seed"] = seed
    record["settings"]["recipe"] |= recipe
    Run(folder).update(**record)
    state = published_state()
    drawing = torch.Generator().manual_seed(weights)
    for tensor in state["model_state_dict"].values():
        tensor += 0.03 * torch.randn(tensor.shape, generator=drawing)
    replace_weights(folder, state)
    return folder


@pytest.fixture
def several(lively: Trained) -> Trained:
    """model_00001 of seed 4, its seeds 5 and 6, and model_00004 and 5 of another learning rate."""
    for seed in (5, 6):
        add_run(lively, f"model_0000{seed - 3}", seed=seed, weights=seed)
    for seed in (4, 5):
        add_run(lively, f"model_0000{seed}", seed=seed, weights=10 + seed, learning_rate=0.5)
    return lively


def load_candidates(paths: Paths, *names: str) -> list[Candidate]:
    return load(paths, names, device="cpu", threads=1)


def call(model: Trained, *arguments: object) -> tuple[Path, str]:
    """The folder that the script made, and what it said."""
    done = call_script(model.paths, COMPARE_RUNS, *arguments, "--threads", 1)
    folder = Path(last_line(done))
    assert folder.parent == model.paths.models
    assert {path.name for path in folder.iterdir()} == FILES
    said = done.stdout.removesuffix(f"{folder}\n")
    assert (folder / "comparison.txt").read_text() == said
    return folder, said


def seen_hashes(folder: Path) -> set[str]:
    return {row["source_hash"] for row in read_table(folder / "image_usage.csv") if row["usage"] == "training"}


def held_out(paths: Paths, dataset: str, *folders: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Pixels, truths and hashes that no run has seen; and how many it has."""
    images = load_set(paths, dataset, get_scheme("emotorch4"))
    seen = set().union(*map(seen_hashes, folders))
    unseen = np.array([value not in seen for value in images.hashes.tolist()])
    return images.pixels[unseen], images.labels[unseen], images.hashes[unseen], int((~unseen).sum())


def predictions(folder: Path, pixels: np.ndarray) -> np.ndarray:
    network = load_model(folder / "model.pth").network
    return network_outputs(network, torch.from_numpy(pixels).unsqueeze(1), InputForm()).argmax(1).numpy()


def test_two_runs_are_tested_on_the_images_that_neither_was_trained_on(several: Trained) -> None:
    other = several.paths.models / "model_00004"
    # The other was trained on images that the first has not seen.
    usage = (other / "image_usage.csv").read_text().replace("fer_validation,anger", "training,anger")
    (other / "image_usage.csv").write_text(usage)
    accept(other)
    folder, said = call(several, several.folder.name, "model_00004")
    pixels, truths, hashes, left_out = held_out(several.paths, "fer", several.folder, other)
    assert 0 < len(truths) < len(held_out(several.paths, "fer", several.folder)[1])
    assert f"{left_out} of {left_out + len(truths)} images are left out" in said
    assert f"on {len(truths)} images of fer" in said

    right = [predictions(each, pixels) == truths for each in (several.folder, other)]
    assert right[0].any()
    assert (right[0] != right[1]).any()
    runs = read_table(folder / "runs.csv")
    assert [row["run"] for row in runs] == ["model_00001", "model_00004"]
    assert [int(row["correct"]) for row in runs] == [of_run.sum() for of_run in right]
    assert [float(row["accuracy"]) for row in runs] == pytest.approx([100 * r.mean() for r in right], abs=1e-3)

    (accuracy,) = (row for row in read_table(folder / "differences.csv") if row["metric"] == "accuracy")
    assert float(accuracy["difference"]) == pytest.approx(100 * (right[1].mean() - right[0].mean()), abs=1e-3)
    lead = {value: (right[1].astype(int) - right[0])[hashes == value].sum() for value in set(hashes.tolist())}
    only = [sum(value < 0 for value in lead.values()), sum(value > 0 for value in lead.values())]
    assert [int(accuracy["only_first_right"]), int(accuracy["only_second_right"])] == only
    assert float(accuracy["p"]) == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue, rel=1e-4)
    assert float(accuracy["low"]) <= float(accuracy["difference"]) <= float(accuracy["high"])


def test_recalls_are_compared_for_every_class_and_unknown_where_there_are_no_images(several: Trained) -> None:
    folder, said = call(several, "model_00001", "model_00004", "--dataset", "ckp")
    pixels, truths, _, left_out = held_out(several.paths, "ckp")
    assert left_out == 0
    assert "of 2 sources" in said  # the persons of CK+
    rows = {row["metric"]: row for row in read_table(folder / "differences.csv")}
    assert list(rows) == ["accuracy", "macro-F1", *(f"recall of {label}" for label in LABELS)]
    first, second = (predictions(several.paths.models / name, pixels) for name in ("model_00001", "model_00004"))
    for number, label in enumerate(LABELS):
        found, members = float(rows[f"recall of {label}"]["difference"]), truths == number
        if members.any():
            recalls = [100 * (given[members] == number).mean() for given in (first, second)]
            assert found == pytest.approx(recalls[1] - recalls[0], abs=1e-3)
        else:
            assert np.isnan(found)
            assert np.isnan(float(rows[f"recall of {label}"]["low"]))
    assert {label for number, label in enumerate(LABELS) if not (truths == number).any()} == {"fear", "calm"}


def test_runs_that_differ_by_seed_only_are_averaged(several: Trained) -> None:
    names = [f"model_0000{number}" for number in (1, 4, 2, 5, 3)]
    folder, said = call(several, *names, "--dataset", "ckp")
    pixels, truths, _, _ = held_out(several.paths, "ckp")
    accuracy = {name: 100 * (predictions(several.paths.models / name, pixels) == truths).mean() for name in names}
    groups = [row for row in read_table(folder / "groups.csv") if row["metric"] == "accuracy"]
    assert [(row["group"], int(row["runs"])) for row in groups] == [
        ("model_00001 and 2 by seed", 3),
        ("model_00004 and 1 by seed", 2),
    ]
    members = (names[0], names[2], names[4]), (names[1], names[3])
    values = [[accuracy[name] for name in chosen] for chosen in members]
    for row, of_group in zip(groups, values, strict=True):
        assert float(row["mean"]) == pytest.approx(np.mean(of_group), abs=1e-3)
        assert float(row["standard_deviation"]) == pytest.approx(np.std(of_group, ddof=1), abs=1e-3)
    (difference,) = (row for row in read_table(folder / "differences.csv") if row["metric"] == "accuracy")
    assert float(difference["difference"]) == pytest.approx(np.mean(values[1]) - np.mean(values[0]), abs=1e-3)
    assert (difference["test"], difference["only_first_right"]) == ("welch", "")
    # Over the images too it is less certain than Welch's test over the seeds alone.
    assert float(difference["p"]) >= stats.ttest_ind(*values, equal_var=False).pvalue
    assert "Welch's t" in said

    folder, _ = call(several, *names, "--dataset", "ckp", "--each-run")
    rows = [row for row in read_table(folder / "differences.csv") if row["metric"] == "accuracy"]
    assert len(rows) == 10
    assert {row["test"] for row in rows} == {"mcnemar"}
    smallest = min(rows, key=lambda row: float(row["p"]))
    assert float(smallest["p_holm"]) == pytest.approx(min(1.0, 10 * float(smallest["p"])), rel=1e-4)


def test_seeds_of_one_recipe_alone_are_compared_one_by_one(several: Trained) -> None:
    folder, said = call(several, "model_00001", "model_00002")
    assert "these runs differ by seed only" in said
    assert {row["test"] for row in read_table(folder / "differences.csv")} == {"mcnemar", ""}


def test_the_same_seed_twice_is_no_second_draw(several: Trained) -> None:
    add_run(several, "model_00006", seed=4, weights=99)
    comparison = compare(load_candidates(several.paths, "model_00001", "model_00006", "model_00002"), "ckp")
    assert comparison.runs["group"].value_counts(sort=False).tolist() == [2, 1]


def test_a_model_is_not_told_from_itself(several: Trained) -> None:
    shutil.copy(several.folder / "model.pth", several.folder / "same.pth")
    candidates = load_candidates(several.paths, "model_00001", str(several.folder / "same.pth"))
    comparison = compare(candidates, "fer")
    (test,) = comparison.tests.to_dict("records")
    assert test["second"] == "model_00001/same.pth"
    assert (test["p"], test["only_first_right"], test["only_second_right"]) == (1.0, 0, 0)
    known = comparison.differences.dropna(subset="difference")
    assert not known[["difference", "low", "high"]].any(axis=None)


def test_equal_calls_write_equal_files(several: Trained) -> None:
    first, second = (call(several, "model_00001", "model_00002", "model_00004")[0] for _ in range(2))
    assert first != second
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_models_of_different_schemes_are_read_as_one(several: Trained) -> None:
    scheme = get_scheme("seven")
    config = {"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4, "num_classes": 7}
    torch.manual_seed(0)
    network = create_network("emotorch_cnn", config)
    state = {"model_state_dict": network.state_dict(), "model_config": config, "scheme": scheme.as_dict()}
    folder = several.paths.models / "model_00007"
    folder.mkdir()
    torch.save(state, folder / "model.pth")
    failed = call_script(several.paths, COMPARE_RUNS, "model_00001", "model_00007")
    assert "--scheme emotorch4" in error_line(failed, status=2)
    folder, said = call(several, "model_00001", "model_00007", "--scheme", "emotorch4")
    assert "what model_00007 was trained on is unknown" in said
    assert len(read_table(folder / "runs.csv")) == 2


def test_a_difference_is_not_called_real_where_people_and_images_speak_for_different_models(several: Trained) -> None:
    found = compare(load(several.paths, ["model_00001", "model_00004"], device="cpu", threads=1), "fer")
    against = found.differences["metric"] == ACCURACY
    told = found.differences.copy()
    told.loc[against, ["p_holm", "difference", "only_first_right", "only_second_right"]] = [0.004, 10.0, 20, 5]
    said = describe(replace(found, differences=told))
    assert "more sources speak for the one, more images for the other" in said


def test_images_that_chose_an_epoch_are_counted(several: Trained) -> None:
    _, said = call(several, "model_00001", "model_00004")
    chosen = int(re.search(r"([\d,]+) of the images chose the epoch of model_00001", said)[1])
    pixels = held_out(several.paths, "fer", several.folder)[0]
    assert 0 < chosen <= len(pixels)


@pytest.mark.parametrize("dataset", ["fer-private", "FER-Private"])
def test_each_look_at_the_private_test_is_recorded(several: Trained, dataset: str) -> None:
    def scorings(name: str) -> list[dict[str, object]]:
        return json.loads((several.paths.models / name / "run.json").read_text()).get("private_scorings", [])

    before = {name: len(scorings(name)) for name in ("model_00001", "model_00004")}
    call(several, *before, "--dataset", dataset)
    for name, number in before.items():
        assert len(scorings(name)) == number + 1
        assert scorings(name)[-1]["images"] > 0


def test_what_cannot_be_compared_is_refused(several: Trained) -> None:
    def refuse(status: int, *arguments: object) -> str:
        return error_line(call_script(several.paths, COMPARE_RUNS, *arguments), status)

    assert "name two or more" in refuse(2, "model_00001")
    assert "is named twice" in refuse(2, "model_00001", "model_00002", several.folder)
    assert "no model folder 'model_00009'" in refuse(2, "model_00001", "model_00009")
    assert "neither a folder" in refuse(2, "model_00001", "model_00002", "--dataset", "nowhere")
    for name in ("model_00001", "model_00002"):
        usage = several.paths.models / name / "image_usage.csv"
        usage.write_text(usage.read_text().replace("fer_validation", "training"))
        accept(usage.parent)
    candidates = load_candidates(several.paths, "model_00001", "model_00002")
    # Whatever was thinned away is still unseen: only the images of the run's own are taken.
    images = several.paths.root / "seen"
    for row in read_table(several.folder / "image_usage.csv"):
        file = several.paths.root / row["image_path"]
        if row["usage"] == "training" and "_" not in file.stem:
            (images / row["emotion"]).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, images / row["emotion"])
    with refusal("each of the"):
        compare(candidates, str(images))
    assert not list(several.paths.models.glob("*run_comparison*"))
