"""What a measurement of robustness says: figures for reports, tables, curves, and a sheet of the corruptions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.analysis import results
from emotorch.analysis.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.analysis.evaluate import EvaluationSet
from emotorch.analysis.held_out import HeldOut
from emotorch.analysis.robustness import CLEAN, Condition, Metric, Reference, Robustness, measure
from emotorch.files import write_csv
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
from emotorch.reports.questions.dataset_pictures import SheetRow, plot_sheet
from emotorch.reports.tables import text_table
from emotorch.runs import Run
from emotorch.training.checkpoints import Model

QUESTION = "robustness"
_CURVES, _SHEET = "robustness_curves.png", "corruptions.png"
_SCORES, _ERRORS = "robustness.csv", "corruption_errors.csv"
_SHEET_FACES = 2

Findings = Mapping[str, Any]


def answer_robustness(
    run: Run,
    weights: Path,
    model: Model,
    held_out: HeldOut,
    reference: Reference | str,
    device: torch.device,
    *,
    threads: int,
    force: bool,
) -> tuple[Path, list[str]]:
    """Measures a model unless it was measured on these images already; returns its folder, and what it says.

    Args:
        run: Its own.
        weights: The file that the model is from.
        model: To measure.
        held_out: Images that it was not trained on.
        reference: To measure its errors by; or why there is none.
        device: To run on.
        threads: To run on.
        force: Measure again.
    """
    compared = None if isinstance(reference, str) else reference
    made_from = {
        "images": held_out.fingerprint,
        "dataset": held_out.images.name,
        "scheme": model.scheme.as_dict(),
        "corruptions": {name: corruption.strengths for name, corruption in CORRUPTIONS.items()},
        "reference": compared and compared.weights_hash,
    }
    with results.result_folder(run, QUESTION, weights, made_from, force=force) as folder:
        if folder is not None:
            measured = measure(model, held_out, compared, device, threads=threads)
            missing = reference if isinstance(reference, str) else None
            findings = _findings(run, model.labels, held_out, measured, missing)
            _write_scores(folder / _SCORES, measured, model.labels)
            _write_errors(folder / _ERRORS, findings)
            save(curves_figure(measured, model.labels, f"{held_out.title}: robustness"), folder / _CURVES)
            _plot_corruptions(folder / _SHEET, held_out.images)
            results.write_findings(folder, findings)
    found = results.read_findings(run, QUESTION, weights)
    assert found is not None, "written just now"
    return run.folder / QUESTION, describe(found)


# --- Findings -----------------------------------------------------------------------------------------------


def _findings(
    run: Run, labels: Sequence[str], held_out: HeldOut, measured: Robustness, missing: str | None
) -> dict[str, Any]:
    findings: dict[str, Any] = _without_nan(
        {
            "model": run.name,
            "dataset": held_out.images.name,
            "title": held_out.title,
            "images": held_out.answers.images,
            "labels": list(labels),
            "lines": list(held_out.lines),
            "clean": asdict(measured.clean),
            "conditions": [
                {"strength": CORRUPTIONS[found.corruption].strengths[found.severity - 1], **asdict(found)}
                for found in measured.conditions
            ],
            "quantities": {name: corruption.quantity for name, corruption in CORRUPTIONS.items()},
            "mean_error": asdict(measured.mean_error),
            "error_by_corruption": {name: asdict(error) for name, error in measured.by_corruption.items()},
            "reference": None if measured.errors is None else asdict(measured.errors),
            "reference_missing": missing,
            "pictures": {"curves": _CURVES, "corruptions": _SHEET},
            "tables": {"scores": _SCORES, "errors": _ERRORS},
        }
    )
    return findings


def _without_nan(value: Any) -> Any:
    """The same with None for what is unknown: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def describe(findings: Findings) -> list[str]:
    """The score of the clean images, a table of the accuracies, and the mean errors."""
    header, *rows = accuracy_rows(findings)
    return [*findings["lines"], "", text_table([header, *rows], left=(header[0],)), "", *describe_means(findings)]


