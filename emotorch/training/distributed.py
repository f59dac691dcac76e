"""One training by several processes, each with its part of every batch: what one process computes, to rounding.

`torchrun` starts the processes. The first of them, the main process, claims the run, logs and writes; the others only
compute. Every process holds the whole network and all data. Gradients are added up, and where the images of a batch
meet (batch norm, dropout) they meet across the processes: a batch norm has the statistics of the whole batch, as in
Ioffe and Szegedy, "Batch normalization" (ICML 2015), and a dropout the mask that one process would draw for it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# PyTorch's first optimizer imports this module, which keeps a reference to the process group of that moment: that group
# then never ends, and its threads sometimes abort the process at exit. Imported before there is one, it keeps none.
import torch.distributed.nn
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.rendezvous import rendezvous
from torch.overrides import TorchFunctionMode

from emotorch.errors import EmoTorchError, ToldError

Value = TypeVar("Value")
_FAILED = "emotorch/failed"


@contextmanager
def process_group() -> Iterator[None]:
    """Within it, the processes that `torchrun` started are one training; without `torchrun` it does nothing.

    Raises:
        ToldError: this process failed, but another did so before it, and reports why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store, rank, processes = next(rendezvous("env://"))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", store=store, rank=rank, world_size=processes
    )
    if rank:
        logging.disable(logging.WARNING)  # the main process says the same
    try:
        yield
        _meet()  # none leaves while another may still wait for it
    except BaseException as error:
        # Counted before this process ends: errors of others that miss it come later.
        if store.add(_FAILED, 1) > 1:
            raise ToldError(str(error)) from error
        raise
    finally:
        logging.disable(logging.NOTSET)
    dist.destroy_process_group()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def shard(images: int) -> slice:
    """This process's part of so many images, in their order; empty where there are fewer images than processes."""
    if world_size() == 1:
        return slice(0, images)
    start, stop = (-(-images * place // world_size()) for place in (dist.get_rank(), dist.get_rank() + 1))
    return slice(start, stop)


@contextmanager
def main_process_first() -> Iterator[None]:
    """The other processes enter when the main one has left: they find what it read from a disk in its cache."""
    if not is_main_process():
        _meet()
    yield
    if is_main_process():
        _meet()


def broadcast(make: Callable[[], Value]) -> Value:
    """The value that the main process makes, in all processes."""
    if world_size() == 1:
        return make()
    box: list[Any] = [make() if is_main_process() else None]
    _together(lambda: dist.broadcast_object_list(box, device=torch.device("cpu")))
    value: Value = box[0]
    return value


def all_reduce(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors, of equal shapes in every process, by their sums over the processes, in float32."""
    if world_size() == 1:
        return
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    _sum(flat)
    for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


def gather(part: Tensor, images: int) -> Tensor:
    """(images, K), of which each process has the rows that `shard` gives it."""
    if world_size() == 1:
        return part
    whole = part.new_zeros(images, *part.shape[1:])
    whole[shard(images)] = part
    _sum(whole)
    return whole


def sharded_batch(images: int) -> AbstractContextManager[object]:
    """Within it, a network takes this process's part of a batch of so many images."""
    return nullcontext() if world_size() == 1 else _ShardedBatch(images)


class _ShardedBatch(TorchFunctionMode):
    """Within it, batch norms and dropouts treat a process's images as a part of the whole batch.

    Other operations in which images meet, or chance plays, stay each process's own; this project's networks have none.
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self._images = images
        self._shard = shard(images)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm:
            func = _batch_norm
        elif func is F.dropout:
            func = self._dropout
        return func(*args, **(kwargs or {}))

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not len(x):
            return x
        rows = len(x) // (self._shard.stop - self._shard.start)  # of an image: some layers put its places there too
        mask = F.dropout(x.new_ones(rows * self._images, *x.shape[1:]), p)
        return x * mask[rows * self._shard.start : rows * self._shard.stop]


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of (n, C, ...), with the statistics of all processes' images."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [axis for axis in range(x.dim()) if axis != 1]

    def per_channel(vector: Tensor) -> Tensor:
        return vector.view(1, -1, *[1] * (x.dim() - 2))

    own = values.new_full((1,), values.numel() / x.shape[1])
    *_, count = (sums := _Sum.apply(torch.cat([values.sum(axes), own])))
    mean = sums[:-1] / count
    centred = values - per_channel(mean)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
    y = centred * per_channel((variance + eps).rsqrt())
    if weight is not None and bias is not None:
        y = y * per_channel(weight) + per_channel(bias)
    return y.to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient too, since every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _sum(tensor.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0].clone(memory_format=torch.contiguous_format))


def _sum(tensor: Tensor) -> Tensor:
    """In place."""
    _together(lambda: dist.all_reduce(tensor))
    return tensor


def _meet() -> None:
    if world_size() > 1:
        _sum(torch.zeros(1))


def _together(collective: Callable[[], object]) -> None:
    try:
        collective()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise EmoTorchError(
            f"the processes of this training lost each other, one may have been killed or be out of memory ({reason})"
        ) from error
