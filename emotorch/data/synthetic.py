"""Synthetic faces that show emotions, so that every stage runs where no licensed dataset is.

A face is a set of outlines in face coordinates (x to the right, y down, crown at -1, chin at 1), posed as a
head, painted at four times the final size and photographed. What an emotion changes is its row of
`_EXPRESSIONS`; all else varies from face to face. Curves are complex: x + iy, so that turning is multiplying.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import SIZE, Pixels

_OVERSAMPLING = 4
_SUBPIXEL_BITS = 4

Values = NDArray[np.float64]
Curve = NDArray[np.complex128]

_U = np.linspace(-1, 1, 17)  # along an eye, a brow or the mouth
_ARCH = 1 - _U**2
_CIRCLE: Curve = np.exp(1j * np.linspace(0, 2 * np.pi, 33))
_SIDES = (-1, 1)


class Expression(NamedTuple):
    """How far each part of a face leaves its rest; 1 is a strong movement."""

    brow_inner: float = 0.0  # up
    brow_outer: float = 0.0  # up
    brow_knit: float = 0.0  # towards each other
    eye_open: float = 0.0  # the upper lid, up
    eye_squint: float = 0.0  # the lower lid, up
    nose_wrinkle: float = 0.0
    mouth_open: float = 0.0
    mouth_wide: float = 0.0
    mouth_smile: float = 0.0  # the corners, up
    mouth_square: float = 0.0  # bared rather than round
    mouth_skew: float = 0.0  # one corner, up
    teeth: float = 0.0
    upper_lip: float = 0.0  # up


# An emotion shows in more than one way; a face takes one of them. CK+ adds contempt to FER-2013's seven.
_EXPRESSIONS: dict[str, tuple[Expression, ...]] = {
    "angry": (
        Expression(-1.1, 0.5, 1, -0.1, 0.35, 0.3, -0.2, -0.25, -0.6),
        Expression(-1.1, 0.55, 1, 0.1, 0.3, 0.5, 0.6, 0.2, -0.45, 1, 0, 1, 0.3),
    ),
    "disgust": (
        Expression(-0.5, -0.25, 0.6, -0.45, 0.8, 1, 0.1, 0.05, -0.5, 0.6, 0.35, 0, 0.9),
        Expression(-0.5, -0.25, 0.6, -0.45, 0.8, 1, 0.4, 0.15, -0.4, 1, 0.3, 1, 1),
    ),
    "fear": (
        Expression(1.1, -0.2, 0.6, 0.75, 0, 0, 0.4, 0.6, -0.5, 1, 0, 0.9),
        Expression(1.1, -0.2, 0.7, 0.8, 0, 0, 0.2, 0.5, -0.7, 0.8, 0, 0.3),
    ),
    "happy": (
        Expression(0.1, 0.1, 0, -0.1, 0.6, 0, 0.45, 0.5, 1, 0.2, 0, 1),
        Expression(0.05, 0.1, 0, -0.1, 0.4, 0, 0, 0.45, 0.9),
    ),
    "sad": (
        Expression(0.75, -0.5, 0.5, -0.4, 0.1, 0, 0, -0.15, -0.9),
        Expression(0.6, -0.6, 0.4, -0.6, 0.3, 0, 0.2, 0.1, -0.9, 0.5),
    ),
    "surprise": (
        Expression(0.9, 1, 0, 0.9, 0, 0, 1, -0.35),
        Expression(0.8, 1, 0, 0.8, 0, 0, 0.7, -0.4),
    ),
    "neutral": (Expression(),),
    "contempt": (Expression(-0.1, 0.15, 0, -0.3, 0.2, 0.1, 0, 0.05, 0.1, 0, 1),),
}


class Identity:
    """What stays the same in all pictures of one person: lengths in face coordinates, tones 0-255."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.skin = rng.uniform(135, 240)
        self.head_width = rng.uniform(0.7, 0.84)
        self.jaw = rng.uniform(0.02, 0.24)
        self.hair = rng.uniform(12, min(190.0, self.skin - 60))
        self.hairline = rng.uniform(-0.76, -0.6)
        self.hair_length = rng.choice((0.0, 0.35, 0.8, 1.1), p=(0.08, 0.42, 0.2, 0.3))
        self.parting = rng.uniform(-0.5, 0.5)
        self.eye_x = rng.uniform(0.31, 0.37)
        self.eye_y = rng.uniform(-0.14, -0.06)
        self.eye_width = rng.uniform(0.165, 0.205)
        self.eye_open = rng.uniform(0.085, 0.115)
        self.eye_tilt = rng.uniform(-0.03, 0.03)
        self.iris = rng.uniform(15, 75)
        self.brow_y = rng.uniform(-0.37, -0.31)
        self.brow_thickness = rng.uniform(0.06, 0.1)
        self.nose_y = rng.uniform(0.2, 0.28)
        self.nose_width = rng.uniform(0.1, 0.15)
        self.mouth_y = rng.uniform(0.52, 0.58)
        self.mouth_width = rng.uniform(0.25, 0.33)
        self.lip = rng.uniform(0.035, 0.075)
        self.beard = rng.uniform(0.3, 0.8) if rng.random() < 0.08 else 0.0
        self.glasses = bool(rng.random() < 0.1)


