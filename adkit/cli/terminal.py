"""Progress with an estimate: bars in a terminal, a line now and then elsewhere, JSON lines for programs."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from adkit.interfaces import Advance, Progress
from adkit.stats.formatting import duration_text

_QUIET_S = 5.0
"""Without a terminal, a step says where it is this often, and steps that are shorter say nothing."""
_STREAM_S = 0.5

STREAM_VARIABLE = "ADKIT_PROGRESS"
"""An environment variable: "json" asks for progress that programs read."""


def terminal_progress() -> Progress:
    """Give bars on stderr if that is a terminal, else lines; JSON lines where $ADKIT_PROGRESS is "json"."""
    if os.environ.get(STREAM_VARIABLE) == "json":
        return Stream()
    return Bars() if sys.stderr.isatty() else Lines()


class Bars(Progress):
    """A bar per step, with the time left; a step within a step stands below it."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None  # while a step is open
        self._open: list[TaskID] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Open a step that is drawn until it ends."""
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
        """Show the text at the end of the innermost bar."""
        if self._bars and self._open:
            self._bars.update(self._open[-1], status=text)


class Lines(Progress):
    """A line on stderr every few seconds."""

    def __init__(self) -> None:
        self._status = ""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Open a step that speaks up when it takes long."""
        started = spoken = time.monotonic()
        done = 0
        self._status = ""

        def advance(steps: int) -> None:
            nonlocal done, spoken
            done += steps
            now = time.monotonic()
            if now - spoken >= _QUIET_S and done:
                left = duration_text((now - started) * (total - done) / done)
                status = f"; {self._status}" if self._status else ""
                print(f"{label}: {done:,} of {total:,}, about {left} left{status}", file=sys.stderr, flush=True)
                spoken = now

        yield advance

    def status(self, text: str) -> None:
        """Show the text at the end of the step's lines."""
        self._status = text


class Stream(Progress):
    """A JSON object on a line of stderr, when a step begins, at most twice a second while it lasts, and at its end.

    {"steps": ["cells", "training"], "done": 3, "total": 60, "elapsed_s": 4.1, "status": "epoch 3: loss 0.0123"}

    `steps` are the open steps from the outermost to the innermost, of which the other entries speak. A new status is
    told at once.
    """

    def __init__(self) -> None:
        self._open: list[_Step] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Open a step that is told of until it ends."""
        step = _Step(label, total)
        self._open.append(step)
        self._tell()

        def advance(steps: int) -> None:
            step.done += steps
            if step is self._open[-1] and (step.news or time.monotonic() - step.told >= _STREAM_S):
                self._tell()

        try:
            yield advance
            self._tell()
        finally:
            self._open.remove(step)

    def status(self, text: str) -> None:
        """Send the text with the next line, which comes at the next advance."""
        if self._open:
            self._open[-1].status = text
            self._open[-1].news = True

    def _tell(self) -> None:
        step = self._open[-1]
        step.told, step.news = time.monotonic(), False
        line = {
            "steps": [one.label for one in self._open],
            "done": step.done,
            "total": step.total,
            "elapsed_s": round(step.told - step.began, 2),
            "status": step.status,
        }
        with suppress(OSError):  # a full disk behind stderr: progress must not end what it tells of
            print(json.dumps(line), file=sys.stderr, flush=True)


@dataclass
class _Step:
    """An open step of a stream."""

    label: str
    total: int
    done: int = 0
    status: str = ""
    news: bool = False  # a status that was not told yet
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0
