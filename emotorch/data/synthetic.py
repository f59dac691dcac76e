"""Drawn faces in the formats of FER-2013 and CK+, so that every stage runs where no licensed dataset is.

A face is a handful of outlines in face coordinates (x to the right, y down, the crown at -1, the chin at 1),
posed as a head, painted at four times the final size and photographed: light, blur, noise. What an emotion
changes is its row of `_EXPRESSIONS`; everything else varies from face to face.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

DEFAULT_ROWS = 4000
DEFAULT_CKPLUS_IMAGES = 420
DEFAULT_SEED = 42

# Images per class of the real datasets, in the order of FER_EMOTIONS and CKPLUS_EMOTIONS.
_FER_COUNTS = (4953, 547, 5121, 8989, 6077, 4002, 6198)
_CKPLUS_COUNTS = (135, 54, 177, 75, 207, 84, 249)
_MIN_ROWS = 100
_TWIN_SHARE = 0.01
_CONFLICT_SHARE = 0.05  # of the twins have another label than their original
_FRAMES = 3  # CK+ gives the last three frames of a sequence
_SEQUENCES_PER_SUBJECT = 3
_FER_NAMES = {"anger": "angry", "sadness": "sad"}  # CK+'s other classes are called as FER-2013's

_SIDE = 48
_OVERSAMPLING = 4
_SUBPIXEL_BITS = 4
_TONES = np.arange(256) / 255
# Every part of a dataset has its own stream of random numbers.
_ORDER, _FACE, _TWINS, _SUBJECT, _SEQUENCE = range(5)

Image = NDArray[np.uint8]
Curve = NDArray[np.float64]


class Expression(NamedTuple):
    """How far each part of a face leaves its rest position; 1 is a strong movement."""

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


# An emotion shows in more than one way; a face takes one of them.
_EXPRESSIONS: dict[str, tuple[Expression, ...]] = {
    "neutral": (Expression(),),
    "angry": (
        Expression(-1.1, 0.45, 1, -0.15, 0.35, 0.3, -0.1, -0.25, -0.55),
        Expression(-1.1, 0.5, 1, 0.1, 0.3, 0.5, 0.6, 0.2, -0.45, 1, 0, 1, 0.3),
    ),
    "disgust": (
        Expression(-0.5, -0.25, 0.6, -0.45, 0.8, 1, 0.1, 0.05, -0.5, 0.6, 0.35, 0, 0.9),
        Expression(-0.5, -0.25, 0.6, -0.45, 0.8, 1, 0.4, 0.15, -0.4, 1, 0.3, 1, 1),
    ),
    "fear": (
        Expression(1.0, -0.1, 0.6, 0.75, 0, 0, 0.4, 0.6, -0.5, 1, 0, 0.9),
        Expression(1.0, -0.15, 0.7, 0.8, 0, 0, 0.15, 0.5, -0.6, 0.8, 0, 0.3),
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
        Expression(0.9, 1.0, 0, 0.9, 0, 0, 1.0, -0.35, 0.0),
        Expression(0.8, 1.0, 0, 0.8, 0, 0, 0.65, -0.4, 0.0),
    ),
    "contempt": (Expression(-0.1, 0.1, 0, -0.3, 0.2, 0.1, 0, 0.1, 0.15, 0, 1),),
}


@dataclass(frozen=True)
class Identity:
    """What stays the same from picture to picture of one person; lengths in face coordinates, tones 0-255."""

    head_width: float
    jaw: float
    skin: float
    hair: float
    hairline: float
    hair_length: float
    parting: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    iris: float
    brow_y: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip: float
    beard: float
    glasses: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Identity":
        skin = rng.uniform(95, 225)
        return cls(
            head_width=rng.uniform(0.7, 0.84),
            jaw=rng.uniform(0.02, 0.24),
            skin=skin,
            hair=rng.uniform(15, min(185, skin - 35)),
            hairline=rng.uniform(-0.74, -0.56),
            hair_length=rng.choice([0.0, 0.3, 0.8, 1.1], p=[0.08, 0.42, 0.2, 0.3]),
            parting=rng.uniform(-0.5, 0.5),
            eye_x=rng.uniform(0.31, 0.37),
            eye_y=rng.uniform(-0.14, -0.06),
            eye_width=rng.uniform(0.165, 0.205),
            eye_open=rng.uniform(0.08, 0.115),
            eye_tilt=rng.uniform(-0.03, 0.03),
            iris=rng.uniform(20, 90),
            brow_y=rng.uniform(-0.36, -0.3),
            brow_thickness=rng.uniform(0.04, 0.085),
            nose_length=rng.uniform(0.24, 0.34),
            nose_width=rng.uniform(0.1, 0.15),
            mouth_y=rng.uniform(0.5, 0.57),
            mouth_width=rng.uniform(0.25, 0.33),
            lip=rng.uniform(0.035, 0.075),
            beard=rng.uniform(0.3, 0.8) if rng.random() < 0.12 else 0.0,
            glasses=bool(rng.random() < 0.1),
        )


@dataclass(frozen=True)
class Capture:
    """The circumstances in which pictures of a dataset are taken: how far each may go.

    Attributes:
        roll, yaw, pitch: Largest turn of the head, degrees.
        shift: Largest displacement of the face, pixels.
        scale: Half the height of the face, pixels, lowest and highest.
        intensity: Of the expression, lowest and highest.
        mixed: Share of faces in whose expression a second emotion plays a part.
        slack: Spread of each muscle around what the emotion asks of it.
        light: Largest relative change of brightness from the middle of the picture to its edge.
        exposure: Largest relative change of gain and gamma.
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
    roll=14,
    yaw=25,
    pitch=12,
    shift=3.0,
    scale=(16.5, 21.5),
    intensity=(0.35, 1.15),
    mixed=0.15,
    slack=0.12,
    light=0.35,
    exposure=0.3,
    blur=0.8,
    noise=9,
)
IN_THE_LABORATORY = Capture(
    roll=4,
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


def sample_expression(emotion: str, capture: Capture, rng: np.random.Generator) -> Expression:
    """One way to show an emotion, weak or strong, pure or not."""
    kinds = _EXPRESSIONS[emotion]
    muscles = np.array(kinds[rng.integers(len(kinds))])
    muscles = muscles * rng.uniform(*capture.intensity)
    if rng.random() < capture.mixed:
        second = list(_EXPRESSIONS)[rng.integers(len(_EXPRESSIONS))]
        share = rng.uniform(0.2, 0.45)
        muscles = (1 - share) * muscles + share * np.array(_EXPRESSIONS[second][0])
    muscles = muscles + rng.normal(0, capture.slack, len(muscles))
    return Expression(*muscles.tolist())


class _Head:
    """A picture in which a head, posed at random, is painted.

    Attributes:
        picture: (4·48, 4·48) grey levels.
    """

    def __init__(self, width: float, capture: Capture, rng: np.random.Generator) -> None:
        self.picture: Image = np.empty((_SIDE * _OVERSAMPLING,) * 2, np.uint8)
        self._width = width
        roll, yaw, pitch = np.radians(rng.uniform(-1, 1, 3) * (capture.roll, capture.yaw, capture.pitch))
        self._depth_shift = np.array([np.sin(yaw), np.sin(pitch)])
        self._squeeze = np.array([np.cos(yaw), np.cos(pitch)])
        size = rng.uniform(*capture.scale) * _OVERSAMPLING
        self._turn = size * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        centre = _SIDE / 2 + rng.uniform(-capture.shift, capture.shift, 2) + (0, 0.5)
        self._centre = centre * _OVERSAMPLING
        self._size = size

    def fill(self, outline: Curve, tone: float) -> None:
        cv2.fillPoly(self.picture, [self._place(outline)], float(tone), cv2.LINE_8, _SUBPIXEL_BITS)

    def stroke(self, curve: Curve, tone: float, width: float, closed: bool = False) -> None:
        pixels = max(1, round(width * self._size))
        cv2.polylines(self.picture, [self._place(curve)], closed, float(tone), pixels, cv2.LINE_8, _SUBPIXEL_BITS)

    def _place(self, curve: Curve) -> NDArray[np.int32]:
        """Face coordinates (n, 2) to fixed-point canvas pixels, on the front of a turned ellipsoid."""
        depth = np.sqrt(np.maximum(0.0, 1 - (curve[:, 0] / self._width) ** 2 - curve[:, 1] ** 2))
        turned = curve * self._squeeze + 0.7 * depth[:, None] * self._depth_shift
        pixels = turned @ self._turn + self._centre
        return np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)


