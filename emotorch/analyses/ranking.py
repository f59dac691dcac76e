"""Runs in the order of the number that ranks them: which is the best, whether beyond chance, and what varies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from emotorch.analyses.criterion import ACCURACY, DISTANCE, LOSS, MACRO_F1, Criterion
from emotorch.analyses.distance import MeasuredRun
from emotorch.tables import Table, counted

_SHOWN = 5


@dataclass(frozen=True)
class Ranking:
    """Runs that one number ranks.

    Attributes:
        runs: The best first.
        criterion: The number.
        title: What is said of these runs: which matrices their distances are sums over, or which data and classes.
    """

    runs: Sequence[MeasuredRun]
    criterion: Criterion
    title: str

    @cached_property
    def best(self) -> MeasuredRun:
        """The first that did not collapse, if there is one."""
        return next((run for run in self.runs if not run.collapsed), self.runs[0])

    @property
    def within_noise(self) -> list[MeasuredRun]:
        """The best, and the runs whose intervals overlap the best's; empty where that has none."""
        best = self.best
        return [run for run in self.runs if run.low <= best.high and best.low <= run.high]

    @property
    def settings(self) -> list[str]:
        """What varies; where no run has CK+, its factors choose among no images."""
        factors, recipe = varied(self.runs)
        with_ckp = any(run.has_ckp for run in self.runs)
        return [name for name in factors if with_ckp or not name.startswith("ckp")] + recipe

    def describe_noise(self) -> str:
        """Whether the best run is so beyond chance; and of a score that one would report, that it chose the run."""
        said = self._describe_best()
        if self.criterion == DISTANCE or len(self.runs) == 1:
            return said
        return f"{said}; the best of several is also the luckiest: score it on images that chose nothing"

    def _describe_best(self) -> str:
        best, equal = self.best, self.within_noise
        if len(self.runs) == 1:
            return f"{best.model} is the only run, {self.title}: there is nothing to tell it from"
        if not equal:
            why = "has no interval" if self.criterion == LOSS else "has no confusion counts"
            return f"{best.model} {why}: whether it is the best beyond chance is unknown"
        others = [run for run in equal if run.model != best.model]
        if not others:
            return f"{best.model} is the best beyond chance: its interval overlaps no other's"
        last = 1 + self.runs.index(others[-1])
        return (
            f"{best.model} is the best only within noise: {counted(len(others), 'run')} cannot be told from it, down "
            f"to rank {last:,} (their intervals overlap its own)"
        )

    def table(self, always: Sequence[str] = ()) -> Table:
        """The best runs, with what varies between all of them, and the factors that are `always` shown."""
        shown = self.runs[:_SHOWN]
        settings = list(dict.fromkeys([*always, *self.settings]))
        scores = {
            self.criterion.column: [run.value for run in shown],
            ACCURACY.column: [run.accuracies[1] for run in shown],
            MACRO_F1.column: [run.macro_f1 for run in shown],
        }
        intervals = [self.criterion.interval(run.low, run.high) or None for run in shown]
        names = [run.recipe_name for run in shown]
        frame = pd.DataFrame(
            {
                "#": range(1, len(shown) + 1),
                "model": [run.model for run in shown],
                **({"recipe": names} if len({run.recipe_name for run in self.runs}) > 1 else {}),
                self.criterion.column: scores.pop(self.criterion.column),
                "95% interval": intervals,
                **scores,
                **{name: [run.setting(name) for run in shown] for name in settings},
                "note": [run.note for run in shown],
            }
        )
        cells = {criterion.column: criterion.cell for criterion in (self.criterion, ACCURACY, MACRO_F1)}
        return Table(frame, {**cells, "95% interval": "{}", **dict.fromkeys(settings, "{:.4g}")})


def varied(runs: Sequence[MeasuredRun], most: int = 3) -> tuple[list[str], list[str]]:
    """The factors that differ between runs, and the recipe's settings that do, those of the most values first.

    Of the latter at most so many: runs of two recipes differ in nearly all.
    """
    values: dict[str, dict[str, set[float]]] = {"factors": {}, "recipe": {}}
    for run in runs:
        for kind, settings in (("factors", run.factors), ("recipe", run.recipe)):
            for name, value in settings.items():
                values[kind].setdefault(name, set()).add(value)
    factors, recipe = ({name: len(found) for name, found in kind.items() if len(found) > 1} for kind in values.values())
    return list(factors), sorted(recipe, key=lambda name: (-recipe[name], name))[:most]
