"""All stages in order, each as its own process, as a person would run them; then a table of what came out."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from emotorch.data.synthetic_dataset import write_dataset
from emotorch.errors import EmoTorchError
from emotorch.paths import REPOSITORY, Paths
from emotorch.runs.folder import Run, find_run
from emotorch.runs.scores import read_accuracies
from emotorch.tables import text_table

logger = logging.getLogger(__name__)

_HELPERS = "develop_baseline_model/helpers"
_MODELS = "develop_baseline_model/models"
SYNTHETIC_FOLDER = "synthetic"


def choose_root(paths: Paths) -> tuple[Paths, bool]:
    """The user's root where FER-2013 is there; else one of its own for synthetic faces, and True."""
    if paths.fer_csv.is_file() or paths.has_fer_folders:
        return paths, False
    return Paths(paths.root / SYNTHETIC_FOLDER), True


def run_all(paths: Paths, models: int) -> None:
    """Prepares, augments, trains, compares, evaluates and plots; prints a table and the pictures' paths.

    Args:
        paths: The user's root.
        models: How many to train, at least 1: the first at the defaults, the others as a sweep.

    Raises:
        EmoTorchError: a stage failed; it has said why.
    """
    chosen, synthetic = choose_root(paths)
    if synthetic:
        print(f"No {paths.fer_csv}: drawing synthetic faces in {chosen.root} instead.", flush=True)
        write_dataset(chosen)
    started = time.perf_counter()
    if chosen.fer_csv.is_file():
        _run_stage(chosen, "stage 1", f"{_HELPERS}/FER_csv_to_img.py")
    _run_stage(chosen, "stage 2", f"{_HELPERS}/create_original_dataset.py")
    _run_stage(chosen, "stage 3", f"{_HELPERS}/augment_original_dataset.py")
    trained = _run_stage(chosen, "stage 4", f"{_MODELS}/convolutional_nn_pytorch.py")
    model = Path(trained.splitlines()[-1]).name
    if models > 1:
        _run_stage(chosen, "stage 5", f"{_MODELS}/train_multiple_models.py", "--num-models", str(models - 1))
    _run_stage(chosen, "stage 6", f"{_MODELS}/compare_models_to_original.py")
    for dataset in ("fer", "ckp") if chosen.ckplus.is_dir() else ("fer",):
        _run_stage(chosen, "stage 7", f"{_MODELS}/evaluate_model.py", model, dataset)
    _run_stage(chosen, "stage 8", f"{_MODELS}/plot_confusion_matrix.py", model)
    _run_stage(chosen, "stage 8", f"{_MODELS}/plot_training_history.py", model)
    print(f"\nAll stages ran in {time.perf_counter() - started:.0f} s{_synthetic_note(synthetic)}.\n")
    print(_summary(chosen, model))


def prepare_datasets(paths: Paths, schemes: Sequence[str]) -> None:
    """Stages 1 and 2, the second once for each label scheme; what is there and up to date stays.

    Raises:
        EmoTorchError: a stage failed; it has said why.
    """
    if not paths.has_fer_folders:
        _run_stage(paths, "stage 1", f"{_HELPERS}/FER_csv_to_img.py")
    for scheme in schemes:
        _run_stage(paths, "stage 2", f"{_HELPERS}/create_original_dataset.py", "--scheme", scheme)


def _run_stage(paths: Paths, title: str, script: str, *arguments: str) -> str:
    """Runs a script with its output shown; returns what it printed."""
    print(f"\n── {title}: {' '.join(('python', script, *arguments))}", flush=True)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / script), *arguments],
        env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        print(line, end="", flush=True)
        printed.append(line)
    if process.wait():
        raise EmoTorchError(f"{title} failed (exit status {process.returncode}); the lines above say why")
    print(f"   {time.perf_counter() - started:.1f} s", flush=True)
    return "".join(printed)


def _synthetic_note(synthetic: bool) -> str:
    return ", on synthetic faces: the figures say that it works, and nothing about real ones" if synthetic else ""


def _summary(paths: Paths, model: str) -> str:
    """The accuracies of every model of this root, and the pictures of one."""
    run = find_run(paths, model)
    others = sorted(paths.models.glob("model_[0-9]*"))
    rows = [
        ("model", "training %", "FER %", "CK+ %", "combined %", "epochs"),
        *(_row(Run(folder)) for folder in others),
    ]
    pictures = "\n".join(
        f"  {path}" for path in sorted(run.folder.rglob("*.png")) if "misclassified" not in path.parent.name
    )
    return f"{text_table(rows, left=('model',))}\n\nPictures of {model}:\n{pictures}"


def _row(run: Run) -> tuple[str, ...]:
    accuracies = read_accuracies(run)
    metrics = ("Training", "FER Validation", "CKP Validation", "Combined Validation")
    shown = (f"{accuracies[f'{metric} Accuracy']:.2f}".replace("nan", "–") for metric in metrics)
    return (run.name, *shown, f"{accuracies['Epochs Completed']:.0f}")
