"""The audit of a model: how it is to be read, what it honestly scores, its faults, and whether a claim holds."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch.analyses.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.data.duplicates import THRESHOLD, find_alike
from emotorch.data.images import PixelForm
from emotorch.data.selection import DatasetIndex
from emotorch.datasets import FER, FER_USAGES, LONGEST_SIDE, PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import EvaluationSet, load_set
from emotorch.evaluation.tta import augmented_copies
from emotorch.files import hash_file
from emotorch.labels import SCHEMES, LabelScheme
from emotorch.metrics import calibration
from emotorch.metrics.intervals import wilson_interval
from emotorch.model_audit.faults import (
    Fault,
    Scored,
    find_batch_faults,
    find_label_faults,
    find_memory_faults,
    find_not_finite,
    outputs_as_probabilities,
)
from emotorch.model_audit.foreign import Floats, ForeignModel, Signature, open_foreign
from emotorch.model_audit.inputs import Reading, Trial, find_reading, mean_f1, score
from emotorch.networks.describe import Size
from emotorch.paths import Paths
from emotorch.seeding import generator
from emotorch.training.preprocessing import to_tensor

# Training rows that readings are chosen on, and that test scores are compared with: as many as PublicTest has.
_TRIED_ON, _COMPARED = 400, 3589
# Test images that robustness is measured on.
_CORRUPTED = 500
_TIMED, _WARMED_UP = 60, 10
_PUBLIC, _PRIVATE = "fer-public", "fer-private"
# What is scored where no dataset is named, of what is here.
_USUAL = (_PUBLIC, _PRIVATE, "ckp", "raf")


@dataclass(frozen=True)
class Request:
    """What is asked of an audit.

    Attributes:
        dataset: To score on; None for the official test sets that are here.
        claim: An accuracy, 0 to 1, to be checked; None for none.
        scaling: How images are scaled; None to find out.
        labels: Names of the outputs, in their order; None to find out.
        network: Of a file of weights.
        image_size: Likewise.
        tta: Whether to score with test-time augmentation too.
        robustness: Whether to measure it.
        threads: Of the CPU.
    """

    dataset: str | None = None
    claim: float | None = None
    scaling: str | None = None
    labels: tuple[str, ...] | None = None
    network: str | None = None
    image_size: int | None = None
    tta: bool = False
    robustness: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.claim is not None and not 0 <= self.claim <= 1:
            hint = f"; did you mean {self.claim / 100:g}?" if 1 < self.claim <= 100 else ""
            raise UsageError(f"--claim {self.claim:g}: an accuracy is from 0 to 1{hint}")


@dataclass(frozen=True)
class Protocol:
    """A score, and the way that it was come by."""

    title: str
    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95%, from 0 to 1."""
        low, high = wilson_interval(self.correct, self.images)
        return low / 100, high / 100

    def line(self) -> str:
        low, high = self.interval
        return f"{self.title}: {self.accuracy:.2%} (95% interval {100 * low:.2f}–{100 * high:.2f}), n {self.images:,}"


@dataclass(frozen=True)
class SetAudit:
    """What a model scores on a set of images.

    Attributes:
        name: As options write it.
        title: As people read it.
        counts: (K, K), with one more row and column where it predicts classes that the set has not.
        macro_f1: Percent.
        protocols: The score, and without the images that have a twin in Training, with test-time augmentation, ….
        twins: Of the images, by their kind: exact, mirrored, near.
        ece: Expected calibration error, 0 to 1.
        right: (N,) which images are predicted right.
        sources: (N,) equal for images that are not independent.
        robustness: The mean error of each corruption over its severities, percent; empty unless asked for.
    """

    name: str
    title: str
    counts: NDArray[np.int64]
    macro_f1: float
    protocols: Sequence[Protocol]
    twins: Mapping[str, int]
    ece: float
    right: NDArray[np.bool_] = field(repr=False)
    sources: NDArray[np.str_] = field(repr=False)
    robustness: Mapping[str, float] = field(default_factory=dict)

    @property
    def main(self) -> Protocol:
        return self.protocols[0]


