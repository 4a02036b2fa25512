"""Events as a file: CSV, JSON, or WebVTT, which players load as subtitles; the suffix says which."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adkit.drawing.regions import region_columns
from adkit.errors import OptionError
from adkit.files.atomic import require_output, write_text
from adkit.files.table import csv_text
from adkit.watching.events import Event

EventsOfClips = Mapping[str, Sequence[Event]]
"""The events of each clip by its name."""


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as plain values by name; times in seconds, the box in px of the video."""
    return {
        "event": event.number,
        "start_s": round(event.start_s, 3),
        "end_s": round(event.end_s, 3),
        "start_frame": event.start_frame,
        "end_frame": event.end_frame,
        "peak": event.peak,
        "peak_s": round(event.peak_s, 3),
        "peak_frame": event.peak_frame,
        "mean": event.mean,
        **region_columns(event.region),
    }


COLUMNS = ("clip", *event_row(Event(0, 0, 0, 0, 0, 0, 0, 0, 0, None)))


def require_event_file(path: Path, clips: int) -> None:
    """Raise AdkitError for a suffix that names no format, or for subtitles of several clips."""
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        told = f"the suffix of {path} names no format for events; .csv, .json or .vtt was expected"
        raise OptionError(told, hint="for example --events events.csv")
    if suffix == ".vtt" and clips > 1:
        hint = "name a .csv or .json, or one video at a time"
        raise OptionError(f"{path} would be subtitles of {clips} videos at once", hint=hint)
    require_output(path)


def write_events(path: Path, clips: EventsOfClips) -> None:
    """Write all events of all clips into one file, which is whole or not there."""
    require_event_file(path, len(clips))
    write_text(path, _FORMATS[path.suffix.lower()](clips))


def _csv(clips: EventsOfClips) -> str:
    rows = [{"clip": clip, **event_row(event)} for clip, events in clips.items() for event in events]
    return csv_text(rows, COLUMNS)


def _json(clips: EventsOfClips) -> str:
    document = [{"clip": clip, "events": [event_row(event) for event in events]} for clip, events in clips.items()]
    return json.dumps(document, indent=2) + "\n"


def _webvtt(clips: EventsOfClips) -> str:
    cues = [_cue(event) for events in clips.values() for event in events]
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def _cue(event: Event) -> str:
    where = f", {event.region.words}" if event.region else ""
    span = f"{_stamp(event.start_s)} --> {_stamp(max(event.end_s, event.start_s + 0.001))}"
    return f"{event.number}\n{span}\nevent {event.number}: score {event.peak:.3g}{where}"


def _stamp(time_s: float) -> str:
    """Format a time as WebVTT wants it: "01:02:03.500"."""
    minutes, thousandths = divmod(round(time_s * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"


_FORMATS: dict[str, Callable[[EventsOfClips], str]] = {".csv": _csv, ".json": _json, ".vtt": _webvtt}
