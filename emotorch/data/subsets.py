"""The training's own split as folders, for other programs: the optional subset helpers."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotorch.data.dataset import training_dataset
from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, Factors, ImageSet, select
from emotorch.data.sides import Shared
from emotorch.data.split import SPLIT_SEED
from emotorch.datasets import CKP, FER, find_dataset
from emotorch.files import STAMP_NAME, stage_folder
from emotorch.labels import LabelScheme
from emotorch.paths import AUGMENTED, Paths
from emotorch.recipes import SUITED_COPIES
from emotorch.workers import progress

logger = logging.getLogger(__name__)

# The published names; of any other dataset than FER-2013 the folders are NAME/train, NAME/val and NAME/test.
_FER_FOLDERS = {
    "train": "FER-Training-Subset",
    "val": "FER-Validation-Subset",
    "test": "FER-Test-Subset",
    CKP.key: "CKP-Validation-Subset",
}


@dataclass(frozen=True)
class Subset:
    """A folder of class folders.

    Attributes:
        images: How many it holds.
        twins: How many of them show the pixels of a training image: an official split may have such on its sides.
    """

    folder: Path
    images: int
    twins: int

    def __str__(self) -> str:
        twins = f", {self.twins} with the pixels of a training image" if self.twins else ""
        return f"{self.folder}: {self.images} images{twins}"


def create(
    paths: Paths,
    scheme: LabelScheme,
    *,
    train_on: str | None = None,
    augmented: bool,
    fer_usage: str,
    copies: str | None = None,
    force: bool,
) -> list[Subset]:
    """Copies the images that train, validate and test into the scheme's `TRAIN-VAL DATA/`, by class.

    Those of an official test that neither train nor validate are the test; where there are none, there is no such
    folder, and one of an earlier split is removed.

    Args:
        train_on: See `training_dataset`.
        augmented: All the variants instead of the originals.
        copies: As in training; None for what suits the dataset.

    Raises:
        EmoTorchError: a stage has not run, a class has no training image, or an image is missing, damaged or changed.
        UsageError: stage 2 has read no such dataset, or several and none is named.
    """
    index = DatasetIndex.load(paths, scheme)
    train_on = training_dataset(index.paths, train_on)
    sets, shared = _sets(index, train_on, augmented, fer_usage, copies or SUITED_COPIES)
    suffix = AUGMENTED if augmented else ""
    if train_on == FER.name:
        folders = {part: index.paths.subsets / f"{name}{suffix}" for part, name in _FER_FOLDERS.items()}
    else:
        folders = {part: index.paths.subsets / f"{train_on}{suffix}" / part for part in ("train", "val", "test")}
    for part, folder in folders.items():
        if part not in sets and (folder / STAMP_NAME).is_file():
            shutil.rmtree(folder)
    if shared and len(shared.rows):
        logger.info("%s: %s", train_on, shared.describe())
    stamp = {
        "inputs": index.fingerprint,
        "fer_usage": fer_usage,
        "operations": list(OPERATIONS) if augmented else [],
        **({"copies": shared.as_dict()} if shared else {}),
    }
    subsets = []
    for part, images in sets.items():
        with stage_folder(folders[part], stamp, stage="a subset helper", force=force) as build:
            if build is not None:
                _copy(images, build.folder)
        twins = 0 if part == "train" else int(np.isin(images.hashes, sets["train"].hashes).sum())
        subsets.append(Subset(folders[part], len(images), twins))
    return subsets


def _sets(
    index: DatasetIndex, train_on: str, augmented: bool, fer_usage: str, copies: str
) -> tuple[dict[str, ImageSet], Shared | None]:
    """`train`, and where there are such images `val`, `test`, and `ckp`, which validates too; and what they shared."""
    factors = Factors(0.0, 1.0, 0.0, 1.0) if augmented else Factors(1.0, 0.0, 1.0, 0.0)
    selection = select(index, factors, train_on=train_on, fer_usage=fer_usage, copies=copies, seed=SPLIT_SEED)
    dataset = find_dataset(train_on)
    sets = {"train": selection.training}
    sets |= {"val" if name == dataset.key else name: images for name, images in selection.validation.items()}
    official = (index.datasets == train_on) & np.isin(index.usages, [*dataset.selecting, *dataset.tests])
    left_out = [selection.shared.rows] if selection.shared else []
    seen = np.concatenate([*(images.rows for images in sets.values()), *left_out])
    tests = index.with_label(np.setdiff1d(np.flatnonzero(official), seen))
    if len(tests):
        operations = range(1, len(OPERATIONS) + 1) if augmented else [0]
        sets["test"] = ImageSet(index, np.repeat(tests, len(operations)), np.tile(operations, len(tests)))
    return sets, selection.shared


def _copy(images: ImageSet, folder: Path) -> None:
    images.lazy()  # raises where a file is damaged, or no longer what the manifest tells of
    for label in images.index.scheme.labels:
        (folder / label).mkdir(exist_ok=True)
    for position in progress(np.arange(len(images)), total=len(images), description=folder.name, unit="image"):
        source = images.index.paths.root / images.files[position]
        (folder / source.parent.name / source.name).write_bytes(source.read_bytes())
