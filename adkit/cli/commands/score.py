"""`adkit score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from adkit.cli import options as o
from adkit.cli.calibration import remind_of_suspects
from adkit.cli.output import Destination, destination, tell
from adkit.errors import ANOMALY_FOUND, OptionError

if TYPE_CHECKING:
    from adkit.cli.workers import Elsewhere
    from adkit.data.inputs import Inputs
    from adkit.registry import Registry
    from adkit.runs.store import Run

_OF_WATCHING = ("every", "overlay", "min_duration_s", "merge_gap_s", "duration_s", "reconnect_timeout_s")
"""The parameters that say how videos are watched, by the names of its settings."""
_OF_CLIPS = ("annotate", "events", "timeline", "learn", *_OF_WATCHING)
"""The parameters that say something of clips only."""
_OF_STILLS = ("heatmaps", "masks", "max_false_share", "look", "resume")
_OF_RUNS = (*_OF_CLIPS, "method", "scorer", "heatmaps", "masks", "device", "engine", "runs")
"""The parameters that an exported model knows nothing of."""
_OF_LEARNING = ("settings", "roi", "ignore", "ignore_border", "tiles")


def score(
    context: typer.Context,
    files: Annotated[
        list[str],
        Argument(
            metavar="FILES...",
            help="Images, folders of images, 'globs/*.png'; or videos, folders of videos, streams (rtsp://, http://, "
            "tcp://, udp://), a camera by its number. To a run that learned from clips a folder of images is a clip.",
        ),
    ],
    method: Annotated[str | None, Option("--method", "-m", help="Take the latest run of this method.")] = None,
    run: o.RunOption = "latest",
    scorer: o.ScorerOption = None,
    heatmaps: o.HeatmapsOption = None,
    masks: Annotated[
        Path | None, Option(help="Write a mask of every image into this folder: 255 in its regions, 0 elsewhere.")
    ] = None,
    annotate: Annotated[
        Path | None,
        Option(help="Videos: write an .mp4 with heat maps, running score and events; for several, a folder."),
    ] = None,
    overlay: Annotated[
        bool, Option("--overlay", help="One panel with the heat map over the input, not panels side by side.")
    ] = False,
    events: Annotated[Path | None, Option(help="Videos: write events to a .csv, .json or .vtt (subtitles).")] = None,
    timeline: Annotated[
        Path | None, Option(help="Videos: draw score and events over time as a .png; for several, a folder.")
    ] = None,
    learn: Annotated[
        list[str] | None,
        Option(
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
    min_duration_s: Annotated[float | None, o.seconds("--min-duration", "Drop events that are shorter.", "0.2")] = None,
    merge_gap_s: Annotated[
        float | None, o.seconds("--merge-gap", "Join events with less time between them.", "1")
    ] = None,
    duration_s: Annotated[
        float | None, o.seconds("--duration", "Stop a live source after so long.", "until Ctrl-C")
    ] = None,
    reconnect_timeout_s: Annotated[
        float | None,
        o.seconds("--reconnect-timeout", "Give a live source up when it does not come back within this time.", "60"),
    ] = None,
    max_false_share: Annotated[
        str | None,
        Option(
            metavar="SHARE",
            help="Images: decide over all together: of those called anomalous at most this share are good parts.",
        ),
    ] = None,
    look: o.LookOption = None,
    fail_on_anomaly: Annotated[
        bool, Option("--fail-on-anomaly", help="End with exit code 5 where something is anomalous.")
    ] = False,
    device: o.DeviceOption = "auto",
    engine: o.EngineOption = "local",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    profile: o.ProfileOption = False,
    format_: o.FormatOption = o.Format.table,
    output: o.OutputOption = None,
    resume: Annotated[
        bool, Option("--resume", help="Still images: go on with an --output that was interrupted in any way.")
    ] = False,
) -> None:
    """Say which images, or which parts of videos, are anomalous.

    Each has a p-value: the share of good parts that score as high.

    Example: [bold]adkit score part1.png photos/ 'line3/*.jpg' --method patchknn --heatmaps maps/[/bold]

    A video: [bold]adkit score line.mp4 --annotate out.mp4 --events events.vtt --timeline timeline.png[/bold]

    Learn from its first two minutes: [bold]adkit score line.mp4 --method patchknn --learn 0:00-2:00[/bold]
    """
    from adkit.cli.clips import ClipScorer, clip_files
    from adkit.cli.scoring import StillScorer, fit_spans
    from adkit.data.inputs import find_inputs
    from adkit.data.spans import parse_spans
    from adkit.runs.store import EXPORTED
    from adkit.watching.watch import Settings
    from adkit.workflows.score import open_model

    to = destination(format_, output)
    if (Path(run) / EXPORTED).is_file():
        _fail_where_asked(fail_on_anomaly, _judge_by_export(context, to))
        return
    registry, spans = o.loaded_registry(), parse_spans(learn or [])
    opened = _opened(context, registry, learns=bool(spans))
    found = find_inputs(files, of_clips=opened is None or opened.record.threshold.unit == "clip")
    clips, stills = found.clips, found.stills
    tell(*found.notes)
    _refuse_misplaced(context, found)
    if output and output.resolve() in {sample.frame.path.resolve() for sample in stills}:
        raise OptionError(f"{output} (--output) is an input itself", hint="choose another name")
    written = clip_files(clips, annotate, events, timeline, output)
    if opened is None:
        opened = fit_spans(clips, spans, o.settings_of(context.params), o.runs_folder(runs), registry)
    else:
        remind_of_suspects(opened.record)
    model = open_model(opened, registry, scorer=scorer, device=device)
    elsewhere = _elsewhere(context, opened)
    if stills:
        scoring = StillScorer(to, o.decisions_of(look, max_false_share), skip_bad, resume, heatmaps, masks)
        found_any = scoring.score(model, stills, elsewhere)
    else:
        given = {name: context.params[name] for name in _OF_WATCHING if context.params[name] is not None}
        clip_scorer = ClipScorer(model, Settings(**given), written)
        found_any = clip_scorer.score(clips, to, skip_bad=skip_bad, elsewhere=elsewhere)
    _fail_where_asked(fail_on_anomaly, found_any)


def _elsewhere(context: typer.Context, run: Run) -> Elsewhere | None:
    """Say which workers score; None where this process does."""
    from adkit.cli.workers import Elsewhere
    from adkit.workflows.engine import require_engine

    given = context.params
    if given["engine"] == "local":
        return None
    require_engine(given["engine"])  # before anything is written
    return Elsewhere(given["engine"], run.folder.absolute(), given["scorer"], given["device"])


def _refuse_misplaced(context: typer.Context, found: Inputs) -> None:
    """Raise OptionError for a parameter that says nothing of what is to be scored."""
    if found.stills:
        o.refuse_given(context, _OF_CLIPS, "is for videos, and these are still images")
    else:
        o.refuse_given(context, _OF_STILLS, "is for still images; of videos: --annotate out.mp4")
    if any(clip.live for clip in found.clips):
        o.refuse_given(context, ["engine"], "is for files, and a live source is watched on this machine")


def _fail_where_asked(fail_on_anomaly: bool, found_any: bool) -> None:
    if fail_on_anomaly and found_any:
        raise typer.Exit(ANOMALY_FOUND)


def _opened(context: typer.Context, registry: Registry, *, learns: bool) -> Run | None:
    """Open the run to score with; None where one is to be learned from a part of the video."""
    method = context.params["method"]
    if method is not None:
        registry.methods.get(method)  # or a misspelt name would only have no runs
    if learns:
        o.refuse_given(context, ["run"], "names a run, and --learn makes one")
        if method is None:
            raise OptionError("--learn says what to learn from, not how", hint="add --method; see: adkit list methods")
        return None
    o.refuse_given(context, _OF_LEARNING, "is for learning, with --learn: a run keeps how it was learned")
    return o.opened_run(context.params["run"], context.params["runs"], method=method)


def _judge_by_export(context: typer.Context, to: Destination) -> bool:
    """Score by an exported model, and say whether anything is anomalous."""
    from adkit.cli.scoring import StillScorer

    given = context.params
    o.refuse_given(context, _OF_RUNS, f"needs a run, and {given['run']} is an export")
    decisions = o.decisions_of(given["look"], given["max_false_share"])
    scoring = StillScorer(to, decisions, given["skip_bad"], given["resume"])
    return scoring.score_exported(Path(given["run"]), given["files"])
