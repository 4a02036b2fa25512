"""`adkit watch`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from adkit.cli import options as o
from adkit.cli.output import say, tell, warn
from adkit.errors import OptionError, StorageError
from adkit.files.atomic import plain_name, storage_faults
from adkit.stats.formatting import counted

if TYPE_CHECKING:
    from adkit.data.inputs import VideoInput
    from adkit.line.drift import DriftAlarm
    from adkit.line.hot_folder import Draw
    from adkit.line.inbox import Arrival
    from adkit.line.journal import Journal, Row
    from adkit.line.sinks import Deliver
    from adkit.workflows.score import FittedModel, FrameResult

    Work = Callable[[Journal, Event, Callable[[Row], None]], None]

SECRET = "ADKIT_WEBHOOK_SECRET"


def watch(
    context: typer.Context,
    source: Annotated[
        str,
        Argument(
            metavar="SOURCE", help="A folder into which images come, a stream (rtsp://…), or a camera's number (0)."
        ),
    ],
    run: o.RunOption = "latest",
    to: Annotated[
        str | None,
        Option(help="Move judged files, or a stream's frames, to: moved/{decision}.", show_default="they stay"),
    ] = None,
    webhook: Annotated[
        str | None, Option(metavar="URL", help=f"Post each decision as JSON, signed with ${SECRET}.")
    ] = None,
    mqtt: Annotated[
        str | None, Option(metavar="URL", help="Publish each decision: mqtt://HOST:1883/TOPIC, QoS 1.")
    ] = None,
    output: Annotated[
        str | None,
        Option(metavar="FILE", help="Append each decision to a .csv or .jsonl; log-{date}.csv is a new one each day."),
    ] = None,
    heatmaps: Annotated[
        Path | None, o.place("--heatmaps", help="Write a picture of each anomalous part into this folder.")
    ] = None,
    metrics: Annotated[
        Path | None, o.place("--metrics", help="Keep counts for Prometheus in this file: metrics.prom.")
    ] = None,
    on_anomaly: Annotated[
        str | None, Option(metavar="CMD", help="Run this for each anomalous part, its image as the last word.")
    ] = None,
    journal: Annotated[
        Path | None, Option(help="The decisions, a line of JSON each.", show_default=".adkit/journal.jsonl in SOURCE")
    ] = None,
    drift: Annotated[
        float | None, o.drift("Warn when scores drift; wrong in at most this share of lines: 0.01.")
    ] = None,
    look: o.LookOption = None,
    settle_s: Annotated[float, o.seconds("--settle", "Judge a file when it has not changed for so long.", "0.5")] = 0.5,
    health_s: Annotated[
        float | None, o.seconds("--health", "Say every so often how many parts were judged, and when.", "never")
    ] = None,
    once: Annotated[bool, Option("--once", help="Judge what is there, then end.")] = False,
    duration_s: Annotated[
        float | None, o.seconds("--duration", "Stop watching a stream after so long.", "until Ctrl-C")
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
) -> None:
    """Judge images as they come into a folder, each once and in order, or what a camera or stream shows.

    What was decided is in the journal before anything else is done with it: a watch that was stopped in any way goes on
    where it was. Files are judged when they are complete. Of a stream each event is told, and when it is lost. Ctrl-C
    ends it.

    Example: [bold]adkit watch inbox/ --run latest --to moved/{decision} --webhook http://plc.local/parts[/bold]

    A camera: [bold]adkit watch rtsp://192.168.0.20/stream --run press[/bold]
    """
    from adkit.cli.clips import warn_of_frames
    from adkit.data.outputs import require_folder
    from adkit.line.drift import DriftAlarm
    from adkit.line.hot_folder import watch_folder
    from adkit.line.inbox import Inbox
    from adkit.line.stream import watch_stream
    from adkit.workflows.score import open_model

    stream = _stream(source)
    if stream:
        o.refuse_given(
            context, ["settle_s", "once", "drift", "look", "heatmaps"], f"is for folders, and {source} is none"
        )
    else:
        o.refuse_given(context, ["duration_s"], f"is for streams, and {source} is a folder")
        box = Inbox(Path(source), settle_s, warn)
        if heatmaps and heatmaps.resolve() == Path(source).resolve():
            raise OptionError(f"{heatmaps} (--heatmaps) is the folder that is watched", hint="name another folder")
        require_folder(heatmaps)
    decisions = o.decisions_of(look)
    sinks = _sinks(context.params, None if stream else Path(source))
    model = open_model(o.opened_run(run, runs), o.loaded_registry(), device=device)
    draw = _drawing(model, heatmaps) if heatmaps else None

    def work(kept: Journal, stop: Event, note: Callable[[Row], None]) -> None:
        if stream:
            watch_stream(model, stream, kept, stop, note, warn, duration_s=duration_s)
        else:
            watch_folder(model, box, kept, stop, note, once=once, decisions=decisions, draw=draw)

    decisions.require(model.threshold.expected_rate, len(model.normal_scores))
    if stream:
        warn_of_frames(model)
    elif model.threshold.unit == "clip":
        raise OptionError("the run judges clips, and images come into a folder", hint="adkit score judges clips")
    beside = Path("watched") / plain_name(source) if stream else Path(source) / ".adkit"
    alarm = DriftAlarm(model.run.record, model.normal_scores, drift) if drift is not None else None
    ends = "it ends when all that is there is judged" if once else "Ctrl-C ends it"
    _watched(journal or beside / "journal.jsonl", work, model, sinks, alarm, metrics, health_s, ends)


def _drawing(model: FittedModel, folder: Path) -> Draw:
    """Return what draws parts, also where files' names come again; raises OptionError for a method without maps."""
    from adkit.data.images import png_of
    from adkit.evaluation.pictures import PictureFolder, PictureWriter
    from adkit.files.atomic import checksum, write_whole
    from adkit.types import Sample

    writer = PictureWriter(model.run, model.threshold, PictureFolder(folder))

    def draw(arrival: Arrival, result: FrameResult) -> Path:
        path = folder / f"{arrival.path.stem}-{checksum(arrival.identity.encode(errors='surrogateescape'))[:12]}.png"
        write_whole(path, png_of(writer.drawn(Sample.still(arrival.path.name, arrival.path), result)))
        return path.absolute()

    return draw


