"""Copies of one photo in a dataset: equal, nearly equal or mirrored; and which of them to keep.

Candidates are found by a perceptual hash (Zauner, "Implementation and benchmarking of perceptual image hash
functions", 2010): the signs of the lowest 8×8 cosine coefficients against their median. It knows a photo by
its light and dark areas, which two portraits may share. So each candidate is confirmed by the fine detail of
the pixels, aligned: copies are often cut a few pixels apart, and a little larger or smaller.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.data.audit import AuditedFolder
from emotorch.data.images import SIZE, Pixels
from emotorch.data.split import group_sources
from emotorch.datasets import CLASS_FOLDERS, DATASETS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import timestamped
from emotorch.paths import Paths
from emotorch.tables import Table, to_text, write_table
from emotorch.workers import progress

EXACT, NEAR, MIRRORED = "exact", "near", "mirrored"
KINDS = (EXACT, NEAR, MIRRORED)

# In FER-2013 the similarities of candidates fall to a floor between 0.65 and 0.75: below are other people's
# portraits; of the hundred pairs just above 0.75, looked at one by one, all but one are the same photo.
THRESHOLD = 0.75
_HASH_SIDE = 8
# Of 64 bits. At 12 one candidate in ninety is the same photo; beyond, they cost more than they bring.
_MOST_BITS_APART = 12
_DETAIL_SIGMA = 2.0
_SCALES = (1.0, 0.95, 1.05)
# Below this at the first scale no pair of FER-2013 reached 0.75 at another: three quarters end there.
_LEAST_UNSCALED = 0.3
_MARGIN = 6  # pixels by which two cuts may lie apart
# Grey levels of detail below which there is nothing to compare: black, white and blank pictures.
_LEAST_DETAIL = 1.0
_BLOCK = 2048  # images whose hashes are made or compared at once

_Floats = NDArray[np.float32]
_Positions = NDArray[np.int64]

_COLUMNS = [
    *("file_a", "file_b", "kind", "distance", "similarity", "label_a", "label_b", "split_a", "split_b"),
    *("across_splits", "conflict", "action_a", "action_b"),
]

# By the usage that a dataset's split gives an image: which copy is rather kept.
_VALIDATION, _TEST = 1, 2
_RANKS = {
    usage: rank
    for dataset in (*DATASETS.values(), CLASS_FOLDERS)
    for rank, usages in ((_VALIDATION, dataset.selecting), (_TEST, dataset.tests))
    for usage in usages
}


@dataclass(frozen=True)
class Pair:
    """Two images of one photo.

    Attributes:
        first: Position of the one that is rather kept.
        second: Position of the other.
        kind: `exact`, `near` or `mirrored`.
        distance: Bits in which their hashes differ.
        similarity: Correlation of their aligned details, up to 1.
    """

    first: int
    second: int
    kind: str
    distance: int
    similarity: float


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        audited: Where it was found.
        pairs: Every equal image with the one of its kind that is rather kept; every two different ones alike.
        kept: (N,) whether an image stays. Each that goes is a copy of one that stays, not of another that goes.
    """

    audited: AuditedFolder
    pairs: Sequence[Pair]
    kept: NDArray[np.bool_]

    def removed(self) -> list[str]:
        """The files that go, in the audit's order."""
        return [self.audited.entries[position].file for position in np.flatnonzero(~self.kept).tolist()]


def find(audited: AuditedFolder, *, threshold: float = THRESHOLD, mirrored: bool = False) -> Duplicates:
    """Finds the copies, and chooses which to keep: a test image before validation's, that before training's.

    Args:
        audited: The folder to search.
        threshold: The least similarity of a near-duplicate; at 1 only equal images are copies.
        mirrored: Search for mirrored copies too.
    """
    ranks = np.array([_RANKS.get(entry.usage, 0) for entry in audited.entries])
    preferred = np.lexsort((np.arange(len(ranks)), -ranks))
    groups = group_sources(audited.hashes)[preferred]
    first_places = np.unique(groups, return_index=True)[1]
    # Of equal images the preferred one stands for all.
    leaders = preferred[np.sort(first_places)]
    leader_of = preferred[first_places][groups]
    pairs = [
        Pair(leader, position, EXACT, 0, 1.0)
        for leader, position in zip(leader_of.tolist(), preferred.tolist(), strict=True)
        if leader != position
    ]
    if threshold >= 1:
        return Duplicates(audited, pairs, _choose(len(ranks), leaders, pairs))
    faces = audited.faces[leaders]
    alike = find_alike(faces, faces, threshold)
    pairs += [Pair(*_at(leaders, places), NEAR, *likeness) for places, likeness in alike.items()]
    if mirrored:
        reflections = find_alike(faces, faces[:, :, ::-1], threshold)
        pairs += [
            Pair(*_at(leaders, places), MIRRORED, *likeness)
            for places, likeness in reflections.items()
            if places not in alike
        ]
    return Duplicates(audited, pairs, _choose(len(ranks), leaders, pairs))


