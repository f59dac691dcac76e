"""One module per analysis: what it computes, its tables and its figures; beside it (in brackets) what it is made of.

Of one model, which `analyses` lists: `scores`; `robustness` (`corruptions`, `reference`, `robustness_figure`);
`explanations` (`explained_faces`, `importance_maps`, `map_checks`); `errors`; `fairness` (`attributes`,
`group_comparison`). Of several: `comparison` with the published original (`criterion`, `distance`, `watched`,
`ranking`); `run_comparison` and `cross_dataset` (`candidates`, `shared_classes`). Of a dataset: `dataset`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotorch.analyses.registry import Analysis


def analyses() -> "Sequence[Analysis]":
    """The analyses of one model, in the order of page and card."""
    # Here, since each is heavy and most users of this package need one of them.
    from emotorch.analyses import errors, explanations, fairness, robustness, scores

    return [module.ANALYSIS for module in (scores, robustness, explanations, errors, fairness)]
