"""Runs that no original was published for, ranked by what their recipe watches over all their validation images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from emotorch.analyses.criterion import ACCURACY, LOSS, MACRO_F1, WATCHED, Criterion, scheme_name, why_no_original
from emotorch.analyses.distance import MeasuredRun, never_predicted, stated
from emotorch.analyses.ranking import Ranking
from emotorch.datasets import CKP, FER, dataset_title
from emotorch.errors import EmoTorchError
from emotorch.metrics import intervals
from emotorch.metrics.confusion import Counts, macro_f1
from emotorch.metrics.paired import percentile_interval
from emotorch.metrics.scores import Score
from emotorch.runs.confusion import all_counts, validation_matrices
from emotorch.runs.folder import LEAKY, Run
from emotorch.runs.scores import read_accuracies, validation_score
from emotorch.seeding import generator


@dataclass(frozen=True)
class Kind:
    """What runs must share to be ranked among each other.

    Attributes:
        data: What they trained on, by which split, and whether CK+ validated too.
        loss: What they minimise, where that is what ranks them; else empty. Of two gammas the focal loss is two.
    """

    scheme: str
    data: str
    loss: str
    criterion: Criterion

    @property
    def title(self) -> str:
        loss = f", {self.loss}" if self.loss else ""
        return f"scheme {self.scheme}, {self.data}{loss}"


@dataclass(frozen=True, kw_only=True)
class WatchedRun(MeasuredRun):
    """A run, and what ranks it.

    Attributes:
        reason: Why it is not compared with the published original.
        score: Over all validation images.
    """

    kind: Kind
    reason: str
    score: Score

    @property
    def value(self) -> float:
        return float(getattr(self.score, self.kind.criterion.name))

    @property
    def order(self) -> tuple[str, str, float, str]:
        """Kinds beside each other, and of each the best run first."""
        return self.kind.title, self.kind.criterion.name, self.kind.criterion.cost(self.value), self.model


def rankings(runs: Iterable[WatchedRun]) -> list[Ranking]:
    """One of each kind, of runs in their order."""
    of_kinds = ((kind, list(of_kind)) for kind, of_kind in groupby(runs, lambda run: run.kind))
    return [Ranking(of_kind, kind.criterion, kind.title) for kind, of_kind in of_kinds]


def measure_watched(run: Run, record: Mapping[str, Any]) -> WatchedRun:
    """Scores a finished run, whose record is read already, that cannot be compared with the published original.

    Raises:
        EmoTorchError: it cannot be ranked, and why.
    """
    settings = record["settings"]
    recipe, reason = settings.get("recipe", {}), why_no_original(settings)
    criterion = WATCHED.get(str(recipe.get("watch")))
    if criterion is None:
        raise EmoTorchError(f"{reason}; nor does its record say what it is ranked by")
    matrices = list(validation_matrices(run).values())
    if not matrices:
        raise EmoTorchError(f"{reason}; nor has it a confusion matrix to be ranked by")
    accuracies = read_accuracies(run)
    score = validation_score(accuracies, matrices)
    if np.isnan(getattr(score, criterion.name)):
        raise EmoTorchError(f"{reason}; nor is its {criterion.word} known")
    counts = all_counts(matrices)
    has_ckp = CKP.key in run.sets_with("confusion_matrix_{}_val.csv")
    low, high = _interval(criterion, np.sum(counts, axis=0)) if counts else (np.nan, np.nan)
    return WatchedRun(
        model=run.name,
        accuracies=(accuracies.get("Training Accuracy", np.nan), score.accuracy),
        macro_f1=score.macro_f1,
        has_ckp=has_ckp,
        classes=len(matrices[0].labels),
        never_predicted=never_predicted(matrices),
        low=low,
        high=high,
        kind=_kind(settings, recipe, criterion, has_ckp=has_ckp, leaky=bool(record.get(LEAKY))),
        reason=reason,
        score=score,
        **stated(record),
    )


def _kind(
    settings: Mapping[str, Any], recipe: Mapping[str, Any], criterion: Criterion, *, has_ckp: bool, leaky: bool
) -> Kind:
    trained_on = str(settings.get("train_on", FER.name))
    split = f" ({recipe.get('fer_usage')})" if trained_on == FER.name else ""
    loss = str(recipe.get("loss")) if criterion == LOSS else ""
    if loss == "focal" and "focal_gamma" in recipe:
        loss += f" of gamma {recipe['focal_gamma']:g}"
    ckp = ", validated on CK+ too" if has_ckp and trained_on != CKP.name else ""
    data = f"trained on {dataset_title(trained_on)}{split}{ckp}{', leaky' if leaky else ''}"
    return Kind(scheme_name(settings), data, loss, criterion)


def _interval(criterion: Criterion, counts: Counts) -> tuple[float, float]:
    """95%, in percent: Wilson's of an accuracy, resampled images' of a macro-F1; NaN of a loss."""
    if criterion == ACCURACY:
        return intervals.wilson_interval(int(np.trace(counts)), int(counts.sum()))
    if criterion != MACRO_F1:
        return np.nan, np.nan
    proportions = intervals.resample(counts, _normals(len(counts))).swapaxes(0, 1)
    found = percentile_interval(macro_f1(proportions * counts.sum(axis=1)[:, None]))
    return max(0.0, found.low), min(100.0, found.high)


@lru_cache
def _normals(classes: int) -> intervals.Array:
    """The same for every run: equal runs get equal intervals."""
    return intervals.draw_normals(generator("watched", classes), classes)
