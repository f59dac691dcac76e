"""What a model gets wrong: the labels that it confuses, its most confident errors, and labels that may be wrong.

Source of the last: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels" (JAIR
2021). It needs probabilities of a model that was not trained on the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.data.split import Indices
from emotorch.evaluation.evaluate import Evaluation
from emotorch.figures.canvas import save
from emotorch.figures.faces import prediction_sheet
from emotorch.metrics import calibration, confusion
from emotorch.runs.findings import Findings
from emotorch.tables import Table, write_table

Probabilities = NDArray[np.floating]


# Of all pairs the one that people confuse most, and the published models too: it comes first.
_FIRST = {"fear", "surprise"}


@dataclass(frozen=True)
class Confusion:
    """Two labels that are taken for each other.

    Attributes:
        labels: The two; more often the first is predicted as the second than the other way round.
        counts: Images of the first that are predicted as the second, and the other way round.
        proportions: The same of all images of the true label, 0 to 1.
        images: (M,) places of all of them, the most confident prediction first.
    """

    labels: tuple[str, str]
    counts: tuple[int, int]
    proportions: tuple[float, float]
    images: Indices


def confusions(truths: Indices, probabilities: Probabilities, labels: Sequence[str]) -> list[Confusion]:
    """Every pair of labels that is confused: fear and surprise first, then the most frequent first.

    Of (N,) true classes, (N, K) probabilities and K names.
    """
    predictions = probabilities.argmax(axis=1)
    counts = confusion.confusion_counts(truths, predictions, len(labels))
    proportions = confusion.row_proportions(counts)
    found = []
    for pair in combinations(range(len(labels)), 2):
        one, other = pair if counts[pair] >= counts[pair[::-1]] else pair[::-1]
        if not counts[one, other]:
            continue
        confused = ((truths == one) & (predictions == other)) | ((truths == other) & (predictions == one))
        found.append(
            Confusion(
                (labels[one], labels[other]),
                (int(counts[one, other]), int(counts[other, one])),
                (float(proportions[one, other]), float(proportions[other, one])),
                _most_confident_first(np.flatnonzero(confused), probabilities),
            )
        )
    return sorted(found, key=lambda pair: (set(pair.labels) != _FIRST, -sum(pair.counts)))


def confident_errors(truths: Indices, probabilities: Probabilities) -> Indices:
    """(M,) places of all wrong predictions, the most confident first."""
    return _most_confident_first(np.flatnonzero(probabilities.argmax(axis=1) != truths), probabilities)


def _most_confident_first(places: Indices, probabilities: Probabilities) -> Indices:
    return np.asarray(places[np.argsort(-probabilities[places].max(axis=1), kind="stable")], np.int64)


@dataclass(frozen=True)
class LabelErrors:
    """The labels that confident learning suspects to be wrong.

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
    """The images that confident learning counts for another class than their (N,) given labels say.

    The (N, K) probabilities are of a model that was trained on none of these images.
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


# --- The analysis -------------------------------------------------------------------------------------------

_PAIRS, _CONFUSED = "confusions.csv", "confused_images.csv"


def analyse_errors(subject: Subject, tiles: int = 40, pairs: int = 2) -> Findings:
    """Lists a model's errors on held-out images in `MODEL/errors/`, unless they are listed already.

    At most so many images (`tiles`) are on a sheet, and at most so many `pairs` of labels get one.
    """
    made_from = {
        "images": subject.held_out.images.fingerprint,
        "dataset": subject.held_out.images.name,
        "scheme": subject.loaded.model.scheme.as_dict(),
        "tiles": tiles,
        "pairs": pairs,
    }
    return subject.compute_once(ANALYSIS.name, made_from, partial(_make, subject, tiles, pairs))


def _make(subject: Subject, tiles: int, pairs: int, folder: Path) -> Findings:
    loaded, held_out = subject.loaded, subject.held_out
    predictions, labels, truths = held_out.predictions, loaded.model.labels, held_out.images.labels
    found = calibration.probabilities(predictions.outputs.double(), loaded.model.temperature).numpy()
    gallery = _Gallery(folder, held_out, np.array(labels), found, tiles)
    confused, wrong = confusions(truths, found, labels), confident_errors(truths, found)
    write_table(folder / _CONFUSED, gallery.table(np.concatenate([wrong[:0], *(pair.images for pair in confused)])))
    title = f"the most confident of {len(wrong)} wrong predictions"
    findings = {
        **subject.head(),
        "accuracy": 100.0 * predictions.correct / predictions.images,
        "errors": len(wrong),
        "confusions": [gallery.confusion(pair, with_sheet=number < pairs) for number, pair in enumerate(confused)],
        "confident_errors": gallery.write("confident_errors", gallery.table(wrong), wrong, title),
        "suspected_label_errors": gallery.write_suspected(suspected_label_errors(truths, found)),
        "tables": {"confusions": _PAIRS, "confused_images": _CONFUSED},
    }
    write_table(folder / _PAIRS, _pairs_table(findings))
    return findings


@dataclass(frozen=True)
class _Gallery:
    """Writes lists and sheets of one model's images into a folder, and returns what the findings say of them.

    Images are given as (M,) places among those that were held out.
    """

    folder: Path
    held_out: Evaluation
    labels: NDArray[np.str_]
    probabilities: Probabilities
    tiles: int

    @cached_property
    def classes(self) -> Indices:
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def table(self, places: Indices) -> Table:
        frame = pd.DataFrame(
            {
                "file": self._files(places),
                "truth": self.labels[self.held_out.images.labels[places]],
                "prediction": self.labels[self.classes[places]],
                "confidence": self.probabilities[places, self.classes[places]],
            }
        )
        return Table(frame, {"confidence": "{:.4f}"})

    def confusion(self, pair: Confusion, *, with_sheet: bool) -> dict[str, Any]:
        (one, other), counts, proportions = pair.labels, pair.counts, pair.proportions
        found = {"labels": [one, other], "counts": list(counts), "shares": list(proportions)}
        if not with_sheet:
            return {**found, "picture": None, "tiles": []}
        # Evenly over all, the first and the last among them.
        number = min(self.tiles, len(pair.images))
        shown = pair.images[np.linspace(0, len(pair.images) - 1, number).round().astype(int)]
        title = (
            f"{one} predicted as {other} {counts[0]} times ({proportions[0]:.0%} of {one}), the other way "
            f"{counts[1]} times ({proportions[1]:.0%}); most to least confident"
        )
        picture = self._plot(f"confused_{one}_{other}", shown, self.classes[shown], title)
        return {**found, "picture": picture, "tiles": _tiles(self.table(shown))}

    def write_suspected(self, suspected: LabelErrors) -> dict[str, Any]:
        # The class that a threshold makes of it need not be the most probable one.
        places, classes, labels = suspected.images, suspected.classes, self.held_out.images.labels[suspected.images]
        frame = pd.DataFrame(
            {
                "file": self._files(places),
                "label": self.labels[labels],
                "suspected": self.labels[classes],
                "confidence": self.probabilities[places, classes],
                "label_confidence": self.probabilities[places, labels],
            }
        )
        table = Table(frame, dict.fromkeys(("confidence", "label_confidence"), "{:.4f}"))
        title = f"{len(places)} of {len(self.classes)} labels suspected by confident learning; the most suspicious"
        return {
            **self.write("suspected_label_errors", table, places, title, suspected=classes),
            "thresholds": suspected.thresholds.tolist(),
            "confident_joint": suspected.joint.tolist(),
        }

    def write(
        self, name: str, table: Table, places: Indices, title: str, suspected: Indices | None = None
    ) -> dict[str, Any]:
        """Writes a list and a sheet of its first images: with their predictions, or with (M,) suspected classes."""
        write_table(self.folder / f"{name}.csv", table)
        classes = self.classes[places] if suspected is None else suspected
        first = slice(self.tiles)
        doubtful = suspected is not None
        return {
            "images": len(places),
            "table": f"{name}.csv",
            "picture": self._plot(name, places[first], classes[first], title, labels_suspected=doubtful),
            "tiles": _tiles(table)[first],
        }

    def _plot(
        self, name: str, places: Indices, classes: Indices, title: str, *, labels_suspected: bool = False
    ) -> str | None:
        """Draws a sheet; returns its file's name, or None where there is nothing to draw."""
        if not len(places):
            return None
        sheet = prediction_sheet(
            self.held_out.images.pixels[places],
            self.labels[self.held_out.images.labels[places]].tolist(),
            self.labels[classes].tolist(),
            self.probabilities[places, classes].tolist(),
            f"{self.held_out.title}: {title}",
            names=["/".join(Path(file).parts[-2:]) for file in self._files(places)],
            labels_suspected=labels_suspected,
        )
        return save(sheet, self.folder / f"{name}.png").name

    def _files(self, places: Indices) -> list[str]:
        return [self.held_out.images.files[place] for place in places.tolist()]


