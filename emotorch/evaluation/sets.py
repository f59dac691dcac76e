"""The images that models are scored on: a dataset by its name, or a folder."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data import own_data, scenes
from emotorch.data.formats import tell_misnamed
from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to, hash_pixels
from emotorch.data.scenes import Searched
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import Reading
from emotorch.data.split import Indices
from emotorch.data.variants import original_of
from emotorch.datasets import FER_BOTH_TESTS, FER_TEST, PARTS, Part, find_dataset
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import printable
from emotorch.labels import LabelScheme
from emotorch.paths import ORIGINALS, Paths, mark_synthetic

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSet:
    """Images with their true labels.

    Attributes:
        files: Relative to the root where they are below it, else whole paths.
        pixels: (N, H, W) grey or (N, H, W, 3), as the model that is scored reads them.
        labels: (N,) into the scheme's.
        hashes: (N,) of the images as 48×48 grey.
        reread: Reads them in another form; None where there are only these pixels.
        searched: What was found in the pictures of a folder in which faces were looked for: also in those that take no
            part, because they show none.
        read_from: The scheme from whose dataset folder a known dataset was read; None of images from elsewhere.
    """

    name: str
    files: Sequence[str]
    pixels: Pixels
    labels: Indices
    hashes: NDArray[np.str_]
    reread: Callable[[PixelForm], Pixels] | None = None
    searched: Sequence[Searched] = ()
    read_from: LabelScheme | None = None

    def part(self, chosen: NDArray[np.bool_]) -> "EvaluationSet":
        reread = self.reread
        return replace(
            self,
            files=[file for file, wanted in zip(self.files, chosen, strict=True) if wanted],
            pixels=self.pixels[chosen],
            labels=self.labels[chosen],
            hashes=self.hashes[chosen],
            reread=(lambda form: reread(form)[chosen]) if reread is not None else None,
        )

    def read_as(self, form: PixelForm) -> Pixels:
        """The (N, …) pixels in a form: what a model of another size or colour reads of the same images."""
        if self.pixels.shape[1:] == form.shape:
            return self.pixels
        if self.reread is not None:
            return self.reread(form)
        return np.stack([bring_to(image, form) for image in self.pixels])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every image's file, label and pixels, in hex: results about other images have another."""
        return fingerprint(self.files, self.labels.tolist(), self.hashes.tolist())


