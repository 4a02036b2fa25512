"""`adkit calibrate`, and `adkit restore`, which undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.calibration import name_suspects, print_threshold, promise_row
from adkit.cli.output import destination, warn
from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.workflows.calibrate import Recalibration


def calibrate(
    run: o.RunArgument,
    normal: o.NormalOption = None,
    max_false_alarms: Annotated[str | None, o.rate("the rule that the run has")] = None,
    certain: o.CertainOption = False,
    percentile: o.PercentileOption = None,
    keep: Annotated[bool, Option("--keep", help="Add the images to those that set the threshold so far.")] = False,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Set a run's threshold anew from good images; the model is not touched.

    Without --normal the scores that the run has are used with another rate. Images that the run learned from
    are left out.

    Example: [bold]adkit calibrate latest --normal more_good_images/ --max-false-alarms 0.5%[/bold]
    """
    from adkit.stats.calibration import rule_of
    from adkit.workflows.calibrate import recalibrate

    rule = rule_of(max_false_alarms, certain, percentile)
    if not normal and rule is None:
        raise OptionError(
            "calibrate was given neither images nor a rate, so nothing would change",
            hint="add --normal DIR, --max-false-alarms 0.5%, or both",
        )
    to, workplace = destination(format_), o.workplace(device=device, skip_bad=skip_bad)
    result = recalibrate(o.opened_run(run, runs), workplace, normal or (), rule=rule, keep=keep)
    for note in result.fresh.notes() if result.fresh else ():
        typer.echo(note, err=True)
    if result.warning:
        warn(result.warning)
    record = result.run.record
    name_suspects(record.calibration.suspects)
    row = _row(result)
    to.emit([row], row)
    if to.for_people:
        typer.secho(f"run {record.id}", bold=True)
        print_threshold(record, result.before)
        if normal and not keep and record.threshold.expected_rate > result.before.expected_rate:
            typer.secho(
                "  the promise is weaker than it was: --keep adds images instead of replacing them", fg="yellow"
            )


def _row(result: Recalibration) -> dict[str, object]:
    record = result.run.record
    return {
        "run": record.id,
        "threshold_before": result.before.value,
        **promise_row(record),
        "normal_scores": record.threshold.count,
        "unit": record.threshold.unit,
        "rule": str(record.calibration.rule),
        "source": record.calibration.source,
        "data": record.calibration.data,
        "drift_p_value": result.drift.p_value if result.drift else None,
    }


def restore(run: o.RunArgument, runs: o.RunsOption = None) -> None:
    """Undo the last `adkit calibrate` or `adkit update` of a run: what was before counts again.

    Example: [bold]adkit restore latest[/bold]
    """
    from adkit.runs.store import HIDDEN
    from adkit.workflows.calibrate import restore as undo

    opened = o.opened_run(run, runs)
    restored = undo(opened)
    if restored.record.id != opened.record.id:
        typer.echo(f"run {opened.record.id} was put away, into {restored.folder.parent / HIDDEN}")
    typer.echo(f"run {restored.record.id}: set from {restored.record.calibration.source}")
    print_threshold(restored.record)
