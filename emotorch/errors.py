"""The errors that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class EmoTorchError(Exception):
    """Something the user can mend. The message is one line: which file, row or option, and what to do.

    Attributes:
        status: The exit status of a script that it ends.
    """

    status = 1


class UsageError(EmoTorchError):
    """Options that contradict each other or name something unknown."""

    status = 2


class ToldError(EmoTorchError):
    """A failure that another process of the same work tells of: nothing more is to be said."""


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Around imports of packages that only an extra of the installation brings.

    Args:
        extra: Its name in pyproject.toml.
        purpose: What they are needed for, as the message begins.

    Raises:
        UsageError: one is not installed; the message says how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("emotorch"):
            raise
        raise UsageError(f"{purpose} needs {missing.name}: pip install 'emotorch[{extra}]'") from None
