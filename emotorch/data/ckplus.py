"""CK+ in its common layouts.

Source: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)" (CVPR workshops 2010).
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from emotorch.data.class_folders import ClassFolders
from emotorch.data.images import SIZE
from emotorch.data.known import ask_from_1, numbered_classes
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised, common_size
from emotorch.data.pixel_csv import dataset_of, read_head, readable_head
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import CKP
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})(?!\d)", re.IGNORECASE)
_SUBJECT = re.compile(r"S\d{3}", re.IGNORECASE)
_LABEL_ENDING = "_emotion.txt"
_LABEL = re.compile(rf"(S\d{{3}})_(\d{{3}})_\d{{8}}{_LABEL_ENDING}$", re.IGNORECASE)
# Its class folders have names alone, however a copy spells them.
_CLASS_OF = {emotion_name(own): own for own in CKP.classes}
_PEAK_FRAMES = 3
_FRAME_WIDTH = 640  # pixels; of whole frames, also where a copy has sorted them into class folders
# The numbers in tables of CK+, ckextended.csv.
_TABLE_CLASSES = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt")

_Key = tuple[str, str]  # a person and a sequence: S005, 001


def recognise(folder: Folder) -> Iterator[Finding]:
    """CK+ as crops in class folders, by their file names; as a table; or as the official archive."""
    for csv in folder.tables:
        if dataset_of(csv, folder) == CKP.name:
            yield _recognise_table(csv)
    yield from _recognise_archive(folder)
    crops = ClassFolders(folder, lambda name: _CLASS_OF.get(emotion_name(name)))
    if not crops and _are_crops(numbered_classes(folder)):
        said = "CK+ by its file names, but its class folders are numbers, which copies of it count differently"
        yield Incomplete(folder.path, f"{said}: call them by the emotions", is_question=True)
    if _are_crops(crops):
        yield crops.recognised(
            CKP.name,
            f"file names like {CKP.file_example}: person, sequence, frame",
            lambda: _list_crops(crops),
            preference=2,
            notes=("its folders of splits are not its own, and are not kept",) if crops[0].split else (),
        )


def _are_crops(classes: ClassFolders) -> bool:
    named = [path for path in classes.pictures if _NAME.match(path.stem)]
    return len(named) > len(classes.pictures) / 2


def _recognise_archive(folder: Folder) -> Iterator[Finding]:
    """The official archive: frames and labels in folders `S005/001`, under whatever folders these are.

    They belong together where they meet: in the lowest folder that has both below it.
    """
    frames = [sub for sub in folder.folders if _sequences(sub)]
    labels = [sub for sub in folder.folders if _labels(sub)]
    if frames and labels and not (len(frames) == 1 and frames == labels):
        sequences = {key: found for sub in frames for key, found in _sequences(sub).items()}
        label_of = {key: found for sub in labels for key, found in _labels(sub).items()}
        yield Recognised(
            CKP.name,
            folder.path,
            f"sequences like S005/001 in {_names(frames)} with labels in {_names(labels)}",
            covers=frozenset(sub.path for sub in (*frames, *labels)),
            images=lambda: _list_archive(folder, sequences, label_of),
            count=lambda: _PEAK_FRAMES * len(sequences.keys() & label_of.keys()),
        )
    elif folder.path.parent == folder.raw:
        if _sequences(folder) and not _labels(folder):
            yield Incomplete(folder.path, "CK+'s frames (S005/001/…) without its labels, the folder Emotion")
        elif _labels(folder) and not _sequences(folder):
            yield Incomplete(folder.path, "CK+'s labels (S005/001/…_emotion.txt) without its frames")


def _names(folders: Sequence[Folder]) -> str:
    return " and ".join(folder.name for folder in folders)


@cache
def _sequences(folder: Folder) -> dict[_Key, Folder]:
    """The folders of frames below a folder, by person and sequence."""
    found = {}
    for subject in folder.walk():
        if _SUBJECT.fullmatch(subject.name):
            for sequence in subject.folders:
                if sequence.name.isdecimal() and sequence.pictures:
                    found[subject.name.upper(), sequence.name] = sequence
    return found


@cache
def _labels(folder: Folder) -> dict[_Key, Path]:
    """The files of labels below a folder, by person and sequence."""
    files = (path for part in folder.walk() for path in part.paths if path.name.endswith(_LABEL_ENDING))
    return {(match[1].upper(), match[2]): path for path in files if (match := _LABEL.match(path.name))}


def _recognise_table(csv: Path) -> Finding:
    table = readable_head(csv)
    if table is not None and table.counts_from_1(len(_TABLE_CLASSES) - 1):
        return ask_from_1(csv, table.highest_code(), _TABLE_CLASSES)
    return Recognised(
        CKP.name,
        csv,
        table.described if table else "by its name",
        covers=frozenset({csv}),
        images=lambda: _list_table(csv),
        count=table.count_rows if table else lambda: 0,
        listing=csv,
        notes=("it does not tell the persons, and its Usage, a split that no paper knows, is not kept",),
    )


def _list_table(csv: Path) -> list[SourceImage]:
    table = replace(read_head(csv), usage=None).of(len(_TABLE_CLASSES), ("",))
    images = []
    for row, parsed in enumerate(table.parse_rows(csv.read_bytes().rstrip().split(table.line_end)[1:])):
        if isinstance(parsed, ValueError):
            raise EmoTorchError(f"{csv}, line {row + 2} (row {row}): {parsed}; mend it")
        code, pixels, usage = parsed
        images.append(SourceImage(csv, _TABLE_CLASSES[code], Reading.FACE, usage=usage, pixels=pixels, row=row))
    if not images:
        raise EmoTorchError(f"{csv}: a header but no rows")
    return images


def _list_crops(crops: ClassFolders) -> list[SourceImage]:
    width, height = common_size(crops.pictures) or (SIZE, SIZE)
    reading = Reading.SCENE if width >= _FRAME_WIDTH else Reading.CROP
    if height == width == SIZE:
        reading = Reading.FACE
    images = []
    for found, path in crops.walk(CKP.full_title):
        match = _NAME.match(path.stem)
        if match is None:
            raise EmoTorchError(f"{path}: not named like {CKP.file_example} (person, sequence, frame); move it away")
        images.append(SourceImage(path, found.emotion, reading, subject=match[1].upper()))
    return sorted(images, key=lambda image: image.path.name)


def _list_archive(folder: Folder, sequences: Mapping[_Key, Folder], labels: Mapping[_Key, Path]) -> list[SourceImage]:
    images = []
    unlabelled = 0
    for key in sorted(sequences):
        if key not in labels:
            unlabelled += 1
            continue
        emotion = _read_label(labels[key])
        frames = [path for path in sequences[key].pictures if _NAME.match(path.stem)]
        if len(frames) < _PEAK_FRAMES:
            raise EmoTorchError(f"{sequences[key].path}: {len(frames)} frames, fewer than the {_PEAK_FRAMES} of a peak")
        images += [SourceImage(path, emotion, Reading.SCENE, subject=key[0]) for path in frames[-_PEAK_FRAMES:]]
    if not images:
        raise EmoTorchError(f"{folder.path}: no sequence of CK+ has an emotion label")
    if missing := labels.keys() - sequences.keys():
        logger.warning("CK+: %d sequences have a label and no frames (first: %s)", len(missing), labels[min(missing)])
    if unlabelled:
        logger.info("CK+: %d of %d sequences have no emotion label and are left out", unlabelled, len(sequences))
    return images


def _read_label(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    try:
        return CKP.classes[CKP.numbers[:7].index(int(float(text)))]  # none is labelled as neutral
    except (ValueError, OverflowError):
        raise EmoTorchError(f"{path}: {text[:20]!r} is not an emotion number from 1 to 7") from None
