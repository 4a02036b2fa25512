"""Ctrl-C as a wish to end in order: what is under way is finished; a second one ends at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from adkit.cli.output import warn


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C (or SIGTERM) sets, while the block runs."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may listen to signals
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def wish(_: int, __: FrameType | None) -> None:
        stop.set()
        restore()
        warn("stopping: what was begun is finished (Ctrl-C again: at once)")

    for number in signals:
        signal.signal(number, wish)
    try:
        yield stop
    finally:
        restore()
