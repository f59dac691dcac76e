"""How a foreign model's images are to be scaled, and what its outputs stand for: stated, or tried out.

A wrong range of values or order of classes is the most common silent fault of a published model. What is not stated
is tried over the usual ones on a few training images, so that no test image has a say, and shown as a table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.errors import EmoTorchError, UsageError
from emotorch.labels import LabelScheme
from emotorch.metrics.confusion import Counts, accuracy, confusion_counts, f1_scores
from emotorch.model_audit.foreign import BATCH, Floats, ForeignModel, batches
from emotorch.recipes import NORMALIZATIONS
from emotorch.tables import Table

# Sides that are tried where a graph takes any.
_SIZES = (48, 64, 96, 112, 128, 224)
_NO_CLASS = -1


# --- Values -------------------------------------------------------------------------------------------------


def _normalised(mean: Sequence[float], std: Sequence[float]) -> Callable[[Floats], Floats]:
    means, stds = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (mean, std))

    def scale(images: Floats) -> Floats:
        # Of grey images, the mean of what is meant for colours.
        own = (means, stds) if images.shape[1] == 3 else (means.mean(), stds.mean())
        return np.asarray((images / np.float32(255) - own[0]) / own[1], np.float32)

    return scale


def _standardised(images: Floats) -> Floats:
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray((images - mean) / np.maximum(images.std(axis=(1, 2, 3), keepdims=True), 1), np.float32)


# By the name that --preprocess takes.
SCALINGS: Mapping[str, Callable[[Floats], Floats]] = {
    "bytes": np.asarray,
    **{name: _normalised(*values) for name, values in NORMALIZATIONS.items()},
    "half": _normalised((0.5,), (1.0,)),
    "fer": _normalised((0.5077,), (0.255,)),
    "standardized": _standardised,
}
SCALING_TITLES = {
    "bytes": "0 to 255",
    "unit": "0 to 1",
    "symmetric": "-1 to 1",
    "imagenet": "ImageNet's mean and standard deviation",
    "half": "-0.5 to 0.5",
    "fer": "FER-2013's mean and standard deviation",
    "standardized": "each image's own mean and standard deviation",
}


def parse_scaling(text: str) -> Callable[[Floats], Floats]:
    """What `--preprocess` says: one of the names, or MEAN/STD of values 0-1, with commas between those of channels.

    Raises:
        UsageError: it is neither.
    """
    if text in SCALINGS:
        return SCALINGS[text]
    try:
        mean, std = ([float(value) for value in part.split(",")] for part in text.split("/"))
    except ValueError:
        mean, std = [], []
    if len(mean) != len(std) or len(mean) not in (1, 3) or not all(value > 0 for value in std):
        raise UsageError(f"--preprocess {text!r}: one of {', '.join(SCALINGS)}, or MEAN/STD such as 0.5/0.25")
    return _normalised(mean, std)


def to_images(pixels: Pixels, size: int, channels: int) -> Floats:
    """(N, H, W) grey or (N, H, W, 3) colour bytes to (N, channels, size, size), 0-255."""
    resized = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in pixels])
    if resized.ndim == 3:
        return np.asarray(np.repeat(resized[:, None], channels, axis=1), np.float32)
    if channels == 1:
        resized = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in resized])[..., None]
    return np.asarray(resized.transpose(0, 3, 1, 2), np.float32)


# --- Classes ------------------------------------------------------------------------------------------------

# The usual orders, by the number of classes and where they are from.
ORDERS: Mapping[str, tuple[str, ...]] = {
    "FER-2013": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "alphabetical, as class folders are read": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "RAF-DB": ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),
    "AffectNet": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"),
    "AffectNet, 8 classes": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
    "FER+": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"),
    "alphabetical, 8 classes": ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "EmoTorch": ("anger", "fear", "calm", "surprise"),
    "alphabetical, 4 moods": ("happy", "neutral", "sad", "surprise"),
    "CK+, alphabetical": ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"),
}


@dataclass(frozen=True)
class Classes:
    """What a model's outputs stand for.

    Attributes:
        source: Where the order is from.
        places: (K,) the scheme's label of each; -1 for a class that the scheme has not.
        labels: How many labels the scheme has.
    """

    source: str
    names: tuple[str, ...]
    places: NDArray[np.int64]
    labels: int

    @classmethod
    def of(cls, source: str, names: Sequence[str], scheme: LabelScheme) -> "Classes":
        """
        Raises:
            EmoTorchError: two outputs are the same class, or fewer than two are of the scheme.
        """
        labels = [scheme.label_of(name.strip().lower()) for name in names]
        known = [label for label in labels if label is not None]
        if len(known) < 2 or len(set(known)) < len(known):
            raise EmoTorchError(f"the classes {', '.join(names)} are not those of the scheme {scheme.name}")
        places = [_NO_CLASS if label is None else scheme.index(label) for label in labels]
        return cls(source, tuple(names), np.array(places), len(scheme.labels))

    def predictions(self, outputs: Floats) -> Indices:
        """(N,) predicted labels; a class that the scheme has not counts as one more."""
        places = np.where(self.places == _NO_CLASS, self.labels, self.places)
        return np.asarray(places[outputs.argmax(axis=1)], np.int64)

    def placed(self, probabilities: Floats) -> Floats:
        """(N, K) probabilities in the order of the scheme's labels; those of other classes as one more column."""
        others = bool((self.places == _NO_CLASS).any())
        columns = np.zeros((len(probabilities), self.labels + others), np.float32)
        for output, place in enumerate(self.places.tolist()):
            columns[:, self.labels if place == _NO_CLASS else place] += probabilities[:, output]
        return columns

    def counts(self, outputs: Floats, truths: Indices) -> Counts:
        """(K, K) confusion counts over the scheme's labels, or one more row and column where others are predicted."""
        predictions = self.predictions(outputs)
        return confusion_counts(truths, predictions, self.labels + bool((predictions == self.labels).any()))


