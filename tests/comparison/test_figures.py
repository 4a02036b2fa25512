"""The statistics of a comparison, on cells made by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from adkit.comparison.cells import Cell, Cost
from adkit.comparison.differences import Figure
from adkit.comparison.figures import ALL
from adkit.errors import RunError
from adkit.stats.calibration import most_alarms
from adkit.stats.rates import Rate
from adkit.stats.significance import (
    Interval,
    auroc_interval,
    delong,
    delong_p_value,
    difference_p_value,
    friedman,
    holm,
    least_categories,
    percentile_interval,
    proportion_interval,
)
from tests.comparison.fakes import compared, made_cell, several, valued

TRUTH = [False] * 20 + [True] * 20
AUROC = "image_auroc"


def scores_of(shift: float, seed: int = 0) -> list[float]:
    """Scores of 20 good and 20 anomalous samples, the latter higher by `shift` spreads."""
    random = np.random.default_rng(seed)
    return [float(score) for score in random.normal(size=40) + shift * np.array(TRUTH)]


def test_a_figure_is_the_mean_over_seeds_with_delongs_interval() -> None:
    cells = [made_cell("a", scores_of(1, seed), TRUTH, seed=seed) for seed in (0, 1, 2)]
    figure = compared(cells).figures[AUROC, "x:a", "a"]
    each = [cell.metrics[AUROC] for cell in cells]
    assert figure.by_seed == tuple(each)
    assert figure.value == pytest.approx(sum(value for value in each if value is not None) / 3)
    assert figure.value is not None
    found = delong([[cell.scores for cell in cells]], TRUTH)
    assert figure.interval == auroc_interval(figure.value, float(found.covariance[0, 0]), 20, 20)
    alone = compared(cells[:1]).figures[AUROC, "x:a", "a"].interval
    assert figure.interval is not None
    assert alone is not None
    assert figure.interval.high - figure.interval.low < alone.high - alone.low


def test_what_is_caught_in_all_categories_has_the_interval_of_as_many_images() -> None:
    def interval_of(caught: Sequence[int], of: Sequence[int]) -> Interval | None:
        cells = [
            made_cell(
                "a",
                [1.0] * hits + [0.0] * (total - hits),
                [True] * total,
                category=f"x:{number}",
                metrics={"caught_at_promise": hits / total},
                replicates={"caught_at_promise": np.full(400, hits / total)},
            )
            for number, (hits, total) in enumerate(zip(caught, of, strict=True))
        ]
        return compared(cells).figures["caught_at_promise", ALL, "a"].interval

    assert interval_of([9, 6], [10, 10]) == proportion_interval(15, 20)
    assert interval_of([10, 10], [10, 10]) == proportion_interval(20, 20)
    uneven = interval_of([10, 90], [10, 90])
    assert uneven == proportion_interval(36, 36)


def test_one_candidate_is_best_and_differs_from_nobody() -> None:
    result = compared([made_cell("a", scores_of(1), TRUTH)])
    figure = result.figures[AUROC, "x:a", "a"]
    assert figure.is_best
    assert (figure.difference, figure.difference_interval, figure.p_value) == (None, None, None)
    assert result.across[AUROC].why_not == "there is one candidate only"
    assert result.rows == ("x:a",)


def test_seeds_stand_in_their_order_whatever_order_the_cells_come_in() -> None:
    cells = [made_cell("a", scores_of(1, seed), TRUTH, seed=seed) for seed in (2, 0, 1)]
    result = compared(cells)
    assert result.seeds == (0, 1, 2)
    expected = {cell.seed: cell for cell in cells}
    assert result.figures[AUROC, "x:a", "a"].by_seed == tuple(expected[seed].metrics[AUROC] for seed in (0, 1, 2))
    assert result.runs["x:a", "a"] == tuple(expected[seed].run for seed in (0, 1, 2))


def test_differences_to_the_best_are_paired_and_their_p_value_is_delongs() -> None:
    cells = [
        made_cell(name, scores_of(shift, 10 * seed + number), TRUTH, seed=seed)
        for number, (name, shift) in enumerate({"good": 3.0, "fair": 1.0, "poor": 0.0}.items())
        for seed in (0, 1)
    ]
    result = compared(cells)
    of = {name: [cell for cell in cells if cell.candidate == name] for name in ("good", "fair", "poor")}
    found = delong([[cell.scores for cell in of[name]] for name in of], TRUTH)
    adjusted = holm([delong_p_value(found, 1, 0), delong_p_value(found, 2, 0), delong_p_value(found, 2, 1)])[:2]
    assert result.figures[AUROC, "x:a", "good"].is_best
    for name, p_value in zip(("fair", "poor"), adjusted, strict=True):
        figure = result.figures[AUROC, "x:a", name]
        pairs = zip(of[name], of["good"], strict=True)
        paired = sum(one.replicates[AUROC] - best.replicates[AUROC] for one, best in pairs) / 2
        assert not figure.is_best
        assert figure.difference == pytest.approx(np.mean(figure.by_seed) - found.aurocs[0])
        assert figure.difference_interval is not None
        interval = percentile_interval(paired)
        assert figure.difference_interval.low == pytest.approx(interval.low)
        assert figure.difference_interval.high == pytest.approx(interval.high)
        assert figure.p_value == pytest.approx(p_value)
        assert figure.is_worse


def test_a_clearly_worse_candidate_is_marked_and_an_equal_one_is_not() -> None:
    cells = [
        made_cell("best", scores_of(3), TRUTH),
        made_cell("as good", (np.array(scores_of(3)) * 7 + 2).tolist(), TRUTH),
        made_cell("noise", scores_of(2.8, 5), TRUTH),
        made_cell("worse", scores_of(0, 6), TRUTH),
    ]
    result = compared(cells)
    row = {cell.candidate: result.figures[AUROC, "x:a", cell.candidate] for cell in cells}
    assert [name for name, figure in row.items() if figure.is_best] == ["best", "as good"]
    assert [name for name, figure in row.items() if figure.is_worse] == ["worse"]
    assert row["as good"].difference == 0
    assert row["as good"].difference_interval == Interval(0, 0)
    assert row["as good"].p_value == 1


def test_other_metrics_are_tested_by_the_bootstrap_with_holm_over_all_pairs() -> None:
    random = np.random.default_rng(3)
    replicates = {name: random.normal(mean, 0.02, 400) for name, mean in {"a": 0.9, "b": 0.86, "c": 0.85}.items()}
    cells = [
        made_cell(name, [0, 1], [False, True], metrics={"aupro": float(mean)}, replicates={"aupro": values})
        for (name, values), mean in zip(replicates.items(), (0.9, 0.86, 0.85), strict=True)
    ]
    result = compared(cells)
    pairs = (("b", "a"), ("c", "a"), ("c", "b"))
    raw = [difference_p_value(replicates[one] - replicates[other]) for one, other in pairs]
    expected = holm(raw)[:2]
    assert list(expected) != raw[:2]
    for name, p_value in zip(("b", "c"), expected, strict=True):
        assert result.figures["aupro", "x:a", name].p_value == pytest.approx(p_value)


def test_rounding_makes_no_difference() -> None:
    tiny = 1.2e-16
    cells = [
        made_cell("a", [0, 1], [False, True], metrics={"ap": 1 - tiny}, replicates={"ap": np.full(400, 1 - tiny)}),
        made_cell("b", [0, 1], [False, True], metrics={"ap": 1.0}, replicates={"ap": np.full(400, 1.0)}),
    ]
    result = compared(cells)
    first, second = (result.figures["ap", "x:a", name] for name in "ab")
    assert first.is_best  # the first of equals
    assert second.difference == 0
    assert second.difference_interval == Interval(0, 0)
    assert second.p_value == 1


def test_a_metric_that_nobody_resamples_has_a_difference_but_no_test() -> None:
    result = compared([valued("a", "x:a", 0.9), valued("b", "x:a", 0.1)])
    figure = result.figures["up", "x:a", "b"]
    assert figure.difference == pytest.approx(-0.8)
    assert (figure.interval, figure.difference_interval, figure.p_value) == (None, None, None)
    assert not figure.is_worse
    assert result.figures["down", "x:a", "b"].is_best


def test_a_metric_without_any_defined_resample_has_no_interval_and_no_test() -> None:
    nothing = np.full(400, np.nan)
    cells = [
        made_cell(name, [0, 1], [False, True], metrics={"aupro": value}, replicates={"aupro": values})
        for name, value, values in (("a", 0.9, nothing), ("b", 0.8, np.linspace(0.7, 0.9, 400)))
    ]
    result = compared(cells)
    assert result.figures["aupro", "x:a", "a"].interval is None
    other = result.figures["aupro", "x:a", "b"]
    assert other.interval is not None
    assert (other.difference_interval, other.p_value) == (None, None)


def test_resamples_in_which_a_metric_is_undefined_are_left_out() -> None:
    values = np.linspace(0.5, 0.9, 400)
    patchy = np.where(np.arange(400) % 2, np.nan, values)
    cells = [
        made_cell(name, [0, 1], [False, True], metrics={"aupro": 0.7}, replicates={"aupro": patchy + 0.1 * number})
        for number, name in enumerate("ab")
    ]
    result = compared(cells)
    assert result.figures["aupro", "x:a", "a"].interval == percentile_interval(values[::2])
    assert result.figures["aupro", "x:a", "b"].p_value == pytest.approx(2 / 201)


def test_with_one_anomalous_sample_nobody_knows_its_spread() -> None:
    truth = [False] * 10 + [True]
    cells = [made_cell("a", [*range(10), 11], truth), made_cell("b", [*range(10), 4.5], truth)]
    figure = compared(cells).figures[AUROC, "x:a", "b"]
    assert figure.difference == pytest.approx(-0.5)
    assert figure.difference_interval is not None
    assert figure.p_value is None
    assert not figure.is_worse


def test_where_delongs_variance_is_nothing_the_bootstrap_tests() -> None:
    cells = [made_cell("perfect", list(range(40)), TRUTH), made_cell("blind", [0.5] * 40, TRUTH)]
    assert delong_p_value(delong([[cells[0].scores], [cells[1].scores]], TRUTH), 0, 1) == 0
    figure = compared(cells).figures[AUROC, "x:a", "blind"]
    assert figure.difference == -0.5
    assert figure.difference_interval == Interval(-0.5, -0.5)
    assert figure.p_value == pytest.approx(2 / 401)


def test_two_perfect_candidates_differ_by_nothing_however_their_scores_lie() -> None:
    cells = [made_cell("a", list(range(40)), TRUTH), made_cell("b", [1.0 * one for one in TRUTH], TRUTH)]
    figure = compared(cells).figures[AUROC, "x:a", "b"]
    assert (figure.difference, figure.p_value) == (0, 1)
    assert figure.difference_interval == Interval(0, 0)


def test_an_undefined_metric_carries_its_reason_and_the_others_are_compared() -> None:
    result = compared([valued("a", "x:a", None), valued("b", "x:a", 0.9), valued("c", "x:a", 0.8)])
    assert result.figures["up", "x:a", "a"] == Figure(None, "no masks")
    assert result.figures["up", "x:a", "b"].is_best
    assert result.figures["up", "x:a", "c"].difference == pytest.approx(-0.1)
    assert result.across["up"].categories == 0


def test_a_metric_that_is_undefined_for_one_seed_is_undefined() -> None:
    result = compared([valued("a", "x:a", 0.9, seed=0), valued("a", "x:a", None, seed=1)])
    assert result.figures["up", "x:a", "a"] == Figure(None, "no masks")


def test_a_metric_that_only_one_candidate_has_is_best_alone() -> None:
    result = compared([valued("a", "x:a", None), valued("b", "x:a", 0.9)])
    assert result.figures["up", "x:a", "b"].is_best
    assert result.figures["up", "x:a", "b"].p_value is None


def test_a_failed_cell_leaves_its_place_empty_with_the_reason_and_the_others_are_compared() -> None:
    cells = [
        made_cell("a", scores_of(3), TRUTH, seed=0),
        made_cell("a", scores_of(3, 1), TRUTH, seed=1),
        made_cell("b", scores_of(0, 2), TRUTH, seed=0),
        made_cell("b", scores_of(0, 3), TRUTH, seed=1),
        made_cell("c", scores_of(9, 4), TRUTH, seed=0),
    ]
    result = compared(cells, failures={("x:a", "c", 1): "too few images"})
    assert result.figures[AUROC, "x:a", "c"] == Figure(None, "too few images")
    assert result.figures[AUROC, "x:a", "a"].is_best
    assert result.figures[AUROC, "x:a", "b"].is_worse
    for found in (result.decisions, result.expenses, result.runs):
        assert set(found) == {("x:a", "a"), ("x:a", "b")}
    assert result.failures == {("x:a", "c", 1): "too few images"}


def test_a_candidate_that_failed_on_one_category_has_no_mean_over_all() -> None:
    cells = [
        made_cell(name, scores_of(shift, number), TRUTH, category=category)
        for number, (name, shift) in enumerate({"a": 3.0, "b": 0.0}.items())
        for category in ("x:a", "x:b")
    ]
    cells += [made_cell("c", scores_of(1), TRUTH, category="x:a")]
    result = compared(cells, failures={("x:b", "c", 0): "too few images"})
    assert result.figures[AUROC, "x:a", "c"].value is not None
    assert result.figures[AUROC, "x:b", "c"] == Figure(None, "too few images")
    assert result.figures[AUROC, ALL, "c"] == Figure(None, "not defined on every category: too few images")
    assert result.figures[AUROC, ALL, "a"].is_best
    assert result.figures[AUROC, ALL, "b"].difference is not None


def test_where_no_candidate_has_all_its_seeds_every_place_is_empty() -> None:
    result = compared([made_cell("a", scores_of(1), TRUTH)], failures={("x:a", "a", 1): "broken"})
    assert result.figures[AUROC, "x:a", "a"] == Figure(None, "broken")
    assert [len(found) for found in (result.decisions, result.expenses, result.runs)] == [0, 0, 0]


def test_cells_of_one_category_that_were_judged_on_different_data_are_refused() -> None:
    first = made_cell("a", scores_of(1), TRUTH)
    for other in (
        made_cell("b", scores_of(1), TRUTH, test_hash="other"),
        made_cell("b", scores_of(1), TRUTH, ids=[f"other/{number}" for number in range(40)]),
    ):
        with pytest.raises(RunError, match="were judged on different test images of x:a") as caught:
            compared([first, other])
        assert first.run in caught.value.message
        assert other.run in caught.value.message


def test_different_categories_have_different_data() -> None:
    cells = [made_cell("a", scores_of(1), TRUTH, category=name, test_hash=name) for name in ("x:a", "x:b")]
    assert compared(cells).rows == ("x:a", "x:b", ALL)


# What is caught


def catching(name: str, caught: Sequence[int], seed: int = 0) -> Cell:
    """A cell of 30 good images, none of which is flagged, and 20 anomalous ones of which these are caught."""
    scores = [0.1] * 30 + [0.9 if number in caught else 0.2 for number in range(20)]
    return made_cell(
        name, scores, [False] * 30 + [True] * 20, seed=seed, metrics={"caught_at_promise": len(caught) / 20}
    )


def test_what_is_caught_has_an_exact_interval_and_mcnemars_test() -> None:
    result = compared([catching("a", range(18)), catching("b", range(10, 20)), catching("c", range(18))])
    best, worse = (result.figures["caught_at_promise", "x:a", name] for name in "ab")
    assert best.interval == proportion_interval(18, 20)
    assert best.is_best
    raw = stats.binomtest(10, 12).pvalue  # a alone catches ten, b alone two
    assert worse.p_value == pytest.approx(holm([raw, raw, 1])[0])
    assert result.figures["caught_at_promise", "x:a", "c"].p_value == 1


def test_what_is_caught_over_seeds_has_the_interval_of_the_mean_count() -> None:
    seeds = [range(18), range(15), range(17)]
    cells = [catching("a", caught, seed) for seed, caught in enumerate(seeds)]
    figure = compared(cells).figures["caught_at_promise", "x:a", "a"]
    assert figure.value == pytest.approx(50 / 60)
    assert figure.interval == proportion_interval(50 / 3, 20)


def test_all_categories_together_are_flagged_within_their_promises_together() -> None:
    cells = [
        made_cell("a", [0.1, 0.2, 0.9, 0.8], [False, False, False, True], category=category, seed=seed)
        for category in ("x:a", "x:b")
        for seed in (0, 1)
    ]
    together = compared(cells).decisions[ALL, "a"]
    assert [rate.count for rate in together.false_alarms] == [2, 2]
    assert [rate.total for rate in together.caught] == [2, 2]
    assert together.promised == pytest.approx(0.6)
    assert together.promised_most == most_alarms([(3, 2, 19)] * 2)
    assert together.at == "the promised 10%"


# All categories


def spread_of(count: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 0.05, count)


def test_the_mean_over_categories_has_the_mean_of_their_resamples() -> None:
    cells = [
        made_cell(name, scores_of(shift, seed), TRUTH, category=category, seed=seed)
        for name, shift in (("a", 3.0), ("b", 1.0))
        for category in ("x:a", "x:b")
        for seed in (0, 1)
    ]
    result = compared(cells)
    row = {name: result.figures[AUROC, ALL, name] for name in "ab"}
    for name, figure in row.items():
        own = [cell for cell in cells if cell.candidate == name]
        assert figure.value == pytest.approx(np.mean([cell.metrics[AUROC] for cell in own if cell.metrics[AUROC]]))
        together = percentile_interval(np.mean([cell.replicates[AUROC] for cell in own], axis=0))
        assert figure.interval is not None
        assert (figure.interval.low, figure.interval.high) == pytest.approx((together.low, together.high))
        parts = [result.figures[AUROC, category, name].by_seed for category in ("x:a", "x:b")]
        assert figure.by_seed == pytest.approx(tuple(np.mean(parts, axis=0)))
    assert row["a"].is_best
    assert row["b"].p_value is None  # a category is one observation, and these are no test across categories
    replicates = {
        name: np.mean([cell.replicates[AUROC] for cell in cells if cell.candidate == name], axis=0) for name in "ab"
    }
    apart = percentile_interval(replicates["b"] - replicates["a"])
    assert row["b"].difference_interval is not None
    assert (row["b"].difference_interval.low, row["b"].difference_interval.high) == pytest.approx(
        (apart.low, apart.high)
    )


def test_a_mean_over_categories_of_a_metric_that_nobody_resamples_has_no_interval() -> None:
    result = several({"a": [0.9, 0.7], "b": [0.5, 0.6]})
    figure = result.figures["up", ALL, "b"]
    assert figure.value == pytest.approx(0.55)
    assert figure.difference == pytest.approx(-0.25)
    assert (figure.interval, figure.p_value) == (None, None)


@pytest.mark.parametrize(
    ("names", "count"),
    [(names, count) for names in ("ab", "abc") for count in (1, 2, least_categories(len(names), 2) - 1)],
)
def test_with_few_categories_there_is_no_test_and_the_reason_is_said(names: str, count: int) -> None:
    result = several({name: list(spread_of(count, number)) for number, name in enumerate(names)})
    for metric in ("up", "down"):
        across = result.across[metric]
        assert (across.p_value, across.friedman) == (None, None)
        said = "1 category has" if count == 1 else f"{count} categories have"
        assert across.why_not == (
            f"{said} a value for every candidate, and with fewer than {least_categories(len(names), 2)} "
            "(for 2 metrics) no difference could become significant"
        )
        assert across.categories == count
    assert (ALL in result.rows) is (count > 1)


def test_two_candidates_are_compared_by_wilcoxons_test_with_holm_over_metrics() -> None:
    count = 9
    first, second = 0.9 + spread_of(count, 1), 0.86 + spread_of(count, 2)
    cells = [
        made_cell(name, [0, 1], [False, True], category=f"x:{number}", metrics={"one": one, "two": two})
        for name, values in (("a", first), ("b", second))
        for number, (one, two) in enumerate(zip(values, spread_of(count, 3 + (name == "b")), strict=True))
    ]
    result = compared(cells)
    raw = [stats.wilcoxon(first, second).pvalue, stats.wilcoxon(spread_of(count, 3), spread_of(count, 4)).pvalue]
    expected = holm(raw)
    assert list(expected) != raw
    for metric, p_value in zip(("one", "two"), expected, strict=True):
        assert result.across[metric].p_value == pytest.approx(p_value)
        assert result.across[metric].friedman is None
        assert result.across[metric].categories == count


def test_as_many_wins_as_are_asked_for_are_significant() -> None:
    count = least_categories(2, 2)
    result = several(
        {"a": [0.9 - 0.1 * step for step in range(count)], "b": [0.8 - 0.2 * step for step in range(count)]}
    )
    # Both metrics say the same of two candidates, which Holm does not know.
    assert result.across["up"].p_value == pytest.approx(2 * 2 / 2**count)
    assert result.across["up"].p_value < 0.05


def test_three_candidates_are_compared_by_friedmans_test_with_a_critical_difference() -> None:
    count = 8
    shifts = {"a": 0.9, "b": 0.85, "c": 0.6}
    values = {name: shift + spread_of(count, number) for number, (name, shift) in enumerate(shifts.items())}
    result = several({name: list(row) for name, row in values.items()})
    across = result.across["up"]
    expected = friedman(np.array(list(values.values())).T)
    # Twice, after Holm: the other metric is the same one turned round.
    assert across.p_value == pytest.approx(2 * stats.friedmanchisquare(*values.values()).pvalue)
    assert across.friedman is not None
    assert across.friedman.mean_ranks == pytest.approx(expected.mean_ranks)
    assert across.friedman.mean_ranks[2] > across.friedman.mean_ranks[0]
    assert across.friedman.critical_difference == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * count)), abs=1e-3)
    down = result.across["down"].friedman
    assert down is not None
    assert down.mean_ranks == pytest.approx(4 - expected.mean_ranks)


def test_a_category_without_a_value_for_every_candidate_is_left_out_of_the_test() -> None:
    first: list[float | None] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, None]
    second: list[float | None] = [0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, 0.9]
    cells = [
        valued(name, f"x:{number}", value)
        for name, values in (("a", first), ("b", second))
        for number, value in enumerate(values)
    ]
    across = compared(cells).across["up"]
    assert across.categories == 7
    assert across.p_value == pytest.approx(2 * 2 / 2**7)


# Decisions and cost


def test_decisions_are_those_of_each_seeds_own_threshold() -> None:
    truth = [False, False, False, True, True]
    cells = [
        made_cell("a", [0.1, 0.5, 0.9, 0.5, 0.8], truth, seed=0, threshold=0.5),
        made_cell("a", [0.1, 0.2, 0.3, 0.4, 0.5], truth, seed=1, threshold=0.35),
    ]
    decisions = compared(cells).decisions["x:a", "a"]
    # A score at the threshold is no alarm.
    assert decisions.false_alarms == tuple(Rate.of(np.array(hits)) for hits in ([False, False, True], [False] * 3))
    assert decisions.caught == tuple(Rate.of(np.array(hits)) for hits in ([False, True], [True, True]))
    assert decisions.promised == pytest.approx(3 * 0.1)
    assert decisions.at == "the promised 10%"


def test_decisions_without_a_sort_of_sample_have_nothing_to_count() -> None:
    cell = made_cell("a", [0.1, 0.9], [False, False], metrics={"up": None}, why_undefined={"up": "nothing anomalous"})
    decisions = compared([cell]).decisions["x:a", "a"]
    assert [rate.count for rate in decisions.false_alarms] == [1]
    assert [rate.total for rate in decisions.caught] == [0]


def test_cost_is_the_median_over_seeds_and_the_most_of_memory_and_size() -> None:
    costs = [Cost(11, 50, 5, 300, 7), Cost(22, 70, 6, 100, 9), Cost(110, 60, 7, 200, 8)]
    cells = [made_cell("a", [0, 1], [False, True], seed=seed, cost=cost) for seed, cost in enumerate(costs)]
    expense = compared(cells).expenses["x:a", "a"]
    assert (expense.fit_s, expense.predict_ms, expense.decode_ms) == (22, 60, 6)
    assert (expense.peak_memory_bytes, expense.model_bytes) == (300, 9)


def test_every_candidate_has_a_figure_in_every_row() -> None:
    cells = [
        made_cell(name, scores_of(1, number), TRUTH, category=category)
        for number, name in enumerate(("a/b", "a b", "ä|*"))
        for category in ("x:a", "x:b")
    ]
    result = compared(cells)
    names = [candidate.name for candidate in result.candidates]
    assert set(result.figures) == set(itertools.product(result.metrics, result.rows, names))
