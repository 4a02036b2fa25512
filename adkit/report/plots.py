"""The charts of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adkit.evaluation.clip_results import ClipResults
from adkit.evaluation.evaluate import Evaluation
from adkit.report.charts import (
    IntervalRow,
    Line,
    Mark,
    Strip,
    interval_chart,
    score_histogram,
    share_chart,
    strip_chart,
)
from adkit.report.gallery import kind_of
from adkit.report.svg import Ink
from adkit.report.words import Things
from adkit.stats.calibration import Threshold
from adkit.stats.formatting import counted
from adkit.stats.rates import decision_rates, precision_recall_curve, roc_curve
from adkit.stats.significance import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = {"wide": 860.0, "narrow": 360.0}
"""A chart over the page's whole width is drawn twice, so that its text is legible on a phone too."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The slider's chart in both widths, and where its line stands at each step."""

    charts: dict[str, str]
    positions: list[list[float]]  # of each step: one x for each chart, in their order


def rates(threshold: Threshold, evaluation: Evaluation, things: Things) -> dict[str, str]:
    """The promise beside what was seen, as intervals, in both widths."""
    found = evaluation.rates
    rows = [
        IntervalRow(f"promised: {things.good}s flagged", threshold.expected_rate, 0, threshold.certain_rate, Ink.normal)
    ]
    if (share := found.false_alarms.share) is not None:
        interval = found.false_alarms.interval
        rows.append(IntervalRow(f"seen: {things.good}s flagged", share, interval.low, interval.high, Ink.good))
    if (share := found.misses.share) is not None:
        interval = found.misses.interval
        if recall := evaluation.intervals.get("event_recall"):  # by clip
            interval = Interval(1 - recall.high, 1 - recall.low)
        if evaluation.clips is None or recall:
            rows.append(IntervalRow(f"seen: {things.defect}s missed", share, interval.low, interval.high, Ink.defect))
    label = "Dots and 95% intervals: " + "; ".join(
        f"{row.title} {row.value:.1%}, {row.low:.1%} to {row.high:.1%}" for row in rows
    )
    return {name: interval_chart(f"rates-{name}", label, rows, "share", width) for name, width in WIDTHS.items()}


def histogram(scores: NDArray[np.float64], thresholds: Sequence[float], chosen: int) -> Histogram:
    """How the normal scores are spread, with the threshold as a line that can be moved over the steps."""
    label = (
        f"Histogram of {len(scores)} normal scores from {scores.min():.4g} to {scores.max():.4g}, with the threshold "
        "as a line; what lies to the right of it is flagged"
    )
    drawn = {
        name: score_histogram(f"normals-{name}", label, scores, thresholds, chosen, width)
        for name, width in WIDTHS.items()
    }
    columns = [positions for _, positions in drawn.values()]
    return Histogram(
        {name: chart for name, (chart, _) in drawn.items()}, [list(xs) for xs in zip(*columns, strict=True)]
    )


def roc(evaluation: Evaluation) -> str | None:
    """The ROC curve with the run's threshold and the oracle's; None without both sorts of samples."""
    curve = roc_curve(evaluation.scores, evaluation.anomalous)
    if curve is None:
        return None
    # Of clips, the curves are of frames, as frame_auroc is.
    found = decision_rates(evaluation.scores, evaluation.anomalous, evaluation.threshold.value)
    good, defects = ("normal frames", "anomalous frames") if evaluation.clips else ("good parts", "defects")
    marks = (
        []
        if evaluation.clips
        else [
            Mark(1 - (row.passing.share or 0), _caught_above(evaluation, row.threshold), Ink.oracle, hollow=True)
            for row in found.oracle_passing
        ]
    )
    marks.append(Mark(found.false_alarms.share or 0, 1 - (found.misses.share or 0), Ink.text))
    label = (
        f"ROC curve. At the run's threshold {found.false_alarms.share:.1%} of the {good} are flagged and "
        f"{marks[-1].y:.1%} of the {defects} are caught"
    )
    chance = Line((0, 1), (0, 1), Ink.line)
    lines = [chance, Line(curve.x, curve.y, Ink.good)]
    return share_chart("roc", label, lines, marks, f"{good} flagged", f"{defects} caught")


def precision_recall(evaluation: Evaluation) -> str | None:
    """The precision-recall curve with the run's threshold; None without both sorts of samples."""
    curve = precision_recall_curve(evaluation.scores, evaluation.anomalous)
    if curve is None:
        return None
    defects, kind = ("anomalous frames", "anomalous") if evaluation.clips else ("defects", "defective")
    things = "frames" if evaluation.clips else "parts"
    caught = int((evaluation.called & evaluation.anomalous).sum())
    flagged = int(evaluation.called.sum())
    recall = caught / int(evaluation.anomalous.sum())
    marks = [Mark(recall, caught / flagged, Ink.text)] if flagged else []
    share = float(evaluation.anomalous.mean())
    label = f"Precision-recall curve. At the run's threshold {recall:.1%} of the {defects} are caught; " + (
        f"{caught / flagged:.1%} of what is flagged is {kind}" if flagged else "nothing is flagged"
    )
    chance = Line((0, 1), (share, share), Ink.line)
    # Between two thresholds nothing is reached in between: precision jumps, so the curve is drawn in steps.
    lines = [chance, Line(curve.x, curve.y, Ink.good, steps=True)]
    return share_chart(
        "precision-recall", label, lines, marks, f"{defects} caught", f"flagged {things} that are {kind}"
    )


