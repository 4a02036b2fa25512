"""Synthetic clips of a conveyor belt with parts passing: real enough to be hard, made by code from a seed.

A camera looks down on a belt that runs to the right at constant speed. The parts on it differ a little in place, angle,
brightness and spacing; sensor noise and drift of the light differ from clip to clip. In an anomalous clip one event of
some seconds happens, and the rest of it is normal:

- stop: the belt halts, and goes on
- speed_change: the belt runs at 0.55 or 1.6 times its speed
- jerk: the belt sticks and slips, twice a second, at the same mean speed
- foreign_object: something that is no part rides by between two parts
- missing_part: a place is empty. Nothing in a frame is odd by itself; what is odd is a stretch of belt without a
  part, about twice the longest between two parts that follow each other (71 px). Only who looks at more of the belt
  than that at once, as deep features do, or remembers when the last part came, can notice it.
- colour_shift: the light turns warmer or colder by about an eighth, far more than it drifts
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adkit.data.video_writer import Encoding, VideoWriter

CONVEYOR_VERSION = 1  # goes up when the drawing changes: cached clips of an older version are then made anew
KINDS = ("stop", "speed_change", "jerk", "foreign_object", "missing_part", "colour_shift")
HEIGHT_PX, WIDTH_PX = 192, 320
RATE = 20  # frames a second
SECONDS = 12.0
SPEED_PX_S = 80.0
LEAST_SPACING_PX, MOST_SPACING_PX = 105.0, 135.0  # from one part's centre to the next one's
PART_PX = (64, 48)  # width, height
_RAIL_PX = 26  # above and below the belt
_LOOP_PX = 1280  # the belt's own length
_SPRITE_PX = 88  # square, with room for the shadow
_FINE = 4  # sprites are drawn at this many times their size and shrunk: smooth edges
_NOISE = 2.2  # grey levels
_FIRST_S, _LAST_S = 3.5, 5.5  # when an event begins
_ENCODING = Encoding("superfast", 18, threads=1, b_frames=None)
_Sprite = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
"""(S, S, 3) each: colours in grey levels times opacity, and the share of the belt that still shows."""


@dataclass(frozen=True, slots=True)
class _Thing:
    """Something that lies on the belt."""

    place_px: float  # of its centre, along the belt, against the direction in which it runs
    across_px: float  # from the middle of the belt
    foreign: bool


@dataclass(frozen=True, slots=True)
class ConveyorClip:
    """One clip: all that happens in it, and its frames when they are asked for."""

    key: tuple[int, ...]  # seeds all that is random in its frames
    anomalous: NDArray[np.bool_]  # (T,)
    moved_px: NDArray[np.float64]  # (T,): how far the belt has run
    light: NDArray[np.float32]  # (T, 3): what each channel is multiplied with
    things: tuple[_Thing, ...]  # in the order in which they come

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield RGB uint8 (192, 320, 3), one after another, the same ones each time."""
        belt, still, on_belt = _belt(), _surroundings(), slice(_RAIL_PX, HEIGHT_PX - _RAIL_PX)
        rng = np.random.default_rng([*self.key, 0])
        noise = rng.normal(0, _NOISE, (HEIGHT_PX + 64, WIDTH_PX + 64, 3)).astype(np.float32)
        start_px = float(rng.uniform(0, _LOOP_PX))
        places = np.array([thing.place_px for thing in self.things])
        sprites: dict[int, _Sprite] = {}
        for moved_px, light in zip(self.moved_px, self.light, strict=True):
            canvas = still.copy()
            canvas[on_belt] = _window(belt, start_px - moved_px)
            seen = np.flatnonzero(np.abs(moved_px - places - WIDTH_PX / 2) < (WIDTH_PX + _SPRITE_PX) / 2)
            # Only what is in view is kept, whatever the clip's length.
            sprites = {number: sprites.get(number) or self._sprite(number) for number in map(int, seen)}
            for number, sprite in sprites.items():
                thing = self.things[number]
                _put(canvas, sprite, moved_px - thing.place_px, HEIGHT_PX / 2 + thing.across_px)
            canvas.reshape(HEIGHT_PX, -1)[:] *= np.tile(light, WIDTH_PX)  # row by row: much faster than by threes
            y, x = rng.integers(0, 64, 2)
            canvas += noise[y : y + HEIGHT_PX, x : x + WIDTH_PX]
            yield np.clip(np.rint(canvas, out=canvas), 0, 255, out=canvas).astype(np.uint8)

    def _sprite(self, number: int) -> _Sprite:
        return _sprite(self.things[number].foreign, np.random.default_rng([*self.key, 1, number]))


