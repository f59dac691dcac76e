import re
from pathlib import Path

import numpy as np
import pytest
from drawing import assert_legible, texts
from matplotlib.figure import Figure
from PIL import Image

from emotorch.errors import EmoTorchError
from emotorch.figures import canvas
from emotorch.figures.confusion import ConfusionPanel, confusion_figure
from emotorch.figures.faces import prediction_sheet, probabilities_figure
from emotorch.figures.history import Curve, history_figure

FOUR = ("anger", "fear", "calm", "surprise")
SEVEN = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "contempt")
LONG_TITLE = "A title that nobody would call short, of a_file_name_with_a_$dollar$_sign.jpg (synthetic faces)"


def proportions(size: int) -> np.ndarray:
    return np.random.default_rng(size).dirichlet(np.ones(size), size)


def counts(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(1, 2000, (size, size))


def curve(epochs: int) -> Curve:
    return Curve(-0.6 + 0.2 / np.arange(1, epochs + 1), 60 - 20 / np.arange(1, epochs + 1))


def history(epochs: int, *names: str) -> dict[str, Curve]:
    return {name: curve(epochs) for name in ("Training", "FER validation", *names)}


def faces(number: int, labels: tuple[str, ...] = FOUR) -> list[dict[str, float]]:
    shares = np.random.default_rng(number).dirichlet(np.ones(len(labels)), number)
    return [dict(zip(labels, row, strict=True)) for row in shares.tolist()]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def sheet(number: int) -> Figure:
    predictions = [SEVEN[index % 7] for index in range(number)]
    return prediction_sheet(noise(number, 48, 48), ["contempt"] * number, predictions, [1.0] * number, "T")


def photo(height: int, width: int, number: int, title: str = "photo.jpg") -> Figure:
    boxes = [(20.0 + 30 * index, 10.0, 25.0, 25.0) for index in range(number)]
    return probabilities_figure(noise(height, width, 3), boxes, faces(number, SEVEN), title, ["fear"] * number)


FIGURES = {
    "four classes": lambda: confusion_figure([ConfusionPanel("", proportions(4), counts(4))], FOUR, "T"),
    "seven classes": lambda: confusion_figure([ConfusionPanel("", proportions(7))], SEVEN, LONG_TITLE),
    "two matrices": lambda: confusion_figure(
        [ConfusionPanel("FER", proportions(4), counts(4)), ConfusionPanel("CK+", proportions(4))], FOUR, LONG_TITLE
    ),
    "a footnote": lambda: confusion_figure(
        [ConfusionPanel("FER", proportions(4))], FOUR, "T", "no CK+ images: no CK+ matrix " * 4
    ),
    "one epoch": lambda: history_figure(history(1), "T", 1),
    "fifty epochs": lambda: history_figure(history(50, "CK+ validation", "Combined validation"), LONG_TITLE, 50),
    "unknown losses": lambda: history_figure({"Training": Curve([np.nan] * 3, [1, np.nan, 3])}, "T", None),
    "a sheet": lambda: sheet(20),
    "a narrow sheet": lambda: sheet(1),
    "a photo": lambda: photo(300, 400, 2),
    "a tall photo": lambda: photo(900, 300, 1, LONG_TITLE),
    "a panorama": lambda: photo(200, 900, 8, LONG_TITLE),
    "a group": lambda: photo(300, 400, 6),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_covers_another(name: str) -> None:
    assert_legible(FIGURES[name]())


def write_all(folder: Path) -> list[Path]:
    panel = ConfusionPanel("FER", proportions(4), counts(4))
    figures = {
        "matrix": confusion_figure([panel], FOUR, "One", note="no CK+"),
        "history": history_figure(history(16, "CK+ validation"), "History", 13),
        "sheet": prediction_sheet(noise(10, 60, 40, 3), ["calm"] * 10, ["fear"] * 10, [0.5] * 10, "Sheet"),
        "photo": probabilities_figure(noise(48, 48), [None], faces(1), "Photo", ["calm"]),
    }
    return [canvas.save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def test_equal_input_gives_equal_readable_pictures(tmp_path: Path) -> None:
    first, second = write_all(tmp_path / "a"), write_all(tmp_path / "b")
    assert sorted((tmp_path / "a").iterdir()) == sorted(first)
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes()
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert all(350 <= side <= 3000 for side in image.size)
            assert "Software" not in image.info


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmoTorchError, match="cannot write"):
        canvas.save(Figure(), tmp_path / "file" / "history.png")

    def fill_the_disk(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", fill_the_disk)
    with pytest.raises(EmoTorchError, match="no space left"):
        canvas.save(Figure(), tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_confusion_matrix_says_proportions_counts_and_classes_without_images() -> None:
    numbers = np.array([[1500, 500], [0, 0]])
    said = texts(confusion_figure([ConfusionPanel("FER", numbers / 2000, numbers)], ("calm", "fear"), "T"))
    assert {"75.0%\n1,500", "25.0%\n500", "calm\nn = 2,000", "fear\nn = 0", "Predicted", "True"} <= set(said)
    assert said.count("–") == 2
    unknown = [[np.nan, np.nan], [0.4, 0.6]]
    said = texts(confusion_figure([ConfusionPanel("", unknown)], ("calm", "fear"), "T"))
    assert said.count("–") == 2
    assert "60.0%" in said


def test_matrices_share_one_scale_and_carry_the_note() -> None:
    figure = confusion_figure([ConfusionPanel("FER", proportions(4))] * 2, FOUR, "T", "no CK+ images")
    assert {mesh.get_clim() for axes in figure.axes[:2] for mesh in axes.collections} == {(0, 100)}
    assert "no CK+ images" in texts(figure)


def test_history_marks_the_best_epoch_and_keeps_a_set_s_look() -> None:
    without, complete = (
        history_figure(history(16, *names, "Combined validation"), "T", 13).axes[0]
        for names in ((), ("CK+ validation",))
    )
    looks = [
        {line.get_label(): (line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines}
        for axes in (without, complete)
    ]
    assert looks[0]["Combined validation"] == looks[1]["Combined validation"]
    assert len(set(looks[1].values())) == len(looks[1])
    assert "best epoch: 13" in texts(without.figure)
    assert all(float(tick).is_integer() for tick in without.get_xticks())


def test_sheet_marks_right_and_wrong_and_keeps_every_pixel(tmp_path: Path) -> None:
    images = noise(2, 48, 48)
    figure = prediction_sheet(images, ["fear", "calm"], ["fear", "anger"], [0.5, 0.875], "Sheet")
    said = texts(figure)
    assert {"true: fear", "✓ fear 50%", "✗ anger 88%", "✓ 1 right", "✗ 1 wrong"} <= set(said)
    with Image.open(canvas.save(figure, tmp_path / "sheet.png")) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    enlarged = images[0].repeat(3, 0).repeat(3, 1)
    framed = (pixels == [0, 114, 178]).all(2)
    y, x = (int(indices.min()) + 5 for indices in np.nonzero(framed & (framed.sum(1, keepdims=True) > 100)))
    x = int(np.nonzero(framed[y])[0].min()) + 5
    assert (pixels[y : y + 144, x : x + 144] == enlarged[:, :, None]).all()


def test_photo_numbers_faces_and_says_how_many_have_bars() -> None:
    said = texts(photo(200, 400, 8))
    assert {"1", "8"} <= set(said)
    (note,) = (" ".join(text.split()) for text in said if text.startswith("Bars"))
    assert note.startswith("Bars for the first 6 of 8 faces; the others: 7 ")
    assert re.search(r": 7 \w+ \d+%, 8 \w+ \d+%\.$", note)
    assert sum(text.startswith("Face ") for text in said) == 6
    whole = probabilities_figure(noise(48, 48), [None], [{"anger": 0.0, "calm": 1.0}], "T", ["calm"])
    assert {"Whole picture: calm", "100.0%"} <= set(texts(whole))


def test_names_with_control_characters_or_no_utf_8_are_drawn_as_escapes(tmp_path: Path) -> None:
    figure = canvas.new_figure(4, 3, "model_\x1b[2J\udce9")
    axes = figure.add_subplot()
    axes.set_yticks([0, 1], ["caf\udce9", "b"])
    drawn = canvas.save(figure, tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "model_\\x1b[2J\\udce9" in drawn
    assert "caf\\udce9" in drawn
