"""Size and colour as the data has them: stored, read, trained on, analysed, predicted and exported."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images, prepare, write_small_fer
from PIL import Image
from running import EVALUATE, EXPORT_ONNX, PREDICT, Trained, call_script, copy_root, last_line, train

from emotorch.analyses.corruptions import CORRUPTIONS, corrupt
from emotorch.data import dataset, subsets, variants
from emotorch.data.cache import PixelCache
from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to, hash_pixels, read_picture, read_stored, resize
from emotorch.data.operations import OPERATIONS, augment
from emotorch.data.selection import DatasetIndex, ImageSet
from emotorch.datasets import RAF
from emotorch.errors import UsageError
from emotorch.files import STAMP_NAME, read_table, write_json
from emotorch.inference.onnx_reader import OnnxReader
from emotorch.inference.reader import open_reader
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_2, Paths
from emotorch.recipes import Augmentation
from emotorch.runs.folder import Run
from emotorch.training.augmentation import Draws, changes_colours, turn_colours
from emotorch.training.augmentation import augment as augment_batch
from emotorch.training.checkpoints import load_model
from emotorch.training.preprocessing import InputForm, to_input, to_tensor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

MODELS = "develop_baseline_model/models"
MOODS = ("happy", "neutral", "sad", "surprise")
# The inverse of luminance and the two axes of the colour plane.
TO_RGB = np.linalg.inv(np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]))


def tinted(grey: Pixels, angle: float) -> Pixels:
    """(H, W) as colours of that luminance, (H, W, 3), whose hue alone is given."""
    luminance = 70 + 0.4 * grey.astype(float)
    plane = np.broadcast_to([40 * np.cos(angle), 40 * np.sin(angle)], (*grey.shape, 2))
    return np.asarray(np.rint(np.dstack([luminance, plane]) @ TO_RGB.T), np.uint8)


def write_tints(paths: Paths, counts: Mapping[str, int]) -> None:
    """`Tints`: pictures of many sizes, of which only the hue tells the class, so many of each in given splits."""
    rng = np.random.default_rng(5)
    for split, count in counts.items():
        for place, mood in enumerate(MOODS):
            folder = paths.raw / "Tints" / split / mood
            folder.mkdir(parents=True)
            for number, face in enumerate(draw_images(count, seed=int(rng.integers(1 << 30)))):
                # Whole faces of any size train; those that test are squares, which no script searches for faces.
                size = tuple(rng.integers(40, 140, 2).tolist()) if split != "test" else (80, 80)
                grey = np.asarray(cv2.resize(face, size), np.uint8)
                Image.fromarray(tinted(grey, 2 * np.pi * place / len(MOODS))).save(folder / f"{number}.png")


def write_fine_rafdb(paths: Paths, count: int = 84) -> None:
    """RAF-DB of 100×100 colour pictures, whose finest lines 48 pixels cannot hold."""
    aligned, labels = paths.raw / "RAF-DB" / "Image" / "aligned", paths.raw / "RAF-DB" / "EmoLabel"
    aligned.mkdir(parents=True)
    labels.mkdir()
    rng = np.random.default_rng(8)
    lines = []
    for number, face in enumerate(draw_images(count, seed=9)):
        name = f"{'test' if number % 4 == 3 else 'train'}_{number:05d}"
        grey = np.asarray(cv2.resize(face, (100, 100)), np.uint8)
        grey[:, :: 3 + number % 2] //= 2
        tint = tinted(grey, float(rng.uniform(0, 6)))
        Image.fromarray(tint).save(aligned / f"{name}_aligned.jpg", quality=95)
        lines.append(f"{name}.jpg {1 + number // 4 % len(RAF.classes)}")
    (labels / "list_patition_label.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def colourful(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A root with FER-2013, RAF-DB in colour and tinted class folders after stages 1 and 2 for four moods and for
    seven classes; not to be changed."""
    paths = Paths(tmp_path_factory.mktemp("colourful"))
    write_small_fer(paths)
    write_fine_rafdb(paths)
    write_tints(paths, {"train": 24, "val": 8, "test": 4})
    prepare(paths, variants=False, faces="none")
    for scheme in ("mood4", "seven"):
        dataset.create(paths, get_scheme(scheme), workers=1, force=False, faces="none")
    return paths


