"""All tables, texts and pictures of a finished run."""

from collections.abc import Mapping, Sequence

from emotorch.analysis import metrics
from emotorch.analysis.outcome import Outcome, SetOutcome
from emotorch.data.images import Pixels
from emotorch.data.selection import Selection, dataset_title
from emotorch.data.split import draw
from emotorch.data.stored import Stored
from emotorch.files import write_text
from emotorch.reports import figures
from emotorch.reports.runs import files as run_files
from emotorch.reports.runs.pictures import plot_run_confusion, plot_run_history
from emotorch.runs import Run
from emotorch.training.calibration import probabilities
from emotorch.training.scores import EpochScores

_SHEET_IMAGES = 32


def write_results(
    run: Run,
    outcome: Outcome,
    history: Sequence[EpochScores],
    selection: Selection,
    pixels: Mapping[str, Stored[Pixels]],
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
    suffix = " (synthetic faces)" if selection.training.index.paths.is_synthetic else ""
    reports = []
    for name, scored in outcome.validation.items():
        title = f"{run.name}: {dataset_title(name)} validation{suffix}"
        report = metrics.report(scored.images.labels, scored.answers, labels)
        reports.append(f"{title}, {len(scored.images)} images\n{report}")
        run_files.write_confusion(folder, f"{name}_val", scored.counts, labels)
        figures.plot_confusion_matrix(
            folder / f"confusion_matrix_{name}_val.png",
            metrics.row_proportions(scored.counts),
            scored.counts,
            labels,
            title,
        )
        _plot_sheet(run, name, pixels[name], scored, outcome, title)
    write_text(folder / "classification_report.txt", "\n".join(reports) or "no validation images\n")
    run_files.write_final_accuracies(folder / "final_accuracies.csv", outcome, len(history))
    run_files.write_history(folder, history, list(outcome.validation))
    run_files.write_image_usage(folder / "image_usage.csv", selection)
    run_files.write_usage_summary(folder / "usage_summary.csv", selection, labels)
    plot_run_history(run)
    if outcome.validation:
        plot_run_confusion(run)


def _plot_sheet(run: Run, name: str, pixels: Stored[Pixels], scored: SetOutcome, outcome: Outcome, title: str) -> None:
    """Some validation images with truth and answer; which ones is the same in every run of the same set."""
    shown = draw(len(scored.images), min(1.0, _SHEET_IMAGES / len(scored.images)), "sheet", name)
    confidences = probabilities(scored.outputs[shown], outcome.temperature).amax(1)
    figures.plot_prediction_sheet(
        run.folder / f"validation_samples_{name}.png",
        pixels[shown],
        [outcome.labels[label] for label in scored.images.labels[shown].tolist()],
        [outcome.labels[answer] for answer in scored.answers[shown].tolist()],
        confidences.tolist(),
        title,
    )
