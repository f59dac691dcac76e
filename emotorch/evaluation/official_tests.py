"""FER-2013's official tests: which of them are here, and the record of every look at PrivateTest."""

from collections.abc import Iterable

import numpy as np

from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST
from emotorch.datasets import FER, FER_BOTH_TESTS, FER_TEST, FER_USAGES, PARTS
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.sets import EvaluationSet
from emotorch.labels import LabelScheme
from emotorch.metrics.confusion import Counts
from emotorch.paths import Paths
from emotorch.runs.folder import Run
from emotorch.runs.private_test import record_private_scoring
from emotorch.runs.record import fer_usage_of


def describe_tests(paths: Paths, scheme: LabelScheme) -> str:
    """Which official tests `fer-test` is of, here."""
    index = DatasetIndex.load(paths, scheme)
    counts = {usage: len(index.originals_of(FER.name, usage)) for usage in PARTS[FER_TEST].usages}
    here = ", ".join(f"{images} of {usage.replace('+', ' and ')}" for usage, images in counts.items() if images)
    missing = [usage for usage in FER_USAGES[1:] if not counts[usage] and not counts[FER_BOTH_TESTS]]
    return f"{FER_TEST} is {here}{'; there is no ' if missing else ''}{' and no '.join(missing)}"


def record_scoring(loaded: LoadedRun, dataset: str, images: EvaluationSet, counts: Counts) -> None:
    """Notes a scoring of PrivateTest, with (K, K) counts; at any other images one may look as often as one likes."""
    scheme = images.read_from or loaded.model.scheme
    if shows_private_test(loaded.paths, scheme, loaded.run, dataset, images.hashes.tolist()):
        number, correct = int(counts.sum()), int(np.trace(counts))
        record_private_scoring(loaded.run, loaded.weights, images.name, number, correct)


def shows_private_test(paths: Paths, scheme: LabelScheme, run: Run, dataset: str, hashes: Iterable[str]) -> bool:
    """Whether a dataset has images of PrivateTest, as it is here: by that name, among all of FER-2013's, or as copies.

    Where a run draws its training images from all of FER-2013 (or from what is unknown), all is no test of it. In a
    folder, or data of one's own, copies are known by the images' hashes.
    """
    part = PARTS.get(dataset)
    if part is None:
        if not (paths.for_scheme(scheme.name).originals / MANIFEST).is_file():
            return False
        index = DatasetIndex.load(paths, scheme)
        *others, private = (set(index.originals_of(FER.name, usage).hashes.tolist()) for usage in FER_USAGES)
        return not private.difference(*others).isdisjoint(hashes)
    if part.dataset is not FER:
        return False
    record = run.record
    if not part.usages and ("settings" not in record or fer_usage_of(record) == "all"):
        return False
    usages = [usage for usage in FER.tests if not part.usages or usage in part.usages]
    index = DatasetIndex.load(paths, scheme)
    return any(len(index.originals_of(FER.name, usage)) for usage in usages)
