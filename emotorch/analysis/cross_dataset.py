"""Models trained on one dataset, scored on others: every model on every dataset, on the classes that all share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch import runs
from emotorch.analysis import metrics
from emotorch.analysis.bootstrap import Array
from emotorch.analysis.evaluate import (
    DATASETS,
    TrainingImages,
    answer,
    record_scoring,
    seen_in_training,
)
from emotorch.analysis.paired import Difference, percentile_difference, resampled_counts
from emotorch.analysis.scored_datasets import TestSet, available, load_test_set
from emotorch.analysis.shared_classes import fer_classes, shared_scheme
from emotorch.data.split import SPLIT_SEED
from emotorch.errors import EmoTorchError, UsageError
from emotorch.labels import LabelScheme
from emotorch.paths import Paths
from emotorch.runs import Run, read_image_usage
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model, load_model

# What runs call the datasets that they were trained on, and options the same.
_NAMES = {source: name for name, (source, usage) in DATASETS.items() if usage is None}


@dataclass(frozen=True)
class Entrant:
    """A trained model.

    Attributes:
        name: Its run's, or the path where two are called the same.
        run: Its folder.
        model: As it was trained.
        trained_on: The dataset, as `--datasets` calls it; None where the run does not tell.
    """

    name: str
    run: Run
    model: Model
    trained_on: str | None


@dataclass(frozen=True)
class Cell:
    """A model's scores on a dataset, in percent with 95% intervals; NaN where no image is left.

    Attributes:
        model: Its name.
        dataset: Its name.
        own: The model was trained on (other images of) this dataset.
        images: How many were scored.
        seen: How many were left out, because the model was trained on them, a variant or an exact twin.
        seen_unknown: The run does not tell what it was trained on.
        chose: How many of those scored chose the epoch of the model: to it they are not quite unseen.
        counts: (K, K) of the shared classes; rows are true.
        accuracy: Of the images.
        macro_f1: The mean over the classes that the dataset has.
        drop: Accuracy on the model's own dataset less this one, percentage points; None where that is unknown.
        f1_drop: The same of the macro-F1.
    """

    model: str
    dataset: str
    own: bool
    images: int
    seen: int
    seen_unknown: bool
    chose: int
    counts: metrics.Counts
    accuracy: Difference
    macro_f1: Difference
    drop: Difference | None
    f1_drop: Difference | None


@dataclass(frozen=True)
class CrossDataset:
    """Every model on every dataset.

    Attributes:
        entrants: The rows.
        datasets: The columns' names.
        labels: The classes that all share.
        cells: A row for each model, a cell for each dataset.
        sets: The datasets by name.
        notes: What was reconciled, added or is missing, in words.
        synthetic: The faces are drawn by a program.
    """

    entrants: Sequence[Entrant]
    datasets: Sequence[str]
    labels: Sequence[str]
    cells: Sequence[Sequence[Cell]]
    sets: Mapping[str, TestSet]
    notes: Sequence[str]
    synthetic: bool


# --- Models -------------------------------------------------------------------------------------------------


def load_entrants(paths: Paths, names: Sequence[str]) -> list[Entrant]:
    """The models.

    Raises:
        EmoTorchError: there is no such model, or its file is damaged.
        UsageError: one is named twice.
    """
    files = [runs.weights_file(paths, name).resolve() for name in names]
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice")
    short = [file.parent.name for file in files]
    return [
        Entrant(
            name if short.count(name) == 1 else file.as_posix(),
            Run(file.parent),
            load_model(file),
            _trained_on(Run(file.parent)),
        )
        for name, file in zip(short, files, strict=True)
    ]


def _trained_on(run: Run) -> str | None:
    """From the record, or from what image_usage.csv says: published runs have no record."""
    stated = run.record.get("settings", {}).get("train_on")
    if stated is None:
        rows = read_image_usage(run) or []
        named = {Path(row["image_path"]).parts[-3:-2] for row in rows if row["usage"] == runs.TRAINING}
        stated = "".join(named.pop()) if len(named) == 1 else None
    return None if stated is None else _NAMES.get(stated, stated)


# --- Scoring ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """Counts and (1 + R,) resampled metrics of a model on a dataset."""

    cell: Cell
    accuracy: Array
    macro_f1: Array


def score(paths: Paths, entrants: Sequence[Entrant], datasets: Sequence[str], device: torch.device) -> CrossDataset:
    """Scores every model on every dataset, and on the one that it was trained on.

    Images that a model was trained on, or a variant or an exact twin of which, are left out of its score.

    Args:
        paths: Of the data.
        entrants: The models.
        datasets: As `evaluate.load_set` takes them. Those that models were trained on are added where they are here.
        device: To run on.

    Raises:
        EmoTorchError: a dataset is not here or damaged, or the models have no two classes in common.
        UsageError: there is no such dataset or folder, or one is named twice.
    """
    schemes = list({entrant.model.scheme.name: entrant.model.scheme for entrant in entrants}.values())
    shared = shared_scheme(schemes)
    here = available(paths, schemes)
    wanted = list(datasets) or here
    if not wanted:
        raise EmoTorchError(f"no dataset in {paths.root}: run stages 1-2, or name a folder with --datasets")
    notes = _scheme_notes(entrants, shared)
    if not datasets:
        missing = [name for name in _NAMES.values() if name not in here]
        notes += [f"not here, so not scored: {', '.join(missing)}"] if missing else []
    trained_on = dict.fromkeys(entrant.trained_on for entrant in entrants)
    added = [name for name in trained_on if name in here and name not in wanted]
    notes += [f"added, because a model was trained on it: {name}" for name in added]
    named = _load_sets(paths, [*added, *wanted], schemes, shared)
    rows = []
    for entrant in entrants:
        reading = entrant.model.read_as(shared)
        scored = {
            name: _score_one(paths, entrant, reading, name, dataset, images, device)
            for name, (dataset, images) in named.items()
        }
        own = next((found for found in scored.values() if found.cell.own), None)
        rows.append([_with_drop(found, own) for found in scored.values()])
    for entrant, row in zip(entrants, rows, strict=True):
        if not any(cell.own for cell in row):
            known = f"{entrant.trained_on}, which is not here" if entrant.trained_on else "an unknown dataset"
            notes.append(f"{entrant.name} was trained on {known}: its drops are unknown")
    sets = {name: images for name, (_, images) in named.items()}
    return CrossDataset(entrants, list(named), shared.labels, rows, sets, notes, paths.is_synthetic)


def _scheme_notes(entrants: Sequence[Entrant], shared: LabelScheme) -> list[str]:
    schemes = {entrant.model.scheme.name: entrant.model.scheme for entrant in entrants}
    if len(schemes) == 1:
        return []
    notes = [f"compared on the {len(shared.labels)} classes that all models share: {', '.join(shared.labels)}"]
    known = {frozenset(classes) for classes in fer_classes(shared).values()}
    for name, scheme in schemes.items():
        classes = fer_classes(scheme)
        lacking = [label for label in scheme.labels if classes.get(label) not in known]
        if lacking:
            notes.append(f"without a counterpart in all, dropped before the answer: {name}'s {', '.join(lacking)}")
    return notes


def _load_sets(
    paths: Paths, datasets: Sequence[str], schemes: Sequence[LabelScheme], shared: LabelScheme
) -> dict[str, tuple[str, TestSet]]:
    """By the name in tables, the dataset as it was named and its images."""
    found: dict[str, tuple[str, TestSet]] = {}
    for dataset in datasets:
        images = load_test_set(paths, dataset, schemes, shared)
        name = images.images.name
        if name in found:
            raise UsageError(f"two datasets are called {name}: rename a folder, or name each once")
        found[name] = (dataset, images)
    return found


def _score_one(
    paths: Paths, entrant: Entrant, reading: Model, name: str, dataset: str, tested: TestSet, device: torch.device
) -> _Scored:
    known = TrainingImages.of(entrant.run)
    seen = _seen(paths, entrant, tested, known)
    images, sources = tested.images.part(~seen), tested.sources[~seen]
    chose = _seen(paths, entrant, TestSet(images, sources, {}, tested.scheme), _validating(entrant))
    size = len(reading.labels)
    if len(images.labels):
        answers = answer(reading, images, device)
        record_scoring(entrant.run, dataset, answers)
        rng = generator("cross dataset", SPLIT_SEED, entrant.name, name)
        cells = (images.labels * size + answers.classes)[None]
        flat = resampled_counts(cells, size * size, np.unique(sources, return_inverse=True)[1], rng)[0]
        counts = flat.reshape(-1, size, size)
    else:
        counts = np.zeros((2, size, size))
    accuracy, macro_f1 = metrics.accuracy(counts), _macro_f1_of_present(counts)
    measured = counts[0].astype(np.int64)
    cell = Cell(
        entrant.name,
        name,
        dataset == entrant.trained_on or (dataset not in DATASETS and name == entrant.trained_on not in DATASETS),
        len(images.labels),
        int(seen.sum()),
        known is None,
        int(chose.sum()),
        measured,
        _accuracy_interval(measured, accuracy),
        percentile_difference(macro_f1),
        None,
        None,
    )
    return _Scored(cell, accuracy, macro_f1)


def _validating(entrant: Entrant) -> TrainingImages | None:
    return TrainingImages.of(entrant.run, validation=True)


def _seen(paths: Paths, entrant: Entrant, tested: TestSet, known: TrainingImages | None) -> NDArray[np.bool_]:
    """(N,) the images that are among the known ones, or a variant or an exact twin of which is."""
    scheme = entrant.model.scheme
    # In another scheme's dataset folder the same images have other names.
    by_name = tested.scheme is not None and tested.scheme == scheme
    itself, twin = seen_in_training(tested.images, known, paths.for_scheme(scheme.name), by_name=by_name)
    return itself | twin


def _macro_f1_of_present(counts: Array) -> Array:
    """(…, K, K) counts to (…) percent, over the classes that have images; the others have an F1 of 0."""
    present = int((counts[0].sum(axis=1) > 0).sum())
    if not present:
        return np.full(len(counts), np.nan)
    return np.asarray(metrics.macro_f1(counts) * (counts.shape[-1] / present))


def _accuracy_interval(counts: metrics.Counts, resampled: Array) -> Difference:
    """Wilson's interval, which holds also where all is right; the bootstrap's by source where that is wider."""
    found = percentile_difference(resampled)
    low, high = metrics.wilson_interval(int(np.trace(counts)), int(counts.sum()))
    return Difference(found.value, min(low, found.low), max(high, found.high))


def _with_drop(scored: _Scored, own: _Scored | None) -> Cell:
    """The cell, with what it loses against the model's own dataset.

    Sources are drawn anew for each apart: where the datasets share images, as fer and fer-public do, the interval is
    somewhat too wide.
    """
    cell = scored.cell
    if own is None or cell.own or not cell.images or not own.cell.images:
        return cell
    drop, f1_drop = own.accuracy - scored.accuracy, own.macro_f1 - scored.macro_f1
    return replace(cell, drop=percentile_difference(drop), f1_drop=percentile_difference(f1_drop))
