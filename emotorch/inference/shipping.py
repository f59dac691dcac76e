"""A finished run as the model that ships with the code: its small files, none of them with a face in it."""

import shutil

from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, visible
from emotorch.inference.onnx_export import Export, export
from emotorch.paths import SHIPPED_MODELS
from emotorch.runs import FINISHED, HASHES, Run, new_folder
from emotorch.training import checkpoints

_WEIGHTS = "model.pth"
# What a model is used with; the optimizer's and the schedule's state, several times the size, are left out.
_USED = (
    *("model_state_dict", "model_config", "normalization", "recipe", "labels", "scheme"),
    *("temperature", "epoch", "emotorch_version"),
)
_WITH_FACES = "validation_samples_*.png"
_LEFT_OUT = (_WITH_FACES, "model_last.pth", "model.onnx", "*.html")


def ship(run: Run, name: str) -> Export:
    """Puts a run into the repository under a name, in place of what had it, with an ONNX file beside the weights.

    Args:
        run: Finished, and trained without the test rows of FER-2013.
        name: Of the folder.

    Raises:
        EmoTorchError: the run is not finished, or was trained on rows that test models are scored on, or on drawn
            faces; or the ONNX file's answers are not PyTorch's.
    """
    record = run.record
    if run.status() != FINISHED:
        raise EmoTorchError(f"{run.name} is not finished: only a whole run ships")
    if record["settings"]["recipe"]["fer_usage"] == "all":
        raise EmoTorchError(f"{run.name} was trained on FER-2013's test rows too: train with --fer-usage training")
    if record["dataset"]["synthetic"]:
        raise EmoTorchError(f"{run.name} was trained on drawn faces: it answers nothing about real ones")
    final = SHIPPED_MODELS / name
    with new_folder(SHIPPED_MODELS, "shipping") as new:
        for file in visible(run.folder):
            if file.is_file() and not any(file.match(pattern) for pattern in _LEFT_OUT):
                shutil.copy(file, new.prepared / file.name)
        weights = new.prepared / _WEIGHTS
        state = checkpoints.read(weights)
        checkpoints.save(weights, {key: state[key] for key in _USED})
        Run(new.prepared).update(**{HASHES[_WEIGHTS]: hash_file(weights)})
    if final.exists():
        shutil.rmtree(final)
    new.final.rename(final)
    return export(final / _WEIGHTS)
