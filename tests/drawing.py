"""What a figure says, and whether it can be read."""

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[str]:
    found = (text.get_text() for text in figure.findobj(Text) if text.get_visible())
    return [text for text in found if text]


def assert_legible(figure: Figure) -> None:
    """No text is cut or covers another."""
    figure.draw_without_rendering()
    undrawn = _undrawn_tick_labels(figure)
    boxes = {
        (index, text.get_text()): text.get_window_extent()
        for index, text in enumerate(figure.findobj(Text))
        if text.get_visible() and text.get_text() and text not in undrawn
    }
    width, height = figure.bbox.size
    for key, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{key} is cut"
    for (key, box), (other_key, other) in itertools.combinations(boxes.items(), 2):
        apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
        assert apart, f"{key} covers {other_key}"


def _undrawn_tick_labels(figure: Figure) -> set[Text]:
    """Axes keep ticks beyond their limits, which are never drawn."""
    return {
        label
        for axes in figure.axes
        for axis, (start, end) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not (axes.axison and min(start, end) <= tick.get_loc() <= max(start, end))
    }
