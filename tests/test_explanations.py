import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images, tree
from drawing import assert_legible, texts
from published import LABELS, published_state
from running import MODELS, Trained, call_script, error_line, last_line, read_table
from scipy import stats
from torch import Tensor, nn

from emotorch.analyses import explanations
from emotorch.analyses.explained_faces import choose
from emotorch.analyses.explanations import ANALYSIS, explain
from emotorch.analyses.importance_maps import METHODS, attributions, evidence, find_map_layer, importance_maps
from emotorch.analyses.map_checks import (
    DELETION_STEPS,
    RANDOMISED_NETWORKS,
    deletion_curves,
    randomised,
    rank_correlations,
)
from emotorch.data.images import hash_pixels
from emotorch.evaluation.evaluate import Evaluation, Predictions
from emotorch.evaluation.sets import EvaluationSet
from emotorch.figures.overlays import mosaic_figure, overlay
from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.training.checkpoints import Model
from emotorch.training.preprocessing import InputForm, WithPreprocessing, to_input

pytestmark = pytest.mark.slow

EXPLAIN = f"{MODELS}/explain_model.py"
CPU = torch.device("cpu")
PATCH = slice(12, 22), slice(26, 36)


def baseline() -> nn.Module:
    """The published network, whose ReLUs work in place and one of which is on the outputs; all outputs are alive."""
    network = EmoTorchCNN(48, 1, 4)
    network.load_state_dict(published_state()["model_state_dict"])
    return network.eval()


def one_map(network: nn.Module, form: InputForm, pixels: np.ndarray, targets: np.ndarray, method: str) -> np.ndarray:
    """What `importance_maps` gives for one method, without the time of the others."""
    attribute = attributions(WithPreprocessing(network, form), find_map_layer(network, form)[1])
    greys = torch.from_numpy(pixels).unsqueeze(1).to(next(network.parameters()).dtype)
    means = greys.mean((2, 3), keepdim=True).round().expand_as(greys)
    found = attribute[method](greys.clone().requires_grad_(), means, torch.from_numpy(targets))
    return found.detach().squeeze(1).numpy()


def score(network: nn.Module, grey: np.ndarray, form: InputForm, target: int) -> float:
    with torch.no_grad():
        return float(network(to_input(torch.from_numpy(grey[None, None]), form))[0, target])


