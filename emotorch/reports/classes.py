"""What a confusion matrix says of each class, as tables for page and card."""

from collections.abc import Sequence

import pandas as pd

from emotorch.metrics.confusion import class_scores
from emotorch.metrics.intervals import wilson_interval
from emotorch.tables import Table


def class_table(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Table:
    """Precision, recall with its interval and F1 of each class of a (K, K) matrix of counts."""
    rows = [
        {
            "class": score.label,
            "n": score.images,
            "precision %": score.precision,
            "recall %": score.recall,
            "recall, 95% interval": wilson_interval(score.correct, score.images) if score.images else None,
            "F1 %": score.f1,
        }
        for score in class_scores(counts, labels)
    ]
    formats = dict.fromkeys(("precision %", "recall %", "F1 %"), "{:.1f}")
    return Table(
        pd.DataFrame(rows),
        {**formats, "n": "{:,}", "recall, 95% interval": lambda ends: f"{ends[0]:.1f}–{ends[1]:.1f}"},
    )


def proportions_table(proportions: Sequence[Sequence[float]], labels: Sequence[str]) -> Table:
    """A (K, K) matrix of which the proportions alone are known, in percent."""
    frame = pd.DataFrame(proportions, columns=list(labels)) * 100
    frame.insert(0, "true class, % predicted as", list(labels))
    return Table(frame, dict.fromkeys(labels, "{:.1f}"))
