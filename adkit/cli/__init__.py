"""The command line: parse, call a workflow, print. Nothing here computes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc

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
from adkit.cli.faults import Command, FaultReportingGroup

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "inspect": inspect,
    "fit": fit,
    "eval": evaluate,
    "score": score,
    "calibrate": calibrate,
    "audit": audit,
    "report": report,
    "compare": compare,
    "ui": ui,
    "list": list_,
    "show": show,
}
EPILOG = (
    "Exit codes: 0 done · 1 a bug in adkit or a plugin (with its traceback) · 2 something that you can fix · "
    "3 scored, but some files could not be read · 4 an audit says that the promise is not kept · 130 interrupted. "
    "$ADKIT_DATA, $ADKIT_RUNS and $ADKIT_CACHE name the folders of data, runs and cache."
)

app = typer.Typer(
    name="adkit",
    cls=FaultReportingGroup,
    help="Visual anomaly detection that learns from good examples only.\n\n"
    "It says what is anomalous, shows where, and says how often it will be wrong. Try: adkit demo",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    # Typer breaks lines where the source does, whatever the terminal's width.
    _paragraphs = getdoc(_command).split("\n\n")  # type: ignore[union-attr]
    _help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in _paragraphs)
    app.command(_name, cls=Command, help=_help)(_command)


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


def main() -> None:
    """Run the `adkit` command."""
    app()
