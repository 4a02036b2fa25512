from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from adkit.drawing.regions import Outline, Region, highest_place, outline_of, region_columns, region_mask

SHAPE = (120, 240)


def spot(rows: slice, columns: slice, value: float = 2.0) -> NDArray[np.float32]:
    anomaly_map = np.zeros((12, 24), np.float32)
    anomaly_map[rows, columns] = value
    return anomaly_map


def box(region: Region) -> tuple[int, int, int, int]:
    return region.left, region.top, region.width, region.height


def enlarged(anomaly_map: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Interpolate a map linearly between its cells' centres, written out anew."""
    weights = []
    for cells, length in zip(anomaly_map.shape, shape, strict=True):
        at = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
        weights.append(np.clip(1 - np.abs(at[:, None] - np.arange(cells)), 0, 1))
    return np.asarray(weights[0] @ anomaly_map.astype(np.float64) @ weights[1].T)


def test_a_box_and_an_area_are_in_the_images_pixels() -> None:
    (region,) = outline_of(spot(slice(1, 3), slice(2, 6)), 1.0, SHAPE).regions
    assert box(region) == (20, 10, 40, 20)  # half-way to the next cell the value is half of 2
    assert 0.9 * 800 < region.area_px <= 800  # with its corners cut
    assert region.area_share == region.area_px / (120 * 240)
    assert region.map_peak == 2.0
    assert 1.0 < region.map_mean < 2.0
    assert region.words == "upper left"
    assert region.in_words.startswith("upper left, 40×20 px at 20, 10 (2.")


def test_the_highest_peak_comes_first() -> None:
    anomaly_map = spot(slice(0, 3), slice(0, 3)) + spot(slice(10, 12), slice(20, 24), 3.0)
    regions = outline_of(anomaly_map, 1.0, SHAPE).regions
    assert [(region.words, region.map_peak) for region in regions] == [("lower right", 3.0), ("upper left", 2.0)]


def test_corners_that_touch_join_a_region() -> None:
    touching = spot(slice(2, 4), slice(2, 4)) + spot(slice(4, 6), slice(4, 6))
    assert len(outline_of(touching, 0.5, SHAPE).regions) == 1


def test_regions_end_where_nothing_counts() -> None:
    anomaly_map, counts = spot(slice(1, 3), slice(2, 6)), np.zeros(SHAPE, np.bool_)
    counts[:, 43:] = True
    (region,) = outline_of(anomaly_map, 1.0, SHAPE, counts).regions
    assert box(region) == (43, 10, 17, 20)
    mask = region_mask(anomaly_map, 1.0, SHAPE, counts)
    assert mask.sum() == region.area_px
    assert not mask[:, :43].any()
    assert outline_of(anomaly_map, 1.0, SHAPE, np.zeros(SHAPE, np.bool_)) == Outline()


def test_what_is_smaller_than_a_cell_is_a_speck() -> None:
    faint, clear = spot(slice(5, 6), slice(5, 6), 1.2), spot(slice(5, 6), slice(5, 6), 9.0)
    assert (outline_of(faint, 1.0, SHAPE).regions, outline_of(faint, 1.0, SHAPE).specks) == ((), 1)
    assert not region_mask(faint, 1.0, SHAPE).any()
    (region,) = outline_of(clear, 1.0, SHAPE).regions  # a single cell, if it stands out
    assert region.area_px >= 100
    both = outline_of(faint + spot(slice(0, 2), slice(0, 2)), 1.0, SHAPE)
    assert (len(both.regions), both.specks) == (1, 1)


def test_a_region_that_fills_a_large_image_is_one() -> None:
    found = outline_of(np.ones((48, 48), np.float32), 0.5, (1024, 1024))
    assert [region.area_px for region in found.regions] == [1024 * 1024]
    assert found.specks == 0


@pytest.mark.parametrize("threshold", [None, 2.0, 5.0])
def test_without_anything_above_the_threshold_there_are_none(threshold: float | None) -> None:
    anomaly_map = spot(slice(5, 6), slice(11, 12))
    assert outline_of(anomaly_map, threshold, SHAPE).regions == ()
    assert not region_mask(anomaly_map, threshold, SHAPE).any()
    place = highest_place(anomaly_map, SHAPE)
    assert (box(place), place.area_px, place.map_peak, place.words) == ((110, 50, 10, 10), 100, 2.0, "centre")


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(0, 1), slice(12, 13), "top"),
        (slice(11, 12), slice(12, 13), "bottom"),
        (slice(6, 7), slice(0, 1), "left"),
        (slice(6, 7), slice(23, 24), "right"),
        (slice(0, 1), slice(23, 24), "upper right"),
        (slice(11, 12), slice(0, 1), "lower left"),
        (slice(0, 10), slice(0, 20), "most of the image"),
    ],
)
def test_words(rows: slice, columns: slice, words: str) -> None:
    (region,) = outline_of(spot(rows, columns, 9.0), 1.0, SHAPE).regions
    assert region.words == words


