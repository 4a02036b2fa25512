"""Metrics of maps against masks, at the masks' resolution, in two passes and at constant memory.

Curves are taken at 2^20 equal levels between the lowest and the highest map value: pixels that share a level
count as ties, which moves a figure by less than the share of pixels in one level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adkit.interfaces import Evidence, Metric, MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = 2**20
FPR_LIMIT = 0.3


def _lacking_pixels(evidence: Evidence) -> str | None:
    if not evidence.has_maps:
        return "the method gives no maps"
    if not evidence.has_masks:
        return "no anomalous sample of the test split has a mask"
    return None


@dataclass
class _Levels:
    """Histograms over equally spaced levels between two values."""

    lowest: float
    highest: float

    @classmethod
    def spanning(cls, evidence: Evidence) -> _Levels:
        lowest, highest = np.inf, -np.inf
        for _, values, _ in evidence.pixels():
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
        return cls(lowest, highest)

    def of(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        span = (self.highest - self.lowest) or 1.0
        levels = (values.astype(np.float64) - self.lowest) * ((LEVELS - 1) / span)
        return levels.astype(np.int64)

    def count(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.bincount(self.of(values).ravel(), minlength=LEVELS)


class PixelAuroc(Metric):
    """Area under the ROC curve over the pixels of all images, good ones included."""

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The chance that an anomalous pixel's value lies above a good one's, ties half."""
        if why := _lacking_pixels(evidence):
            return MetricValue(None, why)
        levels = _Levels.spanning(evidence)
        anomalous = np.zeros(LEVELS, np.int64)
        good = np.zeros(LEVELS, np.int64)
        for _, values, mask in evidence.pixels():
            anomalous += levels.count(values[mask])
            good += levels.count(values[~mask])
        if not anomalous.any() or not good.any():
            return MetricValue(None, "the masks leave no good or no anomalous pixel")
        good_below = np.cumsum(good) - good
        wins = float((anomalous * (good_below + good / 2)).sum())
        return MetricValue(wins / (float(anomalous.sum()) * float(good.sum())))


class Aupro(Metric):
    """Area under the per-region overlap, for false-positive rates up to 0.3, over defective images.

    A region is a connected part of a mask (8 neighbours); each weighs the same whatever its size, as Bergmann et
    al. (IJCV 2021) define it. The false-positive rate is that of the good pixels of the defective images only, as
    in PatchCore's published results (their column anomaly_pro). MVTec's own evaluation code counts the good pixels
    of all images, defect-free ones included: its figures are not comparable with these.
    """

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The area divided by 0.3, so that 1 is perfect."""
        if why := _lacking_pixels(evidence):
            return MetricValue(None, why)
        levels = _Levels.spanning(evidence)
        overlap = np.zeros(LEVELS, np.float64)
        good = np.zeros(LEVELS, np.int64)
        regions = 0
        for _, values, mask in evidence.pixels():
            if not mask.any():
                continue
            good += levels.count(values[~mask])
            count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            sizes = np.bincount(labels.ravel(), minlength=count)
            weights = 1.0 / sizes[labels[mask]]
            overlap += np.bincount(levels.of(values[mask]), weights=weights, minlength=LEVELS)
            regions += count - 1
        if not regions or not good.any():
            return MetricValue(None, "the masks leave no good or no anomalous pixel")
        # From the highest level down: what a falling threshold catches.
        rates = np.concatenate([[0.0], np.cumsum(good[::-1]) / good.sum()])
        overlaps = np.concatenate([[0.0], np.cumsum(overlap[::-1]) / regions])
        end = int(np.searchsorted(rates, FPR_LIMIT, side="right"))
        at_limit = float(np.interp(FPR_LIMIT, rates, overlaps))
        area = np.trapezoid(np.append(overlaps[:end], at_limit), np.append(rates[:end], FPR_LIMIT))
        return MetricValue(float(area) / FPR_LIMIT, details={"regions": float(regions)})


class PixelIoU(Metric):
    """Intersection over union of "above the run's pixel threshold" and the masks."""

    def __call__(self, evidence: Evidence) -> MetricValue:
        """The IoU over all defective images pooled, and for each kind of defect."""
        if why := _lacking_pixels(evidence):
            return MetricValue(None, why)
        if evidence.pixel_threshold is None:
            return MetricValue(None, "the run has no pixel threshold")
        intersections: dict[str, int] = {}
        unions: dict[str, int] = {}
        for index, values, mask in evidence.pixels():
            if not mask.any():
                continue
            found = values > evidence.pixel_threshold
            kind = evidence.kinds[index]
            intersections[kind] = intersections.get(kind, 0) + int((found & mask).sum())
            unions[kind] = unions.get(kind, 0) + int((found | mask).sum())
        if not unions:
            return MetricValue(None, "the masks leave no anomalous pixel")
        details = {kind: intersections[kind] / unions[kind] for kind in sorted(unions)}
        return MetricValue(sum(intersections.values()) / sum(unions.values()), details=details)
