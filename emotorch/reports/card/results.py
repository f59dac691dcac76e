"""What a model scored, in its card: a row for each set of images, and the classes of each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotorch.datasets import FER_PUBLIC
from emotorch.metrics import confusion
from emotorch.metrics.intervals import wilson_interval
from emotorch.reports.card.facts import Facts
from emotorch.reports.rendering import class_table, proportions_table
from emotorch.runs.confusion import read_matrix
from emotorch.runs.scores import read_accuracies
from emotorch.tables import Table

# Each metric of the metadata, as a person calls it.
METRICS = {"accuracy": "Accuracy", "f1": "Macro-F1", "expected_calibration_error": "Expected calibration error"}


@dataclass(frozen=True)
class Accuracy:
    """Percent of so many images; 0 where their number is unknown."""

    percent: float
    images: int

    @classmethod
    def of(cls, score: Mapping[str, Any]) -> "Accuracy":
        return cls(score["accuracy"], score["images"])

    @property
    def interval(self) -> str:
        """Wilson's, 95%; empty where the number of images is unknown."""
        if not self.images:
            return ""
        low, high = wilson_interval(round(self.percent / 100 * self.images), self.images)
        return f"{low:.2f}–{high:.2f}"

    def __str__(self) -> str:
        return f"{self.percent:.2f}% (95% interval {self.interval}, n {self.images:,})"


@dataclass(frozen=True)
class ScoredSet:
    """A set of images with what the model scored on it.

    Attributes:
        dataset, split: For a program: `fer2013`, … and which part of it.
        role: What the set was used for, which is what its score may be called.
        ece: Expected calibration error at the model's own temperature, 0 to 1.
    """

    title: str
    dataset: str
    split: str
    role: str
    accuracy: Accuracy
    macro_f1: float | None = None
    ece: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Those that are known, 0 to 1, by their names in `METRICS`."""
        percents = (self.accuracy.percent, self.macro_f1)
        values = (*(None if value is None else value / 100 for value in percents), self.ece)
        return {name: round(value, 4) for name, value in zip(METRICS, values, strict=True) if value is not None}


def scored_sets(facts: Facts) -> list[ScoredSet]:
    """Of the run's record, or its tables where it has none; and PublicTest where it was scored unseen."""
    scores = facts.record.get("scores")
    rows = _recorded(facts, scores) if scores else _published(facts)
    public = facts.scores.get(FER_PUBLIC)
    if public is None:
        return list(rows)
    counts = np.array(public["counts"])
    unseen = ScoredSet(
        facts.title(FER_PUBLIC),
        facts.card_id("fer"),
        "publictest",
        "unseen: neither trained on nor used to choose",
        Accuracy(float(confusion.accuracy(counts)), int(counts.sum())),
        float(confusion.macro_f1(counts)),
        _ece(facts, FER_PUBLIC),
    )
    return [*rows, unseen]


def _recorded(facts: Facts, scores: Mapping[str, Mapping[str, Any]]) -> Iterator[ScoredSet]:
    for name, score in scores.items():
        if name == "training" or facts.is_repeated(name):
            continue
        dataset = name.removesuffix("_reference")
        role = "not trained on; those that the factors drew, and their variants, chose the epoch"
        if name == dataset:
            role = "not trained on; chose the epoch: a score of selection"
        elif dataset not in scores:
            role = "neither trained on nor used to choose"
        yield ScoredSet(
            facts.title(name),
            facts.card_id(dataset),
            facts.part(name).replace(",", "").replace(" ", "-").lower(),
            role,
            Accuracy.of(score),
            score["macro_f1"],
            _ece(facts, f"{name}_val"),
        )


def _ece(facts: Facts, name: str) -> float | None:
    """At the model's temperature; cross-fitted where that was fitted on these very images."""
    reliability = facts.scores.get(name, {}).get("reliability")
    if not reliability:
        return None
    ece: float = (reliability["crossed"] or reliability["after"])["ece"]
    return ece


def _published(facts: Facts) -> Iterator[ScoredSet]:
    """From the tables of a run in the published format."""
    if not (facts.run.folder / "final_accuracies.csv").is_file():
        return
    accuracies = read_accuracies(facts.run)
    for name in facts.validating:
        percent = accuracies.get(f"{name.upper()} Validation Accuracy", math.nan)
        if not math.isnan(percent):
            matrix = read_matrix(facts.run, f"{name}_val")
            images = sum(map(sum, matrix.counts)) if matrix and matrix.counts else 0
            role = "how they were chosen is unknown"
            yield ScoredSet(facts.title(name), facts.card_id(name), "validation", role, Accuracy(percent, images))


def class_tables(facts: Facts) -> dict[str, Table]:
    """A table of the classes by the title of each validation set, and of PublicTest where it was scored unseen."""
    tables = {}
    for name in facts.validating:
        matrix = read_matrix(facts.run, f"{name}_val")
        if matrix and matrix.counts:
            tables[facts.title(name)] = class_table(matrix.counts, matrix.labels)
        elif matrix:
            title = f"{facts.title(name)}, of which the matrix's proportions alone are known"
            tables[title] = proportions_table(matrix.proportions, matrix.labels)
    if public := facts.scores.get(FER_PUBLIC):
        tables[facts.title(FER_PUBLIC)] = class_table(public["counts"], facts.model.labels)
    return tables
