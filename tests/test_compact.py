"""Runs of a sweep: small, and what they leave out is made on demand, byte for byte what a single training writes."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import refusal
from running import EVALUATE, SWEEP, call_script, copy_root, last_line, read_table

from emotorch.experiment.settings import Settings
from emotorch.experiment.train import train_new
from emotorch.inference.shipping import ship
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.runs.pictures import draw_kept_pictures
from emotorch.runs.usage import read_image_usage

pytestmark = pytest.mark.slow

LEFT_OUT = {
    "image_usage.csv",
    "confusion_matrix_fer_val.png",
    "confusion_matrix_ckp_val.png",
    "confusion_matrices_fer_vs_ckp.png",
    "training_history.png",
    "validation_samples_fer.png",
    "validation_samples_ckp.png",
}


@pytest.fixture(scope="module")
def swept(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A root with a sweep of one run; not to be changed."""
    paths = copy_root(prepared, tmp_path_factory.mktemp("swept") / "root")
    options = ("--num-models", 1, "--epochs", 1, "--workers", 1, "--fer-usage", "training")
    assert last_line(call_script(paths, SWEEP, *options))
    return paths


@pytest.fixture
def run(swept: Paths, tmp_path: Path) -> Run:
    return Run(copy_root(swept, tmp_path / "root").models / "model_00001")


def names(run: Run) -> set[str]:
    return {path.name for path in run.folder.iterdir()}


def test_a_run_of_a_sweep_keeps_no_picture_and_no_list_of_its_own(run: Run) -> None:
    assert not names(run) & LEFT_OUT
    assert "images.npz" in names(run)
    assert sum(path.stat().st_size for path in run.folder.iterdir()) < 300_000
    (sweep,) = run.folder.parent.glob("sweep_*")
    listed = Paths(run.folder.parents[2]).originals / "manifest.csv"
    assert (sweep / "manifest.csv").read_bytes() == listed.read_bytes()


def test_what_is_left_out_is_made_on_demand_byte_for_byte(run: Run, prepared: Paths, tmp_path: Path) -> None:
    """The same training again, as a single one."""
    alone = copy_root(prepared, tmp_path / "alone")
    expected = train_new(alone, Settings.from_record(run.record)).folder
    assert not (expected / "images.npz").exists()
    assert read_image_usage(run)
    draw_kept_pictures(run)
    assert names(run) - {"images.npz"} == names(Run(expected))
    for name in LEFT_OUT:
        assert (run.folder / name).read_bytes() == (expected / name).read_bytes(), name


def test_scripts_make_it(run: Run) -> None:
    paths = Paths(run.folder.parents[2])
    done = call_script(paths, EVALUATE, run.name, "ckp", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert names(run) >= LEFT_OUT
    table = read_table(run.folder / "image_usage.csv")
    assert len(table) == sum(
        json.loads((run.folder / "run.json").read_text())["counts"][s] for s in ("training", "fer", "ckp")
    )


def test_a_model_that_ships_has_its_list_of_images(run: Run, tmp_path: Path) -> None:
    models = tmp_path / "shipped"
    models.mkdir()
    ship(run, "best", models, lambda _: None)
    assert (models / "best" / "image_usage.csv").read_bytes() == (run.folder / "image_usage.csv").read_bytes()
    assert {"training_history.png", "confusion_matrix_fer_val.png"} <= names(Run(models / "best"))
    assert "images.npz" not in names(Run(models / "best"))


def test_without_the_images_all_but_the_sheets_is_drawn(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    paths = Paths(run.folder.parents[2])
    for folder in (paths.originals, paths.augmented, paths.cache):
        shutil.rmtree(folder)
    draw_kept_pictures(run)
    assert read_image_usage(run)
    assert LEFT_OUT - names(run) == {"validation_samples_fer.png", "validation_samples_ckp.png"}
    assert "validation_samples_fer.png is not drawn" in caplog.text


def test_without_the_sweep_s_list_one_line_says_so(run: Run) -> None:
    (listed,) = run.folder.parent.glob("sweep_*/manifest.csv")
    content = listed.read_bytes()
    listed.unlink()
    with refusal(f"{listed} is not there, or another"):
        read_image_usage(run)
    listed.write_bytes(content.replace(b"anger", b"anges", 1))
    with refusal(f"{listed} is not there, or another"):
        read_image_usage(run)


def test_a_damaged_file_is_named(run: Run) -> None:
    path = run.folder / "images.npz"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with refusal(f"{path}: damaged"):
        read_image_usage(run)
