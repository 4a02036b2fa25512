from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.data.boxes import Box
from adkit.data.view import MOST_STRETCH, StillImage, View, packed_mask, usual_shape
from adkit.errors import FrameError

NOISE = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype(np.uint8)


def ramps(shape: tuple[int, int]) -> np.ndarray:
    """An image whose red says how far down a pixel is, and whose green how far to the right."""
    down, across = np.mgrid[0 : shape[0], 0 : shape[1]]
    red, green = 200 * (down + 0.5) / shape[0] + 20, 200 * (across + 0.5) / shape[1] + 20
    return np.stack([red, green, np.zeros(shape)], axis=2).round().astype(np.uint8)


def test_an_image_of_the_frames_shape_fills_it() -> None:
    view = View(frame=(30, 50))
    maps = np.arange(3 * 6 * 10, dtype=np.float32).reshape(3, 6, 10)
    assert view.own_maps(maps, [(60, 100), (600, 1000), (60, 98)]) is maps
    assert np.array_equal(View(frame=(60, 100)).see(StillImage(NOISE)), NOISE)


def test_an_image_of_another_shape_is_in_the_middle_and_mirrored_around() -> None:
    seen = View(frame=(100, 100)).see(StillImage(NOISE))
    assert np.array_equal(seen[20:80], NOISE)
    assert np.array_equal(seen[:20], NOISE[20:0:-1])
    assert np.array_equal(seen[80:], NOISE[-2:-22:-1])


def test_the_fill_goes_on_where_it_is_larger_than_the_image() -> None:
    seen = View(frame=(100, 20)).see(StillImage(NOISE[:30]))
    assert seen.shape == (100, 20, 3)
    assert seen.std(axis=1).min() > 0, "no row is empty"


