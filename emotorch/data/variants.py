"""The variants of a dataset's images: how their files are called, and the folder of them all (stage 3).

Stage 2 calls an image by a number, `FER/anger/1.png`; a variant has its operation behind it, `1_flip.png`, in a
folder beside that of stage 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from emotorch.data.dataset import MANIFEST_COLUMNS, STORED_HASH
from emotorch.data.images import hash_pixels, read_stored, write_png
from emotorch.data.operations import OPERATIONS, augment
from emotorch.data.sources import MANIFEST, read_manifest
from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, read_stamp, stage_folder
from emotorch.labels import command
from emotorch.paths import AUGMENTED, STAGE_2, Paths
from emotorch.workers import work_through

_SOURCES_PER_CHUNK = 32


def variant_file(file: str, operation: str) -> str:
    """`FER/anger/1.png` and `flip` give `FER/anger/1_flip.png`."""
    return f"{file.removesuffix('.png')}_{operation}.png"


def is_variant(file: str) -> bool:
    """Whether a file is in stage 3's folder, of whatever scheme."""
    return any(part.endswith(AUGMENTED) for part in _as_posix(file).parts[:-3])  # above dataset, class and file


def operation_of(file: str) -> str:
    """`…-Augmented/FER/anger/1_flip.png` to `flip`; empty for an original."""
    return _as_posix(file).stem.partition("_")[2]


def original_of(file: str) -> str:
    """`…-Augmented/FER/anger/1_flip.png` to `FER/anger/1.png`: the same for an original and its variants."""
    path = _as_posix(file)
    return "/".join((*path.parts[-3:-1], path.stem.partition("_")[0] + path.suffix))


def _as_posix(file: str) -> PurePosixPath:
    """A path as records state it, also those that were written on Windows."""
    return PurePosixPath(file.replace("\\", "/"))


@dataclass(frozen=True)
class Summary:
    images: int
    up_to_date: bool


def create(paths: Paths, *, seed: int, workers: int, force: bool) -> Summary:
    """Writes the augmented folder of the paths' scheme, `<dataset>/<class>/<n>_<operation>.png`.

    Every picture depends on the seed, its source's pixels and its operation alone.

    Raises:
        EmoTorchError: stage 2 has not run, or one of its images is missing or damaged.
    """
    stage_2 = command(STAGE_2, paths.scheme)
    read_stamp(paths.originals, stage_2)
    rows = read_manifest(paths.originals, MANIFEST_COLUMNS, stage_2)
    stamp = {
        "stage": 3,
        "seed": seed,
        "operations": list(OPERATIONS),
        "inputs": hash_file(paths.originals / MANIFEST),
    }
    with stage_folder(paths.augmented, stamp, stage="stage 3", force=force) as build:
        if build is not None:
            for folder in sorted({Path(row["file"]).parent for row in rows}):
                (build.folder / folder).mkdir(parents=True, exist_ok=True)
            sources = [(row["file"], row["hash"], row.get(STORED_HASH, row["hash"])) for row in rows]
            write = partial(_write_variants, paths, build.folder, seed)
            work_through(build, sources, write, workers, chunk_size=_SOURCES_PER_CHUNK, description="variants")
        return Summary(len(rows) * len(OPERATIONS), up_to_date=build is None)


def _write_variants(paths: Paths, folder: Path, seed: int, sources: Sequence[tuple[str, str, str]]) -> None:
    """Writes all variants of sources: file, hash as 48×48 grey, and hash of the file's own pixels."""
    for file, source_hash, stored_hash in sources:
        path = paths.originals / file
        pixels = read_stored(path)
        if hash_pixels(pixels) != stored_hash:
            stage_2 = command(STAGE_2, paths.scheme)
            raise EmoTorchError(f"{path}: changed since it was written; run {stage_2} --force")
        for operation in OPERATIONS:
            variant = augment(pixels, source_hash, operation, seed)
            write_png(f"{folder}/{variant_file(file, operation)}", variant)
