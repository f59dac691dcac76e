"""C sources as libraries that a process loads before the C library (LD_PRELOAD)."""

import shutil
import subprocess
from pathlib import Path

COMPILER = shutil.which("cc")


def build(source: Path, folder: Path) -> Path | None:
    """The library of a C source, or None where there is no compiler for it."""
    library = folder / source.with_suffix(".so").name
    command = [str(COMPILER), "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    if COMPILER is None or subprocess.run(command, capture_output=True).returncode != 0:
        return None
    return library
