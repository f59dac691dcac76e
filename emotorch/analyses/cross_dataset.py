"""Models trained on one dataset, scored on others: every model on every dataset, on the classes that all share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from emotorch.analyses.candidates import Candidate
from emotorch.analyses.shared_classes import TestSet, available, fer_classes, load_test_set, shared_scheme
from emotorch.data.split import SPLIT_SEED
from emotorch.datasets import DATASETS, PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import CHOSE_THE_EPOCH, predict
from emotorch.evaluation.official_tests import record_scoring
from emotorch.evaluation.seen import seen_by
from emotorch.evaluation.sets import as_option
from emotorch.figures.canvas import new_figure, save, wrap
from emotorch.figures.colours import BLACK, ORANGE, PALE
from emotorch.files import new_folder, write_text
from emotorch.labels import LabelScheme
from emotorch.metrics import confusion
from emotorch.metrics.confusion import Counts
from emotorch.metrics.intervals import Array, Estimate, wilson_interval
from emotorch.metrics.paired import percentile_interval, resampled_confusions
from emotorch.paths import mark_synthetic
from emotorch.runs.findings import write_findings
from emotorch.runs.usage import TrainingImages
from emotorch.seeding import generator
from emotorch.tables import Table, estimates, to_text, with_interval, write_table
from emotorch.training.checkpoints import Model


@dataclass(frozen=True)
class CrossDataset:
    """Every model on every dataset.

    Attributes:
        cells: Each model on each dataset, all of the first model before the second: `model`, `trained_on` (empty where
            the run does not tell), `dataset`, `own_dataset` (the model was trained on other images of it), `images`
            that were scored, `left_out_seen` (those that the model was trained on, or a variant or an exact twin of
            which; NaN with `seen_unknown`), `chose_the_epoch` (how many of those scored did: to it they are not quite
            unseen), and in percent with the ends of 95% intervals: `accuracy`, `accuracy_low`, `accuracy_high`;
            `macro_f1` over the classes that the dataset has; `accuracy_drop` and `macro_f1_drop`, the points by which
            the score is below that on the model's own dataset. NaN where no image is left or the own is unknown.
        counts: By model and dataset, (K, K) images; rows are true.
        notes: What was reconciled, added or is missing, in words.
    """

    labels: Sequence[str]
    cells: Sequence[Mapping[str, Any]]
    counts: Mapping[str, Mapping[str, Counts]]
    sets: Mapping[str, TestSet]
    notes: Sequence[str]
    synthetic: bool

    @property
    def title(self) -> str:
        return mark_synthetic(f"Trained on one dataset, tested on others: {', '.join(self.labels)}", self.synthetic)


# --- Scoring ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """A model on a dataset: what `CrossDataset` says of them, and by metric the (1 + R,) resampled values."""

    row: dict[str, Any]
    counts: Counts
    resampled: Mapping[str, Array]


def score(candidates: Sequence[Candidate], datasets: Sequence[str]) -> CrossDataset:
    """Scores every model on every dataset, and on the one that it was trained on.

    Images that a model was trained on, or a variant or an exact twin of which, are left out of its score.

    Args:
        datasets: As `evaluate.load_set` takes them. Those that models were trained on are added where they are here.

    Raises:
        EmoTorchError: a dataset is not here or damaged, or the models have no two classes in common.
        UsageError: there is no such dataset or folder, or one is named twice.
    """
    paths = candidates[0].loaded.paths
    schemes = list({candidate.model.scheme.name: candidate.model.scheme for candidate in candidates}.values())
    shared = shared_scheme(schemes)
    here = available(paths, schemes)
    wanted = list(map(as_option, datasets)) or here
    if not wanted:
        raise EmoTorchError(f"no dataset in {paths.root}: run stages 1-2, or name a folder with --datasets")
    notes = _scheme_notes(schemes, shared)
    if not datasets:
        missing = [dataset.key for dataset in DATASETS.values() if dataset.key not in here]
        notes += [f"not here, so not scored: {', '.join(missing)}"] if missing else []
    trained_on = dict.fromkeys(candidate.trained_on for candidate in candidates)
    added = [name for name in trained_on if name in here and name not in wanted]
    notes += [f"added, because a model was trained on it: {name}" for name in added]
    named: dict[str, tuple[str, TestSet]] = {}
    for dataset in [*added, *wanted]:
        tested = load_test_set(paths, dataset, schemes, shared)
        if tested.images.name in named:
            raise UsageError(f"two datasets are called {tested.images.name}: rename a folder, or name each once")
        named[tested.images.name] = (dataset, tested)
    rows = []
    counts = {}
    for candidate in candidates:
        reading = candidate.model.read_as(shared)
        scored = {name: _score(candidate, reading, dataset, tested) for name, (dataset, tested) in named.items()}
        own = next((found for found in scored.values() if found.row["own_dataset"]), None)
        rows += [found.row | _drops(found, own) for found in scored.values()]
        counts[candidate.name] = {name: found.counts for name, found in scored.items()}
        if own is None:
            elsewhere = f"{candidate.trained_on}, which is not among the datasets scored"
            known = elsewhere if candidate.trained_on else "an unknown dataset"
            notes.append(f"{candidate.name} was trained on {known}: its drops are unknown")
    sets = {name: images for name, (_, images) in named.items()}
    return CrossDataset(shared.labels, rows, counts, sets, notes, paths.is_synthetic)


def _scheme_notes(schemes: Sequence[LabelScheme], shared: LabelScheme) -> list[str]:
    if len(schemes) == 1:
        return []
    notes = [f"compared on the {len(shared.labels)} classes that all models share: {', '.join(shared.labels)}"]
    known = {frozenset(classes) for classes in fer_classes(shared).values()}
    for scheme in schemes:
        classes = fer_classes(scheme)
        lacking = [label for label in scheme.labels if classes.get(label) not in known]
        if lacking:
            left_out = f"{scheme.name}'s {', '.join(lacking)}"
            notes.append(f"without a counterpart in all, dropped before the prediction: {left_out}")
    return notes


def _score(candidate: Candidate, reading: Model, dataset: str, tested: TestSet) -> _Scored:
    name, paths = tested.images.name, candidate.loaded.paths
    known, validating = (TrainingImages.of(candidate.run, validation=validation) for validation in (False, True))
    seen = np.logical_or(*seen_by(candidate.model, tested.images, known, paths))
    images, sources = tested.images.part(~seen), tested.sources[~seen]
    chose = np.logical_or(*seen_by(candidate.model, images, validating, paths))
    size = len(reading.labels)
    resampled_counts = np.zeros((2, size, size))
    if len(images.labels):
        predictions = predict(reading, images, candidate.loaded.device)
        record_scoring(candidate.loaded, dataset, images, predictions.counts)
        rng = generator("cross dataset", SPLIT_SEED, candidate.name, name)
        numbered = np.unique(sources, return_inverse=True)[1]
        resampled_counts = resampled_confusions(images.labels, predictions.classes[None], size, numbered, rng)[0]
    counts = resampled_counts[0].astype(np.int64)
    resampled = {
        "accuracy": confusion.accuracy(resampled_counts),
        "macro_f1": _macro_f1_of_present(resampled_counts),
    }
    trained_on = candidate.trained_on
    own = dataset == trained_on or (dataset not in PARTS and name == trained_on not in PARTS)
    row = {
        "model": candidate.name,
        "trained_on": trained_on or "",
        "dataset": name,
        "own_dataset": own,
        "images": len(images.labels),
        "left_out_seen": math.nan if known is None else int(seen.sum()),
        "seen_unknown": known is None,
        "chose_the_epoch": int(chose.sum()),
        **_columns("accuracy", _accuracy_interval(counts, resampled["accuracy"])),
        **_columns("macro_f1", percentile_interval(resampled["macro_f1"])),
    }
    return _Scored(row, counts, resampled)


def _columns(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _macro_f1_of_present(counts: Array) -> Array:
    """(…, K, K) counts to (…) percent, over the classes that have images; the others have an F1 of 0."""
    present = int((counts[0].sum(axis=1) > 0).sum())
    if not present:
        return np.full(len(counts), np.nan)
    return np.asarray(confusion.macro_f1(counts) * (counts.shape[-1] / present))


def _accuracy_interval(counts: Counts, resampled: Array) -> Estimate:
    """Wilson's interval, which holds also where all is right; the bootstrap's by source where that is wider."""
    found = percentile_interval(resampled)
    low, high = wilson_interval(int(np.trace(counts)), int(counts.sum()))
    return Estimate(found.value, min(low, found.low), max(high, found.high))


def _drops(scored: _Scored, own: _Scored | None) -> dict[str, float]:
    """What a score loses against that on the model's own dataset.

    Sources are resampled for each apart: where the datasets share images, as fer and fer-public do, the interval is
    somewhat too wide.
    """
    drops: dict[str, float] = {}
    for metric, values in scored.resampled.items():
        change = np.full_like(values, np.nan)
        if own is not None and not scored.row["own_dataset"] and scored.row["images"] and own.row["images"]:
            change = own.resampled[metric] - values
        drops |= _columns(f"{metric}_drop", percentile_interval(change))
    return drops


# --- Tables -------------------------------------------------------------------------------------------------


def write_cross_dataset(models: Path, found: CrossDataset) -> Path:
    """Writes `cross_dataset_<time>/` into a folder, whole or not at all; returns it."""
    with new_folder(models, "cross_dataset") as new:
        cells = [
            {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
            for row in found.cells
        ]
        findings = {
            "labels": list(found.labels),
            "datasets": list(found.sets),
            "notes": list(found.notes),
            "synthetic": found.synthetic,
            "cells": cells,
            "counts": {
                model: {dataset: counts.tolist() for dataset, counts in of_model.items()}
                for model, of_model in found.counts.items()
            },
            "left_out": {name: dict(tested.left_out) for name, tested in found.sets.items()},
            "pictures": {"matrix": "matrix.png"},
            "tables": {"matrix": "matrix.csv", "classes": "classes.csv", "text": "matrix.txt"},
        }
        write_text(new.prepared / "matrix.txt", describe(found) + "\n")
        write_table(new.prepared / "matrix.csv", Table(pd.DataFrame(cells), {"left_out_seen": "{:.0f}"}))
        write_table(new.prepared / "classes.csv", _class_table(found))
        _plot(new.prepared / "matrix.png", found)
        write_findings(new.prepared, findings)
    return new.final


def _class_table(found: CrossDataset) -> Table:
    """How many images each dataset has of each class, those that not all models share too."""
    rows = []
    for name, tested in found.sets.items():
        counts = np.bincount(tested.images.labels, minlength=len(found.labels)).tolist()
        rows += [(name, label, count, True) for label, count in zip(found.labels, counts, strict=True)]
        rows += [(name, label, count, False) for label, count in tested.left_out.items()]
    return Table(pd.DataFrame(rows, columns=["dataset", "class", "images", "compared"]))


def describe(found: CrossDataset) -> str:
    """The matrix, and everything that was left out of it, for a terminal."""
    table = to_text(_table(pd.DataFrame(found.cells)))
    return "\n".join([found.title, *found.notes, "", table, "", *_footnotes(found)])


def _table(cells: pd.DataFrame) -> Table:
    def with_ends(name: str) -> "pd.Series[Any]":
        return estimates(cells, name, f"{name}_low", f"{name}_high")

    def write_drop(value: str | Sequence[float]) -> str:
        return value if isinstance(value, str) else with_interval(2, signed=True)(value)

    frame = pd.DataFrame(
        {
            "model": cells["model"],
            "trained on": cells["trained_on"].replace("", None),
            "tested on": cells["dataset"],
            "images": [
                f"{images:,}{CHOSE_THE_EPOCH if chose else ''}"
                for images, chose in zip(cells["images"], cells["chose_the_epoch"], strict=True)
            ],
            "accuracy": with_ends("accuracy"),
            "macro-F1": with_ends("macro_f1"),
            "drop": with_ends("accuracy_drop").mask(cells["own_dataset"], "own"),
            "macro-F1 drop": with_ends("macro_f1_drop").mask(cells["own_dataset"], "own"),
            "left out": cells["left_out_seen"],
        }
    )
    scores = dict.fromkeys(("accuracy", "macro-F1"), with_interval(2))
    drops = dict.fromkeys(("drop", "macro-F1 drop"), write_drop)
    return Table(frame, {"images": "{}", "left out": "{:,.0f}", **scores, **drops})


def _footnotes(found: CrossDataset) -> Iterator[str]:
    for name, tested in found.sets.items():
        if tested.left_out:
            classes = ", ".join(f"{label} {count:,}" for label, count in tested.left_out.items())
            yield f"{name}: {sum(tested.left_out.values()):,} images of classes that not all share: {classes}"
    yield "left out: images that the model was trained on, or a variant or an exact twin of which"
    yield "percent, with 95% intervals; macro-F1 over the classes that a dataset has; drop: points below its own"
    chose = [cell for cell in found.cells if cell["chose_the_epoch"]]
    if chose:
        numbers = ", ".join(f"{cell['model']} on {cell['dataset']} {cell['chose_the_epoch']:,}" for cell in chose)
        yield f"{CHOSE_THE_EPOCH} images that chose the model's epoch, to which they are not quite unseen: {numbers}"


# --- Figure -------------------------------------------------------------------------------------------------


def _plot(path: Path, found: CrossDataset) -> None:
    """Accuracy and macro-F1 side by side, on one colour scale."""
    columns = len(found.sets)
    models = found.cells[::columns]
    names = [f"{cell['model']}\ntrained on {cell['trained_on'] or '?'}" for cell in models]
    longest = max(len(line) for name in names for line in name.split("\n"))
    width = max(2 * columns * 1.45 + longest * 0.085 + 1.6, 7.5)
    note = wrap(
        "orange: the dataset that the model was trained on, other images of it; drop: points below that; "
        f"{CHOSE_THE_EPOCH} some of the images chose the model's epoch",
        width,
        9,
    )
    figure = new_figure(width, len(models) * 1.15 + 1.6 + 0.17 * note.count("\n"), found.title, compress=True)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric, title in zip(panels, ("accuracy", "macro_f1"), ("Accuracy", "Macro-F1"), strict=True):
        _draw(axes, found, metric)
        axes.set_title(title, fontsize=11)
    panels[0].set_yticklabels(names, rotation=0, parse_math=False)
    bar = figure.colorbar(panels[0].collections[0], ax=list(panels), pad=0.02)
    bar.set_label("Percent")
    bar.outline.set_visible(False)
    figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    save(figure, path)


def _draw(axes: Axes, found: CrossDataset, metric: str) -> None:
    columns = len(found.sets)
    scores = np.array([cell[metric] for cell in found.cells]).reshape(-1, columns)
    axes.set_facecolor(PALE)  # of a cell without a score
    look = {"annot_kws": {"fontsize": 12, "va": "bottom"}, "linewidths": 3, "linecolor": "white", "cbar": False}
    sns.heatmap(scores, vmin=0, vmax=100, cmap="Blues", annot=True, fmt=".1f", ax=axes, **look)
    numbers = iter(list(axes.texts))
    for place, cell in enumerate(found.cells):
        row, column = divmod(place, columns)
        ink = BLACK
        if not math.isnan(cell[metric]):
            number = next(numbers)
            number.set_y(row + 0.36)
            ink = str(number.get_color())  # which can be read on the cell's colour
        details = _details(cell, metric)
        axes.text(column + 0.5, row + 0.42, details, ha="center", va="top", fontsize=8, color=ink, linespacing=1.5)
        if cell["own_dataset"]:
            frame = Rectangle((column + 0.03, row + 0.04), 0.94, 0.92, fill=False, edgecolor=ORANGE, linewidth=3)
            axes.add_patch(frame)
    axes.set_xticklabels([f"on {name}" for name in found.sets], parse_math=False)
    axes.tick_params(length=0)


def _details(cell: Mapping[str, Any], metric: str) -> str:
    if math.isnan(cell[metric]):
        return "no image left"
    drop = cell[f"{metric}_drop"]
    fall = "own dataset" if cell["own_dataset"] else "drop unknown" if math.isnan(drop) else f"drop {drop:+.1f}"
    images = f"n = {cell['images']:,}{CHOSE_THE_EPOCH if cell['chose_the_epoch'] else ''}"
    return f"{cell[f'{metric}_low']:.1f}–{cell[f'{metric}_high']:.1f}\n{fall}\n{images}"
