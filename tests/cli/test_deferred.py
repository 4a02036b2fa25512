"""Commands that are imported when they are named."""

from __future__ import annotations

import importlib
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
    assert named(command).help.split("\n\n")[0] == first.replace("\n", " ")


def test_help_in_few_columns_names_every_option_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    said = ok("watch", "--help").stdout
    assert max(map(len, said.splitlines())) <= 40
    options = [option for one in named("watch").make_context("watch", ["x"]).command.params for option in one.opts]
    assert all(option in said for option in options if option.startswith("-"))
    assert "--on-anomaly CMD\n" in said
    assert "[bold]" not in said


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
