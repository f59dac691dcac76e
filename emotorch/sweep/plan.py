"""A sweep as data: what is varied and how, and the runs that this gives.

Random and grid sweeps draw all their runs before the first one starts; a guided sweep adds them one by one.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from emotorch.analyses.criterion import DISTANCE, Criterion
from emotorch.data.selection import Factors
from emotorch.errors import EmoTorchError, UsageError, installing
from emotorch.experiment.settings import Settings
from emotorch.files import read_table
from emotorch.overrides import setting_type, setting_types, with_setting
from emotorch.recipes import Recipe
from emotorch.seeding import generator
from emotorch.sweep.job import Result

Range = tuple[float, float]
Number = int | float

FACTOR_NAMES = tuple(factor.name for factor in fields(Factors))
# Of the recipe's numbers the one that factors stand for in a sweep.
_VARIANTS = "variants"
RANDOM, GRID, GUIDED = "random", "grid", "guided"


@dataclass(frozen=True)
class FactorRanges:
    """From where to where each factor is drawn; the published ranges."""

    fer: Range = (0.9, 1.0)
    fer_aug: Range = (0.0, 0.1)
    ckp: Range = (0.9, 1.0)
    ckp_aug: Range = (0.0, 0.1)

    def __post_init__(self) -> None:
        for factor in fields(self):
            low, high = getattr(self, factor.name)
            if not 0.0 <= low <= high <= 1.0:
                raise UsageError(f"the range of {factor.name} is {low}-{high}, not within 0-1 and rising")


def choose_ranges(base: Settings, published: FactorRanges, given: Mapping[str, Range | None]) -> FactorRanges:
    """The ranges of a sweep's factors: those given by name, where not None; else of a recipe that uses stage 3's
    variants the published ones, and of any other the factors of a single training.
    """
    own = asdict(base.factors).items()
    usual = asdict(published) if base.recipe.variants else {name: (factor, factor) for name, factor in own}
    return FactorRanges(**usual | {name: chosen for name, chosen in given.items() if chosen is not None})


@dataclass(frozen=True)
class Dimension:
    """A number that a sweep varies, and the range that it is searched in.

    Attributes:
        name: A factor's, or the dotted name of a recipe's field.
        log: Whether its scale is logarithmic.
        whole: Whether it is an integer.
    """

    name: str
    low: Number
    high: Number
    log: bool = False
    whole: bool = False

    def at(self, place: float) -> Number:
        """The value at a place of the range, from 0 to 1."""
        value = self.low * (self.high / self.low) ** place if self.log else self.low + (self.high - self.low) * place
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value

    def drawn(self, place: float) -> Number:
        """The value for a random number from 0 to below 1; every whole number is equally likely."""
        if not self.whole:
            return self.at(place)
        wider = Dimension(self.name, self.low - 0.5, self.high + 0.5, self.log)
        return min(max(round(wider.at(place)), round(self.low)), round(self.high))

    def levels(self, count: int) -> list[Number]:
        """So many different values from end to end, evenly apart; the middle for one."""
        if count == 1:
            return [self.at(0.5)]
        values = [self.at(number / (count - 1)) for number in range(count)]
        if self.whole:
            # Short steps round to equal numbers: push these apart, upwards and then down from the top.
            values = list(itertools.accumulate(values, lambda last, value: max(value, last + 1)))
            values[-1] = self.high
            values = list(itertools.accumulate(reversed(values), lambda last, value: min(value, last - 1)))[::-1]
        return values

    @property
    def most_levels(self) -> float:
        return self.high - self.low + 1 if self.whole else math.inf


def parse_dimension(recipe: Recipe, text: str) -> Dimension:
    """The dimension that `KEY=LOW:HIGH[:log]` describes, of a recipe's field.

    Raises:
        UsageError: no such field (the nearest right one is named), not a number, or a range that does not fit it.
    """
    name, equals, bounds = text.partition("=")
    low_text, *others = bounds.split(":")
    if not equals or len(others) not in (1, 2) or others[1:] not in ([], ["log"]):
        raise UsageError(f"--vary {text!r} is not KEY=LOW:HIGH or KEY=LOW:HIGH:log")
    numbers = [key for key, type_ in setting_types(recipe).items() if type_ in (int, float) and key != _VARIANTS]
    kind = setting_type(recipe, name, proposed=numbers)
    if kind not in (int, float):
        raise UsageError(f"--vary {name}: it is not a number; fix it with --set")
    if name == _VARIANTS:
        raise UsageError(
            "--vary variants: in a sweep the ranges of fer_aug and ckp_aug say how many variants are drawn"
        )
    try:
        low, high = float(low_text), float(others[0])
    except ValueError:
        raise UsageError(f"--vary {text!r}: {bounds!r} is not two numbers with a colon between them") from None
    whole, log = kind is int, others[1:] == ["log"]
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UsageError(f"--vary {name}: {bounds!r} is not a finite, rising range")
    if whole:
        low, high = round(low), round(high)
    if log and low <= 0:
        raise UsageError(f"--vary {name}: a log range begins above 0, not at {low:g}")
    dimension = Dimension(name, low, high, log, whole)
    for end in (dimension.low, dimension.high):
        with_setting(recipe, name, end)
    return dimension


@dataclass(frozen=True)
class PlannedRun:
    """One row of a plan. `number` counts from 1; `changes` are the recipe's fields that the sweep varies."""

    number: int
    factors: Factors
    seed: int
    changes: Mapping[str, Number] = field(default_factory=dict)

    def settings(self, base: Settings) -> Settings:
        """The sweep's shared settings with this run's own values."""
        recipe = reduce(lambda recipe, change: with_setting(recipe, *change), self.changes.items(), base.recipe)
        return replace(base, recipe=recipe, factors=self.factors, seed=self.seed)


