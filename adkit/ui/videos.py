"""Where a video that is dropped into Inspect goes: the annotated video, a timeline to click, a table of events.

Everything that the page knows of videos is here: `is_video` sends an upload this way, `watch` looks at it, and
`panel` shows what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from adkit.errors import FrameError
from adkit.interfaces import Progress
from adkit.ui.scoring import Ready, Upload

_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of a video that is anomalous."""

    from_s: float
    to_s: float
    highest: float  # score


@dataclass(frozen=True, slots=True)
class Watched:
    """What was found in a video."""

    name: str
    annotated: Path  # a video that browsers play
    seconds: float
    scores: Sequence[float]  # of frames that lie equally far apart
    threshold: float
    events: Sequence[Event]


def is_video(path: Path) -> bool:
    """Whether the file's name says that it is a video."""
    return path.suffix.lower() in _SUFFIXES


def watch(ready: Ready, upload: Upload, folder: Path, progress: Progress) -> Watched:
    """Looks at a whole video and writes the annotated one into `folder`; raises AdkitError for what cannot be read."""
    raise FrameError(
        f"{upload.name} is a video, and this page looks at images only",
        hint="save the video's frames as images, and drop those",
    )


def panel(watched: Watched, address: str) -> str:
    """Player, timeline and events; `address` is where the browser finds the annotated video."""
    rows = "".join(
        f'<tr><td><button type="button" class="ak-link" data-seek="{event.from_s:.3f}">{_clock(event.from_s)}</button>'
        f'</td><td>{_clock(event.to_s)}</td><td class="ak-number">{event.highest:.4f}</td></tr>'
        for event in watched.events
    )
    table = (
        '<table class="ak-table"><thead><tr><th>from</th><th>to</th><th>highest score</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        if rows
        else '<p class="ak-faint">No frame is above the threshold.</p>'
    )
    return (
        f'<div class="ak-watched"><video controls playsinline src="{escape(address)}"></video>{timeline(watched)}'
        f"{table}</div>"
    )


def timeline(watched: Watched) -> str:
    """The scores over time as a picture, whose places seek the player when they are clicked."""
    count = max(1, len(watched.scores) - 1)
    low = min([*watched.scores, watched.threshold])
    high = max([*watched.scores, watched.threshold])
    span = max(high - low, 1e-12)

    def y(value: float) -> float:
        return 6 + (1 - (value - low) / span) * 68

    line = " ".join(f"{1000 * number / count:.1f},{y(value):.1f}" for number, value in enumerate(watched.scores))
    shades = "".join(
        f'<rect x="{1000 * event.from_s / watched.seconds:.1f}" y="0" height="80" '
        f'width="{max(2.0, 1000 * (event.to_s - event.from_s) / watched.seconds):.1f}" fill="var(--ak-soft)"/>'
        for event in watched.events
    )
    return (
        f'<svg class="ak-timeline ak-bad" data-seconds="{watched.seconds:.3f}" viewBox="0 0 1000 80" '
        f'preserveAspectRatio="none" role="img" aria-label="scores over time">{shades}'
        f'<line x1="0" x2="1000" y1="{y(watched.threshold):.1f}" y2="{y(watched.threshold):.1f}" '
        'stroke="var(--ak)" stroke-dasharray="6 4"/>'
        f'<polyline points="{line}" fill="none" stroke="var(--color-accent)" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes)}:{rest:04.1f}"
