from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from adkit.errors import PromiseError
from adkit.stats.calibration import (
    CERTAINTY,
    Threshold,
    ThresholdRule,
    mean_length_s,
    p_values,
    parse_rate,
    parse_rule,
    threshold_from,
    unit_scores,
)
from adkit.stats.formatting import is_floor

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
Exceed = Callable[[NDArray[np.float64]], NDArray[np.float64]]

UNHURRIED = settings(deadline=None)  # a busy machine is no fault
FINITE = st.floats(-1e6, 1e6, width=32)
TIED = st.integers(-3, 3).map(float)
SCORES = st.lists(FINITE, min_size=1, max_size=60) | st.lists(TIED, min_size=1, max_size=60)
RATES = st.floats(1e-6, 1, exclude_max=True) | st.sampled_from([0.01, 0.05, 0.1, 0.5])


@UNHURRIED
@given(SCORES, RATES)
def test_the_threshold_is_the_kth_largest_normal_score(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, ThresholdRule(level=rate))
    assert threshold.count == len(normals)
    assert 1 <= threshold.rank <= threshold.count
    assert threshold.value == sorted(normals, reverse=True)[threshold.rank - 1]
    assert sum(score > threshold.value for score in normals) < threshold.rank


@UNHURRIED
@given(SCORES, RATES)
def test_the_rank_is_the_greatest_that_keeps_the_rate(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, ThresholdRule(level=rate))
    spaces = len(normals) + 1
    assert threshold.expected_rate == threshold.rank / spaces
    assert threshold.rank == 1 or threshold.expected_rate <= rate + 1e-9
    assert threshold.rank == threshold.count or (threshold.rank + 1) / spaces > rate


@UNHURRIED
@given(st.integers(1, 400))
def test_rounding_loses_no_rank(count: int) -> None:
    ranks = [
        threshold_from(np.arange(count), ThresholdRule(level=rank / (count + 1))).rank
        for rank in range(1, count + 1, 7)
    ]
    assert ranks == list(range(1, count + 1, 7))


@UNHURRIED
@given(SCORES, RATES)
def test_the_certain_rate_is_the_quantile_of_its_beta_distribution(normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, ThresholdRule(level=rate))
    rank, count = threshold.rank, threshold.count
    # P(Beta(k, n + 1 - k) <= x) = P(at least k of n uniform numbers lie below x): another way to the same value.
    assert stats.binom.sf(rank - 1, count, threshold.certain_rate) == pytest.approx(CERTAINTY, abs=1e-6)
    assert threshold.expected_rate < threshold.certain_rate < 1


@UNHURRIED
@given(SCORES, RATES)
def test_more_false_alarms_never_raise_the_threshold(normals: list[float], rate: float) -> None:
    assert (
        threshold_from(normals, ThresholdRule(level=rate)).value
        <= threshold_from(normals, ThresholdRule(level=rate / 2)).value
    )


@UNHURRIED
@given(SCORES, RATES)
def test_the_order_of_normal_scores_does_not_matter(normals: list[float], rate: float) -> None:
    assert threshold_from(sorted(normals), ThresholdRule(level=rate)) == threshold_from(
        normals, ThresholdRule(level=rate)
    )


@UNHURRIED
@given(SCORES, SCORES)
def test_a_p_value_is_the_share_of_normal_scores_at_least_as_high(scores: list[float], normals: list[float]) -> None:
    expected = [(1 + sum(normal >= score for normal in normals)) / (len(normals) + 1) for score in scores]
    assert p_values(scores, normals).tolist() == expected
    highest = [score > max(normals, default=-np.inf) for score in scores]
    assert [is_floor(p_value, len(normals)) for p_value in expected] == highest


@UNHURRIED
@given(SCORES, SCORES, RATES)
def test_threshold_and_p_value_never_disagree(scores: list[float], normals: list[float], rate: float) -> None:
    threshold = threshold_from(normals, ThresholdRule(level=rate))
    chances = p_values([*scores, *normals], normals)
    for score, chance in zip([*scores, *normals], chances, strict=True):
        assert (score > threshold.value) == (chance <= threshold.expected_rate)


