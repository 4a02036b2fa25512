"""Where in an image something is: connected parts (8 neighbours) of the enlarged map above the outline threshold."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.data.boxes import Map, Marks, Size
from adkit.data.view import shares_of

LARGE_SHARE = 0.5  # a box of more than this share of the image's area is in no corner of it
GRID_PX = 1024
"""On an image with a longer side, regions are found on a coarser grid: maps tell nothing finer, and time is short."""
Counting = Marks | None
"""Which px of an image count; None: all."""
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image: its box and area in px of the image, and its values of the map."""

    left: int
    top: int
    width: int
    height: int
    area_px: int
    area_share: float  # of the image's area
    map_peak: float  # the highest value of the map in it
    map_mean: float
    words: str  # where it is: "upper left"

    @property
    def in_words(self) -> str:
        """Say where it is and how large its box is: "upper left, 40×20 px at 12, 30 (0.4 %)"."""
        box = f"{self.width}×{self.height} px at {self.left}, {self.top}"
        return f"{self.words}, {box} ({100 * self.area_share:.2g}% of the image)"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values by name, where it is first."""
        figures = asdict(self)
        return {"where": figures.pop("words"), **figures}


@dataclass(frozen=True, slots=True)
class Outline:
    """What a map outlines of an image."""

    regions: tuple[Region, ...] = ()  # the highest peak first
    specks: int = 0  # further connected parts, too small to be regions


_NO_REGION = dict.fromkeys(Region(0, 0, 0, 0, 0, 0, 0, 0, "").as_dict())


def region_columns(region: Region | None) -> dict[str, Any]:
    """Return the cells of a table that say where something is; all are empty for None."""
    return region.as_dict() if region else dict(_NO_REGION)


def outline_of(anomaly_map: Map, threshold: float | None, shape: Size, counts: Counting = None) -> Outline:
    """Find the regions of a map (h, w) above the threshold (None: none), in an image of shape (height, width) px.

    They end where nothing `counts`. What is smaller than one cell of the map is a speck, and no region: a method tells
    nothing finer.
    """
    if threshold is None or anomaly_map.max() <= threshold:
        return Outline()
    values, labels, boxes, specks = _parts(anomaly_map, threshold, shape, counts)
    # The cells' centres in the grid: no value between them is as high as the higher one.
    rows, columns = (
        (2 * np.arange(cells) + 1) * length // (2 * cells)
        for cells, length in zip(anomaly_map.shape, labels.shape, strict=True)
    )
    at_centres = labels[np.ix_(rows, columns)]
    regions = []
    for label, (left, top, width, height, area) in boxes.items():
        part = np.s_[top : top + height, left : left + width]
        inside = values[part][labels[part] == label]
        peak = max(float(inside.max()), float(anomaly_map[at_centres == label].max(initial=-np.inf)))
        region = _region((left, top, width, height), labels.shape, shape, area, peak, float(inside.mean()))
        regions.append(region)
    return Outline(tuple(sorted(regions, key=lambda region: (-region.map_peak, -region.area_px))), specks)


def region_mask(anomaly_map: Map, threshold: float | None, shape: Size, counts: Counting = None) -> Marks:
    """Return which pixels (height, width) of the image are in the map's regions."""
    import cv2  # heavy: only where there is something to find

    if threshold is None or anomaly_map.max() <= threshold:
        return np.zeros(shape, np.bool_)
    _, labels, boxes, _ = _parts(anomaly_map, threshold, shape, counts)
    mask = np.isin(labels, list(boxes)).astype(np.uint8)
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.bool_)


def highest_place(anomaly_map: Map, shape: Size, counts: Counting = None) -> Region:
    """Return the cell of a map (h, w) with the highest value, in an image of shape (height, width) px.

    It is one of which something `counts`, and its box ends where nothing does.
    """
    if counts is not None:
        shares = shares_of(counts, (anomaly_map.shape[0], anomaly_map.shape[1]))
        anomaly_map = np.where(shares > 0, anomaly_map, -np.inf)
    row, column = (int(place) for place in np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape))
    peak = float(anomaly_map[row, column])
    cell = _region((column, row, 1, 1), anomaly_map.shape, shape, 1, peak, peak)
    inside = None if counts is None else counts[cell.top : cell.top + cell.height, cell.left : cell.left + cell.width]
    if inside is None or not inside.any():  # cells may be smaller than px
        return cell
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    corner = cell.left + int(columns[0]), cell.top + int(rows[0])
    box = (*corner, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    return _region(box, shape, shape, min(cell.area_px, int(inside.sum())), peak, peak)


def _parts(
    anomaly_map: Map, threshold: float, shape: Size, counts: Counting
) -> tuple[Map, NDArray[np.int32], dict[int, list[int]], int]:
    """Return the map on a grid, each place's part, the regions' boxes and the number of specks.

    A box is left, top, width, height and area in places of the grid, by the part's number.
    """
    import cv2  # heavy: only where there is something to find

    factor = min(1.0, max(GRID_PX, 2 * max(anomaly_map.shape)) / max(shape))
    height, width = (max(cells, round(factor * length)) for cells, length in zip(anomaly_map.shape, shape, strict=True))
    values = np.asarray(cv2.resize(anomaly_map, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    above = values > threshold
    if counts is not None:
        above &= cv2.resize(counts.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    large = boxes[:, cv2.CC_STAT_AREA] >= labels.size / anomaly_map.size
    kept = {label: boxes[label].tolist() for label in range(1, count) if large[label]}
    return values, np.asarray(labels, np.int32), kept, count - 1 - len(kept)


def _region(
    box: tuple[int, int, int, int], grid: tuple[int, ...], shape: Size, area: int, peak: float, mean: float
) -> Region:
    """Make a region of a box (left, top, width, height) and an area in places of a grid that covers the image."""
    (left, right), (top, bottom) = (
        (first * length // places, -(-(first + extent) * length // places))
        for first, extent, places, length in zip(box[:2], box[2:], grid[::-1], shape[::-1], strict=True)
    )
    share, words = area / (grid[0] * grid[1]), _words(left, top, right, bottom, shape)
    area_px = max(1, round(share * shape[0] * shape[1]))
    return Region(left, top, right - left, bottom - top, area_px, share, peak, mean, words)


def _words(left: int, top: int, right: int, bottom: int, shape: Size) -> str:
    height, width = shape
    if (right - left) * (bottom - top) > LARGE_SHARE * width * height:
        return "most of the image"
    row = _ROWS[min(2, int(3 * (top + bottom) / 2 / height))]
    column = _COLUMNS[min(2, int(3 * (left + right) / 2 / width))]
    if row and column:
        return f"{row} {column}"
    return {"upper": "top", "lower": "bottom"}.get(row, column) or "centre"
