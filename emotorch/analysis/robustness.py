"""How a model's scores fall when the pictures get worse, and its errors beside a reference's on the same pictures.

Source of the corruption errors: Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations" (ICLR 2019), section 4.
"""

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch.analysis import metrics
from emotorch.analysis.bootstrap import Array
from emotorch.analysis.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.analysis.evaluate import EvaluationSet, TrainingImages
from emotorch.analysis.held_out import HeldOut
from emotorch.analysis.paired import Difference, percentile_difference, resampled_counts
from emotorch.data.split import SPLIT_SEED, Indices, group_sources
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import hash_file
from emotorch.paths import Paths
from emotorch.runs import Run, shipped_or_named
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.loop import network_outputs, predictions
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
    held_out: HeldOut,
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
    answers = _corrupted_answers(models, held_out.images, device, threads, batch)
    views = np.concatenate([held_out.answers.classes[None], answers[0]])
    classes = len(model.labels)
    rng = generator("robustness", SPLIT_SEED)
    cells = truths * classes + views
    counts = resampled_counts(cells, classes**2, sources, rng).reshape(len(views), -1, classes, classes)
    clean, *conditions = _conditions(counts)
    wrong = 100 - np.stack([metrics.accuracy(view) for view in counts[1:]])
    means = {name: percentile_difference(wrong[_places(name)].mean(axis=0)) for name in CORRUPTIONS}
    errors = None
    if reference is not None:
        reference_clean = _answers(_prepared(reference.model, device), held_out.images.pixels, reference.model, batch)
        theirs = np.concatenate([reference_clean[None], answers[1]])
        errors = _compare(reference, held_out.images, views == truths, theirs == truths)
    return Robustness(clean, conditions, percentile_difference(wrong.mean(axis=0)), means, errors)


# --- Answers ------------------------------------------------------------------------------------------------


def _corrupted_answers(
    models: Sequence[Model], images: EvaluationSet, device: torch.device, threads: int, batch: int
) -> NDArray[np.int64]:
    """(M, C, N) classes that each of M models gives under each of C conditions."""
    networks = [_prepared(model, device) for model in models]
    sources = images.hashes.tolist()

    def run(condition: tuple[str, int]) -> list[Indices]:
        pixels = corrupt(images.pixels, sources, *condition)
        return [_answers(network, pixels, model, batch) for model, network in zip(models, networks, strict=True)]

    # A thread for each condition, not for the parts of an operation: those wait for each other on a busy machine.
    with ThreadPoolExecutor(threads) as pool:
        answers = pool.map(run, _CONDITIONS)
        bar = progress(answers, total=len(_CONDITIONS), description="corrupting", unit="condition", scale=False)
        return np.stack(list(bar), axis=1)


def _prepared(model: Model, device: torch.device) -> torch.nn.Module:
    """A copy whose weights have the channels last, which lets a CPU convolve twice as fast."""
    return copy.deepcopy(model.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _answers(network: torch.nn.Module, pixels: NDArray[np.uint8], model: Model, batch: int) -> Indices:
    device = next(network.parameters()).device
    batches = torch.split(torch.from_numpy(pixels).unsqueeze(1).to(device), batch)
    return predictions(torch.cat([network_outputs(network, images, model.form) for images in batches]))


# --- Scores -------------------------------------------------------------------------------------------------


def _places(name: str) -> list[int]:
    return [place for place, (corruption, _) in enumerate(_CONDITIONS) if corruption == name]


def _conditions(counts: Array) -> list[Condition]:
    """From (1 + C, 1 + R, K, K) counts, the first view clean: measured, then resampled."""
    names = [(CLEAN, 0), *_CONDITIONS]
    accuracy, macro_f1, recalls = metrics.accuracy(counts), metrics.macro_f1(counts), metrics.recalls(counts)
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
    low, high = metrics.wilson_interval(right, images)
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
