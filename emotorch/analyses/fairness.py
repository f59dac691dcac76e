"""Whether a model serves groups of people equally well: accuracy, recall and calibration of each group, and the gaps.

A gap in accuracy may be a gap in classes only: where one group's images show the hard emotions more often. So each
group's accuracy is also given standardised to the classes of all groups together (direct standardisation: Rothman,
Greenland and Lash, "Modern Epidemiology", 2008, chapter 4). Whether a gap is more than chance is tested by permuting
the groups: of all images, and, for the standardised gap and the recalls, within each class.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from emotorch.analyses.attributes import Attribute, Table, make_attributes, match
from emotorch.analyses.registry import Analysis, Findings, Subject, Tables
from emotorch.data.split import Indices, group_sources
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import sources_of
from emotorch.evaluation.held_out import HeldOut
from emotorch.figures.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, new_figure, save, tidy
from emotorch.files import hash_file, write_csv, write_text
from emotorch.metrics import confusion, intervals, paired
from emotorch.metrics.calibration import Calibration, probabilities
from emotorch.metrics.calibration import measure as measure_calibration
from emotorch.metrics.intervals import RESAMPLES, Array
from emotorch.paths import Paths
from emotorch.runs.findings import result_folder, write_findings
from emotorch.runs.folder import Run
from emotorch.seeding import generator
from emotorch.tables import Table as Shown
from emotorch.tables import text_table
from emotorch.training.checkpoints import Model

# Fewer images say too little: such a group is shown and marked, and takes no part in gaps and tests.
SMALL = 30


_SEED = 42


_CHUNK = 100


ACCURACY, STANDARDISED, MACRO_F1, OVERCONFIDENCE = "accuracy", "accuracy, same classes", "macro-F1", "overconfidence"


RECALL = "recall of "


@dataclass(frozen=True)
class PredictedImages:
    """Images with truths and a model's answers.

    Attributes:
        truths: (N,) classes.
        shares: (N, K) probabilities that the model gives.
        sources: (N,) equal for images that are not independent: exact twins, variants of one original.
        labels: The K classes' names.
    """

    truths: Indices
    shares: NDArray[np.floating]
    sources: Indices
    labels: Sequence[str]

    @property
    def classes(self) -> Indices:
        return np.asarray(self.shares.argmax(axis=1), np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> "PredictedImages":
        return PredictedImages(self.truths[chosen], self.shares[chosen], self.sources[chosen], self.labels)


@dataclass(frozen=True)
class Proportion:
    """A part of some images: percent with Wilson's 95% interval; NaN of none."""

    images: int
    correct: int

    @property
    def percent(self) -> float:
        return 100.0 * self.correct / self.images if self.images else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return intervals.wilson_interval(self.correct, self.images)

    @property
    def small(self) -> bool:
        return self.images < SMALL


@dataclass(frozen=True)
class GroupScore:
    """How a model does on a group.

    Attributes:
        name: The group's.
        accuracy: Of all its images.
        standardised: The accuracy that it would have with the classes of all groups together, percent; NaN for a
            small group that lacks one of them.
        macro_f1: Percent.
        recalls: Of each class; how many images it has is the group's distribution of labels.
        overconfidence: Mean confidence less accuracy, percentage points.
        calibration: Its expected calibration error, and what chance alone would give.
    """

    name: str
    accuracy: Proportion
    standardised: float
    macro_f1: float
    recalls: Sequence[Proportion]
    overconfidence: float
    calibration: Calibration


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups that are not small.

    Attributes:
        metric: Of which.
        lowest, highest: The groups.
        difference: Percentage points; the interval is that of these two, chosen after they were seen.
        p: Of so large a gap between any two groups by chance; NaN where it is not tested.
        p_holm: The same, for all tests of all attributes together.
    """

    metric: str
    lowest: str
    highest: str
    difference: paired.Difference
    p: float = float("nan")
    p_holm: float = float("nan")


@dataclass(frozen=True)
class Fairness:
    """An attribute's groups compared.

    Attributes:
        attribute: Which.
        unknown: How many images have no value of it.
        groups: The scores, in the attribute's order.
        gaps: Empty unless two groups are large enough.
        left_out: Classes that some large group lacks, so that they take no part in the standardised accuracy.
    """

    attribute: Attribute
    unknown: int
    groups: Sequence[GroupScore]
    gaps: Sequence[Gap]
    left_out: Sequence[str]


def compare_groups(attributes: Sequence[Attribute], answered: PredictedImages) -> list[Fairness]:
    """Every attribute's groups, with p-values that hold for all of them together."""
    found = [_compare(attribute, answered) for attribute in attributes]
    tested = [gap.p for fairness in found for gap in fairness.gaps if not np.isnan(gap.p)]
    adjusted = iter(paired.holm(tested))
    return [replace(fairness, gaps=list(_adjust(fairness.gaps, adjusted))) for fairness in found]


