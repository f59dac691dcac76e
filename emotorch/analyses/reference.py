"""The model that another model's errors are measured by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.seen import seen_by
from emotorch.evaluation.sets import EvaluationSet
from emotorch.files import hash_file
from emotorch.paths import Paths
from emotorch.runs.folder import Run, shipped_or_named
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import Model, load_model


@dataclass(frozen=True)
class Reference:
    """A model to measure errors by, what is known of the images that it was trained on, and the datasets' paths."""

    name: str
    model: Model
    weights_hash: str
    training: TrainingImages | None
    paths: Paths

    def has_seen(self, images: EvaluationSet) -> NDArray[np.bool_]:
        """(N,) which images it was trained on: themselves, a variant, a twin, or others of a person shown in them."""
        return np.logical_or(*seen_by(self.model, images, self.training, self.paths))


def find_reference(loaded: LoadedRun, named: str | None) -> Reference | str:
    """The model to compare errors with: the named one, else the EmoTorch baseline that ships; or why there is none.

    Raises:
        EmoTorchError: there is no model of this name.
        UsageError: the named model's predictions cannot be read as the other's labels.
    """
    try:
        weights = shipped_or_named(loaded.paths, named)
    except EmoTorchError:
        if named is not None:
            raise
        return "no EmoTorch baseline ships with this version: name another model with --reference"
    weights_hash = hash_file(weights)
    if named is None and weights_hash == hash_file(loaded.weights):
        return "this is the EmoTorch baseline, which others are measured by: name another model with --reference"
    try:
        reference = load_model(weights).read_as(loaded.model.scheme)
    except UsageError as error:
        if named is not None:
            raise
        return f"the EmoTorch baseline has other labels ({error}): name another model with --reference"
    run = Run(weights.parent)
    return Reference(run.name, reference, weights_hash, TrainingImages.of(run), loaded.paths)
