"""The dataset folder: every source's images of a scheme's classes, renamed, with a manifest (stage 2)."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from emotorch.data import ckplus, rafdb
from emotorch.data.chunks import work_through
from emotorch.data.fer2013 import COMMAND as STAGE_1
from emotorch.data.fer2013 import MANIFEST_COLUMNS as FER_COLUMNS
from emotorch.data.images import hash_pixels, write_png
from emotorch.data.manifest import NAME as MANIFEST
from emotorch.data.manifest import read_manifest
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import StageBuild, hash_file, read_stamp, stage_folder, visible, write_csv
from emotorch.labels import FER_EMOTIONS, LabelScheme
from emotorch.paths import Paths

logger = logging.getLogger(__name__)

COMMAND = "develop_baseline_model/helpers/create_original_dataset.py"
MANIFEST_COLUMNS = ("file", "dataset", "emotion", "source", "usage", "subject", "hash")
_IMAGES_PER_CHUNK = 256


@dataclass(frozen=True)
class _Task:
    """One image to write: its source and its place in the dataset folder."""

    source: SourceImage
    dataset: str
    emotion: str
    file: str


@dataclass(frozen=True)
class _Chunk:
    name: str
    folder: Path
    tasks: Sequence[_Task]


class _Record(TypedDict):
    hash: str
    face_found: bool


@dataclass(frozen=True)
class Summary:
    """Images per dataset and class, as written (or as they were there already)."""

    counts: dict[str, dict[str, int]]
    up_to_date: bool


def create(paths: Paths, scheme: LabelScheme, *, workers: int, force: bool) -> Summary:
    """Writes `FER-Original-Dataset/{FER,CKP,RAF}/<class>/<n>.png` and the manifest.

    FER-2013 is needed; CK+ and RAF-DB take part where their folders are.

    Raises:
        EmoTorchError: FER-2013 is missing, or a file is damaged, foreign or not of the right size.
    """
    tasks: list[_Task] = []
    inputs: dict[str, str] = {}
    for dataset, images in _available_sources(paths).items():
        chosen = _number(dataset, images, scheme)
        tasks += chosen
        inputs[dataset] = _fingerprint(paths, dataset, images)
    stamp = {"stage": 2, "scheme": scheme.name, "labels": list(scheme.labels), "inputs": inputs}
    with stage_folder(paths.originals, stamp, stage="stage 2", force=force) as build:
        if build is not None:
            _write_images(build, tasks, scheme, workers)
            _write_manifest(build, tasks, paths)
        return Summary(_count(tasks, scheme), up_to_date=build is None)


def _available_sources(paths: Paths) -> dict[str, list[SourceImage]]:
    sources = {"FER": _list_fer(paths)}
    for name, folder, list_images in (
        ("CKP", paths.ckplus, ckplus.list_images),
        ("RAF", paths.rafdb, rafdb.list_images),
    ):
        if folder.is_dir():
            sources[name] = list_images(folder)
        elif name == "CKP":
            logger.info("no CK+ in %s: everything runs without it", folder)
    return sources


def _list_fer(paths: Paths) -> list[SourceImage]:
    """FER-2013's images as stage 1 wrote them; nothing missing, nothing added."""
    folder = paths.fer_images
    read_stamp(folder, STAGE_1)
    rows = read_manifest(folder, FER_COLUMNS, STAGE_1)
    images = [
        SourceImage(folder / row["file"], row["emotion"], Reading.FACE, usage=row["usage"], hash=row["hash"])
        for row in rows
    ]
    listed = {image.path for image in images}
    present = {path for emotion in FER_EMOTIONS if (folder / emotion).is_dir() for path in visible(folder / emotion)}
    if present - listed:
        raise EmoTorchError(f"{min(present - listed)}: not from the CSV (stage 1 did not write it); move it away")
    if listed - present:
        raise EmoTorchError(f"{min(listed - present)} is missing: run {STAGE_1} again")
    return images


def _number(dataset: str, images: Iterable[SourceImage], scheme: LabelScheme) -> list[_Task]:
    """Maps classes and numbers the images of each, from 1, in the source's order."""
    mapping = scheme.sources[dataset]
    taken: Counter[str] = Counter()
    tasks = []
    for image in images:
        emotion = mapping.get(image.emotion)
        if emotion is None:
            continue
        taken[emotion] += 1
        tasks.append(_Task(image, dataset, emotion, f"{dataset}/{emotion}/{taken[emotion]}.png"))
    return tasks


def _fingerprint(paths: Paths, dataset: str, images: Iterable[SourceImage]) -> str:
    if dataset == "FER":
        return hash_file(paths.fer_images / MANIFEST)
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{paths.relative(image.path)}\0{image.emotion}\0{hash_file(image.path)}\n".encode())
    return digest.hexdigest()


def _write_images(build: StageBuild, tasks: Sequence[_Task], scheme: LabelScheme, workers: int) -> None:
    for dataset in {task.dataset for task in tasks}:
        for label in scheme.labels:
            (build.folder / dataset / label).mkdir(parents=True, exist_ok=True)
    work_through(build, _chunks(build.folder, tasks), _write_chunk, workers, "dataset")


def _chunks(folder: Path, tasks: Sequence[_Task]) -> list[_Chunk]:
    return [
        _Chunk(f"images from {first}", folder, tasks[first : first + _IMAGES_PER_CHUNK])
        for first in range(0, len(tasks), _IMAGES_PER_CHUNK)
    ]


def _write_chunk(chunk: _Chunk) -> list[_Record]:
    records: list[_Record] = []
    for task in chunk.tasks:
        pixels, face_found = task.source.read()
        write_png(chunk.folder / task.file, pixels)
        records.append({"hash": hash_pixels(pixels), "face_found": face_found})
    return records


def _write_manifest(build: StageBuild, tasks: Sequence[_Task], paths: Paths) -> None:
    records: list[_Record] = []
    for chunk in _chunks(build.folder, tasks):
        records += build.records(chunk.name)
    rows = (
        (
            task.file,
            task.dataset,
            task.emotion,
            paths.relative(task.source.path),
            task.source.usage,
            task.source.subject,
            record["hash"],
        )
        for task, record in zip(tasks, records, strict=True)
    )
    write_csv(build.folder / MANIFEST, MANIFEST_COLUMNS, rows)
    unfound = [task.source.path for task, record in zip(tasks, records, strict=True) if not record["face_found"]]
    if unfound:
        logger.warning("no face found in %d pictures, cropped to the centre (first: %s)", len(unfound), unfound[0])


def _count(tasks: Iterable[_Task], scheme: LabelScheme) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for task in tasks:
        counts.setdefault(task.dataset, dict.fromkeys(scheme.labels, 0))[task.emotion] += 1
    return counts
