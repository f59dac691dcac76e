"""Predictions for pictures: faces are found, cut out, and read by a trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotorch.data.detectors import Detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box, Face, cut_face
from emotorch.data.images import SIZE, PixelForm, Pixels, read_photo
from emotorch.errors import EmoTorchError
from emotorch.inference.reader import FaceReader

# Instead of a label, where the model is asked to abstain.
UNSURE = "unsure"


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one face.

    Attributes:
        box: Where it is in the picture; None when the whole picture was taken as the face.
        emotion: The most probable label; None where the model abstains.
        confidence: The probability of the most probable label, 0-1.
        probabilities: Of every label, 0-1, in the model's order; they sum to 1.
        turn: Degrees, counter-clockwise, that the face was turned by to be upright; see `Face.turn`.
    """

    box: Box | None
    emotion: str | None
    confidence: float
    probabilities: Mapping[str, float]
    turn: float = 0.0

    @property
    def shown(self) -> str:
        """The emotion in text, tables and pictures."""
        return self.emotion or UNSURE

    def abstaining_below(self, confidence: float) -> "Prediction":
        """The same, but without an emotion when it is less confident; the probabilities stay."""
        return replace(self, emotion=None) if self.confidence < confidence else self

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `box` is a list of x, y, width and height, or None."""
        return {
            "box": list(astuple(self.box)) if self.box else None,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True)
class PicturePredictions:
    """What a model predicts for the faces of one input, or why there is no prediction.

    Attributes:
        input: As it was named.
        picture: (H, W) grey or (H, W, 3) red, green, blue; None when it could not be read.
        faces: Left to right.
        error: None when all went well.
        detector: How they were found, `none` where the whole picture was taken; None when it could not be read.
    """

    input: str
    picture: Pixels | None
    faces: Sequence[Prediction]
    error: str | None
    detector: str | None = None

    @classmethod
    def failed(
        cls, name: str, error: str, picture: Pixels | None = None, detector: str | None = None
    ) -> "PicturePredictions":
        """Of an input without a prediction."""
        return cls(name, picture, [], error, detector)

    def abstaining_below(self, confidence: float) -> "PicturePredictions":
        return replace(self, faces=[face.abstaining_below(confidence) for face in self.faces])

    def as_dict(self, model: str) -> dict[str, Any]:
        """The object that `--json` prints for an input; `model`: its entry of that name."""
        return {
            "input": self.input,
            "model": model,
            "detector": self.detector,
            "faces": [{**face.to_dict(), "emotion": face.shown} for face in self.faces],
            "error": self.error,
        }


def predict_file(reader: FaceReader, path: Path, detector: Detector | None) -> PicturePredictions:
    """The predictions for a picture file in any format that Pillow reads; errors are part of them."""
    try:
        picture = read_photo(path)
    except EmoTorchError as error:
        return PicturePredictions.failed(str(path), str(error).removeprefix(f"{path}: "))
    return predict_named(reader, str(path), picture, detector)


def predict_named(reader: FaceReader, name: str, picture: Pixels, detector: Detector | None) -> PicturePredictions:
    """The predictions for all faces that `locate` finds; finding none is an error, and errors are part of them."""
    used = detector.name if detector and not _is_a_face(picture) else "none"
    try:
        faces = locate(picture, detector)
        if not faces:
            raise EmoTorchError("no face found; use --detector none when the picture is a face already cut out")
        return PicturePredictions(name, picture, predict_faces(reader, picture, faces), None, used)
    except EmoTorchError as error:
        return PicturePredictions.failed(name, str(error), picture, used)


def locate(picture: Pixels, detector: Detector | None) -> Sequence[Face | None]:
    """The faces in a picture, (H, W) grey or (H, W, 3) red, green, blue, left to right; None is the whole picture.

    A picture of exactly 48×48 pixels is taken as a face; without a detector every picture is.

    Raises:
        EmoTorchError: the detector cannot search it.
    """
    if detector is None or _is_a_face(picture):
        return [None]
    try:
        return find_faces(picture, detector)
    except cv2.error as error:
        height, width = picture.shape[:2]
        raise EmoTorchError(
            f"--detector {detector.name} cannot search a picture of {width}×{height} pixels ({error.err}); "
            "use --detector none when it is a face already cut out"
        ) from error


def _is_a_face(picture: Pixels) -> bool:
    return picture.shape[:2] == (SIZE, SIZE)


def predict_faces(reader: FaceReader, picture: Pixels, faces: Sequence[Face | None]) -> list[Prediction]:
    """A prediction for each face in a picture, grey or in colours; None takes the whole picture as the face.

    Raises:
        EmoTorchError: the model gives NaN or infinity for one of the faces.
    """
    if not faces:
        return []
    return to_predictions(faces, reader.probabilities(cut_faces(picture, faces, reader.form)), reader)


def cut_faces(picture: Pixels, faces: Sequence[Face | None], form: PixelForm) -> Pixels:
    """(N, …), in the form that a model reads, of at least one face."""
    places = [(face.box, face.turn) if face else (None, 0.0) for face in faces]
    return np.stack([cut_face(picture, box, turn, form) for box, turn in places])


def to_predictions(
    faces: Sequence[Face | None], probabilities: NDArray[np.float32], reader: FaceReader
) -> list[Prediction]:
    """Predictions of (N, K) probabilities that a reader gave.

    Raises:
        EmoTorchError: they are no finite numbers.
    """
    require_finite(probabilities, reader.weights)
    return [
        Prediction(
            box=face.box if face else None,
            emotion=reader.labels[int(np.argmax(row))],
            confidence=max(row),
            probabilities=dict(zip(reader.labels, row, strict=True)),
            turn=face.turn if face else 0.0,
        )
        for face, row in zip(faces, probabilities.tolist(), strict=True)
    ]


def require_finite(probabilities: NDArray[np.float32], weights: Path) -> None:
    """NaNs have their maximum at the first place: without this, damaged weights would always predict the first label.

    Raises:
        EmoTorchError: there is a NaN among them.
    """
    if not np.isfinite(probabilities).all():
        raise EmoTorchError(
            f"the model's outputs for this input are no finite numbers; the weights in {weights} are damaged, or their "
            "training diverged: use another model"
        )
