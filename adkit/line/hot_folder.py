"""A folder that is watched: each image is judged once, in order, whatever happens to the process."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

from adkit.errors import AdkitError
from adkit.line.inbox import Arrival, Inbox
from adkit.line.journal import Journal, Note, Row
from adkit.stats.batch import Decisions
from adkit.types import Sample
from adkit.workflows.score import FittedModel, FrameResult, still_row

Draw = Callable[[Arrival, FrameResult], Path]
"""Draws a part with its map into a picture that no other part's replaces."""
POLL_S = 0.01
_BY_THRESHOLD = Decisions()
_AT_ONCE = 64  # files of a backlog: new ones are looked for after so many


def watch_folder(
    model: FittedModel,
    inbox: Inbox,
    journal: Journal,
    stop: Event,
    note: Note,
    *,
    once: bool = False,
    decisions: Decisions = _BY_THRESHOLD,
    draw: Draw | None = None,
) -> None:
    """Judge what comes until `stop` is set (`once`: what is there), draw what is anomalous, note rows once kept."""
    inbox.judged |= {row.get("identity", "") for row in journal.rows()}
    while not stop.is_set():
        judged = False
        for row in _rows(model, inbox, inbox.ready(_AT_ONCE), draw):
            judged = True
            named = journal.record(decisions.third(row))
            inbox.judged.add(named["identity"])
            note(named)
            if stop.is_set():
                return
        if not judged:
            if once and not inbox.waiting:
                return
            stop.wait(POLL_S)


def _rows(model: FittedModel, inbox: Inbox, arrivals: Sequence[Arrival], draw: Draw | None) -> Iterator[Row]:
    """Yield a row for each file that can be read, or will never be."""
    judged = model.stills(Sample.still(str(one.path), one.path) for one in arrivals)
    for arrival, (sample, found) in zip(arrivals, judged, strict=True):
        if isinstance(found, FrameResult):
            if why := model.doubt(found):
                asks = f"is {model.run.record.id}, of {model.run.record.dataset}, the run for it?"
                inbox.tell_once(why, f"{arrival.path.name}: {why}; {asks}")
        elif not arrival.path.exists():
            inbox.tell_once("gone", f"{sample.id} was taken away before it was judged; others are not told of")
            continue
        elif inbox.may_become_readable(arrival):
            continue
        row = still_row(str(arrival.path.absolute()), model.threshold.value, found)
        if draw and isinstance(found, FrameResult) and found.anomalous:
            try:
                row["picture"] = str(draw(arrival, found))
            except AdkitError as error:  # the line goes on
                inbox.tell_once(error.message, f"{arrival.path.name} is not drawn: {error.message}")
        yield {**row, "identity": arrival.identity}
