"""`final_accuracies.csv`: a run's scores, in the published format."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotorch.datasets import CKP, FER
from emotorch.errors import EmoTorchError
from emotorch.files import read_table, write_csv
from emotorch.metrics.scores import NO_SCORE, Score, score_counts
from emotorch.runs.confusion import Matrix, all_counts, validation_matrices
from emotorch.runs.folder import Run, is_on_fer

if TYPE_CHECKING:
    from emotorch.runs.results import Outcome  # which imports torch: a comparison reads scores without

_COLUMNS = _METRIC, _VALUE = "Metric", "Value"


def _number(value: float, decimals: int = 2) -> str:
    return "NaN" if math.isnan(value) else f"{value:.{decimals}f}"


def write_final_accuracies(path: Path, outcome: "Outcome", epochs: int) -> None:
    """Writes `Metric,Value`: the published rows in their order, then other sets, reference sets and F1.

    A run on other data than FER-2013 has no rows of FER and CK+ but of what it was scored on.
    """
    scores = {name: scored.score for name, scored in outcome.sets.items()}
    rows: list[tuple[str, str]] = []

    def add(title: str, score: Score) -> None:
        rows.extend([(f"{title} Accuracy", _number(score.accuracy)), (f"{title} Loss", _number(score.loss, 4))])

    published = [FER.key, CKP.key]
    if not is_on_fer(scores):
        published = [name for name in published if name in outcome.validation]
    add("Training", scores["training"])
    for name in published:
        add(f"{name.upper()} Validation", outcome.validation[name].score if name in outcome.validation else NO_SCORE)
    add("Combined Validation", outcome.combined)
    rows += [
        ("Epochs Completed", str(epochs)),
        ("Total Training Images", str(scores["training"].images)),
        ("Total Validation Images", str(outcome.combined.images)),
    ]
    others = [name for name in outcome.validation if name not in published]
    for name in others:
        add(f"{name.upper()} Validation", scores[name])
    references = [name.removesuffix("_reference") for name in scores if name.endswith("_reference")]
    for name in dict.fromkeys((*published, *others, *references)):
        score = scores.get(f"{name}_reference", NO_SCORE)
        add(f"{name.upper()} Reference", score)
        rows.append((f"{name.upper()} Reference Images", str(score.images)))
    for name, scored in outcome.validation.items():
        rows.append((f"{name.upper()} Validation Macro-F1", _number(scored.score.macro_f1)))
        twins = scored.score.images - scored.without_twins.images
        if twins:
            rows.append((f"{name.upper()} Validation Images With Twin In Training", str(twins)))
            rows.append((f"{name.upper()} Validation Accuracy Without Them", _number(scored.without_twins.accuracy)))
    write_csv(path, _COLUMNS, rows)


def read_accuracies(run: Run) -> dict[str, float]:
    """The metrics of `final_accuracies.csv`; NaN where unknown.

    Raises:
        EmoTorchError: the file is missing or not such a table.
    """
    path = run.file("final_accuracies.csv")
    accuracies = {}
    for number, row in enumerate(read_table(path), start=2):
        try:
            accuracies[row[_METRIC]] = float(row[_VALUE])
        except (KeyError, TypeError, ValueError):
            raise EmoTorchError(f"{path}, line {number}: not a metric and a number") from None
    return accuracies


def read_validation(run: Run) -> Score:
    """The `validation_score` of a run.

    Raises:
        EmoTorchError: a file is missing or damaged.
    """
    return validation_score(read_accuracies(run), validation_matrices(run).values())


def validation_score(accuracies: Mapping[str, float], matrices: Iterable[Matrix]) -> Score:
    """Over all validation images together: what the recipe watches.

    Accuracy and macro-F1 are those of the sets' confusion counts; without them, as in a folder that other code wrote,
    the accuracy is the rounded one of `final_accuracies.csv`, and the macro-F1 unknown.
    """
    loss = accuracies.get("Combined Validation Loss", math.nan)
    counts = all_counts(matrices)
    if not counts:
        return Score(loss, accuracies.get("Combined Validation Accuracy", math.nan), math.nan, 0)
    return score_counts(loss, np.sum(counts, axis=0))
