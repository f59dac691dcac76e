"""The timeline of a video: what was predicted for each person, over time."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emotorch.figures.canvas import new_figure, save, tidy
from emotorch.figures.colours import BLUE, GREY, PALE
from emotorch.inference.video import FramePredictions

# People who are shown, and the height of a row in inches.
_MOST_PEOPLE = 12
_ROW = 0.42


def plot_timeline(path: Path, frames: Sequence[FramePredictions], labels: Sequence[str], title: str) -> Path:
    """Draws a block for each person, at most for the twelve seen most, with a row for each label.

    A row's height is the label's probability, blue where it is the prediction; it is empty while the person is out of
    sight. `frames` are all of the video, in order.
    """
    return save(_timeline_figure(frames, labels, title), path)


def _timeline_figure(frames: Sequence[FramePredictions], labels: Sequence[str], title: str) -> Figure:
    seen = Counter(number for frame in frames for number in frame.numbers)
    shown = sorted(number for number, _ in seen.most_common(_MOST_PEOPLE))
    figure = new_figure(10, (_ROW * len(labels) + 0.85) * len(shown) + 0.9, title)
    times = np.array([frame.time for frame in frames])
    end = max(2 * times[-1] - times[-2] if len(times) > 1 else 1.0, 1e-3)  # the last frame lasts, too
    blocks = figure.subfigures(max(len(shown), 1), 1, squeeze=False)[:, 0]
    for number, block in zip(shown, blocks, strict=False):
        probabilities, predicted = _of_person(frames, number, labels)
        block.suptitle(
            f"Person {number}: in sight in {seen[number]:,} of {len(frames):,} frames, "
            f"on average {labels[int(np.nanmean(probabilities, axis=0).argmax())]}",
            fontsize=10,
            parse_math=False,
        )
        rows = block.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, label) in enumerate(zip(rows, labels, strict=True)):
            _draw_row(axes, np.append(times, end), probabilities[:, index], predicted == index, label)
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        rows[-1].tick_params(labelbottom=True)
        rows[-1].set_xlabel("Time (s)")
    figure.supxlabel(_note(len(seen)), fontsize=9)
    return figure


def _of_person(frames: Sequence[FramePredictions], number: int, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(T, K) probabilities, NaN where it is not in sight; (T,) the predicted label's index, −1 without one."""
    probabilities = np.full((len(frames), len(labels)), np.nan)
    predicted = np.full(len(frames), -1)
    for index, frame in enumerate(frames):
        for seen, face in zip(frame.numbers, frame.faces, strict=True):
            if seen == number:
                probabilities[index] = [face.probabilities[label] for label in labels]
                # Where the model abstains, it predicts none of the labels.
                predicted[index] = labels.index(face.emotion) if face.emotion in labels else -1
    return probabilities, predicted


def _draw_row(axes: Axes, edges: np.ndarray, probabilities: np.ndarray, is_predicted: np.ndarray, label: str) -> None:
    """A step for each frame, from its time to the next one's."""
    axes.stairs(100 * probabilities, edges, fill=True, color=GREY)
    axes.stairs(np.where(is_predicted, 100 * probabilities, np.nan), edges, fill=True, color=BLUE)
    tidy(axes)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 100), yticks=(0, 50))
    axes.set_yticklabels(["", ""])
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, parse_math=False)
    axes.spines[["left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _note(people: int) -> str:
    note = "Height of a row: probability, 0-100%. Blue: the prediction."
    if people > _MOST_PEOPLE:
        note += f" The {_MOST_PEOPLE} people seen most, of {people}."
    return "No face was found." if people == 0 else note
