"""Label schemes, and how each dataset's own classes map onto them.

A scheme's order is the order of a network's outputs. It is written down here (or in a user's own file) and
nowhere else, and travels inside every checkpoint.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from emotorch.datasets import CKP, DATASETS, FER, FERPLUS_CLASSES, RAF, Dataset
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError, UsageError

DEFAULT = "emotorch4"
# The scheme whose labels of FER-2013 are by FER+'s votes: see `emotorch.data.ferplus`.
FERPLUS = "ferplus"

# All emotions by FER-2013's names, and the one that it lacks.
EMOTIONS = (*FER.classes, "contempt")
# Labels become folders and columns, a scheme's name a part of a folder's name.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PLAIN_RULE = "lower-case letters, digits, - and _, at most 40"
# More are hardly emotions, and comparing each with each would take hours.
_MOST_LABELS = 1000
_FILE_KEYS = ("labels", "sources", "without_fer")
# Datasets that contribute to a user's scheme only the classes that it lists; records of runs rely on that.
_LISTED_ONLY = (FER, CKP, RAF)
_MOODS = ("happy", "neutral", "sad", "surprise")


@dataclass(frozen=True)
class LabelScheme:
    """The classes of a task.

    Attributes:
        name: In options and checkpoints.
        labels: The classes, in the order of the network's outputs.
        sources: For each dataset, by its name, the classes it contributes: its own name to ours. What is not
            listed takes no part.
    """

    name: str
    labels: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str]]

    def index(self, label: str) -> int:
        return self.labels.index(label)

    def label_of(self, class_name: str) -> str | None:
        """The label of a class folder of any dataset; None when it takes no part in this scheme.

        A label stands for itself. Else the name is read as that of an emotion, however a dataset spells it, and
        takes FER-2013's way (`contempt`, which FER-2013 lacks, takes CK+'s).
        """
        name = class_name.lower()
        if name in self.labels:
            return name
        emotion = emotion_name(name)
        return self.sources[(FER if emotion in FER.classes else CKP).name].get(emotion)

    def knows(self, class_name: str) -> bool:
        """Whether a class folder of this name is a label or an emotion, even one that takes no part."""
        return class_name.lower() in self.labels or emotion_name(class_name) in _known_emotions()

    def read_as(self, other: "LabelScheme") -> list[int]:
        """For each label of another scheme the one here that stands for the same classes of FER-2013.

        Raises:
            UsageError: a label of the other has none here, or several.
        """
        found = []
        for label in other.labels:
            emotions = [emotion for emotion, name in other.sources[FER.name].items() if name == label]
            ours = {self.sources[FER.name].get(emotion) for emotion in emotions}
            if len(ours) != 1 or None in ours:
                raise UsageError(f"{self.name} cannot be read as {other.name}: it has no one class that is {label!r}")
            found.append(self.index(str(ours.pop())))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain strings, lists and dicts, for checkpoints and run records."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "sources": {dataset: dict(mapping) for dataset, mapping in self.sources.items()},
        }

    @classmethod
    def from_dict(cls, value: object) -> "LabelScheme":
        """Reads what `as_dict` gave, or a user wrote.

        Of FER-2013, CK+ and RAF-DB what is not listed takes no part. Every other dataset that is not listed gives its
        classes as class folders do, see `label_of`. A built-in scheme has today's classes, also those that were not
        known yet when it was recorded.

        Raises:
            EmoTorchError: it is not that of a scheme; the message names the key.
        """
        if not isinstance(value, Mapping):
            raise EmoTorchError("not a table of name, labels and sources")
        name = value.get("name")
        if not _is_plain(name):
            raise EmoTorchError(f"name: {name!r} is not a plain name ({_PLAIN_RULE})")
        labels = _read_labels(value.get("labels"), "labels")
        if len(labels) < 2:
            raise EmoTorchError(f"labels: {len(labels)} of them, and a scheme has at least 2")
        sources = value.get("sources")
        if not isinstance(sources, Mapping):
            raise EmoTorchError(f"sources: missing, or not a table of datasets ({', '.join(DATASETS)})")
        for dataset in sources:
            if dataset not in DATASETS:
                raise EmoTorchError(f"sources.{dataset}: no such dataset{_nearest(dataset, DATASETS)}")
        read = {name: _read_mapping(dataset, sources.get(name, {}), labels) for name, dataset in DATASETS.items()}
        built_in = SCHEMES.get(str(name))
        if built_in is not None and built_in.labels == labels:
            for dataset, today in built_in.sources.items():
                if read[dataset].items() <= today.items():
                    read[dataset] = dict(today)
        scheme = cls(str(name), labels, read)
        for dataset in DATASETS.values():
            if dataset not in _LISTED_ONLY and dataset.name not in sources:
                found = {emotion: scheme.label_of(emotion) for emotion in dataset.classes}
                read[dataset.name] = {emotion: label for emotion, label in found.items() if label is not None}
        return scheme


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def _read_labels(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise EmoTorchError(f"{key}: missing, or not a list of names")
    if len(value) > _MOST_LABELS:
        raise EmoTorchError(f"{key}: {len(value):,} of them, and a scheme has at most {_MOST_LABELS:,}")
    for label in value:
        if not _is_plain(label):
            raise EmoTorchError(f"{key}: {label!r} is not a plain name ({_PLAIN_RULE})")
        if value.count(label) > 1:
            raise EmoTorchError(f"{key}: {label!r} is there {value.count(label)} times")
    return tuple(value)


def _read_mapping(dataset: Dataset, value: object, labels: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise EmoTorchError(f"sources.{dataset.name}: not a table of classes")
    for emotion, label in value.items():
        key = f"sources.{dataset.name}.{emotion}"
        if emotion not in dataset.classes:
            raise EmoTorchError(f"{key}: {dataset.name} has no such class{_nearest(emotion, dataset.classes)}")
        if label not in labels:
            raise EmoTorchError(f"{key}: {label!r} is not a label{_nearest(label, labels)}")
    return dict(value)


def _nearest(name: object, right: Iterable[str]) -> str:
    """The end of a message about a wrong name: the right one that it resembles, else all."""
    right = tuple(right)
    # CK+'s `sadness` is no near spelling of `sad`, but the same emotion.
    synonyms = [known for known in right if emotion_name(known) == emotion_name(str(name))]
    lower = {known.lower(): known for known in right}
    close = synonyms or [lower[found] for found in get_close_matches(str(name).lower(), lower, n=1)]
    return f"; did you mean {close[0]!r}?" if close else f", only {', '.join(right)}"


@cache
def _known_emotions() -> set[str]:
    """Every emotion that a dataset has a class of, by `emotion_name`."""
    return {emotion_name(own) for dataset in DATASETS.values() for own in dataset.classes}


def _built_in(name: str, labels: tuple[str, ...], fer: Mapping[str, str], **others: Mapping[str, str]) -> LabelScheme:
    """A scheme by what it makes of FER-2013's classes.

    Every other dataset's class of the same emotion takes the same way, and one that FER-2013 lacks and that is a label
    stands for itself, unless `others` says what its classes do.
    """
    sources: dict[str, Mapping[str, str]] = {}
    for dataset in DATASETS.values():
        spelling = {emotion_name(own): own for own in dataset.classes}
        same = {spelling[emotion]: label for emotion, label in fer.items() if emotion in spelling}
        beside = {own: own for own in dataset.classes if own in labels and emotion_name(own) not in FER.classes}
        sources[dataset.name] = others.get(dataset.name, same | beside)
    return LabelScheme(name, labels, sources)


SCHEMES: dict[str, LabelScheme] = {
    scheme.name: scheme
    for scheme in (
        _built_in(
            "emotorch4",
            ("anger", "fear", "calm", "surprise"),
            {"angry": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
            # CK+ has no neutral class; the published study reads its happy faces as calm.
            CKP={"anger": "anger", "fear": "fear", "happy": "calm", "surprise": "surprise"},
        ),
        _built_in("seven", FER.classes, {emotion: emotion for emotion in FER.classes}),
        _built_in("mood4", _MOODS, {emotion: emotion for emotion in _MOODS}),
        _built_in(FERPLUS, FERPLUS_CLASSES, {emotion_name(own): own for own in FERPLUS_CLASSES[:-1]}),
    )
}


def get_scheme(name: str) -> LabelScheme:
    """A scheme by its name, or a user's own by the path of its file, which ends in `.toml`.

    Raises:
        UsageError: no scheme has this name, or the file is not there.
        EmoTorchError: see `read_scheme`.
    """
    if name.lower().endswith(".toml"):
        return read_scheme(Path(name))
    if name not in SCHEMES:
        raise UsageError(f"unknown label scheme {name!r}: choose from {', '.join(SCHEMES)}, or give a .toml file")
    return SCHEMES[name]


def read_scheme(path: Path) -> LabelScheme:
    """A user's own scheme, named like its file.

    `labels` in the order of the network's outputs; for each dataset a table of its classes, by its own names;
    and, if need be, the labels that no class of FER-2013 gives (see `LabelScheme.from_dict` for datasets without one):

        labels = ["positive", "negative", "scorn"]
        without_fer = ["scorn"]

        [sources.FER]
        happy = "positive"
        sad = "negative"

        [sources.CKP]
        contempt = "scorn"

    Raises:
        UsageError: the file is not there, or its name cannot be a scheme's.
        EmoTorchError: it is not TOML, or not a scheme; the message names the key.
    """
    name = path.stem
    if not _is_plain(name):
        raise UsageError(f"{path}: a scheme is named like its file, and {name!r} is not a plain name ({_PLAIN_RULE})")
    if name in SCHEMES:
        raise UsageError(f"{path}: {name} is a scheme that comes with the code; give the file another name")
    if name == "augmented" or name.endswith("-augmented"):
        raise UsageError(f"{path}: a name that ends in 'augmented' is stage 3's; give the file another name")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the label scheme {path}: {error.strerror or error}") from error
    except ValueError as error:  # what is no UTF-8, or no TOML
        raise EmoTorchError(f"{path}: not a TOML file ({error})") from error
    except RecursionError:
        raise EmoTorchError(f"{path}: nested too deeply") from None
    try:
        return _read_content(name, content)
    except EmoTorchError as error:
        raise EmoTorchError(f"{path}: {error}") from None


def _read_content(name: str, content: Mapping[str, Any]) -> LabelScheme:
    for key in content:
        if key not in _FILE_KEYS:
            raise EmoTorchError(f"{key}: no such key{_nearest(key, _FILE_KEYS)}")
    scheme = LabelScheme.from_dict({**content, "name": name})
    without_fer = _read_labels(content.get("without_fer", []), "without_fer")
    for label in without_fer:
        if label not in scheme.labels:
            raise EmoTorchError(f"without_fer: {label!r} is not a label{_nearest(label, scheme.labels)}")
    given = set(scheme.sources[FER.name].values())
    for label in scheme.labels:
        if label not in given and label not in without_fer:
            raise EmoTorchError(
                f'sources.FER: no class gives {label!r}; add one, or say that it is meant: without_fer = ["{label}"]'
            )
        if label in given and label in without_fer:
            raise EmoTorchError(f"without_fer: {label!r} is there, but a class of sources.FER gives it")
    return scheme


def command(script: str, scheme: str) -> str:
    """A script as messages tell to run it for a scheme, of which only the name is known."""
    if scheme == DEFAULT:
        return script
    return f"{script} --scheme {scheme if scheme in SCHEMES else f'{scheme}.toml'}"
