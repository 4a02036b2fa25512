from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adkit.data.boxes import Box
from adkit.data.tiles import LEAST_OVERLAP, STEP, blended, tiles_over

SIDES = st.tuples(st.integers(20, 700), st.integers(20, 700))


@given(SIDES, st.tuples(st.integers(2, 10), st.integers(2, 10)))
def test_tiles_cover_an_image_and_overlap(seen: tuple[int, int], steps: tuple[int, int]) -> None:
    tile = (STEP * steps[0], STEP * steps[1])
    tiles = tiles_over(seen, tile)
    assert {one.size for one in tiles} == {tile}
    for length, side, starts in [
        (seen[0], tile[0], sorted({one.top for one in tiles})),
        (seen[1], tile[1], sorted({one.left for one in tiles})),
    ]:
        assert starts[0] == 0
        assert length <= starts[-1] + side < max(length, side) + STEP
        gaps = np.diff(starts)
        assert (gaps % STEP == 0).all()
        assert (gaps <= max(STEP, (1 - LEAST_OVERLAP) * side)).all()


@given(SIDES, st.sampled_from([64, 96, 160]), st.sampled_from([1, 4, 8]))
def test_tiles_cut_from_a_map_are_blended_to_that_map(seen: tuple[int, int], side: int, stride: int) -> None:
    tiles = tiles_over(seen, (side, side))
    height, width = max(one.top + side for one in tiles), max(one.left + side for one in tiles)
    whole = np.random.default_rng(0).normal(size=(2, height // stride, width // stride)).astype(np.float32)
    cut = np.stack([one.scaled(1 / stride, 1 / stride).of(canvas) for canvas in whole for one in tiles])
    np.testing.assert_allclose(blended(cut, tiles, (side, side)), whole, atol=1e-5)


def test_images_are_blended_likewise() -> None:
    tiles = tiles_over((100, 130), (64, 64))
    whole = np.random.default_rng(0).integers(0, 256, (1, 128, 160, 3)).astype(np.uint8)
    cut = np.stack([one.of(whole[0]) for one in tiles])
    found = blended(cut, tiles, (64, 64))
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - whole).max() <= 1


def test_the_tile_in_whose_middle_a_place_lies_has_most_to_say() -> None:
    tiles = (Box(left=0, top=0, width=64, height=64), Box(left=32, top=0, width=64, height=64))
    values = np.stack([np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)])
    (row,) = np.unique(blended(values, tiles, (64, 64))[0], axis=0)
    assert (row[:4] == 0).all()
    assert (row[8:] == 1).all()
    assert (np.diff(row[4:8]) >= 0).all()
    assert 0 < row[4] <= 0.5 <= row[7] < 1
