"""What pictures share: titles that fit, estimates with intervals, legends, pages of pixels, and saving.

Beside a colour a second sign (line style, marker, check mark) always says the same. Equal input gives equal bytes (but
for the names that an SVG gives its parts); no state is shared, so that threads may draw at the same time.
"""

import textwrap
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from emotorch.figures.colours import BLACK, PALE
from emotorch.files import write_atomically
from emotorch.screen import lines

DPI = 150
FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".pdf": "pdf", ".svg": "svg"}
# Without the drawing library's version and the date in it, a file depends only on what is drawn.
_METADATA: dict[str, dict[str, None] | None] = {
    "png": {"Software": None},
    "jpg": None,
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}

Pixels = npt.NDArray[np.uint8]

# A name in Chinese, say, of which the picture shows boxes: nothing that a user could mend.
warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)

TITLE_POINTS = 12.0
# A character's mean width in parts of the font size; generous, so that nothing is cut.
CHARACTER_EM = 0.6
LINE_EM = 1.35


def new_figure(width: float, height: float, title: str, *, compress: bool = False) -> Figure:
    """A figure of this size in inches, with room for a title of one line; a longer one makes it higher.

    With `compress`, panels of a fixed shape move together, instead of spreading over the figure.
    """
    wrapped = wrap(title, width, TITLE_POINTS)
    extra = wrapped.count("\n") * TITLE_POINTS * LINE_EM / 72
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, compress=compress)
    figure = Figure(figsize=(width, height + extra), dpi=DPI, layout=layout)
    # Titles often hold file names: a dollar sign in one is not the start of a formula.
    figure.suptitle(wrapped, fontsize=TITLE_POINTS, parse_math=False)
    return figure


def wrap(text: str, width: float, points: float) -> str:
    """Breaks a text into lines of at most `width` inches at this font size."""
    return textwrap.fill(text, max(10, int(width * 72 / (points * CHARACTER_EM))))


def tidy(axes: Axes) -> None:
    """A pale grid behind, and no frame above and at the right."""
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_estimate(
    axes: Axes,
    height: float,
    estimate: tuple[float, float, float],
    colour: str,
    *,
    filled: bool,
    marker: str = "o",
    size: float = 6.0,
    line_width: float = 2.0,
    line_colour: str = "",
    label: str = "",
) -> None:
    """Draws a value and the line between the ends of its interval, in the marker's colour unless it has its own."""
    value, low, high = estimate
    axes.plot((low, high), (height, height), color=line_colour or colour, linewidth=line_width)
    fill = colour if filled else "white"
    axes.plot(value, height, marker, color=colour, markerfacecolor=fill, markersize=size, label=label)


def add_legend(
    figure: Figure,
    panels: Iterable[Axes],
    place: Literal["outside lower left", "outside lower center", "outside lower right"] = "outside lower center",
    **options: Any,
) -> None:
    """What the lines and markers in some panels mean, each once, in four columns below them."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    figure.legend(entries.values(), entries.keys(), loc=place, **{"ncols": 4, "frameon": False, **options})


class PixelPage:
    """A figure that is laid out in pixels of the finished file, from the top left, so that every pixel of an image
    stays one, or becomes a block of equal ones.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._pixels = np.full((height, width, 3), 255, np.uint8)
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def place(self, x: int, y: int, image: Pixels, factor: int, frame: int, colour: str) -> None:
        """Puts an image, (H, W) or (H, W, 3), enlarged by a whole factor, into a frame whose corner is at x, y."""
        enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
        height, width = enlarged.shape[:2]
        tile = self._pixels[y : y + height + 2 * frame, x : x + width + 2 * frame]
        tile[:] = np.round(255 * np.asarray(to_rgb(colour)))
        tile[frame:-frame, frame:-frame] = enlarged if enlarged.ndim == 3 else enlarged[:, :, None]

    def write(
        self,
        x: float,
        y: float,
        text: str,
        points: float,
        color: str = BLACK,
        align: Literal["left", "center"] = "center",
    ) -> None:
        """Puts a text below y: at x, or in the middle over it."""
        place = x / self._width, 1 - y / self._height
        self._figure.text(*place, text, fontsize=points, color=color, ha=align, va="top", parse_math=False)

    def figure(self) -> Figure:
        """What was put on it; to be asked once."""
        self._figure.figimage(self._pixels)
        return self._figure


def line_height(points: float) -> float:
    """Of a text, in pixels of the finished file."""
    return points * DPI / 72 * LINE_EM


def without_controls(figure: Figure) -> None:
    """Before it is drawn: names in its texts that hold control characters, or are no UTF-8, become escapes."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(lines(text.get_text()))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        named = axis.get_major_formatter()
        if isinstance(named, FixedFormatter | FuncFormatter):  # it gives the ticks their texts once more
            axis.set_major_formatter(FuncFormatter(lambda value, place, named=named: lines(named(value, place))))


def save(figure: Figure, path: Path) -> Path:
    """Writes the picture, in the format of its name's ending (`FORMATS`), whole or not at all.

    Raises:
        EmoTorchError: the folder is not writable.
    """
    form = FORMATS[path.suffix.lower()]
    without_controls(figure)
    write_atomically(path, lambda partial: figure.savefig(partial, format=form, dpi=DPI, metadata=_METADATA[form]))
    return path


def require(condition: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)
