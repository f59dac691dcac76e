"""Videos: faces are followed fast and in their places, frames get predictions with their time, copies are whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, refusal
from desk import Desk, expected
from drawing import assert_legible, texts
from running import PREDICT, error_line, read_table
from scenes import HEIGHT, WIDTH, SyntheticFace, draw_scene, write_clip

from emotorch.data.detectors import Detector, open_detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box, cut_face
from emotorch.data.images import Pixels, to_grey
from emotorch.inference import timeline
from emotorch.inference.predictions import Prediction
from emotorch.inference.video import FaceTracker, Frame, FramePredictions, Video
from emotorch.inference.video_output import VIDEO_CODECS, draw_predictions, write_video
from emotorch.paths import REPOSITORY

pytestmark = pytest.mark.slow


def walk(frames: int) -> list[list[SyntheticFace]]:
    """One face walks to the right; another shows itself from frame 15 to 39."""
    steps = []
    for frame in range(frames):
        faces = [SyntheticFace(20 + 3 * frame, 150 + round(20 * np.sin(frame / 8)), 150)]
        if 15 <= frame < 40:
            faces.append(SyntheticFace(450, 40, 130, seed=11))
        steps.append(faces)
    return steps


def opened(name: str) -> Detector:
    detector = open_detector(name)
    assert detector is not None
    return detector


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", walk(30))


def frames_of(path: Path) -> list[Pixels]:
    return [frame.colours for frame in Video(str(path))]


# Following faces.


def test_a_face_keeps_its_number_and_its_box_is_the_full_search_s() -> None:
    detector = opened("haar")
    tracker = FaceTracker(detector)
    overlaps = []
    for step, faces in enumerate(walk(60)):
        scene = draw_scene(faces)
        boxes = tracker.update(scene)
        assert 1 in boxes, f"frame {step}"
        assert faces[0].holds(boxes[1].box), f"frame {step}"
        if 15 + 10 <= step < 40:
            assert faces[1].holds(boxes[2].box), f"frame {step}"
        elif step < 15 or step >= 40:
            assert set(boxes) == {1}, f"frame {step}"
        (full, *_) = find_faces(scene, detector)
        overlaps.append(max(full.box.overlap(other.box) for other in boxes.values()))
    assert np.mean(overlaps) > 0.85


def test_a_face_that_hides_for_a_moment_keeps_its_number_and_a_new_one_gets_the_next() -> None:
    tracker = FaceTracker(opened("haar"))
    here, there = SyntheticFace(60, 100, 160), SyntheticFace(400, 100, 160, seed=11)

    def numbers(faces: list[SyntheticFace], frames: int) -> set[int]:
        return set().union(*(tracker.update(draw_scene(faces)) for _ in range(frames)))

    assert numbers([here], 4) == {1}
    assert numbers([], 6) == set()
    assert numbers([here], 4) == {1}
    assert numbers([], 60) == set()
    # After so long it may be anyone.
    assert numbers([here], 4) == {2}
    assert numbers([here, there], 12) == {2, 3}


def test_who_comes_back_near_by_keeps_the_number_and_nobody_takes_another_s() -> None:
    tracker = FaceTracker(opened("haar"))
    first, second = SyntheticFace(60, 60, 140, seed=7), SyntheticFace(420, 60, 140, seed=11)
    for _ in range(4):
        assert set(tracker.update(draw_scene([first, second]))) == {1, 2}
    for _ in range(9):
        tracker.update(draw_scene([]))
    # Both have moved by more than their boxes overlap.
    moved = [SyntheticFace(face.x + 40, face.y + 150, 140, seed=face.seed) for face in (first, second)]
    for _ in range(4):
        faces = tracker.update(draw_scene(moved))
    assert {number: moved[number - 1].holds(face.box) for number, face in faces.items()} == {1: True, 2: True}
    # At the first one's place, but half as large: somebody else.
    for _ in range(9):
        tracker.update(draw_scene([]))
    for _ in range(4):
        faces = tracker.update(draw_scene([SyntheticFace(135, 245, 70, seed=5)]))
    assert set(faces) == {3}


def test_most_frames_are_not_searched_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    full = []
    monkeypatch.setattr(
        "emotorch.inference.video.find_faces",
        lambda pixels, detector, thorough: full.append(thorough) or find_faces(pixels, detector, thorough=thorough),
    )
    tracker, scene = FaceTracker(opened("haar")), draw_scene([SyntheticFace(200, 100, 160)])
    for _ in range(41):
        assert tracker.update(scene)
    assert full == [False] * 5


# Reading.


def test_a_video_gives_its_frames_with_their_seconds(clip: Path) -> None:
    video = Video(str(clip))
    frames = list(video)
    assert (video.rate, video.count, video.error) == (25, 30, None)
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(30)], abs=1e-3)
    assert frames[0].colours.shape == (HEIGHT, WIDTH, 3)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    missing, text, empty = (tmp_path / name for name in ("missing.mp4", "text.mp4", "empty.mp4"))
    text.write_text("no video")
    empty.write_bytes(b"")
    with refusal(f"{missing}: no such file"):
        Video(str(missing))
    for path in (text, empty):
        with refusal(f"{path}: not a video that can be read, or damaged"):
            Video(str(path))
    with refusal("97: no camera of this number, or another program uses it"):
        Video("97")


def test_of_what_is_no_video_opencv_and_ffmpeg_say_nothing(tmp_path: Path) -> None:
    """Their own complaints pass by Python's standard error: a process of its own tells."""
    (tmp_path / "text.mp4").write_text("no video")
    program = """
from emotorch.errors import EmoTorchError
from emotorch.inference.video import Video
for name in ("text.mp4", "97"):
    try:
        Video(name)
    except EmoTorchError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["text.mp4", "97"]
    assert done.stderr == ""


def test_a_video_that_is_cut_short_says_after_how_many_frames(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", walk(30))
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    video = Video(str(cut))
    read = len(list(video))
    assert 5 < read < 25
    assert video.error == f"damaged after {read} of 30 frames"


# Writing.


@pytest.mark.parametrize("ending", VIDEO_CODECS)
def test_every_kind_of_video_is_written_whole_and_can_be_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"copy{ending}"
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(12)]
    assert write_video(path, iter(frames), 25) == 12
    copies = frames_of(path)
    assert len(copies) == 12
    assert [abs(float(copy.mean()) - 10 * number) < 6 for number, copy in enumerate(copies)] == [True] * 12
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_without_frames_no_video_is_written(tmp_path: Path) -> None:
    assert write_video(tmp_path / "copy.mp4", iter([]), 25) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_frame_s_picture_has_boxes_and_bars_that_hide_no_face() -> None:
    probabilities = {"anger": 0.7, "fear": 0.1, "calm": 0.1, "surprise": 0.1}
    places = [Box(60, 100, 150, 150), Box(260, 110, 150, 150), Box(470, 100, 150, 150)]
    faces = [Prediction(box, "anger", 0.7, probabilities) for box in places]
    frame = Frame(0.0, np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
    drawn = draw_predictions(frame, FramePredictions("clip.mp4", 0.0, (1, 2, 3), faces))
    assert drawn.shape == frame.colours.shape
    for box in places:
        inside = Box(box.x + 5, box.y + 5, box.width - 10, box.height - 10)
        assert (inside.cut(drawn) == 128).all()
        assert tuple(drawn[box.y + box.height // 2, box.x + 2]) == (0, 159, 230)  # orange, as blue, green, red
    assert (frame.colours == 128).all()


# Through the script.


def test_a_video_s_frames_are_predicted_for_as_pictures_are(desk: Desk, clip: Path) -> None:
    predictions = desk.ask(clip, "--model", desk.model)
    assert [prediction["time"] for prediction in predictions] == pytest.approx(
        [number / 25 for number in range(30)], abs=1e-3
    )
    for prediction, colours in list(zip(predictions, frames_of(clip), strict=True))[::9]:
        assert set(prediction) == {"input", "model", "detector", "faces", "error", "time", "numbers"}
        assert len(prediction["numbers"]) == len(prediction["faces"])
        assert (prediction["input"], prediction["error"]) == (str(clip), None)
        grey = to_grey(np.ascontiguousarray(colours[:, :, ::-1]))
        for said in prediction["faces"]:
            assert said["probabilities"] == pytest.approx(expected(cut_face(grey, Box(*said["box"]))), abs=1e-5)
    assert sum(bool(prediction["faces"]) for prediction in predictions) == 30


def test_save_writes_a_copy_of_all_frames_and_a_timeline(desk: Desk, clip: Path) -> None:
    copy, table = desk.paths.root / "out" / "copy.mp4", desk.paths.root / "out" / "predictions.csv"
    done = desk.predict(clip, desk.model, "--save", copy, "--csv", table)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(copy), str(copy.with_name("copy_timeline.png"))]
    assert lines[2].startswith(f"{clip}: 30 frames in 1.2 s, 30 with a face, ")
    copies, originals = frames_of(copy), frames_of(clip)
    assert len(copies) == len(originals)
    assert np.abs(copies[5].astype(int) - originals[5]).max() > 100
    header = table.read_text().splitlines()[0]
    assert header == "input,time,face,x,y,width,height,emotion,confidence,anger,fear,calm,surprise,error"
    rows = read_table(table)
    assert {row["time"] for row in rows} == {f"{number / 25:.3f}" for number in range(30)}
    assert {row["face"] for row in rows} <= {"1", "2"}
    assert sum(row["face"] == "1" for row in rows) == 30


def test_the_table_has_a_row_for_every_frame_also_without_a_face(desk: Desk) -> None:
    here = [SyntheticFace(60, 60, 150)]
    clip = write_clip(desk.paths.root / "clip.avi", [*[here] * 4, *[[]] * 5, *[here] * 6])
    table = desk.paths.root / "table.csv"
    assert desk.predict(clip, desk.model, "--csv", table, "--detector", "haar").returncode == 0
    rows = read_table(table)
    assert [row["time"] for row in rows] == [f"{number / 25:.3f}" for number in range(15)]
    nobody = [row for row in rows if not row["face"]]
    assert 3 <= len(nobody) <= 7
    assert {row["face"] for row in rows} == {"1", ""}
    for row in nobody:
        assert {column: value for column, value in row.items() if value} == {"input": str(clip), "time": row["time"]}


ODD_NAMES = ["12:30.avi", "file:clip.avi", "a b'c.avi", "%03d.avi", "-clip.avi", "clip\udce9.avi", "d\udce9/clip.avi"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_video_of_any_name_is_read_and_its_copy_written(
    desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.paths.root / name
    try:
        path.parent.mkdir(exist_ok=True)
        write_clip(desk.paths.root / "plain.avi", walk(2)).rename(path)
    except OSError:
        pytest.skip("this file system has no such names")
    monkeypatch.delenv("DISPLAY", raising=False)
    relative = name if not name.startswith("-") else f"./{name}"
    done = desk.predict(relative, "--model", desk.model, "--csv", "table.csv", "--visualize")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(frames_of(path.with_name(f"{path.stem}_emotions.mp4"))) == 2
    assert path.with_name(f"{path.stem}_emotions_timeline.png").stat().st_size > 1000
    (shown,) = {row["input"] for row in read_table(desk.paths.root / "table.csv")}
    defused = f"'{name}" if name.startswith("-") else name  # a spreadsheet would run it
    assert shown == defused.replace("\udce9", "\\udce9")


def test_a_name_that_is_no_utf_8_comes_back_in_json(desk: Desk, exported: Path) -> None:
    """In a process of its own: only there it is printed."""
    path = desk.paths.root / "face\udce9.png"
    try:
        desk.picture("face.png", draw_images(1, seed=3)[0]).rename(path)
    except OSError:
        pytest.skip("this file system has no such names")
    command = [sys.executable, str(REPOSITORY / PREDICT), "--model", str(exported)]
    done = subprocess.run([*command, path.name, "--json"], cwd=path.parent, capture_output=True, check=True)
    assert json.loads(done.stdout.decode("utf-8"))["input"] == path.name
    twice = [path.name, path.name, "--save", "sheet.png"]
    sheet = subprocess.run([*command, *twice], cwd=path.parent, capture_output=True, check=True)
    assert sheet.stdout.decode("utf-8").startswith("face\\udce9.png: ")
    missing = subprocess.run([*command, "gone\udce9.png"], cwd=path.parent, capture_output=True)
    assert missing.stderr.decode("utf-8") == "error: gone\\udce9.png: no such file or folder\n"


def test_visualize_gives_each_of_several_videos_its_copy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    for name in ("a.avi", "b.avi"):
        write_clip(desk.paths.root / name, walk(3))
    done = desk.predict("a.avi", "b.avi", "--model", desk.model, "--visualize", "--abstain-below", 1)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in desk.paths.root.iterdir() if "emotions" in path.name}
    assert written == {f"{name}_emotions{ending}" for name in "ab" for ending in (".mp4", "_timeline.png")}
    assert "predictions: unsure 100%" in done.stdout


def test_a_video_without_a_face_and_a_broken_one_are_errors_and_the_rest_goes_on(desk: Desk, clip: Path) -> None:
    nobody = write_clip(desk.paths.root / "nobody.avi", [[]] * 5)
    broken = desk.paths.root / "broken.mp4"
    broken.write_text("no video")
    done = desk.predict(broken, nobody, clip, "--model", desk.model)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {broken}: not a video that can be read, or damaged",
        f"error: {nobody}: no face found in any of 5 frames",
    ]
    assert f"{clip}: 30 frames" in done.stdout
    predictions = desk.ask(broken, nobody, "--model", desk.model)
    assert [prediction["error"] for prediction in predictions] == [
        "not a video that can be read, or damaged",
        *[None] * 5,
        "no face found in any of 5 frames",
    ]


def test_without_a_detector_each_frame_is_a_face(desk: Desk, clip: Path) -> None:
    predictions = desk.ask(clip, "--model", desk.model, "--detector", "none", "--frames", 2)
    assert [[face["box"] for face in prediction["faces"]] for prediction in predictions] == [[None], [None]]


def test_a_camera_is_predicted_for_until_so_many_frames(
    desk: Desk, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    done = desk.predict("--webcam", clip, "--frames", 4, "--model", desk.model, "--json")
    assert done.returncode == 0, done.stderr
    assert [len(json.loads(line)["faces"]) for line in done.stdout.splitlines()] == [1, 1, 1, 1]


def test_a_camera_without_a_screen_or_that_is_not_there_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert "there is no screen here" in error_line(desk.predict("--webcam", "--model", desk.model))
    # A screen that nobody serves would end the process, if a window were tried.
    monkeypatch.setenv("DISPLAY", ":987")
    assert "there is no screen here" in error_line(desk.predict("--webcam", "--model", desk.model))
    (prediction,) = desk.ask("--webcam", 97, "--model", desk.model)
    assert prediction["error"] == "no camera of this number, or another program uses it"
    assert "--webcam takes no INPUT" in error_line(desk.predict("a.png", "--webcam", "--model", desk.model), 2)


# The timeline.


def predicted(times: list[float], numbers: list[list[int]], emotion: str = "anger") -> list[FramePredictions]:
    face = Prediction(None, emotion, 0.6, {"anger": 0.6, "fear": 0.4})
    return [
        FramePredictions("clip.mp4", time, tuple(present), [face] * len(present))
        for time, present in zip(times, numbers, strict=True)
    ]


def test_the_timeline_can_be_read_and_says_whom_it_leaves_out() -> None:
    times = [number / 25 for number in range(50)]
    everybody = [*range(1, timeline._MOST_PEOPLE + 2)]
    frames = predicted(times, [everybody if 10 < number < 20 + 5 else [1] for number in range(50)])
    figure = timeline._timeline_figure(frames, ["anger", "fear"], "clip$.mp4")
    assert_legible(figure)
    said = " ".join(texts(figure))
    assert "Person 1: in sight in 50 of 50 frames, on average anger" in said
    assert "Person 2: in sight in 14 of 50 frames" in said
    assert "Person 13" not in said
    assert "The 12 people seen most, of 13." in said
    assert said.count("Time (s)") == 12


def test_the_timeline_s_steps_are_the_probabilities_where_the_face_is_in_sight() -> None:
    frames = predicted([0.0, 0.5, 1.0, 1.5], [[1], [], [1], [1]])
    figure = timeline._timeline_figure(frames, ["anger", "fear"], "clip.mp4")
    steps = {
        axes.get_ylabel(): [patch.get_data() for patch in axes.patches] for axes in figure.findobj(type(figure.axes[0]))
    }
    for label, percent in (("anger", 60), ("fear", 40)):
        data = steps[label][0]
        assert data.edges.tolist() == [0, 0.5, 1.0, 1.5, 2.0]
        assert np.array_equal(data.values, [percent, np.nan, percent, percent], equal_nan=True)
    # The prediction's steps are drawn again, in blue; the other label has none.
    assert np.isfinite(steps["anger"][1].values).sum() == 3
    assert np.isnan(steps["fear"][1].values).all()


def test_a_video_of_one_frame_or_without_a_face_has_a_timeline_too() -> None:
    assert_legible(timeline._timeline_figure(predicted([0.0], [[1]], "unsure"), ["anger", "fear"], "one"))
    assert "No face was found." in texts(timeline._timeline_figure(predicted([0.0, 1.0], [[], []]), ["anger"], "none"))
