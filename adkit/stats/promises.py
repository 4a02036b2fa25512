"""Whether false alarms speak against what thresholds promised; adkit.stats.calibration has the distributions."""

import bisect
from collections.abc import Sequence

import numpy as np

from adkit.stats.calibration import CERTAINTY

# scipy.stats takes half a second to import: every function imports it for itself.


def alarms_p_value(alarms: int, total: int, rank: int, count: int) -> float:
    """Return P(at least `alarms` of `total` new normal samples score above the `rank`-th largest of `count` others).

    One-sided: small when there are more false alarms than the threshold promised. For exchangeable continuous scores
    the false-alarm rate is Beta(rank, count + 1 - rank), so that their number is Beta-binomial.
    """
    from scipy.stats import betabinom

    # A sum of the tail's own terms: one minus the rest would lose all digits of a small p-value.
    tail = betabinom.pmf(np.arange(alarms, total + 1), total, rank, count + 1 - rank)
    return min(1.0, float(tail.sum()))


def most_alarms(promises: Sequence[tuple[int, int, int]]) -> int:
    """Return how many false alarms independent promises (total, rank, count) give, with 95 % certainty at most."""
    from scipy.stats import betabinom

    chances = np.ones(1)  # of 0, 1, 2 … alarms so far
    for total, rank, count in promises:
        chances = np.convolve(chances, betabinom.pmf(np.arange(total + 1), total, rank, count + 1 - rank))
    at_least = np.cumsum(chances[::-1])[::-1]
    return int(np.flatnonzero(at_least > 1 - CERTAINTY)[-1])


def noticeable_rate(total: int, rank: int, count: int, level: float, power: float = 0.8) -> float | None:
    """Return the lowest true rate at which `alarms_p_value` falls below `level` with this `power`; None: no rate."""
    from scipy.optimize import brentq
    from scipy.stats import binom

    def tells(alarms: int) -> bool:
        return alarms_p_value(alarms, total, rank, count) < level

    telling = bisect.bisect_left(range(total + 1), True, key=tells)
    if telling > total:
        return None
    return float(brentq(lambda rate: binom.sf(telling - 1, total, rate) - power, 0, 1))
