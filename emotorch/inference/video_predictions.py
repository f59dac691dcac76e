"""Predictions for a whole video, as data: frames, people, rows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from emotorch.errors import EmoTorchError, UsageError
from emotorch.inference.predictions import Prediction
from emotorch.inference.video import FramePredictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VideoPredictions:
    """What a model predicts for the frames of a video; iterate over it for the frames.

    Attributes:
        path: The file, as it was named.
        labels: The classes, in the order of the probabilities.
        frames: All that could be read, in order, also those without a face.
        error: Why they end too early; None when all went well.
    """

    path: str
    labels: tuple[str, ...]
    frames: Sequence[FramePredictions]
    error: str | None = None

    def __repr__(self) -> str:
        return f"<emotorch.VideoPredictions {self.path}: {len(self)} frames>"

    def __iter__(self) -> Iterator[FramePredictions]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def smoothed(self, seconds: float) -> "VideoPredictions":
        """The same with each person's probabilities averaged over time: what is older counts less, exponentially.

        Args:
            seconds: After so many a prediction counts 1/e of what it did.

        Raises:
            EmoTorchError: it is no number above 0.
        """
        require_seconds(seconds)
        last: dict[int, tuple[float, Prediction]] = {}
        frames = []
        for frame in self.frames:
            faces = []
            for number, face in zip(frame.numbers, frame.faces, strict=True):
                if number in last:
                    time, before = last[number]
                    face = _mixed(face, before, math.exp(-max(frame.time - time, 0.0) / seconds))
                last[number] = frame.time, face
                faces.append(face)
            frames.append(replace(frame, faces=faces))
        return replace(self, frames=frames)

    def abstaining_below(self, confidence: float) -> "VideoPredictions":
        """The same, without an emotion where a prediction is less confident."""
        return replace(self, frames=[frame.abstaining_below(confidence) for frame in self.frames])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": self.path,
            "labels": list(self.labels),
            "frames": [frame.to_dict() for frame in self.frames],
            "error": self.error,
        }

    def to_frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for every frame and person, and one for every frame without a face.

        Columns: time in seconds, person, x, y, width, height in pixels, emotion, confidence, one for each label.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise UsageError("to_frame gives a pandas frame, and pandas is not installed: pip install pandas") from None
        rows = []
        for frame in self.frames:
            for number, face in zip(frame.numbers, frame.faces, strict=True):
                place = astuple(face.box) if face.box else (None,) * 4
                values = (face.probabilities[label] for label in self.labels)
                rows.append((frame.time, number, *place, face.emotion, face.confidence, *values))
            if not frame.faces:
                rows.append((frame.time, *[None] * (7 + len(self.labels))))
        columns = ["time", "person", "x", "y", "width", "height", "emotion", "confidence", *self.labels]
        whole = dict.fromkeys(("person", "x", "y", "width", "height"), "Int64")
        return pd.DataFrame(rows, columns=columns).astype(
            {**whole, "confidence": float, **dict.fromkeys(self.labels, float)}
        )


def require_seconds(seconds: float) -> None:
    """Raises EmoTorchError when `smoothed` cannot take it."""
    if not 0 < seconds < math.inf:
        raise EmoTorchError(f"smooth: {seconds} is no number of seconds above 0")


def _mixed(face: Prediction, before: Prediction, weight: float) -> Prediction:
    """With the probabilities of the same person before, which count `weight`, 0-1."""
    probabilities = {
        label: weight * before.probabilities[label] + (1 - weight) * probability
        for label, probability in face.probabilities.items()
    }
    best = max(probabilities, key=lambda label: probabilities[label])
    return replace(face, emotion=best, confidence=probabilities[best], probabilities=probabilities)
