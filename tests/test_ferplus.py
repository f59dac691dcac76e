"""FER+: the labels and distributions that follow from votes, how they are joined to FER-2013, and what learns them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_images, refusal, write_small_fer
from running import EVALUATE, TRAIN, call_script, error_line, last_line, read_table

from emotorch.data import dataset, fer2013, subsets
from emotorch.data.ferplus import (
    COLUMNS,
    NO_MAJORITY,
    ROWS,
    Votes,
    distributions,
    find_votes,
    labelled,
    majorities,
    parse_counts,
    read_votes,
)
from emotorch.data.images import Pixels
from emotorch.data.layouts import Folder
from emotorch.data.selection import DatasetIndex, Factors, Selection, select
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import FER, FER_USAGES, FERPLUS_CLASSES
from emotorch.emotion_names import emotion_name
from emotorch.errors import UsageError
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_1, STAGE_2, Paths
from emotorch.training.losses import smoothed

pytestmark = pytest.mark.usefixtures("undrawn")

FERPLUS = get_scheme("ferplus")
NAME = "fer2013new.csv"
# As the official rows are: 28,709 for training, 3,589 for each test.
USAGES = np.repeat(FER_USAGES, (28_709, 3_589, 3_589))
NONE = [0.0] * 8
NOBODY = (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)


@pytest.mark.parametrize(
    ("votes", "majority", "shares"),
    [
        ((10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, {0: 1}),
        # Single votes are dropped: five of nine are more than half, five of ten are not.
        ((5, 2, 2, 1, 0, 0, 0, 0, 0, 0), 0, {0: 5 / 9, 1: 2 / 9, 2: 2 / 9}),
        ((5, 3, 2, 0, 0, 0, 0, 0, 0, 0), None, {0: 5 / 8, 1: 3 / 8}),
        ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None, {0: 0.5, 1: 0.5}),
        # Three quarters are enough.
        ((6, 2, 2, 0, 0, 0, 0, 0, 0, 0), 0, {0: 0.6, 1: 0.2, 2: 0.2}),
        ((0, 0, 0, 8, 0, 0, 2, 0, 0, 0), 3, {3: 1}),
        ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), None, {0: 4 / 7, 4: 3 / 7}),
        # By a tie there would be four classes, or five.
        ((4, 2, 2, 2, 0, 0, 0, 0, 0, 0), None, {}),
        ((2, 2, 2, 2, 2, 0, 0, 0, 0, 0), None, {}),
        # Unknown or no face ends it, and counts among all votes.
        ((6, 0, 0, 0, 0, 0, 0, 0, 4, 0), 0, {0: 1}),
        ((5, 0, 0, 2, 0, 0, 0, 0, 3, 0), None, {}),
        ((4, 2, 0, 0, 0, 0, 0, 0, 2, 2), None, {0: 4 / 6, 1: 2 / 6}),
        ((0, 0, 0, 0, 0, 0, 0, 5, 5, 0), None, {}),
        ((4, 0, 0, 4, 0, 0, 0, 0, 2, 0), None, {0: 0.5, 3: 0.5}),
        ((3, 0, 0, 0, 0, 0, 0, 0, 7, 0), None, {}),
        (NOBODY, None, {}),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None, {}),
        ((0,) * 10, None, {}),
    ],
)
def test_the_published_rules(votes: tuple[int, ...], majority: int | None, shares: dict[int, float]) -> None:
    counts = np.array([votes, NOBODY, votes])
    number = NO_MAJORITY if majority is None else majority
    assert majorities(counts).tolist() == [number, NO_MAJORITY, number]
    expected = [shares.get(place, 0.0) for place in range(8)]
    assert distributions(counts) == pytest.approx(np.array([expected, NONE, expected]))


def test_a_majority_is_the_largest_class_of_a_distribution() -> None:
    counts = np.random.default_rng(3).multinomial(10, [0.3, 0.15, 0.15, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05], 5000)
    winners, shares = majorities(counts), distributions(counts)
    decided = winners != NO_MAJORITY
    assert 0.1 < decided.mean() < 0.9
    assert (shares[decided].argmax(1) == winners[decided]).all()
    assert shares.sum(1) == pytest.approx(shares.any(1).astype(float), abs=1e-6)
    assert (np.count_nonzero(shares, axis=1) <= 3).all()


# The file.


def rows_of(kinds: dict[int, tuple[int, ...]]) -> list[str]:
    """The official file's lines, with these votes in some rows and nobody in all others."""
    nobody = ",,".join(["", ",".join(map(str, NOBODY))])
    lines = [f"{usage}{nobody}" for usage in USAGES.tolist()]
    for row, votes in kinds.items():
        lines[row] = f"{USAGES[row]},fer{row:07d}.png,{','.join(map(str, votes))}"
    return lines


