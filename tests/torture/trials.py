"""What a trial is, where it works, and how the kinds of trials are known."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torture.subjects import Subject, Untouched, untouched

HELD, FAILED, MISSED = "held", "failed", "missed"


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        outcome: `held`; `failed`; or `missed`, where nothing was tried: the script was faster than the kill.
        detail: What failed.
    """

    outcome: str
    detail: str = ""

    @classmethod
    def of(cls, *faults: str) -> "Result":
        """Of what was found wrong, "" for nothing."""
        found = [fault for fault in faults if fault]
        return cls(FAILED, found[0]) if found else cls(HELD)


@dataclass(frozen=True)
class Bench:
    """Where trials work.

    Attributes:
        folder: For roots and results.
        seed: Of all chance.
        worker: Which of several campaigns beside each other.
        calls: The library of calls.c, if it could be built and loaded.
    """

    folder: Path
    seed: int
    worker: int = 0
    calls: Path | None = None

    @property
    def roots(self) -> Path:
        return self.folder / "roots"

    @property
    def scratch(self) -> Path:
        """A trial's own root."""
        return self.folder / f"scratch-{self.worker}" / "root"

    def chance(self, series: str, number: int) -> random.Random:
        return random.Random(f"{self.seed} {series} {number}")

    def known(self, subject: Subject) -> Untouched:
        return untouched(subject, self.folder, self.scratch.with_name("untouched"))

    def fresh(self, level: str) -> Path:
        """A root as it is after a subject, for one trial."""
        self.clear()
        shutil.copytree(self.roots / level, self.scratch)
        return self.scratch

    def clear(self) -> None:
        shutil.rmtree(self.scratch.parent, ignore_errors=True)
        self.scratch.parent.mkdir(parents=True)

    def keep(self, series: str, number: int) -> None:
        """Keeps a failed trial's root for whoever looks for the fault."""
        kept = self.folder / "failed" / f"{series} {number}"
        if self.scratch.exists() and not kept.exists():
            shutil.copytree(self.scratch, kept, symlinks=True)


@dataclass(frozen=True)
class Series:
    """Trials of a kind on one subject.

    Attributes:
        kind: Of the trials.
        subject: What they are done to.
        target: How many a campaign of full length has.
        trial: Makes the one of a number, from 0.
    """

    kind: str
    subject: str
    target: int
    trial: Callable[[int], Result] = field(compare=False)

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.subject}"
