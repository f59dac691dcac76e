"""Which images a run used and what for: `image_usage.csv` and `usage_summary.csv`."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from emotorch.data.dataset import MANIFEST_COLUMNS
from emotorch.data.selection import ImageSet, Selection
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.data.variants import original_of
from emotorch.datasets import CKP, FER, FER_USAGES
from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, read_table, write_csv, write_text
from emotorch.paths import STAGE_2, Paths
from emotorch.runs.compact import read_kept
from emotorch.runs.folder import Run, is_on_fer
from emotorch.runs.record import FILES, RECORD_NAME

logger = logging.getLogger(__name__)

USAGE_NAME = "image_usage.csv"
# Of a run that starts from another's weights: the hashes of what those were trained on, a line each.
INHERITED_NAME = "inherited_images.txt"
# What image_usage.csv calls the sets of a run; a validation set is called after its dataset.
TRAINING, VALIDATION_SUFFIX = "training", "_validation"
FER_VALIDATION, CKP_VALIDATION = (f"{dataset.key}{VALIDATION_SUFFIX}" for dataset in (FER, CKP))

# The published columns, of which the first three are needed, and ours.
_COLUMNS = ("image_path", "usage", "emotion", "label_index", "dataset_index", "source_hash", "fer_usage")
_NEEDED = _COLUMNS[:3]
# FER-2013's usages, and how many images each has.
_SIZES = {
    usage: sum(FER.counts[part])
    for usage, part in zip(FER_USAGES, ("training set", "public test", "private test"), strict=True)
}
# A copy of FER-2013 has other pixels where fewer of its images are known than this part of those expected, and fewer
# than these less so many of their standard deviations.
_EQUAL, _DEVIATIONS = 0.9, 4.0


def usage_file(run: Run) -> Path | None:
    """`image_usage.csv`, which is made here for a run of a sweep; None where the run has none.

    Raises:
        EmoTorchError: it cannot be made, see `read_kept`; or is not the one that the run's record states.
    """
    path = run.file(USAGE_NAME)
    if USAGE_NAME in run.stated:
        return path
    try:
        kept = read_kept(run)
    except EmoTorchError:
        if FILES in run.record or not path.exists():
            raise
        kept = None  # earlier code made the file, and the sweep that it was made of is elsewhere
    if kept is not None:
        write_image_usage(path, kept.selection)
        run.update(**{FILES: {**run.record.get(FILES, {}), USAGE_NAME: hash_file(path)}})
    return path if path.exists() else None


def read_image_usage(run: Run) -> list[dict[str, str]] | None:
    """The rows of `image_usage.csv`, also of one in the published format; None without that file.

    Raises:
        EmoTorchError: see `usage_file`; a column is missing, a usage is no known one, or there are other numbers of
            images than the run's record states.
    """
    path = usage_file(run)
    if path is None:
        return None
    rows = read_table(path)
    missing = [column for column in _NEEDED if any(not row.get(column) for row in rows)]
    if missing:
        raise EmoTorchError(f"{path}: no {missing[0]} in some row")
    found = Counter(row["usage"] for row in rows)
    for usage in found:
        if usage != TRAINING and not usage.endswith(VALIDATION_SUFFIX):
            raise EmoTorchError(f"{path}: usage {usage!r} is neither {TRAINING} nor a validation: bring that file back")
    stated = run.record.get("counts")
    if stated is None:
        return rows
    # An image that no longer counts as trained on would count as unseen.
    usages = {name: name if name == TRAINING else f"{name}{VALIDATION_SUFFIX}" for name in stated}
    expected = {usage: stated[name] for name, usage in usages.items() if not name.endswith("_reference")}
    for usage in expected | found:
        if found[usage] != expected.get(usage, 0):
            raise EmoTorchError(
                f"{path}: {found[usage]} images of {usage}, where {RECORD_NAME} beside it tells of "
                f"{expected.get(usage, 0)}: bring that file back"
            )
    return rows


def write_image_usage(path: Path, selection: Selection) -> None:
    """One row for every image that the run trained on or was validated on.

    `dataset_index` counts from 0 within each usage; `source_hash` is the original's, also for a variant.
    """

    def rows(usage: str, images: ImageSet) -> list[tuple[object, ...]]:
        labels = images.index.scheme.labels
        columns = zip(images.files, images.labels.tolist(), images.hashes.tolist(), images.usages.tolist(), strict=True)
        return [
            (file, usage, labels[label], label, position, source, fer_usage)
            for position, (file, label, source, fer_usage) in enumerate(columns)
        ]

    sets = {TRAINING: selection.training}
    sets |= {f"{name}{VALIDATION_SUFFIX}": images for name, images in selection.validation.items()}
    write_csv(path, _COLUMNS, chain.from_iterable(rows(usage, images) for usage, images in sets.items()))


def write_usage_summary(path: Path, selection: Selection, labels: Sequence[str]) -> None:
    """One row for each set; of a run on FER-2013, FER's and CK+'s also when they are empty, as published."""
    nothing = [0] * (1 + len(labels))
    counts = {
        f"{name.upper()}_Validation": [len(images), *images.class_counts()]
        for name, images in selection.validation.items()
    }
    if is_on_fer(selection.sets()):
        counts = {"FER_Validation": nothing, "CKP_Validation": nothing} | counts
    training = [len(selection.training), *selection.training.class_counts()]
    write_csv(
        path,
        ("Usage Type", "Total Images", *(label.capitalize() for label in labels)),
        ((title, *values) for title, values in {"Training": training, **counts}.items()),
    )


class FerImage(NamedTuple):
    """An image of FER-2013, as stage 2 has written it: `FER/anger/1.png`, its usage, the hash of its pixels."""

    file: str
    usage: str
    pixels: str


def fer_images(paths: Paths) -> list[FerImage]:
    """Those of a scheme's dataset; none without one, and none where the faces are synthetic."""
    if paths.is_synthetic or not (paths.originals / MANIFEST).is_file():
        return []
    rows = read_manifest(paths.originals, MANIFEST_COLUMNS, STAGE_2)
    return [FerImage(row["file"], row["usage"], row["hash"]) for row in rows if row["dataset"] == FER.name]


