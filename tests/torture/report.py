"""docs/reliability.md: what was tried, what held, what failed and how to see it again."""

from collections import Counter
from pathlib import Path

import pandas as pd

from emotorch.files import write_text
from emotorch.tables import Table, to_markdown
from torture.campaign import Line
from torture.subjects import SUBJECTS
from torture.trials import FAILED, HELD, MISSED

_INTRODUCTION = """\
# Reliability

What `make torture` has tried, what held and what failed. It works on ten images, and on what the stages make of them.
A trial holds when the same command, run again, ends with the bytes that an untouched run makes; or when what is wrong
is refused by name, with exit status 1 or 2, in one line and without a traceback.

- **killed**: `kill -9` at a random moment, of all its processes or of the main one alone. Nothing half-written has the
  name of something whole, and the rerun ends as untouched. A script that was faster than its kill is no trial.
- **write fails**, **rename fails**, **fsync fails**: the k-th call of an untouched run fails (no space; input/output
  error), for every k in a campaign of full length. A script with no figure makes no such call; none calls fsync.
- **disk full**: a file system with room for a random part of what the script writes.
- **damaged**: a file that the script reads has a bit or bytes changed, is cut, emptied or longer. It is refused by its
  name, or all that comes out is as untouched; raw data, which nothing vouches for, may also be taken.
- **hostile**: files and names made to break what reads them; refused, or read without harm in time and memory.
- **page**: clients that send too much, too little or nothing; the next person is answered within five seconds.
"""

_NOTHING = "Nothing. What earlier trials found is mended, and stands in the [changelog](../CHANGELOG.md)."


def write(path: Path, lines: list[Line], seed: int) -> None:
    """Writes the document; the same trials give the same bytes."""
    outcomes = Counter((line.series, line.outcome) for line in lines)
    names = sorted({line.series for line in lines}, key=_place)
    rows = [
        {"kind": kind, "of": of, HELD: outcomes[f"{kind}: {of}", HELD], FAILED: outcomes[f"{kind}: {of}", FAILED]}
        for kind, of in (name.split(": ", 1) for name in names)
    ]
    frame = pd.DataFrame(rows, columns=["kind", "of", HELD, FAILED])
    frame["tried"] = frame[HELD] + frame[FAILED]
    kinds = frame.groupby("kind", sort=False)[["tried", HELD, FAILED]].sum().reset_index()
    frame["cell"] = [f"{held} of {tried}" for held, tried in zip(frame[HELD], frame["tried"], strict=True)]
    of_scripts = frame["of"].isin(SUBJECTS)
    scripts = frame[of_scripts].pivot_table("cell", "of", "kind", "first", fill_value="", sort=False).reset_index()
    scripts = scripts.rename(columns={"of": "script"}).rename_axis(columns=None)
    inputs = frame.loc[~of_scripts, ["kind", "of", "tried", HELD, FAILED]]
    failures = sorted((line.series, line.number, line.detail) for line in lines if line.outcome == FAILED)
    listed = [f"- {name}, trial {number}: `{detail.replace('`', '')}`" for name, number, detail in failures]
    command = f"By `make torture SEED={seed}`, which adds to what it has tried before."
    again = f"`make torture SEED={seed} ONLY='killed: stage 4' TRIAL=7` makes the trial of that name again."
    parts = [
        _INTRODUCTION,
        f"## All kinds\n\n{command}\n\n{to_markdown(Table(kinds))}",
        f"## Each script\n\nHow many trials held, of those that were made.\n\n{to_markdown(Table(scripts))}",
        f"## Each input\n\n{to_markdown(Table(inputs))}",
        "## What failed\n\n" + ("\n".join([again, "", *listed]) if listed else _NOTHING),
    ]
    write_text(path, "\n\n".join(part.strip() for part in parts) + "\n")


def _place(series: str) -> tuple[int, int, str]:
    """The order of the tables: kinds as they are introduced, scripts as they are run."""
    kind, of = series.split(": ", 1)
    scripts = list(SUBJECTS)
    return _INTRODUCTION.index(f"**{kind.partition(' fails')[0]}"), scripts.index(of) if of in scripts else -1, series


def summary(lines: list[Line]) -> str:
    counts = Counter(line.outcome for line in lines)
    tried = counts[HELD] + counts[FAILED]
    return f"{tried} trials: {counts[HELD]} held, {counts[FAILED]} failed; {counts[MISSED]} kills came too late"
