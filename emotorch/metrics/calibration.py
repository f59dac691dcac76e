"""From outputs to probabilities that mean something: one temperature, fitted on validation images, and what is left.

Sources: Guo et al., "On calibration of modern neural networks" (ICML 2017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from emotorch.data.split import SPLIT_SEED, Indices, group_sources
from emotorch.seeding import generator

BINS = 15
_EDGES = np.linspace(0, 1, BINS + 1)
_CHANCE_DRAWS = 400
# Of a temperature's logarithm. A network that is trained by the cosine alone leaves the size of its outputs open: they
# may need a strong temperature, up or down.
_LOG_RANGE = (-8.0, 8.0)
_TOLERANCE = 1e-9

_Floats = NDArray[np.floating]


def probabilities(outputs: Tensor, temperature: float) -> Tensor:
    """(N, K) outputs to (N, K) probabilities; each row sums to 1."""
    return torch.softmax(outputs / temperature, dim=1)


def predicted_classes(outputs: Tensor) -> Indices:
    """(N, K) outputs to (N,) classes."""
    return np.asarray(outputs.argmax(1).numpy(), dtype=np.int64)


def fit_temperature(outputs: Tensor, labels: Tensor) -> float:
    """The temperature that makes (N,) labels most likely by (N, K) outputs; 1 where there is nothing to fit it on."""
    from scipy.optimize import minimize_scalar  # here: prediction needs this module, and no fit

    if not len(labels) or not outputs.any():
        return 1.0
    outputs = outputs.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(outputs / math.exp(log_temperature), labels).item()

    # The loss has one minimum along the temperature.
    fitted = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": _TOLERANCE})
    return math.exp(fitted.x)


@dataclass(frozen=True)
class Bin:
    """The images whose confidence is above `low` and at most `high`, 0 to 1.

    Attributes:
        correct: How many of them are predicted correctly.
        confidence: Their mean, 0 to 1; None for an empty bin.
    """

    low: float
    high: float
    images: int
    correct: int
    confidence: float | None


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy lie apart.

    Attributes:
        ece: Expected calibration error, 0 to 1: the mean gap of the bins, weighted by their images.
        by_chance: The same error of a perfectly calibrated model with these confidences, on average: on few images
            chance alone gives one (Bröcker and Smith, "Increasing the reliability of reliability diagrams", 2007).
        by_chance_high: What chance alone exceeds in 1 of 20 cases.
        brier: Mean squared distance of the probabilities from the truth, over all classes, 0 to 2 (Brier, 1950).
        nll: Mean negative logarithm of the true class's probability.
    """

    images: int
    bins: Sequence[Bin]
    ece: float
    by_chance: float
    by_chance_high: float
    brier: float
    nll: float


@dataclass(frozen=True)
class Reliability:
    """The calibration of a model on a set of images.

    Attributes:
        temperature: The model's own; 1 for a file that states none.
        before: At temperature 1.
        after: At the model's own.
        fitted_on: How many of these images the temperature was fitted on; None where that is unknown.
        crossed: Each half of the images, split by source, at the temperature that was fitted on the other: what
            the fit is worth on images that it has not seen. None unless the model's own was fitted on some of them.
        crossed_temperatures: Of the two halves.
    """

    temperature: float
    before: Calibration
    after: Calibration
    fitted_on: int | None
    crossed: Calibration | None = None
    crossed_temperatures: tuple[float, float] | None = None

    def line(self) -> str:
        """The expected calibration errors in words, and which images they are of."""
        start = f"calibration: expected error {self.before.ece:.2%}"
        chance = f"; a perfect model would show {self.after.by_chance:.2%} by chance"
        if self.temperature == 1.0:
            return f"{start} (the model states no temperature){chance}"
        text = f"{start} as trained, {self.after.ece:.2%} at its temperature {self.temperature:.4g}"
        if self.fitted_on is None:
            return f"{text} (fitted on images that are unknown){chance}"
        if not self.fitted_on:
            return f"{text}, fitted on other images{chance}"
        crossed = "" if self.crossed is None else f"; {self.crossed.ece:.2%} cross-fitted on halves by source"
        return f"{text}, fitted on {self.fitted_on} of these {self.after.images} images{crossed}{chance}"