def write_votes(path: Path, lines: list[str], header: str = ",".join(COLUMNS)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_votes_are_found_however_their_lines_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(end.join([",".join(COLUMNS), *rows_of({})[:2], ""]).encode())
    assert list(find_votes(Folder.read(tmp_path))) == [path]


@pytest.mark.slow
def test_a_file_of_other_columns_or_rows_is_refused(tmp_path: Path) -> None:
    lines = rows_of({})
    path = write_votes(tmp_path / NAME, lines, "\ufeff" + ",".join(COLUMNS))
    votes = read_votes(path)
    assert (votes.counts.shape, Counter(votes.usages.tolist())) == ((ROWS, 10), Counter(USAGES.tolist()))
    with refusal(
        f"{write_votes(path, lines[:200])}: 200 rows; FER+ has 35,887, one for each row of FER-2013's official"
    ):
        read_votes(path)
    with refusal(f"{write_votes(path, lines, 'Usage,neutral')}, line 1: not FER+'s columns"):
        read_votes(path)
    for line, message in (
        ("Training,a.png,1,2,3", "line 8: 5 fields instead of 12"),
        ("training,,0,0,0,0,0,0,0,0,0,10", "line 8: unknown usage 'training'"),
        ("Training,,0,0,0,0,0,0,0,0,-1,10", "line 8: unknown is '-1', no number of votes"),
        ("Training,,0,0,0.5,0,0,0,0,0,0,10", "line 8: surprise is '0.5', no number of votes"),
    ):
        write_votes(path, [*lines[:6], line, *lines[7:]])
        with refusal(f"{path}, {message}"):
            read_votes(path)


# Joined by row.


def joined(folder: Path, rows: dict[int, str], skipped: int | None = None) -> list[SourceImage]:
    """Rows of FER-2013, each with its usage, after stage 1, labelled by eight votes for fear and two for nobody."""
    (folder / "manifest.csv").write_text("\n".join(["row,usage", *(f"{row},{usage}" for row, usage in rows.items())]))
    if skipped is not None:
        (folder / "skipped_rows.csv").write_text(f"row,line,reason\n{skipped},{skipped + 2},?\n")
    counts = np.tile((0, 0, 0, 0, 0, 0, 8, 0, 0, 2), (ROWS, 1))
    images = [SourceImage(folder / f"{row}.png", "fear", Reading.FACE, usage=usage) for row, usage in rows.items()]
    return labelled(images, folder, Votes(folder / NAME, USAGES, counts))


def test_whole_usages_may_be_missing_and_no_other_rows(tmp_path: Path) -> None:
    training, public, private = FER_USAGES
    for rows, skipped in (
        ({0: training, 35_886: private}, None),
        ({0: training, 32_297: public}, None),
        ({0: training}, 28_708),
    ):
        images = joined(tmp_path, rows, skipped)
        assert {image.emotion for image in images} == {"fear"}
        assert images[0].votes == "0 0 0 0 0 0 8 0 0 2"
        (tmp_path / "skipped_rows.csv").unlink(missing_ok=True)
    for last, usage in ((35_885, private), (199, training), (35_887, private)):
        with refusal(f"{tmp_path / NAME}: FER-2013's CSV has {last + 1:,} rows here; FER+ is joined by row"):
            joined(tmp_path, {0: training, last: usage})
    with refusal(
        f"{tmp_path / NAME}, line 28711: PublicTest, but row 28709 of FER-2013's CSV is Training: the rows of"
    ):
        joined(tmp_path, {0: training, 28_709: training, 35_886: private})


def test_votes_that_are_not_about_the_rows_are_refused(tmp_path: Path) -> None:
    """Where the one file's rows stand in another order than the other's, their labels hardly ever agree."""
    emotions = np.array(FER.classes)[np.arange(300) % 7].tolist()
    (tmp_path / "manifest.csv").write_text("row,usage\n" + "".join(f"{row},Training\n" for row in range(300)))
    (tmp_path / "skipped_rows.csv").write_text("row,line,reason\n28708,28710,?\n")
    images = [SourceImage(tmp_path / "x.png", emotion, Reading.FACE, usage="Training") for emotion in emotions]
    by_class = {emotion_name(name): number for number, name in enumerate(FERPLUS_CLASSES)}
    counts = np.zeros((ROWS, 10), np.int64)
    counts[np.arange(300), [by_class[emotion] for emotion in emotions]] = 10
    votes = Votes(tmp_path / NAME, USAGES, counts)
    assert len(labelled(images, tmp_path, votes)) == 300
    with refusal(f"{tmp_path / NAME}: its majorities are FER-2013's own labels for 0% of the images"):
        labelled([*images[1:], images[0]], tmp_path, votes)


# The whole way: of FER-2013 the few rows whose pixels are whole.

# Of each class a row with a majority, and rows with a distribution alone and with neither, in every usage.
KINDS = (
    *((*np.roll([8, 2, 0, 0, 0, 0, 0, 0], number).tolist(), 0, 0) for number in range(8)),
    (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, 0, 0, 6, 4),
)
STARTS = {"Training": 0, "PublicTest": 28_709, "PrivateTest": 32_298}


def write_official(paths: Paths) -> None:
    """`fer2013.csv` and FER+'s votes, of which three times ten rows of each usage have pixels."""
    faces = iter(draw_images(90, seed=2))
    with_pixels: dict[int, Pixels] = {start + number: next(faces) for start in STARTS.values() for number in range(30)}
    lines = [f"3,?,{usage}" for usage in USAGES.tolist()]
    for row, pixels in with_pixels.items():
        lines[row] = f"{row % 7},{' '.join(map(str, pixels.ravel().tolist()))},{USAGES[row]}"
    paths.fer_csv.parent.mkdir(parents=True)
    paths.fer_csv.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    votes = {start + number: KINDS[number % 10] for start in STARTS.values() for number in range(30)}
    write_votes(paths.raw / "FERPlus-master" / NAME, rows_of(votes))


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A root after stages 1 and 2 by FER+'s votes; not to be changed."""
    paths = Paths(tmp_path_factory.mktemp("voted"))
    write_official(paths)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=True)
    done = call_script(paths, STAGE_2, "--scheme", "ferplus", "--workers", 1)
    assert done.returncode == 0, done.stderr
    (paths.root / "said.txt").write_text(done.stdout + done.stderr)
    return paths


