"""The charts of a page, as SVG text: lines, strips of scores, intervals, and a histogram.

Every function takes a `name` that is unique within the page and a `label`, the sentence for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from adkit.report.svg import Ink, as_svg, house_style, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MOST_DOTS = 250
"""A strip shows no more dots than this: of more scores, evenly chosen ones and both ends."""
MOST_STROKES = 1500
"""The same for the strokes below a histogram."""

_ROW_PX = 46
_DOT_PX2 = 14


@dataclass(frozen=True, slots=True)
class Line:
    """A curve through points."""

    x: Sequence[float]
    y: Sequence[float]
    ink: Ink
    steps: bool = False  # upright and level pieces instead of slanting ones


@dataclass(frozen=True, slots=True)
class Mark:
    """A single point: filled, or hollow where it stands for something that nobody could have known."""

    x: float
    y: float
    ink: Ink
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of a strip chart."""

    title: str
    values: NDArray[np.float64]
    ink: Ink


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One row of an interval chart; `value` None: only the interval is known."""

    title: str
    value: float | None
    low: float
    high: float
    ink: Ink


@dataclass(frozen=True, slots=True)
class Trace:
    """A number for each epoch, the first first; those that are not finite leave a gap."""

    title: str
    values: Sequence[float]
    ink: Ink
    dashed: bool = False


def share_chart(name: str, label: str, lines: Sequence[Line], marks: Sequence[Mark], x_title: str, y_title: str) -> str:
    """Curves in a square of two shares, each 0 to 100 %; 420 px wide."""
    with house_style():
        figure, axes = new_axes(420, 360, (60, 20, 12, 44))
        for line in lines:
            style = "steps-post" if line.steps else "default"
            axes.plot(line.x, line.y, color=line.ink.value, linewidth=2, drawstyle=style, clip_on=False, zorder=4)
        for mark in marks:
            axes.plot(
                [mark.x],
                [mark.y],
                "D" if mark.hollow else "o",
                markersize=12 if mark.hollow else 10,  # one may lie around the other
                markerfacecolor=(Ink.card if mark.hollow else mark.ink).value,
                markeredgecolor=mark.ink.value,
                markeredgewidth=2,
                clip_on=False,
                zorder=5,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x_title, ylabel=y_title)
        axes.grid(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)
        return as_svg(figure, name, label)


def strip_chart(
    name: str, label: str, strips: Sequence[Strip], threshold: float | None, x_title: str, width: float
) -> str:
    """A row for each group of scores: its title, its scores as dots, a box from the 25 to the 75 % quantile.

    A line from top to bottom stands at `threshold`.
    """
    with house_style():
        figure, axes = new_axes(width, _ROW_PX * len(strips) + 62, (12, 12, 16, 46))
        if threshold is not None:
            axes.axvline(threshold, color=Ink.text.value, linewidth=1.5, dashes=(4, 3))
            axes.annotate(
                "threshold",
                (threshold, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
            )
        values = np.concatenate([strip.values for strip in strips])
        _set_x(axes, np.append(values, values if threshold is None else threshold))
        for row, strip in enumerate(strips):
            _draw_strip(axes, strip, len(strips) - 1 - row)
        axes.set(ylim=(-0.5, len(strips) - 0.5), xlabel=x_title, yticks=[])
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        return as_svg(figure, name, label)


def interval_chart(
    name: str, label: str, rows: Sequence[IntervalRow], x_title: str, width: float, *, shares: bool = True
) -> str:
    """A row for each interval: its title, a bar from low to high and a dot at the value; `shares` are in percent."""
    with house_style():
        figure, axes = new_axes(width, _ROW_PX * len(rows) + 44, (16, 22, 4, 40))
        for row, shown in enumerate(rows):
            height = len(rows) - 1 - row - 0.2
            ink = shown.ink.value
            axes.plot([shown.low, shown.high], [height, height], color=ink, linewidth=5, alpha=0.45, clip_on=False)
            if shown.value is not None:
                axes.plot([shown.value], [height], "o", color=ink, markersize=9, clip_on=False)
            _write_title(axes, shown.title, height + 0.3)
        ends = np.array([end for row in rows for end in (row.low, row.high, row.value) if end is not None])
        _set_x(axes, np.append(ends, 0.0) if shares else ends)
        if shares:
            axes.set_xlim(0, min(1.0, 1.08 * float(ends.max()) or 1.0))
            axes.xaxis.set_major_formatter(_percent)
        axes.set(ylim=(-0.5, len(rows) - 0.5), xlabel=x_title, yticks=[])
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        return as_svg(figure, name, label)


def score_histogram(
    name: str, label: str, scores: NDArray[np.float64], thresholds: Sequence[float], chosen: int, width: float
) -> tuple[str, list[float]]:
    """How often scores occur, each score as a stroke below, and a mark at the chosen threshold that can be moved.

    The mark is a group of class "moving": a rectangle over all that is flagged, from the line to the right. With it
    comes where the line stands for each threshold: x in the SVG's units.
    """
    with house_style():
        margins = (56, 14, 24, 46)
        figure, axes = new_axes(width, 250, margins)
        bins = int(np.clip(3 * np.sqrt(len(scores)), 8, 48))
        axes.hist(scores, bins=bins, color=Ink.normal.value, alpha=0.75, edgecolor=Ink.card.value, linewidth=1)
        top = axes.get_ylim()[1]
        strokes = thinned(scores, MOST_STROKES)
        heights = np.tile([-0.1 * top, -0.03 * top, np.nan], len(strokes))
        axes.plot(np.repeat(strokes, 3), heights, color=Ink.normal.value, linewidth=1)
        _set_x(axes, np.append(scores, thresholds))
        axes.set(ylim=(-0.13 * top, 1.05 * top), xlabel="score of a normal sample", ylabel="how many")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])
        axes.grid(True, axis="y")
        height = figure.bbox.height
        positions = [round(float(axes.transData.transform((value, 0))[0]), 2) for value in thresholds]
        right = width - margins[1]
        x, y, length = positions[chosen], margins[2], height - margins[2] - margins[3]
        # A rectangle is moved by its left side and its width; the page's script sets both.
        inside = (
            f'<g class="moving" data-right="{right:g}"><rect x="{x:g}" y="{y:g}" width="{right - x:g}" '
            f'height="{length:g}"/><line x1="{x:g}" x2="{x:g}" y1="{y:g}" y2="{y + length:g}"/>'
            f'<text x="{x:g}" y="{y - 8:g}">threshold</text></g>'
        )
        return as_svg(figure, name, label, inside), positions


def epoch_chart(
    name: str, label: str, traces: Sequence[Trace], best_epoch: int | None, y_title: str, width: float, height: float
) -> str:
    """How numbers went from epoch to epoch, with a line and dots at the best one.

    The scale is logarithmic where the numbers are positive and span a decade.
    """
    with house_style():
        figure, axes = new_axes(width, height, (60, 16, 24, 44))
        values = np.concatenate([np.asarray(trace.values, np.float64) for trace in traces])
        values = values[np.isfinite(values)]
        if len(values) and values.min() > 0 and values.max() >= 10 * values.min():
            axes.set_yscale("log")
            few = values.max() < 300 * values.min()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(_short)
        epochs = max(len(trace.values) for trace in traces)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=Ink.text.value, linewidth=1.5, dashes=(4, 3))
            axes.annotate(
                f"best: {best_epoch}",
                (best_epoch, 1),
                (0, 4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                # Centred over either end of the axis, it would stick out of a narrow page.
                ha="right" if best_epoch > 0.9 * epochs else "left" if best_epoch < 0.1 * epochs else "center",
            )
        for trace in traces:
            drawn = np.where(np.isfinite(trace.values), trace.values, np.nan)
            look: dict[str, Any] = {"color": trace.ink.value, "clip_on": False, "zorder": 4}
            if trace.dashed:
                look["dashes"] = (4, 2)
            # A training of one epoch is a point, and no line.
            marker = "o" if epochs == 1 else None
            axes.plot(np.arange(1, len(drawn) + 1), drawn, linewidth=2, marker=marker, **look)
            if best_epoch is not None and best_epoch <= len(drawn):
                axes.plot([best_epoch], [drawn[best_epoch - 1]], "o", markersize=8, **look)
        axes.set(xlim=(1, max(2, epochs)), xlabel="epoch", ylabel=y_title)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(True, axis="y")
        return as_svg(figure, name, label)


def thinned(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most so many of the values in ascending order, the lowest and the highest among them."""
    ordered: NDArray[np.float64] = np.sort(values)
    if len(ordered) > most:
        ordered = ordered[np.round(np.linspace(0, len(ordered) - 1, most)).astype(int)]
    return ordered


