"""What a model gets wrong: which labels it confuses, where it is surest and wrong, and which labels may be wrong.

Source of the last: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels" (JAIR
2021). It needs probabilities of a model that was not trained on the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.analyses.registry import Analysis, Findings, Subject, Tables
from emotorch.data.split import Indices
from emotorch.evaluation.evaluate import Evaluation, EvaluationSet
from emotorch.figures.faces import plot_prediction_sheet
from emotorch.files import write_csv
from emotorch.metrics import confusion
from emotorch.metrics.calibration import probabilities
from emotorch.runs import findings
from emotorch.runs.folder import Run
from emotorch.tables import Table, text_table
from emotorch.training.checkpoints import Model

Probabilities = NDArray[np.floating]


# Of all pairs the one that people confuse most, and the published models too: it comes first.
_FIRST = frozenset(("fear", "surprise"))


@dataclass(frozen=True)
class Confusion:
    """Two labels that are taken for each other.

    Attributes:
        labels: The two; more often the first is answered as the second than the other way round.
        counts: Images of the first that are answered as the second, and the other way round.
        shares: The same as a part, 0 to 1, of the images of the true label.
        images: (M,) places of all of them, the most confident answer first.
    """

    labels: tuple[str, str]
    counts: tuple[int, int]
    shares: tuple[float, float]
    images: Indices


def confusions(truths: Indices, probabilities: Probabilities, labels: Sequence[str]) -> list[Confusion]:
    """Every pair of labels that is confused: fear and surprise first, then the most frequent first.

    Args:
        truths: (N,) true classes.
        probabilities: (N, K).
        labels: K names.
    """
    predictions = probabilities.argmax(axis=1)
    counts = confusion.confusion_counts(truths, predictions, len(labels))
    shares = confusion.row_proportions(counts)
    found = []
    for pair in combinations(range(len(labels)), 2):
        one, other = pair if counts[pair] >= counts[pair[::-1]] else pair[::-1]
        there, back = (one, other), (other, one)
        if not counts[there]:
            continue
        confused = ((truths == one) & (predictions == other)) | ((truths == other) & (predictions == one))
        found.append(
            Confusion(
                (labels[one], labels[other]),
                (int(counts[there]), int(counts[back])),
                (float(shares[there]), float(shares[back])),
                _most_confident_first(np.flatnonzero(confused), probabilities),
            )
        )
    return sorted(found, key=lambda pair: (set(pair.labels) != _FIRST, -sum(pair.counts)))


def confident_errors(truths: Indices, probabilities: Probabilities) -> Indices:
    """(M,) places of all wrong answers, the most confident first."""
    return _most_confident_first(np.flatnonzero(probabilities.argmax(axis=1) != truths), probabilities)


def _most_confident_first(places: Indices, probabilities: Probabilities) -> Indices:
    return np.asarray(places[np.argsort(-probabilities[places].max(axis=1), kind="stable")], np.int64)


@dataclass(frozen=True)
class LabelErrors:
    """Which labels confident learning doubts.

    Attributes:
        thresholds: (K,) mean probability of a label among the images that have it; NaN of a label without images.
        joint: (K, K) the confident joint: images with the row's label that are confidently of the column's class.
            An image counts for the most probable of the classes whose threshold its probability reaches, if any.
        images: (M,) places of those off its diagonal, those first whose label's probability is farthest below that
            of the class that they are counted for.
        classes: (M,) the classes that they are counted for.
    """

    thresholds: NDArray[np.float64]
    joint: confusion.Counts
    images: Indices
    classes: Indices


def suspected_label_errors(given: Indices, probabilities: Probabilities) -> LabelErrors:
    """The images that confident learning counts for another class than their label says.

    Args:
        given: (N,) labels.
        probabilities: (N, K), of a model that was trained on none of these images.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(given)), given]
    images = np.bincount(given, minlength=classes)
    sums = np.bincount(given, own, minlength=classes)
    thresholds = np.divide(sums, images, out=np.full(classes, np.nan), where=images > 0)
    # No probability reaches the threshold of a class without images: nothing is known of it.
    reached = probabilities >= np.nan_to_num(thresholds, nan=np.inf)
    confident = reached.any(axis=1)
    counted_for = np.where(reached, probabilities, -1.0).argmax(axis=1)
    joint = confusion.confusion_counts(given[confident], counted_for[confident], classes)
    suspected = np.flatnonzero(confident & (counted_for != given))
    margins = own[suspected] - probabilities[suspected, counted_for[suspected]]
    suspected = suspected[np.argsort(margins, kind="stable")]
    return LabelErrors(thresholds, joint, suspected, counted_for[suspected].astype(np.int64))


NAME = "errors"


_CONFIDENT, _SUSPECTED = "confident_errors", "suspected_label_errors"


