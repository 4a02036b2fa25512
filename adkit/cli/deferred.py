"""Commands that are imported when they are named, and help without what it needs for other modes of Typer."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from inspect import getdoc
from shutil import get_terminal_size
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from adkit.errors import SKIPPING, AdkitError

_TABLES_FROM = 60  # columns
_HYPHEN = "\u2011"  # at which no line breaks


class ShortHelp:
    """What has a help that comes without what it does not show, and without values for options that take none."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters, --help among them."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in found:
            if isinstance(param, TyperOption) and param.is_bool_flag:
                param.metavar = ""
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; in few columns without a table, in which the names of options would be cut."""
        if (columns := get_terminal_size().columns) < _TABLES_FROM:
            command: Any = self
            formatter.width, command.rich_markup_mode = columns - 1, None
            command.help = re.sub(r"\[/?bold\]", "", command.help or "")
            # What options mean stands below them. No line breaks within the name of an option.
            text, rows, write = formatter.write_text, formatter.write_dl, formatter.write
            formatter.write_text = lambda told: text(told.replace("-", _HYPHEN))
            formatter.write_dl = lambda told: rows([(one, of.replace("-", _HYPHEN)) for one, of in told], col_max=4)
            formatter.write = lambda told: write(told.replace(_HYPHEN, "-"))
        with _unused_left_out():
            super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(ShortHelp, TyperCommand):
    """A command."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; where a program reads its results, nothing else gets among them."""
        from adkit.cli.output import Format, results_only

        try:
            with nullcontext() if ctx.params.get("format_", Format.table) is Format.table else results_only():
                return super().invoke(ctx)
        except AdkitError as error:
            if ctx.params.get("skip_bad") is not False:  # it is given and does not help, or the command has none
                error.hint = error.hint.removesuffix(SKIPPING)
            raise

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first paragraph, as long as it is."""
        return (self.help or "").split("\n\n")[0]


@cache
def imported(name: str, target: str) -> Any:
    """Make a command of a function, "package.module:function"; in its text only paragraphs break lines, as Typer does.

    It is imported when it is asked for: all would take long.
    """
    module, _, function = target.partition(":")
    run: Callable[..., None] = getattr(importlib.import_module(module), function)
    text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in (getdoc(run) or "").split("\n\n"))
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    alone.command(name, cls=Command, help=text)(run)
    return typer.main.get_command(alone)


@contextmanager
def _unused_left_out() -> Iterator[None]:
    """Spare typer.rich_utils the imports for Markdown and tracebacks, a third of the time of `adkit --help`."""
    unused = [name for name in ("rich.markdown", "rich.traceback") if name not in sys.modules]
    for name in unused:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(Markdown=type("Markdown", (), {}), Traceback=type("Traceback", (), {}))
    try:
        yield
    finally:
        for name in unused:
            del sys.modules[name]
