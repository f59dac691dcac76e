import pytest
import torch
from torch import nn

from emotorch.errors import EmoTorchError
from emotorch.networks import NETWORKS, create_network
from emotorch.networks.emotorch_cnn import EmoTorchCNN

BASELINE = {"image_size": 48, "channels": 1, "num_classes": 4, "filters": 10, "kernel_size": 4}


def pixels(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_baseline_has_the_published_size_and_keys() -> None:
    network = create_network("emotorch_cnn", BASELINE)
    assert sum(parameter.numel() for parameter in network.parameters()) == 6964
    layers = ("conv1", "conv2", "conv3", "conv4", "fc")
    assert list(network.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_outputs_are_those_of_the_published_layers() -> None:
    torch.manual_seed(3)
    network = EmoTorchCNN()
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
        ("emotorch_cnn", {"depth": 3}, "'depth'"),
        ("emotorch_cnn", {"filters": -1}, "configuration"),
        ("emotorch_cnn", {"filters": "ten"}, "configuration"),
        ("emotorch_cnn", {"kernel_size": 0}, "configuration"),
        ("emotorch_cnn", {"num_classes": 10**15}, "configuration"),
        ("resnet", {}, f"unknown network 'resnet': known are {', '.join(NETWORKS)}"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(EmoTorchError) as caught:
        create_network(name, {**BASELINE, **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
