"""Thresholds and p-values from the scores of normal data only, with what they promise.

The threshold is the k-th largest of n out-of-sample normal scores, and a sample is called anomalous when its
score lies above it. For exchangeable continuous scores, the false-alarm rate of that rule on new normal data
follows Beta(k, n + 1 - k), whatever the scores' distribution (order statistics; the split-conformal argument
of Vovk et al. 2005, and Bates et al. 2023, arXiv 2104.08279, for outliers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CERTAINTY = 0.95


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score above which a sample is called anomalous, and the false-alarm rate to expect of it."""

    value: float
    rank: int  # it is the rank-th largest …
    count: int  # … of this many normal scores
    expected_rate: float  # mean of the false-alarm rate over draws of the normal data
    certain_rate: float  # with 95 % certainty the false-alarm rate is at most this

    def promise(self) -> str:
        """The threshold in words."""
        return (
            f"flags about 1 in {1 / self.expected_rate:.0f} normal samples ({self.expected_rate:.2%}), "
            f"with {CERTAINTY:.0%} certainty at most {self.certain_rate:.1%}; "
            f"from {self.count} out-of-sample normal scores"
        )


def threshold_from(normal_scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """The highest-recall threshold whose expected false-alarm rate is at most `false_alarm_rate` (0..1).

    Where n scores cannot support that rate, the largest of them is taken: the strictest there is, whose
    expected rate is 1/(n + 1). The result says which rate it has. Raises ValueError without scores.
    """
    scores = np.sort(np.asarray(normal_scores, dtype=np.float64))[::-1]
    count = len(scores)
    if count == 0:
        raise ValueError("a threshold needs at least one normal score")
    # The tiny slack keeps 0.05 * 20 from falling below 1 by rounding.
    rank = max(1, min(count, int(false_alarm_rate * (count + 1) + 1e-9)))
    return Threshold(
        value=float(scores[rank - 1]),
        rank=rank,
        count=count,
        expected_rate=rank / (count + 1),
        certain_rate=_beta_quantile(CERTAINTY, rank, count + 1 - rank),
    )


def p_values(scores: ArrayLike, normal_scores: ArrayLike) -> NDArray[np.float64]:
    """(1 + #{normal ≥ score}) / (n + 1) for each score: the share of normal samples at least as high.

    For a new normal sample it is at most p with probability at most p.
    """
    normals = np.sort(np.asarray(normal_scores, dtype=np.float64))
    below = np.searchsorted(normals, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1 + len(normals) - below) / (len(normals) + 1), dtype=np.float64)


def _beta_quantile(probability: float, a: float, b: float) -> float:
    from scipy.stats import beta  # takes half a second to import

    return float(beta.ppf(probability, a, b))
