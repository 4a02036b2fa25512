from __future__ import annotations

import numpy as np
import pytest

from adkit.drawing.regions import region_of

SHAPE = (120, 240)


def spot(rows: slice, columns: slice, value: float = 2.0) -> np.ndarray:
    anomaly_map = np.zeros((12, 24), np.float32)
    anomaly_map[rows, columns] = value
    return anomaly_map


def test_the_box_is_in_the_pictures_pixels() -> None:
    region = region_of(spot(slice(1, 3), slice(2, 6)), 1.0, SHAPE)
    assert (region.left, region.top, region.width, region.height) == (20, 10, 40, 20)
    assert region.words == "upper left"


def test_only_the_region_of_the_highest_value_counts() -> None:
    anomaly_map = spot(slice(0, 1), slice(0, 1)) + spot(slice(10, 12), slice(20, 24), 3.0)
    region = region_of(anomaly_map, 1.0, SHAPE)
    assert (region.left, region.top, region.width, region.height, region.words) == (200, 100, 40, 20, "lower right")


@pytest.mark.parametrize("threshold", [None, 5.0])
def test_without_a_region_it_is_the_highest_cell(threshold: float | None) -> None:
    region = region_of(spot(slice(5, 6), slice(11, 12)), threshold, SHAPE)
    assert (region.left, region.top, region.width, region.height, region.words) == (110, 50, 10, 10, "centre")


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(0, 1), slice(12, 13), "top"),
        (slice(11, 12), slice(12, 13), "bottom"),
        (slice(6, 7), slice(0, 1), "left"),
        (slice(6, 7), slice(23, 24), "right"),
        (slice(0, 1), slice(23, 24), "upper right"),
        (slice(11, 12), slice(0, 1), "lower left"),
        (slice(0, 10), slice(0, 20), "most of the picture"),
    ],
)
def test_words(rows: slice, columns: slice, words: str) -> None:
    assert region_of(spot(rows, columns), 1.0, SHAPE).words == words


def test_cells_that_do_not_divide_the_picture_cover_it() -> None:
    region = region_of(np.ones((7, 7), np.float32), 0.5, (100, 33))
    assert (region.left, region.top, region.width, region.height) == (0, 0, 33, 100)
