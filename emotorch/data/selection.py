"""Which images a run trains on and is scored on: the leak-free split, thinned by the factors."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.cache import ChangedError, LazyArray, PixelCache
from emotorch.data.copies import PhotoPairs
from emotorch.data.dataset import MANIFEST_COLUMNS, SIZE_COLUMNS, VOTES_COLUMN
from emotorch.data.ferplus import NO_MAJORITY, Counts, distributions, majorities, parse_counts
from emotorch.data.images import GREY_FACE, SIZE, PixelForm, Pixels
from emotorch.data.operations import OPERATIONS
from emotorch.data.sides import Shared, check_published, split_sides
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.split import Indices, draw, validation_mask
from emotorch.data.variants import variant_file
from emotorch.datasets import CKP, FER, find_dataset
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import STAMP_NAME, hash_file, read_stamp
from emotorch.labels import FERPLUS, LabelScheme, command
from emotorch.paths import STAGE_2, STAGE_3, Paths
from emotorch.recipes import BY_SOURCE, FER_USAGE_CHOICES, MAJORITY, PUBLISHED_SPLIT, SUITED_COPIES

_OPERATION_NAMES = tuple(OPERATIONS)


@dataclass(frozen=True)
class Factors:
    """The part (0 to 1) of each kind of image that a run draws; the published defaults."""

    fer: float = 1.0
    fer_aug: float = 0.01
    ckp: float = 1.0
    ckp_aug: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 1.0:
                raise UsageError(f"factor {field.name} is {value}, outside 0-1")


@dataclass(frozen=True)
class DatasetIndex:
    """The manifest of a dataset folder, as arrays of one entry per original image.

    Attributes:
        fingerprint: SHA-256 of the manifest.
        files: Below the dataset folder: `FER/anger/1.png`.
        datasets: By name: `FER`, …
        labels: Index into the scheme's labels.
        hashes: Of the image as 48×48 grey.
        usages: FER-2013's official usage or another dataset's split; empty where there is none.
        subjects: The person, where the dataset tells (CK+), or empty.
        sides: The longer side of the files, pixels.
        channels: 1 of grey files, 3 of colour.
        stored_hashes: Of the files' own pixels.
        packed: (N, …) pixels in some form by operation, on a machine that has these in memory and no files; else None.
        pairs: The photos of the dataset that trains, on such a machine, where it needs to know them.
        votes: (N, 10) FER+'s votes, 0 of images of other datasets; None without scheme ferplus.
    """

    paths: Paths
    scheme: LabelScheme
    fingerprint: str
    files: NDArray[np.str_]
    datasets: NDArray[np.str_]
    labels: Indices
    hashes: NDArray[np.str_]
    usages: NDArray[np.str_]
    subjects: NDArray[np.str_]
    sides: Indices
    channels: Indices
    stored_hashes: NDArray[np.str_]
    packed: Mapping[int, Pixels] | None = None
    pairs: PhotoPairs | None = None
    votes: Counts | None = None

    @classmethod
    def load(cls, paths: Paths, scheme: LabelScheme) -> "DatasetIndex":
        """Raises EmoTorchError when stage 2 has not run, or ran for another scheme."""
        paths, stage = paths.for_scheme(scheme.name), command(STAGE_2, scheme.name)
        stamp = read_stamp(paths.originals, stage)
        try:
            made_for = LabelScheme.from_dict({**stamp, "name": scheme.name})
        except EmoTorchError as error:
            raise EmoTorchError(f"{paths.originals / STAMP_NAME}: {error}; run {stage} --force") from None
        # It states nothing about datasets that were not there then.
        same = all(made_for.sources[name] == scheme.sources[name] for name in stamp["sources"])
        if made_for.labels != scheme.labels or not same:
            raise EmoTorchError(
                f"{paths.originals} was made for other classes than scheme {scheme.name} has; run {stage}"
            )
        return cls.listed(paths.originals, paths, scheme)

    @classmethod
    def listed(cls, folder: Path, paths: Paths, scheme: LabelScheme) -> "DatasetIndex":
        """The dataset that a folder's manifest lists, of files below these paths.

        Raises:
            EmoTorchError: there is no manifest in it, or it is damaged.
        """
        paths, stage = paths.for_scheme(scheme.name), command(STAGE_2, scheme.name)
        rows = read_manifest(folder, MANIFEST_COLUMNS, stage)

        def column(name: str) -> NDArray[np.str_]:
            return np.array([row[name] for row in rows], dtype=np.str_)

        hashes = column("hash")
        sides, channels, stored_hashes = np.full(len(rows), SIZE), np.ones(len(rows), np.int64), hashes
        columns = rows[0] if rows else {}
        try:
            if SIZE_COLUMNS[0] in columns:  # else all files are 48×48 grey
                width, height, channels = (column(name).astype(np.int64) for name in SIZE_COLUMNS[:3])
                sides, stored_hashes = np.maximum(width, height), column(SIZE_COLUMNS[3])
            votes = parse_counts(column(VOTES_COLUMN).tolist()) if VOTES_COLUMN in columns else None
        except ValueError as error:
            raise EmoTorchError(f"{folder / MANIFEST}: {error}; run {stage} --force") from None
        return cls(
            paths=paths,
            scheme=scheme,
            fingerprint=hash_file(folder / MANIFEST),
            files=column("file"),
            datasets=column("dataset"),
            labels=np.array([scheme.index(row["emotion"]) for row in rows], dtype=np.int64),
            hashes=hashes,
            usages=column("usage"),
            subjects=column("subject"),
            sides=sides,
            channels=channels,
            stored_hashes=stored_hashes,
            votes=votes,
        )

    @property
    def cache_folder(self) -> Path:
        """The folder of what is computed once for all runs on this very dataset."""
        return self.paths.cache / self.fingerprint[:16]

    def has(self, dataset: str) -> bool:
        return bool((self.datasets == dataset).any())

    def form_for(self, image_size: int, channels: int, dataset: str) -> PixelForm:
        """The form in which images are read for a network of this input that is trained on a dataset.

        It is what the largest and most colourful of the dataset's files give, and no more than the network takes: so
        nothing is enlarged that cache and augmentation would then carry, and every run on the dataset reads alike.
        Smaller than 48×48 no network reads; it shrinks them itself.
        """
        rows = self.datasets == dataset
        largest = int(self.sides[rows].max(initial=0)) or SIZE
        has_colour = bool((self.channels[rows] == 3).any())
        return PixelForm(min(max(image_size, SIZE), largest), 3 if channels == 3 and has_colour else 1)

    def originals_of(self, dataset: str, *usages: str) -> "ImageSet":
        """All original images of a dataset, or of some of its official usages."""
        chosen = self.datasets == dataset
        if usages:
            chosen &= np.isin(self.usages, usages)
        return self.originals(self.with_label(np.flatnonzero(chosen)))

    def with_label(self, rows: Indices) -> Indices:
        """The rows that have a label: without a majority of FER+'s votes an image may only train, by the votes."""
        if self.votes is None:
            return rows
        votes = self.votes[rows]
        chosen: Indices = rows[~votes.any(axis=1) | (majorities(votes) != NO_MAJORITY)]
        return chosen

    def originals(self, rows: Indices) -> "ImageSet":
        return ImageSet(self, rows, np.zeros_like(rows))

    def check_augmented(self) -> None:
        """Raises EmoTorchError when stage 3 has not run on this very dataset."""
        stage = command(STAGE_3, self.scheme.name)
        stamp = read_stamp(self.paths.augmented, stage)
        if stamp["inputs"] != self.fingerprint:
            raise EmoTorchError(f"{self.paths.augmented} was made from another dataset: run {stage} again")


