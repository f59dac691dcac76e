"""A self-contained HTML page: no server, no outside file, light and dark, legible on a phone, printable.

What is put into a page is either text, which is escaped, or `Markup` that was made here.
"""

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from emotorch.figures.canvas import BLACK, GREY, PALE

_TEMPLATES = Environment(
    loader=PackageLoader("emotorch.reports", "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


# What pictures draw in ink follows the page's own colours, so that it can be read on a dark page too.
_PAGE_COLOURS = {BLACK: "currentColor", GREY: "var(--muted)", PALE: "var(--line)"}


_MIME = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        key: Names it in links.
        title: Its heading, and its entry in the contents.
        parts: One below the other.
    """

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
    """The whole page.

    Args:
        title: Of the page.
        subtitle: A line below it.
        facts: Its most important figures.
        sections: In order.
        warning: Above all else: that faces are synthetic, or a run collapsed.
    """
    return _TEMPLATES.get_template("page.html.j2").render(
        title=title, subtitle=subtitle, facts=facts, sections=sections, warning=warning
    )


def text(words: str) -> Markup:
    return Markup("<p>{}</p>").format(words)


def preformatted(words: str) -> Markup:
    """Lines whose columns stand below each other."""
    return Markup("<pre>{}</pre>").format(words)


def missing(what: str, command: str) -> Markup:
    """Says that a part is not there, and how to get it."""
    return Markup('<p class="missing">{}. To have it: <code>{}</code></p>').format(what, command)


def folded(summary: str, part: Markup) -> Markup:
    """A part that opens when its summary is pressed."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, part)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = "", sortable: bool = False
) -> Markup:
    """A table; columns of numbers are set to the right, and a sortable one is sorted by a press on its heading."""
    numeric = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(columns))]
    return Markup(
        _TEMPLATES.get_template("table.html.j2").render(
            columns=columns,
            rows=[[_shown(value) for value in row] for row in rows],
            numeric=numeric,
            caption=caption,
            sortable=sortable,
        )
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and bool(re.match(r"[−+-]?[\d.,]+\b|–$", value)))


def _shown(value: object) -> object:
    return "–" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def matrix(labels: Sequence[str], proportions: npt.ArrayLike, counts: npt.ArrayLike | None, caption: str) -> Markup:
    """A confusion matrix, shaded by the share of the row.

    Args:
        labels: Of rows (true) and columns (answered).
        proportions: (K, K), 0 to 1.
        counts: (K, K) images, where known.
        caption: Which images it counts.
    """
    shares = np.asarray(proportions, dtype=float).tolist()
    numbers = [[None] * len(labels)] * len(labels) if counts is None else np.asarray(counts).tolist()
    return Markup(
        _TEMPLATES.get_template("matrix.html.j2").render(labels=labels, shares=shares, counts=numbers, caption=caption)
    )


def beside(parts: Sequence[Markup]) -> Markup:
    """Parts side by side where the page is wide enough."""
    return Markup('<div class="beside">{}</div>').format(Markup("").join(parts))


def drawing(figure: Figure, alternative: str) -> Markup:
    """A chart as SVG in the page, in the page's colours.

    Args:
        figure: Drawn with the canvas's colours.
        alternative: What it shows, for those who do not see it.
    """
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


def picture(path: Path, alternative: str) -> Markup:
    """A picture file, inside the page.

    Args:
        path: PNG or JPEG.
        alternative: What it shows.
    """
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup('<img src="data:{};base64,{}" alt="{}">').format(_MIME[path.suffix], data, alternative)
