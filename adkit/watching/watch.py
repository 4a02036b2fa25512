"""Watching a clip in one pass: decoded, judged and drawn by three threads with short queues between them.

Memory does not depend on the clip's length. Of a file no frame is lost; of a live source the oldest frames are dropped
when the method cannot follow, and counted.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adkit.data.batches import BATCH
from adkit.data.clips import one_in
from adkit.data.frame_source import ClipSource, Frame
from adkit.data.inputs import VideoInput
from adkit.data.live import PATIENCE_S, Gap, LiveFeed
from adkit.data.prefetch import ahead
from adkit.data.spans import learned_spans
from adkit.drawing.overlay import faded
from adkit.errors import AdkitError, FrameError, StorageError
from adkit.watching.annotation import Annotator, ScoreScale, panel_size
from adkit.watching.events import MERGE_GAP_S, MIN_DURATION_S, Event, EventFinder, EventRules, Moment, release_level
from adkit.workflows.score import FittedModel, FrameResult, sample_scores

_AHEAD = 8
_LIVE_AHEAD = 4
_BURST_S = 2.0
"""So much of a connection is never dropped: what it held back comes at once, and a quick method follows soon."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to watch."""

    every: int | None = None  # judge one in so many frames; None: as the run's threshold was set
    min_duration_s: float = MIN_DURATION_S  # of events
    merge_gap_s: float = MERGE_GAP_S
    annotate: Path | None = None  # write an annotated video there
    overlay: bool = False  # one panel with the heat map over the input, not panels side by side
    duration_s: float | None = None  # of a live source: stop after so long
    reconnect_timeout_s: float = PATIENCE_S  # of a live source: give it up when it does not come back within this time
    pictures: bool = False  # keep the latest frame at its own size


