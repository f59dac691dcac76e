"""Reading faces by ONNX Runtime, from a file that `onnx_export` wrote. Imports no PyTorch."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import PixelForm, Pixels
from emotorch.errors import EmoTorchError
from emotorch.labels import LabelScheme
from emotorch.runs.record import checked_hash

# The graph's one input, bytes of (N, channels, size, size) in the form of the faces, and its one output, (N, K) as the
# network gives them.
INPUT, OUTPUT = "pixels", "outputs"
# As many faces at once as keep the features of a large network within the memory of a small machine.
_BATCH = 64
_MOST_PIXELS_A_SIDE = 2048
# ONNX Runtime's own levels: 4 is fatal only. What fails is raised, and said by us.
_SILENT = 4
# Read only while ONNX Runtime is imported: its own `disable_telemetry_events()` comes too late.
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def _import_onnxruntime() -> Any:
    """The module `onnxruntime` without its telemetry, whatever the variable was before; nothing else may import it.

    What people show to a model, and that they do, stays on their machine.
    """
    os.environ[_NO_TELEMETRY] = "1"
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime


def open_session(path: Path, threads: int) -> Any:
    """ONNX Runtime's `InferenceSession` of a file, on the CPU.

    Raises:
        EmoTorchError: it is no graph that ONNX Runtime can run.
    """
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other base
        raise EmoTorchError(f"{path}: not an ONNX file, or a damaged one ({_last_part(error)})") from None


@dataclass(frozen=True)
class Metadata:
    """What a model's ONNX file states in its metadata properties: text by text keys.

    Attributes:
        model: The name of the run.
        scheme: Of the graph's outputs.
        temperature: For the softmax.
        weights_sha256: Of the file that it was made from.
        emotorch_version: That made it.
    """

    model: str
    scheme: LabelScheme
    temperature: float
    weights_sha256: str
    emotorch_version: str

    def as_properties(self) -> dict[str, str]:
        return {
            "model": self.model,
            "labels": json.dumps(self.scheme.labels),
            "scheme": json.dumps(self.scheme.as_dict(), sort_keys=True),
            "temperature": repr(self.temperature),
            "weights_sha256": self.weights_sha256,
            "emotorch_version": self.emotorch_version,
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> "Metadata":
        """Raises EmoTorchError when something is missing or is not what it should be."""
        try:
            found = cls(
                properties["model"],
                LabelScheme.from_dict(json.loads(properties["scheme"])),
                float(properties["temperature"]),
                properties["weights_sha256"],
                properties["emotorch_version"],
            )
        except KeyError as error:
            raise EmoTorchError(f"no {error.args[0]} in its metadata: not a file that export_onnx.py wrote") from None
        except (ValueError, RecursionError) as error:
            raise EmoTorchError(f"its metadata is damaged ({error})") from None
        if properties.get("labels", in_order := json.dumps(found.scheme.labels)) != in_order:
            raise EmoTorchError(f"its labels are not those of its scheme: {properties['labels']}")
        if not 0 < found.temperature < math.inf:
            raise EmoTorchError(f"temperature {found.temperature} is no number above 0")
        return found


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within it what a graph states wrongly becomes an EmoTorchError that names its file."""
    try:
        yield
    except EmoTorchError as error:
        raise EmoTorchError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise EmoTorchError(f"{path}: damaged: a name or a property in it is not UTF-8 ({error})") from None


@dataclass(frozen=True)
class OnnxReader:
    """A `FaceReader` of an ONNX file, by an `InferenceSession` of ONNX Runtime, read as a scheme."""

    session: Any
    weights: Path
    metadata: Metadata
    scheme: LabelScheme

    @classmethod
    def open(cls, path: Path) -> "OnnxReader":
        """Raises EmoTorchError when the file is damaged, not a model's, or not the one that its run recorded."""
        checked_hash(path)
        session = open_session(path, threads=1)
        with naming(path):
            metadata = Metadata.from_properties(session.get_modelmeta().custom_metadata_map)
            _require_shapes(session, metadata)
        return cls(session, path, metadata, metadata.scheme)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.scheme.labels

    @property
    def form(self) -> PixelForm:
        _, channels, size, _ = self.session.get_inputs()[0].shape
        return PixelForm(size, channels)

    def read_as(self, scheme: LabelScheme) -> "OnnxReader":
        """As `checkpoints.Model.read_as`: other classes are dropped before the softmax.

        Raises:
            UsageError: the model lacks some of its labels.
        """
        self.metadata.scheme.read_as(scheme)
        return replace(self, scheme=scheme)

    def probabilities(self, faces: Pixels) -> NDArray[np.float32]:
        images = faces[:, None] if faces.ndim == 3 else faces.transpose(0, 3, 1, 2)
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        outputs = np.concatenate([self._outputs(batch) for batch in batches])
        if self.scheme != self.metadata.scheme:
            outputs = outputs[:, self.metadata.scheme.read_as(self.scheme)]
        return _probabilities(outputs, self.metadata.temperature)

    def _outputs(self, images: Pixels) -> NDArray[np.float32]:
        """(N, channels, size, size) to (N, K).

        Raises:
            EmoTorchError: the graph fails, or has other outputs.
        """
        try:
            outputs = self.session.run([OUTPUT], {INPUT: images})[0]
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other base
            raise EmoTorchError(f"{self.weights}: fails while it runs ({_last_part(error)})") from None
        expected = (len(images), len(self.metadata.scheme.labels))
        if not isinstance(outputs, np.ndarray) or outputs.shape != expected or outputs.dtype != np.float32:
            raise EmoTorchError(f"{self.weights}: gives no row of {expected[1]} numbers for each face; export it again")
        return outputs


def _probabilities(outputs: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """As `calibration.probabilities`, without PyTorch; a row is NaN where outputs are infinite."""
    scaled = outputs / np.float32(temperature)
    with np.errstate(invalid="ignore"):
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found = np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
    found[~np.isfinite(outputs).all(axis=1)] = np.nan
    return found


def _require_shapes(session: Any, metadata: Metadata) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [one.name for one in inputs] != [INPUT] or [one.name for one in outputs] != [OUTPUT]:
        raise EmoTorchError(f"it does not take {INPUT!r} and give {OUTPUT!r}: not a file that export_onnx.py wrote")
    shape, labels = list(inputs[0].shape), len(metadata.scheme.labels)
    is_square = len(shape) == 4 and shape[2] == shape[3] and shape[2] in range(1, _MOST_PIXELS_A_SIDE + 1)
    if not is_square or shape[1] not in (1, 3):
        raise EmoTorchError(f"its input has the shape {shape}: not (N, 1 or 3, side, side)")
    if inputs[0].type != "tensor(uint8)":
        raise EmoTorchError(f"its input is {inputs[0].type}, not bytes: not a file that export_onnx.py wrote")
    if len(outputs[0].shape) != 2:
        raise EmoTorchError(f"its output has the shape {outputs[0].shape}: not (N, labels)")
    if outputs[0].shape[1] != labels:
        raise EmoTorchError(f"{labels} labels for {outputs[0].shape[1]} outputs")


def _last_part(error: Exception) -> str:
    """ONNX Runtime's messages begin with codes and the file's path."""
    return str(error).rsplit(":", 1)[-1].strip()
