"""Where a network runs, and how its arithmetic is made repeatable."""

import os

import torch
from torch import Tensor

from emotorch.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto` gives CUDA, else MPS, else the CPU; any other name gives just that device.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("only cpu, cuda and mps compute")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from None
    return device


def make_repeatable(threads: int) -> None:
    """Fixes what makes equal runs differ: algorithms that sum in any order, and the threads of an operation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), which imports torch.compile too: more than a second.
    torch.set_deterministic_debug_mode("error")
    # It would fill every new tensor, for code that reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # Of float32 an H100's convolutions would keep ten bits behind the point: a score differed from the CPU's.
    torch.backends.cudnn.allow_tf32 = False


def send(values: Tensor, device: torch.device) -> Tensor:
    """A CPU's values on the device; a GPU goes on computing while they come."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; elsewhere it would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return False


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in a recipe's precision: `mixed` is bfloat16 where the device is faster in it."""
    enabled = precision == "mixed" and computes_in_bfloat16(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
