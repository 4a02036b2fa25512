"""What `watch` does with decisions: each is told, kept and delivered; `audit --follow` looks on."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import typer

from adkit.cli import stopping
from adkit.cli.output import Destination, say, say_places, tell, warn
from adkit.data.images import png_of
from adkit.data.inputs import VideoInput, find_inputs
from adkit.errors import PROMISE_BROKEN, OptionError, StorageError
from adkit.evaluation.pictures import PictureFolder, PictureWriter
from adkit.files.atomic import checksum, storage_faults, write_whole
from adkit.files.lock import lock
from adkit.line import sinks
from adkit.line.drift import DriftAlarm
from adkit.line.hot_folder import Draw
from adkit.line.inbox import Arrival
from adkit.line.journal import Journal, Row, following, tell_health
from adkit.line.sinks import Deliver
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.stats.formatting import counted, verb
from adkit.types import Sample
from adkit.workflows.score import FittedModel, FrameResult, calibrating_scores

SECRET = "ADKIT_WEBHOOK_SECRET"
Work = Callable[[Journal, Event, Callable[[Row], None]], None]
"""What judges until it is told to stop; each row is given on once it is kept."""


def drawing(model: FittedModel, folder: Path) -> Draw:
    """Return what draws parts, also where files' names come again; raises OptionError for a method without maps."""
    writer = PictureWriter(model.run, model.threshold, PictureFolder(folder))

    def draw(arrival: Arrival, result: FrameResult) -> Path:
        path = folder / f"{arrival.path.stem}-{checksum(arrival.identity.encode(errors='surrogateescape'))[:12]}.png"
        write_whole(path, png_of(writer.drawn(Sample.still(arrival.path.name, arrival.path), result)))
        return path.absolute()

    return draw


def stream_of(source: str) -> VideoInput | None:
    """Return the stream or camera that is meant; None for a folder. Raises AdkitError for what is neither."""
    if Path(source).is_dir() or not ("://" in source or source.isdecimal()):
        return None
    (clip,) = find_inputs([source]).clips
    return clip


def sinks_of(given: Mapping[str, Any], inbox: Path | None) -> dict[str, Deliver]:
    """Return who gets the decisions, as the command line names them."""
    made: dict[str, tuple[str | None, Callable[[str], Deliver]]] = {
        "webhook": (given["webhook"], lambda url: sinks.webhook(url, os.environ.get(SECRET))),
        "mqtt": (given["mqtt"], sinks.mqtt),
        "table": (given["output"], sinks.table),
        "command": (given["on_anomaly"], lambda line: sinks.command(line, warn)),
        "files": (given["to"], lambda template: sinks.mover(template, inbox)),
    }
    return {name: make(asked) for name, (asked, make) in made.items() if asked}


def watched(
    path: Path,
    work: Work,
    model: FittedModel,
    delivering: dict[str, Deliver],
    alarm: DriftAlarm | None,
    metrics: Path | None,
    health_s: float | None,
    ends: str,
) -> None:
    """Let what is to be watched be watched, decisions told and delivered; what was begun is finished."""
    try:
        with storage_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    except StorageError as error:
        raise StorageError(error.message, hint="name another place for the decisions: --journal PATH") from None
    with ExitStack() as held:
        taken = OptionError(f"{path} is written by another watch", hint="stop that one, or name another --journal")
        held.enter_context(lock(path.with_suffix(".lock"), otherwise=taken))
        stop, journal = held.enter_context(stopping.stopping()), held.enter_context(Journal(path))
        if alarm and (doubt := alarm.after(journal.rows())):
            warn(doubt)
        if metrics:
            delivering["metrics"] = sinks.metrics(metrics, journal.rows())

        def note(row: Row) -> None:
            say(_told(row))
            if alarm and (said := alarm(row)):
                warn(said)

        held.enter_context(_delivered(journal, delivering, health_s))
        tell(f"watching, by {model.run.record.id}; decisions go to {path}; {ends}")
        if journal.parts:
            tell(f"decided before: {counted(journal.parts, 'part')} there; what was judged is not judged again")
        value = model.threshold.value
        if others := sum(row.get("threshold", value) != value for row in journal.rows()):
            warn(f"{others:,} of them by another run or threshold: with another --journal this run judges them")
        work(journal, stop, note)


def follow(run: Run, registry: Registry, folder: Path, level: float, to: Destination) -> None:
    """Let the decisions of a watch pass by until their scores drift (exit code 4), or somebody stops it."""
    path = folder / ".adkit" / "journal.jsonl" if folder.is_dir() else folder
    hint = "name the folder that adkit watch looks at, or its --journal"
    if not path.is_file():
        raise OptionError(f"{path}: no journal of a watch is there", hint=hint)
    threshold, scored, flagged, others, said = run.record.threshold.value, 0, 0, 0, None
    alarm = DriftAlarm(run.record, calibrating_scores(run, registry)[1], level)
    if alarm.doubt:
        warn(alarm.doubt)
    tell(f"following {path}, by {run.record.id}; Ctrl-C ends it")
    try:
        with stopping.stopping() as stop:
            for row, _ in following(path, stop):
                if row["score"] is None or "event" in row:
                    continue
                if row["threshold"] != threshold:
                    others += 1
                    if others == 1:
                        warn(f"part {row['part']} and maybe others were judged by another run or threshold: left out")
                    continue
                scored, flagged = scored + 1, flagged + (row["score"] > threshold)
                if said := alarm(row):
                    break
    except (KeyError, TypeError, ValueError):
        raise OptionError(f"{path} is no journal of a watch, or it is damaged", hint=hint) from None
    verdict = "drifted" if said else "kept"
    row = {"run": run.record.id, "verdict": verdict, "parts": scored, "flagged": flagged, "left_out": others}
    to.emit([row], row)
    if to.for_people:
        none = f"no drift in the scores of {counted(scored - flagged, 'part')} that passed"
        say(said or none, bold=True, fg="red" if said else "green")
        say(f"  {flagged} of {counted(scored, 'part')} {verb(flagged, 'were')} anomalous; left out: {others}")
        say_places({"rows": to.file})
    if said:
        raise typer.Exit(PROMISE_BROKEN)


@contextmanager
def _delivered(journal: Journal, delivering: Mapping[str, Deliver], health_s: float | None) -> Iterator[None]:
    """Deliver what comes into the journal while the block runs, and say now and then how it is."""
    done, threads = Event(), dict[str, Thread]()
    for name, deliver in delivering.items():  # the command finds the file where the row says, before it is moved
        journal.note(name, journal.noted(name))
        work_of = (name, journal, deliver, done, warn, threads.get("command") if name == "files" else None)
        threads[name] = Thread(target=sinks.deliver_all, name=name, args=work_of, daemon=True)
    if health_s:
        threads["health"] = Thread(
            target=tell_health, args=(health_s, journal, list(delivering), done, tell), daemon=True
        )
    for thread in threads.values():
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads.values():
            thread.join()


def _told(row: Row) -> str:
    """Return a row in a line: of a folder its file, of a stream which event, and where; or what is wrong."""
    score = "" if row["score"] is None else f"{row['score']:.4f}"
    name = row["source"] if "source" in row else Path(row["path"]).name
    event = f"event {row['event']}" if "event" in row else None
    told = (row["part"], row["decision"], score, name, event, row.get("error"))
    return "  ".join(str(one) for one in told if one).replace("\n", "\\n")  # a file's name may have some