def distributions(
    normal_scores: NDArray[np.float64], threshold: Threshold, evaluation: Evaluation | None
) -> dict[str, str]:
    """The scores of normal data, of the test's good parts and of each kind of defect, in both widths.

    Of clips, the highest scores: of what set the threshold, of normal clips or pieces, and of each kind's events.
    """
    strips = [Strip(f"normal, set the threshold · {len(normal_scores)}", normal_scores, Ink.normal)]
    if evaluation is not None and evaluation.clips:
        strips += _strips_of_clips(evaluation.clips, threshold)
    elif evaluation is not None:
        kinds = np.array([kind_of(sample) for sample in evaluation.samples])
        for row in evaluation.kinds:
            chosen = kinds == row.kind
            defective = bool(evaluation.anomalous[chosen].any())
            title = f"{row.kind} · {row.called_anomalous} of {row.count} {'caught' if defective else 'flagged'}"
            strips.append(Strip(title, evaluation.scores[chosen], Ink.defect if defective else Ink.good))
    label = f"Scores as dots, the threshold as a line at {threshold.value:.4g}. " + "; ".join(
        f"{strip.title}, median {np.median(strip.values):.4g}" for strip in strips
    )
    return {
        name: strip_chart(f"scores-{name}", label, strips, threshold.value, "score", width)
        for name, width in WIDTHS.items()
    }


def _strips_of_clips(clips: ClipResults, threshold: Threshold) -> list[Strip]:
    strips = []
    if clips.normal:
        flagged = sum(part.score > threshold.value for part in clips.normal)
        title = f"normal {clips.unit}s · {flagged} of {len(clips.normal)} flagged"
        strips.append(Strip(title, np.array([part.score for part in clips.normal]), Ink.good))
    missed = set(clips.missed)
    for kind in sorted({event.kind for event in clips.events}):
        events = [event for event in clips.events if event.kind == kind]
        caught = sum(event not in missed for event in events)
        title = f"{kind} · {caught} of {counted(len(events), 'event')} caught"
        strips.append(Strip(title, np.array([event.score for event in events]), Ink.defect))
    return strips


def _caught_above(evaluation: Evaluation, threshold: float) -> float:
    return float((evaluation.scores[evaluation.anomalous] > threshold).mean())
