import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, prepare, tree, write_small_ckplus, write_small_fer
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from running import call_script, copy_root, last_line, read_table
from test_duplicates import cut, photo

from emotorch.analyses import dataset as analysis
from emotorch.data.images import write_png
from emotorch.figures import dataset as pictures
from emotorch.figures.canvas import save
from emotorch.paths import Paths

SCRIPT = "develop_baseline_model/helpers/explore_dataset.py"
LONG_TITLE = "A dataset whose name nobody would call short, with_a_$dollar$_sign (synthetic faces): class balance"


# --- The report ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What the script wrote about a root, and what was in the root before."""

    paths: Paths
    folder: Path
    before: dict[str, bytes]


@pytest.fixture(scope="module")
def report(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Report:
    paths = copy_root(prepared, tmp_path_factory.mktemp("explored") / "root")
    before = tree(paths.root)
    return Report(paths, Path(last_line(call_script(paths, SCRIPT, "--examples", 3))), before)


def test_the_report_counts_what_stage_2_wrote(report: Report) -> None:
    paths, folder = report.paths, report.folder
    assert folder.parent == paths.reports
    manifest = read_table(paths.originals / "manifest.csv")
    expected = Counter((f"{row['dataset']} {row['usage']}".strip(), row["emotion"]) for row in manifest)
    balance = read_table(folder / "class_balance.csv")
    assert {(row["split"], row["class"]): int(row["images"]) for row in balance if row["images"] != "0"} == expected
    for split in {row["split"] for row in balance}:
        assert sum(float(row["percent_of_split"]) for row in balance if row["split"] == split) == pytest.approx(
            100, abs=0.1
        )
    assert [row["file"] for row in read_table(folder / "images.csv")] == [row["file"] for row in manifest]
    hashes = Counter(row["hash"] for row in manifest)
    twins = sum(count for count in hashes.values() if count > 1)
    counts = {row["finding"]: row for row in read_table(folder / "findings.csv")}
    assert int(counts["twins"]["images"]) == twins > 0
    listed = Counter(row["finding"] for row in read_table(folder / "findings_files.csv"))
    assert listed == {name: int(row["images"]) for name, row in counts.items() if row["images"] != "0"}
    labels = {row["emotion"] for row in manifest}
    names = {"class_balance", "brightness_sharpness", "findings", *(f"samples_{label}" for label in labels)}
    assert {path.stem for path in folder.glob("*.png")} == names
    for path in folder.glob("*.png"):
        Image.open(path).verify()
    assert {file: data for file, data in tree(paths.root).items() if not file.startswith("reports/")} == report.before


def test_the_same_dataset_gives_the_same_report(report: Report) -> None:
    again = Path(last_line(call_script(report.paths, SCRIPT, report.paths.originals, "--examples", 3)))
    assert again != report.folder
    assert tree(again) == tree(report.folder)


def test_as_many_examples_are_shown_as_asked_for(report: Report) -> None:
    (twins,) = (row for row in read_table(report.folder / "findings.csv") if row["finding"] == "twins")
    assert len(twins["examples"].split("; ")) == 3 < int(twins["images"])


def test_synthetic_faces_are_called_so_on_every_picture(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_fer(paths)
    write_small_ckplus(paths)
    prepare(paths, variants=False)
    paths.synthetic_marker.write_text("drawn by a program\n")
    titles: list[str] = []

    def note(figure: Figure, path: Path) -> Path:
        titles.append(" ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " "))
        return save(figure, path)

    monkeypatch.setattr(analysis, "save", note)
    done = call_script(paths, SCRIPT)
    assert done.returncode == 0, done.stderr
    assert len(titles) == 3 + 4
    assert all("FER-Original-Dataset (synthetic faces):" in title for title in titles)


# --- The page, and CI ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Own data in which everything is wrong: copies and a person in two splits, two labels of one photo, a blank."""
    paths = Paths(tmp_path_factory.mktemp("own"))
    pictures = [cut(photo(seed)) for seed in range(8)]
    files = {
        "train/happy/anna/1.png": pictures[0],
        "train/happy/ben/2.png": pictures[1],
        "train/fear/anna/3.png": pictures[2],
        "train/fear/ben/4.png": pictures[3],
        "val/happy/carl/5.png": pictures[0],
        "val/happy/dora/6.png": np.ascontiguousarray(pictures[1][:, ::-1]),
        "val/fear/dora/7.png": (pictures[2] * 0.8).astype(np.uint8),
        "val/fear/anna/8.png": pictures[4],
        "val/surprise/carl/9.png": pictures[3],
        "val/surprise/carl/10.png": np.zeros((48, 48), np.uint8),
        "val/surprise/dora/11.png": pictures[5][:20, :40],
    }
    for file, pixels in files.items():
        path = paths.raw / "mine" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.ascontiguousarray(pixels))
    return paths


@pytest.mark.slow
def test_page_and_json_say_what_splits_share_and_fail_on_leak_exits_with_1(own: Paths) -> None:
    done = call_script(own, SCRIPT, "mine", "--json", "--fail-on", "leak", "--faces", "none")
    assert re.search(r"error: 9 images of photos or people that several splits have: see .*dataset_report", done.stderr)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["images"] == 11
    assert found["shared"] == [
        {"split": "train", "other": "val", "exact": 2, "near": 1, "mirrored": 1, "people": 2},
        {"split": "val", "other": "train", "exact": 2, "near": 1, "mirrored": 1, "people": 1},
    ]
    assert found["leak"] == 9
    assert found["findings"]["twins, other label"] == 2
    assert found["findings"]["blank"] == 1
    assert found["findings"]["small"] == found["findings"]["not square"] == 1
    assert found["read"][0]["refused"] is None
    report = Path(found["report"])
    written = json.loads((report / "audit.json").read_text())
    assert {**written, "report": str(report)} == found
    pairs = {(row["kind"], row["across_splits"]) for row in read_table(report / "copies.csv")}
    assert pairs == {("exact", "yes"), ("near", "yes"), ("mirrored", "yes")}
    page = (report / "report.html").read_text()
    for words in (
        "9 images of photos or people that several splits have",
        "class folders (fear, happy, surprise) in train, val",
        "Mirrored copies, in several splits: 1 pair",
        "The same person, in several splits: 1 person",
        "fear ≠ surprise",
        "Blank, one grey value all over: 1 image",
        "4 people named",
    ):
        assert words in page, words
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count('<img src="data:image/png;base64,') > 12


@pytest.mark.slow
def test_without_leaks_the_exit_is_0(own: Paths, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    shutil.copytree(own.raw / "mine" / "train", paths.raw / "mine")
    clean = call_script(paths, SCRIPT, "FER-Datasets/mine", "--fail-on", "leak")
    assert clean.returncode == 0, clean.stderr
    assert "What splits share" not in (Path(last_line(clean)) / "report.html").read_text()


# --- Pictures -----------------------------------------------------------------------------------------------


def spread(labels: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(labels)
    return {f"class number {label}": np.clip(rng.normal(120, 40, 90), 0, 255) for label in range(labels)}


FIGURES = {
    "one split": lambda: pictures.balance_figure({"all": {"joy": 3, "fear": 0}}, "T"),
    "seven splits": lambda: pictures.balance_figure(
        {f"FER split {number}": {f"class number {label}": 7215 * label for label in range(7)} for number in range(7)},
        LONG_TITLE,
    ),
    "one class": lambda: pictures.distributions_figure(spread(1), spread(1), "T"),
    "seven classes": lambda: pictures.distributions_figure(spread(7), spread(7), LONG_TITLE),
    "blank images": lambda: pictures.distributions_figure({"joy": np.zeros(3)}, {"joy": np.zeros(3)}, "T"),
    "one image": lambda: pictures.sheet_figure([("", draw_images(1, 0))], LONG_TITLE, 12),
    "captions": lambda: pictures.sheet_figure(
        [("a caption that is longer than the row of images is wide " * 2, draw_images(9, 0))] * 3, "T", 4
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and _is_drawn(figure, text):
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
            assert inside, text.get_text()


def _is_drawn(figure: Figure, text: Text) -> bool:
    """Axes keep ticks beyond their limits, which are never drawn; and those of panels that are switched off."""
    for axes in figure.axes:
        for axis, (start, end) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    return axes.axison and min(start, end) <= tick.get_loc() <= max(start, end)
    return True


def test_a_sheet_keeps_every_pixel(tmp_path: Path) -> None:
    faces = draw_images(5, seed=6)
    with Image.open(save(pictures.sheet_figure([("five", faces)], "T", 3), tmp_path / "sheet.png")) as image:
        sheet = np.asarray(image.convert("L"))
    for face in faces:
        tile = face.repeat(2, axis=0).repeat(2, axis=1)
        y, x = np.unravel_index((found := cv2.matchTemplate(sheet, tile, cv2.TM_SQDIFF)).argmin(), found.shape)
        assert (sheet[y : y + 96, x : x + 96] == tile).all()


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="different classes"):
        pictures.balance_figure({"a": {"joy": 1}, "b": {"fear": 1}}, "T")
    with pytest.raises(ValueError, match="uint8, is needed"):
        pictures.sheet_figure([("", draw_images(2, 0).astype(float))], "T", 3)
