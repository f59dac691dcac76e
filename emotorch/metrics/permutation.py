"""Whether groups of images differ beyond chance in how many are predicted right: a stratified permutation test.

Source: Good, "Permutation, Parametric, and Bootstrap Tests of Hypotheses" (2005), chapters 3 and 6.
"""

import numpy as np
from numpy.typing import NDArray

from emotorch.data.split import Indices
from emotorch.metrics.intervals import AT_ONCE, RESAMPLES, Array


def permutation_test(
    right: NDArray[np.bool_],
    sources: Indices,
    groups: Indices,
    strata: Indices,
    weights: Array,
    rng: np.random.Generator,
) -> float:
    """The p-value of the gap between the best and the worst group: how often permuted groups have so large a one.

    Groups are permuted within each stratum, between sources: images of one source, stratum and group stay together. A
    person's images in several strata count as independent.

    Args:
        right: (N,) whether each image is predicted right.
        sources: (N,) equal for images that are not independent.
        groups: (N,) each image's group.
        strata: (N,) from 0.
        weights: (S,) of the strata's accuracies in a group's score; they sum to 1.
    """
    units, unit = np.unique(np.stack([sources, strata, groups]), axis=1, return_inverse=True)
    unit = unit.ravel()
    hits, sizes = np.bincount(unit, right.astype(float)), np.bincount(unit).astype(float)
    found = np.unique(groups)
    scores = np.zeros((1 + RESAMPLES, len(found)))
    for stratum in np.flatnonzero(weights):
        inside = units[1] == stratum
        of_groups, of_hits, of_sizes = units[2, inside], hits[inside], sizes[inside]
        for start in range(0, 1 + RESAMPLES, AT_ONCE):
            permuted = rng.permuted(np.tile(of_groups, (min(AT_ONCE, 1 + RESAMPLES - start), 1)), axis=1)
            if start == 0:
                permuted[0] = of_groups  # as they are
            for column, group in enumerate(found.tolist()):
                members = (permuted == group).astype(float)
                accuracy = members @ of_hits / np.maximum(1, members @ of_sizes)
                scores[start : start + len(permuted), column] += weights[stratum] * accuracy
    gaps = np.ptp(scores, axis=1)
    return float((gaps >= gaps[0] - 1e-12).mean())