_TILE_COLUMNS = ("file", "truth", "answer", "confidence")


def analyse_errors(
    run: Run, weights: Path, model: Model, held_out: Evaluation, *, tiles: int, pairs: int, force: bool
) -> tuple[Path, list[str]]:
    """Lists a model's errors unless they are listed already; returns the folder, and what it says.

    Args:
        run: The model's.
        weights: The file that it is from.
        model: Whose errors.
        held_out: Images that it was not trained on, and its answers.
        tiles: The most images on a sheet.
        pairs: The most pairs of labels that get a sheet.
        force: List them again.
    """
    made_from = {
        "images": held_out.images.fingerprint,
        "dataset": held_out.images.name,
        "scheme": model.scheme.as_dict(),
        "tiles": tiles,
        "pairs": pairs,
    }
    with findings.result_folder(run, NAME, weights, made_from, force=force) as folder:
        if folder is not None:
            shares = probabilities(held_out.predictions.outputs.double(), model.temperature).numpy()
            findings.write_findings(folder, _Gallery(folder, run, model.labels, held_out, shares, tiles).write(pairs))
    found = findings.read_findings(run, NAME, weights)
    assert found is not None, "written just now"
    return run.folder / NAME, describe(found)


def describe(findings: Findings) -> list[str]:
    """The confused pairs, and how many labels are in doubt."""
    rows = [("confused", "images", "of the first", "the other way", "of the second")]
    for pair in findings["confusions"]:
        (there, back), (share, share_back) = pair["counts"], pair["shares"]
        name = " as ".join(pair["labels"])
        rows.append((name, str(there), f"{share:.1%}", str(back), f"{share_back:.1%}"))
    suspected = findings["suspected_label_errors"]
    return [
        *findings["lines"],
        "",
        text_table(rows, left=("confused",)),
        "",
        f"{findings['errors']} of {findings['images']} images are answered wrongly",
        f"{suspected['images']} labels are in doubt by confident learning: a suspicion of a model that is itself "
        f"right in {findings['accuracy']:.1f}%, to be looked at, not a finding",
    ]


