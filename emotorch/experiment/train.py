"""One training from settings to a finished run folder: what stage 4 does once and a sweep does often."""

import logging
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from emotorch import __version__
from emotorch.data.cache import LazyArray
from emotorch.data.images import PixelForm, Pixels
from emotorch.data.selection import DatasetIndex, ImageSet, Selection
from emotorch.data.split import SPLIT_SEED
from emotorch.datasets import CKP, FER, dataset_title
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.experiment.start import new_network, require_unseen, start_of
from emotorch.files import now
from emotorch.metrics.calibration import fit_temperature
from emotorch.metrics.scores import NO_SCORE
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import PUBLISHED_SPLIT, VOTES
from emotorch.runs.folder import COPIES, FINISHED, LEAKY, LISTED_IN, RUNNING, Run, claim_run, write_parameters
from emotorch.runs.history import EpochLog, require_tensorboard
from emotorch.runs.record import with_hashes, write_record
from emotorch.runs.results import Outcome, SetOutcome, write_results
from emotorch.runs.usage import write_inherited
from emotorch.training import checkpoints, distributed
from emotorch.training.device import choose_device, make_repeatable
from emotorch.training.distillation import Teachers, read_teachers
from emotorch.training.loop import LabelledPixels, Trainer, network_outputs
from emotorch.training.losses import loss_of, score_outputs
from emotorch.training.preprocessing import InputForm

logger = logging.getLogger(__name__)

LAST_CHECKPOINT = "model_last.pth"
BEST_CHECKPOINT = "model.pth"


@dataclass(frozen=True)
class RunData:
    """The images and teachers that a run learns from: pixels by the set's name, and the seconds that reading took."""

    selection: Selection
    pixels: Mapping[str, LazyArray[Pixels]]
    form: PixelForm
    teachers: Teachers
    seconds: float

    def on_device(self, name: str, images: ImageSet, device: torch.device) -> LabelledPixels:
        return LabelledPixels.of(self.pixels[name], images.labels, device)


def read_run_data(index: DatasetIndex, settings: Settings) -> RunData:
    """Selects and reads a run's images, and its teachers.

    Raises:
        EmoTorchError: a stage has not run, a class is empty, a file is missing or damaged; see `read_teachers` too.
    """
    started = time.perf_counter()
    selection = settings.select(index)
    form = settings.pixel_form(index)
    pixels = {name: images.lazy(form) for name, images in selection.sets().items()}
    teachers = read_teachers(index.paths, settings.recipe.teachers, settings.scheme, selection)
    return RunData(selection, pixels, form, teachers, time.perf_counter() - started)


def train_new(
    paths: Paths,
    settings: Settings,
    *,
    index: DatasetIndex | None = None,
    origin: Mapping[str, object] | None = None,
    claimed: Run | None = None,
) -> Run:
    """Trains a model into a new run folder.

    Args:
        paths: Where the data is and the folder goes.
        settings: Of the run.
        index: The dataset, if it is loaded already.
        origin: What started it (a sweep and its row), for the record.
        claimed: The folder, if it is claimed already.

    Raises:
        EmoTorchError: the data is missing or damaged; no folder is claimed then.
    """
    device = choose_device(settings.device)
    if settings.tensorboard:
        require_tensorboard()
    with distributed.main_process_first():
        index = index or DatasetIndex.load(paths, settings.scheme)
        data = read_run_data(index, settings)
    require_unseen(settings, index, data.selection)
    network = new_network(settings).to(device)
    record = _new_record(settings, index, data, network, device) | dict(origin or {})
    run = distributed.broadcast(lambda: claimed or claim_run(paths.models, record))
    if claimed:
        write_record(claimed.folder, record)
    logger.info("%s: %s", run.name, _describe_data(index, data.selection))
    if settings.recipe.pretrained and distributed.is_main_process():
        write_inherited(run, start_of(settings), data.selection.training.hashes.tolist())
    _train(run, settings, data, network)
    return run


