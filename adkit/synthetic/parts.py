"""Synthetic parts with drawn defects in three grades: real enough to be hard, made by code from a seed.

Four sorts, each with its own difficulty: *washer* (round, turned freely), *connector* (always aligned, with fine pins),
*fabric* (texture without an object) and *bolt* (lies any way, with small defects). Light, position and sensor noise
vary more than most defects do, so that the mean brightness of an image tells nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.boxes import Marks, Pixels

Floats = NDArray[np.float32]
Random = np.random.Generator

PARTS_VERSION = 1  # goes up when the drawing changes: cached parts of an older version are then drawn anew
GOOD = "good"
GRADES = ("clear", "visible", "faint")
DEFECTS = ("scratch", "stain", "incomplete")
SIZE_PX = 256
_SCALE = 2  # everything is drawn at twice the size and shrunk: smooth edges
_CANVAS = SIZE_PX * _SCALE
_STRENGTH = {"clear": 1.0, "visible": 0.6, "faint": 0.35}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A part before light and noise: its image, where it is, and the features that may be missing."""

    canvas: Floats  # (H, W, 3)
    body: NDArray[np.uint8]  # (H, W), 1 where a scratch or a stain is on the part
    features: list[NDArray[np.uint8]]  # each (H, W), 1 where one hole or pin is
    fill: Floats  # (H, W, 3): what shows where a feature is missing
    fineness: float = 1.0  # how large scratches and stains are: 0.5 is half as long and wide


def draw_part(part: str, rng: Random, defect: str | None = None, grade: str = "clear") -> tuple[Pixels, Marks]:
    """Return an image, uint8 RGB (256, 256, 3), and its mask, bool (256, 256): True where it is anomalous."""
    drawn = _PARTS[part](rng)
    canvas, mask = drawn.canvas, np.zeros((_CANVAS, _CANVAS), np.uint8)
    if defect is not None:
        canvas, mask = _DEFECTS[defect](drawn, rng, _STRENGTH[grade])
    lit = _light(canvas, rng)
    picture = cv2.resize(lit, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    noisy = picture + rng.normal(0, 0.012, picture.shape)
    small_mask = cv2.resize(mask.astype(np.float32), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) > 0.5
    return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8), small_mask


def write_parts(folder: Path, part: str, *, seed: int, train: int, good: int, each_grade: int) -> None:
    """Write a dataset in MVTec's layout, each image with a generator of its own: more of one kind change no other."""
    kinds: list[tuple[str, str, str | None, str, int]] = [("train", GOOD, None, GRADES[0], train)]
    kinds.append(("test", GOOD, None, GRADES[0], good))
    kinds += [("test", f"{grade}_{defect}", defect, grade, each_grade) for defect in DEFECTS for grade in GRADES]
    for split, kind, defect, grade, count in kinds:
        for index in range(count):
            key = [seed, PART_NAMES.index(part), split == "train", index, DEFECTS.index(defect) + 1 if defect else 0]
            picture, mask = draw_part(part, np.random.default_rng([*key, GRADES.index(grade)]), defect, grade)
            path, truth = folder / split / kind / f"{index:03d}.png", folder / "ground_truth" / kind
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            if defect:
                truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray((mask * 255).astype(np.uint8)).save(truth / f"{index:03d}_mask.png")


def _smooth_noise(rng: Random, cell_px: int) -> Floats:
    """Draw noise (H, W) in about -1..1 whose structures are `cell_px` wide."""
    cells = _CANVAS // cell_px + 3
    coarse = rng.normal(0, 0.5, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC), np.float32)


def _grained(colour: tuple[float, float, float], rng: Random, strength: float, cell_px: int) -> Floats:
    """Return a canvas (H, W, 3) of one colour with such noise."""
    canvas = np.full((_CANVAS, _CANVAS, 3), colour, np.float32)
    canvas += strength * _smooth_noise(rng, cell_px)[:, :, None]
    return canvas


def _blank() -> NDArray[np.uint8]:
    return np.zeros((_CANVAS, _CANVAS), np.uint8)


