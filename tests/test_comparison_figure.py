import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from drawing import assert_legible, texts
from matplotlib.figure import Figure
from PIL import Image

from emotorch.analyses import comparison as sweep_pictures
from emotorch.analyses.comparison import Comparison
from emotorch.analyses.criterion import LOSS, MACRO_F1
from emotorch.analyses.distance import Distance, Weights
from emotorch.analyses.watched import Kind, WatchedRun
from emotorch.figures.canvas import save
from emotorch.metrics.scores import Score
from emotorch.seeding import generator

LABELS = ("anger", "fear", "calm", "surprise")
FACTORS = {"fer": (0.9, 1.0), "fer_aug": (0.0, 0.1), "ckp": (0.9, 1.0), "ckp_aug": (0.0, 0.1)}


def make_run(number: int, distance: float, *, ckp: bool = True, collapsed: bool = False, **recipe: float) -> Distance:
    rng = generator("run", number)
    return Distance(
        model=f"model_{number:05d}",
        combined=distance,
        accuracy=1.0,
        fer=distance / 2 if ckp else distance,
        ckp=distance / 2 if ckp else math.nan,
        accuracies=(60.0, 55.0),
        differences=(0.0, 1.0),
        has_ckp=ckp,
        classes=4,
        never_predicted=LABELS[1:] if collapsed else (),
        factors={name: float(rng.uniform(*limits)) for name, limits in FACTORS.items()},
        recipe=recipe,
        synthetic=True,
        counts=[],
        low=0.7 * distance,
        high=1.2 * distance,
    )


def make_runs(count: int, *, ckp: bool = True) -> list[Distance]:
    distances = np.sort(np.exp(generator("distances", count).normal(-4, 0.4, count))).tolist()
    return [make_run(number, distance, ckp=ckp) for number, distance in enumerate(distances, start=1)]


def draw(*runs: Distance) -> Figure:
    return sweep_pictures.comparison_figure(Comparison(runs, [], Path("table.csv"), Weights()))


def watched_runs(count: int) -> list[WatchedRun]:
    kinds = [
        Kind("seven", "trained on FER (official)", "", MACRO_F1),
        Kind("seven", "trained on RAF-DB", "cross_entropy", LOSS),
    ]
    return [
        WatchedRun(
            model=f"model_{number:05d}",
            accuracies=(70.0, 60.0 + number),
            macro_f1=61.0 + number,
            has_ckp=False,
            classes=7,
            never_predicted=(),
            factors={"fer": 1.0},
            recipe={"learning_rate": 10.0**-number},
            synthetic=True,
            low=59.0 + number if kind.loss == "" else math.nan,
            high=63.0 + number if kind.loss == "" else math.nan,
            kind=kind,
            reason="",
            score=Score(2.0 - number / 10, 60.0 + number, 61.0 + number, 100),
        )
        for kind in kinds
        for number in range(1, count + 1)
    ]


def draw_watched(*runs: WatchedRun, distances: Sequence[Distance] = ()) -> Figure:
    return sweep_pictures.comparison_figure(Comparison(distances, [], Path("table.csv"), Weights(), runs))


def rates(count: int) -> list[Distance]:
    return [
        make_run(number, 0.01 * number, learning_rate=10.0**-number, epochs=number) for number in range(1, count + 1)
    ]


