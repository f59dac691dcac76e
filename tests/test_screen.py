"""What reaches a terminal, whatever names hold and however the streams are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotorch.screen import json_line, lines, one_line

SCRIPT = """
import logging, sys
from emotorch import cli

def main():
    parser = cli.make_parser("Says a name.", "python say.py NAME")
    parser.add_argument("name")
    name = parser.parse_args().name
    print(name, "█")
    logging.getLogger("emotorch.say").info("%s", name)
    raise cli.EmoTorchError(f"{name}: no such name" + "!" * 5000)

cli.run(main)
"""
HOSTILE = "a\x1b[2J\x9bé\u202eb\udce9"


@settings(derandomize=True, max_examples=100)
@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    safe = one_line(text)
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in safe)
    safe.encode()
    assert [one_line(part) for part in text.split("\n")] == [
        part.replace("\t", "\\t") for part in lines(text).split("\n")
    ]


@settings(derandomize=True, max_examples=100)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_json_keeps_its_values(value: object) -> None:
    line = json_line(value)
    assert line == one_line(line)
    assert json.loads(line) == value


def say(name: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'"$0" -c "$1" "$2" {redirect}', sys.executable, SCRIPT, name]
    command[5:] = [os.fsencode(name)]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False, timeout=60)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_printed_logged_and_complained_of(encoding: str) -> None:
    done = say(HOSTILE, PYTHONIOENCODING=encoding)
    printed, (logged, complained) = done.stdout.decode(encoding), done.stderr.decode(encoding).splitlines()
    for text in (printed, logged, complained):
        assert "a\\x1b[2J\\x9b" in text
        assert "\\u202eb\\udce9" in text
        assert len(text) < 2100
    assert printed.endswith("█\n" if encoding == "utf-8" else "\\u2588\n")
    assert done.returncode == 1


def test_the_parser_s_own_errors() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "a", "--\x1b[2J"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("unrecognized arguments: --\\x1b[2J\n")


@pytest.mark.skipif(os.name != "posix", reason="closes streams by a POSIX shell")
@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(redirect: str) -> None:
    done = say("name", redirect)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert ("2>&-" in redirect) == (b"no such name" not in done.stderr)
    assert (">&-" in redirect.replace("2>&-", "")) == (done.stdout == b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_device_is_said() -> None:
    quiet = SCRIPT.replace("raise", "return #")
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" name >/dev/full', sys.executable, quiet], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.removeprefix("name\n") == "error: No space left on device\n"
