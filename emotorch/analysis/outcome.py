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
from emotorch.training.loop import LabelledPixels, Score, network_outputs, predictions, score_outputs
from emotorch.training.losses import Loss


@dataclass(frozen=True)
class SetOutcome:
    """A set's images, the network's outputs (N, K) on them, and the score."""

    images: ImageSet
    outputs: Tensor
    score: Score

    @cached_property
    def answers(self) -> Indices:
        return predictions(self.outputs)

    @cached_property
    def counts(self) -> metrics.Counts:
        return metrics.confusion_counts(self.images.labels, self.answers, self.outputs.shape[1])

    @property
    def macro_f1(self) -> float:
        return metrics.macro_f1(self.images.labels, self.answers, self.outputs.shape[1])


@dataclass(frozen=True)
class Outcome:
    """The restored best epoch on every set of a run.

    Attributes:
        labels: Of the scheme.
        sets: By `training`, `fer`, `ckp`, `fer_reference`, `ckp_reference`; those without images too.
        temperature: Fitted on the validation sets; see `emotorch.training.calibration`.
    """

    labels: Sequence[str]
    sets: Mapping[str, SetOutcome]
    temperature: float

    @property
    def validation(self) -> dict[str, SetOutcome]:
        """The validation sets that have images."""
        return {name: self.sets[name] for name in ("fer", "ckp") if len(self.sets[name].images)}

    @property
    def never_answered(self) -> list[str]:
        """Labels that no validation image got."""
        counts = [outcome.counts for outcome in self.validation.values()]
        return metrics.never_answered(np.sum(counts, axis=0), self.labels) if counts else []


def score_sets(
    network: nn.Module,
    sets: Mapping[str, tuple[ImageSet, LabelledPixels]],
    loss: Loss,
    labels: Sequence[str],
    threads: int,
) -> Outcome:
    """Runs the network over every set, in evaluation mode, and fits the temperature."""
    outcomes = {}
    for name, (images, on_device) in sets.items():
        outputs = network_outputs(network, on_device.pixels, threads) if len(images) else torch.empty(0, len(labels))
        outcomes[name] = SetOutcome(images, outputs, score_outputs(outputs, on_device.labels, loss))
    validation = [outcomes["fer"], outcomes["ckp"]]
    temperature = fit_temperature(
        torch.cat([outcome.outputs for outcome in validation]),
        torch.from_numpy(np.concatenate([outcome.images.labels for outcome in validation])),
    )
    return Outcome(labels, outcomes, temperature)
