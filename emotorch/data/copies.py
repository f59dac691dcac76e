"""Which images of a dataset are of one photo: found once for all runs, and kept beside the pixel cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emotorch.data.likeness import THRESHOLD, find_alike, find_mirrored
from emotorch.data.split import Indices
from emotorch.files import write_atomically

if TYPE_CHECKING:
    from emotorch.data.selection import DatasetIndex


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs of images of one photo whose pixels differ; of equal images only the first is paired.

    Attributes:
        rows: (M, 2) of the index.
        mirrored: (M,) whether one of the two is mirrored.
    """

    rows: Indices
    mirrored: NDArray[np.bool_]


def photo_pairs(index: "DatasetIndex", dataset: str) -> PhotoPairs:
    """The near and mirrored copies within a dataset; see `emotorch.data.likeness`.

    Raises:
        EmoTorchError: a file is missing, damaged or changed, or the cache cannot be written.
    """
    found = index.pairs or found_pairs(index, dataset)
    if found is None:
        found = _find(index, dataset)
        table = np.column_stack([found.rows, found.mirrored])
        write_atomically(_file(index, dataset), lambda temporary: np.save(temporary, table))
    return found


def found_pairs(index: "DatasetIndex", dataset: str) -> PhotoPairs | None:
    """The pairs that an earlier run found; None where none has searched this very dataset."""
    try:
        table = np.load(_file(index, dataset), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if table.ndim != 2 or table.shape[1] != 3 or not ((table >= 0) & (table < max(len(index.files), 2))).all():
        return None
    return PhotoPairs(table[:, :2], table[:, 2].astype(bool))


def _file(index: "DatasetIndex", dataset: str) -> Path:
    return index.cache_folder / f"copies_{dataset}_{THRESHOLD:g}.npy"


def _find(index: "DatasetIndex", dataset: str) -> PhotoPairs:
    rows = np.flatnonzero(index.datasets == dataset)
    rows = rows[np.sort(np.unique(index.hashes[rows], return_index=True)[1])]
    faces = index.originals(rows).read()
    near = find_alike(faces, faces, THRESHOLD)
    mirrored = find_mirrored(faces, THRESHOLD, near)
    places = np.array([*near, *mirrored], np.int64).reshape(-1, 2)
    return PhotoPairs(rows[places], np.arange(len(places)) >= len(near))
