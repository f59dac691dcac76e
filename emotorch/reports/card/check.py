"""Whether the models that ship score on this machine's PublicTest what their cards say."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emotorch.analyses import scores
from emotorch.datasets import FER_PUBLIC
from emotorch.evaluation.evaluate import evaluate
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.paths import SHIPPED_MODELS, Paths
from emotorch.runs.folder import Run
from emotorch.tables import Table


@dataclass(frozen=True)
class Check:
    """How many images of PublicTest a shipped model gets right here, and how many its card states; None where it states
    nothing of so many images."""

    name: str
    images: int
    correct: int
    stated: int | None

    @property
    def equal(self) -> bool:
        return self.correct == self.stated


def check_shipped(paths: Paths, *, device: str, threads: int) -> Iterator[Check]:
    """Scores every model that ships, one after the other.

    Raises:
        EmoTorchError: the dataset of a model's label scheme is not there, or weights are damaged.
        UsageError: there is no such device.
    """
    for weights in sorted(SHIPPED_MODELS.glob("*/model.pth")):
        loaded = LoadedRun.load(paths, str(weights), device=device, threads=threads)
        predictions = evaluate(loaded, FER_PUBLIC).predictions
        # What ships with the model, not what was found of it here since.
        findings = scores.ANALYSIS.read(Run(weights.parent), weights) or {"sets": []}
        stated = {int(np.sum(found["counts"])): int(np.trace(found["counts"])) for found in findings["sets"]}
        yield Check(loaded.run.name, predictions.images, predictions.correct, stated.get(predictions.images))


def to_table(checks: Sequence[Check]) -> Table:
    """For the console: a row for each model, accuracies in percent."""
    rows = [
        {
            "model": check.name,
            "images": check.images,
            "PublicTest %": 100 * check.correct / check.images,
            "card %": math.nan if check.stated is None else 100 * check.stated / check.images,
            "": "" if check.equal else "differs",
        }
        for check in checks
    ]
    return Table(pd.DataFrame(rows), dict.fromkeys(("PublicTest %", "card %"), "{:.2f}"))
