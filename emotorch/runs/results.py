"""What a finished training scores on each of its sets, and all tables, texts and pictures that are written of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from emotorch.data.cache import LazyArray
from emotorch.data.images import Pixels
from emotorch.data.selection import ImageSet, Selection
from emotorch.data.split import Indices
from emotorch.files import write_text
from emotorch.metrics import confusion
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.metrics.scores import EpochScores, Score
from emotorch.paths import mark_synthetic
from emotorch.runs.compact import Shown, keep_images
from emotorch.runs.confusion import write_confusion
from emotorch.runs.folder import Run, set_title
from emotorch.runs.history import write_history
from emotorch.runs.pictures import Sheet, draw_pictures, places_on_sheet
from emotorch.runs.scores import write_final_accuracies
from emotorch.runs.usage import USAGE_NAME, write_image_usage, write_usage_summary

_REPORT = "classification_report.txt"


@dataclass(frozen=True)
class SetOutcome:
    """The network's (N, K) outputs for a set, and their score.

    Attributes:
        without_twins: The score over the images that have no exact twin in the training set. Only an official split,
            which is what it is, leaves any on both sides.
    """

    images: ImageSet
    outputs: Tensor
    score: Score
    without_twins: Score

    @cached_property
    def predictions(self) -> Indices:
        return predicted_classes(self.outputs)

    @cached_property
    def counts(self) -> confusion.Counts:
        return confusion.confusion_counts(self.images.labels, self.predictions, self.outputs.shape[1])


@dataclass(frozen=True)
class Outcome:
    """The restored best epoch on every set of a run, by name; on those that validated; and on all of these together.

    Attributes:
        temperature: Fitted on the validation sets; see `emotorch.metrics.calibration`.
    """

    labels: Sequence[str]
    sets: Mapping[str, SetOutcome]
    validation: Mapping[str, SetOutcome]
    combined: Score
    temperature: float

    @property
    def never_predicted(self) -> list[str]:
        """Labels that no validation image got."""
        counts = [outcome.counts for outcome in self.validation.values()]
        return confusion.never_predicted(np.sum(counts, axis=0), self.labels) if counts else []


def write_results(
    run: Run,
    outcome: Outcome,
    history: Sequence[EpochScores],
    selection: Selection,
    pixels: Mapping[str, LazyArray[Pixels]],
    *,
    compact: bool = False,
) -> None:
    """Writes everything into the run's folder that is drawn or computed from its outcome.

    Args:
        run: Its record states the best epoch already, of which the outcome is.
        pixels: (N, H, W) or (N, H, W, 3) of each set, by its name.
        compact: Whether `image_usage.csv` and pictures are made on demand; see `emotorch.runs.compact`.
    """
    folder, labels = run.folder, outcome.labels
    for name, scored in outcome.validation.items():
        write_confusion(folder, f"{name}_val", scored.counts, labels)
    reports = []
    for name in _reported(outcome):
        scored = outcome.sets[name]
        title = mark_synthetic(f"{run.name}: {set_title(name)}", selection.training.index.paths.is_synthetic)
        table = confusion.report(scored.images.labels, scored.predictions, labels, scored.score.loss)
        reports.append(f"{title}, {len(scored.images)} images\n{table}")
    write_text(folder / _REPORT, "\n".join(reports))
    write_final_accuracies(folder / "final_accuracies.csv", outcome, len(history))
    write_history(folder, history, list(outcome.validation))
    write_usage_summary(folder / "usage_summary.csv", selection, labels)
    sheets = {}
    for name, scored in outcome.validation.items():
        places = places_on_sheet(name, len(scored.images))
        confidences = probabilities(scored.outputs[places], outcome.temperature).amax(1).numpy()
        shown = Shown(scored.predictions[places], confidences.astype(np.float32))
        sheets[name] = Sheet(pixels[name][places], scored.images.labels[places], shown)
    if compact:
        keep_images(folder, selection, {name: sheet.shown for name, sheet in sheets.items()})
    else:
        write_image_usage(folder / USAGE_NAME, selection)
        draw_pictures(run, labels, sheets)


def read_report(run: Run) -> str:
    """`classification_report.txt`: precision, recall and F1 of every class and the loss, on every set of the run."""
    return run.file(_REPORT).read_text(encoding="utf-8")


def _reported(outcome: Outcome) -> list[str]:
    """The names of all sets, those that validated first; without a reference set that is its validation set."""

    def is_validation(name: str) -> bool:
        images = outcome.sets[name].images
        same = outcome.validation.get(name.removesuffix("_reference"))
        return same is not None and len(same.images) == len(images) and not same.images.operations.any()

    references = [name for name in outcome.sets if name.endswith("_reference") and not is_validation(name)]
    return [*outcome.validation, "training", *references]