def _at(leaders: _Positions, places: tuple[int, int]) -> tuple[int, int]:
    return int(leaders[places[0]]), int(leaders[places[1]])


def _choose(number: int, leaders: _Positions, pairs: Iterable[Pair]) -> NDArray[np.bool_]:
    """Goes through different images in order of preference: one that is like a kept one goes, else it stays.

    So a chain of images, each a little unlike the last, is not taken for one photo; and what has gone already
    changes nothing of what else goes.
    """
    alike: dict[int, list[int]] = {}
    for pair in pairs:
        if pair.kind != EXACT:
            alike.setdefault(pair.second, []).append(pair.first)
    kept = np.zeros(number, dtype=bool)
    for leader in leaders.tolist():
        kept[leader] = not any(kept[other] for other in alike.get(leader, ()))
    return kept


# --- Likeness -----------------------------------------------------------------------------------------------


def find_alike(
    faces: Pixels, others: Pixels, threshold: float, *, within: bool = True
) -> dict[tuple[int, int], tuple[int, float]]:
    """Distance and similarity of the places (i, j) where face i and the j-th of the others are one photo.

    Args:
        faces: (N, 48, 48).
        others: (M, 48, 48).
        threshold: The least similarity.
        within: Both are the same images, or their mirror images: only pairs with i < j count.
    """
    details, other_details = _details(faces), _details(others)
    centre = details[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    places = np.flatnonzero(centre.std(axis=(1, 2)) >= _LEAST_DETAIL)
    other_places = places if within else np.arange(len(others))
    bits, other_bits = perceptual_bits(faces[places]), perceptual_bits(others[other_places])
    candidates, distances = _candidates(bits, other_bits, within=within)
    pairs = np.stack([places[candidates[:, 0]], other_places[candidates[:, 1]]], axis=1).tolist()
    found = {}
    for (first, second), distance in progress(
        zip(pairs, distances.tolist(), strict=True), total=len(pairs), description="comparing", unit="pair"
    ):
        score = similarity(details[first], other_details[second])
        if score >= threshold:
            found[first, second] = distance, score
    return found


def perceptual_bits(faces: Pixels) -> _Floats:
    """(N, 64) of −1 and 1: the perceptual hash."""
    angles = np.pi * (2 * np.arange(SIZE) + 1) / (2 * SIZE)
    cosines = np.cos(np.outer(np.arange(_HASH_SIDE), angles)).astype(np.float32)
    bits = np.empty((len(faces), _HASH_SIDE**2), np.float32)
    for start in range(0, len(faces), _BLOCK):
        coefficients = cosines @ faces[start : start + _BLOCK].astype(np.float32) @ cosines.T
        flat = coefficients.reshape(len(coefficients), -1)
        # The first one is the brightness, which takes no part in the median: it outweighs all others.
        bits[start : start + _BLOCK] = np.where(flat > np.median(flat[:, 1:], axis=1, keepdims=True), 1, -1)
    return bits


def _candidates(bits: _Floats, other_bits: _Floats, *, within: bool = True) -> tuple[_Positions, _Positions]:
    """(M, 2) places i, j whose hashes differ in few bits, and in how many; within the same images i < j."""
    pairs, distances = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(bits), _BLOCK):
        # Equal bits count 1, others −1: a product of matrices counts them for all pairs.
        others_from = start if within else 0
        apart = (bits.shape[1] - bits[start : start + _BLOCK] @ other_bits[others_from:].T) / 2
        first, second = np.nonzero(apart <= _MOST_BITS_APART)
        if within:
            later = second > first
            first, second = first[later], second[later]
        pairs.append(np.stack([first + start, second + others_from], axis=1))
        distances.append(apart[first, second].astype(np.int64))
    return np.concatenate(pairs), np.concatenate(distances)


def _details(faces: Pixels) -> _Floats:
    """(N, 48, 48): what is left of each face without its light and dark areas."""
    details = np.empty(faces.shape, np.float32)
    for face, detail in zip(faces, details, strict=True):
        values = face.astype(np.float32)
        detail[:] = values - cv2.GaussianBlur(values, (0, 0), _DETAIL_SIGMA)
    return details


