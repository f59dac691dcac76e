"""What label schemes have in common: the classes that models of different schemes are compared on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emotorch.errors import EmoTorchError
from emotorch.labels import LabelScheme

_NAME = "shared"


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
    contents = [fer_classes(scheme) for scheme in schemes]
    labels = [label for label, content in contents[0].items() if all(content in c.values() for c in contents)]
    if len(labels) < 2:
        names = ", ".join(dict.fromkeys(scheme.name for scheme in schemes))
        raise EmoTorchError(f"{names} share {len(labels)} classes: there is nothing to compare")
    # Of every scheme: its labels as the first one calls them.
    called = [{ours: label for ours, it in c.items() for label in labels if contents[0][label] == it} for c in contents]

    def read(dataset: str, emotion: str) -> str | None:
        meant = {
            names.get(scheme.sources[dataset].get(emotion, "")) for scheme, names in zip(schemes, called, strict=True)
        }
        return meant.pop() if len(meant) == 1 else None

    sources = {
        dataset: {emotion: label for emotion in mapping if (label := read(dataset, emotion))}
        for dataset, mapping in first.sources.items()
    }
    return LabelScheme(_NAME, tuple(labels), sources)


def fer_classes(scheme: LabelScheme) -> dict[str, frozenset[str]]:
    """The classes of FER-2013 that each label stands for, of the labels that stand for any."""
    found: dict[str, set[str]] = {}
    for emotion, label in scheme.sources["FER"].items():
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