def fingerprint(files: Sequence[str], labels: Iterable[object], hashes: Iterable[str]) -> str:
    """SHA-256, in hex, over N files, their labels and the hashes of their pixels."""
    rows = zip(files, labels, hashes, strict=True)
    text = "\n".join(f"{file}\t{label}\t{pixels}" for file, label, pixels in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def as_option(dataset: str) -> str:
    """A dataset's name as options write it: `fer` for `FER`, as stage 2's folder is called."""
    return dataset.lower() if dataset.lower() in PARTS and not Path(dataset).is_dir() else dataset


def load_set(
    paths: Paths, dataset: str, scheme: LabelScheme, form: PixelForm = GREY_FACE, faces: str = "auto"
) -> EvaluationSet:
    """A dataset by its name or folder, with the pixels in a form.

    Args:
        dataset: As `evaluate_model.py` takes it.
        faces: Whether faces are looked for in a folder's pictures: see `scenes.as_asked`. What stage 2 has written is
            cut out already.

    Raises:
        EmoTorchError: the dataset has no images, or one of them is damaged; or no picture of a folder shows a face.
        UsageError: there is no such dataset or folder.
    """
    dataset = as_option(dataset)
    part = PARTS.get(dataset)
    if part is None and not Path(dataset).is_dir() and (paths.for_scheme(scheme.name).originals / dataset).is_dir():
        part = Part(find_dataset(dataset))
    if part is not None:
        return _load_part(paths, dataset, part, scheme, form)
    if not Path(dataset).is_dir():
        raise UsageError(f"{dataset!r} is neither a folder nor one of {', '.join(PARTS)}")
    return _load_folder(paths, Path(dataset), scheme, form, faces)


def _load_part(paths: Paths, name: str, part: Part, scheme: LabelScheme, form: PixelForm) -> EvaluationSet:
    source, usages = part.dataset.name, part.usages
    index = DatasetIndex.load(paths, scheme)
    images = index.originals_of(source, *usages)
    if not len(images) and len(index.originals_of(source, FER_BOTH_TESTS)):
        raise EmoTorchError(
            f"FER-2013's class folders do not tell {usages[0]} from the other test, only its CSV does: score both "
            f"as {FER_TEST}"
        )
    if not len(images):
        missing = " or ".join(usages[:2]) or source
        raise EmoTorchError(f"{index.paths.originals} has no {missing} images: put them in place and run stage 2")
    stored = index.form_for(form.size, form.channels, source)
    if stored != form:
        logger.info("%s is stored as %s at most; the model reads %s", name, stored, form)
    known = scheme if name in PARTS else None
    return EvaluationSet(
        name, images.files, images.read(form), images.labels, images.hashes, images.read, read_from=known
    )


def _load_folder(paths: Paths, folder: Path, scheme: LabelScheme, form: PixelForm, faces: str) -> EvaluationSet:
    found, left_out = own_data.list_images(folder, scheme)
    if left_out:
        logger.info("folders of no class of %s are left out: %s", scheme.name, ", ".join(left_out))
    tell_misnamed(image.path for image in found)
    below = folder.resolve()
    is_cut = below.is_relative_to(paths.root) and paths.relative(below).startswith(ORIGINALS)
    asked = scenes.as_asked(found, "none" if is_cut else faces)
    searched = scenes.search([image for image in asked if image.reading is Reading.SCENE])
    scenes.require_faces(searched, len(asked), str(folder))
    if searched:
        logger.info("%s: %s", folder, scenes.describe(searched))
    read_from = scenes.located(asked, searched)

    def read(form: PixelForm) -> Pixels:
        return np.stack([image.read_as(form) for image in read_from])

    greys = read(GREY_FACE)
    return EvaluationSet(
        below.name,
        [recorded(image.path, paths) for image in read_from],
        greys if form == GREY_FACE else read(form),
        np.array([scheme.index(image.emotion) for image in read_from]),
        np.array([hash_pixels(image) for image in greys]),
        read,
        searched,
    )


def recorded(path: Path, paths: Paths) -> str:
    """A picture's file as records state it: below the root where it is there, else as a whole path."""
    path = path.resolve()
    return paths.relative(path) if path.is_relative_to(paths.root) else printable(path.as_posix())


def sources_of(paths: Paths, images: EvaluationSet, scheme: LabelScheme) -> NDArray[np.str_]:
    """(N,) equal for images that are not independent: equal pictures, variants of one original, and, where the
    dataset names its persons (CK+), all of one person."""
    own = paths.for_scheme(scheme.name)
    inside = f"{paths.relative(own.originals)}/", variants_prefix(own)
    if not any(file.startswith(inside) for file in images.files):
        return images.hashes
    index = DatasetIndex.load(paths, scheme)
    sources = np.where(index.subjects == "", index.hashes, index.subjects).tolist()
    known = dict(zip(index.files.tolist(), sources, strict=True))
    pairs = zip(images.files, images.hashes.tolist(), strict=True)
    return np.array(
        [known.get(original_of(file), pixels) if file.startswith(inside) else pixels for file, pixels in pairs]
    )


def variants_prefix(paths: Paths) -> str:
    return f"{paths.relative(paths.augmented)}/"


def synthetic_suffix(paths: Paths, dataset: str) -> str:
    """Of titles: a root of synthetic faces marks its datasets and folders; a folder elsewhere is nobody's."""
    inside = dataset in PARTS or Path(dataset).resolve().is_relative_to(paths.root)
    return mark_synthetic("", inside and paths.is_synthetic)