def rows_of(paths: Paths, scheme: str) -> list[dict[str, str]]:
    text = (paths.for_scheme(scheme).originals / "manifest.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


# Stage 2.


def test_the_baseline_s_files_are_48_grey_as_published(colourful: Paths) -> None:
    for row in rows_of(colourful, "emotorch4"):
        assert list(row) == ["file", "dataset", "emotion", "source", "usage", "subject", "hash"]
        stored = read_stored(colourful.originals / row["file"])
        assert np.array_equal(stored, resize(read_picture(colourful.root / row["source"])))
        assert row["hash"] == hash_pixels(stored)


def test_other_schemes_keep_size_and_colour(colourful: Paths) -> None:
    folder = colourful.for_scheme("mood4").originals
    largest = 0
    for row in rows_of(colourful, "mood4"):
        stored, source = read_stored(folder / row["file"]), read_picture(colourful.root / row["source"], colour=True)
        (height, width), (source_height, source_width) = stored.shape[:2], source.shape[:2]
        assert (row["width"], row["height"]) == (str(width), str(height))
        assert row["channels"] == ("1" if row["dataset"] == "FER" else "3")
        assert row["stored_hash"] == hash_pixels(stored)
        largest = max(largest, height, width)
        if max(source.shape) <= 112:
            assert np.array_equal(stored, source)
        else:
            assert max(height, width) == 112
            assert (
                abs(min(height, width) - 112 * min(source_height, source_width) / max(source_height, source_width)) < 1
            )
    assert largest == 112


def test_an_image_has_one_hash_in_every_scheme_and_at_every_size(colourful: Paths, tmp_path: Path) -> None:
    """By it a run knows what it was trained on, whatever is stored of it now."""
    paths = copy_root(colourful, tmp_path / "root")
    before = {row["source"]: row["hash"] for row in rows_of(paths, "seven")}
    assert before.items() >= {row["source"]: row["hash"] for row in rows_of(paths, "mood4")}.items()
    assert before.items() >= {row["source"]: row["hash"] for row in rows_of(paths, "emotorch4")}.items()
    done = call_script(paths, STAGE_2, "--scheme", "seven", "--size", 60, "--faces", "none")
    assert done.returncode == 0
    assert "holds images with colour, of at most 112 pixels; it is made anew: with colour, of at most 60 pixels" in (
        done.stderr
    )
    assert {row["source"]: row["hash"] for row in rows_of(paths, "seven")} == before
    assert max(int(row["width"]) for row in rows_of(paths, "seven")) == 60
    again = call_script(paths, STAGE_2, "--scheme", "seven", "--size", 60, "--faces", "none")
    assert "up to date" in again.stdout
    assert "made anew" not in again.stderr


def test_fer2013_alone_is_stored_as_ever(paths: Paths) -> None:
    """No further column, and the same stamp: what is there of an earlier version is up to date."""
    write_small_fer(paths)
    prepare(paths, variants=False, faces="none")
    assert not dataset.create(paths, get_scheme("seven"), workers=1, force=False, faces="none").up_to_date
    assert list(rows_of(paths, "seven")[0])[-1] == "hash"
    stamp = json.loads((paths.for_scheme("seven").originals / STAMP_NAME).read_text())
    assert "size" not in stamp["made_from"]
    assert dataset.create(paths, get_scheme("seven"), workers=1, force=False, size=64, faces="none").up_to_date


def test_the_baseline_takes_no_size(paths: Paths) -> None:
    with pytest.raises(UsageError, match="--size: the files of scheme emotorch4 are 48×48 grey, as published"):
        dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False, size=96)


