"""What a model scored, in its card: a row for each set of images, and the classes of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotorch.datasets import dataset_title
from emotorch.metrics import confusion
from emotorch.metrics.intervals import wilson_interval
from emotorch.reports.card.facts import (
    DASH,
    SCRIPTS,
    UNKNOWN,
    Facts,
    is_repeated,
    missing,
    percent,
    set_of,
    set_title,
    table,
    title_of,
    variant_counts,
    words,
)
from emotorch.runs.confusion import Matrix, read_matrix
from emotorch.runs.folder import Run
from emotorch.runs.scores import read_accuracies


@dataclass(frozen=True)
class ScoredSet:
    """A set of images with what the model scored on it.

    Attributes:
        title: For a person.
        dataset: `fer`, …
        split: For a program.
        role: What the set was used for: what the score may be called.
        images: 0 where the number is unknown.
        accuracy: Percent.
        macro_f1: Percent, or None.
        ece: Expected calibration error at the model's own temperature, 0 to 1, or None.
    """

    title: str
    dataset: str
    split: str
    role: str
    images: int
    accuracy: float
    macro_f1: float | None
    ece: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        values = {"accuracy": self.accuracy / 100}
        if self.macro_f1 is not None:
            values["f1"] = self.macro_f1 / 100
        if self.ece is not None:
            values["expected_calibration_error"] = self.ece
        return values

    @property
    def interval(self) -> str:
        if not self.images:
            return UNKNOWN
        low, high = wilson_interval(round(self.accuracy / 100 * self.images), self.images)
        return f"{low:.2f}–{high:.2f}"


def describe_results(facts: Facts) -> str:
    rows = scored_sets(facts)
    if not rows:
        return missing("No score is known", f"{SCRIPTS}/evaluate_model.py {facts.run.name}")
    lines = [
        table(
            ("images", "what they are", "n", "accuracy %", "95% interval", "macro-F1 %"),
            [
                (
                    row.title,
                    row.role,
                    f"{row.images:,}" if row.images else UNKNOWN,
                    f"{row.accuracy:.2f}",
                    row.interval,
                    DASH if row.macro_f1 is None else f"{row.macro_f1:.2f}",
                )
                for row in rows
            ],
        )
    ]
    training = facts.record.get("scores", {}).get("training")
    if training:
        lines.append(
            f"On its {training['images']:,} training images it scores {training['accuracy']:.2f}%, "
            "which is no test of anything."
        )
    lines.append(_twins(facts))
    lines.append(_private(facts))
    if any(count for _, count in variant_counts(facts)):
        lines.append(
            "Intervals are Wilson's, and take images for independent of each other. Where variants of an image are "
            "among those scored, they are a little too narrow."
        )
    else:
        lines.append("Intervals are Wilson's.")
    pictures = ("confusion_matrices_fer_vs_ckp.png", "training_history.png")
    lines += [f"![{words(Path(name).stem)}]({name})" for name in pictures if (facts.run.folder / name).is_file()]
    return "\n\n".join(line for line in lines if line)


def scored_sets(facts: Facts) -> list[ScoredSet]:
    scores = facts.record.get("scores")
    rows = _recorded_rows(facts, scores) if scores else _published_rows(facts)
    public = facts.scores.get("fer-public")
    if public:
        rows.append(_measured_row(facts, public))
    return rows


def _recorded_rows(facts: Facts, scores: Mapping[str, Mapping[str, Any]]) -> list[ScoredSet]:
    rows = []
    for name, score in scores.items():
        dataset, part = set_of(facts, name)
        if name == "training" or is_repeated(facts, name):
            continue
        rows.append(
            ScoredSet(
                f"{title_of(facts, dataset)}, {part}",
                dataset,
                part.replace(",", "").replace(" ", "-").lower(),
                _role(facts, name, dataset),
                score["images"],
                score["accuracy"],
                score["macro_f1"],
                _measured_ece(facts, f"{name}_val"),
            )
        )
    return rows


def _role(facts: Facts, name: str, dataset: str) -> str:
    if dataset not in facts.record["scores"]:
        return "neither trained on nor used to choose"
    if name == dataset:
        return "not trained on; chose the epoch: a score of selection"
    return "not trained on; those that the factors drew, and their variants, chose the epoch"


def _measured_ece(facts: Facts, name: str) -> float | None:
    """At the model's temperature; cross-fitted where that was fitted on these very images."""
    found = facts.scores.get(name)
    if not found or not found["reliability"]:
        return None
    reliability = found["reliability"]
    ece: float = (reliability["crossed"] or reliability["after"])["ece"]
    return ece


