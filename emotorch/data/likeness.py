"""Whether two pictures are of one photo: nearly equal, though cut, lit, scaled or marked a little differently.

Candidates are found by a perceptual hash (Zauner, "Implementation and benchmarking of perceptual image hash
functions", 2010): the signs of the lowest 8×8 cosine coefficients against their median. It knows a photo by
its light and dark areas, which two portraits may share. So each candidate is confirmed by the fine detail of
the pixels, aligned: copies are often cut a few pixels apart, and a little larger or smaller.
"""

from collections.abc import Container

import cv2
import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import SIZE, Pixels
from emotorch.workers import progress

# The ways in which two images can be of one photo.
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
# No pair of FER-2013 that is below this at the first scale reached 0.75 at another: three quarters stop here.
_LEAST_UNSCALED = 0.3
_MARGIN = 6  # pixels by which two cuts may lie apart
# Grey levels of detail below which there is nothing to compare: black, white and blank pictures.
_LEAST_DETAIL = 1.0
_BLOCK = 512  # images whose hashes are made or compared at once

_Floats = NDArray[np.float32]
_Positions = NDArray[np.int64]


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
    details = _details(faces)
    other_details = details if others is faces else _details(others)
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


def find_mirrored(
    faces: Pixels, threshold: float, alike: Container[tuple[int, int]]
) -> dict[tuple[int, int], tuple[int, float]]:
    """As `find_alike` within (N, 48, 48) faces, one of each pair mirrored; without pairs that are alike as they are."""
    found = find_alike(faces, faces[:, :, ::-1], threshold)
    return {places: likeness for places, likeness in found.items() if places not in alike}


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
    length = bits.shape[1]
    for start in range(0, len(bits), _BLOCK):
        # Equal bits count 1, others −1: a product of matrices counts them for all pairs.
        others_from = start if within else 0
        alike = bits[start : start + _BLOCK] @ other_bits[others_from:].T
        first, second = np.nonzero(alike >= length - 2 * _MOST_BITS_APART)
        if within:
            later = second > first
            first, second = first[later], second[later]
        pairs.append(np.stack([first + start, second + others_from], axis=1))
        distances.append((length - alike[first, second].astype(np.int64)) // 2)
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
