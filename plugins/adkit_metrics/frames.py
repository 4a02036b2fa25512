"""Metrics of the scores of clips' frames: all frames together, as they are. No clip is normalised by itself.

Figures that stretch each clip's scores to 0..1 before pooling them are common in print. They know where in a clip
its highest score is before the clip has ended, and no threshold goes with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from adkit.interfaces import LabelledResults, Metric, MetricValue
from adkit_metrics.curves import average_precision, roc_area
from adkit_metrics.ranking import lacking_class, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray


def why_not_frames(results: LabelledResults, instead: str) -> str | None:
    """Why there are no frames to tell apart; `instead` is the metric for still images."""
    if not results.of_clips:
        return f"the test split has still images, no clips; for them there is {instead}"
    return lacking_class(results, "frame")


class FrameAuroc(Metric):
    """Area under the ROC curve over the frames of all clips: how often an anomalous one outscores a good one."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "clips"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The AUROC over all frames, ties half.

        Details: each clip's own where it has both sorts of frames, by its name; "macro", their mean; and "kind …", each
        kind's anomalous frames against all good ones.
        """
        from sklearn.metrics import roc_auc_score

        if why := why_not_frames(results, "image_auroc"):
            return MetricValue(None, why)
        clips, kinds, anomalous = np.array(results.clips), np.array(results.kinds), results.anomalous

        def auroc(chosen: NDArray[np.bool_]) -> float:
            return float(roc_auc_score(anomalous[chosen], results.scores[chosen]))

        of_clips = {}
        for clip in dict.fromkeys(results.clips):
            members = clips == clip
            if anomalous[members].any() and not anomalous[members].all():
                of_clips[clip] = auroc(members)
        details: dict[str, float | None] = {**of_clips}
        if of_clips:
            details["macro"] = float(np.mean([*of_clips.values()]))
        for kind in sorted(set(kinds[anomalous])):
            details[f"kind {kind}"] = auroc(~anomalous | (anomalous & (kinds == kind)))
        return MetricValue(auroc(np.ones(len(clips), bool)), details=details)

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The AUROC over all frames in each resample."""
        if not results.of_clips:
            return np.full(len(weights), np.nan)
        return resampled(results, weights, roc_area)


class FrameAveragePrecision(Metric):
    """Mean precision over the recalls at which an anomalous frame is found, over the frames of all clips."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "clips"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The average precision."""
        from sklearn.metrics import average_precision_score

        if why := why_not_frames(results, "average_precision"):
            return MetricValue(None, why)
        return MetricValue(float(average_precision_score(results.anomalous, results.scores)))

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The average precision in each resample."""
        if not results.of_clips:
            return np.full(len(weights), np.nan)
        return resampled(results, weights, average_precision)
