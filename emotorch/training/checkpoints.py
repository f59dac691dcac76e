"""Checkpoints: what a model file holds, how it is written, and how it is read without running its code."""

import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from emotorch import __version__
from emotorch.errors import EmoTorchError
from emotorch.files import write_atomically
from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.recipes import Recipe

# A file in the published format says neither: it is this network, with these labels.
_PUBLISHED_NETWORK = "emotorch_cnn"
_PUBLISHED_SCHEME = "emotorch4"
# What PyTorch raises on damaged files, depending on the byte that is wrong.
_DAMAGES = (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError)


@dataclass(frozen=True)
class Model:
    """A trained network with what it needs to be used rightly.

    Attributes:
        network: In evaluation mode, on the CPU.
        scheme: The name of its label scheme.
        labels: In the order of its outputs.
        image_size: Side length of its input, pixels.
        channels: Of its input.
        temperature: For `calibration.probabilities`; 1 in files that say nothing of it.
    """

    network: nn.Module
    scheme: str
    labels: tuple[str, ...]
    image_size: int
    channels: int
    temperature: float = 1.0


def network_config(recipe: Recipe, labels: tuple[str, ...]) -> dict[str, int]:
    """The `model_config` of the published format."""
    return {**recipe.network_config, "num_classes": len(labels)}


def describe(recipe: Recipe, labels: tuple[str, ...], scheme: str) -> dict[str, Any]:
    """What a checkpoint says beside its weights."""
    return {
        "model_config": network_config(recipe, labels),
        "recipe": recipe.as_dict(),
        "labels": list(labels),
        "scheme": scheme,
        "emotorch_version": __version__,
    }


def save(path: Path, state: Mapping[str, Any]) -> None:
    write_atomically(path, lambda temporary: torch.save(dict(state), temporary))


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, as tensors and plain values only.

    Raises:
        EmoTorchError: the file is missing, damaged, or a pickle that wants to run code.
    """
    if not path.is_file():
        raise EmoTorchError(f"{path} does not exist")
    try:
        state = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = _reason(error)
        raise EmoTorchError(f"{path}: refused, it holds more than weights and plain values ({reason})") from None
    except _DAMAGES as error:
        raise EmoTorchError(f"{path}: not a model file, or a damaged one ({_reason(error)})") from None
    if not isinstance(state, dict) or not {"model_state_dict", "model_config"} <= state.keys():
        raise EmoTorchError(f"{path}: no model_state_dict and model_config in it; it is not a model of this pipeline")
    return state


def _reason(error: Exception) -> str:
    """One line: PyTorch's messages have many, an EOFError's none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def load_model(path: Path) -> Model:
    """A model from its file, in our format or the published one.

    Raises:
        EmoTorchError: see `read`; or the weights do not fit the network that the file names.
    """
    state = read(path)
    try:
        return _build(state)
    except EmoTorchError as error:
        raise EmoTorchError(f"{path}: {error}") from None
    except _DAMAGES as error:
        raise EmoTorchError(f"{path}: its model_config, recipe or labels are damaged ({_reason(error)})") from None


def _build(state: Mapping[str, Any]) -> Model:
    config = dict(state["model_config"])
    network = create_network(state.get("recipe", {}).get("network", _PUBLISHED_NETWORK), config)
    scheme = state.get("scheme", _PUBLISHED_SCHEME)
    labels = tuple(state.get("labels") or get_scheme(scheme).labels)
    if len(labels) != config["num_classes"]:
        raise EmoTorchError(f"{len(labels)} labels for {config['num_classes']} outputs")
    temperature = state.get("temperature", 1.0)
    if not (isinstance(temperature, float) and 0 < temperature < math.inf):
        raise EmoTorchError(f"temperature {temperature!r} is no number above 0")
    try:
        network.load_state_dict(state["model_state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise EmoTorchError(f"the weights do not fit the network ({_reason(error)})") from None
    network.eval()
    return Model(network, scheme, labels, config["image_size"], config["channels"], temperature)
