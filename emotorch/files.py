"""Files and folders: written so that nothing half-written is ever taken for whole, and read again.

A file is written under a temporary name and renamed. A stage's folder is built under a temporary name,
with a journal of the chunks that are finished, and renamed when all of it is there.
"""

import csv
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Required, TextIO, TypedDict

from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.replacing import exclusive, previous_of, replace_folder
from emotorch.typed import parse_json, require

STAMP_NAME = "stage.json"
_JOURNAL_NAME = ".journal.jsonl"
_DISK_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))
_STARTS_OF_FORMULAS = frozenset("=+-@\t\r")
# Also with an interval in brackets.
_NUMBER = re.compile(r"[+-](\d[\d.,]*(e[+-]?\d+)?|inf|nan)( \([+-]?[\d.,]+( to |–)[+-]?[\d.,]+\))?", re.IGNORECASE)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it an error of the system, such as a full disk, becomes an EmoTorchError that names the file."""
    try:
        yield
    except OSError as error:
        raise EmoTorchError(f"cannot write {path}: {error.strerror or error}") from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Runs `write` on a temporary path beside `path`, then renames.

    Raises:
        EmoTorchError: the folder is not writable or the disk is full; no trace is left.
    """
    with writing(path):
        if path.is_symlink():
            path = path.resolve()
        if path.exists() and not path.is_file():
            raise EmoTorchError(f"cannot write {path}: a folder, device or pipe is there; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            mask = os.umask(0)
            os.umask(mask)  # setting it is the only way to ask for it
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def tells_of_full_disk(error: str) -> bool:
    """Whether the message of an error tells of a full disk, or of a quota that is used up."""
    return any(reason in error for reason in _DISK_FULL)


def remove_leftovers(folder: Path, stem: str = "", *, older_than_s: float = 0.0) -> None:
    """Removes the temporary files that a kill left.

    Args:
        folder: Nobody else writes to it now, or what others write is younger than the limit.
        stem: What their final names begin with.
        older_than_s: Seconds since they were last written to, at least.
    """
    for path in folder.glob(f".{stem}*-*"):
        with suppress(FileNotFoundError):
            if not older_than_s or time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def drop_cut_line(path: Path) -> bytes:
    """Takes away a last line that a kill cut short while it was appended; returns the whole lines."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_bytes(path, whole)
    return whole


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 with Unix line ends; names of files that are no UTF-8 become `\\udcXX`, which is JSON too."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a header and rows, with Unix line ends; text that a spreadsheet would run is `defused`."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(map(defused, columns))
            writer.writerows(map(defused, row) for row in rows)

    write_atomically(path, write)


def defused(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: such text gets an apostrophe before it; numbers stay."""
    if isinstance(cell, str) and cell[:1] in _STARTS_OF_FORMULAS and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by column; see `open_table` for what is raised."""
    with open_table(path) as file:
        return list(csv.DictReader(file))


@contextmanager
def open_table(path: Path) -> Iterator[TextIO]:
    """A run's CSV file, open for reading.

    Raises:
        EmoTorchError: it is not there, or no UTF-8 text in columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield file
    except FileNotFoundError:
        raise EmoTorchError(f"{path} does not exist: the run is not finished, or not one of this pipeline") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmoTorchError(f"{path}: not a table ({error})") from None


def write_json(path: Path, value: object) -> None:
    """Writes plain values; see `as_json`."""
    write_text(path, as_json(value))


def as_json(value: object) -> str:
    """Plain values as text; NaN and infinity, which JSON does not know, become null at whatever depth."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """See `parse_json`; raises OSError when it cannot be read."""
    if path.exists() and not path.is_file():  # reading a pipe may never end
        raise EmoTorchError(f"{path}: a folder, device or pipe, no JSON file; move it away")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EmoTorchError(f"{path}: not UTF-8 text ({error}); delete it and rerun what writes it") from None
    return parse_json(text, path)


def printable(name: str) -> str:
    """A file's name as text: bytes in it that are no UTF-8, which Python keeps as lone surrogates, become `\\udcXX`."""
    return name.encode("utf-8", "backslashreplace").decode()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Clutter that file browsers and archivers leave behind; it is never data.
_CLUTTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}


def is_clutter(name: str) -> bool:
    """Whether an entry of a folder is hidden, or operating-system clutter."""
    return name.startswith(".") or name.lower() in _CLUTTER


def visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted by name, without hidden files and operating-system clutter."""
    return sorted((path for path in folder.iterdir() if not is_clutter(path.name)), key=lambda path: path.name)


def count_files(folder: Path) -> int:
    """Number of visible files below a folder."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_clutter(entry.name):
                continue
            total += count_files(Path(entry.path)) if entry.is_dir() else 1
    return total


class _Chunk(TypedDict):
    """A line of the journal."""

    chunk: str
    records: Any


class _Stamp(TypedDict, total=False):
    """What a stage's folder was made from; once it is whole, how many files it has, and the SHA-256 of those right in
    it. Older code wrote none of these."""

    made_from: Required[dict[str, Any]]
    files: int
    sha256: dict[str, str]