class _Gallery:
    """Writes one model's lists and sheets into a folder."""

    def __init__(
        self,
        folder: Path,
        run: Run,
        labels: Sequence[str],
        held_out: Evaluation,
        shares: Probabilities,
        tiles: int,
    ) -> None:
        self._folder = folder
        self._run = run
        self._labels = labels
        self._held_out = held_out
        self._images: EvaluationSet = held_out.images
        self._shares = shares
        self._predictions = shares.argmax(axis=1)
        self._tiles = tiles

    def write(self, pairs: int) -> dict[str, Any]:
        """Writes all; returns the findings."""
        truths = self._images.labels
        confused = confusions(truths, self._shares, self._labels)
        surest = confident_errors(truths, self._shares)
        suspected = suspected_label_errors(truths, self._shares)
        predictions = self._held_out.predictions
        return {
            "model": self._run.name,
            "dataset": self._images.name,
            "title": self._held_out.title,
            "images": predictions.images,
            "labels": list(self._labels),
            "lines": list(self._held_out.lines),
            "accuracy": 100.0 * predictions.correct / predictions.images,
            "errors": len(surest),
            "confusions": self._write_confusions(confused, pairs),
            "confident_errors": self._write_confident(surest),
            "suspected_label_errors": self._write_suspected(suspected),
            "tables": {"confusions": "confusions.csv", "confused_images": "confused_images.csv"},
        }

    def _write_confusions(self, confused: Sequence[Confusion], pairs: int) -> list[dict[str, Any]]:
        columns = ("truth", "answer", "images", "share_of_truth", "other_way", "share_of_answer")
        rows = [
            (*pair.labels, pair.counts[0], f"{pair.shares[0]:.4f}", pair.counts[1], f"{pair.shares[1]:.4f}")
            for pair in confused
        ]
        write_csv(self._folder / "confusions.csv", columns, rows)
        tiles = [tile for pair in confused for tile in self._rows(pair.images)]
        write_csv(self._folder / "confused_images.csv", _TILE_COLUMNS, tiles)
        found = []
        for pair in confused[:pairs]:
            one, other = pair.labels
            title = (
                f"{self._held_out.title}: {one} answered as {other} {pair.counts[0]} times ({pair.shares[0]:.0%} of "
                f"{one}), the other way {pair.counts[1]} times ({pair.shares[1]:.0%}); sure to unsure"
            )
            shown = _spread(pair.images, self._tiles)
            picture = f"confused_{one}_{other}.png"
            self._plot(picture, shown, title)
            found.append({**_plain(pair), "picture": picture, "tiles": self._findings(shown)})
        return found + [{**_plain(pair), "picture": None, "tiles": []} for pair in confused[pairs:]]

    def _write_confident(self, surest: Indices) -> dict[str, Any]:
        write_csv(self._folder / f"{_CONFIDENT}.csv", _TILE_COLUMNS, self._rows(surest))
        shown = surest[: self._tiles]
        title = f"{self._held_out.title}: the most confident of {len(surest)} wrong answers"
        picture = self._plot(f"{_CONFIDENT}.png", shown, title)
        return {
            "images": len(surest),
            "table": f"{_CONFIDENT}.csv",
            "picture": picture,
            "tiles": self._findings(shown),
        }

    def _write_suspected(self, suspected: LabelErrors) -> dict[str, Any]:
        # The class that a threshold makes of it need not be the most probable one.
        own = self._shares[suspected.images, self._images.labels[suspected.images]]
        theirs = self._shares[suspected.images, suspected.classes]
        rows = [
            (
                self._images.files[place],
                self._labels[self._images.labels[place]],
                self._labels[kind],
                *map(_share, both),
            )
            for place, kind, *both in zip(
                suspected.images.tolist(), suspected.classes.tolist(), theirs.tolist(), own.tolist(), strict=True
            )
        ]
        columns = ("file", "label", "suspected", "confidence", "label_confidence")
        write_csv(self._folder / f"{_SUSPECTED}.csv", columns, rows)
        shown = suspected.images[: self._tiles]
        number = f"{len(suspected.images)} of {self._held_out.predictions.images}"
        title = f"{self._held_out.title}: {number} labels are in doubt by confident learning; the most doubtful"
        picture = self._plot(f"{_SUSPECTED}.png", shown, title, suspected.classes[: self._tiles])
        known = ~np.isnan(suspected.thresholds)
        return {
            "images": len(suspected.images),
            "table": f"{_SUSPECTED}.csv",
            "picture": picture,
            "thresholds": [
                float(value) if is_known else None for value, is_known in zip(suspected.thresholds, known, strict=True)
            ],
            "confident_joint": suspected.joint.tolist(),
            "tiles": [dict(zip(columns, row, strict=True)) for row in rows[: self._tiles]],
        }

    def _rows(self, places: Indices) -> list[tuple[str, str, str, str]]:
        return [
            (
                self._images.files[place],
                self._labels[self._images.labels[place]],
                self._labels[self._predictions[place]],
                _share(self._shares[place].max()),
            )
            for place in places.tolist()
        ]

    def _findings(self, places: Indices) -> list[dict[str, str]]:
        return [dict(zip(_TILE_COLUMNS, row, strict=True)) for row in self._rows(places)]

    def _plot(self, name: str, places: Indices, title: str, suspected: Indices | None = None) -> str | None:
        """Draws a sheet; returns its file's name, or None where there is nothing to draw."""
        if not len(places):
            return None
        predictions = self._predictions[places] if suspected is None else suspected
        plot_prediction_sheet(
            self._folder / name,
            self._images.pixels[places],
            [self._labels[truth] for truth in self._images.labels[places]],
            [self._labels[prediction] for prediction in predictions],
            self._shares[places, predictions].tolist(),
            title,
            names=["/".join(Path(self._images.files[place]).parts[-2:]) for place in places.tolist()],
            labels_suspected=suspected is not None,
        )
        return name


def _spread(places: Indices, most: int) -> Indices:
    """At most so many, evenly over all: the first and the last are among them."""
    if len(places) <= most:
        return places
    return np.asarray(places[np.linspace(0, len(places) - 1, most).round().astype(int)])


def _plain(pair: Confusion) -> dict[str, Any]:
    return {"labels": list(pair.labels), "counts": list(pair.counts), "shares": list(pair.shares)}


def _share(value: float) -> str:
    return f"{value:.4f}"


# --- For page and card --------------------------------------------------------------------------------------

_TILES, _PAIRS = 40, 2


def _compute(subject: Subject) -> Findings:
    loaded = subject.loaded
    analyse_errors(
        loaded.run, loaded.weights, loaded.model, subject.images, tiles=_TILES, pairs=_PAIRS, force=subject.force
    )
    found = ANALYSIS.read(loaded.run, loaded.weights)
    assert found is not None, "written just now"
    return found


def _lines(findings: Findings) -> list[str]:
    return [*findings["lines"], *describe(findings)[-2:]]


def _tables(findings: Findings) -> Tables:
    rows = [
        (*pair["labels"], pair["counts"][0], pair["shares"][0], pair["counts"][1], pair["shares"][1])
        for pair in findings["confusions"]
    ]
    columns = ("label", "predicted as", "images", "of the label", "other way", "of the other label")
    return {"Confused pairs of labels": Table(pd.DataFrame(rows, columns=columns))}


ANALYSIS = Analysis(NAME, "Errors", "show_errors.py", _compute, _lines, _tables)
