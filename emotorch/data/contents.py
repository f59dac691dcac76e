"""A folder of labelled images as it is, faults and all: a stage's dataset, or anyone's class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.dataset import COMMAND as STAGE_2
from emotorch.data.fer2013 import COMMAND as STAGE_1
from emotorch.data.folders import SPLITS
from emotorch.data.images import SIZE, Pixels, hash_pixels, read_face, read_picture, resize
from emotorch.data.manifest import NAME as MANIFEST
from emotorch.data.manifest import read_manifest
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, read_stamp, visible
from emotorch.workers import progress

_STAGES = {1: STAGE_1, 2: STAGE_2}
_MANIFEST_COLUMNS = ("file", "emotion", "usage", "hash")


@dataclass(frozen=True)
class Entry:
    """A file, by what its folder or the manifest says of it.

    Attributes:
        file: Below the folder, with forward slashes.
        label: Its class, as the folder calls it.
        usage: The given split it is in, or empty.
        dataset: Which of a stage-2 folder's datasets it is from; empty elsewhere.
        hash: Of the pixels, where a manifest tells.
    """

    file: str
    label: str
    usage: str = ""
    dataset: str = ""
    hash: str = ""

    @property
    def split(self) -> str:
        """What reports call the set it is in: `Training`, `FER Training`, `CKP`; empty without splits."""
        return f"{self.dataset} {self.usage}".strip()


@dataclass(frozen=True)
class Unreadable:
    """A file that is no picture, and why not."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    Attributes:
        folder: Where it is.
        stage: The script that wrote it and keeps account of its files; None for a folder of somebody else's.
        entries: N readable images, in the manifest's order or by name.
        faces: (N, 48, 48), as a network would see them.
        hashes: (N,) of the pixels in the file's own size.
        sizes: (N, 2) height and width of the files.
        unreadable: The files that could not be read.
    """

    folder: Path
    stage: str | None
    entries: Sequence[Entry]
    faces: Pixels
    hashes: NDArray[np.str_]
    sizes: NDArray[np.int64]
    unreadable: Sequence[Unreadable]

    @property
    def labels(self) -> list[str]:
        return [entry.label for entry in self.entries]

    @property
    def splits(self) -> list[str]:
        return [entry.split for entry in self.entries]


def read(folder: Path) -> Contents:
    """Reads every image of a stage-1 or stage-2 folder, or of `<folder>/[<split>/]<class>/`.

    Raises:
        EmoTorchError: no such folder, not of that shape, or without a single readable image.
    """
    if not folder.is_dir():
        raise EmoTorchError(f"{folder} does not exist: run {STAGE_2} first, or name a folder of class folders")
    stamped = (folder / STAMP_NAME).is_file()
    number = read_stamp(folder, "its stage").get("stage") if stamped else None
    stage = _STAGES.get(number) if isinstance(number, int) else None
    entries = _list_manifest(folder, stage) if stage else _list_class_folders(folder)
    readable: list[Entry] = []
    unreadable: list[Unreadable] = []
    faces = np.empty((len(entries), SIZE, SIZE), np.uint8)
    hashes: list[str] = []
    sizes: list[tuple[int, ...]] = []
    for entry in progress(entries, total=len(entries), description="reading images", unit="image"):
        try:
            pixels = read_face(folder / entry.file) if stage else read_picture(folder / entry.file)
        except EmoTorchError as error:
            unreadable.append(Unreadable(entry, str(error)))
            continue
        faces[len(readable)] = resize(pixels)
        hashes.append(hash_pixels(pixels))
        sizes.append(pixels.shape)
        readable.append(entry)
    if not readable:
        reason = f": {unreadable[0].reason}" if unreadable else ""
        raise EmoTorchError(f"{folder}: no readable image{reason}")
    return Contents(
        folder=folder,
        stage=(stage or "a stage") if stamped else None,
        entries=readable,
        faces=faces[: len(readable)],
        hashes=np.array(hashes, dtype=np.str_),
        sizes=np.array(sizes, dtype=np.int64),
        unreadable=unreadable,
    )


def _list_manifest(folder: Path, stage: str) -> list[Entry]:
    rows = read_manifest(folder, _MANIFEST_COLUMNS, stage)
    return [Entry(row["file"], row["emotion"], row["usage"], row.get("dataset", ""), row["hash"]) for row in rows]


def _list_class_folders(folder: Path) -> list[Entry]:
    """Files beside the class folders (a licence, a manifest) are no images and no fault."""
    subfolders = [path for path in visible(folder) if path.is_dir()]
    split_folders = [path for path in subfolders if path.name.lower() in SPLITS]
    if not split_folders:
        return [entry for path in subfolders for entry in _list_class(folder, path, "")]
    if len(split_folders) < len(subfolders):
        stranger = next(path for path in subfolders if path not in split_folders)
        raise EmoTorchError(f"{stranger}: stands beside {split_folders[0].name}/ but is no split; move it away")
    return [
        entry
        for split in split_folders
        for path in visible(split)
        if path.is_dir()
        for entry in _list_class(folder, path, SPLITS[split.name.lower()])
    ]


def _list_class(folder: Path, class_folder: Path, usage: str) -> list[Entry]:
    entries = []
    for path in visible(class_folder):
        if path.is_dir():
            raise EmoTorchError(
                f"{path}: a folder where images are expected; name a folder of <class>/<image> or "
                f"<split>/<class>/<image> ({MANIFEST} is read of the folders of stages 1 and 2 only)"
            )
        entries.append(Entry(path.relative_to(folder).as_posix(), class_folder.name, usage))
    return entries
