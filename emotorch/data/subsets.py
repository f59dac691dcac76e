"""The training's own split as folders, for other programs: the optional subset helpers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, Factors, ImageSet, select
from emotorch.data.split import SPLIT_SEED
from emotorch.files import stage_folder
from emotorch.paths import AUGMENTED
from emotorch.workers import progress

_FOLDERS = {
    "training": "FER-Training-Subset",
    "fer": "FER-Validation-Subset",
    "ckp": "CKP-Validation-Subset",
}


def create(index: DatasetIndex, *, augmented: bool, fer_usage: str, force: bool) -> Mapping[str, int]:
    """Copies the images of the three sets into the scheme's `TRAIN-VAL DATA/`, by class.

    Args:
        index: Of the dataset.
        augmented: The variants (every one of them) instead of the originals.
        fer_usage: As in training.
        force: Copy again what is there.

    Returns:
        How many images each folder holds.

    Raises:
        EmoTorchError: a stage has not run, or a class has no training image.
    """
    factors = Factors(0.0, 1.0, 0.0, 1.0) if augmented else Factors(1.0, 0.0, 1.0, 0.0)
    selection = select(index, factors, fer_usage=fer_usage, seed=SPLIT_SEED)
    suffix = AUGMENTED if augmented else ""
    sets = selection.sets()
    counts = {}
    for name, folder_name in _FOLDERS.items():
        if name not in sets:
            continue
        folder = index.paths.subsets / f"{folder_name}{suffix}"
        stamp = {
            "inputs": index.fingerprint,
            "fer_usage": fer_usage,
            "operations": list(OPERATIONS) if augmented else [],
        }
        with stage_folder(folder, stamp, stage="a subset helper", force=force) as build:
            if build is not None:
                _copy(sets[name], build.folder)
        counts[folder.name] = len(sets[name])
    return counts


def _copy(images: ImageSet, folder: Path) -> None:
    for label in images.index.scheme.labels:
        (folder / label).mkdir(exist_ok=True)
    for position in progress(np.arange(len(images)), total=len(images), description=folder.name, unit="image"):
        source = images.index.paths.root / images.files[position]
        (folder / source.parent.name / source.name).write_bytes(source.read_bytes())
