"""`adkit feedback`."""

from typing import Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.stats.formatting import counted


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
