"""The folder of an evaluation: report, matrices, and the images that were answered wrongly."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotorch.analysis import metrics
from emotorch.analysis.evaluate import Answers, Evaluation, EvaluationSet
from emotorch.data.images import write_png
from emotorch.files import write_csv, write_text
from emotorch.reports import figures
from emotorch.reports.run_files import write_confusion
from emotorch.runs import Run, new_folder

MISCLASSIFICATION_COLUMNS = (
    "image_path",
    "image_index",
    "true_emotion",
    "predicted_emotion",
    "true_label_idx",
    "pred_label_idx",
    "confidence",
)


def write_evaluation(run: Run, evaluation: Evaluation, labels: Sequence[str]) -> Path:
    """Writes `evaluation_<dataset>_<time>/` into the run's folder, whole or not at all; returns it."""
    images, answers = evaluation.images, evaluation.answers
    name = images.name
    with new_folder(run.folder, f"evaluation_{name}") as new:
        report = metrics.report(images.labels, answers.classes, labels)
        write_text(new.prepared / f"classification_report_{name}.txt", "\n".join([*evaluation.lines, "", report]))
        write_confusion(new.prepared, name, answers.counts, labels)
        figures.plot_confusion_matrix(
            new.prepared / f"confusion_matrix_{name}.png",
            metrics.row_proportions(answers.counts),
            answers.counts,
            labels,
            evaluation.title,
        )
        _write_misclassified(new.prepared, images, answers, labels)
    return new.final


def _write_misclassified(folder: Path, images: EvaluationSet, answers: Answers, labels: Sequence[str]) -> None:
    wrong = np.flatnonzero(answers.classes != images.labels)
    pictures = folder / f"misclassified_images_{images.name}"
    pictures.mkdir()
    rows = []
    for number, position in enumerate(wrong.tolist(), start=1):
        truth, guess = int(images.labels[position]), int(answers.classes[position])
        confidence = f"{answers.confidences[position]:.4f}"
        rows.append((images.files[position], position, labels[truth], labels[guess], truth, guess, confidence))
        write_png(pictures / f"{number:03d}_true_{labels[truth]}_pred_{labels[guess]}.png", images.pixels[position])
    write_csv(folder / f"misclassifications_{images.name}.csv", MISCLASSIFICATION_COLUMNS, rows)


def write_usage_evaluation(run: Run, evaluations: Sequence[Evaluation], labels: Sequence[str]) -> Path:
    """Writes `evaluation_image_usage_<time>/`: one report, a matrix per part, the validation parts side by side."""
    with new_folder(run.folder, "evaluation_image_usage") as new:
        reports = []
        for evaluation in evaluations:
            report = metrics.report(evaluation.images.labels, evaluation.answers.classes, labels)
            reports.append("\n".join([*evaluation.lines, "", report]))
            write_confusion(new.prepared, evaluation.images.name, evaluation.answers.counts, labels)
        write_text(new.prepared / "classification_report.txt", "\n".join(reports))
        panels = [
            figures.ConfusionPanel(
                e.title.partition(": ")[2], metrics.row_proportions(e.answers.counts), e.answers.counts
            )
            for e in evaluations
        ]
        figures.plot_confusion_matrices(new.prepared / "confusion_matrices.png", panels, labels, run.name)
    return new.final
