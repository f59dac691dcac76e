import contextlib
import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, prepare, refusal, tree, write_small_fer
from running import call_script, error_line, read_table

from emotorch.data import audit, duplicates, likeness
from emotorch.data.duplicates import Duplicates, Pair
from emotorch.data.images import Pixels, encode_png
from emotorch.data.likeness import EXACT, MIRRORED, NEAR
from emotorch.errors import UsageError
from emotorch.paths import Paths

SCRIPT = "develop_baseline_model/helpers/remove_duplicates.py"


def photo(seed: int, size: int = 64) -> Pixels:
    """Light and dark areas with fine detail on them, as a photo has; 64 pixels wide, to be cut from."""
    rng = np.random.default_rng(seed)
    areas = cv2.resize(rng.normal(0, 60, (4, 4)), (size, size), interpolation=cv2.INTER_CUBIC)
    detail = cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), 1.5)
    return np.clip(128 + areas + 9 * detail / detail.std(), 0, 255).astype(np.uint8)


def cut(picture: Pixels, x: int = 8, y: int = 8) -> Pixels:
    return np.ascontiguousarray(picture[y : y + 48, x : x + 48])


def scaled(picture: Pixels, factor: float) -> Pixels:
    size = round(picture.shape[0] * factor)
    large = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    start = (size - 48) // 2
    return cut(large, start, start)


def write(folder: Path, files: dict[str, Pixels]) -> Path:
    for name, pixels in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    return folder


def search(folder: Path, **options: float | bool) -> Duplicates:
    return duplicates.find(audit.read(folder), **options)


def described(found: Duplicates) -> list[tuple[str, str, str]]:
    entries = found.audited.entries
    return sorted((pair.kind, entries[pair.first].file, entries[pair.second].file) for pair in found.pairs)


# --- What is found ------------------------------------------------------------------------------------------

COPIES = {
    "darker": lambda picture: (cut(picture) * 0.7).astype(np.uint8),
    "cut elsewhere": lambda picture: cut(picture, 9, 8),
    "a little larger": lambda picture: scaled(picture, 1.05),
    "noisy": lambda picture: np.clip(cut(picture) + np.random.default_rng(1).normal(0, 4, (48, 48)), 0, 255).astype(
        np.uint8
    ),
    "marked": lambda picture: cv2.line(cut(picture), (4, 44), (20, 44), 160),
}


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_copy_is_a_near_duplicate(change: str, seed: int, tmp_path: Path) -> None:
    picture = photo(seed)
    write(tmp_path, {"a/1.png": cut(picture), "a/2.png": COPIES[change](picture), "a/3.png": cut(photo(99))})
    assert described(search(tmp_path)) == [(NEAR, "a/1.png", "a/2.png")]


def test_different_photos_are_not_alike_even_where_their_areas_are(tmp_path: Path) -> None:
    """Equal light and dark areas give equal hashes; the detail differs."""
    areas = cv2.GaussianBlur(photo(5), (0, 0), 6).astype(float)
    rng = np.random.default_rng(0)
    for number in range(12):
        detail = cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), (0, 0), 1.5)
        picture = np.clip(areas + 12 * detail / detail.std(), 0, 255).astype(np.uint8)
        write(tmp_path, {f"a/{number}.png": cut(picture)})
    faces = audit.read(tmp_path).faces
    bits = likeness.perceptual_bits(faces)
    assert len(likeness._candidates(bits, bits)[0]) > 0
    assert search(tmp_path).pairs == []


def test_mirrored_copies_are_found_when_asked_for(tmp_path: Path) -> None:
    picture = photo(3)
    write(tmp_path, {"a/1.png": cut(picture), "a/2.png": cut(picture, 9, 8)[:, ::-1], "a/3.png": cut(photo(4))})
    assert search(tmp_path).pairs == []
    assert described(search(tmp_path, mirrored=True)) == [(MIRRORED, "a/1.png", "a/2.png")]


@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_a_larger_or_smaller_cut_is_compared_at_its_own_scale(factor: float) -> None:
    for seed in range(4):
        picture = photo(seed)
        assert likeness.similarity(*likeness._details(np.stack([cut(picture), scaled(picture, factor)]))) > 0.95


def test_a_symmetric_copy_is_near_and_not_mirrored_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_MOST_BITS_APART", 64)
    picture = cut(photo(6)).astype(float)
    face = 0.45 * picture[:, ::-1] + 0.55 * picture
    write(tmp_path, {"a/1.png": face.astype(np.uint8), "a/2.png": (0.8 * face).astype(np.uint8)})
    detail, reflection = likeness._details(np.stack([face, face[:, ::-1]]).astype(np.uint8))
    assert likeness.similarity(detail, reflection) > likeness.THRESHOLD
    assert described(search(tmp_path, mirrored=True)) == [(NEAR, "a/1.png", "a/2.png")]