@dataclass(frozen=True)
class Audit:
    """What was found out about a model.

    Attributes:
        name: Of the model.
        path: Its file.
        sha256: Of that.
        classes: Names of its outputs.
        reading: How it is given images, and how its outputs are read.
        stated: Which parts of that were stated: `scaling`, `labels`.
        trials: What other readings score, the best first.
        tried_on: On which images.
        size: Parameters and multiply-adds; None where they cannot be counted.
        latency_ms: For an image on one core, median.
        sets: What it scores.
        training: On some of FER-2013's Training rows, beside which a test score shows what was memorised; None where
            they are not here.
        faults: What is wrong with it.
        claim: What is said of it, 0 to 1.
        verdict: Whether that holds, in a sentence; empty without a claim.
        holds: The same; None without a claim.
    """

    name: str
    path: Path
    sha256: str
    scheme: LabelScheme
    reading: Reading
    stated: Sequence[str]
    trials: Sequence[Trial]
    tried_on: str
    size: Size | None
    latency_ms: float
    sets: Sequence[SetAudit]
    training: Scored | None
    faults: Sequence[Fault]
    claim: float | None
    verdict: str
    holds: bool | None

    @property
    def passed(self) -> bool:
        return self.holds is not False and not any(fault.serious for fault in self.faults)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.name,
            "file": self.path.name,
            "sha256": self.sha256,
            "passed": self.passed,
            "claim": self.claim,
            "holds": self.holds,
            "verdict": self.verdict,
            "faults": [asdict(fault) for fault in self.faults],
            "reading": {
                "size": self.reading.size,
                "channels": self.reading.channels,
                "values": self.reading.scaling,
                "classes": list(self.reading.classes.names),
                "order": self.reading.classes.source,
                "stated": list(self.stated),
                "tried_on": self.tried_on,
            },
            "parameters": self.size.parameters if self.size else None,
            "multiply_adds": self.size.multiply_adds if self.size else None,
            "latency_ms": round(self.latency_ms, 2),
            "training": None if self.training is None else {**asdict(self.training), "percent": self.training.percent},
            "sets": [
                {
                    "name": scored.name,
                    "macro_f1": scored.macro_f1,
                    "ece": scored.ece,
                    "twins": dict(scored.twins),
                    "protocols": [
                        {**asdict(protocol), "accuracy": protocol.accuracy, "interval": protocol.interval}
                        for protocol in scored.protocols
                    ],
                    "counts": scored.counts.tolist(),
                    "robustness": dict(scored.robustness),
                }
                for scored in self.sets
            ],
        }


def audit(paths: Paths, path: Path, name: str, request: Request) -> Audit:
    """Audits a model.

    Args:
        paths: Where the datasets are.
        path: The model's file.
        name: What to call it.
        request: What is asked.

    Raises:
        EmoTorchError: the file is damaged or takes or gives something else than images and classes, or no dataset is
            here to score it on.
        UsageError: an option is wrong or missing.
    """
    model = open_foreign(path, network=request.network, image_size=request.image_size, threads=request.threads)
    labels = _stated_labels(model, request)
    scheme = _scheme_of(labels, model.signature.classes)
    training = _training_rows(paths, scheme)
    sets = _load_sets(paths, scheme, request.dataset, model.signature)
    tried = training if training is not None else sets[0]
    tried = tried.part(_some(len(tried.labels), _TRIED_ON))
    trials = find_reading(model, tried.pixels, tried.labels, scheme, scaling=request.scaling, labels=labels)
    reading, outputs = trials[0].reading, trials[0].reading.outputs(model, tried.pixels)
    faults = list(find_not_finite(outputs))
    if not faults:
        faults += outputs_as_probabilities(outputs)[1]
        faults += find_batch_faults(model, reading, tried.pixels, tried.labels)
        faults += find_label_faults(trials[0], outputs, tried.labels, scheme, _others(model, request, tried, scheme))
    scored = [_score(model, reading, scheme, images, training, request) for images in sets]
    known = None if training is None else _on_training(model, reading, scheme, training)
    faults += find_memory_faults(known, _honest(scored, _PUBLIC), _honest(scored, _PRIVATE), scheme)
    holds, verdict = judge(request.claim, scored)
    return Audit(
        name=name,
        path=path,
        sha256=hash_file(path),
        scheme=scheme,
        reading=reading,
        stated=[part for part, given in (("scaling", request.scaling), ("labels", labels)) if given is not None],
        trials=trials,
        tried_on=f"{len(tried.labels)} " + ("Training rows" if training is not None else f"images of {sets[0].name}"),
        size=model.size((reading.channels, reading.size, reading.size)),
        latency_ms=_latency(path, request, reading, tried),
        sets=scored,
        training=known,
        faults=faults,
        claim=request.claim,
        verdict=verdict,
        holds=holds,
    )


