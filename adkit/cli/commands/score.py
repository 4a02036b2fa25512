"""`adkit score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry

_OF_CLIPS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
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
}
"""The parameters that say something of clips only, and their options."""


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
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="With --learn: an option of the method."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--every", metavar="K", min=1, help="Videos: judge one in K frames.", show_default="the run's"),
    ] = None,
    min_duration: Annotated[
        float | None,
        typer.Option(
            "--min-duration", metavar="SECONDS", min=0, help="Drop events that are shorter.", show_default="0.2"
        ),
    ] = None,
    merge_gap: Annotated[
        float | None,
        typer.Option(
            "--merge-gap", metavar="SECONDS", min=0, help="Join events with less time between them.", show_default="1"
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=0,
            help="Stop a live source after so long.",
            show_default="until Ctrl-C",
        ),
    ] = None,
    reconnect_timeout: Annotated[
        float | None,
        typer.Option(
            "--reconnect-timeout",
            metavar="SECONDS",
            min=0,
            help="Give a live source up when it does not come back within this time.",
            show_default="60",
        ),
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
    from adkit.cli.clip_files import Outputs
    from adkit.cli.output import format_of
    from adkit.cli.requests import refuse_given
    from adkit.cli.span_fits import fit_spans
    from adkit.cli.stills import score_stills
    from adkit.cli.watched import ClipScorer
    from adkit.data.inputs import find_inputs
    from adkit.data.live import PATIENCE_S
    from adkit.data.spans import parse_spans
    from adkit.runs.store import default_runs_root, find_run
    from adkit.watching.events import MERGE_GAP_S, MIN_DURATION_S
    from adkit.watching.watch import Settings
    from adkit.workflows.score import open_model

    chosen_format, runs_root = format_of(format_, output), runs or default_runs_root()
    spans = parse_spans(learn or [])
    if spans:
        refuse_given(context, {"run": "--run"}, "names a run, and --learn makes one")
        found = find_inputs(files, of_clips=True)
    else:
        refuse_given(context, {"settings": "--set"}, "is for learning, with --learn")
        opened = find_run(runs_root, run, method=method)
        found = find_inputs(files, of_clips=opened.record.threshold.unit == "clip")
    clips, stills = found.clips, found.stills
    if stills:
        refuse_given(context, _OF_CLIPS, "is for videos, and these are still images")
    else:
        refuse_given(context, {"heatmaps": "--heatmaps"}, "is for still images; of videos: --annotate out.mp4")
    outputs = Outputs(annotate, events, timeline, output)
    outputs.require(clips)
    registry = loaded_registry()
    if spans:
        opened = fit_spans(
            clips, spans, method, settings or [], every, scorer, device, runs_root, registry, skip_bad=skip_bad
        )
    judge = open_model(opened, registry, scorer=scorer, device=device)
    if stills:
        score_stills(judge, stills, heatmaps, chosen_format, format_, output, skip_bad)
        return
    wanted = Settings(
        every=every,
        min_duration_s=MIN_DURATION_S if min_duration is None else min_duration,
        merge_gap_s=MERGE_GAP_S if merge_gap is None else merge_gap,
        overlay=overlay,
        learned=spans,
        limit_s=duration,
        patience_s=PATIENCE_S if reconnect_timeout is None else reconnect_timeout,
    )
    ClipScorer(judge, wanted, outputs, chosen_format, format_).score(clips, skip_bad=skip_bad)
