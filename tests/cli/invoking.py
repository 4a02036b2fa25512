"""Commands as a user types them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adkit.cli import app
from adkit.registry import Registry


@contextmanager
def commands_that_find(registry: Registry) -> Iterator[None]:
    """Inside it, these are the plugins that commands load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adkit.registry.load_registry", lambda: registry)
        yield


def run(*arguments: str | Path | float) -> Result:
    """Whatever comes of the command."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ok(*arguments: str | Path | float) -> Result:
    """The command must end well."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output or repr(result.exception)
    return result


def refused(*arguments: str | Path | float) -> tuple[str, str]:
    """What is wrong and what to do: the user's fault, told in exactly these two lines of stderr."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint:  ")
    return error.removeprefix("error: "), hint.removeprefix("hint:  ")


def fault(*arguments: str | Path | float) -> str:
    """What a command that fails through the user's fault prints: exactly two lines."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()[-2:]
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint:  ")
    return "\n".join(lines)
