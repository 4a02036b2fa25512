"""Metrics of the scores of still images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from adkit.interfaces import LabelledResults, Metric, MetricValue
from adkit_metrics.curves import average_precision, best_f1, roc_area
from adkit_metrics.ranking import lacking_class, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _why_not_images(results: LabelledResults, instead: str) -> str | None:
    """Why there are no images to tell apart; `instead` is what there is for frames of clips."""
    if results.of_clips:
        return f"the test split has clips, whose frames are no images of their own; for them there is {instead}"
    return lacking_class(results, "image")


class ImageAuroc(Metric):
    """Area under the ROC curve: the chance that an anomalous image scores above a good one, ties half."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "images"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The AUROC over all images, and for each kind of defect against the good images."""
        from sklearn.metrics import roc_auc_score

        if why := _why_not_images(results, "frame_auroc"):
            return MetricValue(None, why)
        kinds = np.array(results.kinds)
        details = {}
        for kind in sorted(set(kinds[results.anomalous])):
            chosen = ~results.anomalous | (kinds == kind)
            details[str(kind)] = float(roc_auc_score(results.anomalous[chosen], results.scores[chosen]))
        return MetricValue(float(roc_auc_score(results.anomalous, results.scores)), details=details)

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The AUROC over all images in each resample."""
        if results.of_clips:
            return np.full(len(weights), np.nan)
        return resampled(results, weights, roc_area)


class AveragePrecision(Metric):
    """Mean precision over the recalls at which an anomalous image is found."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "images"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The average precision."""
        from sklearn.metrics import average_precision_score

        if why := _why_not_images(results, "frame_average_precision"):
            return MetricValue(None, why)
        return MetricValue(float(average_precision_score(results.anomalous, results.scores)))

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The average precision in each resample."""
        if results.of_clips:
            return np.full(len(weights), np.nan)
        return resampled(results, weights, average_precision)


class OracleF1(Metric):
    """The best F1 that any threshold reaches on these very labels: a ceiling, never a promise."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "images"

    def __call__(self, results: LabelledResults) -> MetricValue:
        """The best F1, with the threshold that reaches it."""
        from sklearn.metrics import precision_recall_curve

        if why := _why_not_images(results, "event_recall at the run's threshold"):
            return MetricValue(None, why)
        precision, recall, thresholds = precision_recall_curve(results.anomalous, results.scores)
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
        best = int(f1.argmax())
        return MetricValue(float(f1[best]), details={"oracle_threshold": float(thresholds[best])})

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The best F1 in each resample, at that resample's own best threshold."""
        if results.of_clips:
            return np.full(len(weights), np.nan)
        return resampled(results, weights, best_f1)
