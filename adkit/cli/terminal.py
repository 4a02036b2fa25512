"""Progress with an estimate: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from adkit.interfaces import Advance, Progress

_QUIET_S = 5.0
"""Without a terminal, a step says where it is this often, and steps that are shorter say nothing."""


def terminal_progress() -> Progress:
    """Bars on stderr if that is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars(Progress):
    """A bar per step, with the time left; a step within a step stands below it."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None  # while a step is open
        self._open: list[TaskID] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Opens a step that is drawn until it ends."""
        outermost = self._bars is None
        bars = self._bars or RichProgress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=600,  # a cell of a comparison takes minutes
        )
        if outermost:
            self._bars = bars
            bars.start()
        task = bars.add_task(label, total=total, status="")
        self._open.append(task)
        try:
            yield lambda steps: bars.advance(task, steps)
        finally:
            self._open.remove(task)
            bars.remove_task(task)
            if outermost:
                bars.stop()
                self._bars = None

    def status(self, text: str) -> None:
        """Stands at the end of the innermost bar."""
        if self._bars and self._open:
            self._bars.update(self._open[-1], status=text)


class Lines(Progress):
    """A line on stderr every few seconds."""

    def __init__(self) -> None:
        self._status = ""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Opens a step that speaks up when it takes long."""
        started = spoken = time.monotonic()
        done = 0
        self._status = ""

        def advance(steps: int) -> None:
            nonlocal done, spoken
            done += steps
            now = time.monotonic()
            if now - spoken >= _QUIET_S and done:
                left = (now - started) * (total - done) / done
                status = f"; {self._status}" if self._status else ""
                print(f"{label}: {done} of {total}, about {left:.0f} s left{status}", file=sys.stderr, flush=True)
                spoken = now

        yield advance

    def status(self, text: str) -> None:
        """Stands at the end of the step's lines."""
        self._status = text
