"""Stage 1, goal: at least 10 times a plain loop (csv reader, Pillow), and 60% of bare file writing.

    python benchmarks/bench_stage1.py

Ours reads, checks, hashes and writes every row. The plain loop reads with `csv`, makes an array of the numbers
and saves with Pillow. Bare writing creates as many files of the same size in as many folders and processes
by the same system calls, and does nothing else: what the machine can do.
"""

import csv
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from timing import compare, make_parser, prepare

from emotorch.cli import available_cores
from emotorch.data import fer2013
from emotorch.data.images import encode_png
from emotorch.datasets import FER
from emotorch.workers import map_in_order

ROWS = 12000
ROUNDS = 3


def plain_loop(table: Path, folder: Path) -> None:
    for emotion in FER.classes:
        (folder / emotion).mkdir()
    with table.open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            pixels = np.array([int(value) for value in row["pixels"].split()], np.uint8).reshape(48, 48)
            emotion = FER.classes[int(row["emotion"])]
            Image.fromarray(pixels).save(folder / emotion / f"{emotion}_{number:06d}.png")


def write_bare(job: tuple[Path, int, int]) -> None:
    folder, first, count = job
    data = encode_png(np.zeros((48, 48), np.uint8))
    for number in range(first, first + count):
        path = f"{folder}/{number % len(FER.classes)}/{number}.png"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.write(descriptor, data)
        os.close(descriptor)


def bare_writing(folder: Path, files: int, workers: int) -> None:
    for number in range(len(FER.classes)):
        (folder / str(number)).mkdir()
    part = files // (4 * workers)
    jobs = [(folder, first, part) for first in range(0, part * 4 * workers, part)]
    for _ in map_in_order(write_bare, jobs, workers):
        pass


def put_aside(folder: Path) -> None:
    """Makes room for another run without the time that deleting takes."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-{time.monotonic_ns()}"))


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        paths = prepare(Path(temporary) / "root", ROWS, stages=0)
        workers = available_cores()

        def ours() -> None:
            put_aside(paths.fer_images)
            fer2013.convert(paths, workers=workers, force=False, skip_bad_rows=False)

        def plain() -> None:
            plain_loop(paths.fer_csv, Path(tempfile.mkdtemp(dir=temporary)))

        def bare() -> None:
            bare_writing(Path(tempfile.mkdtemp(dir=temporary)), ROWS, workers)

        compare("stage 1", ROWS, "rows", ours, "a plain loop", plain, rounds)
        compare("stage 1", ROWS, "rows", ours, f"bare writing in {workers} processes", bare, rounds)


if __name__ == "__main__":
    main()
