"""Evaluating 20,000 images takes at most 1.3 times the bare forward passes.

python benchmarks/bench_evaluation.py
"""

import numpy as np
import torch
from timing import compare, make_parser

from emotorch.evaluation.evaluate import predict
from emotorch.evaluation.sets import EvaluationSet
from emotorch.labels import get_scheme
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.training.checkpoints import Model
from emotorch.training.preprocessing import InputForm

IMAGES = 20000
BATCH = 512
ROUNDS = 5


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 48, 48), dtype=np.uint8)
    labels = rng.integers(0, 4, IMAGES)
    images = EvaluationSet("random", [""] * IMAGES, pixels, labels, np.array([""] * IMAGES))
    network = EmoTorchCNN(48, 1, 4).to(memory_format=torch.channels_last).eval()
    model = Model(network, get_scheme("emotorch4"), InputForm())
    floats = torch.from_numpy(pixels).unsqueeze(1).float() / 255

    @torch.inference_mode()
    def bare() -> None:
        for batch in torch.split(floats, BATCH):
            network(batch)

    def ours() -> None:
        predict(model, images, torch.device("cpu"))

    compare("evaluation", IMAGES, "images", ours, "the bare forward passes", bare, rounds)


if __name__ == "__main__":
    main()