_U = np.linspace(-1, 1, 17)  # along an eye, a brow or the mouth
_ARCH = 1 - _U**2
_ROUND = np.linspace(0, 2 * np.pi, 33)[:-1]


def _curve(x: Curve | float, y: Curve | float) -> Curve:
    return np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float64)


def _between(x: Curve, upper: Curve, lower: Curve) -> Curve:
    """The outline of what lies between two curves over the same x."""
    return np.concatenate([_curve(x, upper), _curve(x, lower)[::-1]])


def _ellipse(x: float, y: float, width: float, height: float) -> Curve:
    return _curve(x + width * np.cos(_ROUND), y + height * np.sin(_ROUND))


def _head_outline(who: Identity, chin: float, grow: float = 1.0) -> Curve:
    down = np.sin(_ROUND)
    width = who.head_width * np.cos(_ROUND) * (1 - who.jaw * np.maximum(down, 0) ** 2)
    return grow * _curve(width, np.where(down > 0, chin * down, down))


def _paint_scene(head: _Head, who: Identity, rng: np.random.Generator) -> None:
    """Background, shoulders and the hair behind the face."""
    top, bottom = rng.uniform(20, 235, 2)
    head.picture[:] = np.linspace(top, bottom, len(head.picture))[:, None]
    head.fill(_ellipse(*rng.uniform(-2, 2, 2), *rng.uniform(0.3, 1.5, 2)), rng.uniform(20, 235))
    head.fill(_ellipse(0, 2.1, 1.35, 0.95), rng.uniform(20, 220))
    head.fill(_between(_U * 0.36, np.full(17, 0.5), 1.3 + 0.1 * _ARCH), 0.74 * who.skin)
    if who.hair_length:
        bottom_y = -0.3 + 1.3 * who.hair_length
        head.fill(_ellipse(0, -0.3, who.head_width + 0.12, 0.84), who.hair)
        x = _U * (who.head_width + 0.1)
        head.fill(_between(x, np.full(17, -0.3), bottom_y + 0.1 * _ARCH), who.hair)


