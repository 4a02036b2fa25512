"""Clips at a threshold: rows, events and what the promise counts, on results made by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from adkit.evaluation.split_results import SplitResults, alarms_at, split_results
from adkit.stats.significance import proportion_interval
from adkit.types import LabelledResults

THRESHOLD = 0.5
NORMAL = np.linspace(0.0, 0.2, 50)
Clips = Mapping[str, tuple[list[float], str]]

CLIPS: Clips = {
    "calm": ([0.1] * 6, "......"),
    "false": ([0.1, 0.7, 0.7, 0.1, 0.1, 0.1], "......"),
    "both": ([0.1, 0.9, 0.8, 0.1, 0.3, 0.1], ".ss.j."),
}


def results_of(clips: Clips, step_s: float = 1.0) -> LabelledResults:
    scores = np.array([score for values, _ in clips.values() for score in values])
    letters = "".join(frames for _, frames in clips.values())
    names = tuple(name for name, (values, _) in clips.items() for _ in values)
    times_s = np.array([step_s * second for values, _ in clips.values() for second in range(len(values))])
    return LabelledResults(
        scores=scores,
        anomalous=np.array([letter != "." for letter in letters]),
        kinds=tuple("good" if letter == "." else letter for letter in letters),
        threshold=THRESHOLD,
        pixel_threshold=None,
        maps=None,
        has_masks=False,
        pixels=lambda: iter(()),
        clips=names,
        times_s=times_s,
        alarms=alarms_at(THRESHOLD, NORMAL, names, times_s, scores),
    )


def outcomes_of(clips: Clips, segment_s: float | None = None) -> SplitResults:
    return split_results(results_of(clips), segment_s, {"both": 0.9})


def test_each_clip_has_a_row() -> None:
    calm, false, both = outcomes_of(CLIPS).rows
    assert (calm.frames, calm.events, calm.false_alarms, calm.called_anomalous, calm.auroc) == (6, 0, 0, False, None)
    assert (false.false_alarms, false.highest_score, false.highest_s, false.called_anomalous) == (1, 0.7, 1.0, True)
    assert (both.anomalous_frames, both.events, both.events_caught, both.false_alarms, both.auroc) == (3, 2, 1, 0, 0.9)


def test_outcomes_are_of_normal_clips_and_of_events() -> None:
    clips = outcomes_of(CLIPS)
    found = clips.rates
    assert (found.false_alarms.count, found.false_alarms.total) == (1, 2)
    assert (found.caught.count, found.caught.total) == (1, 2)
    assert found.mean_anomalous == pytest.approx((0.9 + 0.8 + 0.3) / 3)
    assert [(event.kind, event.peak, event.name) for event in clips.missed] == [("j", 16, "both 0:04.0")]
    assert [(part.name, part.peak) for part in clips.false] == [("false 0:01.0", 7)]
    assert clips.unit.name == "clip"
    document = clips.as_json()
    assert [row["caught"] for row in document["events"]] == [True, False]


def test_a_still_is_a_clip_of_one_frame() -> None:
    stills = outcomes_of({"a": ([0.9], "s"), "b": ([0.1], "s"), "c": ([0.7], "."), "d": ([0.1], ".")}, segment_s=5.0)
    assert [stills.verdict(position) for position in range(4)] == ["caught", "missed defect", "false alarm", "passed"]
    assert (stills.wrong, stills.telling) == ([1, 2], [0, 1, 2, 3])
    assert (stills.rates.caught.count, stills.rates.false_alarms.count) == (1, 1)
    assert len(stills.rates.oracle_passing) == 2
    assert (stills.unit.name, stills.rows, stills.as_json()) == ("image", [], None)


def test_where_clips_are_all_alike_the_interval_of_what_is_caught_counts_them_not_their_events() -> None:
    both, missed = CLIPS["both"], ([0.1] * 6, ".s.s..")
    assert outcomes_of({"one": both, "other": both}).rates.caught.interval is None
    assert "50.0%; too few clips for an interval" in outcomes_of({"one": both}).rates.caught.in_percent()
    caught = outcomes_of({"none": missed, "neither": missed, **{"calm": CLIPS["calm"]}}).rates.caught
    assert (caught.count, caught.total, caught.interval) == (0, 4, proportion_interval(0, 2))
    assert outcomes_of({"all": ([0.9] * 6, ".s.s..")}).rates.caught.interval == proportion_interval(1, 1)
    assert outcomes_of({"calm": CLIPS["calm"]}).rates.caught.interval is None


def test_where_the_promise_counts_pieces_normal_pieces_of_all_clips_are_counted() -> None:
    # Three pieces of two frames in each clip; every piece of "both" has an event in it.
    clips = outcomes_of({**CLIPS, "end": ([0.1] * 6, "....ss")}, segment_s=1.6)
    assert clips.unit.name == "1.6 s piece"
    assert [part.name for part in clips.normal] == [
        "calm 0:00.0",
        "calm 0:02.0",
        "calm 0:04.0",
        "false 0:00.0",
        "false 0:02.0",
        "false 0:04.0",
        "end 0:00.0",
        "end 0:02.0",
    ]
    assert sum(part.score > THRESHOLD for part in clips.normal) == 2


def test_a_clip_shorter_than_a_piece_is_one() -> None:
    assert [part.name for part in outcomes_of(CLIPS, segment_s=60.0).normal] == ["calm", "false"]


def test_found_events_are_those_of_score() -> None:
    # From above the threshold until below the release level, half-way to the usual score; the short one is dropped.
    scores = np.array([0.1, 0.6, 0.4, 0.4, 0.1, 0.1, 0.1, 0.6, 0.1, 0.1])
    clips, times_s = ("a",) * 10, np.arange(10) / 10
    found = alarms_at(THRESHOLD, NORMAL, clips, times_s, scores)
    assert np.flatnonzero(found).tolist() == [1, 2, 3, 4, 5, 6, 7]  # joined over less than a second
    assert not alarms_at(THRESHOLD, NORMAL, clips[:4], times_s[:4], np.array([0.1, 0.6, 0.1, 0.1])).any()


def test_an_event_ends_with_its_clip() -> None:
    scores = np.array([0.1, 0.9, 0.9, 0.3, 0.1, 0.9])
    found = alarms_at(THRESHOLD, NORMAL, ("a",) * 3 + ("b",) * 3, np.array([0, 1, 2, 0, 1, 2.0]), scores)
    assert found.tolist() == [False, True, True, False, False, True]


def test_no_frames_raise_no_alarm() -> None:
    assert len(alarms_at(THRESHOLD, NORMAL, (), np.empty(0), np.empty(0))) == 0
