"""A lock on a file that the system releases when its process ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adkit.errors import AdkitError

_GLANCE_S = 0.1  # whoever asks `is_locked` holds the lock for an instant, which is no reason to give up


class LockHeld(Exception):  # noqa: N818 (it is no fault: whoever asks decides what it means)
    """Somebody else holds the lock."""


@contextmanager
def lock(path: Path, *, patience_s: float = _GLANCE_S, otherwise: AdkitError | None = None) -> Iterator[None]:
    """Hold the lock of this file, which is made if it is not there; raises LockHeld, or `otherwise`, if it is held."""
    held = FileLock(path, thread_local=False)
    try:
        held.acquire(timeout=patience_s, poll_interval=0.01)
    except Timeout:
        raise otherwise or LockHeld from None
    try:
        yield
    finally:
        held.release()


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock of this file."""
    try:
        if path.exists():
            with lock(path, patience_s=0):
                return False
    except LockHeld:
        return True
    except OSError:
        return False  # nobody can have locked what cannot be opened
    return False