@given(st.tuples(st.integers(16, 90), st.integers(16, 90)), st.tuples(st.integers(16, 400), st.integers(16, 400)))
def test_nothing_is_distorted_but_for_a_little(frame: tuple[int, int], shape: tuple[int, int]) -> None:
    part = View(frame=frame)._part(shape)
    down, across = part.height / shape[0], part.width / shape[1]
    # A side is rounded to whole px.
    assert abs(np.log(down / across)) <= np.log(MOST_STRETCH) + 0.75 / min(part.height, part.width)
    assert part.height == frame[0] or part.width == frame[1]
    assert 0 <= part.top <= frame[0] - part.height
    assert 0 <= part.left <= frame[1] - part.width


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (64, 64), (300, 100), (50, 49)])
@pytest.mark.parametrize("stride", [1, 4])
def test_what_a_map_says_of_a_place_is_said_of_the_images_place(shape: tuple[int, int], stride: int) -> None:
    view = View(frame=(64, 64))
    seen = view.see(StillImage(ramps(shape))).astype(np.float32)
    maps = seen.reshape(64 // stride, stride, 64 // stride, stride, 3).mean(axis=(1, 3))
    rows = 64 // stride
    (own,) = view.own_maps(maps[None], [shape])
    down, across = np.mgrid[0:rows, 0:rows]
    inner = np.s_[rows // 8 : -rows // 8, rows // 8 : -rows // 8]
    # Map cells cover several px of a narrow image: at its edge they see what is mirrored.
    assert np.abs(own[..., 0] - (200 * (down + 0.5) / rows + 20))[inner].max() < 8
    assert np.abs(own[..., 1] - (200 * (across + 0.5) / rows + 20))[inner].max() < 8


def test_what_was_filled_is_in_no_map() -> None:
    view = View(frame=(100, 100))
    maps = np.full((2, 100, 100), 9.0, np.float32)
    maps[:, 20:80] = 1
    assert view.own_maps(maps, [(60, 100), (60, 100)]).max() == 1
    assert view.own_maps(maps, [(60, 100), (100, 100)])[1].max() == 9


def test_maps_of_the_usual_shape_are_not_touched() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    assert View(frame=(64, 64)).own_maps(maps, [(100, 100), (99, 100)]) is maps


def test_the_usual_shape_is_the_middle_one() -> None:
    assert usual_shape([(10, 10), (20, 10), (30, 10)]) == (20, 10)
    assert usual_shape([(500, 1000)] * 3 + [(64, 64)]) == (500, 1000)


def test_it_says_what_can_be_seen() -> None:
    view = View(frame=(240, 640), picture=(480, 1280), finest_px=8)
    assert view.smallest_px == 16
    assert view.in_words() == "1280×480 → 640×240; the smallest defect it can see is about 16×16 px of your image"
    assert View(frame=(240, 640), picture=(480, 1280)).in_words() == "1280×480 → 640×240"
    assert View(frame=(240, 640)).in_words() == ""


@pytest.mark.parametrize("left", [10, 50])
def test_it_proposes_to_see_the_rest_larger_where_a_mask_leaves_little(left: int) -> None:
    counts = np.zeros((80, 100), bool)
    counts[10:70, left:90] = True
    told = View(frame=(64, 64), picture=(80, 100), mask=packed_mask(counts)).in_words()
    assert told.endswith("does not count (fit with --roi 50,10,40,60 besides sees the rest larger)") == (left == 50)


BOX = Box(left=20, top=10, width=50, height=30)


def test_a_box_is_cut_out_before_anything_else() -> None:
    view = View(frame=(30, 50), picture=(60, 100), box=BOX)
    assert np.array_equal(view.see(StillImage(NOISE)), NOISE[10:40, 20:70])


def test_a_map_of_a_box_lies_where_the_box_is() -> None:
    view = View(frame=(30, 50), picture=(60, 100), box=BOX)
    own = np.arange(2, 2 + 3 * 5, dtype=np.float32).reshape(3, 5)
    whole = view.whole(own)
    assert whole.shape == (6, 10)
    assert np.array_equal(whole[1:4, 2:7], own)
    assert whole.sum() == own.sum() + 2 * (60 - 15), "elsewhere it has its lowest value"
    large = view.over(own, (60, 100), -1)
    inside = np.zeros((60, 100), bool)
    inside[10:40, 20:70] = True
    assert np.array_equal(large != -1, inside)


def test_the_map_of_a_small_box_in_a_large_image_stays_small() -> None:
    view = View(frame=(64, 64), picture=(4000, 6000), box=Box(left=0, top=0, width=100, height=100))
    assert view.whole(np.zeros((64, 64), np.float32)).shape == (1365, 2048)


def test_what_does_not_count_has_the_lowest_value_of_what_does() -> None:
    counts = np.zeros((60, 100), bool)
    counts[20:40, 50:] = True
    view = View(frame=(60, 100), picture=(60, 100), mask=packed_mask(counts), border=10)
    maps = np.random.default_rng(0).normal(size=(2, 6, 10)).astype(np.float32)
    kept = maps.copy()
    own = view.own_maps(maps, [(60, 100)] * 2)
    assert np.array_equal(maps, kept), "what the method gave is not written to"
    for one, before in zip(own, maps, strict=True):
        assert np.array_equal(one[2:4, 5:9], before[2:4, 5:9])
        rest = one.copy()
        rest[2:4, 5:9] = before[2:4, 5:9].min()
        assert (rest == before[2:4, 5:9].min()).all()


def test_a_place_smaller_than_a_position_counts_all_the_same() -> None:
    counts = np.zeros((60, 100), bool)
    counts[33, 55] = True
    view = View(frame=(60, 100), picture=(60, 100), mask=packed_mask(counts))
    maps = np.random.default_rng(0).normal(size=(1, 6, 10)).astype(np.float32)
    assert np.allclose(view.own_maps(maps, [(60, 100)]), maps[0, 3, 5])


def test_a_border_is_one_of_each_image() -> None:
    view = View(frame=(50, 50), border=10)
    maps = np.ones((2, 5, 5), np.float32)
    maps[:, 1:-1, 1:-1] = 0.5
    own = view.own_maps(maps, [(50, 50), (500, 500)])
    assert (own[0] == 0.5).all()
    assert own[1].mean() > 0.8, "10 px of 500 are less than half of a position"


def test_images_of_another_size_than_the_box_is_for_are_refused() -> None:
    view = View(frame=(30, 50), picture=(60, 100), box=BOX)
    view.require((60, 100), "x.png")
    with pytest.raises(FrameError, match=r"x\.png is 60×100 px, and the run looks at a part of images of 100×60 px"):
        view.require((100, 60), "x.png")
    View(frame=(30, 50), picture=(60, 100), border=3).require((100, 60), "any size has a border")
    with pytest.raises(FrameError, match=r"20 px along its edges are ignored: nothing is left"):
        View(frame=(30, 50), picture=(60, 100), border=20).require((40, 60), "x.png")


def test_a_view_comes_back_from_json() -> None:
    view = View(frame=(30, 50), picture=(60, 100), box=BOX, mask=packed_mask(np.eye(60, 100) > 0), border=2)
    assert View.model_validate_json(view.model_dump_json()) == view
    assert np.array_equal(View(frame=(1, 1), mask=view.mask).counting((60, 100)), np.eye(60, 100) > 0)
