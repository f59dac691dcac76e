"""Images that a run has seen are known again in another copy of FER-2013: renumbered, or with other pixels."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from running import EVALUATE, Trained, call_script, read_table

from emotorch.errors import UsageError
from emotorch.paths import Paths
from emotorch.runs.folder import find_run
from emotorch.runs.usage import FerImage, TrainingImages
from emotorch.training import distillation


def images_of(seed: int, count: int = 1500) -> list[FerImage]:
    """As stage 2 numbers them; a tenth of PublicTest are twins of Training images."""
    rng = np.random.default_rng(seed)
    usages = np.where(rng.random(count) < 0.8, "Training", "PublicTest")
    pixels = [f"{seed}-{number - number % 10 if number % 10 == 1 else number}" for number in range(count)]
    return [
        FerImage(f"FER/angry/{number}.png", str(usage), hashed)
        for number, (usage, hashed) in enumerate(zip(usages, pixels, strict=True), start=1)
    ]


def trained_on(images: list[FerImage]) -> TrainingImages:
    return TrainingImages(
        {image.file: image.pixels for image in images} | {"CKP/anger/1.png": "of CK+"},
        usages={image.file: image.usage for image in images},
    )


def training(images: list[FerImage]) -> list[FerImage]:
    return [image for image in images if image.usage == "Training"]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_copy_is_known_by_its_names(seed: int) -> None:
    images = images_of(seed)
    known = trained_on(training(images)[::2])  # thinned, as in a sweep
    assert known.in_copy(images) is known


@pytest.mark.parametrize("seed", range(3))
def test_in_a_renumbered_part_of_it_pixels_and_usage_tell(seed: int) -> None:
    images = images_of(seed)
    part = np.random.default_rng(seed).permutation(len(images))[:1200]
    renumbered = [images[place]._replace(file=f"FER/angry/{number}.png") for number, place in enumerate(part, start=1)]
    known = trained_on(training(images))
    found = known.in_copy(renumbered)
    assert set(found.usages) == {image.file for image in training(renumbered)}
    assert set(found.files) == {*found.usages, "CKP/anger/1.png"}
    assert all(found.has(image.file, image.pixels) == (image.usage == "Training") for image in renumbered)
    # Where the names are of another scheme, they tell nothing.
    assert known.in_copy(renumbered, by_name=False) is known


def test_with_other_pixels_all_of_a_usage_count() -> None:
    known = trained_on(training(images_of(0, count=4500))[::2])
    other = images_of(1, count=4500)
    assert set(known.in_copy(other).usages) == {image.file for image in training(other)}
    tests = [image._replace(usage="PublicTest+PrivateTest") for image in other if image.usage == "PublicTest"]
    validated = trained_on([image for image in images_of(0, count=4500) if image.usage == "PublicTest"])
    both = [*training(other), *tests]
    assert set(validated.in_copy(both).usages) == {image.file for image in tests}


def test_a_few_images_are_not_taken_for_another_copy() -> None:
    known = trained_on(training(images_of(0)))
    few = images_of(1, count=250)
    found = known.in_copy(few)
    assert not any(found.has(image.file, image.pixels) for image in few)
    assert found.hashes == known.hashes


def test_one_row_less_makes_no_training_image_unseen() -> None:
    """All numbers after it are others."""
    images = images_of(0)
    known = trained_on(training(images))
    fewer = [image._replace(file=f"FER/angry/{n}.png") for n, image in enumerate(images[:700] + images[701:], start=1)]
    found = known.in_copy(fewer)
    assert all(found.has(image.file, image.pixels) == (image.usage == "Training") for image in fewer)


def test_where_some_pixels_are_others_no_training_image_is_unseen() -> None:
    images = images_of(0, count=35887)
    known = trained_on(training(images))
    changed = [image._replace(pixels=f"{image.pixels} {n}") if n % 5 < 2 else image for n, image in enumerate(images)]
    assert set(known.in_copy(changed[:3000]).usages) == {image.file for image in training(changed[:3000])}


def test_pixels_that_were_trained_on_stay_known_as_twins() -> None:
    images = images_of(0)
    known = trained_on(training(images))
    tests = [image for image in images if image.usage == "PublicTest"]
    assert known.in_copy(tests).hashes >= known.hashes
    renumbered = [image._replace(file=f"FER/angry/{n}.png") for n, image in enumerate(tests, start=1)]
    found = known.in_copy(renumbered)
    assert found.hashes == known.hashes
    assert not any(found.has(image.file, image.pixels) for image in renumbered)
    assert known.in_copy(images_of(1)).hashes > known.hashes


def test_no_training_image_of_another_copy_counts_as_unseen(lively: Trained) -> None:
    done = call_script(lively.paths, EVALUATE, "compact", "fer", "--scheme", "emotorch4", "--threads", 1)
    rows = [row for row in read_table(lively.paths.originals / "manifest.csv") if row["dataset"] == "FER"]
    seen = {row["hash"] for row in rows if row["usage"] == "Training"}
    left = [row["usage"] for row in rows if row["hash"] not in seen]
    assert f"on fer, read as emotorch4: {len(left)} images, " in done.stdout
    assert f"because it was trained on them: {len(rows) - len(left)} images, " in done.stdout


@pytest.mark.parametrize(("lacking", "refused"), [(0, 0), (5, 5)])
def test_a_teacher_is_no_stranger_in_a_copy_with_other_pixels(
    monkeypatch: pytest.MonkeyPatch, lacking: int, refused: int
) -> None:
    """It has seen the official training set, of which all must be here, and be trained on."""
    teacher = find_run(Paths.from_environment(), "compact")
    known = TrainingImages.stated_by(teacher)
    copy = [FerImage(file, "Training", f"other {pixels}") for file, pixels in list(known.files.items())[lacking:]]
    monkeypatch.setattr(distillation, "fer_images", lambda _: copy)
    hashes = np.array([image.pixels for image in copy])
    selection = SimpleNamespace(training=SimpleNamespace(hashes=hashes, index=SimpleNamespace(paths=None)))
    with nullcontext() if not refused else pytest.raises(UsageError, match=f"trained on {refused} images"):
        distillation._check_sees_no_more(teacher, selection)
