"""The clips of a test split over time: scores, truth and found events, and videos of those that are worth seeing."""

import base64
import io
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.data.frame_source import frames_of
from adkit.data.images import frame_shape
from adkit.data.video_writer import Encoding, VideoWriter
from adkit.data.view import View
from adkit.drawing.overlay import fitted
from adkit.errors import AdkitError
from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.split_results import ClipRow
from adkit.report.charts import Axis, path_of
from adkit.report.thresholds import Step
from adkit.stats.formatting import clock
from adkit.stats.segments import grouped
from adkit.types import Sample

WIDTH, HEIGHT = 1000, 100
"""Of a timeline, in its own units: it is stretched to the page's width."""
MOST_TIMELINES = 60
MOST_POINTS = 600
"""A curve has about so many; of the frames between two, the lowest and the highest are shown."""
MOST_VIDEO_BYTES = 3_000_000
"""Of all videos of a page, as text."""
MOST_VIDEOS = 24
VIDEO_PX = 320
"""Longer side of each video."""
LONGEST_S = 40.0
"""Of a longer clip, only what surrounds the moment that matters is shown."""
VIDEO_RATE = 12.5
"""Frames a second, where there are more."""
_ENCODING = Encoding("slow", 32, threads=1)  # one thread: other work needs the cores
_ABOVE = 4.0
"""The scale ends so many times as high above the lowest score as the threshold lies: else one glaring event would
flatten all others."""
Block = tuple[float, float]
"""Where something begins, and how wide it is."""


@dataclass(frozen=True, slots=True)
class ClipVideo:
    """A video of a clip, or of a part of it, as an address that holds the video itself."""

    source: str
    width: int
    height: int
    start_s: float  # of the clip, when the video begins
    end_s: float


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
    found: list[list[Block]]  # at each step of the slider
    ticks: list[tuple[float, str]]  # (share of the width in percent, time)
    video: ClipVideo | None


@dataclass(frozen=True, slots=True)
class ClipSection:
    """The section on clips."""

    timelines: list[Timeline]
    left_out: int
    limits: list[float]  # y of each step's threshold
    low: float
    high: float
    cut: bool  # scores above the scale's end are drawn at it
    videos: int

    def as_json(self) -> dict[str, Any]:
        """Return what the page's script needs to follow the slider."""
        return {"limits": self.limits, "found": [timeline.found for timeline in self.timelines]}


def clips_of(evaluation: Evaluation, steps: Sequence[Step]) -> ClipSection | None:
    """Return the clips of the evaluation, in its order; None where it is of still images."""
    split, results = evaluation.split, evaluation.results
    if not split.rows:
        return None
    scores, threshold = evaluation.scores, evaluation.threshold.value
    limits = [step.threshold.value for step in steps]
    low = float(min(scores.min(), threshold))
    top, end = float(max(scores.max(), threshold)), low + _ABOVE * (threshold - low)
    high = max(min(top, end) if end > low else top, *limits)
    high += 0.02 * (high - low or 1.0)
    axis = Axis("", low, high, height=HEIGHT)
    spans = results.spans(np.ones(len(scores), bool))
    chosen = _worth_seeing(evaluation, spans)
    videos = _videos(evaluation, spans, chosen)
    runs = [results.spans(step.alarms) for step in steps if step.alarms is not None]
    found = [grouped(step, lambda frames: results.clips[frames.start]) for step in runs]
    missed = set(split.missed)
    timelines = []
    for number in sorted(chosen):
        span, row = spans[number], split.rows[number]
        edges, length_s = _edges(results.times_s[span.start : span.stop])
        own = [event for event in split.events if event.frames.start in span]
        timelines.append(
            Timeline(
                row,
                length_s,
                _curve(edges, np.minimum(scores[span.start : span.stop], high), axis),
                [Truth(_block(edges, event.frames, span), event.kind, event not in missed) for event in own],
                [[_block(edges, frames, span) for frames in step.get(row.clip, [])] for step in found],
                _ticks(length_s),
                videos.get(number),
            )
        )
    left_out, cut = len(spans) - len(chosen), bool(scores.max() > high)
    return ClipSection(timelines, left_out, list(map(axis.at, limits)), low, high, cut, len(videos))


def _edges(times_s: NDArray[np.float64]) -> tuple[list[float], float]:
    """Return where each frame of a clip begins and the last one ends on its timeline, and how long the clip is."""
    last_s = float(times_s[-1] - times_s[-2]) if len(times_s) > 1 else 0.0
    length_s = float(times_s[-1] - times_s[0]) + last_s or 1.0
    since_start = [*(times_s - times_s[0]).tolist(), float(times_s[-1] + last_s - times_s[0])]
    return [round(WIDTH * time_s / length_s, 2) for time_s in since_start], length_s


