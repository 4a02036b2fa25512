"""Where in a picture something is: a box in the picture's own pixels, and words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE_SHARE = 0.5
"""A box of more than this share of the picture's area is in no corner of it."""
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")


@dataclass(frozen=True, slots=True)
class Region:
    """A box in px of the picture, and in words where that is ("upper left")."""

    left: int
    top: int
    width: int
    height: int
    words: str


def region_columns(region: Region | None) -> dict[str, Any]:
    """Return the cells of a table that say where something is; all are empty for None."""
    sides = {name: getattr(region, name, None) for name in ("left", "top", "width", "height")}
    return {"where": region.words if region else None, **sides}


def region_of(anomaly_map: NDArray[np.float32], threshold: float | None, shape: tuple[int, int]) -> Region:
    """Find where a map (h, w) is highest, in a picture of shape (height, width) px.

    The box is around the region above the threshold that holds the highest value; other regions are left out. Where
    no value is above the threshold, or there is none, it is around the highest value's cell alone.
    """
    import cv2  # heavy: only where there is something to find

    peak = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
    region = np.zeros(anomaly_map.shape, np.uint8)
    if threshold is not None:
        region[anomaly_map > threshold] = 1
    region[peak] = 1
    _, labels = cv2.connectedComponents(region, connectivity=8)
    rows, columns = np.nonzero(labels == labels[peak])
    top, bottom = _scaled(rows, anomaly_map.shape[0], shape[0])
    left, right = _scaled(columns, anomaly_map.shape[1], shape[1])
    return Region(left, top, right - left, bottom - top, _words(left, top, right, bottom, shape))


def _scaled(cells: NDArray[np.int64], count: int, length: int) -> tuple[int, int]:
    """Return the px from the first to after the last of the cells, where `count` of them cover `length` px."""
    return int(cells.min()) * length // count, -(-(int(cells.max()) + 1) * length // count)


def _words(left: int, top: int, right: int, bottom: int, shape: tuple[int, int]) -> str:
    height, width = shape
    if (right - left) * (bottom - top) > LARGE_SHARE * width * height:
        return "most of the picture"
    row = _ROWS[min(2, int(3 * (top + bottom) / 2 / height))]
    column = _COLUMNS[min(2, int(3 * (left + right) / 2 / width))]
    if row and column:
        return f"{row} {column}"
    return {"upper": "top", "lower": "bottom"}.get(row, column) or "centre"
