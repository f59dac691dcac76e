"""Scoring a trained model on a dataset, images that it was trained on kept apart."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotorch.data import folders
from emotorch.data.images import Pixels, hash_pixels
from emotorch.data.selection import DatasetIndex
from emotorch.data.split import Indices
from emotorch.data.variants import original_of
from emotorch.datasets import FER_BOTH_TESTS, PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import now
from emotorch.labels import LabelScheme
from emotorch.metrics import confusion
from emotorch.metrics.calibration import Reliability, assess, predicted_classes, probabilities
from emotorch.metrics.confusion import Counts
from emotorch.metrics.intervals import wilson_interval
from emotorch.paths import Paths
from emotorch.runs.folder import Run, find_run, weights_file
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.loop import network_outputs

logger = logging.getLogger(__name__)


class NothingUnseenError(EmoTorchError):
    """A run was trained on every image that it should be scored on."""


@dataclass(frozen=True)
class EvaluationSet:
    """Images with truths.

    Attributes:
        name: For files and titles.
        files: Relative to the root where they are below it, else whole paths.
        pixels: (N, 48, 48).
        labels: (N,) into the scheme's.
        hashes: (N,) of the pixels.
    """

    name: str
    files: Sequence[str]
    pixels: Pixels
    labels: Indices
    hashes: NDArray[np.str_]

    def part(self, chosen: NDArray[np.bool_]) -> "EvaluationSet":
        files = [file for file, wanted in zip(self.files, chosen, strict=True) if wanted]
        return EvaluationSet(self.name, files, self.pixels[chosen], self.labels[chosen], self.hashes[chosen])


@dataclass(frozen=True)
class Predictions:
    """A model's answers to a set: (N,) classes and confidences, (K, K) counts, (N, K) outputs before the softmax."""

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
        """`1985 images, accuracy 61.21% (95% interval 59.05-63.33)`."""
        if not self.images:
            return "no images"
        low, high = wilson_interval(self.correct, self.images)
        accuracy = 100.0 * self.correct / self.images
        return f"{self.images} images, accuracy {accuracy:.2f}% (95% interval {low:.2f}-{high:.2f})"


@dataclass(frozen=True)
class Evaluation:
    """A scoring.

    Attributes:
        images: The images that were scored: none that the run was trained on.
        answers: To them.
        title: Run and dataset, marked when the faces are synthetic.
        lines: The result in words, and what was left out of it.
        reliability: Whether the confidences mean what they say; None of images that were trained on.
    """

    images: EvaluationSet
    predictions: Predictions
    title: str
    lines: Sequence[str]
    reliability: Reliability | None


def load_set(paths: Paths, dataset: str, scheme: LabelScheme) -> EvaluationSet:
    """A dataset by its name or folder.

    Raises:
        EmoTorchError: the dataset has no images, or one of them is damaged.
        UsageError: there is no such dataset or folder.
    """
    if dataset in PARTS:
        source, usage = PARTS[dataset].dataset.name, PARTS[dataset].usage
        index = DatasetIndex.load(paths, scheme)
        images = index.originals_of(source, usage)
        if not len(images) and len(index.originals_of(source, FER_BOTH_TESTS)):
            raise EmoTorchError(f"FER-2013's class folders do not tell {usage} from the other test: only its CSV does")
        if not len(images):
            raise EmoTorchError(
                f"{index.paths.originals} has no {usage or source} images: put them in place and run stage 2"
            )
        return EvaluationSet(dataset, images.files, images.read(), images.labels, images.hashes)
    folder = Path(dataset)
    if not folder.is_dir():
        raise UsageError(f"{dataset!r} is neither a folder nor one of {', '.join(PARTS)}")
    found, left_out = folders.list_images(folder, scheme)
    if left_out:
        logger.info("folders of no class of %s are left out: %s", scheme.name, ", ".join(left_out))
    pixels = np.stack([image.read()[0] for image in found])
    return EvaluationSet(
        folder.resolve().name,
        [_recorded(image.path.resolve(), paths) for image in found],
        pixels,
        np.array([scheme.index(image.emotion) for image in found]),
        np.array([hash_pixels(image) for image in pixels]),
    )


def _recorded(path: Path, paths: Paths) -> str:
    return paths.relative(path) if path.is_relative_to(paths.root) else path.as_posix()