def _washer(rng: Random) -> _Drawn:
    centre = np.array([_CANVAS / 2, _CANVAS / 2]) + rng.uniform(-14, 14, 2)
    turn = rng.uniform(0, 2 * np.pi)
    outer, inner = 200, 84
    at = (int(centre[0]), int(centre[1]))
    canvas = _grained((0.16, 0.17, 0.19), rng, 0.03, 6)
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    angle = np.arctan2(y - at[1], x - at[0]) + turn
    radius = np.hypot(y - at[1], x - at[0])
    # Turned metal: rings of the lathe's tool, and the two bright fans that light makes on them.
    rings = 0.03 * np.sin(radius * 1.9 + rng.uniform(0, 6)) + 0.02 * _smooth_noise(rng, 4)
    metal = 0.55 + 0.10 * np.cos(2 * (angle - turn)) + rings
    metal_colour = np.stack([metal, metal * 1.0, metal * 1.03], axis=2).astype(np.float32)
    body = _blank()
    cv2.circle(body, at, outer, 1, -1, cv2.LINE_8)
    cv2.circle(body, at, inner, 0, -1, cv2.LINE_8)
    background = canvas.copy()
    canvas[body > 0] = metal_colour[body > 0]
    features = []
    for number in range(6):
        theta = turn + number * np.pi / 3
        hole = _blank()
        place = (centre + 142 * np.array([np.cos(theta), np.sin(theta)])).astype(int)
        cv2.circle(hole, (int(place[0]), int(place[1])), 21, 1, -1)
        features.append(hole)
        canvas[hole > 0] = background[hole > 0]
        body[hole > 0] = 0
    for edge in (outer, inner):
        cv2.circle(canvas, at, edge, (0.75, 0.75, 0.78), 3, cv2.LINE_AA)
    return _Drawn(canvas, body, features, metal_colour)


def _connector(rng: Random) -> _Drawn:
    shift = rng.uniform(-6, 6, 2)
    canvas = _grained((0.62, 0.64, 0.60), rng, 0.02, 5)
    left, top = (np.array([66, 120]) + shift).astype(int).tolist()
    right, bottom = left + 380, top + 272
    body = _blank()
    cv2.rectangle(body, (left, top), (right, bottom), 1, -1)
    plastic = _grained((0.13, 0.14, 0.16), rng, 0.018, 3)
    canvas[body > 0] = plastic[body > 0]
    cv2.rectangle(canvas, (left + 14, top + 14), (right - 14, bottom - 14), (0.24, 0.25, 0.28), 4, cv2.LINE_AA)
    features = []
    for row in range(2):
        for column in range(6):
            x, y = left + 46 + column * 52, top + 60 + row * 104
            pin = _blank()
            cv2.rectangle(pin, (x, y), (x + 26, y + 48), 1, -1)
            features.append(pin)
            gold = 0.03 * rng.normal()
            canvas[pin > 0] = (0.80 + gold, 0.66 + gold, 0.30 + gold)
            cv2.rectangle(canvas, (x + 6, y + 6), (x + 12, y + 42), (0.93, 0.82, 0.50), -1)
    return _Drawn(canvas, body, features, plastic)


def _fabric(rng: Random) -> _Drawn:
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    sway = 5 * _smooth_noise(rng, 120)
    pitch = 15.0
    warp = np.sin((x + sway) * 2 * np.pi / pitch + rng.uniform(0, 6))
    weft = np.sin((y + sway) * 2 * np.pi / pitch + rng.uniform(0, 6))
    over = np.sin((x + sway) * np.pi / pitch) * np.sin((y + sway) * np.pi / pitch) > 0
    threads = np.where(over, warp, weft) * 0.11 + 0.04 * _smooth_noise(rng, 5)
    base = np.array([0.42, 0.47, 0.58], np.float32)
    canvas = (base + threads[:, :, None]).astype(np.float32)
    body = np.ones((_CANVAS, _CANVAS), np.uint8)
    gap = _blank()
    at = rng.integers(90, _CANVAS - 90, 2)
    length = int(rng.integers(50, 90))
    cv2.rectangle(gap, (int(at[0]), int(at[1])), (int(at[0]) + length, int(at[1]) + 13), 1, -1)
    if rng.random() < 0.5:
        gap = np.ascontiguousarray(gap.T)
    # A missing thread shows the dark ground below.
    ground = np.full_like(canvas, (0.25, 0.28, 0.34))
    return _Drawn(canvas, body, [gap], ground)


def _bolt(rng: Random) -> _Drawn:
    background = _grained((0.72, 0.72, 0.71), rng, 0.015, 5)
    for _ in range(int(rng.integers(5))):  # dust, which is no defect
        speck = (int(rng.integers(_CANVAS)), int(rng.integers(_CANVAS)))
        cv2.circle(background, speck, int(rng.integers(2, 4)), (0.62, 0.61, 0.60), -1, cv2.LINE_AA)
    turn = rng.uniform(0, 2 * np.pi)
    centre = _CANVAS / 2 + rng.uniform(-16, 16, 2)
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    along = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    across = -(x - centre[0]) * np.sin(turn) + (y - centre[1]) * np.cos(turn)
    # The thread winds: it is half a pitch further on the other side, and starts anywhere.
    winding = along / 24 + across / 104 + rng.uniform(0, 1)
    tooth = 2 * np.abs(winding % 1 - 0.5)
    radius = np.select(
        [along < -180, along < -112, along < -64, along < 130, along < 176],
        [0.0, 56.0, 25.0, 26 + 12 * tooth, 26 * (176 - along) / 46 + 4],
        0.0,
    )
    body = (np.abs(across) < radius).astype(np.uint8)
    lit_from = rng.uniform(-0.5, 0.5)
    round_shade = np.sqrt(np.clip(1 - (across / np.maximum(radius, 1) - lit_from) ** 2, 0, 1))
    flanks = np.where((along >= -64) & (along < 130), 0.16 * (tooth - 0.5), 0)
    metal = 0.18 + 0.26 * round_shade + flanks + 0.03 * _smooth_noise(rng, 4)
    canvas = background.copy()
    canvas[body > 0] = np.stack([metal, metal, metal * 1.03], axis=2).astype(np.float32)[body > 0]
    # What may be missing: the crests of two teeth on either side, or the tip.
    crests = body * (np.abs(across) > 24) * (along >= -64)
    places = [(side, start) for side in (-1, 1) for start in (-60, -12, 36, 78)]
    features = [crests * (across * side > 0) * (along >= start) * (along < start + 48) for side, start in places]
    features.append(body * (along > 144))
    return _Drawn(canvas, body, [feature.astype(np.uint8) for feature in features], background, fineness=0.5)


