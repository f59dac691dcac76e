"""What may be wrong with a dataset's images, and how light and sharp they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotorch.data.contents import Contents, Entry
from emotorch.data.images import SIZE, Pixels
from emotorch.data.split import group_sources

# Grey levels of the mean. In FER-2013 most pictures beyond are blank, a warning sign or "image not available".
BLACK_BELOW, WHITE_ABOVE = 20, 230
# Grey levels of the standard deviation. One in a thousand pictures of FER-2013 has less than 17.
CONTRAST_BELOW = 15
_WIDEST = 1.5  # times as long one way as the other: a face squeezed that much looks like another
_BLOCK = 2048

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """Of each image, at the 48×48 pixels that a network sees.

    Attributes:
        brightness: (N,) mean grey value.
        contrast: (N,) standard deviation of the grey values.
        sharpness: (N,) variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
            microscopy", 2000): low where the picture is blurred.
    """

    brightness: _Values
    contrast: _Values
    sharpness: _Values


def measure(faces: Pixels) -> Measures:
    """Measures (N, 48, 48) faces."""
    blocks = [faces[start : start + _BLOCK].astype(np.float32) for start in range(0, len(faces), _BLOCK)]

    def of_all(values: Iterable[NDArray[np.float32]]) -> _Values:
        return np.concatenate(list(values)).astype(np.float64)

    return Measures(
        brightness=of_all(block.mean(axis=(1, 2)) for block in blocks),
        contrast=of_all(block.std(axis=(1, 2)) for block in blocks),
        sharpness=of_all(_laplacian(block).var(axis=(1, 2)) for block in blocks),
    )


def _laplacian(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    neighbours = faces[:, :-2, 1:-1] + faces[:, 2:, 1:-1] + faces[:, 1:-1, :-2] + faces[:, 1:-1, 2:]
    return neighbours - 4 * faces[:, 1:-1, 1:-1]


@dataclass(frozen=True)
class Found:
    """An image with a fault.

    Attributes:
        entry: The image.
        detail: What exactly, for this one.
        position: In the contents; None for a file that could not be read.
    """

    entry: Entry
    detail: str
    position: int | None = None


@dataclass(frozen=True)
class Finding:
    """A kind of fault, and every image that has it.

    Attributes:
        name: How tables call it.
        meaning: In words.
        images: Those that have it; twins stand together.
    """

    name: str
    meaning: str
    images: Sequence[Found]


def inspect(contents: Contents, measures: Measures) -> list[Finding]:
    """Every kind of fault that is looked for, also those that no image has."""
    unreadable = [Found(file.entry, file.reason) for file in contents.unreadable]
    return [
        Finding("unreadable", "missing, damaged, or no image", unreadable),
        Finding("changed", "not the picture that the manifest tells of", _changed(contents)),
        *_twins(contents),
        *_faint(contents, measures),
        *_shapes(contents),
    ]


def _changed(contents: Contents) -> list[Found]:
    return [
        Found(entry, "other pixels", position)
        for position, entry in enumerate(contents.entries)
        if entry.hash and entry.hash != contents.hashes[position]
    ]


def _twins(contents: Contents) -> list[Finding]:
    groups = group_sources(contents.hashes)
    sizes = np.bincount(groups)
    members = np.flatnonzero(sizes[groups] > 1)
    # By group, groups in the order of their first image.
    firsts = np.unique(groups, return_index=True)[1]
    members = members[np.lexsort((members, firsts[groups[members]]))]
    every: list[Found] = []
    conflicting: list[Found] = []
    across: list[Found] = []
    for number, twins in enumerate(np.split(members, np.flatnonzero(np.diff(groups[members])) + 1), start=1):
        positions = twins.tolist()
        entries = [contents.entries[position] for position in positions]
        labels, splits = ({getattr(entry, name) for entry in entries} for name in ("label", "split"))
        detail = f"group {number}, {len(entries)} images: {', '.join(sorted(labels))}"
        if len(splits) > 1:
            detail += f"; {', '.join(sorted(splits))}"
        found = [Found(entry, detail, position) for entry, position in zip(entries, positions, strict=True)]
        every += found
        conflicting += found if len(labels) > 1 else []
        across += found if len(splits) > 1 else []
    return [
        Finding("twins", "equal pixels", every),
        Finding("twins, other label", "equal pixels, different labels", conflicting),
        Finding("twins, other split", "equal pixels in different splits", across),
    ]


def _faint(contents: Contents, measures: Measures) -> list[Finding]:
    constant = contents.faces.min(axis=(1, 2)) == contents.faces.max(axis=(1, 2))
    faint = (measures.contrast < CONTRAST_BELOW) & ~constant

    def found(chosen: NDArray[np.bool_], values: _Values, what: str) -> list[Found]:
        return [
            Found(contents.entries[position], f"{what} {values[position]:.1f}", position)
            for position in np.flatnonzero(chosen).tolist()
        ]

    brightness, contrast = measures.brightness, measures.contrast
    return [
        Finding("blank", "one grey value all over", found(constant, brightness, "grey value")),
        Finding("black", f"mean below {BLACK_BELOW} of 255", found(brightness < BLACK_BELOW, brightness, "mean")),
        Finding("white", f"mean above {WHITE_ABOVE} of 255", found(brightness > WHITE_ABOVE, brightness, "mean")),
        Finding(
            "low contrast",
            f"standard deviation below {CONTRAST_BELOW} grey levels, not blank",
            found(faint, contrast, "deviation"),
        ),
    ]


def _shapes(contents: Contents) -> list[Finding]:
    shorter, longer = contents.sizes.min(axis=1), contents.sizes.max(axis=1)

    def found(chosen: NDArray[np.bool_]) -> list[Found]:
        return [
            Found(contents.entries[position], "{1}×{0} pixels".format(*contents.sizes[position]), position)
            for position in np.flatnonzero(chosen).tolist()
        ]

    return [
        Finding("small", f"less than {SIZE} pixels wide or high: enlarged when read", found(shorter < SIZE)),
        Finding(
            "not square",
            f"more than {_WIDEST:g} times as long one way: squeezed when read",
            found(longer > _WIDEST * shorter),
        ),
    ]
