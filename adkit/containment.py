"""Runs what plugins bring: it prints no results, ends no program, and what comes out of it says whose it is."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

from adkit.errors import AdkitError, DatasetError, PluginError, brief

Kind = TypeVar("Kind")
_NOTE = "raised in "
_exit = os._exit
_plugin_process: ContextVar[int | None] = ContextVar("plugin_process", default=None)  # None: no plugin's code runs


def _exit_or_raise(code: int) -> NoReturn:
    """Do what os._exit does, but not for code of a plugin; processes that a plugin forks end as they always do."""
    if _plugin_process.get() == os.getpid():
        raise SystemExit(code)
    _exit(code)


@contextmanager
def plugin_code(origin: str | type[object]) -> Iterator[None]:
    """Run code of a plugin: what it prints goes to stderr, and what comes out of it names the origin, or the class.

    A plugin that ends the program raises PluginError instead. For steps beside which no other thread prints results.
    """
    if isinstance(origin, type):
        origin = f"{origin.__module__}.{origin.__qualname__}"
    os._exit = _exit_or_raise  # type: ignore[assignment]  # whose parameter has another name
    token = _plugin_process.set(os.getpid())
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        told = f"{origin} ended the program (exit code {error.code}) instead of raising an error"
        hint = "tell its author, or uninstall that plugin; every other name still works"
        raise PluginError(told, hint=hint) from error
    except Exception as error:
        if not isinstance(error, AdkitError) and not hasattr(error, "__notes__"):
            error.add_note(f"{_NOTE}{origin}")
        raise
    finally:
        _plugin_process.reset(token)


def returned(value: object, kind: type[Kind], by: str) -> Kind:
    """Return what a plugin gave; raises TypeError, for its author, where it is something else."""
    if not isinstance(value, kind):
        raise TypeError(f"{by} returned {type(value).__name__}, not {kind.__name__}")
    return value


def list_of(
    kind: type[Kind], given: object, by: str, odd_in: Callable[[Sequence[Kind]], str | None] = lambda _: None
) -> list[Kind]:
    """Return a list of what a dataset gave; raises DatasetError for another one, or what is `odd_in` it."""
    found: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    others = (f"a list of {kind.__name__} was expected, got {brief(one)}" for one in found if not isinstance(one, kind))
    if odd := next(others, None) or odd_in(found):
        raise DatasetError(f"{by}: {odd}", hint="tell the author of the plugin; it is no fault of the data")
    return found


def is_of_plugin(error: Exception) -> bool:
    """Say whether an error came out of `plugin_code`."""
    return any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ()))
