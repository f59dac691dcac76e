"""Inputs made to break what reads them: pictures, models, label schemes, records, names."""

import json
import pickle
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import cv2
import numpy as np
import onnx
import torch
from conftest import draw_images
from onnx import TensorProto, helper
from running import COMPARE, EVALUATE, MODELS, PLOT_HISTORY, PREDICT, TRAIN

from emotorch.paths import STAGE_2
from torture.processes import call
from torture.subjects import MODEL, ONNX_MODEL
from torture.trials import Bench, Result, Series

KIND = "hostile"
# Writes an input into a root that is after stage 4, by chance; returns the script and the arguments that meet it.
Make = Callable[[Path, Random], tuple[str, tuple[str, ...]]]
_LONG = 100_000


def series(bench: Bench, _: tuple[str, ...]) -> list[Series]:
    return [Series(KIND, subject, target, partial(_feed, bench, subject, make)) for subject, target, make in _CORPUS]


def _feed(bench: Bench, subject: str, make: Make, number: int) -> Result:
    root = bench.fresh("stage 4")
    script, arguments = make(root, bench.chance(f"{KIND} {subject}", number))
    ended = call(root, script, arguments, limit_s=30)
    return Result.of(ended.fault(may_fail=True))


def _predict(*arguments: str) -> tuple[str, tuple[str, ...]]:
    return PREDICT, (*arguments, "--detector", "none", "--json")


# Pictures.


