from __future__ import annotations

import numpy as np
import pytest
from adkit_scorers.scorers import Maximum, Mean, Quantile, QuantileOptions, Top, TopFivePercent, TopOptions, TopPercent
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from adkit.errors import OptionError
from adkit.options import Options, parse_options
from adkit.registry import Registry

MAPS = st.builds(
    lambda shape, seed: np.random.default_rng(seed).normal(size=shape).astype(np.float32),
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=14),
    st.integers(0, 1000),
)


def test_by_hand() -> None:
    maps = np.array([[[1, 2], [3, 6]], [[0, 0], [0, -4]]], np.float32)
    assert Maximum(Options())(maps).tolist() == [6, 0]
    assert Mean(Options())(maps).tolist() == [3, -1]
    assert TopPercent(Options())(maps).tolist() == [6, 0], "of four pixels, one is the least"
    # Four values 1 2 3 6: the median lies halfway between 2 and 3.
    assert Quantile(QuantileOptions(q=0.5))(maps).tolist() == [2.5, 0]


@pytest.mark.parametrize(("pixels", "expected"), [(1, 0), (100, 99), (101, 99.5), (200, 198.5), (1000, 994.5)])
def test_top1_is_the_mean_of_the_highest_hundredth_rounded_up(pixels: int, expected: float) -> None:
    # Values 0 to pixels - 1, shuffled: of 101, the two highest count, (100 + 99) / 2.
    values = np.random.default_rng(0).permutation(pixels).astype(np.float32)
    assert TopPercent(Options())(values.reshape(1, 1, pixels)).tolist() == [expected]


@pytest.mark.parametrize(("pixels", "expected"), [(1, 0), (20, 19), (21, 19.5), (100, 97), (1000, 974.5)])
def test_top5_is_the_mean_of_the_highest_twentieth_rounded_up(pixels: int, expected: float) -> None:
    values = np.random.default_rng(0).permutation(pixels).astype(np.float32)
    assert TopFivePercent(Options())(values.reshape(1, 1, pixels)).tolist() == [expected]


@settings(max_examples=30, deadline=None)
@given(maps=MAPS, percent=st.sampled_from([0.5, 1.0, 5.0, 7.0, 33.0, 100.0]))
def test_top_lies_between_the_mean_and_the_highest(maps: NDArray[np.float32], percent: float) -> None:
    found = Top(TopOptions(percent=percent))(maps)
    same = {1.0: TopPercent, 5.0: TopFivePercent}.get(percent)
    if same is not None:
        assert np.array_equal(found, same(Options())(maps))
    if percent == 100:
        np.testing.assert_allclose(found, Mean(Options())(maps), atol=1e-12)
    assert (found <= Maximum(Options())(maps) + 1e-9).all()
    assert (found >= Mean(Options())(maps) - 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(maps=MAPS, q=st.floats(0, 1))
def test_scorers_agree_with_numpy_and_are_ordered(maps: NDArray[np.float32], q: float) -> None:
    flat = [one.ravel().astype(np.float64) for one in maps]
    highest, mean = Maximum(Options())(maps), Mean(Options())(maps)
    top, quantile = TopPercent(Options())(maps), Quantile(QuantileOptions(q=q))(maps)
    np.testing.assert_allclose(highest, [one.max() for one in flat])
    np.testing.assert_allclose(mean, [one.mean() for one in flat], atol=1e-12)
    np.testing.assert_allclose(top, [np.sort(one)[-max(1, -(-len(one) // 100)) :].mean() for one in flat])
    np.testing.assert_allclose(quantile, [np.quantile(one, q) for one in flat])
    assert (mean <= top + 1e-9).all()
    assert (top <= highest + 1e-9).all()


def test_maps_are_not_changed() -> None:
    maps = np.random.default_rng(0).random((3, 20, 20), dtype=np.float32)
    before = maps.copy()
    for scorer in (Maximum(Options()), Mean(Options()), TopPercent(Options()), Quantile(QuantileOptions())):
        scorer(maps)
        assert np.array_equal(maps, before)


def test_means_are_taken_in_float64() -> None:
    # In float32 the sum of a million values of 16,777,216 + 1 would lose every 1.
    maps = np.full((1, 100, 100), 16_777_216, np.float32)
    maps[0, :50] = 16_777_218
    assert Mean(Options())(maps).tolist() == [16_777_217]


@pytest.mark.parametrize("q", [-0.1, 1.1, "most"])
def test_a_quantile_lies_between_0_and_1(q: object) -> None:
    with pytest.raises(OptionError, match="q="):
        parse_options(QuantileOptions, {"q": q}, "quantile")


def test_all_are_announced(registry: Registry) -> None:
    loaded = {name: registry.scorers.get(name).load() for name in ("max", "mean", "top1", "top5", "top", "quantile")}
    tops = {"top1": TopPercent, "top5": TopFivePercent, "top": Top}
    assert loaded == {"max": Maximum, "mean": Mean, **tops, "quantile": Quantile}
