"""Markdown for model cards."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

DASH, UNKNOWN = "–", "unknown"
SCRIPTS = "develop_baseline_model/models"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def words(name: str) -> str:
    """A name in files as a person reads it."""
    return name.replace("_", " ")


def bytes_of(path: Path) -> str:
    """A file's size, with commas."""
    return f"{path.stat().st_size:,}"


def code_block(lines: Sequence[str], language: str = "sh") -> str:
    """Lines of code, fenced."""
    return "\n".join([f"```{language}", *lines, "```"])


def missing(what: str, command: str) -> str:
    """Says what is not there, and how to get it."""
    return f"{what}: run `python {command}`."


def percent(value: float) -> str:
    """A figure that is in percent already, or a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:.1f}"
