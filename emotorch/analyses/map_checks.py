"""The two checks that importance maps must stand before anybody reads them.

- deletion: Petsiuk, Das and Saenko, "RISE: randomized input sampling for explanation" (BMVC 2018).
- weight randomisation: Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018).
"""

import copy
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from emotorch.analyses.importance_maps import Map, importance_maps, seeded
from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.evaluation.evaluate import outputs_of, prepared
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model

RANDOM = "random"
DELETION_STEPS = 24  # of 96 pixels each in a 48×48 image
RANDOMISED_NETWORKS = 2
_RANDOM_ORDERS = 5
# A ReLU on the outputs leaves every second random network with equal outputs for some picture.
_MOST_TRIES = 20


@dataclass(frozen=True)
class MethodChecks:
    """How one method's maps stand the checks: means over images. NaN where no image tells.

    Attributes:
        images: Those that it gives a map that is not flat.
        deletion: Area under the prediction's probability (0-1) over the proportion of pixels removed, the most
            important first: low is right.
        random: The same in random order, for the same images.
        below_random: Proportion of the images, 0-1, whose area is below that in random order.
        correlation: Rank correlation with the map of a network with random weights: near 0 is right.
        magnitude_correlation: The same of the maps without their signs, a harder test where maps have signs.
        undetermined: Pairs of maps of which one was flat: they have no correlation.
    """

    images: int
    deletion: float
    random: float
    below_random: float
    correlation: float
    magnitude_correlation: float
    undetermined: int


def check_maps(
    model: Model, pixels: Pixels, classes: Indices, maps: Mapping[str, Map], seed: int, threads: int = 1
) -> tuple[dict[str, NDArray[np.float64]], dict[str, MethodChecks]]:
    """The mean deletion curve of every method and of random order, and how each method stands both checks.

    Args:
        model: On the device that it is to run on; see `evaluate.prepared`.
        classes: (N,) that are explained.
        maps: By method, (N, H, W).
        seed: Of random orders and random weights.
        threads: Curves, then maps, at the same time; the results are the same for any number.
    """
    # (N, H·W) places in the order of their removal: the most important first, and by chance.
    orders = [np.argsort(-values.reshape(len(values), -1), axis=1, kind="stable") for values in maps.values()]
    rng = generator("explanations", seed, "random order")
    places = np.tile(np.arange(pixels.shape[1] * pixels.shape[2]), (len(pixels), 1))
    orders += [rng.permuted(places, axis=1) for _ in range(_RANDOM_ORDERS)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(partial(deletion_curves, model, pixels, classes), orders))
    curves = dict(zip(maps, found[: len(maps)], strict=True))
    curves[RANDOM] = np.asarray(np.mean(found[len(maps) :], axis=0))
    correlations = randomisation_check(model, pixels, maps, seed, threads)
    checks = {name: _checks(maps[name], curves[name], curves[RANDOM], correlations[name]) for name in maps}
    return {name: np.asarray(curve.mean(axis=0)) for name, curve in curves.items()}, checks


def _checks(
    maps: Map, curves: NDArray[np.float64], random: NDArray[np.float64], correlations: NDArray[np.float64]
) -> MethodChecks:
    told = np.ptp(maps, axis=(1, 2)) > 0
    areas, by_chance = (np.trapezoid(values[told], axis=1) / DELETION_STEPS for values in (curves, random))
    known = np.isfinite(correlations[0])

    def mean(values: NDArray[np.floating | np.bool_]) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return MethodChecks(
        int(told.sum()),
        mean(areas),
        mean(by_chance),
        mean(areas < by_chance),
        mean(correlations[0][known]),
        mean(correlations[1][known]),
        int((~known).sum()),
    )


def deletion_curves(model: Model, pixels: Pixels, classes: Indices, order: Indices) -> NDArray[np.float64]:
    """(N, steps + 1) probabilities of the given (N,) classes while more and more pixels turn into the picture's mean
    grey (or mean colour), in the order of (N, H·W) places.
    """
    ranks = np.argsort(order, axis=1).reshape(*pixels.shape[:3], *(1,) * (pixels.ndim - 3))
    greys = np.rint(pixels.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    curves = np.empty((len(pixels), DELETION_STEPS + 1))
    for step in range(DELETION_STEPS + 1):
        left = np.where(ranks < step * order.shape[1] // DELETION_STEPS, greys, pixels)
        found = probabilities(outputs_of(model, left), model.temperature).numpy()
        curves[:, step] = found[np.arange(len(pixels)), classes]
    return curves


def randomisation_check(
    model: Model, pixels: Pixels, maps: Mapping[str, Map], seed: int, threads: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Rank correlations between maps and those of networks whose weights are all random.

    The random network's map is of its own prediction: any of its outputs is as random as another, and that one is the
    last to be dead where a ReLU follows.

    Returns:
        By method, (2, networks × N): of the maps, and of their magnitudes. NaN where a map is flat.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in maps}
    for network, predictions in _random_networks(model, pixels, seed):
        theirs = importance_maps(network, model.form, pixels, predictions, seed, threads)
        for name, ours in maps.items():
            pairs = ((ours, theirs[name]), (np.abs(ours), np.abs(theirs[name])))
            found[name].append(np.stack([rank_correlations(first, second) for first, second in pairs]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _random_networks(model: Model, pixels: Pixels, seed: int) -> Iterator[tuple[nn.Module, Indices]]:
    """Networks of random weights with their predictions; one that has equal outputs for some picture is tried again."""
    device = next(model.network.parameters()).device
    found = 0
    for number in range(_MOST_TRIES):
        random = prepared(replace(model, network=randomised(model.network, seed, number)), device)
        outputs = outputs_of(random, pixels)
        tries_left = _MOST_TRIES - number > RANDOMISED_NETWORKS - found
        if tries_left and (outputs == outputs[:, :1]).all(dim=1).any():
            continue
        yield random.network, predicted_classes(outputs)
        found += 1
        if found == RANDOMISED_NETWORKS:
            return


def randomised(network: nn.Module, seed: int, number: int) -> nn.Module:
    """A copy with random weights, as PyTorch starts such a layer; what no layer starts is shuffled."""
    network = copy.deepcopy(network).cpu()
    with seeded("explanations", seed, "random weights", number), torch.no_grad():
        for module in network.modules():
            start = getattr(module, "reset_parameters", None)
            if callable(start):
                start()
                continue
            for weights in module.parameters(recurse=False):
                weights.copy_(weights.flatten()[torch.randperm(weights.numel())].view_as(weights))
    return network.eval()


def rank_correlations(first: Map, second: Map) -> NDArray[np.float64]:
    """(N,) Spearman's, pixel by pixel, of (N, H, W) maps; NaN where one is flat."""
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    ours, theirs = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    nothing = np.full(len(first), np.nan)
    return np.asarray(np.divide((ours * theirs).sum(axis=1), spread, out=nothing, where=spread > 0))
