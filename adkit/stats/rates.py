"""What a threshold does to samples of known truth; oracle rates choose it by the test labels, and promise nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adkit.stats.calibration import CERTAINTY
from adkit.stats.formatting import SLACK, Unit, counted, percent_text
from adkit.stats.significance import Interval, proportion_interval

ORACLE_RECALLS = (1.0, 0.99)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of samples, with its 95 % interval: Clopper and Pearson's for independent ones; None: not known."""

    count: int
    total: int
    interval: Interval | None

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> "Rate":
        """Return the share of True among `hits`."""
        return cls.counted(int(hits.sum()), len(hits))

    @classmethod
    def counted(cls, count: int, total: int) -> "Rate":
        """Return the share of so many of so many."""
        return cls(count, total, proportion_interval(count, total))

    @classmethod
    def sum_of(cls, rates: Sequence["Rate"]) -> "Rate":
        """Return the share of all their samples together."""
        return cls.counted(sum(rate.count for rate in rates), sum(rate.total for rate in rates))

    @property
    def share(self) -> float | None:
        """Return the share, 0..1; None without samples."""
        return self.count / self.total if self.total else None

    def in_percent(self, digits: int = 1) -> str:
        """Write the share and how certain it is: "10.0%, with 95% certainty 1.2% to 31.7%"; a dash without samples."""
        if not self.total:
            return percent_text(self.share, digits)
        if self.interval is None:
            return f"{percent_text(self.share, digits)}; too few clips for an interval"
        low, high = percent_text(self.interval.low, digits), percent_text(self.interval.high, digits)
        return f"{percent_text(self.share, digits)}, with {CERTAINTY:.0%} certainty {low} to {high}"

    def __str__(self) -> str:
        if not self.total:
            return "none to judge"
        of = f"{self.count} of {self.total} ({self.share:.1%}"
        return f"{of}; {self.interval.low:.1%} to {self.interval.high:.1%})" if self.interval else f"{of})"


def over_seeds(rates: Sequence[Rate]) -> tuple[float | None, Interval]:
    """Return the mean share of the same samples over seeds, with its 95 % interval, which errs on the wide side."""
    count = float(np.mean([rate.count for rate in rates]))
    return (count / rates[0].total if rates[0].total else None), proportion_interval(count, rates[0].total)


@dataclass(frozen=True, slots=True)
class OraclePassing:
    """How many good samples pass when the threshold is set with the labels to catch `recall` of the defects."""

    recall: float
    threshold: float
    passing: Rate


@dataclass(frozen=True, slots=True)
class DecisionRates:
    """Decisions at a threshold against the truth."""

    caught: Rate  # anomalous samples that are flagged
    false_alarms: Rate  # good samples that are flagged
    mean_normal: float | None
    mean_anomalous: float | None
    oracle_passing: tuple[OraclePassing, ...]

    def in_words(self, unit: Unit, at: str) -> str:
        """Say what is caught at that threshold: "caught 80 of 119 defects at the promised 1%, flagged 0 of 41 …"."""
        parts = []
        if self.caught.total:
            parts.append(f"caught {self.caught.count:,} of {counted(self.caught.total, unit.defect)}")
        if self.false_alarms.total:
            parts.append(f"flagged {self.false_alarms.count:,} of {counted(self.false_alarms.total, unit.good)}")
        return ", ".join([f"{parts[0]} at {at}", *parts[1:]])

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
    mean_good, mean_defect = (float(some.mean()) if len(some) else None for some in (normals, defects))
    recalls = ORACLE_RECALLS if len(normals) and len(defects) else ()
    passing = tuple(_passing(normals, defects, recall) for recall in recalls)
    return DecisionRates(Rate.of(defects > threshold), Rate.of(normals > threshold), mean_good, mean_defect, passing)


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
    needed = int(np.ceil(recall * len(defects) - SLACK))
    lowest_caught = np.sort(defects)[::-1][needed - 1]
    threshold = float(np.nextafter(lowest_caught, -np.inf))
    return OraclePassing(recall, threshold, Rate.of(normals <= threshold))
