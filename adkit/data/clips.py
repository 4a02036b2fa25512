"""Clips as training data: frames are taken at steps in time, and clips are cut where there are few.

Frames of one clip are alike, so that a threshold counts clips, of which few long videos give too few. Pieces of one
video are more alike than videos are; docs/thresholds.md says what that means for the promise.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import median

from adkit.stats.formatting import SLACK, clock, duration_text
from adkit.stats.segments import grouped, length_s
from adkit.types import Sample

PIECES = 20  # with fewer clips than this, long ones are cut
LEAST_PIECE_S, LONGEST_PIECE_S = 1.0, 20.0
CUT_FROM_S = 2 * LEAST_PIECE_S  # a single clip this long is cut
GAP_S, GAP_SHARE = 1.0, 0.2
"""Before the next piece, so much of one is left out, at most as this share of it: neighbours in time are too alike."""
STEP_S = 0.12
"""Between the frames that a method takes that sees each by itself: so far apart, motion shows between two of them."""
MOST_FRAMES = 3000  # such a method learns from no more than about this many of clips, unless it is told to
MOST_UNLIKE = 1.3  # frames whose steps in time are less than so many times apart are judged alike


def are_stills(samples: Sequence[Sample]) -> bool:
    """Say whether each sample is a clip of its own."""
    return len({sample.clip for sample in samples}) == len(samples)


def spacing(samples: Sequence[Sample], *, temporal: bool) -> int:
    """Say in how many frames one is taken when nobody says; 1 for stills and for methods that look at motion."""
    if temporal or are_stills(samples):
        return 1
    return max(one_in(STEP_S, frame_gap_s(samples)), math.ceil(len(samples) / MOST_FRAMES))


def frame_gap_s(samples: Sequence[Sample]) -> float:
    """Return the usual time from one frame to the clip's next; 0 where no clip has two frames."""
    gaps_s = [later.time_s - one.time_s for one, later in pairwise(samples) if later.clip == one.clip]
    return median(gaps_s) if gaps_s else 0.0


def differ(step_s: float, other_s: float) -> bool:
    """Say whether steps in time are so far apart that what moves looks faster, or slower."""
    return not 1 / MOST_UNLIKE < step_s / other_s < MOST_UNLIKE


def other_length(own_s: float | None, learned_s: float | None) -> str | None:
    """Say so where clips last clearly longer, or shorter, than those whose number a threshold promises something of."""
    if not own_s or not learned_s or not differ(own_s, learned_s):
        return None
    own, learned, more = duration_text(own_s), duration_text(learned_s), "more" if own_s > learned_s else "fewer"
    return f"clips last {own} here and {learned} where the threshold was set: {more} are flagged than it promises"


def one_in(step_s: float, gap_s: float) -> int:
    """Say in how many frames, `gap_s` apart, one is to be taken so that those taken are about `step_s` apart."""
    return max(1, round(step_s / gap_s)) if gap_s > 0 else 1