def _png(width: int, height: int, depth: int = 8, kind: int = 0, data: bytes = b"") -> bytes:
    """A PNG of any header and any data, with right checksums."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    parts = [(struct.pack(">I", len(body)), name + body) for name, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + rest + struct.pack(">I", zlib.crc32(rest)) for size, rest in parts)


def _encoded(suffix: str, height: int, width: int) -> bytes:
    pixels = cv2.resize(draw_images(1, seed=3)[0], (width, height))
    return cv2.imencode(suffix, pixels)[1].tobytes()


_PICTURES: tuple[Callable[[Random], bytes], ...] = (
    lambda chance: _png(chance.choice((0, 1, 30_000, 2**31 - 1)), chance.choice((0, 1, 30_000, 2**31 - 1))),
    lambda chance: _png(64, 64, chance.choice((0, 1, 3, 16, 255)), chance.randrange(8), chance.randbytes(500)),
    lambda chance: _png(50_000, 50_000, 1, 0, bytes(1_000_000)),
    lambda chance: _encoded(".png", 1, chance.choice((1, 2, 3000, 20_000))),
    lambda chance: _encoded(chance.choice((".png", ".jpg", ".bmp", ".tiff", ".webp")), chance.choice((1, 2, 3000)), 1),
    lambda chance: (
        _encoded(suffix := chance.choice((".png", ".jpg", ".tiff", ".webp", ".bmp")), 48, 48)[
            : chance.randrange(10, 400)
        ]
        + suffix.encode()
    ),
    lambda chance: _spoilt(chance, _encoded(chance.choice((".png", ".jpg", ".tiff", ".webp", ".bmp", ".pgm")), 48, 48)),
    lambda chance: (
        chance.choice((b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff\xe0", b"P5 9 9 255 "))
        + chance.randbytes(chance.randrange(300))
    ),
    lambda chance: b"P5 %d %d 255\n" % (10 ** chance.randrange(12), 10 ** chance.randrange(12)) + bytes(99),
    lambda chance: b"\0\0\0\x18ftypheic" + chance.randbytes(100),
    lambda chance: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    lambda chance: chance.choice(
        (b"", b"\0", b"\n" * 1000, b"%PDF-1.4", b"version https://git-lfs.github.com/spec/v1\n")
    ),
)


def _spoilt(chance: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 8)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _picture(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    suffix = chance.choice((".png", ".jpg", ".tiff", ".gif", ".hdr", ".webp", ""))
    (root / f"picture{suffix}").write_bytes(chance.choice(_PICTURES)(chance))
    return _predict(f"picture{suffix}", "face.png", "--model", ONNX_MODEL, "--csv", "answers.csv")


# Models.


def _graph(chance: Random, root: Path) -> onnx.ModelProto:
    """A graph of another rank, type, operator or shape than ours, that says it is ours."""
    rank = chance.randrange(6)
    kind = chance.choice((TensorProto.UINT8, TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64))
    shape = [chance.choice((None, 0, 1, 4, 48, -1, "faces")) for _ in range(rank)]
    taken = helper.make_tensor_value_info("pixels", kind, shape)
    given_kind, given_shape = chance.choice((kind, TensorProto.FLOAT)), chance.choice((None, shape, [1, 4]))
    given = helper.make_tensor_value_info("outputs", given_kind, given_shape)
    operator = chance.choice(("Identity", "Flatten", "Softmax", "Shape", "NonZero", "Reshape", "Loop", "Nowhere"))
    graph = helper.make_graph([helper.make_node(operator, ["pixels"], ["outputs"])], "g", [taken], [given])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", chance.choice((1, 20, 99)))])
    ours = onnx.load(root / ONNX_MODEL)
    model.metadata_props.extend(ours.metadata_props)
    return model


_TEXTS = ("", "null", "[]", "{}", "nan", "1e999", "[" * _LONG, "9" * 5000, "\x1b[2J", "\0")


def _onnx(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    path = root / "hostile.onnx"
    ours = onnx.load(root / ONNX_MODEL)
    match chance.randrange(5):
        case 0:
            onnx.save(_graph(chance, root), path)
        case 1:
            entry = chance.choice(list(ours.metadata_props))
            entry.value = chance.choice(_TEXTS)
            onnx.save(ours, path)
        case 2:
            outside = ours.graph.initializer[0]
            outside.ClearField("raw_data")
            outside.data_location = TensorProto.EXTERNAL
            entry = outside.external_data.add()
            entry.key, entry.value = "location", chance.choice(("../../../../etc/passwd", "/dev/zero", "nowhere", ""))
            path.write_bytes(ours.SerializeToString())
        case 3:
            path.write_bytes(_spoilt(chance, (root / ONNX_MODEL).read_bytes()))
        case _:
            path.write_bytes((root / ONNX_MODEL).read_bytes()[: chance.randrange(5000)] + chance.randbytes(50))
    return _predict("face.png", "--model", "hostile.onnx")


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("harm",)


_NUMBERS = (-1, 0, 10**30, 1e308, float("nan"), float("inf"))
_VALUES = (*_NUMBERS, None, "", "\x1b[31m", "=1+1", [], {}, [[]], True, "9" * 5000)


def _checkpoint(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    state = torch.load(root / MODELS / MODEL / "model.pth", weights_only=True)
    key = chance.choice(list(state))
    inner = chance.choice(list(state[key])) if isinstance(state[key], dict) and state[key] else None
    value = chance.choice((*_VALUES, torch.zeros(3), torch.full((2, 2), float("nan")), _Harmful()))
    if inner is None or chance.random() < 0.3:
        state[key] = value
    else:
        state[key][inner] = value
    if chance.random() < 0.1:
        (root / "hostile.pth").write_bytes(pickle.dumps(state))
    else:
        torch.save(state, root / "hostile.pth")
    return _predict("face.png", "--model", "hostile.pth")


# Text.


def _scheme(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    labels = chance.choice(
        (
            '["a", "b"]',
            "[]",
            '["a", "a"]',
            '["a\\u001b[2J", "=cmd()"]',
            str([f"l{number}" for number in range(_LONG)]),
            "[" * _LONG,
            "[1, 2]",
            '"ab"',
            '["..", "/", "a/b", ""]',
        )
    )
    texts = (
        f'name = "hostile"\nlabels = {labels}\n[from.fer]\nangry = "a"\nfear = "b"\n',
        f'name = "{chance.choice(("../x", "", "a" * 400, ".", "emotorch4"))}"\nlabels = ["a", "b"]\n',
        "x = " + "{a = " * 5000,
        "[a." + "b." * 20_000 + "c]",
        "\ufeffname = 1",
        chance.randbytes(300).decode("latin-1"),
        f"name = {'9' * 5000}",
    )
    (root / "hostile.toml").write_text(chance.choice(texts), encoding="utf-8")
    script = chance.choice((TRAIN, STAGE_2, PREDICT))
    if script == PREDICT:
        return _predict("face.png", "--model", ONNX_MODEL, "--scheme", "hostile.toml")
    return script, ("--scheme", "hostile.toml")


def _record(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    """A run's JSON files, with something of another type somewhere in them, or nested as deep as it goes."""
    folder = root / MODELS / MODEL
    path = folder / chance.choice(("run.json", "run.json", "training_history.json"))
    if chance.random() < 0.2:
        path.write_text(chance.choice(("[" * _LONG, "null", "[]", "", "9" * 5000, '{"a":' * _LONG, '"\\ud800"')))
    else:
        content = json.loads(path.read_text())
        content.pop("record_sha256", None)  # else any change at all is refused
        place = content
        while isinstance(place, dict | list) and place:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.4:
                place[key] = chance.choice(_VALUES)
                break
            place = place[key]
        path.write_text(json.dumps(content))
    return chance.choice(
        (
            (COMPARE, ()),
            (EVALUATE, (MODEL, "fer", "--threads", "1")),
            (PLOT_HISTORY, (MODEL,)),
            (TRAIN, ("--resume", MODEL)),
            _predict("face.png", "--model", MODEL),
        )
    )


