"""Faults that make a model's score other than what a user of it would get, each looked for and named.

A batch that leaks (batch norm in training mode, attention across images) scores well in the author's script, where the
batches are sorted or of one class, and falls apart on a single photo.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.labels import SCHEMES, LabelScheme
from emotorch.metrics.confusion import accuracy
from emotorch.metrics.intervals import wilson_interval
from emotorch.model_audit.foreign import BATCH, Floats
from emotorch.model_audit.inputs import Reading, Trial, best_order
from emotorch.seeding import generator

# More than rounding makes, also in half precision: of outputs in their standard deviations, of sums of probabilities.
_TOLERANCE = 2e-2
_TINY = 1e-9
_ROUNDING = 1e-3
# What outputs reach that are probabilities of single classes.
_SURE = 0.9
# Percentage points that a usual reading must win by, on so few images, before what is stated is called wrong.
_CLEARLY_BETTER = 8.0
# No honest result on FER-2013's seven classes is known above: ensembles with ImageNet weights reach 76.8% (README of
# ResMaskNet and others), people 65 ± 5% (Goodfellow et al., 2013), and part of the labels is wrong.
HIGHEST_KNOWN = 76.8
_GAP = 3.0


@dataclass(frozen=True)
class Score:
    """How many of some images are right, and by which `kind` of way; see `emotorch.model_audit.scores`."""

    title: str
    correct: int
    images: int
    kind: str = "plain"

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.correct / self.images

    @property
    def percent(self) -> float:
        return 100 * self.correct / self.images if self.images else float("nan")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95%, from 0 to 1."""
        low, high = wilson_interval(self.correct, self.images)
        return low / 100, high / 100

    @property
    def percents(self) -> str:
        """The interval as people read it: `59.05–63.33`."""
        low, high = self.interval
        return f"{100 * low:.2f}–{100 * high:.2f}"

    def line(self) -> str:
        return f"{self.title}: {self.accuracy:.2%} (95% interval {self.percents}), n {self.images:,}"


@dataclass(frozen=True)
class Fault:
    """Something wrong with a model, by a short name for CI: `batch`. What is not serious makes no score wrong, and is
    worth knowing."""

    name: str
    text: str
    serious: bool = True


def outputs_as_probabilities(outputs: Floats) -> tuple[Floats, list[Fault]]:
    """Probabilities of (N, K) finite outputs of any kind, and what kind they are where that is worth knowing."""
    sums, classes = outputs.sum(axis=1), outputs.shape[1]
    inside = outputs.min() >= -_ROUNDING and outputs.max() <= 1 + _ROUNDING
    if inside and np.abs(sums - 1).max() <= _TOLERANCE:
        # Softmax of numbers from 0 to 1 that sum to 1 stays within these.
        most = np.e / (np.e + classes - 1)
        if outputs.max() <= most + _ROUNDING and classes > 2:
            text = (
                f"no probability is above {outputs.max():.2f}: it looks like a softmax over probabilities, which "
                f"cannot pass {most:.2f} of {classes} classes; the confidences mean nothing"
            )
            return outputs, [Fault("softmax_twice", text)]
        text = "the outputs are probabilities; a softmax over them is one too many"
        return outputs, [Fault("probabilities", text, serious=False)]
    if outputs.max() <= _ROUNDING and np.abs(np.exp(outputs).sum(axis=1) - 1).max() <= _TOLERANCE:
        text = "the outputs are logarithms of probabilities"
        return np.exp(outputs), [Fault("log_probabilities", text, serious=False)]
    if inside and outputs.max() > _SURE and outputs.min() < 1 - _SURE:
        text = (
            f"the outputs are from 0 to 1 and sum to {sums.min():.2f}–{sums.max():.2f}: one probability for each "
            "class, not a distribution"
        )
        return outputs / np.maximum(sums, np.finfo(np.float32).tiny)[:, None], [Fault("no_distribution", text)]
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True), []


def find_useless(outputs: Floats) -> list[Fault]:
    """Whether (N, K) outputs are no numbers, tell nothing of the image, or speak for one class in all."""
    if wrong := int((~np.isfinite(outputs)).any(axis=1).sum()):
        return [Fault("nan", f"NaN or infinity for {wrong} of {len(outputs)} images")]
    if len(outputs) < 2:
        return []
    images = f"all of {len(outputs)} images"
    if np.ptp(outputs, axis=0).max() <= _TINY * max(1.0, float(np.abs(outputs).max())):
        return [Fault("constant", f"the same outputs for {images}: they do not depend on the image")]
    if np.ptp(outputs.argmax(axis=1)) == 0:
        return [Fault("one_class", f"one class, output {outputs[0].argmax()}, is answered for {images}")]
    return []


