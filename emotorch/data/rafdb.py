"""RAF-DB's basic classes, from its own list file and aligned faces.

Source: Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning for expression
recognition in the wild" (CVPR 2017).
"""

from pathlib import Path

from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import RAF
from emotorch.errors import EmoTorchError


def list_images(folder: Path) -> list[SourceImage]:
    """Every image of `EmoLabel/list_patition_label.txt` (the dataset's own spelling), in its order.

    Raises:
        EmoTorchError: the list is missing or has a line that is not `train_00001.jpg 5`.
    """
    base = folder / "basic" if (folder / "basic").is_dir() else folder
    listing = base / "EmoLabel" / "list_patition_label.txt"
    if not listing.is_file():
        raise EmoTorchError(f"{listing} does not exist: RAF-DB needs its EmoLabel/ and Image/aligned/ folders")
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
        path = base / "Image" / "aligned" / f"{name.stem}_aligned{name.suffix}"
        images.append(SourceImage(path, RAF.classes[int(fields[1]) - 1], Reading.CROP, usage=usage))
    if not images:
        raise EmoTorchError(f"{listing}: the file is empty")
    return images
