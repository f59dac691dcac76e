"""Where a network looks when it answers: maps of importance, by captum, and the two checks that maps must stand.

A map explains the score (before the softmax) of the class that the network answers, on the 48×48 grey pixels,
whatever size and channels it takes them in. What counts as removed is the picture's mean grey.

Maps:
- saliency: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks" (ICLR workshop 2014).
- SmoothGrad: Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017).
- integrated gradients: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks" (ICML 2017).
- Grad-CAM: Selvaraju et al., "Grad-CAM" (ICCV 2017), on the map that the last convolution gives.
- occlusion: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014).

Checks:
- deletion: Petsiuk, Das and Saenko, "RISE: randomized input sampling for explanation" (BMVC 2018).
- weight randomisation: Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018).
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import captum.attr  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]
from torch import Tensor, nn

from emotorch.analysis.held_out import HeldOut
from emotorch.data.faces import cut_face
from emotorch.data.images import SIZE, Pixels, hash_pixels
from emotorch.data.split import Indices
from emotorch.errors import EmoTorchError
from emotorch.inference.inputs import Kind, expand
from emotorch.inference.predictor import answer_file
from emotorch.inference.torch_reader import TorchReader
from emotorch.seeding import generator
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import Model
from emotorch.training.inputs import InputForm, to_input
from emotorch.training.loop import network_outputs, predictions

METHODS = {
    "saliency": "saliency",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
}
# Images in one pass: small ones stay in a core's cache, and a large network's gradients in the memory.
_BATCH = 64
_NOISE_SAMPLES = 25
_NOISE_SIGMA = 0.1 * 255  # of the full scale; the paper finds 10 to 20% best
_INTEGRATION_STEPS = 50
_WINDOW, _STRIDE = 8, 4  # pixels
RANDOM = "random"
DELETION_STEPS = 24  # of 96 pixels each
_RANDOM_ORDERS = 5
RANDOMISED_NETWORKS = 2
# A ReLU on the outputs leaves every second random network without an answer to some picture.
_MOST_DRAWS = 20
# A single strong pixel would leave the rest of a map dark.
_FULL_PERCENTILE = 99

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Faces:
    """Pictures to explain the answers to.

    Attributes:
        title: What they are.
        files: N, as people know them.
        pixels: (N, 48, 48).
        truths: N labels; None where nobody says.
        lines: How they were found, in words.
    """

    title: str
    files: Sequence[str]
    pixels: Pixels
    truths: Sequence[str] | None
    lines: Sequence[str]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every face's file, label and pixels, in hex."""
        truths = self.truths or [""] * len(self.files)
        rows = zip(self.files, truths, map(hash_pixels, self.pixels), strict=True)
        return hashlib.sha256("\n".join(map("\t".join, rows)).encode()).hexdigest()


