import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from emotorch.metrics.scores import Score
from emotorch.networks.compact import CompactNet
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.recipes import Augmentation, Recipe, get_recipe
from emotorch.training.augmentation import Draws, degrade
from emotorch.training.device import computes_in_bfloat16
from emotorch.training.loop import LabelledPixels, Trainer
from emotorch.training.loop import network_outputs as outputs_of
from emotorch.training.losses import cosine_proximity, one_hot, score_outputs
from emotorch.training.preprocessing import InputForm

CPU = torch.device("cpu")
SIZE = 22
FORM = InputForm(image_size=SIZE)
RECIPE = replace(
    get_recipe("emotorch"),
    network_config={"image_size": SIZE, "channels": 1},
    epochs=4,
    learning_rate=1e-3,
    batch_size=16,
)


def network_outputs(network: torch.nn.Module, pixels: Tensor, threads: int = 1) -> Tensor:
    return outputs_of(network, pixels, FORM, threads)


def score(network: torch.nn.Module, images: LabelledPixels) -> Score:
    return score_outputs(network_outputs(network, images.pixels), images.labels, cosine_proximity)


def small_network() -> EmoTorchCNN:
    """With outputs above 0 at the start, so that none is dead."""
    torch.manual_seed(7)
    network = EmoTorchCNN(SIZE, 1, 4, filters=4)
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
    return Trainer(small_network(), recipe, striped(75), sets, classes=4, seed=seed, threads=threads)


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


def test_score_is_a_mean_over_images_not_over_batches() -> None:
    network, images = small_network(), striped(515)
    losses = cosine_proximity(network_outputs(network, images.pixels), one_hot(images.labels, 4))
    assert len(losses) == 515
    scored = score(network, images)
    assert scored.loss == pytest.approx(sum(losses.tolist()) / 515, rel=1e-6)
    first, rest = losses[:512].mean().item(), losses[512:].mean().item()
    assert scored.loss != pytest.approx((first + rest) / 2, rel=1e-3)


def test_training_scores_are_means_over_images_not_over_batches() -> None:
    standing_still = replace(RECIPE, learning_rate=1e-12, epochs=1, batch_size=37)
    trained = trainer(standing_still)
    expected = score(trained.network, striped(75))
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
    recipe = replace(RECIPE, epochs=3, network_config={"image_size": 2, "channels": 1})
    Trainer(observer, recipe, images, {"fer": images}, classes=4, seed=1).run(ignore)
    assert [len(batch) for batch in observer.batches] == [16, 16, 16, 2] * 3
    orders = [list(chain(*observer.batches[4 * epoch : 4 * epoch + 4])) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(50))
        assert order != sorted(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_accuracy_and_macro_f1_are_in_percent() -> None:
    outputs = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    scored = score_outputs(outputs, torch.tensor([0, 0, 1, 1]), cosine_proximity)
    assert (scored.loss, scored.accuracy, scored.images) == (-0.75, 75.0, 4)
    assert scored.macro_f1 == pytest.approx(100 * f1_score([0, 0, 1, 1], [0, 0, 1, 0], average="macro"))


def test_an_empty_set_has_no_scores() -> None:
    nothing = score_outputs(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), cosine_proximity)
    assert math.isnan(nothing.loss)
    assert math.isnan(nothing.accuracy)
    assert nothing.images == 0


def test_a_class_that_is_never_predicted_counts_0_in_macro_f1() -> None:
    outputs, labels = one_hot(torch.tensor([0, 0, 1]), 4), torch.tensor([0, 0, 1])
    assert score_outputs(outputs, labels, cosine_proximity).macro_f1 == 50.0


def test_combined_scores_are_over_all_validation_images() -> None:
    trained = trainer(replace(RECIPE, epochs=1))
    trained.run(ignore)
    scores = trained.history[0]
    fer, ckp = scores.validation["fer"], scores.validation["ckp"]
    assert scores.combined.images == 37
    assert scores.combined.loss == pytest.approx((30 * fer.loss + 7 * ckp.loss) / 37)
    assert scores.combined.accuracy == pytest.approx((30 * fer.accuracy + 7 * ckp.accuracy) / 37)


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
    assert score(trained.network, wrong["fer"]) == trained.history[best - 1].validation["fer"]


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
        runs.append(trained.state())
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
        states.append(trained.state())
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


@pytest.mark.parametrize("watch", ["loss", "accuracy", "macro_f1"])
def test_losses_that_are_no_numbers_end_the_training_and_none_is_best(watch: str) -> None:
    broken = trainer(replace(RECIPE, watch=watch))
    with torch.no_grad():
        broken.network.fc.bias.fill_(math.nan)
    broken.run(ignore)
    assert len(broken.history) == 3
    assert broken.best_epoch == 0


