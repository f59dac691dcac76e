"""Which images a run trains on and is scored on: the leak-free split, thinned by the factors."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emotorch.data.augmentations import OPERATIONS
from emotorch.data.augmented import COMMAND as STAGE_3
from emotorch.data.augmented import variant_file
from emotorch.data.cache import PixelCache
from emotorch.data.dataset import COMMAND as STAGE_2
from emotorch.data.dataset import MANIFEST_COLUMNS
from emotorch.data.images import Pixels, hash_pixels
from emotorch.data.manifest import NAME as MANIFEST
from emotorch.data.manifest import read_manifest
from emotorch.data.split import Indices, draw, group_sources, validation_mask
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import hash_file, read_stamp
from emotorch.labels import LabelScheme
from emotorch.paths import Paths

_OPERATION_NAMES = tuple(OPERATIONS)
_SLOTS_PER_IMAGE = 1 + len(_OPERATION_NAMES)
FER_USAGE_CHOICES = ("all", "training")


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
        datasets: `FER`, `CKP` or `RAF`.
        labels: Index into the scheme's labels.
        hashes: Of the pixels.
        usages: FER-2013's official usage or RAF-DB's split; empty for CK+.
    """

    paths: Paths
    scheme: LabelScheme
    fingerprint: str
    files: NDArray[np.str_]
    datasets: NDArray[np.str_]
    labels: Indices
    hashes: NDArray[np.str_]
    usages: NDArray[np.str_]

    @classmethod
    def load(cls, paths: Paths, scheme: LabelScheme) -> "DatasetIndex":
        """Raises EmoTorchError when stage 2 has not run, or ran for another scheme."""
        stamp = read_stamp(paths.originals, STAGE_2)
        if stamp["labels"] != list(scheme.labels):
            raise EmoTorchError(
                f"{paths.originals} has the classes {', '.join(stamp['labels'])}, not those of scheme "
                f"{scheme.name}; run {STAGE_2} --scheme {scheme.name}"
            )
        rows = read_manifest(paths.originals, MANIFEST_COLUMNS, STAGE_2)

        def column(name: str) -> NDArray[np.str_]:
            return np.array([row[name] for row in rows], dtype=np.str_)

        return cls(
            paths=paths,
            scheme=scheme,
            fingerprint=hash_file(paths.originals / MANIFEST),
            files=column("file"),
            datasets=column("dataset"),
            labels=np.array([scheme.index(row["emotion"]) for row in rows], dtype=np.int64),
            hashes=column("hash"),
            usages=column("usage"),
        )

    def has(self, dataset: str) -> bool:
        return bool((self.datasets == dataset).any())

    def originals_of(self, dataset: str, usage: str | None = None) -> "ImageSet":
        """All original images of a dataset, or of one of its official usages."""
        chosen = self.datasets == dataset
        if usage is not None:
            chosen &= self.usages == usage
        rows = np.flatnonzero(chosen)
        return ImageSet(self, rows, np.zeros_like(rows))

    def check_augmented(self) -> None:
        """Raises EmoTorchError when stage 3 has not run on this very dataset."""
        stamp = read_stamp(self.paths.augmented, STAGE_3)
        if stamp["inputs"] != self.fingerprint:
            raise EmoTorchError(f"{self.paths.augmented} was made from another dataset: run {STAGE_3} again")


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

    @property
    def labels(self) -> Indices:
        return self.index.labels[self.rows]

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

    def read(self) -> Pixels:
        """The (N, 48, 48) pixels.

        Raises:
            EmoTorchError: a file is missing, damaged, or no longer what the manifest tells of.
        """
        root = self.index.paths.root
        pixels = _cache(self.index).read(
            [root / file for file in self.files], self.rows * _SLOTS_PER_IMAGE + self.operations
        )
        for position in np.flatnonzero(self.operations == 0):
            if hash_pixels(pixels[position]) != self.index.hashes[self.rows[position]]:
                file = root / self.files[position]
                raise EmoTorchError(f"{file}: changed since it was written; run {STAGE_2} --force")
        return pixels


