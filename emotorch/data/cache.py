"""A packed cache of decoded images, so that a training reads its pixels at memory speed.

There is a file for each form that images are read in: whatever sizes a dataset mixes, each picture is brought to that
size and those channels when it comes into the cache. Every image of the dataset folder and each of its variants has a
fixed slot. A slot is valid only for the very file it was read from (size and modification time), and carries a checksum
of its pixels, so that a cache that was cut short by a kill or a crash is never believed. The file is sparse: what no
run has drawn takes no space.
"""

import errno
import mmap
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to, hash_pixels, read_stored
from emotorch.errors import EmoTorchError
from emotorch.workers import progress

Array = TypeVar("Array")

_CHECKED_AT_ONCE = 8192  # slots
_READ_AT_ONCE = 256 << 20  # bytes
_STATE = [("modified_ns", "<i8"), ("size", "<i4")]
# MAP_NORESERVE, which Python does not name: Linux reserves no memory for a sparse file that may be larger than it.
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


@dataclass(frozen=True)
class LazyArray(Generic[Array]):
    """Some images of a store, in an order: indexed like the array that they would make, without making it.

    Attributes:
        store: (M, …) images, as a NumPy array or a tensor.
        positions: (N,) where in the store each image is; of the same kind.
    """

    store: Any
    positions: Any

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, chosen: Any) -> Array:
        """A copy of the chosen images."""
        images: Array = self.store[self.positions[chosen]]
        return images


@dataclass(frozen=True)
class PixelCache:
    """The cache of one dataset folder.

    Attributes:
        slots: How many images it can hold.
        dense: The first so many are mostly read together, the others here and there.
        form: That images are brought to.
    """

    folder: Path
    slots: int
    dense: int
    form: PixelForm = GREY_FACE

    def share(
        self, files: Sequence[Path], slots: NDArray[np.int64], expected: Callable[[int], str] = lambda _: ""
    ) -> LazyArray[Pixels]:
        """The pixels of the files, where the cache holds them: what is not valid is read from the files first.

        Every process that maps the cache has the same memory, until it writes there, which nobody else sees.

        Args:
                slots: (N,) the place of each.
            expected: What the own pixels of the file at a place must hash to; empty where that is unknown.

        Raises:
            EmoTorchError: a file is missing or damaged.
            ChangedError: a file's pixels are others.
        """
        path = self._open()
        at_once = max(1, min(_CHECKED_AT_ONCE, _READ_AT_ONCE // self._slot.itemsize))
        for start in range(0, len(slots), at_once):
            part = slice(start, start + at_once)
            self._freshen(path, files[part], slots[part], start, expected)
        return LazyArray(self._map(path)["pixels"], slots)

    @property
    def _slot(self) -> np.dtype[np.void]:
        return np.dtype([*_STATE, ("checksum", "<u4"), ("pixels", "u1", self.form.shape)])

    def _map(self, path: Path) -> NDArray[np.void]:
        """Maps all slots privately: writes, which PyTorch insists must be possible, stay in this process.

        Read only slots that were written: touching a hole of the file on a full memory disk kills the process (SIGBUS).
        For the same reason the system reads nothing ahead beyond the dense part.
        """
        with path.open("rb") as file:
            protection = mmap.PROT_READ | mmap.PROT_WRITE
            mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=protection)
        scattered = -(-self.dense * self._slot.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        if scattered < len(mapped):
            mapped.madvise(mmap.MADV_RANDOM, scattered)
        return np.frombuffer(mapped, self._slot)

    def _open(self) -> Path:
        """The cache's file, sparse and of the right size."""
        path = self.folder / f"pixels_{self.form.size}x{self.form.channels}.bin"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.touch()
            if path.stat().st_size > self.slots * self._slot.itemsize:
                # Replaced, not shortened: a process that has mapped it would be ended when it reads behind the end.
                path.unlink()
                path.touch()
            os.truncate(path, self.slots * self._slot.itemsize)
        except OSError as error:
            raise EmoTorchError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def _freshen(
        self,
        path: Path,
        files: Sequence[Path],
        slots: NDArray[np.int64],
        first: int,
        expected: Callable[[int], str],
    ) -> None:
        """Fills the slots of which the record is not of the very file, or the pixels are not the recorded ones.

        `first` is the place of the first file, for `expected`.
        """
        states = np.array([_state(file) for file in files], dtype=_STATE)
        recorded = self._read(path, slots)
        fresh = (recorded["modified_ns"] == states["modified_ns"]) & (recorded["size"] == states["size"])
        fresh[fresh] = _checksums(recorded["pixels"][fresh]) == recorded["checksum"][fresh]
        stale = np.flatnonzero(~fresh)
        if len(stale):
            records = np.empty(len(stale), self._slot)
            records["modified_ns"] = states["modified_ns"][stale]
            records["size"] = states["size"][stale]
            reading = progress(stale.tolist(), total=len(stale), description="reading images", unit="image")
            for record, place in enumerate(reading):
                stored, wanted = read_stored(files[place]), expected(first + place)
                if wanted and hash_pixels(stored) != wanted:
                    raise ChangedError(f"{files[place]}: changed since it was written")
                records["pixels"][record] = bring_to(stored, self.form)
            records["checksum"] = _checksums(records["pixels"])
            _write(path, slots[stale], records)

    def _read(self, path: Path, slots: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of some slots, at least one, by system calls: these read holes of the file as zeros on any disk."""
        size = self._slot.itemsize
        neighbours = np.split(slots, np.flatnonzero(np.diff(slots) != 1) + 1)
        with path.open("rb", buffering=0) as file:
            parts = [os.pread(file.fileno(), len(part) * size, int(part[0]) * size) for part in neighbours]
        return np.frombuffer(b"".join(parts), self._slot)


class ChangedError(EmoTorchError):
    """A file's pixels are not those that its dataset tells of."""


def _write(path: Path, slots: NDArray[np.int64], records: NDArray[np.void]) -> None:
    """Writes records by system calls: on a full disk they give an error, where a memory map ends the process."""
    try:
        with path.open("r+b", buffering=0) as file:
            for slot, record in zip(slots.tolist(), records, strict=True):
                content, place = memoryview(record.tobytes()), slot * records.itemsize
                while content:  # what is left of it, where the disk is full in the middle
                    written = os.pwrite(file.fileno(), content, place)
                    content, place = content[written:], place + written
    except OSError as error:
        remedy = ""
        if error.errno == errno.ENOSPC:
            remedy = f": free {-(-records.nbytes // 10**6)} MB there at least, or move all data (EMOTORCH_ROOT)"
        raise EmoTorchError(f"cannot write {path}: {error.strerror or error}{remedy}") from error


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise EmoTorchError(f"{file}: {error.strerror}; rerun the stage that writes it") from error
    return status.st_mtime_ns, status.st_size


def _checksums(pixels: Pixels) -> NDArray[np.uint32]:
    contiguous = np.ascontiguousarray(pixels)
    return np.fromiter((zlib.crc32(image) for image in contiguous), np.uint32, len(contiguous))
