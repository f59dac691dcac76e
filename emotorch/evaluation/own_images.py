"""Scoring a model on the images that its own image_usage.csv names, each part under its own title.

The images are found by the hash of their source's pixels among the datasets that are here now, whatever folder of
whatever root they were in when the model was trained; by file name only where no hash is stated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from emotorch.data.dataset import MANIFEST_COLUMNS, STORED_HASH
from emotorch.data.images import PixelForm, Pixels, bring_to, hash_pixels, read_stored
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.variants import is_variant, operation_of, original_of, variant_file
from emotorch.datasets import CKP, FER, FER_TEST, PARTS, Dataset
from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.evaluation.evaluate import (
    CHOSE_THE_EPOCH,
    Evaluation,
    NothingUnseenError,
    all_chose_the_epoch,
    evaluate,
    predict,
    score,
)
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.seen import seen_by_name
from emotorch.evaluation.sets import EvaluationSet, sources_of
from emotorch.files import hash_file, read_stamp
from emotorch.labels import LabelScheme
from emotorch.paths import AUGMENTED, ORIGINALS, STAGE_2, STAGE_3, Paths, mark_synthetic
from emotorch.runs.folder import validation_title
from emotorch.runs.usage import (
    CKP_VALIDATION,
    FER_VALIDATION,
    TRAINING,
    VALIDATION_SUFFIX,
    TrainingImages,
    fer_images,
    read_image_usage,
)
from emotorch.training.checkpoints import Model

_Row = Mapping[str, str]


def evaluate_usage(loaded: LoadedRun) -> list[Evaluation]:
    """An evaluation for each part of image_usage.csv that has images: held out, CK+, training.

    FER-2013 and CK+ stand side by side wherever both are here: of one that the run was not validated on, all is scored
    that it was not trained on. Without image_usage.csv, or when none of FER's validation images that it names is here,
    FER-2013's official test images stand in. The lines say so.

    Raises:
        EmoTorchError: none of the images is here, or one is damaged.
    """
    name = loaded.run.name
    rows = read_image_usage(loaded.run)
    if rows is None:
        reason = f"{name} has no image_usage.csv: which images it was validated on is unknown"
        evaluations = [scored for dataset in (FER, CKP) for scored in _whole(loaded, dataset, reason)[0]]
        if not evaluations:
            where = found_elsewhere(loaded.paths.originals)
            raise EmoTorchError(
                f"{reason}, and there are no official test images in their place: run stages 1-2{where}"
            )
        return evaluations
    evaluations, missing, own = [], [], 0
    finder = _Finder(loaded.paths, loaded.model.scheme)
    for usage in _usages(rows):
        evaluation = _evaluate_part(loaded, usage, rows, finder)
        named = sum(row["usage"] == usage for row in rows)
        if evaluation is not None:
            evaluations.append(evaluation)
            own += 1
            continue
        reason = f"none of the {named} images of {_title(usage)} is here: not scored" if named else ""
        if reason:
            missing.append(reason)
        if usage == FER_VALIDATION or (usage == CKP_VALIDATION and not named):
            instead, why_not = _whole(loaded, FER if usage == FER_VALIDATION else CKP, reason)
            evaluations += instead
            missing += why_not
            own += len(instead) if named else 0
    if not own:
        where = f"run stages 1-3 there{found_elsewhere(loaded.paths.originals)}"
        raise EmoTorchError(f"none of the {len(rows)} images of {name} is in {loaded.paths.root}: {where}")
    evaluations[-1] = replace(evaluations[-1], lines=[*evaluations[-1].lines, *missing])
    return evaluations


def evaluate_validation(loaded: LoadedRun) -> list[Evaluation]:
    """The same for the validation parts alone; empty where none of their images is here."""
    rows = read_image_usage(loaded.run) or []
    finder = _Finder(loaded.paths, loaded.model.scheme)
    usages = [usage for usage in _usages(rows) if usage != TRAINING]
    parts = [_evaluate_part(loaded, usage, rows, finder) for usage in usages]
    return [part for part in parts if part is not None]


def held_out(loaded: LoadedRun, dataset: str | None) -> Evaluation:
    """What a run was not trained on, of a dataset (see `evaluate`) or of its own validation images.

    Of the run's own, FER-2013's count where it has any, else the first of another dataset. Variants are left out:
    they are changed already, and say little beyond their originals.

    Raises:
        EmoTorchError: no such dataset, or no image of it is left; or the run's own are unknown or not here.
    """
    if dataset is not None:
        return evaluate(loaded, dataset)
    parts = evaluate_validation(loaded)
    if not parts:
        remedy = f"name a DATASET, fer-public for example{found_elsewhere(loaded.paths.originals)}"
        raise EmoTorchError(f"{loaded.run.name} names no validation image that is here: {remedy}")
    return _originals(loaded, parts[0])


def _originals(loaded: LoadedRun, scored: Evaluation) -> Evaluation:
    # A run of the published code may have been trained on variants of its own validation images.
    variant = np.array([is_variant(file) for file in scored.images.files])
    known = TrainingImages.of(loaded.run)
    if known is not None:
        known = known.in_copy(fer_images(loaded.paths.for_scheme(loaded.model.scheme.name)))
    trained_on = ~variant & seen_by_name(scored.images, known)[0]
    chosen = ~variant & ~trained_on
    if chosen.all():
        return scored
    if not chosen.any():
        raise EmoTorchError(f"{scored.title}: no original that was not trained on; name a DATASET, fer-public say")
    images = scored.images.part(chosen)
    predictions = predict(loaded.model, images, loaded.device)
    alone = f"{scored.title}, originals alone: {predictions.line()} {CHOSE_THE_EPOCH}"
    lines = [f"{alone}; {int(variant.sum())} variants are left out", all_chose_the_epoch(predictions.images)]
    if trained_on.any():
        lines.append(f"{int(trained_on.sum())} originals are left out, because it was trained on variants of them")
    return Evaluation(images, predictions, scored.title, lines)


# --- The parts of image_usage.csv ---------------------------------------------------------------------------


def _usages(rows: Sequence[_Row]) -> list[str]:
    """What to score, in order: FER's and CK+'s validation images, then other datasets', then training's."""
    validation = {row["usage"] for row in rows if row["usage"].endswith(VALIDATION_SUFFIX)}
    others = validation - {FER_VALIDATION, CKP_VALIDATION}
    return [FER_VALIDATION, CKP_VALIDATION, *sorted(others), TRAINING]


def _title(usage: str) -> str:
    if usage == TRAINING:
        return "training images (trained on: no test of anything)"
    title = validation_title(usage.removesuffix(VALIDATION_SUFFIX))
    return title if usage == CKP_VALIDATION else f"{title} (held out)"


def _source_of(row: _Row) -> str:
    """Equal for the variants of one original: the hash of its pixels, or its name where that is unknown."""
    return row.get("source_hash") or original_of(row["image_path"])


def _evaluate_part(loaded: LoadedRun, usage: str, rows: Sequence[_Row], finder: "_Finder") -> Evaluation | None:
    """Scores the images of one usage; None where none of them is here."""
    used = [row for row in rows if row["usage"] == usage]
    images, by_name = _read(usage, used, finder, loaded.model)
    if images is None:
        return None
    notes = []
    if unmatched := len(used) - len(images.files):
        notes.append(f"{unmatched} more are named in image_usage.csv, but are not here or not the same pictures")
    if by_name:
        notes.append(f"{by_name} are known by their file names alone: image_usage.csv states no hash of them")
    title = mark_synthetic(f"{loaded.run.name} on {_title(usage)}", loaded.paths.is_synthetic)
    if usage == TRAINING:
        predictions = predict(loaded.model, images, loaded.device)
        return _indented(Evaluation(images, predictions, title, [f"{title}: {predictions.line()}", *notes]))
    trained_on = {_source_of(row) for row in rows if row["usage"] == TRAINING}
    return _indented(
        score(
            loaded,
            images,
            title,
            notes=notes,
            shared=np.array([source in trained_on for source in images.hashes.tolist()], dtype=bool),
            shared_how="share their source with a training image",
            sources=sources_of(loaded.paths, images, loaded.model.scheme),
            validated=np.ones(len(images.files), dtype=bool),
        )
    )


def _indented(evaluation: Evaluation) -> Evaluation:
    """With what is said of a score below it, for one list of several."""
    first, *others = evaluation.lines
    return replace(evaluation, lines=[first, *(f"  {line}" for line in others)])


def _read(usage: str, rows: Sequence[_Row], finder: "_Finder", model: Model) -> tuple[EvaluationSet | None, int]:
    """The images that are here, with their sources' hashes in place of their own; and how many of them are known by
    their file names alone."""
    scheme, form = model.scheme, model.form.pixels
    files, pixels, labels, sources, by_name = [], [], [], [], 0
    for row in rows:
        if row["emotion"] not in scheme.labels:
            raise EmoTorchError(
                f"image_usage.csv names the class {row['emotion']!r}, which scheme {scheme.name} does not have"
            )
        stated = row.get("source_hash") or ""
        found = finder.find(row["image_path"], stated)
        if found is None:
            continue
        by_name += not stated
        files.append(found[0])
        pixels.append(bring_to(found[1], form))
        labels.append(scheme.index(row["emotion"]))
        sources.append(_source_of(row))
    if not files:
        return None, 0
    name = TRAINING if usage == TRAINING else f"{usage.removesuffix(VALIDATION_SUFFIX)}_val"

    def reread(form: PixelForm) -> Pixels:
        return np.stack([bring_to(read_stored(finder.root / file), form) for file in files])

    return EvaluationSet(name, files, np.stack(pixels), np.array(labels), np.array(sources), reread), by_name


def _whole(loaded: LoadedRun, dataset: Dataset, stands_in: str) -> tuple[list[Evaluation], list[str]]:
    """A dataset less what the run was trained on, as far as is known, and why a part of it is not scored; `stands_in`
    says why it stands in for validation images of the run, where that has any of it."""
    scheme, evaluations, missing = loaded.model.scheme, [], []
    here = loaded.paths.for_scheme(scheme.name).originals.is_dir()
    index = DatasetIndex.load(loaded.paths, scheme) if here else None
    parts = [dataset.key]
    if dataset is FER and stands_in:
        # Its Training rows are what runs train on.
        parts = [name for name, part in PARTS.items() if part.dataset is FER and len(part.usages) == 1]
        if index and not any(len(index.originals_of(FER.name, *PARTS[name].usages)) for name in parts):
            parts = [FER_TEST]
    for name in parts:
        part = PARTS[name]
        if index is None or not len(index.originals_of(dataset.name, *part.usages)):
            if not stands_in:
                missing.append(f"the run had no {part.title} images, and none are here: no {part.title} score")
            continue
        try:
            evaluation = evaluate(loaded, name)
        except NothingUnseenError as error:
            missing.append(str(error))
            continue
        said = "the run was not validated on any of it"
        if stands_in:
            said = f"{part.title} stands in for its validation images: {stands_in}"
        title = f"{loaded.run.name} on {part.title} ({'stands in' if stands_in else 'unseen'})"
        marked = mark_synthetic(title, loaded.paths.is_synthetic)
        first, *others = evaluation.lines
        first = first.replace(evaluation.title, marked, 1)
        evaluations.append(_indented(replace(evaluation, title=marked, lines=[first, said, *others])))
    return evaluations, missing


# --- Finding the images -------------------------------------------------------------------------------------


class _Finder:
    """Finds the images that a run used among the datasets below a root, the model's scheme's first."""

    def __init__(self, paths: Paths, scheme: LabelScheme) -> None:
        self.root = paths.root
        own = paths.for_scheme(scheme.name).originals.name
        manifests = paths.root.glob(f"{ORIGINALS}*/{MANIFEST}")
        folders = sorted((path.parent.name for path in manifests), key=lambda name: (name != own, name))
        # Those whose variants are here.
        self._augmented = set()
        # (folder, file) by the hash of the pixels.
        self._files: dict[str, list[tuple[str, str]]] = {}
        # What a file's own pixels must hash to, where it is not 48×48 grey.
        self._stored_hashes: dict[str, str] = {}
        for folder in folders:
            augmented = self.root / f"{folder}{AUGMENTED}"
            made_from = read_stamp(augmented, STAGE_3)["inputs"] if augmented.is_dir() else None
            if made_from == hash_file(self.root / folder / MANIFEST):
                self._augmented.add(folder)
            for row in read_manifest(paths.root / folder, MANIFEST_COLUMNS, STAGE_2):
                self._files.setdefault(row["hash"], []).append((folder, row["file"]))
                if STORED_HASH in row:
                    self._stored_hashes[f"{folder}/{row['file']}"] = row[STORED_HASH]

    def find(self, recorded: str, source: str) -> tuple[str, Pixels] | None:
        """An image's file below the root, and what it holds; None where it is not here, or is another picture.

        Args:
            recorded: Where it was when the run used it.
            source: The hash of its source's pixels; empty where that is unknown.
        """
        parts = recorded.replace("\\", "/").split("/")
        start = next((place for place, part in enumerate(parts) if part.startswith(ORIGINALS)), 0)
        below = parts[start:]
        if not source:
            return self._read("/".join(below), "")
        operation = operation_of(recorded)
        original = (below[0].removesuffix(AUGMENTED), original_of(recorded))
        # Of equal pictures the one that the run used, if it is still called so.
        for folder, file in sorted(self._files.get(source, ()), key=lambda place: place != original):
            if not operation:
                found = self._read(f"{folder}/{file}", self._stored_hashes.get(f"{folder}/{file}", source))
            elif folder in self._augmented:
                found = self._read(f"{folder}{AUGMENTED}/{variant_file(file, operation)}", "")
            else:
                found = None
            if found is not None:
                return found
        return None

    def _read(self, file: str, pixels_hash: str) -> tuple[str, Pixels] | None:
        path = self.root / file
        if not path.is_file():
            return None
        pixels = read_stored(path)
        return None if pixels_hash and hash_pixels(pixels) != pixels_hash else (file, pixels)