def _cache(index: DatasetIndex) -> PixelCache:
    folder = index.paths.cache / index.fingerprint[:16]
    if not folder.exists() and index.paths.cache.exists():
        # Other caches belong to datasets that were made anew since.
        for outdated in index.paths.cache.iterdir():
            shutil.rmtree(outdated, ignore_errors=True)
    return PixelCache(folder, len(index.files) * _SLOTS_PER_IMAGE)


@dataclass(frozen=True)
class Selection:
    """The sets of one run. The reference sets are the same for every run: no factor touches them."""

    training: ImageSet
    fer_validation: ImageSet
    ckp_validation: ImageSet
    fer_reference: ImageSet
    ckp_reference: ImageSet

    def validation_sets(self) -> dict[str, ImageSet]:
        """By the names that files use; CK+ only where there are images."""
        sets = {"fer": self.fer_validation, "ckp": self.ckp_validation}
        return {name: images for name, images in sets.items() if len(images)}


def select(index: DatasetIndex, factors: Factors, *, fer_usage: str, seed: int) -> Selection:
    """Splits FER by source, 85/15, and thins each side by the factors; CK+ is for validation only.

    Args:
        index: The dataset.
        factors: How much of each kind to draw.
        fer_usage: `all` of FER-2013, or only its official `training` rows.
        seed: Of the drawing; the split has its own, fixed one.

    Raises:
        EmoTorchError: a class has no training image, or stage 3 has not run and a factor needs it.
        UsageError: an unknown `fer_usage`.
    """
    if fer_usage not in FER_USAGE_CHOICES:
        raise UsageError(f"FER usage {fer_usage!r} is none of {', '.join(FER_USAGE_CHOICES)}")
    fer_rows = index.originals_of("FER", "Training" if fer_usage == "training" else None).rows
    held_out = validation_mask(group_sources(index.hashes[fer_rows]), index.labels[fer_rows])
    ckp_rows = index.originals_of("CKP").rows

    def thin(purpose: str, rows: Indices, originals: float, variants: float) -> ImageSet:
        return _thin(index, rows, originals, variants, (seed, purpose))

    selection = Selection(
        training=thin("training", fer_rows[~held_out], factors.fer, factors.fer_aug),
        fer_validation=thin("fer_validation", fer_rows[held_out], factors.fer, factors.fer_aug),
        ckp_validation=thin("ckp_validation", ckp_rows, factors.ckp, factors.ckp_aug),
        fer_reference=ImageSet(index, fer_rows[held_out], np.zeros(int(held_out.sum()), np.int64)),
        ckp_reference=ImageSet(index, ckp_rows, np.zeros(len(ckp_rows), np.int64)),
    )
    for label, count in zip(index.scheme.labels, selection.training.class_counts(), strict=True):
        if count == 0:
            there = (index.labels[fer_rows] == index.scheme.index(label)).any()
            remedy = "raise --fer or --fer-aug" if there else f"{index.paths.originals}/FER/{label} has none"
            raise EmoTorchError(f"the training set has no image of class {label!r}: {remedy}")
    drawn = (selection.training, selection.fer_validation, selection.ckp_validation)
    if any((images.operations > 0).any() for images in drawn):
        index.check_augmented()
    return selection


def _thin(index: DatasetIndex, rows: Indices, originals: float, variants: float, key: Sequence[object]) -> ImageSet:
    """Draws the same share of every class, so that the factors do not change the balance."""
    chosen_rows, chosen_operations = [], []
    for label, name in enumerate(index.scheme.labels):
        members = rows[index.labels[rows] == label]
        picked = draw(len(members), originals, *key, name, "originals")
        drawn = draw(len(members) * len(OPERATIONS), variants, *key, name, "variants")
        chosen_rows += [members[picked], members[drawn // len(OPERATIONS)]]
        chosen_operations += [np.zeros_like(picked), drawn % len(OPERATIONS) + 1]
    return ImageSet(index, np.concatenate(chosen_rows), np.concatenate(chosen_operations))
