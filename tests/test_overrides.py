from dataclasses import FrozenInstanceError, asdict

import pytest

from emotorch.errors import UsageError
from emotorch.overrides import override
from emotorch.recipes import get_recipe

BASELINE = get_recipe("emotorch")


def test_override_changes_what_it_names_in_the_field_s_own_type() -> None:
    changed = override(BASELINE, ["epochs=7", "learning_rate=1e-3", "epochs=8", "loss=cosine_proximity"])
    assert (changed.epochs, changed.learning_rate) == (8, 0.001)
    assert isinstance(changed.epochs, int)
    assert asdict(changed) == {**asdict(BASELINE), "epochs": 8, "learning_rate": 0.001}
    assert BASELINE.epochs == 50
    with pytest.raises(FrozenInstanceError):
        changed.epochs = 9  # type: ignore[misc]


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
        ("epochs=2.5", "epochs takes a whole number, not '2.5'"),
        ("epochs=", "epochs takes a whole number, not ''"),
        ("learning_rate=fast", "learning_rate takes a number, not 'fast'"),
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


def test_a_network_s_optional_settings_are_of_it_alone() -> None:
    recipe = override(get_recipe("emotion_cnn"), ["network_config.width=8", "network_config.hidden=16"])
    assert recipe.network_config == {"image_size": 48, "channels": 3, "width": 8, "hidden": 16}
    assert override(get_recipe("compact"), ["network_config.width=96"]).network_config["width"] == 96
    with pytest.raises(UsageError, match=r"no setting 'network_config.width'"):
        override(get_recipe("emotion_cnn"), ["network=shared_cnn", "network_config.width=8"])
