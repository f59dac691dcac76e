"""Folders that one process uses at a time, and that are replaced whole.

Readers find the old folder or the new one, also after a kill at any moment.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotorch.errors import EmoTorchError

# The workers of a killed stage let go of the lock within half a second.
_LOCK_PATIENCE_S = 2.0
# Linux's constants for renameat2: relative to the working directory; both names exist, and change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# The same of macOS's renamex_np.
_RENAME_SWAP = 2


@contextmanager
def exclusive(lock: Path, holder: str) -> Iterator[int]:
    """Holds a lock file, so that one process works and the others say so.

    Its forks hold it too: those that outlive it for a moment may still be writing.

    Yields:
        The descriptor that holds it, for processes that are not forked.

    Raises:
        EmoTorchError: another process holds it; `holder` names that in the message.
    """
    from filelock import FileLock, Timeout  # here: prediction writes files, and holds no lock

    lock.parent.mkdir(parents=True, exist_ok=True)
    inherited: list[int] = []
    # In a forked process filelock closes its own descriptor, but not this one.
    file_lock = FileLock(lock, on_acquired=lambda descriptor: inherited.append(os.dup(descriptor)))
    try:
        file_lock.acquire(timeout=_LOCK_PATIENCE_S)
    except Timeout:
        raise EmoTorchError(f"{holder} is running already (it holds {lock}); wait for it to end") from None
    try:
        yield inherited[0]
    finally:
        file_lock.release()
        for descriptor in inherited:
            os.close(descriptor)


def replace_folder(prepared: Path, final: Path) -> None:
    """Gives a whole folder its name; the one that had it is removed after that.

    Where the system can, the two change their names in one step. Elsewhere it takes two renames: if the second fails,
    the old folder gets its name back; a kill between them leaves it beside, for `restore_folder`. Both are on one file
    system.
    """
    previous = previous_of(final)
    shutil.rmtree(previous, ignore_errors=True)
    try:
        if final.exists() and _exchange(prepared, final):
            prepared.rename(previous)
        else:
            if final.exists():
                final.rename(previous)
            prepared.rename(final)
    except BaseException:
        restore_folder(final)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Lets two folders change names in one step; False where the system, or the file system, cannot."""
    import ctypes

    names = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, _RENAME_SWAP) == 0)
        return bool(library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
    except (AttributeError, OSError, TypeError):
        return False


def restore_folder(final: Path) -> None:
    """Brings back the folder that `replace_folder` had taken away when it was killed."""
    if previous_of(final).exists() and not final.exists():
        previous_of(final).rename(final)


def finish_replacing(final: Path, holder: str) -> None:
    """Brings back a folder before it is read, if `replace_folder` was killed between two renames.

    Raises:
        EmoTorchError: it is being replaced at this moment; `holder` names by what.
    """
    if previous_of(final).exists() and not final.exists():
        with replacing(final, holder):
            return


@contextmanager
def replacing(final: Path, holder: str) -> Iterator[None]:
    """Holds a folder that is to be replaced, brought back after a kill; see `exclusive`."""
    with exclusive(final.with_name(f".{final.name}.lock"), holder):
        restore_folder(final)
        yield


def previous_of(final: Path) -> Path:
    """Where a folder is while another takes its name."""
    return final.with_name(f".{final.name}.previous")
