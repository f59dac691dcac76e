"""The pictures of a run: confusion matrices, learning curves, and sheets of validation images."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotorch.data.images import PixelForm, Pixels
from emotorch.data.selection import ImageSet
from emotorch.data.split import Indices, draw
from emotorch.errors import EmoTorchError
from emotorch.figures.canvas import save
from emotorch.figures.faces import prediction_sheet
from emotorch.paths import mark_synthetic
from emotorch.runs.compact import Shown, read_kept
from emotorch.runs.confusion import plot_confusion, plot_run_confusion, read_matrix
from emotorch.runs.folder import Run, validation_title
from emotorch.runs.history import plot_run_history

logger = logging.getLogger(__name__)

_SHEET_IMAGES = 32


@dataclass(frozen=True)
class Sheet:
    """A picture of some validation images: their pixels, (N,) true classes, and what was predicted for them."""

    pixels: Pixels
    labels: Indices
    shown: Shown


def places_on_sheet(name: str, images: int) -> Indices:
    """Which images of a set its sheet shows: the same in every run of the same set."""
    return draw(images, min(1.0, _SHEET_IMAGES / images), "sheet", name)


def draw_pictures(run: Run, labels: Sequence[str], sheets: Mapping[str, Sheet]) -> None:
    """Draws all pictures of a run whose tables are written, with the sheets of its validation sets, by name."""
    sets = run.sets_with("confusion_counts_{}_val.csv")
    for name in sets:
        matrix = read_matrix(run, f"{name}_val")
        assert matrix is not None  # its counts are there
        plot_confusion(run.folder, f"{name}_val", np.array(matrix.counts), matrix.labels, picture_title(run, name))
    for name, sheet in sheets.items():
        drawn = prediction_sheet(
            sheet.pixels,
            [labels[label] for label in sheet.labels.tolist()],
            [labels[prediction] for prediction in sheet.shown.predictions.tolist()],
            sheet.shown.confidences.tolist(),
            picture_title(run, name),
        )
        save(drawn, run.folder / f"validation_samples_{name}.png")
    plot_run_history(run)
    if sets:
        plot_run_confusion(run)


def draw_kept_pictures(run: Run) -> None:
    """Draws the pictures of a sweep's run, unless they are there; any other run has them.

    Without the dataset's images a sheet of these is not drawn; a line says so. See `read_kept` for what is raised.
    """
    drawn = [run.folder / f"confusion_matrix_{name}_val.png" for name in run.sets_with("confusion_counts_{}_val.csv")]
    if all(path.is_file() for path in (*drawn, run.folder / "training_history.png")):
        return
    kept = read_kept(run)
    if kept is None:
        return
    form = PixelForm(**run.record["dataset"].get("pixels", {}))
    sheets = {}
    for name, shown in kept.shown.items():
        images = kept.selection.validation[name]
        places = places_on_sheet(name, len(images))
        try:
            pixels = ImageSet(images.index, images.rows[places], images.operations[places]).read(form)
        except EmoTorchError as error:
            logger.warning("validation_samples_%s.png is not drawn: %s", name, error)
        else:
            sheets[name] = Sheet(pixels, images.labels[places], shown)
    draw_pictures(run, kept.selection.training.index.scheme.labels, sheets)


def picture_title(run: Run, name: str) -> str:
    """Of what is shown of a validation set."""
    return mark_synthetic(f"{run.name}: {validation_title(name)}", run.is_synthetic)