def _paint_head(head: _Head, who: Identity, face: Expression) -> None:
    """Ears, the face with its shaded side, cheeks and beard."""
    chin = 1 + 0.1 * max(face.mouth_open, 0)
    for side in (-1, 1):
        head.fill(_ellipse(side * who.head_width, 0.05, 0.09, 0.17), 0.86 * who.skin)
    head.fill(_head_outline(who, chin), 0.8 * who.skin)
    head.fill(_head_outline(who, chin, 0.92), who.skin)
    if who.beard:
        x = _U * 0.93 * who.head_width
        tone = who.skin + who.beard * (who.hair - who.skin)
        jaw = 0.2 + 0.78 * (chin - 0.2) * np.sqrt(_ARCH) * (1 + 0.25 * _U**2)
        head.fill(_between(x, 0.2 + 0.16 * _ARCH, jaw), tone)
    cv2.blur(head.picture, (9, 9), dst=head.picture)


def _paint_hair(head: _Head, who: Identity) -> None:
    if not who.hair_length:
        return
    line = who.hairline + 0.34 * np.abs(_U - who.parting) ** 1.5
    crown = -1.04 * np.sqrt(np.maximum(1 - (0.98 * _U) ** 2, 0)) - 0.02
    head.fill(_between(_U * 1.03 * who.head_width, crown, np.maximum(line, crown)), who.hair)