def _adjust(gaps: Sequence[Gap], adjusted: Iterator[float]) -> Iterator[Gap]:
    for gap in gaps:
        yield gap if np.isnan(gap.p) else replace(gap, p_holm=next(adjusted))


def _compare(attribute: Attribute, answered: PredictedImages) -> Fairness:
    number, classes = len(attribute.groups), len(answered.labels)
    members = attribute.members
    chosen = members >= 0
    cells = (members * classes + answered.truths) * classes + answered.classes
    counts = np.bincount(cells[chosen], minlength=number * classes**2).reshape(number, classes, classes)
    sizes = counts.sum(axis=(1, 2))
    large = np.flatnonzero(sizes >= SMALL)
    weights = _class_weights(counts[large])
    standardised = _standardise(confusion.recalls(counts), weights)
    groups = [
        _score_group(name, counts[place], float(standardised[place]), answered, members == place)
        for place, name in enumerate(attribute.groups)
    ]
    gaps = _gaps(attribute, answered, groups, large, weights) if len(large) > 1 else []
    present = counts.sum(axis=(0, 2)) > 0
    left_out = [label for place, label in enumerate(answered.labels) if present[place] and not weights[place]]
    return Fairness(attribute, int((~chosen).sum()), groups, gaps, left_out if len(large) > 1 else [])


def _class_weights(counts: NDArray[np.int64]) -> Array:
    """(G, K, K) counts of the large groups to (K,): each class's share in all of them; 0 for one that a group lacks."""
    images = counts.sum(axis=2)
    total = np.where((images > 0).all(axis=0), images.sum(axis=0), 0).astype(float)
    return np.asarray(total / max(1.0, total.sum()))


def _standardise(recalls: Array, weights: Array) -> Array:
    """(…, K) recalls to (…); NaN where a class that counts has no images."""
    used = weights > 0
    if not used.any():
        return np.full(recalls.shape[:-1], np.nan)
    return np.asarray(recalls[..., used] @ weights[used])


def _score_group(
    name: str, counts: NDArray[np.int64], standardised: float, answered: PredictedImages, chosen: NDArray[np.bool_]
) -> GroupScore:
    accuracy = Proportion(int(counts.sum()), int(np.trace(counts)))
    totals, right = counts.sum(axis=1).tolist(), np.diagonal(counts).tolist()
    shares = answered.shares[chosen]
    return GroupScore(
        name,
        accuracy,
        standardised,
        float(confusion.macro_f1(counts)),
        [Proportion(images, correct) for images, correct in zip(totals, right, strict=True)],
        100.0 * float(shares.max(axis=1).mean()) - accuracy.percent,
        measure_calibration(shares, answered.truths[chosen]),
    )


# --- Gaps ---------------------------------------------------------------------------------------------------


def _gaps(
    attribute: Attribute, answered: PredictedImages, groups: Sequence[GroupScore], large: Indices, weights: Array
) -> list[Gap]:
    chosen = np.isin(attribute.members, large)
    members = np.searchsorted(large, attribute.members[chosen])
    names = [attribute.groups[place] for place in large.tolist()]
    part = answered.part(chosen)
    by_metric = _resampled(part, members, len(large), weights, attribute.name)
    gaps = []
    for metric, values in by_metric.items():
        enough = np.isfinite(values[0])
        inside = np.ones(len(members), dtype=bool)
        if metric.startswith(RECALL):
            label = answered.labels.index(metric.removeprefix(RECALL))
            enough &= np.array([not groups[place].recalls[label].small for place in large.tolist()])
            inside = (part.truths == label) & enough[members]
        places = np.flatnonzero(enough)
        if len(places) > 1:
            low, high = (int(places[pick(values[0, places])]) for pick in (np.argmin, np.argmax))
            difference = paired.percentile_difference(values[:, high] - values[:, low])
            p = _test(metric, part.part(inside), members[inside], weights, attribute.name)
            gaps.append(Gap(metric, names[low], names[high], difference, p))
    return gaps


