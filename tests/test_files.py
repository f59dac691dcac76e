"""Writing files and stage folders: whole, or not there at all."""

import csv
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import refusal, tree

from emotorch import files
from emotorch.errors import EmoTorchError
from emotorch.files import (
    STAMP_NAME,
    check_stamped,
    read_json,
    read_stamp,
    stage_folder,
    write_atomically,
    write_csv,
    write_json,
)
from emotorch.replacing import exclusive

CHUNKS = ("one", "two", "three")
STAMP = {"stage": 1, "setting": "as it was"}


class StoppedError(Exception):
    """What ends a build before its time."""


def build_stage(
    final: Path, stamp: dict[str, object] = STAMP, *, stop_at: str = "", force: bool = False
) -> list[str] | None:
    """A stage of three chunks of two files; returns the chunks it did, None when it was up to date."""
    done = []
    with stage_folder(final, stamp, stage="the stage", force=force) as build:
        if build is None:
            return None
        for chunk in CHUNKS:
            if chunk in build.finished:
                assert build.finished[chunk] == {"files": [chunk]}
                continue
            (build.folder / chunk).mkdir(exist_ok=True)
            for name in ("a.txt", "b.txt"):
                (build.folder / chunk / name).write_text(f"{chunk} {name} {stamp['setting']}")
            if chunk == stop_at:
                raise StoppedError
            build.finish(chunk, {"files": [chunk]})
            done.append(chunk)
        files.write_text(build.folder / "manifest.csv", ",".join(build.finished["one"]["files"]) + "\n")
    return done