# --- What it is audited on ----------------------------------------------------------------------------------


def _stated_labels(model: ForeignModel, request: Request) -> tuple[str, ...] | None:
    labels = request.labels or model.stated_labels
    if labels is not None and len(labels) != model.signature.classes:
        raise UsageError(f"--labels: {len(labels)} names for {model.signature.classes} outputs")
    return labels


def _scheme_of(labels: Sequence[str] | None, classes: int) -> LabelScheme:
    """The largest built-in scheme whose classes a model has: all of them, and perhaps others."""
    for scheme in sorted(SCHEMES.values(), key=lambda scheme: -len(scheme.labels)):
        if labels is None:
            if len(scheme.labels) == classes or (scheme.name == "seven" and classes == len(scheme.labels) + 1):
                return scheme
            continue
        known = {scheme.label_of(name.strip().lower()) for name in labels}
        if known >= set(scheme.labels):
            return scheme
    named = "" if labels is None else f" ({', '.join(labels)})"
    raise UsageError(
        f"{classes} classes{named}: none of the schemes {', '.join(SCHEMES)} has them; name the outputs with --labels"
    )


def _training_rows(paths: Paths, scheme: LabelScheme) -> EvaluationSet | None:
    """FER-2013's Training rows; None where they are not here."""
    index = DatasetIndex.load(paths, scheme)
    images = index.originals_of(FER.name, FER_USAGES[0])
    if not len(images):
        return None
    return EvaluationSet("Training", images.files, images.read(), images.labels, images.hashes)


def _load_sets(paths: Paths, scheme: LabelScheme, dataset: str | None, signature: Signature) -> list[EvaluationSet]:
    size, channels = signature.size or LONGEST_SIDE, signature.channels or 3

    def load(name: str) -> EvaluationSet:
        """With size and colour as far as the model may take them, and the images have them."""
        if name in PARTS:
            form = DatasetIndex.load(paths, scheme).form_for(size, channels, PARTS[name].dataset.name)
        else:
            form = PixelForm(min(size, LONGEST_SIDE), channels)
        return load_set(paths, name, scheme, form)

    if dataset is not None:
        return [load(dataset)]
    found = []
    for name in _USUAL:
        try:
            found.append(load(name))
        except UsageError:
            raise
        except EmoTorchError:
            continue  # not here
    if not found:
        raise EmoTorchError(f"{paths.for_scheme(scheme.name).originals} has no test images: name a dataset or a folder")
    return found


def _some(number: int, most: int) -> NDArray[np.bool_]:
    """So many of the images, drawn by a fixed seed."""
    chosen = np.zeros(number, dtype=bool)
    chosen[generator("audit", "some").permutation(number)[:most]] = True
    return chosen