@dataclass(frozen=True)
class Capture:
    """How far the circumstances of a dataset's pictures may go.

    Attributes:
        roll, yaw, pitch: Largest turns of the head, degrees.
        shift: Largest displacement of the face, pixels.
        scale: Half the height of a face, pixels: least and most.
        intensity: Of an expression: least and most.
        mixed: Share of faces in whose expression a second emotion plays a part.
        slack: Spread of each movement around what the emotion asks for.
        light: Largest relative change of brightness from the middle of a picture to its edge.
        exposure: Largest relative change of gain and of gamma.
        blur, noise: Largest standard deviations, pixels and grey levels.
    """

    roll: float
    yaw: float
    pitch: float
    shift: float
    scale: tuple[float, float]
    intensity: tuple[float, float]
    mixed: float
    slack: float
    light: float
    exposure: float
    blur: float
    noise: float


IN_THE_WILD = Capture(
    roll=11,
    yaw=18,
    pitch=8,
    shift=3.2,
    scale=(17.5, 21.5),
    intensity=(0.65, 1.25),
    mixed=0.1,
    slack=0.1,
    light=0.15,
    exposure=0.2,
    blur=0.35,
    noise=4,
)
IN_THE_LABORATORY = Capture(
    roll=3,
    yaw=5,
    pitch=4,
    shift=1.0,
    scale=(19.0, 21.0),
    intensity=(0.9, 1.2),
    mixed=0.0,
    slack=0.08,
    light=0.1,
    exposure=0.12,
    blur=0.4,
    noise=3,
)


def _sample_expression(emotion: str, capture: Capture, rng: np.random.Generator) -> Values:
    """One way to show an emotion, weak or strong, pure or mixed, in the order of Expression's fields."""
    ways = _EXPRESSIONS[emotion]
    face = np.array(ways[rng.integers(len(ways))]) * rng.uniform(*capture.intensity)
    if rng.random() < capture.mixed:
        second = tuple(_EXPRESSIONS.values())[rng.integers(len(_EXPRESSIONS))][0]
        face += rng.uniform(0.2, 0.45) * (np.array(second) - face)
    return face + rng.normal(0, capture.slack, len(face))


