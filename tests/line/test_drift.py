"""An alarm is seldom false, however long a line runs, and comes soon after a change."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import numpy as np

from adkit.line.drift import DriftAlarm, DriftMartingale


def highest(martingale: DriftMartingale, scores: np.ndarray) -> float:
    return max(map(martingale, scores.tolist()))


def test_false_alarms_are_as_rare_as_was_said() -> None:
    """Of 150 lines that never change at most 10 % may alarm; 25 or more would be one in 200 at exactly 10 %."""
    random = np.random.default_rng(0)
    alarms = [
        highest(DriftMartingale(random.normal(size=40), upwards=seed % 2 == 0, seed=seed), random.normal(size=300)) >= 1
        for seed in range(150)
    ]
    assert sum(alarms) < 25


def test_ties_raise_no_alarm() -> None:
    random = np.random.default_rng(1)
    martingale = DriftMartingale(random.integers(0, 3, 50).tolist(), upwards=False)
    assert highest(martingale, random.integers(0, 3, 1000)) < 2


def test_a_shift_is_noticed_soon_and_only_in_the_direction_asked_for() -> None:
    random = np.random.default_rng(2)
    reference, before = random.normal(size=200), random.normal(size=200)
    for shift, upwards, noticed in ((1.0, True, True), (-1.0, False, True), (-1.0, True, False)):
        martingale = DriftMartingale(reference, upwards=upwards)
        assert highest(martingale, before) < 2
        assert (highest(martingale, random.normal(shift, size=120)) >= 2) == noticed


def test_the_wealth_is_a_fair_game() -> None:
    """Its mean over many lines is 1 after any number of parts."""
    random = np.random.default_rng(3)
    ends = []
    for seed in range(400):
        martingale = DriftMartingale(random.normal(size=5), upwards=True, seed=seed)
        ends.append(10 ** [martingale(score) for score in random.normal(size=8).tolist()][-1])
    assert abs(float(np.mean(ends)) - 1) < 4 * float(np.std(ends)) / 20


def test_the_threshold_itself_is_not_among_the_scores_that_pass() -> None:
    """It is the highest of them for certain: with three normal scores one line in twelve alarmed at 5 %."""
    threshold, calibration = SimpleNamespace(value=3.0), SimpleNamespace(leave_one_out=False)
    record = SimpleNamespace(threshold=threshold, calibration=calibration, updates=(), earlier_calibrations=())
    alarm, martingale = DriftAlarm(record, np.array([5.0, 3, 1, 2, 4]), 0.01), DriftMartingale([1, 2], upwards=False)  # type: ignore[arg-type]
    told = next(part for part in count() if alarm({"score": 2 + part / 1000, "part": part}))
    assert told == next(part for part in count() if martingale(2 + part / 1000) >= 2)
