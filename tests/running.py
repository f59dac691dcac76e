"""Running the repository's scripts inside the test's own process, so that imports are paid once; and reading
what they wrote."""

import contextlib
import csv
import io
import logging
import os
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from emotorch.paths import REPOSITORY, Paths
from emotorch.runs.folder import Run
from emotorch.runs.record import with_hashes, write_record

MODELS = "develop_baseline_model/models"
COMPARE = f"{MODELS}/compare_models_to_original.py"
EVALUATE = f"{MODELS}/evaluate_model.py"
PLOT_CONFUSION = f"{MODELS}/plot_confusion_matrix.py"
PLOT_HISTORY = f"{MODELS}/plot_training_history.py"
SWEEP = f"{MODELS}/train_multiple_models.py"
TRAIN = f"{MODELS}/convolutional_nn_pytorch.py"
EXPORT_ONNX = "baseline_model/model/export_onnx.py"
EVALUATE_USAGE = "baseline_model/model/eval_model.py"
PREDICT = "baseline_model/model/predict_image_baselinemodel.py"

Done = subprocess.CompletedProcess[str]


def call_script(paths: Paths, name: str, *arguments: object) -> Done:
    """What a user of one core gets who runs the script in the root: exit status, stdout, stderr with log lines."""
    script = REPOSITORY / name
    stdout, stderr = io.StringIO(), io.StringIO()
    status: int | str | None = 0
    with (
        patch.object(sys, "argv", [str(script), *map(str, arguments)]),
        patch.dict(os.environ, {"EMOTORCH_ROOT": str(paths.root)}),
        contextlib.chdir(paths.root),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        patch("emotorch.cli.available_cores", return_value=1),
        _fresh_logging(),
    ):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            status = end.code
    assert isinstance(status, int)
    return Done([str(script), *map(str, arguments)], status, stdout.getvalue(), stderr.getvalue())


@contextlib.contextmanager
def _fresh_logging() -> Iterator[None]:
    """The script sets logging up as in a process of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def error_line(done: Done, status: int = 1) -> str:
    """The one line with which a call failed; other lines on stderr are progress."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "error:" in line)
    assert line.startswith("error:") or status == 2, line
    return line


def last_line(done: Done) -> str:
    """Of what a call that went well printed."""
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@dataclass(frozen=True)
class Trained:
    """A trained model, and the root that it is in."""

    paths: Paths
    folder: Path


def train(paths: Paths, *options: object) -> Path:
    """Stage 4, for 2 epochs on 1 thread; returns the run's folder."""
    return Path(last_line(call_script(paths, TRAIN, "--epochs", 2, "--threads", 1, *options)))


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV with Unix line ends and a header."""
    text = path.read_bytes().decode()
    assert "\r" not in text
    assert text.endswith("\n")
    return list(csv.DictReader(text.splitlines()))


def read_counts(folder: Path, name: str) -> np.ndarray:
    """`confusion_counts_<name>.csv` without its labels."""
    rows = (folder / f"confusion_counts_{name}.csv").read_text().splitlines()
    return np.array([row.split(",")[1:] for row in rows[1:]], int)


def assert_same_weights(first: Path, second: Path) -> None:
    """Two runs' weights are equal bit for bit, of the best epoch and of the last."""
    for name in ("model.pth", "model_last.pth"):
        ours, theirs = (torch.load(folder / name, weights_only=True) for folder in (first, second))
        for key, weights in ours["model_state_dict"].items():
            assert torch.equal(weights, theirs["model_state_dict"][key]), (name, key)


def replace_weights(folder: Path, state: dict[str, object]) -> None:
    """Another model in a run's folder, which its record says is its own."""
    torch.save(state, folder / "model.pth")
    accept(folder)


def accept(folder: Path) -> None:
    """Makes the record of a run tell of its files as they are now, and of the images in its list."""
    record = Run(folder).record
    if (folder / "image_usage.csv").exists():
        found = Counter(row["usage"].removesuffix("_validation") for row in read_table(folder / "image_usage.csv"))
        references = {name: count for name, count in record["counts"].items() if name.endswith("_reference")}
        record["counts"] = {**found, **references}
    write_record(folder, with_hashes(record, folder))


def interrupt(folder: Path, epochs: int, threads: int = 1) -> None:
    """Makes a finished run one that was interrupted on its way to so many epochs, on so many threads a process."""
    settings = Run(folder).record["settings"]
    recipe = {**settings["recipe"], "epochs": epochs}
    Run(folder).update(status="interrupted", settings={**settings, "recipe": recipe, "threads": threads})


def copy_root(paths: Paths, to: Path) -> Paths:
    """The same files under another root, as links: a test may add or remove files, but not change one in place."""
    shutil.copytree(paths.root, to, copy_function=os.link)
    return Paths(to)


def copy_trained(trained: Trained, to: Path) -> Trained:
    """The same in a root of a test's own; the model's folder may be changed at will."""
    paths = copy_root(trained.paths, to)
    folder = paths.models / trained.folder.name
    shutil.rmtree(folder)
    shutil.copytree(trained.folder, folder)
    return Trained(paths, folder)
