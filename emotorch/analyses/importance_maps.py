"""Importance maps: which pixels speak for the class that a network predicts, by captum.

A map explains the score (before the softmax) of that class, on the pixels as the model reads pictures (48×48 grey of
FER-2013), whatever size and channels the network takes them in; a pixel's colours count together. What counts as
removed is the picture's mean grey, or mean colour.

Maps:
- saliency: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks" (ICLR workshop 2014).
- SmoothGrad: Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017).
- integrated gradients: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks" (ICML 2017).
- Grad-CAM: Selvaraju et al., "Grad-CAM" (ICCV 2017), on the map that the last convolution gives.
- occlusion: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014).
"""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import captum.attr
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emotorch.data.images import SIZE, Pixels
from emotorch.data.split import Indices
from emotorch.seeding import generator
from emotorch.training.preprocessing import InputForm, WithPreprocessing, to_tensor

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
_WINDOW, _STRIDE = 8, 4  # pixels of 48
# A single strong pixel would leave the rest of a map dark.
_FULL_PERCENTILE = 99

Map = NDArray[np.float32]


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
    with_maps = [
        module
        for module, shape in shapes.items()
        if isinstance(module, nn.Conv2d)
        and len(shape) == 4
        and shape[2] * shape[3] > 1
        # One that cuts patches:
        and not module.stride == module.kernel_size != (1, 1)
    ]
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


def importance_maps(
    network: nn.Module, form: InputForm, pixels: Pixels, classes: Indices, seed: int, threads: int = 1
) -> dict[str, Map]:
    """The maps of every method, without Grad-CAM where the network has no map to show.

    Args:
        network: In evaluation mode, on the device that it is to run on; it is not changed.
        pixels: (N, H, W) or (N, H, W, 3).
        classes: (N,) whose scores are explained.
        threads: Methods at the same time; the maps are the same for any number.

    Returns:
        (N, H, W) each; see `Explanation.maps`.
    """
    layer = find_map_layer(network, form)
    weights = next(network.parameters())
    values = to_tensor(pixels).to(weights.device, weights.dtype)
    means = values.mean((2, 3), keepdim=True).round().expand_as(values)
    targets = torch.from_numpy(classes).to(weights.device)
    batches = [torch.split(whole, _BATCH) for whole in (values, means, targets)]
    methods = [name for name in METHODS if layer or name != "grad_cam"]

    def attribute(name: str) -> Map:
        # captum hangs hooks into the network: methods at the same time have a copy each.
        copied = copy.deepcopy(network)
        scores = WithPreprocessing(copied, form)
        method = attributions(scores, copied.get_submodule(layer[0]) if layer else None)[name]
        # The random numbers are all threads' together, and no other method takes any.
        with seeded("explanations", seed, name) if name == "smoothgrad" else nullcontext():
            parts = [
                method(image.detach().requires_grad_(), mean, target).detach()
                for image, mean, target in zip(*batches, strict=True)
            ]
        return torch.cat(parts).sum(1).float().cpu().numpy()

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(methods, pool.map(attribute, methods), strict=True))


_Attribution = Callable[[Tensor, Tensor, Tensor], Tensor]


def attributions(scores: WithPreprocessing, layer: nn.Module | None) -> dict[str, _Attribution]:
    """By method: from (N, C, H, W) values, what replaces those that are removed, and (N,) classes to maps."""
    saliency = captum.attr.Saliency(scores)
    noisy = captum.attr.NoiseTunnel(saliency)
    integrated = captum.attr.IntegratedGradients(scores)
    occlusion = captum.attr.Occlusion(scores)

    def smooth(image: Tensor, _mean: Tensor, target: Tensor) -> Tensor:
        # One sample of the noise for all images at a time; signs are dropped after the mean, as in the paper.
        samples = {"nt_samples": _NOISE_SAMPLES, "nt_samples_batch_size": 1, "stdevs": _NOISE_SIGMA}
        gradient: Tensor = noisy.attribute(image, nt_type="smoothgrad", target=target, abs=False, **samples)
        return gradient.abs()

    def integrate(image: Tensor, mean: Tensor, target: Tensor) -> Tensor:
        found: Tensor = integrated.attribute(
            image, mean, target, n_steps=_INTEGRATION_STEPS, internal_batch_size=max(_BATCH, len(image))
        )
        return found

    def occlude(image: Tensor, mean: Tensor, target: Tensor) -> Tensor:
        channels, _, side = image.shape[1:]
        window, stride = (round(pixels * side / SIZE) for pixels in (_WINDOW, _STRIDE))
        found: Tensor = occlusion.attribute(image, (channels, window, window), (channels, stride, stride), mean, target)
        return found

    methods: dict[str, _Attribution] = {
        "saliency": lambda image, _, target: saliency.attribute(image, target),
        "smoothgrad": smooth,
        "integrated_gradients": integrate,
        "occlusion": occlude,
    }
    if layer is not None:
        cam = captum.attr.LayerGradCam(scores, layer)

        def show_layer(image: Tensor, _mean: Tensor, target: Tensor) -> Tensor:
            found = cam.attribute(image, target, relu_attributions=True)
            enlarged: Tensor = captum.attr.LayerAttribution.interpolate(found, tuple(image.shape[2:]), "bilinear")
            return enlarged

        methods["grad_cam"] = show_layer
    return methods


@contextmanager
def seeded(*key: object) -> Iterator[None]:
    """PyTorch's global random numbers are the key's within, and as before afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(int(generator(*key).integers(2**63)))
        yield


def evidence(maps: Map) -> Map:
    """(N, H, W) maps to 0-1, for pictures and means: what speaks for the prediction, of each map's own full scale."""
    positive = np.maximum(maps, 0)
    full = np.percentile(positive, _FULL_PERCENTILE, axis=(1, 2), keepdims=True)
    # A map of a few small spots has its full scale in its greatest value.
    full = np.where(full > 0, full, positive.max(axis=(1, 2), keepdims=True))
    return np.asarray(np.clip(np.divide(positive, full, out=np.zeros_like(positive), where=full > 0), 0, 1))
