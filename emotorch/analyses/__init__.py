"""One module per analysis: what it computes, its tables and its figures. `analyses` lists those of one model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotorch.analyses.registry import Analysis


def analyses() -> "Mapping[str, Analysis]":
    """The analyses of one model by name, in the order of page and card."""
    # Here, since each is heavy and most users of this package need one of them.
    from emotorch.analyses import errors, explanations, fairness, robustness, scores
    from emotorch.analyses.registry import by_name

    return by_name([module.ANALYSIS for module in (scores, robustness, explanations, errors, fairness)])
