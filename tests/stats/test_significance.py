from __future__ import annotations

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from adkit.stats.calibration import CERTAINTY
from adkit.stats.significance import (
    Delong,
    Drift,
    Interval,
    auroc_interval,
    bootstrap_weights,
    delong,
    delong_p_value,
    difference_p_value,
    drift_test,
    friedman,
    holm,
    least_categories,
    looks_mixed,
    mcnemar,
    percentile_interval,
    proportion_interval,
    wilcoxon,
)

UNHURRIED = settings(deadline=None)  # a busy machine is no fault
TIED = st.integers(-3, 3).map(float)
FINITE = st.floats(-1e6, 1e6, width=32)
SCORES = st.lists(FINITE, min_size=1, max_size=40) | st.lists(TIED, min_size=1, max_size=40)
TRUTHS = st.lists(st.booleans(), min_size=1, max_size=60)
CHANCES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=20)


def test_importing_the_statistics_does_not_load_scipy() -> None:
    code = "import sys, adkit.stats.significance; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Proportions


@UNHURRIED
@given(st.integers(1, 500), st.data())
def test_the_interval_of_a_proportion_contains_it_and_is_that_of_clopper_and_pearson(
    total: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, total))
    interval = proportion_interval(count, total)
    assert 0 <= interval.low <= count / total <= interval.high <= 1
    expected = stats.binomtest(count, total).proportion_ci(CERTAINTY, method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_interval_of_a_mean_count_lies_between_those_of_whole_ones() -> None:
    limits = [(found.low, found.high) for found in (proportion_interval(count, 40) for count in (7, 7.3, 7.7, 8))]
    assert limits == sorted(limits)
    assert len(set(limits)) == 4


def test_more_certainty_widens_the_interval_and_no_trials_leave_everything_possible() -> None:
    narrow, wide = proportion_interval(3, 10, 0.5), proportion_interval(3, 10, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert proportion_interval(0, 0) == Interval(0.0, 1.0)


# Drift


@UNHURRIED
@given(SCORES, SCORES)
def test_the_shift_is_the_share_of_pairs_that_are_higher(reference: list[float], fresh: list[float]) -> None:
    drift = drift_test(reference, fresh)
    pairs = [(new > old) + (new == old) / 2 for new, old in product(fresh, reference)]
    assert drift.shift == pytest.approx(sum(pairs) / len(pairs))
    assert 0 <= drift.p_value <= 1


@pytest.mark.parametrize(("old", "new"), [(1, 1), (3, 2), (8, 8), (60, 5), (200, 30)])
def test_the_drift_is_that_of_scipys_kolmogorov_smirnov_test(old: int, new: int) -> None:
    random = np.random.default_rng(old)
    reference, fresh = random.normal(size=old), random.normal(0.5, size=new)
    expected = stats.ks_2samp(reference, fresh)
    drift = drift_test(reference, fresh)
    assert (drift.statistic, drift.p_value) == (expected.statistic, expected.pvalue)


def test_scores_that_moved_are_told_from_scores_that_stayed() -> None:
    random = np.random.default_rng(2)
    reference = random.gamma(3, size=200)
    assert drift_test(reference, random.gamma(3, size=40)).p_value > 0.05
    higher, lower = drift_test(reference, reference[:40] + 2), drift_test(reference, reference[:40] - 2)
    assert higher.p_value < 0.001
    assert lower.p_value < 0.001
    assert lower.shift < 0.25 < 0.75 < higher.shift


@pytest.mark.parametrize(("old", "new"), [(60, 5), (200, 30), (200, 200)])
def test_ties_do_not_raise_false_alarms_of_drift(old: int, new: int) -> None:
    random = np.random.default_rng(3)
    chances = [drift_test(random.poisson(0.4, old), random.poisson(0.4, new)).p_value for _ in range(200)]
    assert np.mean(np.array(chances) <= 0.05) <= 0.05


def test_scores_that_are_all_the_same_or_missing_show_no_drift() -> None:
    assert drift_test(np.ones(50), np.ones(30)) == Drift(0.0, 1.0, 0.5)
    assert drift_test([], [1.0]) == drift_test([1.0], []) == Drift(0.0, 1.0, 0.5)


# The bootstrap


@UNHURRIED
@given(TRUTHS, st.integers(0, 5))
def test_every_resample_draws_each_kind_as_often_as_there_are_samples_of_it(truth: list[bool], seed: int) -> None:
    anomalous = np.array(truth)
    weights = bootstrap_weights(anomalous, 20, seed)
    assert weights.shape == (20, len(truth))
    assert weights.dtype == np.int64
    assert (weights >= 0).all()
    assert (weights[:, anomalous].sum(axis=1) == anomalous.sum()).all()
    assert (weights[:, ~anomalous].sum(axis=1) == (~anomalous).sum()).all()
    assert (bootstrap_weights(anomalous, 20, seed) == weights).all()


def test_another_seed_gives_other_weights_and_each_sample_is_drawn_once_on_average() -> None:
    anomalous = np.arange(30) < 10
    weights = bootstrap_weights(anomalous)
    assert weights.shape == (2000, 30)
    assert (weights != bootstrap_weights(anomalous, seed=1)).any()
    assert weights.mean(axis=0) == pytest.approx(np.ones(30), abs=0.12)
    # A sample's number of draws is binomial.
    assert (weights[:, 0] == 0).mean() == pytest.approx(0.9**10, abs=0.04)


def test_the_percentile_interval_holds_the_middle_of_the_replicates() -> None:
    replicates = [*np.linspace(0, 1, 1001), math.nan]
    interval = percentile_interval(replicates)
    assert (interval.low, interval.high) == pytest.approx((0.025, 0.975))
    assert percentile_interval(replicates, 0.5) == Interval(0.25, 0.75)
    nothing = percentile_interval([math.nan])
    assert math.isnan(nothing.low)
    assert math.isnan(nothing.high)


def test_the_bootstrap_p_value_counts_the_rarer_side_twice() -> None:
    assert difference_p_value([1.0] * 99) == 0.02
    assert difference_p_value([-1.0] * 99) == 0.02
    assert difference_p_value([1.0] * 95 + [-1.0] * 3 + [0.0, math.nan]) == pytest.approx(2 * 5 / 100)
    assert difference_p_value([0.0] * 99) == 1
    assert difference_p_value([-1.0, 1.0] * 50) == 1
    assert math.isnan(difference_p_value([math.nan]))


@UNHURRIED
@given(st.lists(TIED, min_size=1, max_size=40))
def test_the_bootstrap_p_value_does_not_know_left_from_right(differences: list[float]) -> None:
    chance = difference_p_value(differences)
    assert 0 < chance <= 1
    assert difference_p_value([-value for value in differences]) == chance


# DeLong


def weighted_aurocs(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(R,) AUROCs of scores (N,) in resamples (R, N), from all pairs."""
    high, low = scores[anomalous][:, None], scores[~anomalous][None]
    wins = (high > low) + (high == low) / 2
    found = np.einsum("ri,ij,rj->r", weights[:, anomalous], wins, weights[:, ~anomalous], optimize=True)
    return np.asarray(found / wins.size)


def candidates(seed: int, *, seeds: int = 3, tied: bool = False) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (3, seeds, 160) of related candidates of increasing quality, and the truth (160,)."""
    random = np.random.default_rng(seed)
    anomalous = np.arange(160) % 8 < 5
    common = random.normal(size=160)
    noise = random.normal(size=(3, seeds, 160))
    scores = common + 0.7 * noise + np.array([0.5, 0.8, 1.6])[:, None, None] * anomalous
    return (np.round(scores) if tied else scores), anomalous


@pytest.mark.parametrize("tied", [False, True])
def test_the_aurocs_are_those_of_scikit_learn_averaged_over_seeds(tied: bool) -> None:
    scores, anomalous = candidates(4, tied=tied)
    expected = [np.mean([roc_auc_score(anomalous, row) for row in rows]) for rows in scores]
    assert delong(scores, anomalous).aurocs == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_covariance_agrees_with_a_bootstrap_of_the_samples(seeds: int, tied: bool) -> None:
    scores, anomalous = candidates(5, seeds=seeds, tied=tied)
    weights = bootstrap_weights(anomalous, 4000)
    replicates = np.array(
        [np.mean([weighted_aurocs(row, anomalous, weights) for row in rows], axis=0) for rows in scores]
    )
    # With n - 1 in the denominator DeLong's is greater than the bootstrap's, by 2 % for 60 samples.
    assert delong(scores, anomalous).covariance == pytest.approx(np.cov(replicates), rel=0.1)


def test_the_covariance_is_that_of_the_definition_by_all_pairs() -> None:
    scores, anomalous = candidates(6, seeds=1, tied=True)
    wins = np.array(
        [
            (row[anomalous][:, None] > row[~anomalous]) + (row[anomalous][:, None] == row[~anomalous]) / 2
            for (row,) in scores
        ]
    )
    expected = np.cov(wins.mean(axis=2)) / anomalous.sum() + np.cov(wins.mean(axis=1)) / (~anomalous).sum()
    assert delong(scores, anomalous).covariance == pytest.approx(expected, rel=1e-9)


def test_the_p_value_of_two_aurocs_is_uniform_when_they_are_equal() -> None:
    random = np.random.default_rng(7)
    anomalous = np.arange(90) < 40
    chances = []
    for _ in range(1000):
        scores = random.normal(size=90) + random.normal(size=(2, 2, 90)) + anomalous
        chances.append(delong_p_value(delong(scores, anomalous), 0, 1))
    assert np.mean(np.array(chances) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(chances) <= 0.5) == pytest.approx(0.5, abs=0.07)


def test_the_p_value_is_the_normal_distributions_and_the_same_either_way() -> None:
    scores, anomalous = candidates(8)
    result = delong(scores, anomalous)
    between = np.array([1, 0, -1])
    score = (result.aurocs @ between) / math.sqrt(between @ result.covariance @ between)
    assert delong_p_value(result, 0, 2) == pytest.approx(2 * stats.norm.sf(abs(score)), rel=1e-9)
    assert delong_p_value(result, 2, 0) == delong_p_value(result, 0, 2) < delong_p_value(result, 0, 1)


def test_candidates_that_rank_all_samples_alike_do_not_differ() -> None:
    for seeds in range(1, 12):
        scores, anomalous = candidates(9, seeds=seeds)
        # The same seeds in another order, on another scale: their means differ in the last digits.
        result = delong(np.stack([scores[0], np.exp(scores[0, ::-1])]), anomalous)
        assert delong_p_value(result, 0, 1) == 1
        assert delong_p_value(result, 0, 0) == 1


def test_perfect_candidates_do_not_differ_although_no_variance_is_left() -> None:
    anomalous = np.arange(8) < 3
    result = delong([[anomalous * 1.0], [anomalous * 2.0 + np.arange(8) / 10], [np.zeros(8)]], anomalous)
    assert result.aurocs.tolist() == [1, 1, 0.5]
    assert not result.covariance.any()
    assert delong_p_value(result, 0, 1) == 1
    assert delong_p_value(result, 0, 2) == 0


def test_one_swapped_pair_among_many_samples_is_no_difference_without_variance() -> None:
    anomalous = np.arange(20_000) % 3 == 0
    first = np.arange(20_000.0) + 5000.5 * anomalous
    second = first.copy()
    second[[9_000, 14_000]] = second[[14_000, 9_000]]  # an anomalous sample and the normal one just below
    result = delong([[first], [second]], anomalous)
    assert 0.1 < delong_p_value(result, 0, 1) < 0.5


@pytest.mark.parametrize("positives", [1, 9])
def test_a_single_sample_of_a_kind_has_an_auroc_but_no_p_value(positives: int) -> None:
    anomalous = np.arange(10) < positives
    result = delong(np.random.default_rng(10).normal(size=(2, 1, 10)), anomalous)
    assert np.isfinite(result.aurocs).all()
    assert math.isnan(delong_p_value(result, 0, 1))


@pytest.mark.parametrize("positives", [0, 10])
def test_without_samples_of_a_kind_there_is_no_auroc(positives: int) -> None:
    result = delong(np.zeros((2, 1, 10)), np.arange(10) < positives)
    assert isinstance(result, Delong)
    assert np.isnan(result.aurocs).all()
    assert math.isnan(delong_p_value(result, 0, 1))


# Several tests, several categories


def test_holms_correction_of_a_worked_example() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2 and 0.04 * 1, which is raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, math.nan, 0.04, 0.03, 0.005]) == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm([0.5, 0.6]).tolist() == [1, 1]
    assert holm([]).shape == (0,)


@UNHURRIED
@given(CHANCES)
def test_holms_correction_keeps_the_order_and_lowers_nothing(chances: list[float]) -> None:
    given_chances, adjusted = np.array(chances, dtype=float), holm(chances)
    known = ~np.isnan(given_chances)
    assert (np.isnan(adjusted) == ~known).all()
    assert (adjusted[known] >= given_chances[known]).all()
    assert (adjusted[known] <= np.minimum(1, given_chances[known] * known.sum())).all()
    assert (np.diff(adjusted[known][np.argsort(given_chances[known], kind="stable")]) >= 0).all()


@pytest.mark.parametrize("count", [1, 2, 6, 15, 40])
def test_the_signed_rank_test_is_scipys_exact_one_where_nothing_ties(count: int) -> None:
    random = np.random.default_rng(count)
    first, second = random.random(count), random.random(count) + 0.1
    expected = stats.wilcoxon(first, second, method="exact").pvalue
    assert wilcoxon(first, second) == pytest.approx(expected, rel=1e-9)
    assert wilcoxon(second, first) == pytest.approx(expected, rel=1e-9)


@UNHURRIED
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(differences: list[int]) -> None:
    left = np.array([value for value in differences if value])
    ranks = stats.rankdata(np.abs(left))
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product([0, 1], repeat=len(left))
    ]
    observed = ranks[left > 0].sum()
    expected = min(1.0, 2 * min(np.mean(np.array(sums) <= observed), np.mean(np.array(sums) >= observed)))
    assert wilcoxon(differences, np.zeros(len(differences))) == pytest.approx(expected)


