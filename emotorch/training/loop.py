"""The training loop: epochs, scores, early stopping, and the state that a checkpoint holds."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.recipes import Recipe
from emotorch.seeding import generator
from emotorch.training.losses import LOSSES, Loss
from emotorch.workers import progress

logger = logging.getLogger(__name__)

_EVALUATION_BATCH = 512


@dataclass(frozen=True)
class LabelledPixels:
    """Images on the device, as bytes: (N, 1, H, W) uint8 and (N,) int64."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, pixels: Pixels, labels: Indices, device: torch.device) -> "LabelledPixels":
        return cls(torch.from_numpy(pixels).unsqueeze(1).to(device), torch.from_numpy(labels).to(device))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Score:
    """Means over images: loss, and accuracy in percent. NaN for an empty set."""

    loss: float
    accuracy: float
    images: int

    @classmethod
    def mean(cls, scores: "list[Score]") -> "Score":
        """Of several sets, weighted by their images."""
        images = sum(score.images for score in scores)
        if not images:
            return cls(math.nan, math.nan, 0)
        counted = [score for score in scores if score.images]
        return cls(
            sum(score.loss * score.images for score in counted) / images,
            sum(score.accuracy * score.images for score in counted) / images,
            images,
        )


@dataclass(frozen=True)
class EpochScores:
    """An epoch: training scores as they ran, validation scores after it, by the set's name."""

    epoch: int
    learning_rate: float
    seconds: float
    training: Score
    validation: Mapping[str, Score]

    @property
    def combined(self) -> Score:
        """Over all validation images of all sets."""
        return Score.mean(list(self.validation.values()))


def to_input(pixels: Tensor) -> Tensor:
    """Grey values (N, 1, H, W) 0-255 to what networks take: floats 0-1. The one preprocessing there is."""
    return pixels.float().div_(255.0)


def network_outputs(network: nn.Module, pixels: Tensor, threads: int = 1) -> Tensor:
    """(N, K) outputs for (N, 1, H, W) bytes, in evaluation mode, on the CPU; the same for any number of threads."""
    network.eval()

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        outputs: Tensor = network(to_input(batch))
        return outputs.cpu()

    with ThreadPoolExecutor(threads) as pool:
        return torch.cat(list(pool.map(run, torch.split(pixels, _EVALUATION_BATCH))))


def score_outputs(outputs: Tensor, labels: Tensor, loss: Loss) -> Score:
    if not len(labels):
        return Score(math.nan, math.nan, 0)
    labels = labels.cpu()
    correct = (outputs.argmax(1) == labels).double().mean().item()
    return Score(loss(outputs, labels).double().mean().item(), 100.0 * correct, len(labels))


def score(network: nn.Module, images: LabelledPixels, loss: Loss, threads: int = 1) -> Score:
    if not len(images):
        return Score(math.nan, math.nan, 0)
    return score_outputs(network_outputs(network, images.pixels, threads), images.labels, loss)


