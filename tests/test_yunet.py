"""YuNet's file is fetched on the user's word, whole and the right one or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emotorch.data import yunet
from emotorch.errors import EmoTorchError

CONTENT = b"the network's weights" * 1000


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/right")
            self.end_headers()
            return
        body = {"/right": CONTENT, "/short": CONTENT, "/other": b"<html>sign in</html>"}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if self.path == "/short" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path


@pytest.mark.parametrize("path", ["right", "moved"])
def test_the_file_is_fetched_into_the_user_s_cache_once(server: str, cache: Path, path: str) -> None:
    found = yunet.fetch(f"{server}/{path}")
    assert found == yunet.cached_file()
    assert found.is_relative_to(cache)
    assert found.read_bytes() == CONTENT
    assert [item for item in cache.rglob("*") if item.is_file()] == [found]
    assert yunet.fetch(f"{server}/missing") == found
    found.write_bytes(b"damaged")
    assert yunet.fetch(f"{server}/right").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "words"),
    [("other", "another file than expected"), ("short", "another file than expected"), ("missing", "Not Found")],
)
def test_another_file_or_none_leaves_nothing(server: str, cache: Path, path: str, words: str) -> None:
    with pytest.raises(EmoTorchError, match=f"^{server}/{path}: .*{words}"):
        yunet.fetch(f"{server}/{path}")
    assert not yunet.cached_file().exists()
    assert not [item for item in cache.rglob("*") if item.is_file()]


def test_without_a_way_to_the_server_it_is_said_where_the_file_belongs(cache: Path) -> None:
    with pytest.raises(EmoTorchError, match=f"store it as {yunet.cached_file()}"):
        yunet.fetch("http://127.0.0.1:9/file")
