"""Checkpoints: the content of model files, written, and read without running their code."""

import io
import math
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Required, TypedDict

import safetensors.torch
import torch
from torch import Tensor, nn

from emotorch import __version__
from emotorch.data.images import GREY_FACE, PixelForm
from emotorch.errors import EmoTorchError
from emotorch.files import read_json, write_bytes, write_json
from emotorch.labels import LabelScheme, get_scheme
from emotorch.networks import create_network
from emotorch.networks.weights import DAMAGES, first_line, read_tensors
from emotorch.recipes import Recipe, Value
from emotorch.runs.folder import Run
from emotorch.runs.record import checked_hash, sealed_archive
from emotorch.training.losses import Loss, cosine_proximity, named_loss
from emotorch.training.preprocessing import InputForm
from emotorch.typed import require

# Files in the published format name none of these.
_PUBLISHED = {"network": "emotorch_cnn", "loss": "cosine_proximity", "focal_gamma": 0.0}
_PUBLISHED_SCHEME = "emotorch4"
# A model hub's format: the tensors in one file, and all else beside it.
TENSORS_SUFFIX, _CONFIG_NAME = ".safetensors", "config.json"
DIVERGED = "its weights are damaged, or its training diverged; use another model"
# Of images.
_MOST_PIXELS_A_SIDE = 2048
# Published as (height, width); images and kernels are square here.
_PAIRS = ("image_size", "kernel_size")


class _Recipe(TypedDict, total=False):
    network: str
    loss: str
    focal_gamma: float


class _Normalization(TypedDict):
    mean: list[float]
    std: list[float]


class _PixelForm(TypedDict):
    size: int
    channels: int


class _Description(TypedDict, total=False):
    """The part of a checkpoint that a model is built from, beside its tensors."""

    model_config: Required[dict[str, bool | float | str]]
    recipe: _Recipe
    scheme: str | dict[str, Any]
    labels: list[str]
    temperature: float
    normalization: _Normalization
    pixels: _PixelForm


@dataclass(frozen=True)
class Model:
    """A trained network with everything that using it needs.

    Attributes:
        network: In evaluation mode, on the CPU.
        scheme: Its classes, in the order of its outputs, as its own file states them.
        form: Of its input.
        temperature: For `calibration.probabilities`; 1 in files without one.
        trained_as: The scheme that it was trained with, when it is read as another.
        loss: That it was trained with.
        name: Its file, for messages.
    """

    network: nn.Module
    scheme: LabelScheme
    form: InputForm
    temperature: float = 1.0
    trained_as: LabelScheme | None = None
    loss: Loss = cosine_proximity
    name: str = "the model"

    @property
    def labels(self) -> tuple[str, ...]:
        return self.scheme.labels

    def checked(self, outputs: Tensor) -> Tensor:
        """The same outputs of its network: the maximum of NaNs is at the first place, which is no prediction.

        Raises:
            EmoTorchError: some are not finite.
        """
        if not outputs.isfinite().all():
            raise EmoTorchError(f"{self.name}: some of its outputs are no finite numbers: {DIVERGED}")
        return outputs

    def read_as(self, scheme: LabelScheme) -> "Model":
        """The model as one of another scheme: classes that the scheme lacks are dropped before the softmax.

        Raises:
            UsageError: the model lacks some of its labels.
        """
        if scheme == self.scheme:
            return self
        chosen = _ChosenOutputs(self.network, self.scheme.read_as(scheme)).eval()
        return replace(self, network=chosen, scheme=scheme, trained_as=self.scheme)


