"""What a run says of clips of known truth: by clip, by event as `adkit score` finds them, and as the promise counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.data.clips import piece_numbers
from adkit.interfaces import LabelledResults
from adkit.stats.formatting import Unit, clock
from adkit.stats.rates import DecisionRates, Rate, decision_rates
from adkit.stats.segments import grouped
from adkit.watching.events import EventFinder, EventRules, Moment, release_level

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClipPart:
    """Consecutive frames of one clip, with the one of the highest score."""

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
class ClipResults:
    """A test split of clips at the run's threshold."""

    rows: list[ClipRow]
    normal: list[ClipPart]  # all-normal clips, or pieces of clips, as the promise counts them
    events: list[ClipPart]  # in truth
    found: list[ClipPart]
    results: LabelledResults
    unit: str  # what the promise counts, in the singular: "clip", or "5 s piece"

    @property
    def missed(self) -> list[ClipPart]:
        """Return the true events that no found one touches."""
        return [event for event in self.events if not _any(self.results.alarms, event)]

    @property
    def false(self) -> list[ClipPart]:
        """Return the found events that touch no anomalous frame."""
        return [event for event in self.found if not _any(self.results.anomalous, event)]

    @property
    def rates(self) -> DecisionRates:
        """Return how many normal clips (or pieces) are flagged and true events caught; means are of frames."""
        results = self.results
        return replace(
            decision_rates(results.scores, results.anomalous, results.threshold),
            false_alarms=Rate.counted(sum(part.score > results.threshold for part in self.normal), len(self.normal)),
            caught=Rate.counted(len(self.events) - len(self.missed), len(self.events)),
            oracle_passing=(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the table by clip, and the events."""
        missed = set(self.missed)
        return {
            "unit": self.unit,
            "clips": [asdict(row) for row in self.rows],
            "events": [
                {"clip": event.name, "kind": event.kind, "frames": len(event.frames), "caught": event not in missed}
                for event in self.events
            ],
        }


def alarms_at(threshold: float, normal_scores: Values, clips: Sequence[str], times_s: Values, scores: Values) -> Flags:
    """Return which frames (N,) belong to an event that the threshold finds; `normal_scores` are of normal frames."""
    rules = EventRules(threshold, release_level(threshold, normal_scores))
    alarms = np.zeros(len(scores), bool)
    for positions in grouped(range(len(scores)), clips.__getitem__).values():
        finder, settled = EventFinder(rules), []
        for position in positions:
            settled += finder.add(Moment(position, float(times_s[position]), float(scores[position])))
        for moment, number in [*settled, *finder.finish()]:
            alarms[moment.frame] = number is not None
    return alarms


def clip_results(results: LabelledResults, segment_s: float | None, aurocs: Mapping[str, float | None]) -> ClipResults:
    """Return what the threshold does to clips; `aurocs` are of single clips by their name, `segment_s` is the run's."""
    clips = results.spans(np.ones(len(results.scores), bool))
    normal = [part for clip in clips for part in _normal_parts(results, clip, segment_s)]
    events = [_part(results, span) for span in results.spans(results.anomalous)]
    found = [_part(results, span) for span in results.spans(results.alarms)]
    rows = []
    for clip in clips:
        name, peak = results.clips[clip.start], _peak(results, clip)
        score, anomalous = float(results.scores[peak]), int(results.anomalous[clip.start : clip.stop].sum())
        own, alarms = ([event for event in some if event.frames.start in clip] for some in (events, found))
        caught = sum(_any(results.alarms, event) for event in own)
        false, called = sum(not _any(results.anomalous, alarm) for alarm in alarms), score > results.threshold
        peak_s, auroc = float(results.times_s[peak]), aurocs.get(name)
        rows.append(ClipRow(name, len(clip), anomalous, score, peak_s, auroc, len(own), caught, false, called))
    return ClipResults(rows, normal, events, found, results, Unit.of("clip", segment_s).name)


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


def _any(flags: Flags, part: ClipPart) -> bool:
    return bool(flags[part.frames.start : part.frames.stop].any())
