import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import refusal
from PIL import Image
from running import Trained, call_script, error_line, last_line, read_table
from sklearn.metrics import accuracy_score, f1_score, recall_score

from emotorch.analyses.attributes import Attribute, make_attributes, match, read_attributes
from emotorch.analyses.group_comparison import (
    ACCURACY,
    SMALL,
    STANDARDISED,
    Fairness,
    PredictedImages,
    compare_groups,
)
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.sets import EvaluationSet, load_set
from emotorch.labels import get_scheme
from emotorch.metrics.calibration import measure
from emotorch.metrics.intervals import wilson_interval
from emotorch.paths import Paths
from emotorch.runs.findings import read_findings
from emotorch.runs.folder import Run
from emotorch.seeding import generator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

FAIRNESS = "develop_baseline_model/models/analyze_fairness.py"
SCHEME = get_scheme("emotorch4")
LABELS = ("anger", "fear", "calm")
FILES = {"fairness.txt", "groups.csv", "recalls.csv", "gaps.csv", "fairness.png", "findings.json", "stage.json"}


# --- Groups -------------------------------------------------------------------------------------------------


def draw(key: object, sizes: Sequence[int], recalls: Sequence[Sequence[float]], mixes: Sequence[Sequence[float]]):
    """An attribute with groups of these sizes, recalls and classes; and what a model predicts."""
    rng = generator("fairness", key)
    members = np.repeat(np.arange(len(sizes)), sizes)
    truths = np.concatenate([rng.choice(3, size=n, p=mix) for n, mix in zip(sizes, mixes, strict=True)])
    right = rng.random(len(truths)) < np.array(recalls)[members, truths]
    classes = np.where(right, truths, (truths + rng.integers(1, 3, len(truths))) % 3)
    confidences = rng.uniform(0.4, 0.9, len(truths))
    probabilities = np.repeat((1 - confidences)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(len(truths)), classes] = confidences
    attribute = Attribute("age", [f"group {number}" for number in range(len(sizes))], members, "")
    return attribute, PredictedImages(truths, probabilities, np.arange(len(truths)), LABELS)


def gap(fairness: Fairness, metric: str):
    (found,) = fairness.gaps[fairness.gaps["metric"] == metric].itertuples()
    return found


EVEN = (1 / 3, 1 / 3, 1 / 3)


def test_scores_of_a_group_are_those_of_its_images_alone() -> None:
    attribute, images = draw("scores", (200, 120), [(0.7, 0.4, 0.6), (0.6, 0.5, 0.5)], [EVEN, (0.6, 0.2, 0.2)])
    (fairness,) = compare_groups([attribute], images)
    for number, group in fairness.groups.iterrows():
        inside = attribute.members == number
        truths, classes = images.truths[inside], images.classes[inside]
        assert group["accuracy"] == pytest.approx(100 * accuracy_score(truths, classes))
        assert (group["low"], group["high"]) == wilson_interval(int((truths == classes).sum()), int(inside.sum()))
        assert group["macro_f1"] == pytest.approx(100 * f1_score(truths, classes, average="macro"))
        recalls = 100 * recall_score(truths, classes, average=None)
        of_group = fairness.recalls[fairness.recalls["group"] == group["group"]]
        assert of_group["recall"].tolist() == pytest.approx(recalls)
        assert of_group["images"].tolist() == np.bincount(truths).tolist()
        weights = np.bincount(images.truths) / len(images.truths)
        assert group["accuracy_same_classes"] == pytest.approx(recalls @ weights)
        calibration = measure(images.probabilities[inside], truths)
        assert (group["ece"], group["ece_by_chance"]) == (100 * calibration.ece, 100 * calibration.by_chance)
        confidence = images.probabilities[inside].max(axis=1).mean()
        assert group["overconfidence"] == pytest.approx(100 * confidence - group["accuracy"])