def accuracy_rows(findings: Findings) -> list[tuple[str, ...]]:
    """A header, and for each corruption its accuracies, its mean error and its error relative to the reference's."""
    accuracies: dict[str, list[str]] = {name: [] for name in findings["quantities"]}
    for condition in findings["conditions"]:
        accuracies[condition["corruption"]].append(f"{condition['accuracy']['value']:.1f}")
    reference = findings["reference"]
    rows = [("accuracy, %", *(f"severity {severity}" for severity in SEVERITIES), "mean error", "CE")]
    for name, cells in accuracies.items():
        ratio = "-" if reference is None else _number(reference["ratios"][name])
        rows.append((name, *cells, f"{findings['error_by_corruption'][name]['value']:.1f}", ratio))
    return rows


def describe_means(findings: Findings) -> list[str]:
    """The error over all corruptions, and what it is beside the reference's."""
    reference = findings["reference"]
    error = _with_interval(findings["mean_error"])
    lines = [f"mean error over all corruptions {error}%, clean {_clean_error(findings):.2f}%"]
    if reference is None:
        return [*lines, f"relative to a baseline: missing; {findings['reference_missing']}"]
    lines.append(
        f"mCE {_with_interval(reference['mce'])}, relative mCE {_with_interval(reference['relative_mce'])}: "
        f"100 is {reference['reference']}, on {reference['images']} images"
    )
    if reference["left_out"] is None:
        lines.append(f"{reference['reference']} has no image_usage.csv: which of these it was trained on is unknown")
    elif reference["left_out"]:
        lines.append(
            f"{reference['left_out']} more are left out there, because {reference['reference']} was trained on them"
        )
    return lines


def _clean_error(findings: Findings) -> float:
    return 100.0 - float(findings["clean"]["accuracy"]["value"])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1f}"


def _with_interval(found: Mapping[str, float | None]) -> str:
    if found["value"] is None:
        return "undefined"
    return f"{found['value']:.2f} (95% interval {found['low']:.2f}-{found['high']:.2f})"


# --- Tables -------------------------------------------------------------------------------------------------


def _write_scores(path: Path, measured: Robustness, labels: Sequence[str]) -> None:
    names = ["accuracy", "macro_f1", *(f"recall_{label}" for label in labels)]
    parts = ("", "_low", "_high", "_change", "_change_low", "_change_high")
    rows = []
    for condition in (measured.clean, *measured.conditions):
        name, severity = condition.corruption, condition.severity
        strength = f"{CORRUPTIONS[name].strengths[severity - 1]:g}" if severity else ""
        values = [value for metric in _metrics(condition) for value in _values(metric)]
        rows.append((name, severity, strength, *(_cell(value) for value in values)))
    write_csv(path, ("corruption", "severity", "strength", *(name + part for name in names for part in parts)), rows)


def _metrics(condition: Condition) -> list[Metric]:
    return [condition.accuracy, condition.macro_f1, *condition.recalls]


def _values(metric: Metric) -> tuple[float, ...]:
    change = metric.change
    return metric.value, metric.low, metric.high, change.value, change.low, change.high


def _cell(value: float | None) -> str:
    return "NaN" if value is None or math.isnan(value) else f"{value:.2f}"


def _write_errors(path: Path, findings: Findings) -> None:
    reference = findings["reference"]
    rows = []
    for name, error in findings["error_by_corruption"].items():
        beside: tuple[float | None, ...] = (None, None, None, None)
        if reference is not None:
            beside = (*reference["errors"][name], reference["ratios"][name], reference["relative"][name])
        rows.append((name, *(_cell(error[part]) for part in ("value", "low", "high")), *map(_cell, beside)))
    error = findings["mean_error"]
    means: list[float | None] = [None, None, None, None]
    if reference is not None:
        both = np.array(list(reference["errors"].values())).mean(axis=0)
        means = [*both.tolist(), reference["mce"]["value"], reference["relative_mce"]["value"]]
    rows.append(("mean", *(_cell(error[part]) for part in ("value", "low", "high")), *map(_cell, means)))
    columns = ("corruption", "mean_error", "mean_error_low", "mean_error_high", "shared_error", "reference_error")
    write_csv(path, (*columns, "corruption_error", "relative_corruption_error"), rows)


# --- Pictures -----------------------------------------------------------------------------------------------

_COLUMNS = 4
_CLASS_STYLES = (
    (VERMILLION, "o"),
    (PURPLE, "s"),
    (GREEN, "^"),
    (ORANGE, "D"),
    (SKY, "v"),
    (BLUE, "P"),
    (BLACK, "X"),
)


