"""The images of a folder, a table or a dataset, faults and all, for an audit.

They are recognised as in stage 2; what stage 2 would refuse is audited all the same, as far as there are class folders.
Nothing is changed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.audit_listing import (
    Entry,
    Listed,
    list_class_folders,
    list_images,
    list_pictures,
    list_rows,
    list_stage,
)
from emotorch.data.formats import picture_format, read_start
from emotorch.data.images import GREY_FACE, SIZE, Pixels, bring_to, hash_pixels
from emotorch.data.layouts import Folder, Incomplete, Recognised
from emotorch.data.pixel_csv import dataset_of
from emotorch.data.recognition import recognise, recognise_folder
from emotorch.datasets import DATASETS, find_dataset
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError, UsageError, found_elsewhere
from emotorch.files import STAMP_NAME, read_stamp
from emotorch.labels import DEFAULT, LabelScheme, get_scheme
from emotorch.paths import STAGE_1, STAGE_2, Paths
from emotorch.workers import progress

_STAGES = {1: STAGE_1, 2: STAGE_2}


@dataclass(frozen=True)
class Found:
    """An image with a fault; its position among the folder's readable images, None where it could not be read."""

    entry: Entry
    detail: str
    position: int | None = None


@dataclass(frozen=True)
class Origin:
    """A dataset that was read, and how.

    Attributes:
        why: How it was recognised.
        refused: Why stage 2 would not take it; empty where it would.
        formats: Number of files by their format: `PNG`, …
    """

    title: str
    where: Path
    why: str
    notes: tuple[str, ...] = ()
    refused: str = ""
    formats: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class AuditedFolder:
    """The images of a folder or a table.

    Attributes:
        stage: The script that wrote it and keeps account of its files; None for a folder of somebody else's.
        entries: N readable images, in the manifest's order or by name.
        faces: (N, 48, 48), as the baseline would see them.
        hashes: (N,) of the pixels in the file's own size.
        sizes: (N, 2) height and width of the files, or of the faces that are cut out of them.
        found: (N,) how many faces were found in each picture where they are looked for; else 1.
        unreadable: The files that could not be read, and why not.
        origins: The datasets that were recognised.
        passed_over: What was not recognised, and why.
    """

    folder: Path
    stage: str | None
    entries: Sequence[Entry]
    faces: Pixels
    hashes: NDArray[np.str_]
    sizes: NDArray[np.int64]
    found: NDArray[np.int64]
    unreadable: Sequence[Found]
    origins: Sequence[Origin] = ()
    passed_over: Sequence[Incomplete] = ()

    @property
    def labels(self) -> list[str]:
        return [entry.label for entry in self.entries]

    @property
    def splits(self) -> list[str]:
        return [entry.split for entry in self.entries]


def read(
    target: Path, paths: Paths | None = None, scheme: LabelScheme | None = None, faces: str = "auto"
) -> AuditedFolder:
    """Reads every image of a stage-1 or stage-2 folder, of any dataset's, of class folders, or of a table's rows.

    Args:
        target: A folder or a table.
        paths: The root, for what lies in it.
        scheme: Whose labels class folders may be called by; the baseline's by default.
        faces: Whether faces are looked for in pictures: see `scenes.as_asked`.

    Raises:
        EmoTorchError: no such folder or file, of no known shape, or without a single readable image.
    """
    scheme = scheme or get_scheme(DEFAULT)
    if not target.exists():
        remedy = f"run {STAGE_2} first, or name a folder, a table or a dataset{found_elsewhere(target)}"
        raise EmoTorchError(f"{target} does not exist: {remedy}")
    if (target / STAMP_NAME).is_file():
        return _read_stage(target)
    raw = paths.raw if paths and target.is_relative_to(paths.raw) else target.parent
    if target.is_dir():
        root = Folder.read(target, raw)
    else:
        root = Folder(target.parent, raw, (target.name,), ())
        if dataset_of(target, root) is None:  # it is of pictures, which lie somewhere beside it
            root = Folder.read(target.parent, raw)
    recognition = recognise_folder(root, scheme)
    found = list(recognition.datasets.values())
    if target.is_dir():
        return _read_recognised(target, found, faces, recognition.passed_over)
    of_table = [one for one in (*found, *recognition.others) if target == one.where or target in one.covers]
    if not of_table:
        said = [missing.found for missing in recognition.passed_over if missing.where == target]
        said = said or ["no table of a known dataset, and no labels.csv; docs/datasets.md has them"]
        raise EmoTorchError(f"{target}: {said[0]}")
    return _read_recognised(target, of_table, faces)