def test_a_gap_in_classes_is_told_from_a_gap_in_predictions() -> None:
    """Both groups are predicted alike class by class, but one has more of the hard class."""
    by_classes, by_predictions = 0, 0
    for trial in range(40):
        recalls = (0.9, 0.3, 0.8)
        drawn = draw(("mix", trial), (150, 150), [recalls, recalls], [(0.5, 0.1, 0.4), (0.2, 0.6, 0.2)])
        (fairness,) = compare_groups([drawn[0]], drawn[1])
        by_classes += gap(fairness, ACCURACY).p <= 0.05
        by_predictions += gap(fairness, STANDARDISED).p <= 0.05
    assert by_classes >= 38
    assert by_predictions <= 6


def test_95_of_100_intervals_hold_a_known_gap() -> None:
    held = 0
    for trial in range(60):
        known = draw(("known", trial), (150, 150), [(0.5,) * 3, (0.7,) * 3], [EVEN, (0.2, 0.3, 0.5)])
        (fairness,) = compare_groups([known[0]], known[1])
        found = gap(fairness, STANDARDISED)
        assert found.lowest == "group 0"
        held += found.low <= 20 <= found.high
    assert held >= 53


def test_copies_of_the_same_images_make_no_gap_surer() -> None:
    attribute, images = draw("copies", (60, 60), [(0.55,) * 3, (0.7,) * 3], [EVEN] * 2)
    times = 6
    copied = Attribute("age", attribute.groups, np.repeat(attribute.members, times), "")
    parts = [np.repeat(values, times, axis=0) for values in (images.truths, images.probabilities, images.sources)]
    (once,) = compare_groups([attribute], images)
    (copies,) = compare_groups([copied], PredictedImages(*parts, LABELS))
    differences = [(found.gap, found.low, found.high) for found in (gap(copies, ACCURACY), gap(once, ACCURACY))]
    assert differences[0] == differences[1]
    assert gap(copies, ACCURACY).p == pytest.approx(gap(once, ACCURACY).p, abs=0.03)


def test_small_groups_are_marked_and_take_no_part_in_gaps() -> None:
    attribute, images = draw("small", (200, SMALL - 1, 150), [(0.6,) * 3, (0.01,) * 3, (0.6,) * 3], [EVEN] * 3)
    (fairness,) = compare_groups([attribute], images)
    assert fairness.groups["small"].tolist() == [False, True, False]
    assert {*fairness.gaps["lowest"], *fairness.gaps["highest"]} == {"group 0", "group 2"}
    alone = Attribute("age", ["a", "b"], (attribute.members == 1).astype(int), "")
    assert not len(compare_groups([alone], images)[0].gaps)


def test_a_class_that_a_group_lacks_is_named_and_left_out_of_the_standard() -> None:
    attribute, images = draw("lacks", (200, 200), [(0.6,) * 3, (0.7,) * 3], [EVEN, (0.5, 0.5, 0.0)])
    (fairness,) = compare_groups([attribute], images)
    assert fairness.left_out == ["calm"]
    recalls = fairness.recalls["recall"][fairness.recalls["group"] == "group 1"].to_numpy()[:2]
    weights = np.bincount(images.truths)[:2]
    assert fairness.groups["accuracy_same_classes"][1] == pytest.approx(recalls @ weights / weights.sum())
    assert "recall of calm" not in set(fairness.gaps["metric"])


def test_p_values_of_all_attributes_are_corrected_together() -> None:
    attribute, images = draw("holm", (100, 100), [(0.5,) * 3, (0.75,) * 3], [EVEN] * 2)
    (one,) = compare_groups([attribute], images)
    two = compare_groups([attribute, attribute], images)
    tested = one.gaps["p"].count()
    smallest = gap(one, one.gaps["metric"][one.gaps["p"].idxmin()])
    again = gap(two[0], smallest.metric)
    assert smallest.p_holm == pytest.approx(min(1, tested * smallest.p))
    assert again.p_holm == pytest.approx(min(1, 2 * tested * smallest.p))


