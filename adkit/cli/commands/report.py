"""`adkit report`."""

from pathlib import Path
from typing import Annotated

import typer

from adkit.cli import options as o
from adkit.cli.output import warn


def report(
    run: o.RunArgument,
    output: Annotated[
        Path | None,
        o.place("--output", "-o", help="Write the page to this file.", show_default="report.html in the run"),
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
    from adkit.report.page import write_report

    page = write_report(o.opened_run(run, runs), o.workplace(root, device, skip_bad=skip_bad), output)
    for note in page.notes:
        warn(note)
    typer.echo(f"report: {page.path}")
