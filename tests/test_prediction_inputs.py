"""What prediction can be pointed at: folders, patterns, odd and broken files; and what it shows of many."""

import json
import os
import resource
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, tree
from desk import Desk, blank, expected
from drawing import assert_legible, texts
from PIL import Image
from running import error_line, read_table
from scenes import SyntheticFace, draw_scene

from emotorch.data.faces import Box
from emotorch.data.images import GREY_FACE, encode_png, read_photo, read_picture
from emotorch.data.scenes import search
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.yunet import VARIABLE as YUNET_VARIABLE
from emotorch.inference import contact_sheet
from emotorch.inference.inputs import Input, Kind, expand
from emotorch.inference.outputs import OutputOptions, check_targets
from emotorch.inference.predictions import PicturePredictions, Prediction

FACE = draw_images(1, seed=3)[0]


THIN = {"thin": (3000, 1), "flat": (1, 3000)}


# Files, folders, patterns.


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_a_folder_gives_its_pictures_at_any_depth_sorted_and_counts_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "b.png", "a.JPG", "c/d/e.webp", "c/a.gif", "z.tiff", ".hidden.png", "Thumbs.db")
    touch(tmp_path, "notes.txt", "c/more.txt", "clip.mp4", "README", "b_emotions.png")
    (tmp_path / "c" / "back").symlink_to(tmp_path)
    with caplog.at_level("INFO"):
        found = expand([str(tmp_path)])
    names = ["a.JPG", "b.png", "c/a.gif", "c/d/e.webp", "z.tiff"]
    assert found == [Input(tmp_path / name) for name in names]
    assert caplog.messages == [
        f"{tmp_path}: left out, as no pictures: 1 .mp4, 2 .txt, 1 linked folder, 1 prediction (*_emotions.*), "
        "1 without an ending"
    ]


def test_a_pattern_that_the_shell_left_gives_its_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a1.png", "a2.png", "b.png", "folder/a3.png", "me[1].jpg")
    assert [item.path.name for item in expand([f"{tmp_path}/a*.png"])] == ["a1.png", "a2.png"]
    assert [item.path.name for item in expand([f"{tmp_path}/**/a*.png"])] == ["a1.png", "a2.png", "a3.png"]
    assert [item.path.name for item in expand([f"{tmp_path}/f*"])] == ["a3.png"]
    assert expand([f"{tmp_path}/me[1].jpg"]) == [Input(tmp_path / "me[1].jpg")]