class Normed(torch.nn.Module):
    """With what a batch's images share (its statistics) and what is drawn (dropout)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 5, stride=2),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(8 * 9 * 9, 4),
        )

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images)
        return outputs


EVERYTHING = replace(
    RECIPE,
    loss="focal",
    label_smoothing=0.1,
    mixup=0.4,
    cutmix=0.4,
    class_weights=True,
    sampling="balanced",
    optimizer="muon",
    weight_decay=0.01,
    schedule="one_cycle",
    warmup_epochs=0.5,
    gradient_clip=1.0,
    ema_decay=0.9,
    watch="macro_f1",
    epochs=3,
    early_stop_patience=0,
    augmentation=Augmentation(flip=0.5, rotation=10, shift=0.1, scale=(0.9, 1.1), blur=0.3, occlusion=0.3),
)


def trainer_of_everything(network: torch.nn.Module | None = None) -> Trainer:
    sets = {"fer": striped(30, seed=1)}
    return Trainer(network or Normed(), EVERYTHING, striped(75), sets, classes=4, seed=3)


@pytest.mark.slow
def test_a_training_with_every_option_learns_and_is_the_same_again() -> None:
    states = []
    for disturbance in (1, 2):
        trained = Trainer(
            Normed(), replace(EVERYTHING, epochs=12), striped(300), {"fer": striped(60, seed=1)}, classes=4, seed=3
        )
        torch.manual_seed(disturbance)
        trained.run(ignore)
        states.append(trained.state())
    assert same(*states)
    assert max(scores.combined.accuracy for scores in trained.history) > 60


@pytest.mark.parametrize("step", [1, 4, 5, 6, 9, 14])
def test_a_training_killed_within_an_epoch_goes_on_bit_for_bit(step: int, tmp_path: Path) -> None:
    """Five steps an epoch: the checkpoints of every step, and what comes of going on from one."""
    undisturbed = trainer_of_everything()
    undisturbed.run(ignore)
    states: list[dict[str, object]] = []
    killed = trainer_of_everything()
    killed.run(lambda state: states.append(copy.deepcopy(state.state())), every_s=0)
    assert same(killed.state(), undisturbed.state())
    assert sum(state["progress"]["step"] > 0 for state in states) == 12
    torch.save(states[step], tmp_path / "last.pth")
    torch.manual_seed(99)
    resumed = trainer_of_everything()
    resumed.load_state(torch.load(tmp_path / "last.pth", weights_only=True))
    resumed.run(ignore)
    assert same(resumed.state(), undisturbed.state())
    assert same(weights(resumed.network), weights(undisturbed.network))


def test_the_averaged_weights_are_what_is_validated_and_kept() -> None:
    trained = trainer_of_everything()
    averages: list[dict[str, Tensor]] = []
    scores: list[Score] = []

    def remember(state: Trainer) -> None:
        averages.append(copy.deepcopy(state._averaged.module.state_dict()))
        outputs = network_outputs(state._averaged.module, striped(30, seed=1).pixels)
        scores.append(score_outputs(outputs, striped(30, seed=1).labels, state._loss))

    trained.run(remember)
    assert scores == [epoch.validation["fer"] for epoch in trained.history]
    assert same(weights(trained.network), averages[trained.best_epoch - 1])


@pytest.mark.parametrize("watch", ["loss", "accuracy", "macro_f1"])
def test_the_best_epoch_is_the_best_by_what_is_watched(watch: str) -> None:
    recipe = replace(RECIPE, watch=watch, epochs=12, early_stop_patience=0)
    trained = trainer(recipe)
    trained.run(ignore)
    values = [getattr(scores.combined, watch) for scores in trained.history]
    assert len(values) == 12
    assert trained.best_epoch == values.index(min(values) if watch == "loss" else max(values)) + 1


def test_balanced_sampling_shows_every_class_as_often() -> None:
    images = LabelledPixels.of(
        np.zeros((1000, 2, 2), np.uint8), np.repeat([0, 1, 2, 3], [700, 200, 90, 10]).astype(np.int64), CPU
    )
    recipe = replace(RECIPE, sampling="balanced", network_config={"image_size": 2, "channels": 1})
    order = Trainer(Observer(), recipe, images, {}, classes=4, seed=1)._order(1)
    counts = torch.bincount(images.labels[order], minlength=4)
    assert len(order) == 1000
    assert (counts - 250).abs().max() < 60


def test_augmentation_is_the_same_for_any_number_of_threads_and_validation_is_untouched() -> None:
    recipe = replace(RECIPE, augmentation=EVERYTHING.augmentation, epochs=1, learning_rate=1e-12)
    runs = [trainer(recipe, threads=threads) for threads in (1, 3)]
    for trained in runs:
        trained.run(ignore)
    one, three = (trained.history[0] for trained in runs)
    assert one.training.loss == pytest.approx(three.training.loss, abs=1e-6)
    plain = trainer(replace(RECIPE, epochs=1, learning_rate=1e-12))
    plain.run(ignore)
    assert plain.history[0].training.loss != pytest.approx(one.training.loss, abs=1e-4)
    assert plain.history[0].validation["fer"].loss == pytest.approx(one.validation["fer"].loss, abs=1e-6)


def test_mixed_precision_trains_in_bfloat16_where_that_is_fast_and_scores_in_float32() -> None:
    seen: list[torch.dtype] = []

    class Watching(Normed):
        def forward(self, images: Tensor) -> Tensor:
            outputs = super().forward(images)
            seen.append(outputs.dtype)
            return outputs

    recipe = replace(RECIPE, precision="mixed", epochs=1)
    Trainer(Watching(), recipe, striped(16), {"fer": striped(5, seed=1)}, classes=4, seed=1).run(ignore)
    fast = computes_in_bfloat16(CPU)
    assert seen == [torch.bfloat16 if fast else torch.float32, torch.float32]


def test_a_last_image_alone_joins_the_batch_before_it_where_batches_are_normed() -> None:
    recipe = replace(RECIPE, batch_size=37, epochs=1)
    assert [len(batch) for batch in trainer(recipe)._batches(torch.arange(75))] == [37, 37, 1]
    normed = Trainer(Normed(), replace(recipe, network="compact"), striped(75), {}, classes=4, seed=1)
    assert [len(batch) for batch in normed._batches(torch.arange(75))] == [37, 38]
    assert torch.equal(torch.cat(normed._batches(torch.arange(75))), torch.arange(75))


def test_training_images_grow_and_validation_images_are_whole_from_the_start() -> None:
    config = {"image_size": SIZE, "channels": 1, "dropout": 0.0, "width": 4}
    recipe = replace(
        get_recipe("compact"), network_config=config, precision="float32", epochs=4, first_size=16, growing=0.5
    )
    network = CompactNet(SIZE, 1, 4, dropout=0.0, width=4)
    seen: list[tuple[bool, int]] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[0].shape[-1])))
    Trainer(network, recipe, striped(75), {"fer": striped(30, seed=1)}, classes=4, seed=3).run(ignore)
    assert [size for training, size in seen if training] == [16, 20, SIZE, SIZE]
    assert [size for training, size in seen if not training] == 4 * [SIZE]


@pytest.mark.parametrize(("distillation", "right"), [(0.0, False), (1.0, True)])
def test_soft_targets_are_learned_in_the_place_of_labels(distillation: float, right: bool) -> None:
    """The labels are all wrong, and the soft targets right."""
    truths = striped(200)
    recipe = replace(RECIPE, loss="cross_entropy", distillation=distillation, epochs=12)

    def truth(pixels: Tensor) -> Tensor:
        same = (pixels[:, None] == truths.pixels[:][None]).all((2, 3, 4))
        return torch.eye(4)[truths.labels[same.float().argmax(1)]]

    trainer = Trainer(
        network := small_network(), recipe, striped(200, shift=1), {}, classes=4, seed=3, soft_targets=truth
    )
    trainer.run(ignore)
    assert (score(network, truths).accuracy > 60) == right
    assert (score(network, striped(200, shift=1)).accuracy > 60) != right


@pytest.mark.parametrize("mixup", [0.0, 1.0])
@pytest.mark.parametrize("degraded", [False, True])
def test_a_part_of_a_target_is_what_the_teachers_predict_for_the_very_image_of_the_step(
    mixup: float, degraded: bool
) -> None:
    """But for what only the pupil has to cope with: blur, downscaling and noise."""
    images = striped(16)
    recipe = replace(
        RECIPE, label_smoothing=0.2, distillation=0.25, mixup=mixup, augmentation=Augmentation(flip=0.5, shift=0.2)
    )
    if degraded:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, blur=1.0, downscaling=1.0, noise=1.0))
    seen: list[Tensor] = []

    def uncertain(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return torch.full((len(pixels), 4), 0.25)

    trained_on, targets = [], []
    for soft_targets in (None, uncertain):
        trainer = Trainer(small_network(), recipe, images, {}, classes=4, seed=1, soft_targets=soft_targets)
        key = (1, 1, 0)
        draws = Draws.of(recipe.augmentation, images.pixels[:].shape, *key)
        pixels, target = trainer._inputs(slice(4, 12), torch.arange(16), draws, key)
        trained_on.append(pixels)
        targets.append(target)
    assert torch.equal(trained_on[0], trained_on[1])
    assert torch.equal(seen[0], trained_on[1]) != degraded
    assert torch.equal(trained_on[1], degrade(seen[0], recipe.augmentation, draws[4:12]))
    assert not torch.equal(seen[0], images.pixels[4:12].float())
    assert torch.allclose(targets[1], 0.75 * targets[0] + 0.25 * 0.25)
