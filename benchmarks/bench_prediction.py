"""A cold prediction for one photo, face detection included, takes at most a third of the time of a bare `import torch`.

    python benchmarks/bench_prediction.py

`emotorch.predict` in a process of its own takes as long, but for its end, and `import emotorch` alone nearly nothing.
Then a folder of photos on one core, by the ONNX file and by PyTorch: with faces to be found, and cut out already.
The network is `compact`, untrained: its weights do not change its speed.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from timing import compare, make_parser, paired, python, use_one_core

from emotorch.data.detectors import open_detector
from emotorch.data.synthetic import Identity, draw_face
from emotorch.inference.onnx_export import export
from emotorch.inference.predictions import predict_file
from emotorch.inference.reader import FaceReader, open_reader
from emotorch.inference.torch_reader import open_torch_reader
from emotorch.labels import get_scheme
from emotorch.networks import create_network
from emotorch.paths import REPOSITORY
from emotorch.recipes import get_recipe
from emotorch.seeding import generator
from emotorch.training import checkpoints

ROUNDS = 5
PHOTOS = 40
FACES = 1000
SCRIPT = REPOSITORY / "baseline_model" / "model" / "predict_image_baselinemodel.py"


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = save_model(folder / "model.pth")
        photos = [save_photo(folder / f"photo{number}.jpg", number) for number in range(PHOTOS)]
        compare_cold_start(photos[0], weights, rounds)
        use_one_core()
        readers = open_reader(weights), open_torch_reader(weights)
        compare_readers("photos of 640×480 on one core", photos, "auto", readers, rounds)
        faces = [save_face(folder / f"face{number}.png", number) for number in range(FACES)]
        compare_readers("faces of 48×48, cut out already, on one core", faces, "none", readers, rounds)


def save_model(weights: Path) -> Path:
    """Weights, and the ONNX file beside them."""
    recipe = get_recipe("compact")
    scheme = get_scheme(recipe.scheme)
    network = create_network(recipe.network, checkpoints.network_config(recipe, scheme.labels))
    checkpoints.save(
        weights, {**checkpoints.describe(recipe, scheme), "model_state_dict": network.state_dict(), "temperature": 1.0}
    )
    export(weights)
    return weights


def draw(number: int) -> np.ndarray:
    rng = generator("bench_prediction", number)
    return draw_face("fear", Identity(rng), rng)


def save_face(path: Path, number: int) -> Path:
    cv2.imwrite(str(path), draw(number))
    return path


def save_photo(path: Path, number: int) -> Path:
    """A synthetic face, enlarged, before a grey wall."""
    photo = np.full((480, 640, 3), 110, np.uint8)
    photo[90:390, 170:470] = cv2.resize(draw(number), (300, 300), interpolation=cv2.INTER_CUBIC)[:, :, None]
    cv2.imwrite(str(path), photo)
    return path


def compare_cold_start(photo: Path, weights: Path, rounds: int) -> None:
    command = (SCRIPT, photo, "--model", weights, "--json")
    printed = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["faces"], "the photo that is timed must have a face in it"
    ours_s, theirs_s, ratio = paired(python(*command), python("-c", "import torch"), 2 * rounds)
    print(
        f"cold prediction for one photo: {ours_s:.2f} s, {1 / ratio:.2f} of a bare import of PyTorch "
        f"({theirs_s:.2f} s); the aim is a third",
        flush=True,
    )
    code = f"import emotorch; print(emotorch.predict({str(photo)!r}, {str(weights)!r}))"
    ours_s, theirs_s, ratio = paired(python("-c", code), python(*command), 2 * rounds)
    print(f"the same from Python: {ours_s:.2f} s, {1 / ratio:.2f} of the script ({theirs_s:.2f} s)")
    ours_s, theirs_s, _ = paired(python("-c", "import emotorch"), python("-c", "pass"), 4 * rounds)
    print(f"import emotorch: {1000 * (ours_s - theirs_s):.0f} ms above bare Python; the aim is 30", flush=True)


def compare_readers(
    name: str, files: Sequence[Path], detector_name: str, readers: tuple[FaceReader, FaceReader], rounds: int
) -> None:
    detector = open_detector(detector_name)
    by_onnx, by_torch = (
        lambda reader=reader: [predict_file(reader, file, detector) for file in files] for reader in readers
    )
    found = sum(len(prediction.faces) for prediction in by_onnx())
    compare(f"{name} ({found} faces)", len(files), "pictures", by_onnx, "PyTorch", by_torch, rounds)


if __name__ == "__main__":
    main()
