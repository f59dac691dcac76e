"""Models that are not this pipeline's: an ONNX graph, or weights with the network that they are of.

No code of theirs is loaded: ONNX Runtime runs the graph, and a file of weights holds tensors and plain values only.
"""

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emotorch.errors import EmoTorchError, UsageError
from emotorch.inference.onnx_reader import naming, open_session
from emotorch.inference.reader import ONNX_SUFFIX
from emotorch.networks import create_network
from emotorch.networks.describe import Size, layers, total
from emotorch.networks.pretrained import read_state
from emotorch.networks.registry import NETWORKS
from emotorch.networks.weights import first_line, read_tensors
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.loop import network_outputs

Floats = NDArray[np.float32]

# Images at once, where the graph takes any number.
BATCH = 64
_TIMM = "timm:"
_LARGEST = 2048  # pixels wide; an audit scores thousands of images
_FEWEST_CLASSES, _MOST_CLASSES = 2, 100
_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_ARITHMETIC = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        size: Side of its images in pixels; None where it takes any.
        channels: 1 or 3; None where it takes any number.
        batch: The only number of images that it takes at once; None where it takes any.
        takes_bytes: Whether it takes them as 0-255 and scales them itself.
        classes: Its outputs.
    """

    size: int | None
    channels: int | None
    batch: int | None
    takes_bytes: bool
    classes: int


@dataclass(frozen=True)
class ForeignModel(ABC):
    """A model that is audited.

    Attributes:
        stated_labels: The names of its classes, in the order of the outputs, where the file tells.
    """

    path: Path
    signature: Signature
    stated_labels: tuple[str, ...] | None

    @abstractmethod
    def outputs(self, images: Floats) -> Floats:
        """(N, C, H, W), scaled as the model takes them, to (N, K) as it gives them; N as its batch allows.

        Raises:
            EmoTorchError: it fails while it runs.
        """

    @abstractmethod
    def size(self, shape: tuple[int, int, int]) -> Size | None:
        """Parameters, and multiply-adds for an image of (C, H, W); None where they cannot be counted here."""


def batches(model: ForeignModel, images: Floats) -> Iterator[Floats]:
    """The outputs of any number of images, some at a time; a batch of a fixed size is filled up with copies."""
    fixed = model.signature.batch
    for start in range(0, len(images), fixed or BATCH):
        part = images[start : start + (fixed or BATCH)]
        lacking = fixed - len(part) if fixed else 0
        yield model.outputs(np.concatenate([part, np.repeat(part[-1:], lacking, axis=0)]))[: len(part)]


def open_foreign(
    path: Path, *, network: str | None = None, image_size: int | None = None, threads: int = 1
) -> ForeignModel:
    """Opens a model's file.

    Args:
        path: An ONNX graph, a file of weights, or a checkpoint of this pipeline, which names its own network.
        network: What the weights are of: `timm:NAME`, or one of our networks.
        image_size: Of the weights' images, pixels; a graph states its own.

    Raises:
        EmoTorchError: the file is missing, damaged or wants to run code; or the graph takes or gives something else
            than images and classes.
        UsageError: the network is missing, unknown, or named for a graph.
    """
    if not path.is_file():
        raise EmoTorchError(f"{path} does not exist")
    torch.set_num_threads(threads)
    if path.suffix.lower() == ONNX_SUFFIX:
        if network:
            raise UsageError(f"{path}: an ONNX graph is its own network; leave --network out")
        return OnnxModel.open(path, threads)
    state = None if network else read_tensors(path)
    # It says what it is, as this pipeline's and the published ones do.
    if isinstance(state, dict) and {"model_state_dict", "model_config"} <= state.keys():
        model = load_model(path)
        form = model.form.pixels
        signature = Signature(form.size, form.channels, None, True, len(model.labels))
        return OwnModel(path, signature, model.labels, model)
    if not network:
        raise UsageError(
            f"{path}: weights need the network that they are of: --network timm:NAME, or one of {', '.join(NETWORKS)}"
        )
    if not image_size:
        raise UsageError(f"{path}: weights do not tell the size of their images: give --image-size")
    return TorchModel.open(path, network, image_size)


# --- ONNX ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnnxModel(ForeignModel):
    """A graph that ONNX Runtime runs, with the names of its input and of the output that holds the classes."""

    session: Any
    input: str
    output: str
    layout: Literal["NCHW", "NHWC"]
    type: Any

    @classmethod
    def open(cls, path: Path, threads: int) -> "OnnxModel":
        session = open_session(path, threads)
        with naming(path):
            taken = _the_input(session)
            batch, size, channels, layout = _image_shape(taken.shape)
            output, classes = _the_output(session)
            labels = _labels_in(session.get_modelmeta().custom_metadata_map, classes)
        takes_bytes = taken.type == "tensor(uint8)"
        signature = Signature(size, channels, batch, takes_bytes, classes)
        return cls(path, signature, labels, session, taken.name, output, layout, _TYPES[taken.type])

    def outputs(self, images: Floats) -> Floats:
        if self.layout == "NHWC":
            images = images.transpose(0, 2, 3, 1)
        try:
            found = self.session.run([self.output], {self.input: np.ascontiguousarray(images, self.type)})[0]
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other base
            raise EmoTorchError(f"{self.path}: fails while it runs ({first_line(error)})") from None
        expected = (len(images), self.signature.classes)
        if found.shape != expected:
            raise EmoTorchError(f"{self.path}: gives outputs of shape {found.shape} for {len(images)} images")
        return np.asarray(found, np.float32)

    def size(self, shape: tuple[int, int, int]) -> Size | None:
        try:
            import onnx
        except ModuleNotFoundError:
            return None
        return _count(onnx, self.path, self.input, (1, *shape) if self.layout == "NCHW" else (1, *shape[1:], shape[0]))


def _the_input(session: Any) -> Any:
    # Older graphs list their weights among the inputs, with values of their own.
    given = {value.name for value in session.get_overridable_initializers()}
    inputs = [value for value in session.get_inputs() if value.name not in given]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise EmoTorchError(f"takes {len(inputs)} inputs ({names}): only a graph of one input, images, can be audited")
    (taken,) = inputs
    if taken.type not in _TYPES:
        raise EmoTorchError(f"its input {taken.name!r} is {taken.type}: images are numbers, {', '.join(_TYPES)}")
    if len(taken.shape) != 4:
        raise EmoTorchError(
            f"its input {taken.name!r} has {len(taken.shape)} dimensions, {_shape(taken.shape)}: images have 4, "
            "(N, C, H, W) or (N, H, W, C)"
        )
    return taken


def _image_shape(
    shape: Sequence[int | str | None],
) -> tuple[int | None, int | None, int | None, Literal["NCHW", "NHWC"]]:
    """Batch, side, channels and layout; None where the graph leaves a number open."""
    batch, first, second, third = (value if isinstance(value, int) and value > 0 else None for value in shape)
    if first in (1, 3) or (third not in (1, 3) and first is None):
        layout: Literal["NCHW", "NHWC"] = "NCHW"
        channels, height, width = first, second, third
    else:
        layout = "NHWC"
        height, width, channels = first, second, third
    if channels not in (1, 3, None):
        raise EmoTorchError(f"its images have the shape {_shape(shape)}: neither 1 nor 3 channels first or last")
    if height != width:
        raise EmoTorchError(f"its images are {height}×{width} pixels: only square ones can be audited")
    if height is not None and height > _LARGEST:
        raise EmoTorchError(f"its images are {height} pixels wide: at most {_LARGEST} are audited")
    return batch, height, channels, layout


def _the_output(session: Any) -> tuple[str, int]:
    rows = [
        (value.name, value.shape[1])
        for value in session.get_outputs()
        if len(value.shape) == 2 and isinstance(value.shape[1], int) and value.type != "tensor(string)"
    ]
    if len(rows) != 1 or not _FEWEST_CLASSES <= rows[0][1] <= _MOST_CLASSES:
        found = ", ".join(f"{value.name} {_shape(value.shape)}" for value in session.get_outputs())
        raise EmoTorchError(
            f"gives {found}: one output of shape (N, classes) is needed, with a fixed number of classes"
        )
    return rows[0]


def _shape(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))})"


def _labels_in(metadata: Mapping[str, str], classes: int) -> tuple[str, ...] | None:
    """The names that a graph's metadata give its outputs: a list in JSON, or an Ultralytics-like table of them."""
    for key in ("labels", "classes", "class_names", "names", "id2label"):
        text = metadata.get(key)
        if text is None:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                value = [part.strip() for part in text.split(",")]
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list) and len(value) == classes and all(isinstance(name, str) for name in value):
            return tuple(value)
    return None


