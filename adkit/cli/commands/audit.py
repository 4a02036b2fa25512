"""`adkit audit`."""

import typer

from adkit.cli import options as o
from adkit.cli.calibration import name_suspects
from adkit.cli.faults import PROMISE_BROKEN
from adkit.cli.output import destination, print_table
from adkit.errors import OptionError


def audit(
    run: o.RunArgument,
    normal: o.NormalOption = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
    output: o.OutputOption = None,
) -> None:
    """Is the promise kept on fresh images of good parts? Exit code 4 says no: too many false alarms, or drift.

    Images that the run learned from or was calibrated with are left out.

    Example: [bold]adkit audit latest --normal fresh_good_images/[/bold]
    """
    from adkit.runs.record import Suspects
    from adkit.workflows.audit import audit as hold_against

    if not normal:
        raise OptionError("audit was given no images of good parts", hint="add --normal DIR")
    to = destination(format_, output)
    result = hold_against(o.opened_run(run, runs), o.workplace(device=device, skip_bad=skip_bad), normal)
    for note in result.fresh.notes():
        typer.echo(note, err=True)
    name_suspects(Suspects.among_scores(result.names, result.scores))
    rows = [
        {"path": name, "score": float(score), "flagged": bool(score > result.threshold.value)}
        for name, score in zip(result.names, result.scores, strict=True)
    ]
    to.emit(rows, result.as_json())
    if to.for_people:
        verdict, *details = result.sentences()
        typer.secho(verdict, bold=True, fg="green" if result.verdict == "kept" else "red")
        for sentence in details:
            typer.echo(f"  {sentence}")
        flagged = [{"image": row["path"], "score": row["score"]} for row in rows if row["flagged"]]
        if flagged:
            print_table("flagged", sorted(flagged, key=lambda row: -float(str(row["score"]))))
    if result.verdict != "kept":
        raise typer.Exit(PROMISE_BROKEN)