def _test(metric: str, part: PredictedImages, members: Indices, weights: Array, name: str) -> float:
    """NaN for a metric that is no share of right answers."""
    if metric == STANDARDISED:
        return permutation_test(part, members, part.truths, weights, name)
    if metric == ACCURACY or metric.startswith(RECALL):
        return permutation_test(part, members, np.zeros_like(part.truths), np.ones(1), f"{name}/{metric}")
    return float("nan")


def _resampled(part: PredictedImages, members: Indices, number: int, weights: Array, name: str) -> dict[str, Array]:
    """Every metric's (1 + R, G) values: measured, then with sources drawn anew; percent."""
    classes = len(part.labels)
    sources = np.unique(part.sources, return_inverse=True)[1]
    cells = (members * classes + part.truths) * classes + part.classes
    key = ("fairness", name, _SEED)
    counts = paired.resampled_counts(cells[None], number * classes**2, sources, generator(*key))[0]
    counts = counts.reshape(-1, number, classes, classes)
    confidence = paired.resampled_counts(
        members[None], number, sources, generator(*key), amounts=part.shares.max(axis=1)[None]
    )[0]
    accuracy, recalls = confusion.accuracy(counts), confusion.recalls(counts)
    images = np.maximum(1, counts.sum(axis=(2, 3)))
    return {
        ACCURACY: accuracy,
        STANDARDISED: _standardise(recalls, weights),
        MACRO_F1: confusion.macro_f1(counts),
        **{f"{RECALL}{label}": recalls[..., place] for place, label in enumerate(part.labels)},
        OVERCONFIDENCE: 100 * confidence / images - accuracy,
    }


def permutation_test(part: PredictedImages, members: Indices, strata: Indices, weights: Array, name: str) -> float:
    """How often groups drawn by lot have so large a gap between the best and the worst.

    The lot is cast within each stratum, between sources: images of one source, stratum and group go together. A
    person's images in several strata count as independent.

    Args:
        part: Images of the groups that are compared.
        members: (N,) each image's group.
        strata: (N,) within which groups are exchanged.
        weights: (S,) of the strata's shares of right answers in a group's score; they sum to 1.
        name: Of the lot.
    """
    right = (part.classes == part.truths).astype(float)
    units, unit = np.unique(np.stack([part.sources, strata, members]), axis=1, return_inverse=True)
    unit = unit.ravel()
    hits, sizes = np.bincount(unit, right), np.bincount(unit).astype(float)
    found = np.unique(members)
    rng = generator("fairness lots", name, _SEED)
    scores = np.zeros((1 + RESAMPLES, len(found)))
    for stratum in np.flatnonzero(weights):
        inside = units[1] == stratum
        groups, of_hits, of_sizes = units[2, inside], hits[inside], sizes[inside]
        for start in range(0, 1 + RESAMPLES, _CHUNK):
            drawn = rng.permuted(np.tile(groups, (min(_CHUNK, 1 + RESAMPLES - start), 1)), axis=1)
            if start == 0:
                drawn[0] = groups  # as they are
            for column, group in enumerate(found.tolist()):
                those = (drawn == group).astype(float)
                share = those @ of_hits / np.maximum(1, those @ of_sizes)
                scores[start : start + len(drawn), column] += weights[stratum] * share
    gaps = np.ptp(scores, axis=1)
    return float((gaps >= gaps[0] - 1e-12).mean())


NAME = "fairness"


REPORT_NAME = "fairness.txt"


_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)


_MARKERS = "osD^vPX"


_SMALL_MARK = " (small)"


def analyse_fairness(
    paths: Paths,
    run: Run,
    weights: Path,
    model: Model,
    held_out: HeldOut,
    table: Table,
    edges: Mapping[str, Sequence[float]],
    *,
    force: bool,
) -> Path:
    """Compares the groups of a table's attributes in `MODEL/fairness/`, unless that is there already; returns it.

    Raises:
        EmoTorchError: the table tells of none of the images, or contradicts itself; or its edges do not fit it.
    """
    made_from = {
        "attributes": hash_file(table.path),
        "columns": list(table.columns),
        "edges": dict(edges),
        "images": held_out.fingerprint,
        "scheme": model.scheme.as_dict(),
    }
    with result_folder(run, NAME, weights, made_from, force=force) as folder:
        if folder is not None:
            rows, counted = match(paths, table, held_out.images, model.scheme)
            attributes, notes = make_attributes(table, rows, edges)
            sources = group_sources(sources_of(paths, held_out.images, model.scheme))
            shares = probabilities(held_out.predictions.outputs.double(), model.temperature).numpy()
            found = compare_groups(attributes, PredictedImages(held_out.images.labels, shares, sources, model.labels))
            _write(folder, held_out.title, [*held_out.lines, *counted, *notes], found, model.labels)
    return run.folder / NAME


