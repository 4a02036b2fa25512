from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adkit.data.images import is_drawn_by_adkit
from adkit.data.spans import Span
from adkit.watching.events import Event, EventRules
from adkit.watching.timeline import MOST_POINTS, Trace, write_timeline

RULES = EventRules(1.0, 0.5)


def event(number: int, start_s: float, end_s: float) -> Event:
    return Event(number, start_s, end_s, 0, 1, 2.0, start_s, 0, 1.5, None)


@given(st.integers(1, 5 * MOST_POINTS), st.integers(0, 10**6))
def test_a_trace_is_bounded_and_keeps_its_peak(count: int, seed: int) -> None:
    trace = Trace()
    peak = seed % count
    for number in range(count):
        trace.add(number / 25, 9.0 if number == peak else number % 7 / 7)
    assert len(trace.scores) == len(trace.times_s) <= MOST_POINTS
    assert trace.times_s[int(np.argmax(trace.scores))] == peak / 25
    assert trace.times_s == sorted(trace.times_s)


def picture(path: Path, **spans: list[Span]) -> np.ndarray:
    trace = Trace()
    for number in range(200):
        trace.add(number / 10, 2.0 if 50 <= number < 70 else 0.2)
    events = [event(1, 5.0, 7.0), event(2, 7.05, 7.1)]
    write_timeline(path, "a $clip$ of a_b 部品", trace, RULES, events, **spans)  # type: ignore[arg-type]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_events_gaps_and_what_was_learned_from_are_shaded(tmp_path: Path) -> None:
    plain = picture(tmp_path / "plain.png")
    pink = (np.abs(plain - [248, 204, 204]).max(axis=2) < 4).mean()
    assert 0.03 < pink < 0.15  # 2 of 20 seconds
    more = picture(tmp_path / "more.png", learned=[Span(0, 4)], gaps=[Span(10, 12)])
    for colour in ([222, 232, 243], [217, 217, 217]):
        assert (np.abs(more - colour).max(axis=2) < 4).sum() > (np.abs(plain - colour).max(axis=2) < 4).sum() + 100


def test_a_timeline_is_known_as_drawn_and_never_read_as_a_part(tmp_path: Path) -> None:
    path = tmp_path / "timeline.png"
    write_timeline(path, "clip", Trace(), EventRules(1.0, 0.5), [])
    assert is_drawn_by_adkit(path)


@pytest.mark.parametrize("name", ["x", "a long path/" * 9, "é" * 90])
def test_a_clip_without_scores_is_drawn_too(tmp_path: Path, name: str) -> None:
    write_timeline(tmp_path / "x.png", name, Trace(), RULES, [])
    assert (tmp_path / "x.png").is_file()
