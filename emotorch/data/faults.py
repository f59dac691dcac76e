"""The faults that an audit looks for in a dataset's images, and the images that have them.

Nothing is changed: see `emotorch.data.duplicates` for what can be moved away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.data.audit import AuditedFolder, Found
from emotorch.data.duplicates import Duplicates
from emotorch.data.images import SIZE, Pixels
from emotorch.data.likeness import EXACT, KINDS, MIRRORED, NEAR
from emotorch.data.split import group_sources

# Grey levels of the mean. In FER-2013 most pictures beyond are blank, a warning sign or "image not available".
BLACK_BELOW, WHITE_ABOVE = 20, 230
# Grey levels of the standard deviation. One in a thousand pictures of FER-2013 has less than 17.
CONTRAST_BELOW = 15
_WIDEST = 1.5  # times as long one way as the other: a face squeezed that much looks like another
_BLOCK = 2048  # images that are measured at once

# The finding for each kind of copies: its name in tables, and its meaning.
_COPIES = {
    EXACT: ("twins", "equal pixels"),
    NEAR: ("near copies", "one photo, other pixels"),
    MIRRORED: ("mirrored copies", "one photo, mirrored"),
}
PEOPLE = "people"
MEASURES = ["brightness", "contrast", "sharpness"]


def measure(faces: Pixels) -> pd.DataFrame:
    """Brightness, contrast and sharpness of (N, 48, 48) faces, a row each.

    `brightness` is the mean grey value, `contrast` the standard deviation of the grey values, `sharpness` the variance
    of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000): low where the picture
    is blurred.
    """
    blocks = [_measure(faces[start : start + _BLOCK].astype(np.float32)) for start in range(0, len(faces), _BLOCK)]
    return pd.DataFrame(np.concatenate(blocks, dtype=np.float64), columns=MEASURES)


def _measure(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3), in the order of `MEASURES`."""
    neighbours = faces[:, :-2, 1:-1] + faces[:, 2:, 1:-1] + faces[:, 1:-1, :-2] + faces[:, 1:-1, 2:]
    laplacian = neighbours - 4 * faces[:, 1:-1, 1:-1]
    return np.column_stack([faces.mean(axis=(1, 2)), faces.std(axis=(1, 2)), laplacian.var(axis=(1, 2))])


@dataclass(frozen=True)
class Photo:
    """Images of one photo.

    Attributes:
        kind: `exact`: all that are equal; `near` or `mirrored`: two different ones, with what is equal to either.
        positions: In the folder's order; those that differ from each other in split or label come first.
        labels: Of them, sorted, each once.
        splits: Likewise.
        similarity: Of the two, up to 1.
    """

    kind: str
    positions: Sequence[int]
    labels: Sequence[str]
    splits: Sequence[str]
    similarity: float

    @property
    def is_conflicting(self) -> bool:
        """Whether it is labelled differently."""
        return len(self.labels) > 1

    @property
    def is_shared(self) -> bool:
        """Whether several splits have it."""
        return len(self.splits) > 1


def photos_of(duplicates: Duplicates) -> list[Photo]:
    """Every photo that several images are of, equal ones first, those of the least position first."""
    audited = duplicates.audited
    groups = group_sources(audited.hashes)
    by_group = np.argsort(groups, kind="stable")
    members = np.split(by_group, np.flatnonzero(np.diff(groups[by_group])) + 1)
    photos = [_photo(audited, EXACT, [equal.tolist()], 1.0) for equal in members if len(equal) > 1]
    for pair in duplicates.pairs:
        if pair.kind != EXACT:
            sides = [members[groups[position]].tolist() for position in (pair.first, pair.second)]
            photos.append(_photo(audited, pair.kind, sides, pair.similarity))
    return sorted(photos, key=lambda photo: (KINDS.index(photo.kind), min(photo.positions)))


def _photo(audited: AuditedFolder, kind: str, sides: Sequence[list[int]], similarity: float) -> Photo:
    entries, positions = audited.entries, [position for side in sides for position in side]
    # One of each side, split and label before others like it.
    seen: set[tuple[int, str, str]] = set()
    first: list[int] = []
    later: list[int] = []
    for number, side in enumerate(sides):
        for position in side:
            key = number, entries[position].split, entries[position].label
            (later if key in seen else first).append(position)
            seen.add(key)
    labels, splits = (sorted({getattr(entries[at], name) for at in positions}) for name in ("label", "split"))
    return Photo(kind, [*first, *later], labels, splits, similarity)


class Person(NamedTuple):
    """Who is shown in several splits of a dataset, sorted, and the positions of the images, in the folder's order."""

    name: str
    splits: Sequence[str]
    positions: Sequence[int]


def people_in_several_splits(audited: AuditedFolder) -> list[Person]:
    """Every such person."""
    positions: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(audited.entries):
        if entry.person:
            positions.setdefault((entry.dataset, entry.person), []).append(position)
    people = [
        Person(name, sorted({audited.entries[position].split for position in shown}), shown)
        for (_, name), shown in positions.items()
    ]
    return [person for person in people if len(person.splits) > 1]