def test_images_of_unknown_value_are_in_no_group() -> None:
    attribute, images = draw("unknown", (100, 100), [(0.5,) * 3] * 2, [EVEN] * 2)
    members = np.where(np.arange(200) % 10 == 0, -1, attribute.members)
    (fairness,) = compare_groups([Attribute("age", attribute.groups, members, "")], images)
    assert fairness.unknown == 20
    assert fairness.groups["images"].sum() == 180


# --- The CSV ------------------------------------------------------------------------------------------------


def some_images(*files: str) -> EvaluationSet:
    """Without any pixels; the second has the first's hash."""
    hashes = np.array([f"hash {max(1, number)}" for number in range(len(files))])
    return EvaluationSet("some", files, np.zeros((len(files), 48, 48), np.uint8), np.zeros(len(files), int), hashes)


def write_attributes(path: Path, *rows: Sequence[object]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


IMAGES = ("FER/anger/1.png", "FER/fear/1.png", "FER/fear/2.png", "RAF/fear/7.png")


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("FER/anger/1.png", [0, -1, -1, -1]),
        ("fear/2.png", [-1, -1, 0, -1]),
        ("7.png", [-1, -1, -1, 0]),
        (r"FER\fear\1.png", [-1, 0, -1, -1]),
        ("/elsewhere/FER/fear/1.png", [-1, 0, -1, -1]),
    ],
)
def test_a_row_s_image_is_found_by_its_path_or_the_end_of_it(paths: Paths, key: str, row: list[int]) -> None:
    table = read_attributes(write_attributes(paths.root / "a.csv", ("image_path", "age"), (key, 3)))
    rows, notes = match(paths, table, some_images(*IMAGES), SCHEME)
    assert rows.tolist() == row
    assert "0 are of none of these images; 3 of 4 images have no row" in notes[0]


def test_a_hash_stands_for_all_images_of_these_pixels_and_rows_of_no_image_are_counted(paths: Paths) -> None:
    content = ("image_path", "source_hash", "age"), ("x.png", "hash 1", 3), ("y.png", "hash 9", 4), ("", "hash 3", 5)
    table = read_attributes(write_attributes(paths.root / "a.csv", *content))
    rows, notes = match(paths, table, some_images(*IMAGES), SCHEME)
    assert rows.tolist() == [0, 0, -1, 2]
    assert "3 rows in a.csv: 1 are of none of these images; 1 of 4 images have no row" in notes[0]


def test_the_raw_dataset_s_file_names_its_image(prepared: Paths) -> None:
    images = load_set(prepared, "fer", SCHEME)
    manifest = [row for row in read_table(prepared.originals / "manifest.csv") if row["dataset"] == "FER"]
    rows = [(Path(row["source"]).name, row["emotion"]) for row in manifest]
    table = read_attributes(
        write_attributes(prepared.root.parent / f"{prepared.root.name}.csv", ("image_path", "emotion"), *rows)
    )
    found, _ = match(prepared, table, images, SCHEME)
    assert [table.columns["emotion"][row] for row in found] == [SCHEME.labels[label] for label in images.labels]


