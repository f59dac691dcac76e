"""What page and card share: the templates, and what a confusion matrix says of each class, as tables.

Whatever is filled into a template is escaped, for HTML, Markdown or YAML, unless it says it is such text already
(`Markup`, `Markdown`).
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from emotorch.metrics.confusion import class_scores
from emotorch.metrics.intervals import wilson_interval
from emotorch.tables import Format, Table, counted, to_markdown

UNKNOWN = "–"
# What would begin markup; an underscore within a word does not.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|^#")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def escape_markdown(value: object) -> str:
    """A value as plain text in one line, wherever it stands in Markdown but in code."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(str(value).splitlines()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\g<0>", line)


def code(value: object) -> Markdown:
    """A value as code within a line or a table's cell."""
    text = " ".join(str(value).splitlines()).replace("|", "\\|")
    fence = _fence(text, 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def code_block(lines: str, language: str = "sh") -> Markdown:
    """Lines of code, fenced."""
    fence = _fence(lines, 3)
    return Markdown(f"{fence}{language}\n{lines}\n{fence}")


def _fence(text: str, shortest: int) -> str:
    """More backticks than stand together anywhere in the text."""
    return "`" * max(shortest, *(1 + len(run) for run in re.findall("`+", text)), 0)


def fixed(value: float | None, digits: int) -> str:
    """With so many decimals; a dash for what is unknown (None, NaN)."""
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.{digits}f}"


def to_yaml(value: object) -> str:
    """A text or a number as YAML; what YAML would not print is written in ASCII."""
    return json.dumps(value, ensure_ascii=not str(value).isprintable())


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("emotorch.reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= {
        "number": "{:,}".format,
        "fixed": fixed,
        "counted": counted,
        "words": lambda name: name.replace("_", " "),
    }
    return environment


HTML = _environment(autoescape=True)
YAML = _environment(finalize=to_yaml)
MARKDOWN = _environment(finalize=escape_markdown)
MARKDOWN.filters |= {
    "code": code,
    "code_block": code_block,
    "raw": Markdown,
    "stem": lambda name: Path(name).stem,
    "table": lambda table: Markdown(to_markdown(table, escape_markdown)),
}


def class_table(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Table:
    """Precision, recall with its interval and F1 of each class of a (K, K) matrix of counts."""
    rows = [
        {
            "class": score.label,
            "n": score.images,
            "precision %": score.precision,
            "recall %": score.recall,
            "recall, 95% interval": wilson_interval(score.correct, score.images) if score.images else None,
            "F1 %": score.f1,
        }
        for score in class_scores(counts, labels)
    ]
    percents = dict.fromkeys(("precision %", "recall %", "F1 %"), "{:.1f}")
    formats: dict[str, Format] = {
        **percents,
        "n": "{:,}",
        "recall, 95% interval": lambda ends: "{:.1f}–{:.1f}".format(*ends),
    }
    return Table(pd.DataFrame(rows), formats)


def proportions_table(proportions: Sequence[Sequence[float]], labels: Sequence[str]) -> Table:
    """A (K, K) matrix of which the proportions alone are known, in percent."""
    frame = pd.DataFrame(proportions, columns=list(labels)) * 100
    frame.insert(0, "true class, % predicted as", list(labels))
    return Table(frame, dict.fromkeys(labels, "{:.1f}"))
