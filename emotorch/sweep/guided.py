"""The guided strategy: each run is chosen by the results before it, so that the next is more like the original.

Source: Bergstra et al., "Algorithms for hyper-parameter optimization" (NeurIPS 2011); Optuna's form of it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from emotorch.errors import UsageError
from emotorch.experiment import Settings
from emotorch.paths import MODEL_ORIGINAL
from emotorch.runs import Run, read_matrix
from emotorch.seeding import generator
from emotorch.sweep.one import Result
from emotorch.sweep.plan import Design, Number, PlannedRun, Varied


def check(base: Settings) -> None:
    """Raises UsageError when Optuna is missing, or no run of these settings can be compared with the original."""
    _optuna()
    original = read_matrix(Run(MODEL_ORIGINAL), "fer_val")
    labels = () if original is None else original.labels
    if base.train_on != "FER" or base.scheme.labels != labels:
        raise UsageError(
            f"--strategy guided compares FER matrices of {', '.join(labels)} with the original's; "
            f"these runs train on {base.train_on} for {', '.join(base.scheme.labels)}: choose random or grid"
        )


def propose(design: Design, plan: Sequence[PlannedRun], results: Mapping[int, Result]) -> PlannedRun:
    """The next run of a plan.

    It depends on the design, the plan and the results alone, so that a sweep that goes on after a kill
    proposes what it would have proposed without. With one worker all results before are known, and the seed
    sets the whole plan; with more of them the order in which runs end has a say.
    """
    optuna = _optuna()
    number = len(plan) + 1
    distributions = {d.name: _distribution(d) for d in design.dimensions if d.high > d.low}
    sampler = optuna.samplers.TPESampler(seed=int(generator("guided", design.seed, number).integers(2**32)))
    study = optuna.create_study(sampler=sampler)
    for planned in plan:
        values = dict(zip(design.columns, design.row(planned), strict=True))
        study.add_trial(
            optuna.trial.create_trial(
                **_outcome(results.get(planned.number)),
                params={name: values[name] for name in distributions},
                distributions=distributions,
            )
        )
    drawn: dict[str, Number] = study.ask(distributions).params
    return design.planned(number, {d.name: d.low for d in design.dimensions} | drawn)


def _outcome(result: Result | None) -> dict[str, Any]:
    """State and value of a run's trial: it runs, ended with a distance, or failed."""
    state = _optuna().trial.TrialState
    if result is None:
        return {"state": state.RUNNING}
    if math.isnan(result.distance):
        return {"state": state.FAIL}
    return {"state": state.COMPLETE, "value": result.distance}


def _distribution(dimension: Varied) -> Any:
    distributions = _optuna().distributions
    kind = distributions.IntDistribution if dimension.whole else distributions.FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError("--strategy guided needs Optuna: pip install 'emotorch[guided]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