class Watch:
    """One clip being watched: walk it once for the result of each judged frame; the rest stands in it afterwards.

    Results come when it is certain to which event a frame belongs, a second or so late; `latest` and `under_way` are
    what is known now. When `stop` is set, the walk ends soon, and all is whole: so is a video whose walk is broken off.
    """

    def __init__(self, model: FittedModel, clip: VideoInput, settings: Settings, stop: Flag | None = None) -> None:
        """Look at the clip; raises AdkitError where there is none, or where no annotated video can be written."""
        self.model, self.clip, self.settings = model, clip, settings
        stop = stop or Flag()
        feed = LiveFeed(clip, stop, settings.duration_s, settings.reconnect_timeout_s) if clip.live else None
        self.source = ClipSource(clip, stop, feed)
        self.every = settings.every or one_in(model.run.record.step_s, 1 / self.source.rate)
        record, learned = model.run.record, model.run.seen().training
        self.learned = learned_spans(record.dataset, learned, clip.video) if clip.video else ()  # no alarm there
        normal = model.run.calibration()
        normal_scores = sample_scores(normal, model.scorer, model.run.record.smoothing_s)
        threshold = model.threshold.value
        release = release_level(threshold, normal_scores)
        self.rules = EventRules(threshold, release, settings.min_duration_s, settings.merge_gap_s)
        self.events: list[Event] = []  # that have ended
        self.faults: list[AdkitError] = []  # where the clip is damaged, why no video could be written
        self.dropped = 0  # frames of a live source
        self.judged = 0
        self.highest: FrameResult | None = None  # of what was not learned from
        self.latest: FrameResult | None = None  # with the event that is known now
        self.picture: NDArray[np.uint8] | None = None  # the latest frame, RGB (H, W, 3), where it is asked for
        self._finder = EventFinder(self.rules)
        self._unsettled: deque[FrameResult] = deque()
        self._connection: str | None = None
        self._connected = "", 0.0  # the latest connection, and when its first frame came
        self._told = 0, 0, 0  # the last event that began, and how many ended and how often the source was away
        self._annotator = None
        if settings.annotate is not None:
            scale = ScoreScale(threshold, float(np.median(normal_scores)), self.rules.release)
            rate, overlay = self.source.rate, settings.overlay
            self._annotator = Annotator(settings.annotate, rate, model.scale, scale, overlay=overlay)

    @property
    def gaps(self) -> list[Gap]:
        """Say when a live source was away."""
        return self.source.feed.gaps if self.source.feed else []

    @property
    def under_way(self) -> Event | None:
        """Return the event that has not ended."""
        return self._finder.under_way

    def news(self) -> Iterator[tuple[Literal["began", "ended", "back"], Event | Gap]]:
        """Yield what happened since the call before, in its order: events, and times without the source."""
        (begun, ended, away), gaps, under_way = self._told, [*self.gaps], [self.under_way] if self.under_way else []
        over = self.events[ended:]
        self._told = max([begun, *(one.number for one in [*over, *under_way])]), len(self.events), len(gaps)
        yield from (("back", gap) for gap in gaps[away:])
        for event in [*over, *under_way]:
            if event.number > begun:
                yield "began", event
            if event not in under_way:
                yield "ended", event

    def __iter__(self) -> Iterator[FrameResult]:
        live = self.clip.live
        of_video = partial(panel_size, overlay=self.settings.overlay) if self._annotator else None
        panel_of = (lambda shape: shape) if self.settings.pictures else of_video
        step_s = self.model.run.record.step_s
        decoded = self.source.frames(self.model.view, self.settings.every, step_s, panel_of)
        frames = ahead(decoded, _LIVE_AHEAD if live else _AHEAD, self._drop if live else None, self._of_burst)
        judged = ahead(self.model.judged(frames, 1 if live else BATCH), 1 if live else _AHEAD)
        try:
            try:
                for frame, result in judged:
                    yield from self._take(frame, result)
            except FrameError as error:
                if self.judged == 0:
                    raise
                self.faults.append(error)
            self.faults += self.source.unreadable
            self._finish_video()
            yield from self._settled(self._finder.finish(self.source.length_s))
        except (GeneratorExit, KeyboardInterrupt):
            self._finish_video()  # interrupted by who watches: what there is is to play
            raise
        finally:
            judged.close()
            frames.close()  # its thread too: whoever made the fault may still hold it
            if self._annotator:
                self._annotator.discard()

    def _take(self, frame: Frame, result: FrameResult | None) -> Iterator[FrameResult]:
        """Take one frame in its turn: told to the events, drawn."""
        if self.settings.pictures:
            self.picture = frame.panel
        settled = self._finder.finish() if frame.clip != self._connection else []  # what was between is not known
        self._connection = frame.clip
        if result is not None:
            result = replace(result, learned=any(frame.time_s in span for span in self.learned))
            self.judged += 1
            light = replace(result, map=None, reconstruction=None)  # many wait, and nobody looks at their pictures
            self._unsettled.append(light)
            moment = Moment(result.index, result.time_s, result.score, result.region)
            settled += [*self._finder.finish(), (moment, None)] if result.learned else self._finder.add(moment)
            event = self.under_way
            inside = event is not None and event.end_frame == result.index  # not only waiting to be joined with more
            self.latest = replace(result, event=event.number if event and inside else None)
            if not result.learned and (self.highest is None or result.score > self.highest.score):
                self.highest = light
            if self._annotator:
                self._annotator.judged(self.latest)
        if self._annotator and frame.panel is not None:
            self._draw(frame.time_s, faded(frame.panel, self.model.view, frame.shape))
        yield from self._settled(settled)

    def _settled(self, settled: Iterable[tuple[Moment, int | None]]) -> Iterator[FrameResult]:
        self.events += self._finder.take_finished()
        for _, number in settled:
            yield replace(self._unsettled.popleft(), event=number)

    def _draw(self, time_s: float, panel: NDArray[np.uint8]) -> None:
        assert self._annotator is not None
        try:
            self._annotator.draw(panel, time_s, self.under_way)
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

    def _drop(self, _: Frame) -> None:
        self.dropped += 1

    def _of_burst(self, frame: Frame) -> bool:
        if frame.clip != self._connected[0]:
            self._connected = frame.clip, frame.time_s
        return frame.time_s - self._connected[1] < _BURST_S


def frame_row(clip: str, threshold: float, result: FrameResult) -> dict[str, Any]:
    """Return one judged frame for programs; the box is in px of the clip."""
    return {
        "clip": clip,
        "frame": result.index,
        "time_s": round(result.time_s, 4),
        "raw_score": result.raw,
        "score": result.score,
        "threshold": threshold,
        "p_value": result.p_value,
        "p_value_is_floor": result.p_value_is_floor,
        "decision": "learned" if result.learned else "anomalous" if result.anomalous else "normal",
        "event": result.event,
        **result.places(),
    }
