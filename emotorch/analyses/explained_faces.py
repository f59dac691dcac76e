"""The faces whose predictions are explained: some held-out images, or those in a user's own pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from emotorch.data.detectors import open_detector
from emotorch.data.faces import cut_face
from emotorch.data.images import Pixels, hash_pixels
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.sets import fingerprint
from emotorch.inference.inputs import Kind, expand
from emotorch.inference.predictions import predict_file
from emotorch.inference.torch_reader import TorchReader
from emotorch.seeding import generator


@dataclass(frozen=True)
class Faces:
    """Images whose predictions are to be explained.

    Attributes:
        files: N, as people know them.
        pixels: (N, H, W) or (N, H, W, 3), as the model reads them.
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
        return fingerprint(self.files, truths, map(hash_pixels, self.pixels))


def choose(held_out: Evaluation, labels: Sequence[str], count: int, seed: int) -> Faces:
    """A random choice of `count` held-out images, in turn of every class: each beginning of it is balanced too.

    A class that has too few leaves its turns to the others; where there are fewer images in all, all are chosen.
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


def named_faces(names: Sequence[str], loaded: LoadedRun, detector: str) -> tuple[Faces, list[str]]:
    """The faces in pictures, or in all pictures of folders, found and cut out just as for a prediction; and what is
    wrong with the inputs that have none, a line for each.

    Raises:
        EmoTorchError: no input has a face.
    """
    reader, finder = TorchReader(loaded.model, loaded.weights), open_detector(detector)
    files: list[str] = []
    faces: list[Pixels] = []
    errors: list[str] = []
    for found in expand(names):
        if found.error or found.kind is Kind.VIDEO:
            errors.append(f"{found.path}: {found.error or 'a video; name pictures'}")
            continue
        prediction = predict_file(reader, found.path, finder)
        if prediction.error or prediction.picture is None:
            errors.append(f"{found.path}: {prediction.error}")
            continue
        several = len(prediction.faces) > 1
        for number, face in enumerate(prediction.faces, start=1):
            files.append(f"{found.path}, face {number}" if several else str(found.path))
            faces.append(cut_face(prediction.picture, face.box, face.turn, reader.form))
    if not faces:
        raise EmoTorchError(errors[0] + (f" (and {len(errors) - 1} more without a face)" if errors[1:] else ""))
    what = Path(names[0]).name if len(names) == 1 else f"{len(names)} inputs"
    lines = [f"{what}: {len(faces)} faces" + (f", {len(errors)} files without one" if errors else "")]
    return Faces(f"{loaded.run.name} on {what}", files, np.stack(faces), None, lines), errors
