"""The templates of page and card: whatever is filled in is escaped, for HTML, Markdown or YAML, unless it says it is
such text already (`Markup`, `Markdown`).
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from emotorch.tables import Table, counted, to_markdown

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


def number(value: float) -> str:
    """With commas."""
    return f"{value:,}"


def fixed(value: float | None, digits: int) -> str:
    """With so many decimals; a dash for what is unknown (None, NaN)."""
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.{digits}f}"


def words(name: str) -> str:
    """A name in files as a person reads it."""
    return name.replace("_", " ")


def markdown_table(table: Table) -> Markdown:
    return Markdown(to_markdown(table, escape_markdown))


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
    environment.filters |= {"number": number, "fixed": fixed, "counted": counted, "words": words}
    return environment


HTML = _environment(autoescape=True)
YAML = _environment(finalize=to_yaml)
MARKDOWN = _environment(finalize=escape_markdown)
MARKDOWN.filters |= {
    "code": code,
    "code_block": code_block,
    "raw": Markdown,
    "stem": lambda name: Path(name).stem,
    "table": markdown_table,
}
