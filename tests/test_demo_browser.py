"""The demo's page as a person meets it, in a real browser with a fake camera."""

import base64
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import CHROMEDRIVER, CHROMIUM, FAKE_CAMERA, Browser, Demo, serve_demo, start_browser
from published import LABELS
from test_predictions import blank, face
from test_reader import overflowing

from emotorch.data.images import Pixels
from emotorch.inference.demo import MAX_BYTES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER), reason="no chromium and chromedriver here (Debian: chromium, chromium-driver)"
    ),
]

# The middle of the face that the camera sees, in parts of its picture's width: left of the middle, as the camera sees
# it, and so right of it in the mirror.
CAMERA_FACE = 0.375
FACES = "#faces article"


@pytest.fixture(scope="module")
def demo(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with serve_demo(exported, tmp_path_factory.mktemp("demo") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("chromium")
    camera = write_camera(folder / "camera.y4m")
    with start_browser(folder / "profile", *FAKE_CAMERA, f"--use-file-for-fake-video-capture={camera}") as started:
        yield started


@pytest.fixture
def browser(chromium: Browser, demo: Demo) -> Browser:
    """The page, just loaded; what came before is out of the logs."""
    chromium.open("about:blank")
    chromium.console(), chromium.requests()
    chromium.open(demo.url)
    chromium.wait_for_text("#about", "model")
    return chromium


def write_camera(path: Path) -> Path:
    """Ten frames of a face that does not move, as YUV4MPEG2."""
    shown = face(240)[:, 120:]  # 360 wide; its middle is at 120
    picture = np.full((480, 640), 120, np.uint8)
    left = round(640 * CAMERA_FACE) - 120
    picture[60 : 60 + shown.shape[0], left : left + shown.shape[1]] = shown
    colourless = bytes([128]) * (2 * 320 * 240)
    frame = b"FRAME\n" + picture.tobytes() + colourless
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420mpeg2\n" + 10 * frame)
    return path


def write_picture(folder: Path, name: str, pixels: Pixels) -> Path:
    assert cv2.imwrite(str(folder / name), pixels)
    return folder / name


def two_faces(folder: Path) -> Path:
    return write_picture(folder, "two.png", np.concatenate([face(160), face(160)], axis=1))


def drawn_boxes(browser: Browser) -> list[tuple[float, float]]:
    """From where to where the boxes' blue is in the shown picture, in parts of its width: one pair per box that stands
    apart from the others."""
    blue = browser.run(
        "const view = document.querySelector('#view');"
        "const {data, width} = view.getContext('2d').getImageData(0, 0, view.width, view.height);"
        "const columns = new Set();"
        "for (let at = 0; at < data.length; at += 4)"
        "  if (data[at] < 20 && Math.abs(data[at + 1] - 114) < 20 && Math.abs(data[at + 2] - 178) < 20)"
        "    columns.add(at / 4 % width);"
        "return [[...columns].sort((a, b) => a - b), width];"
    )
    columns, width = np.array(blue[0]), blue[1]
    parts = np.split(columns, np.flatnonzero(np.diff(columns) > 4) + 1)
    return [(part[0] / width, part[-1] / width) for part in parts if part.size]


def assert_bars(browser: Browser, faces: int) -> None:
    """Each face has a bar of each label, as long as its number says, and just the best is bold."""
    cards = browser.run(
        "return [...document.querySelectorAll(arguments[0])].map((card) => [...card.querySelectorAll('tr')].map("
        "  (row) => [row.cells[0].innerText, parseInt(row.cells[2].innerText), row.className,"
        "    100 * row.querySelector('.bar div').offsetWidth / row.querySelector('.bar').offsetWidth,"
        "    row.querySelector('.bar').offsetWidth, getComputedStyle(row.cells[0]).fontWeight]))",
        FACES,
    )
    assert len(cards) == faces
    for rows in cards:
        assert [row[0] for row in rows] == list(LABELS)
        assert sum(row[1] for row in rows) == pytest.approx(100, abs=2)
        for _, percent, _, length, whole, _ in rows:
            assert whole > 80
            assert length == pytest.approx(percent, abs=2)
        best = max(rows, key=lambda row: row[3])
        assert [row for row in rows if row[2] == "best"] == [row for row in rows if row[5] == "700"] == [best]


def settled(browser: Browser) -> None:
    """Bars have come to rest."""
    browser.run("return Promise.all(document.getAnimations().map((moving) => moving.finished)).then(() => 0)")


def test_the_page_loads_without_a_complaint_and_asks_nobody_else(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    assert browser.text("h1") == "What expression does a face show?"
    assert "A guess, not a fact" in browser.text("body")
    assert "anger, fear, calm and surprise" in browser.text("#about")
    browser.choose("#file", two_faces(tmp_path))
    browser.wait_for_text("#status", "2 faces")
    browser.click("#camera")
    browser.wait_for_text(FACES, "%")
    browser.click("#camera")
    assert browser.console() == []
    asked = browser.requests()
    assert {f"{demo.url}", f"{demo.url}about", f"{demo.url}answer?detector=auto"} <= set(asked)
    assert [url for url in asked if not url.startswith((demo.url, "data:"))] == []


def test_nothing_from_elsewhere_could_run_or_be_told(browser: Browser) -> None:
    """The policy at work: a script that got into the page neither runs nor reaches another server."""
    ran = browser.run(
        "const script = document.createElement('script'); script.append('window.ran = true');"
        "document.body.append(script); return window.ran ?? false;"
    )
    assert ran is False
    told = browser.run("return fetch('http://127.0.0.1:9/').then(() => 'told', (problem) => problem.message)")
    assert told == "Failed to fetch"
    complaints = " ".join(browser.console())
    assert "connect-src" in complaints
    assert "script" in complaints


@pytest.mark.parametrize("way", ["choose", "drop"])
def test_a_picture_with_faces_gets_boxes_and_bars(browser: Browser, tmp_path: Path, way: str) -> None:
    path = two_faces(tmp_path)
    if way == "choose":
        browser.choose("#file", path)
    else:
        browser.drop("#stage", path)
    browser.wait_for_text("#status", r"^2 faces, from left to right: \w+ \d+%, \w+ \d+%\.$")
    settled(browser)
    assert_bars(browser, faces=2)
    (left, left_end), (right, right_end) = drawn_boxes(browser)
    assert (left + left_end) / 2 == pytest.approx(0.25, abs=0.03)
    assert (right + right_end) / 2 == pytest.approx(0.75, abs=0.03)
    assert browser.text(f"{FACES} h2").startswith("Face 1: ")
    assert browser.run("return document.querySelector('#view').ariaLabel").startswith("The picture. 2 faces")


def test_a_pasted_picture_is_read(browser: Browser, tmp_path: Path) -> None:
    path = two_faces(tmp_path)
    browser.run(
        "const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));"
        "const data = new DataTransfer(); data.items.add(new File([bytes], 'pasted.png'));"
        "dispatchEvent(Object.assign(new ClipboardEvent('paste', {clipboardData: data})));",
        base64.b64encode(path.read_bytes()).decode(),
    )
    browser.wait_for_text("#status", "2 faces")


def test_it_works_with_keys_alone(browser: Browser) -> None:
    """Tab reaches the buttons in their order, and Enter presses them."""
    tab, enter = "\ue004", "\ue007"
    browser.press(tab)
    assert browser.run("return document.activeElement.id") == "choose"
    browser.press(tab)
    assert browser.run("return document.activeElement.id") == "camera"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press(enter)
    browser.wait_for_text(FACES, "%")
    browser.press(enter)
    browser.wait_for_text("#status", "The camera is off")


def test_a_picture_without_a_face_says_so_and_can_be_taken_as_one(browser: Browser, tmp_path: Path) -> None:
    browser.choose("#file", two_faces(tmp_path))
    browser.wait_for_text("#status", "2 faces")
    browser.choose("#file", write_picture(tmp_path, "nobody.png", blank(300, 400)))
    assert "No face found" in browser.wait_for_text("#error", "face")
    # The prediction before is gone.
    assert browser.text("#faces") == ""
    assert drawn_boxes(browser) == []
    browser.click("#whole")
    browser.wait_for_text("#status", r"^The whole picture as one face: \w+ \d+%\.$")
    assert browser.text("#error") == ""
    settled(browser)
    assert_bars(browser, faces=1)


def test_a_model_that_computes_no_numbers_is_named_and_the_picture_is_not_blamed(
    chromium: Browser, exported: Path, tmp_path: Path
) -> None:
    with serve_demo(overflowing(exported, tmp_path, ".onnx", 3e38), tmp_path / "home") as broken:
        chromium.open(broken.url)
        chromium.choose("#file", two_faces(tmp_path))
        said = chromium.wait_for_text("#error", "numbers")
        assert "The model's outputs for this input are no finite numbers." in said
        assert "Take the whole picture" not in said
        assert chromium.text("#faces") == ""
        chromium.open(broken.url)
        chromium.click("#camera")
        assert "no finite numbers" in chromium.wait_for_text("#error", "numbers")
        assert chromium.text("#camera") == "Use the camera"


def test_what_is_no_picture_is_said_in_plain_words(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_text("no picture")
    browser.choose("#file", path)
    assert "This file cannot be read as a picture" in browser.wait_for_text("#error", "read")
    assert "Take the whole picture" not in browser.text("#error")
    assert browser.text("#empty").startswith("Drop a picture here")


def test_what_is_too_large_is_not_even_sent(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(bytes(MAX_BYTES + 1))
    browser.choose("#file", path)
    assert "too large: at most 25 MB" in browser.wait_for_text("#error", "large")
    assert not [url for url in browser.requests() if "answer" in url]


def test_a_picture_that_the_browser_cannot_show_is_read_all_the_same(browser: Browser, tmp_path: Path) -> None:
    browser.choose("#file", write_picture(tmp_path, "face.tiff", face(200)))
    browser.wait_for_text("#status", r"^One face: .*cannot show this kind of picture")
    settled(browser)
    assert_bars(browser, faces=1)


def test_the_camera_is_predicted_for_live_in_a_mirror_and_stops(browser: Browser) -> None:
    browser.run(
        "window.tracks = []; const open = navigator.mediaDevices.getUserMedia;"
        "navigator.mediaDevices.getUserMedia = async (wanted) => {"
        "  window.wanted = wanted; const stream = await open.call(navigator.mediaDevices, wanted);"
        "  tracks.push(...stream.getTracks()); return stream; };"
    )
    browser.click("#camera")
    browser.wait_for_text(FACES, "%")
    assert browser.text("#camera") == "Stop the camera"
    # Live: one prediction after the other, without a click.
    asked: list[str] = []
    browser.wait(
        lambda: asked.extend(browser.requests()) or sum("answer" in url for url in asked) >= 5, "5 predictions"
    )
    settled(browser)
    assert_bars(browser, faces=1)
    ((left, right),) = drawn_boxes(browser)
    assert (left + right) / 2 == pytest.approx(1 - CAMERA_FACE, abs=0.04)
    # No sound is asked for.
    assert browser.run("return wanted.audio") is False
    assert browser.run("return tracks.map((track) => [track.kind, track.readyState])") == [["video", "live"]]

    browser.click("#camera")
    assert browser.text("#status") == "The camera is off."
    assert browser.text("#camera") == "Use the camera"
    assert browser.run("return tracks.map((track) => track.readyState)") == ["ended"]
    assert browser.text("#faces") == ""
    assert browser.text("#empty").startswith("Drop a picture here")
    browser.requests()
    browser.run("return new Promise((done) => setTimeout(done, 500))")
    assert browser.requests() == []
    assert browser.console() == []


def test_a_picture_ends_the_camera(browser: Browser, tmp_path: Path) -> None:
    browser.click("#camera")
    browser.wait_for_text(FACES, "%")
    browser.choose("#file", two_faces(tmp_path))
    browser.wait_for_text("#status", "2 faces")
    assert browser.text("#camera") == "Use the camera"
    browser.requests()
    browser.run("return new Promise((done) => setTimeout(done, 500))")
    assert browser.requests() == []


def test_without_a_camera_or_leave_to_use_it_the_page_says_so(demo: Demo, tmp_path: Path) -> None:
    with start_browser(tmp_path / "profile") as browser:
        browser.open(demo.url)
        browser.click("#camera")
        assert "No camera was found." in browser.wait_for_text("#error", "camera")
        assert browser.text("#camera") == "Use the camera"
    with start_browser(tmp_path / "profile2", FAKE_CAMERA[0], "--deny-permission-prompts") as browser:
        browser.open(demo.url)
        browser.click("#camera")
        assert "may not use the camera" in browser.wait_for_text("#error", "camera")


def test_a_program_that_has_ended_is_named_and_the_camera_stops(
    chromium: Browser, exported: Path, tmp_path: Path
) -> None:
    with serve_demo(exported, tmp_path / "home") as ending:
        chromium.open(ending.url)
        chromium.click("#camera")
        chromium.wait_for_text(FACES, "%")
    assert "Start it again" in chromium.wait_for_text("#error", "program")
    assert chromium.text("#camera") == "Use the camera"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_it_fits_and_can_be_read(browser: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    """Nothing is wider than the window, and every text stands out from its ground by 4.5 or more (WCAG 2, AA)."""
    browser.prefer(scheme)
    browser.size(width, 800)
    try:
        browser.choose("#file", two_faces(tmp_path))
        browser.wait_for_text("#status", "2 faces")
        assert_readable(browser, width)
        browser.choose("#file", write_picture(tmp_path, "nobody.png", blank(300, 400)))
        browser.wait_for_text("#error", "face")
        assert_readable(browser, width)
    finally:
        browser.devtools("Emulation.clearDeviceMetricsOverride")
        browser.prefer("light")


def assert_readable(browser: Browser, width: int) -> None:
    settled(browser)
    wide, contrasts, dark = browser.run(
        """
        const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => rgb(colour).slice(0, 3).map((part) => part / 255)
          .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
          .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
        const ground = (node) => {
          const colour = getComputedStyle(node).backgroundColor;
          return rgb(colour)[3] === 0 && node.parentElement ? ground(node.parentElement) : colour;
        };
        const contrasts = {};
        for (const node of document.querySelectorAll("body *")) {
          const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
          if (!own || !node.checkVisibility() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName)) continue;
          const pair = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
          contrasts[node.innerText] = (pair[0] + 0.05) / (pair[1] + 0.05);
        }
        return [document.documentElement.scrollWidth, contrasts, light(ground(document.body)) < 0.1];
        """
    )
    assert wide <= width
    assert len(contrasts) > 6
    assert {text: contrast for text, contrast in contrasts.items() if contrast < 4.5} == {}
    assert dark == (browser.run("return matchMedia('(prefers-color-scheme: dark)').matches"))
