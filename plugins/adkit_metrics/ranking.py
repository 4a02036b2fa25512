"""Metrics of scores that need only their order: of still images, and of the frames of clips.

Frames of all clips are judged together, as they are. Stretching each clip's scores to 0..1 before, as is common in
print, would know a clip's highest score before it has ended, and no threshold goes with that.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from adkit import LabelledResults, MetricValue
from adkit_metrics import curves
from adkit_metrics.conditional import ConditionalMetric
from adkit_metrics.curves import Values


class RankingMetric(ConditionalMetric):
    """A figure of the scores' order, defined where there are both good and anomalous samples of its sort."""

    judges: ClassVar[Literal["images", "clips", "both"]] = "images"
    instead: ClassVar[str]  # what there is for the other sort of data

    @staticmethod
    @abstractmethod
    def figure(good: Values, anomalous: Values, /) -> Values:
        """Return the same figure of two histograms of the distinct scores."""

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say what is lacking: the sort of data that it judges, or one of both kinds of samples."""
        if results.of_clips and self.judges == "images":
            no_images = "the test split has clips, whose frames are no images of their own"
            return f"{no_images}; for them there is {self.instead}"
        if not results.of_clips and self.judges == "clips":
            return f"the test split has still images, no clips; for them there is {self.instead}"
        thing = "frame" if results.of_clips else "image"
        if not results.anomalous.any():
            return f"the test split has no anomalous {thing}"
        return f"the test split has no good {thing}" if results.anomalous.all() else None

    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the figure of the distinct scores' histograms in each resample."""
        order = np.argsort(results.scores)
        _, starts = np.unique(results.scores[order], return_index=True)
        anomalous = results.anomalous[order]

        def of_rows(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            drawn = rows[:, order].astype(np.float64)
            good = np.add.reduceat(drawn * ~anomalous, starts, axis=1)
            return self.figure(good, np.add.reduceat(drawn * anomalous, starts, axis=1))

        return curves.in_chunks(weights, len(results.scores), of_rows)


class ImageAuroc(RankingMetric):
    """Area under the ROC curve: the chance that an anomalous image scores above a good one, ties half."""

    instead = "frame_auroc"
    figure = staticmethod(curves.roc_area)

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the AUROC over all images, and for each kind of defect against the good images."""
        return MetricValue(_auroc(results), details=dict(_by_kind(results)))


class FrameAuroc(RankingMetric):
    """Area under the ROC curve over the frames of all clips: how often an anomalous one outscores a good one."""

    judges = "clips"
    instead = "image_auroc"
    figure = staticmethod(curves.roc_area)

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the AUROC over all frames, ties half; details: each clip's, "macro" (their mean), each "kind …"."""
        details: dict[str, float | None] = {}
        clips, anomalous = np.array(results.clips), results.anomalous
        for clip in dict.fromkeys(results.clips):
            members = clips == clip
            if anomalous[members].any() and not anomalous[members].all():
                details[clip] = _auroc(results, members)
        if details:
            details["macro"] = float(np.mean([*details.values()]))
        details |= {f"kind {kind}": auroc for kind, auroc in _by_kind(results).items()}
        return MetricValue(_auroc(results), details=details)


class AveragePrecision(RankingMetric):
    """Mean precision over the recalls at which an anomalous image is found."""

    instead = "frame_average_precision"
    figure = staticmethod(curves.average_precision)

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the average precision: that of each sample drawn once."""
        return MetricValue(float(self.resample(results, np.ones((1, len(results.scores)), np.int64))[0]))


class FrameAveragePrecision(AveragePrecision):
    """Mean precision over the recalls at which an anomalous frame is found, over the frames of all clips."""

    judges = "clips"
    instead = "average_precision"


class OracleF1(RankingMetric):
    """The best F1 that any threshold reaches on these very labels: a ceiling, never a promise."""

    instead = "caught_at_promise"
    figure = staticmethod(curves.best_f1)

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the best F1, with the threshold that reaches it."""
        from sklearn.metrics import precision_recall_curve

        precision, recall, thresholds = precision_recall_curve(results.anomalous, results.scores)
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
        best = int(f1.argmax())
        return MetricValue(float(f1[best]), details={"oracle_threshold": float(thresholds[best])})


def _auroc(results: LabelledResults, chosen: NDArray[np.bool_] | slice = slice(None)) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(results.anomalous[chosen], results.scores[chosen]))


def _by_kind(results: LabelledResults) -> dict[str, float]:
    """Return the AUROC of each kind's anomalous samples against all good ones."""
    kinds, anomalous = np.array(results.kinds), results.anomalous
    return {str(kind): _auroc(results, ~anomalous | (kinds == kind)) for kind in sorted(set(kinds[anomalous]))}
