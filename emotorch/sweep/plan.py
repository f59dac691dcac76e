"""A sweep's plan: which runs, with which factors and seeds, drawn before the first one starts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from emotorch.data.selection import Factors
from emotorch.errors import UsageError
from emotorch.files import write_csv
from emotorch.seeding import generator

Range = tuple[float, float]


@dataclass(frozen=True)
class FactorRanges:
    """From where to where each factor is drawn; the published ranges."""

    fer: Range = (0.9, 1.0)
    fer_aug: Range = (0.0, 0.1)
    ckp: Range = (0.9, 1.0)
    ckp_aug: Range = (0.0, 0.1)

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = getattr(self, field.name)
            if not 0.0 <= low <= high <= 1.0:
                raise UsageError(f"the range of {field.name} is {low}-{high}, not within 0-1 and rising")


@dataclass(frozen=True)
class PlannedRun:
    """One row of a plan. `number` counts from 1."""

    number: int
    factors: Factors
    seed: int


def draw_plan(ranges: FactorRanges, count: int, seed: int) -> list[PlannedRun]:
    """Draws every factor evenly from its range. A longer plan of the same seed starts with the shorter one."""
    plan = []
    for number in range(1, count + 1):
        rng = generator("sweep", seed, number)
        drawn = {field.name: float(rng.uniform(*getattr(ranges, field.name))) for field in fields(FactorRanges)}
        plan.append(PlannedRun(number, Factors(**drawn), seed + number))
    return plan


def write_plan(path: Path, plan: Sequence[PlannedRun]) -> None:
    factor_names = [field.name for field in fields(Factors)]
    rows = ((run.number, *asdict(run.factors).values(), run.seed) for run in plan)
    write_csv(path, ("number", *factor_names, "seed"), rows)
