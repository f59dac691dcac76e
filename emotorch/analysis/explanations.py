"""Where a network looks when it answers, and whether its maps can be trusted."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch.analysis.held_out import HeldOut
from emotorch.analysis.importance_maps import Map, find_map_layer, importance_maps, outputs_of, prepared
from emotorch.analysis.map_checks import MethodChecks, check_maps
from emotorch.data.faces import cut_face
from emotorch.data.images import Pixels, hash_pixels
from emotorch.data.split import Indices
from emotorch.errors import EmoTorchError
from emotorch.inference.inputs import Kind, expand
from emotorch.inference.predictor import answer_file
from emotorch.inference.torch_reader import TorchReader
from emotorch.seeding import generator
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import Model
from emotorch.training.loop import predictions


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


def explain(model: Model, faces: Faces, device: torch.device, seed: int) -> Explanation:
    """Maps of a model's answers to some faces, and how they stand the checks."""
    model = replace(model, network=prepared(model.network, device))
    outputs = outputs_of(model, faces.pixels)
    answers = predictions(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    maps = importance_maps(model.network, model.form, faces.pixels, answers, seed)
    layer = find_map_layer(model.network, model.form)
    curves, checks = check_maps(model, faces.pixels, answers, maps, seed)
    return Explanation(faces, answers, confidences, maps, layer[0] if layer else None, curves, checks)
