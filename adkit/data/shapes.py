"""Shapes that people draw on images to say what is wrong, whatever tool saved them, and how they become a mask."""

import cmath
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Points = list[Point]

_LINE_PX, _POINT_PX = 10, 5  # as wide as labelme itself draws them
_CORNERS = 120  # of the polygon that an ellipse becomes when it is turned
_TURNED = ("rotation", "oriented_rectangle", "quadrilateral")  # of labelme's newer kin: boxes, by their four corners
_LEAST = {
    **dict.fromkeys(("polygon", "mask", "line", "linestrip", "point", "points"), 1),
    **dict.fromkeys(("rectangle", "circle", "ellipse"), 2),
    **dict.fromkeys(_TURNED, 4),
}
"""The sorts of shapes, and how many points each has at least."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape, in the words of labelme."""

    sort: str
    points: Points  # (x, y) in px from the upper left corner
    pixels: NDArray[np.bool_] | None = None  # of a "mask", whose upper left corner is the first point
    holes: tuple[Points, ...] = ()  # polygons in which nothing is meant


def rectangle(left: float, top: float, right: float, bottom: float) -> Shape:
    """Return a box up to, not including, `right` and `bottom`."""
    return Shape("rectangle", [(left, top), (right - 1, bottom - 1)])


def turned_box(left: float, top: float, right: float, bottom: float, degrees: float, about: Point) -> Shape:
    """Return a box as a tool has it that may be turned, clockwise, about a point."""
    if not degrees:
        return rectangle(left, top, right, bottom)
    return Shape("polygon", _turned([(left, top), (right, top), (right, bottom), (left, bottom)], degrees, about))


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0) -> Shape:
    """Return an ellipse about (x, y), by its half axes in px, turned clockwise."""
    if not degrees:
        return Shape("ellipse", [(x - across, y - down), (x + across, y + down)])
    angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
    outline = [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]
    return Shape("polygon", _turned(outline, degrees, (x, y)))


def _turned(points: Points, degrees: float, about: Point) -> Points:
    turn, middle = cmath.rect(1, math.radians(degrees)), complex(*about)
    turned = [middle + turn * (complex(*point) - middle) for point in points]
    return [(round(one.real, 2), round(one.imag, 2)) for one in turned]


def box_around(points: Points) -> tuple[float, float, float, float]:
    """Return the box around two corners, or around all four, as newer tools have them."""
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def require_drawable(shape: Shape) -> None:
    """Raise ValueError for what cannot be drawn."""
    if shape.sort not in _LEAST:
        raise ValueError(f"a shape of the type {shape.sort!r}")
    if len(shape.points) < _LEAST[shape.sort]:
        raise ValueError(f"a {shape.sort} of {len(shape.points)} points")
    if not all(math.isfinite(number) for point in shape.points for number in point):
        raise ValueError(f"a {shape.sort} with corners that are no numbers")


def draw(mask: Image.Image, shape: Shape) -> None:
    """Set the pixels of a shape to 1."""
    sort, points, pen = shape.sort, shape.points, ImageDraw.Draw(mask)
    if shape.holes:
        layer = Image.new("L", mask.size)
        draw(layer, replace(shape, holes=()))
        for hole in shape.holes:
            ImageDraw.Draw(layer).polygon(hole, fill=0)
        mask.paste(1, mask=layer.point(lambda drawn: 255 * drawn))
    elif shape.pixels is not None:
        (left, top), stencil = points[0], Image.fromarray(shape.pixels.astype(np.uint8) * 255)
        mask.paste(1, (round(left), round(top)), stencil)
    elif sort in ("polygon", *_TURNED) and len(points) > 2:
        pen.polygon(points, outline=1, fill=1)
    elif sort == "rectangle":
        pen.rectangle(box_around(points), outline=1, fill=1)
    elif sort == "ellipse":
        pen.ellipse(box_around(points), outline=1, fill=1)
    elif sort == "circle":
        (x, y), radius = points[0], math.dist(points[0], points[1])
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    elif sort in ("line", "linestrip", "polygon"):
        pen.line(points, fill=1, width=_LINE_PX)
    else:
        for x, y in points:
            pen.ellipse((x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX), outline=1, fill=1)
