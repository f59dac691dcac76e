"""How a video's answers change: each label's probability over the seconds."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emotorch.inference.video import FrameAnswer
from emotorch.reports.canvas import BLUE, GREY, PALE, new_figure, save, tidy

_MOST_FACES = 3
_ROW = 0.42  # inches


def plot_timeline(path: Path, frames: Sequence[FrameAnswer], labels: Sequence[str], title: str) -> Path:
    """Draws a block for each of the three faces seen most, with a row for each label.

    A row's height is the label's probability, blue where it is the answer; where the face is not in sight the row
    is empty.

    Args:
        path: The picture to write.
        frames: All of the video, in order.
        labels: The rows, from the top.
        title: Above all.
    """
    return save(_timeline_figure(frames, labels, title), path)


def _timeline_figure(frames: Sequence[FrameAnswer], labels: Sequence[str], title: str) -> Figure:
    seen = Counter(number for frame in frames for number in frame.numbers)
    shown = sorted(number for number, _ in seen.most_common(_MOST_FACES))
    figure = new_figure(10, (_ROW * len(labels) + 0.85) * len(shown) + 0.9, title)
    times = np.array([frame.time for frame in frames])
    end = max(2 * times[-1] - times[-2] if len(times) > 1 else 1.0, 1e-3)  # the last frame lasts, too
    blocks = figure.subfigures(max(len(shown), 1), 1, squeeze=False)[:, 0]
    for number, block in zip(shown, blocks, strict=False):
        shares, answers = _of_face(frames, number, labels)
        block.suptitle(
            f"Face {number}: in sight in {seen[number]:,} of {len(frames):,} frames, "
            f"on average {labels[int(np.nanmean(shares, axis=0).argmax())]}",
            fontsize=10,
            parse_math=False,
        )
        rows = block.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, label) in enumerate(zip(rows, labels, strict=True)):
            _draw_row(axes, np.append(times, end), shares[:, index], answers == index, label)
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        rows[-1].tick_params(labelbottom=True)
        rows[-1].set_xlabel("Time (s)")
    figure.supxlabel(_note(len(seen)), fontsize=9)
    return figure


def _of_face(frames: Sequence[FrameAnswer], number: int, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(T, K) probabilities, NaN where it is not in sight; (T,) the answer's index, −1 where there is none."""
    shares = np.full((len(frames), len(labels)), np.nan)
    answers = np.full(len(frames), -1)
    for index, frame in enumerate(frames):
        for seen, face in zip(frame.numbers, frame.faces, strict=True):
            if seen == number:
                shares[index] = [face.probabilities[label] for label in labels]
                # An answer that the model abstained from is none of the labels.
                answers[index] = labels.index(face.emotion) if face.emotion in labels else -1
    return shares, answers


def _draw_row(axes: Axes, edges: np.ndarray, shares: np.ndarray, is_answer: np.ndarray, label: str) -> None:
    """A step for each frame, from its time to the next one's."""
    axes.stairs(100 * shares, edges, fill=True, color=GREY)
    axes.stairs(np.where(is_answer, 100 * shares, np.nan), edges, fill=True, color=BLUE)
    tidy(axes)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 100), yticks=(0, 50))
    axes.set_yticklabels(["", ""])
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, parse_math=False)
    axes.spines[["left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _note(faces: int) -> str:
    note = "Height of a row: probability, 0-100%. Blue: the answer."
    if faces > _MOST_FACES:
        note += f" The {_MOST_FACES} faces seen most, of {faces}."
    return "No face was found." if faces == 0 else note
