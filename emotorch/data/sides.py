"""Which images of a dataset train and which are held out: nobody, and no copy of a photo, on both sides.

A known dataset's official split stays whole, as others score by it. Where this project splits, a source is on one side:
all images of a person, where the dataset tells persons, and of equal pixels. Of data that nobody knows by name, the
near and mirrored copies are one source too, and a given split loses from its training side what shows held-out images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emotorch.data.copies import PhotoPairs, photo_pairs
from emotorch.data.likeness import EXACT, MIRRORED, NEAR
from emotorch.data.split import VALIDATION_SHARE, Indices, fold_numbers, group_sources, join_sources, validation_mask
from emotorch.datasets import DATASETS, FER, Dataset, find_dataset
from emotorch.errors import EmoTorchError, UsageError
from emotorch.recipes import DROP_COPIES, FER_FOLDS, KEEP_COPIES

if TYPE_CHECKING:
    from emotorch.data.selection import DatasetIndex

PERSON = "person"
_SEARCH_SHARE = 0.1


@dataclass(frozen=True)
class Shared:
    """Images of the training side of a split that show what is held out.

    Attributes:
        rows: Of the index.
        counts: How many of its images are `exact`, `mirrored` or `near` copies of held-out ones, or else show a
            `person` of theirs; each is counted once, by the first of these.
        kept: Whether they are trained on all the same.
    """

    rows: Indices
    counts: Mapping[str, int]
    kept: bool

    def describe(self) -> str:
        """For a person: how many, of which kind, and what becomes of them."""
        parts = [f"{number} {kind}" for kind, number in self.counts.items() if number and kind != PERSON]
        parts += [f"{self.counts[PERSON]} of the same people"] if self.counts[PERSON] else []
        done = "trained on all the same, and the run is leaky" if self.kept else "left out"
        return f"{len(self.rows)} training images show held-out photos or people, and are {done} ({', '.join(parts)})"

    def as_dict(self) -> dict[str, int | bool]:
        """For a run's record."""
        return {**self.counts, "kept": self.kept}


@dataclass(frozen=True)
class Sides:
    """The originals of a dataset that a run may draw from, as rows of its index.

    Attributes:
        training: Those that train.
        held_out: Those that validate.
        shared: Those of the training side that show what is held out; None where nobody looked for them.
    """

    training: Indices
    held_out: Indices
    shared: Shared | None = None

    def why_none_train(self, index: "DatasetIndex", train_on: str, label: str) -> str:
        """Why no image of a class trains, and what to do."""

        def has(rows: Indices) -> bool:
            return bool((index.labels[rows] == index.scheme.index(label)).any())

        if has(self.training):
            return "raise --fer or --fer-aug, in a sweep their ranges"
        if self.shared and has(self.shared.rows):
            return (
                "all that there are show what validates or tests, as copies or the same people; divide the images "
                "anew, or train on them with --keep-copies"
            )
        if count := np.count_nonzero((index.datasets == train_on) & (index.labels == index.scheme.index(label))):
            return f"all that {train_on} has of it, {count}, validate or test; divide the images anew"
        folder = index.paths.originals / train_on / label
        return f"{folder} has none; add some, or take a scheme (--scheme) of the classes that there are"


def split_sides(index: "DatasetIndex", train_on: str, fer_usage: str, copies: str) -> Sides:
    """Splits a dataset; see `emotorch.data.selection.select`, which has the same arguments."""
    dataset = find_dataset(train_on)
    training, held_out = _split(index, dataset, fer_usage)
    if copies != DROP_COPIES and dataset.name in DATASETS:
        return Sides(training, held_out)
    official = np.isin(index.usages, [*dataset.selecting, *dataset.tests]) & (index.datasets == train_on)
    unseen = np.union1d(held_out, np.setdiff1d(np.flatnonzero(official), training))
    reasons = _shared(index, training, unseen, photo_pairs(index, train_on))
    leaking, kept = np.any(list(reasons.values()), axis=0), copies == KEEP_COPIES
    counts = {reason: int(found.sum()) for reason, found in reasons.items()}
    return Sides(training if kept else training[~leaking], held_out, Shared(training[leaking], counts, kept))


def check_published(index: "DatasetIndex", train_on: str, fer_usage: str, copies: str) -> None:
    """Raises UsageError where the published split is not to be had."""
    if copies == DROP_COPIES:
        raise UsageError("--drop-copies: the published split has copies on both sides; leave one of the two out")
    if train_on != FER.name or fer_usage not in ("all", "training"):
        raise UsageError(
            f"the published split is of FER-2013, all rows or the Training rows: not of {train_on}, {fer_usage}"
        )
    try:
        index.check_augmented()
    except EmoTorchError as error:
        raise UsageError(f"the published split mixes images with their variants, and there are none: {error}") from None


