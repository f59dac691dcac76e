"""Outputs of predictions: text and JSON to print, rows of a table, pictures to save or to show."""

import logging
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np

from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.data.images import Pixels, read_photo, to_colours
from emotorch.errors import UsageError, needs_extra
from emotorch.files import printable, write_csv
from emotorch.inference.inputs import OUTPUT_STEM, VIDEO_SUFFIXES, Input, Kind
from emotorch.inference.predictions import PicturePredictions, Prediction
from emotorch.inference.video import FramePredictions
from emotorch.screen import json_line, one_line
from emotorch.tables import counted, text_table

logger = logging.getLogger(__name__)

Row = tuple[object, ...]

_BAR = 30  # characters for 100%
_MODEL_SUFFIXES = (".pth", ".safetensors", ".onnx", ".json")
_WINDOW = "EmoTorch"
_KEYS_TO_LEAVE = (27, ord("q"))  # 27 is Escape


@dataclass(frozen=True)
class OutputOptions:
    """The outputs that the user asks for.

    Attributes:
        detector: How faces are found; see `open_detector`.
        abstain_below: Predictions with less confidence, 0-1, become "unsure".
        json: Print an object per picture and per frame, and nothing else.
        csv: Where to write a table.
        save: Where to write a picture, a contact sheet or an annotated video.
        visualize: Show it; without a screen write it beside the input.
        frames: Of a video or a camera at most so many; None for all.
    """

    detector: str = "auto"
    abstain_below: float = 0.0
    json: bool = False
    csv: Path | None = None
    save: Path | None = None
    visualize: bool = False
    frames: int | None = None

    @property
    def draws(self) -> bool:
        return self.save is not None or self.visualize

    @property
    def shows(self) -> bool:
        return self.visualize and has_display()

    def target(self, beside: Path, suffix: str) -> Path | None:
        """The file to draw into: the named one; without a screen to show it on, one beside the input; or none."""
        if self.save or not self.visualize or self.shows:
            return self.save
        return place_beside(beside, suffix)

    def say(self, text: object) -> None:
        """Tells the user; never between JSON objects that a program reads."""
        if self.json:
            logger.info("%s", text)
        else:
            print(one_line(str(text)))


# Text.


def as_text(prediction: PicturePredictions) -> str:
    """Emotion, confidence and the distribution as bars, for each face."""
    lines, name = [], one_line(prediction.input)
    for number, face in enumerate(prediction.faces, start=1):
        which = f" face {number}" if len(prediction.faces) > 1 else ""
        lines += [f"{name}{which}: {face.shown} ({face.confidence:.1%})", *_bars(face.probabilities)]
    return "\n".join(lines)


def as_table(predictions: Sequence[PicturePredictions], labels: Sequence[str]) -> str:
    """A line per face with its probabilities in percent, and a last one that counts predictions and errors."""
    rows = [("picture", "face", "emotion", "confidence", *labels)]
    for prediction in predictions:
        for number, face in enumerate(prediction.faces, start=1):
            percent = (f"{100 * face.probabilities[label]:.0f}" for label in labels)
            rows.append((one_line(prediction.input), str(number), face.shown, f"{face.confidence:.1%}", *percent))
    emotions = Counter(face.shown for prediction in predictions for face in prediction.faces)
    often = ", ".join(f"{count:,} {emotion}" for emotion, count in emotions.most_common())
    faces, failed = emotions.total(), sum(prediction.error is not None for prediction in predictions)
    summary = f"{counted(len(predictions), 'picture')}, {counted(faces, 'face')}" + (f": {often}" if often else "")
    if failed:
        summary += f"; {failed:,} without a prediction"
    return (text_table(rows, left=("picture", "emotion")) + "\n\n" if faces else "") + summary


def as_video_text(name: str, frames: Sequence[FramePredictions], labels: Sequence[str]) -> str:
    """Its length, how many frames show a face, how often each label was predicted, and mean probabilities."""
    faces = [face for frame in frames for face in frame.faces]
    with_face = sum(bool(frame.faces) for frame in frames)
    emotions = Counter(face.shown for face in faces).most_common()
    people = len({number for frame in frames for number in frame.numbers})
    lines = [
        f"{one_line(name)}: {counted(len(frames), 'frame')} in {frames[-1].time:.1f} s, {with_face:,} with a face, "
        f"{counted(people, 'face')} followed"
    ]
    if faces:
        often = ", ".join(f"{emotion} {count / len(faces):.0%}" for emotion, count in emotions)
        means = {label: sum(face.probabilities[label] for face in faces) / len(faces) for label in labels}
        lines += [f"  predictions: {often}", "  mean probabilities:", *_bars(means)]
    return "\n".join(lines)


def _bars(probabilities: Mapping[str, float]) -> list[str]:
    width = max(map(len, probabilities))
    return [f"  {label:<{width}} {value:6.1%} {'█' * round(value * _BAR)}" for label, value in probabilities.items()]


# For programs.


def as_json(predictions: PicturePredictions | FramePredictions, model: Path) -> str:
    """One object on one line."""
    return json_line(predictions.as_dict(str(model)))


def table_rows(predictions: PicturePredictions | FramePredictions, labels: Sequence[str]) -> list[Row]:
    """Rows for `write_table`: one per face, or one for a frame without a face or an input with an error."""
    name, time, error = printable(predictions.input), "", ""
    numbers: Sequence[int] = range(1, len(predictions.faces) + 1)
    if isinstance(predictions, FramePredictions):
        time, numbers = f"{predictions.time:.3f}", predictions.numbers
    else:
        error = predictions.error or ""
    faces = zip(numbers, predictions.faces, strict=True)
    return [_row(name, time, number, face, labels) for number, face in faces] or [
        (name, time, *[""] * (7 + len(labels)), error)
    ]


