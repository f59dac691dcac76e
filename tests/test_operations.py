"""The 28 operations: the registry, what the draws depend on, and what each operation does to a picture."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emotorch.data.operations import OPERATIONS, augment, operation

Image = NDArray[np.uint8]

PUBLISHED = (
    "rotation flip zoom_in zoom_out shear perspective elastic "
    "dark bright low_contrast high_contrast gamma_dark gamma_bright posterize "
    "heavy_noise light_noise blur motion_left motion_right squares bars "
    "solarize equalize clahe invert snowflakes dust hair"
)
NAMES = list(OPERATIONS)
WITHOUT_DRAW = ["flip", "posterize", "equalize", "invert"]
DRAWS = range(40)
LEVELS = np.arange(256)
ALL_LEVELS = (np.arange(48 * 48) % 256).astype(np.uint8).reshape(48, 48)
BLACK, WHITE = np.zeros((48, 48), np.uint8), np.full((48, 48), 255, np.uint8)


def picture(seed: int) -> Image:
    """Soft light, an oval, two dots and a bar, a little texture: about as busy as a face."""
    rng = np.random.default_rng(seed)
    image = np.asarray(cv2.resize(rng.uniform(60, 200, (5, 5)), (48, 48), interpolation=cv2.INTER_CUBIC))
    x, y = (int(v) for v in rng.integers(20, 28, 2))
    cv2.ellipse(image, (x, y), (15, 20), 0, 0, 360, float(rng.uniform(120, 220)), -1)
    for dx in (-6, 6):
        cv2.circle(image, (x + dx, y - 5), 2, float(rng.uniform(20, 70)), -1)
    cv2.rectangle(image, (x - 6, y + 8), (x + 6, y + 10), float(rng.uniform(20, 90)), -1)
    return np.clip(np.rint(image + rng.normal(0, 4, image.shape)), 0, 255).astype(np.uint8)


def source_of(image: Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def draws(image: Image, name: str) -> Iterator[Image]:
    """An operation on one image under many seeds."""
    return (augment(image, "ab12", name, seed) for seed in DRAWS)


def dot(right: float, down: float) -> Image:
    """A soft bright dot on black, at (right, down) of the centre of the picture."""
    y, x = np.mgrid[:48, :48] - 23.5
    light = 255 * np.exp(-((x - right) ** 2 + (y - down) ** 2) / 4)
    return np.asarray(np.rint(light), np.uint8)


def where(image: Image) -> tuple[float, float]:
    """The centre of the light of a picture, (right, down) of its centre."""
    y, x = np.mgrid[:48, :48] - 23.5
    light = image.astype(float)
    return float((light * x).sum() / light.sum()), float((light * y).sum() / light.sum())


def curve(result: Image) -> NDArray[np.int_]:
    """What became of each grey level of ALL_LEVELS."""
    flat = result.ravel().astype(int)
    for level in LEVELS:
        assert len(set(flat[level::256])) == 1
    return flat[:256]


def gain_range(result: NDArray[np.int_], offset: float = 0.0, pivot: float = 0.0) -> tuple[float, float]:
    """The gains that explain a rounded straight curve, as far as it is not clipped."""
    low, high = -np.inf, np.inf
    for level in LEVELS:
        run = level - pivot
        if 0 < result[level] < 255 and abs(run) > 1:
            bounds = sorted(((result[level] - pivot - 0.501) / run, (result[level] - pivot + 0.501) / run))
            low, high = max(low, bounds[0]), min(high, bounds[1])
    return low, high


# The registry


def test_the_28_names_in_order() -> None:
    assert " ".join(OPERATIONS) == PUBLISHED
    assert len(OPERATIONS) == 28


def test_every_operation_has_a_docstring() -> None:
    assert all(function.__doc__ for function in OPERATIONS.values())


def test_a_second_operation_of_one_name_is_refused() -> None:
    def flip(image: Image, rng: np.random.Generator) -> Image:
        return image

    before = dict(OPERATIONS)
    with pytest.raises(ValueError, match="flip"):
        operation(flip)
    assert before == OPERATIONS


def test_other_images_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="expected an"):
        augment(np.zeros((64, 64, 4), np.uint8), "ab", "flip", 0)
    with pytest.raises(ValueError, match="float32"):
        augment(np.zeros((48, 48), np.float32), "ab", "flip", 0)
    with pytest.raises(KeyError, match="flop"):
        augment(BLACK, "ab", "flop", 0)


# What the draws depend on


def digest(image: Image, names: list[str], seed: int = 42) -> str:
    variants = {name: augment(image, source_of(image), name, seed).tobytes() for name in names}
    return hashlib.sha256(b"".join(variants[name] for name in sorted(names))).hexdigest()


def test_the_order_and_global_random_state_change_nothing() -> None:
    image = picture(1)
    first = digest(image, NAMES)
    np.random.seed(3)
    cv2.setRNGSeed(3)
    augment(picture(2), "other", "heavy_noise", 5)
    assert digest(image, NAMES[::-1]) == first
    np.random.random(5)
    cv2.randu(np.empty((3, 3)), np.zeros(1), np.ones(1))
    state = np.random.get_state()[1].tolist()  # type: ignore[index]
    assert digest(image, NAMES) == first
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]


def test_threads_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(image: Image, rng: np.random.Generator) -> Image:
        return rng.integers(0, 256, image.shape, np.uint8)

    def disturbed(image: Image, rng: np.random.Generator) -> Image:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(augment, image, "cd34", "dust", 1).result()
        return alone(image, rng)

    monkeypatch.setitem(OPERATIONS, "probe", alone)
    expected = augment(BLACK, "ab12", "probe", 42)
    monkeypatch.setitem(OPERATIONS, "probe", disturbed)
    assert np.array_equal(augment(BLACK, "ab12", "probe", 42), expected)


def test_another_process_draws_the_same() -> None:
    program = (
        "import cv2; cv2.setNumThreads(1)\n"
        f"from {__name__} import NAMES, digest, picture\n"
        "print(digest(picture(1), NAMES[::-1]))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    prediction = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert prediction.stdout.strip() == digest(picture(1), NAMES)


def test_the_key_of_a_draw_stays_what_it_was() -> None:
    """Data sets made earlier are made again: only whole numbers are drawn here, no rounding takes part."""
    hole = np.argwhere(augment(WHITE, "ab12", "squares", 42) == 0)
    assert hole.min(0).tolist() + hole.max(0).tolist() == [8, 26, 26, 47]


@pytest.mark.parametrize("name", NAMES)
def test_seed_and_source_change_the_draw(name: str) -> None:
    image = picture(4)
    by_seed = {augment(image, "ab12", name, seed).tobytes() for seed in range(12)}
    by_source = {augment(image, f"{source:064x}", name, 42).tobytes() for source in range(12)}
    if name in WITHOUT_DRAW:
        assert len(by_seed) == len(by_source) == 1
    else:
        enough = 4 if name == "clahe" else 11  # ten limits are all that OpenCV tells apart
        assert min(len(by_seed), len(by_source)) >= enough


def test_operations_draw_apart() -> None:
    noise = [augment(np.full((48, 48), 128, np.uint8), "ab12", f"{k}_noise", 42) for k in ("heavy", "light")]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


# All operations


def test_28_distinct_variants() -> None:
    for seed in range(30):
        image = picture(seed)
        variants = {augment(image, source_of(image), name, 42).tobytes() for name in NAMES}
        assert len(variants | {image.tobytes()}) == 29, seed


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    source=st.text("0123456789abcdef", max_size=64),
    kind=st.sampled_from(["constant", "noise", "picture", "reversed", "columns"]),
    level=st.integers(0, 255),
)
def test_any_image_gives_a_fresh_image_and_stays(seed: int, source: str, kind: str, level: int) -> None:
    image = {
        "constant": np.full((48, 48), level, np.uint8),
        "noise": np.random.default_rng(level).integers(0, 256, (48, 48), np.uint8),
        "picture": picture(level),
        "reversed": picture(level)[::-1, ::-1],
        "columns": np.asfortranarray(picture(level)),
    }[kind]
    before = image.copy()
    image.flags.writeable = False
    for name in NAMES:
        result = augment(image, source, name, seed)
        assert result.shape == (48, 48), name
        assert result.dtype == np.uint8, name
        assert result.flags.c_contiguous, name
        assert result.flags.writeable, name
        assert not np.shares_memory(result, image), name
        assert np.array_equal(image, before), name
        assert np.array_equal(result, augment(before, source, name, seed)), name


@pytest.mark.parametrize("level", [0, 1, 77, 200, 255])
def test_a_constant_image_stays_so_where_it_must(level: int) -> None:
    image = np.full((48, 48), level, np.uint8)
    geometry = NAMES[: NAMES.index("dark")]
    for name in [*geometry, "low_contrast", "high_contrast", "blur", "motion_left", "motion_right"]:
        assert all(np.array_equal(result, image) for result in draws(image, name)), name


# Geometry


def test_flip_is_exact() -> None:
    assert np.array_equal(augment(picture(1), "ab12", "flip", 42), picture(1)[:, ::-1])


def test_rotation_turns_by_5_to_25_degrees_both_ways() -> None:
    angles = []
    for result in draws(dot(12, 0), "rotation"):
        right, down = where(result)
        assert np.hypot(right, down) == pytest.approx(12, abs=0.2)
        angles.append(np.degrees(np.arctan2(down, right)))
    assert np.all((np.abs(angles) > 4.5) & (np.abs(angles) < 25.5))
    assert min(angles) < -15
    assert max(angles) > 15


@pytest.mark.parametrize(
    ("name", "least", "most"), [("zoom_in", 0.75**-0.5, 0.60**-0.5), ("zoom_out", 1 / 1.3, 1 / 1.1)]
)
def test_zooms_scale_the_content(name: str, least: float, most: float) -> None:
    left, right = list(draws(dot(-8, 0), name)), list(draws(dot(8, 0), name))
    scales = [(where(r)[0] - where(lf)[0]) / 16 for lf, r in zip(left, right, strict=True)]
    assert np.all((np.array(scales) > least - 0.02) & (np.array(scales) < most + 0.02))
    assert np.ptp(scales) > 0.7 * (most - least)
    middles = np.array([np.add(where(lf), where(r)) / 2 for lf, r in zip(left, right, strict=True)])
    if name == "zoom_out":
        assert np.abs(middles).max() < 0.2
    else:
        assert np.all(np.ptp(middles, axis=0) > 4)


def test_shear_slides_rows_by_4_to_12_degrees() -> None:
    above, below = draws(dot(0, -12), "shear"), draws(dot(0, 12), "shear")
    slopes = []
    for a, b in zip(above, below, strict=True):
        (x0, y0), (x1, y1) = where(a), where(b)
        assert (y0, y1) == pytest.approx((-12, 12), abs=0.2)
        assert x0 == pytest.approx(-x1, abs=0.2)
        slopes.append(np.degrees(np.arctan((x1 - x0) / 24)))
    assert np.all((np.abs(slopes) > 3.5) & (np.abs(slopes) < 12.5))
    assert min(slopes) < 0 < max(slopes)


def test_perspective_moves_every_corner_inwards_on_its_own() -> None:
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    seen = np.array([[where(r) for r in draws(dot(12 * x, 12 * y), "perspective")] for x, y in signs])
    corners = 23.5 * signs
    inwards = []
    for places in seen.swapaxes(0, 1).astype(np.float32):
        # Where four dots went says where the corners went.
        matrix = cv2.getPerspectiveTransform(12 * signs, places.copy())
        inwards.append(-signs * (cv2.perspectiveTransform(corners[None], matrix)[0] - corners))
    moves = np.array(inwards)
    assert moves.min() > -0.9
    assert moves.max() < 0.25 * 24 + 0.9
    assert np.all(np.ptp(moves, axis=0) > 4)
    each = np.corrcoef(moves.reshape(len(moves), 8).T) - np.eye(8)
    assert np.abs(each).max() < 0.6


def test_elastic_is_a_smooth_warp_without_folds() -> None:
    ramp = np.tile(np.arange(48, dtype=np.uint8) * 5, (48, 1))
    for image, axis in ((ramp, 1), (np.ascontiguousarray(ramp.T), 0)):
        inner = np.array([r[6:-6, 6:-6].astype(float) for r in draws(image, "elastic")])
        moved = (inner - image[6:-6, 6:-6]) / 5
        assert 0.8 < moved.std() < 1.3
        assert np.abs(moved).max() < 5
        assert abs(moved.mean()) < 0.3
        assert np.diff(inner, axis=axis + 1).min() >= 0


# Light


@pytest.mark.parametrize(("name", "least", "most"), [("dark", 0.2, 0.4), ("bright", 1.6, 2.2)])
def test_dark_and_bright_multiply_and_round(name: str, least: float, most: float) -> None:
    gains = []
    for result in draws(ALL_LEVELS, name):
        low, high = gain_range(curve(result))
        assert least - 0.001 <= low <= high <= most + 0.001
        gains.append(low)
    assert np.ptp(gains) > 0.7 * (most - least)
    for result in draws(picture(1), name):
        assert (result.mean() < picture(1).mean()) == (name == "dark")


@pytest.mark.parametrize(("name", "least", "most"), [("low_contrast", 0.2, 0.4), ("high_contrast", 2.5, 3.5)])
def test_contrast_stretches_about_the_mean(name: str, least: float, most: float) -> None:
    gains = []
    for result in draws(ALL_LEVELS, name):
        low, high = gain_range(curve(result), pivot=ALL_LEVELS.mean())
        assert least - 0.001 <= low <= high <= most + 0.001
        gains.append(low)
    assert np.ptp(gains) > 0.7 * (most - least)
    for result in draws(picture(1), name):
        assert (result.std() < picture(1).std()) == (name == "low_contrast")
        assert name == "high_contrast" or abs(result.mean() - picture(1).mean()) < 0.5


@pytest.mark.parametrize(("name", "least", "most"), [("gamma_dark", 1.8, 2.8), ("gamma_bright", 0.2, 0.5)])
def test_gamma_darkens_or_brightens(name: str, least: float, most: float) -> None:
    exponents = []
    for result in draws(ALL_LEVELS, name):
        levels = curve(result)
        assert (levels[0], levels[255]) == (0, 255)
        assert np.all(np.diff(levels) >= 0)
        assert np.all((levels <= LEVELS) if name == "gamma_dark" else (levels >= LEVELS))
        exponents.append(np.log(levels[128] / 255) / np.log(128 / 255))
        assert np.abs(levels - 255 * (LEVELS / 255) ** exponents[-1]).max() < 2
    assert np.all((np.array(exponents) > least - 0.02) & (np.array(exponents) < most + 0.02))
    assert np.ptp(exponents) > 0.7 * (most - least)


def test_posterize_keeps_two_bits() -> None:
    assert curve(augment(ALL_LEVELS, "ab12", "posterize", 42)).tolist() == (LEVELS // 64 * 64).tolist()


# Noise and blur


@pytest.mark.parametrize(("name", "sigma"), [("heavy_noise", 0.12 * 255), ("light_noise", 0.04 * 255)])
def test_noise_is_gaussian_of_its_sigma(name: str, sigma: float) -> None:
    noise = np.array([r.astype(float) - 128 for r in draws(np.full((48, 48), 128, np.uint8), name)])
    assert noise.std() == pytest.approx(sigma, rel=0.01)
    assert np.all(np.abs(noise.std(axis=(1, 2)) / sigma - 1) < 0.08)
    assert abs(noise.mean()) < 0.02 * sigma  # truncation would give half a grey level
    assert np.mean(np.abs(noise) < sigma) == pytest.approx(0.683, abs=0.03)
    assert abs(np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_noise_is_clipped() -> None:
    assert all(np.mean(r == 255) > 0.45 for r in draws(WHITE, "heavy_noise"))
    assert all(np.mean(r == 0) > 0.45 for r in draws(BLACK, "heavy_noise"))


def impulse() -> Image:
    image = BLACK.copy()
    image[24, 24] = 255
    return image


def test_blur_smooths_evenly_within_9x9() -> None:
    image = picture(1)
    sharp = cv2.Laplacian(image, cv2.CV_64F).var()
    for result in draws(image, "blur"):
        assert cv2.Laplacian(result, cv2.CV_64F).var() < 0.02 * sharp
        assert abs(result.mean() - image.mean()) < 1.5
    for result in draws(impulse(), "blur"):
        assert np.array_equal(result, result.T)
        assert np.array_equal(np.argwhere(result > 0).min(0), [20, 20])
        assert np.array_equal(np.argwhere(result > 0).max(0), [28, 28])
    # Middle over end of a row of light gives σ back.
    line = np.where(np.arange(48) == 24, 255, 0).astype(np.uint8)[None].repeat(48, 0)
    sigmas = [4 / np.sqrt(2 * np.log(r[24, 24] / r[24, 28])) for r in draws(line, "blur")]
    assert np.all((np.array(sigmas) > 2.9) & (np.array(sigmas) < 5.3))
    assert np.ptp(sigmas) > 1.2


@pytest.mark.parametrize(("name", "side"), [("motion_left", -1), ("motion_right", 1)])
def test_motion_leaves_a_trail_behind(name: str, side: int) -> None:
    slopes = []
    for result in draws(impulse(), name):
        rows, columns = np.nonzero(result)
        assert (columns.min(), columns.max()) == (20, 28)
        assert rows.min() >= 23
        assert rows.max() <= 25
        assert abs(int(result.sum(dtype=int)) - 255) < 12
        trail = result.sum(0, dtype=int)[20:29]
        assert np.all(side * np.diff(trail) > 0)
        rise = (result[23].astype(int) - result[25])[[20, 28]] / trail[[0, 8]] / 4
        slopes.append(np.degrees(np.arctan(rise[1])))
    assert np.abs(slopes).max() < 11
    assert min(slopes) < -5
    assert max(slopes) > 5


# Masks


@pytest.mark.parametrize(
    ("name", "area", "ratio"), [("squares", (0.08, 0.20), (1, 1.25)), ("bars", (0.03, 0.08), (4, 8))]
)
def test_masks_are_one_black_rectangle(name: str, area: tuple[float, float], ratio: tuple[float, float]) -> None:
    areas, tall, places = [], set(), []
    for result in draws(WHITE, name):
        hole = np.argwhere(result == 0)
        height, width = hole.max(0) - hole.min(0) + 1
        assert len(hole) == height * width == (result != 255).sum()
        assert area[0] <= len(hole) / 48**2 <= area[1]
        assert ratio[0] <= max(height, width) / min(height, width) <= ratio[1]
        areas.append(len(hole) / 48**2)
        tall.add(height > width)
        places.append(hole.mean(0))
    assert np.ptp(areas) > 0.7 * (area[1] - area[0])
    assert tall == {False, True}
    assert np.all(np.ptp(places, axis=0) > 20)


def test_masks_leave_the_rest_alone() -> None:
    image = np.maximum(picture(1), 1)
    for name in ("squares", "bars"):
        assert all(np.array_equal(r[r > 0], image[r > 0]) for r in draws(image, name))


# Effects


def test_solarize_inverts_what_is_above_a_threshold() -> None:
    thresholds, additions = [], []
    for result in draws(ALL_LEVELS, "solarize"):
        levels = curve(result)
        # The one (addition, threshold) of whole grey levels that explains it, but for rounding.
        shifts = np.clip(LEVELS + np.arange(-103, 104)[:, None], 0, 255)
        kept, turned = np.abs(shifts - levels) <= 1, np.abs(255 - shifts - levels) <= 1
        assert np.any(np.all(kept | turned, axis=1))
        addition = int(np.argmax(np.all(kept | turned, axis=1))) - 103
        shifted = np.clip(LEVELS + addition, 0, 255)
        inverted = np.abs(255 - shifted - levels) <= 1
        sure = np.abs(shifted - 127.5) > 2  # about the middle, kept and inverted look alike
        assert not np.any(inverted & sure & (shifted < 0.3 * 255 - 2))
        assert np.all(inverted[sure & (shifted > 0.7 * 255 + 2)])
        additions.append(addition)
        thresholds.append(shifted[inverted & sure].min(initial=255))
    assert min(additions) < -60
    assert max(additions) > 60
    assert np.ptp(thresholds) > 60


def test_equalize_fills_the_scale_evenly_and_keeps_the_order() -> None:
    image = picture(1) // 2 + 40
    result = augment(image, "ab12", "equalize", 42)
    assert (result.min(), result.max()) == (0, 255)
    share = np.array([np.mean(result <= level) for level in range(256)])
    assert np.abs(share - (LEVELS + 1) / 256).max() < 0.1
    order = np.argsort(image, axis=None, kind="stable")
    assert np.all(np.diff(result.ravel()[order].astype(int)) >= 0)


def test_clahe_raises_local_contrast() -> None:
    image = picture(1) // 3 + 40
    plain = augment(image, "ab12", "equalize", 42)
    for result in draws(image, "clahe"):
        for rows in (slice(0, 24), slice(24, 48)):
            for columns in (slice(0, 24), slice(24, 48)):
                assert result[rows, columns].std() > 1.3 * image[rows, columns].std()
        assert not np.array_equal(result, plain)


def test_invert_is_exact() -> None:
    assert np.array_equal(augment(ALL_LEVELS, "ab12", "invert", 42), 255 - ALL_LEVELS)


# Occlusion


def test_snowflakes_are_20_white_dots() -> None:
    counts = []
    for result in draws(BLACK, "snowflakes"):
        assert set(np.unique(result)) == {0, 255}
        opened = cv2.morphologyEx(
            result, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        assert np.array_equal(opened, result)
        counts.append(int((result > 0).sum()))
    assert max(counts) <= 180
    assert min(counts) >= 120
    assert np.mean(counts) == pytest.approx(172, abs=6)
    image = picture(1)
    for result in draws(image, "snowflakes"):
        assert np.all((result == image) | (result == 255))


def test_dust_is_60_grey_pixels() -> None:
    for result in draws(BLACK, "dust"):
        specks = result[result > 0]
        assert len(specks) == 60
        assert specks.min() >= 64
        assert specks.max() <= 191
        assert np.ptp(specks) > 60
    assert all(30 < (result != picture(1)).sum() <= 60 for result in draws(picture(1), "dust"))


def test_hair_is_four_thin_dark_strands() -> None:
    strands = []
    for result in draws(WHITE, "hair"):
        drawn = (result < 200).astype(np.uint8)
        assert result.min() < 60
        assert 60 < drawn.sum() < 450
        assert drawn[:2].any()
        assert drawn[15:].any()
        assert not cv2.erode(drawn, np.ones((6, 6), np.uint8), borderValue=0).any()
        strands.append(cv2.connectedComponents(drawn[:3], connectivity=8)[0] - 1)
    assert max(strands) == 4  # where they cross, they count as fewer
    for image in (picture(1), picture(1) // 8):
        for result in draws(image, "hair"):
            assert np.all(result <= image)
    assert all((result < picture(1)).sum() > 40 for result in draws(picture(1), "hair"))
