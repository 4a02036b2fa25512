from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.stats.smoothing import Smoother, smoothed

SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=20)


def test_after_the_time_constant_a_step_has_come_to_two_thirds() -> None:
    times = np.arange(0, 2, 0.01)
    found = smoothed(np.where(times > 0.5, 1.0, 0.0), ["a"] * len(times), times, 0.4)
    assert found[times <= 0.5].max() == 0
    assert found[np.argmin(np.abs(times - 0.9))] == pytest.approx(1 - math.exp(-1), abs=0.01)


@given(SCORES, st.floats(0.01, 3))
def test_it_never_leaves_the_range_of_the_past(scores: list[float], constant_s: float) -> None:
    smoother = Smoother(constant_s)
    for number, score in enumerate(scores):
        value = smoother("a", number * 0.1, score)
        assert min(scores[: number + 1]) - 1e-9 <= value <= max(scores[: number + 1]) + 1e-9


@given(SCORES, st.floats(0.01, 3), st.integers(1, 19))
def test_it_looks_at_the_past_only(scores: list[float], constant_s: float, part: int) -> None:
    times = np.arange(len(scores)) * 0.1
    whole = smoothed(np.array(scores), ["a"] * len(scores), times, constant_s)
    known = smoothed(np.array(scores[:part]), ["a"] * len(scores[:part]), times[:part], constant_s)
    assert whole[:part].tolist() == known.tolist()


def test_each_clip_starts_afresh() -> None:
    times = np.array([0.0, 0.1, 0.0, 0.1])
    found = smoothed(np.array([0.0, 1, 5, 5]), ["a", "a", "b", "b"], times, 1.0)
    assert found[2:].tolist() == [5, 5]


def test_uneven_times_count_as_they_are() -> None:
    late = smoothed(np.array([0.0, 1]), ["a", "a"], np.array([0, 10.0]), 0.4)[1]
    soon = smoothed(np.array([0.0, 1]), ["a", "a"], np.array([0, 0.01]), 0.4)[1]
    assert late == pytest.approx(1)
    assert soon < 0.03


@pytest.mark.parametrize(("times", "constant_s"), [(None, 0.4), (np.arange(3.0), 0.0)])
def test_stills_and_no_smoothing_leave_scores_as_they_are(times: np.ndarray | None, constant_s: float) -> None:
    scores = np.array([3.0, 1, 2])
    assert smoothed(scores, ["a"] * 3, times, constant_s).tolist() == [3, 1, 2]
