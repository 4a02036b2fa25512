"""`adkit fit`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from adkit.cli import options as o
from adkit.cli.calibration import print_threshold, warn_of_mixture
from adkit.cli.faults import loaded_registry

if TYPE_CHECKING:
    from adkit.runs import Run


def fit(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="How to find anomalies; see: adkit list methods", show_default="needed"),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="What to take, as NAME:SELECTION: mvtec:bottle, folder:./parts, demo:washer. Several categories as "
            "mvtec:a,b, or the option again.",
            show_default="needed",
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
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same data, same result.")] = 0,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with a training that was broken off: its id, or latest. All other options are as they were.",
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
    from adkit.calibration import Rule
    from adkit.cli.output import emit
    from adkit.cli.resuming import named_again, resumed
    from adkit.cli.terminal import terminal_progress
    from adkit.errors import OptionError
    from adkit.options import split_assignments
    from adkit.runs import default_runs_root
    from adkit.sources import open_datasets
    from adkit.unfinished import list_unfinished
    from adkit.workflows import FitRequest, calibrating_scores, check_settings, fit_joint

    registry = loaded_registry()
    begun = None
    if resume is not None:
        if again := named_again(context):
            raise OptionError(
                f"--resume goes on with the options that the fit began with, and {again} was given",
                hint=f"leave {again} out, or fit anew without --resume",
            )
        begun, requests = resumed(resume, runs or default_runs_root(), registry, device)
        joint = True
    else:
        if method is None or not dataset:
            raise OptionError(
                f"{'--method' if method is None else '--dataset'} is not given",
                hint="for example: adkit fit --method patchknn --dataset folder:good_parts/",
            )
        rule = o.chosen_rule(max_false_alarms, certain, percentile) or Rule()
        values = split_assignments(settings or [], example="--set coreset_ratio=0.05")
        check_settings(method, values, scorer, device, registry, few=few)
        requests = [
            FitRequest(
                method=method,
                dataset=category,
                runs_root=runs or default_runs_root(),
                options=values,
                scorer=scorer,
                seed=seed,
                device=device,
                rule=rule,
                skip_bad=skip_bad,
                few=few,
            )
            for spec in dataset
            for category in open_datasets(spec, root, registry)
        ]
        if joint and len(requests) == 1:
            raise OptionError(
                f"--joint learns from several categories, and {requests[0].dataset.spec} is one",
                hint="leave --joint out, or name more: --dataset mvtec:bottle,screw",
            )
    rows: list[dict[str, object]] = []
    try:
        for group in [requests] if joint else [[request] for request in requests]:
            for request in group:
                for note in request.dataset.notes():
                    typer.echo(note, err=True)
            for run in fit_joint(group, registry, terminal_progress(), resume=begun):
                rows.append(_row(run))
                warn_of_mixture(*calibrating_scores(run, registry))
                if format_ is o.Format.table:
                    print_fitted(run)
                elif format_ is not o.Format.json:
                    emit(format_, None, rows[-1:], None, header=len(rows) == 1)
    except KeyboardInterrupt:
        if kept := list_unfinished(requests[0].runs_root):
            typer.secho(f"the training is kept; to go on: adkit fit --resume {kept[-1].id}", err=True, fg="yellow")
        raise
    finally:
        # One document at the end, even when a category failed: the runs before it were made.
        if format_ is o.Format.json and rows:
            emit(format_, None, rows, rows if len(requests) > 1 else rows[0])


def print_fitted(run: Run) -> None:
    """What was learned, what it promises, and what to do next."""
    from adkit.calibration import counted

    record = run.record
    typer.secho(f"run {record.id}", bold=True)
    took = sum(record.timings_s.values())
    typer.echo(
        f"  learned from {counted(record.train_count, 'normal image')} of {record.dataset} in {took:.0f} s "
        f"({record.origin})"
    )
    if record.few is not None:
        typer.echo(f"  drawn by seed {record.seed} of the training split, whose other images set the threshold")
    if record.joint:
        others = ", ".join(f"{count} of {spec}" for spec, count in record.learned_with.items())
        typer.echo(f"  and from {others}: one model; the threshold is of {record.dataset} alone")
    if record.skipped:
        files = counted(len(record.skipped), "file")
        typer.echo(f"  left out {files} that cannot be read: {', '.join(record.skipped[:3])}")
    if record.copies:
        copies = counted(len(record.copies), "image")
        typer.echo(f"  left out {copies} of which there are copies: {', '.join(record.copies[:3])}")
    for name, value in record.facts.items():
        typer.echo(f"  {name.replace('_', ' ')}: {value}")
    print_threshold(record)
    typer.echo(f"  folder {run.folder}")
    name = shlex.quote(run.argument)
    typer.echo(f"  next: adkit eval --run {name}   or   adkit score FILES --run {name}")


def _row(run: Run) -> dict[str, object]:
    record = run.record
    return {
        "run": record.id,
        "folder": str(run.folder),
        "method": record.method,
        "dataset": record.dataset,
        "train_count": record.train_count,
        "few": record.few,
        "learned_with": ", ".join(record.learned_with),  # other categories; as text: CSV knows no lists
        "learned_with_count": sum(record.learned_with.values()),
        "threshold": record.threshold.value,
        "expected_false_alarm_rate": record.threshold.expected_rate,
        "certain_false_alarm_rate": record.threshold.certain_rate,
        "fit_s": record.timings_s["fit"],
        "calibrate_s": record.timings_s["calibrate"],
    }