FIGURES = {
    "one run": lambda: draw(make_run(1, 0.02)),
    "three runs": lambda: draw(*make_runs(3)),
    "sixty runs": lambda: draw(*make_runs(60)),
    "a thousand runs": lambda: draw(*make_runs(1000)),
    "without CK+": lambda: draw(*make_runs(20, ckp=False)),
    "with and without": lambda: draw(*make_runs(70), *make_runs(30, ckp=False)),
    "collapsed": lambda: draw(*make_runs(10), make_run(99, 0.6, collapsed=True)),
    "recipes": lambda: draw(*rates(5)),
    "at distance 0": lambda: draw(make_run(1, 0.0), make_run(2, 0.1)),
    "all at distance 0": lambda: draw(make_run(1, 0.0)),
    "of seven classes": lambda: draw_watched(*watched_runs(9)),
    "of seven classes beside others": lambda: draw_watched(*watched_runs(9), distances=make_runs(3)),
    "far apart": lambda: draw(make_run(1, 1e-5), make_run(2, 900.0)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_covers_another(name: str) -> None:
    assert_legible(FIGURES[name]())


def test_panels_are_the_rank_and_what_varies() -> None:
    def panels(*runs: Distance) -> list[str]:
        return [axes.get_xlabel() for axes in draw(*runs).axes if axes.axison]

    assert panels(make_run(1, 0.1)) == ["rank"]
    assert panels(*make_runs(2)) == ["rank", "fer", "fer aug", "ckp", "ckp aug"]
    assert panels(*make_runs(2, ckp=False)) == ["rank", "fer", "fer aug"], "without CK+ its factors choose nothing"
    figure = draw(*rates(4))
    assert panels(*rates(4))[5:] == ["epochs", "learning rate"]
    scales = {axes.get_xlabel(): axes.get_xscale() for axes in figure.axes if axes.axison}
    assert scales["learning rate"] == "log"
    assert {scales[name] for name in ("rank", "fer", "fer aug", "epochs")} == {"linear"}


def test_it_says_how_many_collapsed_the_best_and_the_recreation() -> None:
    figure = draw(make_run(1, 0.01, collapsed=True), make_run(2, 0.03), make_run(3, 0.05), make_run(4, 0.0))
    said = texts(figure)
    assert "4 runs compared with the published original (synthetic faces)" in said
    assert {
        "95% interval",
        "run (2)",
        "run that collapsed to one class (1)",
        "best: model_00002, 0.03000",
        "published recreation, FER and CK+: 0.02016",
        "not drawn: 1 at distance 0",
    } <= set(said)
    assert all(axes.get_yscale() == "log" for axes in figure.axes if axes.axison)


def test_runs_without_ckp_have_panels_and_a_recreation_of_their_own() -> None:
    figure = draw(*make_runs(3), *make_runs(3, ckp=False))
    heights = {
        round(line.get_ydata()[0], 5)
        for axes in figure.axes
        for line in axes.lines
        if axes.axison and len(line.get_ydata())
    }
    assert heights == {0.02016, 0.00475}
    assert {"run, FER and CK+ (3)", "run, FER alone (3)"} <= set(texts(figure))


def test_runs_without_an_original_have_panels_of_what_they_watch() -> None:
    figure = draw_watched(*watched_runs(3), distances=make_runs(2))
    rows = [axes for axes in figure.axes if axes.axison and axes.get_ylabel()]
    assert [axes.get_ylabel().splitlines()[0] for axes in rows if axes.get_xlabel() == "rank"] == [
        *("distance, FER and CK+", "validation macro-F1 %", "validation loss")
    ]
    assert [axes.get_yscale() for axes in rows if axes.get_xlabel() == "rank"] == ["log", "linear", "linear"]
    said = texts(figure)
    assert (
        "2 runs compared with the published original; 6 runs ranked by what their recipes watch (synthetic faces)"
        in (" ".join(text.split()) for text in said)
    )
    assert "run, scheme seven, trained on FER (official) (3)" in said
    assert "best: model_00001, 62.00%" in said


def test_every_run_and_line_is_within_the_panels() -> None:
    runs = [*make_runs(50), make_run(99, 0.7, collapsed=True)]
    for axes in draw(*runs).axes:
        if not axes.axison:
            continue
        low, high = axes.get_ylim()
        for x, y in np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections[-3:]]):
            assert low < y < high
            assert axes.get_xlim()[0] < x < axes.get_xlim()[1]
        assert low < axes.lines[0].get_ydata()[0] < high


def test_equal_comparisons_give_equal_readable_pictures(tmp_path: Path) -> None:
    comparison = Comparison(make_runs(30), [], Path("table.csv"), Weights())
    first, second = (save(sweep_pictures.comparison_figure(comparison), tmp_path / name) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        image.load()
        assert image.format == "PNG"
        assert all(350 <= side <= 3000 for side in image.size)
