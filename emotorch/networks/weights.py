"""Files of tensors, read without running their code."""

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from emotorch.errors import EmoTorchError

# Errors of PyTorch on damaged files, depending on the byte that is wrong.
DAMAGES = (
    *(RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError),
    *(ArithmeticError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile),
)


def read_tensors(path: Path) -> Any:
    """What is in a PyTorch or a .safetensors file: tensors and plain values only.

    Raises:
        EmoTorchError: the file is missing, damaged, or a pickle that wants to run code.
    """
    if not path.is_file():
        raise EmoTorchError(f"{path} does not exist")
    if path.suffix == ".onnx":
        missing = path.with_suffix(".pth").name
        raise EmoTorchError(f"{path} is for prediction alone: this needs {missing} beside it, from which it was made")
    try:
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            return load(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # The rest of PyTorch's message advises to run the file's code.
        reason = str(error).partition("WeightsUnpickler error:")[2].strip().partition(". ")[0].partition("\n")[0]
        refused = f"{path}: refused, it holds more than weights and plain values, or is no model file ({reason})"
        raise EmoTorchError(refused) from None
    except (*DAMAGES, SafetensorError) as error:
        raise EmoTorchError(f"{path}: not a model file, or a damaged one ({first_line(error)})") from None


def first_line(error: Exception) -> str:
    """PyTorch's messages have many lines, an EOFError's none, and a KeyError's is the key."""
    line = next(iter(str(error).splitlines()), "")
    return line if any(map(str.isalpha, line)) else type(error).__name__
