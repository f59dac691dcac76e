"""The file of YuNet's network: where it lies, and how it is fetched once the user asks for it.

It is not a part of this project and never copied into it. Of OpenCV's model zoo, under the MIT licence.
"""

import hashlib
import os
import sys
from pathlib import Path

from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import hash_file, write_bytes

# The environment variable that names another file than the one in the user's cache.
VARIABLE = "EMOTORCH_YUNET"
COMMAND = "emotorch get-yunet"
NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{NAME}"

_MOST_BYTES = 10 * 1024**2
_PATIENCE_S = 30.0


def cached_file() -> Path:
    """Where the fetched file lies, whether it is there or not."""
    if sys.platform == "win32":
        folder = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        folder = "~/Library/Caches"
    else:
        folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(folder)) / "emotorch" / NAME  # noqa: PTH111 (Path.expanduser fails without a home)


def find_file() -> Path | None:
    """The file that the user names, or the one in the cache; None without either.

    Raises:
        EmoTorchError: the named one is not there, or the one in the cache is not the one that was fetched.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise EmoTorchError(f"{named}: no such file; {VARIABLE} must name YuNet's ONNX file")
        return Path(named)
    path = cached_file()
    if not path.is_file():
        return None
    if hash_file(path) != SHA256:
        raise EmoTorchError(f"{path}: damaged, its SHA-256 is not {SHA256[:8]}…; {COMMAND} fetches it again")
    return path


def require_file() -> Path:
    """As `find_file`; raises UsageError without a file."""
    path = find_file()
    if path is None:
        raise UsageError(
            f"--detector yunet needs YuNet's ONNX file, which does not ship here: {COMMAND} fetches it (0.2 MB), or "
            f"set {VARIABLE} to its path"
        )
    return path


def fetch(url: str = URL) -> Path:
    """Fetches the file into the user's cache, whole or not at all.

    Returns:
        Where it lies now. What was there, and is right, is not fetched again.

    Raises:
        EmoTorchError: there is no way to the server, or it gives another file; none is written then.
    """
    path = cached_file()
    if path.is_file() and hash_file(path) == SHA256:
        return path
    data = _read(url, path)
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise EmoTorchError(f"{url}: another file than expected (SHA-256 {found}, not {SHA256}); nothing is kept of it")
    write_bytes(path, data)
    return path


def _read(url: str, path: Path) -> bytes:
    # Imported here: it takes as long as all else that a prediction imports of the standard library.
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_PATIENCE_S) as response:
            return bytes(response.read(_MOST_BYTES))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason
        raise EmoTorchError(f"{url}: {reason}; fetch it by other means and store it as {path}") from error