def predict(model: Model, images: EvaluationSet, device: torch.device) -> Predictions:
    """Runs the model over a set, whose labels count in the model's own scheme."""
    pixels = torch.from_numpy(images.pixels).unsqueeze(1).to(device)
    outputs = network_outputs(model.network.to(device), pixels, model.form)
    classes = predicted_classes(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    return Predictions(
        classes, confidences, confusion.confusion_counts(images.labels, classes, len(model.labels)), outputs
    )


def evaluate(paths: Paths, run: Run, model: Model, dataset: str, device: torch.device) -> Evaluation:
    """Scores a run's model on a dataset.

    Images that the model was trained on take no part in the score; they are counted, and scored apart. Every
    scoring on `fer-private` is recorded in the run, since that set is for one look at the end.

    Raises:
        EmoTorchError: no such dataset, no image left to score, or a damaged one.
    """
    everything = load_set(paths, dataset, model.scheme)
    known = TrainingImages.of(run)
    # In another scheme's dataset the same images have other names.
    by_name = dataset in PARTS and model.trained_as is None
    trained_on, twins = seen_in_training(everything, known, paths.for_scheme(model.scheme.name), by_name=by_name)
    images = everything.part(~trained_on)
    if not len(images.labels):
        raise NothingUnseenError(f"{run.name} was trained on every image of {dataset}: nothing is left to score it on")
    predictions = predict(model, images, device)
    inside = dataset in PARTS or Path(dataset).resolve().is_relative_to(paths.root)
    suffix = " (synthetic faces)" if inside and paths.is_synthetic else ""
    reading = f", read as {model.scheme.name}" if model.trained_as else ""
    title = f"{run.name} on {images.name}{reading}{suffix}"
    lines = [f"{title}: {predictions.line()}"]
    if known is None:
        lines.append("the run has no image_usage.csv: which of these images it was trained on is unknown")
    if trained_on.any():
        fitted = predict(model, everything.part(trained_on), device)
        lines.append(f"left out, because it was trained on them: {fitted.line()}")
    remaining_twins = twins[~trained_on]
    if remaining_twins.any():
        without = predict(model, images.part(~remaining_twins), device)
        lines.append(f"{int(remaining_twins.sum())} have an exact twin in training; without them: {without.line()}")
    scheme_paths = paths.for_scheme(model.scheme.name)
    validated = TrainingImages.of(run, validation=True)
    itself, twin = seen_in_training(images, validated, scheme_paths, by_name=by_name)
    fitted_on = None if validated is None else itself | twin
    sources = sources_of(paths, images, model.scheme)
    reliability = assess(predictions.outputs, images.labels, sources, model.temperature, fitted_on)
    lines.append(reliability.line())
    record_scoring(run, dataset, predictions)
    return Evaluation(images, predictions, title, lines, reliability)


def read_unseen(paths: Paths, name: str, model: Model, dataset: str, images: EvaluationSet) -> Model:
    """Another model to answer beside a scored one, read as the same scheme.

    Args:
        paths: Where runs are.
        name: Of the other model.
        model: The scored one.
        dataset: What it is scored on.
        images: Those of the dataset that count.

    Raises:
        EmoTorchError: there is no such model, it is damaged, or trained on some of the images, as far as is known.
        UsageError: it cannot be read as the same scheme.
    """
    run = find_run(paths, name)
    other = load_model(weights_file(paths, name)).read_as(model.scheme)
    by_name = dataset in PARTS and other.trained_as is None
    known = TrainingImages.stated_by(run)
    seen, _ = seen_in_training(images, known, paths.for_scheme(model.scheme.name), by_name=by_name)
    if seen.any():
        raise EmoTorchError(
            f"{run.name} was trained on {seen.sum()} of the {len(seen)} images that {dataset} is scored on"
        )
    return other


def record_scoring(run: Run, dataset: str, predictions: Predictions) -> None:
    """Notes a scoring on `fer-private` in the run; at any other dataset one may look as often as one likes."""
    if dataset == "fer-private":
        earlier = run.record.get("private_scorings", [])
        scoring = {"time": now(), "images": predictions.images, "correct": predictions.correct}
        run.update(private_scorings=[*earlier, scoring])


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
        # A folder's names mean nothing: only the pixels tell. But a variant has other pixels than its source.
        variants = _variants_prefix(paths)
        of_trained = [file.startswith(variants) and original_of(file) in known.files for file in images.files]
        return pixels | np.array(of_trained, dtype=bool), np.zeros_like(pixels)
    itself = np.array([known.has(file, value) for file, value in zip(images.files, hashes, strict=True)], dtype=bool)
    return itself, pixels & ~itself


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