def _block(edges: Sequence[float], frames: range, clip: range) -> Block:
    """Return where consecutive frames of the clip lie, both given by their positions among all frames."""
    begin = edges[frames.start - clip.start]
    return begin, round(edges[frames.stop - clip.start] - begin, 2)


def _worth_seeing(evaluation: Evaluation, spans: Sequence[range]) -> dict[int, int]:
    """Return the numbers of the clips, the one that tells most first, each with the position of its moment.

    The clearest event of each kind and the worst mistakes take turns; then come the others, by their highest score.
    """
    clearest: dict[str, int] = {}
    for event in sorted(evaluation.split.events, key=lambda event: -event.score):
        clearest.setdefault(event.kind, event.peak)
    events, mistakes = list(clearest.values()), evaluation.mistakes()
    turns = [position for pair in zip(events, mistakes, strict=False) for position in pair]
    turns += events[len(mistakes) :] + mistakes[len(events) :]
    highest = [span.start + int(evaluation.scores[span.start : span.stop].argmax()) for span in spans]
    turns += sorted(highest, key=lambda position: -evaluation.scores[position])
    starts = [span.start for span in spans]
    chosen: dict[int, int] = {}
    for position in turns:
        if len(chosen) < MOST_TIMELINES:
            chosen.setdefault(bisect_right(starts, position) - 1, position)
    return chosen


def _videos(evaluation: Evaluation, spans: Sequence[range], chosen: Mapping[int, int]) -> dict[int, ClipVideo]:
    videos: dict[int, ClipVideo] = {}
    left = MOST_VIDEO_BYTES
    for number, moment in list(chosen.items())[:MOST_VIDEOS]:
        clip = [evaluation.samples[position] for position in spans[number]]
        made = clip_video(clip, evaluation.samples[moment].time_s)
        if made is not None and len(made.source) <= left:
            videos[number] = made
            left -= len(made.source)
    return videos


def clip_video(clip: Sequence[Sample], around_s: float) -> ClipVideo | None:
    """Return the clip's frames as a small video, or those around a time of a long one; None: they are gone."""
    start_s = max(clip[0].time_s, min(around_s - LONGEST_S / 2, clip[-1].time_s - LONGEST_S))
    shown = [sample for sample in clip if start_s <= sample.time_s <= start_s + LONGEST_S]
    lasts_s = shown[-1].time_s - shown[0].time_s
    step = max(1, math.ceil((len(shown) - 1) / (lasts_s * VIDEO_RATE))) if lasts_s > 0 else 1
    try:
        height, width = (side - side % 2 for side in fitted(frame_shape(shown[0].frame), VIDEO_PX))
        content = _encoded(shown[::step], (height, width))
    except AdkitError:
        return None
    source = "data:video/mp4;base64," + base64.b64encode(content).decode()
    return ClipVideo(source, width, height, shown[0].time_s, shown[-1].time_s)


def _encoded(samples: Sequence[Sample], size: tuple[int, int]) -> bytes:
    times = {sample.id: sample.time_s - samples[0].time_s for sample in samples}
    buffer = io.BytesIO()
    with VideoWriter(buffer, size, VIDEO_RATE, _ENCODING) as video:
        for one in frames_of(samples, View(frame=size)):
            assert one.pixels is not None
            video.add(one.pixels, times[one.id])
    return buffer.getvalue()


def _curve(edges: Sequence[float], scores: NDArray[np.float64], axis: Axis) -> str:
    """Return the path of the scores; of many frames, the lowest and the highest of each group are drawn."""
    rows = list(range(len(scores)))
    if len(scores) > MOST_POINTS:
        rows = []
        for part in np.array_split(np.arange(len(scores)), MOST_POINTS // 2):
            values = scores[part]
            rows += sorted({int(part[values.argmin()]), int(part[values.argmax()])})
    points = [(edges[row], axis.at(float(scores[row]))) for row in rows]
    return path_of(points if len(points) > 1 else points * 2)


def _ticks(length_s: float) -> list[tuple[float, str]]:
    """Return five times at most, round ones."""
    steps = [base * factor for factor in (1, 60, 3600) for base in (1, 2, 5, 10, 15, 20, 30)]
    step = next((step for step in steps if length_s / step <= 5), 36_000)
    if length_s < 1:
        return [(0.0, "0:00")]
    return [(round(100 * at / length_s, 2), clock(at)[:-2]) for at in range(0, int(length_s) + 1, step)]