def read_dataset(name: str, paths: Paths, scheme: LabelScheme, faces: str = "auto") -> AuditedFolder:
    """Reads a dataset by its name: as it lies in FER-Datasets, else as stage 2 has it; see `read`.

    Raises:
        UsageError: there is none of this name.
        EmoTorchError: see `read`.
    """
    recognised = recognise(paths, scheme).datasets
    for known, found in recognised.items():
        if known.lower() == name.lower():
            return _read_recognised(found.where, [found], faces)
    has_stored = (paths.originals / STAMP_NAME).is_file()
    stored = [entry.dataset for entry, _ in list_stage(paths.originals, STAGE_2)] if has_stored else []
    for known in dict.fromkeys(stored):
        if known.lower() == name.lower():
            return _read_stage(paths.originals, known)
    names = ", ".join(dict.fromkeys([*recognised, *stored])) or "there is none"
    raise UsageError(f"{name}: neither a folder or file, nor a dataset of {paths.root} ({names})")


def _read_stage(folder: Path, dataset: str = "") -> AuditedFolder:
    """A folder with a stage's stamp, or one dataset of stage 2's."""
    made_from = read_stamp(folder, "its stage")
    number = made_from.get("stage")
    if number == 3:
        raise UsageError(f"{folder}: variants, which are changed on purpose; audit the folder of {STAGE_2}")
    stage = _STAGES.get(number) if isinstance(number, int) else None
    if stage is None:  # a helper's class folders, without a list of them
        listed = list(list_class_folders(folder, folder))
        return _collect(folder, listed, [Origin(folder.name, folder, "class folders, written by a helper")], "a stage")
    listed = list(list_stage(folder, stage, has_sizes="size" in made_from))
    if dataset:
        listed = [(replace(entry, dataset=""), load) for entry, load in listed if entry.dataset == dataset]
    title = find_dataset(dataset).full_title if dataset else folder.name
    return _collect(folder, listed, [Origin(title, folder, f"written by {stage}")], stage)


def _read_recognised(
    target: Path, found: Sequence[Recognised], faces: str, passed_over: Sequence[Incomplete] = ()
) -> AuditedFolder:
    """Reads what was recognised in a folder or a file; where nothing was, class folders of any classes, or pictures."""
    listed: list[Listed] = []
    origins = []
    for one in found:
        origin = Origin(find_dataset(one.dataset).full_title, one.where, one.why, one.notes)
        try:
            # Rows are read also before stage 1.
            images = list(list_rows(one.tables) if one.tables else list_images(one.images(), target, faces))
        except EmoTorchError as error:
            is_table = any(path.is_file() for path in one.covers)
            if is_table or not one.where.is_dir() or one.dataset in DATASETS:
                raise
            images = list(list_class_folders(one.where, target))
            origin = replace(origin, refused=str(error))
        origin.formats.update(_format(target / entry.file.partition(", face at ")[0]) for entry, _ in images)
        for entry, load in images:
            if len(found) > 1:  # each spells its classes otherwise
                entry = replace(entry, dataset=one.dataset, label=emotion_name(entry.label))
            listed.append((entry, load))
        origins.append(origin)
    if not found:
        listed, why = (
            list(list_class_folders(target, target)),
            "class folders, of no emotion that is known",
        )
        if not listed:
            listed, why = (
                list(list_pictures(target)),
                "pictures alone, which nothing tells the emotions of",
            )
        if not listed and passed_over:
            raise EmoTorchError(f"{passed_over[0].where}: no readable image: {passed_over[0].found}")
        formats = Counter(_format(target / entry.file) for entry, _ in listed)
        origins = [Origin(target.name, target, why, formats=formats)]
    return replace(_collect(target, listed, origins, None), passed_over=passed_over)


def _format(path: Path) -> str:
    """The format that a file's content shows; `rows` for those of a table."""
    return (picture_format(read_start(path)) or "unknown") if path.is_file() else "rows"


def _collect(folder: Path, listed: Sequence[Listed], origins: Sequence[Origin], stage: str | None) -> AuditedFolder:
    readable: list[Entry] = []
    unreadable: list[Found] = []
    faces = np.empty((len(listed), SIZE, SIZE), np.uint8)
    hashes: list[str] = []
    sizes: list[tuple[int, ...]] = []
    found: list[int] = []
    for entry, load in progress(listed, total=len(listed), description="reading images", unit="image"):
        try:
            picture = load()
        except EmoTorchError as error:
            unreadable.append(Found(entry, str(error)))
            continue
        faces[len(readable)] = bring_to(picture.pixels if picture.face is None else picture.face, GREY_FACE)
        hashes.append(hash_pixels(picture.pixels))
        sizes.append(picture.size or picture.pixels.shape[:2])
        found.append(picture.faces)
        readable.append(entry)
    if not readable:
        reason = unreadable[0].detail if unreadable else "no dataset that is known, no class folders, no pictures"
        raise EmoTorchError(f"{folder}: no readable image: {reason}")
    return AuditedFolder(
        folder=folder,
        stage=stage,
        entries=readable,
        faces=faces[: len(readable)],
        hashes=np.array(hashes, dtype=np.str_),
        sizes=np.array(sizes, dtype=np.int64),
        found=np.array(found, dtype=np.int64),
        unreadable=unreadable,
        origins=origins,
    )
