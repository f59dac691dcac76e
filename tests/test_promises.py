"""Every promise of docs/promises.md; EmoTorch's own are in tests/test_readme.py, after the README's commands."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import timm
from conftest import write_small_rafdb
from promises import NOT_RUN, Reader, read_promises
from running import copy_root
from safetensors.torch import save_file
from scenes import SyntheticFace, draw_scene

from emotorch.paths import REPOSITORY, Paths

PROMISES = read_promises()
TRAINING = ("--epochs", "1", "--threads", "1")
BESIDES = {
    "convolutional_nn_pytorch.py": TRAINING,
    "train_multiple_models.py": ("--num-models", "1", "--workers", "1", *TRAINING[:2]),
    "explain_model.py": ("--count", "4"),
}
MOODS = ("happy", "neutral", "sad", "surprise")


def own_pictures(paths: Paths) -> None:
    """EmotionCNN's dataset alone: class folders of colour pictures, in its own three splits."""
    for number, split in enumerate(("train", "train", "train", "validation", "test")):
        for mood in MOODS:
            folder = paths.raw / "Facial_emotion_images" / split / mood
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted((paths.fer_images / mood).glob("*.png"))[number::5]:
                picture = cv2.applyColorMap(cv2.resize(cv2.imread(str(file)), (96, 96)), cv2.COLORMAP_BONE)
                assert cv2.imwrite(str(folder / f"{file.stem}.jpg"), picture)
    shutil.rmtree(paths.fer_csv.parents[1])
    shutil.rmtree(paths.fer_images)


def class_folders(paths: Paths) -> None:
    """FER-2013 as class folders instead of its CSV, and a file of weights like timm's."""
    for folder in sorted(path for path in paths.fer_images.iterdir() if path.is_dir()):
        for number, file in enumerate(sorted(folder.glob("*.png"))[:20]):
            to = paths.raw / "fer-2013" / ("test" if number % 5 == 0 else "train") / folder.name
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
    shutil.rmtree(paths.fer_csv.parent)
    shutil.rmtree(paths.fer_images)
    shutil.rmtree(paths.for_scheme("seven").originals)
    save_file(timm.create_model("resnetv2_50").state_dict(), paths.root / "resnetv2_50.safetensors")


def rafdb(paths: Paths) -> None:
    write_small_rafdb(paths, train=70, test=28)


def nothing(_: Paths) -> None:
    """FER-2013's CSV is there."""


DATA: dict[str, Callable[[Paths], None]] = {
    "EmotionCNN": own_pictures,
    "EmotionClassifier": nothing,
    "ResNet50V2 with CBAM": class_folders,
    "Shared CNN": rafdb,
}


@pytest.mark.slow
@pytest.mark.parametrize("system", DATA)
def test_every_command_shows_what_it_promises(system: str, seven: Paths, tmp_path: Path) -> None:
    paths = copy_root(seven, tmp_path / "root")
    DATA[system](paths)
    scene = draw_scene([SyntheticFace(80, 90, 200), SyntheticFace(360, 110, 180, "happy", 4)])
    assert cv2.imwrite(str(paths.root / "photo.jpg"), scene)
    small = ("--set", "network_config.image_size=32") if system in ("ResNet50V2 with CBAM", "Shared CNN") else ()
    reader = Reader(paths, BESIDES, small)
    for promise in PROMISES[system]:
        # Of 24 million parameters it takes a quarter of a minute: the shared CNN's is looked at.
        explained = system == "ResNet50V2 with CBAM" and "explain_model.py" in promise.command
        if promise.command not in NOT_RUN and not explained:
            reader.look(promise)


def test_the_page_has_all_five_systems_and_every_row_a_command_and_a_place_to_look() -> None:
    assert list(PROMISES) == ["EmoTorch", *DATA]
    for promise in (promise for promises in PROMISES.values() for promise in promises):
        assert promise.command in NOT_RUN or promise.files or promise.printed, promise
        for script in re.findall(r"[\w/]+\.py", promise.command):
            assert (REPOSITORY / script).is_file(), script
