"""Leak-free splits: by source, before augmentation; and the factors that thin what a run draws.

Images with equal pixels are one source. A source and all its variants are on one side.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emotorch.seeding import generator

VALIDATION_SHARE = 0.15
# The published split: the same for every run, whatever the run's own seed.
SPLIT_SEED = 42

Indices = NDArray[np.int64]


def group_sources(hashes: NDArray[np.str_]) -> Indices:
    """(N,) group numbers: equal where the pixels are equal."""
    return np.unique(hashes, return_inverse=True)[1].astype(np.int64)


def join_sources(keys: NDArray[np.str_], hashes: NDArray[np.str_], pairs: Indices) -> Indices:
    """(N,) group numbers: equal where keys or pixels are equal or a pair joins two images, also through others.

    Groups are numbered in the order of their least keys: it does not matter in which order the images are listed.

    Args:
        keys: (N,) the person, or what else tells an image's source.
        hashes: (N,) of the pixels.
        pairs: (M, 2) positions of images that belong together.
    """
    joined = connected(len(keys), np.concatenate([_ties(keys), _ties(hashes), pairs]))
    order = np.lexsort((keys, joined))
    least = keys[order][np.unique(joined[order], return_index=True)[1]]
    return group_sources(least)[joined]


def connected(number: int, pairs: Indices) -> Indices:
    """(N,) from 0: equal for positions that (M, 2) pairs join, directly or through others."""
    from scipy.sparse import coo_array  # here: a training on FER-2013 needs none of it
    from scipy.sparse.csgraph import connected_components

    first, second = pairs.T
    graph = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(number, number))
    return connected_components(graph, directed=False)[1].astype(np.int64)  # type: ignore[no-any-return]


def _ties(values: NDArray[np.str_]) -> Indices:
    """(M, 2) positions of equal values, each with the next of its kind."""
    order = np.argsort(values, kind="stable")
    equal = values[order[1:]] == values[order[:-1]]
    return np.stack([order[:-1][equal], order[1:][equal]], axis=1)


def validation_mask(groups: Indices, labels: Indices, share: float = VALIDATION_SHARE) -> NDArray[np.bool_]:
    """(N,) which images are held out: about `share` of every class, whole groups only.

    The choice depends on the images' groups (N,) and classes (N,), not on their order. A group whose twins are
    labelled differently counts for the class of its first image.
    """
    sizes = np.bincount(groups)
    held_out = np.zeros(len(sizes), dtype=bool)
    for order in _shuffled_by_class(groups, labels, "split"):
        running = np.cumsum(sizes[order])
        wanted = round(share * int(running[-1]))
        held_out[order[running <= wanted]] = True
    return held_out[groups]


def fold_numbers(groups: Indices, labels: Indices, folds: int) -> Indices:
    """(N,) from 0: the fold of each image, in folds of about equal parts of every class; see `validation_mask`."""
    sizes = np.bincount(groups)
    fold_of_group = np.zeros(len(sizes), np.int64)
    for order in _shuffled_by_class(groups, labels, "folds"):
        before = np.cumsum(sizes[order]) - sizes[order]
        fold_of_group[order] = before * folds // sizes[order].sum()
    return fold_of_group[groups]


def _shuffled_by_class(groups: Indices, labels: Indices, purpose: str) -> Iterator[Indices]:
    """For each class its groups in random order; a group is of the class of its first image."""
    labels_of_groups = labels[np.unique(groups, return_index=True)[1]]
    for label in np.unique(labels_of_groups):
        yield generator(purpose, SPLIT_SEED, label).permutation(np.flatnonzero(labels_of_groups == label))


def draw(candidates: int, factor: float, *key: object) -> Indices:
    """A random part of `range(candidates)`, sorted. A smaller factor (0 to 1) draws a part of a larger one's.

    `key` says what the draw is for; see `emotorch.seeding.generator`.
    """
    wanted = int(factor * candidates + 0.5)
    return np.sort(generator("draw", *key).permutation(candidates)[:wanted]).astype(np.int64)
