"""Flipped bits, cut and emptied files: every file that a script reads, one at a time."""

import os
import sys
from functools import cache, partial
from pathlib import Path
from random import Random

from torture.subjects import ONNX_MODEL, SUBJECTS, Subject, differences
from torture.trials import Bench, Result, Series

KIND = "damaged"
# At 19 scripts, over a thousand.
_TRIALS, _OF_SLOW = 65, 20
_SLOW = {"stage 5, a sweep", "ship_model", "write_report"}
# What has no record to be held against: another file is another dataset.
_RAW = ("FER-Datasets/fer-2013/", "face.png")
# It tells of pictures that are damaged, or not those of the manifest, as of other faults.
_AUDIT, _AUDITED = "explore_dataset", (".png", "manifest.csv")
# It does without an analysis that cannot be made, and says so.
_REPORT = "write_report"


def series(bench: Bench, _: tuple[str, ...]) -> list[Series]:
    return [
        Series(KIND, name, _OF_SLOW if name in _SLOW else _TRIALS, partial(_damage, bench, subject))
        for name, subject in SUBJECTS.items()
    ]


@cache
def _files_read(bench: Bench, subject: Subject) -> list[str]:
    """The files of its root that an untouched run opens, in order of their names."""
    root = bench.fresh(subject.after)
    found = root.parent / "read"

    def record() -> None:
        names = found.open("a", buffering=1)

        def opened(event: str, arguments: tuple[object, ...]) -> None:
            if event == "open" and isinstance(arguments[0], str | bytes) and not _writes(arguments):
                names.write(os.path.abspath(os.fsdecode(arguments[0])) + "\n")  # noqa: PTH100 - paths as they are given

        sys.addaudithook(opened)

    subject.run(root, first=record)
    there = (bench.roots / subject.after).resolve()
    lines = set(found.read_text().splitlines())
    names = {os.path.relpath(line, root) for line in lines if line.startswith(f"{root}{os.sep}")}
    if "emotorch" in subject.arguments or ONNX_MODEL in subject.arguments:
        names.add(ONNX_MODEL)  # ONNX Runtime opens it itself
    return sorted(name for name in names if (there / name).is_file() and (there / name).stat().st_size)


def _writes(arguments: tuple[object, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return (isinstance(mode, str) and "r" not in mode) or bool(isinstance(flags, int) and flags & os.O_ACCMODE)


def _damage(bench: Bench, subject: Subject, number: int) -> Result:
    chance, known = bench.chance(f"{KIND} {subject.name}", number), bench.known(subject)
    files = _files_read(bench, subject)
    name = chance.choice(files) if number >= len(files) else files[number]
    root = bench.fresh(subject.after)
    how = spoil(root / name, chance)
    ended = subject.run(root)
    where = f"{name} {how}: "
    if fault := ended.fault(may_fail=True):
        return Result.of(where + fault)
    named = any(part in ended.stdout + ended.stderr for part in (Path(name).name, Path(name).parent.name))
    if ended.status:
        return Result.of("" if named else f"{where}not named: {ended.stderr[-200:]}")
    if name.startswith(_RAW) or (subject.name == _AUDIT and name.endswith(_AUDITED)):
        return Result.of()
    # It need not be mended, and may be no JSON now.
    (root / name).unlink(missing_ok=True)
    changed = differences(known, root, but=name)
    if changed and subject.name == _REPORT and named:
        return Result.of()
    return Result.of(f"{where}taken, {changed}" if changed else "")


def spoil(path: Path, chance: Random) -> str:
    """Damages a file; returns what was done to it."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    match chance.choice(("bit", "bit", "bit", "bytes", "cut", "empty", "longer")):
        case "bit":
            bit = chance.randrange(8)
            content[place] ^= 1 << bit
            how = f"with bit {bit} of byte {place} flipped"
        case "bytes":
            content[place : place + 16] = chance.randbytes(len(content[place : place + 16]))
            how = f"with other bytes from {place}"
        case "cut":
            del content[place:]
            how = f"cut at {place}"
        case "empty":
            content.clear()
            how = "emptied"
        case _:
            content += chance.randbytes(16)
            how = "with 16 bytes more"
    path.write_bytes(content)
    return how
