"""The errors that a user can mend."""


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