def _shared(
    index: "DatasetIndex", training: Indices, unseen: Indices, pairs: PhotoPairs
) -> dict[str, NDArray[np.bool_]]:
    """(N,) which training images show what is unseen, by the first reason that holds."""
    hashes, persons = index.hashes[training], index.subjects[training]
    both_ways = np.concatenate([pairs.rows, pairs.rows[:, ::-1]])
    mirrored = np.tile(pairs.mirrored, 2)
    of_unseen = np.isin(index.hashes[both_ways[:, 0]], index.hashes[unseen])

    def copies(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.isin(hashes, index.hashes[both_ways[of_unseen & chosen, 1]])

    found = {
        EXACT: np.isin(hashes, index.hashes[unseen]),
        MIRRORED: copies(mirrored),
        NEAR: copies(~mirrored),
        PERSON: (persons != "") & np.isin(persons, index.subjects[unseen]),
    }
    earlier = np.zeros(len(training), np.bool_)
    reasons = {}
    for reason, images in found.items():
        reasons[reason] = images & ~earlier
        earlier |= images
    return reasons


def _split(index: "DatasetIndex", dataset: Dataset, fer_usage: str) -> tuple[Indices, Indices]:
    """The rows that train, and those that are held out to validate."""
    of_dataset = index.datasets == dataset.name
    if dataset is FER and fer_usage == "all":
        return _hold_out(index, np.flatnonzero(of_dataset), dataset)
    # Where no split is given the usage is empty, and every image may train.
    training = np.flatnonzero(of_dataset & np.isin(index.usages, ["", *dataset.training]))
    selecting = np.flatnonzero(of_dataset & np.isin(index.usages, list(dataset.selecting)))
    if dataset is FER and fer_usage == "training":
        return _hold_out(index, training, dataset)
    if dataset is FER and fer_usage == "search":
        return _hold_out(index, training, dataset, _SEARCH_SHARE)
    if dataset is FER and fer_usage in FER_FOLDS:
        folds = fold_numbers(_sources(index, training, dataset), index.labels[training], len(FER_FOLDS))
        held_out = folds == FER_FOLDS.index(fer_usage)
        return training[~held_out], training[held_out]
    return (training, selecting) if len(selecting) else _hold_out(index, training, dataset)


def _hold_out(
    index: "DatasetIndex", rows: Indices, dataset: Dataset, share: float = VALIDATION_SHARE
) -> tuple[Indices, Indices]:
    groups, labels = _sources(index, rows, dataset), index.labels[rows]
    held_out = validation_mask(groups, labels, share)
    if not _has_official_split(dataset):
        held_out = _with_whole_sources(groups, labels, held_out, share)
    return rows[~held_out], rows[held_out]


def _with_whole_sources(
    groups: Indices, labels: Indices, held_out: NDArray[np.bool_], share: float
) -> NDArray[np.bool_]:
    """Repairs a hold-out that large sources, as persons are, have spoiled.

    If nothing is held out, because every source exceeds the share, the smallest source that reaches it, and is at most
    half of all images, is held out; if there is none, the largest that is at most half. If all images of a class are
    held out, the source of the first of them trains.
    """
    sizes = np.bincount(groups)
    if not held_out.any() and len(sizes) > 1:
        small = np.flatnonzero(sizes <= len(groups) / 2)
        enough = small[sizes[small] >= share * len(groups)]
        chosen = enough[np.argmin(sizes[enough])] if len(enough) else small[np.argmax(sizes[small])]
        held_out = groups == chosen
    for label in np.unique(labels):
        members = labels == label
        if held_out[members].all():
            held_out = held_out & (groups != groups[np.argmax(members)])
    return held_out


def _sources(index: "DatasetIndex", rows: Indices, dataset: Dataset) -> Indices:
    """(N,) equal for images that must be on one side: of one person, of equal pixels, or of one photo.

    For one photo, which need not have equal pixels, the images of no known person are searched, where the dataset has
    no official split. Portraits of two people in one laboratory can be much alike.
    """
    hashes, persons = index.hashes[rows], index.subjects[rows]
    keys, unknown = np.where(persons == "", hashes, persons), persons == ""
    pairs = np.empty((0, 2), np.int64)
    if unknown.any() and not _has_official_split(dataset):
        pairs = _places(photo_pairs(index, dataset.name).rows, index.hashes, hashes)
        pairs = pairs[unknown[pairs].all(axis=1)]
    if unknown.all() and not len(pairs):
        return group_sources(hashes)
    return join_sources(keys, hashes, pairs)


def _places(pairs: Indices, all_hashes: NDArray[np.str_], hashes: NDArray[np.str_]) -> Indices:
    """(M, 2) where among some images' hashes the two of each pair are found; pairs of others are left out."""
    known, first = np.unique(hashes, return_index=True)
    found = np.searchsorted(known, all_hashes[pairs]).clip(max=len(known) - 1)
    here = (known[found] == all_hashes[pairs]).all(axis=1)
    places: Indices = first[found[here]]
    return places


def _has_official_split(dataset: Dataset) -> bool:
    return dataset.name in DATASETS and bool(dataset.training)