def conveyor_clip(key: tuple[int, ...], kind: str | None = None, seconds: float = SECONDS) -> ConveyorClip:
    """Return the clip of this key, normal or with one event of a kind, which ends within 12 seconds."""
    rng = np.random.default_rng([*key, 2])
    frames = round(seconds * RATE)
    times_s = np.arange(frames) / RATE
    begins_s = rng.uniform(_FIRST_S, _LAST_S)
    ends_s = begins_s + rng.uniform(2.5, 4.0)
    during = (times_s >= begins_s) & (times_s < ends_s)
    upwards = bool(rng.random() < 0.5)

    usual = SPEED_PX_S * (1 + rng.uniform(-0.01, 0.01))
    speed = np.full(frames, usual)
    if kind == "stop":
        speed[during] = 0
    elif kind == "speed_change":
        speed[during] *= 1.6 if upwards else 0.55
    elif kind == "jerk":
        phase = (times_s - begins_s) * 2 % 1
        speed[during] = np.where(phase < 0.6, 0, usual / 0.4)[during]
    speed = _softened(speed, 3)
    # The first frame shows the belt as it lies; each further one what it ran since the one before.
    moved_px = np.concatenate([[0.0], np.cumsum(speed[1:] / RATE)])
    odd = np.abs(speed - usual) > 0.02 * usual
    anomalous = np.logical_or.accumulate(odd) & np.logical_or.accumulate(odd[::-1])[::-1]  # from the first to the last

    light = _light(rng, times_s)
    things = _things(rng, float(moved_px[-1]))
    # Things are seen for some four seconds: this one is in the middle of the frame half-way through them.
    middle = int(np.argmin([abs(WIDTH_PX / 2 + thing.place_px - usual * (begins_s + 2)) for thing in things]))
    if kind == "foreign_object":
        between = (things[middle - 1].place_px + things[middle].place_px) / 2
        things.insert(middle, _Thing(between, float(rng.uniform(-30, 30)), True))
        anomalous = (moved_px - between >= 0) & (moved_px - between < WIDTH_PX)
    elif kind == "missing_part":
        del things[middle]
        anomalous = _longest_free_px(moved_px, things) > MOST_SPACING_PX - PART_PX[0]

    elif kind == "colour_shift":
        strength = _softened(during.astype(np.float64), 9)
        light *= 1 + strength[:, None] * np.array([0.12, 0, -0.13] if upwards else [-0.13, 0, 0.12])
        anomalous = strength > 0.25
    return ConveyorClip(key, anomalous, moved_px, light.astype(np.float32), tuple(things))


def write_conveyor(folder: Path, *, seed: int, train: int, good: int, each_kind: int) -> None:
    """Write clips as the dataset `clips` reads them, each from a generator of its own, so that more change no other."""
    places: list[tuple[str, str | None, int]] = [("train/normal", None, train), ("test/normal", None, good)]
    places += [(f"test/{kind}", kind, each_kind) for kind in KINDS]
    for number, (place, kind, count) in enumerate(places):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            clip = conveyor_clip((seed, number, index), kind)
            path = folder / place / f"{index:03d}.mp4"
            write_clip(path, clip)
            if kind is not None:
                _write_labels(path.with_suffix(".csv"), clip.anomalous)


def write_clip(path: Path, clip: ConveyorClip) -> None:
    """Write the clip with so little loss that frames flicker as the camera's noise does, not as codecs do."""
    with VideoWriter(path, (HEIGHT_PX, WIDTH_PX), RATE, _ENCODING) as video:
        for number, pixels in enumerate(clip.frames()):
            video.add(pixels, number / RATE)


def _write_labels(path: Path, anomalous: NDArray[np.bool_]) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], anomalous, [False]]).astype(np.int8)))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["first_frame", "last_frame"])
        rows.writerows((int(first), int(after) - 1) for first, after in edges.reshape(-1, 2))


def _things(rng: np.random.Generator, length_px: float) -> list[_Thing]:
    """Place parts on a belt that runs `length_px`: those that are in view at the start come first."""
    found = []
    place_px = -WIDTH_PX - rng.uniform(0, MOST_SPACING_PX)
    while place_px < length_px + _SPRITE_PX:
        found.append(_Thing(place_px, float(rng.uniform(-4, 4)), False))
        place_px += rng.uniform(LEAST_SPACING_PX, MOST_SPACING_PX)
    return found


