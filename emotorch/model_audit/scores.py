"""What a foreign model scores on a set of images, by the ways in which such scores are come by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emotorch.analyses.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.data.likeness import THRESHOLD, find_alike
from emotorch.datasets import FER_PRIVATE, FER_PUBLIC, PARTS
from emotorch.evaluation.sets import EvaluationSet
from emotorch.evaluation.tta import augmented_copies
from emotorch.metrics import calibration
from emotorch.model_audit.faults import Score, outputs_as_probabilities
from emotorch.model_audit.foreign import Floats
from emotorch.model_audit.inputs import Reading, mean_f1
from emotorch.seeding import generator
from emotorch.training.preprocessing import to_tensor

# Ways to come by a score beside "plain", as a user would: without images that have a copy in training, exact or any;
# with test-time augmentation.
WITHOUT_TWINS, WITHOUT_COPIES, WITH_TTA = "without_twins", "without_copies", "with_tta"

# Training rows that test scores are compared with: as many as PublicTest has. Images that robustness is measured on.
_COMPARED, _CORRUPTED = 3589, 500


@dataclass(frozen=True)
class SetAudit:
    """What a model scores on a set of images.

    Attributes:
        counts: (K, K), with one more row and column where it predicts classes that the set has not.
        protocols: The score, and without the images that have a twin in Training, with test-time augmentation, ….
        twins: Of the images, by their kind: exact, mirrored, near.
        ece: Expected calibration error, 0 to 1.
        right: (N,) which images are predicted right.
        sources: (N,) equal for images that are not independent.
        notes: What else is to be said of the images.
        robustness: The mean error of each corruption over its severities, percent; empty unless asked for.
    """

    name: str
    title: str
    counts: NDArray[np.int64]
    macro_f1: float
    protocols: Sequence[Score]
    twins: Mapping[str, int]
    ece: float
    right: NDArray[np.bool_] = field(repr=False)
    sources: NDArray[np.str_] = field(repr=False)
    hashes: NDArray[np.str_] = field(repr=False)
    notes: Sequence[str] = ()
    robustness: Mapping[str, float] = field(default_factory=dict)

    @property
    def main(self) -> Score:
        return self.protocols[0]

    def by(self, kind: str) -> Score | None:
        """The score that was come by in some way; None where that makes no difference, or was not asked for."""
        return next((protocol for protocol in self.protocols if protocol.kind == kind), None)


def some_of(number: int, most: int) -> NDArray[np.bool_]:
    """So many of the images, drawn by a fixed seed."""
    chosen = np.zeros(number, dtype=bool)
    chosen[generator("audit", "some").permutation(number)[:most]] = True
    return chosen


def score_set(
    reading: Reading,
    images: EvaluationSet,
    training: EvaluationSet | None,
    *,
    sources: NDArray[np.str_],
    notes: Sequence[str],
    claim: float | None,
    tta: bool,
    robustness: bool,
) -> SetAudit:
    """Scores a model on a set of images.

    Args:
        training: FER-2013's Training rows, of which copies may be among the images; None where they are not here.
        sources: (N,) equal for images that are not independent.
        claim: Where the score is below it, test-time augmentation is tried too.
    """
    classes = reading.classes
    outputs = np.nan_to_num(reading.outputs(images.pixels))
    right = classes.predictions(outputs) == images.labels
    part, title = PARTS.get(images.name), images.name
    if part is not None:
        # A whole dataset has images that others train on, and says so.
        training_images = " and ".join(part.dataset.training) if not part.usages else ""
        title = f"{part.title} with its {training_images} images" if training_images else part.title
    protocols = [Score(title, int(right.sum()), len(right))]
    twins = {}
    if training is not None and images.name in (FER_PUBLIC, FER_PRIVATE):
        twins = _twins(images, training)
        exact, every = twins["exact"], np.logical_or.reduce(list(twins.values()))
        protocols += [
            Score(f"{title}, without {words} of Training rows", int(right[~found].sum()), int((~found).sum()), kind)
            for kind, words, found in (
                (WITHOUT_TWINS, "exact copies", exact),
                (WITHOUT_COPIES, "exact, near and mirrored copies", every),
            )
            if found.any() and not found.all()
        ]
    # Where a claim is too high, it may be that of another protocol.
    if tta or (claim is not None and claim > protocols[0].interval[1]):
        hits = classes.predictions(_with_tta(reading, images.pixels)) == images.labels
        protocols.append(Score(f"{title}, with test-time augmentation", int(hits.sum()), len(hits), WITH_TTA))
    counts = classes.counts(outputs, images.labels)
    probabilities = classes.placed(outputs_as_probabilities(outputs)[0])
    return SetAudit(
        name=images.name,
        title=title,
        counts=counts,
        macro_f1=mean_f1(counts, classes.labels),
        protocols=protocols,
        twins={kind: int(found.sum()) for kind, found in twins.items()},
        ece=calibration.measure(probabilities, images.labels).ece,
        right=right,
        sources=sources,
        hashes=images.hashes,
        notes=notes,
        robustness=_robustness(reading, images) if robustness else {},
    )


def _twins(images: EvaluationSet, training: EvaluationSet) -> dict[str, NDArray[np.bool_]]:
    """Which images have a copy among the Training rows, by its kind; each image counts for the first kind."""
    exact = np.isin(images.hashes, training.hashes)
    found = {"exact": exact}
    left = np.flatnonzero(~exact)
    for kind, faces in (("near", images.pixels[left]), ("mirrored", images.pixels[left, :, ::-1])):
        alike = {
            first for first, _ in find_alike(np.ascontiguousarray(faces), training.pixels, THRESHOLD, within=False)
        }
        of_kind = np.zeros_like(exact)
        of_kind[left[sorted(alike)]] = True
        found[kind] = of_kind & ~np.logical_or.reduce(list(found.values()))
    return found


def _with_tta(reading: Reading, pixels: NDArray[np.uint8]) -> Floats:
    """(N, K) mean probabilities over the copies of each image."""
    copies = []
    for copy in augmented_copies(to_tensor(pixels)):
        images = (copy[:, 0] if pixels.ndim == 3 else copy.permute(0, 2, 3, 1)).numpy().astype(np.uint8)
        copies.append(outputs_as_probabilities(np.nan_to_num(reading.outputs(images)))[0])
    return np.asarray(np.mean(copies, axis=0), np.float32)


def _robustness(reading: Reading, images: EvaluationSet) -> dict[str, float]:
    """The mean error of each corruption over its severities, percent, on some of the images."""
    part = images.part(some_of(len(images.labels), _CORRUPTED))
    hashes = part.hashes.tolist()
    errors = {}
    for name in CORRUPTIONS:
        corrupted = [corrupt(part.pixels, hashes, name, severity) for severity in SEVERITIES]
        errors[name] = 100 * float(np.mean([reading.predictions(pixels) != part.labels for pixels in corrupted]))
    return errors


def score_training(reading: Reading, training: EvaluationSet) -> Score:
    """On as many Training rows as PublicTest has."""
    part = training.part(some_of(len(training.labels), _COMPARED))
    right = reading.predictions(part.pixels) == part.labels
    return Score("Training rows", int(right.sum()), len(right))


def unseen_part(sets: Sequence[SetAudit], name: str) -> Score | None:
    """An official test without the exact copies of Training rows."""
    for found in sets:
        if found.name == name:
            return replace(found.by(WITHOUT_TWINS) or found.main, title=found.title)
    return None
