"""The folder of an evaluation: report, matrices, and the misclassified images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotorch.data import scenes
from emotorch.data.images import write_png
from emotorch.evaluation.evaluate import Evaluation
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.sets import recorded
from emotorch.figures.canvas import save
from emotorch.figures.confusion import ConfusionPanel, scores_figure
from emotorch.figures.reliability import write_reliability
from emotorch.files import new_folder, write_text
from emotorch.metrics import confusion
from emotorch.runs.confusion import plot_confusion, write_confusion
from emotorch.runs.usage import TRAINING
from emotorch.tables import Table, write_table
from emotorch.training.checkpoints import Model
from emotorch.training.losses import score_outputs


def report(model: Model, evaluation: Evaluation) -> str:
    """A score in words, then precision, recall and F1 of every class, and the loss."""
    images, predictions = evaluation.images, evaluation.predictions
    loss = score_outputs(predictions.outputs, torch.from_numpy(images.labels), model.loss).loss
    table = confusion.report(images.labels, predictions.classes, model.labels, loss)
    return "\n".join([*evaluation.lines, "", table])


def write_evaluation(loaded: LoadedRun, evaluation: Evaluation) -> Path:
    """Writes `evaluation_<dataset>_<time>/` among the run's outputs, whole or not at all; returns it."""
    with new_folder(loaded.run.outputs, f"evaluation_{evaluation.images.name}") as new:
        _write_set(new.prepared, evaluation, loaded.model)
        _write_misclassified_images(new.prepared, evaluation, loaded.model.labels)
        if searched := evaluation.images.searched:
            names = [recorded(one.image.path, loaded.paths) for one in searched]
            scenes.write_list(new.prepared / scenes.FACES_LIST, searched, names)
    return new.final


def write_usage_evaluation(loaded: LoadedRun, evaluations: Sequence[Evaluation]) -> Path:
    """Writes `evaluation_image_usage_<time>/`: what `write_evaluation` writes, for each part of `evaluate_usage`.

    The parts that were not trained on stand side by side in `confusion_matrices.png`. Of the training images, the
    misclassified ones are listed, not copied: there are thousands.
    """
    run, labels = loaded.run, loaded.model.labels
    panels = []
    with new_folder(run.outputs, "evaluation_image_usage") as new:
        for evaluation in evaluations:
            _write_set(new.prepared, evaluation, loaded.model)
            if evaluation.images.name != TRAINING:
                _write_misclassified_images(new.prepared, evaluation, labels)
                counts = evaluation.predictions.counts
                title = f"{evaluation.title.partition(' on ')[2]}, accuracy {confusion.accuracy(counts):.1f}%"
                panels.append(ConfusionPanel(title, confusion.row_proportions(counts), counts))
        if panels:
            save(scores_figure(panels, labels, run.name), new.prepared / "confusion_matrices.png")
    return new.final


def _write_set(folder: Path, evaluation: Evaluation, model: Model) -> None:
    """Report, matrices, reliability diagram and the table of misclassified images."""
    name, labels = evaluation.images.name, model.labels
    write_text(folder / f"classification_report_{name}.txt", report(model, evaluation))
    write_confusion(folder, name, evaluation.predictions.counts, labels)
    plot_confusion(folder, name, evaluation.predictions.counts, labels, evaluation.title)
    if evaluation.reliability is not None:
        write_reliability(folder, name, evaluation.reliability, evaluation.title)
    write_table(folder / f"misclassifications_{name}.csv", _misclassifications(evaluation, labels))


def _misclassifications(evaluation: Evaluation, labels: Sequence[str]) -> Table:
    images, predictions, places = evaluation.images, evaluation.predictions, _misclassified(evaluation)
    truths, predicted = images.labels[places], predictions.classes[places]
    frame = pd.DataFrame(
        {
            "image_path": [images.files[place] for place in places],
            "image_index": places,
            "true_emotion": [labels[label] for label in truths],
            "predicted_emotion": [labels[label] for label in predicted],
            "true_label_idx": truths,
            "pred_label_idx": predicted,
            "confidence": predictions.confidences[places],
        }
    )
    return Table(frame, {"confidence": "{:.4f}"})


def _write_misclassified_images(folder: Path, evaluation: Evaluation, labels: Sequence[str]) -> None:
    images, predictions = evaluation.images, evaluation.predictions
    pictures = folder / f"misclassified_images_{images.name}"
    pictures.mkdir()
    for number, position in enumerate(_misclassified(evaluation), start=1):
        truth, predicted = labels[images.labels[position]], labels[predictions.classes[position]]
        write_png(pictures / f"{number:03d}_true_{truth}_pred_{predicted}.png", images.pixels[position])


def _misclassified(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.predictions.classes != evaluation.images.labels).tolist()
