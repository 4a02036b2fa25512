"""Videos on the page: `watch` looks at one; `panel` shows it annotated, a timeline to click and a table of events."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adkit.data.inputs import VideoInput
from adkit.errors import AdkitError, FrameError, StorageError
from adkit.files.atomic import write_text
from adkit.files.table import csv_text
from adkit.interfaces import SILENT, Progress
from adkit.stats.formatting import clock
from adkit.ui.markup import render
from adkit.ui.safety import require_video, too_long
from adkit.ui.scoring import Judges, Upload
from adkit.watching.event_files import write_events
from adkit.watching.events import Event
from adkit.watching.watch import Settings, Watch, frame_row
from adkit.workflows.score import FittedModel, open_model

MOST_POINTS = 1200
"""Of the timeline; of the scores between two points the highest is shown."""
DOWNLOADS = ("annotated.mp4", "events.csv", "scores.csv")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a video."""

    name: str
    run: str  # the id of the run that judged it
    annotated: Path | None  # a video that browsers play; None: it could not be written
    scores: Sequence[tuple[float, float]]  # of the frames that were judged, with their seconds before them
    threshold: float
    events: Sequence[Event]
    files: Mapping[str, Path]  # to download, by what they are
    faults: Sequence[AdkitError] = ()  # what is wrong with the video, or with writing
    notes: Sequence[str] = ()  # what its scores are worth less for

    @property
    def seconds(self) -> float:
        """Say how long it is."""
        return max(self.scores[-1][0], 1e-3) if self.scores else 1e-3


def watch(
    judges: Judges,
    model: FittedModel,
    upload: Upload,
    folder: Path,
    progress: Progress = SILENT,
    stop: threading.Event | None = None,
) -> Seen:
    """Watch a video to its end or until `stop` is set; what can be downloaded goes into `folder`. Raises AdkitError."""
    limits, stop = judges.settings.limits, stop or threading.Event()
    files = {name: folder / f"{upload.path.stem}-{name.replace(' ', '-')}" for name in DOWNLOADS}
    annotated, scores, rows = files["annotated.mp4"], [], []
    try:
        expected = require_video(upload.path, upload.name, limits)
        with judges.watching, progress.task(f"watching {upload.name}", max(1, expected)) as advance:
            # A model of its own: a video takes minutes, and others would else wait for it.
            run = judges.ready(model.run.record.id).run  # as it is now: it may have been calibrated anew
            model = open_model(run, judges.registry, device=judges.settings.device)
            watching = Watch(model, VideoInput(upload.name, video=upload.path), Settings(annotate=annotated), stop)
            results = iter(watching)
            for result in results:
                scores.append((result.time_s, result.score))
                rows.append(frame_row(upload.name, watching.rules.threshold, result))
                advance(watching.every)
                if result.time_s > limits.video_s:  # whatever the file says of its length
                    results.close()  # type: ignore[attr-defined]
                    annotated.unlink(missing_ok=True)
                    raise too_long(upload.name, limits)
    except (FrameError, StorageError) as error:
        raise upload.named_in(error) from None
    write_events(files["events.csv"], {upload.name: watching.events})
    write_text(files["scores.csv"], csv_text(rows))
    notes = [f"the run {model.doubt_of_clips}"] if model.doubt_of_clips else []
    if watching.learned:
        notes.append(
            f"the run learned from {', '.join(map(str, watching.learned))} of this video: no event is told there"
        )
    if stop.is_set():
        notes.insert(0, f"cancelled at {clock(scores[-1][0] if scores else 0)}: nothing is said of the rest")
    return Seen(
        upload.name,
        run.record.id,
        annotated if annotated.exists() else None,
        scores,
        watching.rules.threshold,
        watching.events,
        {name: path for name, path in files.items() if path.exists()},
        [upload.named_in(error) for error in watching.faults],
        notes,
    )


def panel(seen: Seen, address_of: Callable[[Path], str]) -> str:
    """Return verdict, player, timeline, events and downloads; `address_of` is where the browser finds a file."""
    step = max(1, -(-len(seen.scores) // MOST_POINTS))
    groups = (seen.scores[first : first + step] for first in range(0, len(seen.scores), step))
    points = [max(group, key=lambda pair: pair[1]) for group in groups]
    return render("video.html", seen=seen, points=points, address_of=address_of)
