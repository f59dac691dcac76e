"""The images that an analysis of a run may be about: none that the run was trained on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation, EvaluationSet, Predictions, evaluate, predict
from emotorch.evaluation.own_images import evaluate_validation
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import Model

_AUGMENTED = "-Augmented"


@dataclass(frozen=True)
class HeldOut:
    """Images that a run was not trained on, with the model's answers.

    Attributes:
        images: At least one.
        answers: To them.
        title: Run and dataset, marked when the faces are synthetic.
        lines: The score in words, and what was left out of it.
    """

    images: EvaluationSet
    predictions: Predictions
    title: str
    lines: Sequence[str]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every image's file, label and pixels, in hex: results about other images have another."""
        rows = zip(self.images.files, self.images.labels.tolist(), self.images.hashes.tolist(), strict=True)
        text = "\n".join(f"{file}\t{label}\t{pixels}" for file, label, pixels in rows)
        return hashlib.sha256(text.encode()).hexdigest()


def held_out(paths: Paths, run: Run, model: Model, dataset: str | None, device: torch.device) -> HeldOut:
    """What a run was not trained on, of a dataset (see `evaluate`) or of its own validation images.

    Of the run's own, FER-2013's count where it has any, else the first of another dataset. Variants are left out:
    they are changed already, and say little beyond their originals.

    Raises:
        EmoTorchError: no such dataset, or no image of it is left; or the run's own are unknown or not here.
    """
    if dataset is not None:
        scored = evaluate(paths, run, model, dataset, device)
        return HeldOut(scored.images, scored.predictions, scored.title, scored.lines)
    parts = evaluate_validation(paths, run, model, device)
    if not parts:
        raise EmoTorchError(
            f"{run.name} names no validation image that is here: name a DATASET, fer-public for example"
        )
    return _originals(parts[0], run, model, device)


def _originals(scored: Evaluation, run: Run, model: Model, device: torch.device) -> HeldOut:
    # A run of the published code may have been trained on variants of its own validation images.
    known = TrainingImages.of(run)
    pairs = list(zip(scored.images.files, scored.images.hashes.tolist(), strict=True))
    variant = np.array([_is_variant(file) for file, _ in pairs])
    trained_on = ~variant & np.array([known is not None and known.has(file, pixels) for file, pixels in pairs])
    chosen = ~variant & ~trained_on
    if chosen.all():
        return HeldOut(scored.images, scored.predictions, scored.title, scored.lines)
    if not chosen.any():
        raise EmoTorchError(f"{scored.title}: no original that was not trained on; name a DATASET, fer-public say")
    images = scored.images.part(chosen)
    predictions = predict(model, images, device)
    lines = [f"{scored.title}, originals alone: {predictions.line()}; {int(variant.sum())} variants are left out"]
    if trained_on.any():
        lines.append(f"{int(trained_on.sum())} originals are left out, because it was trained on variants of them")
    return HeldOut(images, predictions, scored.title, lines)


def _is_variant(file: str) -> bool:
    """Whether a file is in stage 3's folder, of whatever scheme."""
    return Path(file).parts[0].endswith(_AUGMENTED)
