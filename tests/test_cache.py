"""The cache of decoded images: as fast as it likes, but never wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_images, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emotorch.data.cache import LazyArray, PixelCache
from emotorch.data.images import Pixels, encode_png
from emotorch.training.loop import LabelledPixels

IMAGES = 12
FACES: Pixels = draw_images(IMAGES, seed=4)
OTHERS: Pixels = draw_images(IMAGES, seed=5)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_faces(tmp_path)


def write_faces(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(IMAGES)]
    for path, face in zip(paths, FACES, strict=True):
        path.write_bytes(encode_png(face))
    return paths


def read(cache_folder: Path, files: list[Path], positions: list[int] | None = None) -> Pixels:
    """Through a cache of its own, as another process would, with gaps between the slots."""
    wanted = np.array(range(len(files)) if positions is None else positions, dtype=np.int64)
    return PixelCache(cache_folder, slots=3 * IMAGES, dense=IMAGES).share(
        [files[position] for position in wanted], wanted * 3 + 1
    )[:]


def write_unnoticed(file: Path, data: bytes) -> None:
    """Other content under the old time of change: the cache alone knows what was there."""
    changed = file.stat().st_mtime_ns
    file.write_bytes(data)
    os.utime(file, ns=(changed, changed))


def test_a_warm_read_equals_a_cold_one(tmp_path: Path, files: list[Path]) -> None:
    cold = read(tmp_path / "cache", files)
    assert np.array_equal(cold, FACES)
    assert np.array_equal(read(tmp_path / "cache", files), cold)


def test_a_warm_read_does_not_open_the_files(tmp_path: Path, files: list[Path]) -> None:
    read(tmp_path / "cache", files)
    for file in files:
        write_unnoticed(file, b"x" * file.stat().st_size)
    assert np.array_equal(read(tmp_path / "cache", files), FACES)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    write_faces(folder)
    return folder


@settings(derandomize=True, deadline=None, max_examples=60)
@given(positions=st.lists(st.integers(0, IMAGES - 1), max_size=30))
def test_any_images_in_any_order_are_the_right_ones(shared: Path, positions: list[int]) -> None:
    files = [shared / f"{number}.png" for number in range(IMAGES)]
    assert np.array_equal(read(shared / "cache", files, positions), FACES[positions])


def test_what_is_read_is_the_readers_own(tmp_path: Path, files: list[Path]) -> None:
    for _ in range(2):
        pixels = read(tmp_path / "cache", files)
        pixels[:] = 0
    assert np.array_equal(read(tmp_path / "cache", files), FACES)


# Files that changed.


def test_a_changed_file_is_read_again(tmp_path: Path, files: list[Path]) -> None:
    read(tmp_path / "cache", files)
    files[3].write_bytes(encode_png(OTHERS[3]))
    expected = FACES.copy()
    expected[3] = OTHERS[3]
    for _ in range(2):
        assert np.array_equal(read(tmp_path / "cache", files), expected)


def test_a_file_of_another_size_is_read_again_whatever_its_time(tmp_path: Path, files: list[Path]) -> None:
    read(tmp_path / "cache", files)
    changed = files[3].stat().st_mtime_ns
    Image.fromarray(OTHERS[3]).save(files[3])
    os.utime(files[3], ns=(changed, changed))
    assert np.array_equal(read(tmp_path / "cache", files)[3], OTHERS[3])


def test_an_older_file_is_read_again(tmp_path: Path, files: list[Path]) -> None:
    read(tmp_path / "cache", files)
    files[3].write_bytes(encode_png(OTHERS[3]))
    os.utime(files[3], (0, 0))
    assert np.array_equal(read(tmp_path / "cache", files)[3], OTHERS[3])


@pytest.mark.parametrize("warm", [False, True])
def test_a_missing_file_is_named(tmp_path: Path, files: list[Path], warm: bool) -> None:
    if warm:
        read(tmp_path / "cache", files)
    files[3].unlink()
    with refusal(f"{files[3]}: No such file or directory"):
        read(tmp_path / "cache", files)


def test_a_damaged_file_is_named_and_not_remembered(tmp_path: Path, files: list[Path]) -> None:
    files[3].write_bytes(encode_png(FACES[3])[:-700])
    for _ in range(2):
        with refusal(f"{files[3]}: damaged image"):
            read(tmp_path / "cache", files)
    write_unnoticed(files[3], encode_png(FACES[3]))
    assert np.array_equal(read(tmp_path / "cache", files), FACES)


# A cache that is not to be believed.


def cache_files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in found) >= FACES.nbytes
    return found


def test_no_flipped_byte_is_believed(tmp_path: Path, files: list[Path]) -> None:
    cache = tmp_path / "cache"
    read(cache, files)
    rng = np.random.default_rng(3)
    for path in cache_files(cache):
        data = path.read_bytes()
        positions = range(len(data)) if len(data) < 1000 else rng.integers(0, len(data), 150).tolist()
        for position in positions:
            spoilt = bytearray(data)
            spoilt[position] ^= int(rng.integers(1, 256))
            path.write_bytes(spoilt)
            assert np.array_equal(read(cache, files), FACES), f"{path.name}, byte {position}"
        path.write_bytes(data)


def test_no_cut_cache_is_believed(tmp_path: Path, files: list[Path]) -> None:
    cache = tmp_path / "cache"
    read(cache, files)
    for path in cache_files(cache):
        data = path.read_bytes()
        for length in [0, 1, *(len(data) * np.linspace(0, 1, 12)).astype(int).tolist(), len(data) - 1, len(data) + 9]:
            path.write_bytes((data + 9 * b"x")[:length])
            assert np.array_equal(read(cache, files), FACES), f"{path.name}, {length} bytes left"
        path.write_bytes(data)


def test_any_part_of_a_cache_may_be_missing(tmp_path: Path, files: list[Path]) -> None:
    cache = tmp_path / "cache"
    read(cache, files)
    for path in cache_files(cache):
        path.unlink()
        assert np.array_equal(read(cache, files), FACES)


def test_a_spoilt_cache_is_mended(tmp_path: Path, files: list[Path]) -> None:
    cache = tmp_path / "cache"
    read(cache, files)
    for path in cache_files(cache):
        path.write_bytes(os.urandom(path.stat().st_size))
    read(cache, files)
    for file in files:
        write_unnoticed(file, b"x" * file.stat().st_size)
    assert np.array_equal(read(cache, files), FACES)


def test_what_is_shared_is_the_files_own_memory(tmp_path: Path, files: list[Path]) -> None:
    """Images on a CPU lie in the map itself, and what is written there stays in one process."""
    cache = PixelCache(tmp_path / "cache", slots=3 * IMAGES, dense=IMAGES)
    wanted = np.arange(IMAGES) * 3 + 1
    first, second = cache.share(files, wanted), cache.share(files, wanted)
    images = LabelledPixels.of(first, np.zeros(IMAGES, np.int64), torch.device("cpu"))
    assert isinstance(images.pixels, LazyArray)
    assert np.shares_memory(images.pixels.store.numpy(), first.store)
    assert torch.equal(images.pixels[torch.tensor([3, 0])], torch.from_numpy(FACES[[3, 0]]).unsqueeze(1))
    first.store[wanted[0]] = 0  # what one process does to its pages, no other sees
    assert np.array_equal(second[:], FACES)
    assert np.array_equal(cache.share(files, wanted)[:], FACES)


# Fills a disk but for so many pages, and then wants to read faces by a cache on it.
_ON_A_FULL_DISK = """
import sys
from pathlib import Path
import numpy as np
from emotorch.data.cache import PixelCache
from emotorch.errors import EmoTorchError
faces, disk, pages = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
files = sorted(faces.glob("*.png"))
with (disk / "full").open("wb", buffering=0) as full:
    try:
        while full.write(bytes(4096)):
            pass
    except OSError:
        full.truncate(full.tell() - 4096 * pages)
try:
    print(PixelCache(disk / "cache", 3 * len(files), len(files)).share(files, 3 * np.arange(len(files)))[:].sum())
except EmoTorchError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize("pages", [0, 1, 4, 40])
def test_a_full_memory_disk_is_one_line_and_never_a_hole_that_is_read(
    tmp_path: Path, files: list[Path], pages: int
) -> None:
    """Reading a hole there by a memory map would end the process by SIGBUS."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounting, str(disk)]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted in a namespace of its own")
    command = [*apart, sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path), str(disk), str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if pages == 40:
        assert (done.returncode, done.stdout) == (0, f"{FACES.sum()}\n"), done.stderr
    else:
        assert done.returncode == 1, (done.returncode, done.stderr)
        (line,) = done.stderr.splitlines()
        assert "No space left on device" in line