def resume(paths: Paths, run: Run, *, index: DatasetIndex | None = None) -> Run:
    """Goes on with a run that was interrupted, from its last checkpoint; `index`: the dataset, if it is loaded already.

    Raises:
        EmoTorchError: the run is finished, its dataset or its teachers have changed, or earlier code split the dataset
            differently.
    """
    record = distributed.broadcast(lambda: _unfinished_record(run))
    settings = Settings.from_record(record)
    index = index or DatasetIndex.load(paths, settings.scheme)
    if index.fingerprint != record["dataset"]["fingerprint"]:
        raise EmoTorchError(f"{run.name} was trained on another dataset than {index.paths.originals} is now")
    device = choose_device(record["device"])
    with distributed.main_process_first():
        data = read_run_data(index, settings)
    drawn = len(data.selection.training)
    if record.get("counts", {}).get("training", drawn) != drawn:
        raise EmoTorchError(f"{run.name} was begun by earlier code, which drew other images: train it anew")
    if list(data.teachers.hashes) != record.get("teachers_sha256", []):
        raise EmoTorchError(f"{run.name} has learned from other teachers than {settings.recipe.teachers} are now")
    network = new_network(settings).to(device)
    _train(run, settings, data, network)
    return run


def _unfinished_record(run: Run) -> dict[str, Any]:
    record = run.record
    if "settings" not in record:
        raise EmoTorchError(f"{run.folder} has no record of its settings: it cannot be resumed")
    if run.status() == FINISHED:
        raise EmoTorchError(f"{run.name} is finished: there is nothing to resume")
    return record