class StageBuild:
    """A stage's folder while it is being built.

    Attributes:
        folder: Where the files go; renamed to the final name when the stage is whole.
        finished: What was recorded of each chunk that is done, by its name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = folder / _JOURNAL_NAME
        self.finished: dict[str, Any] = {}
        if self._journal.exists():
            for line in drop_cut_line(self._journal).splitlines():
                entry = parse_json(line.decode("utf-8", "replace"), self._journal)
                require(entry, _Chunk, f"{self._journal}:")
                self.finished[entry["chunk"]] = entry["records"]

    def finish(self, chunk: str, records: object) -> None:
        """Records a chunk whose files are all written."""
        line = json.dumps({"chunk": chunk, "records": records}, separators=(",", ":"))
        with writing(self._journal), self._journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.finished[chunk] = json.loads(line)["records"]


@contextmanager
def stage_folder(final: Path, stamp: Mapping[str, Any], *, stage: str, force: bool) -> Iterator[StageBuild | None]:
    """Builds a stage's output folder; whole or not there at all.

    Args:
        final: The folder's name once it is whole.
        stamp: Everything the output depends on: settings and hashes of the inputs. Output of another stamp
            is made anew, never mixed with this one's.
        stage: How messages call it.
        force: Make it anew even when it is there.

    Yields:
        The build to write into, or None when the whole output is there already.

    Raises:
        EmoTorchError: the same stage is running; the disk is full; the finished folder holds files of
            somebody else, which only `force` replaces.
    """
    partial = final.with_name(f".{final.name}.partial")
    stamp = json.loads(json.dumps(stamp))
    with exclusive(final.with_name(f".{final.name}.lock"), stage):
        shutil.rmtree(previous_of(final), ignore_errors=True)
        if not force and _is_whole(final, stamp):
            _discard(partial)  # what a kill right after the exchange of the two left there
            yield None
            return
        if force or _read_stamp(partial).get("made_from") != stamp:
            _discard(partial)
        partial.mkdir(parents=True, exist_ok=True)
        remove_leftovers(partial)
        if not (partial / STAMP_NAME).exists():
            write_json(partial / STAMP_NAME, {"made_from": stamp})
        try:
            yield StageBuild(partial)
        except OSError as error:
            if error.filename is not None:
                raise
            # A write to an open file: the system tells no name.
            raise EmoTorchError(f"cannot write {partial}: {error.strerror or error}") from error
        write_stamp(partial, stamp)
        (partial / _JOURNAL_NAME).unlink(missing_ok=True)
        replace_folder(partial, final)


def _discard(partial: Path) -> None:
    """Removes an unfinished folder, if there is one."""
    if partial.exists():
        # First of all the journal: a kill while deleting must not leave it to tell of files that are gone.
        (partial / _JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(partial)


def write_stamp(folder: Path, made_from: Mapping[str, Any]) -> None:
    """Says of a folder that it is whole, and what it was made from."""
    path = folder / STAMP_NAME
    files = count_files(folder) - path.exists()
    hashes = {file.name: hash_file(file) for file in visible(folder) if file.is_file() and file != path}
    write_json(path, {"made_from": made_from, "files": files, "sha256": hashes})


def check_stamped(path: Path, remedy: str) -> None:
    """Compares a file of a stage's folder with what the stage said of it, if it did.

    Raises:
        EmoTorchError: it is another file now; `remedy` says what to do.
    """
    if _read_stamp(path.parent).get("sha256", {}).get(path.name) not in (None, hash_file(path)):
        raise EmoTorchError(
            f"{path}: damaged, or changed by hand: its SHA-256 is not the one that {STAMP_NAME} beside it states; "
            f"{remedy}, or, where the change is meant, delete that line there"
        )


def read_stamp(folder: Path, stage_command: str) -> dict[str, Any]:
    """What a finished stage folder was made from.

    Raises:
        EmoTorchError: the folder is not there or was not written by its stage.
    """
    if not folder.is_dir():
        raise EmoTorchError(f"{folder} does not exist: run {stage_command} first{found_elsewhere(folder)}")
    stamp = _read_stamp(folder)
    if "files" not in stamp:
        raise EmoTorchError(f"{folder} has no {STAMP_NAME}: it was not written by {stage_command}; run it (again)")
    made_from: dict[str, Any] = stamp["made_from"]
    return made_from


def _read_stamp(folder: Path) -> dict[str, Any]:
    path = folder / STAMP_NAME
    if not path.exists():
        return {}
    stamp: dict[str, Any] = read_json(path)
    require(stamp, _Stamp, f"{path}:")
    return stamp


def _is_whole(final: Path, stamp: Mapping[str, Any]) -> bool:
    if not final.is_dir():
        return False
    present = count_files(final)
    recorded = _read_stamp(final)
    if present and "files" not in recorded:
        raise EmoTorchError(
            f"{final} has no {STAMP_NAME}: its stage did not write it; move it away, or use --force to replace it"
        )
    surplus: int = present - 1 - recorded.get("files", 0)
    if surplus > 0:
        raise EmoTorchError(
            f"{final} holds files that its stage did not write ({surplus}): move them away, or use --force"
        )
    return surplus == 0 and recorded["made_from"] == stamp


def now() -> str:
    """Local time with its offset, to the second: `2026-11-20T19:03:12+01:00`."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def timestamped(folder: Path, stem: str, suffix: str = "") -> Path:
    """A free name in a folder: `<stem>_20261120_190312<suffix>`, with `_2`, `_3`, … where that is taken."""
    name = f"{stem}_{datetime.now():%Y%m%d_%H%M%S}"
    path, number = folder / f"{name}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}{suffix}"
    return path


@dataclass
class NewFolder:
    """Where to write, and what the folder is called once it is whole."""

    prepared: Path
    final: Path = field(init=False)


@contextmanager
def new_folder(parent: Path, stem: str) -> Iterator[NewFolder]:
    """A folder `<stem>_<time>`, whole or not there."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = NewFolder(Path(tempfile.mkdtemp(prefix=f".{stem}-", dir=parent)))
    try:
        folder.prepared.chmod(0o755)
        yield folder
        folder.final = timestamped(parent, stem)  # last: another process may have taken a name meanwhile
        folder.prepared.rename(folder.final)
    except BaseException:
        shutil.rmtree(folder.prepared, ignore_errors=True)
        raise
