"""The errors that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The root of synthetic faces, below the user's own.
SYNTHETIC_FOLDER = "synthetic"


class EmoTorchError(Exception):
    """Something the user can mend. The message is one line: which file, row or option, and what to do."""

    status = 1  # of a script that it ends


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
        raise UsageError(f"{purpose} needs {missing.name}: {installing(extra)}") from None


def installing(extra: str) -> str:
    """How to install an extra: from the project's folder, since elsewhere its name may be another project's."""
    return f"in EmoTorch's folder, pip install '.[{extra}]'"


def found_elsewhere(missing: Path) -> str:
    """The end of an error: the root that has what this one lacks, of the user's own and that of synthetic faces."""
    for root in missing.parents:
        below = missing.relative_to(root)
        other = root.parent if root.name == SYNTHETIC_FOLDER else root / SYNTHETIC_FOLDER
        if (other / below).exists():
            return f"; {other} has it: set EMOTORCH_ROOT={other}"
    return ""
