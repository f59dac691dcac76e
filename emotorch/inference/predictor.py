"""Answers for pictures: faces are found, cut out, and read by a trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emotorch.data.faces import Box, find_faces
from emotorch.data.images import SIZE, Pixels, decode_picture, resize
from emotorch.errors import EmoTorchError
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import Model
from emotorch.training.loop import network_outputs


@dataclass(frozen=True)
class FaceAnswer:
    """What a model says of one face.

    Attributes:
        box: Where it is in the picture; None when the whole picture was taken as the face.
        emotion: The most probable label.
        confidence: Its probability.
        probabilities: Of every label; they sum to 1.
    """

    box: Box | None
    emotion: str
    confidence: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """What a model says of one input: its faces, or why there are none.

    Attributes:
        input: As it was named.
        picture: (H, W) grey values; None when it could not be read.
        faces: Left to right.
        error: None when all went well.
    """

    input: str
    picture: Pixels | None
    faces: Sequence[FaceAnswer]
    error: str | None


def answer_file(model: Model, path: Path, detector: str) -> Answer:
    """An answer for a picture file in any format that Pillow reads; what is wrong with one is part of it."""
    picture = None
    try:
        picture = _read_input(path)
        return Answer(str(path), picture, answer_picture(model, picture, detector), None)
    except EmoTorchError as error:
        return Answer(str(path), picture, [], str(error).removeprefix(f"{path}: "))


def _read_input(path: Path) -> Pixels:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmoTorchError(f"{path}: {error.strerror or error}") from error
    return decode_picture(data, path, check_name=False)


def answer_picture(model: Model, picture: Pixels, detector: str) -> list[FaceAnswer]:
    """An answer for every face in a grey picture (H, W).

    A picture of just the training images' size is taken as a face at once.

    Raises:
        EmoTorchError: no face was found.
    """
    if detector == "none" or picture.shape == (SIZE, SIZE):
        boxes: list[Box | None] = [None]
    else:
        boxes = list(find_faces(picture))
        if not boxes:
            raise EmoTorchError("no face found; use --detector none when the picture is a face already cut out")
    faces = np.stack([resize(box.cut(picture) if box else picture) for box in boxes])
    outputs = network_outputs(model.network, torch.from_numpy(faces).unsqueeze(1), model.form)
    return [
        _face_answer(box, shares, model.labels)
        for box, shares in zip(boxes, probabilities(outputs, model.temperature).tolist(), strict=True)
    ]


def _face_answer(box: Box | None, shares: list[float], labels: tuple[str, ...]) -> FaceAnswer:
    best = int(np.argmax(shares))
    return FaceAnswer(box, labels[best], shares[best], dict(zip(labels, shares, strict=True)))
