"""ExpW: faces in photos from the web, in a list with their boxes.

Source: Zhang, Luo, Loy and Tang, "From facial expression recognition to interpersonal relation prediction" (IJCV 2018).
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from emotorch.data.faces import Box
from emotorch.data.formats import read_start
from emotorch.data.known import recognise_class_folders
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.text_tables import is_list
from emotorch.datasets import EXPW
from emotorch.errors import EmoTorchError

# image_name face_id top left right bottom confidence label
_LINE = re.compile(r"(?P<name>\S.*?)\s+\d+\s+(?P<box>-?\d+\s+-?\d+\s+-?\d+\s+-?\d+)\s+[\d.eE+-]+\s+(?P<label>\d+)\s*")
_EXAMPLE = "name.jpg 0 30 40 140 150 99.5 3"


def recognise(folder: Folder) -> Iterator[Finding]:
    """ExpW by its list, `label.lst`, with its pictures in the same folder or below it; or class folders."""
    listing = _find_list(folder)
    if listing is None:
        yield from recognise_class_folders(folder, EXPW)
        return
    if any(_find_list(sub) is not None and sub.has_pictures for sub in folder.folders):
        return  # all of it is further below
    if folder.has_pictures:
        pictures = [below.pictures[0] for below in folder.walk() if below.pictures]
        listed = listing.read_text(encoding="utf-8-sig", errors="surrogateescape")
        yield Recognised(
            EXPW.name,
            folder.path,
            f"its list {listing.name}, with lines like {_EXAMPLE!r}",
            covers=folder.parts([listing, *(path for path in pictures if path.name in listed)]),
            images=lambda: list_images(listing, folder),
            count=lambda: len(listing.read_bytes().splitlines()),
        )
    elif listing.parent == folder.path:
        yield Incomplete(listing, "ExpW's list without its pictures, image/origin/, beside it")


@cache
def _find_list(folder: Folder) -> Path | None:
    for path in filter(is_list, folder.paths):
        first = read_start(path).decode("utf-8-sig", "replace").splitlines()[:1]
        if path.name.lower() != "readme.txt" and first and _LINE.fullmatch(first[0]):
            return path
    return next(filter(None, map(_find_list, folder.folders)), None)


def list_images(listing: Path, folder: Folder) -> list[SourceImage]:
    """Every face of the list, in its order; a picture may hold several.

    Raises:
        EmoTorchError: a line is not one of the list's, or its picture is not there.
    """
    found = {path.name: path for below in folder.walk() for path in below.pictures}
    images = []
    text = listing.read_text(encoding="utf-8-sig", errors="surrogateescape")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None or int(match["label"]) >= len(EXPW.classes):
            raise EmoTorchError(f"{listing}, line {number}: {line[:60]!r} is not like {_EXAMPLE!r} (label 0-6)")
        path = found.get(Path(match["name"]).name)
        if path is None:
            raise EmoTorchError(
                f"{listing}, line {number}: no picture {match['name']} below {folder.path}; unpack all parts of image/"
            )
        top, left, right, bottom = map(int, match["box"].split())
        box = Box(left, top, right - left, bottom - top)
        images.append(SourceImage(path, EXPW.classes[int(match["label"])], Reading.CROP, box=box))
    return images