class Trainer:
    """Trains a network by a recipe until it stops improving; the best epoch's weights come back.

    All randomness of an epoch comes from the seed and the epoch's number, so that a training that is resumed
    after any finished epoch goes on as if it had never stopped.

    On a CPU every batch is cut into one part per thread, and the parts' gradients are added in a fixed order:
    equal threads give equal weights. Threads that meet once a step, not once an operation, lose little on a
    busy machine, where OpenMP's threads wait for each other most of the time.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        training: LabelledPixels,
        validation: Mapping[str, LabelledPixels],
        seed: int,
        threads: int = 1,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.history: list[EpochScores] = []
        self._training = training
        self._validation = validation
        self._seed = seed
        self._loss = LOSSES[recipe.loss]
        self._parameters = list(network.parameters())
        self._parts = threads if training.labels.device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._parts)
        self.optimizer = torch.optim.RMSprop(network.parameters(), lr=recipe.learning_rate)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=recipe.plateau_factor, patience=recipe.plateau_patience
        )
        self.best_epoch = 0
        self._best_loss = math.inf
        self._best_weights = copy.deepcopy(network.state_dict())

    @property
    def finished(self) -> bool:
        epochs = len(self.history)
        return epochs >= self.recipe.epochs or epochs - self.best_epoch >= self.recipe.early_stop_patience

    def run(self, after_epoch: Callable[["Trainer"], None]) -> None:
        """Trains to the end, then restores the best epoch's weights; `after_epoch` saves checkpoints."""
        with self._pool:
            while not self.finished:
                self._run_epoch()
                after_epoch(self)
        self.network.load_state_dict(self._best_weights)

    def _run_epoch(self) -> None:
        started = time.perf_counter()
        epoch = len(self.history) + 1
        training = self._train_epoch(epoch)
        validation = {
            name: score(self.network, images, self._loss, self._parts) for name, images in self._validation.items()
        }
        scores = EpochScores(
            epoch, self.optimizer.param_groups[0]["lr"], time.perf_counter() - started, training, validation
        )
        self.history.append(scores)
        # Without any validation image the training loss has to do.
        watched = scores.combined.loss if scores.combined.images else training.loss
        self.scheduler.step(watched)
        if watched < self._best_loss:
            self._best_loss = watched
            self.best_epoch = epoch
            self._best_weights = copy.deepcopy(self.network.state_dict())
        logger.info("%s", _epoch_line(scores, self.recipe.epochs, self.best_epoch == epoch))

    def _train_epoch(self, epoch: int) -> Score:
        self.network.train()
        device = self._training.labels.device
        order = torch.from_numpy(generator("order", self._seed, epoch).permutation(len(self._training))).to(device)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        batches = torch.split(order, self.recipe.batch_size)
        for batch in progress(batches, total=len(batches), description=f"epoch {epoch}", unit="batch", scale=False):
            for part_loss, part_correct in self._step(batch):
                loss_sum += part_loss
                correct += part_correct
        images = len(self._training)
        return Score(loss_sum.item() / images, 100.0 * correct.item() / images, images)

    def _step(self, batch: Tensor) -> list[tuple[Tensor, Tensor]]:
        """One step of the optimizer; returns each part's sum of losses and number of right answers."""
        parts = batch.chunk(self._parts)
        run = partial(self._part_gradients, images=len(batch))
        results = list(self._pool.map(run, parts) if self._parts > 1 else map(run, parts))
        for parameter, *gradients in zip(self._parameters, *(gradients for gradients, _, _ in results), strict=True):
            parameter.grad = reduce(Tensor.add_, gradients)
        self.optimizer.step()
        return [(loss, correct) for _, loss, correct in results]

    def _part_gradients(self, part: Tensor, images: int) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Gradients of a part's share in the mean loss over `images`, its sum of losses, its right answers."""
        labels = self._training.labels[part]
        outputs = self.network(to_input(self._training.pixels[part]))
        loss = self._loss(outputs, labels).sum()
        gradients = torch.autograd.grad(loss / images, self._parameters)
        return gradients, loss.detach(), (outputs.detach().argmax(1) == labels).sum()

    def state(self) -> dict[str, Any]:
        """Everything a later process needs to go on, bit for bit."""
        return {
            "model_state_dict": self.network.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "best_model_state_dict": self._best_weights,
            "best_epoch": self.best_epoch,
            "best_loss": self._best_loss,
            "history": [asdict(scores) for scores in self.history],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.network.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.scheduler.load_state_dict(state["scheduler_state_dict"])
        self._best_weights = state["best_model_state_dict"]
        self.best_epoch = state["best_epoch"]
        self._best_loss = state["best_loss"]
        self.history = [
            EpochScores(
                **{
                    **scores,
                    "training": Score(**scores["training"]),
                    "validation": {name: Score(**value) for name, value in scores["validation"].items()},
                }
            )
            for scores in state["history"]
        ]


def _epoch_line(scores: EpochScores, epochs: int, best: bool) -> str:
    validation = "  ".join(
        f"{name.upper()} {value.accuracy:5.2f}%" for name, value in scores.validation.items() if value.images
    )
    return (
        f"epoch {scores.epoch:2d}/{epochs}  loss {scores.training.loss:.4f}  training {scores.training.accuracy:5.2f}%"
        f"  validation loss {scores.combined.loss:.4f}  {validation}  {scores.seconds:.1f} s{'  *' if best else ''}"
    )


def predictions(outputs: Tensor) -> Indices:
    """(N, K) outputs to (N,) classes."""
    return np.asarray(outputs.argmax(1).numpy(), dtype=np.int64)
