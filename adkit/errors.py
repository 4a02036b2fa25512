"""What a user can cause. Everything else is a bug and keeps its traceback."""

import difflib
import errno
from collections.abc import Iterable
from functools import partial
from typing import Any

# How commands exit; what `adkit --help` says of it is in `adkit.cli`.
BUG = 1
USER_FAULT = 2
SOME_UNREADABLE = 3
PROMISE_BROKEN = 4
ANOMALY_FOUND = 5
INTERRUPTED = 130
_MOST_SHOWN = 100
SKIPPING = "; --skip-bad continues without such files"  # ends hints of files that cannot be read


class AdkitError(Exception):
    """A fault that the user can fix: `message` says what was found, expected and where; `hint` says the next step."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), hint=self.hint), (self.message,), self.__dict__  # from another process


class PluginError(AdkitError):
    """A name no plugin offers, or one that two plugins claim."""


class OptionError(AdkitError):
    """An option that does not exist or lies out of its bounds."""


class DatasetError(AdkitError):
    """A folder that is missing, empty or not in the expected layout."""


class FrameError(AdkitError):
    """An image that cannot be read."""


class BackboneError(AdkitError):
    """A network whose name or weights are not to be had."""


class TrainingError(AdkitError):
    """A training that cannot go on: no memory, or a loss that is not finite from the first epoch."""


class RunError(AdkitError):
    """A run that is missing, incomplete or edited."""


class PromiseError(AdkitError):
    """A false-alarm rate that no threshold can promise, or not with so few normal samples: `needs` would do."""

    def __init__(self, message: str, *, hint: str, needs: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.needs = needs


class StorageError(AdkitError):
    """A disk that is full or must not be written."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, whichever library says so."""
    words = ["not enough memory", "allocate memory", "out of memory", "insufficient memory", "bad alloc", "bad_alloc"]
    words.append("failed to map segment")  # of a library that is loaded
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def fault_of_system(error: BaseException) -> AdkitError | None:
    """Return what a user can do about memory, disk, path or a missing library; None for all that is a bug."""
    if is_out_of_memory(error):
        hint = "end other programs; fitting takes less with fewer images, or smaller ones: see adkit show METHOD"
        return AdkitError("the memory of this machine does not suffice", hint=hint)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("adkit"):
        hint = "pip install adkit-vision brings it; without it, adkit score FILES --run EXPORT judges by an export"
        return PluginError(f"this needs {error.name}, which is not installed here", hint=hint)
    if "Symlink loop" in str(error):  # what pathlib makes of it before Python 3.13
        return StorageError(str(error), hint="the link leads to itself: name another place")
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return None
    if error.errno == errno.ENOSPC:
        hint = "free some space; runs that were fitted are kept: adkit list runs"
        return StorageError("cannot write the output: the disk is full", hint=hint)
    where = f"{error.filename}: " if error.filename else ""
    hint = "check the path, who may read and write there, and the disk"
    if "temporary directory" in str(error):
        hint = "name a folder that can be written: TMPDIR=/some/folder, and ADKIT_CACHE for the exported networks"
    return StorageError(f"{where}{error.strerror or error}", hint=hint)


def said(message: str) -> str:
    """Return what pydantic or the system says, within a sentence: "connection refused"."""
    told = message.removeprefix("Value error, ")
    return told[:1].lower() + told[1:]


def brief(value: Any) -> str:
    """Write a value that was given as a message shows it: in one line, and of a long one the beginning."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """Name the known word that `word` was probably meant to be, and all of them: text for a hint."""
    names = sorted(known)
    listed = ", ".join(names) if names else "none"
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}? Known: {listed}" if close else f"known: {listed}"
