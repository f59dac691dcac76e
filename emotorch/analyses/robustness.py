"""How a model's scores fall when the pictures get worse, and its errors beside a reference's on the same pictures.

Source of the corruption errors: Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations" (ICLR 2019), section 4.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from emotorch.analyses.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.analyses.registry import Analysis, Findings, Subject, Tables
from emotorch.data.split import SPLIT_SEED, Indices, group_sources
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import Evaluation, EvaluationSet
from emotorch.figures.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, new_figure, save, tidy
from emotorch.figures.dataset import SheetRow, plot_sheet
from emotorch.files import hash_file, write_csv
from emotorch.metrics import confusion, intervals
from emotorch.metrics.calibration import predicted_classes
from emotorch.metrics.intervals import Array
from emotorch.metrics.paired import Difference, percentile_difference, resampled_counts
from emotorch.paths import Paths
from emotorch.runs import findings as results
from emotorch.runs.folder import Run, shipped_or_named
from emotorch.runs.usage import TrainingImages
from emotorch.seeding import generator
from emotorch.tables import Table, text_table
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.loop import network_outputs
from emotorch.workers import progress

CLEAN = "clean"


# Small batches stay in a core's cache: a third faster than hundreds at once.
_BATCH = 64


_CONDITIONS = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)


@dataclass(frozen=True)
class Metric:
    """A score in percent with its 95% interval; NaN where a class has no images.

    Attributes:
        value: Of all images.
        low: Wilson's for an accuracy or a recall, of a bootstrap by source for the macro-F1.
        high: Likewise.
        change: To the clean images, in percentage points, by a bootstrap of the pairs; 0 of the clean images.
    """

    value: float
    low: float
    high: float
    change: Difference


@dataclass(frozen=True)
class Condition:
    """The scores under one corruption at one severity; 0 of the clean images."""

    corruption: str
    severity: int
    accuracy: Metric
    macro_f1: Metric
    recalls: tuple[Metric, ...]


@dataclass(frozen=True)
class Reference:
    """Another model to measure errors by, and what is known of the images that it was trained on."""

    name: str
    model: Model
    weights_hash: str
    training: TrainingImages | None

    def has_seen(self, images: EvaluationSet) -> NDArray[np.bool_]:
        """(N,) which images, or exact twins or variants of them, it was trained on; none where that is unknown."""
        known = self.training
        pairs = zip(images.files, images.hashes.tolist(), strict=True)
        return np.array([known is not None and (h in known.hashes or known.has(file, h)) for file, h in pairs])


@dataclass(frozen=True)
class CorruptionErrors:
    """A model's errors in percent beside a reference's, on the images that neither was trained on.

    Attributes:
        reference: Its name.
        images: How many.
        left_out: How many the reference was trained on; None where that is unknown, and none is left out.
        clean: Of the model and of the reference on the clean images.
        errors: For each corruption of the model and of the reference, the mean of the severities.
        reference_accuracies: Of the reference, percent, by corruption and severity.
        ratios: For each corruption CE: 100 × the model's error ÷ the reference's. NaN where the reference makes none.
        relative: For each corruption the relative CE: the same of what the errors grow by over the clean images'.
            NaN where the reference's do not grow.
        mce: The mean of the ratios.
        relative_mce: The mean of the relative ones; NaN where one is.
    """

    reference: str
    images: int
    left_out: int | None
    clean: tuple[float, float]
    errors: Mapping[str, tuple[float, float]]
    reference_accuracies: Mapping[str, Sequence[float]]
    ratios: Mapping[str, float]
    relative: Mapping[str, float]
    mce: Difference
    relative_mce: Difference


@dataclass(frozen=True)
class Robustness:
    """What was measured.

    Attributes:
        clean: The scores of the images as they are.
        conditions: Under every corruption at every severity.
        mean_error: Of all corruptions and severities, percent.
        by_corruption: Of each corruption's severities.
        errors: Beside the reference's; None without one.
    """

    clean: Condition
    conditions: Sequence[Condition]
    mean_error: Difference
    by_corruption: Mapping[str, Difference]
    errors: CorruptionErrors | None


def find_reference(paths: Paths, named: str | None, model: Model, file: Path) -> Reference | str:
    """The model to compare errors with: the named one, else the EmoTorch baseline that ships; or why there is none.

    Args:
        paths: Where models are.
        named: By the user.
        model: To be measured.
        file: That it is from.

    Raises:
        EmoTorchError: there is no model of this name.
        UsageError: the named model's answers cannot be read as the other's labels.
    """
    try:
        weights = shipped_or_named(paths, named)
    except EmoTorchError:
        if named is not None:
            raise
        return "no EmoTorch baseline ships with this version: name another model with --reference"
    weights_hash = hash_file(weights)
    if named is None and weights_hash == hash_file(file):
        return "this is the EmoTorch baseline, which others are measured by: name another model with --reference"
    try:
        reference = load_model(weights).read_as(model.scheme)
    except UsageError as error:
        if named is not None:
            raise
        return f"the EmoTorch baseline has other labels ({error}): name another model with --reference"
    run = Run(weights.parent)
    return Reference(run.name, reference, weights_hash, TrainingImages.of(run))


def measure(
    model: Model,
    held_out: Evaluation,
    reference: Reference | None,
    device: torch.device,
    *,
    threads: int = 1,
    batch: int = _BATCH,
) -> Robustness:
    """Scores a model, and a reference beside it, on the same images under every corruption at every severity.

    Args:
        model: To measure.
        held_out: Images that it was not trained on, and its answers to them as they are.
        reference: To measure the errors by.
        device: To run on.
        threads: Conditions at the same time.
        batch: Images at a time; the results are the same for any number of either.

    Raises:
        EmoTorchError: the reference was trained on all of the images.
    """
    models = [model] if reference is None else [model, reference.model]
    truths, sources = held_out.images.labels, group_sources(held_out.images.hashes)
    predictions = _corrupted_predictions(models, held_out.images, device, threads, batch)
    views = np.concatenate([held_out.predictions.classes[None], predictions[0]])
    classes = len(model.labels)
    rng = generator("robustness", SPLIT_SEED)
    cells = truths * classes + views
    counts = resampled_counts(cells, classes**2, sources, rng).reshape(len(views), -1, classes, classes)
    clean, *conditions = _conditions(counts)
    wrong = 100 - np.stack([confusion.accuracy(view) for view in counts[1:]])
    means = {name: percentile_difference(wrong[_places(name)].mean(axis=0)) for name in CORRUPTIONS}
    errors = None
    if reference is not None:
        reference_clean = _predictions(
            _prepared(reference.model, device), held_out.images.pixels, reference.model, batch
        )
        theirs = np.concatenate([reference_clean[None], predictions[1]])
        errors = _compare(reference, held_out.images, views == truths, theirs == truths)
    return Robustness(clean, conditions, percentile_difference(wrong.mean(axis=0)), means, errors)


# --- Answers ------------------------------------------------------------------------------------------------


def _corrupted_predictions(
    models: Sequence[Model], images: EvaluationSet, device: torch.device, threads: int, batch: int
) -> NDArray[np.int64]:
    """(M, C, N) classes that each of M models gives under each of C conditions."""
    networks = [_prepared(model, device) for model in models]
    sources = images.hashes.tolist()

    def run(condition: tuple[str, int]) -> list[Indices]:
        pixels = corrupt(images.pixels, sources, *condition)
        return [_predictions(network, pixels, model, batch) for model, network in zip(models, networks, strict=True)]

    # A thread for each condition, not for the parts of an operation: those wait for each other on a busy machine.
    with ThreadPoolExecutor(threads) as pool:
        predictions = pool.map(run, _CONDITIONS)
        bar = progress(predictions, total=len(_CONDITIONS), description="corrupting", unit="condition", scale=False)
        return np.stack(list(bar), axis=1)


def _prepared(model: Model, device: torch.device) -> torch.nn.Module:
    """A copy whose weights have the channels last, which lets a CPU convolve twice as fast."""
    return copy.deepcopy(model.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _predictions(network: torch.nn.Module, pixels: NDArray[np.uint8], model: Model, batch: int) -> Indices:
    device = next(network.parameters()).device
    batches = torch.split(torch.from_numpy(pixels).unsqueeze(1).to(device), batch)
    return predicted_classes(torch.cat([network_outputs(network, images, model.form) for images in batches]))


# --- Scores -------------------------------------------------------------------------------------------------


def _places(name: str) -> list[int]:
    return [place for place, (corruption, _) in enumerate(_CONDITIONS) if corruption == name]


def _conditions(counts: Array) -> list[Condition]:
    """From (1 + C, 1 + R, K, K) counts, the first view clean: measured, then resampled."""
    names = [(CLEAN, 0), *_CONDITIONS]
    accuracy, macro_f1, recalls = confusion.accuracy(counts), confusion.macro_f1(counts), confusion.recalls(counts)
    conditions = []
    for view, (name, severity) in enumerate(names):
        measured = counts[view, 0].astype(int)
        right, totals = np.diagonal(measured).tolist(), measured.sum(axis=1).tolist()
        f1 = percentile_difference(macro_f1[view])
        conditions.append(
            Condition(
                name,
                severity,
                _proportion(sum(right), sum(totals), accuracy[view] - accuracy[0]),
                Metric(f1.value, f1.low, f1.high, percentile_difference(macro_f1[view] - macro_f1[0])),
                tuple(
                    _proportion(hits, images, recalls[view, :, label] - recalls[0, :, label])
                    for label, (hits, images) in enumerate(zip(right, totals, strict=True))
                ),
            )
        )
    return conditions


def _proportion(right: int, images: int, changes: Array) -> Metric:
    low, high = intervals.wilson_interval(right, images)
    value = 100.0 * right / images if images else float("nan")
    return Metric(value, low, high, percentile_difference(changes))


# --- Errors beside a reference's ----------------------------------------------------------------------------


def _compare(
    reference: Reference, images: EvaluationSet, ours: NDArray[np.bool_], theirs: NDArray[np.bool_]
) -> CorruptionErrors:
    """From which answers are right, (1 + C, N) of each model, the first row of the clean images."""
    seen = reference.has_seen(images)
    if seen.all():
        raise EmoTorchError(f"the reference {reference.name} was trained on every one of these images: name another")
    wrong = (~np.concatenate([ours, theirs])[:, ~seen]).astype(np.int64)
    sources = group_sources(images.hashes[~seen])
    counts = resampled_counts(wrong, 2, sources, generator("corruption errors", SPLIT_SEED))
    # (2, 1 + C, 1 + R) percent.
    errors = 100 * (counts[:, :, 1] / counts.sum(axis=2)).reshape(2, 1 + len(_CONDITIONS), -1)
    by_corruption = {name: errors[:, 1:][:, _places(name)].mean(axis=1) for name in CORRUPTIONS}
    ratios = {name: _ratio(*pair) for name, pair in by_corruption.items()}
    relative = {name: _ratio(*(pair - errors[:, 0])) for name, pair in by_corruption.items()}
    return CorruptionErrors(
        reference.name,
        int((~seen).sum()),
        None if reference.training is None else int(seen.sum()),
        (float(errors[0, 0, 0]), float(errors[1, 0, 0])),
        {name: (float(pair[0, 0]), float(pair[1, 0])) for name, pair in by_corruption.items()},
        {name: (100 - errors[1, 1:][_places(name), 0]).tolist() for name in CORRUPTIONS},
        {name: float(values[0]) for name, values in ratios.items()},
        {name: float(values[0]) for name, values in relative.items()},
        percentile_difference(np.mean(list(ratios.values()), axis=0)),
        percentile_difference(np.mean(list(relative.values()), axis=0)),
    )


def _ratio(ours: Array, theirs: Array) -> Array:
    """100 × ours ÷ theirs; NaN where theirs is not above 0."""
    return np.asarray(100 * np.divide(ours, theirs, out=np.full(ours.shape, np.nan), where=theirs > 0))


NAME = "robustness"


_CURVES, _SHEET = "robustness_curves.png", "corruptions.png"


_SCORES, _ERRORS = "robustness.csv", "corruption_errors.csv"


_SHEET_FACES = 2


def analyse_robustness(
    run: Run,
    weights: Path,
    model: Model,
    held_out: Evaluation,
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
        "images": held_out.images.fingerprint,
        "dataset": held_out.images.name,
        "scheme": model.scheme.as_dict(),
        "corruptions": {name: corruption.strengths for name, corruption in CORRUPTIONS.items()},
        "reference": compared and compared.weights_hash,
    }
    with results.result_folder(run, NAME, weights, made_from, force=force) as folder:
        if folder is not None:
            measured = measure(model, held_out, compared, device, threads=threads)
            missing = reference if isinstance(reference, str) else None
            findings = _findings(run, model.labels, held_out, measured, missing)
            _write_scores(folder / _SCORES, measured, model.labels)
            _write_errors(folder / _ERRORS, findings)
            save(curves_figure(measured, model.labels, f"{held_out.title}: robustness"), folder / _CURVES)
            _plot_corruptions(folder / _SHEET, held_out.images)
            results.write_findings(folder, findings)
    found = results.read_findings(run, NAME, weights)
    assert found is not None, "written just now"
    return run.folder / NAME, describe(found)


# --- Findings -----------------------------------------------------------------------------------------------


def _findings(
    run: Run, labels: Sequence[str], held_out: Evaluation, measured: Robustness, missing: str | None
) -> dict[str, Any]:
    findings: dict[str, Any] = _without_nan(
        {
            "model": run.name,
            "dataset": held_out.images.name,
            "title": held_out.title,
            "images": held_out.predictions.images,
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


# --- For page and card --------------------------------------------------------------------------------------


def _compute(subject: Subject) -> Findings:
    loaded = subject.loaded
    reference = find_reference(loaded.paths, None, loaded.model, loaded.weights)
    analyse_robustness(
        loaded.run,
        loaded.weights,
        loaded.model,
        subject.images,
        reference,
        loaded.device,
        threads=subject.threads,
        force=subject.force,
    )
    found = ANALYSIS.read(loaded.run, loaded.weights)
    assert found is not None, "written just now"
    return found


def _lines(findings: Findings) -> list[str]:
    return [*findings["lines"], *describe_means(findings)]


def _tables(findings: Findings) -> Tables:
    header, *rows = accuracy_rows(findings)
    quantities = findings["quantities"]
    named = [(f"{name.replace('_', ' ')} ({quantities[name]})", *cells) for name, *cells in rows]
    frame = pd.DataFrame(named, columns=("corruption", *header[1:]))
    return {"Accuracy (%) at each severity": Table(frame)}


ANALYSIS = Analysis(NAME, "Robustness to corruptions", "measure_robustness.py", _compute, _lines, _tables)
