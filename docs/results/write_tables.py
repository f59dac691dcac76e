"""Writes the tables of docs/results/ and the results table of README.md from records: no figure is typed by hand.

Reads  baseline_model/model/*/ and docs/results/records/*/: records of finished runs; docs/results/records/*.txt: what
       a scoring printed, below its command, docs/results/records/sweeps/*.txt: what write_report.py printed of a
       sweep; docs/results/sweep_best_of_n.csv; docs/results/earlier.csv: figures whose run records are lost
Writes docs/results/README.md and earlier.md, by docs/results/templates/, and the part of README.md between the marks
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from emotorch import cli

RESULTS = Path(__file__).resolve().parent
RECORDS = RESULTS / "records"
REPOSITORY = RESULTS.parents[1]
README = REPOSITORY / "README.md"
MARKS = ("<!-- results: written by docs/results/write_tables.py -->", "<!-- end of results -->")

SHIPPED = ("emotorch", "compact")  # in baseline_model/model/
SPEEDRUNS = tuple(f"speedrun-seed{seed}" for seed in range(5))
# In records/: what shipped before, its steps, and what else the trainings of `compact` are compared with.
RECORDED = (
    "emotorch-before",
    "compact-seed1",
    "compact-seed2",
    "teacher1",
    "teacher2",
    "teacher3",
    "compact-step1",
    "compact-step2",
    "compact-step3",
    *SPEEDRUNS,
)
SCRIPTS = "python develop_baseline_model/models/"
LOST = "†"  # behind a figure whose record is lost
# Corruptions that `compact` is trained on since it is robust, and those of the same kind that it never saw.
_CORRUPTIONS_TOGETHER = {
    "noise, blur and downscaling": ("noise", "blur", "downscaling"),
    "jpeg and low light": ("jpeg", "low_light"),
}
# Sizes of a sweep whose best is shown.
_SHOWN_SIZES = ("1", "10", "40", "100", "300", "1000")
# How the line of a scoring with test-time augmentation begins; earlier versions said "mean over 10 views".
_AUGMENTED = ("with test-time augmentation", "mean over")
# What a scoring prints of some images.
_PRINTED = re.compile(
    r"(?P<what>.*?):? (?P<n>\d+) images, accuracy (?P<value>[\d.]+)% \(95% interval (?P<interval>.+?)\)"
)

Row = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Record:
    """What the folder of a finished run tells.

    Attributes:
        name: The folder's.
        run: Its run.json.
        sets: Of scores/findings.json: each set of images with its confusion counts and calibration; none where only
            the training is recorded.
    """

    folder: Path
    run: Mapping[str, Any]
    sets: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Record":
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        findings = folder / "scores" / "findings.json"
        return cls(folder, run, json.loads(findings.read_text(encoding="utf-8"))["sets"] if findings.exists() else [])

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def official(self) -> bool:
        """Whether FER-2013's PublicTest is what it was validated on."""
        return bool(self.run["settings"]["recipe"]["fer_usage"] == "official")

    @property
    def argument(self) -> str:
        """What names the run in a command: MODEL where it does not ship, and must be trained first."""
        return self.name if self.name in SHIPPED else "MODEL"

    def title(self, name: str) -> str:
        if name == "fer-public" or self.official:
            return "PublicTest"
        titles = {"fer_val": "validation images: originals and variants", "ckp_val": "CK+: validation images"}
        return titles.get(name, "held-out originals")

    def role(self, name: str) -> str:
        if name == "fer-public":
            return "unseen"
        return "partly chose the epoch" if name == "fer_reference" else "chose the epoch"

    def command(self, name: str) -> str:
        if self.title(name) == "PublicTest":
            return f"evaluate_model.py {self.argument} fer-public"
        is_validation = name.endswith("_val")
        return f"write_model_card.py {self.argument}" if is_validation else f"evaluate_model.py {self.argument} fer"


