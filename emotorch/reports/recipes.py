"""What can be trained, in words: the list of recipes, and one recipe with its network's layers."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch

from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.networks.describe import Layer, layers, total
from emotorch.overrides import override
from emotorch.recipes import RECIPES, Recipe, get_recipe
from emotorch.tables import Format, Table, to_text
from emotorch.training.checkpoints import network_config
from emotorch.training.preprocessing import InputForm


def list_all() -> str:
    """A row for each recipe: its network's size, classes and input, and how it is trained."""
    rows = []
    for recipe in RECIPES.values():
        size, form = total(_layers(recipe)), InputForm.of(recipe)
        rows.append(
            {
                "recipe": recipe.name,
                "parameters": size.parameters,
                "multiply-adds": size.multiply_adds / 1e6,
                "scheme": recipe.scheme,
                "input": f"{form.channels}×{form.image_size}×{form.image_size}",
                "loss": recipe.loss,
                "optimizer": recipe.optimizer,
                "schedule": recipe.schedule,
            }
        )
    formats = {"parameters": "{:,}", "multiply-adds": "{:.1f} M", "input": "{}"}
    return to_text(Table(pd.DataFrame(rows), formats))


def show(name: str, settings: Iterable[str]) -> str:
    """A recipe, with changes, as TOML; then its network's layers with shapes, parameters and multiply-adds.

    Raises:
        UsageError: no recipe has this name, or a change does not fit.
        EmoTorchError: the network does not take its configuration.
    """
    recipe = override(get_recipe(name), settings)
    found = _layers(recipe)
    size = total(found)
    whole = Layer("all", "", (), size.parameters, size.multiply_adds)
    frame = pd.DataFrame([asdict(layer) for layer in (*found, whole)])
    frame.columns = pd.Index(["layer", "type", "output", "parameters", "multiply-adds"])
    formats: dict[str, Format] = {
        "output": lambda shape: "×".join(map(str, shape)),
        "parameters": "{:,}",
        "multiply-adds": "{:,}",
    }
    return f"{as_toml(recipe)}\n{to_text(Table(frame, formats))}"


def _layers(recipe: Recipe) -> list[Layer]:
    form = InputForm.of(recipe)
    with torch.random.fork_rng(devices=[]):
        network = create_network(recipe.network, network_config(recipe, get_scheme(recipe.scheme).labels))
    return layers(network, (form.channels, form.image_size, form.image_size))


def as_toml(recipe: Recipe) -> str:
    """A recipe as TOML, for a person to read or to keep."""
    values = asdict(recipe)
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    lines = _toml_lines({name: value for name, value in values.items() if name not in tables})
    for table, content in tables.items():
        lines += ["", f"[{table}]", *_toml_lines(content)]
    return "\n".join(lines) + "\n"


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    # Of texts, numbers, truth values and lists, JSON is TOML.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
