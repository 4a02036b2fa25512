"""`adkit restore`."""

import typer

from adkit.cli import options as o
from adkit.cli.calibration import print_threshold


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