@dataclass(frozen=True)
class MethodChecks:
    """How one method's maps stand the checks: means over images. NaN where no image tells.

    Attributes:
        images: Those that it gives a map that is not flat.
        deletion: Area under the answer's probability (0-1) over the share of pixels removed, the most important
            first: low is right.
        random: The same in random order, for the same images.
        below_random: Share of the images, 0-1, whose area is below that in random order.
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


@dataclass(frozen=True)
class Explanation:
    """A network's answers to some faces, and where it looked.

    Attributes:
        faces: The faces.
        answers: (N,) classes.
        confidences: (N,) 0-1, calibrated.
        maps: By method, (N, 48, 48). Positive values speak for the answer; integrated gradients and occlusion also
            have negative ones, which speak against it.
        layer: The part of the network whose map Grad-CAM shows; None without Grad-CAM.
        curves: By method, and of random order: (steps + 1,) mean probability of the answer while pixels are removed.
        checks: By method.
    """

    faces: Faces
    answers: Indices
    confidences: NDArray[np.float32]
    maps: Mapping[str, Map]
    layer: str | None
    curves: Mapping[str, NDArray[np.float64]]
    checks: Mapping[str, MethodChecks]


# --- The faces ----------------------------------------------------------------------------------------------


def choose(held_out: HeldOut, labels: Sequence[str], count: int, seed: int) -> Faces:
    """A random choice of held-out images, in turn of every class: each beginning of it is balanced too.

    Args:
        held_out: To choose from.
        labels: Of the classes.
        count: How many; all where there are fewer. A class that has too few leaves its turns to the others.
        seed: Of the choice.
    """
    images = held_out.images
    turns: list[tuple[int, int, int]] = []
    for number, label in enumerate(labels):
        # By pixels, so that the choice does not depend on the order of the list.
        members = np.flatnonzero(images.labels == number)
        members = members[np.argsort(images.hashes[members], kind="stable")]
        order = generator("explanations", seed, label).permutation(members)
        turns += [(turn, number, int(image)) for turn, image in enumerate(order)]
    chosen = [image for _, _, image in sorted(turns)[:count]]
    return Faces(
        held_out.title,
        [images.files[image] for image in chosen],
        images.pixels[chosen],
        [labels[number] for number in images.labels[chosen]],
        [*held_out.lines, f"{len(chosen)} of these are explained, in turn of every class (seed {seed})"],
    )


def named_faces(names: Sequence[str], model: Model, weights: Path, detector: str) -> Faces:
    """The faces in pictures, or in all pictures of folders, found and cut out just as for a prediction.

    Raises:
        EmoTorchError: a picture cannot be read, or no face is found in it.
    """
    reader = TorchReader(model, weights)
    files: list[str] = []
    faces: list[Pixels] = []
    for found in expand(names):
        if found.error or found.kind is Kind.VIDEO:
            raise EmoTorchError(f"{found.path}: {found.error or 'a video; name pictures'}")
        answer = answer_file(reader, found.path, detector)
        if answer.error or answer.picture is None:
            raise EmoTorchError(f"{found.path}: {answer.error}")
        several = len(answer.faces) > 1
        for number, face in enumerate(answer.faces, start=1):
            files.append(f"{found.path}, face {number}" if several else str(found.path))
            faces.append(cut_face(answer.picture, face.box))
    title = Path(names[0]).name if len(names) == 1 else f"{len(names)} inputs"
    return Faces(title, files, np.stack(faces), None, [f"{title}: {len(faces)} faces"])


# --- Maps ---------------------------------------------------------------------------------------------------


class _Scores(nn.Module):
    """A network as a function of grey values (N, 1, 48, 48), 0-255."""

    def __init__(self, network: nn.Module, form: InputForm) -> None:
        super().__init__()
        self.network = network
        self._form = form

    def forward(self, grey: Tensor) -> Tensor:
        scores: Tensor = self.network(to_input(grey, self._form))
        return scores


def find_map_layer(network: nn.Module, form: InputForm) -> tuple[str, nn.Module] | None:
    """The part of a network whose output is the map of its last convolution; None where there is no such map.

    It is the largest part that has this convolution in it and still gives a map of the same size, so that what is
    added, normalised or weighted around the convolution is in it. A convolution that gives a single value per
    channel, or cuts the picture into patches for a transformer, gives no such map.
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        shapes.pop(module, None)  # a part that is used again is placed by its last use
        shapes[module] = tuple(output.shape) if isinstance(output, Tensor) else ()

    names = {module: name for name, module in network.named_modules()}
    handles = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad():
            weights = next(network.parameters())
            network.eval()(weights.new_zeros(1, form.channels, form.image_size, form.image_size))
    finally:
        for handle in handles:
            handle.remove()
    with_maps = [module for module in shapes if isinstance(module, nn.Conv2d) and _gives_map(module, shapes[module])]
    if not with_maps:
        return None
    size = shapes[with_maps[-1]][2:]
    parts = names[with_maps[-1]].split(".")
    for depth in range(1, len(parts)):
        around = network.get_submodule(".".join(parts[:depth]))
        shape = shapes.get(around, ())
        if len(shape) == 4 and shape[2:] == size:
            return names[around], around
    return names[with_maps[-1]], with_maps[-1]


def _gives_map(convolution: nn.Conv2d, shape: tuple[int, ...]) -> bool:
    cuts_patches = convolution.stride == convolution.kernel_size != (1, 1)
    return not cuts_patches and len(shape) == 4 and shape[2] * shape[3] > 1


def importance_maps(network: nn.Module, form: InputForm, pixels: Pixels, classes: Indices, seed: int) -> dict[str, Map]:
    """The maps of every method, without Grad-CAM where the network has no map to show.

    Args:
        network: In evaluation mode, on the device that it is to run on; it is not changed.
        form: What it takes.
        pixels: (N, 48, 48).
        classes: (N,) whose scores are explained.
        seed: Of SmoothGrad's noise.

    Returns:
        (N, 48, 48) each; see `Explanation.maps`.
    """
    layer = find_map_layer(network, form)
    weights = next(network.parameters())
    greys = torch.from_numpy(pixels).unsqueeze(1).to(weights.device, weights.dtype)
    means = greys.mean((2, 3), keepdim=True).round().expand_as(greys)
    targets = torch.from_numpy(classes).to(weights.device)
    batches = [torch.split(whole, _BATCH) for whole in (greys, means, targets)]
    maps: dict[str, Map] = {}
    for name, method in _attributions(_Scores(network, form), layer[1] if layer else None).items():
        with _seeded("explanations", seed, name):
            parts = [
                method(grey.detach().requires_grad_(), mean, target).detach()
                for grey, mean, target in zip(*batches, strict=True)
            ]
        maps[name] = torch.cat(parts).squeeze(1).float().cpu().numpy()
    return maps


