"""What a run says of samples of known truth: by event as `adkit score` finds them, as the promise counts, and by clip.

A still image is a clip of one frame, an anomalous one an event, and a flagged one an event that was found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.data.clips import piece_numbers
from adkit.stats.formatting import Unit, clock
from adkit.stats.rates import DecisionRates, Rate, decision_rates
from adkit.stats.segments import grouped
from adkit.stats.significance import proportion_interval
from adkit.types import LabelledResults
from adkit.watching.events import EventFinder, EventRules, Moment, release_level

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
FALSE_ALARM = "false alarm"


@dataclass(frozen=True, slots=True)
class ClipPart:
    """Consecutive frames of one clip, with the one of the highest score; or one image."""

    name: str  # of the clip, with the time where it is a part of one
    kind: str
    frames: range  # positions in the results
    peak: int  # likewise
    score: float  # at the peak


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One line of the table by clip."""

    clip: str
    frames: int
    anomalous_frames: int
    highest_score: float
    highest_s: float  # when
    auroc: float | None  # of its own frames, where it has both sorts
    events: int  # in truth
    events_caught: int
    false_alarms: int  # found events that touch no anomalous frame
    called_anomalous: bool  # its highest score lies above the threshold


@dataclass(frozen=True)
class SplitResults:
    """A test split at the run's threshold."""

    results: LabelledResults
    unit: Unit  # what the promise counts
    normal: list[ClipPart]  # good images, all-normal clips, or pieces of clips, as the promise counts them
    events: list[ClipPart]  # in truth
    missed: list[ClipPart]  # of these, which no found one touches
    false: list[ClipPart]  # found events that touch no anomalous frame
    rows: list[ClipRow]  # by clip; [] of stills

    @property
    def rates(self) -> DecisionRates:
        """Return how many normal units are flagged and true events caught; means are of samples.

        Events of one clip are alike: an interval of what is caught is known where all clips show the same.
        """
        results, total, clips = self.results, len(self.events), sum(row.events > 0 for row in self.rows)
        of_samples = decision_rates(results.scores, results.anomalous, results.threshold)
        caught = Rate.counted(total - len(self.missed), total)
        if self.rows:
            alike = clips > 0 and caught.count in (0, total)
            by_clip = proportion_interval(clips if caught.count else 0, clips) if alike else None
            caught = replace(caught, interval=by_clip)
        return replace(
            of_samples,
            false_alarms=Rate.counted(sum(part.score > results.threshold for part in self.normal), len(self.normal)),
            caught=caught,
            oracle_passing=() if self.rows else of_samples.oracle_passing,
        )

    @property
    def wrong(self) -> list[int]:
        """Return the positions of the samples that are judged wrong; of clips, of each event's peak."""
        return sorted(part.peak for part in [*self.missed, *self.false])

    @property
    def telling(self) -> list[int]:
        """Return the positions of which some are worth seeing: all images, or the peaks of what is in clips."""
        normal, anomalous = [part.peak for part in self.normal], self.results.anomalous
        if not normal and not anomalous.all():  # every clip has an event: then of all normal frames
            normal = [int(np.where(anomalous, -np.inf, self.results.scores).argmax())]
        return sorted([*normal, *(event.peak for event in self.events)])

    def verdict(self, position: int) -> str:
        """Say what is made of a sample: of clips, events are caught and missed, and a frame alone is no alarm."""
        if self.results.anomalous[position]:
            return f"missed {self.unit.defect}" if _holds(self.missed, position) else "caught"
        if self.results.alarms[position]:
            return FALSE_ALARM if _holds(self.false, position) else "beside a caught event"
        return "too short for an event" if self.results.scores[position] > self.results.threshold else "passed"

    def as_json(self) -> dict[str, Any] | None:
        """Return the table by clip, and the events; None of stills."""
        if not self.rows:
            return None
        missed = set(self.missed)
        return {
            "unit": self.unit.name,
            "clips": [asdict(row) for row in self.rows],
            "events": [
                {"clip": event.name, "kind": event.kind, "frames": len(event.frames), "caught": event not in missed}
                for event in self.events
            ],
        }


