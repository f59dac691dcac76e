"""A finished run as the model that ships with the code: its small files, none of them with a face in it.

The new folder is built whole under a temporary name beside the one that it replaces, then takes its place: whatever
goes wrong, the model that was there stays.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import exclusive, hash_file, replace_folder, restore_folder
from emotorch.inference.onnx_export import Export, export
from emotorch.runs.findings import carry_over, find_folder
from emotorch.runs.folder import FACELESS, FACELESS_FINDINGS, FINISHED, HASHES, LEAKY, Run, checked_hash
from emotorch.runs.private_test import private_scorings
from emotorch.training import checkpoints

_WEIGHTS = "model.pth"
# What a model is used with; the optimizer's and the schedule's state, several times the size, are left out.
_USED = (
    *("model_state_dict", "model_config", "normalization", "recipe", "labels", "scheme"),
    *("temperature", "epoch", "emotorch_version"),
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def check_name(name: str) -> None:
    """Raises UsageError for what is no plain name of one folder: separators, `..`, hidden or empty names."""
    if not _PLAIN_NAME.fullmatch(name):
        raise UsageError(
            f"NAME {name!r} is no plain name: letters, digits, '_', '-' and '.', with no dot in front and no folder"
        )


def ship(run: Run, name: str, models: Path, write_texts: Callable[[Run], object]) -> Export:
    """Puts a run among the models that ship, in place of what had its name, with an ONNX file beside the weights.

    Args:
        run: Finished, and trained without the test rows of FER-2013.
        name: Of the folder; see `check_name`.
        models: The folder that all models that ship are in.
        write_texts: Is given the new folder, complete but for what is rendered from its files: the model card.

    Returns:
        Of the ONNX file in its final place.

    Raises:
        UsageError: the name is no plain one, or something else than a model has it.
        EmoTorchError: the run is not finished, or was trained on rows that test models are scored on, or on synthetic
            faces; its weights are damaged; or the ONNX file's predictions are not PyTorch's.
    """
    check_name(name)
    final = models / name
    _require_shippable(run)
    with exclusive(final.with_name(f".{name}.lock"), f"shipping {name}"):
        restore_folder(final)
        if final.is_symlink() or (final.exists() and not (final / _WEIGHTS).is_file()):
            raise UsageError(f"NAME {name!r} is taken: {final} is no model's folder")
        with _build_folder(final) as new:
            _copy(run, new)
            exported = export(new / _WEIGHTS)
            write_texts(Run(new))
            # Locks of what was measured.
            for hidden in new.glob(".*"):
                hidden.unlink()
            replace_folder(new, final)
    return replace(exported, path=final / exported.path.name)


def _require_shippable(run: Run) -> None:
    record = run.record
    if "settings" not in record:
        raise EmoTorchError(f"{run.folder} has no record of how it was trained: only a run of this pipeline ships")
    if run.status(record) != FINISHED:
        raise EmoTorchError(f"{run.name} is not finished: only a whole run ships")
    if record["settings"]["recipe"]["fer_usage"] == "all":
        raise EmoTorchError(f"{run.name} was trained on FER-2013's test rows too: train with --fer-usage training")
    if record.get(LEAKY):
        raise EmoTorchError(f"{run.name} is leaky: its validation images have variants among those it was trained on")
    if record["dataset"]["synthetic"]:
        raise EmoTorchError(f"{run.name} was trained on synthetic faces: it says nothing about real ones")


@contextmanager
def _build_folder(final: Path) -> Iterator[Path]:
    """An empty folder of the final one's name, which files and cards state, in a hidden folder beside it."""
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    new = partial / final.name
    new.mkdir(parents=True)
    try:
        yield new
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(run: Run, new: Path) -> None:
    """Everything of a run that may ship: the weights to use it with, its tables and records, its findings."""
    before = checked_hash(run.folder / _WEIGHTS)
    state = checkpoints.read(run.folder / _WEIGHTS)
    for pattern in FACELESS:
        for file in sorted(run.folder.glob(pattern)):
            if file.is_file():
                shutil.copy(file, new / file.name)
    checkpoints.save(new / _WEIGHTS, {key: state[key] for key in _USED if key in state})
    after = hash_file(new / _WEIGHTS)
    Run(new).update(**{HASHES[_WEIGHTS]: after})
    if looks := private_scorings(run, run.folder / _WEIGHTS):
        Run(new).update(private_scorings=looks)
    for analysis, patterns in FACELESS_FINDINGS.items():
        carry_over(find_folder(run, analysis, run.folder / _WEIGHTS), new / analysis, patterns, before, after)