def test_a_colour_file_of_equal_channels_is_grey(tmp_path: Path) -> None:
    grey = draw_images(1, seed=2)[0]
    for file in (tmp_path / "a.png", tmp_path / "b.jpg"):
        Image.fromarray(np.dstack(3 * [grey])).save(file, quality=100)
        assert read_picture(file, colour=True).ndim == 2


def test_subsets_are_of_the_files_as_they_are_stored(colourful: Paths, tmp_path: Path) -> None:
    paths, seven = copy_root(colourful, tmp_path / "root"), get_scheme("seven")
    subsets.create(paths, seven, train_on="RAF", augmented=False, fer_usage="official", force=False)
    for part in ("train", "val", "test"):
        copies = list((paths.for_scheme("seven").subsets / "RAF" / part).rglob("*.png"))
        assert {read_stored(file).shape for file in copies} == {(100, 100, 3)}


# What a network reads.


def test_a_network_reads_what_is_stored_and_no_more_than_it_takes(colourful: Paths) -> None:
    index = DatasetIndex.load(colourful, get_scheme("seven"))
    assert index.form_for(96, 3, "RAF") == PixelForm(96, 3)
    assert index.form_for(64, 1, "RAF") == PixelForm(64, 1)
    assert index.form_for(224, 3, "RAF") == PixelForm(100, 3)
    assert index.form_for(32, 1, "RAF") == PixelForm(48, 1)  # as ever: the network's own input is shrunk from that
    assert index.form_for(224, 3, "Tints") == PixelForm(112, 3)
    for size in (32, 48, 64, 96):
        assert index.form_for(size, 3, "FER") == GREY_FACE


def test_more_pixels_hold_more_than_enlarged_48(colourful: Paths) -> None:
    index = DatasetIndex.load(colourful, get_scheme("seven"))
    images = index.originals_of("RAF")
    source = colourful.root / next(row["source"] for row in rows_of(colourful, "seven") if row["dataset"] == "RAF")
    coarse = to_tensor(images.read())
    for size in (64, 96):
        read = images.read(PixelForm(size))
        assert np.array_equal(read[0], resize(read_picture(source), size))
        fine, enlarged = (to_input(pixels, InputForm(size)) for pixels in (to_tensor(read), coarse))
        assert (fine - enlarged).abs().mean() > 0.01
        # The fine lines are there, where the enlarged picture has none.
        assert fine.diff(dim=3).abs().mean() > 1.5 * enlarged.diff(dim=3).abs().mean()


def test_each_form_has_a_cache_of_its_own(tmp_path: Path) -> None:
    """Pictures of any size and colour are brought to it; what is read again equals what was read first."""
    pictures = [draw_images(1, seed=1)[0], np.zeros((30, 70), np.uint8), tinted(draw_images(1, seed=3)[0], 2)]
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture).save(file)
    for form in (GREY_FACE, PixelForm(64), PixelForm(48, 3), PixelForm(96, 3)):
        cache = PixelCache(tmp_path / "cache", slots=9, dense=3, form=form)
        for _ in range(2):
            found = cache.share(files, np.arange(3))[:]
            assert found.shape == (3, *form.shape)
            for picture, pixels in zip(pictures, found, strict=True):
                assert np.array_equal(pixels, bring_to(picture, form))
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_grey_and_colour_are_brought_to_each_other() -> None:
    grey = draw_images(1, seed=4)[0]
    assert np.array_equal(bring_to(grey, PixelForm(48, 3)), np.dstack(3 * [grey]))
    colours = tinted(grey, 1)
    assert np.array_equal(bring_to(colours, GREY_FACE), np.asarray(Image.fromarray(colours).convert("L")))
    # A network of one channel beside images in colour: a teacher without colours.
    without = to_input(to_tensor(np.stack([bring_to(colours, GREY_FACE)])), InputForm())
    assert (to_input(to_tensor(colours[None]), InputForm()) - without).abs().max() < 1 / 255


