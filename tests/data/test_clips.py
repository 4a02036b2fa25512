from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.data.clips import (
    MOST_FRAMES,
    STEP_S,
    are_stills,
    at_steps,
    cut,
    cut_into,
    ends_s,
    frame_gap_s,
    spacing,
    with_events_between,
)
from adkit.stats.calibration import mean_length_s
from adkit.types import FrameRef, Sample


def clip(name: str, frames: int, rate: float = 10.0) -> list[Sample]:
    path = Path(f"{name}.mp4")
    return [
        Sample(f"{name}/{number}", FrameRef(path, number), name, number, timestamp_s=number / rate)
        for number in range(frames)
    ]


def lengths(samples: list[Sample]) -> dict[str, int]:
    found: dict[str, int] = {}
    for sample in samples:
        found[sample.clip] = found.get(sample.clip, 0) + 1
    return found


def test_stills_are_clips_of_their_own() -> None:
    assert are_stills([Sample.still("a", Path("a.png")), Sample.still("b", Path("b.png"))])
    assert not are_stills(clip("a", 2))


def test_one_in_so_many_frames_of_each_clip_is_taken() -> None:
    found = at_steps([*clip("a", 7), *clip("b", 4)], 0.3)
    assert [sample.id for sample in found] == ["a/0", "a/3", "a/6", "b/0", "b/3"]


@given(st.integers(1, 5 * MOST_FRAMES))
def test_methods_of_single_frames_learn_from_so_many_at_most(frames: int) -> None:
    samples = [Sample("x", FrameRef(Path("a")), "a")] * frames
    assert frames / spacing(samples, temporal=False) <= MOST_FRAMES
    assert spacing(samples, temporal=True) == 1


@pytest.mark.parametrize(("rate", "every"), [(10, 1), (25, 3), (50, 6)])
def test_frames_are_taken_as_far_apart_at_any_rate(rate: float, every: int) -> None:
    samples = [*clip("a", 4 * int(rate), rate), *clip("b", 4 * int(rate), rate)]
    assert spacing(samples, temporal=False) == every
    assert at_steps(samples, STEP_S) == [sample for sample in samples if sample.index % every == 0]
    mixed = at_steps([*clip("a", 100, rate), *clip("b", 100, 2 * rate)], every / rate)
    assert [sum(one.clip == name for one in mixed) for name in "ab"] == [-(-100 // every), -(-100 // (2 * every))]
    assert at_steps(samples, 0) == samples


@pytest.mark.parametrize(
    ("truth", "found", "between"),
    [
        ("..ss.....", "s..", 1),  # between the first two: the one before stands for it
        ("...sss...", ".s.", 0),
        ("ss.s....s", "s.s", 1),  # the one before is of an event itself
        (".s.s.....", "s..", 2),
        ("ss..s....", "ss.", 1),  # no frame between the two is judged
        (".s..ss...", "ss.", 2),
        ("ss..s...s", "sss", 2),
        (".........", "...", 0),
    ],
)
def test_an_event_between_two_frames_that_are_taken_is_one_of_the_frame_before(
    truth: str, found: str, between: int
) -> None:
    samples = [
        replace(one, anomalous=letter != ".", kind=letter) for one, letter in zip(clip("a", 9), truth, strict=True)
    ]
    taken, count = with_events_between([*samples, *clip("b", 4)], at_steps([*samples, *clip("b", 4)], 0.4))
    assert count == between
    assert [one.index for one in taken] == [0, 4, 8, 0, 3]
    assert ["s" if one.anomalous else "." for one in taken] == [*found, ".", "."]
    assert all((one.kind == "s") == bool(one.anomalous) for one in taken)


def test_a_clip_ends_when_its_last_frame_has_been_shown_as_long_as_the_one_before() -> None:
    assert ends_s([*clip("a", 5), *clip("b", 1), *clip("c", 2, 4.0)]) == {"a": pytest.approx(0.5), "b": 0, "c": 0.5}


def test_one_long_video_is_cut_into_twenty_pieces() -> None:
    found, segment_s = cut(clip("a", 1200))  # two minutes
    assert segment_s == 5.0  # of six seconds the last is left out
    assert len(lengths(found)) == 20
    assert next(iter(lengths(found))) == "a 0:00.0"
    pieces = [[one.time_s for one in found if one.clip == name] for name in lengths(found)]
    gaps_s = [later[0] - piece[-1] for piece, later in pairwise(pieces)]
    assert gaps_s == [pytest.approx(1.1)] * 19  # the last frame is shown for 0.1 s
    assert [piece[-1] - piece[0] for piece in pieces[:-1]] == [pytest.approx(4.9)] * 19


@pytest.mark.parametrize(("rate", "step_s"), [(10, 0.1), (25, 0.04), (25, 0.12), (30, 0.13)])
def test_further_clips_are_cut_into_pieces_as_long_without_gaps(rate: float, step_s: float) -> None:
    found, segment_s = cut(at_steps(clip("a", 120 * int(rate), rate), step_s))
    assert segment_s is not None
    further = at_steps(clip("b", 60 * int(rate), rate), step_s)
    again = cut_into(further, segment_s)
    assert [one.id for one in again] == [one.id for one in further]
    own, new = (mean_length_s([one.clip for one in some], [one.time_s for one in some]) for some in (found, again))
    assert new == pytest.approx(own, rel=0.05)


@pytest.mark.parametrize(("frames", "pieces"), [(101, 10), (15, 1), (36001, 180)])
def test_a_piece_has_between_one_and_twenty_seconds(frames: int, pieces: int) -> None:
    assert len(lengths(cut(clip("a", frames))[0])) == pieces


def test_many_clips_are_left_as_they_are() -> None:
    samples = [sample for number in range(20) for sample in clip(f"{number:02d}", 600)]
    assert cut(samples) == (samples, None)


def test_short_clips_beside_a_long_one_stay_whole() -> None:
    found, _ = cut([*clip("long", 600), *clip("short", 5)])
    assert lengths(found)["short"] == 5
    assert len(lengths(found)) > 10


def test_stills_are_never_cut() -> None:
    samples = [Sample.still(str(number), Path(f"{number}.png")) for number in range(5)]
    assert cut(samples) == (samples, None)


@pytest.mark.parametrize("every", [100, 60, 1000])
def test_clips_stay_clips_however_few_frames_are_taken(every: int) -> None:
    samples = [*clip("a", 60), *clip("b", 50)]
    found = at_steps(samples, every * frame_gap_s(samples))
    assert [(one.clip, one.index) for one in found] == [("a", 0), ("a", 59), ("b", 0), ("b", 49)]
    assert not are_stills(found)
    assert at_steps(found, 0.1) == found


@pytest.mark.parametrize("every", [1, 10, 25, 60])
def test_pieces_hold_two_frames_at_least(every: int) -> None:
    """A piece of a single frame would count as an image."""
    pieces, segment_s = cut(at_steps(clip("a", 600), every / 10))
    assert min(lengths(pieces).values()) >= 2
    assert segment_s is not None
