"""Mixup and cutmix: an image and its target always hold the same parts of the two that they were made from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from emotorch.recipes import get_recipe
from emotorch.seeding import generator
from emotorch.training.mixing import mix, mixes

PLAIN = get_recipe("emotorch")
SIZE, CLASSES = 16, 16


def batch() -> tuple[Tensor, Tensor]:
    """Image i is i all over, and of class i: what an image holds of which says its own pixels."""
    pixels = torch.arange(SIZE, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 12, 20).clone()
    return pixels, torch.eye(CLASSES)[:SIZE]


def mixed(seed: int, **shapes: float) -> tuple[Tensor, Tensor]:
    return mix(*batch(), replace(PLAIN, **shapes), generator("mixup", seed))


def test_a_recipe_mixes_by_either() -> None:
    assert [mixes(replace(PLAIN, mixup=a, cutmix=b)) for a, b in ((0, 0), (0.2, 0), (0, 1), (1, 1))] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("shapes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}], ids=str)
def test_a_target_holds_what_its_image_holds(shapes: dict[str, float]) -> None:
    for seed in range(50):
        pixels, targets = mixed(seed, **shapes)
        assert pixels.shape == (SIZE, 1, 12, 20)
        torch.testing.assert_close(targets.sum(1), torch.ones(SIZE))
        # The mean of an image's pixels is the mean of the classes' numbers, weighted by their parts.
        torch.testing.assert_close(pixels.mean((1, 2, 3)), targets @ torch.arange(CLASSES).float())


def test_cutmix_puts_one_whole_box_of_another_image_in_its_place() -> None:
    areas = []
    for seed in range(200):
        pixels, targets = mixed(seed, cutmix=1.0)
        foreign = (pixels[:, 0] != torch.arange(SIZE).view(-1, 1, 1)).any(0)
        areas.append(foreign.float().mean().item())
        rows, columns = np.nonzero(foreign.numpy())
        if len(rows):
            box = foreign[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert box.all()
        assert ((targets > 0).sum(1) <= 2).all()
    # Boxes of all sizes, some cut by the edge: on average they cover less than the half that their shape asks for.
    assert min(areas) < 0.05
    assert max(areas) > 0.8
    assert 0.25 < np.mean(areas) < 0.5


@pytest.mark.parametrize("shapes", [{"mixup": 0.4}, {"cutmix": 1.0}], ids=str)
def test_what_is_mixed_stays_itself(shapes: dict[str, float]) -> None:
    pixels, targets = batch()
    floats = pixels.float()
    mix(floats, targets, replace(PLAIN, **shapes), generator("mixup", 1))
    assert torch.equal(floats, pixels.float())
    assert torch.equal(targets, batch()[1])


def test_with_both_a_batch_gets_one_of_them() -> None:
    blended = 0
    for seed in range(200):
        pixels, _ = mixed(seed, mixup=1.0, cutmix=1.0)
        whole = (pixels == pixels.round()).all().item()  # a box leaves every pixel one image's own
        blended += not whole
    assert 70 < blended < 130


def test_mixup_alone_draws_as_it_did_before_there_was_cutmix() -> None:
    """Trainings that were published with it can be repeated."""
    drawing, (pixels, targets) = generator("mixup", 3), batch()
    share, others = drawing.beta(0.2, 0.2), drawing.permutation(SIZE)
    expected = share * pixels.float() + (1 - share) * pixels.float()[others]
    assert torch.equal(mixed(3, mixup=0.2)[0], expected)
    assert torch.equal(mixed(3, mixup=0.2)[1], share * targets + (1 - share) * targets[others])
