"""Progress with an estimate: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from adkit.interfaces import Advance, Progress

_QUIET_S = 5.0
"""Without a terminal, a step says where it is this often, and steps that are shorter say nothing."""


def terminal_progress() -> Progress:
    """Bars on stderr if that is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars(Progress):
    """A bar per step, with the time left."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Opens a step that is drawn until it ends."""
        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(label, total=total)
            yield lambda steps: bars.advance(task, steps)


class Lines(Progress):
    """A line on stderr every few seconds."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Opens a step that speaks up when it takes long."""
        started = spoken = time.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, spoken
            done += steps
            now = time.monotonic()
            if now - spoken >= _QUIET_S and done:
                left = (now - started) * (total - done) / done
                print(f"{label}: {done} of {total}, about {left:.0f} s left", file=sys.stderr, flush=True)
                spoken = now

        yield advance
