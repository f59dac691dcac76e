"""The prediction command: what one call prints, writes and shows, for any inputs."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from emotorch.data.detectors import Detector, open_detector
from emotorch.data.images import Pixels
from emotorch.errors import EmoTorchError, installing
from emotorch.inference import outputs
from emotorch.inference.inputs import Input, Kind, expand
from emotorch.inference.outputs import OutputOptions, check_targets, deliver_picture, has_display
from emotorch.inference.predictions import PicturePredictions, predict_file
from emotorch.inference.reader import FaceReader
from emotorch.inference.video import Frame, FramePredictions, Video, predict_video
from emotorch.screen import one_line

if TYPE_CHECKING:
    from emotorch.inference.contact_sheet import Tile

logger = logging.getLogger(__name__)

# More pictures than this are printed as a table.
_AT_LENGTH = 5


def predict(reader: FaceReader, weights: Path, names: Sequence[str], options: OutputOptions) -> int:
    """Predicts for files, folders, patterns and videos (see `expand`) and gives what the options ask for.

    An error of one input does not stop the others. Returns the number of inputs with one.

    Raises:
        UsageError: `save` cannot hold what the inputs give, or `csv` names a picture.
        EmoTorchError: something cannot be written, or the detector is not there.
    """
    detector = open_detector(options.detector)
    inputs = expand(names)
    check_targets(options, inputs)
    has_folder = any(Path(name).is_dir() for name in names)
    pictures = sum(item.kind is Kind.PICTURE for item in inputs)
    call = _Call(
        reader, detector, weights, options, as_table=has_folder or pictures > _AT_LENGTH, is_single=len(inputs) == 1
    )
    for item in tqdm(inputs, unit=" inputs", disable=None if len(inputs) > _AT_LENGTH else True):
        call.take(item)
    call.finish(Path(names[0]) if len(names) == 1 else Path("contact_sheet"))
    return call.errors


def watch(reader: FaceReader, weights: Path, camera: str, options: OutputOptions) -> int:
    """Predicts for a camera's pictures in a live window, until it is closed or `frames` of them are done.

    `camera` is a number, or a video file that stands in for one. Returns the number of errors: 0 or 1.

    Raises:
        UsageError: `save` is no video, or `csv` names a picture.
        EmoTorchError: there is no screen and no other output; or no detector.
    """
    detector = open_detector(options.detector)
    check_targets(options, [Input(Path(camera), Kind.VIDEO)])
    if not has_display() and not (options.json or options.csv or options.save):
        raise EmoTorchError(
            "--webcam opens a window, and there is no screen here: add --json, --csv FILE or --save FILE, "
            "which need none"
        )
    call = _Call(reader, detector, weights, replace(options, visualize=has_display()), as_table=False, is_single=True)
    call.take_video(camera)
    call.finish(Path(camera))
    return call.errors


@dataclass
class _Call:
    """One call, and its results so far.

    Attributes:
        as_table: Whether predictions for pictures are printed as a table, at the end.
        is_single: Whether there is one input only, which gets a picture instead of a contact sheet.
    """

    reader: FaceReader
    detector: Detector | None
    weights: Path
    options: OutputOptions
    as_table: bool
    is_single: bool
    errors: int = 0
    is_timed: bool = False
    rows: list[outputs.Row] = field(default_factory=list)
    predictions: list[PicturePredictions] = field(default_factory=list)
    tiles: "list[Tile]" = field(default_factory=list)

    def take(self, item: Input) -> None:
        """Predicts for one input."""
        if item.error:
            self._take_picture(PicturePredictions.failed(str(item.path), item.error))
        elif item.kind is Kind.VIDEO:
            self.take_video(str(item.path))
        else:
            prediction = predict_file(self.reader, item.path, self.detector)
            self._take_picture(prediction.abstaining_below(self.options.abstain_below))

    def take_video(self, name: str) -> None:
        """Predicts for a video file, or a camera by its number, frame by frame."""
        self.is_timed = True
        try:
            video = Video(name)
        except EmoTorchError as problem:
            self._report_error(PicturePredictions.failed(name, str(problem).removeprefix(f"{name}: ")))
            return
        frames: list[FramePredictions] = []
        with closing(video):
            predicted = self._predict_frames(video, frames)
            target = self.options.target(Path(name), ".mp4")
            if target or self.options.shows:
                self._draw_frames(predicted, video, target)
            else:
                for _ in predicted:
                    pass
        if target and frames:
            self.options.say(target)
            self._draw_timeline(target.with_name(f"{target.stem}_timeline.png"), frames, one_line(Path(name).name))
        if frames and not self.options.json:
            print(outputs.as_video_text(name, frames, self.reader.labels))
        if not video.error and not any(frame.faces for frame in frames):
            video.error = f"no face found in any of {len(frames)} frames"
        if video.error:
            self._report_error(PicturePredictions.failed(name, video.error))

    def finish(self, beside: Path) -> None:
        """The output for all inputs together; `beside`: what a contact sheet is named after."""
        if self.as_table and not self.options.json and not all(found.error for found in self.predictions):
            print(outputs.as_table(self.predictions, self.reader.labels))
        if self.options.csv:
            outputs.write_table(self.options.csv, self.rows, self.reader.labels, timed=self.is_timed)
        if self.tiles:
            from emotorch.inference.contact_sheet import plot_contact_sheet

            title = f"Predictions of {one_line(self.weights.parent.name)}"
            write = partial(plot_contact_sheet, tiles=self.tiles, pictures=len(self.predictions), title=title)
            deliver_picture(self.options, write, beside)

    def _report(self, prediction: PicturePredictions | FramePredictions) -> None:
        """Keeps its rows where a table is asked for, and prints it where JSON is."""
        if self.options.csv:
            self.rows += outputs.table_rows(prediction, self.reader.labels)
        if self.options.json:
            print(outputs.as_json(prediction, self.weights))

    def _report_error(self, failed: PicturePredictions) -> None:
        self.errors += 1
        self._report(failed)
        if not self.options.json:
            print(f"error: {one_line(f'{failed.input}: {failed.error}')}", file=sys.stderr)

    def _take_picture(self, prediction: PicturePredictions) -> None:
        """Prints and draws it, or keeps what that needs at the end, without the picture itself."""
        if prediction.error:
            self._report_error(prediction)
        else:
            self._report(prediction)
            if not self.options.json and not self.as_table:
                print(outputs.as_text(prediction))
        if self.options.draws and not self.is_single:
            self._add_tile(prediction)
        elif self.options.draws and not prediction.error:
            deliver_picture(self.options, partial(outputs.save_picture, prediction=prediction), Path(prediction.input))
        self.predictions.append(replace(prediction, picture=None))

    def _add_tile(self, prediction: PicturePredictions) -> None:
        from emotorch.inference.contact_sheet import MOST_TILES, make_tile

        if len(self.tiles) < MOST_TILES:
            self.tiles.append(make_tile(prediction))

    def _predict_frames(self, video: Video, done: list[FramePredictions]) -> Iterator[tuple[Frame, FramePredictions]]:
        """Each frame with its predictions, which are reported as they come, and added to `done`."""
        frames = islice(predict_video(self.reader, video, self.detector), self.options.frames)
        for frame, raw in tqdm(frames, total=video.count or None, unit=" frames", leave=False, disable=None):
            prediction = raw.abstaining_below(self.options.abstain_below)
            done.append(prediction)
            self._report(prediction)
            yield frame, prediction

    def _draw_frames(
        self, predicted: Iterator[tuple[Frame, FramePredictions]], video: Video, target: Path | None
    ) -> None:
        """Draws the frames into an annotated copy, into a live window, or both."""
        from emotorch.inference.video_output import draw_predictions, write_video

        shows = self.options.shows

        def drawn() -> Iterator[Pixels]:
            for frame, prediction in predicted:
                pixels = draw_predictions(frame, prediction)
                yield pixels
                if shows and not outputs.show_frame(pixels):
                    return

        try:
            if target:
                write_video(target, drawn(), video.rate)
            else:
                for _ in drawn():
                    pass
        finally:
            if shows:
                outputs.close_window()

    def _draw_timeline(self, path: Path, frames: Sequence[FramePredictions], title: str) -> None:
        if find_spec("matplotlib") is None:
            logger.warning("%s is not drawn, which needs matplotlib: %s", path, installing("draw"))
            return
        from emotorch.inference.timeline import plot_timeline

        self.options.say(plot_timeline(path, frames, self.reader.labels, title))
