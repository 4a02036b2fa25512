"""What a threshold does to samples of known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from adkit.stats.formatting import Unit
from adkit.stats.rates import ORACLE_RECALLS, Rate, decision_rates, over_seeds, precision_recall_curve, roc_curve
from adkit.stats.significance import Interval, proportion_interval

UNHURRIED = settings(deadline=None)
FINITE = st.floats(-1e6, 1e6, width=32)
TIED = st.integers(-3, 3).map(float)
SAMPLES = st.lists(st.tuples(FINITE, st.booleans()), min_size=1, max_size=60) | st.lists(
    st.tuples(TIED, st.booleans()), min_size=1, max_size=60
)


def arrays(samples: list[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([score for score, _ in samples]), np.array([anomalous for _, anomalous in samples], bool)


@UNHURRIED
@given(SAMPLES, FINITE | TIED)
def test_rates_count_what_is_flagged_and_what_is_not(samples: list[tuple[float, bool]], threshold: float) -> None:
    found = decision_rates(*arrays(samples), threshold)
    good = [score for score, anomalous in samples if not anomalous]
    bad = [score for score, anomalous in samples if anomalous]
    flagged, caught = sum(score > threshold for score in good), sum(score > threshold for score in bad)
    assert (found.false_alarms.count, found.false_alarms.total) == (flagged, len(good))
    assert (found.caught.count, found.caught.total) == (caught, len(bad))
    assert found.false_alarms.interval == proportion_interval(flagged, len(good))
    assert found.caught.interval == proportion_interval(caught, len(bad))


def test_a_rate_has_the_interval_of_clopper_and_pearson() -> None:
    rate = Rate.of(np.array([True] * 2 + [False] * 18))
    assert rate.interval is not None
    # By hand: 5 % in both tails of the binomial distribution, from Clopper & Pearson's own construction.
    assert (rate.interval.low, rate.interval.high) == pytest.approx((0.0123, 0.3170), abs=5e-5)
    assert rate.share == 0.1
    assert str(rate) == "2 of 20 (10.0%; 1.2% to 31.7%)"


def test_a_rate_of_nothing_says_so() -> None:
    rate = Rate.of(np.zeros(0, bool))
    assert rate.share is None
    assert str(rate) == "none to judge"
    assert rate.interval == Interval(0, 1)


def test_the_mean_over_seeds_has_the_interval_of_the_mean_count() -> None:
    rates = [Rate.counted(count, 40) for count in (6, 7, 8)]
    share, interval = over_seeds(rates)
    assert share == 7 / 40
    assert interval == proportion_interval(7, 40)
    assert over_seeds([Rate.counted(0, 0)])[0] is None
    assert Rate.sum_of(rates) == Rate.counted(21, 120)


@pytest.mark.parametrize(
    ("caught", "flagged", "expected"),
    [
        ((80, 119), (0, 41), "caught 80 of 119 defects at the promised 1%, flagged 0 of 41 good parts"),
        ((1, 1), (1, 1), "caught 1 of 1 defect at the promised 1%, flagged 1 of 1 good part"),
        ((1, 2), (0, 0), "caught 1 of 2 defects at the promised 1%"),
        ((0, 0), (3, 1200), "flagged 3 of 1,200 good parts at the promised 1%"),
    ],
)
def test_decisions_in_words(caught: tuple[int, int], flagged: tuple[int, int], expected: str) -> None:
    found = replace(
        decision_rates(np.zeros(0), np.zeros(0, bool), 0),
        caught=Rate.counted(*caught),
        false_alarms=Rate.counted(*flagged),
    )
    assert found.in_words(Unit.of("image"), "the promised 1%") == expected


def test_a_rate_in_percent() -> None:
    assert Rate.counted(2, 20).in_percent() == "10.0%, with 95% certainty 1.2% to 31.7%"
    assert Rate.counted(0, 0).in_percent() == "–"
    unknown = Rate(1, 4, None)
    assert (unknown.in_percent(), str(unknown)) == ("25.0%; too few clips for an interval", "1 of 4 (25.0%)")


def test_a_score_at_the_threshold_is_not_flagged() -> None:
    found = decision_rates(np.array([1.0, 1.0]), np.array([False, True]), 1.0)
    assert (found.false_alarms.count, found.caught.count) == (0, 0)


@pytest.mark.parametrize(
    ("scores", "ratio"),
    [
        ([1.0, 3.0, 8.0], 4.0),
        ([2.0, 2.0, 1.0], 0.5),
        ([0.0, 0.0, 5.0], None),
        ([-1.0, -1.0, 5.0], None),
        ([1.0, 1.0, -2.0], -2.0),
    ],
)
def test_the_separation_ratio_is_of_the_means(scores: list[float], ratio: float | None) -> None:
    found = decision_rates(np.array(scores), np.array([False, False, True]), 0.0)
    assert found.separation_ratio == ratio
    assert (found.mean_normal, found.mean_anomalous) == (sum(scores[:2]) / 2, scores[2])


@UNHURRIED
@given(SAMPLES)
def test_the_oracle_is_the_best_of_all_thresholds(samples: list[tuple[float, bool]]) -> None:
    scores, anomalous = arrays(samples)
    rows = decision_rates(scores, anomalous, 0.0).oracle_passing
    if anomalous.all() or not anomalous.any():
        assert rows == ()
        return
    assert [row.recall for row in rows] == list(ORACLE_RECALLS) == [1.0, 0.99]
    candidates = [-np.inf, *np.nextafter(scores, -np.inf), *scores]
    for row in rows:
        caught = {value: (scores[anomalous] > value).mean() for value in candidates}
        possible = [value for value in candidates if caught[value] >= row.recall - 1e-9]
        assert row.passing.count == max(int((scores[~anomalous] <= value).sum()) for value in possible)
        assert row.passing.total == int((~anomalous).sum())
        assert (scores[anomalous] > row.threshold).mean() >= row.recall - 1e-9
        assert int((scores[~anomalous] <= row.threshold).sum()) == row.passing.count


def test_the_oracle_may_let_one_defect_in_a_hundred_go() -> None:
    scores = np.concatenate([np.arange(50.0), np.arange(100.0, 200.0)])
    scores[50] = -5.0  # one defect looks better than all good parts
    anomalous = np.arange(150) >= 50
    every, nearly = decision_rates(scores, anomalous, 0.0).oracle_passing
    assert (every.passing.count, nearly.passing.count) == (0, 50)


@pytest.mark.parametrize("anomalous", [False, True])
def test_one_sort_of_samples_alone_is_no_trouble(anomalous: bool) -> None:
    scores, truth = np.array([1.0, 2.0, 3.0]), np.full(3, anomalous)
    found = decision_rates(scores, truth, 2.0)
    assert found.separation_ratio is None
    assert found.oracle_passing == ()
    assert (found.mean_normal is None) is anomalous
    assert (found.mean_anomalous is None) is not anomalous
    assert (found.caught if anomalous else found.false_alarms).total == 3
    assert str(found.false_alarms if anomalous else found.caught) == "none to judge"
    assert roc_curve(scores, truth) is None
    assert precision_recall_curve(scores, truth) is None


def test_no_samples_are_no_trouble() -> None:
    found = decision_rates(np.zeros(0), np.zeros(0, bool), 1.0)
    assert (found.mean_normal, found.mean_anomalous, found.oracle_passing) == (None, None, ())
    assert roc_curve(np.zeros(0), np.zeros(0, bool)) is None


BOTH = SAMPLES.filter(lambda samples: len({anomalous for _, anomalous in samples}) == 2)


@UNHURRIED
@given(BOTH)
def test_the_roc_curve_runs_from_nothing_to_all_and_bounds_the_auroc(samples: list[tuple[float, bool]]) -> None:
    scores, anomalous = arrays(samples)
    curve = roc_curve(scores, anomalous)
    assert curve is not None
    assert (curve.x[0], curve.y[0]) == (0, 0)
    assert (curve.x[-1], curve.y[-1]) == (1, 1)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(metrics.roc_auc_score(anomalous, scores))
    false_positive_rate, recall, _ = metrics.roc_curve(anomalous, scores)
    assert (curve.x, curve.y) == (tuple(false_positive_rate), tuple(recall))
    points = {((scores[~anomalous] >= value).mean(), (scores[anomalous] >= value).mean()) for value in scores}
    assert {*zip(curve.x, curve.y, strict=True)} <= points | {(0.0, 0.0)}


@UNHURRIED
@given(BOTH)
def test_the_precision_recall_curve_runs_from_no_recall_to_all(samples: list[tuple[float, bool]]) -> None:
    scores, anomalous = arrays(samples)
    curve = precision_recall_curve(scores, anomalous)
    assert curve is not None
    assert (curve.x[0], curve.y[0]) == (0, 1)
    assert (curve.x[-1], curve.y[-1]) == (1, pytest.approx(anomalous.mean()))
    assert list(curve.x) == sorted(curve.x)
    precision, recall, _ = metrics.precision_recall_curve(anomalous, scores)
    assert {*zip(curve.x, curve.y, strict=True)} <= {*zip(recall.tolist(), precision.tolist(), strict=True)}


def test_curves_are_plain_numbers() -> None:
    scores, anomalous = np.array([1.0, 2.0, 3.0]), np.array([False, True, True])
    for curve in (roc_curve(scores, anomalous), precision_recall_curve(scores, anomalous)):
        assert curve is not None
        assert {type(value) for value in (*curve.x, *curve.y)} == {float}
