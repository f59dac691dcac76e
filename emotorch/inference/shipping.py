"""A finished run as a folder for others: a model that ships with the code, or one for a model hub.

It holds the run's small files, none with a face in it. It is built whole under a temporary name, then takes its place:
whatever goes wrong, what was there stays.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from emotorch.errors import EmoTorchError, UsageError
from emotorch.inference.onnx_export import Export, export
from emotorch.replacing import replace_folder, replacing
from emotorch.runs.findings import carry_over, find_folder
from emotorch.runs.folder import FACELESS, FACELESS_FINDINGS, FINISHED, LEAKY, Run
from emotorch.runs.pictures import draw_pictures
from emotorch.runs.private_test import private_scorings
from emotorch.runs.record import check_folder, checked_hash, fer_usage_of, with_hashes, write_record
from emotorch.runs.usage import usage_file
from emotorch.training import checkpoints

_SHIPPED, _PUBLISHED = "model.pth", f"model{checkpoints.TENSORS_SUFFIX}"
# What using a model needs; the state of optimizer and schedule, several times the size, is left out.
_USED = (
    *("model_state_dict", "model_config", "normalization", "pixels", "recipe", "labels", "scheme"),
    *("temperature", "epoch", "emotorch_version"),
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def check_name(name: str) -> None:
    """Raises UsageError for what is no plain name of one folder: separators, `..`, hidden or empty names."""
    if not _PLAIN_NAME.fullmatch(name):
        raise UsageError(
            f"NAME {name!r} is no plain name: letters, digits, '_', '-' and '.', with no dot in front and no folder"
        )


def publish(run: Run, weights: Path, folder: Path, write_texts: Callable[[Run], object]) -> Export:
    """Writes a model's folder for a model hub: `model.safetensors` with its config.json, `model.onnx`, the card.

    See `ship` for `write_texts` and what is returned.

    Raises:
        UsageError: the folder is there already, and not empty.
        EmoTorchError: the run is not finished, or leaky; its weights are damaged; the folder cannot be written; or the
            ONNX file's predictions are not PyTorch's.
    """
    _require_sound(run)
    final = folder.resolve()
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise UsageError(f"{folder} is there already: name a new folder, or remove it")
    return _build(run, weights, final, _PUBLISHED, write_texts)


def ship(run: Run, name: str, models: Path, write_texts: Callable[[Run], object]) -> Export:
    """Puts a run among the models that ship, in place of what had its name, with an ONNX file beside the weights.

    Args:
        run: Finished, and trained without the test rows of FER-2013.
        name: Of the folder; see `check_name`.
        models: The folder of all models that ship.
        write_texts: Writes the model card into the new folder, which is otherwise complete.

    Returns:
        The ONNX file in its final place.

    Raises:
        UsageError: the name is no plain one, or something else than a model has it.
        EmoTorchError: the run is not finished, or was trained on rows that test models are scored on, or on synthetic
            faces; its weights are damaged; or the ONNX file's predictions are not PyTorch's.
    """
    check_name(name)
    final = models / name
    _require_shippable(run)
    with replacing(final, f"shipping {name}"):
        if final.is_symlink() or (final.exists() and not (final / _SHIPPED).is_file()):
            raise UsageError(f"NAME {name!r} is taken: {final} is no model's folder")
        return _build(run, run.folder / _SHIPPED, final, _SHIPPED, write_texts)


def _require_sound(run: Run) -> None:
    record = run.record
    if "settings" not in record:
        raise EmoTorchError(f"{run.folder} has no record of how it was trained: only a run of this pipeline ships")
    if run.status(record) != FINISHED:
        raise EmoTorchError(f"{run.name} is not finished: only a whole run ships")
    if record.get(LEAKY):
        raise EmoTorchError(f"{run.name} is leaky: it was trained on variants or copies of what validates it")


def _require_shippable(run: Run) -> None:
    _require_sound(run)
    record = run.record
    if fer_usage_of(record) == "all":
        raise EmoTorchError(f"{run.name} was trained on FER-2013's test rows too: train with --fer-usage training")
    if record["dataset"]["synthetic"]:
        raise EmoTorchError(f"{run.name} was trained on synthetic faces: it says nothing about real ones")


def _build(run: Run, weights: Path, final: Path, name: str, write_texts: Callable[[Run], object]) -> Export:
    """The steps that shipping and publishing share; `name`: of the new file of weights."""
    partial = final.with_name(f".{final.name}.partial")
    new = partial / final.name  # files and cards state the folder's name
    shutil.rmtree(partial, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        _copy(run, weights, new / name)
        exported = export(new / name)
        write_texts(Run(new))
        for lock in new.glob(".*"):  # of what was measured
            lock.unlink()
        check_folder(new)
        replace_folder(new, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(exported, path=final / exported.path.name)


def _copy(run: Run, weights: Path, copy: Path) -> None:
    """Copies what is for others: weights, without what only training needs, tables, records, findings."""
    new = Run(copy.parent)
    before = checked_hash(weights)
    checkpoints.load_model(weights)  # what is none, or computes no numbers, is refused by its own name
    state = checkpoints.read(weights)
    usage_file(run)
    for pattern in FACELESS:
        for file in sorted(run.folder.glob(pattern)):
            if file.is_file() and file.suffix != ".png":
                shutil.copy(run.file(file.name), new.folder / file.name)
    checkpoints.save(copy, {key: state[key] for key in _USED if key in state})
    record = new.record
    if looks := private_scorings(run, weights):
        record["private_scorings"] = looks
    write_record(new.folder, with_hashes(record, new.folder))
    draw_pictures(new, run.record["labels"], {})  # from the tables: nothing vouches for the run's own pictures
    after = checked_hash(copy)
    for analysis, patterns in FACELESS_FINDINGS.items():
        carry_over(find_folder(run, analysis, weights), new.folder / analysis, patterns, before, after)