_Attribution = Callable[[Tensor, Tensor, Tensor], Tensor]


def _attributions(scores: _Scores, layer: nn.Module | None) -> dict[str, _Attribution]:
    """By method: from (N, 1, 48, 48) grey values, what replaces those that are removed, and (N,) classes to maps."""
    saliency = captum.attr.Saliency(scores)
    noisy = captum.attr.NoiseTunnel(saliency)
    integrated = captum.attr.IntegratedGradients(scores)
    occlusion = captum.attr.Occlusion(scores)

    def smooth(grey: Tensor, _mean: Tensor, target: Tensor) -> Tensor:
        # One sample of the noise for all images at a time; signs are dropped after the mean, as in the paper.
        samples = {"nt_samples": _NOISE_SAMPLES, "nt_samples_batch_size": 1, "stdevs": _NOISE_SIGMA}
        gradient: Tensor = noisy.attribute(grey, nt_type="smoothgrad", target=target, abs=False, **samples)
        return gradient.abs()

    def integrate(grey: Tensor, mean: Tensor, target: Tensor) -> Tensor:
        found: Tensor = integrated.attribute(
            grey, mean, target, n_steps=_INTEGRATION_STEPS, internal_batch_size=max(_BATCH, len(grey))
        )
        return found

    def occlude(grey: Tensor, mean: Tensor, target: Tensor) -> Tensor:
        window, stride = (1, _WINDOW, _WINDOW), (1, _STRIDE, _STRIDE)
        found: Tensor = occlusion.attribute(grey, window, stride, mean, target)
        return found

    methods: dict[str, _Attribution] = {
        "saliency": lambda grey, _, target: saliency.attribute(grey, target),
        "smoothgrad": smooth,
        "integrated_gradients": integrate,
    }
    if layer is not None:
        methods["grad_cam"] = partial(_grad_cam, captum.attr.LayerGradCam(scores, layer))
    return {**methods, "occlusion": occlude}


def _grad_cam(method: captum.attr.LayerGradCam, grey: Tensor, _mean: Tensor, target: Tensor) -> Tensor:
    found = method.attribute(grey, target, relu_attributions=True)
    enlarged: Tensor = captum.attr.LayerAttribution.interpolate(found, (SIZE, SIZE), "bilinear")
    return enlarged


@contextmanager
def _seeded(*key: object) -> Iterator[None]:
    """PyTorch's global random numbers are the key's within, and as before afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(int(generator(*key).integers(2**63)))
        yield


def evidence(maps: Map) -> Map:
    """(N, 48, 48) maps to 0-1, for pictures and means: what speaks for the answer, of each map's own full scale."""
    positive = np.maximum(maps, 0)
    full = np.percentile(positive, _FULL_PERCENTILE, axis=(1, 2), keepdims=True)
    # A map of a few small spots has its full scale in its greatest value.
    full = np.where(full > 0, full, positive.max(axis=(1, 2), keepdims=True))
    return np.asarray(np.clip(np.divide(positive, full, out=np.zeros_like(positive), where=full > 0), 0, 1))


# --- Explaining ---------------------------------------------------------------------------------------------