def alarms_at(
    threshold: float,
    normal_scores: Values,
    clips: Sequence[str],
    times_s: Values,
    scores: Values,
    ends_s: Mapping[str, float] | None = None,
) -> Flags:
    """Return which frames (N,) belong to an event that the threshold finds; `normal_scores` are of normal frames."""
    if len(set(clips)) == len(clips):  # stills
        return scores > threshold
    rules = EventRules(threshold, release_level(threshold, normal_scores))
    alarms = np.zeros(len(scores), bool)
    for clip, positions in grouped(range(len(scores)), clips.__getitem__).items():
        finder, settled = EventFinder(rules), []
        for position in positions:
            settled += finder.add(Moment(position, float(times_s[position]), float(scores[position])))
        for moment, number in [*settled, *finder.finish((ends_s or {}).get(clip))]:
            alarms[moment.frame] = number is not None
    return alarms


def split_results(
    results: LabelledResults, segment_s: float | None, aurocs: Mapping[str, float | None]
) -> SplitResults:
    """Return what the threshold does; `aurocs` are of single clips by their name, `segment_s` is the run's."""
    unit = Unit.of("clip" if results.of_clips else "image", segment_s)
    clips = results.spans(np.ones(len(results.scores), bool))
    normal = [part for clip in clips for part in _normal_parts(results, clip, segment_s)]
    anomalous, alarms = results.anomalous, results.alarms
    spans = (results.spans(anomalous), results.spans_beside(anomalous, alarms), results.spans_beside(alarms, anomalous))
    events, missed, false = ([_part(results, span) for span in some] for some in spans)
    rows = []
    for clip in clips if unit.of_clips else ():
        name, peak = results.clips[clip.start], _peak(results, clip)
        own, lost, alone = (sum(span.start in clip for span in some) for some in spans)
        row = ClipRow(
            name,
            frames=len(clip),
            anomalous_frames=int(anomalous[clip.start : clip.stop].sum()),
            highest_score=float(results.scores[peak]),
            highest_s=float(results.times_s[peak]),
            auroc=aurocs.get(name),
            events=own,
            events_caught=own - lost,
            false_alarms=alone,
            called_anomalous=bool(results.scores[peak] > results.threshold),
        )
        rows.append(row)
    return SplitResults(results, unit, normal, events, missed, false, rows)


def _normal_parts(results: LabelledResults, clip: range, segment_s: float | None) -> list[ClipPart]:
    """Return the clip, or its pieces, as far as nothing in them is anomalous."""
    numbers = [0] * len(clip)
    if segment_s is not None:
        numbers = piece_numbers(results.times_s[clip.start : clip.stop].tolist(), segment_s)
    bounds = [clip.start + row for row in range(1, len(clip)) if numbers[row] != numbers[row - 1]]
    parts = [range(first, last) for first, last in zip([clip.start, *bounds], [*bounds, clip.stop], strict=True)]
    normal = (part for part in parts if not results.anomalous[part.start : part.stop].any())
    return [_part(results, part, whole=len(parts) == 1) for part in normal]


def _part(results: LabelledResults, frames: range, *, whole: bool = False) -> ClipPart:
    peak = _peak(results, frames)
    clip = results.clips[frames.start]
    name = clip if whole else f"{clip} {clock(results.times_s[frames.start])}"
    return ClipPart(name, results.kinds[frames.start], frames, peak, float(results.scores[peak]))


def _peak(results: LabelledResults, frames: range) -> int:
    return frames.start + int(results.scores[frames.start : frames.stop].argmax())


def _holds(parts: Sequence[ClipPart], position: int) -> bool:
    return any(position in part.frames for part in parts)
