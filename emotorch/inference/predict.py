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
from emotorch.inference.outputs import OutputOptions, check_save, deliver_picture
from emotorch.inference.predictor import PicturePredictions, predict_file
from emotorch.inference.reader import FaceReader

if TYPE_CHECKING:
    from emotorch.inference.contact_sheet import Tile

# More pictures than this are answered in a table, not at length.
_AT_LENGTH = 5


def predict(reader: FaceReader, weights: Path, names: Sequence[str], options: OutputOptions) -> int:
    """Answers all inputs, prints, writes and shows what is wished; what is wrong with one does not stop the rest.

    Args:
        reader: The model.
        weights: What the output calls the model.
        names: Files, folders, patterns and videos; see `expand`.
        options: See there.

    Returns:
        How many inputs had an error.

    Raises:
        UsageError: `save` cannot hold what the inputs give.
        EmoTorchError: something cannot be written, or the detector is not there.
    """
    check_detector(options.detector)
    inputs = expand(names)
    check_save(options.save, inputs)
    has_folder = any(Path(name).is_dir() for name in names)
    pictures = sum(item.kind is Kind.PICTURE for item in inputs)
    call = _Call(reader, weights, options, as_table=has_folder or pictures > _AT_LENGTH, is_single=len(inputs) == 1)
    for item in tqdm(inputs, unit=" inputs", disable=None if len(inputs) > _AT_LENGTH else True):
        call.predict(item)
    call.finish(Path(names[0]) if len(names) == 1 else Path("contact_sheet"))
    return call.errors


def watch(reader: FaceReader, weights: Path, camera: str, options: OutputOptions) -> int:
    """Answers a camera's pictures in a live window, until it is closed or `frames` of them are answered.

    Args:
        reader: The model.
        weights: What the output calls the model.
        camera: Its number, or a video file that stands in for one.
        options: See there.

    Returns:
        How many errors there were: 0 or 1.

    Raises:
        UsageError: `save` is no video.
        EmoTorchError: there is no screen, and nowhere else that the answers were to go to; or no detector.
    """
    from emotorch.inference.outputs import has_display

    check_detector(options.detector)
    check_save(options.save, [Input(Path(camera), Kind.VIDEO)])
    if not has_display() and not (options.json or options.csv or options.save):
        raise EmoTorchError(
            "--webcam opens a window, and there is no screen here: add --json, --csv FILE or --save FILE, "
            "which need none"
        )
    call = _Call(reader, weights, replace(options, visualize=has_display()), as_table=False, is_single=True)
    call.predict_video(camera)
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
    options: OutputOptions
    as_table: bool
    is_single: bool
    errors: int = 0
    is_timed: bool = False
    rows: list[reports.Row] = field(default_factory=list)
    predictions: list[PicturePredictions] = field(default_factory=list)
    tiles: "list[Tile]" = field(default_factory=list)

    def predict(self, item: Input) -> None:
        if item.error:
            self._take(PicturePredictions(str(item.path), None, [], item.error))
        elif item.kind is Kind.VIDEO:
            self.predict_video(str(item.path))
        else:
            prediction = predict_file(self.reader, item.path, self.options.detector)
            self._take(prediction.abstaining_below(self.options.abstain_below))

    def _take(self, prediction: PicturePredictions) -> None:
        """Prints and draws a picture's answer, or keeps for the end what that needs: never the picture itself."""
        self._report(prediction)
        if not prediction.error and not self.options.json and not self.as_table:
            print(reports.as_text(prediction))
        if self.options.draws and not self.is_single:
            self._add_tile(prediction)
        elif self.options.draws and not prediction.error:
            deliver_picture(self.options, partial(reports.save_picture, prediction=prediction), Path(prediction.input))
        self.predictions.append(replace(prediction, picture=None))

    def _report(self, prediction: PicturePredictions) -> None:
        """What programs read; and the error, for a person."""
        self.rows += reports.table_rows(prediction, self.reader.labels)
        if self.options.json:
            print(reports.as_json(prediction, self.weights))
        if prediction.error:
            self.errors += 1
            if not self.options.json:
                print(f"error: {prediction.input}: {prediction.error}", file=sys.stderr)

    def _add_tile(self, prediction: PicturePredictions) -> None:
        from emotorch.inference.contact_sheet import MOST_TILES, make_tile

        if len(self.tiles) < MOST_TILES:
            self.tiles.append(
                make_tile(prediction, None if prediction.picture is None else read_colours(Path(prediction.input)))
            )

    def predict_video(self, name: str) -> None:
        from emotorch.inference.video import FramePredictions
        from emotorch.inference.video_output import follow_video

        self.is_timed = True

        def take(frame: FramePredictions) -> None:
            self.rows += reports.frame_rows(name, frame, self.reader.labels)
            if self.options.json:
                print(reports.frame_as_json(name, frame, self.weights))

        error, text = follow_video(self.reader, name, self.options, take)
        if text and not self.options.json:
            print(text)
        if error:
            self._report(PicturePredictions(name, None, [], error))

    def finish(self, beside: Path) -> None:
        """What is told of all inputs together; `beside`: what a sheet is named after."""
        if self.predictions and self.as_table and not self.options.json:
            print(reports.as_table(self.predictions, self.reader.labels))
        if self.options.csv:
            reports.write_table(self.options.csv, self.rows, self.reader.labels, timed=self.is_timed)
        if self.tiles:
            from emotorch.inference.contact_sheet import plot_contact_sheet

            title = f"Answers of {self.weights.parent.name}"
            write = partial(plot_contact_sheet, tiles=self.tiles, pictures=len(self.predictions), title=title)
            deliver_picture(self.options, write, beside)
