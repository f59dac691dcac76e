"""Whether processes keep to this machine: what they look up and where they send is recorded by network.c, which they
load before the C library, so that native libraries and their child processes are heard too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from preload import build

LOG = "EMOTORCH_NETWORK_LOG"


def listen(folder: Path) -> dict[str, str] | None:
    """What a process is started with to be heard; None where there is no C compiler.

    Args:
        folder: For the library and the record, `folder/network.log`, which is not there while nobody talks.
    """
    library = build(Path(__file__).with_name("network.c"), folder)
    return {"LD_PRELOAD": str(library), LOG: str(folder / "network.log")} if library else None


@contextmanager
def silence(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of processes that are to say nothing to the world, and to leave nothing in their user's home.

    Args:
        folder: For the library, the record, and a home without a file.
    """
    folder.mkdir(exist_ok=True)
    heard = listen(folder)
    if heard is None:
        pytest.skip("no C compiler (cc) for what listens at the C library's calls")
    log, home = Path(heard[LOG]), folder / "home"
    home.mkdir()
    yield {
        **os.environ,
        **heard,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
    }
    assert not log.exists(), log.read_text()
    files = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    # A list of this machine's fonts, without which every figure would take seconds more.
    left = [name for name in files if not name.startswith(".cache/matplotlib/fontlist-")]
    assert not left, f"left in the home: {', '.join(left)}"
