"""Whether the models that ship score on this machine's PublicTest what their cards say."""

import math

import numpy as np
import pandas as pd

from emotorch.analyses import scores
from emotorch.datasets import FER_PUBLIC
from emotorch.evaluation.evaluate import evaluate
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.paths import SHIPPED_MODELS, Paths
from emotorch.runs.folder import Run
from emotorch.tables import Table

DIFFERS = "differs"


def check_shipped(paths: Paths, *, device: str, threads: int) -> Table:
    """Scores every model that ships: a row for each, accuracies in percent; the last column says which is `DIFFERS`.

    Raises:
        EmoTorchError: the dataset of a model's label scheme is not there, or weights are damaged.
        UsageError: there is no such device.
    """
    rows = []
    for weights in sorted(SHIPPED_MODELS.glob("*/model.pth")):
        loaded = LoadedRun.load(paths, str(weights), device=device, threads=threads)
        predictions = evaluate(loaded, FER_PUBLIC).predictions
        # What ships with the model, not what was found of it here since; where that is of so many images.
        findings = scores.ANALYSIS.read(Run(weights.parent), weights) or {"sets": []}
        counts = [np.array(found["counts"]) for found in findings["sets"]]
        stated = {int(of_set.sum()): int(np.trace(of_set)) for of_set in counts}.get(predictions.images)
        rows.append(
            {
                "model": loaded.run.name,
                "images": predictions.images,
                "PublicTest %": 100 * predictions.correct / predictions.images,
                "card %": math.nan if stated is None else 100 * stated / predictions.images,
                "": "" if predictions.correct == stated else DIFFERS,
            }
        )
    return Table(pd.DataFrame(rows), dict.fromkeys(("PublicTest %", "card %"), "{:.2f}"))