def measure(probabilities: _Floats, labels: Indices) -> Calibration:
    """The calibration of (N, K) probabilities for (N,) true labels; N is at least 1."""
    probabilities = np.asarray(probabilities, np.float64)
    confidences, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    places = np.digitize(confidences, _EDGES[1:-1], right=True)
    images = np.bincount(places, minlength=BINS)
    summed, correct = (np.bincount(places, values, minlength=BINS) for values in (confidences, right))
    bins = [
        Bin(float(low), float(high), int(n), int(hits), float(total / n) if n else None)
        for low, high, n, hits, total in zip(_EDGES[:-1], _EDGES[1:], images, correct, summed, strict=True)
    ]
    rng = generator("calibration by chance", SPLIT_SEED)
    by_chance = [_error(places, confidences, rng.random(len(labels)) < confidences) for _ in range(_CHANCE_DRAWS)]
    truths = probabilities[np.arange(len(labels)), labels]
    return Calibration(
        images=len(labels),
        bins=bins,
        ece=_error(places, confidences, right),
        by_chance=float(np.mean(by_chance)),
        by_chance_high=float(np.quantile(by_chance, 0.95)),
        brier=float((np.square(probabilities).sum(axis=1) - 2 * truths + 1).mean()),
        nll=float(-np.log(np.maximum(truths, np.finfo(np.float64).tiny)).mean()),
    )


def _error(places: Indices, confidences: _Floats, right: NDArray[np.bool_]) -> float:
    gaps = np.bincount(places, right - confidences, minlength=BINS)
    return float(np.abs(gaps).sum() / len(places))


def assess(
    outputs: Tensor,
    labels: Indices,
    sources: NDArray[np.str_],
    temperature: float,
    fitted_on: NDArray[np.bool_] | None,
) -> Reliability:
    """How well a model is calibrated on some images, at least one, before and after its temperature.

    Args:
        outputs: (N, K), before the softmax.
        labels: (N,) truths.
        sources: (N,) equal for images that must not be in different halves.
        fitted_on: (N,) which of the images it was fitted on; None where that is unknown.
    """
    outputs = outputs.double()
    before = measure(probabilities(outputs, 1.0).numpy(), labels)
    if temperature == 1.0:
        return Reliability(temperature, before, before, 0)
    after = measure(probabilities(outputs, temperature).numpy(), labels)
    number = None if fitted_on is None else int(fitted_on.sum())
    crossed = cross_fit(outputs, labels, sources) if number else None
    if crossed is None:
        return Reliability(temperature, before, after, number)
    at_crossed, temperatures = crossed
    return Reliability(temperature, before, after, number, measure(at_crossed, labels), temperatures)


def cross_fit(
    outputs: Tensor, labels: Indices, sources: NDArray[np.str_]
) -> tuple[_Floats, tuple[float, float]] | None:
    """(N, K) probabilities of each half of the images at the temperature of the other half; and the temperatures.

    The first temperature was fitted on the second half and serves the first. None where all images are of one
    source, so that there are no halves.
    """
    groups = group_sources(sources)
    number = int(groups.max()) + 1
    if number < 2:
        return None
    in_first = np.isin(groups, generator("calibration halves", SPLIT_SEED).permutation(number)[: number // 2])
    truths = torch.from_numpy(labels)
    crossed = np.empty(tuple(outputs.shape))
    temperatures = []
    for served in (in_first, ~in_first):
        fitted = torch.from_numpy(~served)
        temperatures.append(fit_temperature(outputs[fitted], truths[fitted]))
        crossed[served] = probabilities(outputs[~fitted], temperatures[-1]).numpy()
    return crossed, (temperatures[0], temperatures[1])