def _count(onnx: Any, path: Path, input_name: str, shape: tuple[int, ...]) -> Size | None:
    """By the graph's own shapes, with one image in it; None where a shape stays unknown."""
    model = onnx.load(str(path))
    parameters = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    for value in model.graph.input:
        if value.name == input_name:
            for dimension, number in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                dimension.dim_value = number
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output, *inferred.input)
    } | {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    products = 0
    for node in inferred.node:
        if node.op_type not in _ARITHMETIC:
            continue
        result, weights = shapes.get(node.output[0], []), shapes.get(node.input[1], [])
        if not result or not weights or 0 in (*result, *weights):
            return None
        # Of each number of the result: all weights of an output channel; of a product, the inner dimension.
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        inner = weights[1:] if node.op_type.startswith("Conv") else weights[-1:] if transposed else weights[-2:-1]
        products += int(np.prod(result)) * int(np.prod(inner))
    return Size(parameters, products)


# --- Weights ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TorchModel(ForeignModel):
    """A file of weights, and a known network."""

    network: nn.Module

    @classmethod
    def open(cls, path: Path, network: str, image_size: int) -> "TorchModel":
        state = read_state(path)
        channels = next((weights.shape[1] for weights in state.values() if weights.ndim == 4), None)
        if channels not in (1, 3):
            raise EmoTorchError(f"{path}: its first convolution takes {channels} channels, not 1 or 3")
        classes = [weights for weights in state.values() if weights.ndim >= 2][-1].shape[0]
        built = _build(network, image_size, channels, classes)
        try:
            built.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise EmoTorchError(f"{path}: does not fit {network} ({' '.join(lines[1:2]) or lines[0]})") from None
        signature = Signature(image_size, channels, None, False, classes)
        return cls(path, signature, None, built.eval())

    def outputs(self, images: Floats) -> Floats:
        try:
            with torch.inference_mode():
                found: Tensor = self.network(torch.from_numpy(np.ascontiguousarray(images, np.float32)))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise EmoTorchError(f"{self.path}: fails while it runs ({first_line(error)})") from None
        return np.asarray(found, np.float32)

    def size(self, shape: tuple[int, int, int]) -> Size | None:
        return total(layers(self.network, shape))


def _build(network: str, image_size: int, channels: int, classes: int) -> nn.Module:
    if not network.startswith(_TIMM):
        if network not in NETWORKS:
            raise UsageError(f"--network {network}: neither timm:NAME nor one of {', '.join(NETWORKS)}")
        return create_network(network, {"image_size": image_size, "channels": channels, "num_classes": classes})
    import timm

    name = network.removeprefix(_TIMM)
    if ":" in name or not timm.is_model(name):
        raise UsageError(f"--network {network}: timm has no model of that name; see timm.list_models()")
    known = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": image_size} if known is not None and known.fixed_input_size else {}
    built: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels, **size)
    return built


@dataclass(frozen=True)
class OwnModel(ForeignModel):
    """A checkpoint of this pipeline: its file states everything."""

    model: Model

    def outputs(self, images: Floats) -> Floats:
        pixels = torch.from_numpy(images.astype(np.uint8))
        return np.asarray(network_outputs(self.model.network, pixels, self.model.form), np.float32)

    def size(self, shape: tuple[int, int, int]) -> Size | None:
        form = self.model.form
        return total(layers(self.model.network, (form.channels, form.image_size, form.image_size)))