def find_batch_faults(reading: Reading, pixels: Pixels, truths: Indices) -> Iterator[Fault]:
    """Whether an image's outputs depend on the others of its batch, on its place in it, or on chance.

    Of some hundred images, whose true classes make batches of a single class.
    """
    batch = reading.model.signature.batch
    if batch == 1:
        return
    size = batch or BATCH
    pixels, truths = pixels[: 4 * size], truths[: 4 * size]
    together = reading.outputs(pixels)
    if not np.array_equal(together, reading.outputs(pixels), equal_nan=True):
        yield Fault("random", "the same images in the same batches get other outputs: dropout or noise is at work")
        return
    orders: dict[str, NDArray[np.int64]] = {
        "in shuffled batches": generator("audit", "shuffled").permutation(len(pixels)),
        "in batches of one class": np.argsort(truths, kind="stable"),
    }
    seen = {}
    for name, order in orders.items():
        outputs = np.empty_like(together)
        outputs[order] = reading.outputs(pixels[order])
        seen[name] = outputs
    if batch is None:
        alone = [reading.outputs(pixels[number : number + 1]) for number in range(min(size, len(pixels)))]
        seen["alone"] = np.concatenate(alone)
    parts = []
    for name, outputs in seen.items():
        before = together[: len(outputs)]
        difference = float(np.abs(outputs - before).max() / max(float(outputs.std()), _TINY))
        if difference > _TOLERANCE:
            changed = int((outputs.argmax(axis=1) != before.argmax(axis=1)).sum())
            parts.append(
                f"{name} an output differs by up to {difference:.2f} standard deviations, and {changed} of "
                f"{len(outputs)} predictions change"
            )
    if parts:
        yield Fault("batch", f"an image's outputs depend on its batch (of {size}): {'; '.join(parts)}")


def find_label_faults(
    trial: Trial, outputs: Floats, truths: Indices, scheme: LabelScheme, others: Sequence[Trial]
) -> Iterator[Fault]:
    """Whether the outputs speak for another order of the classes, or another range of values, than is stated.

    Args:
        trial: The reading that is stated, or was found.
        outputs, truths: By it, for the images that readings are chosen on, and these images' labels.
        others: What other readings score on the same.
    """
    best = best_order(outputs, truths, scheme)
    reached = float(accuracy(best.counts(outputs, truths)))
    if reached > trial.accuracy + _CLEARLY_BETTER:
        yield Fault(
            "labels",
            f"the classes are in another order than {trial.reading.classes.source} ({trial.accuracy:.1f}%): the "
            f"outputs fit {', '.join(best.names)} ({reached:.1f}%)",
        )
    same = [other for other in others if other.reading.classes.source == trial.reading.classes.source]
    better = max(same, key=lambda other: other.accuracy, default=trial)
    if better.accuracy > trial.accuracy + _CLEARLY_BETTER:
        yield Fault(
            "range",
            f"with values as stated ({trial.reading.scaling}) it scores {trial.accuracy:.1f}%, and with "
            f"{better.reading.scaling} {better.accuracy:.1f}%",
        )


def find_memory_faults(
    training: Score | None, public: Score | None, private: Score | None, scheme: LabelScheme
) -> Iterator[Fault]:
    """Whether the model knows test images: one official test far above the other, or all above what is honest.

    Args:
        training: On some of FER-2013's Training rows.
        public: On PublicTest without the images that have a twin in Training.
        private: The same on PrivateTest; None where it is not here.
        scheme: What is honest is known of all seven classes alone.
    """
    if public is not None and private is not None:
        high, low = sorted((public, private), key=lambda scored: -scored.percent)
        table = [[scored.correct, scored.images - scored.correct] for scored in (high, low)]
        p = float(stats.fisher_exact(table).pvalue)
        if high.percent - low.percent > _GAP and p < 0.001:
            yield Fault(
                "fitted_to_test",
                f"{high.title} {high.percent:.1f}% and {low.title} {low.percent:.1f}% differ beyond chance "
                f"(p = {p:.1g}): it was fitted to {high.title}, or chosen on it many times",
            )
    for scored in (public, private):
        if scored is None or scored.images < 30 or scheme.labels != SCHEMES["seven"].labels:
            continue
        interval = stats.binomtest(scored.correct, scored.images).proportion_ci(0.999, method="wilson")
        if 100 * interval.low > HIGHEST_KNOWN:
            trained = "" if training is None else f", and {training.percent:.1f}% on Training rows"
            yield Fault(
                "above_honest",
                f"{scored.percent:.1f}% on {scored.title}{trained}: no honest result is known above {HIGHEST_KNOWN}%; "
                f"it was in all likelihood trained on {scored.title}",
            )