def _new_record(
    settings: Settings, index: DatasetIndex, data: RunData, network: nn.Module, device: torch.device
) -> dict[str, Any]:
    return {
        "status": RUNNING,
        "started": now(),
        "recipe": settings.recipe.name,
        "labels": list(settings.scheme.labels),
        "settings": settings.as_dict(),
        "split_seed": SPLIT_SEED,
        **({LEAKY: True} if is_leaky(settings, data.selection) else {}),
        "seed": settings.seed,
        "factors": asdict(settings.factors),
        # All of them, also those that the recipe does not train.
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "device": str(device),
        "dataset": {
            "fingerprint": index.fingerprint,
            "synthetic": index.paths.is_synthetic,
            "ckp": index.has(CKP.name),
            "pixels": asdict(data.form),
        },
        "counts": {name: len(images) for name, images in data.selection.sets().items()},
        **({COPIES: data.selection.shared.as_dict()} if data.selection.shared else {}),
        "teachers_sha256": list(data.teachers.hashes),
        "versions": {
            "emotorch": __version__,
            "code": _code_version(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def is_leaky(settings: Settings, selection: Selection) -> bool:
    """Whether what is trained on shows held-out images by intent; an official split's twins are scored apart."""
    shared = selection.shared
    return settings.recipe.split == PUBLISHED_SPLIT or (shared is not None and shared.kept and len(shared.rows) > 0)


@cache
def _code_version() -> str | None:
    """The commit of the checkout, where there is one: asked once, since the code that runs is that of its start."""
    try:
        described = subprocess.run(
            ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # installed without git, or not from a checkout
    return described.stdout.strip()


def _describe_data(index: DatasetIndex, selection: Selection) -> str:
    sets = [f"{len(images)} of {dataset_title(name)}" for name, images in selection.validation.items()]
    text = f"{len(selection.training)} training images, {' and '.join(sets) or 'none'} to validate"
    if selection.shared and len(selection.shared.rows):
        text += f"; {selection.shared.describe()}"
    if FER.key in selection.validation and not index.has(CKP.name):
        text += " (no CK+ in the dataset: no CK+ matrix, no CK+ rows)"
    return text


def _train(run: Run, settings: Settings, data: RunData, network: nn.Module) -> None:
    """Trains a run to its end; of several processes all compute, and the main process holds the folder and writes."""
    with run.running() if distributed.is_main_process() else nullcontext(lambda: None) as require_there:
        make_repeatable(settings.threads)
        started = time.perf_counter()
        # Channels last is what the convolutions of CPUs and of GPUs are fastest in.
        trainer = _new_trainer(settings, data, network.to(memory_format=torch.channels_last))
        description = checkpoints.describe(settings.recipe, settings.scheme, data.form)
        _train_and_log(run, settings, trainer, description, require_there)
        if not trainer.best_epoch:
            raise EmoTorchError(f"{run.name}: the loss is no number from the first epoch on; lower learning_rate")
        if distributed.is_main_process():
            trained = time.perf_counter()
            require_there()
            _write_outcome(run, settings, data, trainer, description)
            results = time.perf_counter() - trained
            require_there()
            _finish(run, {"reading": data.seconds, "training": trained - started, "results": results})


def _finish(run: Run, seconds: Mapping[str, float]) -> None:
    record = {
        **run.record,
        "status": FINISHED,
        "finished": now(),
        "timings_s": {name: round(value, 3) for name, value in seconds.items()},
    }
    record = with_hashes(record, run.folder)
    write_parameters(run.folder / "model_parameters.txt", record)
    run.update(**record)  # last of all: a run that says it is finished has every file


def _new_trainer(settings: Settings, data: RunData, network: nn.Module) -> Trainer:
    device, selection = next(network.parameters()).device, data.selection
    training = data.on_device("training", selection.training, device)
    return Trainer(
        network,
        settings.recipe,
        training,
        {name: data.on_device(name, images, device) for name, images in selection.validation.items()},
        classes=len(settings.scheme.labels),
        seed=settings.seed,
        threads=settings.threads,
        targets=_vote_targets(selection.training, device) if settings.recipe.targets == VOTES else None,
        soft_targets=data.teachers.soft_targets(device, settings.recipe.precision),
    )


def _vote_targets(training: ImageSet, device: torch.device) -> torch.Tensor:
    shares = training.vote_shares
    assert shares is not None, "the selection has asked for votes"
    return torch.from_numpy(shares).to(device)


def _train_and_log(
    run: Run, settings: Settings, trainer: Trainer, description: Mapping[str, Any], require_there: Callable[[], None]
) -> None:
    """Trains from the last checkpoint on, or from the first step, and keeps checkpoint and log of it.

    `require_there`: see `Run.running`.
    """
    leads, last = distributed.is_main_process(), run.folder / LAST_CHECKPOINT
    log = EpochLog(run.folder, tensorboard=settings.tensorboard and leads)
    if leads:
        run.update(processes=distributed.world_size())
    state = distributed.broadcast(lambda: checkpoints.read(last) if last.exists() else None)
    if state is not None:
        trainer.load_state(state)
        if leads:
            log.write(trainer.history)  # a kill may have come between the checkpoint and its epoch's log
        logger.info("%s: goes on after epoch %d", run.name, len(trainer.history))

    def checkpoint(trainer: Trainer) -> None:
        if not leads:
            return
        require_there()
        checkpoints.save(last, {**description, **trainer.state()})
        if not trainer.within_epoch:
            log.write(trainer.history)

    trainer.run(checkpoint, settings.checkpoint_every_s)


def _write_outcome(
    run: Run, settings: Settings, data: RunData, trainer: Trainer, description: Mapping[str, Any]
) -> None:
    """Scores the best epoch on every set; writes its weights, what the record says of it, and all results."""
    outcome = _score(settings, data, trainer)
    state = {**trainer.state(), "epoch": trainer.best_epoch, "temperature": outcome.temperature}
    checkpoints.save(run.folder / BEST_CHECKPOINT, {**description, **state})
    run.update(best_epoch=trainer.best_epoch, epochs_completed=len(trainer.history), **_describe_outcome(outcome))
    write_results(run, outcome, trainer.history, data.selection, data.pixels, compact=LISTED_IN in run.record)


def _score(settings: Settings, data: RunData, trainer: Trainer) -> Outcome:
    """The trained network's outputs and scores for every set, and the temperature fitted on the validation sets."""
    network, labels = trainer.network, settings.scheme.labels
    device = next(network.parameters()).device
    form, loss = InputForm.of(settings.recipe, data.form), loss_of(settings.recipe)
    sets: dict[str, SetOutcome] = {}
    for name, images in data.selection.sets().items():
        outputs = network_outputs(network, data.on_device(name, images, device).pixels, form, trainer.parts)
        truths = torch.from_numpy(images.labels)
        alone = torch.from_numpy(~np.isin(images.hashes, data.selection.training.hashes))
        sets[name] = SetOutcome(
            images, outputs, score_outputs(outputs, truths, loss), score_outputs(outputs[alone], truths[alone], loss)
        )
    validation = {name: sets[name] for name in data.selection.validation}
    if not validation:
        return Outcome(labels, sets, validation, NO_SCORE, 1.0)
    outputs = torch.cat([outcome.outputs for outcome in validation.values()])
    truths = torch.from_numpy(np.concatenate([outcome.images.labels for outcome in validation.values()]))
    return Outcome(labels, sets, validation, score_outputs(outputs, truths, loss), fit_temperature(outputs, truths))


def _describe_outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "collapsed": len(outcome.never_predicted) == len(outcome.labels) - 1,
        "never_answered": outcome.never_predicted,  # the key that readers of earlier records know
        "scores": {name: asdict(scored.score) for name, scored in outcome.sets.items()},
        "without_twins": {
            name: asdict(scored.without_twins)
            for name, scored in outcome.validation.items()
            if scored.without_twins.images < scored.score.images
        },
        "temperature": outcome.temperature,
    }
