"""Watching a clip in one pass: decoded, judged and drawn by three threads with short queues between them.

Memory does not depend on the clip's length. Of a file no frame is lost; of a live source the oldest frames are dropped
when the method cannot follow, and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adkit.data.batches import batch_of
from adkit.data.frame_source import Arrival, Source
from adkit.data.inputs import VideoInput
from adkit.data.live import PATIENCE_S, Gap, LiveFeed
from adkit.data.prefetch import ahead
from adkit.data.spans import Span
from adkit.drawing.overlay import Scale
from adkit.errors import AdkitError, FrameError, StorageError
from adkit.interfaces import Stream
from adkit.runs.predictions import to_predictions
from adkit.stats.calibration import p_values
from adkit.stats.smoothing import Smoother
from adkit.watching.annotation import Annotator
from adkit.watching.events import (
    MERGE_GAP_S,
    MIN_DURATION_S,
    Event,
    EventFinder,
    EventRules,
    Moment,
    Settled,
    release_level,
)
from adkit.watching.regions import Region, region_of
from adkit.watching.score_strip import ScoreScale
from adkit.workflows.score import FittedModel, pixels_of, raw_scores, sample_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 8
_MOST_WAITING = 32  # frames that wait for their batch: those between judged ones wait too
_AHEAD = 8
_LIVE_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """How to watch."""

    every: int | None = None  # judge one in so many frames; None: as the run's threshold was set
    min_duration_s: float = MIN_DURATION_S  # of events
    merge_gap_s: float = MERGE_GAP_S
    annotate: Path | None = None  # write an annotated video there
    overlay: bool = False  # one panel with the heat map over the input, not panels side by side
    learned: tuple[Span, ...] = ()  # what the run has learned from: no alarm is raised there
    limit_s: float | None = None  # of a live source: stop after so long
    patience_s: float = PATIENCE_S  # of a live source: give it up when it does not come back within this time


@dataclass(frozen=True, slots=True)
class Watched:
    """The result for one frame."""

    frame: int
    time_s: float
    raw: float  # the score of the frame alone
    score: float  # smoothed over the past, as the run's threshold wants it
    p_value: float
    anomalous: bool  # the score is above the threshold
    learned: bool  # the run has learned from it: its score says nothing, and it is part of no event
    event: int | None  # the number of the event that it is part of
    region: Region | None  # where, for a score above the threshold


@dataclass(frozen=True, slots=True)
class _Judged:
    arrival: Arrival
    score: float | None  # None: the frame is not judged
    map: NDArray[np.float32] | None
    reconstruction: NDArray[np.uint8] | None


class Watch:
    """One clip being watched: walk it once for a `Watched` of each judged frame; the rest stands in it afterwards.

    Results come when it is certain to which event a frame belongs, a second or so late; `latest` and `under_way` are
    what is known now. When `stop` is set, the walk ends soon, and all is whole: so is a video whose walk is broken off.
    """

    def __init__(
        self, judge: FittedModel, footage: VideoInput, settings: Settings, stop: threading.Event | None = None
    ) -> None:
        """Looks at the clip; raises AdkitError where there is none, or where no annotated video can be written."""
        self.judge, self.footage, self.settings = judge, footage, settings
        stop = stop or threading.Event()
        feed = LiveFeed(footage, stop, settings.limit_s, settings.patience_s) if footage.live else None
        self.source = Source(footage, stop, feed)
        self.every = settings.every or judge.run.record.every
        normal = judge.run.calibration()
        normal_scores = sample_scores(normal, judge.scorer, judge.run.record.smoothing_s)
        threshold = judge.threshold.value
        self.rules = EventRules(
            threshold, release_level(threshold, normal_scores), settings.min_duration_s, settings.merge_gap_s
        )
        pixel_threshold = judge.run.record.pixel_threshold
        self._pixel_threshold = pixel_threshold.value if pixel_threshold else None
        self.events: list[Event] = []  # that have ended
        self.faults: list[AdkitError] = []  # where the clip is damaged, why no video could be written
        self.dropped = 0  # frames of a live source
        self.judged = 0
        self.highest: Watched | None = None  # of what was not learned from
        self.latest: Watched | None = None  # with the event that is known now
        self._finder = EventFinder(self.rules)
        self._smoother = Smoother(judge.run.record.smoothing_s)
        self._unsettled: deque[Watched] = deque()
        self._connection = 0
        self._annotator = None
        if settings.annotate is not None:
            self._annotator = Annotator(
                settings.annotate,
                self.source.rate,
                None if normal.maps is None else Scale.of_run(normal.maps, self._pixel_threshold),
                ScoreScale(threshold, float(np.median(normal_scores))),
                overlay=settings.overlay,
            )

    @property
    def gaps(self) -> list[Gap]:
        """When a live source was away."""
        return self.source.feed.gaps if self.source.feed else []

    @property
    def under_way(self) -> Event | None:
        """The event that has not ended."""
        return self._finder.under_way

    def __iter__(self) -> Iterator[Watched]:
        live = self.footage.live
        panel_of = self._annotator.panel_of if self._annotator else None
        arrivals = ahead(
            self.source.arrivals(self.judge.method.frame_size, self.every, panel_of),
            _LIVE_AHEAD if live else _AHEAD,
            self._drop if live else None,
        )
        judged = ahead(self._judged(arrivals, 1 if live else _BATCH), 1 if live else _AHEAD)
        try:
            try:
                for one in judged:
                    yield from self._take(one)
            except FrameError as error:
                if self.judged == 0:
                    raise
                self.faults.append(error)
            self.faults += self.source.unreadable
            self._finish_video()
            yield from self._settled(self._finder.finish(self.source.length_s))
        except (GeneratorExit, KeyboardInterrupt):
            self._finish_video()  # broken off by who watches: what there is is to play
            raise
        finally:
            judged.close()
            if self._annotator:
                self._annotator.discard()

    def _judged(self, arrivals: Generator[Arrival], most: int) -> Generator[_Judged]:
        """The arrivals in their order, with the method's answers for those that it is to judge."""
        window, stream = self.judge.method.window, self.judge.method.stream()
        past: deque[NDArray[np.uint8]] = deque(maxlen=window)
        waiting: list[Arrival] = []
        windows: list[NDArray[np.uint8]] = []
        connection: int | None = None
        try:
            try:
                for arrival in arrivals:
                    waiting.append(arrival)
                    if arrival.pixels is not None:
                        if arrival.connection != connection:
                            connection = arrival.connection
                            past.extend([arrival.pixels] * (window - 1))
                        past.append(arrival.pixels)
                        windows.append(np.stack(past))
                    if len(windows) >= most or len(waiting) >= _MOST_WAITING:
                        yield from self._answers(stream, waiting, windows)
                        waiting, windows = [], []
            except FrameError:
                yield from self._answers(stream, waiting, windows)  # what came before it counts
                raise
            yield from self._answers(stream, waiting, windows)
        finally:
            arrivals.close()

    def _answers(self, stream: Stream, arrivals: list[Arrival], windows: list[NDArray[np.uint8]]) -> Iterator[_Judged]:
        asked = [arrival for arrival in arrivals if arrival.pixels is not None]
        answers: Iterator[_Judged] = iter(())
        if asked:
            ids = tuple(f"{self.footage.name}#{arrival.number}" for arrival in asked)
            clips = tuple(f"{self.footage.name} {arrival.connection}" for arrival in asked)
            answer = stream(batch_of(windows, ids, clips))
            found = to_predictions(ids, clips, answer)
            scores = raw_scores(found, self.judge.scorer)
            nothing = [None] * len(asked)
            rebuilt = nothing if answer.images is None else pixels_of(answer.images)
            maps = nothing if found.maps is None else found.maps
            answers = map(_Judged, asked, map(float, scores), maps, rebuilt)
        for arrival in arrivals:
            yield _Judged(arrival, None, None, None) if arrival.pixels is None else next(answers)

    def _take(self, one: _Judged) -> Iterator[Watched]:
        """One frame in its turn: smoothed, told to the events, drawn."""
        arrival = one.arrival
        settled: list[Settled] = []
        if arrival.connection != self._connection:  # nothing is known of the time between
            self._connection = arrival.connection
            settled += self._finder.finish()
        if one.score is not None:
            result = self._scored(one, one.score)
            self.judged += 1
            self._unsettled.append(result)
            moment = Moment(result.frame, result.time_s, result.score, result.region)
            settled += [*self._finder.finish(), (moment, None)] if result.learned else self._finder.add(moment)
            event = self.under_way
            inside = event is not None and event.end_frame == result.frame  # not only waiting to be joined with more
            self.latest = replace(result, event=event.number if event and inside else None)
            if not result.learned and (self.highest is None or result.score > self.highest.score):
                self.highest = result
            if self._annotator:
                self._annotator.judged(self.latest, one.map, one.reconstruction)
        if self._annotator and arrival.panel is not None:
            self._draw(arrival, arrival.panel)
        yield from self._settled(settled)

    def _scored(self, one: _Judged, raw: float) -> Watched:
        arrival, time_s = one.arrival, one.arrival.time_s
        score = self._smoother(str(arrival.connection), time_s, raw)
        anomalous = score > self.rules.threshold
        region = None
        if anomalous and one.map is not None:
            region = region_of(one.map, self._pixel_threshold, arrival.shape)
        chance = float(p_values([score], self.judge.normal_scores)[0])
        learned = any(time_s in span for span in self.settings.learned)
        return Watched(arrival.number, time_s, raw, score, chance, anomalous, learned, None, region)

    def _settled(self, settled: list[Settled]) -> Iterator[Watched]:
        self.events += self._finder.take_finished()
        for _, number in settled:
            yield replace(self._unsettled.popleft(), event=number)

    def _draw(self, arrival: Arrival, panel: NDArray[np.uint8]) -> None:
        assert self._annotator is not None
        try:
            self._annotator.draw(panel, arrival.time_s, self.under_way)
        except StorageError as error:  # the scores do not need the video
            self.faults.append(error)
            self._annotator = None

    def _finish_video(self) -> None:
        if self._annotator:
            try:
                self._annotator.finish()
            except StorageError as error:
                self.faults.append(error)
            self._annotator = None

    def _drop(self, _: Arrival) -> None:
        self.dropped += 1
