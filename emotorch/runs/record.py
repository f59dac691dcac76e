"""A run's record, `run.json`, and whether a run's files are still those that were written.

The record states the SHA-256 of every file that is final, and its own. A file of weights holds its own too, in its last
bytes: it can be written and read alone, and a kill between it and the record makes nothing look damaged.
"""

import functools
import hashlib
import json
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotorch.datasets import FER
from emotorch.errors import EmoTorchError
from emotorch.files import as_json, hash_file, read_json, visible, write_json
from emotorch.runs.record_types import RunRecord
from emotorch.typed import require

logger = logging.getLogger(__name__)

RECORD_NAME = "run.json"
# What a record calls the SHA-256 of its files of weights, and of all other final files, by their names.
HASHES = {
    "model.pth": "weights_sha256",
    "model.safetensors": "safetensors_sha256",
    "model.onnx": "onnx_sha256",
}
FILES = "files_sha256"
# The record's own: of all else in it.
_OWN = "record_sha256"
# Rendered from the record, and pictures, which are drawn anew on demand, are no evidence of anything.
_NEVER_FINAL = {RECORD_NAME, "model_parameters.txt", "README.md"}
_PICTURES = {".png"}

# At the end of a file: this, and the SHA-256 of all before that, in hex.
_SEAL = b"emotorch sha256 "
_HEX = 64
_SEAL_LENGTH = len(_SEAL) + _HEX
# Of a ZIP archive without a comment, which a file of PyTorch's is, the last record, less the comment's length.
_ZIP_END, _ZIP_END_LENGTH = b"PK\x05\x06", 22
# Of ONNX's ModelProto: the field of metadata, and in it key and value.
_METADATA, _KEY, _VALUE = b"\x72", b"\x0a", b"\x12"
_SEAL_KEY = b"sha256"

_REMEDY = "bring that file back, or make it again"


def read_record(folder: Path) -> dict[str, Any]:
    """The content of a folder's run.json; empty for a folder that other code wrote.

    Raises:
        EmoTorchError: it is damaged: no JSON, a key holds what it cannot, or one within a table is not there.
    """
    path = folder / RECORD_NAME
    try:
        record: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return {}
    require(record, RunRecord, f"{path}:")
    if record.pop(_OWN, None) not in (None, _hash_of(record)):
        raise EmoTorchError(
            f"{path}: damaged, or changed by hand: its SHA-256 is not its {_OWN}; bring that file back, or, where the "
            "change is meant, delete that line in it"
        )
    return record


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes a folder's run.json, with its own SHA-256 in it."""
    plain = json.loads(as_json(record))
    write_json(folder / RECORD_NAME, {**plain, _OWN: _hash_of(plain)})


def fer_usage_of(record: Mapping[str, Any]) -> str | None:
    """How a run's training split FER-2013; None where that did not train it, or the record does not tell."""
    settings = record.get("settings")
    if not settings or settings["train_on"] != FER.name:
        return None
    usage: str = settings["recipe"]["fer_usage"]
    return usage


def _hash_of(record: Mapping[str, Any]) -> str:
    """Of what a record says, however its text is laid out."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def stated_hashes(record: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 that a record states of its run's files, by their names."""
    weights = {name: record[key] for name, key in HASHES.items() if key in record}
    return {**record.get(FILES, {}), **weights}


def with_hashes(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A record that states the SHA-256 of every final file that is in a folder, and of no other."""
    files = [path for path in visible(folder) if path.is_file() and path.suffix not in _PICTURES]
    found = {path.name: hash_file(path) for path in files if path.name not in _NEVER_FINAL}
    weights = {HASHES[name]: found.pop(name) for name in HASHES if name in found}
    return {**without_hashes(record), **weights, FILES: found}


def without_hashes(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a run whose files are being written."""
    return {key: value for key, value in record.items() if key not in (FILES, *HASHES.values())}


def check_file(path: Path, stated: str | None) -> None:
    """Compares a file of a run with what its record states of it, if anything.

    Raises:
        EmoTorchError: it is another file, or is not there.
    """
    if stated is None:
        return
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise EmoTorchError(f"{path} is gone, which {RECORD_NAME} beside it tells of: {_REMEDY}") from None
    if found != stated:
        raise _damaged(path, f"its SHA-256 is not the one that {RECORD_NAME} beside it states ({stated})")


def check_folder(folder: Path) -> None:
    """Compares every file that a folder's record tells of; see `check_file` for what is raised."""
    for name, stated in stated_hashes(read_record(folder)).items():
        check_file(folder / name, stated)


def checked_hash(weights: Path) -> str:
    """The SHA-256 of a file of weights, which is what the record beside it and its own end state, where they do.

    PyTorch and ONNX Runtime take wrong bytes in weights for weights.

    Raises:
        EmoTorchError: one of them states another.
    """
    content = weights.read_bytes()
    before, end = memoryview(content)[:-_HEX], content[-_SEAL_LENGTH:]
    digest = hashlib.sha256(before)
    is_sealed = end.startswith(_SEAL)
    if is_sealed and end[len(_SEAL) :] != digest.hexdigest().encode():
        raise _damaged(weights, "its SHA-256 is not the one that it ends with")
    digest.update(content[-_HEX:])
    found = digest.hexdigest()
    stated = stated_hashes(read_record(weights.parent)).get(weights.name)
    if stated not in (None, found):
        raise _damaged(weights, f"its SHA-256 is not the one that {RECORD_NAME} beside it states ({stated})")
    if stated is None and not is_sealed:
        say_unverified(weights.parent)
    return found


def _damaged(path: Path, why: str) -> EmoTorchError:
    return EmoTorchError(f"{path}: damaged or replaced, {why}: {_REMEDY}")


@functools.cache
def say_unverified(folder: Path) -> None:
    """Says, once, that nothing tells whether a folder's files are whole: the published code wrote it, or some other."""
    logger.info("%s: read unverified, nothing states what its files' SHA-256 should be", folder.name or folder)


def sealed_archive(content: bytes) -> bytes:
    """A file of PyTorch's with its own SHA-256 at its end, as the ZIP archive's comment: PyTorch reads it as before."""
    if content[-_ZIP_END_LENGTH:].startswith(_ZIP_END):
        return _sealed(content[:-2] + struct.pack("<H", _SEAL_LENGTH))
    return content


def sealed_graph(content: bytes) -> bytes:
    """An ONNX file with its own SHA-256 at its end, as one more property of its metadata."""
    entry = _KEY + bytes([len(_SEAL_KEY)]) + _SEAL_KEY + _VALUE + bytes([_SEAL_LENGTH])
    return _sealed(content + _METADATA + bytes([len(entry) + _SEAL_LENGTH]) + entry)


def _sealed(content: bytes) -> bytes:
    whole = content + _SEAL
    return whole + hashlib.sha256(whole).hexdigest().encode()
