"""Limits of the page on time and memory, so that clients that stall lock nobody out.

Uvicorn limits neither the time for the head of a request nor for reading a reply, and refuses everyone while too many
connections are open. Here each has its time; where there is no room for one more, the client that has stalled longest
goes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_BYTES = 25 * 1024 * 1024
# All pictures that arrive or wait.
MAX_BYTES_TOGETHER = 4 * MAX_BYTES
# Whole pictures that wait: one is worked on at a time. More would only wait longer.
MAX_WAITING = 32
MAX_CONNECTIONS = 512
# Descriptors that the process needs for other things.
_OTHER_FILES = 64
_TOO_MANY = "Too many pictures at once. Try again in a moment."


class RefusedError(Exception):
    """A request that is refused: HTTP's status, words for a person, and whether it had its time in the queue."""

    def __init__(self, status: int, words: str, *, has_waited: bool = False) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.has_waited = has_waited


class Uploads:
    """The pictures that arrive or wait, whose size together is limited.

    Attributes:
        seconds: For a picture to arrive.
        stalled_seconds: Between two parts of it.
    """

    seconds = 30.0
    stalled_seconds = 5.0

    def __init__(self) -> None:
        self._all: list[Upload] = []  # the one that has sent nothing for longest first

    @contextmanager
    def new(self) -> "Iterator[Upload]":
        """Another picture, counted until it is done with."""
        upload = Upload(self)
        self._all.append(upload)
        try:
            yield upload
        finally:
            self._all.remove(upload)
            upload.parts.clear()  # an error's traceback may hold it for long

    def make_room(self, newest: "Upload") -> None:
        """Gives up uploads, the one that has stalled longest first, until all fit.

        Raises:
            RefusedError: only the newest is left to give up.
        """
        self._all.remove(newest)
        self._all.append(newest)
        excess = sum(upload.size for upload in self._all) - MAX_BYTES_TOGETHER
        for upload in [one for one in self._all if one.is_arriving and one.size]:
            if excess <= 0:
                return
            if upload is newest:
                raise RefusedError(503, _TOO_MANY)
            excess -= upload.size
            upload.give_up()


class Upload:
    """A picture on its way.

    Attributes:
        parts: Of its file, so far: a single piece that grows would leave a hole in the memory at each step.
        size: Their bytes.
        is_arriving: Whether there is more to come.
    """

    def __init__(self, uploads: Uploads) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.is_arriving = True
        self._uploads = uploads
        self._time = asyncio.timeout(uploads.stalled_seconds)
        self._is_given_up = False

    def give_up(self) -> None:
        """Makes room for others."""
        self.parts.clear()
        self.size = 0
        self.is_arriving = False
        self._is_given_up = True
        if not self._time.expired():
            self._time.reschedule(0)

    async def read(self, request: Request) -> None:
        """Reads the body of a request, counted as it comes: its header may lie.

        Raises:
            RefusedError: it is too large, too slow, or does not come to its end; or others need the room.
        """
        too_large = RefusedError(413, f"This file is too large: at most {MAX_BYTES // 1024**2} MB are read.")
        if int(request.headers.get("content-length", 0)) > MAX_BYTES:
            raise too_large
        clock = asyncio.get_running_loop().time
        end = clock() + self._uploads.seconds
        try:
            async with self._time:
                async for chunk in request.stream():
                    self.parts.append(chunk)
                    self.size += len(chunk)
                    if self.size > MAX_BYTES:
                        raise too_large
                    self._uploads.make_room(self)
                    self._time.reschedule(min(end, clock() + self._uploads.stalled_seconds))
        except TimeoutError:
            if not self._is_given_up:
                raise RefusedError(408, "The picture took too long to arrive.") from None
        except ClientDisconnect:
            raise RefusedError(400, "The picture did not arrive whole.") from None
        if self._is_given_up:  # perhaps just when its last part came
            raise RefusedError(503, _TOO_MANY)
        self.is_arriving = False


class Queue:
    """One picture is worked on at a time; a limited number of others wait in order.

    Attributes:
        seconds: The longest wait; then the client is told to ask again.
    """

    seconds = 4.0

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises RefusedError when there is no place in the queue, or the wait takes too long."""
        if self._waiting >= MAX_WAITING:
            raise RefusedError(503, _TOO_MANY)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise RefusedError(503, _TOO_MANY, has_waited=True) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


class LimitedProtocol(H11Protocol):
    """A connection whose client has limited time.

    Attributes:
        head_seconds: For the head of a request, from the connection or from its first byte; and for the rest of a body
            that nobody reads.
        reading_seconds: For reading more of a reply.
        idle_seconds: Between two requests.
    """

    head_seconds = 5.0
    reading_seconds = 5.0
    idle_seconds = 5

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._head: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._heard = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            self._make_room()
        self._head = self.loop.call_later(self.head_seconds, transport.abort)

    def _make_room(self) -> None:
        """Closes the connection whose client has stalled longest; that may be this one."""
        ours = [one for one in self.connections if isinstance(one, LimitedProtocol)]
        still_open = [one for one in ours if not one.transport.is_closing()]
        if len(still_open) > _most_connections():
            min(filter(LimitedProtocol._is_stalled, still_open), key=lambda one: one._heard).transport.abort()

    def _is_stalled(self) -> bool:
        """Whether it is the client's turn to send something."""
        return self._is_between_requests() or self.cycle.more_body

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if not self._is_between_requests():
            self._forget_head()
        elif self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(self.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def _most_connections() -> int:
    """As many as the process's limit of descriptors allows."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        MAX_CONNECTIONS if allowed == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, max(1, allowed - _OTHER_FILES))
    )
