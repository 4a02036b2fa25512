"""`adkit doctor`."""

from typing import Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.faults import USER_FAULT
from adkit.cli.output import destination, print_table


def doctor(
    self_test: Annotated[bool, Option(help="Learn from a few drawn parts, and find defects.")] = True,
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Say whether this computer can do what adkit does: versions, devices, plugins, weights, data, disk, a self-test.

    Exit code 2 says that something is wrong. The self-test takes half a minute.

    Example: [bold]adkit doctor[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.workflows.doctor import examine

    to, registry = destination(format_), o.loaded_registry()
    findings = list(examine(o.runs_folder(runs), registry, terminal_progress(), self_test=self_test))
    rows = [{"what": one.what, "found": one.found, "problem": one.problem} for one in findings]
    to.emit(rows, rows)
    problems = [one for one in findings if one.problem]
    if to.for_people:
        print_table("this computer", [{"what": one.what, "found": one.found} for one in findings])
        for one in problems:
            typer.secho(f"{one.what}: {one.problem}", fg="red")
        if not problems:
            typer.secho("nothing is wrong", bold=True, fg="green")
    if problems:
        raise typer.Exit(USER_FAULT)
