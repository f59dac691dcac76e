"""A 640×480 video on one core: floor 30 frames per second, detection included.

    python benchmarks/bench_video.py

The video has two synthetic faces that move, in 300 frames of MPEG-4; the model is the baseline's network with random
weights, run by ONNX Runtime. Measured are decoding, finding, cutting out and reading every face in every frame.
The whole frame is searched every tenth time, in between the surroundings of the last faces alone (see
`emotorch/inference/video.py`); beside it stand the rates of searching the whole of every frame, and with the
annotated copy written. A second is one of the core's own time, so that other programs on the machine do not count.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from timing import make_parser, use_one_core

from emotorch.data.detectors import open_detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.data.synthetic import IN_THE_LABORATORY, Identity, draw_face
from emotorch.inference.onnx_export import export
from emotorch.inference.predictions import predict_faces
from emotorch.inference.reader import FaceReader, open_reader
from emotorch.inference.video import Video, predict_video
from emotorch.inference.video_output import draw_predictions, write_video
from emotorch.networks.emotorch_cnn import EmoTorchCNN

FRAMES, RATE = 300, 30
HEIGHT, WIDTH = 480, 640
ROUNDS = 3


def draw_frame(number: int, faces: list[Pixels]) -> Pixels:
    """(H, W, 3): one face walks, the other comes nearer; a camera's noise."""
    scene = np.add.outer(np.linspace(60, 110, HEIGHT), np.linspace(0, 40, WIDTH)).astype(np.uint8)
    places = (20 + number // 2, 150 + round(20 * np.sin(number / 8)), 130), (420, 60, 110 + number // 4)
    for pixels, (x, y, side) in zip(faces, places, strict=True):
        scene[y : y + side, x : x + side] = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(number).integers(-4, 5, scene.shape)
    return np.repeat(np.clip(scene + noise, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def draw_video(path: Path) -> Path:
    faces = []
    for seed, emotion in ((3, "happy"), (11, "surprise")):
        rng = np.random.default_rng(seed)
        faces.append(draw_face(emotion, Identity(rng), rng, IN_THE_LABORATORY))
    write_video(path, (draw_frame(number, faces) for number in range(FRAMES)), RATE)
    return path


def make_reader(folder: Path) -> FaceReader:
    torch.manual_seed(0)
    config = {"image_size": 48, "channels": 1, "num_classes": 4, "filters": 10, "kernel_size": 4}
    torch.save({"model_state_dict": EmoTorchCNN(48, 1, 4).state_dict(), "model_config": config}, folder / "model.pth")
    export(folder / "model.pth")
    return open_reader(folder / "model.onnx")


def search_every_frame(reader: FaceReader, path: Path) -> list[list[Box]]:
    found = []
    detector = open_detector("auto")
    assert detector is not None
    for frame in Video(str(path)):
        colours = np.ascontiguousarray(frame.colours[:, :, ::-1])
        faces = find_faces(colours, detector)
        predict_faces(reader, colours, faces)
        found.append([face.box for face in faces])
    return found


def follow(reader: FaceReader, path: Path) -> list[list[Box]]:
    predictions = (prediction for _, prediction in predict_video(reader, Video(str(path)), open_detector("auto")))
    return [[face.box for face in prediction.faces if face.box] for prediction in predictions]


def annotate(reader: FaceReader, path: Path) -> int:
    drawn = (
        draw_predictions(frame, prediction)
        for frame, prediction in predict_video(reader, Video(str(path)), open_detector("auto"))
    )
    return write_video(path.with_name("copy.mp4"), drawn, RATE)


def cpu_seconds(work: Callable[[FaceReader, Path], object], reader: FaceReader, path: Path) -> float:
    started = time.process_time()
    work(reader, path)
    return time.process_time() - started


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    use_one_core()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        reader, path = make_reader(Path(name)), draw_video(Path(name) / "clip.mp4")
        every, ours = search_every_frame(reader, path), follow(reader, path)
        overlaps = [
            max((box.overlap(other) for other in mine), default=0.0)
            for full, mine in zip(every, ours, strict=True)
            for box in full
        ]
        print(
            f"{FRAMES} frames, one core; faces found: {sum(map(len, ours))} by following, {sum(map(len, every))} by "
            f"searching every frame; mean overlap of the boxes {np.mean(overlaps):.3f}"
        )
        for what, work in (
            ("searching every frame", search_every_frame),
            ("following", follow),
            ("following, with an annotated copy", annotate),
        ):
            rates = [FRAMES / cpu_seconds(work, reader, path) for _ in range(rounds)]
            print(f"{what}: {statistics.median(rates):.0f} frames/s ({min(rates):.0f} to {max(rates):.0f})", flush=True)


if __name__ == "__main__":
    main()
