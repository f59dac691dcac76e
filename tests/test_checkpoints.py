import io
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published import published_state

from emotorch.errors import EmoTorchError
from emotorch.labels import get_scheme
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.recipes import get_recipe
from emotorch.training import checkpoints
from emotorch.training.preprocessing import InputForm

LABELS = get_scheme("emotorch4").labels


def our_state(labels: tuple[str, ...] = LABELS) -> dict[str, object]:
    scheme = replace(get_scheme("emotorch4"), labels=labels)
    return {**checkpoints.describe(get_recipe("emotorch"), scheme), **published_state()}


def write(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(EmoTorchError) as caught:
        checkpoints.load_model(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.mark.parametrize("state", [published_state, our_state], ids=["published format", "ours"])
def test_a_saved_network_comes_back_bit_for_bit(state: Callable[[], dict[str, object]], tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    checkpoints.save(path, state())
    model = checkpoints.load_model(path)
    network = EmoTorchCNN(48, 1, 4)
    network.load_state_dict(state()["model_state_dict"])
    images = torch.rand(3, 1, 48, 48)
    assert torch.equal(model.network(images), network(images))
    assert not model.network.training
    assert (model.scheme, model.labels) == (get_scheme("emotorch4"), LABELS)
    assert model.form == InputForm(image_size=48, channels=1)


def test_a_saved_file_holds_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    checkpoints.save(path, our_state())
    read = checkpoints.read(path)
    assert read["model_config"] == {**published_state()["model_config"], "image_size": 48, "kernel_size": 4}
    assert read["labels"] == list(LABELS)
    assert read["recipe"] == asdict(get_recipe("emotorch"))
    assert read["optimizer_state_dict"]["param_groups"] == our_state()["optimizer_state_dict"]["param_groups"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


@pytest.mark.parametrize("form", [tuple, list, None], ids=["tuples", "lists", "numbers"])
def test_a_square_pair_in_the_configuration_is_its_number(form: type | None, tmp_path: Path) -> None:
    pairs = {} if form is None else {"image_size": form((48, 48)), "kernel_size": form((4, 4))}
    config = {"image_size": 48, "channels": 1, "num_classes": 4, "filters": 10, "kernel_size": 4}
    path = write(tmp_path / "model.pth", {**published_state(), "model_config": {**config, **pairs}})
    assert checkpoints.read(path)["model_config"] == config
    assert checkpoints.load_model(path).form == InputForm(image_size=48, channels=1)


def test_the_temperature_travels_with_the_weights_and_is_1_where_none_is_stated(tmp_path: Path) -> None:
    assert checkpoints.load_model(write(tmp_path / "m.pth", our_state())).temperature == 1.0
    assert checkpoints.load_model(write(tmp_path / "m.pth", {**our_state(), "temperature": 0.5})).temperature == 0.5


def test_the_labels_travel_with_the_weights(tmp_path: Path) -> None:
    assert checkpoints.load_model(write(tmp_path / "m.pth", our_state(LABELS[::-1]))).labels == LABELS[::-1]


class _Payload:
    """What a malicious file brings: a command, run by whoever unpickles it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("form", ["beside the weights", "instead of the weights", "a bare pickle"])
def test_a_malicious_file_is_refused_and_its_command_never_runs(form: str, tmp_path: Path) -> None:
    path, marker = tmp_path / "model.pth", tmp_path / "executed"
    payload = _Payload(marker)
    if form == "a bare pickle":
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        write(path, {**published_state(), "extra": payload} if form == "beside the weights" else payload)
    assert "refused, it holds more than weights and plain values" in refusal(path)
    assert not marker.exists()
    if form == "a bare pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists(), "the payload is no danger: nothing was tested"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.pth").endswith("does not exist")
    assert refusal(tmp_path).endswith("does not exist")


@pytest.mark.parametrize(
    "content",
    [b"", b"model", b"PK\x03\x04", b"\x80\x02.", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(2000), b"\xff" * 2000],
)
def test_what_is_no_model_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert "weights_only" not in refusal(path), "PyTorch's advice to run its code"


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content = write(tmp_path / "whole.pth", our_state()).read_bytes()
    path = tmp_path / "model.pth"
    for part in (0.01, 0.3, 0.7, 0.99):
        path.write_bytes(content[: int(part * len(content))])
        assert "not a model file, or a damaged one" in refusal(path)


def test_a_damaged_file_is_read_or_refused_but_never_ends_in_a_traceback(tmp_path: Path) -> None:
    content = write(tmp_path / "whole.pth", our_state()).read_bytes()
    path = tmp_path / "model.pth"
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(150):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(content), 40)] = rng.integers(0, 256, 40)
        path.write_bytes(damaged.tobytes())
        try:
            checkpoints.load_model(path)
        except EmoTorchError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(value: float, tmp_path: Path) -> None:
    state = our_state()
    state["model_state_dict"]["conv2.bias"][3] = value
    assert "some of its weights are no finite numbers" in refusal(write(tmp_path / "model.pth", state))


def test_one_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """PyTorch takes a wrong byte in weights for weights: the file's own SHA-256 tells, without any record beside it."""
    path = tmp_path / "model_last.pth"
    checkpoints.save(path, our_state())
    content = path.read_bytes()
    whole = torch.load(io.BytesIO(content), weights_only=True)["model_state_dict"]
    rng = np.random.default_rng(3)
    refused = 0
    for place in [*rng.integers(0, len(content), 200).tolist(), *range(len(content) - 90, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = checkpoints.read(path)["model_state_dict"]
        except EmoTorchError:
            refused += 1
        else:
            assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())
    assert refused > 250


def test_equal_states_give_equal_bytes_whatever_has_been_read_back(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "first.pth", our_state())
    checkpoints.save(tmp_path / "second.pth", torch.load(tmp_path / "first.pth", weights_only=True))
    assert (tmp_path / "first.pth").read_bytes() == (tmp_path / "second.pth").read_bytes()


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in our_state().items() if name != key}


def without_key(key: str) -> dict[str, object]:
    config = our_state()["model_config"]
    return {**our_state(), "model_config": {name: value for name, value in config.items() if name != key}}


def with_config(**changes: object) -> dict[str, object]:
    return {**our_state(), "model_config": {**our_state()["model_config"], **changes}}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1, 2], "no model_state_dict and model_config in it"),
        (EmoTorchCNN(48, 1, 4).state_dict(), "no model_state_dict and model_config in it"),
        (without("model_config"), "no model_state_dict and model_config in it"),
        (with_config(filters=11), "the weights do not fit the network"),
        (with_config(image_size=64), "the weights do not fit the network"),
        (with_config(image_size=(48, 64)), "image_size (48, 64) in its model_config is no square pair"),
        (with_config(kernel_size=[4, 3]), "kernel_size (4, 3) in its model_config is no square pair"),
        (with_config(image_size=(48, 48, 48)), "image_size (48, 48, 48) in its model_config is no square pair"),
        (with_config(image_size=()), "image_size () in its model_config is no square pair"),
        (with_config(kernel_size=(4.5, 4.5)), "kernel_size (4.5, 4.5) in its model_config is no square pair"),
        (with_config(num_classes=5), "4 labels for 5 outputs"),
        (with_config(depth=3), "'depth'"),
        ({**our_state(), "model_config": {}}, "the configuration of network emotorch_cnn has no image_size"),
        (without_key("channels"), "the configuration of network emotorch_cnn has no channels, which it requires"),
        ({**our_state(), "model_config": "small"}, "model_config"),
        ({**our_state(), "model_state_dict": {}}, "the weights do not fit the network"),
        ({**our_state(), "model_state_dict": [1]}, "the weights do not fit the network"),
        ({**our_state(), "recipe": "emotorch"}, "recipe"),
        ({**our_state(), "recipe": {"network": "resnet"}}, "unknown network 'resnet'"),
        ({**our_state(), "labels": list(LABELS[::-1])}, "its labels are not those of its scheme"),
        ({**our_state(), "scheme": "nine"}, "unknown label scheme 'nine'"),
        ({**our_state(), "temperature": 0.0}, "temperature"),
        ({**our_state(), "temperature": float("nan")}, "temperature"),
        ({**our_state(), "temperature": "hot"}, "temperature"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused_with_the_reason(state: object, message: str, tmp_path: Path) -> None:
    assert re.search(re.escape(message), refusal(write(tmp_path / "model.pth", state)))
