import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tree
from PIL import Image
from published import write_run
from running import PLOT_CONFUSION, PLOT_HISTORY, Trained, call_script, error_line, last_line

from emotorch import cli
from emotorch.errors import installing
from emotorch.paths import MODEL_ORIGINAL, REPOSITORY, Paths

SCRIPTS = sorted(
    str(path.relative_to(REPOSITORY))
    for folder in ("develop_baseline_model", "baseline_model")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "model_0" not in path.parent.name
)
HEAVY = {"torch", "torchvision", "pandas", "cv2", "numpy", "sklearn", "matplotlib", "PIL", "scipy"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, timeout=300)


def test_all_stages_and_both_uses_have_their_script() -> None:
    names = {Path(script).name for script in SCRIPTS}
    assert names >= {
        "FER_csv_to_img.py",
        "create_original_dataset.py",
        "augment_original_dataset.py",
        "create_train_test_subsets.py",
        "create_train_test_subsets_augmented.py",
        "convolutional_nn_pytorch.py",
        "train_multiple_models.py",
        "compare_models_to_original.py",
        "evaluate_model.py",
        "plot_confusion_matrix.py",
        "plot_training_history.py",
        "predict_image_baselinemodel.py",
        "eval_model.py",
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_a_real_example_and_loads_nothing_heavy(script: str) -> None:
    done = run("-X", "importtime", script, "--help")
    assert done.returncode == 0
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "argparse" in imported
    assert not imported & HEAVY
    assert "example" in done.stdout
    assert f"python {script}" in done.stdout
    first = ast.get_docstring(ast.parse((REPOSITORY / script).read_text())).splitlines()[0]
    assert first in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_option_is_wrong_usage(script: str, paths: Paths) -> None:
    assert "--no-such-option" in error_line(call_script(paths, script, "x", "x", "--no-such-option"), status=2)


def test_the_published_original_has_matrices_to_draw_and_no_history(paths: Paths) -> None:
    before = tree(MODEL_ORIGINAL)
    drawn = Path(last_line(call_script(paths, PLOT_CONFUSION, "model_original")))
    assert drawn == paths.evaluations / "model_original" / "confusion_matrices_fer_vs_ckp.png"
    with Image.open(drawn) as picture:
        picture.load()
        assert picture.width > picture.height
    assert "no training_history_*.csv to draw" in error_line(call_script(paths, PLOT_HISTORY, "model_original"))
    assert tree(MODEL_ORIGINAL) == before


def test_a_published_folder_gets_both_plots(paths: Paths) -> None:
    folder = write_run(paths.models / "model_00224_final")
    assert last_line(call_script(paths, PLOT_CONFUSION, "model_00224_final")) == str(
        folder / "confusion_matrices_fer_vs_ckp.png"
    )
    assert last_line(call_script(paths, PLOT_HISTORY, "model_00224_final")) == str(folder / "training_history.png")


def test_a_full_device_is_one_line_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")

    with pytest.raises(SystemExit) as ended:
        cli.run(fail)
    assert ended.value.code == 1
    way_out = "smaller batches (--set batch_size=N) need less, or --device cpu"
    assert capsys.readouterr().err == f"error: CUDA out of memory: {way_out}\n"


def test_a_package_that_is_not_installed_is_one_line_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: importlib.import_module("no_such_package").main())
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: no_such_package is not installed: {installing('all')}\n"
    with pytest.raises(ModuleNotFoundError):  # a fault of ours
        cli.run(lambda: importlib.import_module("emotorch.no_such_module").main())


@pytest.mark.slow
def test_a_first_plot_on_a_new_machine_says_nothing_of_fonts(paths: Paths, tmp_path: Path) -> None:
    folder = write_run(paths.models / "model_00224_final")
    environment = {**os.environ, "EMOTORCH_ROOT": str(paths.root), "MPLCONFIGDIR": str(tmp_path / "new")}
    done = subprocess.run(
        [sys.executable, REPOSITORY / PLOT_HISTORY, folder], env=environment, capture_output=True, text=True, check=True
    )
    assert list((tmp_path / "new").glob("fontlist*"))
    assert done.stderr == f"{folder.name}: read unverified, nothing states what its files' SHA-256 should be\n"


def test_plots_of_the_newest_run_are_drawn_again_as_training_drew_them(ours: Trained, trained: Trained) -> None:
    for script in (PLOT_CONFUSION, PLOT_HISTORY):
        picture = Path(last_line(call_script(ours.paths, script)))
        assert picture.parent == ours.folder
        assert picture.read_bytes() == (trained.folder / picture.name).read_bytes()


def test_plots_without_a_model_say_so(paths: Paths) -> None:
    for script in (PLOT_CONFUSION, PLOT_HISTORY):
        assert "train one first" in error_line(call_script(paths, script))
        assert "no model folder 'model_00001'" in error_line(call_script(paths, script, "model_00001"), 2)


def test_a_garbled_table_is_named_and_nothing_is_drawn(paths: Paths) -> None:
    folder = write_run(paths.models / "model_00001")
    (folder / "training_history_ckp.csv").write_text("epoch,train_loss\n1,-0.5\n")
    assert "training_history_ckp.csv: no column" in error_line(call_script(paths, PLOT_HISTORY))
    (folder / "training_history_ckp.csv").write_text("epoch,train_loss\n1,much\n")
    assert "train_loss is 'much', not a number" in error_line(call_script(paths, PLOT_HISTORY))
    (folder / "confusion_matrix_ckp_val.csv").write_text(",a,b\na,1,0\n")
    assert "confusion_matrix_ckp_val.csv: not a square matrix" in error_line(call_script(paths, PLOT_CONFUSION))
    assert not list(folder.glob("*.png"))


def test_the_folder_of_the_model_that_ships_does_not_hide_the_package_of_its_name() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import emotorch; print(emotorch.__version__)"
    folder = REPOSITORY / "baseline_model" / "model"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