class Pace:
    """Says of each frame of a clip, by its time, whether it is to be taken: so that those are about `step_s` apart."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._taken_s = self._before_s = -math.inf

    def __call__(self, time_s: float) -> bool:
        """Take the next frame, or pass it over: the one that is nearest to a step after the last one is taken."""
        gap_s, self._before_s = time_s - self._before_s, time_s
        due = time_s - self._taken_s >= self.step_s - gap_s / 2 - 1e-6
        if due:
            self._taken_s = time_s
        return due


def at_steps(samples: Sequence[Sample], step_s: float) -> list[Sample]:
    """Return frames of each clip that are about `step_s` apart, whatever its own rate is; two of each at least."""
    found = []
    for frames in grouped(samples, lambda sample: sample.clip).values():
        pace = Pace(step_s)
        taken = [one for one in frames if pace(one.time_s)]
        found += taken if len(taken) > 1 else [*taken, *frames[1:][-1:]]
    return found


def with_events_between(samples: Sequence[Sample], taken: Sequence[Sample]) -> tuple[list[Sample], int]:
    """Return the frames that were taken of the samples, and how many events they do not tell from what is before.

    An event between two of them becomes one of the frame before it: whoever judges the frames that were taken misses
    it, and its clip is not all normal. Two events with none of them between become one.
    """
    ids, kinds = {one.id for one in taken}, dict[str, str | None]()
    before, of_event, count = "", "", 0  # the last frame that was taken, and its clip where it is of an event
    for (clip, anomalous), frames in groupby(samples, key=lambda one: (one.clip, one.anomalous)):
        run = list(frames)
        judged = [one.id for one in run if one.id in ids]
        count += bool(anomalous) and (not judged or of_event == clip)
        if judged:
            before, of_event = judged[-1], clip if anomalous else ""
        elif anomalous:
            kinds.setdefault(before, run[0].kind)
            of_event = clip
    lost = (one.id in kinds and not one.anomalous for one in taken)
    return [
        replace(one, anomalous=True, kind=kinds[one.id]) if between else one
        for one, between in zip(taken, lost, strict=True)
    ], count


def ends_s(samples: Sequence[Sample]) -> dict[str, float]:
    """Return when each clip ends: its last frame is shown as long as the one before."""
    clips = grouped(samples, lambda sample: sample.clip)
    return {clip: 2 * frames[-1].time_s - frames[-2:][0].time_s for clip, frames in clips.items()}


def cut(samples: Sequence[Sample]) -> tuple[list[Sample], float | None]:
    """Return the samples with long clips cut into some 20 pieces, with gaps, and how long one is without its gap.

    None: not cut.
    """
    clips = grouped(samples, lambda sample: sample.clip)
    lengths_s = lasting_s(samples)
    segment_s = min(max(sum(lengths_s.values()) / PIECES, LEAST_PIECE_S), LONGEST_PIECE_S)
    # A piece holds two frames at least: of single ones, images would be counted.
    gaps_s = [lengths_s[clip] / len(frames) for clip, frames in clips.items() if len(frames) > 1]
    segment_s = max(segment_s, 2 * max(gaps_s, default=0.0))
    if len(clips) >= PIECES or max((_count(one_s, segment_s) for one_s in lengths_s.values()), default=0) < 2:
        return list(samples), None
    gap_s = max(0.0, min(GAP_S, GAP_SHARE * segment_s, segment_s - 2 * max(gaps_s, default=0.0)))
    return cut_into(samples, segment_s, gap_s), round(segment_s - gap_s, 3)


def cut_into(samples: Sequence[Sample], segment_s: float, gap_s: float = 0.0) -> list[Sample]:
    """Return the samples with clips cut into some of about so many seconds; `gap_s` before the next one is missing."""
    clips = grouped(samples, lambda sample: sample.clip)
    lengths_s = lasting_s(samples)
    counts = {clip: _count(one_s, segment_s) for clip, one_s in lengths_s.items()}
    found = []
    for clip, members in clips.items():
        start_s, each_s, count = members[0].time_s, lengths_s[clip] / counts[clip], counts[clip]
        for sample, piece in zip(members, piece_numbers([one.time_s for one in members], segment_s), strict=True):
            name = f"{clip} {clock(start_s + piece * each_s)}" if count > 1 else clip
            if piece >= count - 1 or sample.time_s < start_s + (piece + 1) * each_s - gap_s - SLACK:
                found.append(replace(sample, clip=name))
    return found


def lasting_s(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the seconds that each clip lasts."""
    clips = grouped(samples, lambda sample: sample.clip)
    return {clip: length_s([frame.time_s for frame in frames]) for clip, frames in clips.items()}


def _count(whole_s: float, segment_s: float) -> int:
    """Say into how many pieces a clip is cut evenly: no piece is shorter than `segment_s`."""
    return max(1, int(whole_s / segment_s + SLACK))


def piece_numbers(times_s: Sequence[float], segment_s: float) -> list[int]:
    """Say which piece each frame is in, from 0: the clip is cut evenly, no piece is shorter than `segment_s`."""
    whole_s = length_s(times_s)
    count = _count(whole_s, segment_s)
    each_s = whole_s / count or 1.0  # of a single frame it does not matter
    return [min(int((time_s - times_s[0]) / each_s + SLACK), count - 1) for time_s in times_s]
