import cv2
import numpy as np
import pytest
import torch
from conftest import draw_images
from desk import Desk, blank, expected
from PIL import Image
from published import LABELS, published_state
from running import error_line, read_table

from emotorch.data.detectors import open_detector
from emotorch.data.images import Pixels, resize


def face(side: int) -> Pixels:
    """A synthetic face that a detector of real ones finds."""
    pixels = np.full((round(1.5 * side), 2 * side), 120, np.uint8)
    middle, centre = side, round(0.75 * side)

    def ellipse(x: float, y: float, width: float, height: float, grey: int) -> None:
        centre_point = (round(middle + x * side), round(centre + y * side))
        axes = (max(1, round(width * side)), max(1, round(height * side)))
        cv2.ellipse(pixels, centre_point, axes, 0, 0, 360, grey, -1)

    ellipse(0, -0.12, 0.43, 0.5, 30)
    ellipse(0, 0.02, 0.36, 0.47, 200)
    for eye in (-0.15, 0.15):
        ellipse(eye, -0.08, 0.1, 0.06, 130)
        ellipse(eye, -0.08, 0.08, 0.035, 160)
        ellipse(eye, -0.08, 0.035, 0.035, 40)
        ellipse(eye, -0.17, 0.11, 0.025, 60)
    ellipse(0, 0.05, 0.03, 0.15, 240)
    ellipse(0, 0.27, 0.13, 0.03, 100)
    return cv2.GaussianBlur(pixels, (0, 0), side / 30)


def test_a_48_by_48_picture_is_the_face_itself_and_gets_the_network_s_prediction(desk: Desk) -> None:
    emotions = set()
    for number, pixels in enumerate(draw_images(8, seed=3)):
        path = desk.picture(f"{number}.png", pixels)
        (prediction,) = desk.ask(path, "--model", "model_00224_final")
        (said,) = prediction["faces"]
        assert said["box"] is None
        assert said["probabilities"] == pytest.approx(expected(pixels), abs=1e-6)
        assert said["emotion"] == max(said["probabilities"], key=said["probabilities"].get)
        emotions.add(said["emotion"])
    assert len(emotions) > 1


