"""`adkit restore`."""

from __future__ import annotations

import typer

from adkit.cli import options as o
from adkit.cli.calibration import print_threshold


def restore(run: o.RunArgument, runs: o.RunsOption = None) -> None:
    """Undo the last `adkit calibrate` of a run: the threshold that it had before counts again.

    Example: [bold]adkit restore latest[/bold]
    """
    from adkit.workflows.calibrate import restore as undo

    restored = undo(o.opened_run(run, runs))
    typer.echo(f"run {restored.record.id}: set from {restored.record.calibration.source}")
    print_threshold(restored.record)
