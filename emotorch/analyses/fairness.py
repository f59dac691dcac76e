"""Whether a model serves groups of people equally well: accuracy, recall and calibration of each group, and the gaps.

A gap in accuracy may be a gap in classes only: where one group's images show the hard emotions more often. So each
group's accuracy is also given standardised to the classes of all groups together (direct standardisation: Rothman,
Greenland and Lash, "Modern Epidemiology", 2008, chapter 4). Whether a gap is more than chance is tested by permuting
the groups: of all images, and, for the standardised gap and the recalls, within each class.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from emotorch.analyses.attributes import Attribute, AttributeTable, make_attributes, match
from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.data.split import Indices, group_sources
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.sets import sources_of
from emotorch.figures.canvas import new_figure, save, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from emotorch.figures.intervals import add_legend, draw_estimate
from emotorch.files import hash_file, write_text
from emotorch.metrics import calibration, confusion, intervals, paired
from emotorch.metrics.intervals import Array
from emotorch.metrics.permutation import permutation_test
from emotorch.runs.findings import Findings, compute_once
from emotorch.seeding import generator
from emotorch.tables import Table, estimates, p_value, to_text, with_interval, write_table

# Fewer images say too little: such a group is shown and marked, and takes no part in gaps and tests.
SMALL = 30

ACCURACY, STANDARDISED, MACRO_F1, OVERCONFIDENCE = "accuracy", "accuracy, same classes", "macro-F1", "overconfidence"
RECALL = "recall of "

# The columns of the tables.
_GROUPS = (
    *("group", "images", "correct", "small", "accuracy", "low", "high"),
    *("accuracy_same_classes", "macro_f1", "ece", "ece_by_chance", "overconfidence"),
)
_RECALLS = ("group", "label", "images", "correct", "small", "share_of_group", "recall", "low", "high")
_GAPS = ("metric", "lowest", "highest", "gap", "low", "high", "p", "p_holm")

_SEED = 42


@dataclass(frozen=True)
class PredictedImages:
    """Images with truths and a model's predictions.

    Attributes:
        truths: (N,) classes.
        probabilities: (N, K) that the model gives the classes.
        sources: (N,) equal for images that are not independent: exact twins, variants of one original.
        labels: The K classes' names.
    """

    truths: Indices
    probabilities: NDArray[np.floating]
    sources: Indices
    labels: Sequence[str]

    @property
    def classes(self) -> Indices:
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> "PredictedImages":
        return PredictedImages(self.truths[chosen], self.probabilities[chosen], self.sources[chosen], self.labels)


@dataclass(frozen=True)
class Fairness:
    """An attribute's groups compared; all scores in percent.

    Attributes:
        attribute: Which.
        unknown: How many images have no value of it.
        groups: A row for each group, in the attribute's order: `group`, `images`, `correct`, `small`, `accuracy` with
            the ends `low` and `high` of its interval, `accuracy_same_classes` (that it would have with the classes of
            all groups together; NaN for a small group that lacks one), `macro_f1`, `ece`, `ece_by_chance`,
            `overconfidence` (mean confidence less accuracy).
        recalls: A row for each class of each group: `group`, `label`, `images`, `correct`, `small`, `share_of_group`,
            `recall`, `low`, `high`.
        gaps: The largest difference of each metric between two groups that are not small: `metric`, `lowest`,
            `highest`, `gap`, its interval's `low` and `high` (of these two groups, chosen after they were seen), `p`
            (of so large a gap between any two groups by chance; NaN where it is not tested), `p_holm` (for all tests
            of all attributes together). No rows unless two groups are large enough.
        left_out: Classes that some large group lacks, so that they take no part in the standardised accuracy.
    """

    attribute: Attribute
    unknown: int
    groups: pd.DataFrame
    recalls: pd.DataFrame
    gaps: pd.DataFrame
    left_out: Sequence[str]


# --- Groups -------------------------------------------------------------------------------------------------


def compare_groups(attributes: Sequence[Attribute], images: PredictedImages) -> list[Fairness]:
    """Every attribute's groups, with p-values that hold for all of them together."""
    found = [_compare(attribute, images) for attribute in attributes]
    adjusted = iter(paired.holm([p for fairness in found for p in fairness.gaps["p"].dropna()]))
    for fairness in found:
        fairness.gaps["p_holm"] = [p if math.isnan(p) else next(adjusted) for p in fairness.gaps["p"]]
    return found


