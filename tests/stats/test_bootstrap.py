"""Resamples of a test split: whole clips, and metrics in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adkit.interfaces import Metric
from adkit.stats import bootstrap as resampling
from adkit.stats.bootstrap import clip_weights, resampled
from adkit.stats.significance import bootstrap_weights
from adkit.types import LabelledResults, MetricValue

CLIPS = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=7)


def results_of(clips: Sequence[Sequence[bool]], scores: Sequence[float] | None = None) -> LabelledResults:
    """Clips of these truths, frame by frame."""
    truth = np.array([one for clip in clips for one in clip], bool)
    return LabelledResults(
        scores=np.arange(len(truth), dtype=np.float64) if scores is None else np.array(scores),
        anomalous=truth,
        kinds=("any",) * len(truth),
        threshold=0.5,
        pixel_threshold=None,
        maps=None,
        has_masks=False,
        pixels=lambda: iter(()),
        clips=tuple(f"clip {number}" for number, clip in enumerate(clips) for _ in clip),
        times_s=np.zeros(len(truth)),
        alarms=np.zeros(len(truth), bool),
    )


class Mean(Metric):
    """The mean score; its resamples lie a tenth too high."""

    calls = 0

    def __call__(self, results: LabelledResults) -> MetricValue:
        return MetricValue(float(results.scores.mean()))

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        Mean.calls += 1
        return np.asarray(weights @ results.scores / weights.sum(axis=1) + 0.1)


class Shy(Metric):
    """Cannot be resampled."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        return MetricValue(1.0)


class Failing(Shy):
    """Fails after the first part of its resamples."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        if not weights[0].all():
            raise ZeroDivisionError
        return np.ones(len(weights))


class Misshapen(Shy):
    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.ones(3)


class InPlace(Shy):
    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        weights *= results.anomalous
        return np.ones(len(weights))


@given(CLIPS, st.integers(0, 3))
def test_clips_are_drawn_whole_and_each_sort_as_often_as_there_are_clips_of_it(
    clips: list[list[bool]], seed: int
) -> None:
    results = results_of(clips)
    (weights,) = clip_weights(results, 20, seed)
    assert weights.shape == (21, len(results.clips))
    assert (weights[0] == 1).all()
    firsts = [results.clips.index(name) for name in dict.fromkeys(results.clips)]
    of_clips = weights[:, firsts]
    for name, drawn in zip(dict.fromkeys(results.clips), of_clips.T, strict=True):
        members = np.array(results.clips) == name
        assert (weights[:, members] == drawn[:, None]).all()
    with_anomaly = np.array([any(clip) for clip in clips])
    for sort in (with_anomaly, ~with_anomaly):
        assert (of_clips[:, sort].sum(axis=1) == sort.sum()).all()


def test_still_images_get_the_weights_of_the_bootstrap() -> None:
    results = results_of([[False]] * 5 + [[True]] * 4)
    (weights,) = clip_weights(results, 50, 3)
    assert (weights[1:] == bootstrap_weights(results.anomalous, 50, 3)).all()


def test_a_long_video_is_weighed_part_by_part_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    results = results_of([[False] * 9, [True] * 3, [False, True], [False]])
    mean = {"mean": (Mean(), float(results.scores.mean())), "shy": (Shy(), 1.0)}
    Mean.calls = 0
    whole, _ = resampled(results, mean, resamples=40, seed=1)
    assert Mean.calls == 1
    monkeypatch.setattr(resampling, "MOST_WEIGHTS", 100)
    parts, _ = resampled(results, mean, resamples=40, seed=1)
    assert Mean.calls == 1 + 7  # six rows of 15 frames at a time
    assert whole.keys() == parts.keys() == {"mean"}
    assert np.array_equal(whole["mean"], parts["mean"])
    assert whole["mean"].shape == (40,)


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (Failing, "Failing.resampled failed: ZeroDivisionError"),
        (Misshapen, r"ValueError: \d+ resamples gave values of shape \(3,\)"),
        (InPlace, "InPlace.resampled failed: ValueError: .*read-only"),
    ],
)
def test_a_metric_that_fails_has_no_resamples_says_why_and_harms_no_other(
    failing: type[Metric], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = results_of([[False] * 9, [True] * 3, [False, True], [False]])
    monkeypatch.setattr(resampling, "MOST_WEIGHTS", 100)
    found, failed = resampled(results, {"failing": (failing(), 1.0), "mean": (Mean(), 1.0)}, resamples=40, seed=1)
    assert found.keys() == {"mean"}
    assert re.search(told, failed.pop("failing"))
    assert not failed


def test_resamples_are_shifted_to_agree_with_the_value() -> None:
    results = results_of([[False] * 3] * 30)
    found = resampled(results, {"mean": (Mean(), float(results.scores.mean()))}, resamples=500, seed=0)[0]["mean"]
    assert found.mean() == pytest.approx(results.scores.mean(), abs=1)
