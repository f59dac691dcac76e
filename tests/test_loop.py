import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.recipes import Recipe, get_recipe
from emotorch.training import checkpoints
from emotorch.training.loop import LabelledPixels, Score, Trainer, network_outputs, score, score_outputs
from emotorch.training.losses import cosine_proximity

CPU = torch.device("cpu")
SIZE = 22
RECIPE = replace(get_recipe("emotorch"), epochs=4, learning_rate=1e-3, batch_size=16)


def small_network() -> EmoTorchCNN:
    """With outputs above 0 at the start, so that none is dead."""
    torch.manual_seed(7)
    network = EmoTorchCNN(image_size=SIZE, filters=4)
    torch.nn.init.constant_(network.fc.bias, 0.5)
    return network


def striped(count: int, seed: int = 0, shift: int = 0) -> LabelledPixels:
    """Noise with a bright stripe whose place tells the class; `shift` makes every label a wrong one."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    pixels = rng.integers(0, 120, (count, SIZE, SIZE)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[3 + 5 * label : 6 + 5 * label] += 130
    return LabelledPixels.of(pixels, (labels + shift) % 4, CPU)


def trainer(
    recipe: Recipe = RECIPE,
    validation: Mapping[str, LabelledPixels] | None = None,
    seed: int = 3,
    threads: int = 1,
) -> Trainer:
    sets = {"fer": striped(30, seed=1), "ckp": striped(7, seed=2)} if validation is None else validation
    return Trainer(small_network(), recipe, striped(75), sets, seed, threads)


def ignore(_: Trainer) -> None:
    pass


def weights(network: torch.nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def same(first: object, second: object) -> bool:
    """Equal bit for bit, however deep; NaN equals NaN."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second or (first != first and second != second)


def state_without_times(trained: Trainer) -> dict[str, object]:
    state = trained.state()
    return {**state, "history": [{**scores, "seconds": 0} for scores in state["history"]]}


def test_score_is_a_mean_over_images_not_over_batches() -> None:
    network, images = small_network(), striped(515)
    losses = cosine_proximity(network_outputs(network, images.pixels), images.labels)
    assert len(losses) == 515
    scored = score(network, images, cosine_proximity)
    assert scored.loss == pytest.approx(sum(losses.tolist()) / 515, rel=1e-6)
    first, rest = losses[:512].mean().item(), losses[512:].mean().item()
    assert scored.loss != pytest.approx((first + rest) / 2, rel=1e-3)


def test_training_scores_are_means_over_images_not_over_batches() -> None:
    standing_still = replace(RECIPE, learning_rate=1e-12, epochs=1, batch_size=37)
    trained = trainer(standing_still)
    expected = score(trained.network, striped(75), cosine_proximity)
    trained.run(ignore)
    training = trained.history[0].training
    assert training.loss == pytest.approx(expected.loss, rel=1e-5)
    assert training.accuracy == pytest.approx(expected.accuracy)
    assert training.images == 75


