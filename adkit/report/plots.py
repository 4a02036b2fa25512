"""The charts of a run, of its training and of a comparison."""

import math
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter

import numpy as np
from numpy.typing import NDArray

from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.split_results import SplitResults
from adkit.report.charts import (
    Axis,
    Chart,
    ChartRow,
    Dots,
    Ink,
    Rectangle,
    Stroke,
    Text,
    evenly_chosen,
    path_of,
    round_numbers,
    row_chart,
)
from adkit.stats.calibration import Threshold
from adkit.stats.formatting import counted
from adkit.stats.rates import Curve, Rate, decision_rates, precision_recall_curve, roc_curve
from adkit.stats.segments import grouped

MOST_STROKES = 1500
"""Below a histogram, of more scores evenly chosen ones and both ends."""
LOSSES = {"loss": "on training images", "held_out_loss": "on held-out normal images"}
"""What the losses that methods report are of, by name."""
DASHED = "loss"
_STROKES_PX, _RANK_PX, _BARS_PX, _LINE_PX = 24, 24, 14, 60


def rates(threshold: Threshold, evaluation: Evaluation) -> Chart:
    """Draw what was caught, and what was promised beside what was seen, as intervals."""
    found, unit = evaluation.rates, evaluation.unit
    rows = [
        *_seen(f"seen: {unit.defect}s caught", "defect", found.caught),
        ChartRow(f"promised: {unit.good}s flagged", "normal", 0, threshold.expected_rate, threshold.certain_rate),
        *_seen(f"seen: {unit.good}s flagged", "good", found.false_alarms),
    ]
    label = "Dots and 95% intervals: " + "; ".join(
        f"{row.title} {row.middle:.1%}, {row.low:.1%} to {row.high:.1%}" for row in rows
    )
    return row_chart(label, rows, Axis.of_shares("share", max(value for row in rows for value in row.values())))


def _seen(title: str, ink: Ink, rate: Rate) -> list[ChartRow]:
    """Return the row of a share; none where it, or its interval, is not known."""
    if rate.share is None or rate.interval is None:
        return []
    return [ChartRow(title, ink, rate.interval.low, rate.share, rate.interval.high)]


def histogram(scores: NDArray[np.float64], thresholds: Sequence[float], chosen: int) -> Chart:
    """Draw how often scores occur, each a stroke below; right of a mark that moves, all is flagged."""
    label = (
        f"Histogram of {len(scores)} normal scores from {scores.min():.4g} to {scores.max():.4g}, with the threshold "
        "as a line; what lies to the right of it is flagged"
    )
    counts, edges = np.histogram(scores, bins=int(np.clip(3 * np.sqrt(len(scores)), 8, 48)))
    top, height = 1.05 * int(counts.max()), 180
    x = Axis.around("score of a normal sample", [*scores, *thresholds])
    y = Axis("how many", 0, top, round_numbers(0, top, 4, whole=True), height - _STROKES_PX)
    chart = Chart(label, height, x, y, moving=x.at(thresholds[chosen]))
    for count, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if count:
            width = max(0.0, round(x.at(high) - x.at(low) - 0.12, 2))
            chart.bars.append(Rectangle(x.at(low), width, y.at(count), y.at(0) - y.at(count), "normal", 0.75))
    strokes = "".join(f"M{x.at(score)} {height - 17}v12" for score in evenly_chosen(scores, MOST_STROKES))
    chart.strokes.append(Stroke(strokes, "normal", "thin"))
    return chart


def roc(evaluation: Evaluation) -> Chart | None:
    """Draw the ROC curve with the run's threshold and the oracle's; None without both sorts of samples."""
    curve = roc_curve(evaluation.scores, evaluation.anomalous)
    if curve is None:
        return None
    # Of clips, the curves are of frames, as frame_auroc is.
    found, unit = decision_rates(evaluation.scores, evaluation.anomalous, evaluation.threshold.value), evaluation.unit
    good, flaws = f"{unit.normal} {unit.seen}s", f"{unit.flaw}s"
    defective = evaluation.scores[evaluation.anomalous]
    own = found.false_alarms.share or 0, found.caught.share or 0
    label = (
        f"ROC curve. At the run's threshold {own[0]:.1%} of the {good} are flagged and {own[1]:.1%} of the {flaws} "
        "are caught"
    )
    return share_chart(
        label,
        (f"{good} flagged", f"{flaws} caught"),
        curve,
        [(0, 0), (1, 1)],
        [own],
        [
            (1 - (row.passing.share or 0), float((defective > row.threshold).mean()))
            for row in evaluation.rates.oracle_passing
        ],
    )


