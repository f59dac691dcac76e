"""An audit of a folder of labelled images: what is in it, faults and all, and which images have which fault.

The folder is a stage's dataset or anyone's class folders; nothing in it is changed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.dataset import STORED_HASH
from emotorch.data.images import GREY_FACE, SIZE, Pixels, bring_to, hash_pixels, read_face, read_picture, read_stored
from emotorch.data.layouts import split_of
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.split import group_sources
from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.files import STAMP_NAME, read_stamp, visible
from emotorch.paths import STAGE_1, STAGE_2
from emotorch.workers import progress

_STAGES = {1: STAGE_1, 2: STAGE_2}
_MANIFEST_COLUMNS = ("file", "emotion", "usage", "hash")

# Grey levels of the mean. In FER-2013 most pictures beyond are blank, a warning sign or "image not available".
BLACK_BELOW, WHITE_ABOVE = 20, 230
# Grey levels of the standard deviation. One in a thousand pictures of FER-2013 has less than 17.
CONTRAST_BELOW = 15
_WIDEST = 1.5  # times as long one way as the other: a face squeezed that much looks like another
_BLOCK = 2048  # images that are measured at once

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A file, by what its folder or the manifest says of it.

    Attributes:
        file: Below the folder, with forward slashes.
        label: Its class, as the folder calls it.
        usage: The given split it is in, or empty.
        dataset: Which of a stage-2 folder's datasets it is from; empty elsewhere.
        hash: Of the file's pixels, where a manifest tells.
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
class Found:
    """An image with a fault.

    Attributes:
        entry: The image.
        detail: What exactly, for this one.
        position: Among the folder's readable images; None for a file that could not be read.
    """

    entry: Entry
    detail: str
    position: int | None = None


@dataclass(frozen=True)
class AuditedFolder:
    """What a folder holds.

    Attributes:
        folder: Where it is.
        stage: The script that wrote it and keeps account of its files; None for a folder of somebody else's.
        entries: N readable images, in the manifest's order or by name.
        faces: (N, 48, 48), as the baseline would see them.
        hashes: (N,) of the pixels in the file's own size.
        sizes: (N, 2) height and width of the files.
        unreadable: The files that could not be read, and why not.
    """

    folder: Path
    stage: str | None
    entries: Sequence[Entry]
    faces: Pixels
    hashes: NDArray[np.str_]
    sizes: NDArray[np.int64]
    unreadable: Sequence[Found]

    @property
    def labels(self) -> list[str]:
        return [entry.label for entry in self.entries]

    @property
    def splits(self) -> list[str]:
        return [entry.split for entry in self.entries]


def read(folder: Path) -> AuditedFolder:
    """Reads every image of a stage-1 or stage-2 folder, or of `<folder>/[<split>/]<class>/`.

    Raises:
        EmoTorchError: no such folder, not of that shape, or without a single readable image.
    """
    if not folder.is_dir():
        remedy = f"run {STAGE_2} first, or name a folder of class folders{found_elsewhere(folder)}"
        raise EmoTorchError(f"{folder} does not exist: {remedy}")
    stamped = (folder / STAMP_NAME).is_file()
    made_from = read_stamp(folder, "its stage") if stamped else {}
    number = made_from.get("stage")
    stage = _STAGES.get(number) if isinstance(number, int) else None
    entries = _list_manifest(folder, stage) if stage else _list_class_folders(folder)
    read_pixels = (read_stored if "size" in made_from else read_face) if stage else read_picture
    readable: list[Entry] = []
    unreadable: list[Found] = []
    faces = np.empty((len(entries), SIZE, SIZE), np.uint8)
    hashes: list[str] = []
    sizes: list[tuple[int, ...]] = []
    for entry in progress(entries, total=len(entries), description="reading images", unit="image"):
        try:
            pixels = read_pixels(folder / entry.file)
        except EmoTorchError as error:
            unreadable.append(Found(entry, str(error)))
            continue
        faces[len(readable)] = bring_to(pixels, GREY_FACE)
        hashes.append(hash_pixels(pixels))
        sizes.append(pixels.shape[:2])
        readable.append(entry)
    if not readable:
        reason = f": {unreadable[0].detail}" if unreadable else ""
        raise EmoTorchError(f"{folder}: no readable image{reason}")
    return AuditedFolder(
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
    return [
        Entry(row["file"], row["emotion"], row["usage"], row.get("dataset", ""), row.get(STORED_HASH, row["hash"]))
        for row in rows
    ]


def _list_class_folders(folder: Path) -> list[Entry]:
    """Files beside the class folders (a licence, a manifest) are no images and no fault."""
    subfolders = [path for path in visible(folder) if path.is_dir()]
    split_folders = [path for path in subfolders if split_of(path.name)]
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
        for entry in _list_class(folder, path, split_of(split.name) or "")
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


# --- Measuring ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measures:
    """Of each image, at the 48×48 pixels that a network sees.

    Attributes:
        brightness: (N,) mean grey value.
        contrast: (N,) standard deviation of the grey values.
        sharpness: (N,) variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
            microscopy", 2000): low where the picture is blurred.
    """

    brightness: _Values
    contrast: _Values
    sharpness: _Values


def measure(faces: Pixels) -> Measures:
    """Measures (N, 48, 48) faces."""
    blocks = [faces[start : start + _BLOCK].astype(np.float32) for start in range(0, len(faces), _BLOCK)]

    def of_all(values: Iterable[NDArray[np.float32]]) -> _Values:
        return np.concatenate(list(values)).astype(np.float64)

    return Measures(
        brightness=of_all(block.mean(axis=(1, 2)) for block in blocks),
        contrast=of_all(block.std(axis=(1, 2)) for block in blocks),
        sharpness=of_all(_laplacian(block).var(axis=(1, 2)) for block in blocks),
    )


def _laplacian(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    neighbours = faces[:, :-2, 1:-1] + faces[:, 2:, 1:-1] + faces[:, 1:-1, :-2] + faces[:, 1:-1, 2:]
    return neighbours - 4 * faces[:, 1:-1, 1:-1]


# --- Faults -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A kind of fault, and every image that has it.

    Attributes:
        name: How tables call it.
        meaning: In words.
        images: Those that have it; twins stand together.
    """

    name: str
    meaning: str
    images: Sequence[Found]


