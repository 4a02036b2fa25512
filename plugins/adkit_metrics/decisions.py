"""Metrics at the run's threshold: of clips it is events that are caught, where a found one shares a frame with one."""

import numpy as np
from numpy.typing import NDArray

from adkit import LabelledResults, MetricValue
from adkit_metrics.conditional import ConditionalMetric
from adkit_metrics.curves import share

NO_CLIPS = "the test split has still images, no clips: nothing happens in them"


class CaughtAtPromise(ConditionalMetric):
    """The share of anomalous images that the threshold flags, or of true events that a found one touches."""

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say whether anything anomalous is lacking."""
        thing = "frame" if results.of_clips else "image"
        return None if results.anomalous.any() else f"the test split has no anomalous {thing}"

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the share, and that of each kind; an event is of the kind of its first frame."""
        events, caught = _caught(results)
        kinds = np.array([results.kinds[event.start] for event in events])
        details = {str(kind): float(caught[kinds == kind].mean()) for kind in sorted(set(kinds))}
        return MetricValue(float(caught.mean()), details=details)

    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share in each resample of images or clips."""
        events, caught = _caught(results)
        drawn = weights[:, [event.start for event in events]]
        return share(drawn @ caught.astype(np.int64), drawn.sum(axis=1))


class FalseAlarmsPerHour(ConditionalMetric):
    """Found events that touch no anomalous frame, for each hour of normal frames."""

    higher_is_better = False
    judges = "clips"

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say whether clips or the time of normal frames are lacking."""
        if not results.of_clips:
            return NO_CLIPS
        lasting = _normal_hours(results).any()
        return None if lasting else "the test split has no normal frame that lasts for any time"

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the rate; details: how many there are, and in how many hours."""
        false, hours = len(results.spans_beside(results.alarms, results.anomalous)), float(_normal_hours(results).sum())
        return MetricValue(false / hours, details={"false_alarms": float(false), "normal_hours": hours})

    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate in each resample of clips."""
        events = results.spans_beside(results.alarms, results.anomalous)
        false = weights[:, [event.start for event in events]].sum(axis=1)
        return share(false, weights @ _normal_hours(results))


def _caught(results: LabelledResults) -> tuple[list[range], NDArray[np.bool_]]:
    """Return what is anomalous in truth, images or events, and which of it was found."""
    events = results.spans(results.anomalous)
    return events, np.array([results.alarms[event.start : event.stop].any() for event in events], bool)


def _normal_hours(results: LabelledResults) -> NDArray[np.float64]:
    """Return how long each normal frame lasts (N,), anomalous ones 0; a clip's last frame lasts until its end."""
    lasting = np.zeros(len(results.scores))
    for clip in results.spans(np.ones(len(results.scores), bool)):
        if len(clip) > 1:
            times_s = results.times_s[clip.start : clip.stop]
            end_s = results.ends_s.get(results.clips[clip.start], 2 * times_s[-1] - times_s[-2])
            lasting[clip.start : clip.stop] = np.diff(times_s, append=end_s)
    return np.where(results.anomalous, 0.0, lasting) / 3600
