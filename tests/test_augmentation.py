import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import draw_images

from emotorch.recipes import Augmentation
from emotorch.training import augmentation
from emotorch.training.augmentation import Draws, degrade, downscaled, gaussian_blur, turns, warp

# Each amount alone, and all together.
ALONE = {
    "flip": Augmentation(flip=0.5),
    "rotation": Augmentation(rotation=15),
    "shift": Augmentation(shift=0.1),
    "scale": Augmentation(scale=(0.8, 1.25)),
    "crop": Augmentation(crop=0.6),
    "brightness": Augmentation(brightness=0.4),
    "contrast": Augmentation(contrast=0.4),
    "blur": Augmentation(blur=0.5, blur_sigma=2.0),
    "downscaling": Augmentation(downscaling=0.5),
    "noise": Augmentation(noise=0.5),
    "occlusion": Augmentation(occlusion=0.5),
}
ALL = Augmentation(
    flip=0.5,
    rotation=15,
    shift=0.1,
    scale=(0.8, 1.25),
    crop=0.6,
    brightness=0.4,
    contrast=0.4,
    blur=0.5,
    blur_sigma=2.0,
    downscaling=0.5,
    noise=0.5,
    occlusion=0.5,
)
POLICIES = {**ALONE, "all": ALL, "off": Augmentation()}


def draw_faces(count: int = 16) -> torch.Tensor:
    return torch.from_numpy(draw_images(count, seed=5)).unsqueeze(1)


def draw_numbers(count: int = 16, seed: int = 1, policy: Augmentation = ALL) -> Draws:
    return Draws.of(policy, (count, 1, 48, 48), seed)


def augment(pixels: torch.Tensor, policy: Augmentation, draws: Draws) -> torch.Tensor:
    """All that a policy does."""
    return degrade(augmentation.augment(pixels, policy, draws), policy, draws)


def grey(level: int, count: int) -> torch.Tensor:
    return torch.full((count, 1, 48, 48), level, dtype=torch.uint8)


@pytest.mark.parametrize("name", POLICIES)
def test_equal_draws_give_equal_floats_from_0_to_255_and_leave_the_bytes_alone(name: str) -> None:
    faces, draws = draw_faces(), draw_numbers()
    before = faces.clone(), draws.amounts.clone()
    first = augment(faces, POLICIES[name], draws)
    assert torch.equal(first, augment(faces, POLICIES[name], draws))
    assert torch.equal(faces, before[0])
    assert torch.equal(draws.amounts, before[1])
    assert first.dtype == torch.float32
    assert first.shape == faces.shape
    assert first.min() >= 0
    assert first.max() <= 255


@pytest.mark.parametrize("name", ALONE)
def test_other_draws_give_other_images(name: str) -> None:
    faces = draw_faces()
    first = augment(faces, ALONE[name], draw_numbers(seed=1))
    second = augment(faces, ALONE[name], draw_numbers(seed=2))
    assert not torch.allclose(first, second, atol=1)