@dataclass(frozen=True)
class Design:
    """What a plan is drawn from.

    Attributes:
        strategy: `random`, every number drawn evenly from its range (a longer plan of the same seed starts with the
            shorter one); `grid`, see `_grid`; `guided`, each run chosen by the results before it.
        count: How many runs.
        seed: Of the drawing, and of the runs: each has this plus its number.
        varied: Fields of the recipe.
        seeds: How many seeds each choice of values is trained under: with more than one, this seed plus 1, plus 2, …,
            the same for every choice.
    """

    strategy: str
    count: int
    seed: int
    ranges: FactorRanges = field(default_factory=FactorRanges)
    varied: tuple[Dimension, ...] = ()
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds > 1 and self.strategy == GUIDED:
            raise UsageError("--seeds is for --strategy random or grid: a guided sweep chooses its runs one by one")
        if self.count % self.seeds:
            raise ValueError(f"{self.count} runs are no whole number of choices under {self.seeds} seeds")
        names = [varied.name for varied in self.varied]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"--vary {name} is given twice")

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The factors, then the recipe's fields."""
        return (*(Dimension(name, *getattr(self.ranges, name)) for name in FACTOR_NAMES), *self.varied)

    @property
    def differing(self) -> list[Dimension]:
        """Those that differ between runs, where there are several."""
        return [dimension for dimension in self.dimensions if dimension.high > dimension.low]

    def at(self, place: float) -> dict[str, Number]:
        """The value of each at a place of its range, from 0 to 1."""
        return {dimension.name: dimension.at(place) for dimension in self.dimensions}

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the plan's file."""
        return ("number", *(dimension.name for dimension in self.dimensions), "seed")

    def planned(self, number: int, values: Mapping[str, Number]) -> PlannedRun:
        """A run with a value for every dimension."""
        factors = Factors(**{name: float(values[name]) for name in FACTOR_NAMES})
        changes = {varied.name: values[varied.name] for varied in self.varied}
        place = number if self.seeds == 1 else 1 + (number - 1) % self.seeds
        return PlannedRun(number, factors, self.seed + place, changes)

    def choice(self, number: int) -> int:
        """Which choice of values a run is of, from 1."""
        return 1 + (number - 1) // self.seeds

    def row(self, planned: PlannedRun) -> tuple[Number, ...]:
        """A run as the plan's file states it."""
        return (planned.number, *asdict(planned.factors).values(), *planned.changes.values(), planned.seed)

    def read(self, path: Path) -> list[PlannedRun]:
        """The plan in a file.

        Raises:
            EmoTorchError: it is not there, or not of this design.
        """
        rows = read_table(path)
        try:
            return [self._parse(row) for row in rows]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise EmoTorchError(f"{path}: not the plan of its sweep ({error!r}); delete the sweep's folder") from None

    def _parse(self, row: Mapping[str, str]) -> PlannedRun:
        values = {
            dimension.name: int(row[dimension.name]) if dimension.whole else float(row[dimension.name])
            for dimension in self.dimensions
        }
        planned = self.planned(int(row["number"]), values)
        if int(row["seed"]) != planned.seed:
            raise ValueError(f"run {planned.number} has seed {row['seed']}")
        return planned

    def as_dict(self) -> dict[str, Any]:
        """For the sweep's record; the default of what came later is left out, so that earlier sweeps go on."""
        values = asdict(self)
        if self.seeds == 1:
            del values["seeds"]
        return values