@dataclass(frozen=True)
class TrainingImages:
    """What a run was trained (or validated) on.

    Attributes:
        files: The originals' files, and the hashes of their pixels (empty where image_usage.csv states none).
        inherited: Hashes of further images that the weights it started from were trained on, and those before them.
        usages: FER-2013's usage (Training, …) of those files that are of it, where image_usage.csv states it.
        twins: Hashes of further pixels that it was trained on, which are of no file here.
    """

    files: Mapping[str, str]
    inherited: frozenset[str] = frozenset()
    usages: Mapping[str, str] = field(default_factory=dict)
    twins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run: Run, *, validation: bool = False) -> "TrainingImages | None":
        """The images that the run was trained on, or those that it was validated on; None without that file."""
        rows = read_image_usage(run)
        if rows is None:
            return None
        chosen = [(original_of(row["image_path"]), row) for row in rows if (row["usage"] != TRAINING) == validation]
        files = {file: row.get("source_hash") or "" for file, row in chosen}
        usages: dict[str, str] = {}
        if not run.is_synthetic:  # synthetic faces are no copy of FER-2013
            of_fer = {file: row.get("fer_usage") or "" for file, row in chosen if file.startswith(f"{FER.name}/")}
            usages = {file: usage for file, usage in of_fer.items() if usage in _SIZES}
        path = run.file(INHERITED_NAME)
        has_inherited = path.exists() and not validation
        inherited = frozenset(path.read_text(encoding="utf-8").split()) if has_inherited else frozenset()
        return cls(files, inherited, usages)

    @classmethod
    def stated_by(cls, run: Run) -> "TrainingImages":
        """What the run was trained on.

        Raises:
            EmoTorchError: it has no such file.
        """
        known = cls.of(run)
        if known is None:
            raise EmoTorchError(f"{run.name} has no image_usage.csv: what it was trained on is unknown")
        return known

    def has(self, file: str, pixels: str) -> bool:
        """Whether an original or a variant of it was trained on.

        In another dataset the same name stands for another picture: where the hash is known, it decides.
        """
        own = self.files.get("/".join(Path(file).parts[-3:]), "unknown file")
        return own in ("", pixels) or pixels in self.inherited

    @cached_property
    def hashes(self) -> frozenset[str]:
        return frozenset(self.files.values()) | self.inherited | self.twins

    def in_copy(self, images: Sequence[FerImage], *, by_name: bool = True) -> "TrainingImages":
        """The same images as another copy of FER-2013 has them; this itself where `images` are of the same copy.

        Copies differ in the order of their rows, so in the numbers of stage 2's files, and in their pixels: some were
        JPEG files once. Where the pixels are others, nothing tells which image is which: then all of the usages
        (Training, …) of which the run has some count. What had the run's own pixels still does, as a twin.

        `by_name`: whether stage 2 would call the images of the same copy as the run does.
        """
        own = {file: self.files[file] for file in self.usages}
        known = {(pixels, self.usages[file]) for file, pixels in own.items()}
        counts = Counter(self.usages.values())
        alike = [image for image in images if not counts.keys().isdisjoint(_parts(image.usage))]
        found = [image for image in alike if any((image.pixels, usage) in known for usage in _parts(image.usage))]
        expected = sum(
            number * sum(counts[usage] for usage in _parts(usages)) / sum(_SIZES[usage] for usage in _parts(usages))
            for usages, number in Counter(image.usage for image in alike).items()
        )
        if any(own.values()) and len(found) < min(_EQUAL * expected, expected - _DEVIATIONS * math.sqrt(expected)):
            _tell_of_other_pixels()
            found = alike
        elif not by_name or all(own.get(image.file) in (None, "", image.pixels) for image in images):
            return self
        files = {file: pixels for file, pixels in self.files.items() if file not in own}
        files |= {image.file: image.pixels for image in found}
        usages = {image.file: image.usage for image in found}
        return replace(self, files=files, usages=usages, twins=frozenset(own.values()) - {""})


def _parts(usages: str) -> list[str]:
    """FER-2013's usages that an image may be of: two in class folders, whose `test` holds both tests."""
    return [usage for usage in usages.split("+") if usage in _SIZES]


@cache
def _tell_of_other_pixels() -> None:
    """Says it once: an evaluation asks several times."""
    logger.info(
        "what is FER-2013 here has other pixels than the model knows FER-2013 by, so that no image can be told from "
        "another: of each usage (Training, PublicTest) of which it was trained on images, or validated, all count as "
        "such; data of your own is not FER-2013, and belongs into class folders or a table of its own"
    )


def write_inherited(run: Run, start: Run, own: Iterable[str]) -> None:
    """Keeps in a run's folder what the run whose weights it starts from has seen, as far as that is known.

    Less the hashes of what it is trained on itself, which are known by their files: a twin of those is a twin.
    """
    known = TrainingImages.of(start)
    further = known.hashes.difference(own, {""}) if known is not None else ()
    if further:
        write_text(run.folder / INHERITED_NAME, "".join(f"{pixels}\n" for pixels in sorted(further)))