def main() -> int:
    parser = cli.make_parser(__doc__ or "", "python docs/results/write_tables.py")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is out of date")
    options = parser.parse_args()

    stale = {path: text for path, text in pages().items() if _content(path) != text}
    for path, text in stale.items():
        if not options.check:
            path.write_text(text, encoding="utf-8")
        print(f"{path}: {'out of date' if options.check else 'written'}")
    return cli.EXIT_FAILED if stale and options.check else 0


def pages() -> dict[Path, str]:
    """Every file that this script writes, with its content."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from emotorch.analyses.distance import PUBLISHED_RECREATION

    shipped = [Record.read(REPOSITORY / "baseline_model" / "model" / name) for name in SHIPPED]
    records = [*shipped, *(Record.read(RECORDS / name) for name in RECORDED)]
    templates = Environment(
        loader=FileSystemLoader(RESULTS / "templates"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    values = {
        "trainings": partial(trainings, records),
        "scores": partial(scores, records),
        "distances": partial(distances, records),
        "classes": partial(classes, shipped),
        "calibration": partial(calibration, records),
        "robustness": partial(robustness, records),
        "printed": printed_table,
        "compared": compared,
        "said": said,
        "recreation": PUBLISHED_RECREATION,
        "best_of_n": best_of_n,
        "earlier": earlier_table,
    }
    names = ("README.md", "earlier.md")
    written = {RESULTS / name: templates.get_template(f"{name}.j2").render(values) for name in names}
    before, _, rest = _content(README).partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return written | {README: f"{before}{MARKS[0]}\n{front_table(records)}\n{MARKS[1]}{after}"}


def trainings(records: Iterable[Record]) -> str:
    from emotorch.reports.reproduction import commands

    def row(record: Record) -> Row:
        training = record.run["scores"]["training"]
        made_by = commands(record.run)
        return {
            "model": f"`{record.name}`",
            "training images": f"{training['images']:,}",
            "accuracy on them, %": f"{training['accuracy']:.2f}",
            "epochs": str(record.run["epochs_completed"]),
            "best": str(record.run["best_epoch"]),
            "validation accuracy, best and last, %": _best_and_last(record),
            "minutes of training": f"{record.run['timings_s']['training'] / 60:.1f}",
            "command": f"`{made_by[-1]}`" if made_by else "only the code of its time makes it",
        }

    return markdown(map(row, records))


def _best_and_last(record: Record) -> str:
    """The validation accuracy in the chosen epoch, whose weights are kept, and in the last one."""
    path = record.folder / "training_history_fer.csv"
    if not path.exists():
        return ""
    reached = [float(row["fer_val_accuracy"]) for row in _table(path)]
    return f"{reached[record.run['best_epoch'] - 1]:.2f}, {reached[-1]:.2f}"


def scores(records: Iterable[Record]) -> str:
    from emotorch.metrics.confusion import macro_f1

    rows = []
    for record in records:
        for found in record.sets:
            counts = _counts(found)
            rows.append(
                _score_row(record, found["name"], int(counts.trace()), int(counts.sum()), float(macro_f1(counts)))
                | {"without twins": _without_twins(found)}
            )
        reference = record.run["scores"]["fer_reference"]
        if not record.official:
            right = round(reference["accuracy"] * reference["images"] / 100)
            rows.append(_score_row(record, "fer_reference", right, reference["images"], reference["macro_f1"]))
    order = ("model", "images", "these", "n", "accuracy, %", "without twins", "macro-F1, %", "command")
    return markdown({name: row.get(name, "") for name in order} for row in rows)


def _score_row(record: Record, name: str, right: int, images: int, macro_f1: float) -> dict[str, str]:
    from emotorch.metrics.intervals import wilson_interval

    return {
        "model": f"`{record.name}`",
        "images": record.title(name),
        "these": record.role(name),
        "n": f"{images:,}",
        "accuracy, %": _with_interval(100 * right / images, *wilson_interval(right, images)),
        "macro-F1, %": f"{macro_f1:.2f}",
        "command": f"`{SCRIPTS}{record.command(name)}`",
    }


def _without_twins(found: Mapping[str, Any]) -> str:
    for line in found["lines"]:
        match = _PRINTED.match(line)
        if match and re.search(r"training( image)?; without", match["what"]):
            return f"{match['value']} ({_dashed(match['interval'])}), n {int(match['n']):,}"
    return ""


def distances(records: Iterable[Record]) -> str:
    from emotorch.analyses.distance import Weights, add_interval, measure, recreation_distance
    from emotorch.runs.folder import Run

    def row(model: str, fer: float, ckp: float, together: str, images: Mapping[str, int]) -> dict[str, str]:
        return {
            "model": model,
            "on FER": f"{fer:.5f}",
            "images of FER": f"{images['fer']:,}" if images else "",
            "on CK+": "" if math.isnan(ckp) else f"{ckp:.5f}",
            "images of CK+": f"{images['ckp']:,}" if images.get("ckp") else "",
            "together": together,
            "command": f"`{SCRIPTS}compare_models_to_original.py`",
        }

    weights = Weights()
    rows = []
    for record in records:
        if record.run["recipe"] == "emotorch":
            found = add_interval(measure(Run(record.folder), record.run, weights), weights)
            together = f"{found.combined:.5f} ({found.low:.5f}–{found.high:.5f})"
            rows.append(row(f"`{record.name}`", found.fer, found.ckp, together, record.run["counts"]))
    fer, complete = (recreation_distance(weights, complete=complete) for complete in (False, True))
    published = "the published recreation, best of 300, its split not free of leaks"
    return markdown([*rows, row(published, fer, complete - fer, f"{complete:.5f}", {})])


def classes(records: Iterable[Record], name: str) -> str:
    """Precision, recall and F1 of each class on the PublicTest, of the model of this name."""
    from emotorch.metrics.confusion import class_scores

    record = next(record for record in records if record.name == name)
    counts = next(found["counts"] for found in record.sets if record.title(found["name"]) == "PublicTest")
    return markdown(
        {
            "class": score.label,
            "n": f"{score.images:,}",
            "precision, %": f"{score.precision:.1f}",
            "recall, %": f"{score.recall:.1f}",
            "F1, %": f"{score.f1:.1f}",
        }
        for score in class_scores(counts, record.run["labels"])
    )


def calibration(records: Iterable[Record]) -> str:
    return markdown(
        {
            "model": f"`{record.name}`",
            "images": record.title(found["name"]),
            "n": f"{found['reliability']['before']['images']:,}",
            "ECE as trained, %": f"{100 * found['reliability']['before']['ece']:.2f}",
            "with its temperature": f"{100 * found['reliability']['after']['ece']:.2f}",
            "cross-fitted": f"{100 * found['reliability']['crossed']['ece']:.2f}",
            "by chance": f"{100 * found['reliability']['after']['by_chance']:.2f}",
            "Brier score": f"{found['reliability']['after']['brier']:.4f}",
            "NLL": f"{found['reliability']['after']['nll']:.4f}",
            "command": f"`{SCRIPTS}write_model_card.py {record.argument}`",
        }
        for record in records
        for found in record.sets
    )


def robustness(records: Sequence[Record]) -> str:
    tables = {record: record.folder / "robustness" / "corruption_errors.csv" for record in records}
    errors = {
        record: {row["corruption"]: row for row in _table(path)} for record, path in tables.items() if path.exists()
    }
    rows = [
        {"corruption": name.replace("_", " ")} | {f"`{record.name}`": _error(of[name]) for record, of in errors.items()}
        for name in next(iter(errors.values()))
    ]
    for title, names in _CORRUPTIONS_TOGETHER.items():
        means = {
            f"`{record.name}`": f"{sum(float(of[name]['mean_error']) for name in names) / len(names):.2f}"
            for record, of in errors.items()
        }
        rows.append({"corruption": title} | means)
    commands = {f"`{record.name}`": f"`{SCRIPTS}measure_robustness.py {record.argument}`" for record in errors}
    return markdown([*rows, {"corruption": "command"} | commands])


def _error(row: Row) -> str:
    return f"{row['mean_error']} ({row['mean_error_low']}–{row['mean_error_high']})"


def printed_table() -> str:
    return markdown(
        {
            "what": score["what"],
            "n": f"{int(score['n']):,}",
            "accuracy, %": score["accuracy"],
            "command": f"`{score['command']}`",
        }
        for path in sorted(RECORDS.glob("*.txt"))
        for score in printed(path)
    )


def said(name: str) -> str:
    """What write_report.py said of a sweep, a sentence to a line, below its command; its last line is the page."""
    command, *lines, _ = (RECORDS / "sweeps" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join([f"By `{command.removeprefix('$ ')}`:", "", *(f"- {line}" for line in lines)])


def compared(name: str) -> str:
    """What compare_runs.py printed, below its command, of whole runs: without its notes and the recalls of classes."""
    command, _, printed = (RECORDS / f"{name}-compared.txt").read_text(encoding="utf-8").partition("\n")
    images, *blocks = printed.split("\n\n")
    shown = [block for block in blocks if "accuracy" in block.splitlines()[0]]
    lines = [f"By `{command.removeprefix('$ ')}`: {images.splitlines()[0]}.", "", "```", "\n\n".join(shown), "```"]
    return "\n".join(lines)


def best_of_n() -> str:
    rows = _table(RESULTS / "sweep_best_of_n.csv")
    shown = [row for row in rows if row["runs"] in _SHOWN_SIZES or row is _last_observed(rows)]
    return markdown(
        {
            "runs": f"{int(row['runs']):,}",
            "distance of the best": row["expected"],
            "95% interval": f"{row['low']}–{row['high']}",
            "from": row["basis"],
        }
        for row in shown
    )


def _last_observed(rows: Sequence[Row]) -> Row:
    return [row for row in rows if row["basis"] == "these runs"][-1]


def printed(path: Path) -> list[Row]:
    """Every accuracy of a scoring's output, whose first line is its command behind `$ `."""
    command, *lines = path.read_text(encoding="utf-8").splitlines()
    return [
        {
            "command": command.removeprefix("$ "),
            "what": match["what"],
            "n": match["n"],
            "accuracy": f"{match['value']} ({_dashed(match['interval'])})",
        }
        for match in map(_PRINTED.match, lines)
        if match
    ]


