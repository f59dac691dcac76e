"""The tables and texts of a run folder, in the published formats."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from emotorch.analysis.metrics import Counts, row_proportions
from emotorch.analysis.outcome import Outcome
from emotorch.data.selection import ImageSet, Selection
from emotorch.files import write_csv, write_text
from emotorch.runs import TRAINING
from emotorch.training.scores import NOTHING, EpochScores, Score

USAGE_COLUMNS = ("image_path", "usage", "emotion", "label_index", "dataset_index", "source_hash", "fer_usage")


def percent(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.2f}"


def loss(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4f}"


def write_final_accuracies(path: Path, outcome: Outcome, epochs: int) -> None:
    """Writes `Metric,Value`: the published rows in their order, then other sets, reference sets and F1.

    Args:
        path: The file.
        outcome: Of the best epoch.
        epochs: Completed.
    """
    scores = {name: scored.score for name, scored in outcome.sets.items()}
    rows: list[tuple[str, str]] = []

    def add(title: str, score: Score) -> None:
        rows.extend([(f"{title} Accuracy", percent(score.accuracy)), (f"{title} Loss", loss(score.loss))])

    add("Training", scores["training"])
    for name in ("fer", "ckp"):
        add(f"{name.upper()} Validation", outcome.validation[name].score if name in outcome.validation else NOTHING)
    add("Combined Validation", outcome.combined)
    rows += [
        ("Epochs Completed", str(epochs)),
        ("Total Training Images", str(scores["training"].images)),
        ("Total Validation Images", str(outcome.combined.images)),
    ]
    others = [name for name in outcome.validation if name not in ("fer", "ckp")]
    for name in others:
        add(f"{name.upper()} Validation", scores[name])
    for name in ("fer", "ckp", *others):
        score = scores.get(f"{name}_reference", NOTHING)
        add(f"{name.upper()} Reference", score)
        rows.append((f"{name.upper()} Reference Images", str(score.images)))
    for name, scored in outcome.validation.items():
        rows.append((f"{name.upper()} Validation Macro-F1", percent(scored.score.macro_f1)))
        twins = scored.score.images - scored.without_twins.images
        if twins:
            rows.append((f"{name.upper()} Validation Images With Twin In Training", str(twins)))
            rows.append((f"{name.upper()} Validation Accuracy Without Them", percent(scored.without_twins.accuracy)))
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

    sets = [rows(TRAINING, selection.training)]
    sets += [rows(f"{name}_validation", images) for name, images in selection.validation.items()]
    write_csv(path, USAGE_COLUMNS, chain.from_iterable(sets))


def write_usage_summary(path: Path, selection: Selection, labels: Sequence[str]) -> None:
    """One row for each set; FER's and CK+'s also when they are empty, as published."""
    nothing = [0] * (1 + len(labels))
    counts = {
        f"{name.upper()}_Validation": [len(images), *images.class_counts()]
        for name, images in selection.validation.items()
    }
    counts = {"FER_Validation": nothing, "CKP_Validation": nothing} | counts
    training = [len(selection.training), *selection.training.class_counts()]
    write_csv(
        path,
        ("Usage Type", "Total Images", *(label.capitalize() for label in labels)),
        ((title, *values) for title, values in {"Training": training, **counts}.items()),
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
