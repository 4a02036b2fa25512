"""Where a video that is dropped into Inspect goes: the annotated video, a timeline to click, a table of events.

Everything that the page knows of videos is here: `watch` looks at one, and `panel` shows what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adkit.errors import AdkitError, FrameError, StorageError
from adkit.interfaces import Progress, Silent
from adkit.ui.markup import render
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
    scores: Sequence[tuple[float, float]]  # of the frames that were judged, with their seconds before them
    threshold: float
    events: Sequence[Event]
    faults: Sequence[AdkitError] = ()  # what is wrong with the video, or with writing

    @property
    def seconds(self) -> float:
        """Say how long it is."""
        return max(self.scores[-1][0], 1e-3) if self.scores else 1e-3


def watch(judges: Judges, ready: Ready, upload: Upload, folder: Path, progress: Progress | None = None) -> Seen:
    """Watch a whole video and write the annotated one into `folder`; raises AdkitError for what cannot be read."""
    from adkit.data.inputs import VideoInput
    from adkit.watching.watch import Settings, Watch
    from adkit.workflows.score import open_model

    limits = judges.settings.limits
    annotated = folder / "annotated.mp4"
    scores: list[tuple[float, float]] = []
    try:
        expected = require_video(upload.path, upload.name, limits)
        with judges.watching, (progress or Silent()).task("watching", max(1, expected)) as advance:
            # A model of its own: a video takes minutes, and others would else wait for it.
            run = judges.ready(ready.model.run.record.id).model.run  # as it is now: it may have been calibrated anew
            model = open_model(run, judges.registry, device=judges.settings.device)
            watching = Watch(model, VideoInput(upload.name, video=upload.path), Settings(annotate=annotated))
            results = iter(watching)
            for result in results:
                scores.append((result.time_s, result.score))
                advance(watching.every)
                if result.time_s > limits.video_s:  # whatever the file says of its length
                    results.close()  # type: ignore[attr-defined]
                    annotated.unlink(missing_ok=True)
                    raise too_long(upload.name, limits)
    except (FrameError, StorageError) as error:
        raise upload.named_in(error) from None
    faults = [upload.named_in(error) for error in watching.faults]
    shown = annotated if annotated.exists() else None
    return Seen(upload.name, shown, scores, watching.rules.threshold, watching.events, faults)


def panel(seen: Seen, address: str) -> str:
    """Return player, timeline and events; `address` is where the browser finds the annotated video."""
    step = max(1, -(-len(seen.scores) // MOST_POINTS))
    groups = (seen.scores[first : first + step] for first in range(0, len(seen.scores), step))
    points = [max(group, key=lambda pair: pair[1]) for group in groups]
    return render("video.html", seen=seen, points=points, address=address)


def verdict(seen: Seen) -> str:
    """Return how many events there are, and when the worst is."""
    return render("video_verdict.html", seen=seen)
