"""Any analysis's findings as Markdown: what they hold as plain values, whatever it is called."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emotorch.reports.card.markdown import DASH, table, words

_LONG = 12  # rows; a longer table is folded
_INTERVAL = {"value", "low", "high"}


def render_findings(findings: Mapping[str, Any]) -> list[str]:
    """Sentences as a list, single figures as a table, a table for every list of records; all as they are.

    A figure with its interval (`value`, `low`, `high`) is one cell. Names of files are left out, and so are lists of
    anything else: the analysis's own tables hold them.
    """
    parts = []
    for name, value in findings.items():
        if name == "lines" and isinstance(value, list):
            parts.append("\n".join(f"- {line.strip()}" for line in value))
    rows = [(words(name), cell) for name, cell in _cells(findings)]
    if rows:
        parts.append(table(("figure", "value"), rows))
    for name, records in _lists(findings):
        parts += _render_list(words(name), records)
    return parts


def _render_list(title: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    if any(True for record in records for _ in _lists(record)):
        parts = []
        for number, record in enumerate(records, start=1):
            parts.append(f"**{title}: {record.get('name', number)}**")
            parts += render_findings({key: value for key, value in record.items() if key != "name"})
        return parts
    lines = [dict(_cells(record)) for record in records]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    drawn = table([words(column) for column in columns], [[line.get(c, DASH) for c in columns] for line in lines])
    if len(records) <= _LONG:
        return [f"{title.capitalize()}:", drawn]
    return [f"<details><summary>{title.capitalize()}, {len(records)} of them</summary>\n\n{drawn}\n\n</details>"]


def _cells(findings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in findings.items():
        if isinstance(value, Mapping) and not _is_interval(value):
            yield from _cells(value, f"{prefix}{name}, ")
        elif isinstance(value, Mapping):
            yield f"{prefix}{name}", f"{_text(value['value'])} ({_text(value['low'])}–{_text(value['high'])})"
        elif value != "" and (value is None or isinstance(value, str | int | float)) and not _is_file(value):
            yield f"{prefix}{name}", _text(value)


def _lists(findings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    for name, value in findings.items():
        if isinstance(value, Mapping):
            yield from _lists(value, f"{prefix}{name}, ")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) and not _is_interval(v) for v in value):
            yield f"{prefix}{name}", value


def _is_interval(value: Mapping[str, Any]) -> bool:
    return value.keys() >= _INTERVAL


def _is_file(value: object) -> bool:
    return isinstance(value, str) and value.endswith((".png", ".csv"))


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return f"{value:.4g}" if isinstance(value, float) else str(value)
