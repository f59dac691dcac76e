import asyncio
import base64
import contextlib
import hashlib
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import uvicorn
from browser import DEMO, SECONDS, Demo, serve_demo
from conftest import draw_images, tree
from fastapi.responses import PlainTextResponse
from PIL import Image
from published import LABELS
from running import PREDICT, call_script, error_line
from silence import silence
from test_predictions import blank, face
from test_reader import overflowing

from emotorch.data.images import Pixels
from emotorch.errors import installing
from emotorch.inference import demo as server
from emotorch.inference import demo_limits as limits
from emotorch.inference.demo import FORMATS, MAX_PIXELS
from emotorch.inference.demo_limits import MAX_BYTES, MAX_CONNECTIONS, LimitedProtocol, Queue, Uploads
from emotorch.inference.reader import FaceReader
from emotorch.paths import REPOSITORY, Paths

pytestmark = pytest.mark.slow

needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux's /proc")
KEYS = {"input", "model", "detector", "faces", "error"}


@pytest.fixture(scope="module")
def model(exported: Path) -> Path:
    """With its ONNX file: a server without PyTorch is there at once."""
    return exported


@pytest.fixture(scope="module")
def demo(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """It looks up no name and sends nowhere but to this machine, whatever the tests ask of it."""
    folder = tmp_path_factory.mktemp("demo")
    with (
        silence(folder / "silence") as environment,
        serve_demo(model, folder / "home", environment=environment) as running,
    ):
        yield running


Reply = tuple[int, dict[str, str], bytes]


def request(demo: Demo, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=SECONDS)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def ask(demo: Demo, body: bytes, detector: str = "auto") -> tuple[int, dict[str, Any]]:
    status, _, said = request(demo, "POST", f"/answer?detector={detector}", body)
    prediction = json.loads(said)
    assert set(prediction) == KEYS
    return status, prediction


def encode(pixels: Pixels, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def raw(demo: Demo, *parts: bytes) -> Reply:
    """What comes back for just these bytes."""
    with socket.create_connection(("127.0.0.1", demo.port), timeout=SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def test_a_reply_is_what_prediction_prints_as_json(demo: Demo, model: Path, paths: Paths) -> None:
    picture = paths.root / "two.png"
    picture.write_bytes(encode(np.concatenate([face(160), face(160)], axis=1)))
    (expected,) = map(json.loads, call_script(paths, PREDICT, picture, model, "--json").stdout.splitlines())
    status, prediction = ask(demo, picture.read_bytes())
    assert status == 200
    assert len(prediction["faces"]) == 2
    assert prediction == {**expected, "input": "picture"}


def test_without_a_detector_the_picture_is_the_face(demo: Demo) -> None:
    body = encode(draw_images(1, seed=3)[0].repeat(3, 0).repeat(3, 1))
    status, prediction = ask(demo, body)
    assert (status, prediction["faces"], prediction["error"]) == (200, [], "no face found")
    status, prediction = ask(demo, body, "none")
    assert status == 200
    (said,) = prediction["faces"]
    assert said["box"] is None
    assert sum(said["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_model_that_computes_no_numbers_gives_an_error_and_no_emotion(exported: Path, tmp_path: Path) -> None:
    with serve_demo(overflowing(exported, tmp_path, ".onnx", 3e38), tmp_path / "home") as running:
        for detector in ("auto", "haar", "none"):
            status, prediction = ask(running, encode(face(160)), detector)
            assert (status, prediction["faces"]) == (200, [])
            assert prediction["error"] == "the model's outputs for this input are no finite numbers"


def test_the_page_is_told_which_model_it_is_with_which_labels(demo: Demo, model: Path) -> None:
    status, headers, body = request(demo, "GET", "/about")
    assert (status, headers["content-type"]) == (200, "application/json")
    about = json.loads(body)
    assert about["model"] == str(model)
    assert about["labels"] == list(LABELS)
    assert about["max_bytes"] == MAX_BYTES


@pytest.mark.parametrize("kind", FORMATS)
def test_all_stated_formats_are_read(demo: Demo, kind: str) -> None:
    status, prediction = ask(demo, encode(face(160), kind))
    assert (status, prediction["error"], len(prediction["faces"])) == (200, None, 1)


def test_a_picture_that_a_camera_took_on_its_side_is_turned_upright(demo: Demo) -> None:
    """So that boxes fit what the browser shows, which turns it too."""
    upright = face(160)
    turned = Image.Exif()
    turned[0x0112] = 6  # the file's left is the picture's bottom
    status, prediction = ask(demo, encode(np.rot90(upright), "JPEG", exif=turned, quality=95))
    assert status == 200
    ((x, y, width, height),) = (said["box"] for said in prediction["faces"])
    assert abs(x + width / 2 - 160) < 25
    assert abs(y + height / 2 - 120) < 25


def postscript() -> bytes:
    """A format that Pillow knows, and reads by starting Ghostscript."""
    file = io.BytesIO()
    Image.new("L", (60, 60)).save(file, "EPS")
    return file.getvalue()


def huge_header() -> bytes:
    """A PNG that is small, but says that it has 10⁹ pixels."""
    data = bytearray(encode(blank()))
    data[16:24] = (31623).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a readable image"),
        (b"no picture", "not a readable image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable image"),
        (postscript(), "not a readable image"),
        (encode(face(100), "JPEG")[:-300], "damaged image"),
        (encode(face(100))[:300], "damaged image"),
        (encode(face(100), "AVIF").replace(b"mdat", b"mdat" + bytes(40)), "damaged image"),
        (huge_header(), "pixels"),
        (encode(np.zeros((1, MAX_PIXELS + 1), np.uint8), "TIFF", compression="tiff_deflate"), "too many to read"),
    ],
    ids=["empty", "text", "svg", "postscript", "cut jpeg", "cut png", "damaged avif", "a bomb", "just too many pixels"],
)
def test_what_is_no_picture_or_too_large_a_one_is_said_in_plain_words(demo: Demo, body: bytes, reason: str) -> None:
    status, prediction = ask(demo, body)
    assert (status, prediction["faces"]) == (415, [])
    assert prediction["error"].startswith("This file cannot be read as a picture: ")
    assert reason in prediction["error"]
    assert "JPEG, PNG" in prediction["error"]
    assert "replace" not in prediction["error"]


def test_the_largest_upload_is_read_and_one_byte_more_is_not(demo: Demo) -> None:
    # What follows a PNG's end is no part of the picture.
    largest = encode(face(160)).ljust(MAX_BYTES, b"\0")
    assert ask(demo, largest)[0] == 200
    head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {MAX_BYTES + 1}\r\n\r\n".encode()
    # Not a byte of it is waited for.
    status, _, body = raw(demo, head)
    assert status == 413
    assert json.loads(body)["error"] == "This file is too large: at most 25 MB are read."


def test_an_upload_that_does_not_say_how_large_it_is_is_counted(demo: Demo) -> None:
    head = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    megabyte = b"100000\r\n" + bytes(2**20) + b"\r\n"
    status, _, body = raw(demo, head, *[megabyte] * (MAX_BYTES // 2**20), b"1\r\n.")
    assert status == 413
    assert "too large" in json.loads(body)["error"]


def test_a_header_that_lies_does_not_make_the_limit_wider(demo: Demo) -> None:
    """What is sent beyond the stated length is no part of the upload."""
    # The connection stays open: on one that closes, what arrives before the reply may be refused in its place.
    head = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n"
    assert raw(demo, head + b"no picture" + b"." * 1000)[0] == 415
    head = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n"
    assert raw(demo, head)[0] == 400


@pytest.mark.parametrize("path", ["/", "/about", "/answer"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "192.168.1.2", "", "a@localhost"]
)
def test_names_that_are_not_loopback_s_get_nothing(demo: Demo, path: str, host: str) -> None:
    """DNS rebinding: a page elsewhere whose name comes to mean this machine would be the same origin as ours."""
    status, _, body = request(demo, "POST" if path == "/answer" else "GET", path, None, Host=host)
    assert status == 400
    assert b"EmoTorch" not in body
    assert b"model" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000"])
def test_loopback_s_names_get_the_page(demo: Demo, host: str) -> None:
    assert request(demo, "GET", "/", None, Host=host)[0] == 200


def test_other_pages_in_the_same_browser_get_no_prediction(demo: Demo) -> None:
    body = encode(face(160))
    own = f"127.0.0.1:{demo.port}"
    assert request(demo, "POST", "/answer", body, Host=own, Origin=f"http://{own}")[0] == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"https://{own}"):
        status, headers, said = request(demo, "POST", "/answer", body, Host=own, Origin=origin)
        assert status == 403
        assert json.loads(said)["faces"] == []
        assert not any(name.startswith("access-control") for name in headers)


@needs_proc
def test_only_loopback_is_listened_to(demo: Demo) -> None:
    """The kernel's own list: port and state of every socket that listens (TCP state 0A)."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1].split(":")[0] for row in sockets if row[3] == "0A" and row[1].endswith(f":{demo.port:04X}")]
    assert listening == ["0100007F"]
    assert f":{demo.port:04X}" not in Path("/proc/net/tcp6").read_text()


def test_the_policy_lets_just_the_page_s_own_script_and_style_run(demo: Demo) -> None:
    status, headers, body = request(demo, "GET", "/")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    page = body.decode()
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/missing", 404), ("GET", "/answer", 405), ("POST", "/answer", 415)],
)
def test_every_response_is_kept_from_caches_frames_and_guesses(demo: Demo, method: str, path: str, status: int) -> None:
    got, headers, _ = request(demo, method, path, b"no picture" if method == "POST" else None)
    assert got == status
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "content-security-policy" in headers
    assert "server" not in headers


def test_there_are_no_pages_that_load_scripts_from_elsewhere(demo: Demo) -> None:
    """FastAPI's own documentation pages do."""
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert request(demo, "GET", path)[0] == 404


HEAD = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def upload(length: int) -> bytes:
    return HEAD + f"Content-Length: {length}\r\n\r\n".encode()


@contextlib.contextmanager
def stalled(port: int, *starts: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent so much, and send no more."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS)) for _ in starts]
        for connection, start in zip(opened, starts, strict=True):
            connection.sendall(start)
        yield opened


def test_who_stalls_locks_nobody_out(demo: Demo) -> None:
    body = encode(face(160))
    starts = [upload(len(body)) + body[:100]] * 8 + [b"POST /answer"] * 100 + [b""] * 40
    with stalled(demo.port, *starts) as connections:
        for _ in range(3):
            started = time.monotonic()
            assert ask(demo, body)[0] == 200
            assert time.monotonic() - started < 5
        connections[0].sendall(body[100:])  # who goes on is answered
        response = http.client.HTTPResponse(connections[0])
        response.begin()
        assert response.status == 200


def test_where_there_is_no_room_for_one_more_connection_the_one_that_stalled_longest_goes(demo: Demo) -> None:
    with stalled(demo.port, *[b"GET / HTTP/1.1\r\n"] * (MAX_CONNECTIONS + 5)) as connections:
        assert request(demo, "GET", "/about")[0] == 200
        assert [connection.recv(1) for connection in connections[:6]] == [b""] * 6
        connections[-1].sendall(b"Host: 127.0.0.1\r\n\r\n")
        assert connections[-1].recv(12) == b"HTTP/1.1 200"


def answer_to_part(*, more: bool = True, then: float = SECONDS) -> tuple[int, dict[str, Any]]:
    """What the page says to a part of an upload; after it nothing comes for a time, then the client goes."""
    app = server.create_app(cast(FaceReader, None), "model.pth")
    sent: list[MutableMapping[str, Any]] = []
    parts = [{"type": "http.request", "body": b".", "more_body": more}]

    async def receive() -> dict[str, Any]:
        if parts:
            return parts.pop()
        if then:
            await asyncio.sleep(then)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "POST", "path": "/answer", "raw_path": b"/answer", "root_path": ""},
        **{"query_string": b"", "scheme": "http", "http_version": "1.1", "headers": [(b"host", b"localhost")]},
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("limit", ["seconds", "stalled_seconds"])
def test_an_upload_that_does_not_end_is_given_up(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uploads, limit, 0.05)
    status, said = answer_to_part()
    assert (status, said["faces"]) == (408, [])
    assert "took too long" in said["error"]
    status, said = answer_to_part(then=0)
    assert (status, said["error"]) == (400, "The picture did not arrive whole.")


def test_uploads_have_a_limit_together_and_who_stalled_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES_TOGETHER", 10)
    uploads = Uploads()

    class Slow:
        """A request whose body comes in parts, each when its turn comes."""

        def __init__(self, *parts: tuple[asyncio.Event, bytes]) -> None:
            self.headers: dict[str, str] = {}
            self.parts = parts

        async def stream(self) -> AsyncIterator[bytes]:
            for turn, part in self.parts:
                await turn.wait()
                yield part

    async def read(request: Slow, worked_on: asyncio.Event) -> str:
        with uploads.new() as one:
            try:
                await one.read(cast(Any, request))
                await worked_on.wait()  # it waits in the queue, and keeps its room
                return b"".join(one.parts).decode()
            except limits.RefusedError as refusal:
                return f"{refusal.status}"

    async def all_at_once() -> list[str]:
        turns = [asyncio.Event() for _ in range(6)]
        *_, last = turns
        requests = (
            Slow((turns[0], b"aaaa"), (asyncio.Event(), b"a")),
            Slow((turns[1], b"bbbb"), (turns[3], b"bb")),
            Slow((turns[2], b"cccc")),
            Slow((turns[4], b"dddd")),
        )
        answers = [asyncio.create_task(read(request, last)) for request in requests]
        for turn in turns:
            turn.set()
            for _ in range(20):
                await asyncio.sleep(0)
        return await asyncio.gather(*answers)

    assert asyncio.run(all_at_once()) == ["503", "bbbbbb", "cccc", "503"]


def test_the_queue_is_bounded_in_length_and_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 2)
    monkeypatch.setattr(Queue, "seconds", 0.1)

    async def wait(queue: Queue, seconds: float) -> str:
        try:
            async with queue.turn():
                await asyncio.sleep(seconds)
                return "done"
        except limits.RefusedError as refusal:
            return f"{refusal.status}"

    async def all_at_once(seconds: float) -> list[str]:
        queue = Queue()
        return await asyncio.gather(wait(queue, seconds), *(wait(queue, 0) for _ in range(3)))

    assert asyncio.run(all_at_once(0.01)) == ["done", "done", "done", "503"]
    assert asyncio.run(all_at_once(0.3)) == ["done", "503", "503", "503"]


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a page in a thread of this process, whose limits for connections are short."""
    for limit in ("head_seconds", "reading_seconds", "idle_seconds"):
        monkeypatch.setattr(LimitedProtocol, limit, 0.2)
    app = server.create_app(cast(FaceReader, None), "model.pth")
    app.add_api_route("/large", lambda: PlainTextResponse("." * 20_000_000))
    config = uvicorn.Config(app, http=LimitedProtocol, ws="none", lifespan="off", log_level="error")
    config.timeout_keep_alive = LimitedProtocol.idle_seconds
    running = uvicorn.Server(config)
    listener = server.listen(0)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join(SECONDS)


@pytest.mark.parametrize(
    ("start", "reply"),
    [
        (b"", b""),
        (b"GET /abo", b""),
        (b"GET /about HTTP/1.1\r\nHost: localhost\r\n", b""),
        (b"GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n", b"Not Found"),
        (b"GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ab", b"Not Found"),
        (b"GET /missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n.", b"Not Found"),
    ],
    ids=["nothing", "a line's start", "half a head", "idle", "half a second request", "a body that nobody reads"],
)
def test_a_connection_that_stalls_is_closed(short_times: int, start: bytes, reply: bytes) -> None:
    with stalled(short_times, start) as (connection,):
        connection.settimeout(5)
        said = b"".join(iter(lambda: connection.recv(4096), b""))
        assert reply in said if reply else said == b""


def test_a_head_that_comes_byte_by_byte_has_no_more_time(short_times: int) -> None:
    with stalled(short_times, b"GET /about HTTP/1.1\r\n") as (connection,):
        end = time.monotonic() + SECONDS
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                connection.sendall(b"X")
                time.sleep(0.05)
        assert time.monotonic() < end


def test_who_does_not_read_the_reply_is_closed(short_times: int) -> None:
    with stalled(short_times, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n") as (connection,):
        time.sleep(0.6)
        size = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(2**20):
                size += len(part)
        assert size < 20_000_000


def test_who_has_gone_is_not_worked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_predict", lambda *_: pytest.fail("nobody waits for it"))
    status, _ = answer_to_part(more=False, then=0)
    assert status == 400


@needs_proc
@pytest.mark.slow
def test_many_at_once_all_get_a_reply_and_the_memory_stays_bounded(demo: Demo) -> None:
    """Twelve pictures near the limit of pixels; each alone takes some hundred megabytes while it is read."""
    body = encode(np.zeros((6000, 8000), np.uint8), "PNG", compress_level=1)
    ask(demo, body, "none")
    alone = _peak_memory(demo)
    replies: list[int] = []
    threads = [threading.Thread(target=lambda: replies.append(ask(demo, body, "none")[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(replies) == 12
    assert set(replies) <= {200, 503}
    assert 200 in replies
    # A second one at the same time would take the 48 MB of its grey values, and as much while they are decoded.
    assert _peak_memory(demo) < alone + 48 * 2**20


def _peak_memory(demo: Demo) -> int:
    """Of the server's process, in bytes."""
    status = Path(f"/proc/{demo.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def test_nothing_is_written_or_said(model: Path, tmp_path: Path) -> None:
    with serve_demo(model, tmp_path / "home") as demo:
        before = tree(tmp_path), tree(model.parent)
        assert ask(demo, encode(face(300)).ljust(5 * 2**20, b"\0"))[0] == 200
        assert ask(demo, b"no picture")[0] == 415
        assert ask(demo, postscript())[0] == 415
        assert ask(demo, bytes(MAX_BYTES + 1))[0] == 413
        assert request(demo, "GET", "/")[0] == 200
        assert (tree(tmp_path), tree(model.parent)) == before
        demo.process.send_signal(signal.SIGINT)
        stdout, stderr = demo.process.communicate(timeout=SECONDS)
        # Ctrl-C is how it ends.
        assert (demo.process.returncode, stdout) == (0, "")
        assert stderr.splitlines()[-1] == "open it in a browser on this machine; Ctrl-C ends it"


def test_ports_that_are_taken_or_are_none_are_named(demo: Demo, model: Path, paths: Paths) -> None:
    taken = error_line(call_script(paths, DEMO, "--model", model, "--port", demo.port))
    assert taken.startswith(f"error: --port {demo.port}: ")
    assert "65535" in error_line(call_script(paths, DEMO, "--model", model, "--port", 65536), 2)
    assert "model_00042" in error_line(call_script(paths, DEMO, "--model", "model_00042", "--port", 0), 2)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_without_its_packages_it_says_how_to_get_them(package: str, model: Path, paths: Paths) -> None:
    """A name that stands for None in sys.modules cannot be imported."""
    hide = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv = sys.argv[1:]; "
    hide += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", hide, str(REPOSITORY / DEMO), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10 * SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: the page needs {package}: {installing('demo')}\n"


def test_a_colour_picture_from_a_camera_is_read(demo: Demo) -> None:
    colour = cv2.cvtColor(cv2.applyColorMap(face(160), cv2.COLORMAP_PINK), cv2.COLOR_BGR2RGB)
    status, prediction = ask(demo, encode(colour, "JPEG", quality=90))
    assert (status, len(prediction["faces"])) == (200, 1)
