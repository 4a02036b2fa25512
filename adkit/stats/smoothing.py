"""Scores of a clip's frames, smoothed by what came before: a single noisy frame raises no alarm."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SMOOTHING_S = 0.2  # the time constant in seconds when none is given


class Smoother:
    """An exponential mean over a clip's past, in constant memory; frames may be unevenly spaced in time."""

    def __init__(self, constant_s: float) -> None:
        self.constant_s = constant_s  # after this time a score counts for a third (1/e); 0: scores stay as they are
        self._clip: str | None = None
        self._time_s = 0.0
        self._value = 0.0

    def __call__(self, clip: str, time_s: float, score: float) -> float:
        """Return the smoothed score of the clip's next frame; another clip starts afresh."""
        if clip != self._clip or self.constant_s <= 0:
            self._value = score
        else:
            share = 1 - math.exp(-max(0.0, time_s - self._time_s) / self.constant_s)
            self._value += share * (score - self._value)
        self._clip, self._time_s = clip, time_s
        return self._value


def smoothed(
    scores: NDArray[np.float64], clips: Sequence[str], times_s: NDArray[np.float64] | None, constant_s: float
) -> NDArray[np.float64]:
    """Return (N,) scores of frames in order, smoothed within its clip; a still image is a clip of one frame."""
    if times_s is None or constant_s <= 0:
        return scores
    smoother = Smoother(constant_s)
    pairs = zip(clips, times_s, scores, strict=True)
    return np.array([smoother(clip, float(time), float(score)) for clip, time, score in pairs], dtype=np.float64)
