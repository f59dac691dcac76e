"""RAF-DB's basic classes: its own list with aligned faces, or class folders 1 to 7.

Source: Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning for expression
recognition in the wild" (CVPR 2017).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from emotorch.data.formats import is_picture
from emotorch.data.known import class_of, recognise_class_folders
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised, warn_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.table_rows import LabelTable, tables_in
from emotorch.datasets import RAF
from emotorch.errors import EmoTorchError
from emotorch.files import visible

# The dataset's own spelling, and the right one.
_LIST = re.compile(r"list_par?tition_label\.txt", re.IGNORECASE)


def recognise(folder: Folder) -> Iterator[Finding]:
    """RAF-DB by its list, in `EmoLabel/` or beside the pictures; or class folders, also with tables beside them."""
    # The folder above `EmoLabel/` has been asked already.
    for labels in (folder if folder.name.lower() != "emolabel" else None, folder.find("emolabel")):
        listed = labels and next((labels.path / name for name in labels.files if _LIST.fullmatch(name)), None)
        if labels and listed:
            yield _listed(folder, labels, listed)
            return
    # One of its copies has tables of the labels beside the folder of class folders.
    tables = tables_in(folder)
    for base in (folder, *(folder.folders if tables else ())):
        for finding in recognise_class_folders(base, RAF):
            if isinstance(finding, Recognised) and tables:
                finding = _checked(finding, tables)
            yield finding


def _listed(folder: Folder, labels: Folder, listing: Path) -> Finding:
    aligned = next((below for below in folder.walk() if below.name.lower() == "aligned" and below.pictures), None)
    if aligned is None:
        return Incomplete(
            listing, "RAF-DB's list, without the pictures of Image/aligned/ beside it; unpack aligned.zip"
        )
    top = folder.path / aligned.path.relative_to(folder.path).parts[0]
    return Recognised(
        RAF.name,
        folder.path,
        f"its list {listing.name}",
        covers=frozenset({labels.path, top}),
        images=lambda: list_images(listing, aligned.path),
        count=lambda: len(aligned.pictures),
    )


def list_images(listing: Path, aligned: Path) -> list[SourceImage]:
    """Every image of the list, in its order.

    Raises:
        EmoTorchError: the list is empty or has a line that is not `train_00001.jpg 5`.
    """
    images: dict[str, SourceImage] = {}
    for number, line in enumerate(listing.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split()
        usage = fields[0].split("_")[0]
        known_code = len(fields) == 2 and fields[1].isdecimal() and 1 <= int(fields[1]) <= len(RAF.classes)
        if not known_code or usage not in ("train", "test"):
            raise EmoTorchError(
                f"{listing}, line {number}: {line[:40]!r} is not like 'train_00001.jpg 5' (1-7: the basic set)"
            )
        name = Path(fields[0])
        path = aligned / f"{name.stem}_aligned{name.suffix}"
        if fields[0] in images:
            raise EmoTorchError(f"{listing}, line {number}: {name} stands in an earlier line too; remove one")
        if not path.is_file():
            raise EmoTorchError(f"{listing}, line {number}: no file {path}; put it there, or remove the line")
        images[fields[0]] = SourceImage(path, RAF.classes[int(fields[1]) - 1], Reading.CROP, usage=usage)
    if not images:
        raise EmoTorchError(f"{listing}: the file is empty")
    listed = {image.path for image in images.values()}
    unlisted = [path for path in visible(aligned) if is_picture(path) and path not in listed]
    warn_of(unlisted, "pictures that are in no line, left out", listing)
    return list(images.values())


def _checked(found: Recognised, tables: Sequence[LabelTable]) -> Recognised:
    """Class folders and tables of the same labels; a row whose picture is missing or of another class is an error."""

    def images() -> list[SourceImage]:
        listed = found.images()
        by_name = {image.path.name: image for image in listed}
        for row in chain.from_iterable(table.rows for table in tables):
            name = row.path.name
            if name not in by_name:
                raise row.error(f"no file {name!r} in the class folders of {found.where}")
            image = by_name[name]
            if class_of(RAF)(row.label) != image.emotion:
                raise row.error(f"{name} is in the folder {image.path.parent}, which says {image.emotion}")
        return listed

    names = ", ".join(table.path.name for table in tables)
    told = f"labels as in {names}" if any(table.rows for table in tables) else f"{names}: without rows"
    covers = found.covers | {found.where, *(table.path for table in tables)}
    return replace(found, images=images, covers=covers, notes=(*found.notes, told))
