"""Scoring a trained model on a dataset: the images, which of them the model has seen, its predictions and its score."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotorch.data import folders, scenes
from emotorch.data.dataset import MANIFEST_COLUMNS
from emotorch.data.formats import tell_misnamed
from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to, hash_pixels
from emotorch.data.scenes import Searched
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST, Reading, read_manifest
from emotorch.data.split import Indices
from emotorch.data.variants import original_of
from emotorch.datasets import DATASETS, FER, FER_BOTH_TESTS, FER_TEST, PARTS, Part, find_dataset
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.official_tests import describe_tests, record_scoring
from emotorch.files import printable
from emotorch.labels import LabelScheme
from emotorch.metrics import confusion
from emotorch.metrics.calibration import Reliability, assess, predicted_classes, probabilities
from emotorch.metrics.confusion import Counts
from emotorch.metrics.intervals import wilson_interval
from emotorch.paths import ORIGINALS, STAGE_2, Paths, mark_synthetic
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import Model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import to_tensor

logger = logging.getLogger(__name__)

# Behind a score, and before the words on it: images among those scored chose the model's epoch.
CHOSE_THE_EPOCH = "†"


# --- Images -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationSet:
    """Images with their true labels.

    Attributes:
        name: For files and titles.
        files: Relative to the root where they are below it, else whole paths.
        pixels: (N, H, W) grey or (N, H, W, 3), as the model that is scored reads them.
        labels: (N,) into the scheme's.
        hashes: (N,) of the images as 48×48 grey.
        reread: Reads them in another form; None where there are only these pixels.
        searched: What was found in the pictures of a folder in which faces were looked for: also in those that take no
            part, because they show none.
    """

    name: str
    files: Sequence[str]
    pixels: Pixels
    labels: Indices
    hashes: NDArray[np.str_]
    reread: Callable[[PixelForm], Pixels] | None = None
    searched: Sequence[Searched] = ()

    def part(self, chosen: NDArray[np.bool_]) -> "EvaluationSet":
        files = [file for file, wanted in zip(self.files, chosen, strict=True) if wanted]
        reread = self.reread
        part = (lambda form: reread(form)[chosen]) if reread is not None else None
        return EvaluationSet(
            self.name, files, self.pixels[chosen], self.labels[chosen], self.hashes[chosen], part, self.searched
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
        rows = zip(self.files, self.labels.tolist(), self.hashes.tolist(), strict=True)
        text = "\n".join(f"{file}\t{label}\t{pixels}" for file, label, pixels in rows)
        return hashlib.sha256(text.encode()).hexdigest()


def load_set(
    paths: Paths, dataset: str, scheme: LabelScheme, form: PixelForm = GREY_FACE, faces: str = "auto"
) -> EvaluationSet:
    """A dataset by its name or folder, with the pixels in a form.

    Args:
        paths: The root.
        dataset: As `evaluate_model.py` takes it.
        scheme: Of the labels.
        form: Of the pixels.
        faces: Whether faces are looked for in a folder's pictures: see `scenes.as_asked`. What stage 2 has written is
            cut out already.

    Raises:
        EmoTorchError: the dataset has no images, or one of them is damaged; or no picture of a folder shows a face.
        UsageError: there is no such dataset or folder.
    """
    part = PARTS.get(dataset)
    if part is None and not Path(dataset).is_dir() and (paths.for_scheme(scheme.name).originals / dataset).is_dir():
        part = Part(find_dataset(dataset))
    if part is not None:
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
            logger.info("%s is stored as %s at most; the model reads %s", dataset, stored, form)
        return EvaluationSet(dataset, images.files, images.read(form), images.labels, images.hashes, images.read)
    folder = Path(dataset)
    if not folder.is_dir():
        raise UsageError(f"{dataset!r} is neither a folder nor one of {', '.join(PARTS)}")
    found, left_out = folders.list_images(folder, scheme)
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
    largest = {one.image: one.largest for one in searched}
    read_from = [image for image in (largest.get(image, image) for image in asked) if image is not None]

    def read(form: PixelForm) -> Pixels:
        return np.stack([image.read_as(form) for image in read_from])

    greys = read(GREY_FACE)
    return EvaluationSet(
        folder.resolve().name,
        [recorded(image.path, paths) for image in read_from],
        greys if form == GREY_FACE else read(form),
        np.array([scheme.index(image.emotion) for image in read_from]),
        np.array([hash_pixels(image) for image in greys]),
        read,
        searched,
    )


def default_dataset(loaded: LoadedRun) -> str:
    """What a run is scored on where nothing is named: FER-2013, or without that the dataset that it was trained on."""
    originals = loaded.paths.for_scheme(loaded.model.scheme.name).originals
    trained_on = loaded.run.record.get("settings", {}).get("train_on", FER.name)
    if (originals / FER.name).is_dir():
        return FER.key
    return DATASETS[trained_on].key if trained_on in DATASETS else str(trained_on)


def recorded(path: Path, paths: Paths) -> str:
    """A picture's file as records state it: below the root where it is there, else as a whole path."""
    path = path.resolve()
    return paths.relative(path) if path.is_relative_to(paths.root) else printable(path.as_posix())


