"""How a model's scores fall when images get worse, and its errors beside a reference model's on the same images.

Source of the corruption errors: Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations" (ICLR 2019), section 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from emotorch.analyses.corruptions import CLEAN, CORRUPTIONS, SEVERITIES, corrupt, plot_corruptions
from emotorch.analyses.reference import Reference, find_reference
from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.analyses.robustness_figure import robustness_figure
from emotorch.data.split import SPLIT_SEED, Indices, group_sources
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation, outputs_of, prepared
from emotorch.evaluation.sets import EvaluationSet, sources_of
from emotorch.figures.canvas import save
from emotorch.metrics import confusion
from emotorch.metrics.calibration import predicted_classes
from emotorch.metrics.intervals import Array, Estimate, proportion
from emotorch.metrics.paired import percentile_interval, resampled_confusions, resampled_counts
from emotorch.runs.findings import Findings
from emotorch.seeding import generator
from emotorch.tables import Table, write_table
from emotorch.training.checkpoints import Model
from emotorch.workers import progress

# All severities of the first corruption, then of the second, ….
_CONDITIONS = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
_BY_CORRUPTION = (len(CORRUPTIONS), len(SEVERITIES), -1)


@dataclass(frozen=True)
class Metric(Estimate):
    """A score in percent, and how it `change`s from the clean images, in percentage points.

    Its interval is Wilson's for an accuracy or a recall, of a bootstrap by source for the macro-F1 and the change.
    """

    change: Estimate


@dataclass(frozen=True)
class Condition:
    """The scores under one corruption at one severity; 0 of the clean images."""

    corruption: str
    severity: int
    accuracy: Metric
    macro_f1: Metric
    recalls: tuple[Metric, ...]


@dataclass(frozen=True)
class CorruptionErrors:
    """A model's errors in percent beside a reference's, on the images that neither was trained on.

    Attributes:
        left_out: How many images the reference was trained on; None where that is unknown, and none is left out.
        clean: Of the model and of the reference on the clean images.
        errors: For each corruption of the model and of the reference, the mean of the severities.
        reference_accuracies: Of the reference, percent, by corruption and severity.
        ratios: For each corruption CE: 100 × the model's error ÷ the reference's. NaN where the reference makes none.
        relative: For each corruption the relative CE: the same of what the errors grow by over the clean images'.
            NaN where the reference's do not grow.
        mce, relative_mce: The means of these over the corruptions; NaN where one is.
    """

    reference: str
    images: int
    left_out: int | None
    clean: tuple[float, float]
    errors: Mapping[str, tuple[float, float]]
    reference_accuracies: Mapping[str, Sequence[float]]
    ratios: Mapping[str, float]
    relative: Mapping[str, float]
    mce: Estimate
    relative_mce: Estimate


@dataclass(frozen=True)
class Robustness:
    """Scores under every condition; mean errors in percent, of all and by corruption; and, where there is a reference,
    the errors beside its own."""

    clean: Condition
    conditions: Sequence[Condition]
    mean_error: Estimate
    by_corruption: Mapping[str, Estimate]
    errors: CorruptionErrors | None


# --- Measuring ----------------------------------------------------------------------------------------------


def measure(
    model: Model,
    held_out: Evaluation,
    sources: NDArray[np.str_],
    reference: Reference | None,
    device: torch.device,
    *,
    threads: int = 1,
) -> Robustness:
    """Scores a model, and a reference beside it, on the same images under every corruption at every severity.

    Args:
        held_out: Images that it was not trained on, and its predictions for them as they are.
        sources: (N,) equal for images that are not independent, which are resampled together.
        threads: Conditions at the same time; the results are the same for any number.

    Raises:
        EmoTorchError: the reference was trained on all of the images.
    """
    models = [prepared(each, device) for each in (model, *([reference.model] if reference else []))]
    truths = held_out.images.labels
    corrupted = _corrupted_predictions(models, held_out.images, threads)
    # Row 0 is of the clean images, and the others of `_CONDITIONS`.
    predictions = np.concatenate([held_out.predictions.classes[None], corrupted[0]])
    rng = generator("robustness", SPLIT_SEED)
    counts = resampled_confusions(truths, predictions, len(model.labels), group_sources(sources), rng)
    clean, *conditions = _conditions(counts)
    wrong = 100 - confusion.accuracy(counts[1:])
    means = map(percentile_interval, wrong.reshape(_BY_CORRUPTION).mean(axis=1))
    by_corruption = dict(zip(CORRUPTIONS, means, strict=True))
    errors = None
    if reference is not None:
        clean_pixels = held_out.images.read_as(models[1].form.pixels)
        theirs = np.concatenate([predicted_classes(outputs_of(models[1], clean_pixels))[None], corrupted[1]])
        errors = _compare(reference, held_out.images, sources, predictions == truths, theirs == truths)
    return Robustness(clean, conditions, percentile_interval(wrong.mean(axis=0)), by_corruption, errors)


def _corrupted_predictions(models: Sequence[Model], images: EvaluationSet, threads: int) -> NDArray[np.int64]:
    """(M, C, N) classes that each of M models predicts under each of C conditions."""
    sources = images.hashes.tolist()
    # Models of one form share the corrupted images; each other reads, and has corrupted, what it would read.
    clean = {model.form.pixels: images.read_as(model.form.pixels) for model in models}

    def run(condition: tuple[str, int]) -> list[Indices]:
        pixels = {form: corrupt(read, sources, *condition) for form, read in clean.items()}
        return [predicted_classes(outputs_of(model, pixels[model.form.pixels])) for model in models]

    # A thread for each condition, not for the parts of an operation: those wait for each other on a busy machine.
    with ThreadPoolExecutor(threads) as pool:
        predictions = pool.map(run, _CONDITIONS)
        bar = progress(predictions, total=len(_CONDITIONS), description="corrupting", unit="condition", scale=False)
        return np.stack(list(bar), axis=1)


def _conditions(counts: Array) -> list[Condition]:
    """From (1 + C, 1 + R, K, K) counts, those of the clean images first: measured, then resampled."""
    accuracy, macro_f1, recalls = confusion.accuracy(counts), confusion.macro_f1(counts), confusion.recalls(counts)
    conditions = []
    for place, (name, severity) in enumerate([(CLEAN, 0), *_CONDITIONS]):
        measured = counts[place, 0].astype(int)
        right, totals = np.diagonal(measured).tolist(), measured.sum(axis=1).tolist()
        of_classes = map(proportion, right, totals)
        conditions.append(
            Condition(
                name,
                severity,
                _metric(proportion(sum(right), sum(totals)), accuracy[place] - accuracy[0]),
                _metric(percentile_interval(macro_f1[place]), macro_f1[place] - macro_f1[0]),
                tuple(map(_metric, of_classes, (recalls[place] - recalls[0]).T)),
            )
        )
    return conditions


def _metric(found: Estimate, changes: Array) -> Metric:
    return Metric(found.value, found.low, found.high, percentile_interval(changes))


def _compare(
    reference: Reference,
    images: EvaluationSet,
    sources: NDArray[np.str_],
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
) -> CorruptionErrors:
    """From which predictions are right, (1 + C, N) of each model, the first row of the clean images."""
    seen = reference.has_seen(images)
    if seen.all():
        raise EmoTorchError(f"the reference {reference.name} was trained on every one of these images: name another")
    wrong = (~np.concatenate([ours, theirs])[:, ~seen]).astype(np.int64)
    counts = resampled_counts(wrong, 2, group_sources(sources[~seen]), generator("corruption errors", SPLIT_SEED))
    # (2, 1 + C, 1 + R) percent.
    errors = 100 * (counts[:, :, 1] / counts.sum(axis=2)).reshape(2, 1 + len(_CONDITIONS), -1)
    by_severity = errors[:, 1:].reshape(2, *_BY_CORRUPTION)
    by_corruption = by_severity.mean(axis=2)
    ratios, relative = _ratio(*by_corruption), _ratio(*(by_corruption - errors[:, :1]))

    def measured(values: Iterable[Any]) -> dict[str, Any]:
        return dict(zip(CORRUPTIONS, values, strict=True))

    return CorruptionErrors(
        reference.name,
        int((~seen).sum()),
        None if reference.training is None else int(seen.sum()),
        (float(errors[0, 0, 0]), float(errors[1, 0, 0])),
        measured(map(tuple, by_corruption[:, :, 0].T.tolist())),
        measured((100 - by_severity[1, :, :, 0]).tolist()),
        measured(ratios[:, 0].tolist()),
        measured(relative[:, 0].tolist()),
        percentile_interval(ratios.mean(axis=0)),
        percentile_interval(relative.mean(axis=0)),
    )


def _ratio(ours: Array, theirs: Array) -> Array:
    """100 × ours ÷ theirs; NaN where theirs is not above 0."""
    return np.asarray(100 * np.divide(ours, theirs, out=np.full(ours.shape, np.nan), where=theirs > 0))


# --- The analysis -------------------------------------------------------------------------------------------


def analyse_robustness(subject: Subject, reference: str | None = None) -> Findings:
    """Measures a model into `MODEL/robustness/`, unless it was measured on these held-out images already.

    The errors are compared with those of the model that is named as reference; see `find_reference`.

    Raises:
        EmoTorchError: there is no such reference, or it was trained on all of the images.
    """
    beside = find_reference(subject.loaded, reference)
    made_from = {
        "images": subject.held_out.images.fingerprint,
        "dataset": subject.held_out.images.name,
        "scheme": subject.loaded.model.scheme.as_dict(),
        "corruptions": {name: corruption.strengths for name, corruption in CORRUPTIONS.items()},
        "reference": None if isinstance(beside, str) else beside.weights_hash,
    }
    return subject.compute_once(ANALYSIS.name, made_from, partial(_make, subject, beside))


def _make(subject: Subject, reference: Reference | str, folder: Path) -> Findings:
    loaded, images = subject.loaded, subject.held_out
    beside = reference if isinstance(reference, Reference) else None
    sources = sources_of(loaded.paths, images.images, loaded.model.scheme)
    measured = measure(loaded.model, images, sources, beside, loaded.device, threads=subject.threads)
    findings = {
        **subject.head(),
        "clean": asdict(measured.clean),
        "conditions": [
            {"strength": CORRUPTIONS[found.corruption].strengths[found.severity - 1], **asdict(found)}
            for found in measured.conditions
        ],
        "quantities": {name: corruption.quantity for name, corruption in CORRUPTIONS.items()},
        "mean_error": asdict(measured.mean_error),
        "error_by_corruption": {name: asdict(error) for name, error in measured.by_corruption.items()},
        "reference": None if measured.errors is None else asdict(measured.errors),
        "reference_missing": reference if isinstance(reference, str) else None,
        "pictures": {"curves": "robustness_curves.png", "corruptions": "corruptions.png"},
        "tables": {"scores": "robustness.csv", "errors": "corruption_errors.csv"},
    }
    scores = scores_table(findings)
    write_table(folder / "robustness.csv", scores)
    write_table(folder / "corruption_errors.csv", _errors_table(findings))
    save(robustness_figure(findings, scores.frame), folder / "robustness_curves.png")
    plot_corruptions(folder / "corruptions.png", images.images)
    return findings


# --- Lines and tables ---------------------------------------------------------------------------------------


def _lines(findings: Findings) -> list[str]:
    reference = findings["reference"]
    error, clean = _with_interval(findings["mean_error"], "%"), 100.0 - findings["clean"]["accuracy"]["value"]
    lines = [*findings["lines"], f"mean error over all corruptions {error}, clean {clean:.2f}%"]
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


def _with_interval(found: Mapping[str, float | None], unit: str = "") -> str:
    if found["value"] is None:
        return "undefined"
    return f"{found['value']:.2f}{unit} (95% interval {found['low']:.2f}–{found['high']:.2f})"


def _tables(findings: Findings) -> Tables:
    scores, errors = scores_table(findings).frame, _errors_table(findings).frame.set_index("corruption")
    frame = scores[scores["severity"] > 0].pivot_table("accuracy", "corruption", "severity", sort=False)
    frame = frame.rename(columns=str)
    frame["mean error"] = errors["mean_error"]
    if findings["reference"] is not None:
        frame["CE"] = errors["corruption_error"]
    formats = dict.fromkeys(frame.columns, "{:.1f}")
    frame["strength"] = pd.Series(findings["quantities"])
    frame.insert(0, "corruption", frame.index.str.replace("_", " "))
    ce = ", corruption error (CE)" if "CE" in frame else ""
    title = f"Accuracy (%) at severities {SEVERITIES[0]} to {SEVERITIES[-1]}, mean error (%){ce}"
    return {title: Table(frame, formats)}


def scores_table(findings: Findings) -> Table:
    """A row for the clean images and for each condition: all scores in percent, their intervals and their changes."""
    rows = []
    for condition in (findings["clean"], *findings["conditions"]):
        strength = f"{condition['strength']:g}" if "strength" in condition else None
        row = {"corruption": condition["corruption"], "severity": condition["severity"], "strength": strength}
        names = ["accuracy", "macro_f1", *(f"recall_{label}" for label in findings["labels"])]
        metrics = [condition["accuracy"], condition["macro_f1"], *condition["recalls"]]
        for name, metric in zip(names, metrics, strict=True):
            for key, found in ((name, metric), (f"{name}_change", metric["change"])):
                row |= {key: found["value"], f"{key}_low": found["low"], f"{key}_high": found["high"]}
        rows.append(row)
    frame = pd.DataFrame(rows)
    scores = frame.columns[3:]
    return Table(frame.astype(dict.fromkeys(scores, float)), dict.fromkeys(scores, "{:.2f}"))


def _errors_table(findings: Findings) -> Table:
    """For each corruption and in the mean the error, and beside the reference's both errors and their ratios."""
    errors = {**findings["error_by_corruption"], "mean": findings["mean_error"]}
    frame = pd.DataFrame(errors.values()).add_prefix("mean_error_")
    frame = frame.rename(columns={"mean_error_value": "mean_error"})
    frame.insert(0, "corruption", list(errors))
    beside = ["shared_error", "reference_error", "corruption_error", "relative_corruption_error"]
    frame[beside] = float("nan")
    if (reference := findings["reference"]) is not None:
        both = np.array(list(reference["errors"].values()), dtype=float)
        frame[beside[:2]] = np.vstack([both, both.mean(axis=0)])
        frame[beside[2]] = [*reference["ratios"].values(), reference["mce"]["value"]]
        frame[beside[3]] = [*reference["relative"].values(), reference["relative_mce"]["value"]]
    figures = frame.columns[1:]
    return Table(frame.astype(dict.fromkeys(figures, float)), dict.fromkeys(figures, "{:.2f}"))


ANALYSIS = Analysis(
    "robustness", "Robustness to corruptions", "measure_robustness.py", analyse_robustness, _lines, _tables
)
