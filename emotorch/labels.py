"""Label schemes, and how each dataset's own classes map onto them.

A scheme's order is the order of a network's outputs. It is written down here and nowhere else, and
travels inside every checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from emotorch.errors import UsageError

# FER-2013's own order: a row's `emotion` is an index into it.
FER_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER_USAGES = ("Training", "PublicTest", "PrivateTest")
CKPLUS_EMOTIONS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
# RAF-DB numbers its classes from 1.
RAFDB_EMOTIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


@dataclass(frozen=True)
class LabelScheme:
    """The classes of a task.

    Attributes:
        name: How options and checkpoints call it.
        labels: The classes, in the order of the network's outputs.
        sources: For each dataset (`FER`, `CKP`, `RAF`) the classes it contributes: its own name to ours.
            What is not listed takes no part.
    """

    name: str
    labels: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str]]

    def index(self, label: str) -> int:
        return self.labels.index(label)


SCHEMES: dict[str, LabelScheme] = {
    scheme.name: scheme
    for scheme in (
        LabelScheme(
            name="emotorch4",
            labels=("anger", "fear", "calm", "surprise"),
            sources={
                "FER": {"angry": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
                # CK+ has no neutral class; the published study reads its happy faces as calm.
                "CKP": {"anger": "anger", "fear": "fear", "happy": "calm", "surprise": "surprise"},
                "RAF": {"anger": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
            },
        ),
    )
}


def get_scheme(name: str) -> LabelScheme:
    """Raises UsageError when no scheme has this name."""
    if name not in SCHEMES:
        raise UsageError(f"unknown label scheme {name!r}: choose from {', '.join(SCHEMES)}")
    return SCHEMES[name]
