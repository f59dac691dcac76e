"""The tables and texts of a run folder, in the published formats."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotorch.analysis.metrics import Counts, row_proportions
from emotorch.data.selection import ImageSet, Selection
from emotorch.files import write_csv, write_text
from emotorch.runs import CKP_VALIDATION, FER_VALIDATION, TRAINING
from emotorch.training.loop import EpochScores, Score

USAGE_COLUMNS = ("image_path", "usage", "emotion", "label_index", "dataset_index", "source_hash", "fer_usage")


def percent(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.2f}"


def loss(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4f}"


def write_final_accuracies(path: Path, scores: Mapping[str, Score], macro_f1: Mapping[str, float], epochs: int) -> None:
    """Writes `Metric,Value`: the published rows in their order, then the reference sets and F1.

    Args:
        path: The file.
        scores: By `training`, `fer`, `ckp`, `fer_reference`, `ckp_reference`.
        macro_f1: In percent, by `fer`, `ckp`.
        epochs: Completed.
    """
    combined = Score.mean([scores["fer"], scores["ckp"]])
    rows: list[tuple[str, str]] = []
    for title, score in (
        ("Training", scores["training"]),
        ("FER Validation", scores["fer"]),
        ("CKP Validation", scores["ckp"]),
        ("Combined Validation", combined),
    ):
        rows += [(f"{title} Accuracy", percent(score.accuracy)), (f"{title} Loss", loss(score.loss))]
    rows += [
        ("Epochs Completed", str(epochs)),
        ("Total Training Images", str(scores["training"].images)),
        ("Total Validation Images", str(combined.images)),
    ]
    for title, name in (("FER Reference", "fer_reference"), ("CKP Reference", "ckp_reference")):
        rows += [
            (f"{title} Accuracy", percent(scores[name].accuracy)),
            (f"{title} Loss", loss(scores[name].loss)),
            (f"{title} Images", str(scores[name].images)),
        ]
    rows += [(f"{name.upper()} Validation Macro-F1", percent(value)) for name, value in macro_f1.items()]
    write_csv(path, ("Metric", "Value"), rows)


def write_history(folder: Path, history: Sequence[EpochScores], datasets: Sequence[str]) -> None:
    """Writes `training_history_{fer,ckp,combined}.csv`; a set without images gets none."""
    for name in (*datasets, "combined"):
        columns = ("epoch", "train_loss", "train_accuracy", f"{name}_val_loss", f"{name}_val_accuracy")
        rows = []
        for scores in history:
            validation = scores.combined if name == "combined" else scores.validation[name]
            training = scores.training
            rows.append((scores.epoch, training.loss, training.accuracy, validation.loss, validation.accuracy))
        write_csv(folder / f"training_history_{name}.csv", columns, rows)


def write_confusion(folder: Path, name: str, counts: Counts, labels: Sequence[str]) -> None:
    """Writes `confusion_matrix_<name>.csv` (proportions of each row) and `confusion_counts_<name>.csv`."""
    proportions = row_proportions(counts)
    write_csv(
        folder / f"confusion_matrix_{name}.csv",
        ("", *labels),
        ((label, *(f"{value:.3f}" for value in row)) for label, row in zip(labels, proportions, strict=True)),
    )
    write_csv(
        folder / f"confusion_counts_{name}.csv",
        ("", *labels),
        ((label, *row) for label, row in zip(labels, counts.tolist(), strict=True)),
    )


def write_image_usage(path: Path, selection: Selection) -> None:
    """One row for every image that the run trained on or was validated on.

    `dataset_index` counts from 0 within each usage; `source_hash` is the original's, also for a variant.
    """

    def rows(usage: str, images: ImageSet) -> list[tuple[object, ...]]:
        labels = images.index.scheme.labels
        columns = zip(images.files, images.labels.tolist(), images.hashes.tolist(), images.usages.tolist(), strict=True)
        return [
            (file, usage, labels[label], label, position, source, fer_usage)
            for position, (file, label, source, fer_usage) in enumerate(columns)
        ]

    write_csv(
        path,
        USAGE_COLUMNS,
        rows(TRAINING, selection.training)
        + rows(FER_VALIDATION, selection.fer_validation)
        + rows(CKP_VALIDATION, selection.ckp_validation),
    )


def write_usage_summary(path: Path, selection: Selection, labels: Sequence[str]) -> None:
    sets = (
        ("Training", selection.training),
        ("FER_Validation", selection.fer_validation),
        ("CKP_Validation", selection.ckp_validation),
    )
    write_csv(
        path,
        ("Usage Type", "Total Images", *(label.capitalize() for label in labels)),
        ((title, len(images), *images.class_counts()) for title, images in sets),
    )


def write_parameters(path: Path, record: Mapping[str, Any]) -> None:
    """Renders the run record for a person: every line is what run.json says."""
    lines: list[str] = []

    def render(value: object, name: str, depth: int) -> None:
        indent = "  " * depth
        if isinstance(value, Mapping):
            lines.append(f"{indent}{name}:")
            for key, inner in value.items():
                render(inner, str(key), depth + 1)
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: {', '.join(map(str, value))}")
        else:
            lines.append(f"{indent}{name}: {value}")

    for key, value in record.items():
        render(value, key, 0)
    write_text(path, "\n".join(lines) + "\n")
