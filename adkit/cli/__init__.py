"""The command line: parse, call a workflow, print. Nothing here computes."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from adkit.cli.deferred import imported
from adkit.cli.faults import FaultReportingGroup
from adkit.errors import OptionError

COMMANDS = {
    "demo": "demo:demo",
    "inspect": "inspect:inspect",
    "fit": "fit:fit",
    "eval": "evaluate:evaluate",
    "score": "score:score",
    "watch": "watch:watch",
    "calibrate": "calibrate:calibrate",
    "update": "calibrate:update",
    "feedback": "calibrate:feedback",
    "restore": "calibrate:restore",
    "audit": "calibrate:audit",
    "report": "report:report",
    "export": "report:export",
    "compare": "compare:compare",
    "ui": "ui:ui",
    "doctor": "demo:doctor",
    "list": "listing:list_",
    "show": "listing:show",
}
"""The file in cli/commands and the function that each command runs, in the order of the help."""
EPILOG = (
    "Exit codes: 0 done · 1 a bug in adkit or a plugin (with its traceback) · 2 something that you can fix · "
    "3 scored, but some files could not be read · 4 an audit says that the promise is not kept · "
    "5 score --fail-on-anomaly found something · 130 interrupted. "
    "$ADKIT_DATA, $ADKIT_RUNS and $ADKIT_CACHE name the folders of data, runs and cache, "
    "$ADKIT_PLUGINS plugins of one file."
)


THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""What torch, onnxruntime (by `adkit.nn.features.onnx_session`), numpy and OpenCV ask before they are loaded."""


class _Commands(FaultReportingGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": dict.fromkeys(COMMANDS)})  # their names, for who misspells one

    def list_commands(self, _: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: Any, name: str) -> Any:
        """Return a command, which is imported now."""
        return imported(name, f"adkit.cli.commands.{COMMANDS[name]}") if name in COMMANDS else None


app = typer.Typer(
    name="adkit",
    cls=_Commands,
    help="Visual anomaly detection that learns from good examples only.\n\n"
    "It says what is anomalous, shows where, and says how often it will be wrong. Try: adkit demo",
    epilog=EPILOG,
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
    _: bool = Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    threads: int | None = Option(
        None, min=1, max=1024, help="Take so many threads; without it $OMP_NUM_THREADS, else one for each core."
    ),
    plugin: Annotated[list[Path] | None, Option(help="Take this FILE.py as a plugin, without installing it.")] = None,
) -> None:
    limit_threads(threads)
    for file in plugin or []:
        if file.suffix != ".py" or not file.is_file():
            what = "not there" if not file.exists() else "a folder" if file.is_dir() else "no file that ends in .py"
            raise OptionError(
                f"--plugin {file} is {what}; a plugin of one file is Python, such as mine.py",
                hint="it holds a hook such as adkit_methods and the class that the hook names (docs/plugins.md); "
                "installed plugins need no --plugin: adkit list plugins",
            )
        # In the environment, because jobs and workers are processes of their own.
        os.environ["ADKIT_PLUGINS"] = os.pathsep.join([str(file.resolve()), os.environ.get("ADKIT_PLUGINS", "")])


def limit_threads(count: int | None) -> None:
    """Let every library take so many threads; None: as many as the environment says, else as there are cores."""
    if count is not None:
        os.environ.update(dict.fromkeys(THREAD_LIMITS, str(count)))
    elif (given := os.environ.get(THREAD_LIMITS[0], "")).isdigit():
        for name in THREAD_LIMITS[1:]:
            os.environ.setdefault(name, given)


def main() -> None:
    """Run the `adkit` command."""
    app()
