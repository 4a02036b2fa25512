"""The clips of a test split over time: scores, truth and found events, and videos of those that are worth seeing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.evaluation.clip_results import ClipRow
from adkit.evaluation.evaluate import Evaluation
from adkit.report import words
from adkit.report.films import Film, film
from adkit.report.svg import plain
from adkit.report.thresholds import Step
from adkit.stats.formatting import clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 1000, 100
"""Of a timeline, in its own units: it is stretched to the page's width."""
MOST_TIMELINES = 60
MOST_POINTS = 600
"""A curve has about so many; of the frames between two, the lowest and the highest are shown."""
MOST_FILM_BYTES = 3_000_000
"""Of all videos of a page, as text."""
MOST_FILMS = 24
_ABOVE = 4.0
"""The scale ends so many times as high above the lowest score as the threshold lies: else one glaring event would
flatten all others."""

Block = tuple[float, float]
"""Where something begins, and how wide it is."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A true event on a timeline."""

    block: Block
    kind: str
    caught: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """One clip."""

    row: ClipRow
    length_s: float
    curve: str  # an SVG path
    truth: list[Truth]
    found: list[Block]  # at the run's threshold
    at_steps: list[list[Block]]  # the same at each step of the slider
    ticks: list[tuple[float, str]]  # (share of the width in percent, time)
    label: str  # for those who do not see it
    film: Film | None


@dataclass(frozen=True, slots=True)
class Clips:
    """The section on clips."""

    timelines: list[Timeline]
    left_out: int
    limit: float  # y of the run's threshold
    limits: list[float]  # of each step's
    low: float
    high: float
    cut: bool  # scores above the scale's end are drawn at it
    filmed: int

    def as_json(self) -> dict[str, Any]:
        """What the page's script needs to follow the slider."""
        return {"limits": self.limits, "found": [timeline.at_steps for timeline in self.timelines]}


def clips_of(evaluation: Evaluation, steps: Sequence[Step]) -> Clips | None:
    """The clips of the evaluation, in its order; None where it is of still images."""
    if evaluation.clips is None:
        return None
    scores, threshold = evaluation.scores, evaluation.threshold.value
    limits = [step.threshold.value for step in steps]
    low = float(min(scores.min(), threshold))
    top, end = float(max(scores.max(), threshold)), low + _ABOVE * (threshold - low)
    high = min(top, end) if end > low else top
    high = max(high, *limits) + 0.02 * (max(high, *limits) - low or 1.0)

    def height(value: float) -> float:
        return round(HEIGHT * (1 - (min(value, high) - low) / (high - low)), 2)

    spans = evaluation.results.spans(np.ones(len(scores), bool))
    chosen = _worth_seeing(evaluation, spans)
    shown = [number for number in range(len(spans)) if number in chosen]
    films = _films(evaluation, spans, chosen)
    timelines = [_timeline(evaluation, spans[number], number, steps, height, films.get(number)) for number in shown]
    return Clips(
        timelines,
        len(spans) - len(shown),
        height(threshold),
        [height(value) for value in limits],
        low,
        high,
        bool(scores.max() > high),
        len(films),
    )


def _worth_seeing(evaluation: Evaluation, spans: Sequence[range]) -> dict[int, int]:
    """The numbers of the clips, the one that tells most first, each with the position of its moment.

    The clearest event of each kind and the worst mistakes take turns; then come the others, by their highest score.
    """
    clips = evaluation.clips
    assert clips is not None
    clearest: dict[str, int] = {}
    for event in sorted(clips.events, key=lambda event: -event.score):
        clearest.setdefault(event.kind, event.peak)
    events, mistakes = list(clearest.values()), evaluation.mistakes()
    turns = [place for pair in zip(events, mistakes, strict=False) for place in pair]
    turns += events[len(mistakes) :] + mistakes[len(events) :]
    highest = [span.start + int(evaluation.scores[span.start : span.stop].argmax()) for span in spans]
    turns += sorted(highest, key=lambda position: -evaluation.scores[position])
    number_of = {position: number for number, span in enumerate(spans) for position in span}
    chosen: dict[int, int] = {}
    for position in turns:
        if len(chosen) < MOST_TIMELINES:
            chosen.setdefault(number_of[position], position)
    return chosen


