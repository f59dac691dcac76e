import subprocess
import sys
from pathlib import Path

import pytest
from silence import silence

TALK = {
    "a name": "import socket; socket.getaddrinfo('example.invalid', 80)",
    "an address": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "a packet": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', ('192.0.2.1', 53))",
    "a native library": "import ctypes; ctypes.CDLL(None).gethostbyname(b'example.invalid')",
    "a child": "import subprocess, sys; subprocess.run([sys.executable, '-c', "
    "'import socket; socket.gethostbyname(\"example.invalid\")'])",
}


def run(code: str, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize("code", TALK.values(), ids=TALK)
def test_whoever_talks_is_heard(code: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(example\.invalid|192\.0\.2\.1) by "), silence(tmp_path) as environment:
        run(code, environment)


def test_a_file_in_the_home_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"\.cache/x"), silence(tmp_path) as environment:
        run("from pathlib import Path; p = Path.home() / '.cache'; p.mkdir(); (p / 'x').touch()", environment)


def test_this_machine_may_be_talked_to(tmp_path: Path) -> None:
    talk = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    with silence(tmp_path) as environment:
        run(f"{talk}; socket.getaddrinfo('localhost', 80)", environment)
