"""One module per analysis: what it computes, its tables and its figures. `analyses` lists those of one model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotorch.analyses.registry import Analysis


def analyses() -> "Sequence[Analysis]":
    """The analyses of one model, in the order of page and card."""
    # Here, since each is heavy and most users of this package need one of them.
    from emotorch.analyses import errors, explanations, fairness, robustness, scores

    return [module.ANALYSIS for module in (scores, robustness, explanations, errors, fairness)]