@pytest.mark.parametrize("name", POLICIES)
def test_an_image_s_result_is_its_own_whatever_else_is_in_the_batch(name: str) -> None:
    faces, draws = draw_faces(), draw_numbers()
    whole = augment(faces, POLICIES[name], draws)
    parts = [augment(faces[i : i + 1], POLICIES[name], draws[i : i + 1]) for i in range(len(faces))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", POLICIES)
def test_floats_are_taken_too_and_left_alone(name: str) -> None:
    faces, draws = draw_faces().float(), draw_numbers()
    before = faces.clone()
    assert torch.equal(augment(faces, POLICIES[name], draws), augment(faces.byte(), POLICIES[name], draws))
    assert torch.equal(faces, before)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("count", [0, 1])
def test_small_batches(name: str, count: int) -> None:
    assert augment(draw_faces(1)[:count], POLICIES[name], draw_numbers(count)).shape == (count, 1, 48, 48)


def test_the_channels_of_a_colour_image_get_the_same() -> None:
    faces = draw_faces()
    coloured = augment(faces.expand(-1, 3, -1, -1), ALL, draw_numbers())
    torch.testing.assert_close(coloured, augment(faces, ALL, draw_numbers()).expand(-1, 3, -1, -1), rtol=0, atol=1e-2)


def test_a_policy_that_is_off_changes_nothing() -> None:
    faces = draw_faces()
    assert torch.equal(augment(faces, Augmentation(), draw_numbers()), faces.float())


@pytest.mark.parametrize(
    "tiny",
    [
        Augmentation(rotation=1e-4),
        Augmentation(shift=1e-6),
        Augmentation(scale=(1 - 1e-6, 1 + 1e-6)),
        Augmentation(crop=1 - 1e-6),
        Augmentation(brightness=1e-6, contrast=1e-6),
        Augmentation(blur=1.0, blur_sigma=0.1),
        Augmentation(downscaling=1.0, smallest_side=1.0),
        Augmentation(noise=1.0, noise_sigma=1e-5),
        Augmentation(occlusion=1.0, occlusion_size=0.01),
    ],
)
def test_amounts_near_0_change_nearly_nothing(tiny: Augmentation) -> None:
    faces = draw_faces()
    torch.testing.assert_close(augment(faces, tiny, draw_numbers()), faces.float(), rtol=0, atol=0.05)


@pytest.mark.parametrize("other", [Augmentation(), Augmentation(brightness=0.3), Augmentation(occlusion=1.0)])
def test_changing_one_amount_reshuffles_no_other(other: Augmentation) -> None:
    """The same images are mirrored, whatever else is done to them."""
    faces, draws = draw_faces(), draw_numbers()
    plain = augment(faces, other, draws)
    mirrored = augment(faces, replace(other, flip=0.5), draws)
    kept = (draws.amounts[:, 0] >= 0.5).nonzero()[:, 0]
    assert 0 < len(kept) < len(faces)
    assert torch.equal(mirrored[kept], plain[kept])


def test_flip_is_exact_and_as_frequent_as_asked() -> None:
    faces, draws = draw_faces(200), draw_numbers(200)
    flipped = torch.flip(faces, [3]).float()
    assert torch.equal(augment(faces, Augmentation(flip=1.0), draws), flipped)
    result = augment(faces, Augmentation(flip=0.3), draws)
    mirrored = (result == flipped).all((1, 2, 3))
    assert (mirrored | (result == faces).all((1, 2, 3))).all()
    assert 40 <= mirrored.sum() <= 80


def test_flip_goes_into_the_one_sampling_with_the_rest() -> None:
    faces = draw_faces()
    result = augment(faces, Augmentation(flip=1.0, rotation=1e-4), draw_numbers())
    torch.testing.assert_close(result, torch.flip(faces, [3]).float(), rtol=0, atol=0.05)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_quarter_turns_and_mirror_images_match_those_by_index(quarters: int, mirror: float) -> None:
    faces = draw_faces(3)
    matrices = turns(torch.full((3,), 90.0 * quarters), torch.ones(3), torch.full((3,), mirror))
    expected = faces.float().rot90(quarters, (2, 3))
    expected = expected.flip(3) if mirror else expected
    torch.testing.assert_close(warp(faces.float(), matrices, torch.zeros(3, 2)), expected, rtol=0, atol=0.02)


def test_whole_pixels_of_offset_match_a_slice_and_the_mirror_image_beyond_the_edge() -> None:
    image = draw_faces(1).float()
    unmoved = turns(torch.zeros(1), torch.ones(1), torch.zeros(1))
    result = warp(image, unmoved, torch.tensor([[3.0, -2.0]]))
    expected = torch.cat([image[:, :, [2, 1]], image[:, :, :46]], 2)
    expected = torch.cat([expected[..., 3:], expected[..., [46, 45, 44]]], 3)
    torch.testing.assert_close(result, expected, rtol=0, atol=0.02)


def test_an_image_that_is_not_square_turns_without_shear() -> None:
    """Half a turn is exact whatever the sides; a quarter turn shows the middle square turned."""
    image = draw_faces(1).float()[:, :, 8:40]
    half = warp(image, turns(torch.tensor([180.0]), torch.ones(1), torch.zeros(1)), torch.zeros(1, 2))
    torch.testing.assert_close(half, image.flip(2, 3), rtol=0, atol=0.02)
    quarter = warp(image, turns(torch.tensor([90.0]), torch.ones(1), torch.zeros(1)), torch.zeros(1, 2))
    torch.testing.assert_close(quarter[..., 8:40], image[..., 8:40].rot90(1, (2, 3)), rtol=0, atol=0.02)


def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([x, y]))[0, 1].abs().item()


