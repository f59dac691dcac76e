"""Faces cut out of whole photos, in stage 2 and in evaluate_model.py, just as prediction cuts them."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, refusal, tree
from desk import Desk, blank
from PIL import Image
from running import EVALUATE, call_script, last_line, read_table
from scenes import SyntheticFace, draw_scene

from emotorch.data import dataset
from emotorch.data.detectors import open_detector
from emotorch.data.faces import Box
from emotorch.data.images import PixelForm, Pixels, read_photo, read_picture, read_stored, resize, shrink, write_png
from emotorch.data.scenes import as_asked
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import Reading, SourceImage
from emotorch.evaluation.sets import load_set
from emotorch.files import read_stamp
from emotorch.inference.predictions import cut_faces, locate
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_2, Paths

FACE = SyntheticFace(250, 120, 200)
CROP = draw_images(1, seed=4)[0]


def wide(grey: Pixels) -> Pixels:
    """1600×700 in colour, with a scene at its right."""
    photo = np.full((700, 1600, 3), (60, 120, 180), np.uint8)
    photo[200:680, 950:1590] = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return photo


PHOTOS = {
    "anger/wide.jpg": wide(draw_scene([FACE])),
    "anger/on its side.png": np.rot90(draw_scene([FACE])),
    "neutral/three.png": draw_scene([SyntheticFace(20, 20, 110), FACE, SyntheticFace(480, 240, 120)]),
    "neutral/cut out.png": CROP,
    "fear/nobody.png": blank(),
    "fear/somebody.png": draw_scene([SyntheticFace(40, 60, 150)]),
    "surprise/larger.png": resize(CROP, 112),
}


def write_photos(folder: Path, photos: Mapping[str, Pixels]) -> Path:
    for name, pixels in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name, quality=95)
    return folder


def predicted_face(path: Path, size: int = 48) -> Pixels:
    """The largest face of a photo as prediction's network would see it, or as large as it is."""
    photo = read_photo(path)
    face = max(locate(photo, open_detector("auto")), key=lambda face: face.box.area)
    if size == 48:
        return cut_faces(photo, [face], PixelForm())[0]
    return shrink(np.rot90(face.box.cut(photo), round(face.turn / 90)), size)