def _write(folder: Path, title: str, lines: Sequence[str], found: Sequence[Fairness], labels: Sequence[str]) -> None:
    write_text(folder / REPORT_NAME, describe(lines, found, labels) + "\n")
    _write_groups(folder / "groups.csv", found)
    _write_recalls(folder / "recalls.csv", found, labels)
    _write_gaps(folder / "gaps.csv", found)
    _plot(folder / "fairness.png", title, found, labels)
    write_findings(folder, {"title": title, "lines": list(lines), "attributes": [_findings(f, labels) for f in found]})


# --- Text ---------------------------------------------------------------------------------------------------


def describe(lines: Sequence[str], found: Sequence[Fairness], labels: Sequence[str]) -> str:
    """Each attribute's groups with counts and intervals, and the largest gaps."""
    parts = ["\n".join(lines)]
    for fairness in found:
        parts += ["\n".join(_heading(fairness)), _scores_table(fairness), _recalls_table(fairness, labels)]
        parts.append(_gaps_table(fairness) if fairness.gaps else "no two groups are large enough: no gap to speak of")
    parts.append("\n".join(_reading()))
    return "\n\n".join(parts)


def _heading(fairness: Fairness) -> Iterator[str]:
    attribute = fairness.attribute
    how = f", {attribute.how}" if attribute.how else ""
    yield f"{attribute.name}: {len(attribute.groups)} groups{how}; of {fairness.unknown:,} images it is unknown"
    small = [group.name for group in fairness.groups if group.accuracy.small]
    if small:
        yield f"fewer than {SMALL} images, no part in the gaps: {', '.join(small)}"
    if fairness.left_out:
        yield f"no part in the standardised accuracy, because a group has none: {', '.join(fairness.left_out)}"


def _scores_table(fairness: Fairness) -> str:
    header = ("group", "images", "accuracy", "same classes", "macro-F1", "ECE", "ECE by chance", "overconfidence")
    rows = [header]
    for group in fairness.groups:
        calibration = group.calibration
        error, chance = (f"{100 * value:.1f}" for value in (calibration.ece, calibration.by_chance))
        scores = (_number(group.standardised), _number(group.macro_f1), error, chance, f"{group.overconfidence:+.1f}")
        rows.append((_name(group), f"{group.accuracy.images:,}", _proportion(group.accuracy), *scores))
    return text_table(rows, left=("group",))


def _recalls_table(fairness: Fairness, labels: Sequence[str]) -> str:
    rows: list[Sequence[str]] = [("recall", *labels)]
    rows += [
        (_name(group), *(_recall(recall, group.accuracy.images) for recall in group.recalls))
        for group in fairness.groups
    ]
    return text_table(rows, left=("recall",))


def _recall(recall: Proportion, images: int) -> str:
    share = f"{100 * recall.images / images:.0f}% of images"
    return f"{_proportion(recall)}, {share}{'*' if recall.small else ''}"


def _gaps_table(fairness: Fairness) -> str:
    rows = [("largest gap", "lowest", "highest", "points", "95% interval", "p", "p (Holm)")]
    for gap in fairness.gaps:
        found = gap.difference
        interval = f"{found.low:+.1f} to {found.high:+.1f}"
        rows.append((gap.metric, gap.lowest, gap.highest, f"{found.value:.1f}", interval, _p(gap.p), _p(gap.p_holm)))
    return text_table(rows, left=("largest gap", "lowest", "highest"))


def _reading() -> Iterator[str]:
    yield "percent; 95% intervals of accuracy and recall are Wilson's, of gaps from sources drawn anew"
    yield "same classes: the accuracy if every group had the classes of all groups together"
    yield "ECE: expected calibration error; by chance: that of a perfect model with these confidences"
    yield "p: groups drawn by lot (within each class for the same classes and recalls); a gap's interval is of the two"
    yield "groups that were found farthest apart, and so flatters it; its p does not"
    yield f"*: fewer than {SMALL} images, no part in this class's gap"


