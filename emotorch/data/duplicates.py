"""Copies of one photo in a dataset: equal, nearly equal or mirrored; and which of them to keep."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.data.audit import AuditedFolder
from emotorch.data.likeness import EXACT, KINDS, MIRRORED, NEAR, THRESHOLD, find_alike, find_mirrored
from emotorch.data.split import connected, group_sources
from emotorch.datasets import CLASS_FOLDERS, DATASETS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import timestamped
from emotorch.paths import Paths
from emotorch.tables import Table, to_text, write_table

_COLUMNS = [
    *("file_a", "file_b", "kind", "distance", "similarity", "label_a", "label_b", "split_a", "split_b"),
    *("across_splits", "conflict", "action_a", "action_b"),
]

# Of several copies the one whose usage ranks highest is kept.
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
        first: Position of the one to keep.
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
    """The copies in a folder.

    Attributes:
        audited: The folder.
        pairs: Each of several equal images with the one to keep of them; and every two that differ and are alike.
        kept: (N,) whether an image stays. Each that goes is a copy of one that stays, not of another that goes.
    """

    audited: AuditedFolder
    pairs: Sequence[Pair]
    kept: NDArray[np.bool_]

    def removed(self) -> list[str]:
        """The files that go, in the audit's order."""
        return [self.audited.entries[position].file for position in np.flatnonzero(~self.kept).tolist()]


def find(audited: AuditedFolder, *, threshold: float | None = None, mirrored: bool = False) -> Duplicates:
    """Finds the copies, and chooses which to keep: a test image before validation's, that before training's.

    `threshold` is the least similarity of a near-duplicate, by default `likeness.THRESHOLD`; at 1 only equal images
    are copies.
    """
    threshold = THRESHOLD if threshold is None else threshold
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
    if threshold < 1:
        faces = audited.faces[leaders]
        found = {NEAR: find_alike(faces, faces, threshold)}
        if mirrored:
            found[MIRRORED] = find_mirrored(faces, threshold, found[NEAR])
        for kind, alike in found.items():
            pairs += [
                Pair(int(leaders[first]), int(leaders[second]), kind, *likeness)
                for (first, second), likeness in alike.items()
            ]
    return Duplicates(audited, pairs, _choose(len(ranks), leaders, pairs))


def _choose(number: int, leaders: NDArray[np.int64], pairs: Iterable[Pair]) -> NDArray[np.bool_]:
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


def table_of_pairs(duplicates: Duplicates) -> Table:
    """A row per pair: pairs across splits first, then those with other labels."""
    audited = duplicates.audited
    images = pd.DataFrame(
        {
            "file": [entry.shown for entry in audited.entries],
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
    """A line for each kind: groups of images that such pairs join, directly or through others, and what is in them."""
    images = pd.DataFrame({"split": duplicates.audited.splits, "label": duplicates.audited.labels})
    rows = []
    for kind in kinds:
        pairs = np.array([(pair.first, pair.second) for pair in duplicates.pairs if pair.kind == kind], np.int64)
        groups = connected(len(images), pairs.reshape(-1, 2))
        paired = np.unique(pairs)
        different = images.loc[paired].groupby(groups[paired]).nunique()
        rows.append(
            {
                "kind": kind,
                "pairs": len(pairs),
                "groups": len(different),
                "images": len(paired),
                "groups across splits": int((different["split"] > 1).sum()),
                "groups with other labels": int((different["label"] > 1).sum()),
            }
        )
    return to_text(Table(pd.DataFrame(rows), dict.fromkeys([*rows[0]][1:], "{:,}")))


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"
