"""Spans of a video, written as people say them ("0:00-2:00"), and the frames in them as data to learn from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from adkit.data.fingerprints import content_hash
from adkit.data.video import video_times
from adkit.errors import DatasetError, OptionError
from adkit.interfaces import Dataset
from adkit.stats.formatting import clock
from adkit.types import FrameRef, Sample, Split

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*s?")
_HINT = "write it as 0:00-2:00, 1:02:03.5-1:10:00 or 0s-90s"
_SLACK_S = 0.5  # people round the length of a video


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From `start_s` up to, not including, `end_s`, in seconds from a video's first frame."""

    start_s: float
    end_s: float

    def __str__(self) -> str:
        times = ((one, clock(one)) for one in (self.start_s, self.end_s))
        return "-".join(text if parse_time(text) == time_s else f"{time_s}s" for time_s, text in times)

    def __contains__(self, time_s: float) -> bool:
        return self.start_s <= time_s < self.end_s


def parse_time(text: str) -> float:
    """Return the seconds that "0:00", "1:02:03.5", "90s" or "90" mean; raises OptionError for anything else."""
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups()
        if float(seconds) < 60 and (hours is None or int(minutes) < 60):
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    elif match := _SECONDS.fullmatch(text.strip()):
        return float(match[1])
    raise OptionError(f"{text!r} is not a time", hint=_HINT)


def parse_spans(texts: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans in their order; raises OptionError for what is none, is empty, or overlaps another."""
    spans = []
    for text in texts:
        start, dash, end = text.partition("-")
        if not dash:
            raise OptionError(f"{text!r} is not a span of time", hint=_HINT)
        span = Span(parse_time(start), parse_time(end))
        if span.end_s <= span.start_s:
            raise OptionError(f"the span {text} ends before it begins", hint=_HINT)
        spans.append(span)
    spans.sort()
    for earlier, later in pairwise(spans):
        if later.start_s < earlier.end_s:
            raise OptionError(f"the spans {earlier} and {later} overlap", hint="name each part once")
    return tuple(spans)


class VideoSpans(Dataset):
    """Spans of one video in which all is normal, each a clip to learn from; there is nothing to judge."""

    name: ClassVar[str] = "span"

    def __init__(self, path: Path, spans: Sequence[Span]) -> None:
        self.path, self.spans = path, tuple(spans)
        self.root = path.resolve().parent
        self.spec = f"{self.name}:{path.name}@" + ",".join(map(str, self.spans))

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Read a span like "line.mp4@0:00-2:00"."""
        name, at, spans = selection.rpartition("@")
        if not at:
            raise DatasetError(f"{selection!r} names no span of a video", hint="for example: span:line.mp4@0:00-2:00")
        return [cls(Path(root or ".") / name, parse_spans(spans.split(",")))]

    def samples(self, split: Split) -> list[Sample]:
        """Return the frames of the spans; raises DatasetError for a span that the video does not have."""
        if split != "train":
            return []
        times, name = video_times(self.path), self.path.name
        found = []
        for span in self.spans:
            if span.end_s > times[-1] + _SLACK_S:
                told = f"the span {span} was to be learned from, and {self.path} ends at {clock(float(times[-1]))}"
                raise DatasetError(told, hint="name an earlier part")
            clip = f"{name} {span}"  # the same wherever the user stands
            inside = [(number, float(time)) for number, time in enumerate(times) if time in span]
            if not inside:
                raise DatasetError(f"there is no frame of {self.path} in the span {span}", hint="name a longer one")
            start = inside[0][1]
            found += [
                Sample(f"{name}#{number}", FrameRef(self.path, number), clip, index, False, None, None, time - start)
                for index, (number, time) in enumerate(inside)
            ]
        return found


def learned_spans(dataset: str, training: Mapping[str, str], path: Path) -> tuple[Span, ...]:
    """Return the spans of this video that a run learned from, by its dataset's spec and checksums; () for others."""
    sort, _, selection = dataset.partition(":")
    if sort != VideoSpans.name or not training:
        return ()
    content = next(iter(training.values())).partition("#")[0]
    return parse_spans(selection.rpartition("@")[2].split(",")) if content == content_hash(FrameRef(path, 0)) else ()
