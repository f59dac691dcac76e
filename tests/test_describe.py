import pytest
import torch
from torch import Tensor, nn

from emotorch.networks import create_network
from emotorch.networks.describe import Layer, layers, total


def test_the_baseline_costs_what_a_calculation_by_hand_gives() -> None:
    network = create_network("emotorch_cnn", {"image_size": 48, "channels": 1, "num_classes": 4})
    assert layers(network, (1, 48, 48)) == [
        Layer("conv1", "Conv2d", (10, 45, 45), 170, 45**2 * 10 * 16),
        Layer("conv2", "Conv2d", (10, 42, 42), 1610, 42**2 * 10 * 160),
        Layer("conv3", "Conv2d", (10, 18, 18), 1610, 18**2 * 10 * 160),
        Layer("conv4", "Conv2d", (10, 15, 15), 1610, 15**2 * 10 * 160),
        Layer("fc", "Linear", (4,), 1964, 490 * 4),
    ]
    size = total(layers(network, (1, 48, 48)))
    assert size.parameters == 6964
    assert size.multiply_adds == 4_026_760


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("emotion_cnn", 3, 48),
        ("emotion_classifier", 1, 48),
        ("shared_cnn", 1, 64),
        ("timm:resnet10t", 1, 32),
        ("timm:vit_tiny_patch16_224", 1, 32),
        ("timm:convnext_atto", 3, 32),
    ],
)
def test_every_parameter_is_counted_once(name: str, channels: int, size: int) -> None:
    network = create_network(name, {"image_size": size, "channels": channels, "num_classes": 7})
    found = layers(network, (channels, size, size))
    assert total(found).parameters == sum(parameter.numel() for parameter in network.parameters())
    assert len({layer.name for layer in found}) == len(found)
    assert all(layer.multiply_adds >= 0 for layer in found)


def test_groups_divide_the_cost_of_a_convolution() -> None:
    described = layers(nn.Conv2d(8, 16, 3, groups=4, padding=1), (8, 5, 5))
    assert described == [Layer("", "Conv2d", (16, 5, 5), 16 * 2 * 9 + 16, 25 * 16 * 2 * 9)]


def test_attention_costs_its_two_products_beside_its_linears() -> None:
    network = create_network(
        "timm:vit_tiny_patch16_224", {"image_size": 64, "channels": 1, "num_classes": 7, "attention": False}
    )
    by_name = {layer.name: layer for layer in layers(network, (1, 64, 64))}
    tokens, width = 4 * 4 + 1, 192
    assert by_name["backbone.blocks.3.attn"].multiply_adds == 2 * tokens**2 * width
    assert by_name["backbone.blocks.3.attn.qkv"].multiply_adds == tokens * width * 3 * width
    assert by_name["backbone.patch_embed.proj"].multiply_adds == 16 * 16**2 * width


class Twice(nn.Module):
    """Uses one layer twice and another never."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.used(self.used(x))
        return y


def test_a_layer_used_twice_costs_twice_and_an_unused_one_nothing() -> None:
    assert layers(Twice(), (3, 3, 4)) == [
        Layer("used", "Linear", (3, 3, 4), 20, 2 * 9 * 16),
        Layer("unused", "Linear", (), 10, 0),
    ]


def test_describing_changes_nothing() -> None:
    network = create_network("shared_cnn", {"image_size": 32, "channels": 1, "num_classes": 7})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    layers(network, (1, 32, 32))
    state = torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
