import json
import tomllib
from dataclasses import asdict, replace

import pytest
import torch

from emotorch.errors import UsageError
from emotorch.labels import SCHEMES
from emotorch.networks import NETWORKS
from emotorch.overrides import override
from emotorch.recipes import OPTIMIZER_NAMES, RECIPES, Augmentation, Recipe, get_recipe
from emotorch.reports.recipes import as_toml
from emotorch.training.optimizers import new_optimizer

BASELINE = get_recipe("emotorch")


def test_baseline_is_as_published() -> None:
    published = {
        "network_config": {"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4},
        "normalization": "unit",
        "scheme": "emotorch4",
        "fer_usage": "all",
        "variants": 0.01,
        "loss": "cosine_proximity",
        "optimizer": "rmsprop",
        "learning_rate": 5e-4,
        "batch_size": 32,
        "epochs": 50,
        "schedule": "plateau",
        "plateau_factor": 0.5,
        "plateau_patience": 5,
        "watch": "loss",
        "early_stop_patience": 3,
    }
    assert published.items() <= asdict(BASELINE).items()


def test_baseline_uses_nothing_that_was_not_published() -> None:
    off = {"class_weights": False, "sampling": "shuffled", "pretrained": "", "precision": "float32"}
    off |= dict.fromkeys(
        (
            "label_smoothing",
            "mixup",
            "cutmix",
            "momentum",
            "weight_decay",
            "warmup_epochs",
            "gradient_clip",
            "ema_decay",
        ),
        0.0,
    )
    assert off.items() <= asdict(BASELINE).items()
    assert BASELINE.augmentation == Augmentation()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_things_that_there_are(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.network in NETWORKS
    assert recipe.scheme in SCHEMES


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_optimizer_names_are_those_that_are_implemented(name: str) -> None:
    optimizer = new_optimizer(override(BASELINE, [f"optimizer={name}"]), torch.nn.Linear(1, 1))
    assert type(optimizer).__name__.lower().startswith(name)
    assert optimizer.param_groups[0]["lr"] == BASELINE.learning_rate


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_record(name: str) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(asdict(RECIPES[name])))) == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_as_toml_says_every_field(name: str) -> None:
    read = tomllib.loads(as_toml(RECIPES[name]))
    assert Recipe.from_dict(read) == RECIPES[name]


@pytest.mark.parametrize("key", ["image_size", "channels"])
def test_a_recipe_says_what_its_network_takes(key: str) -> None:
    config = {name: value for name, value in BASELINE.network_config.items() if name != key}
    with pytest.raises(UsageError, match=f"recipe emotorch: network_config has no {key}, which every network requires"):
        replace(BASELINE, network_config=config, first_size=24)


def test_an_unknown_recipe_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=f"unknown recipe 'emopy': choose from {', '.join(RECIPES)}"):
        get_recipe("emopy")
