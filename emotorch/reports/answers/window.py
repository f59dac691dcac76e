"""Windows, where there is a screen."""

import os
import socket
import sys
from pathlib import Path

import cv2
import numpy as np

from emotorch.data.images import Pixels, read_colours

_KEYS_TO_LEAVE = (27, ord("q"))  # 27 is Escape
_TITLE = "EmoTorch"


def has_display() -> bool:
    """Whether a window can be opened. OpenCV ends the process when it tries in vain, so this asks before."""
    if sys.platform in ("darwin", "win32"):
        return True
    display = os.environ.get("DISPLAY", "")
    if not display.startswith(":"):
        return bool(display)  # of another machine, as through ssh -X
    number = display[1:].partition(".")[0]
    with socket.socket(socket.AF_UNIX) as server:
        # The second name is the abstract one, which a container may share without the file.
        for address in (f"/tmp/.X11-unix/X{number}", f"\0/tmp/.X11-unix/X{number}"):
            try:
                server.connect(address)
            except OSError:
                continue
            return True
    return False


def show_picture(path: Path) -> None:
    """Shows a picture file until a key is pressed or its window closed."""
    cv2.imshow(_TITLE, np.ascontiguousarray(read_colours(path)[:, :, ::-1]))
    while cv2.waitKey(50) < 0 and _is_open():
        pass
    cv2.destroyAllWindows()


class LiveWindow:
    """Shows pictures one after the other."""

    def show(self, pixels: Pixels) -> bool:
        """Shows (H, W, 3), blue, green, red; False when the user pressed q or Escape, or closed the window."""
        cv2.imshow(_TITLE, pixels)
        return cv2.waitKey(1) & 0xFF not in _KEYS_TO_LEAVE and _is_open()

    def close(self) -> None:
        cv2.destroyAllWindows()


def _is_open() -> bool:
    return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
