"""Everything one call of prediction prints, writes and shows, for any inputs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from emotorch.data.faces import check_detector
from emotorch.data.images import read_colours
from emotorch.errors import EmoTorchError
from emotorch.inference import outputs as reports
from emotorch.inference.inputs import Input, Kind, expand
from emotorch.inference.outputs import Wishes, check_save, deliver_picture
from emotorch.inference.predictor import Answer, answer_file
from emotorch.inference.reader import FaceReader

if TYPE_CHECKING:
    from emotorch.inference.contact_sheet import Tile

# More pictures than this are answered in a table, not at length.
_AT_LENGTH = 5


def predict(reader: FaceReader, weights: Path, names: Sequence[str], wishes: Wishes) -> int:
    """Answers all inputs, prints, writes and shows what is wished; what is wrong with one does not stop the rest.

    Args:
        reader: The model.
        weights: What the output calls the model.
        names: Files, folders, patterns and videos; see `expand`.
        wishes: See there.

    Returns:
        How many inputs had an error.

    Raises:
        UsageError: `save` cannot hold what the inputs give.
        EmoTorchError: something cannot be written, or the detector is not there.
    """
    check_detector(wishes.detector)
    inputs = expand(names)
    check_save(wishes.save, inputs)
    has_folder = any(Path(name).is_dir() for name in names)
    pictures = sum(item.kind is Kind.PICTURE for item in inputs)
    call = _Call(reader, weights, wishes, as_table=has_folder or pictures > _AT_LENGTH, is_single=len(inputs) == 1)
    for item in tqdm(inputs, unit=" inputs", disable=None if len(inputs) > _AT_LENGTH else True):
        call.answer(item)
    call.finish(Path(names[0]) if len(names) == 1 else Path("contact_sheet"))
    return call.errors


def watch(reader: FaceReader, weights: Path, camera: str, wishes: Wishes) -> int:
    """Answers a camera's pictures in a live window, until it is closed or `frames` of them are answered.

    Args:
        reader: The model.
        weights: What the output calls the model.
        camera: Its number, or a video file that stands in for one.
        wishes: See there.

    Returns:
        How many errors there were: 0 or 1.

    Raises:
        UsageError: `save` is no video.
        EmoTorchError: there is no screen, and nowhere else that the answers were to go to; or no detector.
    """
    from emotorch.inference.outputs import has_display

    check_detector(wishes.detector)
    check_save(wishes.save, [Input(Path(camera), Kind.VIDEO)])
    if not has_display() and not (wishes.json or wishes.csv or wishes.save):
        raise EmoTorchError(
            "--webcam opens a window, and there is no screen here: add --json, --csv FILE or --save FILE, "
            "which need none"
        )
    call = _Call(reader, weights, replace(wishes, visualize=has_display()), as_table=False, is_single=True)
    call.answer_video(camera)
    call.finish(Path(camera))
    return call.errors


@dataclass
class _Call:
    """What has come of the inputs so far.

    Attributes:
        as_table: Whether pictures are answered in a table, at the end.
        is_single: Whether there is one input, which gets a picture of its own and no sheet.
    """

    reader: FaceReader
    weights: Path
    wishes: Wishes
    as_table: bool
    is_single: bool
    errors: int = 0
    is_timed: bool = False
    rows: list[reports.Row] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    tiles: "list[Tile]" = field(default_factory=list)

    def answer(self, item: Input) -> None:
        if item.error:
            self._take(Answer(str(item.path), None, [], item.error))
        elif item.kind is Kind.VIDEO:
            self.answer_video(str(item.path))
        else:
            answer = answer_file(self.reader, item.path, self.wishes.detector)
            self._take(answer.abstaining_below(self.wishes.abstain_below))

    def _take(self, answer: Answer) -> None:
        """Prints and draws a picture's answer, or keeps for the end what that needs: never the picture itself."""
        self._report(answer)
        if not answer.error and not self.wishes.json and not self.as_table:
            print(reports.as_text(answer))
        if self.wishes.draws and not self.is_single:
            self._add_tile(answer)
        elif self.wishes.draws and not answer.error:
            deliver_picture(self.wishes, partial(reports.save_picture, answer=answer), Path(answer.input))
        self.answers.append(replace(answer, picture=None))

    def _report(self, answer: Answer) -> None:
        """What programs read; and the error, for a person."""
        self.rows += reports.table_rows(answer, self.reader.labels)
        if self.wishes.json:
            print(reports.as_json(answer, self.weights))
        if answer.error:
            self.errors += 1
            if not self.wishes.json:
                print(f"error: {answer.input}: {answer.error}", file=sys.stderr)

    def _add_tile(self, answer: Answer) -> None:
        from emotorch.inference.contact_sheet import MOST_TILES, make_tile

        if len(self.tiles) < MOST_TILES:
            self.tiles.append(make_tile(answer, None if answer.picture is None else read_colours(Path(answer.input))))

    def answer_video(self, name: str) -> None:
        from emotorch.inference.video import FrameAnswer
        from emotorch.inference.video_output import follow_video

        self.is_timed = True

        def take(frame: FrameAnswer) -> None:
            self.rows += reports.frame_rows(name, frame, self.reader.labels)
            if self.wishes.json:
                print(reports.frame_as_json(name, frame, self.weights))

        error, text = follow_video(self.reader, name, self.wishes, take)
        if text and not self.wishes.json:
            print(text)
        if error:
            self._report(Answer(name, None, [], error))

    def finish(self, beside: Path) -> None:
        """What is told of all inputs together; `beside`: what a sheet is named after."""
        if self.answers and self.as_table and not self.wishes.json:
            print(reports.as_table(self.answers, self.reader.labels))
        if self.wishes.csv:
            reports.write_table(self.wishes.csv, self.rows, self.reader.labels, timed=self.is_timed)
        if self.tiles:
            from emotorch.inference.contact_sheet import plot_contact_sheet

            title = f"Answers of {self.weights.parent.name}"
            write = partial(plot_contact_sheet, tiles=self.tiles, pictures=len(self.answers), title=title)
            deliver_picture(self.wishes, write, beside)
