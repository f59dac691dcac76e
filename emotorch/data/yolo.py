"""Faces in YOLO's form: for each picture a text, with lines of class, centre and size; the classes in `data.yaml`."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from emotorch.data.faces import Box
from emotorch.data.images import picture_size
from emotorch.data.layouts import Folder, Recognised, warn_of
from emotorch.data.names import first_split, is_of_guesses
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import printable
from emotorch.labels import LabelScheme

_INLINE = re.compile(r"^names\s*:\s*[\[{](.*?)[\]}]", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^names\s*:\s*\n((?:[ \t]*(?:-|\d+\s*:).*\n?)+)", re.MULTILINE)
_LISTS = (".yaml", ".yml")
_SHARE = 0.5  # of the classes that are to be emotions: others may be there too
_LARGEST = 1 << 16  # bytes of a list of classes


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Recognised]:
    """Pictures with such a text beside them, or in `labels/` where they are in `images/`, below a list of emotions."""
    for listing, names in _lists(folder):
        known = [name for name in names.values() if scheme.knows(name)]
        pairs = _pairs(folder) if len(known) > max(1, _SHARE * len(names)) else {}
        if pairs:
            yield Recognised(
                "",
                folder.path,
                f"boxes of YOLO's form, of the classes in {listing.name} ({', '.join(names.values())})",
                folder.parts([*pairs, *pairs.values()]) | {listing},
                partial(_list_images, folder, listing, names, pairs, scheme),
                pairs.__len__,
            )
            return


def _lists(folder: Folder) -> list[tuple[Path, dict[int, str]]]:
    """The lists of classes right in a folder, each with the classes' names by their numbers."""
    lists = (path for path in folder.paths if path.suffix.lower() in _LISTS)
    return [(path, names) for path in lists if (names := _read_names(path))]


def _read_names(path: Path) -> dict[int, str]:
    """The classes' names by their numbers, of a list or a mapping `names` in YAML; empty where there is none."""
    try:
        text = path.read_bytes()[:_LARGEST].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    if match := _INLINE.search(text):
        entries = match[1].split(",")
    elif match := _BLOCK.search(text):
        entries = [line.partition(" #")[0].strip().removeprefix("-") for line in match[1].splitlines()]
    else:
        return {}
    names = {}
    for place, entry in enumerate(entry.strip() for entry in entries if entry.strip()):
        number, colon, name = entry.partition(":")
        told = (int(number), name) if colon and number.strip().isdecimal() else (place, entry)
        names[told[0]] = told[1].strip().strip("'\"").strip()
    return names


def _pairs(folder: Folder) -> dict[Path, Path]:
    """The pictures below a folder that have a text of the same name, with that; not what a detector wrote."""

    def key(path: Path) -> tuple[str, ...]:
        return (*(name for name in folder.way_to(path) if name.lower() not in ("images", "labels")), path.stem)

    others = {below.path for below in folder.walk() if below is not folder and _lists(below)}  # by lists of their own
    holders = []
    for below in folder.walk():
        names = below.path.relative_to(folder.path).parts
        is_output = "runs" in names or any(map(is_of_guesses, names))  # YOLO's own are called `runs/detect/predict`
        if not is_output and others.isdisjoint((below.path, *below.path.parents)):
            holders.append(below)
    texts = {key(path): path for below in holders for path in below.paths if path.suffix.lower() == ".txt"}
    pictures = (path for below in holders for path in below.pictures)
    return {path: text for path in pictures if (text := texts.get(key(path)))}


def _list_images(
    folder: Folder, listing: Path, names: Mapping[int, str], pairs: Mapping[Path, Path], scheme: LabelScheme
) -> list[SourceImage]:
    """Every box, in the order of the pictures and lines; a picture may hold several faces.

    Raises:
        EmoTorchError: a line is no box, or of a class that the list has not or that is no emotion.
    """
    images = []
    for path, text in pairs.items():
        split = first_split(folder.way_to(path))
        for line, number, box in _read_boxes(path, text):
            name = names.get(number, "")
            if not scheme.knows(name):
                raise EmoTorchError(
                    f"{text}, line {line}: class {number} is {name!r} in {listing}, no known emotion and no label of "
                    f"scheme {scheme.name} ({', '.join(scheme.labels)}); rename it there, or take the line out"
                )
            images.append(SourceImage(path, name.lower(), Reading.CROP, usage=split, box=box))
    told, covered = {image.path for image in images}, folder.parts(pairs)
    pictures = [path for below in folder.walk() for path in below.pictures if path not in told]
    without = [path for path in pictures if not covered.isdisjoint((path, *path.parents))]
    warn_of(without, "pictures without a box, left out", folder.path)
    return images


def _read_boxes(picture: Path, text: Path) -> Iterator[tuple[int, int, Box]]:
    """The line, class and box of every face in a picture."""
    size = picture_size(picture, upright=True)
    if size is None:
        raise EmoTorchError(f"{picture}: damaged, or no image; mend it, or move it away")
    for line, written in enumerate(text.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if written.strip():
            try:
                yield line, *_parse(written.split(), size)
            except (ValueError, OverflowError):
                said = f"{printable(written.strip())[:60]!r} is no box like '3 0.5 0.5 0.2 0.3'"
                raise EmoTorchError(f"{text}, line {line}: {said}; mend the line") from None


def _parse(cells: list[str], size: tuple[int, int]) -> tuple[int, Box]:
    """Class and box of a line: centre and size (and a confidence), or a polygon, in parts of the picture's size."""
    number, values = int(cells[0]), [float(cell) for cell in cells[1:]]
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    elif len(values) >= 6 and len(values) % 2 == 0:
        left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    else:
        raise ValueError
    x, y = round(left * size[0]), round(top * size[1])
    box = Box(x, y, round(right * size[0]) - x, round(bottom * size[1]) - y)
    if box.width <= 0 or box.height <= 0:
        raise ValueError
    return number, box