@dataclass(frozen=True)
class ImageSet:
    """Some originals and variants.

    Attributes:
        index: Of the dataset they are from.
        rows: (N,) which original each is or comes from.
        operations: (N,) 0 for the original, k for the variant by the k-th operation.
    """

    index: DatasetIndex
    rows: Indices
    operations: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, chosen: NDArray[np.bool_]) -> "ImageSet":
        return ImageSet(self.index, self.rows[chosen], self.operations[chosen])

    @property
    def labels(self) -> Indices:
        return self.index.labels[self.rows]

    @property
    def vote_shares(self) -> NDArray[np.float32] | None:
        """(N, K) FER+'s votes as distributions over the labels; None in a dataset without votes."""
        return None if self.index.votes is None else distributions(self.index.votes[self.rows])

    @property
    def hashes(self) -> NDArray[np.str_]:
        """Hashes of the sources: a variant has its original's."""
        return self.index.hashes[self.rows]

    @property
    def usages(self) -> NDArray[np.str_]:
        return self.index.usages[self.rows]

    @cached_property
    def files(self) -> list[str]:
        """Relative to the root, with forward slashes."""
        originals, augmented = (
            self.index.paths.relative(folder) for folder in (self.index.paths.originals, self.index.paths.augmented)
        )
        sources = self.index.files[self.rows].tolist()
        return [
            f"{augmented}/{variant_file(file, _OPERATION_NAMES[operation - 1])}" if operation else f"{originals}/{file}"
            for file, operation in zip(sources, self.operations.tolist(), strict=True)
        ]

    def class_counts(self) -> list[int]:
        return np.bincount(self.labels, minlength=len(self.index.scheme.labels)).tolist()  # type: ignore[no-any-return]

    def read(self, form: PixelForm = GREY_FACE) -> Pixels:
        """The (N, …) pixels in a form, as the caller's own; see `lazy` for what is raised."""
        return self.lazy(form)[:]

    def lazy(self, form: PixelForm = GREY_FACE) -> LazyArray[Pixels]:
        """The (N, …) pixels in a form, where this machine's runs share them.

        Raises:
            EmoTorchError: a file is missing, damaged, or no longer what the manifest tells of.
        """
        index = self.index
        if index.packed is not None:
            return LazyArray(self._unpacked(index.packed, form), np.arange(len(self)))

        def expected(place: int) -> str:
            return "" if self.operations[place] else str(index.stored_hashes[self.rows[place]])

        files = [index.paths.root / file for file in self.files]
        try:
            return _cache(index, form).share(files, self.operations * len(index.files) + self.rows, expected)
        except ChangedError as error:
            raise EmoTorchError(f"{error}; run {command(STAGE_2, index.scheme.name)} --force") from None

    def _unpacked(self, packed: Mapping[int, Pixels], form: PixelForm) -> Pixels:
        pixels = np.empty((len(self), *form.shape), np.uint8)
        for operation in np.unique(self.operations).tolist():
            if packed[operation].shape[1:] != form.shape:
                raise EmoTorchError(f"images came to this node in another form than {form}; use --engine local")
            chosen = self.operations == operation
            pixels[chosen] = packed[operation][self.rows[chosen]]
        return pixels