def earlier_table(name: str) -> str:
    """One table of earlier.csv: a row for each run, a column for each measure of a dataset."""
    found = [row for row in _table(RESULTS / "earlier.csv") if row["table"] == name]
    headings = [_heading(row, found) for row in found]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row, heading in zip(found, headings, strict=True):
        cells = rows.setdefault((row["what"], row["seed"], row["command"]), {"what": row["what"], "seed": row["seed"]})
        number = f", n {int(row['n']):,}" if row["n"] and ", n " not in heading else ""
        cells[heading] = _figure(row) + number
        cells["note"] = row["note"]
        cells["command"] = f"`{row['command']}`".replace(", then ", "`, then `") if row["command"] else ""
    order = dict.fromkeys(("what", "seed", *headings, "note", "command"))
    shown = [key for key in order if any(cells.get(key) for cells in rows.values())]
    return markdown({key: cells.get(key, "") for key in shown} for cells in rows.values())


def _heading(row: Row, rows: Iterable[Row]) -> str:
    """The title of a figure's column; it names the number of images where all figures below it have the same."""
    numbers = {other["n"] for other in rows if (other["measure"], other["dataset"]) == (row["measure"], row["dataset"])}
    number = f"n {int(row['n']):,}" if row["n"] and len(numbers) == 1 else ""
    return ", ".join(filter(None, (row["measure"], row["dataset"], number)))


