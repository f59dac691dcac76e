import json
import tomllib
from dataclasses import FrozenInstanceError, asdict, replace

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


def test_override_changes_what_it_names_in_the_field_s_own_type() -> None:
    changed = override(BASELINE, ["epochs=7", "learning_rate=1e-3", "epochs=8", "loss=cosine_proximity"])
    assert (changed.epochs, changed.learning_rate) == (8, 0.001)
    assert isinstance(changed.epochs, int)
    assert asdict(changed) == {**asdict(BASELINE), "epochs": 8, "learning_rate": 0.001}
    assert BASELINE.epochs == 50
    with pytest.raises(FrozenInstanceError):
        changed.epochs = 9  # type: ignore[misc]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_record(name: str) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(RECIPES[name].as_dict()))) == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_as_toml_says_every_field(name: str) -> None:
    read = tomllib.loads(as_toml(RECIPES[name]))
    assert Recipe.from_dict(read) == RECIPES[name]


def test_override_reaches_into_the_network_and_the_augmentation() -> None:
    recipe = override(
        get_recipe("shared_cnn"),
        ["network_config.dropout=0.25", "augmentation.scale=0.8,1.25", "augmentation.flip=0", "class_weights=false"],
    )
    assert recipe.network_config["dropout"] == 0.25
    assert recipe.network_config["image_size"] == 64
    assert (recipe.augmentation.scale, recipe.augmentation.flip) == ((0.8, 1.25), 0.0)
    assert recipe.class_weights is False
    assert get_recipe("shared_cnn").network_config["dropout"] == 0.5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learningrate=1", "no setting 'learningrate'; did you mean learning_rate?"),
        ("batchsize=1", "did you mean batch_size?"),
        ("epoch=1", "did you mean epochs?"),
        ("colour=red", "'colour': one of network, scheme, normalization"),
        ("dropout=0.1", "no setting 'dropout'"),
        ("filters=3", "did you mean network_config.filters?"),
        ("rotation=3", "did you mean augmentation.rotation?"),
        ("augmentation.rotate=3", "did you mean augmentation.rotation?"),
        ("augmentation.scale=1", "augmentation.scale takes two numbers with a comma between them, not '1'"),
        ("augmentation.scale=2,1", "augmentation.scale must be two rising factors"),
        ("augmentation.flip=2", "augmentation.flip must be from 0 to 1, not 2.0"),
        ("class_weights=1", "class_weights takes true or false, not '1'"),
        ("name=mine", "no setting 'name'"),
        ("network_config=1", "no setting 'network_config'"),
        ("epochs", "'epochs' is not KEY=VALUE"),
        ("epochs=2.5", "epochs takes int, not '2.5'"),
        ("epochs=", "epochs takes int, not ''"),
        ("learning_rate=fast", "learning_rate takes float, not 'fast'"),
        ("epochs=0", "epochs must be at least 1, not 0"),
        ("batch_size=-1", "batch_size must be at least 1"),
        ("learning_rate=0", "learning_rate must be"),
        ("learning_rate=nan", "learning_rate must be"),
        ("learning_rate=inf", "learning_rate must be"),
        ("plateau_factor=1", "plateau_factor must be between 0 and 1"),
        ("plateau_factor=nan", "plateau_factor must be between 0 and 1"),
        ("loss=hinge", "loss 'hinge' is none of cosine_proximity"),
        ("optimizer=lion", "optimizer 'lion' is none of rmsprop, sgd"),
        ("schedule=step", "schedule 'step' is none of constant"),
        ("watch=f1", "watch 'f1' is none of loss, accuracy, macro_f1"),
        ("ema_decay=1", "ema_decay must be from 0 to below 1"),
        ("first_size=15", "first_size must be 0, or from 16 pixels to the network's 48, not 15"),
        ("first_size=49", "first_size must be 0, or from 16 pixels"),
        ("label_smoothing=-0.1", "label_smoothing must be from 0"),
    ],
)
def test_a_wrong_setting_is_named_and_the_right_one_beside_it(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(BASELINE, [setting])
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["image_size", "channels"])
def test_a_recipe_says_what_its_network_takes(key: str) -> None:
    config = {name: value for name, value in BASELINE.network_config.items() if name != key}
    with pytest.raises(UsageError, match=f"recipe emotorch: network_config has no {key}, which every network requires"):
        replace(BASELINE, network_config=config, first_size=24)


def test_an_unknown_recipe_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=f"unknown recipe 'emopy': choose from {', '.join(RECIPES)}"):
        get_recipe("emopy")
