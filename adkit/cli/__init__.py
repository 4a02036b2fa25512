"""The command line: parse, call a workflow, print. Nothing here computes."""

from __future__ import annotations

import typer

from adkit.cli.commands.audit import audit
from adkit.cli.commands.calibrate import calibrate
from adkit.cli.commands.compare import compare
from adkit.cli.commands.demo import demo
from adkit.cli.commands.evaluate import evaluate
from adkit.cli.commands.fit import fit
from adkit.cli.commands.inspect import inspect
from adkit.cli.commands.listing import list_, show
from adkit.cli.commands.report import report
from adkit.cli.commands.score import score
from adkit.cli.commands.ui import ui
from adkit.cli.faults import FaultReportingGroup

EPILOG = (
    "Exit codes: 0 done · 1 a bug in adkit or a plugin (with its traceback) · 2 something you can mend · "
    "3 scored, but some files could not be read · 4 an audit says that the promise is not kept · 130 interrupted. "
    "$ADKIT_DATA, $ADKIT_RUNS and $ADKIT_CACHE name the folders of data, runs and cache."
)

app = typer.Typer(
    name="adkit",
    cls=FaultReportingGroup,
    help="Visual anomaly detection that learns from good examples only.\n\n"
    "It says what is anomalous, shows where, and says how often it will be wrong. Try: adkit demo",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from adkit import __version__

        typer.echo(f"adkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("demo")(demo)
app.command("inspect")(inspect)
app.command("fit")(fit)
app.command("eval")(evaluate)
app.command("score")(score)
app.command("calibrate")(calibrate)
app.command("audit")(audit)
app.command("report")(report)
app.command("compare")(compare)
app.command("ui")(ui)
app.command("list")(list_)
app.command("show")(show)


def main() -> None:
    """The entry point of the `adkit` command."""
    app()
