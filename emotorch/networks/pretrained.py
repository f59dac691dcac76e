"""Starting from the weights of a file, with only the last layers trained."""

import logging
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from emotorch.errors import EmoTorchError
from emotorch.networks.backbone import BackboneClassifier
from emotorch.networks.weights import DAMAGES, first_line, read_tensors

logger = logging.getLogger(__name__)

# Entries that hold the weights in files with more in them: this pipeline's, timm's and others'.
_PARTS = ("model_state_dict", "state_dict", "model", "net")
# Begins every name where another module held the network: nn.DataParallel's, torch.compile's, and common names in
# training loops.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")
_BACKBONE = "backbone."


def start_from(network: nn.Module, path: Path, trained_layers: int) -> None:
    """Loads weights into the backbone, without their head, and freezes all of it but its last layers.

    A layer is a module with parameters of its own: a convolution, a norm, a linear. Keras counts activations and
    additions too: its last 50 layers of ResNet50V2 are the last 27 here. A network without a backbone, or a file of a
    whole network, loads all weights. A head for another number of classes starts fresh; that is logged.

    Args:
        network: Changed in place.
        path: A state dict (.pth or .safetensors), or a checkpoint with one in it, with this network's own names, or
            for the backbone those of timm or, where they agree, torchvision.
        trained_layers: How many of the backbone's last layers are trained; 0 for all.

    Raises:
        EmoTorchError: the file cannot be read or does not fit (the message ends with timm's file that does), or layers
            are to be frozen and there is no backbone.
    """
    if not isinstance(network, BackboneClassifier):
        if trained_layers:
            raise EmoTorchError(f"trained_layers={trained_layers} is for a network with a backbone: set it to 0")
        _load_with_head(network, read_state(path), path)
        return
    try:
        weights = read_state(path)
        if any(name.startswith(_BACKBONE) for name in weights):
            _load_with_head(network, weights, path)
        else:
            _load(network.backbone, _adapt(weights, network.backbone, path), path)
    except EmoTorchError as error:
        raise EmoTorchError(f"{error}{_what_fits(network.backbone)}") from None
    if trained_layers:
        for layer in layers_of(network.backbone)[:-trained_layers]:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)
    network.train(network.training)


def _what_fits(backbone: nn.Module) -> str:
    """The end of an error: timm's file of ImageNet weights that fits; empty where there is none."""
    known: dict[str, Any] = getattr(backbone, "pretrained_cfg", {})
    if not known.get("hf_hub_id"):
        return ""
    return f"; what fits is model.safetensors of https://huggingface.co/{known['hf_hub_id']} (docs/recipes.md)"


def layers_of(network: nn.Module) -> list[nn.Module]:
    """The modules with parameters of their own, in order."""
    return [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights in a file or an entry of it, without what a wrapper puts before every name, such as `module.`.

    Raises:
        EmoTorchError: the file cannot be read, or holds no weights.
    """
    state = read_tensors(path)
    if isinstance(state, dict):
        state = next((state[part] for part in _PARTS if _holds_tensors(state.get(part))), state)
    if not isinstance(state, dict) or not state:
        raise EmoTorchError(f"{path}: no weights in it, but {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise EmoTorchError(f"{path}: {name!r} in it is no tensor; it is not a file of weights")
    while wrapper := next((wrapper for wrapper in _WRAPPERS if all(name.startswith(wrapper) for name in state)), ""):
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state


def _holds_tensors(part: object) -> bool:
    """A checkpoint's `model` may also be a name, or a table of settings."""
    return isinstance(part, dict) and any(isinstance(value, Tensor) for value in part.values())


def _adapt(weights: dict[str, Tensor], backbone: nn.Module, path: Path) -> dict[str, Tensor]:
    """Pretrained weights adapted as timm does it: older names, other image sizes and channels, no head."""
    from timm.models import adapt_input_conv

    known: dict[str, Any] = getattr(backbone, "pretrained_cfg", {})
    rename = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if rename is not None:
        try:
            weights = rename(weights, backbone)
        except DAMAGES as error:
            raise EmoTorchError(f"{path}: no weights of {type(backbone).__name__} ({first_line(error)})") from None
    ours = backbone.state_dict()
    # A head may be several modules, of which the backbone has kept some, such as a norm.
    heads = tuple(f"{head.partition('.')[0]}." for head in _names(known.get("classifier")))
    head = [name for name in weights if name not in ours and name.startswith(heads)]
    matrices = [weights[name] for name in head if weights[name].ndim >= 2]
    if matrices:
        _say_fresh(path, f"head, of {len(matrices[-1])} classes")
    weights = {name: value for name, value in weights.items() if name not in head}
    for convolution in _names(known.get("first_conv")):
        name, expected = f"{convolution}.weight", ours.get(f"{convolution}.weight")
        # timm adapts weights for colour only: for grey images it sums them over the colours.
        if name in weights and expected is not None and weights[name].shape[1:2] == (3,) != expected.shape[1:2]:
            weights[name] = adapt_input_conv(expected.shape[1], weights[name])
    return weights


def _names(stated: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """timm's configurations name one module, several, or none."""
    return (stated,) if isinstance(stated, str) else tuple(stated or ())


def _say_fresh(path: Path, head: str) -> None:
    logger.info("%s: its %s, is left out; this network's own starts fresh", path, head)


def _load_with_head(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """As `_load`, but the last layer starts fresh where the file's differs from it by the number of classes alone."""
    last = layers_of(network)[-1]
    prefix = next(f"{name}." for name, module in network.named_modules() if module is last)
    own = {f"{prefix}{name}": value for name, value in last.state_dict().items()}
    theirs = {name: weights[name] for name in own if name in weights}
    if theirs.keys() == own.keys() and all(_is_alike(theirs[name], own[name]) for name in own):
        classes, wanted = ({len(value) for value in layer.values()} for layer in (theirs, own))
        if len(classes) == 1 and classes != wanted:
            _say_fresh(path, f"head {prefix[:-1]}, of {classes.pop()} classes and not {wanted.pop()}")
            weights = weights | own
    _load(network, weights, path)


def _is_alike(tensor: Tensor, other: Tensor) -> bool:
    """Whether the shapes differ in the first dimension at most."""
    return tensor.ndim == other.ndim and tensor.shape[1:] == other.shape[1:]


def _load(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    expected = network.state_dict()
    title = type(network).__name__
    for name, tensor in expected.items():
        if name not in weights:
            if name.endswith(".num_batches_tracked"):  # older files have no such counters
                continue
            raise EmoTorchError(f"{path}: does not fit {title}: {name} is missing in it")
        if weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
            raise EmoTorchError(f"{path}: does not fit {title}: {name} has shape {shapes}")
    for name in weights:
        if name not in expected:
            raise EmoTorchError(f"{path}: does not fit {title}, which has no {name}")
    network.load_state_dict(weights, strict=False)
