"""Draws what labelme saved beside an image: a JSON file with the outlines of what is wrong."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from adkit.errors import FrameError

_HEAD_BYTES = 4096
_NOT_MEANT = ("__ignore__", "_background_")
_LINE_PX, _POINT_PX = 10, 5  # as wide as labelme itself draws them
_BOXES = {"rectangle": 2, "circle": 2, "mask": 2, "point": 1}


def is_labelme(path: Path) -> bool:
    """Say whether a file is labelme's, by its beginning: the pictures that may follow are long."""
    try:
        with path.open("rb") if path.suffix.lower() == ".json" else io.BytesIO() as file:
            return b'"shapes"' in file.read(_HEAD_BYTES)
    except OSError:
        return False


def labelme_mask(path: Path) -> NDArray[np.uint8]:
    """Return uint8 (H, W), 1 where a shape is; raises FrameError for a file that cannot be read as labelme's."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        mask = Image.new("L", (int(saved["imageWidth"]), int(saved["imageHeight"])))
        for shape in saved["shapes"]:
            if shape.get("label") not in _NOT_MEANT:
                _draw(mask, shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FrameError(f"cannot read the shapes of {path} ({reason})", hint="save it again with labelme") from None
    return np.asarray(mask)


def _draw(mask: Image.Image, shape: dict[str, Any]) -> None:
    sort, pen = shape.get("shape_type") or "polygon", ImageDraw.Draw(mask)
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if len(points) < _BOXES.get(sort, 1):
        raise ValueError(f"a {sort} of {len(points)} points")
    (left, top), (right, bottom) = points[0], points[-1]
    box = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    if sort == "polygon" and len(points) > 2:
        pen.polygon(points, outline=1, fill=1)
    elif sort == "rectangle":
        pen.rectangle(box, outline=1, fill=1)
    elif sort == "circle":
        radius = math.hypot(right - left, bottom - top)
        pen.ellipse((left - radius, top - radius, left + radius, top + radius), outline=1, fill=1)
    elif sort == "mask":
        part = Image.open(io.BytesIO(base64.b64decode(shape["mask"]))).convert("L")
        mask.paste(1, (round(box[0]), round(box[1])), part.point(lambda value: 255 * bool(value)))
    elif sort in ("line", "linestrip", "polygon"):
        pen.line(points, fill=1, width=_LINE_PX)
    elif sort in ("point", "points"):
        for x, y in points:
            pen.ellipse((x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX), outline=1, fill=1)
    else:
        raise ValueError(f"a shape of the type {sort!r}")