def test_a_pattern_follows_no_links_that_lead_back_and_takes_no_hidden_files(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/.2.png", ".b/3.png")
    for name in ("x", "y", "z"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    assert [item.path.name for item in expand([f"{tmp_path}/**/*.png"])] == ["1.png"]
    (nothing,) = expand([f"{tmp_path}/**x"])
    assert nothing.error == "no file matches this pattern"


def test_what_is_not_there_is_said_for_each_input_and_the_order_stays(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "clip.MP4", "strange.xyz")
    (tmp_path / "empty").mkdir()
    names = ["missing.png", "a.png", "empty", "clip.MP4", "x*.jpg", "strange.xyz"]
    found = expand([str(tmp_path / name) for name in names])
    assert [item.path.name for item in found] == names
    assert [item.kind for item in found] == [Kind.VIDEO if name == "clip.MP4" else Kind.PICTURE for name in names]
    assert [item.error for item in found] == [
        "no such file or folder",
        None,
        "no pictures in this folder",
        None,
        "no file matches this pattern",
        None,
    ]


def test_names_that_no_file_can_have_are_said_and_the_others_go_on(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    for folder in (tmp_path, tmp_path / "folder"):
        folder.mkdir(exist_ok=True)
        (folder / "loop.png").symlink_to(folder / "loop.png")
    names = ["", "a" * 300, f"{'b' * 300}*.png", "loop.png", "a.png", "folder"]
    found = expand([name and str(tmp_path / name) for name in names])
    assert [item.error for item in found] == [
        "an empty name",
        "File name too long",
        "no file matches this pattern",
        "Too many levels of symbolic links",
        None,
        None,  # a link in a folder is followed when the picture is read
    ]
    check_targets(OutputOptions(csv=tmp_path / "predictions.csv"), found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_in_a_folder_is_left_out_as_nobody_may_ever_write_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    with caplog.at_level("INFO"):
        assert expand([str(tmp_path)]) == [Input(tmp_path / "a.png")]
    assert caplog.messages == [f"{tmp_path}: left out, as no pictures: 1 pipe"]


def test_control_characters_in_a_name_do_not_reach_the_terminal(desk: Desk) -> None:
    good, bad = desk.picture("a\n\x1b[31mb.png", FACE), desk.picture("c\td.png", blank())
    shown = str(good).replace("\n", r"\n").replace("\x1b", r"\x1b")
    done = desk.predict(good, bad, "--model", desk.model)
    assert done.stdout.startswith(f"{shown}: ")
    assert error_line(done).startswith(rf"error: {desk.paths.root}/c\td.png: no face found")
    table = desk.predict(*[good] * 6, "--model", desk.model).stdout
    assert [line.startswith(shown) for line in table.splitlines()[1:7]] == [True] * 6
    assert desk.ask(good, desk.model)[0]["input"] == str(good)
    assert r"no\x1b.pth" in error_line(desk.predict(good, "no\x1b.pth"), 2)


@pytest.mark.filterwarnings("ignore:Glyph")  # as the program ignores it: tests/test_main.py
def test_names_of_any_characters_are_drawn_and_stand_in_columns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [desk.paths.root / name for name in ("写真.png", "a\nb\x1b.png", "c.png", os.fsdecode(b"d\xef.png"))]
    for path in paths:
        path.write_bytes(encode_png(FACE))
    titles = []
    write = contact_sheet.make_tile
    monkeypatch.setattr(contact_sheet, "make_tile", lambda found: titles.append(write(found)) or titles[-1])
    assert desk.predict(*paths, "--model", desk.model, "--save", desk.paths.root / "drawn.jpg").returncode == 0
    assert [tile.name for tile in titles] == ["写真.png", r"a\nb\x1b.png", "c.png", r"d\udcef.png"]
    header, *rows = desk.predict(*paths, paths[2], paths[2], "--model", desk.model).stdout.split("\n\n")[0].splitlines()
    end = header.index("face") + len("face")
    assert [row[end - 2 : end] for row in rows] == [" 1"] * 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o000)
    (item,) = expand([str(tmp_path)])
    assert item.error == "Permission denied"


# Odd files, each read as the face that it shows.


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def turned(path: Path) -> Path:
    """As a phone held sideways stores it: the pixels lie, and EXIF says how to turn them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(path, Image.fromarray(np.rot90(FACE)), exif=exif, quality=95)


ODD_FILES: dict[str, Callable[[Path], Path]] = {
    "cmyk.jpg": lambda path: saved(path, Image.fromarray(FACE).convert("RGB").convert("CMYK"), quality=95),
    "sixteen_bits.png": lambda path: saved(path, Image.fromarray(FACE.astype(np.uint16) * 257)),
    "twelve_bits.png": lambda path: saved(path, Image.fromarray(FACE.astype(np.uint16) * 16)),
    "fractions.tif": lambda path: saved(path, Image.fromarray(FACE / np.float32(255))),
    "turned.jpg": turned,
    "animation.gif": lambda path: saved(
        path, Image.fromarray(FACE), save_all=True, append_images=[Image.fromarray(255 - FACE)]
    ),
    "transparent.png": lambda path: saved(path, Image.fromarray(FACE).convert("RGBA")),
    "palette.png": lambda path: saved(path, Image.fromarray(FACE).convert("P")),
    "progressive.jpg": lambda path: saved(path, Image.fromarray(FACE), progressive=True, quality=95),
    "lossless.webp": lambda path: saved(path, Image.fromarray(FACE).convert("RGB"), lossless=True),
    "tiff_that_is_called.png": lambda path: saved(path, Image.fromarray(FACE), format="TIFF"),
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_an_odd_file_is_read_as_the_face_that_it_shows(desk: Desk, name: str) -> None:
    path = ODD_FILES[name](desk.paths.root / name)
    done = desk.predict(path, desk.model, "--json")
    assert done.returncode == 0, done.stderr
    (said,) = json.loads(done.stdout)["faces"]
    tolerance = 0.05 if path.suffix == ".jpg" else 0.005
    assert said["probabilities"] == pytest.approx(expected(FACE), abs=tolerance)
    animated = f"{path}: holds several pictures, of which the first is read\n"
    assert done.stderr == (animated if name == "animation.gif" else "")


def test_a_photo_that_nobody_turned_gives_what_the_upright_one_gives(desk: Desk) -> None:
    scene = draw_scene([SyntheticFace(220, 120, 200)])
    upright, lying = (desk.picture(f"{turns}.png", np.rot90(scene, turns)) for turns in (0, 1))
    (expected_face,), (found,) = (said["faces"] for said in desk.ask(upright, lying, "--model", desk.model))
    assert found["probabilities"] == expected_face["probabilities"]
    x, y, width, height = expected_face["box"]
    assert found["box"] == [y, 640 - x - width, height, width]


def test_what_no_face_can_be_found_in_harms_none_of_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures one pixel wide, of numbers that are none, nearly black; the sheet shows all that can be shown."""
    monkeypatch.delenv("DISPLAY", raising=False)
    good = desk.picture("good.png", FACE)
    thin, flat = (desk.picture(f"{name}.png", np.zeros(shape, np.uint8)) for name, shape in THIN.items())
    broken = saved(desk.paths.root / "nan.tiff", Image.fromarray(np.full((20, 20), np.nan, np.float32)))
    sheet = desk.paths.root / "sheet.png"
    done = desk.predict(thin, flat, broken, good, "--model", desk.model, "--save", sheet, "--json")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert [said["error"] and said["error"].split(";")[0] for said in predictions] == [
        "no face found",
        "no face found",
        "damaged image (none of its pixels is a finite number)",
        None,
    ]
    with Image.open(sheet) as image:
        assert max(image.size) < 4000
    for path in (thin, flat):
        target = desk.paths.root / "one.png"
        desk.predict(path, "--detector", "none", "--model", desk.model, "--save", target)
        with Image.open(target) as image:
            assert max(image.size) < 4000


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_truncated_file_is_named_and_never_a_traceback(desk: Desk, form: str) -> None:
    buffer = BytesIO()
    noise = np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, form)
    names = []
    for part in (0.02, 0.3, 0.6, 0.9):
        path = desk.paths.root / f"{part}.jpg"
        path.write_bytes(buffer.getvalue()[: int(part * len(buffer.getvalue()))])
        names.append(path)
    predictions = desk.ask(*names, "--model", desk.model, "--detector", "none")
    assert [prediction["input"] for prediction in predictions] == [str(name) for name in names]
    for prediction in predictions:
        assert prediction["faces"] == []
        assert "image" in prediction["error"]


def test_changed_bytes_are_read_or_named_and_never_a_traceback(desk: Desk) -> None:
    rng = np.random.default_rng(8)
    names = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        buffer = BytesIO()
        Image.fromarray(FACE).save(buffer, form)
        for number in range(8):
            data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
            places = rng.integers(0, min(len(data), 200), 5)
            data[places] = rng.integers(0, 256, 5)
            path = desk.paths.root / f"{form}{number}.img"
            path.write_bytes(data.tobytes())
            names.append(path)
    predictions = desk.ask(*names, "--model", desk.model, "--detector", "none")
    assert len(predictions) == len(names)
    assert all((prediction["error"] is None) == bool(prediction["faces"]) for prediction in predictions)


def huge_png(path: Path) -> Path:
    """A header that claims 40,000×25,000 pixels, and next to nothing behind it."""
    data = bytearray(encode_png(np.zeros((1, 1), np.uint8)))
    data[16:24] = struct.pack(">II", 40_000, 25_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


def huge_bmp(path: Path) -> Path:
    """A whole file of 3 GB, of which the disk holds the header alone."""
    header = struct.pack("<2sIHHI", b"BM", 3_000_000_054 & 0xFFFFFFFF, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 40_000, 25_000, 1, 24, 0, 3_000_000_000, 0, 0, 0, 0)
    path.write_bytes(header)
    os.truncate(path, 3_000_000_054)
    return path


@pytest.mark.parametrize("make", [huge_png, huge_bmp])
def test_a_picture_of_a_billion_pixels_is_refused_unread(desk: Desk, make: Callable[[Path], Path]) -> None:
    path = make(desk.paths.root / "huge.png")
    good = desk.picture("good.png", FACE)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = desk.predict(path, good, "--model", desk.model)
    assert "pixels" in error_line(done)
    assert done.stdout.startswith(f"{good}: ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # kilobytes


# Unsure.


def test_below_the_threshold_the_prediction_is_unsure_everywhere(desk: Desk) -> None:
    paths = [desk.picture(f"{number}.png", pixels) for number, pixels in enumerate(draw_images(4, seed=3))]
    plain = desk.ask(*paths, "--model", desk.model)
    confidences = sorted(prediction["faces"][0]["confidence"] for prediction in plain)
    threshold = (confidences[1] + confidences[2]) / 2
    table = desk.paths.root / "predictions.csv"
    options = ("--model", desk.model, "--abstain-below", threshold)
    abstained = desk.ask(*paths, *options, "--csv", table)
    text = desk.predict(*paths, *options).stdout
    for before, after, row in zip(plain, abstained, read_table(table), strict=True):
        (sure,), (said,) = before["faces"], after["faces"]
        emotion = "unsure" if sure["confidence"] < threshold else sure["emotion"]
        assert said == {**sure, "emotion": emotion}
        assert row["emotion"] == emotion
        assert f"{before['input']}: {emotion} ({sure['confidence']:.1%})" in text
    assert [prediction["faces"][0]["emotion"] for prediction in abstained].count("unsure") == 2
    assert "outside 0-1" in error_line(desk.predict(paths[0], desk.model, "--abstain-below", 1.5), 2)


# Many pictures.


def test_a_folder_gets_a_table_and_a_sheet_beside_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    folder = desk.paths.root / "photos"
    folder.mkdir()
    for number, pixels in enumerate(draw_images(3, seed=3)):
        desk.picture(f"photos/{number}.png", pixels)
    desk.picture("photos/nobody.png", blank())
    before = tree(folder)
    done = desk.predict("photos", desk.model, "--visualize")
    assert done.returncode == 1
    assert error_line(done).startswith("error: photos/nobody.png: no face found")
    header, *rows, empty, summary, sheet = done.stdout.splitlines()
    assert header.split() == ["picture", "face", "emotion", "confidence", "anger", "fear", "calm", "surprise"]
    assert [row.split()[:2] for row in rows] == [[f"photos/{number}.png", "1"] for number in range(3)]
    assert empty == ""
    assert summary.startswith("4 pictures, 3 faces: ")
    assert summary.endswith("; 1 without a prediction")
    assert sheet == str(desk.paths.root / "photos_emotions.png")
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert tree(folder) == before


@pytest.mark.parametrize("ending", ["png", "jpg", "pdf", "svg"])
def test_save_writes_what_the_ending_says(desk: Desk, ending: str) -> None:
    starts = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "pdf": b"%PDF", "svg": b"<?xml"}
    first, second = (desk.picture(f"{number}.png", pixels) for number, pixels in enumerate(draw_images(2, seed=3)))
    for inputs in ([first], [first, second]):
        target = desk.paths.root / f"{len(inputs)}.{ending}"
        done = desk.predict(*inputs, "--model", desk.model, "--save", target)
        assert done.stdout.splitlines()[-1] == str(target)
        content = target.read_bytes()
        assert content.startswith(starts[ending])
        desk.predict(*inputs, "--model", desk.model, "--save", target)
        # The parts of an SVG get other names each time.
        assert ending == "svg" or target.read_bytes() == content


def test_save_refuses_before_it_predicts_what_it_could_not_write(desk: Desk) -> None:
    path = desk.picture("a.png", FACE)
    clip = desk.paths.root / "clip.avi"
    clip.write_bytes(b"")
    for inputs, target, words in (
        ([path], "prediction.bmp", "a picture is written to a file that ends in .png, .jpg, .jpeg, .pdf, .svg"),
        ([path], "prediction", "a picture is written to a file that ends in"),
        ([path], path, "this is the input itself"),
        ([clip], "prediction.png", "a video is written to a file that ends in .mp4"),
        ([clip, path], "prediction.mp4", "--save takes pictures, or one video"),
    ):
        done = desk.predict(*inputs, "--model", desk.model, "--save", target)
        assert words in error_line(done, 2)
        assert done.stdout == ""
    assert np.array_equal(read_picture(path), FACE)


def test_a_table_takes_no_picture_s_place(desk: Desk) -> None:
    """As in `--csv *.png`, where the shell puts the first picture behind the option."""
    first, second = (desk.picture(f"{name}.png", FACE) for name in "ab")
    for inputs, target in (([second], first), ([first], first), ([first], "clip.mp4"), ([first], "run.json")):
        done = desk.predict(*inputs, "--model", desk.model, "--csv", target)
        assert f"--csv {target}: a table takes no picture's, video's or model's name" in error_line(done, 2)
        assert done.stdout == ""
    os.mkfifo(desk.paths.root / "pipe")
    for target in ("pipe", desk.paths.root):
        done = desk.predict(first, "--model", desk.model, "--csv", target)
        assert f"--csv {target}: a folder, device or pipe is there" in error_line(done, 2)
    assert "an empty argument" in error_line(desk.predict(first, "--model", desk.model, "--csv", ""), 2)
    odd = saved(desk.paths.root / "face.odd", Image.fromarray(FACE), format="PNG")
    assert "this is the input itself" in error_line(desk.predict(odd, "--model", desk.model, "--csv", odd), 2)
    assert all(np.array_equal(read_picture(path), FACE) for path in (first, second))


def test_visualize_without_a_screen_writes_beside_the_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    path = desk.picture("photo.jpg", draw_scene([SyntheticFace(100, 100, 160), SyntheticFace(380, 150, 160)]))
    done = desk.predict(path, desk.model, "--visualize", "--json")
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == [str(path)]
    assert done.stderr == f"{desk.paths.root / 'photo_emotions.png'}\n"
    assert (desk.paths.root / "photo_emotions.png").is_file()


def test_yunet_without_its_file_is_wrong_usage_before_any_prediction(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(YUNET_VARIABLE, raising=False)
    done = desk.predict(desk.picture("a.png", FACE), desk.model, "--detector", "yunet")
    assert YUNET_VARIABLE in error_line(done, 2)
    assert done.stdout == ""


def test_a_face_is_cropped_in_prediction_as_in_training(desk: Desk) -> None:
    """A scene of CK+ and a user's photo of the same pixels: the same 48×48 go into the network."""
    path = desk.picture("S005_001_00000001.png", draw_scene([SyntheticFace(220, 120, 200)]))
    (found,) = search([SourceImage(path, "anger", Reading.SCENE)])
    assert found.largest is not None
    trained_on = found.largest.read_as(GREY_FACE)
    (prediction,) = desk.ask(path, desk.model)
    assert prediction["faces"][0]["probabilities"] == pytest.approx(expected(trained_on), abs=1e-6)


# The sheet.


def test_the_sheet_can_be_read_and_says_what_it_leaves_out() -> None:
    probabilities = {"anger": 0.9, "fear": 0.1}
    face = Prediction(None, "anger", 0.9, probabilities)
    several = PicturePredictions("photos/several.png", FACE, [face] * 7, None)
    long = PicturePredictions(
        "photos/" + "a" * 120 + "_end.png", FACE, [Prediction(None, "unsure", 0.3, probabilities)], None
    )
    failed = PicturePredictions(
        "photos/nobody$.png", None, [], "no face found; use --detector none when the picture is a face"
    )
    tiles = [contact_sheet.make_tile(prediction) for prediction in (several, long, failed)]
    figure = contact_sheet._sheet_figure(tiles, 1500, "Predictions of emotorch")
    assert_legible(figure)
    said = texts(figure)
    assert "Predictions of emotorch: the first 3 of 1,500" in " ".join(said).replace("\n", " ")
    assert {"1 anger 90%", "2 anger 90%", "and 5 more faces", "unsure 30%", "no face found", "not readable"} <= {*said}
    assert any(text.startswith("aaa") and text.endswith("_end.png") and "…" in text for text in said)


def test_a_tile_shows_the_picture_with_the_box_where_the_face_is() -> None:
    pixels = np.full((400, 800), 100, np.uint8)
    face = Prediction(Box(200, 100, 160, 160), "anger", 0.9, {"anger": 0.9, "fear": 0.1})
    tile = contact_sheet.make_tile(PicturePredictions("a.png", pixels, [face], None))
    assert tile.pixels is not None
    assert tile.pixels.shape == (120, 240, 3)
    rows, columns = np.nonzero((tile.pixels != 100).any(axis=2))
    assert (rows.min(), rows.max()) == pytest.approx((30, 78), abs=3)
    assert (columns.min(), columns.max()) == pytest.approx((60, 108), abs=3)


def test_the_boxes_stay_right_on_a_colour_photo_that_is_turned(desk: Desk) -> None:
    """Predictions are for the upright picture, and so is what is drawn."""
    scene = cv2.cvtColor(draw_scene([SyntheticFace(60, 60, 200)]), cv2.COLOR_GRAY2RGB)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = desk.paths.root / "turned.jpg"
    Image.fromarray(np.rot90(scene)).save(path, exif=exif, quality=95)
    assert read_photo(path).shape == (*scene.shape[:2], 3)
    assert np.abs(read_photo(path)[:, :, 1].astype(int) - read_picture(path)).max() <= 3