def usual_orders(classes: int, scheme: LabelScheme) -> list[Classes]:
    """Those of so many classes that the scheme knows, each once."""
    found: dict[tuple[int, ...], Classes] = {}
    for source, names in ORDERS.items():
        if len(names) != classes:
            continue
        try:
            order = Classes.of(source, names, scheme)
        except EmoTorchError:
            continue
        found.setdefault(tuple(order.places.tolist()), order)
    return list(found.values())


def best_order(outputs: Floats, truths: Indices, scheme: LabelScheme) -> Classes:
    """The order that the outputs themselves speak for: each output the label that it fits best, each label once.

    Kuhn, "The Hungarian method for the assignment problem" (1955).
    """
    counts = np.zeros((outputs.shape[1], len(scheme.labels)), np.int64)
    np.add.at(counts, (outputs.argmax(axis=1), truths), 1)
    rows, columns = linear_sum_assignment(-counts)
    places = np.full(outputs.shape[1], _NO_CLASS)
    places[rows] = columns
    names = tuple("–" if place == _NO_CLASS else scheme.labels[place] for place in places.tolist())
    return Classes("fits best", names, places, len(scheme.labels))


# --- Reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """How a model is given images, `size` pixels wide with 1 or 3 channels of scaled values, and how its outputs are
    read."""

    model: ForeignModel
    size: int
    channels: int
    scaling: str
    classes: Classes

    def outputs(self, pixels: Pixels) -> Floats:
        """(N, K) outputs for bytes of any size, scaled part by part so that memory stays small."""
        scale = parse_scaling(self.scaling)
        step = 8 * (self.model.signature.batch or BATCH)
        parts = [
            batch
            for start in range(0, len(pixels), step)
            for batch in batches(self.model, scale(to_images(pixels[start : start + step], self.size, self.channels)))
        ]
        return np.concatenate(parts)

    def predictions(self, pixels: Pixels) -> Indices:
        """(N,) predicted labels; see `Classes.predictions`."""
        return self.classes.predictions(np.nan_to_num(self.outputs(pixels)))


@dataclass(frozen=True)
class Trial:
    """A reading, and what it scores on the images that readings are chosen on: percent."""

    reading: Reading
    accuracy: float
    macro_f1: float


def find_reading(
    model: ForeignModel,
    pixels: Pixels,
    truths: Indices,
    scheme: LabelScheme,
    *,
    scaling: str | None,
    labels: Sequence[str] | None,
) -> list[Trial]:
    """Tries the usual readings on some images, or those that fit a stated scaling or labels; the best first.

    Raises:
        EmoTorchError: no usual order has as many classes, and none is given.
    """
    signature = model.signature
    orders = [Classes.of("stated", labels, scheme)] if labels else usual_orders(signature.classes, scheme)
    if not orders:
        raise EmoTorchError(
            f"{model.path}: no usual order of {signature.classes} classes fits the scheme {scheme.name}; give --labels"
        )
    scalings: Iterable[str] = ["bytes"] if signature.takes_bytes else SCALINGS
    if scaling is not None:
        parse_scaling(scaling)  # which refuses what is none
        scalings = [scaling]
    trials = []
    for size in (signature.size,) if signature.size else _SIZES:
        for name in scalings:
            blank = Reading(model, size, signature.channels or 1, name, orders[0])
            try:
                outputs = np.nan_to_num(blank.outputs(pixels))
            except EmoTorchError:
                if signature.size:
                    raise
                break  # a graph of any size may still need some other one
            for order in orders:
                counts = order.counts(outputs, truths)
                reading = replace(blank, classes=order)
                trials.append(Trial(reading, float(accuracy(counts)), mean_f1(counts, order.labels)))
    if not trials:
        raise EmoTorchError(f"{model.path}: takes images of none of the usual sizes, {', '.join(map(str, _SIZES))}")
    return sorted(trials, key=lambda trial: -trial.accuracy)


def mean_f1(counts: Counts, labels: int) -> float:
    """The mean F1 of the scheme's labels, percent, whatever others the model has; one that is not met counts 0."""
    return float(np.nan_to_num(f1_scores(counts)[:labels]).mean())


def trials_table(trials: Sequence[Trial], most: int = 12) -> Table:
    """What each reading scores, the best first."""
    rows = []
    for trial in trials[:most]:
        values = SCALING_TITLES.get(trial.reading.scaling, trial.reading.scaling)
        rows.append((trial.reading.size, values, trial.reading.classes.source, trial.accuracy, trial.macro_f1))
    frame = pd.DataFrame(rows, columns=["size", "values", "order of classes", "accuracy %", "macro-F1 %"])
    return Table(frame, {"accuracy %": "{:.1f}", "macro-F1 %": "{:.1f}"})