def precision_recall(evaluation: Evaluation) -> Chart | None:
    """Draw the precision-recall curve with the run's threshold; None without both sorts of samples."""
    curve = precision_recall_curve(evaluation.scores, evaluation.anomalous)
    if curve is None:
        return None
    unit = evaluation.unit
    caught, flagged = int((evaluation.called & evaluation.anomalous).sum()), int(evaluation.called.sum())
    recall = caught / int(evaluation.anomalous.sum())
    share = float(evaluation.anomalous.mean())
    label = f"Precision-recall curve. At the run's threshold {recall:.1%} of the {unit.flaw}s are caught; " + (
        f"{caught / flagged:.1%} of what is flagged is {unit.anomalous}" if flagged else "nothing is flagged"
    )
    titles = (f"{unit.flaw}s caught", f"flagged {unit.seen}s that are {unit.anomalous}")
    own = [(recall, caught / flagged)] if flagged else []
    # Between two thresholds nothing is reached in between: precision jumps, so the curve is drawn in steps.
    return share_chart(label, titles, curve, [(0, share), (1, share)], own, steps=True)


def share_chart(
    label: str,
    titles: tuple[str, str],
    curve: Curve,
    chance: Sequence[tuple[float, float]],
    own: Sequence[tuple[float, float]],
    oracle: Sequence[tuple[float, float]] = (),
    *,
    steps: bool = False,
) -> Chart:
    """Draw a curve over two shares, what guessing gives, the run's own threshold, and oracles as hollow dots."""
    chart = Chart(label, 300, Axis.of_shares(titles[0]), Axis.of_shares(titles[1], height=300))
    chart.strokes.append(Stroke(path_of(chart.places(chance)), "line"))
    chart.strokes.append(Stroke(path_of(chart.places(zip(curve.x, curve.y, strict=True)), steps=steps), "good"))
    chart.dots.append(Dots(chart.places(oracle), "oracle", 8, hollow=True))  # one may lie around the other
    chart.dots.append(Dots(chart.places(own), "text"))
    return chart


def distributions(normal_scores: NDArray[np.float64], threshold: Threshold, evaluation: Evaluation | None) -> Chart:
    """Draw the scores of normal data, of the test's good parts and of each kind of defect, and the threshold.

    Of clips, the highest scores: of what set the threshold, of normal clips or pieces, and of each kind's events.
    """
    groups: list[tuple[str, Ink, NDArray[np.float64]]] = [
        (f"normal, set the threshold · {len(normal_scores)}", "normal", normal_scores)
    ]
    if evaluation is not None:
        groups += _scores_of(evaluation.split, threshold)
    label = f"Scores as dots, the threshold as a line at {threshold.value:.4g}. " + "; ".join(
        f"{title}, median {np.median(scores):.4g}" for title, _, scores in groups
    )
    return score_chart(label, [ChartRow.of_scores(*group) for group in groups], threshold.value)


def score_chart(label: str, rows: Sequence[ChartRow], threshold: float) -> Chart:
    """Draw a row for each group of scores, and the threshold as a line through all."""
    chart = row_chart(label, rows, Axis.around("score", [threshold, *(v for row in rows for v in row.values())]))
    chart.mark(threshold, "threshold")
    return chart


def _scores_of(split: SplitResults, threshold: Threshold) -> Iterator[tuple[str, Ink, NDArray[np.float64]]]:
    """Yield a group of what is counted as flagged, then one of each kind of what can be caught."""
    unit, missed = split.unit, set(split.missed)
    for kind, parts in sorted(grouped(split.normal, attrgetter("kind")).items(), key=itemgetter(0)):
        flagged = sum(part.score > threshold.value for part in parts)
        title = f"{f'{unit.good}s' if unit.of_clips else kind} · {flagged} of {len(parts)} flagged"
        yield title, "good", np.array([part.score for part in parts])
    for kind, events in sorted(grouped(split.events, attrgetter("kind")).items(), key=itemgetter(0)):
        caught = sum(event not in missed for event in events)
        of = counted(len(events), unit.defect) if unit.of_clips else len(events)
        yield f"{kind} · {caught} of {of} caught", "defect", np.array([event.score for event in events])


