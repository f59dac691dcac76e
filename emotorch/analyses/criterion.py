"""What ranks runs: the distance to the published original or, where none was published, what their recipe watches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotorch.datasets import FER
from emotorch.labels import DEFAULT


@dataclass(frozen=True)
class Criterion:
    """A number that ranks runs.

    Attributes:
        name: The attribute of a result that holds it.
        word: What texts call it.
        form: How it is written.
        rising: Whether more of it is better.
    """

    name: str
    word: str
    form: str
    rising: bool

    @property
    def column(self) -> str:
        """What tables call it, with its unit."""
        return f"{self.word} %" if "%" in self.form else self.word

    @property
    def cell(self) -> str:
        """Its form in a table."""
        return self.form.replace("%", "")

    @property
    def direction(self) -> str:
        return "the larger the better" if self.rising else "the smaller the better"

    def cost(self, value: float) -> float:
        """What is the smaller the better."""
        return -value if self.rising else value

    def interval(self, low: float, high: float) -> str:
        """`0.01–0.02`; empty where it is unknown."""
        return "" if math.isnan(low) else f"{self.cell.format(low)}–{self.cell.format(high)}"

    def write(self, value: float) -> str:
        return f"{self.word} {self.form.format(value)}"


DISTANCE = Criterion("distance", "distance", "{:.5f}", rising=False)
LOSS = Criterion("loss", "loss", "{:.4f}", rising=False)
ACCURACY = Criterion("accuracy", "accuracy", "{:.2f}%", rising=True)
MACRO_F1 = Criterion("macro_f1", "macro-F1", "{:.2f}%", rising=True)
# By what a recipe's `watch` says.
WATCHED = {criterion.name: criterion for criterion in (LOSS, ACCURACY, MACRO_F1)}


def scheme_name(settings: Mapping[str, Any]) -> str:
    """Of a run's settings, as a record states them."""
    return str(settings.get("scheme", {"name": DEFAULT}).get("name"))


def why_no_original(settings: Mapping[str, Any]) -> str:
    """Why runs of these settings cannot be compared with the published original; empty where they can."""
    if (name := scheme_name(settings)) != DEFAULT:
        return f"its label scheme is {name}, the original's {DEFAULT}"
    if (trained_on := settings.get("train_on", FER.name)) != FER.name:
        return f"trained on {trained_on}, and only runs trained on {FER.name} are compared"
    return ""


def criterion_of(settings: Mapping[str, Any]) -> Criterion:
    """What ranks the runs of a sweep whose runs share these settings, as its record states them."""
    return WATCHED[settings["recipe"]["watch"]] if why_no_original(settings) else DISTANCE