def _compare(attribute: Attribute, images: PredictedImages) -> Fairness:
    number, classes = len(attribute.groups), len(images.labels)
    members = attribute.members
    known = members >= 0
    cells = (members * classes + images.truths) * classes + images.classes
    counts = np.bincount(cells[known], minlength=number * classes**2).reshape(number, classes, classes)
    large = np.flatnonzero(counts.sum(axis=(1, 2)) >= SMALL)
    weights = _class_weights(counts[large])
    groups = [
        {"group": name} | _score(matrix, images.part(members == place), weights)
        for place, (name, matrix) in enumerate(zip(attribute.groups, counts, strict=True))
    ]
    recalls = [
        {"group": name, "label": label} | _recall(matrix, place)
        for name, matrix in zip(attribute.groups, counts, strict=True)
        for place, label in enumerate(images.labels)
    ]
    gaps = _gaps(attribute, images, counts, large, weights) if len(large) > 1 else []
    present = counts.sum(axis=(0, 2)) > 0
    left_out = [label for place, label in enumerate(images.labels) if present[place] and not weights[place]]
    return Fairness(
        attribute,
        int((~known).sum()),
        pd.DataFrame(groups, columns=_GROUPS),
        pd.DataFrame(recalls, columns=_RECALLS),
        pd.DataFrame(gaps, columns=_GAPS).astype(dict.fromkeys(_GAPS[3:], float)),
        left_out if len(large) > 1 else [],
    )


def _class_weights(counts: NDArray[np.int64]) -> Array:
    """(G, K, K) counts of the large groups to (K,): each class's part of all of them; 0 for one that a group lacks."""
    images = counts.sum(axis=2)
    total = np.where((images > 0).all(axis=0), images.sum(axis=0), 0).astype(float)
    return np.asarray(total / max(1.0, total.sum()))


def _standardise(recalls: Array, weights: Array) -> Array:
    """(…, K) recalls to (…); NaN where a class that counts has no images."""
    used = weights > 0
    if not used.any():
        return np.full(recalls.shape[:-1], np.nan)
    return np.asarray(recalls[..., used] @ weights[used])


def _score(counts: NDArray[np.int64], images: PredictedImages, weights: Array) -> dict[str, object]:
    """The columns of a group; see `Fairness`."""
    accuracy = _proportion("accuracy", int(np.trace(counts)), int(counts.sum()))
    calibrated = calibration.measure(images.probabilities, images.truths)
    return accuracy | {
        "accuracy_same_classes": float(_standardise(confusion.recalls(counts), weights)),
        "macro_f1": float(confusion.macro_f1(counts)),
        "ece": 100 * calibrated.ece,
        "ece_by_chance": 100 * calibrated.by_chance,
        "overconfidence": 100.0 * float(images.probabilities.max(axis=1).mean()) - accuracy["accuracy"],
    }


def _recall(counts: NDArray[np.int64], place: int) -> dict[str, object]:
    """The columns of a class of a group."""
    images = int(counts[place].sum())
    found = _proportion("recall", int(counts[place, place]), images)
    return {**found, "share_of_group": 100 * images / max(1, int(counts.sum()))}


def _proportion(name: str, correct: int, images: int) -> dict[str, Any]:
    """How many of some images are predicted right, in percent with Wilson's 95% interval; NaN of none."""
    low, high = intervals.wilson_interval(correct, images)
    percent = 100.0 * correct / images if images else math.nan
    return {"images": images, "correct": correct, "small": images < SMALL, name: percent, "low": low, "high": high}


# --- Gaps ---------------------------------------------------------------------------------------------------


def _gaps(
    attribute: Attribute, images: PredictedImages, counts: NDArray[np.int64], large: Indices, weights: Array
) -> Iterator[tuple[str | float, ...]]:
    """The rows of the gaps between the large groups; see `Fairness`."""
    chosen = np.isin(attribute.members, large)
    members = np.searchsorted(large, attribute.members[chosen])
    names = [attribute.groups[place] for place in large.tolist()]
    part = images.part(chosen)
    for metric, values in _resampled(part, members, len(large), weights, attribute.name).items():
        enough = np.isfinite(values[0])
        inside = np.ones(len(members), dtype=bool)
        if metric.startswith(RECALL):
            label = images.labels.index(metric.removeprefix(RECALL))
            enough &= counts[large, label].sum(axis=1) >= SMALL
            inside = (part.truths == label) & enough[members]
        places = np.flatnonzero(enough)
        if len(places) > 1:
            low, high = (int(places[pick(values[0, places])]) for pick in (np.argmin, np.argmax))
            found = paired.percentile_interval(values[:, high] - values[:, low])
            p = _test(metric, part.part(inside), members[inside], weights, attribute.name)
            yield metric, names[low], names[high], found.value, found.low, found.high, p, math.nan