def test_a_threshold_of_one_leaves_equal_pixels_only(tmp_path: Path) -> None:
    picture = cut(photo(1))
    write(tmp_path, {"a/1.png": picture, "a/2.png": picture, "a/3.png": (picture // 2 + 60)})
    assert described(search(tmp_path, threshold=1.0)) == [(EXACT, "a/1.png", "a/2.png")]
    assert len(search(tmp_path, threshold=0.9).pairs) == 2


def test_blank_and_faint_pictures_are_like_nothing(tmp_path: Path) -> None:
    faint = np.full((48, 48), 7, np.uint8)
    faint[10:20, 10:20] = 8
    blank = {f"a/{value}.png": np.full((48, 48), value, np.uint8) for value in (0, 1, 128, 255)}
    write(tmp_path, {**blank, "a/faint.png": faint, "a/face.png": cut(photo(0))})
    assert search(tmp_path, threshold=0.0, mirrored=True).pairs == []


def test_candidates_are_all_pairs_of_few_differing_bits_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_BLOCK", 7)
    rng = np.random.default_rng(2)
    bits = np.repeat(rng.choice([-1.0, 1.0], (6, 64)), 4, axis=0)
    bits *= rng.choice([-1.0, 1.0], bits.shape, p=[0.1, 0.9])
    bits = rng.permutation(bits).astype(np.float32)
    expected = {
        (i, j): distance
        for i, j in itertools.combinations(range(len(bits)), 2)
        if (distance := int((bits[i] != bits[j]).sum())) <= likeness._MOST_BITS_APART
    }
    pairs, distances = likeness._candidates(bits, bits)
    assert 0 < len(expected) < 100
    assert dict(zip(map(tuple, pairs.tolist()), distances.tolist(), strict=True)) == expected


# --- What is kept -------------------------------------------------------------------------------------------


def test_a_test_image_is_kept_before_validation_and_that_before_training(tmp_path: Path) -> None:
    picture, other = photo(1), photo(2)
    write(
        tmp_path,
        {
            "train/joy/1.png": cut(picture),
            "validation/joy/2.png": cut(picture),
            "test/fear/3.png": cut(picture, 9, 9),
            "train/joy/4.png": cut(other),
            "val/joy/5.png": cut(other),
        },
    )
    found = search(tmp_path)
    assert found.removed() == ["train/joy/1.png", "train/joy/4.png", "validation/joy/2.png"]
    assert described(found) == [
        (EXACT, "val/joy/5.png", "train/joy/4.png"),
        (EXACT, "validation/joy/2.png", "train/joy/1.png"),
        (NEAR, "test/fear/3.png", "validation/joy/2.png"),
    ]
    pairs = duplicates.table_of_pairs(found).frame
    assert pairs["across_splits"].all()
    assert pairs["conflict"].sum() == 1


def test_official_usages_rank_as_test_validation_and_training(paths: Paths) -> None:
    write_small_fer(paths)
    prepare(paths, variants=False)
    found = search(paths.fer_images, threshold=1.0)
    usages = [(found.audited.entries[p.first].usage, found.audited.entries[p.second].usage) for p in found.pairs]
    assert len(usages) == 10
    assert {usage for usage, _ in usages} == {"PublicTest", "PrivateTest"}
    assert {usage for _, usage in usages} == {"Training"}
    everything = audit.read(paths.originals)
    assert {entry.split for entry in everything.entries} == {"FER Training", "FER PublicTest", "FER PrivateTest"}


def kept_of(number: int, near: Sequence[tuple[int, int]]) -> list[int]:
    pairs = [Pair(first, second, NEAR, 4, 0.9) for first, second in near]
    return np.flatnonzero(duplicates._choose(number, np.arange(number), pairs)).tolist()


def test_an_image_goes_only_for_one_that_stays() -> None:
    assert kept_of(3, [(0, 1), (1, 2)]) == [0, 2]
    assert kept_of(4, [(0, 1), (0, 2), (0, 3)]) == [0]
    assert kept_of(2, []) == [0, 1]


def test_what_has_gone_changes_nothing_of_what_else_goes() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        near = [pair for pair in itertools.combinations(range(12), 2) if rng.random() < 0.2]
        kept = kept_of(12, near)
        gone = {place for place in range(12) if place not in kept and rng.random() < 0.5}
        left = [pair for pair in near if not gone & set(pair)]
        assert [place for place in kept_of(12, left) if place not in gone] == kept


# --- Moving -------------------------------------------------------------------------------------------------


def write_own(folder: Path) -> Path:
    files = {}
    for number in range(5):
        picture = photo(number)
        files[f"train/joy/{number}.png"] = cut(picture)
        files[f"train/fear/twin{number}.png"] = cut(picture)
        files[f"test/joy/{number}.png"] = cut(picture, 9, 8)
    return write(folder, files)


@contextlib.contextmanager
def killed_after(moves: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the process, as it were, before the next move."""
    rename, left = Path.rename, iter(range(moves))

    def counted(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(Path, "rename", counted)
        yield


@pytest.mark.parametrize("moves", [0, 1, 4, 9])
def test_after_a_kill_the_next_run_moves_the_rest(moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = write_own(tmp_path / "a" / "set"), write_own(tmp_path / "b" / "set")
    before = tree(whole)
    assert duplicates.move_aside(search(whole), whole.with_name("set-duplicates")) == 10
    with killed_after(moves, monkeypatch):
        duplicates.move_aside(search(broken), broken.with_name("set-duplicates"))
    assert duplicates.move_aside(search(broken), broken.with_name("set-duplicates")) == 10 - moves
    assert tree(whole.parent) == tree(broken.parent)
    assert sorted(tree(whole)) == [f"test/joy/{number}.png" for number in range(5)]
    assert {**tree(whole), **tree(whole.with_name("set-duplicates"))} == before


def test_a_file_that_is_there_already_is_never_replaced(tmp_path: Path) -> None:
    folder, to = write_own(tmp_path / "set"), tmp_path / "aside"
    write(to, {"train/joy/3.png": cut(photo(50))})
    before = tree(tmp_path)
    with refusal(f"{to}/train/joy/3.png is there already"):
        duplicates.move_aside(search(folder), to)
    assert tree(tmp_path) == before


def test_a_raw_dataset_s_copies_go_where_no_stage_takes_them_for_a_dataset(paths: Paths) -> None:
    assert duplicates.destination(paths.raw / "NAME", paths) == paths.root / "FER-Datasets-duplicates" / "NAME"
    assert duplicates.destination(paths.root / "mine", paths) == paths.root / "mine-duplicates"


def test_stage_folders_are_left_whole(paths: Paths) -> None:
    write_small_fer(paths)
    prepare(paths, variants=False)
    before = tree(paths.root)
    for folder in (paths.fer_images, paths.originals):
        found = search(folder, threshold=1.0)
        assert found.removed()
        with pytest.raises(UsageError, match="its manifest accounts for every file"):
            duplicates.move_aside(found, paths.root / "aside")
    assert tree(paths.root) == before


# --- The script ---------------------------------------------------------------------------------------------


def test_the_script_only_reports_until_it_is_told_to_apply(paths: Paths) -> None:
    folder = write_own(paths.raw / "mine")
    before = tree(folder)
    done = call_script(paths, SCRIPT, "FER-Datasets/mine")
    table = read_table(Path(done.stdout.splitlines()[-1]))
    assert tree(folder) == before
    assert "10 copies could go (nothing was moved)" in done.stdout
    assert [row["kind"] for row in table] == [NEAR] * 5 + [EXACT] * 5
    assert list(table[0].items()) == list(
        {
            "file_a": "test/joy/0.png",
            "file_b": "train/fear/twin0.png",
            "kind": "near",
            "distance": table[0]["distance"],
            "similarity": table[0]["similarity"],
            "label_a": "joy",
            "label_b": "fear",
            "split_a": "test",
            "split_b": "train",
            "across_splits": "yes",
            "conflict": "yes",
            "action_a": "keep",
            "action_b": "remove",
        }.items()
    )
    done = call_script(paths, SCRIPT, "FER-Datasets/mine", "--apply")
    assert f"10 copies moved to {paths.raw_duplicates / 'mine'}" in done.stdout
    assert "0 copies moved" in call_script(paths, SCRIPT, "FER-Datasets/mine", "--apply").stdout


def test_the_script_reads_stage_2_by_itself_and_refuses_to_touch_it(paths: Paths) -> None:
    assert "run develop_baseline_model/helpers/create_original" in error_line(call_script(paths, SCRIPT))
    write_small_fer(paths)
    prepare(paths, variants=False)
    done = call_script(paths, SCRIPT)
    with (paths.originals / "manifest.csv").open() as file:
        hashes = [row["hash"] for row in csv.DictReader(file)]
    (exact,) = (line.split() for line in done.stdout.splitlines() if line.startswith("exact"))
    assert int(exact[1]) == len(hashes) - len(set(hashes)) > 0
    before = tree(paths.root)
    assert "--apply is for a folder of class folders" in error_line(call_script(paths, SCRIPT, "--apply"), 2)
    assert tree(paths.root) == before


def test_the_summary_joins_pairs_to_groups(tmp_path: Path) -> None:
    pictures = draw_images(8, seed=0)
    files = {f"{'train' if number % 2 else 'test'}/joy/{number}.png": pictures[number] for number in range(8)}
    audited = audit.read(write(tmp_path, files))  # the four of the test first
    pairs = [Pair(a, b, NEAR, 0, 1.0) for a, b in [(0, 1), (2, 4), (1, 2), (0, 4), (5, 6)]]
    said = duplicates.summary(Duplicates(audited, pairs, np.ones(8, bool)), [EXACT, NEAR]).splitlines()
    assert [line.split() for line in said[-2:]] == [
        ["exact", "0", "0", "0", "0", "0"],
        ["near", "5", "2", "6", "1", "0"],
    ]
