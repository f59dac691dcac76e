"""Trained models that are compared with each other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emotorch.datasets import DATASETS
from emotorch.errors import UsageError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.paths import Paths
from emotorch.runs.folder import Run, run_in, weights_file
from emotorch.runs.usage import TRAINING, read_image_usage
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.device import choose_device, make_repeatable

# Of a run's settings those that are no part of how it is trained.
_NOT_SETTINGS = ("seed", "device", "threads", "tensorboard", "checkpoint_every_s")


@dataclass(frozen=True)
class Candidate:
    """One of the models, by its run's name, with the file's where that is not model.pth; by its path where two are
    called the same."""

    name: str
    loaded: LoadedRun

    @property
    def run(self) -> Run:
        return self.loaded.run

    @property
    def model(self) -> Model:
        return self.loaded.model

    @cached_property
    def seed(self) -> int | None:
        """Of its training; None where the run does not tell."""
        seed: int | None = self.run.record.get("settings", {}).get("seed")
        return seed

    @cached_property
    def recipe_key(self) -> str:
        """Equal for runs of the same settings and data, whatever their seed; a run without a record is alone."""
        record = self.run.record
        if "settings" not in record:
            return self.name
        settings = {key: value for key, value in record["settings"].items() if key not in _NOT_SETTINGS}
        return json.dumps([settings, record.get("dataset"), self.loaded.weights.name], sort_keys=True)

    @cached_property
    def trained_on(self) -> str | None:
        """The dataset, as options call it; None where the run does not tell."""
        name = self.run.record.get("settings", {}).get("train_on")
        if name is None:  # a published run has no record
            rows = read_image_usage(self.run) or []
            named = {Path(row["image_path"]).parts[-3:-2] for row in rows if row["usage"] == TRAINING}
            name = "".join(named.pop()) if len(named) == 1 else None
        return DATASETS[name].key if name in DATASETS else name


def load_candidates(
    paths: Paths, names: Sequence[str], *, device: str, threads: int, scheme: str | None = None
) -> list[Candidate]:
    """Loads the models, and makes this process's arithmetic repeatable; for the arguments see `LoadedRun.load`.

    Raises:
        EmoTorchError: a model's file is damaged.
        UsageError: there is no such model or device, one is named twice, or a model cannot be read as the scheme.
    """
    files = [weights_file(paths, name).resolve() for name in names]
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice")
    make_repeatable(threads)
    short = [file.parent.name if file.name == "model.pth" else f"{file.parent.name}/{file.name}" for file in files]
    return [
        Candidate(
            name if short.count(name) == 1 else file.as_posix(),
            LoadedRun(paths, run_in(paths, file.parent), file, load_model(file, scheme), choose_device(device)),
        )
        for name, file in zip(short, files, strict=True)
    ]