def sources_of(paths: Paths, images: EvaluationSet, scheme: LabelScheme) -> NDArray[np.str_]:
    """(N,) equal for images that are not independent: equal pictures, variants of one original, and, where the
    dataset names its persons (CK+), all of one person."""
    own = paths.for_scheme(scheme.name)
    inside = f"{paths.relative(own.originals)}/", _variants_prefix(own)
    if not any(file.startswith(inside) for file in images.files):
        return images.hashes
    index = DatasetIndex.load(paths, scheme)
    sources = np.where(index.subjects == "", index.hashes, index.subjects).tolist()
    known = dict(zip(index.files.tolist(), sources, strict=True))
    pairs = zip(images.files, images.hashes.tolist(), strict=True)
    return np.array(
        [known.get(original_of(file), pixels) if file.startswith(inside) else pixels for file, pixels in pairs]
    )


def _variants_prefix(paths: Paths) -> str:
    return f"{paths.relative(paths.augmented)}/"


def synthetic_suffix(paths: Paths, dataset: str) -> str:
    """Of titles: a root of synthetic faces marks its datasets and folders; a folder elsewhere is nobody's."""
    inside = dataset in PARTS or Path(dataset).resolve().is_relative_to(paths.root)
    return mark_synthetic("", inside and paths.is_synthetic)


# --- What a run has seen ------------------------------------------------------------------------------------


class NothingUnseenError(EmoTorchError):
    """A run was trained on every image that it should be scored on."""


