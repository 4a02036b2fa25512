from __future__ import annotations

import numpy as np
import pytest

from adkit.report.thresholds import LEAST_RANKS, MOST_STEPS, offered_ranks, rate_for, threshold_steps
from adkit.stats.calibration import ThresholdRule, parse_rate, threshold_from


@pytest.mark.parametrize("count", [1, 2, 5, 9, 10, 39, 40, 41, 320, 5000, 100_000])
@pytest.mark.parametrize("own", [1, 3, 17])
def test_the_ranks_on_offer(count: int, own: int) -> None:
    if own > count:
        return
    ranks = offered_ranks(count, own)
    assert ranks == sorted(set(ranks))
    assert ranks[0] == 1
    assert own in ranks
    assert ranks[-1] == max(min(count, max(LEAST_RANKS, count // 4)), own)
    assert len(ranks) <= MOST_STEPS + 1
    if ranks[-1] <= MOST_STEPS:
        assert ranks == list(range(1, ranks[-1] + 1))


@pytest.mark.parametrize("count", [1, 2, 9, 99, 100, 320, 999, 12345])
def test_a_rate_gives_its_rank(count: int) -> None:
    for rank in offered_ranks(count, 1):
        rate = rate_for(rank, count)
        assert ThresholdRule("expected", parse_rate(rate)).rank(count) == rank
        assert -1e-9 <= float(rate.rstrip("%")) / 100 - rank / (count + 1) < 0.0002


def test_rates_are_short() -> None:
    assert rate_for(1, 99) == "1%"
    assert rate_for(3, 320) == "0.94%"
    assert rate_for(1, 1) == "50%"


def test_steps_without_an_evaluation() -> None:
    scores = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    names = tuple("cabed")  # in the order of the scores: the lowest is "a"
    own = threshold_from(scores, ThresholdRule())
    steps = threshold_steps(names, scores, own, None)
    assert [step.threshold.value for step in steps] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [step.name for step in steps] == ["a", "b", "c", "d", "e"]
    assert [step.threshold for step in steps if step.chosen] == [own]
    assert {(step.false_alarms, step.caught) for step in steps} == {(None, None)}


def test_equal_scores_are_no_trouble() -> None:
    scores = np.ones(30)
    steps = threshold_steps(
        [str(number) for number in range(30)], scores, threshold_from(scores, ThresholdRule()), None
    )
    assert {step.threshold.value for step in steps} == {1.0}
    assert [step.chosen for step in steps].count(True) == 1
