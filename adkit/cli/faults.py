"""User faults as two lines on stderr; everything else keeps its traceback."""

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from adkit.cli.deferred import ShortHelp
from adkit.cli.output import say, warn
from adkit.errors import BUG, INTERRUPTED, USER_FAULT, AdkitError, OptionError, PluginError, fault_of_system, said

READER_LEFT = 141  # as a shell says of programs that end so


class FaultReportingGroup(ShortHelp, TyperGroup):
    """All commands; reports what the user caused, and is the only place where AdkitError is caught to exit."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; none at all, and "help", ask for help."""
        if not args or args[0] == "help":
            args = [*args[1:], "--help"]
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            report_fault(_of_usage(error, given))
            raise typer.Exit(USER_FAULT) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # As stderr does by itself: a file name that is not UTF-8 must not end a command that did its work.
            sys.stdout.reconfigure(errors="backslashreplace")
        given = [*ctx._protected_args, *ctx.args]
        try:
            with _outcome_written(), _system_told():
                try:
                    return super().invoke(ctx)
                except typer.TyperException as error:
                    raise _of_usage(error, given) from None
        except AdkitError as error:
            report_fault(error)
            raise typer.Exit(USER_FAULT) from None
        except KeyboardInterrupt as interruption:
            warn("interrupted: nothing was left half-written")
            warn(*getattr(interruption, "__notes__", ()))
            raise typer.Exit(INTERRUPTED) from None


def _of_usage(error: Any, given: Sequence[str]) -> OptionError:
    """Return what Typer finds wrong in the words of a command line, `given`, as a fault in two lines."""
    context, parameter, close = (getattr(error, name, None) for name in ("ctx", "param", "possibilities"))
    command = given[0] if context is None else context.info_name if context.parent else ""
    example = re.search(r"Example: \[bold\](.+?)\[", (context.command.help if context else None) or "")
    see = " ".join(f"see: adkit {command} --help".split())
    told = said(" ".join((error.message or error.format_message()).split()))
    if "extra argument" in told and context is not None:
        flags = {name for one in context.command.params if getattr(one, "is_flag", False) for name in one.opts}
        more = told.rpartition(" (")[2].removesuffix(")").split()
        for word, after in pairwise(given):
            if word in flags and after in more:
                return OptionError(told, hint=f"{word} takes no value: leave {after!r} out")
        many = [one.opts[0] for one in context.command.params if one.multiple and {*one.opts} & {*given}]
        if many:  # as a shell makes of a pattern
            hint = f"{many[0]} is given for each of several: {many[0]} ONE {many[0]} OTHER"
            return OptionError(told, hint=hint)
    if name := next((word for word in given if word.startswith("-") and os.path.lexists(word)), None):
        return OptionError(told, hint=f"a file whose name begins with '-' is given as ./{name}")
    if not parameter or not error.message:
        close = f"did you mean {' or '.join(close)}? " if close else ""
        hint = f"{close}{'For' if close else 'for'} example: {example[1]}" if example else f"{close}{see}"
        return OptionError(told, hint=hint)
    if parameter.param_type_name == "argument":
        return OptionError(told, hint=see)
    option, value = str(parameter.opts[0]), ""
    for word, after in zip_longest(given, given[1:], fillvalue=""):
        name, equals, rest = word.partition("=")
        if name in parameter.opts:
            option, value = name, f" {rest if equals else after!r}"
    return OptionError(f"{option}{value} is refused: {told}", hint=see)


@contextmanager
def _system_told() -> Iterator[None]:
    """Turn what memory, disk, paths and missing libraries do to a command into faults with a hint."""
    try:
        yield
    except AdkitError:
        raise
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            with suppress(OSError):  # or Python complains at its end of what is left to be written
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(READER_LEFT) from None
        told = f"some plugin ended the program (exit code {error.code}) instead of raising an error"
        raise PluginError(told, hint="see which are installed: adkit list plugins") from error
    except Exception as error:
        fault = fault_of_system(error)
        if fault is None:
            raise
        for note in getattr(error, "__notes__", ()):
            fault.add_note(note)
        raise fault from None


@contextmanager
def _outcome_written() -> Iterator[None]:
    """Tell a program that asks by $ADKIT_OUTCOME that the command runs, and how it ended."""
    named = os.environ.pop("ADKIT_OUTCOME", "")  # what this command starts is not what was asked for
    if not named:
        yield
        return
    from adkit.files.outcome import Outcome, begin, write_outcome

    begin(folder := Path(named))
    try:
        yield
    except AdkitError as error:
        write_outcome(folder, Outcome(exit_code=USER_FAULT, message=error.message, hint=error.hint))
        raise
    except KeyboardInterrupt:
        write_outcome(folder, Outcome(exit_code=INTERRUPTED))
        raise
    except BaseException as error:  # typer's own carry their code, all others are bugs
        write_outcome(folder, Outcome(exit_code=int(getattr(error, "exit_code", BUG))))
        raise
    write_outcome(folder, Outcome(exit_code=0))


def report_fault(error: AdkitError) -> None:
    """Print on stderr what is wrong, what to do, and what was noted on the way, such as what is kept."""
    say("error:", nl=False, err=True, fg="red", bold=True)
    say(f" {error.message}", err=True, used=6)
    say("hint:", nl=False, err=True, fg="cyan")
    say(f"  {error.hint}", err=True, used=5)
    warn(*getattr(error, "__notes__", ()))
