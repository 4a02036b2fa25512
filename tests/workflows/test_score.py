from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import numpy as np

from adkit.registry import load_registry
from adkit.runs.predictions import Predictions
from adkit.workflows.score import FittedModel, open_scorer, raw_scores


def test_of_scores_beside_maps_and_the_scorers_the_higher_counts() -> None:
    maps = np.array([[[1.0, 2.0]], [[5.0, 6.0]]], np.float32)
    predictions = Predictions(("a", "b"), ("a", "b"), maps, np.array([4.0, 4.0], np.float32), None)
    assert raw_scores(predictions, open_scorer("max", load_registry())).tolist() == [4.0, 6.0]
    assert raw_scores(predictions, None).tolist() == [4.0, 4.0]


def test_a_picture_is_odd_as_a_whole_only_where_its_map_would_pass() -> None:
    maps = np.array([[[1.0, 2.0]], [[5.0, 6.0]]], np.float32)
    predictions = Predictions(("a", "b"), ("a", "b"), maps, np.array([9.0, 9.0], np.float32), None)
    model = FittedModel(Mock(), Mock(), open_scorer("max", load_registry()), np.zeros(3), Mock(value=4.0))
    assert model._no_place(predictions, 0)
    assert not model._no_place(predictions, 1), "the place is told"
    assert not model._no_place(replace(predictions, scores=None), 0)


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
