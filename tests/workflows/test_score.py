from __future__ import annotations

import numpy as np

from adkit.registry import load_registry
from adkit.runs.predictions import Predictions
from adkit.workflows.score import open_scorer, raw_scores


def test_of_scores_beside_maps_and_the_scorers_the_higher_counts() -> None:
    maps = np.array([[[1.0, 2.0]], [[5.0, 6.0]]], np.float32)
    predictions = Predictions(("a", "b"), ("a", "b"), maps, np.array([4.0, 4.0], np.float32), None)
    assert raw_scores(predictions, open_scorer("max", load_registry())).tolist() == [4.0, 6.0]
    assert raw_scores(predictions, None).tolist() == [4.0, 4.0]
