"""Shared ground: a root of its own for every test, small raw datasets, and running scripts as a user does."""

import os

# Before torch is imported: tests share few cores, and equal weights need equal thread counts.
os.environ["OMP_NUM_THREADS"] = "1"

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import silence
import torch
from desk import Desk
from published import published_state
from running import Trained, copy_root, copy_trained, error_line, replace_weights, train

from emotorch.data import dataset, fer2013
from emotorch.data import variants as augmented
from emotorch.data.images import Pixels, encode_png
from emotorch.data.recognition import find_copies
from emotorch.data.sources import SourceImage
from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.datasets import FER, FER_USAGES, RAF, Dataset
from emotorch.errors import EmoTorchError
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, Paths
from emotorch.training import checkpoints

# The run of the fixture `trained`: settings by which its outputs are not dead from the start.
TRAINED_WITH = ("--seed", 4, "--set", "learning_rate=0.003")

Script = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C reaches the processes that tests start, also where the suite itself runs in a shell's background.

    Whatever tests run beside this process, xdist's workers and so every script in them, is heard by tests/silence.py.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp())
        os.environ.update(silence.listen(folder) or {})
        config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_runtest_setup() -> None:
    """Whatever a script computed with before: on threads that share a core a test takes twice the time, or more."""
    torch.set_num_threads(1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run in which a process looked up a name, or sent anything but to this machine."""
    log = Path(os.environ.get(silence.LOG, ""))
    if not hasattr(session.config, "workerinput") and log.is_file():
        print(f"\nThese did not keep to this machine:\n{log.read_text()}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def draw_images(count: int, seed: int) -> Pixels:
    """(count, 48, 48) smooth random pictures, each different."""
    rng = np.random.default_rng(seed)
    blobs = [cv2.resize(rng.integers(0, 256, (6, 6)).astype(np.uint8), (48, 48)) for _ in range(count)]
    return np.stack(blobs)


def write_fer_csv(path: Path, pixels: Pixels, emotions: list[int], usages: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{emotion},{' '.join(map(str, image.ravel().tolist()))},{usage}"
        for image, emotion, usage in zip(pixels, emotions, usages, strict=True)
    ]
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")


def write_small_fer(paths: Paths, rows: int = 140, twins: int = 10, seed: int = 0) -> None:
    """An official-format CSV: all emotions in turn, all usages, and some exact twins across usages."""
    pixels = draw_images(rows, seed)
    pixels[rows - twins :] = pixels[:twins]
    emotions = [row % len(FER.classes) for row in range(rows)]
    usages = [FER_USAGES[0 if row < 0.8 * rows else 1 + row % 2] for row in range(rows)]
    write_fer_csv(paths.fer_csv, pixels, emotions, usages)


def write_small_ckplus(paths: Paths, seed: int = 1) -> None:
    """CK+ as class folders: two subjects, two classes of the scheme and one that it leaves out."""
    images = iter(draw_images(18, seed))
    for emotion in ("anger", "surprise", "contempt"):
        folder = paths.ckplus / emotion
        folder.mkdir(parents=True)
        for subject in (5, 10):
            for frame in (15, 16, 17):
                cv2.imwrite(str(folder / f"S{subject:03d}_001_{frame:08d}.png"), next(images))


def write_small_rafdb(paths: Paths, seed: int = 6, train: int = 4, test: int = 2) -> None:
    """RAF-DB with so many images for training and test, of its seven classes in turn, larger than 48×48."""
    counts = {"train": train, "test": test}
    names = [f"{usage}_{number:05d}" for usage, count in counts.items() for number in range(1, count + 1)]
    aligned, labels = paths.raw / "RAF-DB" / "Image" / "aligned", paths.raw / "RAF-DB" / "EmoLabel"
    aligned.mkdir(parents=True)
    labels.mkdir()
    for name, face in zip(names, draw_images(len(names), seed), strict=True):
        coloured = cv2.applyColorMap(cv2.resize(face, (100, 100)), cv2.COLORMAP_BONE)
        cv2.imwrite(str(aligned / f"{name}_aligned.jpg"), coloured)
    lines = [f"{name}.jpg {number % len(RAF.classes) + 1}" for number, name in enumerate(names)]
    (labels / "list_patition_label.txt").write_text("\n".join(lines) + "\n")


def images_of(paths: Paths, dataset: Dataset) -> list[SourceImage]:
    """The images of the fullest copy of a known dataset."""
    return find_copies(paths, dataset)[0].images()


def prepare(paths: Paths, *, variants: bool = True, faces: str = "auto") -> None:
    """Stages 1, 2 and 3 on what is in the root."""
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False, faces=faces)
    if variants:
        augmented.create(paths, seed=42, workers=1, force=False)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(start: str) -> pytest.RaisesExc[EmoTorchError]:
    """Expects an error whose message begins so."""
    return pytest.raises(EmoTorchError, match="^" + re.escape(start))


def the_error(failed: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line with which a script failed; it said nothing else."""
    line = error_line(failed, status)
    assert (failed.stdout, failed.stderr) == ("", f"{line}\n")
    return line


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """An empty root."""
    return Paths(tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A root after stages 1-3, with FER-2013 and CK+; not to be changed."""
    paths = Paths(tmp_path_factory.mktemp("prepared"))
    write_small_fer(paths)
    write_small_ckplus(paths)
    prepare(paths)
    return paths


@pytest.fixture(scope="session")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A root with 400 drawn faces of FER-2013 after stages 1 and 2 for seven classes and for four moods; not to be
    changed."""
    paths = Paths(tmp_path_factory.mktemp("seven"))
    write_fer2013_csv(paths.fer_csv, rows=400, seed=3)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    for scheme in ("seven", "mood4"):
        dataset.create(paths, get_scheme(scheme), workers=1, force=False)
    return paths


@pytest.fixture
def script() -> Script:
    """Runs a script of the repository in a root, as a user would."""

    def run(paths: Paths, name: str, *arguments: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / name), *map(str, arguments)],
            env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
            cwd=paths.root,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def trained(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small model from stage 4, in a root of its own; not to be changed."""
    paths = copy_root(prepared, tmp_path_factory.mktemp("trained") / "root")
    return Trained(paths, train(paths, *TRAINED_WITH))


@pytest.fixture
def root(prepared: Paths, tmp_path: Path) -> Paths:
    """A root of the test's own after stages 1-3."""
    return copy_root(prepared, tmp_path / "root")


@pytest.fixture
def ours(trained: Trained, tmp_path: Path) -> Trained:
    """The trained run in a root of the test's own."""
    return copy_trained(trained, tmp_path / "root")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a model with spread outputs, with their ONNX file beside them; not to be changed."""
    from emotorch.inference.onnx_export import export

    weights = tmp_path_factory.mktemp("exported") / "model.pth"
    checkpoints.save(weights, {**published_state(), "temperature": 0.5})
    export(weights)
    return weights


@pytest.fixture(scope="session")
def exported_run(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The trained run with an ONNX file, in a root of its own; not to be changed."""
    from emotorch.inference.onnx_export import export

    run = copy_trained(trained, tmp_path_factory.mktemp("exported_run") / "root")
    export(run.folder / "model.pth")
    return run


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, but their files are of one pixel: to draw them takes most of a small training or evaluation.

    Not in tests marked `drawn`.
    """
    from matplotlib.figure import Figure

    if request.node.get_closest_marker("drawn") is not None:
        return
    pixel, draw = encode_png(np.zeros((1, 1), np.uint8)), Figure.savefig

    def save(figure: Figure, to: object, **options: object) -> None:
        if isinstance(to, Path):
            to.write_bytes(pixel)
        else:  # within a page
            draw(figure, to, **options)

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture
def lively(ours: Trained) -> Trained:
    """The trained run in a root of the test's own, with weights that give every answer to some image."""
    replace_weights(ours.folder, published_state())
    return ours


@pytest.fixture
def desk(paths: Paths) -> Desk:
    folder = paths.models / "model_00224_final"
    folder.mkdir(parents=True)
    checkpoints.save(folder / "model.pth", published_state())
    return Desk(paths, folder / "model.pth")