def _others(model: ForeignModel, request: Request, tried: EvaluationSet, scheme: LabelScheme) -> list[Trial]:
    """Readings beside a stated scaling."""
    if request.scaling is None or model.signature.takes_bytes:
        return []
    labels = _stated_labels(model, request)
    return find_reading(model, tried.pixels, tried.labels, scheme, scaling=None, labels=labels)


# --- Scores -------------------------------------------------------------------------------------------------


def _score(
    model: ForeignModel,
    reading: Reading,
    scheme: LabelScheme,
    images: EvaluationSet,
    training: EvaluationSet | None,
    request: Request,
) -> SetAudit:
    outputs = np.nan_to_num(reading.outputs(model, images.pixels))
    right = reading.classes.predictions(outputs, len(scheme.labels)) == images.labels
    title = _title(images.name)
    protocols = [Protocol(title, int(right.sum()), len(right))]
    twins = {}
    if training is not None and images.name in (_PUBLIC, _PRIVATE):
        twins = _twins(images, training)
        exact, every = twins["exact"], np.logical_or.reduce(list(twins.values()))
        protocols += [
            Protocol(f"{title}, without {kinds} of Training rows", int(right[~found].sum()), int((~found).sum()))
            for kinds, found in (("exact copies", exact), ("exact, near and mirrored copies", every))
            if found.any() and not found.all()
        ]
    # Where a claim is too high, it may be that of another protocol.
    if request.tta or (request.claim is not None and request.claim > protocols[0].interval[1]):
        copies = _with_tta(model, reading, images.pixels)
        hits = reading.classes.predictions(copies, len(scheme.labels)) == images.labels
        protocols.append(Protocol(f"{title}, with test-time augmentation", int(hits.sum()), len(hits)))
    counts = score(reading.classes, outputs, images.labels, scheme)
    probabilities = reading.classes.placed(outputs_as_probabilities(outputs)[0], len(scheme.labels))
    return SetAudit(
        name=images.name,
        title=title,
        counts=counts,
        macro_f1=mean_f1(counts, scheme),
        protocols=protocols,
        twins={kind: int(found.sum()) for kind, found in twins.items()},
        ece=calibration.measure(probabilities, images.labels).ece,
        right=right,
        sources=images.hashes,
        robustness=_robustness(model, reading, scheme, images) if request.robustness else {},
    )


def _title(name: str) -> str:
    """What a person reads of a dataset or a folder; a whole dataset has images that others train on, and says so."""
    if name not in PARTS:
        return name
    part = PARTS[name]
    training = " and ".join(part.dataset.training)
    return part.title if part.usages or not training else f"{part.title} with its {training} images"


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


def _with_tta(model: ForeignModel, reading: Reading, pixels: NDArray[np.uint8]) -> Floats:
    """(N, K) mean probabilities over the copies of each image."""
    copies = []
    for copy in augmented_copies(to_tensor(pixels)):
        images = (copy[:, 0] if pixels.ndim == 3 else copy.permute(0, 2, 3, 1)).numpy().astype(np.uint8)
        copies.append(outputs_as_probabilities(np.nan_to_num(reading.outputs(model, images)))[0])
    return np.asarray(np.mean(copies, axis=0), np.float32)


def _robustness(model: ForeignModel, reading: Reading, scheme: LabelScheme, images: EvaluationSet) -> dict[str, float]:
    """The mean error of each corruption over its severities, percent, on some of the images."""
    part = images.part(_some(len(images.labels), _CORRUPTED))
    hashes = part.hashes.tolist()
    errors = {}
    for name in CORRUPTIONS:
        wrong = [
            reading.classes.predictions(
                np.nan_to_num(reading.outputs(model, corrupt(part.pixels, hashes, name, severity))), len(scheme.labels)
            )
            != part.labels
            for severity in SEVERITIES
        ]
        errors[name] = 100 * float(np.mean(wrong))
    return errors


