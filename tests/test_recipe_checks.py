"""What every registered recipe must hold, as scikit-learn's `check_estimator` asks of every estimator; a new one is
checked by being registered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_images, refusal
from test_loop import same
from test_reader import rewrite
from torch import Tensor

from emotorch.inference import onnx_export
from emotorch.inference.onnx_export import TOLERANCE, export, largest_difference, synthetic_faces
from emotorch.inference.reader import open_reader
from emotorch.inference.torch_reader import open_torch_reader
from emotorch.labels import LabelScheme, get_scheme
from emotorch.networks import create_network, get_architecture
from emotorch.recipes import RECIPES, Recipe
from emotorch.training import checkpoints
from emotorch.training.loop import LabelledPixels, Trainer

CPU = torch.device("cpu")
SMALL_SIDE = 32
STEPS_AN_EPOCH = 3
BATCH = 4


@dataclass(frozen=True)
class Built:
    """A recipe, small enough for tests where its network lets it be, and a model of it that is no longer at its start.

    Attributes:
        recipe: The recipe.
        weights: The model's file.
        outputs: What it gave for `inputs` before it was saved, in evaluation mode.
        inputs: (6, channels, side, side).
    """

    recipe: Recipe
    weights: Path
    outputs: Tensor
    inputs: Tensor

    @property
    def scheme(self) -> LabelScheme:
        return get_scheme(self.recipe.scheme)


def is_large(recipe: Recipe) -> bool:
    return int(recipe.network_config["image_size"]) > 64


def small(recipe: Recipe) -> Recipe:
    """Of large images no more than it takes to see what the network does, where it takes smaller ones."""
    if not (is_large(recipe) and get_architecture(recipe.network).any_size):
        return recipe
    return replace(recipe, network_config={**recipe.network_config, "image_size": SMALL_SIDE}, first_size=0)


EVERY_RECIPE = [pytest.param(name, marks=[pytest.mark.slow] * is_large(RECIPES[name])) for name in RECIPES]


@pytest.fixture(scope="module", params=EVERY_RECIPE)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    recipe = small(RECIPES[request.param])
    scheme = get_scheme(recipe.scheme)
    torch.manual_seed(2)
    network = create_network(recipe.network, checkpoints.network_config(recipe, scheme.labels))
    side, channels = (int(recipe.network_config[key]) for key in ("image_size", "channels"))
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, channels, side, side))  # batch norms learn statistics
    inputs = torch.randn(6, channels, side, side)
    with torch.inference_mode():
        outputs = network.eval()(inputs)
    folder = tmp_path_factory.mktemp(recipe.name)
    state = {
        **checkpoints.describe(recipe, scheme),
        "model_state_dict": network.state_dict(),
        "temperature": outputs.std().item(),  # probabilities differ then, whatever the outputs' scale
    }
    checkpoints.save(folder / "model.pth", state)
    return Built(recipe, folder / "model.pth", outputs, inputs)


def test_a_model_that_was_saved_and_loaded_gives_equal_outputs(built: Built) -> None:
    model = checkpoints.load_model(built.weights)
    with torch.inference_mode():
        assert torch.equal(model.network(built.inputs), built.outputs)
    assert model.scheme == built.scheme
    assert (model.form.image_size, model.form.channels) == tuple(built.inputs.shape[:0:-2])


def test_an_image_alone_is_answered_as_in_a_batch_of_64(built: Built) -> None:
    reader = open_torch_reader(built.weights)
    faces = draw_images(64, seed=2)
    together = reader.probabilities(faces)
    assert together.std(axis=0).max() > 1e-3  # it does tell faces apart
    for place in (0, 31, 63):
        np.testing.assert_allclose(reader.probabilities(faces[place : place + 1])[0], together[place], atol=TOLERANCE)


@pytest.mark.slow
def test_its_onnx_file_predicts_as_pytorch_does_and_notices_permuted_labels(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large(built.recipe):
        monkeypatch.setattr(onnx_export, "BATCHES", (1, 2, 7))
    written = export(built.weights)
    assert written.path == built.weights.with_name("model.onnx")
    assert 0 <= written.difference <= TOLERANCE
    ours, theirs = open_reader(written.path), open_torch_reader(built.weights)
    assert largest_difference(ours, theirs, synthetic_faces(written.faces)) == pytest.approx(
        written.difference, abs=1e-6
    )
    others = draw_images(5, seed=9)
    np.testing.assert_allclose(ours.probabilities(others), theirs.probabilities(others), atol=TOLERANCE)
    assert ours.probabilities(others).std(axis=0).max() > 1e-3

    rewrite(written.path, labels=json.dumps(permuted(built.scheme)))
    with refusal(f"{written.path}: its labels are not those of its scheme"):
        open_reader(written.path)


def permuted(scheme: LabelScheme) -> list[str]:
    first, *others = scheme.labels
    return [*others, first]


def test_a_permuted_list_of_labels_is_noticed(built: Built, tmp_path: Path) -> None:
    torch.save({**checkpoints.read(built.weights), "labels": permuted(built.scheme)}, tmp_path / "model.pth")
    with refusal(f"{tmp_path / 'model.pth'}: its labels are not those of its scheme"):
        checkpoints.load_model(tmp_path / "model.pth")


# Training.


def labelled(count: int, classes: int, seed: int) -> LabelledPixels:
    """Pictures of a class each that they do not show, a class after the other as a dataset has them."""
    return LabelledPixels.of(draw_images(count, seed), np.arange(count) * classes // count, CPU)


def trainer(recipe: Recipe) -> Trainer:
    classes = len(get_scheme(recipe.scheme).labels)
    torch.manual_seed(5)
    network = create_network(recipe.network, {**recipe.network_config, "num_classes": classes})
    sets = {"fer": labelled(56, classes, seed=6)}
    training = labelled(BATCH * STEPS_AN_EPOCH, classes, seed=7)
    return Trainer(network, recipe, training, sets, classes=classes, seed=3)


@pytest.fixture(scope="module")
def unbroken(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Trainer, Path]]:
    """A training of two epochs, and its checkpoint from the middle of the second."""
    trained = trainer(replace(built.recipe, epochs=2, batch_size=BATCH))
    path = tmp_path_factory.mktemp("unbroken") / "model_last.pth"

    def keep(state: Trainer) -> None:
        if len(state.history) == 1 and state.within_epoch and not path.exists():
            description = checkpoints.describe(built.recipe, built.scheme)
            checkpoints.save(path, {**description, **state.state()})

    trained.run(keep, every_s=0)
    yield trained, path
    path.unlink()


@pytest.mark.slow
def test_a_training_that_is_resumed_ends_as_an_unbroken_one(unbroken: tuple[Trainer, Path]) -> None:
    whole, path = unbroken
    resumed = trainer(whole.recipe)
    torch.manual_seed(99)
    resumed.load_state(checkpoints.read(path))
    assert len(resumed.history) == 1
    resumed.run(lambda _: None)
    assert same(resumed.state(), whole.state())


@pytest.mark.slow
def test_on_labels_that_the_images_do_not_show_validation_stays_at_chance(unbroken: tuple[Trainer, Path]) -> None:
    """Within four standard deviations of it, in every epoch."""
    trained, _ = unbroken
    labels = trained._validation["fer"].labels
    chance = labels.bincount().max().item() / len(labels)
    most = 100 * (chance + 4 * (chance * (1 - chance) / len(labels)) ** 0.5)
    assert max(epoch.combined.accuracy for epoch in trained.history) <= most


def test_pixels_and_labels_that_may_be_no_numbers_are_refused() -> None:
    """Bytes and whole numbers cannot be NaN; what else comes is refused whole."""
    recipe = RECIPES["emotorch"]
    faces, classes = draw_images(4, seed=8), len(get_scheme(recipe.scheme).labels)
    pixels = faces.astype(np.float32)
    pixels[1, 5, 5] = np.nan
    with refusal("pixels are bytes (uint8), not float32"):
        LabelledPixels.of(pixels, np.arange(4), CPU)
    with refusal("labels are whole numbers (int64), not float64"):
        LabelledPixels.of(faces, np.array([0, np.nan, 1, 2]), CPU)
    network = create_network(recipe.network, {**recipe.network_config, "num_classes": classes})
    for label in (-1, classes):
        images = LabelledPixels.of(faces, np.array([0, 1, label, 2]), CPU)
        with refusal(f"a label is {label}: there are {classes} classes, from 0"):
            Trainer(network, recipe, images, {}, classes=classes, seed=3)
        with refusal(f"a label is {label}: there are {classes} classes, from 0"):
            Trainer(network, recipe, labelled(4, classes, seed=8), {"fer": images}, classes=classes, seed=3)