def test_the_model_s_temperature_sets_how_sure_it_is_but_not_the_emotion(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    (before,) = desk.ask(path, desk.model)
    torch.save({**published_state(), "temperature": 0.25}, desk.model)
    (after,) = desk.ask(path, desk.model)
    assert after["faces"][0]["probabilities"] == pytest.approx(expected(draw_images(1, seed=3)[0], 0.25), abs=1e-6)
    assert after["faces"][0]["emotion"] == before["faces"][0]["emotion"]
    assert after["faces"][0]["confidence"] > before["faces"][0]["confidence"]


def test_json_is_one_object_per_input_with_just_the_contract_s_keys(desk: Desk) -> None:
    first, second = (desk.picture(f"{number}.png", image) for number, image in enumerate(draw_images(2, seed=4)))
    predictions = desk.ask(first, "missing.png", second, "--model", desk.model)
    assert [prediction["input"] for prediction in predictions] == [str(first), "missing.png", str(second)]
    for prediction in predictions:
        assert set(prediction) == {"input", "model", "detector", "faces", "error"}
        assert prediction["model"] == str(desk.model)
        for said in prediction["faces"]:
            assert set(said) == {"box", "emotion", "confidence", "probabilities"}
            assert tuple(said["probabilities"]) == LABELS
            assert sum(said["probabilities"].values()) == pytest.approx(1, abs=1e-6)
            assert said["confidence"] == said["probabilities"][said["emotion"]]
    assert [len(prediction["faces"]) for prediction in predictions] == [1, 0, 1]
    assert [prediction["detector"] for prediction in predictions] == ["none", None, "none"]
    assert [prediction["error"] is None for prediction in predictions] == [True, False, True]


@pytest.mark.parametrize("name", ["auto", "haar", "none"])
def test_json_names_the_detector_that_was_used(desk: Desk, name: str) -> None:
    used = open_detector(name)
    found, nobody = desk.picture("face.png", face(200)), desk.picture("nobody.png", blank())
    for prediction in desk.ask(found, nobody, "--model", desk.model, "--detector", name):
        assert prediction["detector"] == (used.name if used else "none") != "auto"


def test_the_published_call_picture_then_model_works(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    done = desk.predict(path, desk.model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == desk.predict(path, "--model", "model_00224_final").stdout
    probabilities = expected(draw_images(1, seed=3)[0])
    best = max(probabilities, key=probabilities.get)
    first, *rest = done.stdout.splitlines()
    assert first == f"{path}: {best} ({probabilities[best]:.1%})"
    assert [line.split()[:2] for line in rest] == [[label, f"{value:.1%}"] for label, value in probabilities.items()]


def test_a_picture_named_by_an_option_is_an_input_like_others(desk: Desk) -> None:
    one, two = (desk.picture(f"{number}.png", draw_images(1, seed=number)[0]) for number in (3, 4))
    (by_option,), (by_place,) = (desk.ask(*named, desk.model) for named in (("--image", one), (one,)))
    assert by_option == by_place
    both = desk.ask("--image", one, two, "--model", desk.model)
    assert [prediction["input"] for prediction in both] == [str(one), str(two)]


@pytest.mark.parametrize("name", ["large.png", "small.jpg", "colour.png", "wide.bmp"])
def test_without_a_detector_a_picture_of_any_size_is_the_face(desk: Desk, name: str) -> None:
    pixels = draw_images(1, seed=3)[0]
    match name:
        case "large.png":
            pixels = cv2.resize(pixels, (300, 300))
        case "small.jpg":
            pixels = cv2.resize(pixels, (20, 20))
        case "wide.bmp":
            pixels = cv2.resize(pixels, (200, 90))
    path = desk.picture(name, cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if name == "colour.png" else pixels)
    (prediction,) = desk.ask(path, desk.model, "--detector", "none")
    read = np.asarray(Image.open(path).convert("L"), np.uint8)
    assert prediction["faces"][0]["box"] is None
    assert prediction["faces"][0]["probabilities"] == pytest.approx(expected(resize(read)), abs=1e-6)


def test_a_face_in_a_picture_is_found_cut_out_and_predicted_for(desk: Desk) -> None:
    pixels = face(200)
    (prediction,) = desk.ask(desk.picture("face.png", pixels), desk.model)
    (said,) = prediction["faces"]
    x, y, width, height = said["box"]
    assert abs(x + width / 2 - 200) < 30
    assert abs(y + height / 2 - 150) < 30
    cut = pixels[y : y + height, x : x + width]
    assert said["probabilities"] == pytest.approx(expected(resize(cut)), abs=1e-6)


def test_two_faces_are_told_of_from_left_to_right(desk: Desk) -> None:
    pixels = np.concatenate([face(160), face(160)[:, ::-1]], axis=1)
    path = desk.picture("two.png", pixels)
    (prediction,) = desk.ask(path, desk.model)
    left, right = prediction["faces"]
    assert left["box"][0] < 320 < right["box"][0] + right["box"][2]
    text = desk.predict(path, desk.model).stdout
    assert f"{path} face 1: {left['emotion']}" in text
    assert f"{path} face 2: {right['emotion']}" in text


def test_a_picture_without_a_face_is_an_error_and_the_others_go_on(desk: Desk) -> None:
    good = desk.picture("good.png", draw_images(1, seed=3)[0])
    done = desk.predict(desk.picture("nobody.png", blank()), good, "--model", desk.model)
    line = error_line(done)
    assert line.startswith(f"error: {desk.paths.root / 'nobody.png'}: no face found")
    assert done.stdout.startswith(f"{good}: ")


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut short"])
def test_what_cannot_be_read_is_named_once_and_the_others_go_on(desk: Desk, kind: str) -> None:
    good = desk.picture("good.png", draw_images(1, seed=3)[0])
    bad = desk.paths.root / "bad.png"
    match kind:
        case "empty":
            bad.write_bytes(b"")
        case "text":
            bad.write_text("no picture")
        case "cut short":
            bad.write_bytes(good.read_bytes()[:100])
    done = desk.predict(bad, good, "--model", desk.model)
    line = error_line(done)
    assert line.startswith(f"error: {bad}: ")
    assert line.count(str(bad)) == 1
    assert done.stdout.startswith(f"{good}: ")
    (said, _) = desk.ask(bad, good, "--model", desk.model)
    assert said["faces"] == []
    assert f"error: {bad}: {said['error']}" == line


def test_a_jpeg_that_is_called_png_is_read(desk: Desk) -> None:
    """A user's picture is not a dataset: its name may lie."""
    path = desk.picture("real.jpg", draw_images(1, seed=3)[0])
    path.rename(path.with_suffix(".png"))
    assert desk.predict(path.with_suffix(".png"), desk.model).returncode == 0


def test_csv_has_a_row_per_face_and_one_for_each_error(desk: Desk) -> None:
    good = desk.picture("good.png", draw_images(1, seed=3)[0])
    found = desk.picture("face.png", face(200))
    table = desk.paths.root / "predictions.csv"
    done = desk.predict(good, found, "missing.png", "--model", desk.model, "--csv", table)
    assert done.returncode == 1
    header, *_ = table.read_text().splitlines()
    assert header == "input,face,x,y,width,height,emotion,confidence,anger,fear,calm,surprise,error"
    rows = read_table(table)
    assert [row["input"] for row in rows] == [str(good), str(found), "missing.png"]
    assert [row["face"] for row in rows] == ["1", "1", ""]
    assert [row["error"] == "" for row in rows] == [True, True, False]
    assert rows[0]["x"] == ""
    assert int(rows[1]["width"]) > 100
    for row, pixels in zip(rows[:1], draw_images(1, seed=3), strict=True):
        assert {label: float(row[label]) for label in LABELS} == pytest.approx(expected(pixels), abs=1e-6)
        assert float(row["confidence"]) == max(float(row[label]) for label in LABELS)


def test_save_writes_a_picture_of_one_input(desk: Desk) -> None:
    path = desk.picture("face.png", face(200))
    picture = desk.paths.root / "out" / "prediction.png"
    done = desk.predict(path, desk.model, "--save", picture)
    assert done.stdout.splitlines()[-1] == str(picture)
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"
        assert image.height >= 300


def test_nothing_is_saved_of_a_picture_that_has_no_prediction(desk: Desk) -> None:
    picture = desk.paths.root / "prediction.png"
    error_line(desk.predict(desk.picture("nobody.png", blank()), desk.model, "--save", picture))
    assert not picture.exists()


def test_what_cannot_be_written_is_named(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    target = path / "predictions.csv"
    assert str(target) in error_line(desk.predict(path, desk.model, "--csv", target))
    target = path / "prediction.png"
    assert str(target) in error_line(desk.predict(path, desk.model, "--save", target))


def test_a_model_that_is_not_there_or_no_model_is_named(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    assert "model_00042" in error_line(desk.predict(path, "--model", "model_00042"), 2)
    for weights in ("missing.pth", "missing.onnx", "missing.safetensors"):
        assert f"{weights}: no such file" in error_line(desk.predict(path, weights), 2)
    (desk.paths.root / "no.pth").write_bytes(b"no model")
    assert "no.pth" in error_line(desk.predict(path, desk.paths.root / "no.pth"))
    assert "name a picture" in error_line(desk.predict(desk.model), 2)


def test_a_folder_without_pictures_and_an_address_are_one_line_each(desk: Desk) -> None:
    (desk.paths.root / "empty").mkdir()
    done = desk.predict(desk.paths.root / "empty", desk.model)
    assert error_line(done).endswith("no pictures in this folder")
    assert done.stdout == ""
    assert "nothing is fetched" in error_line(desk.predict("https://example.org/a.jpg", desk.model))


def test_options_that_there_are_not_are_wrong_usage(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    assert "'guess'" in error_line(desk.predict(path, desk.model, "--detector", "guess"), 2)
    assert "INPUT" in error_line(desk.predict(), 2)


def test_a_model_that_ships_predicts_by_its_name_and_reads_as_fewer_classes(desk: Desk) -> None:
    path = desk.picture("a.png", draw_images(1, seed=3)[0])
    (seven,), (four,) = (desk.ask(path, "--model", "compact", *scheme) for scheme in ((), ("--scheme", "emotorch4")))
    probabilities, read = (prediction["faces"][0]["probabilities"] for prediction in (seven, four))
    assert list(probabilities) == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    kept = {"anger": "angry", "fear": "fear", "calm": "neutral", "surprise": "surprise"}
    total = sum(probabilities[name] for name in kept.values())
    assert read == pytest.approx({label: probabilities[name] / total for label, name in kept.items()}, abs=1e-5)