def displacements(policy: Augmentation, count: int = 400) -> torch.Tensor:
    """(count, 2, 48, 48): the x and y that each pixel of the result was read at, from two ramps as an image."""
    ramp = torch.arange(48, dtype=torch.float32).expand(48, 48)
    places = torch.stack([ramp, ramp.T]).expand(count, 2, 48, 48)
    return augment(places, policy, draw_numbers(count, policy=policy))


def test_rotation_stays_within_its_angle_and_reaches_it_both_ways() -> None:
    places = displacements(Augmentation(rotation=10))[:, :, 23:25, 23:25]
    slope = places[:, :, 0, 1] - places[:, :, 0, 0]
    angles = torch.atan2(slope[:, 1], slope[:, 0]).rad2deg()
    assert 9.5 < angles.max() <= 10.01
    assert -10.01 <= angles.min() < -9.5
    assert slope.norm(dim=1).sub(1).abs().max() < 1e-4


def test_shift_stays_within_its_part_of_the_side() -> None:
    middle = displacements(Augmentation(shift=0.1))[:, :, 24, 24] - 24
    for axis in middle.unbind(1):
        assert 4.6 < axis.max() <= 4.81
        assert -4.81 <= axis.min() < -4.6
    assert correlation(*middle.unbind(1)) < 0.2


def test_scale_stays_within_its_factors() -> None:
    places = displacements(Augmentation(scale=(0.9, 1.5)))
    factors = 1 / (places[:, 0, 24, 24] - places[:, 0, 24, 23])
    assert 0.9 - 1e-3 <= factors.min() < 0.91
    assert 1.49 < factors.max() <= 1.5 + 1e-3


def test_a_crop_is_a_square_inside_the_image_of_at_least_its_part() -> None:
    places = displacements(Augmentation(crop=0.5))
    width = places[:, 0, 0, -1] - places[:, 0, 0, 0]
    height = places[:, 1, -1, 0] - places[:, 1, 0, 0]
    torch.testing.assert_close(width, height, rtol=0, atol=1e-3)
    areas = (width / 47) ** 2
    assert 0.5 - 1e-3 <= areas.min() < 0.51
    assert 0.99 < areas.max() <= 1
    assert places.min() >= 0
    assert places.max() <= 47
    # Small ones lie anywhere.
    small = places[areas < 0.6]
    first, last = small[:, :, 0, 0], small[:, :, -1, -1]
    assert first.min(0).values.max() < 1
    assert last.max(0).values.min() > 46
    assert correlation(*first.unbind(1)) < 0.3


def test_brightness_multiplies_by_its_factors() -> None:
    factors = augment(grey(100, 300), Augmentation(brightness=0.2), draw_numbers(300))[:, 0, 0, 0] / 100
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2001


def test_contrast_keeps_the_mean_and_multiplies_the_spread_by_its_factors() -> None:
    faces = draw_faces(300) // 3 + 80  # far enough from black and white not to be cut off
    result = augment(faces, Augmentation(contrast=0.2), draw_numbers(300))
    torch.testing.assert_close(result.mean((1, 2, 3)), faces.float().mean((1, 2, 3)), rtol=0, atol=0.01)
    factors = result.std((1, 2, 3)) / faces.float().std((1, 2, 3))
    assert 0.8 - 1e-3 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2 + 1e-3


def test_blur_is_a_gaussian_of_the_given_width_that_keeps_what_is_there() -> None:
    sigmas = torch.tensor([0.5, 1.0, 2.0])
    dot = torch.zeros(3, 1, 49, 49)
    dot[:, :, 24, 24] = 200
    blurred = gaussian_blur(dot, sigmas)
    torch.testing.assert_close(blurred.sum((1, 2, 3)), torch.full((3,), 200.0))
    away = torch.arange(49.0) - 24
    spread = (blurred[:, 0].sum(1) * away**2).sum(1) / 200
    assert spread[1:].sqrt().tolist() == pytest.approx([1.0, 2.0], rel=1e-3)
    weights = torch.exp(-(away**2) / (2 * 0.5**2))
    torch.testing.assert_close(blurred[0, 0], 200 * torch.outer(weights, weights) / weights.sum() ** 2)


def test_blur_leaves_an_even_grey_even_to_the_edge() -> None:
    blurred = augment(grey(77, 20), Augmentation(blur=1.0, blur_sigma=3.0), draw_numbers(20))
    torch.testing.assert_close(blurred, grey(77, 20).float(), rtol=0, atol=1e-3)


