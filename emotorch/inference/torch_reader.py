"""Reading faces by PyTorch, from a checkpoint.

`reader.open_reader` imports this module only where there is no ONNX file: that takes seconds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import PixelForm, Pixels
from emotorch.labels import LabelScheme
from emotorch.metrics.calibration import probabilities
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.device import make_repeatable
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import to_tensor


@dataclass(frozen=True)
class TorchReader:
    """A `FaceReader`."""

    model: Model
    weights: Path

    @property
    def labels(self) -> tuple[str, ...]:
        return self.model.labels

    @property
    def form(self) -> PixelForm:
        return self.model.form.pixels

    def probabilities(self, faces: Pixels) -> NDArray[np.float32]:
        outputs = network_outputs(self.model.network, to_tensor(faces), self.model.form)
        found = probabilities(outputs, self.model.temperature)
        wrong = ~outputs.isfinite().all(1, keepdim=True)
        return np.asarray(found.masked_fill(wrong, np.nan), np.float32)


def open_torch_reader(weights: Path, scheme: LabelScheme | None = None) -> TorchReader:
    """A reader on one thread; raises what `checkpoints.load_model` does."""
    make_repeatable(threads=1)
    model = load_model(weights)
    return TorchReader(model.read_as(scheme) if scheme else model, weights)
