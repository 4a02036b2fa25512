"""`adkit fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry
from adkit.cli.fitted import FittedRuns


def fit(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help="How to find anomalies; see: adkit list methods",
            show_default="needed unless --resume is given",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="What to take, as NAME:SELECTION: mvtec:bottle, folder:./parts, demo:washer. Several categories as "
            "mvtec:a,b, or the option again.",
            show_default="needed unless --resume is given",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="An option of the method; see: adkit show METHOD"),
    ] = None,
    root: o.RootOption = None,
    scorer: o.ScorerOption = None,
    max_false_alarms: o.MaxFalseAlarmsOption = None,
    certain: o.CertainOption = False,
    percentile: o.PercentileOption = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="Learn one model from all categories together; each still gets a threshold of its own."
        ),
    ] = False,
    few: Annotated[
        int | None,
        typer.Option(
            "--few",
            metavar="K",
            min=1,
            help="Learn from K images of each category only, drawn by the seed; all others set the threshold.",
            show_default="all that the method may learn from",
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            metavar="K",
            min=1,
            help="Of clips, learn from and judge one in K frames.",
            show_default="so that about 1,000 are learned from; 1 for methods that look at motion",
        ),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(
            "--smoothing",
            metavar="SECONDS",
            min=0,
            help="Of clips, smooth the frames' scores over the past by this time constant.",
            show_default="0.4",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same data, same result.")] = 0,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with a training that was broken off: its id, or latest. The other options are as they were.",
        ),
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Learn from good images, and set the threshold from them.

    Writes one run folder for each category. Only the training split is read. When a category fails, the runs
    of those before it stay, and are printed; with --joint there are then none.

    Example: [bold]adkit fit --method patchknn --dataset mvtec:screw --root DATA --max-false-alarms 1%[/bold]

    One model for two categories: [bold]adkit fit --method patchknn --dataset mvtec:bottle,screw --joint[/bold]

    From four images: [bold]adkit fit --method patchknn --dataset mvtec:bottle --few 4[/bold]

    After a training was broken off: [bold]adkit fit --resume latest[/bold]
    """
    from adkit.cli.requests import grouped, resumed, settings_of
    from adkit.cli.terminal import terminal_progress
    from adkit.data.datasets import open_datasets
    from adkit.runs.store import default_runs_root
    from adkit.workflows.fit import check_settings, fit_joint

    registry, runs_root = loaded_registry(), runs or default_runs_root()
    begun = None
    if resume is not None:
        begun, wanted, datasets = resumed(resume, context, runs_root, registry)
        groups = [datasets]
    else:
        wanted = settings_of(context.params)
        check_settings(wanted, registry)
        datasets = [one for spec in wanted.dataset for one in open_datasets(spec, root, registry)]
        groups = grouped(datasets, joint)
    with FittedRuns(format_, several=len(datasets) > 1) as fitted:
        for group in groups:
            for dataset_ in group:
                for note in dataset_.notes():
                    typer.echo(note, err=True)
            for run in fit_joint(wanted, group, runs_root, registry, terminal_progress(), resume=begun):
                fitted.add(run, registry)
