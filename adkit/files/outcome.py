"""How a command tells the program that started it that it runs, and how it ended.

    FOLDER/             named by $ADKIT_OUTCOME
        lock            held until the command's process ends
        process         its number, written once it holds the lock
        outcome.json    how it ended, written before it does

So a command runs if its process is told and the lock is held; one that was killed leaves no outcome.
"""

import atexit
import os
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ValidationError

from adkit.files.atomic import storage_faults, write_whole
from adkit.files.documents import MOST_BYTES, read_file
from adkit.files.lock import is_locked, lock

VARIABLE = "ADKIT_OUTCOME"  # the environment variable that names the folder
PROCESS, OUTCOME = "process", "outcome.json"
_LOCK = "lock"


class Outcome(BaseModel, extra="forbid", frozen=True):
    """How a command ended."""

    exit_code: int  # as `adkit --help` lists them
    message: str = ""  # of a fault that the user can fix
    hint: str = ""


def begin(folder: Path) -> None:
    """Hold the folder's lock until this process ends; raises LockHeld when another one does."""
    held = ExitStack()
    with storage_faults(folder):
        held.enter_context(lock(folder / _LOCK))
    atexit.register(held.close)
    write_whole(folder / PROCESS, str(os.getpid()).encode())


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write how the command ended."""
    write_whole(folder / OUTCOME, outcome.model_dump_json().encode())


def read_outcome(folder: Path) -> Outcome | None:
    """Return how the command ended; None while it runs, and for one that was killed."""
    try:
        return Outcome.model_validate_json(read_file(folder / OUTCOME, MOST_BYTES))
    except (OSError, ValidationError):
        return None


def running_process(folder: Path) -> int | None:
    """Return the number of the process that runs the command now, if one does."""
    try:
        number = int(read_file(folder / PROCESS, MOST_BYTES))
    except (OSError, ValueError):
        return None  # and nobody looks at a lock that is only about to be taken
    return number if is_locked(folder / _LOCK) else None
