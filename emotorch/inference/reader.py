"""Face readers: trained models, run by ONNX Runtime or by PyTorch.

PyTorch takes seconds to import. The ONNX file of a model gives the same predictions without it.
"""

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import PixelForm, Pixels
from emotorch.errors import EmoTorchError, needs_extra
from emotorch.labels import LabelScheme, get_scheme
from emotorch.runs.record import checked_hash

logger = logging.getLogger(__name__)

ONNX_SUFFIX = ".onnx"


class FaceReader(Protocol):
    """A trained model that is ready to read faces."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""

    @property
    def form(self) -> PixelForm:
        """What a face is cut out as."""

    @property
    def weights(self) -> Path:
        """The file that is read."""

    def probabilities(self, faces: Pixels) -> NDArray[np.float32]:
        """(N, …) faces in its form to (N, K) calibrated probabilities; each row sums to 1.

        A row is NaN where the network's outputs are not finite; whoever shows predictions checks for that.
        """


def open_reader(weights: Path, scheme: str | None = None) -> FaceReader:
    """A model's reader, on one thread: ONNX Runtime for an ONNX file that is named, or beside the weights and made from
    them; else PyTorch, whose threads are the whole process's.

    Args:
        weights: A `.pth`, `.safetensors` or `.onnx` file.
        scheme: To read its outputs as another label scheme.

    Raises:
        EmoTorchError: a file is missing, damaged, not a model's, or not the one that its run recorded.
        UsageError: the model cannot be read as that scheme.
    """
    if not weights.is_file():
        raise EmoTorchError(f"{weights} does not exist")
    wanted = get_scheme(scheme) if scheme else None
    if weights.suffix == ONNX_SUFFIX or weights.with_suffix(ONNX_SUFFIX).is_file():
        reader = _open_onnx(weights, wanted)
        if reader:
            return reader
    with needs_extra("train", f"{weights} without an ONNX file beside it"):
        from emotorch.inference.torch_reader import open_torch_reader

    return open_torch_reader(weights, wanted)


def _open_onnx(weights: Path, scheme: LabelScheme | None) -> FaceReader | None:
    """None when the ONNX file beside the named weights was made from others."""
    from emotorch.inference.onnx_reader import OnnxReader

    exported = weights.with_suffix(ONNX_SUFFIX)
    reader = OnnxReader.open(exported)
    if weights != exported and reader.metadata.weights_sha256 != checked_hash(weights):
        logger.warning("%s is of other weights than %s and is not used: export it again", exported, weights.name)
        return None
    return reader.read_as(scheme) if scheme else reader
