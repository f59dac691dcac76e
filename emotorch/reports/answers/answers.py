"""Answers about pictures and videos, for people and for programs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emotorch.files import write_csv
from emotorch.inference.predictor import Answer, FaceAnswer
from emotorch.reports.tables import text_table

# What draws, or decodes videos, takes long to import: it is asked for only when it is used.
if TYPE_CHECKING:
    from emotorch.inference.video import FrameAnswer

_BAR = 30  # characters for 100%

Row = tuple[object, ...]


def as_text(answer: Answer) -> str:
    """Emotion, confidence and the distribution as bars, for each face."""
    lines = []
    for number, face in enumerate(answer.faces, start=1):
        which = f" face {number}" if len(answer.faces) > 1 else ""
        lines += [f"{answer.input}{which}: {face.emotion} ({face.confidence:.1%})", *_bars(face.probabilities)]
    return "\n".join(lines)


def _bars(probabilities: Mapping[str, float]) -> list[str]:
    width = max(map(len, probabilities))
    return [f"  {label:<{width}} {share:6.1%} {'█' * round(share * _BAR)}" for label, share in probabilities.items()]


def as_table(answers: Sequence[Answer], labels: Sequence[str]) -> str:
    """A line per face with its probabilities in percent, and a last one that counts the answers.

    Args:
        answers: Of many pictures; those with an error are only counted.
        labels: The columns.
    """
    rows = [("picture", "face", "emotion", "confidence", *labels)]
    for answer in answers:
        for number, face in enumerate(answer.faces, start=1):
            shares = (f"{100 * face.probabilities[label]:.0f}" for label in labels)
            rows.append((answer.input, str(number), face.emotion, f"{face.confidence:.1%}", *shares))
    emotions = Counter(face.emotion for answer in answers for face in answer.faces)
    counted = ", ".join(f"{count:,} {emotion}" for emotion, count in emotions.most_common())
    faces, failed = emotions.total(), sum(answer.error is not None for answer in answers)
    summary = f"{_count(len(answers), 'picture')}, {_count(faces, 'face')}" + (f": {counted}" if counted else "")
    if failed:
        summary += f"; {failed:,} without an answer"
    return (text_table(rows, left=("picture", "emotion")) + "\n\n" if faces else "") + summary


def as_video_text(name: str, frames: Sequence["FrameAnswer"], labels: Sequence[str]) -> str:
    """How long it is, how many frames show a face, how often each answer was given, and mean probabilities."""
    faces = [face for frame in frames for face in frame.faces]
    with_face = sum(bool(frame.faces) for frame in frames)
    emotions = Counter(face.emotion for face in faces).most_common()
    people = len({number for frame in frames for number in frame.numbers})
    lines = [
        f"{name}: {_count(len(frames), 'frame')} in {frames[-1].time:.1f} s, {with_face:,} with a face, "
        f"{_count(people, 'face')} followed"
    ]
    if faces:
        often = ", ".join(f"{emotion} {count / len(faces):.0%}" for emotion, count in emotions)
        means = {label: sum(face.probabilities[label] for face in faces) / len(faces) for label in labels}
        lines += [f"  answers: {often}", "  mean probabilities:", *_bars(means)]
    return "\n".join(lines)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def as_json(answer: Answer, model: Path) -> str:
    """One object on one line."""
    return json.dumps(answer.as_dict(str(model)), ensure_ascii=False)


def frame_as_json(name: str, frame: "FrameAnswer", model: Path) -> str:
    """One object on one line: an input's, and its time in seconds."""
    return json.dumps(frame.as_dict(name, str(model)), ensure_ascii=False)


def table_rows(answer: Answer, labels: Sequence[str]) -> list[Row]:
    """What `write_table` takes: a row per face; one with the error for an input without an answer."""
    if answer.error:
        return [(answer.input, *[""] * (8 + len(labels)), answer.error)]
    return [_row(answer.input, "", number, face, labels) for number, face in enumerate(answer.faces, start=1)]


def frame_rows(name: str, frame: "FrameAnswer", labels: Sequence[str]) -> list[Row]:
    """A row per face; none for a frame without one. A person keeps their number through a video."""
    time = f"{frame.time:.3f}"
    return [_row(name, time, number, face, labels) for number, face in zip(frame.numbers, frame.faces, strict=True)]


def _row(name: str, time: str, number: int, face: FaceAnswer, labels: Sequence[str]) -> Row:
    box: Sequence[object] = face.as_dict()["box"] or [""] * 4
    shares = (f"{face.probabilities[label]:.6f}" for label in labels)
    return (name, time, number, *box, face.emotion, f"{face.confidence:.6f}", *shares, "")


def write_table(path: Path, rows: Sequence[Row], labels: Sequence[str], *, timed: bool) -> None:
    """Writes rows as CSV; `timed`: with the column `time`, seconds, which only a video's rows fill."""
    columns = ("input", "time", "face", "x", "y", "width", "height", "emotion", "confidence", *labels, "error")
    kept = [index for index, column in enumerate(columns) if timed or column != "time"]
    write_csv(path, [columns[index] for index in kept], ([row[index] for index in kept] for row in rows))


def save_picture(path: Path, answer: Answer) -> Path:
    """The picture in its colours with its face boxes, and the distribution of each face.

    Raises:
        EmoTorchError: the folder is not writable, or the picture is gone.
    """
    from emotorch.data.images import read_colours
    from emotorch.reports.pictures import plot_probabilities

    boxes = [None if face.box is None else tuple(face.as_dict()["box"]) for face in answer.faces]
    shares = [face.probabilities for face in answer.faces]
    names = [face.emotion for face in answer.faces]
    colours = read_colours(Path(answer.input))
    return plot_probabilities(path, colours, boxes, shares, Path(answer.input).name, names)