class _Head:
    """A picture, four times the final size, in which a head in a random pose is painted."""

    def __init__(self, width: float, capture: Capture, rng: np.random.Generator) -> None:
        self.picture: Pixels = np.empty((SIZE * _OVERSAMPLING,) * 2, np.uint8)
        self._width = width
        roll, self._yaw, self._pitch = np.radians(rng.uniform(-1, 1, 3) * (capture.roll, capture.yaw, capture.pitch))
        self._size = _OVERSAMPLING * rng.uniform(*capture.scale)
        self._turn = self._size * np.exp(1j * roll)
        across, down = rng.uniform(-capture.shift, capture.shift, 2) + (0, 0.5) + SIZE / 2
        self._centre = _OVERSAMPLING * complex(across, down)
        self._strokes: list[tuple[Curve, float, float]] = []

    def fill(self, outline: Curve, tone: float) -> None:
        self._strokes.append((outline, tone, 0.0))

    def line(self, curve: Curve, tone: float, width: float) -> None:
        self._strokes.append((curve, tone, width))

    def paint(self) -> None:
        """Paints what was asked for since the last call, all of it posed at once."""
        curves = [curve for curve, _, _ in self._strokes]
        ends = np.cumsum([len(curve) for curve in curves])[:-1]
        for points, (_, tone, width) in zip(
            np.split(self._pose(np.concatenate(curves)), ends), self._strokes, strict=True
        ):
            if width:
                pixels = max(1, round(width * self._size))
                cv2.polylines(self.picture, [points], False, (tone,), pixels, cv2.LINE_8, _SUBPIXEL_BITS)
            else:
                cv2.fillPoly(self.picture, [points], (tone,), cv2.LINE_8, _SUBPIXEL_BITS)
        self._strokes.clear()

    def _pose(self, curve: Curve) -> NDArray[np.int32]:
        """Face coordinates (n,) to fixed-point pixels (n, 2), as on the front of a turned ellipsoid."""
        x, y = curve.real, curve.imag
        depth = 0.7 * np.sqrt(np.maximum(0.0, 1 - (x / self._width) ** 2 - y**2))
        turned_x = x * np.cos(self._yaw) + depth * np.sin(self._yaw)
        turned_y = y * np.cos(self._pitch) + depth * np.sin(self._pitch)
        pixels = (turned_x + 1j * turned_y) * self._turn + self._centre
        fixed = np.round(np.stack([pixels.real, pixels.imag], axis=1) * (1 << _SUBPIXEL_BITS))
        return fixed.astype(np.int32)


def _between(x: Values, upper: Values, lower: Values) -> Curve:
    """The outline of what lies between two curves over the same x."""
    return np.concatenate([x + 1j * upper, (x + 1j * lower)[::-1]])


def _ellipse(centre: complex, width: float, height: float) -> Curve:
    return centre + width * _CIRCLE.real + 1j * height * _CIRCLE.imag


def _face_outline(who: Identity, face: Expression) -> Curve:
    """Round at the top, narrower at the jaw, longer when the mouth is open."""
    down = np.maximum(_CIRCLE.imag, 0)
    longer = 1 + 0.1 * max(face.mouth_open, 0)
    return who.head_width * _CIRCLE.real * (1 - who.jaw * down**2) + 1j * (_CIRCLE.imag + (longer - 1) * down)


def _paint_scene(head: _Head, who: Identity, rng: np.random.Generator) -> None:
    """Background, shoulders, neck and the hair behind the face."""
    top, bottom = rng.uniform(20, 235, 2)
    head.picture[:] = np.linspace(top, bottom, len(head.picture))[:, None]
    head.fill(_ellipse(complex(*rng.uniform(-2, 2, 2)), *rng.uniform(0.3, 1.5, 2)), rng.uniform(20, 235))
    head.fill(_ellipse(2.1j, 1.35, 0.95), rng.uniform(20, 220))
    head.fill(_between(0.36 * _U, 0.5 + 0 * _U, 1.3 + 0.1 * _ARCH), 0.74 * who.skin)
    if who.hair_length:
        head.fill(_ellipse(-0.3j, who.head_width + 0.12, 0.84), who.hair)
        ends = 1.3 * who.hair_length - 0.3 + 0.1 * _ARCH
        head.fill(_between((who.head_width + 0.1) * _U, 0 * _U - 0.3, ends), who.hair)


def _paint_skin(head: _Head, who: Identity, face: Expression) -> None:
    """Ears, the face with its darker rim, and a beard; edges softened."""
    outline = _face_outline(who, face)
    for side in _SIDES:
        head.fill(_ellipse(side * who.head_width + 0.05j, 0.09, 0.17), 0.86 * who.skin)
    head.fill(outline, 0.8 * who.skin)
    head.fill(0.92 * outline, who.skin)
    if who.beard:
        jaw = outline[1:16]  # from one ear around the chin to the other
        u = jaw.real / who.head_width
        whiskers = np.concatenate([jaw, (jaw.real + 1j * (0.4 - 0.35 * u**4))[::-1]])
        head.fill(whiskers, who.skin + who.beard * (who.hair - who.skin))
    head.paint()
    cv2.blur(head.picture, (9, 9), dst=head.picture)


