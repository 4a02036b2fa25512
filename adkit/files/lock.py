"""A lock on a file that the system releases when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class LockHeld(Exception):  # noqa: N818 (it is no fault: whoever asks decides what it means)
    """Somebody else holds the lock."""


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Inside it, nobody else holds the lock of this file, which is made if it is not there; raises Taken.

    On a file system without locks it does nothing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(descriptor, alone=True)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of this file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _take(descriptor, alone=False)
    except LockHeld:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, *, alone: bool) -> None:
    """Takes the lock until the file is closed; not `alone`: beside others who only look."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise LockHeld from None
