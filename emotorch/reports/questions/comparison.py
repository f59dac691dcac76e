"""What stage 6 says of a comparison, for a terminal."""

import math
from collections.abc import Iterator, Sequence

from emotorch.analysis.compare import Comparison, varied
from emotorch.analysis.distance import COLLAPSED, Distance
from emotorch.reports.tables import text_table

_SHOWN = 5
_LEFT_OUT_SHOWN = 10
_FACTORS = ("fer", "fer_aug", "ckp", "ckp_aug")
_UNKNOWN = "-"


def describe(comparison: Comparison) -> str:
    """The most similar runs with their factors, what chance has to do with it, and how many were compared."""
    return "\n".join(
        [
            "most like the original (the smaller the distance, the more alike):",
            _table(comparison),
            _noise(comparison),
            _recreation(comparison),
            _count(comparison),
            *_left_out(comparison.left_out),
        ]
    )


def _table(comparison: Comparison) -> str:
    _, recipe = varied(comparison.distances)
    settings = (*_FACTORS, *recipe)
    rows: list[Sequence[str]] = [("#", "model", "distance", "95% interval", *settings, "note")]
    for rank, run in enumerate(comparison.distances[:_SHOWN], start=1):
        values = (_number(run.setting(name), ".4g") for name in settings)
        rows.append((str(rank), run.model, _number(run.combined, ".5f"), _interval(run), *values, run.note))
    return text_table(rows, left=("model", "note"))


def _number(value: float, form: str) -> str:
    return _UNKNOWN if math.isnan(value) else format(value, form)


def _interval(run: Distance) -> str:
    return _UNKNOWN if math.isnan(run.low) else f"{run.low:.5f}–{run.high:.5f}"


def _noise(comparison: Comparison) -> str:
    best, equal = comparison.best, comparison.within_noise
    if not equal:
        return f"{best.model} has no confusion counts: whether it is the best beyond chance is unknown"
    others = [run for run in equal if run.model != best.model]
    if not others:
        return f"{best.model} is the best beyond chance: its interval overlaps no other's"
    last = 1 + comparison.distances.index(others[-1])
    runs = "1 run" if len(others) == 1 else f"{len(others):,} runs"
    return (
        f"{best.model} is the best only within noise: {runs} cannot be told from it, down to rank {last:,} "
        "(their intervals overlap its own)"
    )


def _recreation(comparison: Comparison) -> str:
    complete = comparison.best.complete
    parts = "FER and CK+" if complete else "FER alone"
    return f"published recreation, on {parts}: {comparison.recreation(complete=complete):.5f}"


def _count(comparison: Comparison) -> str:
    collapsed = sum(run.collapsed for run in comparison.distances)
    sound = len(comparison.distances) - collapsed
    return f"compared: {sound:,}, and {collapsed:,} that {COLLAPSED}; left out: {len(comparison.left_out):,}"


def _left_out(runs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, reason in runs[:_LEFT_OUT_SHOWN]:
        yield f"left out: {name} ({reason})"
    if len(runs) > _LEFT_OUT_SHOWN:
        yield f"left out: … and {len(runs) - _LEFT_OUT_SHOWN:,} more"
