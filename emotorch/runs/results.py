"""Writes all tables, texts and pictures of a finished run."""

from collections.abc import Mapping, Sequence

from emotorch.data.cache import LazyArray
from emotorch.data.images import Pixels
from emotorch.data.selection import Selection
from emotorch.data.split import draw
from emotorch.figures.faces import plot_prediction_sheet
from emotorch.files import write_text
from emotorch.metrics import confusion
from emotorch.metrics.calibration import probabilities
from emotorch.metrics.scores import EpochScores
from emotorch.paths import mark_synthetic
from emotorch.runs.confusion import plot_run_confusion, write_confusion
from emotorch.runs.folder import Run, set_title
from emotorch.runs.history import plot_run_history, write_history
from emotorch.runs.outcome import Outcome, SetOutcome
from emotorch.runs.scores import write_final_accuracies
from emotorch.runs.usage import write_image_usage, write_usage_summary

_REPORT = "classification_report.txt"
_SHEET_IMAGES = 32


def write_results(
    run: Run,
    outcome: Outcome,
    history: Sequence[EpochScores],
    selection: Selection,
    pixels: Mapping[str, LazyArray[Pixels]],
) -> None:
    """Writes everything into the run's folder that is drawn or computed from its outcome.

    Args:
        run: Its record states the best epoch already.
        outcome: Of the best epoch.
        history: Of all epochs.
        selection: The images of the run.
        pixels: (N, 48, 48) of each set, by its name.
    """
    folder, labels = run.folder, outcome.labels
    titles = {
        name: mark_synthetic(f"{run.name}: {set_title(name)}", selection.training.index.paths.is_synthetic)
        for name in outcome.sets
    }
    for name, scored in outcome.validation.items():
        title = titles[name]
        write_confusion(folder, f"{name}_val", scored.counts, labels, title)
        _plot_sheet(run, name, pixels[name], scored, outcome, title)
    write_text(folder / _REPORT, "\n".join(_report(titles[name], outcome, name) for name in _reported(outcome)))
    write_final_accuracies(folder / "final_accuracies.csv", outcome, len(history))
    write_history(folder, history, list(outcome.validation))
    write_image_usage(folder / "image_usage.csv", selection)
    write_usage_summary(folder / "usage_summary.csv", selection, labels)
    plot_run_history(run)
    if outcome.validation:
        plot_run_confusion(run)


def read_report(run: Run) -> str:
    """`classification_report.txt`: precision, recall and F1 of every class and the loss, on every set of the run."""
    return (run.folder / _REPORT).read_text(encoding="utf-8")


def _reported(outcome: Outcome) -> list[str]:
    """The names of all sets, those that validated first; without a reference set that is its validation set."""

    def is_validation(name: str) -> bool:
        images = outcome.sets[name].images
        same = outcome.validation.get(name.removesuffix("_reference"))
        return same is not None and len(same.images) == len(images) and not same.images.operations.any()

    references = [name for name in outcome.sets if name.endswith("_reference") and not is_validation(name)]
    return [*outcome.validation, "training", *references]


def _report(title: str, outcome: Outcome, name: str) -> str:
    scored = outcome.sets[name]
    table = confusion.report(scored.images.labels, scored.predictions, outcome.labels, scored.score.loss)
    return f"{title}, {len(scored.images)} images\n{table}"


def _plot_sheet(
    run: Run, name: str, pixels: LazyArray[Pixels], scored: SetOutcome, outcome: Outcome, title: str
) -> None:
    """Some validation images with truth and prediction; which ones is the same in every run of the same set."""
    shown = draw(len(scored.images), min(1.0, _SHEET_IMAGES / len(scored.images)), "sheet", name)
    confidences = probabilities(scored.outputs[shown], outcome.temperature).amax(1)
    plot_prediction_sheet(
        run.folder / f"validation_samples_{name}.png",
        pixels[shown],
        [outcome.labels[label] for label in scored.images.labels[shown].tolist()],
        [outcome.labels[prediction] for prediction in scored.predictions[shown].tolist()],
        confidences.tolist(),
        title,
    )