@pytest.mark.parametrize(
    ("shape", "reading", "box", "asked"),
    [
        ((48, 48), Reading.SCENE, None, ("crop", "scene", "crop")),
        ((112, 112), Reading.SCENE, None, ("crop", "scene", "crop")),
        ((113, 113), Reading.SCENE, None, ("scene", "scene", "crop")),
        ((112, 111), Reading.SCENE, None, ("scene", "scene", "crop")),
        ((300, 300), Reading.CROP, None, ("crop", "scene", "crop")),
        ((300, 300), Reading.SCENE, Box(1, 2, 3, 4), ("crop", "crop", "crop")),
        ((48, 48), Reading.FACE, None, ("face", "face", "face")),
    ],
)
def test_a_dataset_s_word_and_the_size_tell_what_is_searched_and_the_option_overrules_them(
    shape: tuple[int, int], reading: Reading, box: Box | None, asked: tuple[str, ...], tmp_path: Path
) -> None:
    write_png(tmp_path / "a.png", np.zeros(shape, np.uint8))
    for faces, expected in zip(("auto", "find", "none"), asked, strict=True):
        (image,) = as_asked([SourceImage(tmp_path / "a.png", "fear", reading, box=box)], faces)
        assert (image.reading, image.box) == (Reading(expected), box)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Photos in class folders after stage 2 for the baseline and, in colour, for seven classes; not to be changed."""
    paths = Paths(tmp_path_factory.mktemp("album"))
    write_photos(paths.raw / "album", PHOTOS)
    for scheme in ("emotorch4", "seven"):
        done = call_script(paths, STAGE_2, "--scheme", scheme, "--workers", 1)
        assert done.returncode == 0, done.stderr
        (paths.root / f"{scheme}.txt").write_text(done.stderr)
    return paths


def test_a_photo_s_face_is_what_prediction_would_see(album: Paths) -> None:
    """Wherever and however it lies; of several the largest; squares of up to 112 pixels are faces already."""
    rows = read_table(album.originals / "manifest.csv")
    assert [(row["file"], row["source"].partition("album/")[2]) for row in rows] == [
        ("album/anger/1.png", "anger/on its side.png"),
        ("album/anger/2.png", "anger/wide.jpg"),
        ("album/fear/1.png", "fear/somebody.png"),
        ("album/calm/1.png", "neutral/cut out.png"),
        ("album/calm/2.png", "neutral/three.png"),
        ("album/surprise/1.png", "surprise/larger.png"),
    ]
    for row in rows:
        stored, source = read_stored(album.originals / row["file"]), album.root / row["source"]
        is_cut = read_picture(source).shape[0] <= 112
        assert np.array_equal(stored, resize(read_picture(source)) if is_cut else predicted_face(source)), row
    # A grey face in a colour photo is stored, and known, as grey.
    assert len(DatasetIndex.load(album, get_scheme("seven")).originals_of("album").read(PixelForm(112, 3))) == 6
    in_colour = album.for_scheme("seven").originals
    stored = read_stored(in_colour / "album" / "angry" / "2.png")
    assert np.array_equal(stored, predicted_face(album.raw / "album" / "anger" / "wide.jpg", 112)[:, :, 0])


def test_what_was_found_is_said_and_listed(album: Paths) -> None:
    listed = read_table(album.originals / "faces.csv")
    assert list(listed[0]) == ["source", "faces", "x", "y", "width", "height", "turn"]
    named = [(row["source"].removeprefix("FER-Datasets/album/"), row["faces"]) for row in listed]
    assert named[0] == ("fear/nobody.png", "0")
    assert named[-1] == ("neutral/three.png", "3")
    assert sorted(named[1:-1]) == [("anger/on its side.png", "1"), ("anger/wide.jpg", "1"), ("fear/somebody.png", "1")]
    assert [listed[0][column] for column in ("x", "y", "width", "height", "turn")] == [""] * 5
    by_name = {row["source"].rpartition("/")[2]: row for row in listed}
    box = Box(*(int(by_name["three.png"][side]) for side in ("x", "y", "width", "height")))
    assert FACE.holds(box)
    assert by_name["on its side.png"]["turn"] == "270.0"
    detector = open_detector("auto")
    assert detector is not None
    said = (album.root / "emotorch4.txt").read_text()
    assert f"faces are looked for in 5 pictures, by {detector.name} ({album.originals / 'faces.csv'} lists" in said
    assert "; several in 1, of which the largest is taken; none in 1, left out (first: " in said
    stamp = read_stamp(album.originals, STAGE_2)
    assert (stamp["faces"], stamp["detector"]) == ("auto", detector.name)


def test_the_faces_are_the_same_for_any_number_of_workers(album: Paths, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.raw.symlink_to(album.raw)
    for up_to_date in (False, True):
        assert dataset.create(paths, get_scheme("emotorch4"), workers=2, force=False).up_to_date is up_to_date
    assert tree(paths.originals / "album") == tree(album.originals / "album")
    assert (paths.originals / "faces.csv").read_bytes() == (album.originals / "faces.csv").read_bytes()


def test_the_option_takes_pictures_as_they_are_or_searches_them_all(
    album: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(tmp_path)
    paths.raw.symlink_to(album.raw)
    as_they_are = dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False, faces="none").counts
    assert as_they_are == {"album": {"anger": 2, "fear": 2, "calm": 2, "surprise": 1}}
    assert not (paths.originals / "faces.csv").exists()
    wide = read_stored(paths.originals / "album" / "anger" / "2.png")
    assert np.array_equal(wide, resize(read_picture(paths.raw / "album" / "anger" / "wide.jpg")))
    caplog.set_level("INFO")
    searched = dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False, faces="find").counts
    assert searched == {"album": {"anger": 2, "fear": 1, "calm": 1, "surprise": 0}}
    assert f"{paths.originals} was made with --faces none; it is made anew: --faces find" in caplog.text
    assert len(read_table(paths.originals / "faces.csv")) == len(PHOTOS)


def test_pictures_without_any_face_are_refused_with_the_way_out(paths: Paths) -> None:
    write_photos(paths.raw / "mine", {"fear/a.png": blank(), "calm/b.png": blank(90, 90), "calm/c.png": blank(200)})
    with refusal("mine: no face found in any of 2 pictures; if they are faces that are cut out already"):
        dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False)
    assert not paths.originals.exists()


@pytest.mark.slow
def test_an_evaluation_of_a_folder_cuts_the_faces_out_too(desk: Desk, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "album", PHOTOS)
    done = call_script(desk.paths, EVALUATE, desk.model, folder)
    evaluated = Path(last_line(done))
    assert "on album: 6 images, accuracy" in done.stdout
    assert "; several in 1, of which the largest is taken; none in 1, left out" in done.stderr
    left_out = "1 of 5 pictures show no face and are left out: faces.csv lists what is found"
    assert left_out in done.stdout
    assert left_out in (evaluated / "classification_report_album.txt").read_text()
    listed = read_table(evaluated / "faces.csv")
    assert [(Path(row["source"]).name, row["faces"]) for row in (listed[0], listed[-1])] == [
        ("nobody.png", "0"),
        ("three.png", "3"),
    ]
    # What is scored is what prediction gives for the same photo.
    scored = [row for row in read_table(evaluated / "misclassifications_album.csv") if "three" not in row["image_path"]]
    for row in scored:
        path = desk.paths.root / row["image_path"]
        detector = ("--detector", "none") if read_picture(path).shape[0] <= 112 else ()
        (found,) = desk.ask(path, desk.model, *detector)
        assert found["faces"][0]["emotion"] == row["predicted_emotion"]
        assert found["faces"][0]["confidence"] == pytest.approx(float(row["confidence"]), abs=1e-4)
    assert scored


@pytest.mark.slow
def test_the_option_is_for_an_evaluated_folder_too(album: Paths, tmp_path: Path) -> None:
    """What stage 2 has cut out, of whatever shape, is not searched again."""
    scheme = get_scheme("emotorch4")
    folder = str(album.raw / "album")
    assert len(load_set(album, folder, scheme).files) == 6
    assert len(load_set(album, folder, scheme, faces="none").files) == 7
    assert len(load_set(album, folder, scheme, faces="find").files) == 4
    nobody = write_photos(tmp_path / "nobody", {"fear/a.png": blank()})
    with refusal(f"{nobody}: no face found in any of 1 pictures"):
        load_set(album, str(nobody), scheme)
    cut_out = Paths(tmp_path)
    write_photos(cut_out.originals / "nobody", {"fear/a.png": blank()})
    assert len(load_set(cut_out, str(cut_out.originals / "nobody"), scheme).files) == 1
