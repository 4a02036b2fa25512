"""A folder that is watched: each picture is judged once, in order, whatever happens to the process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

from adkit.data.frame_source import frames_of
from adkit.errors import AdkitError
from adkit.line.inbox import Arrival, Inbox
from adkit.line.journal import Journal, Row
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
    note: Callable[[Row], None],
    *,
    once: bool = False,
    decisions: Decisions = _BY_THRESHOLD,
    draw: Draw | None = None,
) -> None:
    """Judge what comes until `stop` is set, noting each row once it is kept; with `once`, only what is there now.

    What is anomalous is drawn, and its row names the picture.
    """
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


def _rows(
    model: FittedModel, inbox: Inbox, arrivals: Sequence[Arrival], draw: Callable[[Arrival, FrameResult], Path] | None
) -> Iterator[Row]:
    """Yield a row for each file that can be read, or will never be."""
    of_id = {str(one.path): one for one in arrivals}
    unreadable: list[Row] = []

    def told(sample: Sample, error: AdkitError) -> None:
        arrival = of_id[sample.id]
        if not arrival.path.exists():
            inbox.tell_once("gone", f"{sample.id} was taken away before it was judged; others are not told of")
            return
        if not inbox.may_become_readable(arrival):
            unreadable.append(_row(arrival, still_row(sample.id, model.threshold.value, None, error)))

    with closing(frames_of((Sample.still(name, one.path) for name, one in of_id.items()), model.view, told)) as frames:
        for result in model.stream(frames):
            if why := model.doubt(result):
                record = model.run.record
                asks = f"is {record.id}, of {record.dataset}, the run for it?"
                inbox.tell_once(why, f"{Path(result.id).name}: {why}; {asks}")
            arrival, row = of_id[result.id], still_row(result.id, model.threshold.value, result)
            if draw and result.anomalous:
                try:
                    row["picture"] = str(draw(arrival, result))
                except AdkitError as error:  # the line goes on
                    inbox.tell_once(error.message, f"{arrival.path.name} is not drawn: {error.message}")
            yield _row(arrival, row)
    yield from unreadable


def _row(arrival: Arrival, row: Row) -> Row:
    return {**row, "path": str(arrival.path.absolute()), "identity": arrival.identity}
