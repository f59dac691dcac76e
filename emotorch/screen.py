"""Text for a terminal, in which no name moves the cursor, colours what follows or hides what it is.

Control characters, marks that turn the direction of writing, and bytes of names that are no UTF-8 become escapes.
"""

import io
import json
import logging
import os
import re
import sys
from typing import TextIO

# C0 and C1, separators of lines, marks of direction, and lone surrogates, which stand for bytes that are no UTF-8.
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
_BUT_LINES = re.compile(f"(?![\\n\\t]){_CONTROL.pattern}")


def one_line(text: str) -> str:
    """The text with an escape such as `\\n` for every control character."""
    return _CONTROL.sub(_escape, text)


def lines(text: str) -> str:
    """As `one_line`, but lines and tabs stay."""
    return _BUT_LINES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def json_line(value: object) -> str:
    """JSON on one line, in which every control character is an escape of JSON's."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def prepare_streams() -> None:
    """For a script: from now on all that it prints and logs goes through `lines`."""
    # Streams that the caller has closed (`>&-`) are replaced: else the next file that is opened becomes one.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    # Bars where the terminal has none come out as escapes, too.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stdout, _Printed):
        sys.stdout = _Printed(sys.stdout)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Logged("%(message)s"))
    # Of libraries warnings alone: they also tell, for example, that they have made a cache of fonts.
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("emotorch").setLevel(logging.INFO)


class _Printed(io.TextIOBase):
    """A stream whose text goes through `lines`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(lines(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def close(self) -> None:
        """The stream is the process's; it stays open."""


class _Logged(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return lines(super().format(record))