class _ChosenOutputs(nn.Module):
    """A network, and some of its outputs in another order."""

    def __init__(self, network: nn.Module, chosen: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self._chosen = list(chosen)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.network(images)
        return outputs[:, self._chosen]


def network_config(recipe: Recipe, labels: tuple[str, ...]) -> dict[str, Value]:
    """The `model_config` of the published format."""
    return {**recipe.network_config, "num_classes": len(labels)}


def describe(recipe: Recipe, scheme: LabelScheme, pixels: PixelForm = GREY_FACE) -> dict[str, Any]:
    """A checkpoint's entries beside the weights; `pixels`: the form that training images were read in."""
    form = InputForm.of(recipe)
    return {
        "model_config": network_config(recipe, scheme.labels),
        "normalization": {"mean": form.mean, "std": form.std},
        "pixels": asdict(pixels),
        "recipe": asdict(recipe),
        "labels": list(scheme.labels),
        "scheme": scheme.as_dict(),
        "emotorch_version": __version__,
    }


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint: a `.pth`, or a `.safetensors` of the network's tensors and a config.json of all else.

    Equal states give equal bytes: it is made in memory, since PyTorch would write a file's name into it.
    """
    if path.suffix != TENSORS_SUFFIX:
        archive = io.BytesIO()
        torch.save(_unshared(dict(state)), archive)
        write_bytes(path, sealed_archive(archive.getvalue()))
        return
    tensors = {name: tensor.clone().contiguous() for name, tensor in state["model_state_dict"].items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_json(path.with_name(_CONFIG_NAME), {key: value for key, value in state.items() if key != "model_state_dict"})


def _unshared(value: Any) -> Any:
    """The same value, in which equal strings are one object and every container is its own.

    A pickle refers to objects that it has met, not to equal ones; after a resume these differ from those of one go.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, tuple | list):
        return type(value)(map(_unshared, value))
    if isinstance(value, dict):
        copied = type(value)((_unshared(key), _unshared(item)) for key, item in value.items())
        if isinstance(value, OrderedDict):  # a network's state, which holds its layers' versions as an attribute
            vars(copied).update(_unshared(vars(value)))
        return copied
    return value


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, its `model_config` as our networks take it.

    Raises:
        EmoTorchError: the file is missing, damaged, or a pickle that wants to run code; its hash is not the one that it
            or its run's record states; or its images or kernels are not square.
    """
    state = read_tensors(path)
    checked_hash(path)
    if path.suffix == TENSORS_SUFFIX:
        state = {**_read_config(Run(path.parent).file(_CONFIG_NAME)), "model_state_dict": state}
    if not isinstance(state, dict) or not {"model_state_dict", "model_config"} <= state.keys():
        raise EmoTorchError(f"{path}: no model_state_dict and model_config in it; it is not a model of this pipeline")
    try:
        return {**state, "model_config": _with_sides(state["model_config"])}
    except EmoTorchError as error:
        raise EmoTorchError(f"{path}: {error}") from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except OSError as error:
        raise EmoTorchError(f"{path}: {error.strerror or error}; it says which network the weights are of") from None
    if not isinstance(config, dict):
        raise EmoTorchError(f"{path}: not the description of a model")
    return config


def _with_sides(config: Any) -> Any:
    """A `model_config` with one number for each square pair; `_build` refuses what is no mapping."""
    if not isinstance(config, Mapping):
        return config
    sides = dict(config)
    for key in _PAIRS:
        pair = sides.get(key)
        if isinstance(pair, tuple | list):
            if len(pair) != 2 or not all(isinstance(side, int) for side in pair) or pair[0] != pair[1]:
                raise EmoTorchError(f"{key} {tuple(pair)} in its model_config is no square pair: only these are read")
            sides[key] = pair[0]
    return sides


def load_model(path: Path, scheme: str | None = None) -> Model:
    """A model from its file, in our format or the published one; `scheme`: read as one of another label scheme.

    Raises:
        EmoTorchError: see `read`; or the weights do not fit the network that the file names, or are not finite.
        UsageError: the model cannot be read as that scheme.
    """
    state = read(path)
    try:
        model = replace(_build(state), name=str(path))
    except EmoTorchError as error:
        raise EmoTorchError(f"{path}: {error}") from None
    except DAMAGES as error:
        raise EmoTorchError(f"{path}: its model_config, recipe or labels are damaged ({first_line(error)})") from None
    return model.read_as(get_scheme(scheme)) if scheme else model


def _build(state: Mapping[str, Any]) -> Model:
    require(state, _Description, "the checkpoint")
    config = dict(state["model_config"])
    recipe = {**_PUBLISHED, **state.get("recipe", {})}
    with torch.device("meta"):  # takes no memory
        wanted = sum(tensor.numel() for tensor in create_network(recipe["network"], config).state_dict().values())
    form = _input_form(state)
    stated = state.get("scheme", _PUBLISHED_SCHEME)
    scheme = get_scheme(stated) if isinstance(stated, str) else LabelScheme.from_dict(stated)
    if list(scheme.labels) != list(state.get("labels", scheme.labels)):
        raise EmoTorchError(f"its labels are not those of its scheme: {', '.join(state['labels'])}")
    if len(scheme.labels) != config["num_classes"]:
        raise EmoTorchError(f"{len(scheme.labels)} labels for {config['num_classes']} outputs")
    temperature = state.get("temperature", 1.0)
    if not (isinstance(temperature, float) and 0 < temperature < math.inf):
        raise EmoTorchError(f"temperature {temperature!r} is no number above 0")
    held = _count_numbers(state["model_state_dict"])
    if wanted != held:
        raise EmoTorchError(f"the weights do not fit the network (it has {wanted:,} numbers, the file {held:,})")
    network = create_network(recipe["network"], config)
    try:
        network.load_state_dict(state["model_state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise EmoTorchError(f"the weights do not fit the network ({first_line(error)})") from None
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise EmoTorchError(f"some of its weights are no finite numbers: {DIVERGED}")
    network.eval()
    loss = named_loss(recipe["loss"], recipe["focal_gamma"])
    return Model(network, scheme, form, temperature, loss=loss)


def _input_form(state: Mapping[str, Any]) -> InputForm:
    """The form of the network's input; raises EmoTorchError where there is no such input."""
    for name in ("image_size", "channels"):
        require(state["model_config"].get(name), int, f"model_config.{name}")
    form = InputForm.from_checkpoint(state)
    for name, side in (("model_config.image_size", form.image_size), ("pixels.size", form.pixels.size)):
        if not 1 <= side <= _MOST_PIXELS_A_SIDE:
            raise EmoTorchError(f"{name} {side} is no side from 1 to {_MOST_PIXELS_A_SIDE:,} pixels")
    for name, channels in (("model_config.channels", form.channels), ("pixels.channels", form.pixels.channels)):
        if channels not in (1, 3):
            raise EmoTorchError(f"{name} {channels} is neither 1, for grey, nor 3, for colour")
    if {len(form.mean), len(form.std)} - {1, form.channels}:
        raise EmoTorchError(f"normalization has {len(form.mean)} and {len(form.std)} values, channels {form.channels}")
    if not all(map(math.isfinite, (*form.mean, *form.std))) or min(form.std) <= 0:
        raise EmoTorchError(f"normalization by {form.mean} and {form.std} gives no finite numbers")
    return form


def _count_numbers(tensors: object) -> int:
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise EmoTorchError("the weights do not fit the network (they are no table of tensors)")
    return sum(tensor.numel() for tensor in tensors.values())
