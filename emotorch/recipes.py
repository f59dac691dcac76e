"""Recipes: one frozen record per published system, with everything that makes its training."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from emotorch.errors import UsageError

LOSS_NAMES = ("cosine_proximity",)
OPTIMIZER_NAMES = ("rmsprop",)


@dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Attributes:
        name: How options and records call it.
        network: In `emotorch.networks.NETWORKS`.
        network_config: The network's own arguments, less `num_classes`, which the scheme gives.
        scheme: The label scheme it is meant for.
        loss: `cosine_proximity`, minus the cosine between outputs and one-hot labels.
        optimizer: `rmsprop`.
        learning_rate: At the start.
        batch_size: Images a step.
        epochs: At most.
        plateau_factor: What the learning rate is multiplied with on a plateau of the validation loss.
        plateau_patience: Epochs without a better validation loss before that.
        early_stop_patience: Epochs without a better validation loss before the training ends.
    """

    name: str
    network: str
    scheme: str
    network_config: Mapping[str, int] = field(default_factory=dict)
    loss: str = "cosine_proximity"
    optimizer: str = "rmsprop"
    learning_rate: float = 5e-4
    batch_size: int = 32
    epochs: int = 50
    plateau_factor: float = 0.5
    plateau_patience: int = 5
    early_stop_patience: int = 3

    def __post_init__(self) -> None:
        for name, choices in (("loss", LOSS_NAMES), ("optimizer", OPTIMIZER_NAMES)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} {getattr(self, name)!r} is none of {', '.join(choices)}")
        for name in ("batch_size", "epochs", "plateau_patience", "early_stop_patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning_rate must be a number above 0, not {self.learning_rate}")
        if not 0 < self.plateau_factor < 1:
            raise UsageError(f"plateau_factor must be between 0 and 1, not {self.plateau_factor}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # python develop_baseline_model/models/convolutional_nn_pytorch.py
        # Published recreation (300 runs, with leaks): training 57.08, FER 51.29, CK+ 60.80, combined 53.88.
        Recipe(
            name="emotorch",
            network="emotorch_cnn",
            scheme="emotorch4",
            network_config={"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4},
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """Raises UsageError when no recipe has this name."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name]


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """A recipe with some fields changed by `key=value` texts.

    Raises:
        UsageError: an unknown key (the nearest right one is named), or a value that does not fit.
    """
    changeable: dict[str, Any] = {
        f.name: f.type for f in fields(Recipe) if f.type in (int, float, str) and f.name != "name"
    }
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r} is not KEY=VALUE")
        if key not in changeable:
            nearest = difflib.get_close_matches(key, changeable, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f": one of {', '.join(changeable)}"
            raise UsageError(f"a recipe has no setting {key!r}{hint}")
        kind = changeable[key]
        try:
            changes[key] = kind(text)
        except ValueError:
            raise UsageError(f"{key} takes {kind.__name__}, not {text!r}") from None
    return replace(recipe, **changes)
