"""Learning rates step by step, and which parameters decay."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from emotorch.recipes import get_recipe
from emotorch.training.optimizers import Schedule, clip, new_optimizer

STEPS = 20
RECIPE = replace(get_recipe("emotorch"), learning_rate=0.1, epochs=5)


def rates(**changes: object) -> list[float]:
    recipe = replace(RECIPE, **changes)
    optimizer = new_optimizer(recipe, nn.Linear(2, 2))
    schedule = Schedule(recipe, optimizer, STEPS)
    seen = []
    for step in range(recipe.epochs * STEPS):
        schedule.before_step(step)
        seen.append(schedule.learning_rate)
    return seen


def test_cosine_falls_from_the_highest_rate_to_0_as_half_a_wave() -> None:
    seen = rates(schedule="cosine")
    expected = [0.05 * (1 + math.cos(math.pi * step / 100)) for step in range(100)]
    assert seen == pytest.approx(expected)
    assert seen[0] == 0.1


def test_one_cycle_is_that_of_pytorch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100, cycle_momentum=False)
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    seen = rates(schedule="one_cycle", warmup_epochs=1.5)  # it has a rise of its own
    assert seen == pytest.approx(expected, abs=0.003)
    assert max(seen) == pytest.approx(0.1)
    assert seen[-1] < 1e-3 > 0


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_warm_up_rises_evenly_to_the_highest_rate(schedule: str) -> None:
    seen = rates(schedule=schedule, warmup_epochs=1.5)
    assert seen[:30] == pytest.approx([0.1 * (step + 1) / 30 for step in range(30)])
    assert seen[30] == pytest.approx(0.1)
    assert max(seen) == pytest.approx(0.1)


def test_a_plateau_shrinks_the_rate_and_only_where_a_plateau_is_asked_for() -> None:
    for schedule, expected in (("plateau", 0.05), ("constant", 0.1)):
        recipe = replace(RECIPE, schedule=schedule, plateau_patience=2)
        optimizer = new_optimizer(recipe, nn.Linear(2, 2))
        steady = Schedule(recipe, optimizer, STEPS)
        for _ in range(4):
            steady.after_epoch(1.0)
        assert steady.learning_rate == pytest.approx(expected)


def test_a_loss_below_0_that_gets_a_little_worse_is_on_a_plateau() -> None:
    network = nn.Linear(2, 2)
    recipe = replace(RECIPE, schedule="plateau", plateau_patience=2)
    schedule = Schedule(recipe, new_optimizer(recipe, network), 1)
    before = schedule.learning_rate
    for epoch in range(4):
        schedule.after_epoch(-0.6 + 5e-5 * epoch)
    assert schedule.learning_rate == pytest.approx(before * recipe.plateau_factor)


def test_a_metric_that_shall_rise_is_on_a_plateau_when_it_does_not() -> None:
    recipe = replace(RECIPE, watch="accuracy", plateau_patience=1)
    rising, resting = (Schedule(recipe, new_optimizer(recipe, nn.Linear(2, 2)), STEPS) for _ in range(2))
    for epoch in range(5):
        rising.after_epoch(50.0 + epoch)
        resting.after_epoch(50.0)
    assert rising.learning_rate == pytest.approx(0.1)
    assert resting.learning_rate < 0.1


def test_biases_and_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = new_optimizer(replace(RECIPE, optimizer="adamw", weight_decay=0.05), network)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decays) == 6
    for parameter in network.parameters():
        assert decays[id(parameter)] == (0.05 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_muon_is_that_of_pytorch_on_filters_and_adamw_on_the_rest(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 2))
    network = network.to(memory_format=memory_format)
    recipe = replace(RECIPE, optimizer="muon", weight_decay=0.1)
    optimizer = new_optimizer(recipe, network)
    filters, *others = [nn.Parameter(parameter.detach().clone()) for parameter in network.parameters()]
    matrix = nn.Parameter(filters.detach().flatten(1).clone())
    muon = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    decaying, steady = [p for p in others if p.ndim > 1], [p for p in others if p.ndim == 1]
    adamw = torch.optim.AdamW([{"params": decaying, "weight_decay": 0.1}, {"params": steady, "weight_decay": 0}], 0.1)
    for rate in (0.1, 0.05):
        gradients = [torch.randn_like(parameter) for parameter in network.parameters()]
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        matrix.grad = gradients[0].flatten(1)
        for parameter, gradient in zip(others, gradients[1:], strict=True):
            parameter.grad = gradient
        optimizer.param_groups[0]["lr"] = rate
        for part in (muon, adamw):
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        optimizer.step()
    expected = [matrix.reshape(filters.shape), *others]
    for parameter, other in zip(network.parameters(), expected, strict=True):
        # Orthogonal in bfloat16, in another order of the columns.
        assert torch.allclose(parameter, other, atol=2e-3), (parameter - other).abs().max()
    assert not torch.allclose(network[0].weight, filters, atol=0.05), "nothing was learned"


def test_frozen_parameters_are_not_optimized() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    optimizer = new_optimizer(RECIPE, network)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]


def test_clipping_shortens_long_gradients_and_leaves_short_ones() -> None:
    layer = nn.Linear(3, 3)
    for length, limit, expected in ((10.0, 1.0, 1.0), (0.5, 1.0, 0.5), (10.0, 0.0, 10.0)):
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, length / math.sqrt(12))
        clip(list(layer.parameters()), limit)
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in layer.parameters()))
        assert norm == pytest.approx(expected, rel=1e-3)
