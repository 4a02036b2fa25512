from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.data.view import MOST_STRETCH, Part, StillPicture, View, usual_shape

NOISE = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype(np.uint8)


def ramps(shape: tuple[int, int]) -> np.ndarray:
    """A picture whose red says how far down a pixel is, and whose green how far to the right."""
    down, across = np.mgrid[0 : shape[0], 0 : shape[1]]
    red, green = 200 * (down + 0.5) / shape[0] + 20, 200 * (across + 0.5) / shape[1] + 20
    return np.stack([red, green, np.zeros(shape)], axis=2).round().astype(np.uint8)


def test_a_picture_of_the_frames_shape_fills_it() -> None:
    view = View(frame=(30, 50))
    assert view.part((60, 100)) == view.part((600, 1000)) == view.part((60, 98)) == Part(0, 0, 30, 50)
    assert np.array_equal(View(frame=(60, 100)).see(StillPicture(NOISE)), NOISE)


def test_a_picture_of_another_shape_is_in_the_middle_and_mirrored_around() -> None:
    seen = View(frame=(100, 100)).see(StillPicture(NOISE))
    assert np.array_equal(seen[20:80], NOISE)
    assert np.array_equal(seen[:20], NOISE[20:0:-1])
    assert np.array_equal(seen[80:], NOISE[-2:-22:-1])


def test_the_fill_goes_on_where_it_is_larger_than_the_picture() -> None:
    seen = View(frame=(100, 20)).see(StillPicture(NOISE[:30]))
    assert seen.shape == (100, 20, 3)
    assert seen.std(axis=1).min() > 0, "no row is empty"


@given(
    st.tuples(st.integers(16, 90), st.integers(16, 90)),
    st.tuples(st.integers(16, 400), st.integers(16, 400)),
)
def test_nothing_is_distorted_but_for_a_little(frame: tuple[int, int], shape: tuple[int, int]) -> None:
    part = View(frame=frame).part(shape)
    down, across = part.height / shape[0], part.width / shape[1]
    # A side is rounded to whole px.
    assert abs(np.log(down / across)) <= np.log(MOST_STRETCH) + 0.75 / min(part.height, part.width)
    assert part.height in (frame[0],) or part.width == frame[1]
    assert 0 <= part.top <= frame[0] - part.height
    assert 0 <= part.left <= frame[1] - part.width


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (64, 64), (300, 100), (50, 49)])
@pytest.mark.parametrize("stride", [1, 4])
def test_what_a_map_says_of_a_place_is_said_of_the_pictures_place(shape: tuple[int, int], stride: int) -> None:
    view = View(frame=(64, 64))
    seen = view.see(StillPicture(ramps(shape))).astype(np.float32)
    maps = seen.reshape(64 // stride, stride, 64 // stride, stride, 3).mean(axis=(1, 3))
    rows = 64 // stride
    (own,) = view.own(maps[None], [shape])
    down, across = np.mgrid[0:rows, 0:rows]
    inner = np.s_[rows // 8 : -rows // 8, rows // 8 : -rows // 8]
    # Map cells cover several px of a narrow picture: at its edge they see what is mirrored.
    assert np.abs(own[..., 0] - (200 * (down + 0.5) / rows + 20))[inner].max() < 8
    assert np.abs(own[..., 1] - (200 * (across + 0.5) / rows + 20))[inner].max() < 8


def test_what_was_filled_is_in_no_map() -> None:
    view = View(frame=(100, 100))
    maps = np.full((2, 100, 100), 9.0, np.float32)
    maps[:, 20:80] = 1
    assert view.own(maps, [(60, 100), (60, 100)]).max() == 1
    assert view.own(maps, [(60, 100), (100, 100)])[1].max() == 9


def test_maps_of_the_usual_shape_are_not_touched() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    assert View(frame=(64, 64)).own(maps, [(100, 100), (99, 100)]) is maps


def test_the_usual_shape_is_the_middle_one() -> None:
    assert usual_shape([(10, 10), (20, 10), (30, 10)]) == (20, 10)
    assert usual_shape([(500, 1000)] * 3 + [(64, 64)]) == (500, 1000)


def test_it_says_what_can_be_seen() -> None:
    view = View(frame=(240, 640), picture=(480, 1280), finest_px=8)
    assert view.smallest_px == 16
    assert view.in_words() == "1280×480 → 640×240; the smallest defect it can see is about 16×16 px of your picture"
    assert View(frame=(240, 640), picture=(480, 1280)).in_words() == "1280×480 → 640×240"
    assert View(frame=(240, 640)).in_words() == ""
