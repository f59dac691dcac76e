"""What copies a dataset holds: the table of pairs, and a summary for a terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from emotorch.data.duplicates import KINDS, Duplicates, Pair
from emotorch.files import write_csv
from emotorch.reports.tables import text_table
from emotorch.runs import timestamped

COLUMNS = (
    "file_a",
    "file_b",
    "kind",
    "distance",
    "similarity",
    "label_a",
    "label_b",
    "split_a",
    "split_b",
    "across_splits",
    "conflict",
    "action_a",
    "action_b",
)


def write_pairs(folder: Path, duplicates: Duplicates) -> Path:
    """Writes `duplicates_<time>.csv`: pairs across splits first, then those with other labels."""
    entries = duplicates.contents.entries

    def row(pair: Pair) -> tuple[object, ...]:
        first, second = entries[pair.first], entries[pair.second]
        return (
            first.file,
            second.file,
            pair.kind,
            pair.distance,
            f"{pair.similarity:.4f}",
            first.label,
            second.label,
            first.split,
            second.split,
            _yes(duplicates.crosses(pair)),
            _yes(duplicates.conflicts(pair)),
            *("keep" if duplicates.kept[position] else "remove" for position in (pair.first, pair.second)),
        )

    def urgency(pair: Pair) -> tuple[object, ...]:
        crosses, conflicts = duplicates.crosses(pair), duplicates.conflicts(pair)
        return not crosses, not conflicts, KINDS.index(pair.kind), pair.first, pair.second

    path = timestamped(folder, "duplicates", ".csv")
    write_csv(path, COLUMNS, map(row, sorted(duplicates.pairs, key=urgency)))
    return path


def summary(duplicates: Duplicates, kinds: Sequence[str]) -> str:
    """A line for each kind: groups of images that are joined by such pairs, and what is in them."""
    rows = [["kind", "pairs", "groups", "images", "groups across splits", "groups with other labels"]]
    entries = duplicates.contents.entries
    for kind in kinds:
        pairs = [pair for pair in duplicates.pairs if pair.kind == kind]
        groups = _join(pairs)
        across = sum(len({entries[position].split for position in group}) > 1 for group in groups)
        conflicting = sum(len({entries[position].label for position in group}) > 1 for group in groups)
        numbers = (len(pairs), len(groups), sum(map(len, groups)), across, conflicting)
        rows.append([kind, *(f"{number:,}" for number in numbers)])
    return text_table(rows, left={"kind"})


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