def _test(metric: str, part: PredictedImages, members: Indices, weights: Array, name: str) -> float:
    """The p-value of a metric's gap; NaN for a metric that is no accuracy of some images."""
    strata = part.truths
    if metric == ACCURACY or metric.startswith(RECALL):
        strata, weights, name = np.zeros_like(part.truths), np.ones(1), f"{name}/{metric}"
    elif metric != STANDARDISED:
        return float("nan")
    # The name of the draws is part of every published p-value: it stays.
    rng = generator("fairness lots", name, _SEED)
    return permutation_test(part.classes == part.truths, part.sources, members, strata, weights, rng)


def _resampled(part: PredictedImages, members: Indices, number: int, weights: Array, name: str) -> dict[str, Array]:
    """Every metric's (1 + R, G) values: measured, then with resampled sources; percent."""
    classes = len(part.labels)
    sources = np.unique(part.sources, return_inverse=True)[1]
    cells = (members * classes + part.truths) * classes + part.classes
    key = ("fairness", name, _SEED)
    counts = paired.resampled_counts(cells[None], number * classes**2, sources, generator(*key))[0]
    counts = counts.reshape(-1, number, classes, classes)
    confidence = paired.resampled_counts(
        members[None], number, sources, generator(*key), amounts=part.probabilities.max(axis=1)[None]
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


# --- Tables -------------------------------------------------------------------------------------------------

_READING = f"""\
percent; 95% intervals of accuracy and recall are Wilson's, of gaps from resampled sources
same classes: the accuracy if every group had the classes of all groups together
ECE: expected calibration error; by chance: that of a perfect model with these confidences
p: permutation test (within each class for the same classes and recalls); a gap's interval is of the two groups
that were found farthest apart, and so flatters it; its p does not
*: fewer than {SMALL} images, no part in this class's gap"""


def _write_tables(folder: Path, found: Sequence[Fairness]) -> None:
    for name in ("groups", "recalls", "gaps"):
        frames = {fairness.attribute.name: getattr(fairness, name) for fairness in found}
        frame = pd.concat(frames, names=["attribute"]).reset_index(level="attribute")
        formats = dict.fromkeys(frame.select_dtypes("float").columns, "{:.4f}")
        write_table(folder / f"{name}.csv", Table(frame, formats))


def _findings(fairness: Fairness) -> dict[str, Any]:
    by_group = fairness.recalls.set_index("label").groupby("group", sort=False)[["images", "recall"]]
    groups = fairness.groups.drop(columns="correct").rename(columns={"group": "name"})
    gaps = fairness.gaps.rename(columns={"gap": "points"})
    gaps["interval"] = list(zip(gaps["low"], gaps["high"], strict=True))
    groups["recalls"] = pd.Series([recalls.to_dict("index") for _, recalls in by_group])
    return {
        "name": fairness.attribute.name,
        "how": fairness.attribute.how,
        "unknown": fairness.unknown,
        "groups": groups.to_dict("records"),
        "gaps": gaps[["metric", "lowest", "highest", "points", "interval", "p", "p_holm"]].to_dict("records"),
        "not_standardised": list(fairness.left_out),
    }


def _describe(findings: Findings, found: Sequence[Fairness]) -> str:
    """Each attribute's groups with counts and intervals, and the largest gaps."""
    parts = ["\n".join(findings["lines"])]
    for attribute, fairness in zip(findings["attributes"], found, strict=True):
        tables = [_group_table(attribute), _recall_table(fairness)]
        parts += ["\n".join(_heading(fairness)), *map(to_text, tables)]
        none = "no two groups are large enough to compare"
        parts.append(to_text(_gap_table(attribute)) if len(fairness.gaps) else none)
    return "\n\n".join([*parts, _READING])


def _group_table(attribute: Mapping[str, Any]) -> Table:
    """The groups of an attribute's findings."""
    groups = pd.DataFrame(attribute["groups"])
    frame = pd.DataFrame(
        {
            "group": _marked(groups["name"], groups["small"], " (small)"),
            "images": groups["images"],
            "accuracy": estimates(groups, "accuracy"),
            "same classes": groups["accuracy_same_classes"],
            "macro-F1": groups["macro_f1"],
            "ECE": groups["ece"],
            "ECE by chance": groups["ece_by_chance"],
            "overconfidence": groups["overconfidence"],
        }
    )
    one_decimal = dict.fromkeys(("same classes", "macro-F1", "ECE", "ECE by chance"), "{:.1f}")
    return Table(frame, one_decimal | {"images": "{:,}", "accuracy": with_interval(1), "overconfidence": "{:+.1f}"})


def _recall_table(fairness: Fairness) -> Table:
    """A column for each class: its recall, and how many of the group's images are of it."""
    recalls = fairness.recalls
    percent = [with_interval(1)(recall) if recall else "–" for recall in estimates(recalls, "recall")]
    shares = [f"{share:.0f}% of images" for share in recalls["share_of_group"]]
    cells = _marked(map(", ".join, zip(percent, shares, strict=True)), recalls["small"], "*")
    frame = recalls.assign(cell=cells).pivot(index="group", columns="label", values="cell")
    frame = frame.loc[fairness.groups["group"], list(dict.fromkeys(recalls["label"]))]
    frame.insert(0, "recall", _marked(fairness.groups["group"], fairness.groups["small"], " (small)"))
    return Table(frame, dict.fromkeys(frame.columns[1:], "{}"))


def _gap_table(attribute: Mapping[str, Any]) -> Table:
    """The gaps of an attribute's findings."""
    gaps = pd.DataFrame(attribute["gaps"])
    frame = gaps[["metric", "lowest", "highest"]].rename(columns={"metric": "largest gap"})
    frame["points"] = [(points, *ends) for points, ends in zip(gaps["points"], gaps["interval"], strict=True)]
    frame[["p", "p (Holm)"]] = gaps[["p", "p_holm"]]
    return Table(frame, {"points": with_interval(1, signed=True), "p": p_value, "p (Holm)": p_value})


def _marked(names: Iterable[str], marked: Iterable[bool], mark: str) -> list[str]:
    return [f"{name}{mark if is_marked else ''}" for name, is_marked in zip(names, marked, strict=True)]


def _heading(fairness: Fairness) -> Iterator[str]:
    attribute, groups = fairness.attribute, fairness.groups
    how = f", {attribute.how}" if attribute.how else ""
    yield f"{attribute.name}: {len(groups)} groups{how}; of {fairness.unknown:,} images it is unknown"
    if groups["small"].any():
        yield f"fewer than {SMALL} images, no part in the gaps: {', '.join(groups['group'][groups['small']])}"
    if fairness.left_out:
        yield f"no part in the standardised accuracy, because a group has none: {', '.join(fairness.left_out)}"


# --- Figure -------------------------------------------------------------------------------------------------

_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
_MARKERS = "osD^vPX"


def _plot(path: Path, title: str, found: Sequence[Fairness]) -> None:
    """A row for every attribute: accuracy of its groups, recall of each class, and the classes that they have."""
    heights = [0.5 * len(fairness.groups) + 1.1 for fairness in found]
    figure = new_figure(13.5, sum(heights) + 1.1, f"Groups compared: {title}")
    grid = figure.subplots(len(found), 3, squeeze=False, height_ratios=heights, sharex="col", width_ratios=(1, 1, 0.8))
    for row, fairness in zip(grid, found, strict=True):
        for axes, draw in zip(row, (_draw_accuracy, _draw_recalls, _draw_classes), strict=True):
            axes.set_yticks(range(len(fairness.groups)), [""] * len(fairness.groups))
            draw(axes, fairness)
            axes.set_ylim(len(fairness.groups) - 0.5, -0.5)
            tidy(axes)
    names = ("Accuracy (%)", "Recall of each class (%)", "Classes of the images (%)")
    for axes, name in zip(grid[-1], names, strict=True):
        axes.set_xlabel(name)
    add_legend(figure, list(grid[:, 0]), "outside lower left")
    add_legend(figure, list(grid[:, 1]), "outside lower right")
    save(figure, path)


def _draw_accuracy(axes: Axes, fairness: Fairness) -> None:
    groups = fairness.groups
    for place, (estimate, small) in enumerate(zip(estimates(groups, "accuracy"), groups["small"], strict=True)):
        if small:
            draw_estimate(axes, place, estimate, GREY, filled=False, label=f"fewer than {SMALL} images")
        else:
            draw_estimate(axes, place, estimate, BLUE, filled=True, label="accuracy, 95% interval")
            line = axes.plot(groups["accuracy_same_classes"][place], place, "|", color=VERMILLION)[0]
            line.set(markersize=15, markeredgewidth=2.5, label="same classes for all groups")
    names = _marked(groups["group"], groups["small"], " (small)")
    ticks = [f"{name}\nn = {images:,}" for name, images in zip(names, groups["images"], strict=True)]
    axes.set_yticks(range(len(ticks)), ticks, fontsize=9, parse_math=False)
    axes.set_ylabel(fairness.attribute.name, fontweight="bold", parse_math=False)


def _draw_recalls(axes: Axes, fairness: Fairness) -> None:
    by_label = fairness.recalls.groupby("label", sort=False)
    # Classes one above the other, so that no interval covers another's.
    offsets = np.linspace(-0.32, 0.32, len(by_label)).tolist()
    looks = zip(offsets, cycle(_COLOURS), cycle(_MARKERS), strict=False)
    for (label, recalls), (offset, colour, marker) in zip(by_label, looks, strict=False):
        for place, (estimate, small) in enumerate(zip(estimates(recalls, "recall"), recalls["small"], strict=True)):
            if estimate:
                line_colour = GREY if small else colour
                draw = partial(draw_estimate, marker=marker, size=5.0, line_width=1.2, line_colour=line_colour)
                draw(axes, place + offset, estimate, colour, filled=not small, label=str(label))


def _draw_classes(axes: Axes, fairness: Fairness) -> None:
    left = np.zeros(len(fairness.groups))
    by_label = fairness.recalls.groupby("label", sort=False)["share_of_group"]
    for (_, shares), colour in zip(by_label, cycle(_COLOURS), strict=False):
        axes.barh(range(len(left)), shares, left=left, color=colour, edgecolor="white", height=0.6)
        left += shares.to_numpy()
    axes.set_xlim(0, 100)


# --- The analysis -------------------------------------------------------------------------------------------

NAME = "fairness"
REPORT_NAME = "fairness.txt"


def analyse_fairness(
    loaded: LoadedRun,
    held_out: Evaluation,
    table: AttributeTable,
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
        "images": held_out.images.fingerprint,
        "scheme": loaded.model.scheme.as_dict(),
    }
    make = partial(_make, loaded, held_out, table, edges)
    compute_once(loaded.run, NAME, loaded.weights, made_from, make, force=force)
    return ANALYSIS.folder(loaded)


def _make(
    loaded: LoadedRun, held_out: Evaluation, table: AttributeTable, edges: Mapping[str, Sequence[float]], folder: Path
) -> Findings:
    model, images = loaded.model, held_out.images
    rows, counted = match(loaded.paths, table, images, model.scheme)
    attributes, notes = make_attributes(table, rows, edges)
    sources = group_sources(sources_of(loaded.paths, images, model.scheme))
    probabilities = calibration.probabilities(held_out.predictions.outputs.double(), model.temperature).numpy()
    found = compare_groups(attributes, PredictedImages(images.labels, probabilities, sources, model.labels))
    lines = [*held_out.lines, *counted, *notes]
    return write_results(folder, held_out.title, lines, found)


def write_results(folder: Path, title: str, lines: Sequence[str], found: Sequence[Fairness]) -> Findings:
    """Writes the report, its tables and its figure into a folder; returns the findings."""
    attributes = [_findings(fairness) for fairness in found]
    findings = {"title": title, "lines": list(lines), "attributes": attributes}
    write_text(folder / REPORT_NAME, _describe(findings, found) + "\n")
    _write_tables(folder, found)
    _plot(folder / "fairness.png", title, found)
    return findings


def _read(subject: Subject) -> Findings:
    found = ANALYSIS.read(subject.loaded.run, subject.loaded.weights)
    if found is None:
        raise EmoTorchError("no table of attributes was given")
    return found


def _lines(findings: Findings) -> list[str]:
    return list(findings["lines"])


def _tables(findings: Findings) -> Tables:
    tables = {}
    for attribute in findings["attributes"]:
        tables[f"Groups by {attribute['name']}"] = _group_table(attribute)
        if attribute["gaps"]:
            tables[f"Largest gaps by {attribute['name']}"] = _gap_table(attribute)
    return tables


ANALYSIS = Analysis(
    NAME, "Fairness across groups", "analyze_fairness.py", _read, _lines, _tables, arguments="--attributes CSV"
)
