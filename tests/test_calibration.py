from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from adkit.calibration import CERTAINTY, p_values, threshold_from

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
Exceed = Callable[[NDArray[np.float64]], NDArray[np.float64]]

UNHURRIED = settings(deadline=None)  # a busy machine is no fault
FINITE = st.floats(-1e6, 1e6, width=32)
TIED = st.integers(-3, 3).map(float)
SCORES = st.lists(FINITE, min_size=1, max_size=60) | st.lists(TIED, min_size=1, max_size=60)
RATES = st.floats(0, 1) | st.sampled_from([0.01, 0.05, 0.1, 0.5])


@UNHURRIED
@given(SCORES, RATES)
def test_the_threshold_is_the_kth_largest_normal_score(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, rate)
    assert threshold.count == len(normals)
    assert 1 <= threshold.rank <= threshold.count
    assert threshold.value == sorted(normals, reverse=True)[threshold.rank - 1]
    assert sum(score > threshold.value for score in normals) < threshold.rank


@UNHURRIED
@given(SCORES, RATES)
def test_the_rank_is_the_greatest_that_keeps_the_rate(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, rate)
    spaces = len(normals) + 1
    assert threshold.expected_rate == threshold.rank / spaces
    assert threshold.rank == 1 or threshold.expected_rate <= rate + 1e-9
    assert threshold.rank == threshold.count or (threshold.rank + 1) / spaces > rate


@UNHURRIED
@given(st.integers(1, 400))
def test_rounding_loses_no_rank(count: int) -> None:
    ranks = [threshold_from(np.arange(count), rank / (count + 1)).rank for rank in range(1, count + 1, 7)]
    assert ranks == list(range(1, count + 1, 7))


@UNHURRIED
@given(SCORES, RATES)
def test_the_certain_rate_is_the_quantile_of_its_beta_distribution(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, rate)
    rank, count = threshold.rank, threshold.count
    # P(Beta(k, n + 1 - k) <= x) = P(at least k of n uniform numbers lie below x): another way to the same value.
    assert stats.binom.sf(rank - 1, count, threshold.certain_rate) == pytest.approx(CERTAINTY, abs=1e-6)
    assert threshold.expected_rate < threshold.certain_rate < 1


@UNHURRIED
@given(SCORES, RATES)
def test_more_false_alarms_never_raise_the_threshold(normals: list[float], rate: float) -> None:
    assert threshold_from(normals, rate).value <= threshold_from(normals, rate / 2).value


@UNHURRIED
@given(SCORES, RATES)
def test_the_order_of_normal_scores_does_not_matter(normals: list[float], rate: float) -> None:
    assert threshold_from(sorted(normals), rate) == threshold_from(normals, rate)


@UNHURRIED
@given(SCORES, SCORES)
def test_a_p_value_is_the_share_of_normal_scores_at_least_as_high(scores: list[float], normals: list[float]) -> None:
    expected = [(1 + sum(normal >= score for normal in normals)) / (len(normals) + 1) for score in scores]
    assert p_values(scores, normals).tolist() == expected


@UNHURRIED
@given(SCORES, SCORES, RATES)
def test_threshold_and_p_value_never_disagree(scores: list[float], normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, rate)
    chances = p_values([*scores, *normals], normals)
    for score, chance in zip([*scores, *normals], chances, strict=True):
        assert (score > threshold.value) == (chance <= threshold.expected_rate)


def test_too_few_scores_give_the_strictest_threshold_and_say_so() -> None:
    threshold = threshold_from([3.0, 1.0, 2.0], 0.01)
    assert (threshold.value, threshold.rank, threshold.expected_rate) == (3.0, 1, 0.25)
    assert threshold.certain_rate == pytest.approx(1 - 0.05 ** (1 / 3))
    assert threshold.promise() == (
        "flags about 1 in 4 normal samples (25.00%), with 95% certainty at most 63.2%; "
        "from 3 out-of-sample normal scores"
    )


def test_without_scores_there_is_no_threshold() -> None:
    with pytest.raises(ValueError, match="at least one normal score"):
        threshold_from([], 0.01)


def test_p_values_of_nothing_and_against_nothing() -> None:
    assert p_values([], [1.0]).shape == (0,)
    assert p_values([1.0, -1.0], []).tolist() == [1.0, 1.0]


DISTRIBUTIONS: dict[str, tuple[Draw, Exceed]] = {
    "uniform": (lambda rng, n: rng.random(n), lambda x: 1 - x),
    "normal": (lambda rng, n: rng.standard_normal(n), stats.norm.sf),
    "heavy tail": (lambda rng, n: rng.standard_cauchy(n), stats.cauchy.sf),
}
REPEATS = 3000
SLACK = 4 * (CERTAINTY * (1 - CERTAINTY) / REPEATS) ** 0.5
"""Four standard errors of the share that is counted."""


def realised_rates(draw: Draw, exceed: Exceed, count: int, rate: float) -> tuple[NDArray[np.float64], float, float]:
    """The false-alarm rates of many thresholds on new normal data, with the expected and the certain rate."""
    rng = np.random.default_rng([count, round(1000 * rate)])
    printed = threshold_from(draw(rng, count), rate)
    # What is printed depends on rank and count alone; so many calls would spend their time on scipy's quantile.
    draws = np.sort(draw(rng, REPEATS * count).reshape(REPEATS, count), axis=1)
    values = draws[:, count - printed.rank]
    assert values[0] == threshold_from(draws[0], rate).value
    return exceed(values), printed.expected_rate, printed.certain_rate


@pytest.mark.parametrize(("count", "rate"), [(8, 0.01), (50, 0.05), (209, 0.01), (209, 0.1)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_printed_false_alarm_rate_is_kept(name: str, count: int, rate: float) -> None:
    rates, expected, certain = realised_rates(*DISTRIBUTIONS[name], count, rate)
    assert CERTAINTY - SLACK <= np.mean(rates <= certain) <= CERTAINTY + SLACK
    assert rates.mean() == pytest.approx(expected, abs=4 * rates.std() / REPEATS**0.5)


@pytest.mark.parametrize(("count", "rate"), [(8, 0.01), (50, 0.05), (209, 0.1)])
def test_ties_only_make_it_safer(count: int, rate: float) -> None:
    def draw(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        return rng.poisson(3, size).astype(np.float64)

    rates, expected, certain = realised_rates(draw, stats.poisson(3).sf, count, rate)
    assert np.mean(rates <= certain) >= CERTAINTY - SLACK
    assert rates.mean() <= expected + 4 * rates.std() / REPEATS**0.5