def similarity(detail: _Floats, other: _Floats) -> float:
    """The correlation of two faces' details at the shift and scale where they fit best."""
    best = -1.0
    middle, side = (SIZE - 1) / 2, SIZE - 2 * _MARGIN
    for scale in _SCALES:
        offset = middle - (side - 1) / 2 / scale
        placing = np.array([[1 / scale, 0, offset], [0, 1 / scale, offset]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        centre = cv2.warpAffine(other, placing, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        best = max(best, float(cv2.matchTemplate(detail, centre, cv2.TM_CCOEFF_NORMED).max()))
        if best < _LEAST_UNSCALED:
            break
    return min(best, 1.0)


# --- Moving -------------------------------------------------------------------------------------------------


def destination(folder: Path, paths: Paths) -> Path:
    """Where removed files go: a folder beside, or for a raw dataset beside all raw data.

    Stage 2 takes every folder among the raw data for a dataset: the copies must not come back as one.
    """
    if folder.is_relative_to(paths.raw) and folder != paths.raw:
        return paths.raw_duplicates / folder.relative_to(paths.raw)
    return folder.with_name(f"{folder.name}-duplicates")


def check_movable(audited: AuditedFolder) -> None:
    """Raises UsageError when the folder is a stage's: its manifest accounts for every file."""
    if audited.stage is not None:
        raise UsageError(
            f"{audited.folder} was written by {audited.stage}, and its manifest accounts for every file: --apply "
            "is for a folder of class folders of your own; training already keeps equal images on one side"
        )


def move_aside(duplicates: Duplicates, to: Path) -> int:
    """Moves the copies to the same place below another folder, each in one step; returns how many.

    After a kill the next search finds what is left to move: what has gone changes nothing of what else goes.

    Raises:
        UsageError: the folder is a stage's.
        EmoTorchError: a file of that name is there already; nothing is moved then.
    """
    check_movable(duplicates.audited)
    moves = [(duplicates.audited.folder / file, to / file) for file in duplicates.removed()]
    for source, target in moves:
        if target.exists():
            raise EmoTorchError(f"{target} is there already, and {source} would replace it: move one of them away")
    for source, target in moves:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        except OSError as error:
            raise EmoTorchError(f"cannot move {source} to {target}: {error.strerror or error}") from error
    return len(moves)


# --- Table and summary --------------------------------------------------------------------------------------


def table_of_pairs(duplicates: Duplicates) -> Table:
    """A row per pair: pairs across splits first, then those with other labels."""
    audited = duplicates.audited
    images = pd.DataFrame(
        {
            "file": [entry.file for entry in audited.entries],
            "label": audited.labels,
            "split": audited.splits,
            "action": np.where(duplicates.kept, "keep", "remove"),
        }
    )
    pairs = pd.DataFrame(map(astuple, duplicates.pairs), columns=["a", "b", "kind", "distance", "similarity"])
    pairs["kind"] = pd.Categorical(pairs["kind"], KINDS, ordered=True)
    for side in ("a", "b"):
        pairs = pairs.merge(images.add_suffix(f"_{side}"), left_on=side, right_index=True)
    pairs["across_splits"] = pairs["split_a"] != pairs["split_b"]
    pairs["conflict"] = pairs["label_a"] != pairs["label_b"]
    urgency = ["across_splits", "conflict", "kind", "a", "b"]
    pairs = pairs.sort_values(urgency, ascending=[False, False, True, True, True])
    return Table(pairs[_COLUMNS], {"similarity": "{:.4f}", "across_splits": _yes, "conflict": _yes})


def write_pairs(folder: Path, duplicates: Duplicates) -> Path:
    """Writes `duplicates_<time>.csv`."""
    path = timestamped(folder, "duplicates", ".csv")
    write_table(path, table_of_pairs(duplicates))
    return path


def summary(duplicates: Duplicates, kinds: Sequence[str]) -> str:
    """A line for each kind: groups of images that are joined by such pairs, and what is in them."""
    audited = duplicates.audited
    rows = []
    for kind in kinds:
        pairs = [pair for pair in duplicates.pairs if pair.kind == kind]
        groups = _join(pairs)
        rows.append(
            {
                "kind": kind,
                "pairs": len(pairs),
                "groups": len(groups),
                "images": sum(map(len, groups)),
                "groups across splits": _count_mixed(groups, audited.splits),
                "groups with other labels": _count_mixed(groups, audited.labels),
            }
        )
    return to_text(Table(pd.DataFrame(rows), dict.fromkeys([*rows[0]][1:], "{:,}")))


def _count_mixed(groups: Iterable[Iterable[int]], values: Sequence[str]) -> int:
    """How many groups have images of different values."""
    return sum(len({values[position] for position in group}) > 1 for group in groups)


def _join(pairs: Iterable[Pair]) -> list[set[int]]:
    """The sets of images that pairs join, directly or through others."""
    group_of: dict[int, set[int]] = {}
    for pair in pairs:
        first, second = (group_of.get(position, {position}) for position in (pair.first, pair.second))
        if first is not second:
            joined = first | second
            group_of.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in group_of.values()}.values())


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"