def curves_figure(measured: Robustness, labels: Sequence[str], title: str) -> Figure:
    """For each corruption accuracy and macro-F1 over the severity, and below it every class's recall."""
    names = list(CORRUPTIONS)
    bands = math.ceil(len(names) / _COLUMNS)
    figure = new_figure(11.5, 4.4 * bands + 1.2, title)
    grid = figure.subplots(2 * bands, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for place, name in enumerate(names):
        row, column = 2 * (place // _COLUMNS), place % _COLUMNS
        conditions = [measured.clean, *(found for found in measured.conditions if found.corruption == name)]
        errors = measured.errors
        reference = None if errors is None else [100 - errors.clean[1], *errors.reference_accuracies[name]]
        _draw_scores(grid[row, column], conditions, reference)
        _draw_recalls(grid[row + 1, column], conditions, labels)
        grid[row, column].set_title(name.replace("_", " "), fontsize=11)
        for axes in (grid[row, column], grid[row + 1, column]):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("Severity (0: clean)", fontsize=8)
    for row, all_axes in enumerate(grid):
        all_axes[0].set_ylabel("Recall of a class (%)" if row % 2 else "Accuracy, macro-F1 (%)")
    handles, texts = [], []
    for axes in grid[:2, 0]:
        found = axes.get_legend_handles_labels()
        handles += found[0]
        texts += found[1]
    if measured.errors is not None:
        texts[texts.index("reference")] = f"accuracy of {measured.errors.reference} ({measured.errors.images} images)"
    figure.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False, fontsize=9, handlelength=3)
    return figure


def _draw_scores(axes: Axes, conditions: Sequence[Condition], reference: Sequence[float] | None) -> None:
    severities = [condition.severity for condition in conditions]
    accuracy = [condition.accuracy for condition in conditions]
    low, high = [metric.low for metric in accuracy], [metric.high for metric in accuracy]
    axes.fill_between(severities, low, high, color=SKY, alpha=0.4, linewidth=0, label="accuracy, 95% interval")
    axes.axhline(accuracy[0].value, color=GREY, linewidth=1, linestyle="--", label="accuracy of the clean images")
    axes.plot(severities, [metric.value for metric in accuracy], color=BLUE, marker="o", markersize=4, label="accuracy")
    f1 = [condition.macro_f1.value for condition in conditions]
    axes.plot(severities, f1, color=ORANGE, linestyle="--", marker="s", markersize=4, label="macro-F1")
    if reference is not None:
        axes.plot(severities, reference, color=BLACK, linestyle=":", label="reference")
    _finish(axes)


def _draw_recalls(axes: Axes, conditions: Sequence[Condition], labels: Sequence[str]) -> None:
    for place, label in enumerate(labels):
        colour, marker = _CLASS_STYLES[place % len(_CLASS_STYLES)]
        style = "-" if place < len(_CLASS_STYLES) else ":"
        axes.plot(
            [condition.severity for condition in conditions],
            [condition.recalls[place].value for condition in conditions],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=style,
            label=f"recall of {label}",
        )
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.set(xlim=(-0.2, SEVERITIES[-1] + 0.2), ylim=(0, 100), xticks=(0, *SEVERITIES))
    axes.tick_params(labelsize=8)
    tidy(axes)


def _plot_corruptions(path: Path, images: EvaluationSet) -> None:
    """A few faces, of different classes where there are, clean and at every severity."""
    order = np.argsort(images.hashes, kind="stable")
    firsts = np.sort(np.unique(images.labels[order], return_index=True)[1])
    faces = order[firsts][:_SHEET_FACES]
    sources = images.hashes[faces].tolist()
    rows = []
    for name, corruption in CORRUPTIONS.items():
        shown = [images.pixels[faces], *(corrupt(images.pixels[faces], sources, name, step) for step in SEVERITIES)]
        strengths = ", ".join(f"{strength:g}" for strength in corruption.strengths)
        caption = f"{name.replace('_', ' ')}: {corruption.quantity}: {strengths}"
        rows.append(SheetRow(caption, np.concatenate(np.stack(shown, axis=1))))
    title = f"{images.name}: {CLEAN}, then severities {SEVERITIES[0]} to {SEVERITIES[-1]}"
    plot_sheet(path, rows, title, columns=len(rows[0].images))
