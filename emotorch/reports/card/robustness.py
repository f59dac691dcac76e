"""What a card says of robustness: accuracy under every corruption at every severity, and the mean errors."""

from collections.abc import Mapping
from typing import Any

from emotorch.reports.card.markdown import table, words
from emotorch.reports.questions.robustness import accuracy_rows, describe_means


def render_robustness(findings: Mapping[str, Any]) -> list[str]:
    """The findings of `measure_robustness.py` as Markdown."""
    header, *rows = accuracy_rows(findings)
    quantities = findings["quantities"]
    named = [(f"{words(name)} ({quantities[name]})", *cells) for name, *cells in rows]
    return [
        _bullets(findings["lines"]),
        table(header, named),
        _bullets(describe_means(findings)),
    ]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line.strip()}" for line in lines)
