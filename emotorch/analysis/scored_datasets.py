"""Datasets as models of several label schemes are scored on them: with the classes that all share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.analysis.evaluate import DATASETS, EvaluationSet, load_set, sources_of
from emotorch.analysis.shared_classes import shared_numbers
from emotorch.data import folders
from emotorch.data.selection import DatasetIndex
from emotorch.data.split import group_sources
from emotorch.errors import EmoTorchError
from emotorch.files import count_files, visible
from emotorch.labels import LabelScheme
from emotorch.paths import Paths


@dataclass(frozen=True)
class TestSet:
    """A dataset as all models are scored on it.

    Attributes:
        images: Labelled by the shared classes.
        sources: (N,) numbers; images of one say one thing together: equal pictures, variants, one person of CK+.
        left_out: Images by the name of a class that not all models share, as the dataset's folders call it.
        scheme: The label scheme whose dataset folder they were read from; None of a folder of the user's.
    """

    images: EvaluationSet
    sources: NDArray[np.int64]
    left_out: Mapping[str, int]
    scheme: LabelScheme | None


def load_test_set(paths: Paths, dataset: str, schemes: Sequence[LabelScheme], shared: LabelScheme) -> TestSet:
    """A dataset's images of the shared classes, and how many there are of others.

    A named dataset is read from the dataset folder of the scheme with the most classes that stage 2 has run for.

    Raises:
        EmoTorchError: it has no image of a shared class, or is not here, or is damaged.
        UsageError: there is no such dataset or folder.
    """
    if dataset not in DATASETS:
        return _load_folder(paths, Path(dataset), schemes, shared)
    made = [scheme for scheme in schemes if paths.for_scheme(scheme.name).originals.is_dir()] or list(schemes)
    scheme = max(made, key=lambda candidate: len(candidate.labels))
    images = load_set(paths, dataset, scheme)
    new_labels = shared_numbers(scheme, shared, DATASETS[dataset][0])[images.labels]
    left_out = Counter(scheme.labels[label] for label in images.labels[new_labels < 0])
    part = images.part(new_labels >= 0)
    if not len(part.labels):
        raise EmoTorchError(f"{dataset} has no image of a class that all models share: {', '.join(shared.labels)}")
    part = EvaluationSet(part.name, part.files, part.pixels, new_labels[new_labels >= 0], part.hashes)
    sources = sources_of(paths, part, scheme)
    return TestSet(part, group_sources(sources), dict(sorted(left_out.items())), scheme)


def _load_folder(paths: Paths, folder: Path, schemes: Sequence[LabelScheme], shared: LabelScheme) -> TestSet:
    images = load_set(paths, str(folder), shared)
    _, unused = folders.list_images(folder, shared)
    left_out = {path.name: count_files(path) for path in visible(folder) if path.name in unused}
    # Within a dataset folder, the folder's own scheme tells which images are of one person or original.
    own = [paths.for_scheme(scheme.name) for scheme in schemes]
    within = [folder.resolve().is_relative_to(below) for at in own for below in (at.originals, at.augmented)]
    scheme = schemes[within.index(True) // 2] if any(within) else schemes[0]
    return TestSet(images, group_sources(sources_of(paths, images, scheme)), left_out, None)


def available(paths: Paths, schemes: Sequence[LabelScheme]) -> list[str]:
    """The whole datasets that stage 2 has read for one of the schemes, and FER-2013's public test."""
    found: set[str] = set()
    for scheme in schemes:
        if paths.for_scheme(scheme.name).originals.is_dir():
            index = DatasetIndex.load(paths, scheme)
            found |= {name for name, (source, usage) in DATASETS.items() if len(index.originals_of(source, usage))}
    # fer-private is for one look at the end, by name only.
    return [name for name in DATASETS if name in found and name != "fer-private"]
