"""What can be trained, in words: the list of recipes, and one recipe with its network's layers."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch

from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.networks.describe import Layer, layers, total
from emotorch.overrides import override
from emotorch.recipes import RECIPES, Recipe, get_recipe
from emotorch.tables import text_table
from emotorch.training.checkpoints import network_config
from emotorch.training.preprocessing import InputForm


def list_all() -> str:
    """A line for each recipe: its network's size, classes and input, and how it is trained."""
    header = ("recipe", "parameters", "multiply-adds", "scheme", "input", "loss", "optimizer", "schedule")
    return text_table(
        [header, *map(_line, RECIPES.values())], left=("recipe", "scheme", "loss", "optimizer", "schedule")
    )


def _line(recipe: Recipe) -> tuple[str, ...]:
    size = total(_layers(recipe))
    form = InputForm.of(recipe)
    return (
        recipe.name,
        f"{size.parameters:,}",
        f"{size.multiply_adds / 1e6:.1f} M",
        recipe.scheme,
        f"{form.channels}×{form.image_size}×{form.image_size}",
        recipe.loss,
        recipe.optimizer,
        recipe.schedule,
    )


def show(name: str, settings: Iterable[str]) -> str:
    """A recipe, with changes, as TOML; then its network's layers with shapes, parameters and multiply-adds.

    Raises:
        UsageError: no recipe has this name, or a change does not fit.
        EmoTorchError: the network does not take its configuration.
    """
    recipe = override(get_recipe(name), settings)
    found = _layers(recipe)
    size = total(found)
    rows = [("layer", "type", "output", "parameters", "multiply-adds")]
    rows += [
        (layer.name, layer.type, "×".join(map(str, layer.shape)), f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
        for layer in found
    ]
    rows.append(("all", "", "", f"{size.parameters:,}", f"{size.multiply_adds:,}"))
    return f"{as_toml(recipe)}\n{text_table(rows, left=('layer', 'type'))}"


def as_toml(recipe: Recipe) -> str:
    """A recipe as TOML, for a person to read or to keep."""
    values = recipe.as_dict()
    tables = {name: values.pop(name) for name in [f.name for f in fields(Recipe)] if isinstance(values[name], Mapping)}
    lines = [f"{name} = {_toml_value(value)}" for name, value in values.items()]
    for table, content in tables.items():
        lines += ["", f"[{table}]", *(f"{name} = {_toml_value(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return repr(value)


def _layers(recipe: Recipe) -> list[Layer]:
    form = InputForm.of(recipe)
    with torch.random.fork_rng(devices=[]):
        network = create_network(recipe.network, network_config(recipe, get_scheme(recipe.scheme).labels))
    return layers(network, (form.channels, form.image_size, form.image_size))
