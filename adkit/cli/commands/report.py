"""`adkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: latest, its id, or its path.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the page to this file.", show_default="report.html in the run"),
    ] = None,
    root: o.RootOption = None,
    runs: o.RunsOption = None,
    device: o.DeviceOption = "auto",
    skip_bad: o.SkipBadOption = False,
) -> None:
    """Make a page of a run for people: one HTML file with all charts and pictures, which needs no network.

    The run is judged as eval does it; what an earlier eval stored is used again.

    Example: [bold]adkit report latest --output report.html[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.report.page import write_report
    from adkit.runs.store import default_runs_root, find_run

    opened = find_run(runs or default_runs_root(), run)
    page = write_report(
        opened, loaded_registry(), output, root=root, device=device, skip_bad=skip_bad, progress=terminal_progress()
    )
    for note in page.notes:
        typer.secho(note, err=True, fg="yellow")
    typer.echo(f"report: {page.path}")
