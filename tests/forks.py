"""Work in a fork of this process that is killed on its way."""

import itertools
import os
import signal
import sys
from collections.abc import Callable

# What Python tells of before it changes anything on the disk, beside files that are opened for writing.
_CHANGES = {"os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def killed_before(change: int, work: Callable[[], object]) -> bool:
    """Does the work in a process of its own, which is killed before the change of the disk of that number; False when
    there are not so many and it came to its end."""
    child = os.fork()
    if child == 0:
        changes = itertools.count()

        def die_in_time(event: str, arguments: tuple[object, ...]) -> None:
            changes_files = event in _CHANGES or (event == "open" and int(arguments[2]) & _WRITING)
            if changes_files and next(changes) == change:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die_in_time)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0
