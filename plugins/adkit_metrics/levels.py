"""Levels of map values: whole numbers in the values' order, so that pixels can be counted instead of sorted.

Pixels that share a level count as ties, which moves a figure by less than the share of pixels in one level.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = 2**20
COARSE = 2**12


@dataclass(frozen=True)
class Levels:
    """STEPS equal steps from the lowest to the highest value, or fewer levels made by joining steps."""

    lowest: float
    highest: float
    count: int = STEPS
    joined: NDArray[np.int64] | None = None  # (STEPS,) the level of each step

    @classmethod
    def fine(cls, maps: NDArray[np.float32]) -> "Levels":
        """Return equal levels of native maps (N, h, w); enlarged bilinearly, no pixel leaves their range."""
        return cls(float(maps.min()), float(maps.max()))

    @classmethod
    def above(cls, values: NDArray[np.float32]) -> "Levels":
        """Return equal levels of these values, the last of which holds what is above all of them, and nothing else."""
        return cls(float(values.min()), float(np.nextafter(values.max(), np.float32(np.inf))))

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