def test_blur_touches_as_many_images_as_asked() -> None:
    faces = draw_faces(200)
    result = augment(faces, Augmentation(blur=0.2, blur_sigma=4.0), draw_numbers(200))
    assert 20 <= (result != faces).any(3).any(2).sum() <= 60


def test_noise_is_normal_of_at_most_its_sigma_and_touches_as_many_images_as_asked() -> None:
    policy = Augmentation(noise=0.3, noise_sigma=0.08)
    noise = augment(grey(128, 400), policy, draw_numbers(400)) - 128
    sigmas = noise.std((1, 2, 3)) / 255
    noisy = sigmas > 0
    assert 90 <= noisy.sum() <= 150
    assert 0.007 < sigmas[noisy].min() < 0.011
    assert 0.075 < sigmas.max() < 0.083
    scaled = noise[noisy] / noise[noisy].std((1, 2, 3), keepdim=True)
    assert scaled.mean().abs() < 0.01
    assert (scaled.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.005)
    assert correlation(scaled[:, 0, :, :-1].flatten(), scaled[:, 0, :, 1:].flatten()) < 0.01


def test_downscaling_keeps_areas_means_and_loses_what_is_finer() -> None:
    faces = draw_faces(5).float()
    sides = torch.tensor([48, 24, 16, 12, 1])
    result = downscaled(faces, sides / 48)
    torch.testing.assert_close(result[0], faces[0])
    torch.testing.assert_close(result[4], faces[4].mean().expand(1, 48, 48))
    for face, side, small in zip(faces, sides.tolist(), result, strict=True):
        expected = F.interpolate(F.interpolate(face[None], side, mode="area"), 48, mode="bilinear")[0]
        torch.testing.assert_close(small, expected, rtol=0, atol=1e-3)


def test_downscaling_reaches_its_smallest_side_and_takes_images_that_are_not_square() -> None:
    columns = (255 * (torch.arange(48) % 2)).to(torch.uint8).expand(300, 1, 30, 48)
    policy = Augmentation(downscaling=0.5, smallest_side=0.2)
    result = augment(columns, policy, Draws.of(policy, columns.shape, 1))
    changed = (result != columns).flatten(1).any(1)
    assert 110 <= changed.sum() <= 155
    assert (result[changed].std(3) < 90).any()
    assert result.shape == columns.shape


def test_a_patch_is_one_rectangle_of_the_mean_grey_within_its_sizes() -> None:
    # Two levels of grey, so that neither is the mean and every pixel of a patch shows.
    faces = torch.where(torch.arange(48) % 2 == 0, 40, 200).to(torch.uint8).expand(400, 1, 48, 48)
    result = augment(faces, Augmentation(occlusion=0.25, occlusion_size=0.5), draw_numbers(400))[:, 0]
    hidden = result != faces[:, 0]
    assert torch.equal(result[hidden], torch.full_like(result[hidden], 120.0))
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.sum((1, 2)), heights * widths)
    patched = heights > 0
    assert 70 <= patched.sum() <= 130
    for side in (heights[patched], widths[patched]):
        assert side.min() == 8
        assert side.max() == 24
    assert correlation(heights[patched].float(), widths[patched].float()) < 0.3
    rows, columns = (hidden.any(axis)[patched].float().argmax(1).float() for axis in (2, 1))
    assert correlation(rows, columns) < 0.3
    somewhere = hidden.any(0)
    assert all(edge.any() for edge in (somewhere[0], somewhere[-1], somewhere[:, 0], somewhere[:, -1]))


def test_the_patch_is_as_bright_as_the_image_became() -> None:
    bright = Augmentation(brightness=0.3, contrast=0.3, occlusion=1.0, occlusion_size=1.0)
    result = augment(grey(100, 50), bright, draw_numbers(50))
    torch.testing.assert_close(result, result[:, :, :1, :1].expand_as(result), rtol=0, atol=1e-3)


def test_light_is_cut_off_at_black_and_white() -> None:
    faces = torch.where(torch.arange(48) < 24, 0, 255).to(torch.uint8).expand(50, 1, 48, 48)
    result = augment(faces, Augmentation(brightness=1.0, contrast=1.0), draw_numbers(50))
    assert result.min() == 0
    assert result.max() == 255
    assert math.isfinite(result.sum().item())