def seen_by(
    loaded: LoadedRun, dataset: str, images: EvaluationSet, known: TrainingImages | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`seen_in_training` for some or all images of a dataset."""
    # In another scheme's dataset the same images have other names.
    by_name = dataset in PARTS and loaded.model.trained_as is None
    paths = loaded.paths.for_scheme(loaded.model.scheme.name)
    return seen_in_training(images, known, paths, by_name=by_name)


def seen_in_training(
    images: EvaluationSet, known: TrainingImages | None, paths: Paths, *, by_name: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images were trained on (themselves or a variant), and which others have a twin that was."""
    if known is None:
        none = np.zeros(len(images.labels), dtype=bool)
        return none, none
    hashes = images.hashes.tolist()
    pixels = np.array([value in known.hashes for value in hashes], dtype=bool)
    if not by_name:
        # A folder's names mean nothing: only the pixels tell. But a variant has other pixels than its source, and what
        # stage 2 has shrunk, or cut out of a photo, others than its file.
        variants, files = _variants_prefix(paths), _files_of(known, paths)
        of_trained = [
            file in files or (file.startswith(variants) and original_of(file) in known.files) for file in images.files
        ]
        return pixels | np.array(of_trained, dtype=bool), np.zeros_like(pixels)
    itself = np.array([known.has(file, value) for file, value in zip(images.files, hashes, strict=True)], dtype=bool)
    return itself, pixels & ~itself


def _files_of(known: TrainingImages, paths: Paths) -> set[str]:
    """The files of stage 2's dataset that a run knows, and those that it was made from, as `recorded`."""
    if not (paths.originals / MANIFEST).is_file():
        return set()
    rows = read_manifest(paths.originals, MANIFEST_COLUMNS, STAGE_2)
    found = [row for row in rows if known.has(row["file"], row["hash"])]
    files = [PurePosixPath(paths.relative(paths.originals), row["file"]) for row in found]
    files += [PurePosixPath(row["source"]) for row in found]
    folders = {file.parent: recorded(paths.root / file.parent, paths) for file in files}
    return {f"{folders[file.parent]}/{file.name}" for file in files}


def chose_the_epoch(loaded: LoadedRun, dataset: str, images: EvaluationSet) -> NDArray[np.bool_] | None:
    """(N,) which images of a dataset chose a run's epoch, or are twins of such; None where that is unknown."""
    validating = TrainingImages.of(loaded.run, validation=True)
    return None if validating is None else np.logical_or(*seen_by(loaded, dataset, images, validating))


def load_unseen(loaded: LoadedRun, name: str, dataset: str, images: EvaluationSet) -> LoadedRun:
    """Another run to predict beside a scored one, read as the same scheme.

    Args:
        loaded: The scored one.
        name: Of the other.
        dataset: What it is scored on.
        images: Those of the dataset that count.

    Raises:
        EmoTorchError: it is damaged, or trained on some of the images, as far as is known.
        UsageError: there is no such model, or it cannot be read as the same scheme.
    """
    other = loaded.beside(name)
    seen, _ = seen_by(other, dataset, images, TrainingImages.stated_by(other.run))
    if seen.any():
        raise EmoTorchError(
            f"{other.run.name} was trained on {seen.sum()} of the {len(seen)} images that {dataset} is scored on"
        )
    return other


# --- Predictions and scores ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for a set of images.

    Attributes:
        classes: (N,) predicted.
        confidences: (N,) probabilities of these, 0 to 1.
        counts: (K, K), a row for each true class.
        outputs: (N, K), before the softmax.
    """

    classes: Indices
    confidences: NDArray[np.float32]
    counts: Counts
    outputs: Tensor

    @property
    def correct(self) -> int:
        return int(np.trace(self.counts))

    @property
    def images(self) -> int:
        return int(self.counts.sum())

    def line(self) -> str:
        return accuracy_line(self.counts)


def accuracy_line(counts: Counts) -> str:
    """`1985 images, accuracy 61.21% (95% interval 59.05–63.33)` of (K, K) counts."""
    correct, images = int(np.trace(counts)), int(counts.sum())
    if not images:
        return "no images"
    low, high = wilson_interval(correct, images)
    return f"{images} images, accuracy {100.0 * correct / images:.2f}% (95% interval {low:.2f}–{high:.2f})"


def all_chose_the_epoch(images: int) -> str:
    """What is said below a score that has the mark `CHOSE_THE_EPOCH`."""
    return f"{CHOSE_THE_EPOCH} all {images} chose the epoch: not quite unseen"


def predict(model: Model, images: EvaluationSet, device: torch.device) -> Predictions:
    """Runs the model over a set, whose labels count in the model's own scheme.

    Raises:
        EmoTorchError: its outputs are no finite numbers.
    """
    pixels = to_tensor(images.read_as(model.form.pixels)).to(device)
    outputs = model.checked(network_outputs(model.network.to(device), pixels, model.form))
    classes = predicted_classes(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    counts = confusion.confusion_counts(images.labels, classes, len(model.labels))
    return Predictions(classes, confidences, counts, outputs)


@dataclass(frozen=True)
class Evaluation:
    """A model's score on some images.

    Attributes:
        images: Those that were scored, at least one.
        predictions: For them.
        title: Run and images, marked when the faces are synthetic.
        lines: The score in words, and what was left out of it.
        reliability: Whether the confidences mean what they say; None where that was not assessed.
    """

    images: EvaluationSet
    predictions: Predictions
    title: str
    lines: Sequence[str]
    reliability: Reliability | None = None


def score(
    loaded: LoadedRun,
    images: EvaluationSet,
    title: str,
    *,
    notes: Sequence[str],
    shared: NDArray[np.bool_],
    shared_how: str,
    sources: NDArray[np.str_],
    validated: NDArray[np.bool_] | None,
) -> Evaluation:
    """Scores a run's model on images that it was not trained on, and says how far that can be believed.

    Args:
        loaded: The run.
        images: To score; at least one.
        title: Of the result.
        notes: What is to be said of the images, right after the score.
        shared: (N,) which of them share their source with a training image; scored without these too.
        shared_how: In words.
        sources: (N,) equal for images that are not independent.
        validated: (N,) which of them chose the epoch and had the temperature fitted on them; None where unknown.
    """
    model = loaded.model
    predictions = predict(model, images, loaded.device)

    def without(left_out: NDArray[np.bool_]) -> str:
        counts = confusion.confusion_counts(images.labels[~left_out], predictions.classes[~left_out], len(model.labels))
        return f"without them: {accuracy_line(counts)}"

    lines = [f"{title}: {predictions.line()}", *notes]
    if validated is not None and validated.any():
        lines[0] += f" {CHOSE_THE_EPOCH}"
        lines.append(
            all_chose_the_epoch(len(validated))
            if validated.all()
            else f"{CHOSE_THE_EPOCH} {int(validated.sum())} chose the epoch, or are exact twins of images that did: "
            f"not quite unseen; {without(validated)}"
        )
    if shared.any():
        lines.append(f"{int(shared.sum())} {shared_how}; {without(shared)}")
    reliability = assess(predictions.outputs, images.labels, sources, model.temperature, validated)
    return Evaluation(images, predictions, title, [*lines, reliability.line()], reliability)


def evaluate(loaded: LoadedRun, dataset: str, faces: str = "auto") -> Evaluation:
    """Scores a run's model on a dataset; `faces` as for `load_set`.

    Images that the model was trained on take no part in the score; they are counted, and scored apart. Every
    scoring of PrivateTest is recorded, since that set is for one look at the end.

    Raises:
        EmoTorchError: no such dataset, no image left to score, or a damaged one.
    """
    paths, run, model = loaded.paths, loaded.run, loaded.model
    everything = load_set(paths, dataset, model.scheme, model.form.pixels, faces)
    known = TrainingImages.of(run)
    trained_on, twins = seen_by(loaded, dataset, everything, known)
    images = everything.part(~trained_on)
    if not len(images.labels):
        raise NothingUnseenError(f"{run.name} was trained on every image of {dataset}: nothing is left to score it on")
    notes = [describe_tests(paths, model.scheme)] if dataset == FER_TEST else []
    if without := sum(not one.faces for one in everything.searched):
        listed = f"{scenes.FACES_LIST} lists what is found"
        notes.append(f"{without} of {len(everything.searched)} pictures show no face and are left out: {listed}")
    if known is None:
        notes.append("the run has no image_usage.csv: which of these images it was trained on is unknown")
    if trained_on.any():
        fitted = predict(model, everything.part(trained_on), loaded.device)
        notes.append(f"left out, because it was trained on them: {fitted.line()}")
    reading = f", read as {model.scheme.name}" if model.trained_as else ""
    evaluation = score(
        loaded,
        images,
        f"{run.name} on {images.name}{reading}{synthetic_suffix(paths, dataset)}",
        notes=notes,
        shared=twins[~trained_on],
        shared_how="have an exact twin in training",
        sources=sources_of(paths, images, model.scheme),
        validated=chose_the_epoch(loaded, dataset, images),
    )
    record_scoring(loaded, dataset, evaluation.predictions.counts)
    return evaluation
