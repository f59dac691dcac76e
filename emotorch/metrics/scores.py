"""The scores of a set of images and of an epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotorch.metrics.confusion import Counts, accuracy, macro_f1


@dataclass(frozen=True)
class Score:
    """Means over images: loss, accuracy and macro-F1 in percent. NaN for an empty set."""

    loss: float
    accuracy: float
    macro_f1: float
    images: int


NO_SCORE = Score(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class EpochScores:
    """An epoch.

    Attributes:
        epoch: From 1.
        learning_rate: At its end.
        training: As it ran, with weights changing, on augmented images.
        validation: After it, by the set's name.
        combined: Over all validation images of all sets.
    """

    epoch: int
    learning_rate: float
    training: Score
    validation: Mapping[str, Score]
    combined: Score

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EpochScores":
        """The inverse of `dataclasses.asdict`; earlier code's had the `seconds` too."""
        return cls(
            values["epoch"],
            values["learning_rate"],
            Score(**values["training"]),
            {name: Score(**score) for name, score in values["validation"].items()},
            Score(**values["combined"]),
        )


def score_counts(loss: float, counts: Counts) -> Score:
    """The score of a confusion matrix (K, K), a row for each true class, of one image at least."""
    return Score(loss, float(accuracy(counts)), float(macro_f1(counts)), int(counts.sum()))
