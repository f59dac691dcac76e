"""Stage 1: the CSV's rows as pictures, and what is wrong with a row that is none."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Script, draw_images, the_error, tree, write_fer_csv, write_small_fer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from running import call_script, last_line

from emotorch.data.images import SIZE, Pixels, hash_pixels, read_face
from emotorch.data.pixel_csv import PixelTable, _parse_ordinary_pixels, _parse_pixels
from emotorch.datasets import FER, FER_USAGES
from emotorch.paths import STAGE_1, Paths

PIXELS = SIZE * SIZE
OFFICIAL = PixelTable(Path("fer2013.csv"), b",", ("emotion", "pixels", "Usage"), 0, 1, 2, len(FER.classes), FER_USAGES)
EMOTIONS = [0, 6, 2, 5, 0, 3]
USAGES = ["Training", "Training", "PublicTest", "PrivateTest", "Training", "PublicTest"]


@pytest.fixture
def six_rows(paths: Paths) -> Pixels:
    """A good CSV of six rows; returns their pictures."""
    pixels = draw_images(6, seed=2)
    write_fer_csv(paths.fer_csv, pixels, EMOTIONS, USAGES)
    return pixels


def edit_rows(csv_file: Path, edit: Callable[[list[str]], list[str]]) -> None:
    """Changes the lines of the CSV; line 1 is at index 1."""
    lines = edit(["", *csv_file.read_text().splitlines()])
    csv_file.write_text("\n".join(lines[1:]) + "\n")


def edit_row(csv_file: Path, line: int, emotion: str = "", pixels: str = "", usage: str = "") -> None:
    """Puts other fields into one line; `pixels` takes the place of the fourth pixel."""

    def edit(lines: list[str]) -> list[str]:
        fields = lines[line].split(",")
        numbers = fields[1].split(" ")
        lines[line] = ",".join(
            [emotion or fields[0], " ".join([*numbers[:3], pixels or numbers[3], *numbers[4:]]), usage or fields[2]]
        )
        return lines

    edit_rows(csv_file, edit)


# Rows.

ODD_NUMBERS = ["0", "7", "007", "0000000255", "255", "256", "999", "-1", "+5", "12.5", "1e2", "abc", "1_0", "9" * 5000]
ODD_SPACING = ["", " ", "\t", "\r", "\n", "1 2", "1  2", " 1", "1\t2", "1\r", '"', "\0", "²", "٣"]


@settings(derandomize=True, deadline=None, max_examples=250)
@given(
    seed=st.integers(0, 2**32 - 1),
    changes=st.dictionaries(
        st.integers(0, PIXELS - 1) | st.just(PIXELS - 1), st.sampled_from(ODD_NUMBERS + ODD_SPACING), max_size=3
    ),
    ends=st.tuples(*2 * [st.sampled_from(["", " ", "  ", "\t", "\r"])]),
    count=st.sampled_from([0, 1, PIXELS - 1, PIXELS, PIXELS, PIXELS, PIXELS + 1]),
)
@example(seed=0, changes={}, ends=("", ""), count=PIXELS)
@example(seed=0, changes={5: ""}, ends=("", ""), count=PIXELS)
@example(seed=0, changes={5: "", 9: "1 2"}, ends=("", ""), count=PIXELS)
@example(seed=0, changes={0: ""}, ends=("", ""), count=PIXELS + 1)
def test_the_fast_parser_agrees_with_the_slow_one(
    seed: int, changes: dict[int, str], ends: tuple[str, str], count: int
) -> None:
    numbers = np.random.default_rng(seed).integers(0, 256, count).astype(str).tolist()
    for position, number in changes.items():
        numbers[position : position + 1] = [number]
    text = (ends[0] + " ".join(numbers) + ends[1]).encode()
    fast = _parse_ordinary_pixels([text])
    assert fast is not None or changes or any(ends) or count != PIXELS
    if fast is not None:
        assert shown(fast[0]) == shown(_parse_pixels(text))


def shown(parsed: object) -> object:
    """Something that can be compared, of pixels, a row or an error."""
    if isinstance(parsed, tuple):
        return tuple(map(shown, parsed))
    return (parsed.shape, parsed.dtype, parsed.tobytes()) if isinstance(parsed, np.ndarray) else str(parsed)


NUMBERS = draw_images(1, seed=5)[0].astype(str).ravel().tolist()
ONE_MORE, ONE_LESS = [*NUMBERS, "7"], NUMBERS[:-1]
FIELDS = st.sampled_from([NUMBERS, ONE_MORE, ONE_LESS, [*ONE_LESS, "256"], ["0255", *NUMBERS[1:]], []])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(FIELDS, st.sampled_from(["2,{},Training", "9,{},Training", "2,{}", " "])), max_size=5),
    good=st.integers(0, 2),
)
@example(rows=[(numbers, "2,{},Training") for numbers in (ONE_MORE, ONE_LESS)], good=0)
def test_rows_together_are_what_they_are_alone(rows: list[tuple[list[str], str]], good: int) -> None:
    lines = [row.format(" ".join(numbers)).encode() for numbers, row in [*rows, *good * [(NUMBERS, "2,{},Training")]]]
    assert list(map(shown, OFFICIAL.parse_rows(lines))) == [shown(OFFICIAL._parse_row(line)) for line in lines]


@pytest.mark.parametrize(
    "row",
    ["2,{},Training", "2,{},Training\r", '"2","{}","Training"', " 2 , {} , Training ", "02,{},Training"],
)
def test_a_row_may_be_quoted_or_spaced(row: str) -> None:
    pixels = draw_images(1, seed=4)[0]
    ((emotion, parsed, usage),) = OFFICIAL.parse_rows([row.format(" ".join(map(str, pixels.ravel()))).encode()])
    assert (emotion, usage) == (2, "Training")
    assert np.array_equal(parsed, pixels)


# The whole stage.


def test_every_row_becomes_its_picture(paths: Paths, six_rows: Pixels, script: Script) -> None:
    done = script(paths, STAGE_1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{paths.fer_images}: 6 images written\n"
    with (paths.fer_images / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        f"{FER.classes[emotion]}/{FER.classes[emotion]}_{row:06d}.png" for row, emotion in enumerate(EMOTIONS)
    ]
    assert [row["row"] for row in rows] == list("012345")
    assert [row["emotion"] for row in rows] == [FER.classes[emotion] for emotion in EMOTIONS]
    assert [row["usage"] for row in rows] == USAGES
    assert [row["hash"] for row in rows] == [hash_pixels(image) for image in six_rows]
    for row, image in zip(rows, six_rows, strict=True):
        assert np.array_equal(read_face(paths.fer_images / row["file"]), image)
    assert sorted(tree(paths.fer_images)) == sorted([*(row["file"] for row in rows), "manifest.csv", "stage.json"])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("emotion,pixels,Usage", '"emotion","pixels","Usage"'),
    ],
    ids=["CRLF", "no last line end", "blank lines at the end", "byte order mark", "quoted header"],
)
def test_other_programs_line_ends_and_quotes_are_read(
    paths: Paths, six_rows: Pixels, change: Callable[[str], str]
) -> None:
    paths.fer_csv.write_bytes(change(paths.fer_csv.read_text()).encode())
    assert call_script(paths, STAGE_1).stdout == f"{paths.fer_images}: 6 images written\n"
    assert np.array_equal(read_face(paths.fer_images / "happy" / "happy_000005.png"), six_rows[5])


def test_the_files_are_the_same_for_any_number_of_workers(paths: Paths, tmp_path: Path, script: Script) -> None:
    trees = []
    for workers in (1, 2):
        other = Paths(tmp_path / str(workers))
        write_small_fer(other, rows=600)
        assert script(other, STAGE_1, "--workers", workers).returncode == 0
        trees.append(tree(other.fer_images))
    assert len(trees[0]) == 602
    assert trees[0] == trees[1]


def test_the_second_run_rewrites_nothing(paths: Paths, six_rows: Pixels) -> None:
    call_script(paths, STAGE_1)
    before = {path: path.stat().st_mtime_ns for path in paths.fer_images.rglob("*")}
    done = call_script(paths, STAGE_1)
    assert done.stdout == f"{paths.fer_images}: 6 images up to date\n"
    assert {path: path.stat().st_mtime_ns for path in paths.fer_images.rglob("*")} == before


def test_a_changed_csv_makes_everything_anew(paths: Paths, six_rows: Pixels) -> None:
    call_script(paths, STAGE_1)
    edit_rows(paths.fer_csv, lambda lines: [line for line in lines if not line.startswith("3,")])
    assert call_script(paths, STAGE_1).stdout == f"{paths.fer_images}: 5 images written\n"
    assert not list((paths.fer_images / "happy").iterdir())


# Bad input.


def fault(name: str, spoil: Callable[[Path], object], message: str) -> object:
    return pytest.param(spoil, message, id=name)


def cut(size: int) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(file.read_bytes()[:-size])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        fault("pixel missing", lambda file: edit_row(file, 4, pixels=" "), "4 (row 2): 2303 pixels instead of 2304"),
        fault("pixel more", lambda file: edit_row(file, 4, pixels="1 2"), "4 (row 2): 2305 pixels instead of 2304"),
        fault("256", lambda file: edit_row(file, 7, pixels="256"), "7 (row 5): pixel 3 is '256', not a whole number"),
        fault("-1", lambda file: edit_row(file, 2, pixels="-1"), "2 (row 0): pixel 3 is '-1', not a whole number"),
        fault("abc", lambda file: edit_row(file, 4, pixels="abc"), "4 (row 2): pixel 3 is 'abc', not a whole number"),
        fault("12.5", lambda file: edit_row(file, 4, pixels="12.5"), "4 (row 2): pixel 3 is '12.5', not a whole"),
        fault("not text", lambda file: edit_row(file, 4, pixels="\0"), r"4 (row 2): pixel 3 is '\x00', not a whole"),
        fault("emotion 7", lambda file: edit_row(file, 4, emotion="7"), "4 (row 2): unknown emotion '7', not 0-6"),
        fault("emotion -1", lambda file: edit_row(file, 4, emotion="-1"), "4 (row 2): unknown emotion '-1'"),
        fault("emotion name", lambda file: edit_row(file, 4, emotion="bored"), "4 (row 2): unknown emotion 'bored'"),
        fault("usage", lambda file: edit_row(file, 4, usage="Testing"), "4 (row 2): unknown usage 'Testing', not Trai"),
        fault("cut in the pixels", cut(2000), "7 (row 5): 2 fields instead of 3 (cut short?)"),
        fault("cut in the usage", cut(4), "7 (row 5): unknown usage 'PublicT'"),
        fault(
            "empty line",
            lambda file: edit_rows(file, lambda lines: [*lines[:4], "", *lines[4:]]),
            "4 (row 2): an empty line",
        ),
        fault(
            "another header",
            lambda file: edit_rows(file, lambda lines: ["", "emotion,Usage,picture", *lines[2:]]),
            "1: the header is 'emotion,Usage,picture', not 'emotion,pixels,Usage'",
        ),
        fault("no header", lambda file: edit_rows(file, lambda lines: lines[1:]), "1: the header is '0,"),
    ],
)
def test_a_bad_line_is_named(paths: Paths, six_rows: Pixels, spoil: Callable[[Path], object], message: str) -> None:
    spoil(paths.fer_csv)
    assert the_error(call_script(paths, STAGE_1)).startswith(f"error: {paths.fer_csv}, line {message}")
    assert not paths.fer_images.exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        fault("empty", lambda file: file.write_text(""), ": the file is empty"),
        fault("header only", lambda file: edit_rows(file, lambda lines: lines[:2]), ": a header but no rows"),
    ],
)
def test_a_csv_without_rows_is_named(
    paths: Paths, six_rows: Pixels, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(paths.fer_csv)
    assert the_error(call_script(paths, STAGE_1)).startswith(f"error: {paths.fer_csv}{message}")
    assert not paths.fer_images.exists()


def test_without_fer_2013_there_is_nothing_to_do(paths: Paths) -> None:
    assert last_line(call_script(paths, STAGE_1)) == f"nothing to do: no FER-2013 in {paths.raw}"


def test_the_first_bad_row_is_named_whatever_the_workers(paths: Paths, script: Script) -> None:
    write_small_fer(paths, rows=800)
    for line in (300, 301, 700):
        edit_row(paths.fer_csv, line, pixels="256")
    for workers in (1, 2):
        assert ", line 300 (row 298): " in the_error(script(paths, STAGE_1, "--workers", workers))


def test_a_mended_csv_is_converted_whole(paths: Paths, six_rows: Pixels, tmp_path: Path) -> None:
    good = paths.fer_csv.read_bytes()
    edit_row(paths.fer_csv, 7, pixels="256")
    the_error(call_script(paths, STAGE_1))
    paths.fer_csv.write_bytes(good)
    assert call_script(paths, STAGE_1).stdout == f"{paths.fer_images}: 6 images written\n"
    assert len(tree(paths.fer_images)) == 8


def test_skipped_rows_are_counted_and_listed(paths: Paths, six_rows: Pixels) -> None:
    edit_row(paths.fer_csv, 3, pixels="256")
    edit_row(paths.fer_csv, 5, usage="Testing")
    edit_rows(paths.fer_csv, lambda lines: [*lines[:4], "", *lines[4:]])
    listed = paths.fer_images / "skipped_rows.csv"
    for state in ("written", "up to date"):
        done = call_script(paths, STAGE_1, "--skip-bad-rows")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{paths.fer_images}: 4 images {state}\n3 bad rows skipped, listed in {listed}\n"
    assert list(csv.reader(listed.open(newline=""))) == [
        ["row", "line", "reason"],
        ["1", "3", "pixel 3 is '256', not a whole number from 0 to 255"],
        ["2", "4", "an empty line"],
        ["4", "6", "unknown usage 'Testing', not Training, PublicTest, PrivateTest"],
    ]
    # A row keeps its number, whatever is skipped before it.
    assert np.array_equal(read_face(paths.fer_images / "happy" / "happy_000006.png"), six_rows[5])
    assert ", line 3 (row 1): " in the_error(call_script(paths, STAGE_1))


def test_a_csv_of_bad_rows_alone_is_named(paths: Paths, six_rows: Pixels) -> None:
    for line in range(2, 8):
        edit_row(paths.fer_csv, line, emotion="9")
    line = the_error(call_script(paths, STAGE_1, "--skip-bad-rows"))
    assert line == f"error: {paths.fer_csv}: no row is usable, all 6 are bad"
    assert not paths.fer_images.exists()
