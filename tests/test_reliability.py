"""The reliability diagram and its table."""

import math
from pathlib import Path

import numpy as np
import pytest
from drawing import assert_legible, texts
from test_calibration import simulate, sources

from emotorch.figures.reliability import reliability_figure, write_reliability
from emotorch.metrics.calibration import BINS, Bin, Calibration, Reliability, assess


def test_the_diagram_is_legible_and_says_error_and_counts() -> None:
    outputs, labels = simulate(4.0, images=20_000)
    found = assess(outputs, labels, sources(20_000), 3.7, np.ones(20_000, bool))
    figure = reliability_figure(found, "model_00001: FER validation (held out)")
    said = texts(figure)
    for calibration in (found.before, found.after, found.crossed):
        assert any(f"expected error {calibration.ece:.1%}" in text for text in said)
        for content in calibration.bins:
            assert not content.images or f"{content.images:,}" in said
    assert_legible(figure)


def test_bins_of_few_images_are_hollow_and_no_part_of_the_curve() -> None:
    bins = [
        Bin(0.2, 0.4, 1, 1, 0.3),  # right by chance, which would be a spike
        Bin(0.4, 0.6, 10, 5, 0.5),
        Bin(0.6, 0.8, 9, 0, 0.7),
        Bin(0.8, 0.9, 0, 0, None),
        Bin(0.9, 1.0, 200, 190, 0.95),
    ]
    calibration = Calibration(220, bins, 0.1, 0.1, 0.2, 0.5, 0.5)
    figure = reliability_figure(Reliability(1.0, calibration, calibration, 0), "model_00001")
    (above, _) = figure.axes
    (hollow,) = (line for line in above.lines if line.get_label() == "bin of fewer than 10 images")
    assert hollow.get_markerfacecolor() == "white"
    assert np.array_equal(hollow.get_xydata(), [(30, 100), (70, 0)])
    assert above.get_legend() is None
    (curve,) = (line for line in above.lines if line.get_linestyle() == "-" and line.get_marker() == "o")
    accuracies = [50, math.nan, math.nan, 95]
    assert np.array_equal(np.asarray(curve.get_ydata()), [math.nan, *accuracies], equal_nan=True)
    assert "bin of fewer than 10 images" in texts(figure)
    assert_legible(figure)


def test_an_uncalibrated_model_has_one_panel(tmp_path: Path) -> None:
    outputs, labels = simulate(1.0, images=50)
    found = assess(outputs, labels, sources(50), 1.0, None)
    figure = reliability_figure(found, "model_00224_final")
    assert len(figure.axes) == 2
    assert_legible(figure)
    for name in ("first", "second"):
        write_reliability(tmp_path, name, found, "x")
    assert (tmp_path / "reliability_first.png").read_bytes() == (tmp_path / "reliability_second.png").read_bytes()


def test_the_table_holds_every_bin(tmp_path: Path) -> None:
    outputs, labels = simulate(2.0, images=500)
    found = assess(outputs, labels, sources(500), 2.0, np.ones(500, bool))
    write_reliability(tmp_path, "fer_val", found, "x")
    header, *rows = (tmp_path / "reliability_fer_val.csv").read_text().splitlines()
    assert header.startswith("calibration,confidence_above,confidence_to,images,correct")
    assert len(rows) == 3 * BINS
    after = [row.split(",") for row in rows[BINS : 2 * BINS]]
    assert sum(int(row[3]) for row in after) == 500
    gaps = [int(row[3]) * abs(float(row[6]) - float(row[5])) for row in after if row[3] != "0"]
    assert sum(gaps) / 500 == pytest.approx(found.after.ece, abs=1e-3)
