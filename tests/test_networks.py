import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from conftest import refusal
from safetensors.torch import save_file
from torch import Tensor, nn

from emotorch.errors import EmoTorchError
from emotorch.networks import NETWORKS, create_network, get_architecture
from emotorch.networks.backbone import BackboneClassifier
from emotorch.networks.blocks import CBAM
from emotorch.networks.compact import CompactNet, ResidualBlock
from emotorch.networks.emotion_classifier import EmotionClassifier
from emotorch.networks.emotion_cnn import EmotionCNN
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.networks.pretrained import layers_of, start_from
from emotorch.networks.registry import register
from emotorch.networks.shared_cnn import SharedCNN

BASELINE = {"image_size": 48, "channels": 1, "num_classes": 4, "filters": 10, "kernel_size": 4}
REQUIRED = {"image_size": 48, "channels": 1, "num_classes": 4}


def pixels(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", [*NETWORKS, "timm:test_resnet"])
def test_every_network_is_what_it_declares(name: str) -> None:
    """In training, where batch norm and dropout let images of a batch meet and chance decide."""
    torch.manual_seed(0)
    declared, network = get_architecture(name), create_network(name, REQUIRED)
    images = pixels(6, 1, 48)
    torch.manual_seed(1)
    outputs = network(images)
    assert outputs.shape == (6, 4)
    torch.manual_seed(2)
    apart = torch.cat([network(images[:4]), network(images[4:])])
    assert torch.allclose(outputs, apart, atol=1e-6) is declared.images_independent
    if declared.any_size:
        assert all(network(pixels(2, 1, size)).shape == (2, 4) for size in (24, 33, 64))
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", [*NETWORKS, "timm:test_resnet"])
def test_a_key_that_every_network_requires_is_named_where_it_is_missing(name: str) -> None:
    for key in REQUIRED:
        config = {other: value for other, value in REQUIRED.items() if other != key}
        with refusal(f"the configuration of network {name} has no {key}, which it requires"):
            create_network(name, config)


def test_two_networks_never_share_a_name() -> None:
    with pytest.raises(ValueError, match="two networks are called 'compact'"):
        register("compact")(CompactNet)
    assert NETWORKS["compact"].build is CompactNet


def test_baseline_has_the_published_size_and_keys() -> None:
    network = create_network("emotorch_cnn", BASELINE)
    assert parameters(network) == 6964
    layers = ("conv1", "conv2", "conv3", "conv4", "fc")
    assert list(network.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_outputs_are_those_of_the_published_layers() -> None:
    torch.manual_seed(3)
    network = EmoTorchCNN(48, 1, 4)
    published = nn.Sequential(
        *(network.conv1, nn.ReLU(), network.conv2, nn.ReLU(), nn.MaxPool2d(2)),
        *(network.conv3, nn.ReLU(), network.conv4, nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), network.fc, nn.ReLU()),
    )
    images = pixels(8, 1, 48)
    assert torch.equal(network(images), published(images))


@pytest.mark.parametrize(("size", "channels", "classes"), [(48, 1, 4), (22, 1, 2), (64, 3, 7), (97, 1, 4)])
def test_outputs_have_a_value_of_at_least_0_per_class(size: int, channels: int, classes: int) -> None:
    network = create_network("emotorch_cnn", {"image_size": size, "channels": channels, "num_classes": classes})
    outputs = network(pixels(5, channels, size) - 0.5)
    assert outputs.shape == (5, classes)
    assert (outputs >= 0).all()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("emotorch_cnn", {"image_size": 21}, "an image of 21 pixels is too small"),
        ("emotorch_cnn", {"kernel_size": 13}, "too small for kernels of 13"),
        (
            "emotorch_cnn",
            {"depth": 3},
            "network emotorch_cnn takes no 'depth' in its configuration; it takes image_size",
        ),
        ("emotorch_cnn", {"filter": 3}, "takes no 'filter' in its configuration; did you mean filters?"),
        ("emotorch_cnn", {"filters": -1}, "configuration"),
        ("emotorch_cnn", {"filters": "ten"}, "configuration"),
        ("emotorch_cnn", {"kernel_size": 0}, "configuration"),
        ("emotorch_cnn", {"num_classes": 10**15}, "configuration"),
        ("resnet", {}, f"unknown network 'resnet': known are {', '.join(NETWORKS)}, and timm:NAME"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(EmoTorchError) as caught:
        create_network(name, {**BASELINE, **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("emotion_cnn", {"image_size": 1}, "an image of 1 pixels is too small"),
        ("emotion_cnn", {"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ("emotion_classifier", {"image_size": 15}, "an image of 15 pixels is too small"),
        ("emotion_classifier", {"dropout": 1.5}, "dropout"),
        ("shared_cnn", {"image_size": 15}, "an image of 15 pixels is too small"),
        ("compact", {"image_size": 15}, "an image of 15 pixels is too small"),
        ("shared_cnn", {"channels": 0}, "channels must be at least 1, not 0"),
        ("resnet50v2_cbam", {"hidden": 0}, "hidden must be at least 1, not 0"),
        ("resnet50v2_cbam", {"backbone": "resnet18"}, "takes no 'backbone'"),
        ("timm:resnet_18", {}, "timm has no model 'resnet_18'; did you mean resnet18"),
        ("timm:hf-hub:timm/resnet18", {}, "timm has no model 'hf-hub:timm/resnet18'"),
        ("timm:vit_tiny_patch16_224", {"image_size": 8}, "configuration"),
        ("timm:inception_next_atto", {"image_size": 48}, "Cannot disable pooling"),
        ("timm:efficientvim_m1", {"image_size": 96}, "efficientvim_m1 gives no feature map, but list"),
    ],
)
def test_other_systems_refuse_what_does_not_fit_them(name: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(EmoTorchError) as caught:
        create_network(name, {**REQUIRED, **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_published_numbers_of_parameters() -> None:
    emotion_cnn = {"image_size": 48, "channels": 3, "num_classes": 4}
    assert parameters(create_network("emotion_cnn", emotion_cnn)) == 595_076
    smaller = create_network("emotion_cnn", {**emotion_cnn, "width": 8, "hidden": 16})
    assert parameters(smaller) == (27 + 1) * 8 + (72 + 1) * 16 + (16 * 24**2 + 1) * 16 + (16 + 1) * 4
    config = {"image_size": 48, "channels": 1, "num_classes": 7, "dropout": 0.5}
    assert parameters(create_network("emotion_classifier", config)) == 1_572_551


@pytest.mark.parametrize("size", [16, 64, 96])
def test_shared_cnn_has_the_same_parameters_for_images_of_any_size(size: int) -> None:
    network = create_network("shared_cnn", {"image_size": size, "channels": 1, "num_classes": 7, "dropout": 0.5})
    convolutions = (9 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + (9 * 128 + 1) * 256
    assert parameters(network) == convolutions + 2 * (32 + 64 + 128 + 256) + (256 + 1) * 7 == 390_599
    assert network(pixels(2, 1, size)).shape == (2, 7)


@pytest.mark.parametrize("name", ["emotion_cnn", "emotion_classifier", "shared_cnn"])
@pytest.mark.parametrize(("size", "channels", "classes"), [(48, 1, 4), (33, 3, 7)])
def test_other_systems_give_a_logit_per_class(name: str, size: int, channels: int, classes: int) -> None:
    torch.manual_seed(0)
    network = create_network(name, {"image_size": size, "channels": channels, "num_classes": classes})
    outputs = network(pixels(16, channels, size) - 0.5)
    assert outputs.shape == (16, classes)
    assert (outputs < 0).any()
    assert (outputs > 0).any()


def plain_blocks(blocks: nn.Sequential) -> list[nn.Module]:
    plain: list[nn.Module] = []
    for block in blocks:
        plain += [block.conv, block.norm, nn.ReLU(), nn.MaxPool2d(2)]
    return plain


def published_layers(network: nn.Module) -> nn.Sequential:
    """The layers in the order of the source's README, with the network's own weights."""
    if isinstance(network, EmotionCNN):
        convolutions = (network.conv1, nn.LeakyReLU(0.1), network.conv2, nn.LeakyReLU(0.1), nn.MaxPool2d(2))
        return nn.Sequential(*convolutions, nn.Flatten(), network.fc1, nn.LeakyReLU(0.1), network.fc2)
    if isinstance(network, EmotionClassifier):
        head = (nn.Flatten(), network.fc1, nn.ReLU(), network.dropout, network.fc2)
        return nn.Sequential(*plain_blocks(network.blocks), *head)
    assert isinstance(network, SharedCNN)
    pooling = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*plain_blocks(network.blocks), *pooling, network.dropout, network.fc)


@pytest.mark.parametrize("name", ["emotion_cnn", "emotion_classifier", "shared_cnn"])
def test_other_systems_compute_what_the_published_layers_do(name: str) -> None:
    """In training: the same outputs, the same gradients, the same statistics."""
    torch.manual_seed(5)
    ours = create_network(name, {"image_size": 48, "channels": 3, "num_classes": 7})
    theirs = copy.deepcopy(ours)
    results = []
    for network in (ours, published_layers(theirs)):
        torch.manual_seed(6)  # of dropout
        outputs = network(pixels(8, 3, 48))
        outputs.square().sum().backward()
        results.append(outputs)
    assert torch.equal(*results)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(mine, other)


def test_emotion_cnn_starts_with_kaiming_weights() -> None:
    torch.manual_seed(0)
    network = EmotionCNN(48, 3, 4)
    for layer, inputs in ((network.conv2, 16 * 9), (network.fc1, 32 * 24 * 24)):
        assert layer.weight.std().item() == pytest.approx((2 / (1 + 0.1**2) / inputs) ** 0.5, rel=0.05)
        assert layer.bias is not None
        assert not layer.bias.any()


def test_weights_follow_from_the_seed_alone() -> None:
    def state() -> dict[str, Tensor]:
        torch.manual_seed(7)
        return create_network("timm:resnet10t", {"image_size": 32, "channels": 1, "num_classes": 3}).state_dict()

    first, second = state(), state()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["backbone.bn1.num_batches_tracked"] == 0  # the trial that finds the layout leaves no trace


def test_cbam_weighs_channels_and_then_places() -> None:
    torch.manual_seed(0)
    module = CBAM(32)
    x = torch.randn(2, 32, 6, 6)
    outputs = module(x)
    weighed = x * module.channel(x)
    assert outputs.shape == x.shape
    assert (outputs.abs() <= x.abs()).all()
    assert torch.equal(outputs.sign(), x.sign())
    # One weight per channel, whatever the place; then one per place, whatever the channel.
    by_place = outputs / weighed
    torch.testing.assert_close(by_place, by_place[:, :1].expand_as(by_place), rtol=1e-4, atol=1e-5)
    assert by_place[0, 0].std() > 0
    assert module.channel(x).shape == (2, 32, 1, 1)
    assert module.channel(x)[0].std() > 0
    assert parameters(module) == 2 * 32 * 2 + 2 * 7 * 7


def test_cbam_of_no_information_halves_twice() -> None:
    module = CBAM(4)  # fewer channels than the reduction
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(module(x), x / 4)


def test_cbam_is_that_of_the_paper() -> None:
    torch.manual_seed(1)
    module = CBAM(32)
    x = torch.randn(1, 32, 4, 4)
    down, up = module.channel.mlp[0].weight, module.channel.mlp[2].weight
    average, maximum = x.flatten(2).mean(2)[0], x.flatten(2).max(2).values[0]
    channel = torch.sigmoid(up @ torch.relu(down @ average) + up @ torch.relu(down @ maximum))
    x1 = x * channel[None, :, None, None]
    planes = torch.stack((x1[0].mean(0), x1[0].max(0).values))
    spatial = torch.sigmoid(torch.conv2d(planes[None], module.spatial.conv.weight, padding=3))
    torch.testing.assert_close(module(x), x1 * spatial)


# One of each way to give features: (N, C, H, W) with any size; with a part of the head; (N, H, W, C); tokens.
BACKBONES = {
    "resnet10t": (512, 2),
    "mobilenetv3_small_050": (1024, 2),
    "swin_tiny_patch4_window7_224": (768, 2),
    "vit_tiny_patch16_224": (192, 4),
}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("attention", [True, False])
def test_a_classifier_on_any_backbone_sees_a_map_of_places(name: str, attention: bool) -> None:
    torch.manual_seed(0)
    config = {"image_size": 64, "channels": 1, "num_classes": 5, "attention": attention, "hidden": 16, "dropout": 0.2}
    network = create_network(f"timm:{name}", config)
    assert isinstance(network, BackboneClassifier)
    features, side = BACKBONES[name]
    assert network.fc1.in_features == features
    shapes: list[tuple[int, ...]] = []
    network.attention.register_forward_hook(lambda _module, inputs, _output: shapes.append(tuple(inputs[0].shape)))
    outputs = network(pixels(3, 1, 64))
    assert outputs.shape == (3, 5)
    assert shapes == [(3, features, side, side)]
    assert isinstance(network.attention, CBAM) is attention
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_tokens_lie_where_their_patches_do() -> None:
    """A ViT without its mixing: what a place of the map holds depends on the pixels of that place alone."""
    torch.manual_seed(0)
    network = BackboneClassifier("vit_tiny_patch16_224", 64, 1, 7)
    network.backbone.blocks = nn.Sequential()
    network.eval()
    image = pixels(1, 1, 64)
    changed = image.clone()
    changed[:, :, 16:32, 48:64] += 1
    moved = (network._feature_map(changed) != network._feature_map(image)).any(1)[0]
    assert moved.nonzero().tolist() == [[1, 3]]


def test_resnet50v2_cbam_is_the_published_combination() -> None:
    config = {"image_size": 48, "channels": 3, "num_classes": 7, "attention": True, "hidden": 256, "dropout": 0.5}
    network = create_network("resnet50v2_cbam", config)
    head = (2048 + 1) * 256 + 2 * 256 + (256 + 1) * 7
    assert parameters(network) == 23_500_352 + 2 * 2048 * 128 + 2 * 7 * 7 + head
    assert network.eval()(pixels(1, 3, 48)).shape == (1, 7)
    # Keras's last 50 layers: its conv5 with the last norm, conv4's last block, and one convolution before that.
    published = layers_of(nn.ModuleList([network.backbone.stages[3], network.backbone.norm]))
    published += layers_of(network.backbone.stages[2].blocks[5])
    published += [network.backbone.stages[2].blocks[4].conv3]
    assert set(layers_of(network.backbone)[-27:]) == set(published)


def small(channels: int = 3, **config: object) -> BackboneClassifier:
    network = create_network(
        "timm:resnet10t", {**REQUIRED, "image_size": 32, "channels": channels, "hidden": 8, **config}
    )
    assert isinstance(network, BackboneClassifier)
    return network


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Of a resnet10t with its head, as timm's files have them."""
    torch.manual_seed(1)
    return timm.create_model("resnet10t").state_dict()


def wrapped(weights: dict[str, Tensor], *wrappers: str) -> dict[str, Tensor]:
    return {f"{''.join(wrappers)}{name}": value for name, value in weights.items()}


@pytest.mark.parametrize(
    "form",
    [
        lambda w: w,
        lambda w: {"state_dict": w, "epoch": 3, "arch": "resnet10t"},
        lambda w: {"model": w, "model_args": {"width": 1}},
        lambda w: {"net": w, "model": "resnet10t"},
        lambda w: {"model": {"name": "resnet10t"}, "net": w},
        lambda w: {"model_state_dict": wrapped(w, "module.")},
        lambda w: {"state_dict": wrapped(w, "model.")},
        lambda w: wrapped(w, "_orig_mod.", "module."),
        "safetensors",
    ],
)
def test_pretrained_weights_go_into_the_backbone(
    form: object, weights: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever they are wrapped; the head of other classes is left out, which is said."""
    caplog.set_level("INFO")
    path = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pth'}"
    if callable(form):
        torch.save(form(weights), path)
    else:
        save_file(weights, path)
    network = small()
    before = copy.deepcopy(network.state_dict())
    start_from(network, path, trained_layers=0)
    for name, value in network.state_dict().items():
        expected = weights[name.removeprefix("backbone.")] if name.startswith("backbone.") else before[name]
        assert torch.equal(value, expected), name
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert caplog.messages == [f"{path}: its head, of 1000 classes, is left out; this network's own starts fresh"]


def test_grey_images_give_the_features_that_their_colour_copies_gave(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    grey, colour = small(1).eval(), small(3).eval()
    for network in (grey, colour):
        start_from(network, tmp_path / "weights.pth", trained_layers=0)
    images = pixels(2, 1, 32)
    torch.testing.assert_close(grey._feature_map(images), colour._feature_map(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_weights_for_other_image_sizes_are_brought_to_ours(name: str, tmp_path: Path) -> None:
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")
    network = create_network(f"timm:{name}", {**REQUIRED, "image_size": 64, "hidden": 8})
    start_from(network, tmp_path / "weights.pth", trained_layers=2)
    assert network(pixels(2, 1, 64)).shape == (2, 4)


@pytest.mark.parametrize("trained_layers", [0, 1, 5, 1000])
def test_frozen_layers_and_their_statistics_stay(
    trained_layers: int, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    network = small()
    start_from(network, tmp_path / "weights.pth", trained_layers)
    network = copy.deepcopy(network)  # as averaging of weights does
    network.eval()
    network.train()
    layers = layers_of(network.backbone)
    trained = set(layers[-trained_layers:])
    assert len(layers) > 20
    # ResNets may start with a scale of 0 after a block, which gives what is before it no gradient at first.
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1, weight_decay=0.1)
    network(pixels(4, 3, 32)).square().sum().backward()
    optimizer.step()
    after = network.state_dict()
    names = {module: name for name, module in network.named_modules()}
    for layer in layers:
        for name in layer.state_dict():
            key = f"{names[layer]}.{name}"
            assert torch.equal(before[key], after[key]) is (layer not in trained), key
    assert not torch.equal(before["fc1.weight"], after["fc1.weight"])
    assert not torch.equal(before["attention.spatial.conv.weight"], after["attention.spatial.conv.weight"])
    assert network.norm.training


def test_a_network_without_a_backbone_starts_from_all_of_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, network = SharedCNN(64, 1, 7), SharedCNN(64, 1, 7)
    torch.save({"model_state_dict": source.state_dict(), "model_config": {}}, tmp_path / "model.pth")
    start_from(network, tmp_path / "model.pth", trained_layers=0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), source.parameters(), strict=True))
    with refusal("trained_layers=3 is for a network with a backbone"):
        start_from(network, tmp_path / "model.pth", trained_layers=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, "timm:test_resnet"])
def test_a_head_for_other_classes_starts_fresh(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model of this pipeline in another scheme: all else is taken, and equal classes take the head too."""
    caplog.set_level("INFO")
    path = tmp_path / "model.pth"
    source, network = create_network(name, {**REQUIRED, "num_classes": 7}), create_network(name, REQUIRED)
    torch.save({"model_state_dict": source.state_dict(), "model_config": {}}, path)
    before = copy.deepcopy(network.state_dict())
    start_from(network, path, trained_layers=0)
    fresh = {key for key, value in network.state_dict().items() if not torch.equal(value, source.state_dict()[key])}
    head = {key.rpartition(".")[0] for key in fresh}
    assert len(head) == 1
    assert all(torch.equal(network.state_dict()[key], before[key]) for key in fresh)
    said = f"{path}: its head {head.pop()}, of 7 classes and not 4, is left out; this network's own starts fresh"
    assert caplog.messages == [said]
    same = create_network(name, {**REQUIRED, "num_classes": 7})
    start_from(same, path, trained_layers=0)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in same.state_dict().items())


def test_a_head_that_differs_in_more_than_classes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(SharedCNN(64, 1, 7).state_dict() | {"fc.weight": torch.zeros(7, 9)}, path)
    with refusal(f"{path}: does not fit SharedCNN: fc.weight has shape (7, 9), not (4, 256)"):
        start_from(SharedCNN(64, 1, 4), path, trained_layers=0)
    torch.save(without(SharedCNN(64, 1, 7).state_dict(), "fc.bias"), path)
    with refusal(f"{path}: does not fit SharedCNN: fc.bias is missing in it"):
        start_from(SharedCNN(64, 1, 7), path, trained_layers=0)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "layer2.0.conv1.weight"), "does not fit ResNet: layer2.0.conv1.weight is missing in it"),
        (lambda w: {**w, "layer9.bias": torch.zeros(3)}, "does not fit ResNet, which has no layer9.bias"),
        (
            lambda w: {**w, "layer1.0.bn1.bias": torch.zeros(3)},
            "does not fit ResNet: layer1.0.bn1.bias has shape (3,), not (64,)",
        ),
        (lambda w: {**w, "epoch": 3}, "'epoch' in it is no tensor; it is not a file of weights"),
        (lambda w: list(w.values()), "no weights in it, but list"),
        (lambda w: {}, "no weights in it, but dict"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: object, message: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    assert callable(change)
    path = tmp_path / "weights.pth"
    torch.save(change(weights), path)
    network = small()
    before = copy.deepcopy(network.state_dict())
    with refusal(f"{path}: {message}"):
        start_from(network, path, trained_layers=3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_an_error_of_weights_names_the_file_of_timm_s_that_fits(tmp_path: Path) -> None:
    """Its names and shapes are those of `timm.create_model("resnetv2_50")`, with its head."""
    fits = "; what fits is model.safetensors of https://huggingface.co/timm/resnetv2_50.a1h_in1k (docs/recipes.md)"
    config = {**REQUIRED, "image_size": 32, "hidden": 8}
    network = create_network("resnet50v2_cbam", config)
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model("resnetv2_50").state_dict(), path)
    start_from(network, path, trained_layers=27)
    assert isinstance(network, BackboneClassifier)
    assert sum(any(p.requires_grad for p in layer.parameters(False)) for layer in layers_of(network.backbone)) == 27
    path.write_bytes(path.read_bytes()[:1_000_000])
    torch.save(timm.create_model("resnetv2_50x1_bit").state_dict(), tmp_path / "bit.pth")
    for name, message in (
        ("imagenet", "does not exist"),
        ("model.safetensors", "not a model file, or a damaged one"),
        ("bit.pth", "does not fit ResNetV2: stages.0.blocks.0.norm1.running_mean is missing in it"),
    ):
        with pytest.raises(EmoTorchError) as refused:
            start_from(network, tmp_path / name, trained_layers=27)
        assert message in str(refused.value)
        assert str(refused.value).endswith(fits)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("harm",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_files_that_hold_no_weights_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with refusal(f"{path} does not exist"):
        start_from(small(), path, trained_layers=0)
    path.write_bytes(b"not weights")
    with refusal(f"{path}: "):
        start_from(small(), path, trained_layers=0)
    path.write_bytes(pickle.dumps(Harmful()))
    with refusal(f"{path}: "):
        start_from(small(), path, trained_layers=0)


def test_timm_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, emotorch.networks.pretrained; assert 'timm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compact_stays_below_2_million_parameters() -> None:
    assert parameters(CompactNet(48, 1, 7)) == 1_596_103


@pytest.mark.parametrize("size", [16, 33, 48, 64])
def test_compact_takes_images_of_any_size_that_is_large_enough(size: int) -> None:
    assert CompactNet(size, channels=3, num_classes=4).eval()(pixels(2, 3, size)).shape == (2, 4)


def test_a_residual_block_starts_as_the_identity() -> None:
    images = pixels(2, 8, 12)
    assert torch.equal(ResidualBlock(8, 8, halve=False)(images), images)
