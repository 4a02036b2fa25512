"""`adkit score`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adkit.cli import options as o
from adkit.cli.output import destination
from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.data.spans import Span
    from adkit.runs.record import FitSettings
    from adkit.watching.watch import Settings

_OF_CLIPS = (
    "annotate",
    "overlay",
    "events",
    "timeline",
    "learn",
    "every",
    "min_duration",
    "merge_gap",
    "duration",
    "reconnect_timeout",
)
"""The parameters that say something of clips only."""
_OF_LEARNING = ("settings", "roi", "ignore", "ignore_border", "tiles")


def score(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Images, folders of images, 'globs/*.png'; or videos, folders of videos, streams (rtsp://, http://, "
            "tcp://, udp://), a camera by its number. To a run that learned from clips a folder of images is a clip.",
        ),
    ],
    method: Annotated[str | None, typer.Option("--method", "-m", help="Take the latest run of this method.")] = None,
    run: o.RunOption = "latest",
    scorer: o.ScorerOption = None,
    heatmaps: o.HeatmapsOption = None,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Write a mask of every image into this folder: 255 in its regions, 0 elsewhere."),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(
            "--annotate", help="Videos: write an .mp4 with heat maps, running score and events; for several, a folder."
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="One panel with the heat map over the input, not panels side by side.")
    ] = False,
    events: Annotated[
        Path | None, typer.Option("--events", help="Videos: write the events to this .csv, .json or .vtt (subtitles).")
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option("--timeline", help="Videos: draw score and events over time as a .png; for several, a folder."),
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(
            "--learn",
            metavar="START-END",
            help="Learn from this part of the video with --method, and watch the rest: 0:00-2:00, 90s-2:30. May be "
            "given several times.",
        ),
    ] = None,
    settings: o.SettingsOption = None,
    roi: o.RoiOption = None,
    ignore: o.IgnoreOption = None,
    ignore_border: o.IgnoreBorderOption = 0,
    tiles: o.TilesOption = False,
    every: Annotated[int | None, o.counting("--every", "Videos: judge one in K frames.", "the run's")] = None,
    min_duration: Annotated[float | None, o.seconds("--min-duration", "Drop events that are shorter.", "0.2")] = None,
    merge_gap: Annotated[
        float | None, o.seconds("--merge-gap", "Join events with less time between them.", "1")
    ] = None,
    duration: Annotated[
        float | None, o.seconds("--duration", "Stop a live source after so long.", "until Ctrl-C")
    ] = None,
    reconnect_timeout: Annotated[
        float | None,
        o.seconds("--reconnect-timeout", "Give a live source up when it does not come back within this time.", "60"),
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
    output: o.OutputOption = None,
) -> None:
    """Say which images, or which parts of videos, are anomalous.

    Each has a p-value: the share of good parts that score as high.

    Example: [bold]adkit score part1.png photos/ 'line3/*.jpg' --method patchknn --heatmaps maps/[/bold]

    A video: [bold]adkit score line.mp4 --annotate out.mp4 --events events.vtt --timeline timeline.png[/bold]

    Learn from its first two minutes: [bold]adkit score line.mp4 --method patchknn --learn 0:00-2:00[/bold]
    """
    from adkit.cli.clips import ClipScorer, clip_files
    from adkit.cli.scoring import fit_spans, score_stills
    from adkit.data.inputs import find_inputs
    from adkit.data.spans import parse_spans
    from adkit.workflows.score import open_model

    to, registry, spans = destination(format_, output), o.loaded_registry(), parse_spans(learn or [])
    if method is not None:
        registry.methods.get(method)  # or a misspelt name would only have no runs
    if spans:
        o.refuse_given(context, ["run"], "names a run, and --learn makes one")
    else:
        o.refuse_given(context, _OF_LEARNING, "is for learning, with --learn: a run keeps how it was learned")
        opened = o.opened_run(run, runs, method=method)
    found = find_inputs(files, of_clips=bool(spans) or opened.record.threshold.unit == "clip")
    clips, stills = found.clips, found.stills
    for note in found.notes:
        typer.echo(note, err=True)
    if stills:
        o.refuse_given(context, _OF_CLIPS, "is for videos, and these are still images")
    else:
        o.refuse_given(context, ["heatmaps", "masks"], "is for still images; of videos: --annotate out.mp4")
    written = clip_files(clips, annotate, events, timeline, output)
    if spans:
        opened = fit_spans(clips, spans, _settings_of(context.params), o.runs_folder(runs), registry)
    model = open_model(opened, registry, scorer=scorer, device=device)
    if stills:
        score_stills(model, stills, heatmaps, masks, to, skip_bad=skip_bad)
    else:
        ClipScorer(model, _watching(context.params, spans), written, to).score(clips, skip_bad=skip_bad)


def _watching(parameters: Mapping[str, Any], learned: tuple[Span, ...]) -> Settings:
    """Read how to watch from the parsed command line; what is not given is as usual."""
    from adkit.watching.watch import Settings

    named = {
        "min_duration_s": parameters["min_duration"],
        "merge_gap_s": parameters["merge_gap"],
        "patience_s": parameters["reconnect_timeout"],
    }
    given = {name: value for name, value in named.items() if value is not None}
    every, overlay, limit_s = parameters["every"], parameters["overlay"], parameters["duration"]
    return Settings(every=every, overlay=overlay, learned=learned, limit_s=limit_s, **given)


def _settings_of(parameters: Mapping[str, Any]) -> FitSettings:
    """Read what --learn is to do from the parsed command line; raises OptionError where no method is named."""
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings

    if parameters["method"] is None:
        raise OptionError("--learn says what to learn from, not how", hint="add --method; see: adkit list methods")
    options = split_assignments(parameters["settings"] or [], example="--set coreset_ratio=0.05")
    named = {name: parameters[name] for name in ("method", "scorer", "device", "skip_bad", "every", *_OF_LEARNING[1:])}
    return FitSettings(**named, options=options)