class Observer(torch.nn.Module):
    """Remembers which grey values it saw in training, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.batches: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.batches.append((images[:, 0, 0, 0] * 255).round().int().tolist())
        return self.weight.expand(len(images), 4)


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    pixels = np.arange(50, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    images = LabelledPixels.of(pixels, np.arange(50) % 4, CPU)
    observer = Observer()
    Trainer(observer, replace(RECIPE, epochs=3), images, {"fer": images}, seed=1).run(ignore)
    assert [len(batch) for batch in observer.batches] == [16, 16, 16, 2] * 3
    orders = [list(chain(*observer.batches[4 * epoch : 4 * epoch + 4])) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(50))
        assert order != sorted(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_accuracy_is_in_percent_and_combined_scores_are_weighted_by_images() -> None:
    outputs = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    scored = score_outputs(outputs, torch.tensor([0, 0, 1, 1]), cosine_proximity)
    assert scored == Score(-0.75, 75.0, 4)
    assert Score.mean([scored, Score(0.0, 0.0, 2)]) == Score(-0.5, 50.0, 6)
    assert Score.mean([scored, Score(math.nan, math.nan, 0)]) == scored
    nothing = Score.mean([])
    assert math.isnan(nothing.loss)
    assert math.isnan(nothing.accuracy)
    assert nothing.images == 0


def test_it_learns() -> None:
    trained = trainer(replace(RECIPE, epochs=30, early_stop_patience=30))
    trained.run(ignore)
    losses = [scores.training.loss for scores in trained.history]
    assert losses[-1] < losses[0] - 0.3
    assert trained.history[-1].combined.accuracy > 90


def test_training_ends_after_3_epochs_without_improvement_and_gives_back_the_best_epoch() -> None:
    """What is learned makes validation worse from the first epoch on: its labels are all wrong."""
    wrong = {"fer": striped(30, seed=1, shift=1)}
    trained = trainer(replace(RECIPE, epochs=50), wrong)
    seen: list[dict[str, Tensor]] = []
    trained.run(lambda state: seen.append(weights(state.network)))
    losses = [scores.combined.loss for scores in trained.history]
    best = losses.index(min(losses)) + 1
    assert trained.best_epoch == best
    assert len(losses) == best + 3
    assert same(weights(trained.network), seen[best - 1])
    assert not same(seen[best - 1], seen[-1])
    assert score(trained.network, wrong["fer"], cosine_proximity) == trained.history[best - 1].validation["fer"]


def dead_trainer(recipe: Recipe) -> Trainer:
    """Of a network without any positive output: its loss is 0 for ever."""
    trained = trainer(recipe)
    with torch.no_grad():
        trained.network.fc.weight.zero_()
        trained.network.fc.bias.fill_(-1)
    return trained


def test_an_epoch_that_is_only_as_good_is_no_improvement() -> None:
    trained = dead_trainer(replace(RECIPE, epochs=50))
    trained.run(ignore)
    assert [scores.combined.loss for scores in trained.history] == [0.0] * 4
    assert trained.best_epoch == 1


def test_learning_rate_halves_after_each_plateau() -> None:
    trained = dead_trainer(replace(RECIPE, epochs=8, early_stop_patience=8, plateau_patience=2))
    trained.run(ignore)
    assert [scores.learning_rate for scores in trained.history] == [1e-3] * 4 + [5e-4] * 3 + [2.5e-4]


def test_same_seed_same_weights_whatever_the_global_generator_holds() -> None:
    runs = []
    for disturbance in (1, 2):
        trained = trainer()
        torch.manual_seed(disturbance)
        np.random.seed(disturbance)
        before = torch.get_rng_state()
        trained.run(ignore)
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(state_without_times(trained))
    assert same(*runs)
    other = trainer(seed=4)
    other.run(ignore)
    assert not same(other.state()["model_state_dict"], runs[0]["model_state_dict"])


def test_equal_threads_give_equal_weights_and_other_threads_the_same_to_rounding() -> None:
    """The last batch of an epoch is a single image: fewer than there are threads."""
    recipe = replace(RECIPE, batch_size=37, epochs=3)
    states = []
    for threads in (3, 3, 1):
        trained = trainer(recipe, threads=threads)
        trained.run(ignore)
        states.append(state_without_times(trained))
    assert same(states[0], states[1])
    for key, weights in states[0]["model_state_dict"].items():
        torch.testing.assert_close(weights, states[2]["model_state_dict"][key], rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(states[0]["history"], states[2]["history"], strict=True):
        assert ours["training"]["loss"] == pytest.approx(theirs["training"]["loss"], abs=1e-5)
        assert ours["training"]["images"] == theirs["training"]["images"] == 75


def test_outputs_are_the_same_for_any_number_of_threads_and_in_the_images_order() -> None:
    network, images = small_network(), striped(1300)
    outputs = network_outputs(network, images.pixels, threads=3)
    assert torch.equal(outputs, network_outputs(network, images.pixels))
    assert torch.equal(outputs[512:1024], network_outputs(network, images.pixels[512:1024]))


def test_a_training_that_goes_on_from_its_file_ends_bit_for_bit_as_an_undisturbed_one(tmp_path: Path) -> None:
    recipe = replace(RECIPE, plateau_patience=1, early_stop_patience=4)
    wrong = {"fer": striped(30, seed=1, shift=1), "ckp": striped(7, seed=2)}
    undisturbed = trainer(recipe, wrong)
    undisturbed.run(ignore)
    assert len(undisturbed.history) == 4

    def save_and_die_after_2(state: Trainer) -> None:
        description = checkpoints.describe(recipe, ("anger", "fear", "calm", "surprise"), "emotorch4")
        checkpoints.save(tmp_path / "last.pth", {**description, **state.state()})
        if len(state.history) == 2:
            raise KeyboardInterrupt

    killed = trainer(recipe, wrong)
    with pytest.raises(KeyboardInterrupt):
        killed.run(save_and_die_after_2)
    resumed = trainer(recipe, wrong)
    resumed.load_state(checkpoints.read(tmp_path / "last.pth"))
    assert len(resumed.history) == 2
    resumed.run(ignore)
    assert same(state_without_times(resumed), state_without_times(undisturbed))


def test_a_finished_training_goes_on_with_nothing_but_its_best_weights(tmp_path: Path) -> None:
    wrong = {"fer": striped(30, seed=1, shift=1)}
    trained = trainer(validation=wrong)
    saved: dict[str, object] = {}
    trained.run(lambda state: saved.update(copy.deepcopy(state.state())))
    again = trainer(validation=wrong)
    again.load_state(saved)
    again.run(lambda _: pytest.fail("an epoch was trained"))
    assert same(weights(again.network), weights(trained.network))


@pytest.mark.parametrize("validation", [{}, {"fer": striped(0)}], ids=["no set", "an empty set"])
def test_without_validation_images_the_training_loss_decides(validation: dict[str, LabelledPixels]) -> None:
    trained = trainer(validation=validation)
    trained.run(ignore)
    losses = [scores.training.loss for scores in trained.history]
    assert math.isnan(trained.history[0].combined.loss)
    assert trained.best_epoch == losses.index(min(losses)) + 1


def test_losses_that_are_no_numbers_end_the_training_and_none_is_best() -> None:
    broken = trainer()
    with torch.no_grad():
        broken.network.fc.bias.fill_(math.nan)
    broken.run(ignore)
    assert len(broken.history) == 3
    assert broken.best_epoch == 0
