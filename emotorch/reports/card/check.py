"""Whether the models that ship score on this machine's PublicTest what their cards say."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from emotorch.analyses import scores
from emotorch.evaluation.evaluate import evaluate
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.paths import SHIPPED_MODELS, Paths
from emotorch.runs.folder import Run
from emotorch.training.checkpoints import load_model

_DATASET = "fer-public"


@dataclass(frozen=True)
class Check:
    """A shipped model's score on PublicTest.

    Attributes:
        name: The model's.
        measured: (right, images) here and now.
        stated: The same on its card; None when the card says nothing of so many images.
    """

    name: str
    measured: tuple[int, int]
    stated: tuple[int, int] | None

    @property
    def equal(self) -> bool:
        return self.measured == self.stated


def check_shipped(paths: Paths, device: torch.device) -> Iterator[Check]:
    """Scores every model that ships, one after the other.

    Raises:
        EmoTorchError: the dataset of a model's label scheme is not there, or weights are damaged.
    """
    for weights in sorted(SHIPPED_MODELS.glob("*/model.pth")):
        run, model = Run(weights.parent), load_model(weights)
        predictions = evaluate(LoadedRun(paths, run, weights, model, device), _DATASET).predictions
        measured = predictions.correct, predictions.images
        findings = scores.ANALYSIS.read(run, weights) or {"sets": []}
        stated = [_score(found["counts"]) for found in findings["sets"]]
        yield Check(run.name, measured, next((score for score in stated if score[1] == measured[1]), None))


def _score(counts: list[list[int]]) -> tuple[int, int]:
    return int(np.trace(counts)), int(np.sum(counts))
