"""`adkit audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adkit.cli import options as o
from adkit.cli.calibration import warn_of_mixture
from adkit.cli.faults import PROMISE_BROKEN, loaded_registry

if TYPE_CHECKING:
    from adkit.workflows.audit import Audit


def audit(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: latest, its id, or its path.")],
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
    from adkit.cli.output import emit, format_of
    from adkit.cli.terminal import terminal_progress
    from adkit.errors import OptionError
    from adkit.files.atomic import refuse_folder
    from adkit.runs.store import default_runs_root, find_run
    from adkit.workflows.audit import audit as hold_against

    if not normal:
        raise OptionError("audit was given no images of good parts", hint="add --normal DIR")
    chosen_format = format_of(format_, output)
    refuse_folder(output)
    registry = loaded_registry()
    opened = find_run(runs or default_runs_root(), run)
    result = hold_against(opened, registry, normal, device=device, skip_bad=skip_bad, progress=terminal_progress())
    for note in result.fresh.notes():
        typer.echo(note, err=True)
    warn_of_mixture(result.names, result.scores)
    if chosen_format is not o.Format.table:
        emit(chosen_format, output, _rows(result), result.as_json())
    if format_ is o.Format.table:
        _print(result)
    if result.verdict != "kept":
        raise typer.Exit(PROMISE_BROKEN)


def _rows(result: Audit) -> list[dict[str, object]]:
    return [
        {"path": name, "score": float(score), "flagged": bool(score > result.threshold.value)}
        for name, score in zip(result.names, result.scores, strict=True)
    ]


def _print(result: Audit) -> None:
    from adkit.cli.output import print_table

    verdict, *details = result.sentences()
    typer.secho(verdict, bold=True, fg="green" if result.verdict == "kept" else "red")
    for sentence in details:
        typer.echo(f"  {sentence}")
    flagged = sorted((row for row in _rows(result) if row["flagged"]), key=lambda row: -float(str(row["score"])))
    if flagged:
        print_table("flagged", [{"image": row["path"], "score": row["score"]} for row in flagged])