def _paint_eye(head: _Head, who: Identity, face: Expression, side: int, gaze: Curve) -> None:
    x = side * who.eye_x + who.eye_width * _U
    middle = who.eye_y - side * who.eye_tilt * _U
    upper = middle - who.eye_open * max(0.12, 1 + 0.8 * face.eye_open) * _ARCH**0.7
    lower = middle + who.eye_open * max(0.05, 0.75 - 0.6 * face.eye_squint + 0.2 * face.eye_open) * _ARCH
    head.fill(_between(x, upper, lower), 0.35 * who.skin + 160)
    for radius, tone in ((0.085, who.iris), (0.04, 8.0)):
        disc = _ellipse(side * who.eye_x + gaze[0], who.eye_y - 0.01 + gaze[1], radius, radius)
        # The lids are functions of x, so what they hide of the iris is cut off by clipping y.
        disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, upper), np.interp(disc[:, 0], x, lower))
        head.fill(disc, tone)
    head.stroke(_curve(x, upper), 0.2 * who.skin, 0.04)
    head.stroke(_curve(x, lower), 0.62 * who.skin, 0.02)
    crease = 0.05 + 0.02 * max(face.eye_open, 0)
    head.stroke(_curve(x, upper - crease), 0.78 * who.skin, 0.02)


def _paint_brow(head: _Head, who: Identity, face: Expression, side: int) -> None:
    out = (_U + 1) / 2  # 0 at the nose, 1 at the temple
    x = side * (0.15 - 0.06 * face.brow_knit + 0.42 * out)
    raised = 0.13 * (face.brow_inner * (1 - out) + face.brow_outer * np.sin(0.5 * np.pi * out))
    y = who.brow_y - raised - 0.05 * _ARCH + 0.05 * out
    half = 0.5 * who.brow_thickness * (1.1 - 0.7 * out)
    head.fill(_between(x, y - half, y + half), min(who.hair, 0.5 * who.skin))


def _paint_nose(head: _Head, who: Identity, face: Expression, side: int) -> None:
    tip = who.eye_y + who.nose_length + 0.06 - 0.04 * face.nose_wrinkle
    shade = 0.68 * who.skin
    bridge = [(0.06, who.eye_y + 0.02), (0.05, tip - 0.12), (who.nose_width, tip)]
    head.stroke(np.array(bridge) * (side, 1), 0.8 * who.skin, 0.03)
    head.stroke(_curve(who.nose_width * _U, tip + 0.04 * _ARCH), shade, 0.03)
    for x in (-0.055, 0.055):
        head.fill(_ellipse(x, tip + 0.015, 0.035, 0.022), 0.35 * who.skin)


def _paint_wrinkles(head: _Head, who: Identity, face: Expression) -> None:
    """Lines that strong expressions fold into brow, nose and cheeks; they fade with the movement."""

    def fold(strength: float, curve: Curve) -> None:
        if strength > 0.2:
            head.stroke(curve, (1 - 0.35 * min(strength, 1)) * who.skin, 0.03)

    lift = min(face.brow_inner, face.brow_outer + 0.8)
    for y in (-0.6, -0.52):
        fold(lift, _curve(0.3 * _U, y - 0.03 * _ARCH))
    for side in (-1, 1):
        fold(face.brow_knit - max(face.brow_inner, 0), _curve(side * 0.045, who.brow_y + 0.1 * _U))
        fold(face.nose_wrinkle, _curve(side * (0.06 + 0.02 * _U), who.eye_y + 0.08 + 0.05 * _U))
        cheek = max(face.mouth_smile, face.nose_wrinkle, face.mouth_wide)
        fold(cheek, _curve(side * (0.28 + 0.06 * _U - 0.06 * _ARCH), 0.38 + 0.13 * _U))


