"""A synthetic tray of loose parts: hexagons, rings and pins that lie anywhere, a fixed number of each.

What is wrong is no place: one part is missing, there is one too many, or one lies there in another's stead.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colour = list[float]

TRAY_VERSION = 1  # goes up when the drawing changes: a cached tray of an older version is then drawn anew
USUAL: Mapping[str, int] = {"hexagon": 4, "ring": 3, "pin": 2}
KINDS = ("missing", "extra", "swapped")
SIZE_PX = 256
_COLOURS = {"hexagon": (170, 80, 70), "ring": (120, 140, 150), "pin": (90, 150, 60)}
_GROUND = (210, 205, 200)
_SCALE = 2  # everything is drawn at twice the size and shrunk: smooth edges
_PLACES = 4  # a side: parts lie in cells of a grid, each somewhere in its own
_RADIUS, _HOLE, _WIDTH, _JITTER = 38, 16, 20, 12  # px as drawn


def draw_tray(rng: np.random.Generator, counts: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return an image, uint8 RGB (256, 256, 3), of so many parts of each sort."""
    side = SIZE_PX * _SCALE
    ground = np.array(_GROUND, np.float32) * rng.uniform(0.95, 1.05)
    grain = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), 1)
    canvas = np.ascontiguousarray(ground + 6 * grain[:, :, None], np.float32)
    cells = iter(rng.permutation(_PLACES**2))
    for sort, count in counts.items():
        for cell in (next(cells) for _ in range(count)):
            row, column = divmod(int(cell), _PLACES)
            middle = (np.array([column, row]) + 0.5) * side / _PLACES + rng.uniform(-_JITTER, _JITTER, 2)
            colour = np.array(_COLOURS[sort]) * rng.uniform(0.95, 1.05)
            _draw(canvas, sort, middle, rng.uniform(0, 2 * np.pi), colour.tolist(), ground.tolist())
    small = cv2.resize(canvas, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 255).round().astype(np.uint8)


def write_tray(folder: Path, *, seed: int, train: int, good: int, each_kind: int) -> None:
    """Write a dataset in MVTec's layout, without masks: nobody can say where a missing part would lie."""
    numbers = {"train/good": train, "test/good": good, **{f"test/{kind}": each_kind for kind in KINDS}}
    for place, (name, number) in enumerate(numbers.items()):
        (folder / name).mkdir(parents=True)
        for index in range(number):
            rng = np.random.default_rng([seed, place, index])
            picture = draw_tray(rng, counts_of(name.rpartition("/")[2], index))
            Image.fromarray(picture).save(folder / name / f"{index:03d}.png")


def counts_of(kind: str, index: int) -> dict[str, int]:
    """Return how many parts of each sort the image of that number shows."""
    counts, sorts = dict(USUAL), [*USUAL]
    if kind in ("missing", "swapped"):
        counts[sorts[index % len(sorts)]] -= 1
    if kind in ("extra", "swapped"):
        counts[sorts[(index + 1) % len(sorts)]] += 1
    return counts


def _draw(
    canvas: NDArray[np.float32], sort: str, middle: NDArray[np.float64], angle: float, colour: Colour, ground: Colour
) -> None:
    centre = tuple(middle.round().astype(int).tolist())
    if sort == "pin":
        along = np.array([np.cos(angle), np.sin(angle)]) * _RADIUS
        ends = [tuple((middle + sign * along).round().astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(canvas, ends[0], ends[1], colour, _WIDTH, cv2.LINE_AA)
        return
    corners = angle + np.arange(6 if sort == "hexagon" else 90) * 2 * np.pi / (6 if sort == "hexagon" else 90)
    outline = middle + _RADIUS * np.stack([np.cos(corners), np.sin(corners)], axis=1)
    cv2.fillPoly(canvas, [outline.round().astype(np.int32)], colour, cv2.LINE_AA)
    cv2.circle(canvas, centre, _HOLE, ground, -1, cv2.LINE_AA)