def test_differences_of_nothing_but_rounding_are_no_differences() -> None:
    assert wilcoxon([0.3] * 8, [0.1 + 0.2] * 8) == 1
    assert wilcoxon([], []) == 1
    assert math.isnan(wilcoxon([0.5, math.nan], [0.4, 0.3]))


CAUGHT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@UNHURRIED
@given(CAUGHT)
def test_of_one_seed_it_is_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    alone, other = int((first & ~second).sum()), int((second & ~first).sum())
    expected = stats.binomtest(alone, alone + other).pvalue if alone + other else 1
    assert mcnemar([first], [second]) == pytest.approx(expected)
    assert mcnemar([second], [first]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_of_several_seeds_it_turns_every_sample_round(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.random((2, 3, 9)) < np.array([0.7, 0.4])[:, None, None]
    differences = first.sum(axis=0) - second.sum(axis=0)
    sums = np.array([np.dot(signs, np.abs(differences)) for signs in product((-1, 1), repeat=9)])
    observed = differences.sum()
    expected = min(1.0, 2 * min((sums >= observed).mean(), (sums <= observed).mean()))
    assert mcnemar(first, second) == pytest.approx(expected)


def test_candidates_that_catch_the_same_do_not_differ() -> None:
    assert mcnemar([[True, False]], [[True, False]]) == 1
    assert mcnemar(np.zeros((2, 0), bool), np.zeros((2, 0), bool)) == 1


def test_as_many_categories_are_asked_for_as_a_significant_result_needs() -> None:
    assert (least_categories(2), least_categories(2, 6)) == (6, 8)
    for candidates, tests in ((2, 1), (2, 6), (3, 1), (3, 6), (6, 1)):
        least = least_categories(candidates, tests)
        for count, significant in ((least - 1, False), (least, True)):
            ranks = np.tile(np.arange(candidates), (count, 1))
            clearest = wilcoxon(ranks[:, 0], ranks[:, 1]) if candidates == 2 else friedman(ranks).p_value
            assert (clearest * tests < 1 - CERTAINTY) is significant


@pytest.mark.parametrize(("auroc", "normal", "anomalous"), [(0.98, 20, 63), (0.995, 20, 63), (0.9, 41, 119)])
def test_an_interval_of_an_auroc_holds_it_as_often_as_it_says(auroc: float, normal: int, anomalous: int) -> None:
    random = np.random.default_rng(0)
    truth = np.repeat([False, True], [normal, anomalous])
    held = 0
    for _ in range(300):
        scores = random.normal(size=len(truth)) + truth * stats.norm.ppf(auroc) * math.sqrt(2)
        found = delong([[scores]], truth)
        interval = auroc_interval(float(found.aurocs[0]), float(found.covariance[0, 0]), normal, anomalous)
        assert interval is not None
        held += interval.low <= auroc <= interval.high
    assert 0.9 <= held / 300 <= 0.99


def test_a_perfect_separation_is_not_certain() -> None:
    interval = auroc_interval(1.0, 0.0, 20, 63)
    assert interval is not None
    assert interval.high == 1
    assert interval.low**20 == pytest.approx(0.025)
    opposite = auroc_interval(0.0, 0.0, 20, 63)
    assert opposite is not None
    assert (opposite.low, opposite.high) == (0, pytest.approx(1 - interval.low))
    assert auroc_interval(0.9, math.nan, 20, 63) is None


def test_a_drift_upwards_is_told_from_one_downwards() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=200)
    for shift, upwards in ((0.8, True), (-0.8, False)):
        fresh = random.normal(size=200) + shift
        assert drift_test(reference, fresh).p_value < 0.001
        assert (drift_test(reference, fresh, upwards_only=True).p_value < 0.001) is upwards


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("categories", "count"), [(5, 3), (15, 4), (30, 6)])
def test_friedmans_test_is_scipys(categories: int, count: int, tied: bool) -> None:
    random = np.random.default_rng(categories)
    values = random.random((categories, count)) + np.linspace(0, 0.3, count)
    values = values.round(1) if tied else values
    assert friedman(values).p_value == pytest.approx(stats.friedmanchisquare(*values.T).pvalue, rel=1e-9)


