"""All stages in order, each as its own process, as a person would run them; then a table of what came out."""

import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from emotorch.data.recognition import recognise
from emotorch.data.synthetic_dataset import write_dataset
from emotorch.datasets import CKP, FER
from emotorch.errors import SYNTHETIC_FOLDER, EmoTorchError
from emotorch.labels import DEFAULT, get_scheme
from emotorch.paths import REPOSITORY, STAGE_1, STAGE_2, STAGE_3, STAGE_4, Paths
from emotorch.runs.folder import FINISHED, Run, find_run, list_runs
from emotorch.runs.scores import read_accuracies
from emotorch.tables import Table, to_text

_MODELS = "develop_baseline_model/models"
# Columns of the summary, and the rows of final_accuracies.csv that they show.
_ACCURACIES = {
    "training %": "Training Accuracy",
    "FER %": "FER Validation Accuracy",
    "CK+ %": "CKP Validation Accuracy",
    "combined %": "Combined Validation Accuracy",
}


class StageError(EmoTorchError):
    """A stage failed, and has said why; whoever runs it ends with its exit status."""

    def __init__(self, title: str, status: int) -> None:
        super().__init__(f"{title} failed (exit status {status}); the lines above say why")
        # Below 0: a signal ended it.
        self.status = status if status > 0 else EmoTorchError.status


def choose_root(paths: Paths) -> tuple[Paths, bool]:
    """The user's root if FER-Datasets holds anything, and False; else a root for synthetic faces, and True."""
    there = recognise(paths, get_scheme(DEFAULT))
    if there.datasets or there.passed_over:
        return paths, False
    return Paths(paths.root / SYNTHETIC_FOLDER), True


def run_all(paths: Paths, models: int, training: Sequence[str] = ()) -> None:
    """Prepares, augments, trains, compares, evaluates and plots; prints a table and the pictures' paths.

    Args:
        paths: The user's root.
        models: How many to train, at least 1: the first at the defaults, the others as a sweep.
        training: Options of stages 4 and 5.

    Raises:
        StageError: a stage failed.
    """
    chosen, synthetic = choose_root(paths)
    if synthetic:
        print(f"No dataset in {paths.raw}: drawing synthetic faces in {chosen.root} instead.", flush=True)
        write_dataset(chosen)
    started = time.perf_counter()
    run_stage(chosen, "stage 1", STAGE_1)
    run_stage(chosen, "stage 2", STAGE_2)
    run_stage(chosen, "stage 3", STAGE_3)
    trained = run_stage(chosen, "stage 4", STAGE_4, *training)
    model = Path(trained.splitlines()[-1]).name
    if models > 1:
        others = ("--num-models", str(models - 1), *training)
        run_stage(chosen, "stage 5", f"{_MODELS}/train_multiple_models.py", *others)
    run_stage(chosen, "stage 6", f"{_MODELS}/compare_models_to_original.py")
    evaluated = [dataset.key for dataset in (FER, CKP) if (chosen.originals / dataset.name).is_dir()]
    for arguments in [[model, key] for key in evaluated] or [[model]]:
        run_stage(chosen, "stage 7", f"{_MODELS}/evaluate_model.py", *arguments)
    run_stage(chosen, "stage 8", f"{_MODELS}/plot_confusion_matrix.py", model)
    run_stage(chosen, "stage 8", f"{_MODELS}/plot_training_history.py", model)
    note = ", on synthetic faces: the figures say that it works, and nothing about real ones" if synthetic else ""
    print(f"\nAll stages ran in {time.perf_counter() - started:.0f} s{note}.\n")
    print(f"{to_text(_accuracies(chosen))}\n\nPictures of {model}:")
    for picture in _pictures(find_run(chosen, model)):
        print(f"  {picture}")
    print("\nTo try, from the project root:")
    print("\n".join(f"  {line}" for line in _to_try(chosen, model, moved=synthetic)))


def prepare_datasets(paths: Paths, schemes: Sequence[str]) -> None:
    """Stages 1 and 2, the second once for each label scheme; what is up to date stays.

    Raises:
        StageError: a stage failed.
    """
    run_stage(paths, "stage 1", STAGE_1)
    for scheme in schemes:
        run_stage(paths, "stage 2", STAGE_2, "--scheme", scheme)


def run_stage(paths: Paths, title: str, script: str, *arguments: str) -> str:
    """Runs a script with its output shown; returns what it printed.

    Raises:
        StageError: its exit status is not 0.
    """
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
        raise StageError(title, process.returncode)
    print(f"   {time.perf_counter() - started:.1f} s", flush=True)
    return "".join(printed)


def _accuracies(paths: Paths) -> Table:
    """The accuracies of every finished model of this root."""
    import pandas as pd

    rows = []
    for run in list_runs(paths.models):
        if run.status() == FINISHED:
            values = read_accuracies(run)
            shown = {column: values.get(metric, math.nan) for column, metric in _ACCURACIES.items()}
            rows.append({"model": run.name, **shown, "epochs": values.get("Epochs Completed", math.nan)})
    return Table(pd.DataFrame(rows), {**dict.fromkeys(_ACCURACIES, "{:.2f}"), "epochs": "{:.0f}"})


def _to_try(paths: Paths, model: str, *, moved: bool) -> list[str]:
    """Commands with the model's name, after those that set the environment and a root other than the user's."""
    environment = [f"source {shlex.quote(sys.prefix)}/bin/activate"] if sys.prefix != sys.base_prefix else []
    root = [f"export EMOTORCH_ROOT={shlex.quote(str(paths.root))}"] if moved else []
    scripts = ("evaluate_model.py", "explain_model.py", "write_report.py")
    return [*environment, *root, *(f"python {_MODELS}/{script} {model}" for script in scripts)]


def _pictures(run: Run) -> list[Path]:
    """All pictures of a run's folder, but those of single images."""
    return sorted(path for path in run.folder.rglob("*.png") if "misclassified" not in path.parent.name)
