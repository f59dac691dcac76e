"""A self-contained HTML page: no server, no outside file, light and dark, legible on a phone, printable.

What is put into a page is either text, which is escaped, or `Markup` that was made here.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from emotorch.data.images import Pixels, encode_png
from emotorch.figures.canvas import without_controls
from emotorch.figures.colours import BLACK, GREY, PALE
from emotorch.reports.rendering import HTML
from emotorch.runs.confusion import Matrix
from emotorch.screen import lines, one_line
from emotorch.tables import Table

NAME = "report.html"
# What pictures draw in ink follows the page's own colours, so that it can be read on a dark page too.
_PAGE_COLOURS = {BLACK: "currentColor", GREY: "var(--muted)", PALE: "var(--line)"}


@dataclass(frozen=True)
class Section:
    """A part of a page. The key names it in links, the title in the contents and above it."""

    key: str
    title: str
    parts: Sequence[Markup]


@dataclass(frozen=True)
class Fact:
    """A figure at the top of a page, with what it is and what stands behind it."""

    name: str
    value: str
    detail: str = ""


def render(title: str, subtitle: str, facts: Sequence[Fact], sections: Sequence[Section], warning: str = "") -> str:
    """The whole page. A warning stands above all else: that faces are synthetic, or a run collapsed."""
    page = HTML.get_template("page.html.j2").render(
        title=title, subtitle=subtitle, facts=facts, sections=sections, warning=warning
    )
    return lines(page)


def text(words: str) -> Markup:
    return Markup("<p>{}</p>").format(words)


def sentences(words: Sequence[str]) -> Markup:
    """One below the other."""
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in words)
    return Markup('<ul class="sentences">{}</ul>').format(items)


def missing(what: str, command: str) -> Markup:
    """Says that a part is not there, and how to get it."""
    return Markup('<p class="missing">{}. To get it: <code>{}</code></p>').format(what, command)


def folded(summary: str, part: Markup) -> Markup:
    """A part that opens when its summary is pressed."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, part)


def table(shown: Table, *, caption: str = "", kind: Literal["", "sortable", "pairs"] = "") -> Markup:
    """A table; one that a press on a heading sorts; or one of names and values, of which long ones are wrapped."""
    return Markup(HTML.get_template("table.html.j2").render(table=shown, caption=caption, kind=kind))


def pairs(values: Mapping[str, object]) -> Markup:
    """What has a name and a value, as a table."""
    frame = pd.DataFrame({"name": list(values), "value": [str(value) for value in values.values()]})
    return table(Table(frame), kind="pairs")


def matrix(found: Matrix, caption: str) -> Markup:
    """A confusion matrix, shaded by the proportion of the row, with counts where they are known."""
    counts = found.counts or np.full(np.shape(found.proportions), None).tolist()
    return Markup(HTML.get_template("matrix.html.j2").render(matrix=found, counts=counts, caption=caption))


def beside(parts: Sequence[Markup]) -> Markup:
    """Parts side by side where the page is wide enough."""
    return Markup('<div class="beside">{}</div>').format(Markup("").join(parts))


def drawing(figure: Figure, alternative: str) -> Markup:
    """A chart as SVG in the page's colours, and in words, for those who do not see it."""
    alternative = one_line(alternative)
    without_controls(figure)
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "emotorch", "svg.id": alternative}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, ours in _PAGE_COLOURS.items():
        svg = svg.replace(colour, ours).replace(colour.lower(), ours)
    # Text and lines without a colour of their own are black.
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alternative)}" fill="currentColor" ', 1)
    return Markup('<div class="drawing">{}</div>').format(Markup(svg))


@dataclass(frozen=True)
class Shown:
    """An image, (H, W) or (H, W, 3) uint8, and the lines below it, of which the first is the important one."""

    pixels: Pixels
    lines: Sequence[str]


def gallery(groups: Sequence[tuple[str, Sequence[Shown]]]) -> Markup:
    """Images in groups, each with its heading, or none."""
    shown = [(heading, [(_base64(encode_png(one.pixels)), one.lines) for one in images]) for heading, images in groups]
    return Markup(HTML.get_template("gallery.html.j2").render(groups=shown))


def picture(path: Path, alternative: str) -> Markup:
    """A PNG file, inside the page; `alternative` says what it shows."""
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(_base64(path.read_bytes()), alternative)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
