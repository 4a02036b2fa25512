"""Events from scores: what starts, ends, joins and drops them, and that a pass tells what the whole would."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.drawing.regions import Region
from adkit.watching.events import Event, EventFinder, EventRules, Moment, release_level

STEP_S = 0.125  # no sum of such times is rounded
RULES = EventRules(threshold=1.0, release=0.5, min_duration_s=0.25, merge_gap_s=0.375)
PLAIN = replace(RULES, min_duration_s=0, merge_gap_s=0)

SCORES = st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.2, 2.0]), min_size=2, max_size=60)
TIMES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])
ANY_RULES = st.builds(EventRules, st.just(1.0), st.sampled_from([0.4, 0.7, 1.0]), TIMES, TIMES)


def moments(scores: list[float]) -> list[Moment]:
    return [Moment(number, number * STEP_S, score) for number, score in enumerate(scores)]


def events_of(frames: list[Moment], rules: EventRules) -> list[Event]:
    """The events of a clip of these frames."""
    finder = EventFinder(rules)
    for moment in frames:
        finder.add(moment)
    finder.finish()
    return finder.take_finished()


def found(scores: list[float], rules: EventRules = RULES) -> list[Event]:
    return events_of(moments(scores), rules)


def spans(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.start_frame, event.end_frame) for event in events]


def told(scores: list[float], rules: EventRules) -> tuple[list[int], list[int | None]]:
    """The frames in the order in which they were settled, and the event of each."""
    finder = EventFinder(rules)
    settled = [one for moment in moments(scores) for one in finder.add(moment)] + finder.finish()
    return [moment.frame for moment, _ in settled], [number for _, number in settled]


def by_looking_back(scores: list[float], rules: EventRules) -> list[tuple[int, int]]:
    """The same from the whole: runs by hysteresis, then joined, then dropped."""
    runs: list[list[int]] = []
    inside = False
    for number, score in enumerate(scores):
        if not inside and score > rules.threshold:
            runs.append([number, number])
            inside = True
        elif inside and score >= rules.release:
            runs[-1][1] = number
        else:
            inside = False
    joined: list[list[int]] = []
    for run in runs:
        if joined and run[0] * STEP_S - (joined[-1][1] + 1) * STEP_S < rules.merge_gap_s:
            joined[-1][1] = run[1]
        else:
            joined.append(run)
    return [(first, last) for first, last in joined if (last + 1) * STEP_S - first * STEP_S >= rules.min_duration_s]


def test_a_score_that_wavers_about_the_threshold_is_one_event() -> None:
    (event,) = found([0, 1.2, 0.8, 1.1, 0.6, 1.3, 0.2, 0], PLAIN)
    assert (event.start_frame, event.end_frame) == (1, 5)
    assert (event.start_s, event.end_s) == pytest.approx((0.125, 0.75))
    assert (event.peak, event.peak_frame, event.peak_s) == (1.3, 5, 0.625)
    assert event.mean == pytest.approx(np.mean([1.2, 0.8, 1.1, 0.6, 1.3]))
    assert event.duration_s == pytest.approx(0.625)


def test_a_score_at_the_threshold_starts_nothing_and_one_at_the_release_level_ends_nothing() -> None:
    assert found([1.0, 1.0], PLAIN) == []
    assert spans(found([1.1, 0.5, 0.49], PLAIN)) == [(0, 1)]


def test_events_close_together_are_joined_with_what_lies_between() -> None:
    scores = [0.0, 2, 2, 0, 0, 2, 2, 0, 0, 0, 2, 2, 0]
    assert spans(found(scores)) == [(1, 6), (10, 11)]
    assert found(scores)[0].mean == pytest.approx(8 / 6)
    assert [event.number for event in found(scores)] == [1, 2]


def test_what_is_short_is_dropped_unless_it_is_joined_to_something() -> None:
    assert found([0, 2, 0, 0, 0, 0]) == []
    assert spans(found([0, 2, 0, 2, 0, 0, 0])) == [(1, 3)]


def test_an_event_at_the_clips_end_lasts_as_long_as_its_last_frame() -> None:
    (event,) = found([0, 0, 2, 2])
    assert event.end_s == pytest.approx(0.5)


def test_the_region_is_that_of_the_peak() -> None:
    here, there = (Region(left, 5, 1, 1, 1, 0.01, 2.0, 2.0, "centre") for left in (0, 5))
    frames = [Moment(0, 0, 2, here), Moment(1, 0.2, 3, there), Moment(2, 0.3, 2, here), Moment(3, 0.4, 0)]
    (event,) = events_of(frames, RULES)
    assert event.region == there


def test_an_event_under_way_is_told_once_it_is_long_enough() -> None:
    finder = EventFinder(RULES)
    seen = []
    for moment in moments([0, 2, 2, 2, 0, 0, 0, 0]):
        finder.add(moment)
        seen.append(finder.under_way)
    assert [event and event.number for event in seen] == [None, None, None, 1, 1, 1, 1, None]
    assert seen[3] is not None
    assert seen[3].start_frame == 1


def test_numbers_go_on_after_an_interruption_which_ends_what_is_open() -> None:
    finder = EventFinder(RULES)
    for moment in moments([2, 2, 2]):
        finder.add(moment)
    finder.finish()
    for moment in moments([2, 2, 2]):
        finder.add(replace(moment, frame=moment.frame + 3, time_s=moment.time_s + 9))
    finder.finish()
    events = finder.take_finished()
    assert [(event.number, event.start_frame, event.end_frame) for event in events] == [(1, 0, 2), (2, 3, 5)]


@given(SCORES, ANY_RULES)
def test_one_pass_finds_what_looking_back_finds(scores: list[float], rules: EventRules) -> None:
    assert spans(found(scores, rules)) == by_looking_back(scores, rules)


@given(SCORES, ANY_RULES)
def test_events_are_in_order_apart_and_long_enough(scores: list[float], rules: EventRules) -> None:
    events = found(scores, rules)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert event.duration_s >= rules.min_duration_s
        inside = scores[event.start_frame : event.end_frame + 1]
        assert event.peak == max(inside) > rules.threshold
        assert event.mean == pytest.approx(np.mean(inside))
    for earlier, later in pairwise(events):
        assert earlier.end_frame < later.start_frame
        assert later.start_s - earlier.end_s >= rules.merge_gap_s


@given(SCORES, ANY_RULES)
def test_every_frame_is_settled_once_in_order_with_its_event(scores: list[float], rules: EventRules) -> None:
    frames, numbers = told(scores, rules)
    assert frames == list(range(len(scores)))
    expected: list[int | None] = [None] * len(scores)
    for event in found(scores, rules):
        expected[event.start_frame : event.end_frame + 1] = [event.number] * (event.end_frame + 1 - event.start_frame)
    assert numbers == expected


@given(SCORES, ANY_RULES)
def test_no_frame_waits_longer_than_the_rules_times(scores: list[float], rules: EventRules) -> None:
    finder, settled = EventFinder(rules), 0
    for moment in moments(scores):
        settled += len(finder.add(moment))
        waiting_s = (moment.frame - settled) * STEP_S
        assert waiting_s <= rules.min_duration_s + rules.merge_gap_s + STEP_S


def test_the_release_level_is_half_way_to_the_usual_score_but_above_most_normal_frames() -> None:
    assert release_level(2.0, [1.0] * 100) == pytest.approx(1.5)
    wide = [1.0] * 80 + [1.8] * 20
    assert release_level(2.0, wide) == pytest.approx(1.8)
    assert release_level(2.0, [3.0] * 10) == 2.0


def test_rules_that_contradict_themselves_are_no_rules() -> None:
    with pytest.raises(ValueError, match="not rules"):
        EventRules(1.0, 1.5)