def _name(group: GroupScore) -> str:
    return f"{group.name}{_SMALL_MARK}" if group.accuracy.small else group.name


def _proportion(value: Proportion) -> str:
    if not value.images:
        return "-"
    low, high = value.interval
    return f"{value.percent:.1f} ({low:.1f}–{high:.1f})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


# --- Tables -------------------------------------------------------------------------------------------------


def _write_groups(path: Path, found: Sequence[Fairness]) -> None:
    scores = ("accuracy", "low", "high", "accuracy_same_classes", "macro_f1", "ece", "ece_by_chance", "overconfidence")
    rows = []
    for fairness in found:
        for group in fairness.groups:
            row = _group_row(group)
            counts = (group.accuracy.images, group.accuracy.correct, group.accuracy.small)
            rows.append((fairness.attribute.name, group.name, *counts, *(f"{row[name]:.4f}" for name in scores)))
    write_csv(path, ("attribute", "group", "images", "correct", "small", *scores), rows)


def _group_row(group: GroupScore) -> dict[str, float]:
    low, high = group.accuracy.interval
    return {
        "accuracy": group.accuracy.percent,
        "low": low,
        "high": high,
        "accuracy_same_classes": group.standardised,
        "macro_f1": group.macro_f1,
        "ece": 100 * group.calibration.ece,
        "ece_by_chance": 100 * group.calibration.by_chance,
        "overconfidence": group.overconfidence,
    }


def _write_recalls(path: Path, found: Sequence[Fairness], labels: Sequence[str]) -> None:
    rows = []
    for fairness in found:
        for group in fairness.groups:
            for label, recall in zip(labels, group.recalls, strict=True):
                share = 100 * recall.images / max(1, group.accuracy.images)
                values = (f"{value:.4f}" for value in (share, recall.percent, *recall.interval))
                counts = (recall.images, recall.correct, recall.small)
                rows.append((fairness.attribute.name, group.name, label, *counts, *values))
    header = ("attribute", "group", "label", "images", "correct", "small", "share_of_group", "recall", "low", "high")
    write_csv(path, header, rows)


def _write_gaps(path: Path, found: Sequence[Fairness]) -> None:
    rows = []
    for fairness in found:
        for gap in fairness.gaps:
            values = (gap.difference.value, gap.difference.low, gap.difference.high, gap.p, gap.p_holm)
            row = (fairness.attribute.name, gap.metric, gap.lowest, gap.highest)
            rows.append((*row, *(f"{value:.4f}" for value in values)))
    write_csv(path, ("attribute", "metric", "lowest", "highest", "gap", "low", "high", "p", "p_holm"), rows)


def _findings(fairness: Fairness, labels: Sequence[str]) -> dict[str, Any]:
    """Plain values; what is unknown is None."""
    groups = [
        {
            "name": group.name,
            "images": group.accuracy.images,
            "small": group.accuracy.small,
            **{name: _plain(value) for name, value in _group_row(group).items()},
            "recalls": {
                label: {"images": recall.images, "recall": _plain(recall.percent)}
                for label, recall in zip(labels, group.recalls, strict=True)
            },
        }
        for group in fairness.groups
    ]
    return {
        "name": fairness.attribute.name,
        "how": fairness.attribute.how,
        "unknown": fairness.unknown,
        "groups": groups,
        "gaps": [_gap_findings(gap) for gap in fairness.gaps],
        "not_standardised": list(fairness.left_out),
    }


