from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adkit.interfaces import Scorer
from adkit.registry import Registry, load_registry
from adkit.runs.predictions import Predictions
from adkit.stats.calibration import Threshold
from adkit.workflows.score import open_scorer, raw_scores, without_place


def test_of_scores_beside_maps_and_the_scorers_the_higher_counts() -> None:
    maps = np.array([[[1.0, 2.0]], [[5.0, 6.0]]], np.float32)
    predictions = Predictions(("a", "b"), ("a", "b"), maps, np.array([4.0, 4.0], np.float32), None)
    assert raw_scores(predictions, open_scorer("max", load_registry())).tolist() == [4.0, 6.0]
    assert raw_scores(predictions, None).tolist() == [4.0, 4.0]


@pytest.mark.parametrize("given", [np.full(2, np.nan), np.zeros((2, 2)), [0.0]])
def test_scorers_give_a_number_for_each_map(given: Any) -> None:
    class Odd(Scorer[Any]):
        def __call__(self, maps: Any) -> Any:
            return given

    found = Predictions(("a", "b"), ("a", "b"), np.zeros((2, 3, 3), np.float32), None, None)
    with pytest.raises(ValueError, match="of 2 maps, or scores that are no numbers"):
        raw_scores(found, Odd(None))


def test_a_scorer_that_works_in_place_spoils_no_map() -> None:
    class Sorts(Scorer[Any]):
        def __call__(self, maps: Any) -> Any:
            flat = maps.reshape(len(maps), -1)
            flat.sort(axis=1)
            return flat[:, -1]

    maps = np.array([[[2.0, 1.0]]], np.float32)
    with pytest.raises(ValueError, match="read-only"):
        raw_scores(Predictions(("a",), ("a",), maps, None, None), Sorts(None))
    assert maps.tolist() == [[[2.0, 1.0]]]


def test_scores_as_a_whole_raise_any_scorers_by_what_no_place_shows() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 20, 15)).astype(np.float32)
    tops = np.sort(maps.reshape(3, -1), axis=1)[:, -3:].mean(axis=1)
    predictions = Predictions(
        ("a", "b", "c"), ("a", "b", "c"), maps, (tops + np.array([-1, 0.5, 2])).astype(np.float32), None
    )
    registry = load_registry()
    for name in ("max", "mean", "top1", "top5"):
        of_map = raw_scores(replace(predictions, scores=None), open_scorer(name, registry))
        np.testing.assert_allclose(
            raw_scores(predictions, open_scorer(name, registry)) - of_map, [0, 0.5, 2], atol=1e-6
        )


def test_what_no_place_makes_anomalous_is_so_as_a_whole(registry: Registry) -> None:
    maps = np.zeros((3, 4, 4), np.float32)
    maps[1] = 3  # a place of its own, whatever the score of the whole
    found = Predictions(("a", "b", "c"), ("a", "b", "c"), maps, np.array([2, 5, 0], np.float32))
    threshold, scorer = Threshold(1.0, 1, 9, 0.1, 0.2), open_scorer("max", registry)
    scores = raw_scores(found, scorer)
    assert (scores > 1).tolist() == [True, True, False]
    assert without_place(found, scorer, threshold, 2.5).tolist() == [True, False, True]
    assert [without_place(found.take([row]), scorer, threshold, 2.5).item() for row in range(3)] == [True, False, True]
    assert not without_place(replace(found, scores=None), scorer, threshold, 2.5).any()
    spot = replace(found, maps=np.where(np.arange(16).reshape(4, 4) == 5, np.float32(0.9), maps))
    assert without_place(spot, scorer, threshold, 0.8).tolist() == [False] * 3, "a place is outlined"
