"""Scoring a model on the images that its own image_usage.csv names, each part under its own title.

The images are found by the hash of their source's pixels among the datasets that are here now, whatever folder of
whatever root they were in when the model was trained; by file name only where no hash is stated.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch.data.dataset import COMMAND as STAGE_2
from emotorch.data.dataset import MANIFEST_COLUMNS
from emotorch.data.images import Pixels, hash_pixels, read_face
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.variants import COMMAND as STAGE_3
from emotorch.data.variants import original_of, variant_file
from emotorch.datasets import CKP, FER, PARTS, dataset_title
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation, EvaluationSet, NothingUnseenError, evaluate, predict
from emotorch.files import hash_file, read_stamp
from emotorch.labels import LabelScheme
from emotorch.metrics.calibration import assess
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.runs.usage import CKP_VALIDATION, FER_VALIDATION, TRAINING, read_image_usage
from emotorch.training.checkpoints import Model

_VALIDATION = "_validation"


_DATASETS, _AUGMENTED = "FER-Original-Dataset", "-Augmented"  # how the folders of stages 2 and 3 are called


# What stands in for validation images that cannot be told: names of PARTS.
_OFFICIAL = [name for name, part in PARTS.items() if part.dataset is FER and part.usage]


def evaluate_usage(paths: Paths, run: Run, model: Model, device: torch.device) -> list[Evaluation]:
    """An evaluation for each part of image_usage.csv that has images: held out, CK+, training.

    Without image_usage.csv, or when none of FER's validation images that it names is here, FER-2013's official test
    images stand in, and the lines say so.

    Raises:
        EmoTorchError: none of the images is here, or one is damaged.
    """
    rows = read_image_usage(run)
    if rows is None:
        reason = f"{run.name} has no image_usage.csv: which images it was validated on is unknown"
        instead, _ = _stand_in(paths, run, model, device, [*_OFFICIAL, CKP.key], reason)
        if not instead:
            raise EmoTorchError(f"{reason}, and there are no official test images in their place: run stages 1-2")
        return instead
    trained_on = {_source_of(row) for row in rows if row["usage"] == TRAINING}
    evaluations: list[Evaluation] = []
    missing: list[str] = []
    for part in _parts(rows, trained_on, _Finder(paths, model.scheme), model.scheme):
        if part.images is not None:
            evaluations.append(_score(run, model, part, device, synthetic=paths.is_synthetic))
        elif part.named:
            missing.append(f"none of the {part.named} images of {part.title} is here: not scored")
            if part.usage == FER_VALIDATION:
                instead, seen = _stand_in(paths, run, model, device, _OFFICIAL, missing[-1])
                evaluations += instead
                missing += seen
        elif part.usage == CKP_VALIDATION:
            missing.append("the run had no CK+ images: no CK+ score")
    if not evaluations:
        raise EmoTorchError(f"none of the {len(rows)} images of {run.name} is in {paths.root}: run stages 1-3 there")
    evaluations[-1] = replace(evaluations[-1], lines=[*evaluations[-1].lines, *missing])
    return evaluations


def evaluate_validation(paths: Paths, run: Run, model: Model, device: torch.device) -> list[Evaluation]:
    """The same for the validation parts alone; empty where none of their images is here."""
    rows = read_image_usage(run) or []
    trained_on = {_source_of(row) for row in rows if row["usage"] == TRAINING}
    validating = [row for row in rows if row["usage"] != TRAINING]
    parts = _parts(validating, trained_on, _Finder(paths, model.scheme), model.scheme)
    return [_score(run, model, part, device, synthetic=paths.is_synthetic) for part in parts if part.images is not None]


# --- The parts of image_usage.csv ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """The images of one usage.

    Attributes:
        usage: As image_usage.csv calls it.
        named: How many images it names.
        images: Those that are here; None when none is. Their hashes are their sources', or names where none is stated.
        shared: (N,) which of these have their source in training too: variants of one original, or exact twins.
        by_name: How many of these are known by their file names alone.
    """

    usage: str
    named: int
    images: EvaluationSet | None
    shared: NDArray[np.bool_]
    by_name: int

    @property
    def title(self) -> str:
        return _name_and_title(self.usage)[1]


def _parts(rows: Sequence[dict[str, str]], trained_on: Set[str], finder: "_Finder", scheme: LabelScheme) -> list[_Part]:
    return [
        _read(usage, [row for row in rows if row["usage"] == usage], trained_on, finder, scheme)
        for usage in _usages(rows)
    ]


def _source_of(row: Mapping[str, str]) -> str:
    """Equal for the variants of one original: the hash of its pixels, or its name where that is unknown."""
    return row.get("source_hash") or original_of(row["image_path"])


def _usages(rows: Sequence[dict[str, str]]) -> list[str]:
    """What to score, in order: FER's and CK+'s validation images, then other datasets', then training's."""
    others = {row["usage"] for row in rows if row["usage"].endswith(_VALIDATION)} - {FER_VALIDATION, CKP_VALIDATION}
    return [FER_VALIDATION, CKP_VALIDATION, *sorted(others), TRAINING]


def _name_and_title(usage: str) -> tuple[str, str]:
    if usage == TRAINING:
        return TRAINING, "training images (trained on: no test of anything)"
    dataset = usage.removesuffix(_VALIDATION)
    held_out = "" if usage == CKP_VALIDATION else " (held out)"
    return f"{dataset}_val", f"{dataset_title(dataset)} validation{held_out}"


def _read(
    usage: str, rows: Sequence[dict[str, str]], trained_on: Set[str], finder: "_Finder", scheme: LabelScheme
) -> _Part:
    files, pixels, labels, sources, by_name = [], [], [], [], 0
    for row in rows:
        if row["emotion"] not in scheme.labels:
            raise EmoTorchError(f"image_usage.csv names the class {row['emotion']!r}, which {scheme.name} has not")
        stated = row.get("source_hash") or ""
        found = finder.find(row["image_path"], stated)
        if found is None:
            continue
        by_name += not stated
        files.append(found[0])
        pixels.append(found[1])
        labels.append(scheme.index(row["emotion"]))
        sources.append(_source_of(row))
    shared = np.array([source in trained_on for source in sources], dtype=bool)
    if not files:
        return _Part(usage, len(rows), None, shared, 0)
    name = _name_and_title(usage)[0]
    images = EvaluationSet(name, files, np.stack(pixels), np.array(labels), np.array(sources))
    return _Part(usage, len(rows), images, shared, by_name)


# --- Scoring ------------------------------------------------------------------------------------------------


def _score(run: Run, model: Model, part: _Part, device: torch.device, *, synthetic: bool) -> Evaluation:
    images = part.images
    if images is None:
        raise ValueError(f"{part.usage}: no image to score")
    predictions = predict(model, images, device)
    title = f"{run.name}: {part.title}{' (synthetic faces)' if synthetic else ''}"
    lines = [f"{title.replace(': ', ' on ', 1)}: {predictions.line()}"]
    unmatched = part.named - len(images.files)
    if unmatched:
        lines.append(f"  {unmatched} more are named in image_usage.csv, but are not here or not the same pictures")
    if part.by_name:
        lines.append(f"  {part.by_name} are known by their file names alone: image_usage.csv states no hash of them")
    if part.usage == TRAINING:
        return Evaluation(images, predictions, title, lines, None)
    if part.shared.any():
        without = predict(model, images.part(~part.shared), device)
        lines.append(f"  {int(part.shared.sum())} share their source with a training image; without: {without.line()}")
    fitted_on = np.ones(len(images.files), dtype=bool)  # the temperature is fitted on all that validates
    reliability = assess(predictions.outputs, images.labels, images.hashes, model.temperature, fitted_on)
    return Evaluation(images, predictions, title, [*lines, f"  {reliability.line()}"], reliability)


def _stand_in(
    paths: Paths, run: Run, model: Model, device: torch.device, parts: Sequence[str], reason: str
) -> tuple[list[Evaluation], list[str]]:
    """Whole datasets in place of a run's own validation images, less what is known to be trained on; and of which
    nothing is left then."""
    paths = paths.for_scheme(model.scheme.name)
    evaluations: list[Evaluation] = []
    seen: list[str] = []
    if not paths.originals.is_dir():
        return evaluations, seen
    index = DatasetIndex.load(paths, model.scheme)
    synthetic = " (synthetic faces)" if paths.is_synthetic else ""
    for name in parts:
        part = PARTS[name]
        if not len(index.originals_of(part.dataset.name, part.usage)):
            continue
        try:
            evaluation = evaluate(paths, run, model, name, device)
        except NothingUnseenError as error:
            seen.append(str(error))
            continue
        said = f"  {part.title} stands in for its validation images: {reason}"
        lines = [evaluation.lines[0], said, *(f"  {line}" for line in evaluation.lines[1:])]
        evaluations.append(replace(evaluation, title=f"{run.name}: {part.title} (stands in){synthetic}", lines=lines))
    return evaluations, seen


# --- Finding the images -------------------------------------------------------------------------------------


class _Finder:
    """Finds the images that a run used among the datasets below a root, the model's scheme's first."""

    def __init__(self, paths: Paths, scheme: LabelScheme) -> None:
        self._root = paths.root
        own = paths.for_scheme(scheme.name).originals.name
        manifests = paths.root.glob(f"{_DATASETS}*/{MANIFEST}")
        folders = sorted((path.parent.name for path in manifests), key=lambda name: (name != own, name))
        self._augmented = {folder for folder in folders if self._has_its_variants(folder)}
        # (folder, file) by the hash of the pixels.
        self._files: dict[str, list[tuple[str, str]]] = {}
        for folder in folders:
            for row in read_manifest(paths.root / folder, MANIFEST_COLUMNS, STAGE_2):
                self._files.setdefault(row["hash"], []).append((folder, row["file"]))

    def _has_its_variants(self, folder: str) -> bool:
        augmented = self._root / f"{folder}{_AUGMENTED}"
        if not augmented.is_dir():
            return False
        inputs: str = read_stamp(augmented, STAGE_3)["inputs"]
        return inputs == hash_file(self._root / folder / MANIFEST)

    def find(self, recorded: str, source: str) -> tuple[str, Pixels] | None:
        """An image's file below the root, and its pixels; None where it is not here, or is another picture.

        Args:
            recorded: Where it was when the run used it.
            source: The hash of its source's pixels; empty where that is unknown.
        """
        parts = recorded.replace("\\", "/").split("/")
        start = next((place for place, part in enumerate(parts) if part.startswith(_DATASETS)), 0)
        below = parts[start:]
        if not source:
            return self._read("/".join(below), "")
        number, _, operation = PurePosixPath(below[-1]).stem.partition("_")
        original = (below[0].removesuffix(_AUGMENTED), "/".join((*below[1:-1], f"{number}.png")))
        # Of equal pictures the one that the run used, if it is still called so.
        for folder, file in sorted(self._files.get(source, ()), key=lambda place: place != original):
            if not operation:
                found = self._read(f"{folder}/{file}", source)
            elif folder in self._augmented:
                found = self._read(f"{folder}{_AUGMENTED}/{variant_file(file, operation)}", "")
            else:
                found = None
            if found is not None:
                return found
        return None

    def _read(self, file: str, pixels_hash: str) -> tuple[str, Pixels] | None:
        path = self._root / file
        if not path.is_file():
            return None
        pixels = read_face(path)
        if pixels_hash and hash_pixels(pixels) != pixels_hash:
            return None
        return file, pixels