def inspect(audited: AuditedFolder, measures: Measures) -> list[Finding]:
    """Every kind of fault that is looked for, also those that no image has."""
    return [
        Finding("unreadable", "missing, damaged, or no image", audited.unreadable),
        Finding("changed", "not the picture that the manifest tells of", _changed(audited)),
        *_twins(audited),
        *_faint(audited, measures),
        *_shapes(audited),
    ]


def _changed(audited: AuditedFolder) -> list[Found]:
    return [
        Found(entry, "other pixels", position)
        for position, entry in enumerate(audited.entries)
        if entry.hash and entry.hash != audited.hashes[position]
    ]


def _twins(audited: AuditedFolder) -> list[Finding]:
    groups = group_sources(audited.hashes)
    sizes = np.bincount(groups)
    members = np.flatnonzero(sizes[groups] > 1)
    # By group, groups in the order of their first image.
    firsts = np.unique(groups, return_index=True)[1]
    members = members[np.lexsort((members, firsts[groups[members]]))]
    every: list[Found] = []
    conflicting: list[Found] = []
    across: list[Found] = []
    for number, twins in enumerate(np.split(members, np.flatnonzero(np.diff(groups[members])) + 1), start=1):
        positions = twins.tolist()
        entries = [audited.entries[position] for position in positions]
        labels, splits = ({getattr(entry, name) for entry in entries} for name in ("label", "split"))
        detail = f"group {number}, {len(entries)} images: {', '.join(sorted(labels))}"
        if len(splits) > 1:
            detail += f"; {', '.join(sorted(splits))}"
        found = [Found(entry, detail, position) for entry, position in zip(entries, positions, strict=True)]
        every += found
        conflicting += found if len(labels) > 1 else []
        across += found if len(splits) > 1 else []
    return [
        Finding("twins", "equal pixels", every),
        Finding("twins, other label", "equal pixels, different labels", conflicting),
        Finding("twins, other split", "equal pixels in different splits", across),
    ]


def _faint(audited: AuditedFolder, measures: Measures) -> list[Finding]:
    constant = audited.faces.min(axis=(1, 2)) == audited.faces.max(axis=(1, 2))
    faint = (measures.contrast < CONTRAST_BELOW) & ~constant

    def found(chosen: NDArray[np.bool_], values: _Values, what: str) -> list[Found]:
        return [
            Found(audited.entries[position], f"{what} {values[position]:.1f}", position)
            for position in np.flatnonzero(chosen).tolist()
        ]

    brightness, contrast = measures.brightness, measures.contrast
    return [
        Finding("blank", "one grey value all over", found(constant, brightness, "grey value")),
        Finding("black", f"mean below {BLACK_BELOW} of 255", found(brightness < BLACK_BELOW, brightness, "mean")),
        Finding("white", f"mean above {WHITE_ABOVE} of 255", found(brightness > WHITE_ABOVE, brightness, "mean")),
        Finding(
            "low contrast",
            f"standard deviation below {CONTRAST_BELOW} grey levels, not blank",
            found(faint, contrast, "deviation"),
        ),
    ]


def _shapes(audited: AuditedFolder) -> list[Finding]:
    shorter, longer = audited.sizes.min(axis=1), audited.sizes.max(axis=1)

    def found(chosen: NDArray[np.bool_]) -> list[Found]:
        return [
            Found(audited.entries[position], "{1}×{0} pixels".format(*audited.sizes[position]), position)
            for position in np.flatnonzero(chosen).tolist()
        ]

    return [
        Finding("small", f"less than {SIZE} pixels wide or high: enlarged when read", found(shorter < SIZE)),
        Finding(
            "not square",
            f"more than {_WIDEST:g} times as long one way: squeezed when read",
            found(longer > _WIDEST * shorter),
        ),
    ]
