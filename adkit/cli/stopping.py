"""Ctrl-C as a wish to end in order: what is under way is finished; a second one ends at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from adkit.cli.output import warn


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C (or SIGTERM) sets, while the block runs."""
    stop = threading.Event()
    with ExitStack() as before:

        def wish(_: int, __: FrameType | None) -> None:
            stop.set()
            before.close()
            warn("stopping: what was begun is finished (Ctrl-C again: at once)")

        if threading.current_thread() is threading.main_thread():  # only it may listen to signals
            for number in (signal.SIGINT, signal.SIGTERM):
                before.callback(signal.signal, number, signal.signal(number, wish))
        yield stop