def test_too_few_scores_give_the_strictest_threshold_and_say_so() -> None:
    threshold = threshold_from([3.0, 1.0, 2.0], ThresholdRule())
    assert (threshold.value, threshold.rank, threshold.expected_rate) == (3.0, 1, 0.25)
    assert threshold.certain_rate == pytest.approx(1 - 0.05 ** (1 / 3))
    assert threshold.promise() == (
        "flags about 1 in 4 normal images (25.00%), with 95% certainty at most 64%; from 3 out-of-sample normal scores"
    )


@pytest.mark.parametrize(
    ("count", "rank", "expected"),
    [
        (
            1,
            1,
            "about 1 in 2 normal images (50.00%), with 95% certainty at most 95%; from 1 out-of-sample normal score",
        ),
        (4, 4, "about 80 of 100 normal images (80.00%), with 95% certainty at most 99%; from 4 out-of"),
        (320, 3, "about 1 in 107 normal images (0.93%), with 95% certainty at most 2.0%; from 320 out-of"),
        (19_999, 1, "about 1 in 20000 normal images (0.0050%), with 95% certainty at most 0.015%; from 19,999 out-of"),
    ],
)
def test_the_promise_in_words(count: int, rank: int, expected: str) -> None:
    threshold = threshold_from(np.arange(float(count)), ThresholdRule("expected", rank / (count + 1)))
    assert threshold.rank == rank
    found = threshold.promise()
    assert found.startswith(f"flags {expected}")
    assert found.endswith("score" if count == 1 else "scores")


@pytest.mark.parametrize(("count", "expected"), [(1, "50%"), (93, "1.1%"), (10_000, "0.01%"), (400_000, "0.00025%")])
def test_the_lowest_rate_that_scores_support(count: int, expected: str) -> None:
    assert ThresholdRule("expected", 1e-6).supported(count) == expected
    assert ThresholdRule("expected", parse_rate(expected)).rank(count) >= 1


def test_one_score_more_is_no_plural() -> None:
    with pytest.raises(PromiseError) as caught:
        ThresholdRule("expected", 0.01).rank(98)
    assert caught.value.hint == "add 1 more, or ask for 1.1%"


def test_without_scores_there_is_no_threshold() -> None:
    with pytest.raises(ValueError, match="at least one normal score"):
        threshold_from([], ThresholdRule())


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


def realised_rates(
    draw: Draw, exceed: Exceed, count: int, rule: ThresholdRule
) -> tuple[NDArray[np.float64], Threshold]:
    """The false-alarm rates of many thresholds on new normal data, and one threshold with what it promises."""
    rng = np.random.default_rng([count, round(1000 * rule.level)])
    printed = threshold_from(draw(rng, count), rule)
    # What is printed depends on rank and count alone; so many calls would spend their time on scipy's quantile.
    draws = np.sort(draw(rng, REPEATS * count).reshape(REPEATS, count), axis=1)
    values = draws[:, count - printed.rank]
    assert values[0] == threshold_from(draws[0], rule).value
    return exceed(values), printed


def error_of_mean(rates: NDArray[np.float64]) -> float:
    """Four standard errors of their mean."""
    return float(4 * rates.std() / len(rates) ** 0.5)


