"""Synthetic faces as raw datasets: an official-format FER-2013 CSV and CK+ class folders."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotorch.data.images import write_png
from emotorch.data.synthetic import IN_THE_LABORATORY, Identity, draw_face
from emotorch.datasets import CKP, FER, FER_USAGES
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError
from emotorch.files import write_atomically, write_text
from emotorch.paths import Paths
from emotorch.seeding import generator

# The amount that `make pipeline` draws when there is no real data.
ROWS = 6000
CKPLUS_IMAGES = 420
SEED = 42

# Images in each class of the real datasets, in their order.
_FER_COUNTS = (4953, 547, 5121, 8989, 6077, 4002, 6198)
_CKPLUS_COUNTS = (135, 54, 177, 75, 207, 84, 249)
_CKPLUS_CLASSES = CKP.classes[: len(_CKPLUS_COUNTS)]  # without the neutral one of some copies
_TWIN_SHARE = 0.01
_TWINS_PER_CONFLICT = 10
# CK+ gives the last three frames of a sequence, as the expression reaches its peak.
_PEAK_FRAMES = (0.9, 0.95, 1.0)
_SEQUENCES_PER_SUBJECT = 3


def write_dataset(paths: Paths, *, rows: int = ROWS, ckplus_images: int = CKPLUS_IMAGES, seed: int = SEED) -> None:
    """Draws both datasets below the root, and marks it as synthetic; does nothing when just these are there.

    Raises:
        EmoTorchError: there is data below the root that is not marked so: it may be real.
    """
    text = (
        "The faces below this folder are drawn by a program and show nobody.\n"
        f"{rows} rows of FER-2013's format, {ckplus_images} images in CK+'s layout, seed {seed}.\n"
    )
    if paths.is_synthetic and paths.synthetic_marker.read_text(encoding="utf-8") == text:
        return
    for existing in (paths.fer_csv, paths.ckplus):
        if existing.exists() and not paths.is_synthetic:
            raise EmoTorchError(f"{existing} is there already and not synthetic: it is not overwritten")
    write_text(paths.synthetic_marker, text + "Not finished yet.\n")  # so that nothing of it ever passes for real
    write_fer2013_csv(paths.fer_csv, rows=rows, seed=seed)
    write_ckplus(paths.ckplus, images=ckplus_images, seed=seed)
    write_text(paths.synthetic_marker, text)


def write_fer2013_csv(path: Path, *, rows: int, seed: int) -> None:
    """Writes `emotion,pixels,Usage`, with classes and usages as frequent as in FER-2013, and 1% exact twins.

    Every row depends on the seed and its number alone.
    """
    emotions = _spread(_FER_COUNTS, rows)
    usages = _usages(emotions)
    twins = {rows - 1 - number: number for number in range(round(rows * _TWIN_SHARE))}

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="ascii") as file:
            file.write("emotion,pixels,Usage\n")
            for row in range(rows):
                original = twins.get(row, row)
                rng = generator("synthetic FER", seed, original)
                pixels = draw_face(FER.classes[emotions[original]], Identity(rng), rng)
                # Some twins are labelled otherwise than their original, as in the real set.
                contradicts = row in twins and original % _TWINS_PER_CONFLICT == 0
                emotion = emotions[row if contradicts else original]
                file.write(f"{emotion},{' '.join(map(str, pixels.ravel().tolist()))},{usages[row]}\n")

    write_atomically(path, write)


def _spread(counts: Sequence[int], total: int) -> list[int]:
    """`total` classes in proportions like those of `counts`, evenly mixed: every stretch has about the same."""
    proportions = np.array(counts) / sum(counts)
    taken = np.zeros(len(counts))
    order = []
    for position in range(1, total + 1):
        chosen = int(np.argmax(position * proportions - taken))
        taken[chosen] += 1
        order.append(chosen)
    return order


def _usages(emotions: Sequence[int]) -> list[str]:
    """Usages: of ten images of a class eight train and one is for each test, so that every usage has every class."""
    seen: Counter[int] = Counter()
    usages = []
    for emotion in emotions:
        usages.append({1: FER_USAGES[1], 2: FER_USAGES[2]}.get(seen[emotion] % 10, FER_USAGES[0]))
        seen[emotion] += 1
    return usages


def write_ckplus(folder: Path, *, images: int, seed: int) -> None:
    """Writes `<class>/S010_004_00000017.png`: the last three frames of sequences, strong and evenly lit."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prepared = Path(tempfile.mkdtemp(prefix=".ckplus-", dir=folder.parent))
    try:
        prepared.chmod(0o755)
        for emotion in _CKPLUS_CLASSES:
            (prepared / emotion).mkdir()
        sequences = max(1, images // len(_PEAK_FRAMES))
        for sequence, emotion_index in enumerate(_spread(_CKPLUS_COUNTS, sequences)):
            _write_sequence(prepared / _CKPLUS_CLASSES[emotion_index], _CKPLUS_CLASSES[emotion_index], sequence, seed)
        shutil.rmtree(folder, ignore_errors=True)
        prepared.rename(folder)
    except BaseException:
        shutil.rmtree(prepared, ignore_errors=True)
        raise


def _write_sequence(folder: Path, emotion: str, sequence: int, seed: int) -> None:
    subject, take = divmod(sequence, _SEQUENCES_PER_SUBJECT)
    who = Identity(generator("synthetic CK+", seed, "subject", subject))
    last = int(generator("synthetic CK+", seed, "length", sequence).integers(9, 40))
    for frame, apex in enumerate(_PEAK_FRAMES, start=last - len(_PEAK_FRAMES) + 1):
        # The same numbers for each frame: pose and light stay, only the expression grows.
        rng = generator("synthetic CK+", seed, "sequence", sequence)
        name = f"S{subject + 1:03d}_{take + 1:03d}_{frame:08d}.png"
        write_png(folder / name, draw_face(emotion_name(emotion), who, rng, IN_THE_LABORATORY, apex))
