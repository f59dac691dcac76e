import numpy as np
import pytest

from emotorch.analyses import corruptions
from emotorch.analyses.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from emotorch.data.images import Pixels, hash_pixels
from emotorch.data.synthetic import Identity, draw_face
from emotorch.datasets import FER
from emotorch.seeding import generator

RANDOM = ("occlusion", "noise", "rotation")
# Of these every single picture gets worse, of the others most do.
EVERY_PICTURE = ("blur", "low_light", "occlusion", "noise", "contrast")


@pytest.fixture(scope="module")
def faces() -> Pixels:
    rngs = [generator("faces to corrupt", number) for number in range(42)]
    return np.stack([draw_face(FER.classes[n % 7], Identity(rng), rng) for n, rng in enumerate(rngs)])


def sources(images: Pixels) -> list[str]:
    return [hash_pixels(image) for image in images]


def plain(value: int) -> Pixels:
    return np.full((200, 48, 48), value, np.uint8)


def numbered(images: Pixels) -> list[str]:
    return [str(number) for number in range(len(images))]


def distances(images: Pixels, corrupted: Pixels) -> np.ndarray:
    """Root mean squares of the pixels' differences."""
    return np.sqrt(np.square(images.astype(float) - corrupted).mean(axis=(1, 2)))


def test_there_are_eight_corruptions() -> None:
    assert set(CORRUPTIONS) == {*EVERY_PICTURE, "rotation", "jpeg", "downscaling"}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_farther_from_the_original_than_the_one_before(name: str, faces: Pixels) -> None:
    before = faces.copy()
    found = np.stack([distances(faces, corrupt(faces, sources(faces), name, severity)) for severity in SEVERITIES])
    means = found.mean(axis=1)
    assert means[0] > 0
    assert (np.diff(means) > 0).all()
    if name in EVERY_PICTURE:
        assert (np.diff(found, axis=0) > -0.5).all()  # but for rounding
    assert (faces == before).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_picture_s_corruption_depends_on_nothing_but_itself(name: str, faces: Pixels) -> None:
    together = corrupt(faces, sources(faces), name, 3)
    assert together.dtype == np.uint8
    backwards = corrupt(faces[::-1], sources(faces)[::-1], name, 3)[::-1]
    alone = np.concatenate([corrupt(faces[k : k + 1], sources(faces)[k : k + 1], name, 3) for k in range(len(faces))])
    assert (together == backwards).all()
    assert (together == alone).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_only_what_is_random_differs_by_source(name: str, faces: Pixels) -> None:
    same = np.repeat(faces[:1], 20, axis=0)
    different = len(np.unique(corrupt(same, numbered(same), name, 2), axis=0))
    assert (different > 1) == (name in RANDOM)


def test_light_contrast_and_noise_are_of_their_strengths(faces: Pixels) -> None:
    for severity in SEVERITIES:
        gain, factor, sigma = (CORRUPTIONS[name].strengths[severity - 1] for name in ("low_light", "contrast", "noise"))
        dark = corrupt(plain(200), numbered(plain(200)), "low_light", severity)
        assert (dark == round(200 * gain)).all()
        flat = corrupt(faces, sources(faces), "contrast", severity)
        assert flat.std(axis=(1, 2)) == pytest.approx(factor * faces.std(axis=(1, 2)), abs=0.5)
        assert flat.mean(axis=(1, 2)) == pytest.approx(faces.mean(axis=(1, 2)), abs=0.6)
        noisy = corrupt(plain(128), numbered(plain(128)), "noise", severity)
        assert noisy.std() == pytest.approx(255 * sigma, rel=0.03)


def test_the_square_covers_its_share_and_that_of_a_milder_severity() -> None:
    white = plain(255)
    black = np.stack([corrupt(white, numbered(white), "occlusion", severity) == 0 for severity in SEVERITIES])
    for covered, share in zip(black, CORRUPTIONS["occlusion"].strengths, strict=True):
        assert covered.mean(axis=(1, 2)) == pytest.approx(share, abs=0.01)
    assert (black[:-1] <= black[1:]).all()
    # Every part of the face is hidden in some of them.
    assert black[2][:, 6:-6, 6:-6].any(axis=0).all()


def test_a_face_turns_either_way_and_back_again(faces: Pixels) -> None:
    turned = corrupt(faces, sources(faces), "rotation", 2)
    degrees = CORRUPTIONS["rotation"].strengths[1]
    left, right = (np.stack([corruptions.turn(face, sign * degrees) for face in faces]) for sign in (1, -1))
    ways = [(turned == way).all(axis=(1, 2)) for way in (left, right)]
    assert (ways[0] ^ ways[1]).all()
    assert 0.2 < ways[0].mean() < 0.8


def test_plain_pictures_stay_when_blurred_scaled_or_turned() -> None:
    grey = plain(90)
    for name in ("blur", "downscaling", "rotation", "contrast"):
        assert (corrupt(grey, numbered(grey), name, 5) == 90).all()


@pytest.mark.parametrize(("name", "severity"), [("fog", 1), ("blur", 0), ("blur", 6)])
def test_what_is_unknown_is_refused(name: str, severity: int, faces: Pixels) -> None:
    with pytest.raises(ValueError, match=f"{name} at severity {severity}"):
        corrupt(faces, sources(faces), name, severity)


def test_other_images_are_refused() -> None:
    for wrong in (np.zeros((2, 32, 48), np.uint8), np.zeros((2, 48, 48), np.float32)):
        with pytest.raises(ValueError, match="square uint8"):
            corrupt(wrong, ["a", "b"], "blur", 1)


def test_the_registry_refuses_a_name_twice_and_missing_strengths() -> None:
    with pytest.raises(ValueError, match="already a corruption named blur"):
        corruptions.corruption("σ", 1, 2, 3, 4, 5)(CORRUPTIONS["blur"].apply)

    def fog(image: np.ndarray, strength: float, source: str) -> np.ndarray:
        raise AssertionError

    with pytest.raises(ValueError, match="fog has 2 strengths"):
        corruptions.corruption("density", 1, 2)(fog)
    assert "fog" not in CORRUPTIONS
