"""A clip's score over time as a picture, with the threshold and the events."""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adkit.data.spans import Span
from adkit.drawing.overlay import letters
from adkit.files.atomic import whole_file
from adkit.stats.formatting import clock
from adkit.watching.events import Event, EventRules

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 8000
_PICTURE = (12.0, 3.4)  # inches
_LINE, _EVENT, _THRESHOLD, _LEARNED, _GAP = "#345480", "#f8cccc", "#c82828", "#dee8f3", "#d9d9d9"


@dataclass
class Trace:
    """The scores of a clip of any length in bounded memory: of neighbours the higher is kept where there are many."""

    times_s: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    _step: int = field(default=1, init=False)  # so many frames share a point
    _taken: int = field(default=0, init=False)

    def add(self, time_s: float, score: float) -> None:
        """Take the score of the next frame."""
        if self._taken % self._step == 0:
            if len(self.scores) == MOST_POINTS:
                self._halve()
            self.times_s.append(time_s)
            self.scores.append(score)
        elif score > self.scores[-1]:
            self.times_s[-1], self.scores[-1] = time_s, score
        self._taken += 1

    def _halve(self) -> None:
        pairs = range(0, len(self.scores), 2)
        kept = [first if self.scores[first] >= self.scores[first + 1] else first + 1 for first in pairs]
        self.times_s = [self.times_s[position] for position in kept]
        self.scores = [self.scores[position] for position in kept]
        self._step *= 2


def write_timeline(
    path: Path,
    title: str,
    trace: Trace,
    rules: EventRules,
    events: Sequence[Event],
    *,
    learned: Sequence[Span] = (),
    gaps: Sequence[Span] = (),
) -> None:
    """Draw the trace of one clip as a PNG: spans learned from, gaps and events are shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PICTURE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shaded: list[tuple[Sequence[Span | Event], str, str]] = [
        (learned, _LEARNED, "learned from"),
        (gaps, _GAP, "nothing received"),
        (events, _EVENT, "event"),
    ]
    for spans, colour, label in shaded:
        for number, span in enumerate(spans):
            axes.axvspan(span.start_s, span.end_s, color=colour, lw=0, label=label if number == 0 else None)
    times_s, scores = list(trace.times_s), list(trace.scores)
    for gap in gaps:  # no line where nothing is known
        position = bisect.bisect_right(times_s, gap.start_s)
        times_s.insert(position, gap.start_s)
        scores.insert(position, math.nan)
    axes.plot(times_s, scores, color=_LINE, lw=1, label="score")
    axes.axhline(rules.threshold, color=_THRESHOLD, lw=1, ls="--", label=f"threshold {rules.threshold:.3g}")
    axes.axhline(rules.release, color=_THRESHOLD, lw=0.7, ls=":", label=f"events end below {rules.release:.3g}")
    _number(axes, events)
    _finish(axes, title, trace, len(events))
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name; where no font has it, a box is drawn
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=110, metadata={"Software": "adkit"})


def _number(axes: Axes, events: Sequence[Event]) -> None:
    """Write the events' numbers above the picture, but for those that would stand upon each other."""
    free_s = float("-inf")
    left, right = axes.get_xlim()
    for event in events:
        middle_s = (event.start_s + event.end_s) / 2
        if middle_s >= free_s:
            where = axes.get_xaxis_transform()
            axes.text(middle_s, 1.01, str(event.number), transform=where, ha="center", va="bottom", fontsize=8)
            free_s = middle_s + (right - left) / 60


def _finish(axes: Axes, title: str, trace: Trace, events: int) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if trace.times_s:
        axes.set_xlim(trace.times_s[0], max(trace.times_s[-1], trace.times_s[0] + 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 1.5, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(max(0, seconds)).removesuffix(".0")))
    axes.set_ylabel("score")
    name = title if len(title) <= 80 else "…" + title[-79:]
    many = f"{events} events" if events != 1 else "1 event"
    path = getattr(letters(10, name), "path", None)  # that of plain letters is no file: matplotlib has its own
    font = FontProperties(fname=path if isinstance(path, (str, Path)) else None, size=10)
    axes.set_title(f"{name}: {many}".replace("$", r"\$"), loc="left", fontproperties=font, pad=14)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