def _cache(index: DatasetIndex, form: PixelForm) -> PixelCache:
    folder = index.cache_folder
    if not folder.exists() and index.paths.cache.exists():
        # Other caches are of datasets that have been made anew since.
        for outdated in index.paths.cache.iterdir():
            shutil.rmtree(outdated, ignore_errors=True)
    slots = len(index.files) * (1 + len(_OPERATION_NAMES))
    return PixelCache(folder, slots=slots, dense=len(index.files), form=form)


@dataclass(frozen=True)
class Selection:
    """The sets of one run.

    Attributes:
        training: What is trained on.
        validation: What decides over the best epoch, by the name that files use: `fer`, `ckp`, …
        reference: Originals that no factor touches, the same for every run of the same split, by name.
        shared: Training images that show what is held out; None where nobody looked for them.
    """

    training: ImageSet
    validation: Mapping[str, ImageSet]
    reference: Mapping[str, ImageSet]
    shared: Shared | None = None

    def sets(self) -> dict[str, ImageSet]:
        """All of them: `training`, `fer`, `ckp`, `fer_reference`, …"""
        references = {f"{name}_reference": images for name, images in self.reference.items()}
        return {"training": self.training, **self.validation, **references}


def select(
    index: DatasetIndex,
    factors: Factors,
    *,
    train_on: str = FER.name,
    fer_usage: str = "all",
    split: str = BY_SOURCE,
    copies: str = SUITED_COPIES,
    targets: str = MAJORITY,
    seed: int,
) -> Selection:
    """Splits a dataset by source and thins each side by the factors.

    FER-2013 is split 85/15, of all or of its Training rows; CK+ then validates too, as published. For a search
    among recipes a tenth of the Training rows is held out, or one of five folds, and nothing else takes part. With the
    official split, and in every other dataset, the given splits count: PublicTest, or a folder's `val`, selects,
    and test images take no part. Where none is given, 15% are held out, whole persons where they are known; what else
    is kept apart, `emotorch.data.sides` says.

    The published split holds out 15% of what the factors have drawn, image by image: variants of an image and its
    copies are on both sides, as in the published baseline. No held-out FER original is then unseen, so that there is
    no reference set of FER.

    Args:
        factors: How much of each kind to draw.
        train_on: The name of a dataset or of a folder.
        fer_usage: `all` of FER-2013, only its `training` rows, its `official` split, the `search` one, or a fold.
        split: By source, or as published.
        copies: Whether training images that show held-out ones are left out: see `Recipe.copies`.
        targets: Of FER+'s images, those without a majority train by `votes` alone: see `Recipe.targets`.
        seed: Of the drawing; the split has its own, fixed one.

    Raises:
        EmoTorchError: a class has no training image, or stage 3 has not run and a factor needs it.
        UsageError: an unknown `fer_usage` or `train_on`; or the published split of other data than FER-2013, of
            official usages or folds, without the variants of stage 3, or without copies.
    """
    if fer_usage not in FER_USAGE_CHOICES:
        raise UsageError(f"FER usage {fer_usage!r} is none of {', '.join(FER_USAGE_CHOICES)}")
    if not index.has(train_on):
        known = ", ".join(np.unique(index.datasets).tolist())
        raise UsageError(f"there are no {train_on} images in {index.paths.originals}: it has {known}")
    if split == PUBLISHED_SPLIT:
        check_published(index, train_on, fer_usage, copies)
    sides = split_sides(index, train_on, fer_usage, copies)
    training_rows, held_out_rows = sides.training, index.with_label(sides.held_out)
    if targets == MAJORITY:
        training_rows = index.with_label(training_rows)
    elif train_on != FER.name or index.votes is None:
        raise UsageError(f"targets={targets}: only FER-2013 with --scheme {FERPLUS} has votes")
    ckp_rows = index.originals_of(CKP.name).rows
    name = find_dataset(train_on).key

    thin = partial(_thin, index, seed)
    if split == PUBLISHED_SPLIT:
        training_rows = np.union1d(training_rows, held_out_rows)
        drawn = thin("training", training_rows, factors.fer, factors.fer_aug)
        held_out = validation_mask(np.arange(len(drawn)), drawn.labels)
        training, validation = drawn.part(~held_out), {name: drawn.part(held_out)}
        reference = {}
    else:
        training = thin("training", training_rows, factors.fer, factors.fer_aug)
        validation = {name: thin(f"{name}_validation", held_out_rows, factors.fer, factors.fer_aug)}
        reference = {name: index.originals(held_out_rows)}
    if train_on != CKP.name:
        reference[CKP.key] = index.originals(ckp_rows)
        if train_on == FER.name and fer_usage in ("all", "training") and len(ckp_rows):
            validation[CKP.key] = thin("ckp_validation", ckp_rows, factors.ckp, factors.ckp_aug)
    selection = Selection(
        training,
        {name: images for name, images in validation.items() if len(images)},
        {name: images for name, images in reference.items() if len(images)},
        sides.shared,
    )
    for label, count in zip(index.scheme.labels, selection.training.class_counts(), strict=True):
        if count == 0:
            raise EmoTorchError(
                f"the training set has no image of class {label!r}: {sides.why_none_train(index, train_on, label)}"
            )
    if any((images.operations > 0).any() for images in selection.sets().values()):
        index.check_augmented()
    return selection


def _thin(index: DatasetIndex, seed: int, purpose: str, rows: Indices, originals: float, variants: float) -> ImageSet:
    """Draws the same share of every class, so that the factors do not change the balance."""
    chosen_rows, chosen_operations = [], []
    for label, name in enumerate(index.scheme.labels):
        members = rows[index.labels[rows] == label]
        picked = draw(len(members), originals, seed, purpose, name, "originals")
        drawn = draw(len(members) * len(OPERATIONS), variants, seed, purpose, name, "variants")
        chosen_rows += [members[picked], members[drawn // len(OPERATIONS)]]
        chosen_operations += [np.zeros_like(picked), drawn % len(OPERATIONS) + 1]
    return ImageSet(index, np.concatenate(chosen_rows), np.concatenate(chosen_operations))
