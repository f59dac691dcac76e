"""The two ends of the demo's page: its server in a process of its own, and a headless Chromium, driven through
chromedriver by the WebDriver protocol (HTTP and JSON)."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotorch.paths import REPOSITORY

DEMO = "baseline_model/model/demo.py"
CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECONDS = 60.0  # for what takes one or two where the machine is not busy
# How the protocol writes a reference to an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@dataclass(frozen=True)
class Demo:
    """A running page.

    Attributes:
        url: Its address, with a slash at the end.
        home: The one folder that the process has for its own: working directory, home and temporary files.
        process: Its only output after the address are errors.
    """

    url: str
    home: Path
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@contextlib.contextmanager
def serve_demo(
    model: Path, home: Path, *options: object, environment: Mapping[str, str] = os.environ
) -> Iterator[Demo]:
    """The script on a free port, until the end of the block."""
    home.mkdir()
    own = {name: str(home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "EMOTORCH_ROOT")}
    process = subprocess.Popen(
        [sys.executable, "-B", str(REPOSITORY / DEMO), "--model", str(model), "--port", "0", *map(str, options)],
        env={**environment, **own},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url), (url, process.communicate())
        yield Demo(url, home, process)
    finally:
        process.kill()
        process.communicate()


class Browser:
    """A session of its own: empty profile, no extensions."""

    def __init__(self, driver: str, session: str) -> None:
        self._session = f"{driver}/session/{session}"

    def command(self, path: str, value: object | None = None, *, method: str = "POST") -> Any:
        return _send(f"{self._session}/{path}", value, method)

    def devtools(self, name: str, **parameters: object) -> Any:
        """A command of Chromium's own protocol."""
        return self.command("goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, url: str) -> None:
        self.command("url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns; a promise is waited for."""
        return self.command("execute/sync", {"script": script, "args": arguments})

    def find(self, selector: str) -> str:
        return self.command("element", {"using": "css selector", "value": selector})[_ELEMENT]

    def click(self, selector: str) -> None:
        self.command(f"element/{self.find(selector)}/click", {})

    def press(self, keys: str) -> None:
        """Keys for what has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.command("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def choose(self, selector: str, path: Path) -> None:
        """Gives a file input a file, as the operating system's dialogue does."""
        self.command(f"element/{self.find(selector)}/value", {"text": str(path)})

    def drop(self, selector: str, path: Path) -> None:
        """Drags a file from outside the browser over an element, and lets it fall."""
        where = self.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2};",
            selector,
        )
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.devtools("Input.dispatchDragEvent", type=kind, data=data, **where)

    def text(self, selector: str) -> str:
        """What a person reads there; empty when it is hidden or not there."""
        return self.run(
            "const shown = document.querySelector(arguments[0]);"
            "return shown?.checkVisibility() ? shown.innerText.trim() : '';",
            selector,
        )

    def wait(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"waited {SECONDS:.0f} s for {what}; the page says: {self.text('body')}"
            time.sleep(0.05)

    def wait_for_text(self, selector: str, pattern: str) -> str:
        self.wait(lambda: re.search(pattern, self.text(selector)), f"{pattern!r} in {selector}")
        return self.text(selector)

    def size(self, width: int, height: int, *, sharp: int = 1) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=sharp, mobile=False
        )

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """The whole page, also what is below the window."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def console(self) -> list[str]:
        """What the page complained of since the last call."""
        return [entry["message"] for entry in self.command("se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call, by whatever part of the page."""
        events = (json.loads(entry["message"])["message"] for entry in self.command("se/log", {"type": "performance"}))
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


@contextlib.contextmanager
def start_browser(profile: Path, *flags: str) -> Iterator[Browser]:
    assert CHROMIUM
    assert CHROMEDRIVER
    profile.mkdir()
    # A browser talks to whom it likes: tests hear it no more than the network itself.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    driver = subprocess.Popen(
        [CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        assert driver.stdout
        started = next(filter(None, (re.search(r"on port (\d+)\.", line) for line in driver.stdout)))
        url = f"http://127.0.0.1:{started[1]}"
        options = {"binary": CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = _send(f"{url}/session", {"capabilities": {"alwaysMatch": wanted}}, "POST")["sessionId"]
        browser = Browser(url, session)
        try:
            yield browser
        finally:
            browser.command("", method="DELETE")
    finally:
        driver.kill()
        driver.communicate()


def _send(url: str, value: object | None, method: str) -> Any:
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(url.rstrip("/"), data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=2 * SECONDS) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.read().decode()}") from None
