"""The audit of a model: how it is to be read, what it honestly scores, its faults, and whether a claim holds."""

import timeit
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotorch.data.images import PixelForm
from emotorch.data.selection import DatasetIndex
from emotorch.datasets import FER, FER_PRIVATE, FER_PUBLIC, FER_USAGES, LONGEST_SIDE, PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.seen import seen_in_training
from emotorch.evaluation.sets import EvaluationSet, load_set, sources_of
from emotorch.files import hash_file
from emotorch.labels import SCHEMES, LabelScheme
from emotorch.model_audit.faults import (
    Fault,
    Score,
    find_batch_faults,
    find_label_faults,
    find_memory_faults,
    find_useless,
    outputs_as_probabilities,
)
from emotorch.model_audit.foreign import Signature, open_foreign
from emotorch.model_audit.inputs import Reading, Trial, find_reading
from emotorch.model_audit.scores import SetAudit, score_set, score_training, some_of, unseen_part
from emotorch.networks.describe import Size
from emotorch.paths import Paths
from emotorch.runs.folder import Run, run_in
from emotorch.runs.usage import TrainingImages

# Training rows that readings are chosen on.
_TRIED_ON = 400
_TIMED, _WARMED_UP = 60, 10
# What audit.json says of a score.
_PROTOCOL = ("kind", "title", "correct", "images", "accuracy", "interval")
# What is scored where no dataset is named, of what is here.
_USUAL = (FER_PUBLIC, FER_PRIVATE, "ckp", "raf")


@dataclass(frozen=True)
class Request:
    """What is asked of an audit.

    Attributes:
        dataset: To score on; None for the official test sets that are here.
        claim: An accuracy, 0 to 1, to be checked.
        scaling, labels: How images are scaled, and the names of the outputs in their order; None to find out.
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
class Audit:
    """What was found out about a model.

    Attributes:
        reading: How it is given images, and how its outputs are read.
        stated: Which parts of that were stated: `scaling`, `labels`.
        trials: What other readings score on the images `tried_on`, the best first.
        size: Parameters and multiply-adds; None where they cannot be counted.
        latency_ms: For an image on one core, median.
        training: On some of FER-2013's Training rows, beside which a test score shows what was memorised; None where
            they are not here.
        verdict, holds: Whether the claim holds, in a sentence and as such; empty and None without one.
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
    training: Score | None
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
            "training": self.training
            and {name: getattr(self.training, name) for name in ("title", "correct", "images", "percent")},
            "sets": [
                {
                    "name": scored.name,
                    "macro_f1": scored.macro_f1,
                    "ece": scored.ece,
                    "twins": dict(scored.twins),
                    "notes": list(scored.notes),
                    "protocols": [
                        {name: getattr(protocol, name) for name in _PROTOCOL} for protocol in scored.protocols
                    ],
                    "counts": scored.counts.tolist(),
                    "robustness": dict(scored.robustness),
                }
                for scored in self.sets
            ],
        }


def audit(paths: Paths, path: Path, name: str, request: Request) -> Audit:
    """Audits the model of a file.

    Raises:
        EmoTorchError: the file is damaged or takes or gives something else than images and classes, or no dataset is
            here to score it on.
        UsageError: an option is wrong or missing.
    """
    model = open_foreign(path, network=request.network, image_size=request.image_size, threads=request.threads)
    labels = request.labels or model.stated_labels
    if labels is not None and len(labels) != model.signature.classes:
        raise UsageError(f"--labels: {len(labels)} names for {model.signature.classes} outputs")
    scheme = _scheme_of(labels, model.signature.classes)
    training = _training_rows(paths, scheme)
    sets = _load_sets(paths, scheme, request.dataset, model.signature)
    sets, notes = _unseen(run_in(paths, path.parent), paths.for_scheme(scheme.name), sets)
    tried = training if training is not None else sets[0]
    tried = tried.part(some_of(len(tried.labels), _TRIED_ON))
    trials = find_reading(model, tried.pixels, tried.labels, scheme, scaling=request.scaling, labels=labels)
    reading = trials[0].reading
    others: Sequence[Trial] = []
    if request.scaling is not None and not model.signature.takes_bytes:
        others = find_reading(model, tried.pixels, tried.labels, scheme, scaling=None, labels=labels)
    faults = _faults_of_outputs(trials[0], others, tried, scheme)
    scored = [
        score_set(
            reading,
            images,
            training,
            sources=sources_of(paths, images, scheme),
            notes=notes[images.name],
            claim=request.claim,
            tta=request.tta,
            robustness=request.robustness,
        )
        for images in sets
    ]
    known = None if training is None else score_training(reading, training)
    faults += find_memory_faults(known, unseen_part(scored, FER_PUBLIC), unseen_part(scored, FER_PRIVATE), scheme)
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


