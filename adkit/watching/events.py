"""Turn scores into events: from when to when something was wrong, and where; in one pass, in constant memory.

An event starts with a score above the threshold and ends with the first score below a lower one, the release level:
a score that wavers about the threshold is one event. Events with little time between them are joined, then those that
are short are dropped. All of that is settled within `merge_gap_s` + `min_duration_s` seconds, and never
changed afterwards.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from adkit.drawing.regions import Region

MIN_DURATION_S = 0.2
"""Shorter events are dropped when nobody says: a glitch of a few frames."""
MERGE_GAP_S = 1.0
"""Events with less time between them are joined when nobody says."""
_USUAL_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class EventRules:
    """What makes an event of scores."""

    threshold: float  # a score above it starts an event
    release: float  # a score below it ends the event; not above the threshold
    min_duration_s: float = MIN_DURATION_S  # an event that is shorter is dropped
    merge_gap_s: float = MERGE_GAP_S  # events with less time than this between them are joined

    def __post_init__(self) -> None:
        """Refuse rules that contradict themselves."""
        if not (self.release <= self.threshold and self.min_duration_s >= 0 and self.merge_gap_s >= 0):
            raise ValueError(f"not rules for events: {self}")


def release_level(threshold: float, normal_scores: ArrayLike) -> float:
    """Return the score below which an event ends, from the threshold and the scores of normal frames.

    Half-way from the usual score (their median) to the threshold; or higher, so that nine normal frames in ten lie
    below it and normal operation soon ends an event.
    """
    scores = np.asarray(normal_scores, dtype=np.float64)
    halfway = (float(np.median(scores)) + threshold) / 2
    return min(threshold, max(halfway, float(np.quantile(scores, _USUAL_SHARE))))


@dataclass(frozen=True, slots=True)
class Moment:
    """The smoothed score of one frame."""

    frame: int
    time_s: float
    score: float
    region: Region | None = None  # where the frame is most anomalous, if that is known


@dataclass(frozen=True, slots=True)
class Event:
    """Something that went wrong: from `start_s` up to `end_s`, the time of the first frame that is none of it."""

    number: int  # from 1 within a clip
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int  # the last frame of it
    peak: float  # its highest score
    peak_s: float
    peak_frame: int
    mean: float  # of the scores of its frames
    region: Region | None  # at its peak

    @property
    def duration_s(self) -> float:
        """Return its length in seconds."""
        return self.end_s - self.start_s


Settled = tuple[Moment, int | None]
"""A moment and the number of the event it belongs to."""


class _Open:
    """An event that has not ended, or may yet be joined with the next."""

    def __init__(self, start: Moment) -> None:
        self.number: int | None = None  # given once it is long enough
        self.start = self.last = self.peak = start
        self.total, self.frames = start.score, 1
        self.end_s: float | None = None  # when the score fell below the release level
        self.gap: list[Moment] = []  # the frames since then

    def take(self, moment: Moment) -> None:
        self.last = moment
        self.total += moment.score
        self.frames += 1
        if moment.score > self.peak.score:
            self.peak = moment

    def resume(self) -> None:
        """Go on with the event, as the score rose again in time: what lay between belongs to it."""
        for moment in self.gap:
            self.take(moment)
        self.end_s, self.gap = None, []

    def event(self, number: int, end_s: float) -> Event:
        return Event(
            number,
            start_s=self.start.time_s,
            end_s=end_s,
            start_frame=self.start.frame,
            end_frame=self.last.frame,
            peak=self.peak.score,
            peak_s=self.peak.time_s,
            peak_frame=self.peak.frame,
            mean=self.total / self.frames,
            region=self.peak.region,
        )


@dataclass
class EventFinder:
    """Takes the scores of a clip's frames in order; tells which event each belongs to as soon as that is certain."""

    rules: EventRules
    count: int = 0  # of the events so far: what follows is numbered on from here
    _pending: list[Moment] = field(default_factory=list, init=False)  # not settled yet; bounded by the rules' times
    _open: _Open | None = field(default=None, init=False)
    _finished: list[Event] = field(default_factory=list, init=False)
    _last_s: float | None = field(default=None, init=False)
    _step_s: float = field(default=0.0, init=False)

    @property
    def under_way(self) -> Event | None:
        """Return the event that has not ended, as far as it is known; None while it may turn out to be too short."""
        current = self._open
        if current is None or current.number is None or self._last_s is None:
            return None
        return current.event(current.number, self._last_s if current.end_s is None else current.end_s)

    def add(self, moment: Moment) -> list[Settled]:
        """Take the next frame; return the frames of which it is now certain to which event, if any, they belong."""
        if self._last_s is not None:
            self._step_s = moment.time_s - self._last_s
        self._last_s = moment.time_s
        settled: list[Settled] = []
        above = moment.score > self.rules.threshold
        current = self._open
        if current is not None and current.end_s is not None:
            gap_s = moment.time_s - current.end_s
            if gap_s >= self.rules.merge_gap_s:
                settled += self._end(current)
                current = None
            elif above:
                current.resume()
        if current is None:
            if not above:
                return [*settled, (moment, None)]
            current = self._open = _Open(moment)
        elif current.end_s is None and moment.score < self.rules.release:
            current.end_s = moment.time_s
            current.gap.append(moment)
        elif current.end_s is not None:
            current.gap.append(moment)
        else:
            current.take(moment)
        self._pending.append(moment)
        return settled + self._confirm(current)

    def finish(self, end_s: float | None = None) -> list[Settled]:
        """End the clip, return frames not settled; the last is shown until `end_s`, None: as long as the one before."""
        current, settled = self._open, []
        if current is not None:
            if current.end_s is None:
                assert self._last_s is not None
                current.end_s = self._last_s + self._step_s if end_s is None else end_s
            settled = self._confirm(current) + self._end(current)
        self._last_s, self._step_s = None, 0.0
        return settled

    def take_finished(self) -> list[Event]:
        """Return the events that ended since this was last asked."""
        finished, self._finished = self._finished, []
        return finished

    def _confirm(self, current: _Open) -> list[Settled]:
        """Give the open event a number once it lasts long enough, and settle the frames that are surely part of it."""
        assert self._last_s is not None
        known_s = self._last_s if current.end_s is None else current.end_s
        if current.number is None and known_s - current.start.time_s >= self.rules.min_duration_s:
            self.count += 1
            current.number = self.count
        if current.number is None:
            return []
        sure = len(self._pending) - len(current.gap)
        settled, self._pending = self._pending[:sure], self._pending[sure:]
        return [(moment, current.number) for moment in settled]

    def _end(self, current: _Open) -> list[Settled]:
        assert current.end_s is not None
        if current.number is not None:
            self._finished.append(current.event(current.number, current.end_s))
        settled: list[Settled] = [(moment, None) for moment in self._pending]  # too short, or after the end
        self._open, self._pending = None, []
        return settled