def _films(evaluation: Evaluation, spans: Sequence[range], chosen: dict[int, int]) -> dict[int, Film]:
    films: dict[int, Film] = {}
    left = MOST_FILM_BYTES
    for number, moment in list(chosen.items())[:MOST_FILMS]:
        clip = [evaluation.samples[position] for position in spans[number]]
        made = film(clip, evaluation.samples[moment].time_s)
        if made is not None and len(made.source) <= left:
            films[number] = made
            left -= len(made.source)
    return films


def _timeline(
    evaluation: Evaluation, span: range, number: int, steps: Sequence[Step], height: Any, made: Film | None
) -> Timeline:
    clips, results = evaluation.clips, evaluation.results
    assert clips is not None
    times_s = results.times_s[span.start : span.stop]
    last_s = float(times_s[-1] - times_s[-2]) if len(times_s) > 1 else 0.0
    start_s, length_s = float(times_s[0]), float(times_s[-1] - times_s[0]) + last_s or 1.0

    def x(time_s: float) -> float:
        return round(WIDTH * (time_s - start_s) / length_s, 2)

    def block(frames: range) -> Block:
        end = frames.stop - span.start
        end_s = times_s[end] if end < len(times_s) else times_s[-1] + last_s
        begin = x(times_s[frames.start - span.start])
        return begin, round(x(float(end_s)) - begin, 2)

    def blocks(alarms: NDArray[np.bool_]) -> list[Block]:
        own = np.zeros(len(alarms), bool)
        own[span.start : span.stop] = alarms[span.start : span.stop]
        return [block(frames) for frames in results.spans(own)]

    missed = set(clips.missed)
    own = [event for event in clips.events if event.frames.start in span]
    row = clips.rows[number]
    label = (
        f"Scores of {plain(row.clip)} over {clock(length_s)}, the highest {words.figure(row.highest_score)} at "
        f"{clock(row.highest_s)}; {_events(row)}"
    )
    return Timeline(
        row,
        length_s,
        _curve(times_s, evaluation.scores[span.start : span.stop], x, height),
        [Truth(block(event.frames), event.kind, event not in missed) for event in own],
        blocks(results.alarms),
        [blocks(step.alarms) for step in steps if step.alarms is not None],
        _ticks(length_s),
        label,
        made,
    )


def _events(row: ClipRow) -> str:
    events = f"{row.events_caught} of {row.events} true events found" if row.events else "nothing is wrong in truth"
    return f"{events}, {row.false_alarms} false {'alarm' if row.false_alarms == 1 else 'alarms'}"


def _curve(times_s: NDArray[np.float64], scores: NDArray[np.float64], x: Any, height: Any) -> str:
    rows = list(range(len(scores)))
    if len(scores) > MOST_POINTS:
        rows = []
        for part in np.array_split(np.arange(len(scores)), MOST_POINTS // 2):
            values = scores[part]
            rows += sorted({int(part[values.argmin()]), int(part[values.argmax()])})
    points = [f"{x(float(times_s[row])):g} {height(float(scores[row])):g}" for row in rows]
    return "M" + "L".join(points if len(points) > 1 else points * 2)


def _ticks(length_s: float) -> list[tuple[float, str]]:
    """Five times at most, round ones."""
    steps = [base * factor for factor in (1, 60, 3600) for base in (1, 2, 5, 10, 15, 20, 30)]
    step = next((step for step in steps if length_s / step <= 5), 36_000)
    if length_s < 1:
        return [(0.0, "0:00")]
    return [(round(100 * at / length_s, 2), clock(at)[:-2]) for at in range(0, int(length_s) + 1, step)]
