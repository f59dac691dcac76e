"""A trained model as an ONNX file, which predicts without PyTorch: written, then compared to PyTorch's predictions.

The graph holds the preprocessing too (`to_input`, traced): it takes any number of faces as bytes, in the form that the
model's training images were read in.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from emotorch import __version__
from emotorch.data.images import GREY_FACE, PixelForm, Pixels, bring_to
from emotorch.data.synthetic import Identity, draw_face
from emotorch.datasets import FER
from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, write_atomically
from emotorch.inference.onnx_reader import INPUT, OUTPUT, Metadata, OnnxReader
from emotorch.inference.reader import ONNX_SUFFIX, FaceReader
from emotorch.inference.torch_reader import TorchReader
from emotorch.networks.weights import first_line
from emotorch.runs.folder import Run
from emotorch.runs.record import HASHES, sealed_graph, write_record
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.preprocessing import WithPreprocessing, to_tensor

# Of a probability. Both compute in float32, but sum in another order; a strong temperature enlarges the difference.
TOLERANCE = 1e-4
# One face, a few, and more than a reader takes at once.
BATCHES = (1, 2, 7, 100)


@dataclass(frozen=True)
class Export:
    """An ONNX file that was written.

    Attributes:
        path: The file.
        difference: The largest of any probability to PyTorch's.
        faces: How many synthetic faces were compared.
    """

    path: Path
    difference: float
    faces: int


def export(weights: Path) -> Export:
    """Writes a model's ONNX file beside its weights, and both files' hashes into the record of their run, if any.

    Raises:
        EmoTorchError: see `load_model`; or the network cannot be exported, or the file's predictions differ from
            PyTorch's: then no file is written.
    """
    model = load_model(weights)
    metadata = Metadata(weights.resolve().parent.name, model.scheme, model.temperature, hash_file(weights), __version__)
    faces = synthetic_faces(max(BATCHES), model.form.pixels)
    path = weights.with_suffix(ONNX_SUFFIX)
    run, difference = Run(path.parent), math.nan

    def write(temporary: Path) -> None:
        nonlocal difference
        _write_graph(model, metadata, temporary)
        readers = TorchReader(model, weights), OnnxReader.open(temporary)
        difference = largest_difference(*readers, faces)
        if not difference <= TOLERANCE:  # also when it is no number
            raise EmoTorchError(f"a probability differs from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}")
        # A kill between the two files leaves a record without this hash, not with a wrong one.
        if HASHES.get(path.name) in run.record:
            write_record(run.folder, {k: value for k, value in run.record.items() if k != HASHES[path.name]})

    try:
        write_atomically(path, write)
    except (EmoTorchError, torch.onnx.OnnxExporterError) as error:
        raise EmoTorchError(f"{weights} is not exported: {first_line(error)}") from error
    if run.record:
        run.update(**{HASHES[file.name]: hash_file(file) for file in (weights, path) if file.name in HASHES})
    return Export(path, difference, len(faces))


def _write_graph(model: Model, metadata: Metadata, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            WithPreprocessing(model.network, model.form).eval(),
            # Two faces: the number of one would be taken for a constant.
            (to_tensor(np.zeros((2, *model.form.pixels.shape), np.uint8)),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("faces")},),
            verbose=False,
        )
    assert program is not None
    # The exporter notes the lines of source that it traced, with this machine's paths.
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update(metadata.as_properties())
    program.save(path)
    path.write_bytes(sealed_graph(path.read_bytes()))


def synthetic_faces(count: int, form: PixelForm = GREY_FACE) -> Pixels:
    """(count, …) faces of all emotions in turn, in a form, each in colour with a tint of its own; always the same."""
    rng = generator("onnx export")
    emotions = (FER.classes[number % len(FER.classes)] for number in range(count))
    greys = np.stack([draw_face(emotion, Identity(rng), rng) for emotion in emotions])
    if form == GREY_FACE:
        return greys
    faces = np.stack([bring_to(face, form) for face in greys])
    tints = generator("onnx export", "tints").uniform(0.4, 1, (count, 1, 1, form.channels))
    return faces if form.channels == 1 else (faces * tints).astype(np.uint8)


def largest_difference(first: FaceReader, second: FaceReader, faces: Pixels) -> float:
    """The largest difference of a probability between two readers, over all `BATCHES` of faces."""
    differences = [first.probabilities(faces[:count]) - second.probabilities(faces[:count]) for count in BATCHES]
    return float(np.max([np.abs(difference).max() for difference in differences]))
