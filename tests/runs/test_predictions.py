from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adkit.runs.predictions import Predictions, join_predictions, to_predictions
from adkit.types import Prediction

ALL = Predictions(
    tuple(map(str, range(9))),
    tuple("aaaabbbcc"),
    np.arange(9 * 6, dtype=np.float32).reshape(9, 2, 3),
    np.arange(9, dtype=np.float32),
    np.arange(9, dtype=np.float64) / 10,
)


def part(first: int, last: int) -> Predictions:
    assert ALL.maps is not None
    assert ALL.scores is not None
    assert ALL.times_s is not None
    rows = slice(first, last)
    return Predictions(ALL.ids[rows], ALL.clips[rows], ALL.maps[rows], ALL.scores[rows], ALL.times_s[rows])


@given(st.sets(st.integers(1, 8)), st.integers(0, 5))
def test_parts_give_what_they_are_parts_of(cuts: set[int], room: int) -> None:
    bounds = [0, *sorted(cuts), 9]
    joined = join_predictions((part(first, last) for first, last in pairwise(bounds)), 9 + room)
    assert joined.to_bytes() == ALL.to_bytes()


def test_results_lie_in_one_piece_of_memory_and_hold_no_batch() -> None:
    batches = [part(0, 4), part(4, 9)]
    found = join_predictions(batches, 9).maps
    assert found is not None
    assert found.base is not None
    assert found.base.shape == (9, 2, 3)
    assert not any(np.shares_memory(found, batch.maps) for batch in batches if batch.maps is not None)


def test_some_parts_may_not_lack_what_others_have() -> None:
    lacking = Predictions(("x",), ("x",), None, np.zeros(1, np.float32), np.zeros(1))
    with pytest.raises(ValueError, match="the method gave maps for some batches only"):
        join_predictions([part(0, 4), lacking], 5)
    with pytest.raises(ValueError, match="the method gave maps for some batches only"):
        join_predictions([lacking, part(0, 4)], 5)


def test_no_answers_are_no_predictions() -> None:
    assert join_predictions([], 4) == Predictions((), (), None, None, None)


def test_answers_that_are_not_finite_are_a_plugins_fault() -> None:
    with pytest.raises(ValueError, match="maps that are not finite for b"):
        to_predictions(("a", "b"), ("a", "b"), Prediction(maps=torch.tensor([[[1.0]], [[float("nan")]]])))
    with pytest.raises(ValueError, match="answered for 1 of 2 samples"):
        to_predictions(("a", "b"), ("a", "b"), Prediction(scores=torch.ones(1)))
