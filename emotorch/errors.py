"""The errors that a user can mend."""


class EmoTorchError(Exception):
    """Something the user can mend. The message is one line: which file, row or option, and what to do."""


class UsageError(EmoTorchError):
    """Options that contradict each other or name something unknown (exit status 2)."""
