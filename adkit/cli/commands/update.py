"""`adkit update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.calibration import MOST_NAMED, name_suspects, print_threshold, promise_row
from adkit.cli.output import destination, warn
from adkit.errors import OptionError
from adkit.stats.formatting import counted

if TYPE_CHECKING:
    from adkit.workflows.update import Updated


def update(
    run: o.RunArgument,
    normal: o.NormalOption = None,
    feedback: Annotated[
        bool, Option("--feedback", help="Learn what adkit feedback kept; it has no say in the threshold.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Take out what came from a picture that was learned, by its name: train/good/000.png. May be given "
            "several times.",
        ),
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Let a run learn further good images, without those that it learned from; the threshold is set anew.

    A new run is written; the one before stays, and adkit restore makes it count again.

    Example: [bold]adkit update latest --normal new_good_images/[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.workflows.calibrate import LOOK
    from adkit.workflows.update import update as go_on

    if not normal and not feedback:
        raise OptionError("update was given no pictures to learn", hint="add --normal DIR, --feedback, or both")
    to, registry = destination(format_), o.loaded_registry()
    done = go_on(
        o.opened_run(run, runs),
        registry,
        normal or (),
        remove=remove or (),
        feedback=feedback,
        device=device,
        skip_bad=skip_bad,
        progress=terminal_progress(),
    )
    for note in done.fresh.notes():
        typer.echo(note, err=True)
    _name_flagged(done)
    if changed := done.run.record.updates[-1].drift:
        warn(f"{changed}; {LOOK}")
    name_suspects(done.run.record.calibration.suspects)
    row = _row(done)
    to.emit([row], row)
    if to.for_people:
        record, facts = done.run.record, done.run.record.facts
        last = record.updates[-1]
        typer.secho(f"run {record.id}: {last.of}, and {counted(last.images, 'further normal image')}", bold=True)
        print_threshold(record)
        typer.echo(f"  it was {done.before.value:.4f}: {done.before.promise()}")
        typer.echo(f"  rows in the bank: {facts.get('bank')}, of which {facts.get('rows_added')} are new")


def _name_flagged(done: Updated) -> None:
    """Name on stderr the new pictures that the run before holds for anomalous."""
    if not done.flagged:
        return
    flagged, all_of_them = len(done.flagged), done.run.record.updates[-1].images
    warn(
        f"{flagged} of {all_of_them} were anomalous to the run before; if they are not good: adkit restore, then update"
    )
    for name, score in list(done.flagged.items())[:MOST_NAMED]:
        warn(f"  {score:.4f}  {name}")
    if (more := flagged - MOST_NAMED) > 0:
        warn(f"  and {more} more")


def _row(done: Updated) -> dict[str, object]:
    record = done.run.record
    return {
        "run": record.id,
        "before": record.updates[-1].of,
        "images": record.updates[-1].images,
        "threshold": record.threshold.value,
        "threshold_before": done.before.value,
        **promise_row(record),
        "flagged_before": list(done.flagged),
        "drift_p_value": done.drift.p_value if done.drift else None,
    }