def _row(name: str, time: str, number: int, face: Prediction, labels: Sequence[str]) -> Row:
    box: Sequence[object] = astuple(face.box) if face.box else [""] * 4
    probabilities = (f"{face.probabilities[label]:.6f}" for label in labels)
    return (name, time, number, *box, face.shown, f"{face.confidence:.6f}", *probabilities, "")


def write_table(path: Path, rows: Sequence[Row], labels: Sequence[str], *, timed: bool) -> None:
    """Writes rows as CSV; `timed`: with the column `time`, seconds, empty for pictures."""
    columns = ("input", "time", "face", "x", "y", "width", "height", "emotion", "confidence", *labels, "error")
    kept = [index for index, column in enumerate(columns) if timed or column != "time"]
    write_csv(path, [columns[index] for index in kept], ([row[index] for index in kept] for row in rows))


# Pictures. What draws them is imported where it is needed: matplotlib takes longer than a prediction.


def check_targets(options: OutputOptions, inputs: Sequence[Input]) -> None:
    """Checks, before anything is predicted, that named files can hold the output and are no inputs.

    Raises:
        UsageError: one cannot, or is one.
    """
    # In `--csv *.jpg` the shell puts the first picture where the table goes.
    if options.csv and options.csv.suffix.lower() in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES, *_MODEL_SUFFIXES):
        raise UsageError(f"--csv {options.csv}: a table takes no picture's, video's or model's name; name a .csv file")
    for option, target in (("--csv", options.csv), ("--save", options.save)):
        if target and target.exists() and not target.is_file():
            raise UsageError(f"{option} {target}: a folder, device or pipe is there; name a file")
        # Path.resolve raises for a link to itself.
        if target and os.path.realpath(target) in {os.path.realpath(item.path) for item in inputs if not item.error}:
            raise UsageError(f"{option} {target}: this is the input itself; choose another name")
    videos = sum(item.kind is Kind.VIDEO for item in inputs)
    if options.draws and videos < len(inputs):
        with needs_extra("draw", "drawing pictures (--save, --visualize)"):
            import matplotlib  # noqa: F401
    save = options.save
    if save is None:
        return
    if videos and len(inputs) > 1:
        raise UsageError("--save takes pictures, or one video; --visualize gives each of several videos its own copy")
    endings: Collection[str]
    if videos:
        from emotorch.inference.video_output import VIDEO_CODECS

        endings = VIDEO_CODECS
    else:
        from emotorch.figures.canvas import FORMATS

        endings = FORMATS
    if save.suffix.lower() not in endings:
        raise UsageError(
            f"--save {save}: {'a video' if videos else 'a picture'} is written to a file that ends in "
            f"{', '.join(endings)}"
        )


def place_beside(path: Path, suffix: str) -> Path:
    """`photo_emotions.png` beside `photo.jpg`; in the working directory where that may not be written to."""
    resolved = path.resolve()
    folder = resolved.parent if os.access(resolved.parent, os.W_OK) else Path.cwd()
    return folder / f"{resolved.stem}{OUTPUT_STEM}{suffix}"


def save_picture(path: Path, prediction: PicturePredictions) -> Path:
    """The picture, which must have been read, in colour with its face boxes, and the probabilities of each face.

    Raises:
        EmoTorchError: the folder is not writable.
    """
    from emotorch.figures.canvas import save
    from emotorch.figures.faces import probabilities_figure

    boxes = [astuple(face.box) if face.box else None for face in prediction.faces]
    probabilities = [face.probabilities for face in prediction.faces]
    emotions = [face.shown for face in prediction.faces]
    assert prediction.picture is not None
    colours = to_colours(prediction.picture)
    title = one_line(Path(prediction.input).name)
    return save(probabilities_figure(colours, boxes, probabilities, title, emotions), path)


def deliver_picture(options: OutputOptions, write: Callable[[Path], object], beside: Path) -> None:
    """Saves or shows a picture as `save` and `visualize` ask for, and says where it is.

    `write` draws it into a file, whose ending tells the format; an unnamed one is named after the input `beside` it.
    """
    target = options.target(beside, ".png")
    if target is not None:
        write(target)
        options.say(target)
    if options.shows:
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "predictions.png"
            write(drawn)
            show_picture(drawn)


# The window.


def has_display() -> bool:
    """Whether a window can be opened: where it cannot, OpenCV would end the process."""
    if sys.platform in ("darwin", "win32"):
        return True
    display = os.environ.get("DISPLAY", "")
    if not display.startswith(":"):
        return bool(display)  # of another machine, as through ssh -X
    number = display[1:].partition(".")[0]
    with socket.socket(socket.AF_UNIX) as server:
        # The second name is the abstract one, which a container may share without the file.
        for address in (f"/tmp/.X11-unix/X{number}", f"\0/tmp/.X11-unix/X{number}"):
            try:
                server.connect(address)
            except OSError:
                continue
            return True
    return False


def show_picture(path: Path) -> None:
    """Shows a picture file until a key is pressed or its window closed."""
    cv2.imshow(_WINDOW, np.ascontiguousarray(to_colours(read_photo(path))[:, :, ::-1]))
    while cv2.waitKey(50) < 0 and _is_open():
        pass
    close_window()


def show_frame(pixels: Pixels) -> bool:
    """Shows (H, W, 3), blue, green, red; False when the user pressed q or Escape, or closed the window."""
    cv2.imshow(_WINDOW, pixels)
    return cv2.waitKey(1) & 0xFF not in _KEYS_TO_LEAVE and _is_open()


def close_window() -> None:
    cv2.destroyAllWindows()


def _is_open() -> bool:
    return cv2.getWindowProperty(_WINDOW, cv2.WND_PROP_VISIBLE) >= 1
