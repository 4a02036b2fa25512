"""What a threshold does to samples of known truth, and what scores look like: figures for tables and plots.

Rates that need the test labels to choose a threshold are named oracle: they describe scores, and promise nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adkit.stats.significance import Interval, proportion_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORACLE_RECALLS = (1.0, 0.99)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of samples, with its 95 % interval (Clopper-Pearson)."""

    count: int
    total: int
    interval: Interval

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Rate:
        """Return the share of True among `hits`."""
        return cls.counted(int(hits.sum()), len(hits))

    @classmethod
    def counted(cls, count: int, total: int) -> Rate:
        """Return the share of so many of so many."""
        return cls(count, total, proportion_interval(count, total))

    @property
    def share(self) -> float | None:
        """Return the share, 0..1; None without samples."""
        return self.count / self.total if self.total else None

    def __str__(self) -> str:
        if not self.total:
            return "none to judge"
        return f"{self.count} of {self.total} ({self.share:.1%}; {self.interval.low:.1%} to {self.interval.high:.1%})"


@dataclass(frozen=True, slots=True)
class OraclePassing:
    """How many good samples pass when the threshold is set with the labels to catch `recall` of the defects."""

    recall: float
    threshold: float
    passing: Rate


@dataclass(frozen=True, slots=True)
class DecisionRates:
    """Decisions at a threshold against the truth."""

    false_alarms: Rate  # good samples that are flagged
    misses: Rate  # anomalous samples that are not
    mean_normal: float | None
    mean_anomalous: float | None
    oracle_passing: tuple[OraclePassing, ...]

    @property
    def separation_ratio(self) -> float | None:
        """Return mean anomalous over mean normal score; None where one is missing or the latter is not positive."""
        if self.mean_normal is None or self.mean_anomalous is None or self.mean_normal <= 0:
            return None
        return self.mean_anomalous / self.mean_normal


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve from the highest threshold to the lowest."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def decision_rates(scores: NDArray[np.float64], anomalous: NDArray[np.bool_], threshold: float) -> DecisionRates:
    """Return what calling scores above the threshold anomalous does to N samples of known truth."""
    normals, defects = scores[~anomalous], scores[anomalous]
    return DecisionRates(
        false_alarms=Rate.of(normals > threshold),
        misses=Rate.of(defects <= threshold),
        mean_normal=float(normals.mean()) if len(normals) else None,
        mean_anomalous=float(defects.mean()) if len(defects) else None,
        oracle_passing=tuple(_passing(normals, defects, recall) for recall in ORACLE_RECALLS)
        if len(normals) and len(defects)
        else (),
    )


def roc_curve(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> Curve | None:
    """Return false-positive rate (x) against recall (y); None without both sorts of samples."""
    if not anomalous.any() or anomalous.all():
        return None
    from sklearn import metrics

    false_positive_rate, recall, _ = metrics.roc_curve(anomalous, scores)
    return Curve(tuple(false_positive_rate.tolist()), tuple(recall.tolist()))


def precision_recall_curve(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> Curve | None:
    """Return recall (x) against precision (y); None without both sorts of samples."""
    if not anomalous.any() or anomalous.all():
        return None
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(anomalous, scores, drop_intermediate=True)
    return Curve(tuple(recall[::-1].tolist()), tuple(precision[::-1].tolist()))


def _passing(normals: NDArray[np.float64], defects: NDArray[np.float64], recall: float) -> OraclePassing:
    """Return the highest threshold at which `recall` of the defects are flagged: just below the least of them."""
    needed = int(np.ceil(recall * len(defects) - 1e-9))
    lowest_caught = np.sort(defects)[::-1][needed - 1]
    threshold = float(np.nextafter(lowest_caught, -np.inf))
    return OraclePassing(recall, threshold, Rate.of(normals <= threshold))
