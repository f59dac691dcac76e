"""Tables: one frame, and the same columns in every form."""

import sys
from pathlib import Path
from subprocess import run

import pandas as pd
import pytest

from emotorch.tables import Format, Table, p_value, to_markdown, to_text, with_interval, write_table


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame(
        {
            "model": ["a|b", "longer name", "é"],
            "images": pd.array([1234, None, 5], dtype="Int64"),
            "accuracy": [61.234567, float("nan"), 7.0],
            "interval": [(59.0, 63.5), None, (1.0, 2.0)],
            "note": ["x, y", None, 'say "no"'],
        }
    )
    formats: dict[str, Format] = {
        "images": "{:,}",
        "accuracy": "{:.1f}",
        "interval": lambda ends: f"{ends[0]:.0f}-{ends[1]:.0f}",
    }
    return Table(frame, formats, csv_formats={"images": "{}", "accuracy": "{:.4f}"})


def test_the_console_has_numbers_to_the_right_and_text_to_the_left(table: Table) -> None:
    assert to_text(table).splitlines() == [
        "model        images  accuracy  interval  note",
        "a|b           1,234      61.2     59-64  x, y",
        "longer name       –         –         –  –",
        'é                 5       7.0       1-2  say "no"',
    ]


def test_markdown_escapes_what_would_end_a_cell(table: Table) -> None:
    assert to_markdown(table).splitlines() == [
        "| model | images | accuracy | interval | note |",
        "| --- | ---: | ---: | ---: | --- |",
        "| a\\|b | 1,234 | 61.2 | 59-64 | x, y |",
        "| longer name | – | – | – | – |",
        '| é | 5 | 7.0 | 1-2 | say "no" |',
    ]


def test_a_file_holds_unknown_numbers_as_nan_and_quotes_what_it_must(table: Table, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", table)
    assert (tmp_path / "table.csv").read_bytes().decode() == (
        "model,images,accuracy,interval,note\n"
        'a|b,1234,61.2346,59-64,"x, y"\n'
        "longer name,,NaN,,\n"
        'é,5,7.0000,1-2,"say ""no"""\n'
    )


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    empty = Table(pd.DataFrame({"model": [], "images": []}))
    write_table(tmp_path / "empty.csv", empty)
    assert (tmp_path / "empty.csv").read_text() == "model,images\n"
    assert to_text(empty) == "model  images"


def test_intervals_and_p_values_look_alike_everywhere() -> None:
    assert with_interval(1)((54.71, 50.08, 58.2)) == "54.7 (50.1–58.2)"
    assert with_interval(2, signed=True)((4.7, -0.1, 8.2)) == "+4.70 (-0.10 to +8.20)"
    assert with_interval(1, signed=True)((-0.01, -0.1, 0.1)) == "+0.0 (-0.1 to +0.1)"
    assert [p_value(p) for p in (0.00009, 0.0001, 1.0)] == ["<0.0001", "0.0001", "1.0000"]


def test_pandas_is_imported_only_for_a_table() -> None:
    check = "import sys, emotorch.tables; sys.exit('pandas' in sys.modules)"
    assert run([sys.executable, "-c", check], check=False).returncode == 0