def _gap_findings(gap: Gap) -> dict[str, Any]:
    return {
        "metric": gap.metric,
        "lowest": gap.lowest,
        "highest": gap.highest,
        "points": gap.difference.value,
        "interval": [gap.difference.low, gap.difference.high],
        "p": _plain(gap.p),
        "p_holm": _plain(gap.p_holm),
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- Picture ------------------------------------------------------------------------------------------------


def _plot(path: Path, title: str, found: Sequence[Fairness], labels: Sequence[str]) -> Path:
    """A row for every attribute: accuracy of its groups, recall of each class, and the classes that they have."""
    heights = [0.5 * len(fairness.groups) + 1.1 for fairness in found]
    figure = new_figure(13.5, sum(heights) + 1.1, f"Groups compared: {title}")
    grid = figure.subplots(len(found), 3, squeeze=False, height_ratios=heights, sharex="col", width_ratios=(1, 1, 0.8))
    for row, fairness in zip(grid, found, strict=True):
        _draw_accuracy(row[0], fairness)
        _draw_recalls(row[1], fairness, labels)
        _draw_classes(row[2], fairness, labels)
        for axes in row:
            axes.set_ylim(len(fairness.groups) - 0.5, -0.5)
            tidy(axes)
    names = ("Accuracy (%)", "Recall of each class (%)", "Classes of the images (%)")
    for axes, name in zip(grid[-1], names, strict=True):
        axes.set_xlabel(name)
    _add_legend(figure, list(grid[:, 0]), "outside lower left")
    _add_legend(figure, list(grid[:, 1]), "outside lower right")
    return save(figure, path)


def _add_legend(
    figure: Figure, all_axes: Sequence[Axes], place: Literal["outside lower left", "outside lower right"]
) -> None:
    """What the signs in a column of panels mean, each once."""
    entries: dict[str, Artist] = {}
    for axes in all_axes:
        handles, names = axes.get_legend_handles_labels()
        for name, handle in zip(names, handles, strict=True):
            entries.setdefault(name, handle)
    figure.legend(entries.values(), entries.keys(), loc=place, ncols=4, frameon=False, fontsize=9, handlelength=1.5)


def _draw_accuracy(axes: Axes, fairness: Fairness) -> None:
    for place, group in enumerate(fairness.groups):
        low, high = group.accuracy.interval
        small = group.accuracy.small
        colour, fill = (GREY, "white") if small else (BLUE, BLUE)
        kind = f"fewer than {SMALL} images" if small else "accuracy, 95% interval"
        axes.plot((low, high), (place, place), color=colour, linewidth=2)
        axes.plot(group.accuracy.percent, place, "o", color=colour, markerfacecolor=fill, label=kind)
        if not small:
            style = {"color": VERMILLION, "markersize": 15, "markeredgewidth": 2.5, "linestyle": "none"}
            axes.plot(group.standardised, place, marker="|", label="same classes for all groups", **style)  # type: ignore[arg-type]
    names = [f"{_name(group)}\nn = {group.accuracy.images:,}" for group in fairness.groups]
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.set_ylabel(fairness.attribute.name, fontweight="bold", parse_math=False)


def _draw_recalls(axes: Axes, fairness: Fairness, labels: Sequence[str]) -> None:
    # Classes one above the other, so that no interval covers another's.
    offsets = np.linspace(-0.32, 0.32, len(labels)).tolist()
    for number, label in enumerate(labels):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        for place, group in enumerate(fairness.groups):
            recall, height = group.recalls[number], place + offsets[number]
            if not recall.images:
                continue
            low, high = recall.interval
            axes.plot((low, high), (height, height), color=GREY if recall.small else colour, linewidth=1.2)
            fill = "white" if recall.small else colour
            axes.plot(recall.percent, height, marker, color=colour, markerfacecolor=fill, markersize=5, label=label)
    axes.set_yticks(range(len(fairness.groups)), [""] * len(fairness.groups))


def _draw_classes(axes: Axes, fairness: Fairness, labels: Sequence[str]) -> None:
    images = np.array([[recall.images for recall in group.recalls] for group in fairness.groups], float)
    shares = 100 * images / np.maximum(1, images.sum(axis=1, keepdims=True))
    left = np.zeros(len(images))
    for number in range(len(labels)):
        colour = _COLOURS[number % len(_COLOURS)]
        axes.barh(range(len(images)), shares[:, number], left=left, color=colour, edgecolor="white", height=0.6)
        left += shares[:, number]
    axes.set_xlim(0, 100)
    axes.set_yticks(range(len(images)), [""] * len(images))


# --- For page and card --------------------------------------------------------------------------------------


def _read(subject: Subject) -> Findings:
    found = ANALYSIS.read(subject.loaded.run, subject.loaded.weights)
    if found is None:
        raise EmoTorchError("no table of attributes was given")
    return found


def _lines(findings: Findings) -> list[str]:
    return list(findings["lines"])


def _tables(findings: Findings) -> Tables:
    return {
        f"Groups by {attribute['name']}": Shown(pd.DataFrame(attribute["groups"]).drop(columns="recalls"))
        for attribute in findings["attributes"]
    }


ANALYSIS = Analysis(
    NAME, "Fairness across groups", "analyze_fairness.py", _read, _lines, _tables, arguments="--attributes CSV"
)
