"""A user's file, or a pipe that is one: opened without waiting for what never comes."""

import io
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from emotorch.errors import EmoTorchError

# A pipe is given up when nobody opens it for writing in time, when it is silent for too long, or holds too many bytes.
_NO_WRITER_S, _SILENCE_S = 2.0, 60.0
_MOST_OF_A_PIPE = 2**30


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be read from any place, also a pipe.

    Raises:
        EmoTorchError: it is missing, cannot be read, or is a pipe through which nothing comes.
    """
    try:
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (Path.open takes no opener)
    except OSError as error:
        raise EmoTorchError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a name with a null character
        raise EmoTorchError(f"{path}: {error}") from error
    with file:
        try:
            yield file if file.seekable() else io.BytesIO(_read_pipe(file, path))
        except OSError as error:
            raise EmoTorchError(f"{path}: {error.strerror or error}") from error


def _open_at_once(name: str, flags: int) -> int:
    """Without waiting for somebody who writes into a pipe; makes no difference to a file."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _read_pipe(file: BinaryIO, path: Path) -> bytes:
    """All that comes through a pipe, until who writes into it closes it."""
    content, begun, heard = bytearray(), False, time.monotonic()
    while len(content) <= _MOST_OF_A_PIPE:
        try:
            part = os.read(file.fileno(), 2**20)
        except BlockingIOError:
            begun = True  # somebody has opened it
            select.select([file], [], [], _SILENCE_S)
            if time.monotonic() - heard > _SILENCE_S:
                raise EmoTorchError(f"{path}: nothing came through this pipe for {_SILENCE_S:.0f} s") from None
            continue
        if part:
            content += part
            begun, heard = True, time.monotonic()
        elif begun:
            return bytes(content)
        elif time.monotonic() - heard > _NO_WRITER_S:
            raise EmoTorchError(f"{path}: a pipe that nobody writes to")
        else:
            time.sleep(0.02)
    raise EmoTorchError(f"{path}: more comes through this pipe than any picture has")
