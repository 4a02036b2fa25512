"""`adkit update` and `adkit feedback`."""

from typing import Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.calibration import name_suspects, print_threshold, promise_row, warn_of_scores
from adkit.cli.output import destination, warn
from adkit.errors import OptionError
from adkit.stats.formatting import counted


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
    from adkit.workflows.calibrate import LOOK
    from adkit.workflows.update import update as go_on

    if not normal and not feedback:
        raise OptionError("update was given no pictures to learn", hint="add --normal DIR, --feedback, or both")
    to, workplace = destination(format_), o.workplace(device=device, skip_bad=skip_bad)
    done = go_on(o.opened_run(run, runs), workplace, normal or (), remove=remove or (), feedback=feedback)
    for note in done.fresh.notes():
        typer.echo(note, err=True)
    record, last = done.run.record, done.run.record.updates[-1]
    if done.flagged:
        told = f"{len(done.flagged)} of {last.images} were anomalous to the run before"
        warn_of_scores(f"{told}; if they are not good: adkit restore, then update", done.flagged)
    if last.drift:
        warn(f"{last.drift}; {LOOK}")
    name_suspects(record.calibration.suspects)
    row: dict[str, object] = {
        "run": record.id,
        "before": last.of,
        "images": last.images,
        "threshold_before": done.before.value,
        **promise_row(record),
        "flagged_before": list(done.flagged),
        "drift_p_value": done.drift.p_value if done.drift else None,
    }
    to.emit([row], row)
    if to.for_people:
        typer.secho(f"run {record.id}: {last.of}, and {counted(last.images, 'further normal image')}", bold=True)
        print_threshold(record, done.before)
        typer.echo(f"  rows in the bank: {record.facts.get('bank')}, of which {record.facts.get('rows_added')} are new")


def feedback(
    run: o.RunArgument,
    good: Annotated[list[str], Option(metavar="FILE", help="A picture that a person found to be of a good part.")],
    runs: o.RunsOption = None,
) -> None:
    """Keep pictures of parts that were flagged and are good, for the run's next update.

    They have no say in a threshold: who is looked at because of a high score is no random part.

    Example: [bold]adkit feedback latest --good moved/anomalous/0042.png[/bold]

    Then: [bold]adkit update latest --feedback[/bold]
    """
    from adkit.workflows.update import keep_feedback

    opened = o.opened_run(run, runs)
    kept, known, waiting = keep_feedback(opened, good)
    rest = f"; {opened.record.id} has {'the others' if kept else 'learned or kept them'} already" if known else ""
    typer.echo(f"kept {kept} of {counted(kept + known, 'picture')}{rest}")
    if waiting:
        typer.echo(f"next, with {counted(waiting, 'picture')}: adkit update {opened.argument} --feedback")
