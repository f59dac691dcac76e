"""What an analysis of groups says: text for a terminal, tables, one picture, and the findings for a report."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.analysis.attributes import Table, make_attributes, match
from emotorch.analysis.evaluate import sources_of
from emotorch.analysis.fairness import SMALL, Answered, Fairness, Gap, GroupScore, Proportion, compare_groups
from emotorch.analysis.held_out import HeldOut
from emotorch.analysis.results import result_folder, write_findings
from emotorch.data.split import group_sources
from emotorch.files import hash_file, write_csv, write_text
from emotorch.paths import Paths
from emotorch.reports.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    new_figure,
    save,
    tidy,
)
from emotorch.reports.tables import text_table
from emotorch.runs import Run
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import Model

QUESTION = "fairness"
REPORT_NAME = "fairness.txt"
_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
_MARKERS = "osD^vPX"
_SMALL_MARK = " (small)"


def answer_fairness(
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
    with result_folder(run, QUESTION, weights, made_from, force=force) as folder:
        if folder is not None:
            rows, counted = match(paths, table, held_out.images, model.scheme)
            attributes, notes = make_attributes(table, rows, edges)
            sources = group_sources(sources_of(paths, held_out.images, model.scheme))
            shares = probabilities(held_out.answers.outputs.double(), model.temperature).numpy()
            found = compare_groups(attributes, Answered(held_out.images.labels, shares, sources, model.labels))
            _write(folder, held_out.title, [*held_out.lines, *counted, *notes], found, model.labels)
    return run.folder / QUESTION


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