def test_nemenyis_p_values_are_those_of_scikit_posthocs() -> None:
    from scikit_posthocs import posthoc_nemenyi_friedman

    values = np.random.default_rng(11).random((12, 5)) + np.linspace(0, 0.8, 5)
    expected = posthoc_nemenyi_friedman(-values).to_numpy()
    assert friedman(values).pairwise == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("count", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_published_quantile(count: int, quantile: float) -> None:
    # Demšar 2006, table 5 (a), at 5 %.
    values = np.random.default_rng(count).random((14, count))
    unit = math.sqrt(count * (count + 1) / (6 * 14))
    assert friedman(values).critical_difference / unit == pytest.approx(quantile, abs=0.0015)


def test_the_best_candidate_has_rank_one_and_ties_share_ranks() -> None:
    result = friedman([[0.9, 0.8, 0.7], [0.9, 0.6, 0.6 + 1e-16], [1.0, 1.0, 0.5]])
    assert result.mean_ranks == pytest.approx([3.5 / 3, 6 / 3, 8.5 / 3])


def test_a_pair_as_far_apart_as_the_critical_difference_has_a_p_value_of_five_percent() -> None:
    # Two candidates, the first better in 75 of 100 categories: mean ranks 1.25 and 1.75.
    result = friedman(np.where(np.arange(100)[:, None] < 75, [1.0, 0.0], [0.0, 1.0]))
    score = 0.5 / (result.critical_difference / stats.norm.isf(0.025))
    assert result.pairwise[0, 1] == result.pairwise[1, 0] == pytest.approx(2 * stats.norm.sf(score), rel=1e-6)
    assert result.p_value == pytest.approx(stats.chi2.sf(25, 1))
    assert np.diag(result.pairwise).tolist() == [1, 1]


def test_candidates_that_tie_everywhere_rank_alike() -> None:
    result = friedman(np.full((7, 3), 0.9))
    assert result.p_value == 1
    assert result.mean_ranks.tolist() == [2, 2, 2]
    assert result.pairwise == pytest.approx(np.ones((3, 3)))


def test_ranking_without_values_is_refused_and_an_unknown_one_gives_nan() -> None:
    for shape in [(3, 1), (0, 3)]:
        with pytest.raises(ValueError, match="at least two candidates and one category"):
            friedman(np.zeros(shape))
    assert math.isnan(friedman([[1.0, 2.0], [math.nan, 1.0]]).p_value)


# Mixed scores


def contaminated(seed: int, count: int, among: int) -> NDArray[np.float64]:
    """Standard normal scores, `count` of them 20 higher, in random order."""
    random = np.random.default_rng(seed)
    return random.permutation(random.normal(size=among) + 20 * (np.arange(among) < count))


@pytest.mark.parametrize(("count", "among"), [(1, 9), (2, 10), (1, 100), (5, 100), (40, 100), (149, 300)])
def test_a_group_far_above_the_others_is_found_and_named(count: int, among: int) -> None:
    scores = contaminated(count, count, among)
    apart = looks_mixed(scores)
    assert apart is not None
    assert list(apart.positions) == np.argsort(-scores)[:count].tolist()
    assert apart.gap_from == scores[scores < 10].max()
    assert apart.gap_to == scores[scores > 10].min()


@pytest.mark.parametrize(
    ("name", "highest"), [("normal", 0.01), ("lognormal", 0.025), ("gamma", 0.035), ("exponential", 0.2)]
)
@pytest.mark.parametrize("count", [10, 20, 100])
def test_scores_of_one_group_seldom_look_mixed(name: str, highest: float, count: int) -> None:
    random = np.random.default_rng(count)
    draws = {
        "normal": random.normal,
        "lognormal": lambda size: random.lognormal(sigma=0.3, size=size),
        "gamma": lambda size: random.gamma(3, size=size),
        "exponential": random.exponential,
    }
    repeats = 1000
    found = sum(looks_mixed(draws[name](size=count)) is not None for _ in range(repeats))
    assert found / repeats <= highest


def test_a_wide_group_is_mostly_found() -> None:
    random = np.random.default_rng(12)
    group = np.arange(100) < 20
    found = [looks_mixed(np.where(group, random.normal(8, 3, 100), random.normal(size=100))) for _ in range(50)]
    named = [apart.positions for apart in found if apart is not None]
    assert len(named) >= 40
    assert np.mean([np.mean(group[list(positions)]) for positions in named]) > 0.98


@UNHURRIED
@given(
    st.integers(0, 1000),
    st.integers(0, 30),
    st.sampled_from([1e-6, 0.3, 1.0, 7.0, 1e6]),
    st.sampled_from([-50.0, 0.0, 3.0]),
)
def test_moving_or_scaling_the_scores_changes_nothing(seed: int, count: int, scale: float, shift: float) -> None:
    scores = contaminated(seed, count, 60)
    before, after = looks_mixed(scores), looks_mixed(scale * (scores + shift))
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after.positions == before.positions
        assert after.gap_from == pytest.approx(scale * (before.gap_from + shift))


@UNHURRIED
@given(st.permutations(range(12)), st.lists(st.integers(0, 300).map(float), max_size=12))
def test_those_named_are_all_above_the_gap_and_highest_first(near: list[int], far: list[float]) -> None:
    scores = [*far, *map(float, near)]
    apart = looks_mixed(scores)
    if apart is None:
        return
    named = [scores[position] for position in apart.positions]
    assert named == sorted(named, reverse=True)
    assert min(named) == apart.gap_to > apart.gap_from
    assert sorted([*named, *(score for score in scores if score <= apart.gap_from)]) == sorted(scores)


@UNHURRIED
@given(st.lists(st.integers(0, 7).map(float), max_size=60))
def test_few_distinct_scores_never_look_mixed(scores: list[float]) -> None:
    assert looks_mixed(scores) is None


def test_constant_few_or_evenly_spread_scores_do_not_look_mixed_and_copies_do_not_matter() -> None:
    assert looks_mixed(np.zeros(100)) is None
    assert looks_mixed([0.0] * 99 + [1.0]) is None
    assert looks_mixed([*range(7), 1000.0]) is None
    assert looks_mixed(np.repeat(np.arange(30.0), 4)) is None
    assert looks_mixed(np.random.default_rng(13).poisson(3, 200)) is None
    once = looks_mixed([*range(20), 1000.0])
    twice = looks_mixed([*range(20), 1000.0, 1000.0, *range(20)])
    assert once is not None
    assert twice is not None
    assert (once.positions, twice.positions) == ((20,), (20, 21))


def test_scores_too_small_to_be_squared_are_no_trouble() -> None:
    apart = looks_mixed([*(1e-200 * np.arange(20)), 1.0])
    assert apart is not None
    assert apart.positions == (20,)
