"""RAF-DB's basic classes, from its own list file and aligned faces.

Source: Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning for expression
recognition in the wild" (CVPR 2017).
"""

from collections.abc import Iterator
from pathlib import Path

from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import RAF
from emotorch.errors import EmoTorchError

_LIST = "list_patition_label.txt"  # the dataset's own spelling


def recognise(folder: Folder) -> Iterator[Finding]:
    """The folder that has `EmoLabel/list_patition_label.txt` and `Image/aligned/` in it."""
    labels = folder.find("emolabel")
    if labels is None or _LIST not in labels.files:
        return
    listing = labels.path / _LIST
    pictures = folder.find("image")
    aligned = pictures and pictures.find("aligned")
    if pictures is None or aligned is None:
        yield Incomplete(labels.path, f"RAF-DB's {_LIST} without Image/aligned/ beside it")
        return
    yield Recognised(
        RAF.name,
        folder.path,
        f"its list {_LIST}",
        covers=frozenset({labels.path, pictures.path}),
        images=lambda: list_images(listing, aligned.path),
        count=lambda: len(aligned.pictures),
    )


def list_images(listing: Path, aligned: Path) -> list[SourceImage]:
    """Every image of the list, in its order.

    Raises:
        EmoTorchError: the list is empty or has a line that is not `train_00001.jpg 5`.
    """
    images = []
    for number, line in enumerate(listing.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split()
        usage = fields[0].split("_")[0]
        known_code = len(fields) == 2 and fields[1].isdecimal() and 1 <= int(fields[1]) <= len(RAF.classes)
        if not known_code or usage not in ("train", "test"):
            raise EmoTorchError(f"{listing}, line {number}: {line[:40]!r} is not like 'train_00001.jpg 5'")
        name = Path(fields[0])
        path = aligned / f"{name.stem}_aligned{name.suffix}"
        images.append(SourceImage(path, RAF.classes[int(fields[1]) - 1], Reading.CROP, usage=usage))
    if not images:
        raise EmoTorchError(f"{listing}: the file is empty")
    return images
