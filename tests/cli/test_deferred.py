"""Commands that are imported when they are named."""

from __future__ import annotations

import importlib
import re
from inspect import getdoc
from typing import Any

import pytest
import typer

from adkit.cli import COMMANDS, app
from tests.cli.invoking import ok, run


def named(command: str) -> Any:
    """The command as the group of commands knows it."""
    group: Any = typer.main.get_command(app)
    return group.get_command(None, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_found_and_described_by_its_function(command: str) -> None:
    module, name = COMMANDS[command].split(":")
    function = getattr(importlib.import_module(f"adkit.cli.commands.{module}"), name)
    said = " ".join(ok(command, "--help").stdout.split())
    first = (getdoc(function) or "").split("\n\n")[0]
    assert " ".join(first.split()) in said
    assert named(command).get_short_help_str(9) == named(command).help.split("\n\n")[0] == first.replace("\n", " ")


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_names_every_option_and_command_in_full(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = ok(*command.split(), "--help").stdout
    assert max(map(len, said.splitlines())) <= columns
    assert not re.search(r"\w-\n|\w…|\[bold\]", said)
    group: Any = typer.main.get_command(app)
    known = named(command).make_context(command, [], resilient_parsing=True).command if command else group
    options = [option for one in known.params for option in one.opts if option.startswith("-")]
    assert not {*options, *([] if command else COMMANDS)} - set(re.split(r"[\s,]+", said))


def test_help_leaves_nothing_made_up_behind() -> None:
    ok("--help")
    ok("fit", "--help")
    from rich.markdown import Markdown
    from rich.traceback import Traceback

    assert Markdown("# text").markup
    assert Traceback.from_exception is not None


def test_a_misspelt_command_is_told_the_nearest() -> None:
    result = run("scor")
    assert result.exit_code == 2
    assert "'score'" in result.stderr


def test_the_shell_completes_commands_with_what_they_do_and_their_options() -> None:
    from typer.testing import CliRunner

    def completed(words: str, last: str) -> str:
        environment = {"_ADKIT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"adkit {words}{last}"}
        return CliRunner().invoke(app, [], prog_name="adkit", env=environment).stdout

    assert "Say which images" in completed("", "sco")
    assert "--heatmaps" in completed("score ", "--heat")