def _paint_mouth(head: _Head, who: Identity, face: Expression) -> None:
    x = who.mouth_width * max(0.5, 1 + 0.4 * face.mouth_wide) * _U
    line = who.mouth_y - 0.13 * face.mouth_smile * (_U**2 - 0.35) - 0.09 * face.mouth_skew * _U
    profile = 1 - np.abs(_U) ** (2 + 2.5 * max(face.mouth_square, 0))
    gap = 0.34 * max(face.mouth_open, 0) * profile
    upper = line - 0.3 * gap - 0.05 * face.upper_lip * profile
    lower = line + 0.7 * gap
    thick = who.lip * max(0.4, 1 + min(0, 2.5 * face.mouth_open)) * np.sqrt(_ARCH)
    head.fill(_between(x, upper - thick * (1 - 0.25 * _ARCH**4), lower + 1.2 * thick), 0.62 * who.skin)
    head.fill(_between(x, upper, lower), 0.12 * who.skin)
    if face.teeth > 0.25:
        bite = np.minimum(upper + 0.12 * min(face.teeth, 1) * profile, lower)
        head.fill(_between(x * 0.9, upper, bite), 0.3 * who.skin + 165)
    head.stroke(
        _curve(x, np.minimum(upper + 0.3 * gap, lower)) if not gap.any() else _curve(x, upper),
        0.3 * who.skin,
        0.03,
    )


def _paint_glasses(head: _Head, who: Identity) -> None:
    for side in (-1, 1):
        head.stroke(_ellipse(side * who.eye_x, who.eye_y + 0.02, 0.25, 0.2), 25.0, 0.035, closed=True)
    head.stroke(_curve(0.09 * _U, who.eye_y - 0.03 * _ARCH), 25.0, 0.035)


def _photograph(picture: Image, capture: Capture, rng: np.random.Generator) -> Image:
    """What the camera makes of a painted head: (48, 48), 0-255."""
    image = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    angle = rng.uniform(0, 2 * np.pi)
    light = rng.uniform(0, capture.light)
    axis = np.linspace(-1, 1, _SIDE)
    image *= 1 + light * (np.cos(angle) * axis + np.sin(angle) * axis[:, None])
    gain, gamma = 1 + rng.uniform(-capture.exposure, capture.exposure, 2)
    image = gain * np.clip(image, 0, None) ** gamma
    image = cv2.GaussianBlur(image, (0, 0), 0.1 + rng.uniform(0, capture.blur))
    noise = rng.normal(0, rng.uniform(0, capture.noise), image.shape)
    return np.clip(np.round(255 * image + noise), 0, 255).astype(np.uint8)


def draw_face(
    emotion: str, who: Identity, rng: np.random.Generator, capture: Capture = IN_THE_WILD, apex: float = 1.0
) -> Image:
    """A picture of one person showing an emotion.

    Args:
        emotion: One of FER_EMOTIONS, or `contempt`.
        apex: How much of the sampled expression is reached; the frames of a sequence approach 1.

    Returns:
        (48, 48), 0-255.
    """
    face = Expression(*(apex * np.array(sample_expression(emotion, capture, rng))).tolist())
    head = _Head(who.head_width, capture, rng)
    _paint_scene(head, who, rng)
    _paint_head(head, who, face)
    gaze = rng.uniform(-1, 1, 2) * (0.04, 0.015)
    nose_side = int(rng.choice((-1, 1)))
    _paint_wrinkles(head, who, face)
    for side in (-1, 1):
        _paint_eye(head, who, face, side, gaze)
    _paint_nose(head, who, face, nose_side)
    _paint_mouth(head, who, face)
    _paint_hair(head, who)
    for side in (-1, 1):
        _paint_brow(head, who, face, side)
    if who.glasses:
        _paint_glasses(head, who)
    return _photograph(head.picture, capture, rng)
