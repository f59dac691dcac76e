"""The dataset folder: every source's images of a scheme's classes, renamed, with a manifest (stage 2)."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from emotorch.data import ferplus, scenes
from emotorch.data.formats import tell_misnamed
from emotorch.data.images import GREY_FACE, bring_to, hash_pixels, read_photo, shrink, without_equal_colours, write_png
from emotorch.data.layouts import Recognised
from emotorch.data.recognition import Recognition, recognise, tell
from emotorch.data.sources import MANIFEST, Reading, SourceImage, read_manifest
from emotorch.datasets import CKP, DATASETS, FER, FERPLUS_CLASSES, LONGEST_SIDE
from emotorch.errors import EmoTorchError, UsageError, found_elsewhere
from emotorch.files import STAMP_NAME, StageBuild, hash_file, printable, read_json, stage_folder, visible, write_csv
from emotorch.labels import DEFAULT, FERPLUS, SCHEMES, LabelScheme
from emotorch.paths import STAGE_2, Paths
from emotorch.workers import work_through

logger = logging.getLogger(__name__)

MANIFEST_COLUMNS = ("file", "dataset", "emotion", "source", "usage", "subject", "hash")
# Where files need not be 48×48 grey: the size of each, and the hash of its own pixels.
STORED_HASH = "stored_hash"
SIZE_COLUMNS = ("width", "height", "channels", STORED_HASH)
# In scheme ferplus: FER+'s counts for FER-2013's images.
VOTES_COLUMN = "votes"
_IMAGES_PER_CHUNK = 256
_FIRST = ("FER", "CKP", "RAF")  # datasets that the first versions knew
_NAMED = 10  # files in a message, at most


@dataclass(frozen=True)
class _Source:
    """A dataset to take images from.

    Attributes:
        mapping: Of the images' `emotion` to the scheme's labels; what is not listed takes no part.
        listing: A file that tells of all images' content, where there is one.
        given_splits: Whether the dataset came divided into folders for training and test.
        votes: FER+'s file, where its votes label the images.
    """

    images: Sequence[SourceImage]
    mapping: Mapping[str, str]
    listing: Path | None = None
    given_splits: bool = False
    votes: Path | None = None


class _Task(NamedTuple):
    """An image to write: its source, and its place in the dataset folder."""

    source: SourceImage
    dataset: str
    emotion: str
    file: str


class _Record(TypedDict):
    hash: str
    stored: tuple[int, int, int, str]  # the values of SIZE_COLUMNS


@dataclass(frozen=True)
class Summary:
    """Images per dataset and class, as written (or as they were there already)."""

    counts: dict[str, dict[str, int]]
    up_to_date: bool


def create(
    paths: Paths, scheme: LabelScheme, *, workers: int, force: bool, size: int | None = None, faces: str = "auto"
) -> Summary:
    """Writes the scheme's dataset folder, `<dataset>/<class>/<n>.png`, and the manifest.

    FER-2013, the other known datasets and any folder of class folders take part where they are. The baseline's scheme
    has 48×48 grey files, as published; any other keeps size and colour. In either, `hash` is that of the image as
    48×48 grey: a run knows by it what it was trained on, however that was stored.

    Args:
        size: Pixels that the longer side of a file has at most; None for `LONGEST_SIDE`.
        faces: Whether faces are looked for in pictures, and cut out: see `scenes.as_asked`.

    Raises:
        EmoTorchError: there is no dataset, stage 1 has not run for FER-2013's CSV, or a file or folder is damaged,
            foreign or not of the right size.
        UsageError: a size for the baseline's scheme.
    """
    if scheme.name == DEFAULT and size is not None:
        raise UsageError(f"--size: the files of scheme {DEFAULT} are 48×48 grey, as published; leave it out")
    paths = paths.for_scheme(scheme.name)
    available = _available_sources(paths, scheme)
    sources = {}
    for name, source in available.items():
        taking_part = [image for image in source.images if image.emotion in source.mapping]
        sources[name] = replace(source, images=scenes.as_asked(taking_part, faces))
    longest = 0 if scheme.name == DEFAULT else size or LONGEST_SIDE
    images = [image for source in sources.values() for image in source.images]
    # Where all images are 48×48 faces, as in FER-2013 and most copies of CK+, the size makes no difference.
    sized = bool(longest) and not all(image.is_face for image in images)
    stamp = {
        "stage": 2,
        "scheme": scheme.name,
        "labels": list(scheme.labels),
        "sources": _stamped_sources(scheme, available),
        "inputs": {dataset: _fingerprint(paths, dataset, source) for dataset, source in available.items()},
    }
    if sized:
        stamp["size"] = longest
    if any(image.reading is Reading.SCENE for image in images):
        # Each detector cuts faces a little differently.
        stamp |= {"faces": faces, "detector": scenes.scene_detector().name}
    elif faces != "auto":
        stamp["faces"] = faces
    _tell_of_change(paths.originals, stamp)
    with stage_folder(paths.originals, stamp, stage="stage 2", force=force) as build:
        if build is not None:
            # Stage 1 wrote those whose pixels' hash is known.
            tell_misnamed(image.path for image in images if image.hash is None and image.row is None)
            try:
                tasks = _find_faces(build, sources, paths, workers)
                records = _write_images(build, tasks, scheme, longest, workers)
            except EmoTorchError as error:
                raise _with_others_damaged(error, images) from None
            _write_manifest(build, tasks, records, paths, sized=sized)
            _report(tasks, records, sources)
    return Summary(_count(paths, scheme), up_to_date=build is None)


def _stamped_sources(scheme: LabelScheme, sources: Mapping[str, _Source]) -> dict[str, Mapping[str, str]]:
    """The part of a scheme that the folder depends on.

    Datasets and classes that later versions added count only where they are there: so a folder of an earlier version
    stays up to date.
    """
    there = {name: {image.emotion for image in source.images} for name, source in sources.items()}
    stamped = {name: mapping for name, mapping in scheme.sources.items() if name in _FIRST or name in there}
    if scheme.name in SCHEMES and "neutral" not in there.get(CKP.name, ()):
        stamped[CKP.name] = {own: label for own, label in stamped[CKP.name].items() if own != "neutral"}
    return stamped


def training_dataset(paths: Paths, given: str | None) -> str:
    """The name of the dataset that trains: the given one, in whatever letter case; else FER-2013, or the only one.

    Raises:
        UsageError: none is given, and stage 2 has read several, without FER-2013.
    """
    there = [path.name for path in visible(paths.originals) if path.is_dir()] if paths.originals.is_dir() else []
    if given is not None:
        return next((name for name in there if name.lower() == given.lower()), given)
    if FER.name in there or not there:
        return FER.name
    if len(there) > 1:
        raise UsageError(f"--train-on: name one of the datasets in {paths.originals}: {', '.join(there)}")
    return there[0]


def _tell_of_change(folder: Path, stamp: Mapping[str, Any]) -> None:
    """Says so where the folder was made for another size, or other faces: it is made anew then, never mixed."""
    made_from = read_json(folder / STAMP_NAME).get("made_from", stamp) if (folder / STAMP_NAME).is_file() else stamp
    stored, wanted = (
        f"with colour, of at most {made['size']} pixels" if "size" in made else "48×48 grey"
        for made in (made_from, stamp)
    )
    if stored != wanted:
        logger.info("%s holds images %s; it is made anew: %s", folder, stored, wanted)
    cut, asked = (f"--faces {made.get('faces', 'auto')}" for made in (made_from, stamp))
    if cut != asked:
        logger.info("%s was made with %s; it is made anew: %s", folder, cut, asked)


def _available_sources(paths: Paths, scheme: LabelScheme) -> dict[str, _Source]:
    """All datasets below FER-Datasets; says what each folder was taken for."""
    recognition = recognise(paths, scheme)
    tell(recognition, paths)
    if not recognition.datasets:
        for missing in recognition.passed_over:
            if missing.is_question:
                raise UsageError(f"{missing.where}: {missing.found}")
        raise EmoTorchError(
            f"{paths.raw}: no dataset in it; docs/datasets.md says what goes there{found_elsewhere(paths.raw)}"
        )
    sources = {name: _source(found, scheme) for name, found in recognition.datasets.items()}
    if scheme.name == FERPLUS and FER.name in sources:
        sources[FER.name] = _by_votes(sources[FER.name], recognition, paths)
    return sources


def _by_votes(source: _Source, recognition: Recognition, paths: Paths) -> _Source:
    """FER-2013 with the labels of FER+."""
    if not recognition.votes:
        raise EmoTorchError(
            f"{paths.raw}: no fer2013new.csv in it, FER+'s votes, which scheme {FERPLUS} takes FER-2013's labels from: "
            "put it there (docs/datasets.md)"
        )
    votes = recognition.votes[0]
    if source.listing is None:
        where = recognition.datasets[FER.name].where
        raise EmoTorchError(f"{votes}: joined by row to FER-2013's CSV, and {where} has no rows: put the CSV there")
    images = ferplus.labelled(source.images, source.listing.parent, ferplus.read_votes(votes))
    return replace(source, images=images, mapping={name: name for name in FERPLUS_CLASSES}, votes=votes)


def _source(found: Recognised, scheme: LabelScheme) -> _Source:
    images = found.images()
    if found.dataset in DATASETS:
        mapping = scheme.sources[found.dataset]
    else:
        labels = {image.emotion: scheme.label_of(image.emotion) for image in images}
        mapping = {name: label for name, label in labels.items() if label is not None}
    unused = Counter(image.emotion for image in images if image.emotion not in mapping)
    if unused:
        by_class = ", ".join(f"{name} {count}" for name, count in sorted(unused.items()))
        take = "images take" if unused.total() > 1 else "image takes"
        logger.info("%s: %d %s no part in %s (%s)", found.dataset, unused.total(), take, scheme.name, by_class)
    splits = found.dataset not in DATASETS and {image.usage for image in images} != {""}
    return _Source(images, mapping, found.listing, splits)


def _find_faces(build: StageBuild, sources: Mapping[str, _Source], paths: Paths, workers: int) -> list[_Task]:
    """The images to write: of a scene its largest face, if it has one."""
    scenes_of = {
        dataset: [image for image in source.images if image.reading is Reading.SCENE]
        for dataset, source in sources.items()
    }
    searched = scenes.search_in_stage(build, list(chain(*scenes_of.values())), workers)
    if searched:
        names = [paths.relative(one.image.path) for one in searched]
        scenes.write_list(build.folder / scenes.FACES_LIST, searched, names)
        logger.info("%s", scenes.describe(searched, str(paths.originals / scenes.FACES_LIST)))
    found = {one.image: one for one in searched}
    for dataset, images in scenes_of.items():
        scenes.require_faces([found[image] for image in images], len(sources[dataset].images), dataset)
    tasks: list[_Task] = []
    taken: Counter[str] = Counter()
    for dataset, source in sources.items():
        for image in scenes.located(source.images, searched):
            emotion = source.mapping[image.emotion]
            folder = f"{dataset}/{emotion}"
            taken[folder] += 1
            tasks.append(_Task(image, dataset, emotion, f"{folder}/{taken[folder]}.png"))
    return tasks


def _fingerprint(paths: Paths, dataset: str, source: _Source) -> str:
    if source.listing is not None:
        return hash_file(source.listing) + (hash_file(source.votes) if source.votes else "")
    digest = hashlib.sha256()
    for image in source.images:
        digest.update(f"{paths.relative(image.path)}\0{image.emotion}\0{hash_file(image.path)}\n".encode())
        if image.box is not None:
            digest.update(repr(image.box).encode())
    # In the first datasets the names of files and folders tell usage and person.
    if dataset not in _FIRST and any(image.usage or image.subject for image in source.images):
        digest.update(repr([(image.usage, image.subject) for image in source.images]).encode())
    return digest.hexdigest()


def _write_images(
    build: StageBuild, tasks: Sequence[_Task], scheme: LabelScheme, longest: int, workers: int
) -> list[_Record]:
    for dataset in {task.dataset for task in tasks}:
        for label in scheme.labels:
            (build.folder / dataset / label).mkdir(parents=True, exist_ok=True)
    write = partial(_write_some, build.folder, longest)
    chunks = work_through(build, tasks, write, workers, chunk_size=_IMAGES_PER_CHUNK, description="dataset")
    return [record for chunk in chunks for record in chunk]


def _with_others_damaged(error: EmoTorchError, images: Sequence[SourceImage]) -> EmoTorchError:
    """The error about the first file that cannot be read, with the others: so that all are mended at once."""
    if not str(error).startswith(tuple(str(image.path) for image in images)):
        return error
    others = []
    for path in dict.fromkeys(image.path for image in images if image.row is None):
        try:
            read_photo(path)
        except EmoTorchError as found:
            if str(found) != str(error):
                others.append(printable(path.name))
    if not others:
        return error
    names = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    return EmoTorchError(f"{error} ({len(others)} more cannot be read: {names})")


def _write_some(folder: Path, longest: int, tasks: Sequence[_Task]) -> list[_Record]:
    """Writes images whose longer side is `longest` at most; 0 for 48×48 grey."""
    records: list[_Record] = []
    for task in tasks:
        pixels = task.source.read()
        face = bring_to(pixels, GREY_FACE)
        # A part of a colour photo may be grey.
        stored = without_equal_colours(shrink(pixels, longest)) if longest and not task.source.is_face else face
        write_png(folder / task.file, stored)
        face_hash = hash_pixels(face)
        stored_hash = face_hash if stored is face else hash_pixels(stored)
        (height, width), channels = stored.shape[:2], 1 if stored.ndim == 2 else 3
        records.append({"hash": face_hash, "stored": (width, height, channels, stored_hash)})
    return records


def _write_manifest(
    build: StageBuild, tasks: Sequence[_Task], records: Sequence[_Record], paths: Paths, *, sized: bool
) -> None:
    by_votes = any(task.source.votes for task in tasks)
    rows = (
        (
            task.file,
            task.dataset,
            task.emotion,
            paths.relative(Path(task.source.place)),
            task.source.usage,
            task.source.subject,
            record["hash"],
            *(record["stored"] if sized else ()),
            *([task.source.votes] if by_votes else ()),
        )
        for task, record in zip(tasks, records, strict=True)
    )
    columns = MANIFEST_COLUMNS + (SIZE_COLUMNS if sized else ()) + ((VOTES_COLUMN,) if by_votes else ())
    write_csv(build.folder / MANIFEST, columns, rows)


def _report(tasks: Sequence[_Task], records: Sequence[_Record], sources: Mapping[str, _Source]) -> None:
    """Logs how many images have twins across a dataset's given splits."""
    for dataset in (name for name, source in sources.items() if source.given_splits):
        usages: dict[str, set[str]] = {}
        images: Counter[str] = Counter()
        for task, record in zip(tasks, records, strict=True):
            if task.dataset == dataset:
                usages.setdefault(record["hash"], set()).add(task.source.usage)
                images[record["hash"]] += 1
        twins = sum(images[pixels] for pixels, where in usages.items() if len(where) > 1)
        if twins:
            logger.info(
                "%s: %d images have an exact twin in another given split; training will leave out those of its side",
                dataset,
                twins,
            )


def _count(paths: Paths, scheme: LabelScheme) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in read_manifest(paths.originals, MANIFEST_COLUMNS, STAGE_2):
        counts.setdefault(row["dataset"], dict.fromkeys(scheme.labels, 0))[row["emotion"]] += 1
    return counts