def _figure(row: Row) -> str:
    if not row["spread"]:
        return row["figure"]
    return f"{row['figure']} {row['spread']}" if "±" in row["spread"] else f"{row['figure']} ({_dashed(row['spread'])})"


def front_table(records: Sequence[Record]) -> str:
    """The README's: what ships, and the other recipes in a row each, on FER-2013's PublicTest."""
    import numpy as np

    from emotorch.labels import SCHEMES
    from emotorch.metrics.intervals import wilson_interval
    from emotorch.recipes import RECIPES

    def row(what: str, labels: int, accuracy: str, n: str, these: str, command: str) -> Row:
        values = (what, str(labels), accuracy, f"{int(n):,}", these, f"`{command.removeprefix(SCRIPTS)}`")
        return dict(zip(("model", "classes", "accuracy, %", "n", "these images", "command"), values, strict=True))

    named = {record.name: record for record in records}

    def over_seeds(what: str, names: Sequence[str]) -> Row:
        """Of trainings on FER-2013 that differ by their seed alone."""
        runs = [named[name].run for name in names]
        scores = [run["scores"]["fer"] for run in runs]
        reached = np.array([score["accuracy"] for score in scores])
        accuracy = f"{reached.mean():.2f} ± {reached.std(ddof=1):.2f}, {len(runs)} seeds"
        found = row(what, len(runs[0]["labels"]), accuracy, str(scores[0]["images"]), "chose the epoch", "")
        return {**found, "command": f"[{len(runs)} trainings](docs/results/README.md#training)"}

    rows = []
    for record in (named[name] for name in SHIPPED):
        name = "fer_val" if record.official else "fer-public"
        counts = _counts(next(found for found in record.sets if found["name"] == name))
        right, images = int(counts.trace()), int(counts.sum())
        accuracy = _with_interval(100 * right / images, *wilson_interval(right, images))
        labels = len(record.run["labels"])
        rows.append(
            row(f"`{record.name}`, ships", labels, accuracy, str(images), record.role(name), record.command(name))
        )
    augmented = next(score for score in printed(RECORDS / "compact-tta.txt") if score["what"].startswith(_AUGMENTED))
    four = printed(RECORDS / "compact-as-four.txt")[0]
    rows += [
        row("`compact` with TTA", 7, augmented["accuracy"], augmented["n"], "chose the epoch", augmented["command"]),
        row("`compact`, read as four", 4, four["accuracy"], four["n"], "chose the epoch; no twins", four["command"]),
        over_seeds("`compact`, its seeds", ("compact", "compact-seed1", "compact-seed2")),
        over_seeds("recipe `speedrun`", SPEEDRUNS),
    ]
    for score in _table(RESULTS / "earlier.csv"):
        column = score["table"], score["measure"], score["dataset"]
        if column == ("systems", "accuracy, %", "PublicTest") and score["what"] not in (*SHIPPED, "speedrun"):
            labels = len(SCHEMES[RECIPES[score["what"]].scheme].labels)
            name, accuracy = (
                f"recipe `{score['what']}`",
                f"{_figure(score)}{', ' + score['seed'] if 'seeds' in score['seed'] else ''} {LOST}",
            )
            rows.append(row(name, labels, accuracy, score["n"], "chose the epoch", score["command"]))
    return markdown(rows)


def markdown(rows: Iterable[Row]) -> str:
    """Rows of equal keys as a Markdown table; a column of numbers alone is set to the right."""
    rows = list(rows)
    titles = list(rows[0])
    numeric = [all(re.fullmatch(r"[\d.,]*", row[title]) for row in rows) for title in titles]
    lines = [titles, ["--:" if right else "---" for right in numeric], *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(found: Mapping[str, Any]) -> Any:
    import numpy as np

    return np.array(found["counts"], np.int64)


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f}–{high:.2f})"


def _dashed(interval: str) -> str:
    return re.sub(r"(?<=\d)-(?=[\d.−])", "–", interval)


def _table(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    cli.run(main)