def test_a_dataset_of_an_earlier_version_is_read_as_48_grey(colourful: Paths, tmp_path: Path) -> None:
    paths = copy_root(colourful, tmp_path / "root").for_scheme("seven")
    rows = rows_of(paths, "seven")
    columns = [name for name in rows[0] if name not in ("width", "height", "channels", "stored_hash")]
    lines = [",".join(row[name] for name in columns) for row in rows]
    (paths.originals / "manifest.csv").unlink()
    (paths.originals / "manifest.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    stamp = json.loads((paths.originals / STAMP_NAME).read_text())
    write_json(paths.originals / STAMP_NAME, {name: stamp[name] for name in ("made_from", "files")})
    for row in rows:
        file = paths.originals / row["file"]
        face = bring_to(read_stored(file), GREY_FACE)
        file.unlink()
        Image.fromarray(face).save(file)
    scheme = get_scheme("seven")
    index = DatasetIndex.load(paths, scheme)
    assert index.form_for(96, 3, "RAF") == GREY_FACE
    now = DatasetIndex.load(colourful, scheme)
    assert np.array_equal(index.hashes, now.hashes)
    assert np.array_equal(index.originals_of("RAF").read(), now.originals_of("RAF").read())
    files = [row["source"] for row in rows if row["dataset"] == "RAF"]
    assert np.array_equal(index.originals_of("RAF").read()[1], resize(read_picture(colourful.root / files[1])))


# Training.


TINTS = ("--recipe", "emotion_cnn", "--train-on", "Tints", "--set", "normalization=symmetric", "--epochs", 5)


@pytest.fixture(scope="session")
def in_colour(colourful: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`emotion_cnn` trained on colour files; not to be changed."""
    paths = copy_root(colourful, tmp_path_factory.mktemp("in_colour") / "root")
    return Trained(paths, train(paths, *TINTS))


@pytest.fixture(scope="session")
def at_96(colourful: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`shared_cnn` trained at 96×96 pixels on RAF-DB's files of 100×100; not to be changed."""
    paths = copy_root(colourful, tmp_path_factory.mktemp("at_96") / "root")
    recipe = ("--recipe", "shared_cnn", "--set", "network_config.image_size=96", "--set", "batch_size=8")
    return Trained(paths, train(paths, *recipe, "--train-on", "RAF"))


def test_hue_alone_is_learned_by_three_channels_and_not_by_one(in_colour: Trained) -> None:
    grey = train(in_colour.paths, *TINTS, "--set", "network_config.channels=1")
    accuracies = {}
    for channels, folder in ((3, in_colour.folder), (1, grey)):
        record = Run(folder).record
        assert record["dataset"]["pixels"] == {"size": 48, "channels": channels}
        accuracies[channels] = record["scores"]["tints"]["accuracy"]
    assert accuracies[3] > 90
    assert accuracies[1] < 60


def test_a_model_says_what_it_reads(in_colour: Trained, at_96: Trained) -> None:
    for trained, form in ((in_colour, PixelForm(48, 3)), (at_96, PixelForm(96, 1))):
        assert load_model(trained.folder / "model.pth").form.pixels == form


def test_an_audit_reads_a_model_of_ours_as_it_was_trained(in_colour: Trained) -> None:
    folder = in_colour.paths.raw / "Tints" / "test"
    done = call_script(in_colour.paths, f"{MODELS}/audit_model.py", in_colour.folder, folder, "--json")
    (found,) = json.loads(done.stdout)
    assert (found["reading"]["size"], found["reading"]["channels"]) == (48, 3)
    assert found["sets"][0]["protocols"][0]["accuracy"] > 0.9


def test_the_card_says_that_faces_are_read_in_colour(in_colour: Trained) -> None:
    assert call_script(in_colour.paths, f"{MODELS}/write_model_card.py", in_colour.folder).returncode == 0
    card = (in_colour.folder / "README.md").read_text()
    assert "| input | a face in colour, 48×48 pixels, 3 channels |" in card
    assert "brought to coloured pixels as its training images were" in card


def predicted(trained: Trained, picture: Path) -> dict[str, float]:
    done = call_script(trained.paths, PREDICT, picture, "--model", trained.folder, "--detector", "none", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)["faces"][0]["probabilities"]
    return found


@pytest.mark.parametrize("name", ["in_colour", "at_96"])
def test_evaluation_prediction_and_onnx_read_a_file_alike(name: str, in_colour: Trained, at_96: Trained) -> None:
    trained = at_96 if name == "at_96" else in_colour
    model = load_model(trained.folder / "model.pth")
    dataset_name, folder = ("RAF", "raf") if name == "at_96" else ("Tints", trained.paths.raw / "Tints" / "test")
    done = call_script(trained.paths, EVALUATE, trained.folder, folder)
    assert done.returncode == 0, done.stderr
    index = DatasetIndex.load(trained.paths, model.scheme)
    rows = np.flatnonzero((index.datasets == dataset_name) & (index.usages == "test"))
    picture = (
        trained.paths.root
        / {row["file"]: row["source"] for row in rows_of(trained.paths, model.scheme.name)}[index.files[rows[0]]]
    )
    if max(read_picture(picture).shape) <= 112:  # what is stored is the file itself
        pixels = to_tensor(index.originals(rows[:1]).read(model.form.pixels))
        with torch.no_grad():
            outputs = model.network(to_input(pixels, model.form))
        expected = torch.softmax(outputs / model.temperature, 1)[0].tolist()
        assert list(predicted(trained, picture).values()) == pytest.approx(expected, abs=1e-5)
    by_torch = predicted(trained, picture)
    last_line(call_script(trained.paths, EXPORT_ONNX, trained.folder))
    reader = open_reader(trained.folder / "model.onnx")
    assert isinstance(reader, OnnxReader)
    assert reader.form == model.form.pixels
    assert predicted(trained, picture) == pytest.approx(by_torch, abs=1e-4)
    (trained.folder / "model.onnx").unlink()


@pytest.mark.drawn
def test_every_analysis_takes_size_and_colour(in_colour: Trained) -> None:
    test = in_colour.paths.raw / "Tints" / "test"
    for script, options in {
        "measure_robustness.py": (in_colour.folder, test),
        "explain_model.py": (in_colour.folder, "--count", 4, "--rows", 4),
        "show_errors.py": (in_colour.folder,),
        "evaluate_cross_dataset.py": ("--models", in_colour.folder, "--datasets", "raf", test),
    }.items():
        done = call_script(in_colour.paths, f"{MODELS}/{script}", *options)
        assert done.returncode == 0, (script, done.stderr)
    # Read in the model's own size and colours here too: the score is that of the evaluation.
    rows = read_table(Path(last_line(done)) / "matrix.csv")
    evaluated = call_script(in_colour.paths, f"{MODELS}/evaluate_model.py", in_colour.folder, "raf")
    accuracy = next(row["accuracy"] for row in rows if row["dataset"] == "raf")
    assert f"accuracy {float(accuracy):.2f}%" in evaluated.stdout
    for picture in ("robustness/corruptions.png", "explanations/explanations.png", "validation_samples_tints.png"):
        # Red, green and blue differ: the faces are shown as they are read.
        assert np.ptp(cv2.imread(str(in_colour.folder / picture)).astype(int), axis=2).max() > 60


def test_variants_keep_size_and_colour(paths: Paths) -> None:
    write_small_fer(paths, rows=28, twins=2)
    write_tints(paths, {"train": 1})
    prepare(paths, variants=False, faces="none")
    dataset.create(paths, get_scheme("mood4"), workers=1, force=False, faces="none")
    variants.create(paths.for_scheme("mood4"), seed=42, workers=1, force=False)
    index = DatasetIndex.load(paths, get_scheme("mood4"))
    place = int(np.flatnonzero(index.datasets == "Tints")[3])
    original = read_stored(index.paths.originals / index.files[place])
    operations = np.arange(1, 1 + len(OPERATIONS))
    read = ImageSet(index, np.full_like(operations, place), operations)
    pixels = read.read(PixelForm(64, 3))
    for number, name in enumerate(OPERATIONS):
        changed = augment(original, str(index.hashes[place]), name, 42)
        assert np.array_equal(read_stored(paths.root / read.files[number]), changed), name
        assert np.array_equal(pixels[number], bring_to(changed, PixelForm(64, 3))), name


def test_saturation_and_hue_leave_the_luminance_and_grey_images_alone() -> None:
    colours = to_tensor(np.stack([tinted(face, angle) for angle, face in enumerate(draw_images(6, seed=5))]))
    turned = turn_colours(colours.float(), torch.tensor(6 * [0.8]), torch.linspace(-0.2, 0.2, 6))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert ((turned - colours) * weights).sum(1).abs().max() < 1
    assert (turned - colours).abs().mean() > 5
    policy = Augmentation(flip=0.5, rotation=10, brightness=0.2, occlusion=0.5)
    with_colours = Augmentation(flip=0.5, rotation=10, brightness=0.2, occlusion=0.5, saturation=0.4, hue=0.1)
    greys = to_tensor(draw_images(6, seed=6))
    assert not changes_colours(with_colours, greys.shape)
    plain, coloured = Draws.of(policy, colours.shape, 1), Draws.of(with_colours, colours.shape, 1)
    assert torch.equal(
        augment_batch(greys, with_colours, Draws.of(with_colours, greys.shape, 1)), augment_batch(greys, policy, plain)
    )
    changed = augment_batch(colours, with_colours, coloured)
    assert changed.shape == colours.shape
    assert (changed - augment_batch(colours, policy, plain)).abs().mean() > 2


# Operations and corruptions.

SHAPES = ((48, 48), (96, 96), (112, 60), (30, 112), (17, 17), (5, 100), (3, 3), (1, 1))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_any_size_and_colour(name: str) -> None:
    for shape in SHAPES:
        grey = np.asarray(cv2.resize(draw_images(1, seed=7)[0], shape[::-1]), np.uint8)
        for image in (grey, tinted(grey, 1)):
            before = image.copy()
            for seed in range(3):
                changed = augment(image, "source", name, seed)
                assert (changed.shape, changed.dtype) == (image.shape, np.uint8), shape
                assert np.array_equal(changed, augment(image, "source", name, seed)), shape
            assert np.array_equal(image, before), shape


@pytest.mark.parametrize("name", ["rotation", "zoom_out", "shear", "blur", "motion_left", "hair", "dark", "elastic"])
def test_an_operation_looks_alike_at_any_size(name: str) -> None:
    face = draw_images(1, seed=11)[0]
    large = np.asarray(cv2.resize(face, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8)
    small, shrunk = augment(face, "ab", name, 3), resize(augment(large, "ab", name, 3))
    assert np.abs(small.astype(int) - shrunk).mean() < 4


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_treats_colours_as_it_treats_grey(name: str) -> None:
    grey = resize(draw_images(1, seed=12)[0], 96)
    for image in (grey, np.dstack(3 * [grey]), tinted(grey, 2)):
        changed = corrupt(image[None], ["source"], name, 3)
        assert changed.shape == (1, *image.shape)
        assert not np.array_equal(changed[0], image)
    if name != "noise":  # of which every channel has its own
        of_grey = corrupt(grey[None], ["source"], name, 3)[0].astype(int)
        of_colour = corrupt(np.dstack(3 * [grey])[None], ["source"], name, 3)[0]
        assert np.abs(of_colour - of_grey[:, :, None]).max() <= 2
