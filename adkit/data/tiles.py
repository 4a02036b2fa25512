"""Overlapping tiles: where they lie on a large image, and how their maps become one."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from adkit.data.boxes import Box, Kind, Size

STEP = 32  # tiles stand at multiples of this, in px, and so do the positions of their maps
LEAST_OVERLAP = 0.25  # of a tile's side lies in the next tile


def tiles_over(seen: Size, tile: Size) -> tuple[Box, ...]:
    """Return tiles of one size, row by row, that cover (height, width) px; they reach beyond by as little as may be."""

    def starts(length: int, side: int) -> list[int]:
        last = max(0, math.ceil((length - side) / STEP))
        count = 1 + math.ceil(last / max(1, int((1 - LEAST_OVERLAP) * side / STEP)))
        return [round(last * number / max(1, count - 1)) * STEP for number in range(count)]

    rows, columns = (starts(length, side) for length, side in zip(seen, tile, strict=True))
    return tuple(Box(left=left, top=top, width=tile[1], height=tile[0]) for top in rows for left in columns)


def blended(values: NDArray[Kind], tiles: Sequence[Box], tile: Size) -> NDArray[Kind]:
    """Turn maps (N * tiles, h, w) or images (..., h, w, 3) of tiles into those (N, ...) of all that they cover.

    What a tile says counts the less the nearer it is to the tile's edge, beyond which the method saw nothing.
    """
    rows, columns = values.shape[1:3]
    places = placed((rows, columns), tiles, tile)
    grid: Size = (max(one.top + one.height for one in places), max(one.left + one.width for one in places))
    weight: NDArray[np.float32] = weights(rows, columns).reshape(rows, columns, *([1] * (values.ndim - 3)))
    total = np.zeros((*grid, *weight.shape[2:]), np.float32)
    for place in places:
        place.of(total)[...] += weight
    found = np.empty((len(values) // len(tiles), *grid, *values.shape[3:]), values.dtype)
    for number in range(len(found)):
        summed = np.zeros(found.shape[1:], np.float32)
        for place, value in zip(places, values[number * len(tiles) : (number + 1) * len(tiles)], strict=True):
            place.of(summed)[...] += weight * value
        summed /= total
        found[number] = summed if values.dtype == np.float32 else summed.round()
    return found


def placed(grid: Size, tiles: Sequence[Box], tile: Size) -> list[Box]:
    """Say where the maps (h, w) of tiles lie, in positions of the map of all."""
    down, across = grid[0] / tile[0], grid[1] / tile[1]
    return [one.scaled(down, across) for one in tiles]


@lru_cache(maxsize=8)
def weights(rows: int, columns: int) -> NDArray[np.float32]:
    """Return how much each position of a tile's map (h, w) counts: at its edges least, a quarter of it away all."""

    def rising(side: int) -> NDArray[np.float64]:
        edge = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1))
        return np.minimum(1.0, edge / max(1.0, LEAST_OVERLAP * side))

    return np.outer(rising(rows), rising(columns)).astype(np.float32)
