"""A page with predictions for pictures and the camera, served to this machine only.

Pictures stay in memory and are gone with the reply: nothing is written or logged, the server listens on loopback only,
and the page may load and ask nothing but this server. Other pages in the same browser get no predictions: their names
are no loopback names (which stops DNS rebinding), and their requests carry their own origin.
"""

import asyncio
import base64
import gc
import hashlib
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from emotorch.cli import DetectorName
from emotorch.data.detectors import open_detector
from emotorch.data.images import decode_photo
from emotorch.errors import EmoTorchError, UsageError, needs_extra
from emotorch.inference.predictions import PicturePredictions, predict_named
from emotorch.inference.reader import FaceReader

with needs_extra("demo", "the page"):
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.datastructures import MutableHeaders
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from emotorch.inference.demo_limits import MAX_BYTES, LimitedProtocol, Queue, RefusedError, Uploads

HOST = "127.0.0.1"
HOST_NAMES = (HOST, "localhost")
# More than nearly any camera gives. Decoding takes 0.2 to 1.4 GB then: most for 16- and 32-bit grey.
MAX_PIXELS = 50_000_000
# What cameras and browsers make. Pillow reads more, some of it by starting other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# A refusal takes so long: those who ask again at once would take the time of those who wait.
REFUSAL_SECONDS = 2.0

_OBJECTS_BETWEEN_COLLECTIONS = 1000
# The picture's name in replies: its own does not come with it.
_INPUT = "picture"
_READABLE = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]} pictures are read"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _SafeHeaders:
    """Adds headers to every response, also to refusals."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(reader: FaceReader, name: str) -> FastAPI:
    """The page and its requests: `GET /`, `GET /about` and `POST /answer`, whose body is a picture's file.

    The reply to a picture is the object that prediction prints with `--json`. Its status is 200 also when no face is
    found; 413, 415, 408 and 503, with the same keys, mean too large, no picture, too slow, too many at once.
    `name` is the model's in replies and on the page.
    """
    page = resources.files("emotorch.inference").joinpath("demo_page.html").read_text("utf-8")
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOST_NAMES, www_redirect=False)
    app.add_middleware(_SafeHeaders, headers={**_HEADERS, "Content-Security-Policy": _policy(page)})
    uploads, queue = Uploads(), Queue()

    @app.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/about")
    async def about() -> dict[str, Any]:
        return {"model": name, "labels": reader.labels, "max_bytes": MAX_BYTES}

    @app.post("/answer")
    async def predict(request: Request, detector: DetectorName = "auto") -> dict[str, Any]:
        _check_origin(request)
        with uploads.new() as upload:
            await upload.read(request)
            await _require_client(request)  # asked once, uvicorn goes on reading, and notices when the client goes
            async with queue.turn():
                await _require_client(request)
                return (await run_in_threadpool(_predict, reader, upload.parts, detector)).as_dict(name)

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, refusal: RefusedError) -> JSONResponse:
        headers = None
        if refusal.status == 503:
            headers = {"Retry-After": "1"}
            if not refusal.has_waited:
                await _drop_body(request, REFUSAL_SECONDS)
        # The connection stays open: uvicorn drops the rest of an upload as it comes, and browsers read no reply
        # before all is sent.
        return JSONResponse(PicturePredictions.failed(_INPUT, refusal.words).as_dict(name), refusal.status, headers)

    return app


def listen(port: int) -> socket.socket:
    """A socket that takes connections from this machine only; port 0 is any that is free.

    Raises:
        UsageError: there is no such port.
        EmoTorchError: it is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it lets two share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OverflowError:
        listener.close()
        raise UsageError(f"--port {port}: ports go from 0 to 65535") from None
    except OSError as error:
        listener.close()
        raise EmoTorchError(f"--port {port}: {error.strerror}; name another, or 0 for any that is free") from error
    return listener


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serves until Ctrl-C."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=LimitedProtocol.idle_seconds,
        timeout_graceful_shutdown=2,
    )
    # Requests leave cycles, which hold what is left of an upload; all that is here before them stays.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _policy(page: str) -> str:
    """A Content-Security-Policy: only the page's own script and style run, and nothing loads from elsewhere."""
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
            for content in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )


def _check_origin(request: Request) -> None:
    """Browsers state the page that a request comes from; other programs state none."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers['host']}":
        raise RefusedError(403, "Only the page itself may ask.")


async def _require_client(request: Request) -> None:
    if await request.is_disconnected():
        raise RefusedError(400, "Nobody waits for this any longer.")


async def _drop_body(request: Request, seconds: float) -> None:
    """Reads the rest of a body for so long: a client that is still sending reads no reply."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _predict(reader: FaceReader, parts: Sequence[bytes], detector: str) -> PicturePredictions:
    try:
        picture = decode_photo(b"".join(parts), Path(_INPUT), formats=FORMATS, max_pixels=MAX_PIXELS)
    except EmoTorchError as error:
        reason = str(error).removeprefix(f"{_INPUT}: ").partition(";")[0]
        raise RefusedError(415, f"This file cannot be read as a picture: {reason}. {_READABLE}.") from None
    try:
        finder = open_detector(detector)
    except EmoTorchError as error:
        return PicturePredictions.failed(_INPUT, str(error), picture)
    prediction = predict_named(reader, _INPUT, picture, finder)
    return replace(prediction, error=prediction.error and prediction.error.partition(";")[0])
