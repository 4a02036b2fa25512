"""Where a video that is dropped into Inspect goes: the annotated video, a timeline to click, a table of events.

Everything that the page knows of videos is here: `watch` looks at one, and `panel` shows what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adkit.errors import AdkitError, FrameError, StorageError
from adkit.interfaces import Progress, Silent
from adkit.stats.formatting import clock, counted
from adkit.ui.markup import fault
from adkit.ui.safety import require_video, too_long
from adkit.ui.scoring import Judges, Ready, Upload

if TYPE_CHECKING:
    from adkit.watching.events import Event

MOST_POINTS = 1200
"""Of the timeline; of the scores between two points the highest is shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a video."""

    name: str
    annotated: Path | None  # a video that browsers play; None: it could not be written
    times: Sequence[float]  # seconds, of the frames that were judged
    scores: Sequence[float]
    threshold: float
    events: Sequence[Event]
    faults: Sequence[AdkitError] = ()  # what is wrong with the video, or with writing

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(self.times[-1], 1e-3) if self.times else 1e-3


def watch(judges: Judges, ready: Ready, upload: Upload, folder: Path, progress: Progress | None = None) -> Seen:
    """Looks at a whole video and writes the annotated one into `folder`; raises AdkitError for what cannot be read."""
    from adkit.data.inputs import VideoInput
    from adkit.watching.watch import Settings, Watch

    limits = judges.settings.limits
    try:
        expected = require_video(upload.path, upload.name, limits)
        annotated = folder / "annotated.mp4"
        times: list[float] = []
        scores: list[float] = []
        with judges.watching, (progress or Silent()).task("watching", max(1, expected)) as advance:
            judge = judges.judge_of_its_own(ready)
            watching = Watch(judge, VideoInput(upload.name, video=upload.path), Settings(annotate=annotated))
            results = iter(watching)
            for result in results:
                times.append(result.time_s)
                scores.append(result.score)
                advance(watching.every)
                if result.time_s > limits.video_s:  # whatever the file says of its length
                    results.close()  # type: ignore[attr-defined]
                    annotated.unlink(missing_ok=True)
                    raise too_long(upload.name, limits)
    except (FrameError, StorageError) as error:
        raise _named(error, upload) from None
    faults = [_named(error, upload) for error in watching.faults]
    shown = annotated if annotated.exists() else None
    return Seen(upload.name, shown, times, scores, watching.rules.threshold, watching.events, faults)


def panel(seen: Seen, address: str) -> str:
    """Player, timeline and events; `address` is where the browser finds the annotated video."""
    faults = "".join(fault(error.message, error.hint) for error in seen.faults)
    player = f'<video controls playsinline src="{escape(address)}"></video>' if seen.annotated else ""
    return f'<div class="ak-watched">{faults}{player}{_timeline(seen)}{_table(seen)}</div>'


def verdict(seen: Seen) -> str:
    """How many events there are, and when the worst is."""
    if not seen.events:
        return (
            '<div class="ak-verdict ak-good" role="status"><div><strong>✓ Nothing anomalous</strong>'
            f"<small>{escape(seen.name)}: {clock(seen.seconds)}, {len(seen.scores):,} frames judged</small></div></div>"
        )
    worst = max(seen.events, key=lambda event: event.peak)
    return (
        f'<div class="ak-verdict ak-bad" role="status"><div><strong>✕ {counted(len(seen.events), "event")}</strong>'
        f"<small>worst at {clock(worst.peak_s)}: score {worst.peak:.4f}, threshold {seen.threshold:.4f}</small>"
        f"<small>{escape(seen.name)}: {clock(seen.seconds)}, {len(seen.scores):,} frames judged</small></div></div>"
    )


def _table(seen: Seen) -> str:
    if not seen.events:
        return ""
    rows = "".join(
        f'<tr><td><button type="button" class="ak-link" data-seek="{event.start_s:.3f}">{clock(event.start_s)}</button>'
        f'</td><td class="ak-number">{event.duration_s:.1f} s</td><td class="ak-number">{event.peak:.4f}</td>'
        f"<td>{escape(event.region.words) if event.region else '–'}</td></tr>"
        for event in seen.events
    )
    heads = "".join(f'<th scope="col">{title}</th>' for title in ("Event at", "Lasts", "Highest score", "Where"))
    table = f'<table class="ak-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="ak-scroll">{table}</div>'


def _timeline(seen: Seen) -> str:
    """The scores over time as a picture, whose places seek the player when they are clicked."""
    points = _points(seen)
    values = [value for _, value in points] + [seen.threshold]
    low, high = min(values), max(values)
    span = max(high - low, 1e-12)

    def x(time_s: float) -> float:
        return 1000 * time_s / seen.seconds

    def y(value: float) -> float:
        return 6 + (1 - (value - low) / span) * 68

    line = " ".join(f"{x(time_s):.1f},{y(value):.1f}" for time_s, value in points)
    shades = "".join(
        f'<rect x="{x(event.start_s):.1f}" y="0" height="80" width="{max(3.0, x(event.duration_s)):.1f}" '
        'fill="var(--ak)" opacity=".22"/>'
        for event in seen.events
    )
    return (
        f'<div class="ak-timeline ak-bad" data-seconds="{seen.seconds:.3f}"><svg viewBox="0 0 1000 80" '
        f'preserveAspectRatio="none" role="img" aria-label="scores over time">{shades}'
        f'<line x1="0" x2="1000" y1="{y(seen.threshold):.1f}" y2="{y(seen.threshold):.1f}" stroke="var(--ak)" '
        f'stroke-dasharray="6 4" vector-effect="non-scaling-stroke"/><polyline points="{line}" fill="none" '
        'stroke="var(--color-accent)" stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg><i></i>'
        f"<p class='ak-faint'><span>0:00</span><span>score; dashed: threshold; shaded: events</span>"
        f"<span>{clock(seen.seconds)}</span></p></div>"
    )


def _points(seen: Seen) -> list[tuple[float, float]]:
    pairs = list(zip(seen.times, seen.scores, strict=True))
    step = max(1, -(-len(pairs) // MOST_POINTS))
    return [max(pairs[first : first + step], key=lambda pair: pair[1]) for first in range(0, len(pairs), step)]


def _named(error: AdkitError, upload: Upload) -> Any:
    return type(error)(error.message.replace(str(upload.path), upload.name), hint=error.hint)
