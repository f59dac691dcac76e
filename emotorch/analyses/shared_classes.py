"""What label schemes have in common: the classes that models of different schemes are compared on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data import own_data
from emotorch.data.selection import DatasetIndex
from emotorch.data.split import group_sources
from emotorch.datasets import FER, FER_PRIVATE, FER_TEST, PARTS
from emotorch.errors import EmoTorchError
from emotorch.evaluation.sets import EvaluationSet, load_set, sources_of
from emotorch.files import count_files, visible
from emotorch.labels import LabelScheme
from emotorch.paths import Paths


def shared_scheme(schemes: Sequence[LabelScheme]) -> LabelScheme:
    """The classes that every scheme has: those that stand for the same classes of FER-2013, named as in the first.

    A class of another dataset takes part where all schemes read it as the same shared class: CK+'s happy, which is
    calm in one scheme and happy in another, does not.

    Raises:
        EmoTorchError: they share fewer than two.
    """
    first = schemes[0]
    if all(scheme == first for scheme in schemes):
        return first
    audited = [fer_classes(scheme) for scheme in schemes]
    labels = [label for label, content in audited[0].items() if all(content in c.values() for c in audited)]
    if len(labels) < 2:
        names = ", ".join(dict.fromkeys(scheme.name for scheme in schemes))
        raise EmoTorchError(f"{names} share {len(labels)} classes: there is nothing to compare")
    # Of every scheme: its labels as the first one calls them.
    called = [{ours: label for ours, it in c.items() for label in labels if audited[0][label] == it} for c in audited]

    def read(dataset: str, emotion: str) -> str | None:
        meant = {
            names.get(scheme.sources[dataset].get(emotion, "")) for scheme, names in zip(schemes, called, strict=True)
        }
        return meant.pop() if len(meant) == 1 else None

    sources = {
        dataset: {emotion: label for emotion in mapping if (label := read(dataset, emotion))}
        for dataset, mapping in first.sources.items()
    }
    return LabelScheme("shared", tuple(labels), sources)


def fer_classes(scheme: LabelScheme) -> dict[str, frozenset[str]]:
    """The classes of FER-2013 that each label stands for, of the labels that stand for any."""
    found: dict[str, set[str]] = {}
    for emotion, label in scheme.sources[FER.name].items():
        found.setdefault(label, set()).add(emotion)
    return {label: frozenset(found[label]) for label in scheme.labels if label in found}


def shared_numbers(scheme: LabelScheme, shared: LabelScheme, dataset: str) -> NDArray[np.int64]:
    """(K,) the shared class that each label of a dataset folder stands for, or −1."""
    numbers = []
    for label in scheme.labels:
        emotions = [emotion for emotion, name in scheme.sources[dataset].items() if name == label]
        meant = {shared.sources[dataset].get(emotion) for emotion in emotions}
        name = meant.pop() if len(meant) == 1 else None
        numbers.append(-1 if name is None else shared.index(name))
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class TestSet:
    """A dataset as all models are scored on it.

    Attributes:
        images: Labelled by the shared classes.
        sources: (N,) numbers; images of one say one thing together: equal pictures, variants, one person of CK+.
        left_out: Images by the name of a class that not all models share, as the dataset's folders call it.
    """

    images: EvaluationSet
    sources: NDArray[np.int64]
    left_out: Mapping[str, int]


def load_test_set(paths: Paths, dataset: str, schemes: Sequence[LabelScheme], shared: LabelScheme) -> TestSet:
    """A dataset's images of the shared classes, and how many there are of others.

    A named dataset is read from the dataset folder of the scheme with the most classes that stage 2 has run for.

    Raises:
        EmoTorchError: it has no image of a shared class, or is not here, or is damaged.
        UsageError: there is no such dataset or folder.
    """
    if dataset not in PARTS:
        return _load_folder(paths, Path(dataset), schemes, shared)
    made = [scheme for scheme in schemes if paths.for_scheme(scheme.name).originals.is_dir()] or list(schemes)
    scheme = max(made, key=lambda candidate: len(candidate.labels))
    images = load_set(paths, dataset, scheme)
    new_labels = shared_numbers(scheme, shared, PARTS[dataset].dataset.name)[images.labels]
    left_out = Counter(scheme.labels[label] for label in images.labels[new_labels < 0])
    part = images.part(new_labels >= 0)
    if not len(part.labels):
        raise EmoTorchError(f"{dataset} has no image of a class that all models share: {', '.join(shared.labels)}")
    part = replace(part, labels=new_labels[new_labels >= 0])
    sources = sources_of(paths, part, scheme)
    return TestSet(part, group_sources(sources), dict(sorted(left_out.items())))


def _load_folder(paths: Paths, folder: Path, schemes: Sequence[LabelScheme], shared: LabelScheme) -> TestSet:
    images = load_set(paths, str(folder), shared)
    _, unused = own_data.list_images(folder, shared)
    left_out = {path.name: count_files(path) for path in visible(folder) if path.name in unused}
    # Within a dataset folder, the folder's own scheme tells which images are of one person or original.
    own = [paths.for_scheme(scheme.name) for scheme in schemes]
    within = [folder.resolve().is_relative_to(below) for at in own for below in (at.originals, at.augmented)]
    scheme = schemes[within.index(True) // 2] if any(within) else schemes[0]
    return TestSet(images, group_sources(sources_of(paths, images, scheme)), left_out)


def available(paths: Paths, schemes: Sequence[LabelScheme]) -> list[str]:
    """The whole datasets that stage 2 has read for one of the schemes, and FER-2013's public test."""
    found: set[str] = set()
    for scheme in schemes:
        if paths.for_scheme(scheme.name).originals.is_dir():
            index = DatasetIndex.load(paths, scheme)
            found |= {name for name, part in PARTS.items() if len(index.originals_of(part.dataset.name, *part.usages))}
    # PrivateTest is for one look at the end, by name only.
    return [name for name in PARTS if name in found and name not in (FER_PRIVATE, FER_TEST)]
