"""Metrics of image scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adkit.interfaces import Evidence, Metric, MetricValue
from adkit_metrics.curves import average_precision, best_f1, in_chunks, roc_area

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adkit_metrics.curves import Figure


def _lacking_class(evidence: Evidence) -> str | None:
    if not evidence.anomalous.any():
        return "the test split has no anomalous image"
    if evidence.anomalous.all():
        return "the test split has no good image"
    return None


def _resampled(evidence: Evidence, weights: NDArray[np.int64], figure: Figure) -> NDArray[np.float64]:
    """The figure of the distinct scores' histograms in each resample: (R, N) weights -> (R,)."""
    order = np.argsort(evidence.scores)
    _, starts = np.unique(evidence.scores[order], return_index=True)
    anomalous = evidence.anomalous[order]

    def of_rows(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        drawn = rows[:, order].astype(np.float64)
        good = np.add.reduceat(drawn * ~anomalous, starts, axis=1)
        return figure(good, np.add.reduceat(drawn * anomalous, starts, axis=1))

    return in_chunks(weights, len(evidence.scores), of_rows)


class ImageAuroc(Metric):
    """Area under the ROC curve: the chance that an anomalous image scores above a good one, ties half."""

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The AUROC over all images, and for each kind of defect against the good images."""
        from sklearn.metrics import roc_auc_score

        if why := _lacking_class(evidence):
            return MetricValue(None, why)
        kinds = np.array(evidence.kinds)
        details = {}
        for kind in sorted(set(kinds[evidence.anomalous])):
            chosen = ~evidence.anomalous | (kinds == kind)
            details[str(kind)] = float(roc_auc_score(evidence.anomalous[chosen], evidence.scores[chosen]))
        return MetricValue(float(roc_auc_score(evidence.anomalous, evidence.scores)), details=details)

    def resampled(self, evidence: Evidence, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The AUROC over all images in each resample."""
        return _resampled(evidence, weights, roc_area)


class AveragePrecision(Metric):
    """Mean precision over the recalls at which an anomalous image is found."""

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The average precision."""
        from sklearn.metrics import average_precision_score

        if why := _lacking_class(evidence):
            return MetricValue(None, why)
        return MetricValue(float(average_precision_score(evidence.anomalous, evidence.scores)))

    def resampled(self, evidence: Evidence, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The average precision in each resample."""
        return _resampled(evidence, weights, average_precision)


class OracleF1(Metric):
    """The best F1 that any threshold reaches on these very labels: a ceiling, never a promise."""

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The best F1, with the threshold that reaches it."""
        from sklearn.metrics import precision_recall_curve

        if why := _lacking_class(evidence):
            return MetricValue(None, why)
        precision, recall, thresholds = precision_recall_curve(evidence.anomalous, evidence.scores)
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
        best = int(f1.argmax())
        return MetricValue(float(f1[best]), details={"oracle_threshold": float(thresholds[best])})

    def resampled(self, evidence: Evidence, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The best F1 in each resample, at that resample's own best threshold."""
        return _resampled(evidence, weights, best_f1)
