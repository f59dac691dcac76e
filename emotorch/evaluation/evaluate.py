"""Scoring a trained model on a dataset: its predictions for the images that it has not seen, and its score."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotorch.data import scenes
from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.datasets import DATASETS, FER, FER_TEST
from emotorch.errors import EmoTorchError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.official_tests import describe_tests, record_scoring
from emotorch.evaluation.seen import chose_the_epoch, seen_by
from emotorch.evaluation.sets import EvaluationSet, as_option, load_set, sources_of, synthetic_suffix
from emotorch.metrics import confusion
from emotorch.metrics.calibration import Reliability, assess, predicted_classes, probabilities
from emotorch.metrics.confusion import Counts
from emotorch.metrics.intervals import proportion
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import Model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import to_tensor

# Behind a score, and before the words on it: images among those scored chose the model's epoch.
CHOSE_THE_EPOCH = "†"
# Images at once: so few stay in a core's cache, a third faster than hundreds.
_BATCH = 64


class NothingUnseenError(EmoTorchError):
    """A run was trained on every image that it should be scored on."""


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
    found = proportion(correct, images)
    return f"{images} images, accuracy {found.value:.2f}% (95% interval {found.low:.2f}–{found.high:.2f})"


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


def prepared(model: Model, device: torch.device) -> Model:
    """A copy on a device that wants no gradients of its weights, which have the channels last: a CPU is twice as fast
    so."""
    network = copy.deepcopy(model.network).eval().requires_grad_(False)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(model, network=network)


def outputs_of(model: Model, pixels: Pixels) -> Tensor:
    """(N, K) outputs of a model where it is, for (N, H, W) or (N, H, W, 3) bytes.

    Raises:
        EmoTorchError: they are no finite numbers.
    """
    images = to_tensor(pixels).to(next(model.network.parameters()).device)
    batches = torch.split(images, _BATCH)
    return model.checked(torch.cat([network_outputs(model.network, batch, model.form) for batch in batches]))


@dataclass(frozen=True)
class Evaluation:
    """A model's score on some images.

    Attributes:
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
        notes: What is to be said of the images, right after the score.
        shared: (N,) which of them share their source with a training image (`shared_how`); scored without these too.
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
    dataset = as_option(dataset)
    everything = load_set(paths, dataset, model.scheme, model.form.pixels, faces)
    known = TrainingImages.of(run)
    trained_on, twins = seen_by(model, everything, known, paths)
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
        validated=chose_the_epoch(loaded, images),
    )
    record_scoring(loaded, dataset, evaluation.images, evaluation.predictions.counts)
    return evaluation


def default_dataset(loaded: LoadedRun) -> str:
    """What a run is scored on where nothing is named: FER-2013, or without that the dataset that it was trained on."""
    originals = loaded.paths.for_scheme(loaded.model.scheme.name).originals
    trained_on = loaded.run.record.get("settings", {}).get("train_on", FER.name)
    if (originals / FER.name).is_dir():
        return FER.key
    return DATASETS[trained_on].key if trained_on in DATASETS else str(trained_on)