def _on_training(model: ForeignModel, reading: Reading, scheme: LabelScheme, training: EvaluationSet) -> Scored:
    """On as many Training rows as PublicTest has."""
    part = training.part(_some(len(training.labels), _COMPARED))
    outputs = np.nan_to_num(reading.outputs(model, part.pixels))
    right = reading.classes.predictions(outputs, len(scheme.labels)) == part.labels
    return Scored("Training rows", int(right.sum()), len(right))


def _honest(sets: Sequence[SetAudit], name: str) -> Scored | None:
    """An official test without the exact copies of Training rows."""
    for found in sets:
        if found.name == name:
            protocol = next((one for one in found.protocols if "exact copies" in one.title), found.main)
            return Scored(found.title, protocol.correct, protocol.images)
    return None


def _latency(path: Path, request: Request, reading: Reading, images: EvaluationSet) -> float:
    """Milliseconds for an image on one core, with its scaling: the median."""
    model = open_foreign(path, network=request.network, image_size=request.image_size, threads=1)
    seconds = []
    batch = model.signature.batch or 1
    alone = images.pixels[:batch]
    for _ in range(_WARMED_UP + _TIMED):
        started = time.perf_counter()
        reading.outputs(model, alone)
        seconds.append((time.perf_counter() - started) / batch)
    torch.set_num_threads(request.threads)
    return 1000 * float(np.median(seconds[_WARMED_UP:]))


# --- The verdict --------------------------------------------------------------------------------------------


def judge(claim: float | None, sets: Sequence[SetAudit]) -> tuple[bool | None, str]:
    """Whether a claim holds on the first set, and where else it would."""
    if claim is None:
        return None, ""
    main = sets[0].main
    low, high = main.interval
    scored = f"{main.accuracy:.2%} (95% interval {100 * low:.2f}–{100 * high:.2f}, n {main.images:,}) on {main.title}"
    if low <= claim <= high:
        return True, f"{claim:.2%} holds: {scored}."
    if claim < low:
        return True, f"{claim:.2%} is less than it scores: {scored}."
    others = [
        protocol
        for found in sets
        for protocol in found.protocols
        if protocol is not main and protocol.interval[0] <= claim <= protocol.interval[1]
    ]
    where = "; ".join(f"{protocol.title} ({protocol.accuracy:.2%})" for protocol in others)
    return False, f"{claim:.2%} does not hold: {scored}. It would on {where}." if others else (
        f"{claim:.2%} does not hold, on no protocol that was tried: {scored}."
    )


def describe(found: Audit) -> Iterator[str]:
    """The audit in sentences."""
    reading = found.reading
    stated = " and ".join(found.stated)
    yield (
        f"{found.name}: {reading.size}×{reading.size}×{reading.channels}, values {reading.scaling}, classes "
        f"{', '.join(reading.classes.names)}" + (f" ({stated} stated)" if stated else f", found on {found.tried_on}")
    )
    if found.size:
        yield f"{found.size.parameters:,} parameters, {found.size.multiply_adds / 1e6:,.1f} million multiply-adds"
    yield f"{found.latency_ms:.2f} ms for an image"
    for scored in found.sets:
        yield from (protocol.line() for protocol in scored.protocols)
        yield f"{scored.title}: macro-F1 {scored.macro_f1:.2f}%, expected calibration error {scored.ece:.2%}"
        if scored.robustness:
            mean = float(np.mean(list(scored.robustness.values())))
            yield f"{scored.title}: mean error over all corruptions {mean:.1f}%"
    if found.training is not None:
        yield training_line(found.training)
    for fault in found.faults:
        yield f"{'fault' if fault.serious else 'note'}, {fault.name}: {fault.text}"
    if found.verdict:
        yield found.verdict


def training_line(training: Scored) -> str:
    """What a model scores on images that it was in all likelihood trained on: no test, but the test scores' measure."""
    return f"{training.title}, for comparison: {training.percent:.2f}%, n {training.images:,}"
