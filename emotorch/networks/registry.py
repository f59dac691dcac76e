"""The registry of networks: each registers itself in its own file, with what training has to know about it."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from emotorch.errors import EmoTorchError
from emotorch.networks.weights import first_line

# What PyTorch and timm raise when a network is built with impossible sizes.
_REFUSALS = (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError, LookupError, MemoryError)

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class Architecture:
    """A network that recipes and model files name.

    Attributes:
        name: In these.
        build: Makes it from a configuration, whose keys are its arguments; those without a default are required.
        any_size: It takes images of any size, so that they may grow while it is trained.
        images_independent: The outputs for an image never depend on the other images of a batch or on chance, not even
            in training: it has no batch norm and no dropout.
    """

    name: str
    build: Callable[..., nn.Module]
    any_size: bool = False
    images_independent: bool = False

    def create(self, config: Mapping[str, Any]) -> nn.Module:
        """A new network of this configuration.

        Raises:
            EmoTorchError: a key is missing or unknown, or a value does not fit; the message names it.
        """
        arguments = inspect.signature(self.build).parameters
        required = [key for key, argument in arguments.items() if argument.default is argument.empty]
        _check_keys(self.name, config, required, arguments)
        try:
            return self.build(**config)
        except _REFUSALS as error:
            raise EmoTorchError(
                f"network {self.name} does not take the configuration {dict(config)}: {first_line(error)}"
            ) from error


def _check_keys(name: str, config: Mapping[str, Any], required: Iterable[str], known: Iterable[str]) -> None:
    for key in required:
        if key not in config:
            raise EmoTorchError(f"the configuration of network {name} has no {key}, which it requires")
    for key in config:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it takes {', '.join(known)}"
            raise EmoTorchError(f"network {name} takes no {key!r} in its configuration; {hint}")


NETWORKS: dict[str, Architecture] = {}


def register(name: str, *, any_size: bool = False, images_independent: bool = False) -> Callable[[Builder], Builder]:
    """A decorator that adds a network, or a function that builds one, to `NETWORKS`; see `Architecture`.

    Raises:
        ValueError: another one has this name.
    """

    def add(build: Builder) -> Builder:
        if name in NETWORKS:
            raise ValueError(f"two networks are called {name!r}")
        NETWORKS[name] = Architecture(name, build, any_size, images_independent)
        return build

    return add
