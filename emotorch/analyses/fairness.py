"""Whether a model serves groups of people equally well: the analysis, its report, tables and figure."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from emotorch.analyses.attributes import AttributeTable, make_attributes, match
from emotorch.analyses.group_comparison import SMALL, Fairness, PredictedImages, compare_groups
from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.data.split import group_sources
from emotorch.errors import EmoTorchError
from emotorch.evaluation.sets import sources_of
from emotorch.figures.canvas import add_legend, draw_estimate, new_figure, save, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from emotorch.files import hash_file, write_text
from emotorch.metrics import calibration
from emotorch.runs.findings import Findings
from emotorch.tables import Table, estimates, p_value, to_text, with_interval, write_table

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
        name, groups = attribute["name"], fairness.groups
        how = f", {attribute['how']}" if attribute["how"] else ""
        heading = [f"{name}: {len(groups)} groups{how}; of {fairness.unknown:,} images it is unknown"]
        if groups["small"].any():
            small = ", ".join(groups["group"][groups["small"]])
            heading.append(f"fewer than {SMALL} images, no part in the gaps: {small}")
        if fairness.left_out:
            missing = ", ".join(fairness.left_out)
            heading.append(f"no part in the standardised accuracy, because a group has none: {missing}")
        gaps = to_text(_gap_table(attribute)) if len(fairness.gaps) else "no two groups are large enough to compare"
        parts += ["\n".join(heading), to_text(_group_table(attribute)), to_text(_recall_table(fairness)), gaps]
    return "\n\n".join([*parts, _READING])


def _group_table(attribute: Mapping[str, Any]) -> Table:
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
    gaps = pd.DataFrame(attribute["gaps"])
    frame = gaps[["metric", "lowest", "highest"]].rename(columns={"metric": "largest gap"})
    frame["points"] = [(points, *ends) for points, ends in zip(gaps["points"], gaps["interval"], strict=True)]
    frame[["p", "p (Holm)"]] = gaps[["p", "p_holm"]]
    return Table(frame, {"points": with_interval(1, signed=True), "p": p_value, "p (Holm)": p_value})


def _marked(names: Iterable[str], marked: Iterable[bool], mark: str) -> list[str]:
    return [f"{name}{mark if is_marked else ''}" for name, is_marked in zip(names, marked, strict=True)]


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
    for axes, name in zip(grid[-1], ("Accuracy", "Recall of each class", "Classes of the images"), strict=True):
        axes.set_xlabel(f"{name} (%)")
    add_legend(figure, grid[:, 0], "outside lower left", fontsize=9, handlelength=1.5)
    add_legend(figure, grid[:, 1], "outside lower right", fontsize=9, handlelength=1.5)
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

REPORT_NAME = "fairness.txt"


def analyse_fairness(subject: Subject, table: AttributeTable, edges: Mapping[str, Sequence[float]]) -> Path:
    """Compares the groups of a table's attributes in `MODEL/fairness/`, unless that is there already; returns it.

    Raises:
        EmoTorchError: the table tells of none of the images, or contradicts itself; or its edges do not fit it.
    """
    made_from = {
        "attributes": hash_file(table.path),
        "columns": list(table.columns),
        "edges": dict(edges),
        "images": subject.held_out.images.fingerprint,
        "scheme": subject.loaded.model.scheme.as_dict(),
    }
    subject.compute_once(ANALYSIS.name, made_from, partial(_make, subject, table, edges))
    return ANALYSIS.folder(subject.loaded)


def _make(subject: Subject, table: AttributeTable, edges: Mapping[str, Sequence[float]], folder: Path) -> Findings:
    loaded, held_out = subject.loaded, subject.held_out
    model, images = loaded.model, held_out.images
    rows, counted = match(loaded.paths, table, images, model.scheme)
    attributes, notes = make_attributes(table, rows, edges)
    sources = group_sources(sources_of(loaded.paths, images, model.scheme))
    probabilities = calibration.probabilities(held_out.predictions.outputs.double(), model.temperature).numpy()
    found = compare_groups(attributes, PredictedImages(images.labels, probabilities, sources, model.labels))
    lines = [*held_out.lines, *counted, *notes]
    findings = {"title": held_out.title, "lines": lines, "attributes": list(map(_findings, found))}
    write_text(folder / REPORT_NAME, _describe(findings, found) + "\n")
    _write_tables(folder, found)
    _plot(folder / "fairness.png", held_out.title, found)
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
    "fairness", "Fairness across groups", "analyze_fairness.py", _read, _lines, _tables, arguments="--attributes CSV"
)