def shared_images(
    audited: AuditedFolder, photos: Sequence[Photo], people: Sequence[Person]
) -> dict[tuple[str, str], dict[str, int]]:
    """For every two splits that share something, how many images of the first are of a photo or person of the second.

    They are counted by what they share, the kinds of copies and `people`; splits are in the order of the dataset's.
    """
    splits = audited.splits
    found: dict[tuple[str, str], dict[str, set[int]]] = {}
    groups = [(photo.kind, photo.splits, photo.positions) for photo in photos if photo.is_shared]
    groups += [(PEOPLE, person.splits, person.positions) for person in people]
    for kind, there, positions in groups:
        for position in positions:
            for other in there:
                if other != splits[position]:
                    kinds = found.setdefault((splits[position], other), {})
                    kinds.setdefault(kind, set()).add(position)
    order = {split: place for place, split in enumerate(dict.fromkeys(splits))}
    return {
        pair: {kind: len(found[pair].get(kind, ())) for kind in (*KINDS, PEOPLE)}
        for pair in sorted(found, key=lambda pair: (order[pair[0]], order[pair[1]]))
    }


@dataclass(frozen=True)
class Finding:
    """A kind of fault, by its name in tables and in words, and the images that have it, twins next to each other."""

    name: str
    meaning: str
    images: Sequence[Found]


def inspect(
    audited: AuditedFolder, measures: pd.DataFrame, photos: Sequence[Photo], people: Sequence[Person]
) -> list[Finding]:
    """Every kind of fault that is looked for, also those that no image has."""
    told = np.array([entry.hash for entry in audited.entries])
    is_changed, changed = (told != "") & (told != audited.hashes), "not the picture that the manifest tells of"
    return [
        Finding("unreadable", "missing, damaged, or no image", audited.unreadable),
        _finding(audited, "changed", changed, is_changed, lambda _: "other pixels"),
        *(finding for kind in KINDS for finding in _copies(audited, kind, photos)),
        _people(audited, people),
        *_by_pixels(audited, measures),
    ]


def _finding(
    audited: AuditedFolder, name: str, meaning: str, chosen: NDArray[np.bool_], detail: Callable[[int], str]
) -> Finding:
    """The chosen of the readable images, each with what is said of its position."""
    found = [Found(audited.entries[at], detail(at), at) for at in np.flatnonzero(chosen).tolist()]
    return Finding(name, meaning, found)


def _copies(audited: AuditedFolder, kind: str, photos: Sequence[Photo]) -> list[Finding]:
    of_kind = [photo for photo in photos if photo.kind == kind]

    def finding(name: str, meaning: str, applies: Callable[[Photo], bool]) -> Finding:
        found: dict[int, Found] = {}
        for number, photo in enumerate(of_kind, start=1):
            for position in photo.positions if applies(photo) else ():
                # An image in several groups is listed with the first.
                found.setdefault(position, Found(audited.entries[position], _detail(number, photo), position))
        return Finding(name, meaning, list(found.values()))

    name, meaning = _COPIES[kind]
    return [
        finding(name, meaning, lambda _: True),
        finding(f"{name}, other label", f"{meaning}, different labels", lambda photo: photo.is_conflicting),
        finding(f"{name}, other split", f"{meaning}, in different splits", lambda photo: photo.is_shared),
    ]


def _detail(number: int, photo: Photo) -> str:
    detail = f"group {number}, {len(photo.positions)} images: {', '.join(photo.labels)}"
    if photo.is_shared:
        detail += f"; {', '.join(photo.splits)}"
    return detail if photo.kind == EXACT else f"{detail}; similarity {photo.similarity:.2f}"


def _people(audited: AuditedFolder, people: Sequence[Person]) -> Finding:
    found = [
        Found(audited.entries[position], f"{person.name}: {', '.join(person.splits)}", position)
        for person in people
        for position in person.positions
    ]
    return Finding("people, other split", "a person in different splits", found)


def _by_pixels(audited: AuditedFolder, measures: pd.DataFrame) -> list[Finding]:
    """The faults that one image has by itself."""
    finding = partial(_finding, audited)
    brightness, contrast = measures["brightness"].to_numpy(), measures["contrast"].to_numpy()
    is_blank = audited.faces.min(axis=(1, 2)) == audited.faces.max(axis=(1, 2))
    # Photos without a face are left out when read: neither enlarged nor squeezed.
    sizes = np.where(audited.found[:, None] > 0, audited.sizes, SIZE)
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)

    def size(at: int) -> str:
        height, width = audited.sizes[at]
        return f"{width}×{height} pixels"

    def mean(at: int) -> str:
        return f"mean {brightness[at]:.1f}"

    def faces(at: int) -> str:
        return f"{audited.found[at]} faces"

    is_faint = (contrast < CONTRAST_BELOW) & ~is_blank
    faint = f"standard deviation below {CONTRAST_BELOW} grey levels, not blank"
    narrow = f"more than {_WIDEST:g} times as long one way: squeezed when read"
    return [
        finding("blank", "one grey value all over", is_blank, lambda at: f"grey value {brightness[at]:.1f}"),
        finding("black", f"mean below {BLACK_BELOW} of 255", brightness < BLACK_BELOW, mean),
        finding("white", f"mean above {WHITE_ABOVE} of 255", brightness > WHITE_ABOVE, mean),
        finding("low contrast", faint, is_faint, lambda at: f"deviation {contrast[at]:.1f}"),
        finding("small", f"less than {SIZE} pixels wide or high: enlarged when read", shorter < SIZE, size),
        finding("not square", narrow, longer > _WIDEST * shorter, size),
        finding("no face", "a photo in which none is found: left out", audited.found == 0, faces),
        finding("several faces", "a photo of which the largest face is taken", audited.found > 1, faces),
    ]
