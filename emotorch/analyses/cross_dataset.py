"""Models trained on one dataset, scored on others: every model on every dataset, on the classes that all share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from emotorch.analyses.shared_classes import TestSet, available, fer_classes, load_test_set, shared_scheme
from emotorch.data.split import SPLIT_SEED
from emotorch.datasets import DATASETS, PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import predict, record_scoring, seen_in_training
from emotorch.figures.canvas import ORANGE, PALE, new_figure, save, wrap
from emotorch.files import new_folder, write_csv, write_text
from emotorch.labels import LabelScheme
from emotorch.metrics import confusion
from emotorch.metrics.confusion import Counts
from emotorch.metrics.intervals import Array, wilson_interval
from emotorch.metrics.paired import Difference, percentile_difference, resampled_counts
from emotorch.paths import Paths
from emotorch.runs.findings import write_findings
from emotorch.runs.folder import Run, weights_file
from emotorch.runs.usage import TRAINING, TrainingImages, read_image_usage
from emotorch.seeding import generator
from emotorch.tables import text_table
from emotorch.training.checkpoints import Model, load_model

# What runs call the datasets that they were trained on, and options the same.
_NAMES = {dataset.name: dataset.key for dataset in DATASETS.values()}


@dataclass(frozen=True)
class Candidate:
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
    counts: confusion.Counts
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

    candidates: Sequence[Candidate]
    datasets: Sequence[str]
    labels: Sequence[str]
    cells: Sequence[Sequence[Cell]]
    sets: Mapping[str, TestSet]
    notes: Sequence[str]
    synthetic: bool


# --- Models -------------------------------------------------------------------------------------------------


def load_candidates(paths: Paths, names: Sequence[str]) -> list[Candidate]:
    """The models.

    Raises:
        EmoTorchError: there is no such model, or its file is damaged.
        UsageError: one is named twice.
    """
    files = [weights_file(paths, name).resolve() for name in names]
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice")
    short = [file.parent.name for file in files]
    return [
        Candidate(
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
        named = {Path(row["image_path"]).parts[-3:-2] for row in rows if row["usage"] == TRAINING}
        stated = "".join(named.pop()) if len(named) == 1 else None
    return None if stated is None else _NAMES.get(stated, stated)


# --- Scoring ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """Counts and (1 + R,) resampled metrics of a model on a dataset."""

    cell: Cell
    accuracy: Array
    macro_f1: Array


def score(paths: Paths, candidates: Sequence[Candidate], datasets: Sequence[str], device: torch.device) -> CrossDataset:
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
    schemes = list({candidate.model.scheme.name: candidate.model.scheme for candidate in candidates}.values())
    shared = shared_scheme(schemes)
    here = available(paths, schemes)
    wanted = list(datasets) or here
    if not wanted:
        raise EmoTorchError(f"no dataset in {paths.root}: run stages 1-2, or name a folder with --datasets")
    notes = _scheme_notes(candidates, shared)
    if not datasets:
        missing = [name for name in _NAMES.values() if name not in here]
        notes += [f"not here, so not scored: {', '.join(missing)}"] if missing else []
    trained_on = dict.fromkeys(candidate.trained_on for candidate in candidates)
    added = [name for name in trained_on if name in here and name not in wanted]
    notes += [f"added, because a model was trained on it: {name}" for name in added]
    named = _load_sets(paths, [*added, *wanted], schemes, shared)
    rows = []
    for candidate in candidates:
        reading = candidate.model.read_as(shared)
        scored = {
            name: _score_one(paths, candidate, reading, name, dataset, images, device)
            for name, (dataset, images) in named.items()
        }
        own = next((found for found in scored.values() if found.cell.own), None)
        rows.append([_with_drop(found, own) for found in scored.values()])
    for candidate, row in zip(candidates, rows, strict=True):
        if not any(cell.own for cell in row):
            known = f"{candidate.trained_on}, which is not here" if candidate.trained_on else "an unknown dataset"
            notes.append(f"{candidate.name} was trained on {known}: its drops are unknown")
    sets = {name: images for name, (_, images) in named.items()}
    return CrossDataset(candidates, list(named), shared.labels, rows, sets, notes, paths.is_synthetic)


def _scheme_notes(candidates: Sequence[Candidate], shared: LabelScheme) -> list[str]:
    schemes = {candidate.model.scheme.name: candidate.model.scheme for candidate in candidates}
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
    paths: Paths, candidate: Candidate, reading: Model, name: str, dataset: str, tested: TestSet, device: torch.device
) -> _Scored:
    known = TrainingImages.of(candidate.run)
    seen = _seen(paths, candidate, tested, known)
    images, sources = tested.images.part(~seen), tested.sources[~seen]
    chose = _seen(paths, candidate, TestSet(images, sources, {}, tested.scheme), _validating(candidate))
    size = len(reading.labels)
    if len(images.labels):
        predictions = predict(reading, images, device)
        record_scoring(candidate.run, dataset, predictions)
        rng = generator("cross dataset", SPLIT_SEED, candidate.name, name)
        cells = (images.labels * size + predictions.classes)[None]
        flat = resampled_counts(cells, size * size, np.unique(sources, return_inverse=True)[1], rng)[0]
        counts = flat.reshape(-1, size, size)
    else:
        counts = np.zeros((2, size, size))
    accuracy, macro_f1 = confusion.accuracy(counts), _macro_f1_of_present(counts)
    measured = counts[0].astype(np.int64)
    cell = Cell(
        candidate.name,
        name,
        dataset == candidate.trained_on or (dataset not in PARTS and name == candidate.trained_on not in PARTS),
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


def _validating(candidate: Candidate) -> TrainingImages | None:
    return TrainingImages.of(candidate.run, validation=True)


def _seen(paths: Paths, candidate: Candidate, tested: TestSet, known: TrainingImages | None) -> NDArray[np.bool_]:
    """(N,) the images that are among the known ones, or a variant or an exact twin of which is."""
    scheme = candidate.model.scheme
    # In another scheme's dataset folder the same images have other names.
    by_name = tested.scheme is not None and tested.scheme == scheme
    itself, twin = seen_in_training(tested.images, known, paths.for_scheme(scheme.name), by_name=by_name)
    return itself | twin


def _macro_f1_of_present(counts: Array) -> Array:
    """(…, K, K) counts to (…) percent, over the classes that have images; the others have an F1 of 0."""
    present = int((counts[0].sum(axis=1) > 0).sum())
    if not present:
        return np.full(len(counts), np.nan)
    return np.asarray(confusion.macro_f1(counts) * (counts.shape[-1] / present))


def _accuracy_interval(counts: Counts, resampled: Array) -> Difference:
    """Wilson's interval, which holds also where all is right; the bootstrap's by source where that is wider."""
    found = percentile_difference(resampled)
    low, high = wilson_interval(int(np.trace(counts)), int(counts.sum()))
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


_STEM = "cross_dataset"


_COLUMNS = (
    "model",
    "trained_on",
    "dataset",
    "own_dataset",
    "images",
    "left_out_seen",
    "seen_unknown",
    "chose_the_epoch",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "macro_f1",
    "macro_f1_low",
    "macro_f1_high",
    "accuracy_drop",
    "accuracy_drop_low",
    "accuracy_drop_high",
    "macro_f1_drop",
    "macro_f1_drop_low",
    "macro_f1_drop_high",
)


_UNKNOWN = Difference(math.nan, math.nan, math.nan)


_CHOSE = "†"


_DARK = 58  # percent from where the colour wants white letters


def write_cross_dataset(models: Path, found: CrossDataset) -> Path:
    """Writes `cross_dataset_<time>/` into a folder, whole or not at all; returns it."""
    with new_folder(models, _STEM) as new:
        write_text(new.prepared / "matrix.txt", describe(found) + "\n")
        write_csv(new.prepared / "matrix.csv", _COLUMNS, _rows(found))
        write_csv(new.prepared / "classes.csv", ("dataset", "class", "images", "compared"), _class_rows(found))
        _plot(new.prepared / "matrix.png", found)
        write_findings(new.prepared, _findings(found))
    return new.final


def _findings(found: CrossDataset) -> dict[str, object]:
    rows = [{name: None if v == "NaN" else v for name, v in zip(_COLUMNS, r, strict=True)} for r in _rows(found)]
    counts = {row[0].model: {cell.dataset: cell.counts.tolist() for cell in row} for row in found.cells}
    return {
        "labels": list(found.labels),
        "datasets": list(found.datasets),
        "notes": list(found.notes),
        "synthetic": found.synthetic,
        "cells": rows,
        "counts": counts,
        "left_out": {name: dict(tested.left_out) for name, tested in found.sets.items()},
        "pictures": {"matrix": "matrix.png"},
        "tables": {"matrix": "matrix.csv", "classes": "classes.csv", "text": "matrix.txt"},
    }


def _title(found: CrossDataset) -> str:
    synthetic = " (synthetic faces)" if found.synthetic else ""
    return f"Trained on one dataset, tested on others: {', '.join(found.labels)}{synthetic}"


# --- Text and tables ----------------------------------------------------------------------------------------


def describe(found: CrossDataset) -> str:
    """The matrix, and everything that was left out of it, for a terminal."""
    header = ("model", "trained on", "tested on", "images", "accuracy", "macro-F1", "drop", "macro-F1 drop", "left out")
    rows: list[Sequence[str]] = [header]
    for candidate, row in zip(found.candidates, found.cells, strict=True):
        for cell in row:
            own = ("own", "own") if cell.own else (_signed(cell.drop), _signed(cell.f1_drop))
            scores = (_interval(cell.accuracy), _interval(cell.macro_f1))
            images = f"{cell.images:,}{_CHOSE if cell.chose else ''}"
            left_out = "unknown" if cell.seen_unknown else f"{cell.seen:,}"
            rows.append((cell.model, candidate.trained_on or "?", cell.dataset, images, *scores, *own, left_out))
    table = text_table(rows, left=("model", "trained on", "tested on"))
    return "\n".join([_title(found), *found.notes, "", table, "", *_footnotes(found)])


def _footnotes(found: CrossDataset) -> Iterator[str]:
    for name, tested in found.sets.items():
        if tested.left_out:
            classes = ", ".join(f"{label} {count:,}" for label, count in tested.left_out.items())
            yield f"{name}: {sum(tested.left_out.values()):,} images of classes that not all share: {classes}"
    yield "left out: images that the model was trained on, or a variant or an exact twin of which"
    yield "percent, with 95% intervals; macro-F1 over the classes that a dataset has; drop: points below its own"
    if any(cell.chose for row in found.cells for cell in row):
        yield f"{_CHOSE} images that chose the model's epoch, to which they are not quite unseen: {_chose(found)}"


def _chose(found: CrossDataset) -> str:
    cells = (cell for row in found.cells for cell in row if cell.chose)
    return ", ".join(f"{cell.model} on {cell.dataset} {cell.chose:,}" for cell in cells)


def _interval(value: Difference) -> str:
    return "-" if math.isnan(value.value) else f"{value.value:.2f} ({value.low:.2f}–{value.high:.2f})"


def _signed(value: Difference | None) -> str:
    return "?" if value is None else f"{value.value:+.2f} ({value.low:+.2f} to {value.high:+.2f})"


def _rows(found: CrossDataset) -> Iterator[tuple[object, ...]]:
    for candidate, row in zip(found.candidates, found.cells, strict=True):
        for cell in row:
            values = (cell.accuracy, cell.macro_f1, cell.drop or _UNKNOWN, cell.f1_drop or _UNKNOWN)
            parts = (part for value in values for part in (value.value, value.low, value.high))
            figures = ("NaN" if math.isnan(part) else round(part, 4) for part in parts)
            seen = ("NaN" if cell.seen_unknown else cell.seen, cell.seen_unknown, cell.chose)
            yield (cell.model, candidate.trained_on or "", cell.dataset, cell.own, cell.images, *seen, *figures)


def _class_rows(found: CrossDataset) -> Iterator[tuple[object, ...]]:
    for name, tested in found.sets.items():
        counts = np.bincount(tested.images.labels, minlength=len(found.labels)).tolist()
        for label, count in zip(found.labels, counts, strict=True):
            yield name, label, count, True
        for label, count in tested.left_out.items():
            yield name, label, count, False


# --- Picture ------------------------------------------------------------------------------------------------


def _plot(path: Path, found: CrossDataset) -> Path:
    """Accuracy and macro-F1 side by side, on one colour scale."""
    rows, columns = len(found.candidates), len(found.datasets)
    names = [f"{candidate.name}\ntrained on {candidate.trained_on or '?'}" for candidate in found.candidates]
    longest = max(len(line) for name in names for line in name.split("\n"))
    width = max(2 * columns * 1.45 + longest * 0.085 + 1.6, 7.5)
    note = wrap(
        "orange: the dataset that the model was trained on, other images of it; drop: points below that; "
        f"{_CHOSE} some of the images chose the model's epoch",
        width,
        9,
    )
    figure = new_figure(width, rows * 1.15 + 1.6 + 0.17 * note.count("\n"), _title(found), compress=True)
    axes = figure.subplots(1, 2, sharey=True)
    image = _draw(axes[0], found, [[(c.accuracy, c.drop) for c in row] for row in found.cells], "Accuracy")
    _draw(axes[1], found, [[(c.macro_f1, c.f1_drop) for c in row] for row in found.cells], "Macro-F1")
    axes[0].set_yticks(range(rows), names, parse_math=False)
    bar = figure.colorbar(image, ax=list(axes), pad=0.02)
    bar.set_label("Percent")
    bar.outline.set_visible(False)
    figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    return save(figure, path)


def _draw(
    axes: Axes, found: CrossDataset, values: Sequence[Sequence[tuple[Difference, Difference | None]]], title: str
) -> AxesImage:
    scores = np.array([[score.value for score, _ in row] for row in values])
    colours = colormaps["Blues"].with_extremes(bad=PALE)
    image = axes.imshow(scores, cmap=colours, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(scores):
        cell = found.cells[row][column]
        ink = "white" if value > _DARK else "black"
        lines = _cell_lines(cell, *values[row][column])
        for place, (text, points) in enumerate(zip(lines, (12, 8, 8, 8), strict=False)):
            axes.text(column, row - 0.3 + 0.2 * place, text, ha="center", va="center", fontsize=points, color=ink)
        if cell.own:
            frame = Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=ORANGE, linewidth=3)
            axes.add_patch(frame)
    axes.set_xticks(range(len(found.datasets)), [f"on {name}" for name in found.datasets], parse_math=False)
    axes.set_title(title, fontsize=11)
    axes.set_xticks(np.arange(len(found.datasets) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(values) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


def _cell_lines(cell: Cell, score: Difference, drop: Difference | None) -> list[str]:
    if math.isnan(score.value):
        return ["–", "no image left"]
    fall = "own dataset" if cell.own else "drop unknown" if drop is None else f"drop {drop.value:+.1f}"
    images = f"n = {cell.images:,}{_CHOSE if cell.chose else ''}"
    return [f"{score.value:.1f}", f"{score.low:.1f}–{score.high:.1f}", fall, images]