@pytest.mark.parametrize(
    ("count", "rule"),
    [
        (8, ThresholdRule()),
        (50, ThresholdRule(level=0.05)),
        (209, ThresholdRule()),
        (209, ThresholdRule(level=0.1)),
        (99, ThresholdRule("expected", 0.01)),
        (150, ThresholdRule("expected", 0.05)),
        (59, ThresholdRule("certain", 0.05)),
        (400, ThresholdRule("certain", 0.05)),
        (299, ThresholdRule("certain", 0.01)),
        (40, ThresholdRule("percentile", 0.25)),
        (300, ThresholdRule("percentile", 0.01)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_rule_keeps_what_it_prints(name: str, count: int, rule: ThresholdRule) -> None:
    rates, printed = realised_rates(*DISTRIBUTIONS[name], count, rule)
    assert CERTAINTY - SLACK <= np.mean(rates <= printed.certain_rate) <= CERTAINTY + SLACK
    assert rates.mean() == pytest.approx(printed.expected_rate, abs=error_of_mean(rates))


@pytest.mark.parametrize(("count", "level"), [(19, 0.05), (99, 0.01), (150, 0.05), (250, 0.01)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_false_alarms_are_on_average_no_more_than_asked_for(name: str, count: int, level: float) -> None:
    rates, _ = realised_rates(*DISTRIBUTIONS[name], count, ThresholdRule("expected", level))
    assert rates.mean() <= level + error_of_mean(rates)


@pytest.mark.parametrize(("count", "level"), [(59, 0.05), (100, 0.05), (400, 0.05), (299, 0.01)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_false_alarms_are_with_certainty_no_more_than_asked_for(name: str, count: int, level: float) -> None:
    rates, printed = realised_rates(*DISTRIBUTIONS[name], count, ThresholdRule("certain", level))
    assert printed.certain_rate <= level + 1e-9
    assert np.mean(rates <= level) >= CERTAINTY - SLACK


def test_an_average_that_is_kept_is_no_certainty() -> None:
    rates, _ = realised_rates(*DISTRIBUTIONS["normal"], 99, ThresholdRule("expected", 0.01))
    assert np.mean(rates <= 0.01) < 0.7


@pytest.mark.parametrize(
    "rule", [ThresholdRule(level=0.05), ThresholdRule("certain", 0.05), ThresholdRule("percentile", 0.1)], ids=str
)
@pytest.mark.parametrize("count", [60, 209])
def test_ties_only_make_it_safer(count: int, rule: ThresholdRule) -> None:
    def draw(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        return rng.poisson(3, size).astype(np.float64)

    rates, printed = realised_rates(draw, stats.poisson(3).sf, count, rule)
    assert np.mean(rates <= printed.certain_rate) >= CERTAINTY - SLACK
    assert rates.mean() <= printed.expected_rate + error_of_mean(rates)


# What breaks the promise. Each test holds the wrong way against the right one, on the same data.

FEWER = 400
FEWER_SLACK = 4 * (CERTAINTY * (1 - CERTAINTY) / FEWER) ** 0.5


def kept(thresholds: Sequence[Threshold], rates: Sequence[float]) -> float:
    """The share of thresholds whose false-alarm rate is at most the one that is printed as certain."""
    return float(np.mean([rate <= threshold.certain_rate for threshold, rate in zip(thresholds, rates, strict=True)]))


def share_above(sorted_scores: NDArray[np.float64], value: float) -> float:
    return 1 - float(np.searchsorted(sorted_scores, value, side="right")) / len(sorted_scores)


def test_scores_of_samples_that_were_learned_from_break_the_promise() -> None:
    """Distances from a Gaussian of ten features that was estimated from sixty samples, with and without themselves."""
    rule, features, count = ThresholdRule("expected", 0.05), 10, 60
    rng = np.random.default_rng(1)
    new = rng.standard_normal((2000, features))
    in_sample: list[Threshold] = []
    held_out: list[Threshold] = []
    rates: dict[str, list[float]] = {"in": [], "out": []}
    for _ in range(FEWER):
        learned, other = rng.standard_normal((2, count, features))
        centre, inverse = learned.mean(axis=0), np.linalg.inv(np.cov(learned.T))

        def score(
            samples: NDArray[np.float64], centre: NDArray[np.float64] = centre, inverse: NDArray[np.float64] = inverse
        ) -> NDArray[np.float64]:
            return np.einsum("ni,ij,nj->n", samples - centre, inverse, samples - centre)

        scores = np.sort(score(new))
        in_sample.append(threshold_from(score(learned), rule))
        held_out.append(threshold_from(score(other), rule))
        rates["in"].append(share_above(scores, in_sample[-1].value))
        rates["out"].append(share_above(scores, held_out[-1].value))
    assert kept(in_sample, rates["in"]) < 0.1
    assert np.mean(rates["in"]) > 3 * 0.05
    assert kept(held_out, rates["out"]) >= CERTAINTY - FEWER_SLACK
    assert np.mean(rates["out"]) <= 0.05 + error_of_mean(np.array(rates["out"]))


def test_augmented_copies_counted_as_samples_break_the_promise() -> None:
    """Sixty normals, and each of them ten times with a slight jitter: six hundred scores are no more evidence."""
    rule, rng = ThresholdRule(level=0.01), np.random.default_rng(2)
    once: list[Threshold] = []
    copied: list[Threshold] = []
    for _ in range(FEWER):
        normals = rng.standard_normal(60)
        once.append(threshold_from(normals, rule))
        copied.append(threshold_from(np.repeat(normals, 10) + 0.01 * rng.standard_normal(600), rule))
    assert copied[0].count == 600
    rates = {name: stats.norm.sf([one.value for one in found]) for name, found in (("1", once), ("10", copied))}
    assert kept(copied, rates["10"]) < 0.8
    assert rates["10"].mean() > 1.4 * copied[0].expected_rate
    assert kept(once, rates["1"]) >= CERTAINTY - FEWER_SLACK


def test_frames_of_few_clips_break_the_promise_and_the_clips_highest_scores_keep_it() -> None:
    """Thirty clips of forty frames; a clip's frames differ far less than clips do."""
    count, frames, rule, rng = 30, 40, ThresholdRule(level=0.05), np.random.default_rng(3)

    def draw(clips: int) -> NDArray[np.float64]:
        return rng.standard_normal((clips, 1)) + 0.1 * rng.standard_normal((clips, frames))

    new = draw(20_000)
    new_frames, new_clips = np.sort(new.ravel()), np.sort(new.max(axis=1))
    names = [f"clip {number}" for number in range(count) for _ in range(frames)]
    of_frames: list[Threshold] = []
    of_clips: list[Threshold] = []
    for _ in range(FEWER):
        scores = draw(count).ravel()
        of_frames.append(threshold_from(scores, rule))
        highest, unit = unit_scores(scores, names)
        of_clips.append(threshold_from(highest, rule, unit))
    assert of_clips[0].count == count
    assert of_clips[0].unit == "clip"
    assert kept(of_frames, [share_above(new_frames, one.value) for one in of_frames]) < 0.75
    clip_rates = [share_above(new_clips, one.value) for one in of_clips]
    assert kept(of_clips, clip_rates) >= CERTAINTY - FEWER_SLACK
    assert np.mean(clip_rates) <= of_clips[0].expected_rate + error_of_mean(np.array(clip_rates))


# Rules.


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        (ThresholdRule("expected", 0.01), 99),
        (ThresholdRule("expected", 0.05), 19),
        (ThresholdRule("expected", 0.001), 999),
        (ThresholdRule("expected", 0.5), 1),
        (ThresholdRule("certain", 0.01), 299),
        (ThresholdRule("certain", 0.05), 59),
        (ThresholdRule("certain", 0.95), 1),
        (ThresholdRule("percentile", 0.01), 1),
        (ThresholdRule(), 1),
    ],
    ids=str,
)
def test_a_rule_is_refused_for_one_score_less_than_it_needs(rule: ThresholdRule, needed: int) -> None:
    assert rule.scores_needed == needed
    assert rule.rank(needed) == 1
    if rule.kind in ("expected", "certain"):
        with pytest.raises(PromiseError):
            rule.rank(needed - 1)


def test_the_usual_rule_wants_what_one_percent_on_average_needs() -> None:
    assert ThresholdRule().scores_wanted == 99
    assert ThresholdRule("certain", 0.05).scores_wanted == 59


LEVELS = st.floats(1e-4, 0.999) | st.sampled_from([0.01, 0.05, 0.1, 0.5, 0.002])
COUNTS = st.integers(1, 600)


@UNHURRIED
@given(COUNTS, LEVELS)
def test_the_expected_rule_takes_the_greatest_rank_that_keeps_the_rate_on_average(count: int, level: float) -> None:
    rates = np.arange(1, count + 1) / (count + 1)
    assume(np.abs(rates - level).min() > 1e-12)  # exactly there, rounding decides; a test above asks for those
    possible = np.flatnonzero(rates <= level) + 1
    if len(possible):
        assert ThresholdRule("expected", level).rank(count) == possible[-1]
        assert ThresholdRule("usual", level).rank(count) == possible[-1]
    else:
        with pytest.raises(PromiseError):
            ThresholdRule("expected", level).rank(count)
        assert ThresholdRule("usual", level).rank(count) == 1


@UNHURRIED
@given(COUNTS, LEVELS)
def test_the_certain_rule_takes_the_greatest_rank_that_keeps_the_rate_with_certainty(count: int, level: float) -> None:
    ranks = np.arange(1, count + 1)
    rates = stats.beta.ppf(CERTAINTY, ranks, count + 1 - ranks)
    assume(np.abs(rates - level).min() > 1e-8)
    possible = ranks[rates <= level]
    if len(possible):
        assert ThresholdRule("certain", level).rank(count) == possible[-1]
    else:
        with pytest.raises(PromiseError):
            ThresholdRule("certain", level).rank(count)


@UNHURRIED
@given(SCORES, st.integers(0, 9999))
def test_the_percentile_rule_is_numpys_next_higher_score(normals: list[float], hundredths: int) -> None:
    percentile = 100 - hundredths / 100  # above 0, at most 100
    share = Fraction(10_000 - hundredths, 10_000)
    value = threshold_from(normals, ThresholdRule("percentile", 1 - percentile / 100)).value
    assert value == sorted(normals)[math.ceil(share * (len(normals) - 1))]
    if (share * (len(normals) - 1)).denominator > 1:  # else numpy's own rounding decides
        assert value == np.quantile(normals, percentile / 100, method="higher")


@UNHURRIED
@given(
    COUNTS,
    st.sampled_from(
        [
            ThresholdRule(),
            ThresholdRule("usual", 1e-6),
            ThresholdRule("percentile", 0.0),
            ThresholdRule("percentile", 0.999),
        ]
    ),
)
def test_the_usual_rule_and_percentiles_never_refuse(count: int, rule: ThresholdRule) -> None:
    assert 1 <= rule.rank(count) <= count


@UNHURRIED
@given(st.integers(1, 2000) | st.integers(1, 900_000), st.sampled_from(["expected", "certain"]))
def test_the_rate_that_a_refusal_offers_is_accepted(count: int, kind: Literal["expected", "certain"]) -> None:
    rule = ThresholdRule(kind, 1e-6)
    with pytest.raises(PromiseError) as caught:
        rule.rank(count)
    offered = caught.value.hint.rpartition(" ")[2]
    assert offered == rule.supported(count)
    rate = parse_rate(offered)
    assert ThresholdRule(kind, rate).rank(count) >= 1
    # And there is none below it, but for rounding up to two significant digits.
    lowest = 1 / (count + 1) if kind == "expected" else 1 - (1 - CERTAINTY) ** (1 / count)
    assert lowest - 1e-9 <= rate <= 1.1 * lowest + 1e-9


def test_a_refusal_names_what_is_needed_and_what_there_is() -> None:
    with pytest.raises(PromiseError) as caught:
        ThresholdRule("expected", 0.01).rank(93)
    assert caught.value.message == (
        "a promise of at most 1% false alarms on average needs at least 99 normal samples; there are 93"
    )
    assert caught.value.hint == "add 6 more, or ask for 1.1%"
    with pytest.raises(PromiseError, match="with 95% certainty needs at least 299 normal samples; there are 59") as why:
        threshold_from(np.arange(59), ThresholdRule("certain", 0.01))
    assert why.value.hint == "add 240 more, or ask for 5%"


def test_a_refusal_says_how_much_video_is_missing() -> None:
    with pytest.raises(
        PromiseError, match=r"needs at least 49 normal clips of 12 s \(9.8 min\); there are 24"
    ) as caught:
        parse_rule("6/h").in_units(12.0).rank(24)
    assert caught.value.hint == "add 5 min more, or ask for 4%, one in 5 min"


@pytest.mark.parametrize("level", [0.0, 1.0, -0.01, 1.5, math.nan, math.inf, 1e-320])
@pytest.mark.parametrize("kind", ["usual", "expected", "certain"])
def test_a_rule_of_an_impossible_rate_cannot_be_made(
    kind: Literal["usual", "expected", "certain"], level: float
) -> None:
    with pytest.raises(PromiseError, match=f"a false-alarm rate of {level:.6g} was asked for"):
        ThresholdRule(kind, level)


@pytest.mark.parametrize("level", [1.0, -0.01, math.nan])
def test_a_percentile_beyond_the_scores_cannot_be_made(level: float) -> None:
    with pytest.raises(PromiseError, match="was asked for"):
        ThresholdRule("percentile", level)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (ThresholdRule(), "at most 1% false alarms on average"),
        (ThresholdRule("expected", 0.005), "at most 0.5% false alarms on average"),
        (ThresholdRule("certain", 0.05), "at most 5% false alarms with 95% certainty"),
        (ThresholdRule("percentile", 1 - 0.975), "percentile 97.5 of the normal scores"),
    ],
)
def test_a_rule_says_what_it_is(rule: ThresholdRule, words: str) -> None:
    assert str(rule) == words


# Rates as people write them.


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1%", 0.01), ("0.5 %", 0.005), ("0.005", 0.005), (" 5% ", 0.05), ("1e-3", 0.001), ("99.9%", 0.999)],
)
def test_a_rate_is_a_percentage_or_a_share(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["0", "0%", "100%", "1", "250%", "-1%", "-0.01", "nan", "nan%", "inf", "1e-320", "1e400"]
)
def test_a_rate_outside_of_0_to_100_percent_is_refused_by_name(text: str) -> None:
    with pytest.raises(PromiseError) as caught:
        parse_rate(text)
    assert caught.value.message.startswith(f"a rate of {text} was asked for")
    assert "%" in caught.value.hint


@pytest.mark.parametrize(("text", "meant"), [("1", "1%"), ("5", "5%"), ("2.5", "2.5%")])
def test_a_number_that_was_meant_as_percent_gets_that_hint(text: str, meant: str) -> None:
    with pytest.raises(PromiseError) as caught:
        parse_rate(text)
    assert caught.value.hint == f"write {meant} if you mean percent"
    assert parse_rate(meant) == pytest.approx(float(text) / 100)


@pytest.mark.parametrize("text", ["one", "", "%", "1%%", "1 percent", "1/100", "0,5%"])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(PromiseError, match="is not a rate") as caught:
        parse_rate(text)
    assert repr(text) in caught.value.message


@UNHURRIED
@given(st.floats(1e-6, 0.999))
def test_both_ways_to_write_a_rate_mean_the_same(rate: float) -> None:
    assert parse_rate(repr(rate)) == rate
    assert parse_rate(f"{100 * rate!r}%") == pytest.approx(rate, rel=1e-12)


# Units.


@UNHURRIED
@given(st.lists(st.tuples(FINITE, st.sampled_from("abcdef")), max_size=40))
def test_a_clips_score_is_its_highest_wherever_its_frames_stand(frames: list[tuple[float, str]]) -> None:
    clips = [clip for _, clip in frames]
    scores, unit = unit_scores([score for score, _ in frames], clips)
    expected = {clip: max(score for score, name in frames if name == clip) for clip in clips}
    assert scores.tolist() == list(expected.values())
    assert unit == ("image" if len(set(clips)) == len(clips) else "clip")


def test_interleaved_clips_keep_the_order_in_which_they_begin() -> None:
    scores, unit = unit_scores([1.0, 5.0, 3.0, 4.0, -2.0], ["b", "a", "b", "a", "c"])
    assert scores.tolist() == [3.0, 5.0, -2.0]
    assert unit == "clip"


def test_stills_are_units_as_they_are() -> None:
    scores, unit = unit_scores(np.array([2.0, 1.0, 2.0], np.float32), ["x", "y", "z"])
    assert scores.tolist() == [2.0, 1.0, 2.0]
    assert scores.dtype == np.float64
    assert unit == "image"


def test_the_promise_names_the_unit() -> None:
    assert "normal clips (50.00%), with" in threshold_from([1.0], ThresholdRule(), "clip").promise()


# Hours of video.


def test_a_clip_lasts_until_its_last_frame_ends() -> None:
    # Two frames a second for two seconds; four a second for one; a single frame lasts no time, and is a clip as well.
    clips = ["a"] * 4 + ["b"] * 4 + ["c"]
    times_s = [0, 0.5, 1, 1.5, 10, 10.25, 10.5, 10.75, 0]
    assert mean_length_s(clips, times_s) == pytest.approx((2 + 1 + 0) / 3)
    assert mean_length_s(clips, times_s, {"a": 1.75}) == pytest.approx((1.75 + 1 + 0) / 3)


@pytest.mark.parametrize(
    ("clips", "times_s"),
    [("ab", [0, 0]), ("aabb", [0, 1, None, None]), ("aabb", [3, 3, 4, 4]), ("", [])],
    ids=["stills", "frames without times", "times that stand still", "nothing"],
)
def test_how_long_clips_last_may_be_unknown(clips: str, times_s: list[float | None]) -> None:
    assert mean_length_s(list(clips), times_s) is None


def test_the_promise_of_clips_is_told_in_time() -> None:
    threshold = threshold_from(np.arange(49.0), ThresholdRule(), "clip", 12.0)
    assert threshold.alarm_every_s == pytest.approx(600)
    assert "flags about 1 in 50 normal clips of 12 s (2.00%), one in 10 min, with" in threshold.promise()
    assert threshold_from(np.arange(49.0), ThresholdRule()).alarm_every_s is None


def test_an_hourly_rate_is_a_share_of_clips() -> None:
    rule = parse_rule("6/h")
    assert rule == ThresholdRule("expected", 6, hourly=True)
    assert rule.in_units(12.0) == ThresholdRule("expected", 0.02)
    assert rule.in_units(12.0).rank(49) == 1
    assert parse_rule(" 0.5 / hour ", certain=True) == ThresholdRule("certain", 0.5, hourly=True)
    assert str(rule) == "at most 6 false alarms an hour on average"
    assert parse_rule("1%") == ThresholdRule("expected", 0.01)
    assert ThresholdRule("certain", 0.05).in_units(None) == ThresholdRule("certain", 0.05)


def test_an_hourly_rate_of_still_images_is_refused() -> None:
    with pytest.raises(PromiseError, match="how long these last is not known: they are still images"):
        parse_rule("6/h").in_units(None)


def test_more_than_one_false_alarm_in_each_clip_is_refused() -> None:
    with pytest.raises(PromiseError, match="300/h is at least one false alarm in each clip, which last 12 s"):
        parse_rule("300/h").in_units(12.0)


@pytest.mark.parametrize("text", ["6/min", "x/h", "/h", "6/", "nan/h"])
def test_what_is_no_hourly_rate_is_refused(text: str) -> None:
    with pytest.raises(PromiseError, match="is not a rate") as caught:
        parse_rule(text)
    assert "6/h" in caught.value.hint


@pytest.mark.parametrize("text", ["0/h", "-1/h", "inf/h"])
def test_no_false_alarm_in_any_hour_cannot_be_promised(text: str) -> None:
    with pytest.raises(PromiseError, match="false alarms an hour were asked for"):
        parse_rule(text)


def test_an_hourly_rule_must_be_turned_into_a_share_first() -> None:
    with pytest.raises(ValueError, match="how long clips last"):
        parse_rule("6/h").rank(99)


@pytest.mark.parametrize(
    ("rule", "count", "expected"),
    [
        (ThresholdRule(), 209, "the promised 1%"),
        (ThresholdRule(), 60, "the promised 1.64%"),  # as few as they support
        (ThresholdRule("expected", 0.005), 209, "the promised 0.5%"),
        (ThresholdRule("certain", 0.05), 209, "the promised 5% (95% certain)"),
        (ThresholdRule("expected", 6, hourly=True), 209, "the promised 6 false alarms an hour"),
        (ThresholdRule("percentile", 0.25), 209, "percentile 75 of the normal scores"),
    ],
)
def test_what_is_promised_in_words(rule: ThresholdRule, count: int, expected: str) -> None:
    assert rule.at(threshold_from(range(count), rule, "clip", 12.0)) == expected
