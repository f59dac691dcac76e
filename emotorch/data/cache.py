"""A packed cache of decoded images, so that a training reads its pixels at memory speed.

Every image of the dataset folder and each of its variants has a fixed slot. A slot is valid only for the
very file it was read from (size and modification time), and carries a checksum of its pixels, so that a
cache that was cut short by a kill or a crash is never believed. The files are sparse: what no run has
drawn takes no space.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import SIZE, Pixels, read_face
from emotorch.errors import EmoTorchError
from emotorch.workers import progress

_SLOT = np.dtype([("modified_ns", "<i8"), ("size", "<i4"), ("checksum", "<u4")])


@dataclass(frozen=True)
class PixelCache:
    """The cache of one dataset folder.

    Attributes:
        folder: Where its two files are.
        slots: How many images it can hold.
    """

    folder: Path
    slots: int

    def read(self, files: Sequence[Path], slots: NDArray[np.int64]) -> Pixels:
        """(N, 48, 48) pixels of the files, from the cache where it is valid, else from the files.

        Raises:
            EmoTorchError: a file is missing or damaged.
        """
        pixels_map, index = self._open()
        states = np.array([_state(file) for file in files], dtype=[("modified_ns", "<i8"), ("size", "<i4")])
        pixels: Pixels = pixels_map[slots]
        recorded = index[slots]
        fresh = (recorded["modified_ns"] == states["modified_ns"]) & (recorded["size"] == states["size"])
        fresh[fresh] = _checksums(pixels[fresh]) == recorded["checksum"][fresh]
        stale = np.flatnonzero(~fresh)
        if len(stale):
            pixels[stale] = _decode([files[position] for position in stale.tolist()])
            pixels_map[slots[stale]] = pixels[stale]
            entries = np.empty(len(stale), _SLOT)
            entries["modified_ns"] = states["modified_ns"][stale]
            entries["size"] = states["size"][stale]
            entries["checksum"] = _checksums(pixels[stale])
            index[slots[stale]] = entries
        return pixels

    def _open(self) -> tuple[np.memmap, np.memmap]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (
            _open_sparse(self.folder / "pixels.u8", np.dtype(np.uint8), (self.slots, SIZE, SIZE)),
            _open_sparse(self.folder / "index.bin", _SLOT, (self.slots,)),
        )


def _open_sparse(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    path.touch()
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise EmoTorchError(f"{file}: {error.strerror}; rerun the stage that writes it") from error
    return status.st_mtime_ns, status.st_size


def _checksums(pixels: Pixels) -> NDArray[np.uint32]:
    return np.fromiter((zlib.crc32(image) for image in pixels), np.uint32, len(pixels))


def _decode(files: Sequence[Path]) -> Pixels:
    pixels = np.empty((len(files), SIZE, SIZE), np.uint8)
    reading = progress(enumerate(files), total=len(files), description="reading images", unit="image")
    for position, file in reading:
        pixels[position] = read_face(file)
    return pixels
