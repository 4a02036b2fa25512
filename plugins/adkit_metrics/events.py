"""Metrics of events, at the run's threshold: what somebody who is called at each alarm gets to see.

An event in truth is a run of anomalous frames of one clip; a found one is a run of frames that the run raised one alarm
for. They agree where they share a frame: when a machine stopped matters more than to the frame how long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from adkit.interfaces import LabelledResults, Metric, MetricValue
from adkit_metrics.curves import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CLIPS = "the test split has still images, no clips: nothing happens in them"


class EventRecall(Metric):
    """The share of true events that a found one touches."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "clips"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The recall, and that of each kind; an event is of the kind of its first frame."""
        if not results.of_clips:
            return MetricValue(None, NO_CLIPS)
        events, caught = _caught(results)
        if not events:
            return MetricValue(None, "the test split has no anomalous frame")
        kinds = np.array([results.kinds[event.start] for event in events])
        details = {str(kind): float(caught[kinds == kind].mean()) for kind in sorted(set(kinds))}
        return MetricValue(float(caught.mean()), details=details)

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The recall in each resample of clips."""
        if not results.of_clips:
            return np.full(len(weights), np.nan)
        events, caught = _caught(results)
        drawn = weights[:, [event.start for event in events]]
        return share(drawn @ caught.astype(np.int64), drawn.sum(axis=1))


class FalseAlarmsPerHour(Metric):
    """Found events that touch no anomalous frame, for each hour of normal frames."""

    higher_is_better: ClassVar[bool] = False
    judges: ClassVar[Literal["images", "clips", "both"]] = "clips"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The rate; details: how many there are, and in how many hours."""
        if not results.of_clips:
            return MetricValue(None, NO_CLIPS)
        false, hours = len(_false(results)), float(_normal_hours(results).sum())
        if not hours:
            return MetricValue(None, "the test split has no normal frame that lasts for any time")
        return MetricValue(false / hours, details={"false_alarms": float(false), "normal_hours": hours})

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The rate in each resample of clips."""
        if not results.of_clips:
            return np.full(len(weights), np.nan)
        false = weights[:, [event.start for event in _false(results)]].sum(axis=1)
        return share(false, weights @ _normal_hours(results))


def _caught(results: LabelledResults) -> tuple[list[range], NDArray[np.bool_]]:
    """The events in truth, and which of them were found."""
    events = results.spans(results.anomalous)
    return events, np.array([results.alarms[event.start : event.stop].any() for event in events], bool)


def _false(results: LabelledResults) -> list[range]:
    return [event for event in results.spans(results.alarms) if not results.anomalous[event.start : event.stop].any()]


def _normal_hours(results: LabelledResults) -> NDArray[np.float64]:
    """(N,): how long each normal frame lasts, 0 for anomalous ones; a clip's last frame lasts like the one before."""
    lasting = np.zeros(len(results.scores))
    for clip in results.spans(np.ones(len(results.scores), bool)):
        if len(clip) > 1:
            steps = np.diff(results.times_s[clip.start : clip.stop])
            lasting[clip.start : clip.stop] = np.append(steps, steps[-1])
    return np.where(results.anomalous, 0.0, lasting) / 3600
