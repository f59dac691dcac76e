"""What a run of a sweep keeps of its images: `image_usage.csv` and pictures are made of it when they are asked for.

The sweep has the list of all images once: `manifest.csv`, as stage 2 wrote it, whose SHA-256 is in every run's record.
A run's `images.npz` says which of them each of its sets drew, in their order, and what was predicted for those that its
sheets of validation images show.
"""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, ImageSet, Selection
from emotorch.data.sources import MANIFEST
from emotorch.data.split import Indices
from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, write_atomically
from emotorch.labels import LabelScheme
from emotorch.paths import Paths
from emotorch.runs.folder import LISTED_IN, Run

_NAME = "images.npz"
_IMAGES, _PREDICTIONS, _CONFIDENCES = "images/", "predictions/", "confidences/"
_TRAINING = "training"
# Of an original: its own, and one for each of its variants. It is stored too, since operations may be added.
_NUMBERS = 1 + len(OPERATIONS)
_OF_AN_ORIGINAL = "numbers of an original"
# What NumPy raises on damaged archives, depending on the byte that is wrong, and we on wrong arrays.
_DAMAGES = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Shown:
    """What was predicted for the images of a sheet: (N,) classes, and their probabilities."""

    predictions: Indices
    confidences: NDArray[np.float32]


@dataclass(frozen=True)
class Kept:
    """What `images.npz` holds: a run's images, without reference sets, and what each validation set's sheet shows."""

    selection: Selection
    shown: Mapping[str, Shown]


def keep_images(folder: Path, selection: Selection, shown: Mapping[str, Shown]) -> None:
    """Writes `images.npz` into a run's folder; see `Kept`."""
    sets = {_TRAINING: selection.training, **selection.validation}
    arrays: dict[str, NDArray[np.generic]] = {f"{_IMAGES}{name}": _pack(images) for name, images in sets.items()}
    arrays[_OF_AN_ORIGINAL] = np.array(_NUMBERS)
    for name, sheet in shown.items():
        arrays |= {f"{_PREDICTIONS}{name}": sheet.predictions, f"{_CONFIDENCES}{name}": sheet.confidences}

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    write_atomically(folder / _NAME, write)


def read_kept(run: Run) -> Kept | None:
    """What a sweep's run keeps of its images; None of any other run.

    Raises:
        EmoTorchError: the file is damaged, or the sweep's list of images is gone or another.
    """
    path = run.file(_NAME)
    if not path.is_file():
        return None
    index = _listed(run)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _parse(index, dict(stored))
    except _DAMAGES as error:
        raise EmoTorchError(f"{path}: damaged ({error}): train the run again") from error


def _parse(index: DatasetIndex, arrays: Mapping[str, NDArray[Any]]) -> Kept:
    numbers = int(arrays[_OF_AN_ORIGINAL])
    sets = {
        name.removeprefix(_IMAGES): _unpack(index, packed, numbers)
        for name, packed in arrays.items()
        if name.startswith(_IMAGES)
    }
    training = sets.pop(_TRAINING)
    shown = {
        name: Shown(arrays[f"{_PREDICTIONS}{name}"], arrays[f"{_CONFIDENCES}{name}"])
        for name in sets
        if f"{_PREDICTIONS}{name}" in arrays
    }
    return Kept(Selection(training, sets, {}), shown)


def _listed(run: Run) -> DatasetIndex:
    """The dataset that a run was trained on, as its sweep lists it."""
    record = run.record
    folder = run.folder.parent / str(record.get(LISTED_IN))
    listed = folder / MANIFEST
    if not listed.is_file() or hash_file(listed) != record["dataset"]["fingerprint"]:
        raise EmoTorchError(
            f"{listed} is not there, or another: which images {run.name} was trained on is made of it; bring that "
            "folder back, beside the run's"
        )
    scheme = LabelScheme.from_dict(record["settings"]["scheme"])
    return DatasetIndex.listed(folder, Paths(run.folder.parents[2]), scheme)


def _pack(images: ImageSet) -> NDArray[np.uint8]:
    """(4, N) bytes: one number for each image, as the difference to the one before.

    Differences are small and alike, and the first bytes of all of them, then the second, … take the least space.
    """
    numbers = images.rows * _NUMBERS + images.operations
    return np.ascontiguousarray(np.diff(numbers, prepend=0).astype("<i4").view(np.uint8).reshape(-1, 4).T)


def _unpack(index: DatasetIndex, packed: NDArray[np.uint8], numbers: int) -> ImageSet:
    differences = np.ascontiguousarray(packed.T).view("<i4").ravel()
    found: Indices = np.cumsum(differences, dtype=np.int64)
    if len(found) and not 0 <= found.min() <= found.max() < numbers * len(index.files):
        raise ValueError("it names images that are not listed")
    return ImageSet(index, found // numbers, found % numbers)
