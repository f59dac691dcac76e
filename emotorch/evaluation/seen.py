"""Which images a run has seen: it was trained on them, or they chose its epoch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from emotorch.data.dataset import MANIFEST_COLUMNS
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.variants import original_of
from emotorch.errors import EmoTorchError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.sets import EvaluationSet, recorded, variants_prefix
from emotorch.paths import STAGE_2, Paths
from emotorch.runs.folder import find_run, weights_file
from emotorch.runs.usage import TrainingImages, fer_images
from emotorch.training.checkpoints import Model, load_model


def seen_by(
    model: Model, images: EvaluationSet, known: TrainingImages | None, paths: Paths
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`seen_in_training` for a model, and images of a dataset below a root."""
    # In another scheme's dataset the same images have other names.
    by_name = images.read_from == (model.trained_as or model.scheme)
    return seen_in_training(images, known, paths.for_scheme(model.scheme.name), by_name=by_name)


def seen_in_training(
    images: EvaluationSet, known: TrainingImages | None, paths: Paths, *, by_name: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images were trained on: themselves, a variant, or others of a person who is shown in such images (a part of
    whose pictures may have been drawn); and which others have a twin that was."""
    if known is not None:
        read_from = paths.for_scheme(images.read_from.name) if images.read_from else paths
        known = known.in_copy(fer_images(read_from), by_name=by_name)
    itself, twins = _seen_themselves(images, known, paths, by_name=by_name)
    itself = itself | _of_the_same_people(images, itself | twins, paths)
    return itself, twins & ~itself


def _seen_themselves(
    images: EvaluationSet, known: TrainingImages | None, paths: Paths, *, by_name: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if by_name or known is None:
        return seen_by_name(images, known)

    def is_known(row: Mapping[str, str]) -> bool:
        return row["hash"] in known.hashes or known.has(row["file"], row["hash"])

    # A folder's names mean nothing: only the pixels tell. But a variant has other pixels than its source, and what
    # stage 2 has shrunk, or cut out of a photo, others than its file.
    variants, files = variants_prefix(paths), {file for _, file in _recorded_files(paths, is_known)}
    seen = [
        pixels in known.hashes or file in files or (file.startswith(variants) and original_of(file) in known.files)
        for file, pixels in zip(images.files, images.hashes.tolist(), strict=True)
    ]
    return np.array(seen, dtype=bool), np.zeros(len(seen), dtype=bool)


def seen_by_name(images: EvaluationSet, known: TrainingImages | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The same for images that are called as the run knew them; none where nothing is known."""
    if known is None:
        none = np.zeros(len(images.labels), dtype=bool)
        return none, none
    hashes = images.hashes.tolist()
    itself = np.array([known.has(file, value) for file, value in zip(images.files, hashes, strict=True)], dtype=bool)
    return itself, ~itself & np.array([value in known.hashes for value in hashes], dtype=bool)


def _of_the_same_people(images: EvaluationSet, seen: NDArray[np.bool_], paths: Paths) -> NDArray[np.bool_]:
    """Which images show a person whom seen ones show, where stage 2's dataset tells persons."""
    if not seen.any():
        return seen
    with_person = _recorded_files(paths, lambda row: bool(row["subject"]))
    person = {file: (row["dataset"], row["subject"]) for row, file in with_person}
    shown = [person.get(file) for file in images.files]
    known = {one for one, was in zip(shown, seen.tolist(), strict=True) if was and one is not None}
    return np.array([one in known for one in shown], dtype=bool)


def _recorded_files(
    paths: Paths, chosen: Callable[[Mapping[str, str]], bool]
) -> Iterator[tuple[Mapping[str, str], str]]:
    """Chosen rows of stage 2's manifest, each with its file and with the one that it was made from, as `recorded`."""
    if not (paths.originals / MANIFEST).is_file():
        return
    folders: dict[PurePosixPath, str] = {}
    below = paths.relative(paths.originals)
    for row in filter(chosen, read_manifest(paths.originals, MANIFEST_COLUMNS, STAGE_2)):
        for file in (PurePosixPath(below, row["file"]), PurePosixPath(row["source"])):
            if file.parent not in folders:
                folders[file.parent] = recorded(paths.root / file.parent, paths)
            yield row, f"{folders[file.parent]}/{file.name}"


def chose_the_epoch(loaded: LoadedRun, images: EvaluationSet) -> NDArray[np.bool_] | None:
    """(N,) which images chose a run's epoch, or are twins of such; None where that is unknown."""
    validating = TrainingImages.of(loaded.run, validation=True)
    return None if validating is None else np.logical_or(*seen_by(loaded.model, images, validating, loaded.paths))


def load_unseen(loaded: LoadedRun, name: str, dataset: str, images: EvaluationSet) -> LoadedRun:
    """Another run to predict the images of a dataset beside a scored one, read as the same scheme.

    Raises:
        EmoTorchError: it is damaged, or trained on some of the images, as far as is known.
        UsageError: there is no such model, or it cannot be read as the same scheme.
    """
    weights = weights_file(loaded.paths, name)
    model = load_model(weights).read_as(loaded.model.scheme)
    other = replace(loaded, run=find_run(loaded.paths, name), weights=weights, model=model)
    seen, _ = seen_by(model, images, TrainingImages.stated_by(other.run), loaded.paths)
    if seen.any():
        raise EmoTorchError(
            f"{other.run.name} was trained on {seen.sum()} of the {len(seen)} images that {dataset} is scored on"
        )
    return other