def _paint_hair(head: _Head, who: Identity) -> None:
    if who.hair_length:
        crown = -1.04 * np.sqrt(1 - (0.98 * _U) ** 2) - 0.02
        fringe = who.hairline + 0.34 * np.abs(_U - who.parting) ** 1.5
        head.fill(_between(1.03 * who.head_width * _U, crown, np.maximum(fringe, crown)), who.hair)


def _paint_eye(head: _Head, who: Identity, face: Expression, side: int, gaze: complex) -> None:
    x = side * who.eye_x + who.eye_width * _U
    middle = who.eye_y - side * who.eye_tilt * _U
    upper = middle - who.eye_open * max(0.12, 1 + 0.8 * face.eye_open) * _ARCH**0.7
    lower = middle + who.eye_open * max(0.05, 0.75 - 0.6 * face.eye_squint + 0.2 * face.eye_open) * _ARCH
    head.fill(_between(x, upper, lower), 0.35 * who.skin + 160)
    for radius, tone in ((0.085, who.iris), (0.04, 8.0)):
        disc = _ellipse(complex(side * who.eye_x, who.eye_y - 0.01) + gaze, radius, radius)
        # The lids are functions of x, so that clipping y cuts off what they hide.
        seen = np.clip(disc.imag, np.interp(disc.real, x, upper), np.interp(disc.real, x, lower))
        head.fill(disc.real + 1j * seen, tone)
    head.line(x + 1j * upper, 0.2 * who.skin, 0.04)
    head.line(x + 1j * lower, 0.62 * who.skin, 0.02)
    head.line(x + 1j * (upper - 0.05), 0.78 * who.skin, 0.02)


def _paint_brow(head: _Head, who: Identity, face: Expression, side: int) -> None:
    out = (_U + 1) / 2  # 0 at the nose, 1 at the temple
    raised = 0.15 * (face.brow_inner * (1 - out) + face.brow_outer * np.sin(np.pi / 2 * out))
    y = who.brow_y - raised - 0.05 * _ARCH + 0.05 * out
    half = who.brow_thickness * (0.55 - 0.35 * out)
    head.fill(
        _between(side * (0.15 - 0.06 * face.brow_knit + 0.42 * out), y - half, y + half), min(who.hair, 0.5 * who.skin)
    )


def _paint_nose(head: _Head, who: Identity, face: Expression, side: int) -> None:
    tip = who.nose_y - 0.04 * face.nose_wrinkle
    bridge = side * np.array([0.06, 0.05, who.nose_width]) + 1j * np.array([who.eye_y + 0.02, tip - 0.12, tip])
    head.line(bridge, 0.8 * who.skin, 0.03)
    head.line(who.nose_width * _U + 1j * (tip + 0.04 * _ARCH), 0.68 * who.skin, 0.03)
    for nostril in _SIDES:
        head.fill(_ellipse(complex(0.055 * nostril, tip + 0.015), 0.035, 0.022), 0.35 * who.skin)


def _paint_folds(head: _Head, who: Identity, face: Expression) -> None:
    """The lines that strong movements fold into forehead, nose and cheeks."""

    def fold(strength: float, x: Values, y: Values) -> None:
        if strength > 0.2:
            head.line(x + 1j * y, (1 - 0.35 * min(strength, 1)) * who.skin, 0.03)

    for y in (-0.6, -0.52):
        fold(min(face.brow_inner, face.brow_outer + 0.8), 0.3 * _U, y - 0.03 * _ARCH)
    cheek = max(face.mouth_smile, face.nose_wrinkle, face.mouth_wide)
    for side in _SIDES:
        fold(face.brow_knit - max(face.brow_inner, 0), side * 0.045 + 0 * _U, who.brow_y + 0.1 * _U)
        fold(face.nose_wrinkle, side * (0.06 + 0.02 * _U), who.eye_y + 0.08 + 0.05 * _U)
        fold(cheek, side * (0.28 + 0.06 * _U - 0.06 * _ARCH), 0.38 + 0.13 * _U)


