"""What all metrics here share: one condition for the value and for its resamples."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from adkit import LabelledResults, Metric, MetricValue


class ConditionalMetric(Metric):
    """A metric that says in one place when it is undefined, and why."""

    @abstractmethod
    def why_undefined(self, results: LabelledResults) -> str | None:
        """Say why there is no figure of such results; None where there is one."""

    @abstractmethod
    def measure(self, results: LabelledResults) -> MetricValue:
        """Return the figure of results for which it is defined."""

    @abstractmethod
    def resample(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (R,) figures, one for each row of weights (R, N), of results for which it is defined."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        """Return the figure, or why there is none."""
        why = self.why_undefined(results)
        return MetricValue(None, why) if why else self.measure(results)

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the figure in each resample, nan where it is undefined."""
        return np.full(len(weights), np.nan) if self.why_undefined(results) else self.resample(results, weights)
