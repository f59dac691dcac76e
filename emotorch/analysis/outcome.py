"""What a finished training answers on each of its sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from emotorch.analysis import metrics
from emotorch.data.selection import ImageSet
from emotorch.data.split import Indices
from emotorch.training.calibration import fit_temperature
from emotorch.training.inputs import InputForm
from emotorch.training.loop import LabelledPixels, network_outputs, predictions
from emotorch.training.losses import Loss
from emotorch.training.scores import NOTHING, Score, score_outputs


@dataclass(frozen=True)
class SetOutcome:
    """What the network says of a set.

    Attributes:
        images: The set.
        outputs: (N, K).
        score: Over all of it.
        without_twins: Over the images that have no exact twin in the training set. Only an official split, which
            is what it is, leaves any on both sides.
    """

    images: ImageSet
    outputs: Tensor
    score: Score
    without_twins: Score

    @cached_property
    def answers(self) -> Indices:
        return predictions(self.outputs)

    @cached_property
    def counts(self) -> metrics.Counts:
        return metrics.confusion_counts(self.images.labels, self.answers, self.outputs.shape[1])


@dataclass(frozen=True)
class Outcome:
    """The restored best epoch on every set of a run.

    Attributes:
        labels: Of the scheme.
        sets: By name, as `Selection.sets` gives them.
        validation: Those that validated.
        combined: Over all validation images.
        temperature: Fitted on the validation sets; see `emotorch.training.calibration`.
    """

    labels: Sequence[str]
    sets: Mapping[str, SetOutcome]
    validation: Mapping[str, SetOutcome]
    combined: Score
    temperature: float

    @property
    def never_answered(self) -> list[str]:
        """Labels that no validation image got."""
        counts = [outcome.counts for outcome in self.validation.values()]
        return metrics.never_answered(np.sum(counts, axis=0), self.labels) if counts else []


def score_sets(
    network: nn.Module,
    form: InputForm,
    sets: Mapping[str, tuple[ImageSet, LabelledPixels]],
    validating: Sequence[str],
    loss: Loss,
    labels: Sequence[str],
    threads: int,
) -> Outcome:
    """Runs the network over every set, in evaluation mode, and fits the temperature.

    Args:
        network: Trained.
        form: What it takes.
        sets: By name; none is empty.
        validating: The names of the validation sets.
        loss: To score with.
        labels: Of the scheme.
        threads: To run on.
    """
    training_hashes = sets["training"][0].hashes
    outcomes: dict[str, SetOutcome] = {}
    for name, (images, on_device) in sets.items():
        outputs = network_outputs(network, on_device.pixels, form, threads)
        truths = on_device.labels.cpu()
        alone = torch.from_numpy(~np.isin(images.hashes, training_hashes))
        outcomes[name] = SetOutcome(
            images,
            outputs,
            score_outputs(outputs, truths, loss),
            score_outputs(outputs[alone], truths[alone], loss),
        )
    validation = {name: outcomes[name] for name in validating}
    if not validation:
        return Outcome(labels, outcomes, validation, NOTHING, 1.0)
    outputs = torch.cat([outcome.outputs for outcome in validation.values()])
    truths = torch.from_numpy(np.concatenate([outcome.images.labels for outcome in validation.values()]))
    return Outcome(labels, outcomes, validation, score_outputs(outputs, truths, loss), fit_temperature(outputs, truths))