def _paint_mouth(head: _Head, who: Identity, face: Expression, side: int) -> None:
    x = who.mouth_width * max(0.5, 1 + 0.4 * face.mouth_wide) * _U
    line = (
        who.mouth_y
        - 0.13 * face.mouth_smile * (_U**2 - 0.35)
        - 0.16 * face.mouth_skew * np.maximum(side * _U, 0) ** 1.5
    )
    profile = 1 - np.abs(_U) ** (2 + 2.5 * max(face.mouth_square, 0))
    gap = 0.34 * max(face.mouth_open, 0) * profile
    upper = line - 0.3 * gap - 0.05 * face.upper_lip * profile
    lower = line + 0.7 * gap
    lip = who.lip * max(0.4, 1 + min(0, 2.5 * face.mouth_open)) * np.sqrt(_ARCH)  # pressed lips are thin
    head.fill(_between(x, upper - lip * (1 - 0.25 * _ARCH**4), lower + 1.2 * lip), 0.62 * who.skin)
    head.fill(_between(x, upper, lower), 0.12 * who.skin)
    if face.teeth > 0.25:
        head.fill(_between(0.9 * x, upper, np.minimum(upper + 0.12 * profile, lower)), 0.3 * who.skin + 165)
    head.line(x + 1j * upper, 0.25 * who.skin, 0.035)


def _paint_glasses(head: _Head, who: Identity) -> None:
    if who.glasses:
        for side in _SIDES:
            head.line(_ellipse(complex(side * who.eye_x, who.eye_y + 0.02), 0.25, 0.2), 25.0, 0.03)
        head.line(0.09 * _U + 1j * (who.eye_y - 0.03 * _ARCH), 25.0, 0.03)


def _photograph(picture: Pixels, capture: Capture, rng: np.random.Generator) -> Pixels:
    """What a camera makes of a painting: (192, 192) to (48, 48), 0-255."""
    image = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA) / 255
    light = rng.uniform(0, capture.light) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    axis = np.linspace(-1, 1, SIZE)
    image *= 1 + light.real * axis + light.imag * axis[:, None]
    gain, gamma = 1 + rng.uniform(-capture.exposure, capture.exposure, 2)
    image = cv2.GaussianBlur(gain * image**gamma, (0, 0), 0.1 + rng.uniform(0, capture.blur))
    noise = rng.normal(0, rng.uniform(0, capture.noise), image.shape)
    exposed: Pixels = np.clip(np.round(255 * image + noise), 0, 255).astype(np.uint8)
    return exposed


def draw_face(
    emotion: str, who: Identity, rng: np.random.Generator, capture: Capture = IN_THE_WILD, apex: float = 1.0
) -> Pixels:
    """A picture of a person who shows an emotion.

    Args:
        emotion: One of FER-2013's classes, or `contempt`.
        apex: How much of the expression is reached, 0-1; all else is the same for an equal generator.

    Returns:
        (48, 48), 0-255.
    """
    face = Expression(*(apex * _sample_expression(emotion, capture, rng)).tolist())
    gaze = complex(*rng.uniform(-1, 1, 2) * (0.04, 0.015))
    shaded = int(rng.choice(_SIDES))
    head = _Head(who.head_width, capture, rng)
    _paint_scene(head, who, rng)
    _paint_skin(head, who, face)
    _paint_folds(head, who, face)
    _paint_nose(head, who, face, shaded)
    _paint_mouth(head, who, face, shaded)
    for side in _SIDES:
        _paint_eye(head, who, face, side, gaze)
    _paint_hair(head, who)
    for side in _SIDES:
        _paint_brow(head, who, face, side)
    _paint_glasses(head, who)
    head.paint()
    return _photograph(head.picture, capture, rng)
