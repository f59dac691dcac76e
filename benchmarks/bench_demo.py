"""How many pictures the page answers when many ask at once, and how long the slowest waits.

    python benchmarks/bench_demo.py --clients 200 --seconds 20 --stalled 4 --half-sent 100

A client sends a photo of 640×480 pixels on a connection of its own, and another as soon as it has its reply, also when
it was turned away. Beside the clients some uploads have stalled halfway, and some connections have sent half a
request's head; whatever is closed comes again. First one client alone, which is what the machine can do. Clients and
page share its cores.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench_prediction import save_photo
from timing import make_parser

from emotorch.paths import REPOSITORY

DEMO = REPOSITORY / "baseline_model" / "model" / "demo.py"
HEAD = "POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"


def main() -> None:
    parser = make_parser(__doc__)
    for name, number, what in (
        ("--clients", 200, "that ask all the time"),
        ("--seconds", 20, "of each measurement"),
        ("--stalled", 4, "uploads that never end"),
        ("--half-sent", 100, "heads of requests that never end"),
    ):
        parser.add_argument(name, type=int, default=number, metavar="N", help=f"{what} (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = save_photo(Path(folder) / "photo.jpg", 0).read_bytes()
    command = [sys.executable, str(DEMO), "--model", "compact", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout
            page = Page(int(server.stdout.readline().strip("/\n").rpartition(":")[2]), photo)
            asyncio.run(measure(page, options, server.pid))
        finally:
            server.terminate()


class Page:
    """The server, the photo that is sent to it, and how long each reply took, by its status."""

    def __init__(self, port: int, photo: bytes) -> None:
        self.port = port
        self.request = f"{HEAD}Content-Length: {len(photo)}\r\n\r\n".encode() + photo
        self.waits: dict[str, list[float]] = defaultdict(list)

    async def keep_asking(self) -> None:
        while True:
            started = time.perf_counter()
            reply = await self.send(self.request)
            status = reply.split(b" ", 2)[1].decode() if reply.startswith(b"HTTP/") else "no reply"
            self.waits[status].append(time.perf_counter() - started)

    async def keep_stalling(self, part: bytes) -> None:
        while True:
            await self.send(part)

    async def send(self, data: bytes) -> bytes:
        """What comes back until the connection is closed."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return b""
        try:
            writer.write(data)
            return await reader.read()
        except OSError:
            return b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def measure(page: Page, options: argparse.Namespace, pid: int) -> None:
    await page.send(page.request)  # the first takes longer: networks are loaded
    await measure_one("one client alone", page, 1, [], options.seconds, pid)
    half = page.request[: len(page.request) // 2]
    stalled = [half] * options.stalled + [HEAD.encode()] * options.half_sent
    beside = f"{options.stalled} stalled uploads and {options.half_sent} half-sent heads"
    await measure_one(f"{options.clients} clients", page, options.clients, [], options.seconds, pid)
    await measure_one(f"{options.clients} clients, {beside}", page, options.clients, stalled, options.seconds, pid)


async def measure_one(name: str, page: Page, clients: int, stalled: Sequence[bytes], seconds: float, pid: int) -> None:
    page.waits.clear()
    tasks = [asyncio.create_task(page.keep_stalling(part)) for part in stalled]
    if stalled:
        await asyncio.sleep(1)
    tasks += [asyncio.create_task(page.keep_asking()) for _ in range(clients)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    answered = len(page.waits["200"])
    others = "".join(
        f", {len(waits):,} times {status}" for status, waits in sorted(page.waits.items()) if status != "200"
    )
    longest = max((max(waits) for waits in page.waits.values() if waits), default=float("nan"))
    print(
        f"{name}: {answered:,} answers in {seconds} s ({answered / seconds:.1f}/s)"
        f"{others}; the slowest reply took {longest:.2f} s{_memory(pid)}",
        flush=True,
    )


def _memory(pid: int) -> str:
    """The most that the server has taken, where Linux tells."""
    status = Path(f"/proc/{pid}/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return f"; at most {int(peak[1]) // 1024} MB of memory" if peak else ""


if __name__ == "__main__":
    main()