def explain(model: Model, faces: Faces, device: torch.device, seed: int) -> Explanation:
    """Maps of a model's answers to some faces, and how they stand the checks."""
    model = replace(model, network=_prepared(model.network, device))
    outputs = _outputs(model, faces.pixels)
    answers = predictions(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    maps = importance_maps(model.network, model.form, faces.pixels, answers, seed)
    layer = find_map_layer(model.network, model.form)
    curves = {
        name: deletion_curves(model, faces.pixels, answers, _removal_order(found)) for name, found in maps.items()
    }
    by_chance = [deletion_curves(model, faces.pixels, answers, order) for order in _random_orders(len(answers), seed)]
    curves[RANDOM] = np.asarray(np.mean(by_chance, axis=0))
    correlations = randomisation_check(model, faces.pixels, maps, seed)
    checks = {name: _checks(maps[name], curves[name], curves[RANDOM], correlations[name]) for name in maps}
    means = {name: np.asarray(curve.mean(axis=0)) for name, curve in curves.items()}
    return Explanation(faces, answers, confidences, maps, layer[0] if layer else None, means, checks)


def _prepared(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy that wants no gradients of its weights, which have the channels last: a CPU is twice as fast so."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    return copied.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _outputs(model: Model, pixels: Pixels) -> Tensor:
    greys = torch.from_numpy(pixels).unsqueeze(1).to(next(model.network.parameters()).device)
    return torch.cat([network_outputs(model.network, batch, model.form) for batch in torch.split(greys, _BATCH)])


def _checks(
    maps: Map, curves: NDArray[np.float64], random: NDArray[np.float64], correlations: NDArray[np.float64]
) -> MethodChecks:
    drawn = ~_is_flat(maps)
    areas, by_chance = (_area(values[drawn]) for values in (curves, random))
    known = np.isfinite(correlations[0])

    def mean(values: NDArray[np.floating | np.bool_]) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return MethodChecks(
        int(drawn.sum()),
        mean(areas),
        mean(by_chance),
        mean(areas < by_chance),
        mean(correlations[0][known]),
        mean(correlations[1][known]),
        int((~known).sum()),
    )


def _area(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.trapezoid(curves, axis=1) / DELETION_STEPS)


def _is_flat(maps: Map) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(maps, axis=(1, 2)) == 0)


# --- The deletion test --------------------------------------------------------------------------------------


def _removal_order(maps: Map) -> Indices:
    """(N, 48, 48) maps to (N, 2304) places in the order of their removal, the most important first."""
    return np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable")


def _random_orders(images: int, seed: int) -> list[Indices]:
    drawing = generator("explanations", seed, "random order")
    places = np.tile(np.arange(SIZE * SIZE), (images, 1))
    return [drawing.permuted(places, axis=1) for _ in range(_RANDOM_ORDERS)]


def deletion_curves(model: Model, pixels: Pixels, classes: Indices, order: Indices) -> NDArray[np.float64]:
    """(N, steps + 1) probabilities of the given classes while more and more pixels turn into the picture's mean grey.

    Args:
        model: To ask.
        pixels: (N, 48, 48).
        classes: (N,).
        order: (N, 2304) places of the pixels, the first to be removed first.
    """
    ranks = np.argsort(order, axis=1).reshape(pixels.shape)
    greys = np.rint(pixels.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    curves = np.empty((len(pixels), DELETION_STEPS + 1))
    for step in range(DELETION_STEPS + 1):
        left = np.where(ranks < step * SIZE * SIZE // DELETION_STEPS, greys, pixels)
        shares = probabilities(_outputs(model, left), model.temperature).numpy()
        curves[:, step] = shares[np.arange(len(pixels)), classes]
    return curves


# --- The weight-randomisation check -------------------------------------------------------------------------


def randomisation_check(
    model: Model, pixels: Pixels, maps: Mapping[str, Map], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Rank correlations between maps and those of networks whose weights are all drawn anew.

    The random network's map is of its own answer: any of its outputs is as random as another, and that one is the
    last to be dead where a ReLU follows.

    Returns:
        By method, (2, networks × N): of the maps, and of their magnitudes. NaN where a map is flat.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in maps}
    for network, answers in _random_networks(model, pixels, seed):
        theirs = importance_maps(network, model.form, pixels, answers, seed)
        for name, ours in maps.items():
            pairs = ((ours, theirs[name]), (np.abs(ours), np.abs(theirs[name])))
            found[name].append(np.stack([rank_correlations(first, second) for first, second in pairs]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _random_networks(model: Model, pixels: Pixels, seed: int) -> Iterator[tuple[nn.Module, Indices]]:
    """Networks of random weights with their answers; those that answer nothing to some picture are drawn again."""
    device = next(model.network.parameters()).device
    found = 0
    for number in range(_MOST_DRAWS):
        random = replace(model, network=_prepared(randomised(model.network, seed, number), device))
        outputs = _outputs(random, pixels)
        tries_left = _MOST_DRAWS - number > RANDOMISED_NETWORKS - found
        if tries_left and (outputs == outputs[:, :1]).all(dim=1).any():
            continue
        yield random.network, predictions(outputs)
        found += 1
        if found == RANDOMISED_NETWORKS:
            return


def randomised(network: nn.Module, seed: int, number: int) -> nn.Module:
    """A copy with every weight drawn anew, as PyTorch starts such a layer; what no layer starts is shuffled."""
    network = copy.deepcopy(network).cpu()
    with _seeded("explanations", seed, "random weights", number), torch.no_grad():
        for module in network.modules():
            start = getattr(module, "reset_parameters", None)
            if callable(start):
                start()
                continue
            for weights in module.parameters(recurse=False):
                weights.copy_(weights.flatten()[torch.randperm(weights.numel())].view_as(weights))
    return network.eval()


def rank_correlations(first: Map, second: Map) -> NDArray[np.float64]:
    """(N,) Spearman's, pixel by pixel, of (N, 48, 48) maps; NaN where one is flat."""
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    ours, theirs = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    nothing = np.full(len(first), np.nan)
    return np.asarray(np.divide((ours * theirs).sum(axis=1), spread, out=nothing, where=spread > 0))
