"""The training loop of every recipe: steps, epochs, early stopping, and the state that a checkpoint holds."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from emotorch.data.cache import LazyArray
from emotorch.data.images import Pixels
from emotorch.data.split import Indices
from emotorch.errors import EmoTorchError
from emotorch.metrics.scores import NO_SCORE, EpochScores, Score
from emotorch.networks import get_architecture
from emotorch.recipes import Augmentation, Recipe
from emotorch.seeding import generator
from emotorch.training import distributed
from emotorch.training.augmentation import Draws, augment, degrade
from emotorch.training.device import autocast
from emotorch.training.losses import class_weights, loss_of, one_hot, score_outputs, smoothed, weighted
from emotorch.training.mixing import mix, mixes
from emotorch.training.optimizers import Schedule, clip, new_optimizer
from emotorch.training.preprocessing import InputForm, to_input, to_tensor
from emotorch.workers import keep_freed_memory, progress

logger = logging.getLogger(__name__)

# Larger batches fit neither a CPU's caches nor the memory that the C library keeps (see `keep_freed_memory`).
_EVALUATION_BATCH = 128

Images = Tensor | LazyArray[Tensor]
# Of images (N, 1, H, W) 0-255, bytes or floats: (N, K) probabilities.
SoftTargets = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LabelledPixels:
    """Images on the device, as bytes: (N, 1, H, W) or (N, 3, H, W) uint8; and (N,) int64."""

    pixels: Images
    labels: Tensor

    @classmethod
    def of(cls, pixels: Pixels | LazyArray[Pixels], labels: Indices, device: torch.device) -> "LabelledPixels":
        """From (N, H, W) or (N, H, W, 3) pixels; on a CPU a lazy array stays lazy.

        Raises:
            EmoTorchError: pixels are no bytes, or labels no whole numbers: they could be NaN.
        """
        dtype = pixels.store.dtype if isinstance(pixels, LazyArray) else pixels.dtype
        if dtype != np.uint8:
            raise EmoTorchError(f"pixels are bytes (uint8), not {dtype}")
        if labels.dtype != np.int64:
            raise EmoTorchError(f"labels are whole numbers (int64), not {labels.dtype}")
        images: Images
        if isinstance(pixels, LazyArray) and device.type == "cpu":
            images = LazyArray(to_tensor(pixels.store), torch.from_numpy(pixels.positions))
        else:
            images = to_tensor(pixels[:]).to(device)
        return cls(images, torch.from_numpy(labels).to(device))

    def __len__(self) -> int:
        return len(self.labels)


def network_outputs(network: nn.Module, pixels: Images, form: InputForm, threads: int = 1) -> Tensor:
    """(N, K) outputs on the CPU, in evaluation mode, for (N, 1 or 3, H, W) bytes; the same on any number of threads."""
    network.eval()

    @torch.inference_mode()
    def run(start: int) -> Tensor:
        outputs: Tensor = network(to_input(pixels[start : start + _EVALUATION_BATCH], form))
        return outputs.cpu()

    starts = range(0, max(1, len(pixels)), _EVALUATION_BATCH)
    if threads == 1:
        return torch.cat([run(start) for start in starts])
    with ThreadPoolExecutor(threads) as pool:
        return torch.cat(list(pool.map(run, starts)))


@dataclass
class _Progress:
    """How far an epoch is: the steps done, and sums over their images."""

    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0


class Trainer:
    """Trains a network by a recipe until it stops improving, then restores the best epoch's weights.

    All randomness of a step comes from the seed and the step's place: a training that is resumed from any step goes on
    as if it had never stopped.

    On a CPU, a network whose images are independent (see `networks.registry.Architecture`) has every batch cut into one
    part per thread, and the parts' gradients added in a fixed order: equal threads give equal weights. Threads that
    meet once a step lose little on a busy machine, where OpenMP's, which meet at every operation, mostly wait for each
    other. Other networks get PyTorch's own threads.

    Where processes train together (`distributed`), each computes its part of a batch, and all make the same steps.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        training: LabelledPixels,
        validation: Mapping[str, LabelledPixels],
        *,
        classes: int,
        seed: int,
        threads: int = 1,
        targets: Tensor | None = None,
        soft_targets: SoftTargets | None = None,
    ) -> None:
        """
        Args:
            network: Changed by training.
            recipe: How; its `network` is what `network` was built by.
            training: What is learned from.
            validation: By name.
            classes: K.
            seed: Of all randomness.
            threads: Of a CPU.
            targets: (N, K) what is learned of the training images, rows of sum 1; None for their labels.
            soft_targets: What the teachers predict for the images of a step, as these are trained on: augmented and
                mixed, before they are degraded and a small first size shrinks them. None without teachers.

        Raises:
            EmoTorchError: a label is of none of the classes.
        """
        for images in (training, *validation.values()):
            _require_classes(images.labels, classes)
        self.network = network
        self.recipe = recipe
        self.history: list[EpochScores] = []
        self.best_epoch = 0
        self._training = training
        self._validation = validation
        self._seed = seed
        self._form = InputForm.of(recipe)
        self._loss = loss_of(recipe)
        device = training.labels.device
        targets = one_hot(training.labels, classes) if targets is None else targets
        self._targets = smoothed(targets, recipe.label_smoothing)
        self._soft_targets = soft_targets
        self._weights = (
            class_weights(torch.bincount(training.labels, minlength=classes)) if recipe.class_weights else None
        )
        self._autocast = partial(autocast, recipe.precision, device)
        self._independent = get_architecture(recipe.network).images_independent and not mixes(recipe)
        self.parts = threads if self._independent and device.type == "cpu" else 1
        torch.set_num_threads(1 if self.parts > 1 else threads)
        keep_freed_memory()
        self._pool = ThreadPoolExecutor(self.parts)
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = new_optimizer(recipe, network)
        self.scheduler = Schedule(recipe, self.optimizer, len(self._batches(torch.arange(len(training)))))
        averaging = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]
        self._averaged = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True) if recipe.ema_decay else None
        self._progress = _Progress()
        self._best_value = math.inf
        self._best_weights = copy.deepcopy(network.state_dict())

    @property
    def finished(self) -> bool:
        epochs, patience = len(self.history), self.recipe.early_stop_patience
        return epochs >= self.recipe.epochs or (patience > 0 and epochs - self.best_epoch >= patience)

    @property
    def within_epoch(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return self._progress.step > 0

    def _batches(self, order: Tensor) -> list[Tensor]:
        batches = list(torch.split(order, self.recipe.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1 and not self._independent:
            # Batch norm cannot learn from a single image: it joins the batch before it.
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    @property
    def _validated_network(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where there is one."""
        return self.network if self._averaged is None else self._averaged.module

    def run(self, checkpoint: Callable[["Trainer"], None], every_s: float = math.inf) -> None:
        """Trains to the end, then restores the best epoch's weights.

        Args:
            checkpoint: Called after every epoch, and within one when the last call is `every_s` ago.
            every_s: Seconds; what a killed training loses at most.
        """
        with self._pool, torch.random.fork_rng():
            while not self.finished:
                self._run_epoch(checkpoint, every_s)
                checkpoint(self)
        self.network.load_state_dict(self._best_weights)

    def _run_epoch(self, checkpoint: Callable[["Trainer"], None], every_s: float) -> None:
        started = time.perf_counter()
        epoch = len(self.history) + 1
        training = self._train_epoch(epoch, checkpoint, every_s)
        validation, combined = self._validate()
        scores = EpochScores(epoch, self.scheduler.learning_rate, training, validation, combined)
        self.history.append(scores)
        deciding = combined if combined.images else training
        watched: float = getattr(deciding, self.recipe.watch)
        self.scheduler.after_epoch(watched)
        value = watched if self.recipe.watch == "loss" else -watched
        # A network whose outputs are NaN still has an accuracy: that of always predicting the first class.
        if value < self._best_value and math.isfinite(deciding.loss):
            self._best_value = value
            self.best_epoch = epoch
            self._best_weights = copy.deepcopy(self._validated_network.state_dict())
        seconds = time.perf_counter() - started
        logger.info("%s", _epoch_line(scores, self.recipe, seconds, best=self.best_epoch == epoch))

    def _validate(self) -> tuple[dict[str, Score], Score]:
        outputs = {name: self._outputs(images.pixels) for name, images in self._validation.items() if len(images)}
        if not outputs:
            return dict.fromkeys(self._validation, NO_SCORE), NO_SCORE
        scores = {
            name: score_outputs(outputs[name], images.labels, self._loss) if len(images) else NO_SCORE
            for name, images in self._validation.items()
        }
        labels = torch.cat([self._validation[name].labels for name in outputs])
        return scores, score_outputs(torch.cat(list(outputs.values())), labels, self._loss)

    def _outputs(self, pixels: Images) -> Tensor:
        shard = pixels[distributed.shard(len(pixels))]
        return distributed.gather(network_outputs(self._validated_network, shard, self._form, self.parts), len(pixels))

    def _train_epoch(self, epoch: int, checkpoint: Callable[["Trainer"], None], every_s: float) -> Score:
        self.network.train()
        device = self._training.labels.device
        batches = self._batches(self._order(epoch).to(device))
        first = self._progress.step
        loss_sum = torch.tensor(self._progress.loss_sum, dtype=torch.float64, device=device)
        correct = torch.tensor(self._progress.correct, dtype=torch.int64, device=device)
        seen = sum(map(len, batches[:first]))

        def figures() -> str:
            return f"loss {loss_sum.item() / seen:.4f}, accuracy {100.0 * correct.item() / seen:.2f}%"

        saved = time.perf_counter()
        left: Iterable[Tensor] = batches[first:]
        if distributed.is_main_process():
            count, name = len(batches) - first, f"epoch {epoch}"
            left = progress(left, total=count, description=name, unit="batch", scale=False, figures=figures)
        for step, batch in enumerate(left, start=first):
            if time.perf_counter() - saved > every_s and step > first:
                self._progress = _Progress(step, loss_sum.item(), int(correct.item()))
                checkpoint(self)
                saved = time.perf_counter()
            self.scheduler.before_step((epoch - 1) * len(batches) + step)
            step_loss, step_correct = self._step(batch, epoch, step)
            loss_sum += step_loss
            correct += step_correct
            seen += len(batch)
        self._progress = _Progress()
        images = sum(map(len, batches))
        return Score(loss_sum.item() / images, 100.0 * correct.item() / images, math.nan, images)

    def _order(self, epoch: int) -> Tensor:
        """The epoch's images, in the order of training."""
        drawing = generator("order", self._seed, epoch)
        if self.recipe.sampling == "shuffled":
            return torch.from_numpy(drawing.permutation(len(self._training)))
        labels = self._training.labels.cpu().numpy()
        weights = 1.0 / np.bincount(labels)[labels]
        return torch.from_numpy(drawing.choice(len(labels), len(labels), p=weights / weights.sum()))

    def _step(self, batch: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; returns the sum of the batch's losses and the number of right predictions."""
        key = (self._seed, epoch, step)
        policy = self.recipe.augmentation
        # The same for any number of parts.
        shape = (len(batch), *self._training.pixels[:1].shape[1:])
        draws = None if policy == Augmentation() else Draws.of(policy, shape, *key)
        if not self._independent:
            torch.manual_seed(int(generator("network", *key).integers(2**63)))  # of dropout and its like
        run = partial(self._part_gradients, batch=batch, draws=draws, key=key)
        parts = _cut(distributed.shard(len(batch)), self.parts)
        results = list(self._pool.map(run, parts) if self.parts > 1 else map(run, parts))
        gradients, losses, corrects = zip(*results, strict=True)
        totals = [reduce(Tensor.add_, summands) for summands in zip(*gradients, strict=True)]
        loss, correct = torch.stack(losses).sum(), torch.stack(corrects).sum()
        distributed.all_reduce([*totals, loss, correct])
        for parameter, gradient in zip(self._parameters, totals, strict=True):
            parameter.grad = gradient
        clip(self._parameters, self.recipe.gradient_clip)
        self.optimizer.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self.network)
        return loss, correct

    def _part_gradients(
        self, part: slice, batch: Tensor, draws: Draws | None, key: tuple[int, int, int]
    ) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """What a part adds to the gradients of a batch's mean loss, its sum of losses, its right predictions."""
        pixels, targets = self._inputs(part, batch, draws, key)
        with self._autocast(), distributed.sharded_batch(len(batch)) if not self._independent else nullcontext():
            outputs = self.network(to_input(pixels, InputForm.of_epoch(self.recipe, key[1])))
        outputs = outputs.float()
        loss = weighted(self._loss(outputs, targets), targets, self._weights).sum()
        gradients = torch.autograd.grad(loss / len(batch), self._parameters)
        correct = (outputs.detach().argmax(1) == self._training.labels[batch[part]]).sum()
        return gradients, loss.detach().double(), correct

    def _inputs(
        self, part: slice, batch: Tensor, draws: Draws | None, key: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """The pixels and the targets of a part of a batch, as they are trained on."""
        mixed = mixes(self.recipe)
        if not mixed:
            batch, draws, part = batch[part], None if draws is None else draws[part], slice(None)
        pixels, targets = self._training.pixels[batch], self._targets[batch]
        if draws is not None:
            pixels = augment(pixels, self.recipe.augmentation, draws)
        if mixed:
            pixels, targets = mix(pixels, targets, self.recipe, generator("mixup", *key))
        pixels, targets = pixels[part], targets[part]
        if self._soft_targets is not None:
            targets = targets.lerp(self._soft_targets(pixels), self.recipe.distillation)
        if draws is not None:
            pixels = degrade(pixels, self.recipe.augmentation, draws[part])
        return pixels, targets

    def state(self) -> dict[str, Any]:
        """Everything a later process needs to go on, bit for bit."""
        return {
            "model_state_dict": self.network.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "averaged_state_dict": self._averaged.state_dict() if self._averaged is not None else None,
            "best_model_state_dict": self._best_weights,
            "best_epoch": self.best_epoch,
            "best_value": self._best_value,
            "progress": asdict(self._progress),
            "history": [asdict(scores) for scores in self.history],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.network.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.scheduler.load_state_dict(state["scheduler_state_dict"])
        if self._averaged is not None:
            self._averaged.load_state_dict(state["averaged_state_dict"])
        self._best_weights = state["best_model_state_dict"]
        self.best_epoch = state["best_epoch"]
        self._best_value = state["best_value"]
        self._progress = _Progress(**state["progress"])
        self.history = [EpochScores.from_dict(scores) for scores in state["history"]]


def _require_classes(labels: Tensor, classes: int) -> None:
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise EmoTorchError(f"a label is {wrong[0].item()}: there are {classes} classes, from 0")


def _cut(whole: slice, parts: int) -> list[slice]:
    """A slice in at most so many parts of equal length, but for the last, in order; an empty one stays one."""
    length = max(1, -(-(whole.stop - whole.start) // parts))
    starts = range(whole.start, max(whole.stop, whole.start + 1), length)
    return [slice(start, min(start + length, whole.stop)) for start in starts]


def _epoch_line(scores: EpochScores, recipe: Recipe, seconds: float, *, best: bool) -> str:
    validation = "  ".join(
        f"{name.upper()} {value.accuracy:5.2f}%" for name, value in scores.validation.items() if value.images
    )
    if recipe.watch == "macro_f1":
        validation += f"  macro-F1 {scores.combined.macro_f1:5.2f}"
    return (
        f"epoch {scores.epoch:2d}/{recipe.epochs}  loss {scores.training.loss:.4f}"
        f"  training {scores.training.accuracy:5.2f}%  validation loss {scores.combined.loss:.4f}  {validation}"
        f"  learning rate {scores.learning_rate:.2g}  {seconds:.1f} s{'  best so far' if best else ''}"
    )