def test_the_published_file_of_attributes_is_taken_as_it_is(prepared: Paths, tmp_path: Path) -> None:
    """Its paths are those of the published stage 2, whose numbers are ours."""
    images = load_set(prepared, "fer", SCHEME)
    content = [("img_path", "race", "race4", "gender", "age")]
    ages = ("70+", "3-9", "10-19")
    for number, file in enumerate(images.files):
        content.append((file, "Southeast Asian", "Asian", ("Male", "Female")[number % 2], ages[number % 3]))
    table = read_attributes(
        write_attributes(
            tmp_path / "faces_gender_race.csv", *content, ("FER-Original-Dataset/FER/fear/4531.png", *content[1][1:])
        )
    )
    rows, (note,) = match(prepared, table, images, SCHEME)
    assert rows.tolist() == list(range(len(images.files)))
    assert f"1 are of none of these images; 0 of {len(images.files)} images have no row" in note
    attributes, notes = make_attributes(table, rows, {})
    assert [(attribute.name, attribute.groups) for attribute in attributes] == [
        ("gender", ["Female", "Male"]),
        ("age", ["3-9", "10-19", "70+"]),
    ]
    assert len(notes) == 2
    # Of class folders the images have other numbers.
    other = Paths(tmp_path / "root")
    other.originals.mkdir(parents=True)
    manifest = (prepared.originals / "manifest.csv").read_text().replace("FER2013img/angry/", "fer-2013/train/angry/")
    (other.originals / "manifest.csv").write_text(manifest)
    with refusal(
        f"{table.path}: its numbers are of FER-2013's CSV and of CK+'s class folders, and FER-Datasets/fer-2013/"
    ):
        match(other, table, images, SCHEME)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("image_path", "age"), ("1.png", 1)], "line 2: '1.png' may be FER/anger/1.png, FER/fear/1.png"),
        ([("image_path", "age"), ("2.png", 1), ("FER/fear/2.png", 2)], "lines 2 and 3 say different things of"),
        ([("image_path", "age"), ("9.png", 1)], "none of its 1 rows is of any of these 4 images"),
        ([("image_path", "age"), ("2.png",)], "line 2: 1 values for 2 columns"),
        ([("image_path", "age"), ("", 2)], "line 2: no image_path"),
        # Empty lines are none, and count.
        ([("image_path", "age"), (), ("1.png", 1)], "line 3: '1.png' may be FER/anger/1.png, FER/fear/1.png"),
        ([("image_path", "age"), (), ("2.png", 1), (), ("FER/fear/2.png", 2)], "lines 3 and 5 say different things of"),
        ([("image_path", "age"), (), ("2.png",)], "line 3: 1 values for 2 columns"),
        ([("image_path", "age", "age"), ("2.png", 1, 2)], "two columns are called age"),
        ([("file", "age"), ("2.png", 2)], "no column source_hash, image_path or img_path"),
        ([], "no column source_hash, image_path or img_path"),
        ([("image_path",), ("2.png",)], "no column to compare groups by"),
        ([("image_path", "age"), ("2.png", 2)], "age is no attribute: these images are all of one group"),
    ],
)
def test_what_a_csv_says_wrongly_is_refused_with_its_line(paths: Paths, rows: list, message: str) -> None:
    path = write_attributes(paths.root / "a.csv", *rows)

    def read() -> None:
        table = read_attributes(path)
        make_attributes(table, match(paths, table, some_images(*IMAGES), SCHEME)[0], {})

    with pytest.raises(EmoTorchError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        read()


def test_a_csv_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"image_path,age\n\xff\xfe,1\n")
    with refusal(f"{tmp_path}/a.csv: not a CSV in UTF-8"):
        read_attributes(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="does not exist"):
        read_attributes(tmp_path / "b.csv")


def attributes_of(
    folder: Path, values: Sequence[object], **edges: Sequence[float]
) -> tuple[list[Attribute], list[str]]:
    rows = [(f"{number}.png", value) for number, value in enumerate(values)]
    table = read_attributes(write_attributes(folder / "a.csv", ("image_path", "age"), *rows))
    return make_attributes(table, np.arange(len(values)), edges)