def test_stage_2_labels_by_the_votes_and_keeps_them(voted: Paths) -> None:
    rows = read_table(voted.for_scheme("ferplus").originals / "manifest.csv")
    assert list(rows[0])[-1] == "votes"
    assert Counter((row["usage"], row["emotion"]) for row in rows) == {
        (usage, emotion): 3 + 3 * (emotion == "neutral") for usage in FER_USAGES for emotion in FERPLUS_CLASSES
    }
    counts = parse_counts([row["votes"] for row in rows])
    numbers = [int(Path(row["source"]).stem.rpartition("_")[2]) for row in rows]
    assert {number: tuple(count) for number, count in zip(numbers, counts.tolist(), strict=True)} == {
        start + number: KINDS[number % 10] for start in STARTS.values() for number in range(30) if number % 10 != 9
    }
    assert all(row["usage"] == USAGES[number] for row, number in zip(rows, numbers, strict=True))
    said = (voted.root / "said.txt").read_text()
    assert "FERPlus-master/fer2013new.csv: FER+, the votes on FER-2013's rows, of which --scheme ferplus takes" in said
    assert "FER+: 72 of 90 images have a majority, which is FER-2013's own label for " in said
    assert "; 9 more have a distribution alone (they train by targets=votes); 9 are left out" in said


def selected(paths: Paths, targets: str, usage: str = "official") -> Selection:
    return select(DatasetIndex.load(paths, FERPLUS), Factors(1, 0, 0, 0), fer_usage=usage, targets=targets, seed=1)


