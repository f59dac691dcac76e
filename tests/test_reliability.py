"""The reliability diagram and its table."""

from pathlib import Path

import numpy as np
import pytest
from drawing import assert_legible, texts
from test_calibration import simulate, sources

from emotorch.figures.reliability import reliability_figure, write_reliability
from emotorch.metrics.calibration import BINS, assess


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
