"""Answers about pictures, for people and for programs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from emotorch.files import write_csv
from emotorch.inference.predictor import Answer, FaceAnswer
from emotorch.reports import figures

_BAR = 30  # characters for 100%


def as_text(answer: Answer) -> str:
    """Emotion, confidence and the distribution as bars, for each face."""
    lines = []
    for number, face in enumerate(answer.faces, start=1):
        which = f" face {number}" if len(answer.faces) > 1 else ""
        lines.append(f"{answer.input}{which}: {face.emotion} ({face.confidence:.1%})")
        width = max(map(len, face.probabilities))
        for label, probability in face.probabilities.items():
            lines.append(f"  {label:<{width}} {probability:6.1%} {'█' * round(probability * _BAR)}")
    return "\n".join(lines)


def as_json(answer: Answer, model: Path) -> str:
    """One object on one line."""
    return json.dumps(
        {
            "input": answer.input,
            "model": str(model),
            "faces": [
                {
                    "box": _box(face),
                    "emotion": face.emotion,
                    "confidence": face.confidence,
                    "probabilities": dict(face.probabilities),
                }
                for face in answer.faces
            ],
            "error": answer.error,
        },
        ensure_ascii=False,
    )


def write_table(path: Path, answers: Iterable[Answer], labels: Sequence[str]) -> None:
    """A row per face; a row with the error for an input without an answer."""
    rows: list[tuple[object, ...]] = []
    for answer in answers:
        if answer.error:
            rows.append((answer.input, *[""] * (7 + len(labels)), answer.error))
        for number, face in enumerate(answer.faces, start=1):
            box: Sequence[object] = _box(face) or [""] * 4
            shares = (f"{face.probabilities[label]:.6f}" for label in labels)
            rows.append((answer.input, number, *box, face.emotion, f"{face.confidence:.6f}", *shares, ""))
    columns = ("input", "face", "x", "y", "width", "height", "emotion", "confidence", *labels, "error")
    write_csv(path, columns, rows)


def save_picture(path: Path, answer: Answer) -> Path:
    """The picture with its face boxes, and the distribution of each face."""
    if answer.picture is None:
        raise ValueError(f"{answer.input} could not be read: there is no picture to draw on")
    boxes = [None if (box := _box(face)) is None else (box[0], box[1], box[2], box[3]) for face in answer.faces]
    shares = [face.probabilities for face in answer.faces]
    return figures.plot_probabilities(path, answer.picture, boxes, shares, Path(answer.input).name)


def _box(face: FaceAnswer) -> list[int] | None:
    return None if face.box is None else [face.box.x, face.box.y, face.box.width, face.box.height]
