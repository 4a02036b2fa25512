"""The figures of an evaluation as rows of named cells, which terminal, files and report lay out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.evaluation.split_results import SplitResults
from adkit.stats.formatting import clock, is_floor
from adkit.types import MetricValue

if TYPE_CHECKING:
    from adkit.evaluation.evaluate import Evaluation


CAUGHT, AUROCS, AUPRO = "caught_at_promise", ("image_auroc", "frame_auroc"), "aupro"
FIRST = (CAUGHT, *AUROCS, AUPRO)  # the metrics that come before all others, wherever metrics are shown


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line of the table by defect kind; of clips, what is counted is frames."""

    kind: str
    count: int
    mean_score: float
    called_anomalous: int  # at the run's threshold
    quantiles: tuple[float, float, float, float, float]  # of the scores: lowest, 25 %, median, 75 %, highest
    auroc: float | None = None  # of its samples against the good ones
    pixel_iou: float | None = None
    clips: int | None = None  # that hold such frames; None: they are still images
    events: int | None = None  # of this kind in truth; None: still images, or normal frames
    events_caught: int | None = None


def details_of(metrics: Mapping[str, MetricValue], name: str) -> Mapping[str, float | None]:
    """Return the further figures of that metric; none where it is not installed."""
    return metrics[name].details if name in metrics else {}


def kind_rows(split: SplitResults, metrics: Mapping[str, MetricValue]) -> list[KindRow]:
    """Return the table by defect kind, good ones first."""
    results, of_clips = split.results, split.unit.of_clips
    kinds, iou = np.array(results.kinds), details_of(metrics, "pixel_iou")
    auroc, prefix = details_of(metrics, f"{split.unit.sample}_auroc"), "kind " if of_clips else ""
    rows = []
    for kind in sorted(set(results.kinds), key=lambda kind: (kind != "good", kind)):
        chosen = kinds == kind
        scores = results.scores[chosen]
        mean, called = float(scores.mean()), int((scores > results.threshold).sum())
        quantiles = tuple(np.quantile(scores, (0, 0.25, 0.5, 0.75, 1)).tolist())
        row = KindRow(kind, len(scores), mean, called, quantiles, auroc.get(prefix + kind), iou.get(kind))
        if of_clips:
            row = replace(row, clips=len({results.clips[position] for position in np.flatnonzero(chosen)}))
            if results.anomalous[chosen].any():
                missed = sum(event.kind == kind for event in split.missed)
                count = sum(event.kind == kind for event in split.events)
                row = replace(row, events=count, events_caught=count - missed)
        rows.append(row)
    return rows


def sample_rows(result: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each test sample."""
    return [
        {
            "path": str(sample.frame),
            "kind": sample.kind,
            "anomalous": sample.anomalous,
            "score": float(score),
            "threshold": result.threshold.value,
            "p_value": float(p_value),
            "p_value_is_floor": is_floor(float(p_value), result.threshold.count),
            "decision": "anomalous" if called else "normal",
            **({"clip": sample.clip, "time_s": sample.time_s, "in_event": bool(alarm)} if result.unit.of_clips else {}),
        }
        for sample, score, p_value, called, alarm in zip(
            result.samples, result.scores, result.p_values, result.called, result.results.alarms, strict=True
        )
    ]


def kind_table(result: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each kind of defect, and one for the good samples."""
    if result.unit.of_clips:
        return [
            {
                "kind": row.kind,
                "frames": row.count,
                "clips": row.clips,
                "events found": None if row.events is None else f"{row.events_caught} of {row.events}",
                "mean score": row.mean_score,
                "highest": row.quantiles[-1],
                "frames above threshold": f"{row.called_anomalous} ({row.called_anomalous / row.count:.0%})",
                "frame_auroc": row.auroc,
            }
            for row in result.kinds
        ]
    return [
        {
            "kind": row.kind,
            "images": row.count,
            "called anomalous": row.called_anomalous,
            "share": row.called_anomalous / row.count,
            "mean score": row.mean_score,
            "lowest": row.quantiles[0],
            "highest": row.quantiles[-1],
            "image_auroc": row.auroc,
            "pixel_iou": row.pixel_iou,
        }
        for row in result.kinds
    ]


def clip_table(result: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each test clip; none of stills."""
    return [
        {
            "clip": row.clip,
            "frames": row.frames,
            "anomalous": row.anomalous_frames,
            "highest": row.highest_score,
            "at": clock(row.highest_s),
            "auroc": row.auroc,
            "events found": f"{row.events_caught} of {row.events}" if row.events else None,
            "false alarms": row.false_alarms,
            "decision": "anomalous" if row.called_anomalous else "normal",
        }
        for row in result.split.rows
    ]