def _table(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    """A run's CSV files with bytes that are no UTF-8, without columns, with cells of all kinds."""
    folder = root / MODELS / MODEL
    path = chance.choice(sorted(folder.glob("*.csv")))
    lines = path.read_bytes().split(b"\n")
    row = chance.randrange(len(lines))
    rows = (b"\xff\xfe", b"", b'"', b",,,,,,,,", b"=cmd()", b"nan," * 4, b"\0", b"\x1b[2J", lines[row] + b",1")
    lines[row] = chance.choice(rows)
    path.write_bytes(b"\n".join(lines))
    return chance.choice(((COMPARE, ()), (EVALUATE, (MODEL, "fer", "--threads", "1")), (PLOT_HISTORY, (MODEL,))))


# Names.

_NAMES = (
    b"\x1b[2Jface.png",
    b"face\n.png",
    b"\xff\xfe.png",
    b"=cmd().png",
    b"<img src=x onerror=alert(1)>.png",
    b"-rf.png",
    b" .png",
    b"\xe2\x80\xae.png",
    b"a" * 250 + b".png",
    b"%s%n.png",
    b"'; --.png",
    b"|cat.png",
)


def _name(root: Path, chance: Random) -> tuple[str, tuple[str, ...]]:
    import os

    name = chance.choice(_NAMES)
    pixels = cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1].tobytes()
    if chance.random() < 0.4:
        folder = os.fsencode(root / "FER-Datasets" / "mine" / "anger")
        os.makedirs(folder)  # noqa: PTH103 - bytes that are no UTF-8
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(pixels)  # noqa: PTH118
        return STAGE_2, ("--workers", "1")
    path = Path(os.fsdecode(os.path.join(os.fsencode(root), name)))  # noqa: PTH118
    path.write_bytes(pixels)
    return _predict(f"./{path.name}", "--model", ONNX_MODEL, "--csv", "answers.csv", "--save", "sheet.png")


_CORPUS: tuple[tuple[str, int, Make], ...] = (
    ("pictures", 150, _picture),
    ("ONNX files", 100, _onnx),
    ("checkpoints", 100, _checkpoint),
    ("label schemes", 60, _scheme),
    ("records", 100, _record),
    ("tables", 60, _table),
    ("names", 50, _name),
)
