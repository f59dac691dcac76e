"""A root with a model and pictures, in which prediction is asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from published import LABELS, published_state
from running import PREDICT, Done, call_script

from emotorch.data.images import Pixels
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.paths import Paths


@dataclass(frozen=True)
class Desk:
    """A root with a published-format model and some pictures."""

    paths: Paths
    model: Path

    def picture(self, name: str, pixels: Pixels) -> Path:
        path = self.paths.root / name
        assert cv2.imwrite(str(path), pixels)
        return path

    def predict(self, *arguments: object) -> Done:
        return call_script(self.paths, PREDICT, *arguments)

    def ask(self, *arguments: object) -> list[dict[str, Any]]:
        """The JSON objects that come, whatever the exit status."""
        done = self.predict(*arguments, "--json")
        assert "Traceback" not in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def expected(pixels: Pixels, temperature: float = 1.0) -> dict[str, float]:
    """What the network gives for a face's pixels, from first principles."""
    network = EmoTorchCNN(48, 1, 4)
    network.load_state_dict(published_state()["model_state_dict"])
    with torch.no_grad():
        outputs = network(torch.from_numpy(pixels.astype(np.float32) / 255)[None, None])
    return dict(zip(LABELS, torch.softmax(outputs / temperature, 1)[0].tolist(), strict=True))


def blank(height: int = 120, width: int = 160) -> Pixels:
    return np.full((height, width), 128, np.uint8)
