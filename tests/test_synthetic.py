"""The drawn faces: official formats, equal bytes for equal seeds, and neither trivial nor hopeless to learn."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from emotorch.data import synthetic, synthetic_dataset
from emotorch.data.images import Pixels
from emotorch.datasets import CKP, FER, FER_USAGES
from emotorch.files import hash_file
from emotorch.labels import SCHEMES
from emotorch.paths import Paths

pytestmark = pytest.mark.slow

ROWS = 300
CKPLUS_IMAGES = 84
# Enough to learn from, and for a second of drawing.
MANY_ROWS = 1600


@dataclass(frozen=True)
class Row:
    emotion: int
    pixels: NDArray[np.int64]
    usage: str


def read_csv(path: Path) -> list[Row]:
    header, *lines = path.read_text().splitlines()
    assert header == "emotion,pixels,Usage"
    fields = (line.split(",") for line in lines)
    return [Row(int(emotion), np.array(pixels.split(" "), dtype=np.int64), usage) for emotion, pixels, usage in fields]


def hash_tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in folder.rglob("*") if path.is_file()}


def write_small(root: Path, seed: int) -> Paths:
    paths = Paths(root)
    synthetic_dataset.write_dataset(paths, rows=ROWS, ckplus_images=CKPLUS_IMAGES, seed=seed)
    return paths


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return write_small(tmp_path_factory.mktemp("synthetic"), seed=7)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    path = tmp_path_factory.mktemp("synthetic") / "fer2013.csv"
    synthetic_dataset.write_fer2013_csv(path, rows=MANY_ROWS, seed=synthetic_dataset.SEED)
    return read_csv(path)


def test_csv_has_the_official_format(small: Paths) -> None:
    rows = read_csv(small.fer_csv)
    assert len(rows) == ROWS
    for row in rows:
        assert row.pixels.shape == (2304,)
        assert 0 <= row.pixels.min() < row.pixels.max() <= 255


def test_classes_and_usages_have_the_real_shares(many: list[Row]) -> None:
    emotions = Counter(row.emotion for row in many)
    for emotion, count in enumerate((4953, 547, 5121, 8989, 6077, 4002, 6198)):
        assert emotions[emotion] / len(many) == pytest.approx(count / 35887, abs=0.003)
    usages = Counter(row.usage for row in many)
    assert [usages[usage] / len(many) for usage in FER_USAGES] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize("rows", [ROWS, synthetic_dataset.ROWS])
def test_every_class_is_in_every_usage(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only labels and usages matter here.
    monkeypatch.setattr(synthetic_dataset, "draw_face", lambda *_: np.zeros((1, 1), np.uint8))
    path = tmp_path / "fer2013.csv"
    synthetic_dataset.write_fer2013_csv(path, rows=rows, seed=1)
    cells = {tuple(line.split(",")[::2]) for line in path.read_text().splitlines()[1:]}
    assert cells == {(str(emotion), usage) for emotion in range(len(FER.classes)) for usage in FER_USAGES}


def test_one_row_in_a_hundred_is_a_twin(many: list[Row]) -> None:
    groups = defaultdict(list)
    for row in many:
        groups[row.pixels.tobytes()].append(row)
    assert len(many) - len(groups) == pytest.approx(0.01 * len(many), abs=1)
    assert any(len({row.usage for row in group}) > 1 for group in groups.values()), "some across usages"
    assert any(len({row.emotion for row in group}) > 1 for group in groups.values()), "some labelled otherwise"


def test_equal_seeds_give_equal_bytes(small: Paths, tmp_path: Path) -> None:
    files = hash_tree(small.raw)
    assert hash_tree(write_small(tmp_path / "again", seed=7).raw) == files
    assert not set(hash_tree(write_small(tmp_path / "other", seed=8).raw).values()) & set(files.values())


def test_a_face_does_not_depend_on_how_many_are_drawn(small: Paths, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    synthetic_dataset.write_fer2013_csv(path, rows=120, seed=7)
    few, more = read_csv(path), read_csv(small.fer_csv)
    drawn = {row.pixels.tobytes() for row in more}
    assert sum(row.pixels.tobytes() in drawn for row in few) >= 110


def test_ckplus_has_sequences_of_one_subject(small: Paths) -> None:
    assert sorted(folder.name for folder in small.ckplus.iterdir()) == sorted(CKP.classes[:7])
    sequences = defaultdict(list)
    for file in sorted(small.ckplus.glob("*/*")):
        match = re.fullmatch(r"(S\d{3})_(\d{3})_(\d{8})\.png", file.name)
        assert match, file.name
        sequences[file.parent.name, match[1], match[2]].append((int(match[3]), file))
    assert sum(map(len, sequences.values())) == CKPLUS_IMAGES
    assert {emotion for emotion, _, _ in sequences} == set(CKP.classes[:7])
    of_subject = Counter(subject for _, subject, _ in sequences)
    assert max(of_subject.values()) > 1, "a subject shows several emotions"
    for frames in sequences.values():
        numbers = [number for number, _ in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
        pictures = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for _, file in frames]
        assert all(picture is not None and picture.shape == (48, 48) for picture in pictures)
        changes = np.abs(np.diff(np.array(pictures, dtype=float), axis=0)).mean(axis=(1, 2))
        assert np.all((changes > 0) & (changes < 4)), "near-identical, not identical"


def test_the_marker_says_what_was_drawn(small: Paths, tmp_path: Path) -> None:
    text = small.synthetic_marker.read_text()
    assert f"{ROWS} rows" in text
    assert f"{CKPLUS_IMAGES} images" in text
    assert "seed 7" in text
    assert small.is_synthetic
    assert not Paths(tmp_path).is_synthetic


def test_drawn_again_only_when_something_else_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_small(tmp_path, seed=7)
    with monkeypatch.context() as patch:
        patch.setattr(synthetic_dataset, "draw_face", None)  # drawing would fail
        write_small(tmp_path, seed=7)
    synthetic_dataset.write_dataset(paths, rows=120, ckplus_images=CKPLUS_IMAGES, seed=7)
    assert len(read_csv(paths.fer_csv)) == 120


def test_an_interrupted_ckplus_is_not_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(synthetic_dataset, "write_png", fail)
    with pytest.raises(OSError, match="disk full"):
        write_small(tmp_path, seed=7)
    paths = Paths(tmp_path)
    assert not paths.ckplus.exists()
    assert paths.is_synthetic, "what is there already is marked"
    monkeypatch.undo()
    write_small(tmp_path, seed=7)
    assert paths.ckplus.is_dir()
    assert sorted(path.name for path in paths.raw.iterdir()) == ["CK+", "SYNTHETIC.txt", "fer-2013"]


def draw(emotion: str, apex: float, capture: synthetic.Capture = synthetic.IN_THE_LABORATORY) -> Pixels:
    who = synthetic.Identity(np.random.default_rng(0))
    return synthetic.draw_face(emotion, who, np.random.default_rng(1), capture, apex)


@pytest.mark.parametrize("emotion", [*FER.classes, "contempt"])
def test_only_the_expression_grows_with_the_apex(emotion: str) -> None:
    rest, peak = draw(emotion, apex=0).astype(float), draw(emotion, apex=1).astype(float)
    assert peak.shape == (48, 48)
    changes = np.abs(peak - rest)
    assert changes[:, [0, 1, -2, -1]].max() < 1, "what is beside the face stays"
    if emotion == "neutral":
        assert changes.mean() < 3
    else:
        assert changes.mean() > 1
        assert np.abs(draw(emotion, apex=0.95) - peak).mean() < changes.mean()


# That the baseline does at least 15 points better is for the pipeline: a training takes half a minute.
def test_pixels_alone_do_not_give_the_emotion_away(many: list[Row]) -> None:
    classes = [FER.classes.index(name) for name in SCHEMES["emotorch4"].sources["FER"]]
    rows = [row for row in many if row.emotion in classes]
    images = np.array([row.pixels for row in rows], dtype=np.float32) / 255
    labels = np.array([row.emotion for row in rows])
    split = train_test_split(images, labels, test_size=0.15, stratify=labels, random_state=42)
    train_images, test_images, train_labels, test_labels = split
    linear = LogisticRegression(C=0.01, max_iter=500).fit(train_images, train_labels)
    assert 0.35 < linear.score(test_images, test_labels) < 0.70, "above chance, and not trivial"