def test_who_has_no_majority_trains_by_the_votes_and_is_never_scored(voted: Paths) -> None:
    by_majority, by_votes = selected(voted, "majority"), selected(voted, "votes")
    assert (len(by_majority.training), len(by_votes.training)) == (24, 27)
    assert len(by_votes.validation["fer"]) == len(by_majority.validation["fer"]) == 24
    for usage in ("all", "training", "search", "fold1"):
        held_out = selected(voted, "votes", usage).validation["fer"]
        assert held_out.vote_shares is not None
        assert (held_out.vote_shares.max(1) > 0.5).all()
    shares = by_votes.training.vote_shares
    assert shares is not None
    assert np.count_nonzero((shares == 0.5).sum(1) == 2) == 3
    assert shares.argmax(1).tolist() == by_votes.training.labels.tolist()
    assert len(DatasetIndex.load(voted, FERPLUS).originals_of("FER")) == 72


def test_subsets_are_of_images_with_a_majority(voted: Paths) -> None:
    made = subsets.create(voted, FERPLUS, augmented=False, fer_usage="official", force=False)
    assert [subset.images for subset in made] == [24, 24, 24]


def test_votes_are_asked_for_where_there_are_some(voted: Paths) -> None:
    assert not dataset.create(voted, get_scheme("seven"), workers=1, force=False).up_to_date
    index = DatasetIndex.load(voted, get_scheme("seven"))
    assert (index.votes, len(index.originals_of("FER"))) == (None, 90)
    with pytest.raises(UsageError, match=r"targets=votes: only FER-2013 with --scheme ferplus has votes"):
        select(index, Factors(1, 0, 0, 0), fer_usage="official", targets="votes", seed=1)


def test_without_votes_or_rows_the_scheme_says_what_is_missing(paths: Paths) -> None:
    write_small_fer(paths, rows=14, twins=0)
    assert call_script(paths, STAGE_1).returncode == 0
    done = call_script(paths, STAGE_2, "--scheme", "ferplus")
    assert f"{paths.raw}: no fer2013new.csv in it, FER+'s votes" in error_line(done)
    path = write_votes(paths.raw / "plus" / NAME, rows_of({})[:14])
    assert f"{path}: 14 rows; FER+ has 35,887" in error_line(call_script(paths, STAGE_2, "--scheme", "ferplus"))
    done = call_script(paths, STAGE_2)
    assert done.returncode == 0
    assert f"FER-Datasets/plus/{NAME}: FER+, the votes on FER-2013's rows" in done.stderr
    assert not paths.for_scheme("ferplus").originals.exists()


@pytest.mark.slow
def test_a_model_learns_the_votes_and_is_scored_by_the_majority(voted: Paths) -> None:
    options = (
        "--recipe",
        "emotion_cnn",
        "--scheme",
        "ferplus",
        "--epochs",
        1,
        "--threads",
        1,
        "--set",
        "targets=votes",
    )
    folder = Path(last_line(call_script(voted, TRAIN, *options)))
    outcome = (folder / "final_accuracies.csv").read_text()
    assert "Total Training Images,27" in outcome
    assert "Total Validation Images,24" in outcome
    done = call_script(voted, EVALUATE, folder, "fer-private")
    assert "24 images, accuracy" in done.stdout, done.stderr
    assert call_script(voted, "develop_baseline_model/models/write_model_card.py", folder).returncode == 0
    card = (folder / "README.md").read_text()
    assert "the majority of ten people's votes. The votes themselves were learned, as soft targets." in card


def test_a_class_that_only_other_datasets_have_is_one_of_the_scheme_s() -> None:
    assert FERPLUS.labels == FERPLUS_CLASSES
    assert FERPLUS.sources["CKP"]["contempt"] == FERPLUS.label_of("contempt") == "contempt"
    assert {emotion_name(label) for label in FERPLUS.sources[FER.name].values()} == set(FER.classes)


def test_targets_take_the_place_of_labels() -> None:
    shares = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert torch.allclose(smoothed(shares, 0.2), torch.tensor([[0.45, 0.45, 0.05, 0.05]]))