def _faults_of_outputs(trial: Trial, others: Sequence[Trial], tried: EvaluationSet, scheme: LabelScheme) -> list[Fault]:
    outputs = trial.reading.outputs(tried.pixels)
    if faults := find_useless(outputs):
        return faults
    return [
        *outputs_as_probabilities(outputs)[1],
        *find_batch_faults(trial.reading, tried.pixels, tried.labels),
        *find_label_faults(trial, outputs, tried.labels, scheme, others),
    ]


# --- What it is audited on ----------------------------------------------------------------------------------


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
    index = DatasetIndex.load(paths, scheme)
    here = [name for name in _USUAL if len(index.originals_of(PARTS[name].dataset.name, *PARTS[name].usages))]
    if not here:
        raise EmoTorchError(f"{index.paths.originals} has no test images: name a dataset or a folder")
    return [load(name) for name in here]


def _unseen(run: Run, paths: Paths, sets: Sequence[EvaluationSet]) -> tuple[list[EvaluationSet], dict[str, list[str]]]:
    """The sets without what a run in the model's folder was trained on, and what is to be said of each; an error where
    nothing is left."""
    trained, validated = (TrainingImages.of(run, validation=validation) for validation in (False, True))
    left: list[EvaluationSet] = []
    notes: dict[str, list[str]] = {}
    for images in sets:
        by_name = images.read_from is not None
        seen, _ = seen_in_training(images, trained, paths, by_name=by_name)
        if seen.all():
            continue
        part = images.part(~seen)
        chose = int(seen_in_training(part, validated, paths, by_name=by_name)[0].sum())
        left.append(part)
        notes[images.name] = [f"{seen.sum():,} that it was trained on are left out"] if seen.any() else []
        notes[images.name] += [f"{chose:,} of these images chose the epoch"] if chose else []
    if not left:
        raise EmoTorchError("the model was trained on all of these images: nothing is left to score it on")
    return left, notes


def _latency(path: Path, request: Request, reading: Reading, images: EvaluationSet) -> float:
    """Milliseconds for an image on one core, with its scaling: the median."""
    model = open_foreign(path, network=request.network, image_size=request.image_size, threads=1)
    reading = replace(reading, model=model)
    batch = model.signature.batch or 1
    seconds = timeit.repeat(lambda: reading.outputs(images.pixels[:batch]), number=1, repeat=_WARMED_UP + _TIMED)
    torch.set_num_threads(request.threads)
    return 1000 * float(np.median(seconds[_WARMED_UP:])) / batch


# --- The verdict --------------------------------------------------------------------------------------------


def judge(claim: float | None, sets: Sequence[SetAudit]) -> tuple[bool | None, str]:
    """Whether a claim holds on the first set, and where else it would."""
    if claim is None:
        return None, ""
    main = sets[0].main
    low, high = main.interval
    scored = f"{main.accuracy:.2%} (95% interval {main.percents}, n {main.images:,}) on {main.title}"
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
        yield from (f"{scored.title}: {note}" for note in scored.notes)
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


def training_line(training: Score) -> str:
    """What a model scores on images that it was in all likelihood trained on: no test, but the test scores' measure."""
    return f"{training.title}, for comparison: {training.percent:.2f}%, n {training.images:,}"
