"""The critical-difference diagram: mean ranks on a line, and bars over those that are not told apart."""

from __future__ import annotations

from collections.abc import Sequence

from adkit.report.svg import Ink, as_svg, house_style, new_axes, plain

_ROW_PX = 24
_TOP_PX = 84
_BARS_PX = 14


def critical_difference_chart(
    name: str, label: str, titles: Sequence[str], mean_ranks: Sequence[float], difference: float, width: float
) -> str:
    """Each candidate at its mean rank, 1 the best; a thick bar joins candidates within the critical difference.

    After Demšar 2006 (JMLR 7, figure 1), with the names in rows, so that long ones have room.
    """
    order = sorted(range(len(titles)), key=lambda position: mean_ranks[position])
    ranks = [mean_ranks[position] for position in order]
    bars = joined(ranks, difference)
    with house_style():
        height = _TOP_PX + _BARS_PX * len(bars) + _ROW_PX * len(order)
        figure, axes = new_axes(width, height, (14, 14, 4, 4))
        axes.set(xlim=(0.9, len(order) + 0.1), ylim=(height - 8, 0), yticks=[], xticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        line = _TOP_PX - 24
        axes.plot([1, len(order)], [line, line], color=Ink.soft.value, linewidth=1.5)
        for tick in range(1, len(order) + 1):
            axes.plot([tick, tick], [line - 5, line], color=Ink.soft.value, linewidth=1.5)
            axes.annotate(f"{tick}", (tick, line - 8), ha="center", va="bottom", color=Ink.soft.value)
        end = min(1 + difference, len(order))
        axes.plot([1, end], [16, 16], color=Ink.text.value, linewidth=2)
        axes.annotate(f"critical difference {difference:.2f}", (1, 20), ha="left", va="top")
        for number, (first, last) in enumerate(bars):
            level = line + 12 + _BARS_PX * number
            axes.plot(
                [ranks[first] - 0.03, ranks[last] + 0.03],
                [level, level],
                color=Ink.normal.value,
                linewidth=5,
                solid_capstyle="round",
            )
        for row, position in enumerate(order):
            level = _TOP_PX + _BARS_PX * len(bars) + _ROW_PX * row
            rank = mean_ranks[position]
            left = rank > (len(order) + 1) / 2
            axes.plot([rank, rank], [line, level], color=Ink.line.value, linewidth=1.2, zorder=0)
            axes.plot([rank], [line], "o", color=Ink.good.value if row == 0 else Ink.text.value, markersize=6, zorder=4)
            axes.annotate(
                f"{plain(titles[position])}  {rank:.2f}",
                (rank, level),
                (-6 if left else 6, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
            )
        return as_svg(figure, name, label)


def joined(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The longest runs (first, last) of ascending ranks that lie within the difference; none lies inside another."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(position for position in range(first, len(ranks)) if ranks[position] - ranks[first] < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
