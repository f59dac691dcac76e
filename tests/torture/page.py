"""The page under attack: whatever a client sends or leaves unsent, the next person is answered."""

import contextlib
import http.client
import json
import shutil
import socket
import time
from collections.abc import Callable
from functools import cache, partial
from random import Random

from browser import Demo, serve_demo

from torture.hostile import _PICTURES
from torture.subjects import FACE, ONNX_MODEL
from torture.trials import Bench, Result, Series

KIND = "page"
TRIALS = 100
PATIENCE_S = 5.0
_open = contextlib.ExitStack()


def series(bench: Bench, _: tuple[str, ...]) -> list[Series]:
    each = TRIALS // len(_ATTACKS)
    return [Series(KIND, name, each, partial(_attack, bench, name)) for name in _ATTACKS]


@cache
def _page(bench: Bench) -> Demo:
    """One for all trials: what is left of one attack meets the next."""
    home = bench.folder / f"page-{bench.worker}"
    shutil.rmtree(home, ignore_errors=True)
    return _open.enter_context(serve_demo(bench.roots / "nothing" / ONNX_MODEL, home))


def close() -> None:
    """Ends the page, if it was opened."""
    _open.close()


def _attack(bench: Bench, name: str, number: int) -> Result:
    page = _page(bench)
    faults = _ATTACKS[name](page, bench.chance(f"{KIND} {name}", number))
    started = time.monotonic()
    try:
        status, said = _ask(page, (bench.roots / "nothing" / FACE).read_bytes())
    except OSError as error:
        return Result.of(f"the next person was not answered: {error}")
    waited = time.monotonic() - started
    return Result.of(
        *faults,
        "" if status == 200 and said["faces"] else f"the next person was answered {status}",
        "" if waited <= PATIENCE_S else f"the next person waited {waited:.1f} s",
        "" if page.process.poll() is None else "the page has ended",
    )


def _ask(page: Demo, picture: bytes) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/answer?detector=none", picture)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def _sockets(page: Demo, count: int, start: bytes) -> list[socket.socket]:
    """Connections that send so much and then nothing, until they are closed."""
    held = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", page.port), timeout=2))
            held[-1].sendall(start)
    return held


def _hostile_pictures(page: Demo, chance: Random) -> list[str]:
    faults = []
    for _ in range(5):
        with contextlib.suppress(ValueError):
            status, _ = _ask(page, chance.choice(_PICTURES)(chance))
            faults.append("" if status < 500 else f"a picture was answered {status}")
    return faults


def _garbage(page: Demo, chance: Random) -> list[str]:
    lines = (b"GET / HTTP/9.9\r\n\r\n", _HEAD + b"Content-Length: -1\r\n\r\n", b"\0" * 5000, b"GET " + b"a" * 90_000)
    for held in _sockets(page, 5, chance.choice(lines) + chance.randbytes(20)):
        held.close()
    return []


def _stalled(page: Demo, chance: Random, start: bytes) -> list[str]:
    held = _sockets(page, chance.randrange(4, 40), start)
    try:
        time.sleep(0.2)
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            status = connection.getresponse().status
        waited = time.monotonic() - started
        faults = ["" if status == 200 else f"the page was answered {status} beside {len(held)} of them"]
        return [*faults, "" if waited <= PATIENCE_S else f"the page took {waited:.1f} s beside {len(held)} of them"]
    except OSError as error:
        return [f"the page was not there beside {len(held)} of them: {error}"]
    finally:
        for one in held:
            one.close()


_HEAD = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_ATTACKS: dict[str, Callable[[Demo, Random], list[str]]] = {
    "hostile pictures": _hostile_pictures,
    "garbage": _garbage,
    "idle connections": partial(_stalled, start=b""),
    "half a header": partial(_stalled, start=_HEAD),
    "half a body": partial(_stalled, start=_HEAD + b"Content-Length: 100000\r\n\r\nhalf"),
}
