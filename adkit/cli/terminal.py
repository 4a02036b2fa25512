"""Progress: a bar in a terminal, a line now and then elsewhere, JSON lines for programs; all say the same words."""

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from adkit.cli.output import results_shown
from adkit.workflows.progress import OneBar, Standing

_QUIET_S = 5.0
"""Without a terminal, progress is told this often, and what is shorter says nothing."""
_STREAM_S = 0.5
STREAM_VARIABLE = "ADKIT_PROGRESS"
"""An environment variable: "json" asks for progress that programs read."""


def terminal_progress() -> OneBar:
    """Give a bar on stderr where a terminal can draw it, else lines; JSON lines where $ADKIT_PROGRESS is "json"."""
    if os.environ.get(STREAM_VARIABLE) == "json":
        return JsonLines()
    draws = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not results_shown()
    return Bar() if draws else Lines()


class Bar(OneBar):
    """One bar, and how far it is in words; both are gone at the end."""

    _drawn: RichProgress | None = None  # while a step is open

    def show(self, standing: Standing, *, advanced: bool) -> None:
        """Draw it."""
        if self._drawn is None:
            self._drawn = RichProgress(
                BarColumn(bar_width=16),
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # rows for a file or a program go there
            )
            self._drawn.add_task("", total=1.0)
            self._drawn.start()
        told = " · ".join(filter(None, (standing.text, standing.status)))
        self._drawn.update(self._drawn.task_ids[0], completed=standing.share, description=told)

    def hide(self) -> None:
        """Remove it."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None


class Lines(OneBar):
    """A line on stderr every few seconds."""

    _spoken_s = 0.0

    def show(self, standing: Standing, *, advanced: bool) -> None:
        """Speak up when it takes long."""
        if standing.elapsed_s < self._spoken_s:  # another bar
            self._spoken_s = 0.0
        if advanced and standing.done and standing.total > 1 and standing.elapsed_s - self._spoken_s >= _QUIET_S:
            print(" · ".join(filter(None, (standing.text, standing.status))), file=sys.stderr, flush=True)
            self._spoken_s = standing.elapsed_s


class JsonLines(OneBar):
    """A JSON object on a line of stderr, when a step begins, at most twice a second while it lasts, and at its end.

    {"steps": ["comparison", "training"], "done": 3, "total": 60, "share": 0.21, "elapsed_s": 4.1,
     "text": "comparison 1 of 6 · step 2 of 4 · training · about 5 min in all · 3 of 60", "status": "loss 0.0123",
     "figures": {"loss": 0.012345}}

    `steps` are the open steps from the outermost to the innermost, whose units `done` and `total` count. A new status
    is told at once, and its figures, points of curves, with it only.
    """

    _told_s, _status = 0.0, ""

    def show(self, standing: Standing, *, advanced: bool) -> None:
        """Write the line, where one is due."""
        new = standing.figures or standing.status not in ("", self._status)
        if advanced and not new and time.monotonic() - self._told_s < _STREAM_S:
            return
        self._told_s, self._status = time.monotonic(), standing.status
        line = asdict(standing) | {"share": round(standing.share, 4), "elapsed_s": round(standing.elapsed_s, 2)}
        with suppress(OSError):  # a full disk behind stderr: progress must not end what it tells of
            print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)