@pytest.mark.parametrize("shape", [(100, 33), (1, 1), (3, 5000), (2000, 3000)])
def test_a_map_that_does_not_divide_the_image_covers_it(shape: tuple[int, int]) -> None:
    (region,) = outline_of(np.ones((7, 7), np.float32), 0.5, shape).regions
    assert box(region) == (0, 0, shape[1], shape[0])
    assert region.area_px == shape[0] * shape[1]
    assert region_mask(np.ones((7, 7), np.float32), 0.5, shape).all()


@given(st.integers(0, 2**32), st.tuples(st.integers(40, 90), st.integers(40, 90)), st.sampled_from([0.5, 1.0, 1.6]))
def test_regions_are_those_that_scipy_labels(seed: int, shape: tuple[int, int], threshold: float) -> None:
    anomaly_map = np.random.default_rng(seed).normal(size=(8, 11)).astype(np.float32)
    values, square = enlarged(anomaly_map, shape), np.ones((3, 3))
    if np.abs(values - threshold).min() < 1e-5:
        return  # rounding decides
    labels, count = ndimage.label(values > threshold, square)
    areas = {label: int((labels == label).sum()) for label in range(1, count + 1)}
    expected = [label for label, area in areas.items() if area * anomaly_map.size >= values.size]
    found = outline_of(anomaly_map, threshold, shape)
    assert found.specks == count - len(expected)
    assert sorted(region.area_px for region in found.regions) == sorted(areas[label] for label in expected)
    mask = region_mask(anomaly_map, threshold, shape)
    np.testing.assert_array_equal(mask, np.isin(labels, expected))
    for region in found.regions:
        part = mask[region.top : region.top + region.height, region.left : region.left + region.width]
        assert part.any(axis=0).all()
        assert part.any(axis=1).all()
        label = next(one for one in expected if areas[one] == region.area_px)
        if list(areas.values()).count(region.area_px) == 1:
            rows, columns = np.nonzero(labels == label)
            assert box(region) == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert region.map_mean == pytest.approx(values[labels == label].mean(), rel=1e-4)
            assert values[labels == label].max() - 1e-5 <= region.map_peak <= anomaly_map.max()
    if found.regions and not found.specks:
        assert found.regions[0].map_peak == anomaly_map.max()


@given(st.integers(0, 2**32))
def test_a_large_image_has_the_regions_of_a_smaller_one(seed: int) -> None:
    anomaly_map = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(16, 16)), 1.5).astype(np.float32)
    threshold = float(np.quantile(anomaly_map, 0.9))
    small, large = (outline_of(anomaly_map, threshold, (side, side)) for side in (1024, 2048))
    assert [region.map_peak for region in large.regions] == [region.map_peak for region in small.regions]
    for one, other in zip(small.regions, large.regions, strict=True):
        assert [2 * side for side in box(one)] == list(box(other))
        assert other.area_px == 4 * one.area_px
    mask = region_mask(anomaly_map, threshold, (2048, 2048))
    assert mask.sum() == sum(region.area_px for region in large.regions)


@pytest.mark.parametrize(
    ("counting", "expected"),
    [
        (np.s_[53:, 112:115], (112, 53, 3, 7)),
        (np.s_[:, :], (110, 50, 10, 10)),
        (np.s_[90:, 200:], (200, 90, 10, 10)),  # nothing of the highest cell counts
    ],
)
def test_the_highest_place_ends_where_nothing_counts(
    counting: tuple[slice, slice], expected: tuple[int, int, int, int]
) -> None:
    counts = np.zeros(SHAPE, np.bool_)
    counts[counting] = True
    place = highest_place(spot(slice(5, 6), slice(11, 12)), SHAPE, counts)
    assert box(place) == expected
    assert place.area_px == expected[2] * expected[3]


def test_columns_are_there_without_a_region() -> None:
    found = region_columns(highest_place(np.ones((2, 2), np.float32), (4, 4)))
    assert region_columns(None) == dict.fromkeys(found)
    assert list(found)[:5] == ["where", "left", "top", "width", "height"]
