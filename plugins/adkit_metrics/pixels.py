"""Metrics of maps against masks, at the masks' resolution, each in one pass over the pixels.

Pixels are counted at levels of map values instead of sorted: those that share one count as ties, which moves a figure
by less than their share. A figure needs constant memory, its resamples two histograms of 4096 levels per image.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adkit import LabelledResults, MetricValue
from adkit_metrics.conditional import ConditionalMetric
from adkit_metrics.curves import LOW_FPR, Values, in_chunks, log_recall, overlap_area, roc_area, share

Marks = NDArray[np.bool_]
_Rows = NDArray[np.float64] | NDArray[np.float32]

STEPS, COARSE = 2**20, 2**12  # levels, and at most so many of resamples


@dataclass(frozen=True)
class Levels:
    """STEPS equal steps from the lowest to the highest value, or fewer levels made by joining steps."""

    lowest: float
    highest: float
    count: int = STEPS
    joined: NDArray[np.int64] | None = None  # (STEPS,) the level of each step

    def coarse(self, values: NDArray[np.float32]) -> "Levels":
        """Return at most COARSE levels: half hold equally many values, where they crowd, half are equally wide."""
        below = np.cumsum(self.histogram(self.of(values)))
        crowded = np.searchsorted(below, np.arange(COARSE // 2) * (values.size / (COARSE // 2)), side="right")
        equal = np.arange(COARSE // 2) * (STEPS // (COARSE // 2))
        begins = np.zeros(STEPS, np.int64)
        begins[crowded] = begins[equal] = 1
        begins[-1] = 1  # both halves begin at 0, so that there is room for it
        joined = np.cumsum(begins) - 1
        return Levels(self.lowest, self.highest, int(joined[-1]) + 1, joined)

    def of(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the level of each value, in the same shape; values beyond the range (by rounding) get its ends."""
        scaled = values.astype(np.float64)
        np.clip(scaled, self.lowest, self.highest, out=scaled)
        scaled -= self.lowest
        scaled *= (STEPS - 1) / ((self.highest - self.lowest) or 1.0)
        steps = scaled.astype(np.int64)
        return steps if self.joined is None else self.joined[steps]

    def histogram(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many pixels are at each level (count,)."""
        return np.bincount(levels.ravel(), minlength=self.count)


class PixelMetric(ConditionalMetric):
    """A figure of maps and masks."""

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say whether maps or masks are lacking."""
        if results.maps is None:
            return "the method gives no maps"
        return None if results.has_masks else "no anomalous sample of the test split has a mask"

    def pixels(self, results: LabelledResults) -> Iterator[tuple[int, NDArray[np.float32], Marks, Marks]]:
        """Yield index, map and mask of each image, and which pixels are good ones that count.

        What does not count is below all that can be found.
        """
        for index, values, mask in results.pixels():
            counts = results.counting(values.shape)
            if counts is None:
                yield index, values, mask, ~mask
            else:
                yield index, np.where(counts, values, np.float32(-np.inf)), mask, ~mask & counts


class HistogramMetric(PixelMetric):
    """A figure of two histograms of map values: one of good pixels, one of anomalous pixels, each with its weight."""

    @staticmethod
    @abstractmethod
    def figure(good: Values, anomalous: Values, /) -> Values:
        """Return figures (...) of histograms (..., levels), nan where undefined."""

    @abstractmethod
    def weights(self, mask: Marks, anomalous: bool, good_px: int) -> tuple[float, Values]:
        """Return what each good pixel of an image weighs, 0 where they do not count, and each anomalous one."""

    def levels(self, results: LabelledResults, *, coarse: bool = False) -> Levels:
        """Return the levels at which pixels are counted: 2^20, or 4096 at most."""
        maps = _maps(results)
        levels = Levels(float(maps.min()), float(maps.max()))  # enlarged bilinearly, no pixel leaves their range
        return levels.coarse(maps) if coarse else levels

    def too_few(self, good_px: int) -> str | None:
        """Say why so many pixels of good images do not suffice; None where they do."""
        return None

    def details(self, anomalous: Values) -> dict[str, float]:
        """Return more figures, from the anomalous pixels' histogram."""
        return {}

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the figure over all pixels together, at 2^20 levels."""
        levels = self.levels(results)
        good, anomalous = np.zeros((2, 1, levels.count))
        why = self.too_few(self._count(results, levels, good, anomalous))
        value = float(self.figure(good[0], anomalous[0]))
        if why or np.isnan(value):
            return MetricValue(None, why or "the masks leave no good or no anomalous pixel")
        return MetricValue(value, details=self.details(anomalous[0]))

    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the figure in each resample, at 4096 levels at most, which moves one of 14 small maps by 0.0001."""
        levels = self.levels(results, coarse=True)
        # float32 halves the memory; what its rounding does to a share is far below the levels' own error.
        good, anomalous = np.zeros((2, len(results.scores), levels.count), np.float32)
        if self.too_few(self._count(results, levels, good, anomalous)):
            return np.full(len(weights), np.nan)

        def of_rows(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            drawn = rows.astype(np.float32)
            return self.figure((drawn @ good).astype(np.float64), (drawn @ anomalous).astype(np.float64))

        return in_chunks(weights, levels.count, of_rows)

    def _count(self, results: LabelledResults, levels: Levels, good: _Rows, anomalous: _Rows) -> int:
        """Add the pixels' weights to histograms (rows, levels), of each image to its own row, or of all to the one.

        Returns how many pixels of good images count.
        """
        total = 0
        for index, values, mask, is_good in self.pixels(results):
            good_px = int(np.count_nonzero(is_good))
            weight, weights = self.weights(mask, bool(results.anomalous[index]), good_px)
            if weight or mask.any():
                found, row = levels.of(values), index % len(good)
                # In place: a histogram of each image would be as long as the levels, whatever the image's size.
                if weight:
                    np.add.at(good[row], found[is_good], good.dtype.type(weight))
                np.add.at(anomalous[row], found[mask], weights.astype(good.dtype))
            total += 0 if results.anomalous[index] else good_px
        return total


class PixelAuroc(HistogramMetric):
    """Area under the ROC curve over the pixels of all images: the chance that an anomalous one outscores a good one."""

    figure = staticmethod(roc_area)

    def weights(self, mask: Marks, anomalous: bool, good_px: int) -> tuple[float, Values]:
        """Return 1 for each pixel of all images."""
        return 1.0, np.ones(np.count_nonzero(mask))


class Aupro(HistogramMetric):
    """Area under the per-region overlap, for false-positive rates up to 0.3, over defective images.

    A region is a connected part of a mask (8 neighbours); each weighs the same whatever its size, as Bergmann et
    al. (IJCV 2021) define it. The false-positive rate is that of the good pixels of the defective images only, as
    in PatchCore's published results (their column anomaly_pro). MVTec's own evaluation code counts the good pixels
    of all images, defect-free ones included: its figures are not comparable with these.
    """

    figure = staticmethod(overlap_area)

    def weights(self, mask: Marks, anomalous: bool, good_px: int) -> tuple[float, Values]:
        """Return 1 for the good pixels of images with an anomalous one; 1 for each region, shared among its pixels."""
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        sizes = np.bincount(labels.ravel(), minlength=count)
        return float(mask.any()), np.asarray(1.0 / sizes[labels[mask]])

    def details(self, anomalous: Values) -> dict[str, float]:
        """Return how many regions there are."""
        return {"regions": float(round(anomalous.sum()))}


class Aupimo(HistogramMetric):
    """Mean recall of each defective image's pixels at false-positive rates so low that an alarm would be looked at.

    Bertoldo et al. (arXiv 2401.01984): for every defective image the share of its anomalous pixels that is found, over
    the logarithm of the false-positive rate from 0.00001 to 0.0001, and then the mean over images. The rate is counted
    on the good images only, each of which weighs the same, whatever its size. The authors add up trapezoids between
    300,000 thresholds; here the same area is the mean of a logarithm (`curves.log_recall`).
    """

    figure = staticmethod(log_recall)

    def weights(self, mask: Marks, anomalous: bool, good_px: int) -> tuple[float, Values]:
        """Return 1 for each good image, shared among its pixels; 1 for each other one, shared among the anomalous."""
        marked = int(np.count_nonzero(mask))
        return 0.0 if anomalous else 1 / good_px, np.full(marked, 1 / max(1, marked))

    def levels(self, results: LabelledResults, *, coarse: bool = False) -> Levels:
        """Return levels of the highest hundredth of the good images' values: no rate of interest lies below."""
        values = _maps(results)[~results.anomalous].ravel()
        values = values[values >= np.quantile(values, 0.99)]
        # The last of them holds what is above all of these values, and nothing else.
        levels = Levels(float(values.min()), float(np.nextafter(values.max(), np.float32(np.inf))))
        return levels.coarse(values) if coarse else levels

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say whether maps, masks or good images are lacking."""
        no_good = "the test split has no good image" if results.anomalous.all() else None
        return super().why_undefined(results) or no_good

    def too_few(self, good_px: int) -> str | None:
        """Say that the good pixels are too few for the lowest rate."""
        needed = round(1 / LOW_FPR)
        few = (
            f"the good test images have {good_px:,} pixels, and a false-positive rate of {LOW_FPR:.3%} needs {needed:,}"
        )
        return few if good_px < needed else None


class PixelIoU(PixelMetric):
    """Intersection over union of "above the run's pixel threshold" and the masks."""

    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say whether maps, masks or the threshold are lacking."""
        no_threshold = None if results.pixel_threshold is not None else "the run has no pixel threshold"
        return super().why_undefined(results) or no_threshold

    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the IoU over all defective images pooled, and for each kind of defect."""
        intersections, unions = self._areas(results)
        if not unions.any():
            return MetricValue(None, "the masks leave no anomalous pixel")
        details = {}
        for kind in sorted({results.kinds[index] for index in np.flatnonzero(unions)}):
            chosen = np.array(results.kinds) == kind
            details[kind] = float(intersections[chosen].sum() / unions[chosen].sum())
        return MetricValue(float(intersections.sum() / unions.sum()), details=details)

    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the pooled IoU in each resample; exact."""
        intersections, unions = self._areas(results)
        return share(weights @ intersections, weights @ unions)

    def _areas(self, results: LabelledResults) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each image's intersection (N,) and union (N,) in px; both 0 where it has no known defect."""
        assert results.pixel_threshold is not None  # or the metric would be undefined
        intersections, unions = np.zeros((2, len(results.scores)), np.int64)
        for index, values, mask, _ in self.pixels(results):
            if mask.any():
                found = values > results.pixel_threshold
                intersections[index], unions[index] = (found & mask).sum(), (found | mask).sum()
        return intersections, unions


def _maps(results: LabelledResults) -> NDArray[np.float32]:
    assert results.maps is not None  # or the metric would be undefined
    return results.maps