def test_numbers_are_cut_at_their_quartiles_or_where_told(tmp_path: Path) -> None:
    ((quartiles,), _) = attributes_of(tmp_path, range(100, 200))
    assert np.bincount(quartiles.members).tolist() == [25, 25, 25, 25]
    assert quartiles.groups[0] == "below 124.8"
    assert quartiles.how == "cut at its quartiles"
    ((given,), _) = attributes_of(tmp_path, [1, 2.5, "", 9, 40, "nan"], age=(2, 10))
    assert given.groups == ["below 2", "2 to below 10", "10 and above"]
    assert given.members.tolist() == [0, 1, -1, 1, 2, -1]
    ((few,), _) = attributes_of(tmp_path, [10, 9, 10, 2])
    assert (few.groups, few.members.tolist()) == (["2", "9", "10"], [2, 1, 2, 0])
    with pytest.raises(UsageError, match="not of numbers"):
        attributes_of(tmp_path, ["old", "young"], age=(2,))
    with refusal(f"{tmp_path}/a.csv: no column to compare groups by (age is no attribute: it has 31 different values)"):
        attributes_of(tmp_path, [f"person {number}" for number in range(31)])


# --- The script ---------------------------------------------------------------------------------------------


@pytest.fixture
def annotated(lively: Trained) -> tuple[Trained, Path]:
    """Of a run's images, but one, a side that goes by the file's number, and an age."""
    images = load_set(lively.paths, "fer", SCHEME)
    rows = [(file, "left" if number % 2 else "right", number) for number, file in enumerate(images.files)]
    path = lively.paths.root / "people.csv"
    return lively, write_attributes(path, ("image_path", "side", "age"), *rows[1:], ("nobody.png", "left", 1))


@pytest.mark.drawn
def test_the_script_writes_what_it_says_and_keeps_it(annotated: tuple[Trained, Path]) -> None:
    model, people = annotated

    def call(*options: object) -> str:
        done = call_script(
            model.paths, FAIRNESS, "model_00001", "fer", "--attributes", people, "--threads", 1, *options
        )
        assert last_line(done) == str(model.folder / "fairness")
        return done.stdout

    said = call()
    folder = model.folder / "fairness"
    assert {path.name for path in folder.iterdir()} == FILES
    assert said == f"{(folder / 'fairness.txt').read_text()}{folder}\n"
    scored = int(said.split("model_00001 on fer: ")[1].split()[0])
    groups = read_table(folder / "groups.csv")
    assert [row["group"] for row in groups if row["attribute"] == "side"] == ["left", "right"]
    for name in ("side", "age"):
        assert scored - sum(int(row["images"]) for row in groups if row["attribute"] == name) in (0, 1)
    assert {row["small"] for row in groups} == {"True"}  # no root of tests has 60 images to hold out
    assert "no two groups are large enough" in said
    with Image.open(folder / "fairness.png") as picture:
        picture.load()
    findings = read_findings(Run(model.folder), "fairness", model.folder / "model.pth")
    assert [attribute["name"] for attribute in findings["attributes"]] == ["side", "age"]
    json.dumps(findings, allow_nan=False)

    before = (folder / "groups.csv").stat().st_mtime_ns
    assert call() == said
    assert (folder / "groups.csv").stat().st_mtime_ns == before
    call("--column", "side")
    assert {row["attribute"] for row in read_table(folder / "groups.csv")} == {"side"}
    call("--edges", "age=20,40", "--column", "age")
    assert "cut at the given edges" in (folder / "fairness.txt").read_text()


def test_wrong_options_are_named(annotated: tuple[Trained, Path]) -> None:
    model, people = annotated

    def refuse(status: int, *options: object) -> str:
        return error_line(call_script(model.paths, FAIRNESS, "model_00001", "fer", *options), status)

    assert "--attributes" in refuse(2)
    assert "no attribute 'height'; it has side, age" in refuse(2, "--attributes", people, "--column", "height")
    assert "not COLUMN=A,B" in refuse(2, "--attributes", people, "--edges", "age=3,2")
    assert "side is not of numbers" in refuse(2, "--attributes", people, "--edges", "side=3")
    assert "no attribute 'height' to cut" in refuse(2, "--attributes", people, "--edges", "height=3")
    assert not (model.folder / "fairness").exists()