def _stream(source: str) -> VideoInput | None:
    """Return the stream or camera that is meant; None for a folder. Raises AdkitError for what is neither."""
    from adkit.data.inputs import find_inputs

    if Path(source).is_dir() or not ("://" in source or source.isdecimal()):
        return None
    (clip,) = find_inputs([source]).clips
    return clip


def _sinks(given: Mapping[str, Any], inbox: Path | None) -> dict[str, Deliver]:
    """Return who gets the decisions, as the command line names them."""
    from adkit.line import sinks

    made: dict[str, tuple[str | None, Callable[[str], Deliver]]] = {
        "webhook": (given["webhook"], lambda url: sinks.webhook(url, os.environ.get(SECRET))),
        "mqtt": (given["mqtt"], sinks.mqtt),
        "table": (given["output"], sinks.table),
        "command": (given["on_anomaly"], lambda line: sinks.command(line, warn)),
        "files": (given["to"], lambda template: sinks.mover(template, inbox)),
    }
    return {name: make(asked) for name, (asked, make) in made.items() if asked}


def _watched(
    path: Path,
    work: Work,
    model: FittedModel,
    sinks: dict[str, Deliver],
    alarm: DriftAlarm | None,
    metrics: Path | None,
    health_s: float | None,
    ends: str,
) -> None:
    """Let what is to be watched be watched, decisions told and delivered; what was begun is finished."""
    from adkit.cli.stopping import stopping
    from adkit.files.lock import lock
    from adkit.line.journal import Journal
    from adkit.line.sinks import metrics as counting

    try:
        with storage_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    except StorageError as error:
        raise StorageError(error.message, hint="name another place for the decisions: --journal PATH") from None
    with ExitStack() as held:
        taken = OptionError(f"{path} is written by another watch", hint="stop that one, or name another --journal")
        held.enter_context(lock(path.with_suffix(".lock"), otherwise=taken))
        stop, journal = held.enter_context(stopping()), held.enter_context(Journal(path))
        if alarm and (doubt := alarm.after(journal.rows())):
            warn(doubt)
        if metrics:
            sinks["metrics"] = counting(metrics, journal.rows())

        def note(row: Row) -> None:
            say(_told(row))
            if alarm and (said := alarm(row)):
                warn(said)

        held.enter_context(_delivering(journal, sinks, health_s))
        tell(f"watching, by {model.run.record.id}; decisions go to {path}; {ends}")
        if journal.parts:
            tell(f"decided before: {counted(journal.parts, 'part')} there; what was judged is not judged again")
        value = model.threshold.value
        if others := sum(row.get("threshold", value) != value for row in journal.rows()):
            warn(f"{others:,} of them by another run or threshold: with another --journal this run judges them")
        work(journal, stop, note)


@contextmanager
def _delivering(journal: Journal, sinks: Mapping[str, Deliver], health_s: float | None) -> Iterator[None]:
    """Deliver what comes into the journal while the block runs, and say now and then how it is."""
    from adkit.line.journal import tell_health
    from adkit.line.sinks import deliver_all

    done, threads = Event(), dict[str, Thread]()
    for name, deliver in sinks.items():  # the command finds the file where the row says, before it is moved
        journal.note(name, journal.noted(name))
        work_of = (name, journal, deliver, done, warn, threads.get("command") if name == "files" else None)
        threads[name] = Thread(target=deliver_all, name=name, args=work_of, daemon=True)
    if health_s:
        threads["health"] = Thread(target=tell_health, args=(health_s, journal, list(sinks), done, tell), daemon=True)
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
    return "  ".join(str(one) for one in (row["part"], row["decision"], score, name, event, row.get("error")) if one)