def _longest_free_px(moved_px: NDArray[np.float64], things: list[_Thing]) -> NDArray[np.float64]:
    """Return the longest stretch (T,) of belt between two parts, as far as it is in view."""
    longest = np.zeros(len(moved_px))
    for ahead, behind in pairwise(things):
        right = np.minimum(moved_px - ahead.place_px - PART_PX[0] / 2, WIDTH_PX)
        left = np.maximum(moved_px - behind.place_px + PART_PX[0] / 2, 0)
        longest = np.maximum(longest, right - left)
    return longest


def _light(rng: np.random.Generator, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a lamp (T, 3): its brightness differs by 4 % between clips, drifts by 3 % in one, its colour by 1 %."""
    drift = 0.03 * np.sin(times_s * 2 * np.pi / rng.uniform(8, 20) + rng.uniform(0, 2 * np.pi))
    tint = 0.01 * np.sin(times_s[:, None] * 2 * np.pi / rng.uniform(10, 30) + rng.uniform(0, 2 * np.pi, 3))
    return np.asarray((1 + rng.uniform(-0.04, 0.04)) * (1 + drift)[:, None] * (1 + tint))


def _softened(values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Return a moving average over an odd number of frames: neither belts nor lamps change at once."""
    return np.convolve(np.pad(values, frames // 2, mode="edge"), np.full(frames, 1 / frames), mode="valid")


def _noise(seed: int, shape: tuple[int, int], cell_px: int) -> NDArray[np.float32]:
    """Draw noise (H, W) in about -1..1, its structures `cell_px` wide; its right end continues at its left one."""
    coarse = np.random.default_rng(seed).normal(0, 0.5, (shape[0] // cell_px + 1, shape[1] // cell_px))
    wrapped = np.pad(coarse.astype(np.float32), ((0, 0), (4, 4)), mode="wrap")
    large = cv2.resize(wrapped, None, fx=cell_px, fy=cell_px, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[: shape[0], 4 * cell_px : 4 * cell_px + shape[1]], np.float32)


def _belt() -> NDArray[np.float32]:
    """Return (H, loop + W + 1, 3) in grey levels: ribbed rubber with stains, the same belt in all clips."""
    shape = (HEIGHT_PX - 2 * _RAIL_PX, _LOOP_PX)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    chevron = (x + np.abs(y - shape[0] / 2) * 0.5) % 40
    ribs = np.exp(-(((chevron - 20) / 3.0) ** 2))
    grey = 62 + 20 * ribs + 6 * _noise(1, shape, 4) + 9 * _noise(2, shape, 32)
    belt = grey[:, :, None] * np.array([0.94, 1.0, 1.02], np.float32)
    return np.ascontiguousarray(np.concatenate([belt, belt[:, : WIDTH_PX + 1]], axis=1), np.float32)


def _surroundings() -> NDArray[np.float32]:
    """Return (192, 320, 3) in grey levels: what does not move, two rails with bolts."""
    picture = np.full((HEIGHT_PX, WIDTH_PX, 3), (148, 152, 156), np.float32)
    picture += 5 * _noise(3, (HEIGHT_PX, WIDTH_PX), 8)[:, :, None]
    for y in (_RAIL_PX - 3, HEIGHT_PX - _RAIL_PX):
        picture[y : y + 3] = (92, 95, 98)
    for x in range(26, WIDTH_PX, 67):
        for y in (11, HEIGHT_PX - 12):
            cv2.circle(picture, (x, y), 5, (98, 100, 104), -1, cv2.LINE_AA)
            cv2.circle(picture, (x - 1, y - 1), 2, (190, 192, 196), -1, cv2.LINE_AA)
    return picture


def _window(belt: NDArray[np.float32], left_px: float) -> NDArray[np.float32]:
    """Return what the camera sees of the belt, at fractions of a pixel."""
    left_px %= _LOOP_PX
    first, part = int(left_px), left_px % 1
    one, next_one = belt[:, first : first + WIDTH_PX], belt[:, first + 1 : first + 1 + WIDTH_PX]
    return np.asarray(cv2.addWeighted(one, 1 - part, next_one, part, 0))


def _sprite(foreign: bool, rng: np.random.Generator) -> _Sprite:
    """Draw a thing seen from above, with its shadow."""
    side = _SPRITE_PX * _FINE
    colours, opacity = np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.float32)
    (_draw_foreign if foreign else _draw_part)(colours, opacity, rng)
    angle = rng.uniform(0, 360) if foreign else rng.uniform(-4, 4)
    turn = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1 / _FINE), np.float64)
    turn[:, 2] += (_SPRITE_PX - side) / 2
    body = cv2.GaussianBlur(np.dstack([colours * opacity[:, :, None], opacity]), (0, 0), 0.4 * _FINE)
    small = np.asarray(cv2.warpAffine(body, turn, (_SPRITE_PX, _SPRITE_PX), flags=cv2.INTER_LINEAR), np.float32)
    shadow = 0.5 * cv2.GaussianBlur(np.roll(small[:, :, 3], (3, -2), (0, 1)), (0, 0), 3.0)
    belt_share = (1 - small[:, :, 3]) * (1 - shadow)
    return np.ascontiguousarray(small[:, :, :3]), np.repeat(belt_share[:, :, None], 3, axis=2)


def _draw_part(colours: NDArray[np.float32], opacity: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Draw a bracket: a bright plate with two holes, a slot and a blue label."""
    middle, (width, height) = _SPRITE_PX * _FINE // 2, (PART_PX[0] * _FINE, PART_PX[1] * _FINE)
    left, top, radius = middle - width // 2, middle - height // 2, 6 * _FINE
    cv2.rectangle(opacity, (left + radius, top), (left + width - radius, top + height), 1, -1)
    cv2.rectangle(opacity, (left, top + radius), (left + width, top + height - radius), 1, -1)
    for x in (left + radius, left + width - radius):
        for y in (top + radius, top + height - radius):
            cv2.circle(opacity, (x, y), radius, 1, -1)
    bright = 176 * (1 + rng.uniform(-0.04, 0.04))
    colours[:] = (bright, bright, bright * 1.02)
    colours[top : top + 3 * _FINE] *= 1.15  # the upper edge catches the light
    for x in (left + 12 * _FINE, left + width - 12 * _FINE):
        cv2.circle(opacity, (x, middle), 5 * _FINE, 0, -1)
        cv2.circle(colours, (x, middle), 7 * _FINE, (bright * 0.8,) * 3, -1)
    for first, last, colour in ((8, 20, (52, 84, 150)), (30, 34, (84, 86, 88))):
        corners = (middle - 9 * _FINE, top + first * _FINE), (middle + 9 * _FINE, top + last * _FINE)
        cv2.rectangle(colours, *corners, colour, -1)


def _draw_foreign(colours: NDArray[np.float32], opacity: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Draw a ragged scrap of paper, rubber or cloth, 26 to 40 px wide."""
    middle, corners = _SPRITE_PX * _FINE / 2, 11
    radii = rng.uniform(13, 20, corners) * rng.uniform(0.7, 1.0, corners) * _FINE
    angles = np.arange(corners) * 2 * np.pi / corners
    points = np.stack([middle + radii * np.cos(angles), middle + 0.75 * radii * np.sin(angles)], axis=1)
    cv2.fillPoly(opacity, [points.round().astype(np.int32)], 1)
    colours[:] = ((205, 200, 186), (38, 36, 40), (186, 96, 46))[int(rng.integers(3))]
    colours *= 1 + 0.18 * _noise(int(rng.integers(1 << 30)), opacity.shape, 6 * _FINE)[:, :, None]


def _put(canvas: NDArray[np.float32], sprite: _Sprite, x_px: float, y_px: float) -> None:
    """Lay a sprite on the canvas, its centre at fractions of a pixel; what lies outside is cut off."""
    left, top = x_px - _SPRITE_PX / 2, y_px - _SPRITE_PX / 2
    column, row = int(np.floor(left)), int(np.floor(top))
    first, last = max(0, -column), min(_SPRITE_PX + 1, WIDTH_PX - column)
    if first >= last:
        return
    shift, size = np.array([[1, 0, left - column], [0, 1, top - row]]), (_SPRITE_PX + 1, _SPRITE_PX + 1)
    colours = cv2.warpAffine(sprite[0], shift, size, flags=cv2.INTER_LINEAR)
    belt_share = cv2.warpAffine(sprite[1], shift, size, flags=cv2.INTER_LINEAR, borderValue=(1, 1, 1))
    target = canvas[row : row + _SPRITE_PX + 1, column + first : column + last]
    target *= belt_share[:, first:last]
    target += colours[:, first:last]