def _place_on(body: NDArray[np.uint8], rng: Random, margin_px: int) -> tuple[int, int]:
    inside = cv2.erode(body, np.ones((margin_px, margin_px), np.uint8), borderValue=0)
    ys, xs = np.nonzero(inside if inside.any() else body)
    chosen = int(rng.integers(len(xs)))
    return int(xs[chosen]), int(ys[chosen])


def _blend(canvas: Floats, where: Floats, colour: Floats) -> Floats:
    return canvas * (1 - where[:, :, None]) + colour * where[:, :, None]


def _scratch(drawn: _Drawn, rng: Random, strength: float) -> tuple[Floats, NDArray[np.uint8]]:
    x, y = _place_on(drawn.body, rng, round(31 * drawn.fineness))
    direction = rng.uniform(0, 2 * np.pi)
    points = [(float(x), float(y))]
    for _ in range(int(rng.integers(4, 8))):
        direction += rng.normal(0, 0.25)
        last_x, last_y = points[-1]
        step = 14 * drawn.fineness
        points.append((last_x + step * np.cos(direction), last_y + step * np.sin(direction)))
    line = _blank()
    cv2.polylines(line, [np.array(points, np.int32)], False, 1, round(rng.integers(5, 8) * drawn.fineness))
    line &= drawn.body
    bright = 1.0 if rng.random() < 0.5 else -1.0
    colour = np.clip(drawn.canvas + bright * 0.38, 0, 1)
    return _blend(drawn.canvas, line.astype(np.float32) * strength, colour), line


def _stain(drawn: _Drawn, rng: Random, strength: float) -> tuple[Floats, NDArray[np.uint8]]:
    x, y = _place_on(drawn.body, rng, round(41 * drawn.fineness))
    radius = float(rng.uniform(20, 34)) * drawn.fineness
    ys, xs = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    edge = np.hypot(xs - x, ys - y) / radius + 0.35 * _smooth_noise(rng, 18)
    soft = np.clip((1.15 - edge) / 0.3, 0, 1).astype(np.float32) * drawn.body
    tint = np.array([[0.40, 0.26, 0.12], [0.10, 0.12, 0.10], [0.72, 0.70, 0.62]], np.float32)[int(rng.integers(3))]
    stained = _blend(drawn.canvas, soft * 0.75 * strength, np.broadcast_to(tint, drawn.canvas.shape))
    return stained, (soft > 0.5).astype(np.uint8)


def _incomplete(drawn: _Drawn, rng: Random, strength: float) -> tuple[Floats, NDArray[np.uint8]]:
    feature = drawn.features[int(rng.integers(len(drawn.features)))]
    # The grade is how much of it is missing. All of it would be another question: the image would then show
    # nothing odd anywhere, only one feature too few.
    ys = np.nonzero(feature.any(axis=1))[0]
    cut = ys[0] + round((ys[-1] + 1 - ys[0]) * 0.65 * strength)
    gone = feature.copy()
    gone[cut:] = 0
    return _blend(drawn.canvas, gone.astype(np.float32), drawn.fill), gone


def _light(canvas: Floats, rng: Random) -> Floats:
    """Light it by another lamp each time: brightness, a slope across the image, and a tint."""
    ramp = np.linspace(-1, 1, _CANVAS, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.10, 0.10, 2)
    lamp = rng.uniform(0.86, 1.14) + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    tint = 1 + rng.uniform(-0.02, 0.02, 3)
    return np.asarray(canvas * lamp[:, :, None] * tint, np.float32)


_PARTS: dict[str, Callable[[Random], _Drawn]] = {
    "washer": _washer,
    "connector": _connector,
    "fabric": _fabric,
    "bolt": _bolt,
}
_DEFECTS = {"scratch": _scratch, "stain": _stain, "incomplete": _incomplete}
PART_NAMES = tuple(_PARTS)