def _measured_row(facts: Facts, public: Mapping[str, Any]) -> ScoredSet:
    counts = np.array(public["counts"], np.int64)
    return ScoredSet(
        f"{title_of(facts, 'fer')}, PublicTest",
        "fer",
        "publictest",
        "unseen: neither trained on nor used to choose",
        int(counts.sum()),
        float(confusion.accuracy(counts)),
        float(confusion.macro_f1(counts)),
        _measured_ece(facts, "fer-public"),
    )


def _published_rows(facts: Facts) -> list[ScoredSet]:
    """From the tables of a run in the published format."""
    if not (facts.run.folder / "final_accuracies.csv").is_file():
        return []
    accuracies = read_accuracies(facts.run)
    rows = []
    for name in ("fer", "ckp"):
        accuracy = accuracies.get(f"{name.upper()} Validation Accuracy", math.nan)
        if not math.isnan(accuracy):
            images = _class_matrix(facts.run, name)
            number = sum(map(sum, images.counts)) if images and images.counts else 0
            role = "how they were chosen is unknown"
            rows.append(
                ScoredSet(f"{dataset_title(name)}, validation images", name, "validation", role, number, accuracy, None)
            )
    return rows


def _twins(facts: Facts) -> str:
    lines = [
        f"- {title_of(facts, name)}: {facts.record['scores'][name]['images'] - without['images']:,} of the "
        f"{facts.record['scores'][name]['images']:,} images have an exact twin in training. Without them: "
        f"{_accuracy(without['accuracy'], without['images'])}."
        for name, without in facts.record.get("without_twins", {}).items()
    ]
    public = facts.scores.get("fer-public")
    lines += [f"- {line}" for line in public["lines"] if "twin" in line] if public else []
    return "\n".join(lines)


def _private(facts: Facts) -> str:
    scorings = facts.record.get("private_scorings", [])
    if not scorings:
        return "FER-2013's PrivateTest has not been scored." if facts.fer_usage else ""
    lines = [f"FER-2013's PrivateTest has been scored {len(scorings)} time(s); only the first look counts as unseen:"]
    for scoring in scorings:
        accuracy = _accuracy(100 * scoring["correct"] / scoring["images"], scoring["images"])
        lines.append(f"- {scoring['time']}: {accuracy}")
    return "\n".join((lines[0], "", *lines[1:]))


def _accuracy(accuracy: float, images: int) -> str:
    low, high = wilson_interval(round(accuracy / 100 * images), images)
    return f"{accuracy:.2f}% (95% interval {low:.2f}–{high:.2f}, n {images:,})"


def describe_classes(facts: Facts) -> str:
    parts = []
    for name in _validating(facts):
        matrix = _class_matrix(facts.run, name)
        if matrix is None:
            continue
        if matrix.counts is None:
            parts.append(f"{set_title(facts, name)}: only the matrix's proportions are known.")
            parts.append(_proportions(matrix))
            continue
        parts.append(f"{set_title(facts, name)}:")
        parts.append(_class_table(matrix.counts, matrix.labels))
    public = facts.scores.get("fer-public")
    if public:
        parts.append(f"{title_of(facts, 'fer')}, PublicTest:")
        parts.append(_class_table(public["counts"], facts.model.labels))
    return "\n\n".join(parts) or missing(
        "No confusion matrix is there", f"{SCRIPTS}/evaluate_model.py {facts.run.name}"
    )


def _validating(facts: Facts) -> list[str]:
    counts = facts.record.get("counts", {"fer": 0, "ckp": 0})
    return [name for name in counts if name != "training" and not name.endswith("_reference")]


def _class_matrix(run: Run, name: str) -> Matrix | None:
    return read_matrix(run, f"{name}_val")


def _class_table(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    rows = []
    for score in confusion.class_scores(counts, labels):
        low, high = wilson_interval(score.correct, score.images)
        interval = f"{low:.1f}–{high:.1f}" if score.images else DASH
        figures = (percent(score.precision), percent(score.recall), interval, percent(score.f1))
        rows.append((score.label, f"{score.images:,}", *figures))
    return table(("class", "n", "precision %", "recall %", "recall, 95% interval", "F1 %"), rows)


def _proportions(matrix: Matrix) -> str:
    rows = [
        (label, *(f"{100 * share:.1f}" for share in shares))
        for label, shares in zip(matrix.labels, matrix.proportions, strict=True)
    ]
    return table(("true class, % answered as", *matrix.labels), rows)
