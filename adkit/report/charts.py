"""Charts as data that a template draws: x in percent of the width, y in px from the top.

So a chart is as wide as the page lets it be, and its text and its dots keep their size on a phone. Every chart has a
`label`, the sentence for those who do not see it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

MOST_DOTS = 250
"""A row of scores shows no more dots than this: of more scores, evenly chosen ones and both ends."""
ROW_PX = 46
_MARK_PX = 31  # from a row's top to its bar
Ink = Literal["text", "soft", "line", "normal", "good", "defect", "oracle"]
"""A colour of the page's style: normal data that set the threshold, good parts of the test split, defects, and what
only the test labels can tell."""


def round_numbers(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Return about as many round numbers between two, in equal steps."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(base * power for base in (1, 2, 2.5, 5, 10) if base * power >= rough * (1 - 1e-9))
    step = max(1, round(step)) if whole else step
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _number_text(value: float) -> str:
    return f"{value:.10g}".replace("-", "−")


def _percent_text(share: float) -> str:
    return f"{100 * share:.3g}%"


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values lie: along the width in percent, or, with a height, upwards in px."""

    title: str
    low: float
    high: float
    values: Sequence[float] = ()  # at which there is a tick
    height: int | None = None
    logarithmic: bool = False
    write: Callable[[float], str] = _number_text

    @classmethod
    def around(cls, title: str, values: Sequence[float], height: int | None = None) -> Self:
        """Return an axis that holds these values with a little room at both ends."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = (0.05 if height else 0.03) * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - room, high + room
        return cls(title, low, high, round_numbers(low, high, 5 if height else 6), height)

    @classmethod
    def of_shares(cls, title: str, highest: float = 1.0, height: int | None = None) -> Self:
        """Return an axis of shares in percent that begins at 0 and ends a little above the highest, at most at 1."""
        high = min(1.0, 1.08 * highest or 1.0)
        return cls(title, 0.0, high, round_numbers(0.0, high, 5), height, write=_percent_text)

    def at(self, value: float) -> float:
        """Return where a value lies."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return round(100 * share if self.height is None else self.height * (1 - share), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Return where the ticks are, and what is written there."""
        return [(self.at(value), self.write(value)) for value in self.values]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line; `look` is a class of the page's style."""

    path: str  # of SVG
    ink: Ink
    look: str = ""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle."""

    x: float
    width: float
    y: float
    height: float
    ink: Ink
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Dots:
    """Points of one look: filled, or hollow where they stand for something that nobody could have known."""

    points: Sequence[tuple[float, float]]
    ink: Ink
    radius: float = 5
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A word in the chart; with `middle` it stands across x, but within the chart, else it begins or ends there."""

    x: float
    y: float
    text: str
    align: Literal["start", "middle", "end"] = "start"
    ink: Ink = "text"


@dataclass(frozen=True, slots=True)
class Chart:
    """All that is drawn, in this order: ticks, bars, strokes, dots, texts."""

    label: str
    height: int
    x: Axis
    y: Axis | None = None  # None: there are rows
    bars: list[Rectangle] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    dots: list[Dots] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    moving: float | None = None  # x of a threshold that the page's script moves

    def places(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """Return where points of both axes lie."""
        assert self.y is not None
        return [(self.x.at(x), self.y.at(y)) for x, y in points]

    def mark(self, value: float, text: str) -> None:
        """Draw a dashed line from top to bottom at a value of the x axis, with a word above it."""
        x = self.x.at(value)
        self.strokes.append(Stroke(f"M{x} 0V{self.height}", "text", "dashed"))
        # Across either end of the axis it would stick out of a narrow page.
        self.texts.append(Text(x, -5, text, "end" if x > 90 else "start" if x < 10 else "middle"))


def path_of(points: Iterable[tuple[float, float]], *, steps: bool = False) -> str:
    """Return the SVG path through points; those that are not finite leave a gap, `steps` go across and then up."""
    parts: list[str] = []
    joined = False
    for x, y in points:
        if not math.isfinite(y):
            joined = False
            continue
        if joined and steps:
            parts.append(f"H{x:g}")
        parts.append(f"{'L' if joined else 'M'}{x:g} {y:g}")
        joined = True
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A row of a chart: its title, and a mark at the middle value, and a bar from low to high where these are known."""

    title: str
    ink: Ink
    low: float | None = None
    middle: float | None = None  # None: only the bar is known
    high: float | None = None
    scores: Sequence[float] = ()  # shown as dots

    @classmethod
    def of_scores(cls, title: str, ink: Ink, scores: NDArray[np.float64]) -> Self:
        """Return the row of a group of scores: dots, a bar over the middle half and a stroke at the median."""
        if not len(scores):
            return cls(title, ink)
        low, median, high = np.quantile(scores, (0.25, 0.5, 0.75)).tolist()
        return cls(title, ink, low, median, high, evenly_chosen(scores, MOST_DOTS).tolist())

    def values(self) -> list[float]:
        """Return all that the axis has to hold."""
        return [value for value in (self.low, self.middle, self.high, *self.scores) if value is not None]


def row_chart(label: str, rows: Sequence[ChartRow], axis: Axis) -> Chart:
    """Draw rows below each other, each title above its bar: there a long name has room on a narrow page too."""
    chart = Chart(label, ROW_PX * len(rows), axis)
    for number, row in enumerate(rows):
        y = ROW_PX * number + _MARK_PX
        chart.texts.append(Text(0, y - 14, row.title))
        if row.low is not None and row.high is not None:
            x, thick = axis.at(row.low), 16 if row.scores else 5
            opacity = 0.2 if row.scores else 0.45
            chart.bars.append(Rectangle(x, round(axis.at(row.high) - x, 2), y - thick / 2, thick, row.ink, opacity))
        if row.scores:
            scatter = np.random.default_rng(0).uniform(-5.5, 5.5, len(row.scores)).round(1).tolist()
            dots = [(axis.at(score), y + off) for score, off in zip(row.scores, scatter, strict=True)]
            chart.dots.append(Dots(dots, row.ink, 2))
        if row.middle is not None and row.scores:
            chart.strokes.append(Stroke(f"M{axis.at(row.middle)} {y - 9}v18", row.ink, "thick"))
        elif row.middle is not None:
            chart.dots.append(Dots([(axis.at(row.middle), y)], row.ink))
    return chart


def evenly_chosen(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return at most so many of the values in ascending order, the lowest and the highest among them."""
    ordered: NDArray[np.float64] = np.sort(values)
    if len(ordered) > most:
        ordered = ordered[np.round(np.linspace(0, len(ordered) - 1, most)).astype(int)]
    return ordered
