"""What a finished training scores on each of its sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from emotorch.data.selection import ImageSet
from emotorch.data.split import Indices
from emotorch.metrics import confusion
from emotorch.metrics.calibration import predicted_classes
from emotorch.metrics.scores import Score


@dataclass(frozen=True)
class SetOutcome:
    """The network's outputs for a set, and their score.

    Attributes:
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
    def predictions(self) -> Indices:
        return predicted_classes(self.outputs)

    @cached_property
    def counts(self) -> confusion.Counts:
        return confusion.confusion_counts(self.images.labels, self.predictions, self.outputs.shape[1])


@dataclass(frozen=True)
class Outcome:
    """The restored best epoch on every set of a run.

    Attributes:
        sets: By name, as `Selection.sets` gives them.
        validation: Those that validated.
        combined: Over all validation images.
        temperature: Fitted on the validation sets; see `emotorch.metrics.calibration`.
    """

    labels: Sequence[str]
    sets: Mapping[str, SetOutcome]
    validation: Mapping[str, SetOutcome]
    combined: Score
    temperature: float

    @property
    def never_predicted(self) -> list[str]:
        """Labels that no validation image got."""
        counts = [outcome.counts for outcome in self.validation.values()]
        return confusion.never_predicted(np.sum(counts, axis=0), self.labels) if counts else []
