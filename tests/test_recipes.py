from dataclasses import FrozenInstanceError, asdict

import pytest
import torch

from emotorch.errors import UsageError
from emotorch.labels import SCHEMES
from emotorch.networks import NETWORKS
from emotorch.recipes import LOSS_NAMES, OPTIMIZER_NAMES, RECIPES, Recipe, get_recipe, override
from emotorch.training.loop import LabelledPixels, Trainer
from emotorch.training.losses import LOSSES

BASELINE = get_recipe("emotorch")


def test_baseline_is_as_published() -> None:
    assert asdict(BASELINE) == {
        "name": "emotorch",
        "network": "emotorch_cnn",
        "scheme": "emotorch4",
        "network_config": {"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4},
        "loss": "cosine_proximity",
        "optimizer": "rmsprop",
        "learning_rate": 5e-4,
        "batch_size": 32,
        "epochs": 50,
        "plateau_factor": 0.5,
        "plateau_patience": 5,
        "early_stop_patience": 3,
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_things_that_there_are(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.network in NETWORKS
    assert recipe.scheme in SCHEMES


def test_loss_names_are_those_that_are_implemented() -> None:
    assert set(LOSS_NAMES) == set(LOSSES)


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_optimizer_names_are_those_that_are_implemented(name: str) -> None:
    nothing = LabelledPixels(torch.empty(0, 1, 48, 48, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    trainer = Trainer(torch.nn.Linear(1, 1), override(BASELINE, [f"optimizer={name}"]), nothing, {}, seed=1)
    assert type(trainer.optimizer).__name__.lower() == name
    assert trainer.optimizer.param_groups[0]["lr"] == BASELINE.learning_rate


def test_override_changes_what_it_names_in_the_field_s_own_type() -> None:
    changed = override(BASELINE, ["epochs=7", "learning_rate=1e-3", "epochs=8", "loss=cosine_proximity"])
    assert (changed.epochs, changed.learning_rate) == (8, 0.001)
    assert isinstance(changed.epochs, int)
    assert asdict(changed) == {**asdict(BASELINE), "epochs": 8, "learning_rate": 0.001}
    assert BASELINE.epochs == 50
    with pytest.raises(FrozenInstanceError):
        changed.epochs = 9  # type: ignore[misc]


def test_a_recipe_survives_its_record() -> None:
    assert Recipe(**BASELINE.as_dict()) == BASELINE


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learningrate=1", "no setting 'learningrate'; did you mean learning_rate?"),
        ("batchsize=1", "did you mean batch_size?"),
        ("epoch=1", "did you mean epochs?"),
        ("colour=red", "'colour': one of network, scheme, loss"),
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
        ("optimizer=sgd", "optimizer 'sgd' is none of rmsprop"),
    ],
)
def test_a_wrong_setting_is_named_and_the_right_one_beside_it(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(BASELINE, [setting])
    assert message in str(caught.value)


def test_an_unknown_recipe_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=f"unknown recipe 'emopy': choose from {', '.join(RECIPES)}"):
        get_recipe("emopy")