def stop_stage(final: Path, at: str, stamp: dict[str, object] = STAMP) -> Path:
    """A build that is broken off; returns the unfinished folder."""
    with pytest.raises(StoppedError):
        build_stage(final, stamp, stop_at=at)
    return final.with_name(f".{final.name}.partial")


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return tmp_path / "Stage"


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """The files of an undisturbed build."""
    folder = tmp_path / "undisturbed" / "Stage"
    build_stage(folder)
    return tree(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Without the superuser's right to write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """Not below tmp_path, where another user may not even look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with ordinary_user():
            yield folder
        folder.chmod(0o755)


# One file.


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failing_writer_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    target = tmp_path / "file.txt"
    if before is not None:
        target.write_text(before)

    def fail(path: Path) -> None:
        path.write_text("half of the n")
        raise StoppedError

    with pytest.raises(StoppedError):
        write_atomically(target, fail)
    assert tree(tmp_path) == ({"file.txt": b"old"} if before else {})


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"

    def fill(path: Path) -> None:
        path.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with refusal(f"cannot write {target}: No space left on device"):
        write_atomically(target, fill)
    assert tree(tmp_path) == {}


def test_an_unwritable_folder_is_named(unwritable: Path) -> None:
    target = unwritable / "file.txt"
    with refusal(f"cannot write {target}: Permission denied"):
        files.write_text(target, "text")


def test_a_stage_in_an_unwritable_folder_names_it(unwritable: Path) -> None:
    with pytest.raises((EmoTorchError, OSError), match=str(unwritable)):
        build_stage(unwritable / "Stage")


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("not a folder")
    with refusal(f"cannot write {tmp_path}/models/run.json: "):
        files.write_json(tmp_path / "models" / "run.json", {})


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_csv_files_have_unix_line_ends(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", ("a", "b"), [(1, "x, y"), (2, "é")])
    assert (tmp_path / "table.csv").read_bytes() == 'a,b\n1,"x, y"\n2,é\n'.encode()


def test_json_survives_and_broken_json_is_named(tmp_path: Path) -> None:
    value = {"name": "é", "list": [1, 2.5, None]}
    files.write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    (tmp_path / "value.json").write_text('{"name": ')
    with refusal(f"{tmp_path}/value.json: not valid JSON"):
        read_json(tmp_path / "value.json")


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_json(tmp_path / "link.json", 1)
    assert (tmp_path / "link.json").is_symlink()
    assert read_json(tmp_path / "real.json") == 1


def test_a_pipe_is_neither_replaced_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with refusal(f"cannot write {tmp_path / 'pipe'}: "):
        write_json(tmp_path / "pipe", 1)
    with refusal(f"{tmp_path / 'pipe'}: a folder, device or pipe"):
        read_json(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_two_folders_of_one_second_both_get_there(tmp_path: Path) -> None:
    with files.new_folder(tmp_path, "evaluation") as first:
        with files.new_folder(tmp_path, "evaluation") as second:
            (second.prepared / "a.txt").write_text("second")
        (first.prepared / "a.txt").write_text("first")
    assert (first.final / "a.txt").read_text() == "first"
    assert (second.final / "a.txt").read_text() == "second"
    assert len(list(tmp_path.iterdir())) == 2


def test_nan_and_infinity_are_written_as_null(tmp_path: Path) -> None:
    files.write_json(tmp_path / "value.json", {"a": math.inf, "b": [(math.nan, 1.0)], "c": {"d": [math.nan, "NaN"]}})
    assert read_json(tmp_path / "value.json") == {"a": None, "b": [[None, 1.0]], "c": {"d": [None, "NaN"]}}


# A stage's folder.


def test_a_file_of_a_stage_that_was_changed_is_refused(final: Path) -> None:
    build_stage(final)
    manifest, stamp = final / "manifest.csv", read_json(final / STAMP_NAME)
    check_stamped(manifest, "run it again")
    manifest.write_bytes(manifest.read_bytes().replace(b"one", b"two"))
    with refusal(f"{manifest}: damaged, or changed by hand"):
        check_stamped(manifest, "run it again")
    write_json(final / STAMP_NAME, {name: stamp[name] for name in ("made_from", "files")})  # as older code wrote it
    check_stamped(manifest, "run it again")


def test_a_stage_is_whole_or_not_there(tmp_path: Path, final: Path, whole: dict[str, bytes]) -> None:
    for chunk in CHUNKS:
        stop_stage(final, chunk)
        assert not final.exists()
    build_stage(final)
    assert tree(final) == whole
    digest = hashlib.sha256(whole["manifest.csv"]).hexdigest()
    assert json.loads(whole[STAMP_NAME]) == {"made_from": STAMP, "files": 7, "sha256": {"manifest.csv": digest}}
    assert {path.name for path in tmp_path.iterdir()} == {"Stage", ".Stage.lock", "undisturbed"}


def test_a_stopped_stage_does_only_what_is_missing(final: Path, whole: dict[str, bytes]) -> None:
    partial = stop_stage(final, "two")
    written = (partial / "one" / "a.txt").stat().st_mtime_ns
    assert build_stage(final) == ["two", "three"]
    assert (final / "one" / "a.txt").stat().st_mtime_ns == written
    assert tree(final) == whole


def test_a_journal_cut_anywhere_is_mended(final: Path, whole: dict[str, bytes]) -> None:
    journal = stop_stage(final, "three") / ".journal.jsonl"
    entries = journal.read_bytes()
    for length in range(len(entries)):
        journal.write_bytes(entries[:length])
        stop_stage(final, "three")
        assert journal.read_bytes() == entries
    assert build_stage(final) == ["three"]
    assert tree(final) == whole


def test_what_a_kill_left_of_a_file_is_swept_away(final: Path, whole: dict[str, bytes]) -> None:
    partial = stop_stage(final, "two")
    (partial / ".manifest-k2j4h5.csv").write_text("half of the man")
    build_stage(final)
    assert tree(final) == whole


def test_nothing_is_rewritten_when_it_is_up_to_date(final: Path) -> None:
    build_stage(final)
    before = {path: path.stat().st_mtime_ns for path in final.rglob("*")}
    assert build_stage(final) is None
    assert {path: path.stat().st_mtime_ns for path in final.rglob("*")} == before


@pytest.mark.parametrize("finished", [True, False])
def test_output_of_another_stamp_is_never_mixed_in(final: Path, whole: dict[str, bytes], finished: bool) -> None:
    other = {**STAMP, "setting": "another"}
    if finished:
        build_stage(final, other)
    else:
        stop_stage(final, "three", other)
    assert build_stage(final) == list(CHUNKS)
    assert tree(final) == whole


def test_old_output_stays_whole_until_the_new_one_is(final: Path, whole: dict[str, bytes]) -> None:
    build_stage(final)
    stop_stage(final, "three", {**STAMP, "setting": "another"})
    assert tree(final) == whole


def test_force_makes_everything_anew(final: Path, whole: dict[str, bytes]) -> None:
    build_stage(final)
    (final / "one" / "a.txt").write_text("changed by hand")
    assert build_stage(final, force=True) == list(CHUNKS)
    assert tree(final) == whole


def test_force_does_not_go_on_with_a_stopped_stage(final: Path) -> None:
    stop_stage(final, "three")
    assert build_stage(final, force=True) == list(CHUNKS)


def test_what_force_had_begun_to_delete_is_made_again(
    final: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order the system lists a folder: here the journal would be the last to go."""
    partial = stop_stage(final, "three")

    def begin_to_delete(folder: Path, **_: object) -> None:
        if folder == partial:
            (folder / "one" / "a.txt").unlink()
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", begin_to_delete)
        with pytest.raises(StoppedError):
            build_stage(final, force=True)
    assert build_stage(final) == list(CHUNKS)
    assert tree(final) == whole


@pytest.mark.parametrize("stamp", [STAMP, {**STAMP, "setting": "another"}])
def test_somebody_elses_file_is_not_deleted(final: Path, stamp: dict[str, object], whole: dict[str, bytes]) -> None:
    build_stage(final, stamp)
    (final / "two" / "mine.txt").write_text("months of work")
    with refusal(f"{final} holds files that its stage did not write (1)"):
        build_stage(final)
    assert (final / "two" / "mine.txt").read_text() == "months of work"
    assert build_stage(final, force=True) == list(CHUNKS)
    assert tree(final) == whole


def test_a_folder_that_no_stage_wrote_is_not_replaced(final: Path, whole: dict[str, bytes]) -> None:
    final.mkdir()
    (final / "mine.txt").write_text("months of work")
    with refusal(f"{final} has no stage.json: its stage did not write it"):
        build_stage(final)
    assert tree(final) == {"mine.txt": b"months of work"}
    build_stage(final, force=True)
    assert tree(final) == whole


def test_an_empty_folder_is_filled(final: Path, whole: dict[str, bytes]) -> None:
    final.mkdir()
    build_stage(final)
    assert tree(final) == whole


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "Desktop.ini", "@eaDir"])
def test_what_file_browsers_leave_behind_does_no_harm(final: Path, name: str) -> None:
    build_stage(final)
    (final / "one" / name).write_text("")
    assert build_stage(final) is None


def test_a_missing_file_is_made_again(final: Path, whole: dict[str, bytes]) -> None:
    build_stage(final)
    (final / "three" / "b.txt").unlink()
    assert build_stage(final) is not None
    assert tree(final) == whole


def test_a_folder_is_read_only_when_its_stage_is_done(final: Path) -> None:
    with refusal(f"{final} does not exist: run stage.py first"):
        read_stamp(final, "stage.py")
    partial = stop_stage(final, "two")
    with refusal(f"{partial} has no stage.json: it was not written by stage.py"):
        read_stamp(partial, "stage.py")
    build_stage(final)
    assert read_stamp(final, "stage.py") == STAMP


# Two at once.

_HOLD = """
import sys, time
from pathlib import Path
from emotorch.replacing import exclusive
with exclusive(Path(sys.argv[1]), "the stage"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held_elsewhere(lock: Path, seconds: float) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", _HOLD, lock, str(seconds)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.kill()


@pytest.mark.slow
def test_the_second_of_two_says_that_one_is_running(final: Path) -> None:
    with (
        held_elsewhere(final.with_name(".Stage.lock"), 60),
        refusal("the stage is running already"),
    ):
        build_stage(final)
    assert not final.exists()


def test_a_lock_about_to_be_let_go_is_waited_for(final: Path) -> None:
    with held_elsewhere(final.with_name(".Stage.lock"), 0.3):
        assert build_stage(final) == list(CHUNKS)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held_elsewhere(lock, 60):
        pass
    with exclusive(lock, "the stage"):
        pass


def test_no_cell_of_a_table_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    numbers = ["-1", "+4.7", "-0.5e-3", "-inf", "+4.7 (-0.1 to +8.2)", "-1,234.5", -2, -0.5, float("nan")]
    names = ["=1+1", "+a", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "-", "'=quoted", "plain.png", "a=b", ""]
    write_csv(
        tmp_path / "table.csv", ["=column", "b"], [*zip(numbers, numbers, strict=True), *zip(names, names, strict=True)]
    )
    rows = list(csv.reader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["'=column", "b"]
    assert [row[0] for row in rows[1 : len(numbers) + 1]] == list(map(str, numbers))
    written = ["'=1+1", "'+a", "'-2+3+cmd|' /C calc'!A0", "'@SUM(A1)", "'\t=1", "'-", *names[6:]]
    assert [row[1] for row in rows[len(numbers) + 1 :]] == written


def test_names_that_are_no_utf_8_are_written_as_escapes_and_read_from_json_as_they_were(tmp_path: Path) -> None:
    name = "caf\udce9.png"
    write_json(tmp_path / "names.json", {"name": name})
    assert read_json(tmp_path / "names.json") == {"name": name}
    write_csv(tmp_path / "names.csv", ["name"], [[name]])
    assert (tmp_path / "names.csv").read_text(encoding="utf-8") == "name\ncaf\\udce9.png\n"
