import csv
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from emotorch.paths import REPOSITORY

RESULTS = REPOSITORY / "docs" / "results"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(RESULTS)
    return importlib.import_module("write_tables")


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["write_tables.py", *options])
    status: int = module.main()
    return status


def test_the_committed_tables_are_what_the_script_writes() -> None:
    command = [sys.executable, str(RESULTS / "write_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun python docs/results/write_tables.py, and commit"


def test_a_table_out_of_date_is_named_and_left_by_check_and_written_without(
    tables: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("68.05")
    monkeypatch.setattr(tables, "pages", lambda: {page: "68.04"})
    assert run(tables, monkeypatch, "--check") == 1
    assert capsys.readouterr().out == f"{page}: out of date\n"
    assert page.read_text() == "68.05"
    assert run(tables, monkeypatch) == 0
    assert page.read_text() == "68.04"
    assert run(tables, monkeypatch, "--check") == 0


def test_help_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", str(RESULTS / "write_tables.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "python docs/results/write_tables.py" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "torch", "pandas", "jinja2"}


def test_every_earlier_figure_stands_in_a_table_with_its_command(tables: ModuleType) -> None:
    page = (RESULTS / "earlier.md").read_text(encoding="utf-8")
    with (RESULTS / "earlier.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = {name: tables.earlier_table(name) for name in {row["table"] for row in rows}}
    for row in rows:
        assert shown[row["table"]] in page
        lines = [line for line in shown[row["table"]].splitlines() if f"| {row['what']} |" in line]
        assert any(row["figure"] in line and row["command"].split(", then ")[-1] in line for line in lines), row
        assert row["command"] or row["note"] == "no command is left"


def test_a_column_of_numbers_alone_is_set_to_the_right(tables: ModuleType) -> None:
    rows = [{"name": "a", "n": "1,985", "accuracy": "51.59 (49.39–53.78)"}, {"name": "b", "n": "", "accuracy": "60"}]
    assert tables.markdown(rows) == (
        "| name | n | accuracy |\n| --- | --: | --- |\n| a | 1,985 | 51.59 (49.39–53.78) |\n| b |  | 60 |"
    )


def test_what_a_scoring_printed_is_read_line_by_line(tables: ModuleType, tmp_path: Path) -> None:
    record = tmp_path / "record.txt"
    record.write_text(
        "$ python evaluate_model.py a fer\na on fer: 10 images, accuracy 50.00% (95% interval 23.66-76.34)\n"
        "calibration: expected error 3.61% as trained\n"
        "with test-time augmentation (10 copies: mirror images): 10 images, accuracy 60.00% "
        "(95% interval 31.27-83.18)\n"
    )
    first, second = tables.printed(record)
    assert first == {
        "command": "python evaluate_model.py a fer",
        "what": "a on fer",
        "n": "10",
        "accuracy": "50.00 (23.66–76.34)",
    }
    assert second["what"] == "with test-time augmentation (10 copies: mirror images)"
    assert second["what"].startswith(tables._AUGMENTED)