def epochs(title: str, curves: Mapping[str, Sequence[float]], best_epoch: int | None, height: int = 180) -> Chart:
    """Draw how numbers went from epoch to epoch, with a line and dots at the best one.

    `curves` are by the method's names for them. Numbers that are not finite leave a gap. The scale is logarithmic where
    the numbers are positive and span a decade.
    """
    last = max(map(len, curves.values()))
    label = f"{title[0].upper()}{title[1:]} over {counted(last, 'epoch')}: "
    label += "; ".join(_curve_text(name, values, best_epoch) for name, values in curves.items())
    x = Axis("epoch", 1, max(2, last), round_numbers(1, max(2, last), whole=True))
    y = _axis_of_epochs(
        title, [value for values in curves.values() for value in values if math.isfinite(value)], height
    )
    chart = Chart(label, height, x, y)
    if best_epoch is not None:
        chart.mark(best_epoch, f"best: {best_epoch}")
    for name, values in curves.items():
        ink: Ink = "soft" if name == DASHED else "good"
        points = chart.places(enumerate(values, 1))
        chart.strokes.append(Stroke(path_of(points), ink, "dashed" if name == DASHED else ""))
        # A training of one epoch is a point, and no line.
        marked = {best_epoch, 1 if last == 1 else None}
        dots = [point for epoch, point in enumerate(points, 1) if epoch in marked and math.isfinite(point[1])]
        chart.dots.append(Dots(dots, ink, 4))
    return chart


def _axis_of_epochs(title: str, values: Sequence[float], height: int) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low > 0 and high >= 10 * low:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        bases = (1, 2, 5) if high < 300 * low else (1,)
        ticks = [float(f"{base}e{power}") for power in powers for base in bases]
        low, high = low / (high / low) ** 0.05, high * (high / low) ** 0.05
        return Axis(title, low, high, [tick for tick in ticks if low <= tick <= high], height, logarithmic=True)
    return Axis.around(title, values, height)


def _curve_text(name: str, values: Sequence[float], best_epoch: int | None) -> str:
    text = f"{LOSSES.get(name, '')} from {values[0]:.4g} to {values[-1]:.4g}".strip()
    if best_epoch is not None and best_epoch <= len(values):
        text += f", {values[best_epoch - 1]:.4g} in epoch {best_epoch}, whose weights are kept"
    return text


def critical_difference(label: str, titles: Sequence[str], mean_ranks: Sequence[float], difference: float) -> Chart:
    """Draw candidates at their mean ranks, 1 the best; bars join those within the difference (Demšar 2006, fig. 1)."""
    order = sorted(range(len(titles)), key=lambda position: mean_ranks[position])
    ranks = [mean_ranks[position] for position in order]
    bars, last = joined(ranks, difference), len(order)
    x = Axis("", 0.9, last + 0.1)
    names = _LINE_PX + 24 + _BARS_PX * len(bars)
    chart = Chart(label, names + _RANK_PX * last, x)
    chart.strokes.append(Stroke(f"M{x.at(1)} 12H{x.at(min(1 + difference, last))}", "text"))
    chart.texts.append(Text(x.at(1), 28, f"critical difference {difference:.2f}"))
    scale = f"M{x.at(1)} {_LINE_PX}H{x.at(last)}" + "".join(
        f"M{x.at(rank)} {_LINE_PX}v-5" for rank in range(1, last + 1)
    )
    chart.strokes.append(Stroke(scale, "soft"))
    chart.texts.extend(Text(x.at(rank), _LINE_PX - 9, f"{rank}", "middle", "soft") for rank in range(1, last + 1))
    for number, (best, worst) in enumerate(bars):
        left, right = x.at(ranks[best] - 0.03), x.at(ranks[worst] + 0.03)
        chart.bars.append(Rectangle(left, round(right - left, 2), _LINE_PX + 9 + _BARS_PX * number, 5, "normal"))
    for row, (position, rank) in enumerate(zip(order, ranks, strict=True)):
        y, at = names + _RANK_PX * row, x.at(rank)
        chart.strokes.append(Stroke(f"M{at} {_LINE_PX}V{y}", "line", "thin"))
        chart.dots.append(Dots([(at, _LINE_PX)], "text" if row else "good", 3.5))
        # A name on the right half ends at its line, with two blanks between.
        right_half, name = rank > (last + 1) / 2, f"{titles[position]}  {rank:.2f}"
        chart.texts.append(Text(at + (-1 if right_half else 1), y + 4, name, "end" if right_half else "start"))
    return chart


def joined(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the longest runs (first, last) of ascending ranks within the difference; none lies inside another."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(position for position in range(first, len(ranks)) if ranks[position] - ranks[first] < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
