"""The figures of an evaluation as rows, which terminal and report lay out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from adkit.evaluation.clip_results import ClipResults
from adkit.interfaces import LabelledResults, MetricValue


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


def kind_rows(
    results: LabelledResults, of_clips: ClipResults | None, metrics: Mapping[str, MetricValue]
) -> list[KindRow]:
    """Return the table by defect kind, good ones first."""
    kinds, iou = np.array(results.kinds), details_of(metrics, "pixel_iou")
    auroc, prefix = details_of(metrics, "frame_auroc" if of_clips else "image_auroc"), "kind " if of_clips else ""
    rows = []
    for kind in sorted(set(results.kinds), key=lambda kind: (kind != "good", kind)):
        chosen = kinds == kind
        scores = results.scores[chosen]
        row = KindRow(
            kind,
            len(scores),
            float(scores.mean()),
            int((scores > results.threshold).sum()),
            tuple(np.quantile(scores, (0, 0.25, 0.5, 0.75, 1)).tolist()),
            auroc.get(prefix + kind),
            iou.get(kind),
        )
        if of_clips:
            row = replace(row, clips=len({results.clips[position] for position in np.flatnonzero(chosen)}))
            if results.anomalous[chosen].any():
                missed = sum(event.kind == kind for event in of_clips.missed)
                count = sum(event.kind == kind for event in of_clips.events)
                row = replace(row, events=count, events_caught=count - missed)
        rows.append(row)
    return rows
