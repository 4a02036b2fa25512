"""Whether false alarms speak against promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adkit.stats.calibration import CERTAINTY, alarms_p_value, most_alarms, noticeable_rate

UNHURRIED = settings(deadline=None)  # a busy machine is no fault


def test_the_number_of_false_alarms_is_distributed_as_simulated() -> None:
    random = np.random.default_rng(1)
    rank, count, total, repeats = 2, 40, 25, 20_000
    thresholds = np.sort(random.gumbel(size=(repeats, count)), axis=1)[:, count - rank]
    alarms = (random.gumbel(size=(repeats, total)) > thresholds[:, None]).sum(axis=1)
    for least in range(6):
        simulated = float((alarms >= least).mean())
        slack = 4 * (simulated * (1 - simulated) / repeats) ** 0.5
        assert alarms_p_value(least, total, rank, count) == pytest.approx(simulated, abs=slack)


def test_false_alarms_have_p_values_from_one_down_to_the_smallest() -> None:
    chances = [alarms_p_value(alarms, 300, 1, 93) for alarms in range(302)]
    assert chances[0] == 1
    assert all(after < before for before, after in pairwise(chances))
    assert 0 < chances[300] < 1e-70  # one minus the distribution function would be 0 or worse
    assert chances[301] == 0
    assert alarms_p_value(0, 0, 1, 10) == 1


def test_a_noticeable_rate_is_noticed_four_times_in_five() -> None:
    rate = noticeable_rate(200, 2, 199, 0.05)
    assert rate is not None
    least = next(alarms for alarms in range(201) if alarms_p_value(alarms, 200, 2, 199) < 0.05)
    assert stats.binom.sf(least - 1, 200, rate) == pytest.approx(0.8)
    assert rate > 2 / 200
    assert noticeable_rate(1, 1, 10, 0.05) is None
    assert noticeable_rate(0, 1, 10, 0.05) is None


@UNHURRIED
@given(st.integers(1, 200), st.integers(1, 5), st.integers(5, 300))
def test_the_most_alarms_of_one_promise_are_the_last_that_do_not_speak_against_it(
    total: int, rank: int, count: int
) -> None:
    most = most_alarms([(total, rank, count)])
    assert alarms_p_value(most, total, rank, count) > 1 - CERTAINTY
    assert most == total or alarms_p_value(most + 1, total, rank, count) <= 1 - CERTAINTY


def test_the_most_alarms_of_several_promises_are_those_of_simulated_thresholds() -> None:
    random, repeats = np.random.default_rng(2), 20_000
    promises = [(41, 1, 99), (60, 2, 213), (20, 2, 60)]
    alarms = np.zeros(repeats, np.int64)
    for total, rank, count in promises:
        thresholds = np.sort(random.gumbel(size=(repeats, count)), axis=1)[:, count - rank]
        alarms += (random.gumbel(size=(repeats, total)) > thresholds[:, None]).sum(axis=1)
    most = most_alarms(promises)
    assert (alarms > most).mean() <= 1 - CERTAINTY + 0.005
    assert (alarms >= most).mean() > 1 - CERTAINTY - 0.005
    assert most < sum(most_alarms([one]) for one in promises)


def test_where_nothing_is_judged_nothing_is_flagged() -> None:
    assert most_alarms([]) == most_alarms([(0, 1, 10)]) == 0


# The noticeable rate against audits that are played through.


@pytest.mark.parametrize(("total", "rank", "count"), [(60, 1, 99), (300, 1, 93), (150, 2, 209), (20, 1, 20)])
def test_audits_at_the_noticeable_rate_are_broken_four_times_in_five(total: int, rank: int, count: int) -> None:
    rate = noticeable_rate(total, rank, count, 0.01)
    assert rate is not None
    p_values = np.array([alarms_p_value(alarms, total, rank, count) for alarms in range(total + 1)])
    random, repeats = np.random.default_rng([total, count]), 20_000

    def broken(true_rate: float) -> float:
        return float(np.mean(p_values[random.binomial(total, true_rate, repeats)] < 0.01))

    slack = 4 * (0.8 * 0.2 / repeats) ** 0.5
    assert broken(rate) == pytest.approx(0.8, abs=slack)
    assert broken(0.7 * rate) < 0.8 - slack
    assert rate > rank / (count + 1)


@UNHURRIED
@given(st.integers(1, 120), st.integers(1, 5), st.integers(5, 300), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_rate_is_noticeable_where_some_number_of_alarms_is_telling(
    total: int, rank: int, count: int, level: float
) -> None:
    rate = noticeable_rate(total, rank, count, level)
    telling = [alarms for alarms in range(total + 1) if alarms_p_value(alarms, total, rank, count) < level]
    assert (rate is None) is not telling
    if rate is not None:
        assert stats.binom.sf(telling[0] - 1, total, rate) == pytest.approx(0.8)


def test_a_p_value_of_exactly_the_level_does_not_tell() -> None:
    """One new image above the highest of 99: p = 1/100, neither a broken promise nor a noticeable one."""
    assert alarms_p_value(1, 1, 1, 99) == pytest.approx(0.01)
    assert not alarms_p_value(1, 1, 1, 99) < 0.01
    assert noticeable_rate(1, 1, 99, 0.01) is None


def test_more_images_notice_lower_rates() -> None:
    rates = [noticeable_rate(total, 2, 209, 0.01) for total in (10, 20, 50, 100, 1000, 20_000)]
    assert None not in rates
    assert all(after < before for before, after in pairwise(rate for rate in rates if rate is not None))