class Bright(nn.Module):
    """Its first output is the mean brightness, seen through a convolution and a ReLU in place; the second is 0.2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        nn.init.dirac_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, images: Tensor) -> Tensor:
        brightness = nn.functional.relu_(self.conv(images)).mean((2, 3))
        return torch.cat((10 * brightness, torch.full_like(brightness, 0.2)), 1)


class Window(Bright):
    """The same, of a small window only."""

    def forward(self, images: Tensor) -> Tensor:
        seen = torch.zeros_like(images)
        seen[:, :, PATCH[0], PATCH[1]] = 40
        return super().forward(images * seen)


def patch_model(network: nn.Module) -> Model:
    return Model(network.eval(), get_scheme("emotorch4"), InputForm())


def patches(count: int = 3) -> np.ndarray:
    """Black pictures with a bright patch."""
    pixels = np.zeros((count, 48, 48), np.uint8)
    pixels[:, *PATCH] = 200 + 10 * np.arange(count)[:, None, None]
    return pixels


def faces(pixels: np.ndarray) -> explanations.Faces:
    return explanations.Faces("synthetic", [f"{number}.png" for number in range(len(pixels))], pixels, None, [])


# --- Maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [InputForm(), InputForm(mean=(0.1,), std=(0.9,))])
def test_gradients_are_those_of_finite_differences(form: InputForm) -> None:
    network = baseline().double()
    pixels, targets = draw_images(3, seed=1), np.array([0, 2, 3])
    maps = one_map(network, form, pixels, targets, "saliency")
    drawing = np.random.default_rng(2)
    for image, target, found in zip(pixels.astype(float), targets.tolist(), maps, strict=True):
        assert found.max() > 0
        for row, column in drawing.integers(48, size=(20, 2)):
            step = np.zeros((48, 48))
            step[row, column] = 1e-5
            slope = (score(network, image + step, form, target) - score(network, image - step, form, target)) / 2e-5
            assert found[row, column] == pytest.approx(abs(slope), rel=1e-4, abs=1e-9)


def test_integrated_gradients_add_up_to_what_the_picture_adds_to_the_score() -> None:
    network, form = baseline(), InputForm()
    pixels, targets = draw_images(6, seed=3), np.array([0, 1, 2, 3, 0, 1])
    maps = one_map(network, form, pixels, targets, "integrated_gradients")
    gains = []
    for image, target in zip(pixels.astype(np.float32), targets.tolist(), strict=True):
        grey = np.full_like(image, round(float(image.mean())))
        gains.append(score(network, image, form, target) - score(network, grey, form, target))
    assert np.ptp(gains) > 0.5
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), gains, atol=0.02 * np.ptp(gains))


def test_occlusion_is_the_loss_of_the_windows_that_cover_a_pixel() -> None:
    network, form = baseline(), InputForm()
    pixels = draw_images(1, seed=4)
    found = one_map(network, form, pixels, np.array([1]), "occlusion")
    image = pixels[0].astype(np.float32)
    covered = image.copy()
    covered[:8, :8] = round(float(image.mean()))
    # The corner is in one window alone.
    assert found[0, 0, 0] == pytest.approx(score(network, image, form, 1) - score(network, covered, form, 1), abs=1e-5)


def test_every_method_finds_the_patch_that_the_network_predicts_by() -> None:
    pixels = patches()
    maps = importance_maps(Bright().eval(), InputForm(), pixels, np.zeros(3, int), seed=0)
    assert list(maps) == list(METHODS)
    maps |= importance_maps(Window().eval(), InputForm(), pixels, np.zeros(3, int), seed=0) | {
        "grad_cam": maps["grad_cam"]
    }
    for name, found in maps.items():
        importance = evidence(found)
        assert importance.min() >= 0
        assert importance.max() == 1
        around = slice(PATCH[0].start - 8, PATCH[0].stop + 8), slice(PATCH[1].start - 8, PATCH[1].stop + 8)
        assert importance[:, *around].sum() > 0.85 * importance.sum(), name
        assert importance[:, *PATCH].mean() > 0.8, name


def test_maps_are_the_same_again_and_leave_the_network_and_the_random_numbers_alone() -> None:
    network, pixels, targets = baseline(), draw_images(3, seed=6), np.array([0, 1, 2])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    first = importance_maps(network, InputForm(), pixels, targets, seed=0)
    assert torch.rand(1) == expected
    again = importance_maps(network, InputForm(), pixels, targets, seed=0)
    other = importance_maps(network, InputForm(), pixels, targets, seed=1)
    in_threads = importance_maps(network, InputForm(), pixels, targets, seed=0, threads=3)
    for name, found in first.items():
        assert np.array_equal(found, again[name])
        assert np.array_equal(found, in_threads[name])
        assert np.array_equal(found, other[name]) == (name != "smoothgrad")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_flat_map_stays_flat() -> None:
    assert not evidence(np.zeros((2, 48, 48), np.float32)).any()
    spot = np.zeros((1, 48, 48), np.float32)
    spot[0, 3, 3] = 7
    assert evidence(spot)[0, 3, 3] == evidence(spot).sum() == 1


@pytest.mark.parametrize(
    ("name", "config", "layer"),
    [
        ("emotorch_cnn", {"image_size": 48, "channels": 1}, "conv4"),
        ("emotion_cnn", {"image_size": 48, "channels": 3}, "conv2"),
        ("emotion_classifier", {"image_size": 48, "channels": 1}, None),
        ("shared_cnn", {"image_size": 64, "channels": 1}, None),
        ("compact", {"image_size": 48, "channels": 1}, "blocks"),
        ("resnet50v2_cbam", {"image_size": 96, "channels": 3}, "attention"),
        ("timm:resnet10t", {"image_size": 64, "channels": 3, "attention": False}, "backbone"),
        ("timm:mobilenetv3_small_050", {"image_size": 64, "channels": 1, "attention": False}, "backbone"),
        ("timm:convnext_atto", {"image_size": 64, "channels": 3, "attention": False}, "backbone"),
    ],
)
def test_every_network_has_all_five_maps(name: str, config: dict[str, int], layer: str | None) -> None:
    torch.manual_seed(0)
    network = create_network(name, {**config, "num_classes": 4}).eval()
    form = InputForm(image_size=config["image_size"], channels=config["channels"])
    found = find_map_layer(network, form)
    assert found is not None
    assert layer in (None, found[0])
    pixels = draw_images(2, seed=7)
    for method in ("saliency", "grad_cam"):
        found = one_map(network, form, pixels, np.array([0, 1]), method)
        assert found.shape == (2, 48, 48)
        assert np.isfinite(found).all()


def test_a_network_that_only_cuts_patches_has_no_grad_cam() -> None:
    config = {"image_size": 48, "channels": 3, "num_classes": 4, "attention": False}
    network = create_network("timm:test_vit", config).eval()
    form = InputForm(channels=3)
    assert find_map_layer(network, form) is None
    maps = importance_maps(network, form, draw_images(1, seed=8), np.array([2]), seed=0)
    assert list(maps) == [name for name in METHODS if name != "grad_cam"]


# --- Checks -------------------------------------------------------------------------------------------------


def test_deletion_starts_at_the_prediction_s_probability_and_falls_fastest_by_the_true_order() -> None:
    model, pixels, classes = patch_model(Window()), patches(), np.zeros(3, int)
    first = np.zeros((48, 48))
    first[PATCH] = 1
    best, worst = (np.tile(np.argsort(order.ravel(), kind="stable"), (3, 1)) for order in (-first, first))
    falling, holding = (deletion_curves(model, pixels, classes, order) for order in (best, worst))
    assert falling.shape == (3, DELETION_STEPS + 1)
    form = model.form
    for curve, image in zip(falling, pixels, strict=True):
        for end, shown in ((curve[0], image), (curve[-1], np.full_like(image, round(float(image.mean()))))):
            outputs = model.network(to_input(torch.from_numpy(shown[None, None]), form)).detach()
            assert end == pytest.approx(float(torch.softmax(outputs, 1)[0, 0]), abs=1e-6)
    np.testing.assert_array_equal(falling[:, [0, -1]], holding[:, [0, -1]])
    assert (falling[:, 2] < holding[:, 2] - 0.1).all()


def test_checks_tell_maps_that_mean_something() -> None:
    found = explain(patch_model(Window()), faces(patches(4)), CPU, seed=0)
    checks = found.checks["integrated_gradients"]
    assert checks.images == 4
    assert checks.below_random == 1
    assert checks.deletion < checks.random
    curve = found.curves["integrated_gradients"]
    assert checks.deletion == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, len(curve))))
    assert curve[0] == pytest.approx(found.confidences.mean())


def test_a_picture_without_a_prediction_is_counted_not_averaged() -> None:
    pixels = np.concatenate([patches(2), np.full((1, 48, 48), 90, np.uint8)])
    found = explain(patch_model(baseline()), faces(pixels), CPU, seed=0)
    assert found.checks["integrated_gradients"].images == 2
    assert np.isfinite(found.checks["integrated_gradients"].correlation)
    assert found.checks["integrated_gradients"].undetermined == RANDOMISED_NETWORKS


def test_rank_correlations_are_spearman_s() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 3, 48, 48)).astype(np.float32).round(1)
    second[0] = -first[0]
    second[2] = 1
    found = rank_correlations(first, second)
    assert found[0] == pytest.approx(-1)
    assert found[1] == pytest.approx(stats.spearmanr(first[1].ravel(), second[1].ravel()).statistic)
    assert np.isnan(found[2])


@pytest.mark.parametrize("name", ["emotorch_cnn", "compact", "timm:test_vit"])
def test_a_randomised_network_keeps_no_weight(name: str) -> None:
    network = create_network(name, {"image_size": 48, "channels": 1, "num_classes": 4})
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.randn(weights.shape))
    before = {key: value.clone() for key, value in network.named_parameters()}
    found, again, other = (randomised(network, 0, number) for number in (0, 0, 1))
    for key, value in found.named_parameters():
        assert not torch.equal(value, before[key]) or value.numel() == 1, key
        assert torch.equal(value, again.get_parameter(key))
    assert any(not torch.equal(value, other.get_parameter(key)) for key, value in found.named_parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.named_parameters())


# --- The faces ----------------------------------------------------------------------------------------------


def some_held_out(order: np.ndarray) -> Evaluation:
    pixels, labels = draw_images(30, seed=11)[order], np.array([0] * 15 + [1] * 9 + [2] * 4 + [3] * 2)[order]
    hashes = np.array([hash_pixels(image) for image in pixels])
    images = EvaluationSet("fer", [f"{place}.png" for place in order], pixels, labels, hashes)
    return Evaluation(
        images, Predictions(labels, np.ones(30, np.float32), np.zeros((4, 4), int), torch.zeros(30, 4)), "t", []
    )


def test_the_choice_is_balanced_from_its_start_and_the_same_for_any_order_of_the_list() -> None:
    plain = some_held_out(np.arange(30))
    chosen = choose(plain, LABELS, 12, seed=0)
    assert chosen.truths[:4] == list(LABELS)
    assert Counter(chosen.truths) == {"anger": 4, "fear": 3, "calm": 3, "surprise": 2}
    shuffled = choose(some_held_out(np.random.default_rng(0).permutation(30)), LABELS, 12, seed=0)
    assert chosen.files == shuffled.files
    assert chosen.fingerprint == shuffled.fingerprint
    assert chosen.files != choose(plain, LABELS, 12, seed=1).files
    assert sorted(choose(plain, LABELS, 99, seed=0).files) == sorted(plain.images.files)


# --- Pictures -----------------------------------------------------------------------------------------------


def test_an_overlay_shows_the_face_where_the_map_is_empty_and_both_elsewhere() -> None:
    grey = np.linspace(0, 255, 48 * 48).reshape(48, 48)
    bare = overlay(grey, np.zeros((48, 48), np.float32))
    assert np.ptp(bare, axis=2).max() == 0
    assert (np.diff(bare[..., 0].ravel()) > 0).all()
    covered = overlay(grey, np.ones((48, 48), np.float32))
    assert np.ptp(covered, axis=2).min() > 0.2
    assert covered[-1, -1].sum() > covered[0, 0].sum()
    assert covered.min() >= 0
    assert covered.max() <= 1


def test_sheets_are_legible() -> None:
    names = [name.replace(" ", "\n") for name in METHODS.values()]
    captions = [f"true: surprise\n✗ predicted: {label} 100%" for label in LABELS]
    figure = mosaic_figure(np.zeros((4, 6, 48, 48, 3)), captions, ["face", *names], "A title", "Importance")
    assert_legible(figure)
    assert {"A title", "Importance", *captions, *names} <= set(texts(figure))


# --- The script ---------------------------------------------------------------------------------------------


def test_held_out_images_are_explained_once_and_the_same_again(lively: Trained) -> None:
    def call(*options: object) -> tuple[str, Path]:
        done = call_script(
            lively.paths, EXPLAIN, lively.folder.name, "--count", 4, "--rows", 3, "--threads", 1, *options
        )
        return done.stdout, Path(last_line(done))

    printed, folder = call()
    assert folder == lively.folder / "explanations"
    assert {path.name for path in folder.iterdir()} == {
        "explanations.png",
        "mean_maps.png",
        "checks.png",
        "images.csv",
        "checks.csv",
        "deletion_curves.csv",
        "findings.json",
        "stage.json",
    }
    images = read_table(folder / "images.csv")
    assert Counter(row["truth"] for row in images) == dict.fromkeys(LABELS, 1)
    usage = {row["image_path"]: row["usage"] for row in read_table(lively.folder / "image_usage.csv")}
    assert {usage[row["image"]] for row in images} == {"fer_validation"}
    findings = json.loads((folder / "findings.json").read_text())
    assert "\n".join(findings["lines"]) in printed
    old = {**findings, "lines": [*findings["lines"], "", "a table of earlier versions"]}
    assert ANALYSIS.text(old) == ANALYSIS.text(findings)
    assert list(findings["checks"]) == list(findings["methods"]) == list(METHODS)
    assert all((folder / name).is_file() for kind in ("pictures", "tables") for name in findings[kind].values())
    assert Counter(row["prediction"] for row in images) == {
        label: looks["images"] for label, looks in findings["predictions"].items() if looks["images"]
    }
    for looks in findings["predictions"].values():
        assert all(thirds is None or sum(thirds) == pytest.approx(1) for thirds in looks["thirds"].values())
    for row in read_table(folder / "checks.csv"):
        stated = findings["checks"][row["method"]]["deletion"]
        assert row["deletion"] == ("NaN" if stated is None else f"{stated:.6f}")
    written = tree(folder)
    made = (folder / "stage.json").stat().st_mtime_ns
    assert call() == (printed, folder)
    assert (folder / "stage.json").stat().st_mtime_ns == made
    assert call("--force") == (printed, folder)
    assert tree(folder) == written
    assert (folder / "stage.json").stat().st_mtime_ns != made


def test_named_pictures_get_a_folder_of_their_own(lively: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for number, image in enumerate(draw_images(3, seed=12)):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    done = call_script(lively.paths, EXPLAIN, lively.folder.name, folder, "--threads", 1)
    explained = Path(last_line(done))
    assert explained.parent == lively.folder
    assert explained.name.startswith("explanations_of_")
    assert [Path(row["image"]).name for row in read_table(explained / "images.csv")] == ["0.png", "1.png", "2.png"]
    assert json.loads((explained / "findings.json").read_text())["sheet_rows"] == 3
    assert not (lively.folder / "explanations").exists()


def test_a_picture_without_a_face_is_reported_and_the_others_are_explained(lively: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.zeros((200, 200), np.uint8))
    (folder / "2.png").write_bytes(b"no picture")
    for name, pixels in zip(("0.png", "3.png"), draw_images(2, seed=5), strict=True):
        cv2.imwrite(str(folder / name), pixels)
    done = call_script(lively.paths, EXPLAIN, lively.folder.name, folder)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.partition(".png: ")[0] for line in errors] == [f"error: {folder / name}" for name in "12"]
    assert "faces: 2 faces, 2 files without one" in done.stdout
    explained = Path(done.stdout.splitlines()[-1])
    assert [Path(row["image"]).name for row in read_table(explained / "images.csv")] == ["0.png", "3.png"]
    line = error_line(call_script(lively.paths, EXPLAIN, lively.folder.name, folder / "1.png", folder / "2.png"))
    assert "1.png: no face found" in line
    assert line.endswith("(and 1 more without a face)")


def test_what_cannot_be_explained_is_named_and_leaves_nothing_behind(lively: Trained, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((200, 200), np.uint8))
    before = {path.name for path in lively.folder.iterdir()}
    for name, words in ((blank, "no face found"), (tmp_path / "none.png", "no such file"), ("a.mp4", "no such file")):
        line = error_line(call_script(lively.paths, EXPLAIN, lively.folder.name, name))
        assert str(name) in line
        assert words in line
    both = call_script(lively.paths, EXPLAIN, lively.folder.name, blank, "--dataset", "fer")
    assert "not both" in error_line(both, status=2)
    assert {path.name for path in lively.folder.iterdir()} == before