def _draw_strip(axes: Axes, strip: Strip, row: int) -> None:
    _write_title(axes, strip.title, row + 0.16)
    if len(strip.values) == 0:
        return
    dots = thinned(strip.values, MOST_DOTS)
    scatter = np.random.default_rng(0).uniform(-0.12, 0.12, len(dots))
    middle = row - 0.18
    low, median, high = np.quantile(strip.values, (0.25, 0.5, 0.75))
    axes.barh(middle, high - low, left=low, height=0.36, color=strip.ink.value, alpha=0.2, linewidth=0)
    axes.plot([median, median], [middle - 0.2, middle + 0.2], color=strip.ink.value, linewidth=2.5)
    axes.scatter(dots, middle + scatter, s=_DOT_PX2, color=strip.ink.value, alpha=0.65, linewidths=0)


def _write_title(axes: Axes, title: str, height: float) -> None:
    # At the left end of the row and above its dots: there a long name has room on a narrow page too.
    # The line of a threshold does not cross it.
    behind = {"facecolor": Ink.card.value, "edgecolor": "none", "pad": 1}
    axes.annotate(
        plain(title), (0, height), xycoords=("axes fraction", "data"), va="bottom", ha="left", zorder=6, bbox=behind
    )


def _set_x(axes: Axes, values: NDArray[np.float64]) -> None:
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.3g}%"


def _short(value: float, _: float) -> str:
    return f"{value:g}"
