"""Where what is drawn of answers goes: a named file, a window, or without a screen a file beside the input."""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotorch.errors import UsageError
from emotorch.inference.inputs import ANSWER_STEM, Input, Kind

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the answers.

    Attributes:
        detector: How faces are found: `haar`, `yunet`, or `none`.
        abstain_below: Answers with less confidence become "unsure".
        json: Print an object per picture and per frame, and nothing else.
        csv: Where to write a table.
        save: Where to write a picture, a contact sheet or an annotated video.
        visualize: Show it; without a screen write it beside the input.
        frames: Of a video or a camera at most so many; None for all.
    """

    detector: str = "haar"
    abstain_below: float = 0.0
    json: bool = False
    csv: Path | None = None
    save: Path | None = None
    visualize: bool = False
    frames: int | None = None

    @property
    def draws(self) -> bool:
        return self.save is not None or self.visualize

    def say(self, text: object) -> None:
        """To the user; not among the objects that a program reads."""
        if self.json:
            logger.info("%s", text)
        else:
            print(text)


def check_save(save: Path | None, inputs: Sequence[Input]) -> None:
    """Before anything is answered: whether the file can hold what the inputs give.

    Raises:
        UsageError: it cannot.
    """
    if save is None:
        return
    videos = sum(item.kind is Kind.VIDEO for item in inputs)
    if videos and len(inputs) > 1:
        raise UsageError("--save takes pictures, or one video; --visualize gives each of several videos its own copy")
    if save.resolve() in {item.path.resolve() for item in inputs}:
        raise UsageError(f"--save {save}: this is the input itself; choose another name")
    from emotorch.reports.answers.frames import VIDEO_CODECS
    from emotorch.reports.canvas import FORMATS

    endings = VIDEO_CODECS if videos else FORMATS
    if save.suffix.lower() not in endings:
        raise UsageError(
            f"--save {save}: {'a video' if videos else 'a picture'} is written to a file that ends in "
            f"{', '.join(endings)}"
        )


def place_beside(path: Path, suffix: str) -> Path:
    """`photo_emotions.png` beside `photo.jpg`; in the working directory where that may not be written to."""
    resolved = path.resolve()
    folder = resolved.parent if os.access(resolved.parent, os.W_OK) else Path.cwd()
    return folder / f"{resolved.stem}{ANSWER_STEM}{suffix}"


def deliver_picture(wishes: Wishes, write: Callable[[Path], object], beside: Path) -> None:
    """Draws a picture where it is wished, and says where.

    Args:
        wishes: `save` and `visualize` of them.
        write: Draws it into a file, whose ending tells the format.
        beside: The input that it is named after, where no name is wished.
    """
    from emotorch.reports.answers.window import has_display, show_picture

    shown = wishes.visualize and has_display()
    target = wishes.save or (place_beside(beside, ".png") if wishes.visualize and not shown else None)
    if target is not None:
        write(target)
        wishes.say(target)
    if shown:
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "answers.png"
            write(drawn)
            show_picture(drawn)
