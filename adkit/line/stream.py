"""A camera or stream that is watched until somebody stops it: a row for each event, and for each loss of the source."""

import math
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

from PIL import Image

from adkit.data.inputs import VideoInput
from adkit.data.live import Gap
from adkit.drawing.regions import region_columns
from adkit.errors import StorageError
from adkit.files.atomic import whole_file
from adkit.line.journal import Journal, Note, Row
from adkit.watching.events import Event
from adkit.watching.watch import Settings, Watch
from adkit.workflows.score import FittedModel

PICTURES = "pictures"
"""Holds the frames in which events were seen, beside the journal."""
MOST_DROPPED, LEAST_DROPPED = 0.1, 20
"""Of the frames so far, as many may be passed over without a word, as where the machine was busy for a moment."""


def watch_stream(
    model: FittedModel,
    source: VideoInput,
    journal: Journal,
    stop: Flag,
    note: Note,
    tell: Callable[[str], None],
    *,
    duration_s: float | None = None,
) -> None:
    """Judge the frames of a live source until `stop` is set, or `duration_s` have passed; `tell` what it cannot do.

    An event has a row when it begins, with the path of a frame, and one when it has ended; a source that is lost has
    one at once and another when it is back, however long that takes. Raises FrameError for what cannot be opened.
    """
    settings = Settings(duration_s=duration_s, reconnect_timeout_s=math.inf, pictures=True)
    watch = Watch(model, source, settings, stop)
    common = {"source": source.name, "threshold": model.threshold.value}

    def record(decision: str, more: Row) -> None:
        note(journal.record({**common, "path": None, "decision": decision, "score": None, **more}))

    assert watch.source.feed is not None
    watch.source.feed.tell = lambda reason: record("lost", {"error": reason})

    def tell_news() -> None:
        for what, one in watch.news():
            if isinstance(one, Gap):
                if one.end_s is not None:
                    record("back", {"start_s": one.start_s, "end_s": one.end_s, "error": one.reason})
            elif what == "began":
                path = None
                try:
                    path = _picture(watch, journal)
                except StorageError as error:  # whoever is to stop the line needs no picture
                    tell(f"event {one.number} has no picture: {error.message}")
                record("anomalous", {"path": path, **_event(one)})
            else:
                record("ended", {"end_s": round(one.end_s, 3), **_event(one)})

    behind = False
    with closing(iter(watch)) as results:  # type: ignore[type-var]
        for _ in results:
            tell_news()
            dropped, seen = watch.dropped, watch.source.seen
            if not behind and dropped > max(LEAST_DROPPED, MOST_DROPPED * seen):
                behind = True
                told = f"{source.name}: {dropped:,} of {seen:,} frames were passed over: they come faster than they are"
                tell(f"{told} judged; a run with a smaller size is quicker: adkit fit --set size=N")
    tell_news()
    for fault in watch.faults:
        record("fault", {"error": fault.message})


def _event(event: Event) -> dict[str, object]:
    found = {"event": event.number, "start_s": round(event.start_s, 3), "score": event.peak}
    return {**found, **region_columns(event.region)}


def _picture(watch: Watch, journal: Journal) -> str | None:
    """Write the frame that was judged last, and return its path."""
    if watch.picture is None:
        return None
    path = Path(journal.path).parent / PICTURES / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.png"
    with whole_file(path) as unfinished:
        Image.fromarray(watch.picture).save(unfinished, "PNG", compress_level=1)
    return str(path.absolute())