def _tiles(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


# --- Lines and tables ---------------------------------------------------------------------------------------


def _lines(findings: Findings) -> list[str]:
    return [
        *findings["lines"],
        f"{findings['errors']} of {findings['images']} images are misclassified",
        f"{findings['suspected_label_errors']['images']} labels are suspected to be wrong, by confident learning: "
        f"suspicions of a model that is itself right in {findings['accuracy']:.1f}%, to be looked at, not findings",
    ]


def _tables(findings: Findings) -> Tables:
    written = _pairs_table(findings)
    if written.frame.empty:
        return {}
    shown = {
        "truth": "true label",
        "prediction": "predicted as",
        "share_of_truth": "of the true label",
        "other_way": "the other way",
        "share_of_prediction": "of the other label",
    }
    formats = {shown[name]: "{:.1%}" for name in written.formats}
    first = findings["confusions"][0]["labels"]
    order = "fear and surprise first, which people confuse most; then " if set(first) == _FIRST else ""
    title = f"Pairs of labels that are confused; {order}the most frequent first"
    return {title: Table(written.frame.rename(columns=shown), formats)}


def _pairs_table(findings: Findings) -> Table:
    rows = []
    for pair in findings["confusions"]:
        (images, other_way), (proportion, proportion_back) = pair["counts"], pair["shares"]
        rows.append((*pair["labels"], images, proportion, other_way, proportion_back))
    columns = ("truth", "prediction", "images", "share_of_truth", "other_way", "share_of_prediction")
    frame = pd.DataFrame(rows, columns=columns)
    return Table(frame, dict.fromkeys(("share_of_truth", "share_of_prediction"), "{:.4f}"))


ANALYSIS = Analysis("errors", "Errors", "show_errors.py", analyse_errors, _lines, _tables)
