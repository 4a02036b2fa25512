"""`adkit watch`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from adkit.cli import options as o
from adkit.cli.output import warn
from adkit.errors import OptionError
from adkit.files.atomic import plain_name


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
        str | None, Option(metavar="URL", help="Post each decision as JSON, signed with $ADKIT_WEBHOOK_SECRET.")
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
    from adkit.cli.line import drawing, sinks_of, stream_of, watched
    from adkit.data.outputs import require_folder
    from adkit.line.drift import DriftAlarm
    from adkit.line.hot_folder import watch_folder
    from adkit.line.inbox import Inbox
    from adkit.line.stream import watch_stream
    from adkit.workflows.score import open_model

    stream = stream_of(source)
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
    sinks = sinks_of(context.params, None if stream else Path(source))
    model = open_model(o.opened_run(run, runs), o.loaded_registry(), device=device)
    draw = drawing(model, heatmaps) if heatmaps else None
    decisions.require(model.threshold.expected_rate, len(model.normal_scores))
    if stream:
        warn_of_frames(model)
        work = partial(watch_stream, model, stream, tell=warn, duration_s=duration_s)
    elif model.threshold.unit == "clip":
        raise OptionError("the run judges clips, and images come into a folder", hint="adkit score judges clips")
    else:
        work = partial(watch_folder, model, box, once=once, decisions=decisions, draw=draw)
    beside = Path("watched") / plain_name(source) if stream else Path(source) / ".adkit"
    alarm = DriftAlarm(model.run.record, model.normal_scores, drift) if drift is not None else None
    ends = "it ends when all that is there is judged" if once else "Ctrl-C ends it"
    watched(journal or beside / "journal.jsonl", work, model, sinks, alarm, metrics, health_s, ends)