def draw_plan(design: Design) -> list[PlannedRun]:
    """The runs that can be planned before any result is known: all, but of a guided sweep none.

    Raises:
        UsageError: a grid has fewer points than runs are wanted.
    """
    if design.strategy == GUIDED:
        return []
    if design.strategy == GRID:
        return _grid(design)
    return [_random(design, number) for number in range(1, design.count + 1)]


def _random(design: Design, number: int) -> PlannedRun:
    choice = design.choice(number)
    rng = generator("sweep", design.seed, choice)
    factors = {name: float(rng.uniform(*getattr(design.ranges, name))) for name in FACTOR_NAMES}
    # A generator for each: what else is varied changes no number.
    changes = {
        varied.name: varied.drawn(generator("sweep", design.seed, choice, varied.name).random())
        for varied in design.varied
    }
    return design.planned(number, {**factors, **changes})


def _grid(design: Design) -> list[PlannedRun]:
    """The smallest balanced grid with at least as many points as runs, evenly thinned to their number.

    Balanced: the dimensions' numbers of levels differ by one at most, unless a whole number has fewer values; the first
    dimensions are the first to get one more. Evenly: the levels of a dimension keep equally many points, give or take
    two. A range without width is not varied.
    """
    dimensions = design.differing
    choices = design.count // design.seeds
    levels = _levels([dimension.most_levels for dimension in dimensions], choices)
    chosen = _thinned(levels, choices)
    values = [dimension.levels(count) for dimension, count in zip(dimensions, levels, strict=True)]
    plan = []
    for number in range(1, design.count + 1):
        point = chosen[design.choice(number) - 1]
        at_point = {d.name: v[level] for d, v, level in zip(dimensions, values, point, strict=True)}
        plan.append(design.planned(number, design.at(0) | at_point))
    return plan


def _thinned(levels: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """So many points of a grid: again and again the point with the most frequent levels is left out."""
    points = np.array(list(np.ndindex(*levels)), dtype=np.int64).reshape(math.prod(levels), len(levels))
    left = np.ones(len(points), dtype=bool)
    for _ in range(len(points) - count):
        surplus = np.zeros(len(points))
        for column in points.T:
            met = np.bincount(column[left])
            surplus += (met / met.mean())[column]
        left[np.argmax(np.where(left, surplus, -np.inf))] = False
    return [tuple(point) for point in points[left].tolist()]


def _levels(most: Sequence[float], count: int) -> list[int]:
    """How many levels each dimension gets."""
    levels = [1] * len(most)
    while (points := math.prod(levels)) < count:
        growing = [number for number, level in enumerate(levels) if level < most[number]]
        if not growing:
            raise UsageError(f"the grid has at most {points} of the {count} points: vary more, or plan fewer models")
        levels[min(growing, key=lambda number: levels[number])] += 1
    return levels


# Guided: each run is chosen by Optuna's sampler from the results of those before.


def propose(
    design: Design, plan: Sequence[PlannedRun], results: Mapping[int, Result], criterion: Criterion = DISTANCE
) -> PlannedRun:
    """The next run of a guided plan, to be good by a criterion.

    It depends on the design, the plan and the results alone, so that a kill changes nothing. With one worker the seed
    sets the whole plan; with more, the order in which runs end has a say.
    """
    optuna = require_optuna()
    number = len(plan) + 1
    distributions = {dimension.name: _distribution(dimension) for dimension in design.differing}
    sampler = optuna.samplers.TPESampler(seed=int(generator("guided", design.seed, number).integers(2**32)))
    study = optuna.create_study(sampler=sampler)
    for planned in plan:
        values = dict(zip(design.columns, design.row(planned), strict=True))
        study.add_trial(
            optuna.trial.create_trial(
                **_outcome(results.get(planned.number), criterion),
                params={name: values[name] for name in distributions},
                distributions=distributions,
            )
        )
    drawn: dict[str, Number] = study.ask(distributions).params
    return design.planned(number, design.at(0) | drawn)


def _outcome(result: Result | None, criterion: Criterion) -> dict[str, Any]:
    """State and value of a run's trial: it runs, has a value, or failed."""
    state = require_optuna().trial.TrialState
    if result is None:
        return {"state": state.RUNNING}
    cost = criterion.cost(getattr(result, criterion.name))
    return {"state": state.FAIL} if math.isnan(cost) else {"state": state.COMPLETE, "value": cost}


def _distribution(dimension: Dimension) -> Any:
    distributions = require_optuna().distributions
    kind = distributions.IntDistribution if dimension.whole else distributions.FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def require_optuna() -> Any:
    """Optuna; raises UsageError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise UsageError(f"--strategy guided needs Optuna: {installing('guided')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
